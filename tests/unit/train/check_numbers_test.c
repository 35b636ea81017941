/* check_numbers_test.c -- one bad value is found wherever it stands, and nothing else is refused.
 */
#include "support/test.h"

#include "train/check_numbers.h"

#include <float.h>
#include <math.h>

static void finds_the_bad_value_at_every_place(void **state)
{
    (void)state;
    td_error err = {0};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float values[60];
    for (uint64_t rows = 1; rows <= 5; rows++) {
        for (uint64_t columns = 1; columns <= 12; columns++) {
            for (uint64_t at = 0; at < rows * columns; at++) {
                for (uint64_t i = 0; i < rows * columns; i++) values[i] = FLT_MAX;
                assert_ok(td__check_finite("value", values, rows, columns, &err));
                values[at] = bad[at % 3];
                char row[32], column[32];
                snprintf(row, sizeof row, "row %llu: value is", (unsigned long long)(at / columns));
                snprintf(column, sizeof column, "in column %llu",
                         (unsigned long long)(at % columns));
                assert_fails(td__check_finite("value", values, rows, columns, &err), TD_ERR_NUMERIC,
                             row);
                assert_non_null(strstr(err.message, column));
            }
        }
    }
}

static void names_the_first_of_several(void **state)
{
    (void)state;
    td_error err = {0};
    const float values[] = {0, 1, NAN, INFINITY, NAN, 5};
    assert_fails(td__check_finite("query", values, 3, 2, &err), TD_ERR_NUMERIC, "row 1: query is");
    assert_non_null(strstr(err.message, "column 0"));
}

static void takes_extremes_and_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    const float extremes[] = {FLT_MAX, -FLT_MAX, FLT_MIN / 8, -0.0f};
    assert_ok(td__check_finite("value", extremes, 2, 2, &err));
    assert_ok(td__check_finite("value", NULL, 9, 9, &err));
    assert_ok(td__check_finite("value", extremes, 0, 9, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_bad_value_at_every_place),
        cmocka_unit_test(names_the_first_of_several),
        cmocka_unit_test(takes_extremes_and_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
