/* saturate_test.c -- sums and products that stop at the largest number. */
#include "support/test.h"

#include "base/saturate.h"

static void what_fits_is_exact(void **state)
{
    (void)state;
    assert_true(td__sat_add(3, 4) == 7);
    assert_true(td__sat_mul(UINT64_C(1) << 40, 1000) == (UINT64_C(1) << 40) * 1000);
    assert_true(td__sat_add(UINT64_MAX - 1, 1) == UINT64_MAX);
    assert_true(td__sat_grown(100) == 150);
}

static void what_does_not_fit_is_the_most(void **state)
{
    (void)state;
    assert_true(td__sat_add(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(td__sat_mul(UINT64_C(1) << 40, UINT64_C(1) << 30) == UINT64_MAX);
    assert_true(td__sat_mul(UINT64_MAX, UINT64_MAX) == UINT64_MAX);
    assert_true(td__sat_grown(UINT64_MAX) == UINT64_MAX);
}

static void the_smaller_and_the_larger(void **state)
{
    (void)state;
    assert_true(td__sat_min(3, 4) == 3 && td__sat_min(4, 3) == 3);
    assert_true(td__sat_max(3, 4) == 4 && td__sat_max(4, 3) == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_exact),
        cmocka_unit_test(what_does_not_fit_is_the_most),
        cmocka_unit_test(the_smaller_and_the_larger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
