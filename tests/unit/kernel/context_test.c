/* context_test.c -- contexts give what was asked for, or say why not. */
#include "support/test.h"

static void names_its_kernels_and_threads(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context;
    assert_ok(td_context_create(&context, &(td_context_options){.threads = 3, .kernel = "ref"}, &err));
    assert_int_equal(td_context_threads(context), 3);
    assert_string_equal(td_context_kernel(context), "ref");
    td_context_free(context);
    assert_ok(td_context_create(&context, NULL, &err));
    assert_true(td_context_threads(context) >= 1);
    td_context_free(context);
    td_context_free(NULL);
}

static void refuses_what_it_cannot_give(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context;
    assert_fails(td_context_create(&context, &(td_context_options){.kernel = "mmx"}, &err),
                 TD_ERR_UNSUPPORTED, "\"mmx\"");
    assert_null(context);
    assert_fails(td_context_create(&context, &(td_context_options){.threads = 100000}, &err),
                 TD_ERR_LIMIT, "100000");
    assert_null(context);
}

/* A context is made of allocations too; here they fail one by one. */
static void survives_every_failed_allocation(void **state)
{
    (void)state;
    td_error err = {0};
    for (int64_t n = 0;; n++) {
        test_memory memory = {.fail_at = n};
        td_context *context;
        td_status status = td_context_create(
            &context, &(td_context_options){.threads = 3, .allocator = test_allocator(&memory)}, &err);
        bool failed = memory.allocations > n;
        assert_int_equal(status, failed ? TD_ERR_MEMORY : TD_OK);
        assert_true((context == NULL) == failed);
        td_context_free(context);
        assert_int_equal(memory.blocks, 0);
        if (!failed) break;
        assert_true(n < 100);
    }
}

static void the_first_set_is_always_there(void **state)
{
    (void)state;
    const char *name;
    bool available;
    assert_true(td_kernel_describe(0, &name, &available));
    assert_string_equal(name, "ref");
    assert_true(available);
    assert_false(td_kernel_describe(1000, &name, &available));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_its_kernels_and_threads),
        cmocka_unit_test(refuses_what_it_cannot_give),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(the_first_set_is_always_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
