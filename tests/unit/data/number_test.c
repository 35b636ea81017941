/* number_test.c -- numbers are read to the nearest float, and nothing else passes for one. */
#include "support/test.h"

#include <locale.h>
#include <math.h>

#include "data/number.h"

static bool seconds(const char *text, int64_t *value)
{
    return td__number_seconds(text, strlen(text), value);
}

static bool number(const char *text, float *value)
{
    return td__number_float(text, strlen(text), value);
}

static void seconds_are_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0},
        {"978300760", 978300760},
        {"-5", -5},
        {"+5", 5},
        {" 12\t", 12},
        {"1147880044.9", 1147880044},
        {"-1.9", -1},
        {"3.", 3},
        {"000000000000000000000007", 7},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"9223372036854775807.99", INT64_MAX},
        {"999999999999999999", 999999999999999999},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t value = 77;
        assert_true(seconds(good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
}

static void what_is_no_seconds(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "-",
        "+",
        ".",
        ".5",
        "abc",
        "1a",
        "a1",
        "1 2",
        "--1",
        "1e9",
        "0x10",
        "1.5.2",
        "1,5",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999999",
        "nan",
        "inf",
        "2020-01-01",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t value;
        if (seconds(bad[i], &value)) fail_msg("\"%s\" was taken for seconds", bad[i]);
    }
    int64_t value;
    assert_false(td__number_seconds("1\0", 2, &value));
}

static void floats_are_the_nearest(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0",
        "-0",
        "1",
        "4.5",
        ".5",
        "5.",
        "+3.25",
        "-2.75",
        " 1 ",
        "1e3",
        "1E-3",
        "2.5e+10",
        "1e-60",
        "0.30000000000000004",
        "123456789012345678901234567890",
        "3.4028234e38",
        "-3.4028234e38",
        "0.1",
        "0.000000000000000001",
        "16777217",
        "16777219",
        "1.17549435e-38",
        "1e-45",
        "999999999999999999",
        "0.999999999999999999",
        "1000000000000000000000000000000000000.5",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        float value;
        if (!number(good[i], &value)) fail_msg("\"%s\" was refused", good[i]);
        float expected = (float)strtod(good[i], NULL);
        assert_memory_equal(&value, &expected, sizeof value);
    }
}

static void random_decimals_are_the_nearest(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int i = 0; i < 100000; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%.*f", i % 17,
                       test_uniform(&seed, -1, 1) * pow(10, i % 11));
        float value, expected = (float)strtod(text, NULL);
        assert_true(number(text, &value));
        assert_memory_equal(&value, &expected, sizeof value);
    }
}

static void what_is_no_float(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",    " ",    "-",        ".",     "e5",  "1e",   "1e+",   "abc",  "1a",  "1 2",   "nan",
        "inf", "-inf", "infinity", "0x1p3", "1,5", "1e39", "-1e39", "1..2", "+-1", "1e5.5", "\"5\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        float value;
        if (number(bad[i], &value)) fail_msg("\"%s\" was taken for a number", bad[i]);
    }
    char many[400];
    memset(many, '9', sizeof many);
    float value;
    assert_false(td__number_float(many, sizeof many, &value));
}

/* A program in a locale with a decimal comma reads the same. */
static void the_locale_does_not_matter(void **state)
{
    (void)state;
    float value;
    const char *set = setlocale(LC_NUMERIC, "de_DE.UTF-8");
    assert_true(number("0.30000000000000004", &value));
    assert_close((double)value, 0.3, 1e-6, 0);
    assert_false(number("0,3", &value));
    setlocale(LC_NUMERIC, "C");
    if (set == NULL) {
        print_message("SKIPPED: no locale with a decimal comma here\n");
        skip();
    }
}

static void columns_count_from_one(void **state)
{
    (void)state;
    uint32_t column;
    assert_true(td__number_column("1", 1, &column));
    assert_int_equal(column, 1);
    assert_true(td__number_column("4294967295", 10, &column));
    assert_int_equal(column, UINT32_MAX);
    assert_false(td__number_column("4294967296", 10, &column));
    assert_false(td__number_column("0", 1, &column));
    assert_false(td__number_column("", 0, &column));
    assert_false(td__number_column("1x", 2, &column));
    assert_false(td__number_column("-1", 2, &column));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_are_whole),      cmocka_unit_test(what_is_no_seconds),
        cmocka_unit_test(floats_are_the_nearest), cmocka_unit_test(random_decimals_are_the_nearest),
        cmocka_unit_test(what_is_no_float),       cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(columns_count_from_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
