/* memory_test.c -- blocks are aligned, sized, counted and never wrap. */
#include "support/test.h"

#include "base/memory.h"

static void blocks_are_aligned_and_empty_ones_are_null(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    for (size_t size = 0; size < 300; size += 7) {
        unsigned char *block;
        assert_ok(td__alloc_zero(&block, context, size, 1, &err));
        if (size == 0) {
            assert_null(block);
            continue;
        }
        assert_int_equal((uintptr_t)block % TD__ALIGNMENT, 0);
        for (size_t i = 0; i < size; i++) assert_int_equal(block[i], 0);
        memset(block, 0xFF, size);
        td__free(context, block);
    }
    td__free(context, NULL);
    td_context_free(context);
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    double *block;
    assert_fails(td__alloc(&block, context, UINT64_MAX / 4, sizeof *block, &err), TD_ERR_LIMIT,
                 "more than memory can hold");
    assert_null(block);
    assert_fails(td__alloc(&block, context, UINT64_MAX - 8, 1, &err), TD_ERR_LIMIT, "elements");
    assert_fails(td__grow(&block, context, UINT64_MAX / 2, 4, &err), TD_ERR_LIMIT, "elements");
    td_context_free(context);
}

static void growing_keeps_contents_and_is_linear(void **state)
{
    (void)state;
    td_error err = {0};
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 1);
    uint32_t *numbers = NULL;
    memory.allocations = 0;
    for (uint32_t n = 0; n < 100000; n++) {
        assert_ok(td__grow(&numbers, context, n + 1, sizeof *numbers, &err));
        numbers[n] = n;
    }
    for (uint32_t n = 0; n < 100000; n++) assert_int_equal(numbers[n], n);
    assert_true(memory.allocations < 40);
    td__free(context, numbers);
    td_context_free(context);
    assert_int_equal(memory.bytes, 0);
}

static void huge_blocks_keep_contents_when_they_grow(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    unsigned char *block = NULL;
    assert_ok(td__grow(&block, context, 5 << 20, 1, &err));
    memset(block, 0x5A, 5 << 20);
    assert_ok(td__grow(&block, context, 20 << 20, 1, &err));
    assert_int_equal(block[0], 0x5A);
    assert_int_equal(block[(5 << 20) - 1], 0x5A);
    td__free(context, block);
    td_context_free(context);
}

static void a_failed_growth_keeps_the_block(void **state)
{
    (void)state;
    td_error err = {0};
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 1);
    char *block = NULL;
    assert_ok(td__grow(&block, context, 10, 1, &err));
    memcpy(block, "precious", 9);
    memory.fail_at = memory.allocations;
    assert_fails(td__grow(&block, context, 1000, 1, &err), TD_ERR_MEMORY, "out of memory");
    assert_string_equal(block, "precious");
    td__free(context, block);
    td_context_free(context);
}

static void text_is_copied_with_its_end(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    char *copy;
    assert_ok(td__copy_text(&copy, context, "abcdef", 3, &err));
    assert_string_equal(copy, "abc");
    td__free(context, copy);
    assert_ok(td__copy_text(&copy, context, NULL, 0, &err));
    assert_string_equal(copy, "");
    td__free(context, copy);
    td_context_free(context);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    size_t out;
    assert_true(td__mul_size(3, 4, &out));
    assert_int_equal(out, 12);
    assert_false(td__mul_size(SIZE_MAX, 2, &out));
    assert_true(td__add_size(SIZE_MAX - 1, 1, &out));
    assert_false(td__add_size(SIZE_MAX, 1, &out));
}

static void amounts_are_for_people(void **state)
{
    (void)state;
    char text[TD__AMOUNT_MAX];
    assert_string_equal(td__amount(text, 0), "0.0 MB");
    assert_string_equal(td__amount(text, 1500000), "1.5 MB");
    assert_string_equal(td__amount(text, 61234567), "61 MB");
    assert_string_equal(td__amount(text, 1230000000), "1.2 GB");
    assert_string_equal(td__amount(text, 25769803776), "26 GB");
    assert_string_equal(td__amount(text, UINT64_MAX), "more than 16 EB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_empty_ones_are_null),
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(growing_keeps_contents_and_is_linear),
        cmocka_unit_test(huge_blocks_keep_contents_when_they_grow),
        cmocka_unit_test(a_failed_growth_keeps_the_block),
        cmocka_unit_test(text_is_copied_with_its_end),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(amounts_are_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
