/* vocab_test.c -- ids keep their positions, and what is no id is refused. */
#include "support/test.h"

#include "base/vocab.h"

static void positions_in_order_of_insertion(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab;
    assert_ok(td_vocab_create(&vocab, context, &err));
    for (uint32_t i = 0; i < 5000; i++) {
        char id[32];
        int bytes = snprintf(id, sizeof id, "item-%u", i * 7919u);
        uint32_t position;
        assert_ok(td_vocab_add(vocab, id, (size_t)bytes, &position, &err));
        assert_int_equal(position, i);
        assert_ok(td_vocab_add(vocab, id, (size_t)bytes, &position, &err));
        assert_int_equal(position, i);
    }
    assert_int_equal(td_vocab_count(vocab), 5000);
    assert_int_equal(td_vocab_find(vocab, "item-7919", 9), 1);
    assert_int_equal(td_vocab_find(vocab, "item-7919x", 10), TD_NONE);
    assert_string_equal(td_vocab_id(vocab, 2), "item-15838");
    td_vocab_free(vocab);
    td_context_free(context);
}

static void refuses_what_is_no_id(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab;
    uint32_t position;
    static char long_id[TD_ID_BYTES_MAX + 1];
    memset(long_id, 'x', sizeof long_id);
    assert_ok(td_vocab_create(&vocab, context, &err));
    assert_fails(td_vocab_add(vocab, "", 0, &position, &err), TD_ERR_ARGUMENT, "empty");
    assert_fails(td_vocab_add(vocab, "a\0b", 3, &position, &err), TD_ERR_ARGUMENT, "NUL");
    assert_fails(td_vocab_add(vocab, long_id, sizeof long_id, &position, &err), TD_ERR_LIMIT, "4097");
    assert_ok(td_vocab_add(vocab, long_id, TD_ID_BYTES_MAX, &position, &err));
    assert_int_equal(td_vocab_count(vocab), 1);
    td_vocab_free(vocab);
    td_context_free(context);
}

static td_status build_and_copy(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_vocab *vocab = NULL, *copy = NULL;
    uint32_t position;
    td_status status = td_vocab_create(&vocab, context, err);
    for (int i = 0; i < 100 && status == TD_OK; i++) {
        char id[16];
        int bytes = snprintf(id, sizeof id, "%d", i);
        status = td_vocab_add(vocab, id, (size_t)bytes, &position, err);
    }
    if (status == TD_OK) {
        const uint64_t *offsets;
        const char *bytes = td__vocab_bytes(vocab, &offsets);
        status = td__vocab_from_bytes(&copy, context, bytes, offsets[100], offsets, 101, err);
    }
    td_vocab_free(vocab);
    td_vocab_free(copy);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(build_and_copy, NULL);
}

static void refuses_damaged_parts(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab;
    const uint64_t twice[] = {0, 2, 4}, beyond[] = {0, 9}, empty[] = {0, 1}, good[] = {0, 2, 5};
    assert_fails(td__vocab_from_bytes(&vocab, context, "a\0a", 4, twice, 3, &err), TD_ERR_CORRUPT,
                 "twice");
    assert_null(vocab);
    assert_fails(td__vocab_from_bytes(&vocab, context, "a", 2, beyond, 2, &err), TD_ERR_CORRUPT, "fit");
    assert_fails(td__vocab_from_bytes(&vocab, context, "", 1, empty, 2, &err), TD_ERR_CORRUPT, "empty");
    assert_ok(td__vocab_from_bytes(&vocab, context, "a\0bc", 5, good, 3, &err));
    assert_string_equal(td_vocab_id(vocab, 1), "bc");
    td_vocab_free(vocab);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_in_order_of_insertion),
        cmocka_unit_test(refuses_what_is_no_id),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(refuses_damaged_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
