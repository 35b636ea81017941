/* decimal_test.c -- numbers survive being text to the bit, in as few digits as there are. */
#include "support/test.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/decimal.h"
#include "base/random.h"

enum { DRAWS = 20000 };

static td__random draws(uint64_t sub)
{
    return td__random_stream(20, TD__STREAM_SPLIT, sub);
}

static float f32_of(uint64_t bits)
{
    uint32_t word = (uint32_t)bits;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static double f64_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Digits of a decimal, without sign, point, exponent and zeros that only hold a place. */
static size_t digits_of(const char *text)
{
    size_t count = 0, zeros = 0;
    for (const char *at = text; *at != '\0' && *at != 'e'; at++) {
        if (*at < '0' || *at > '9') continue;
        if (*at == '0' && count == 0) continue;
        count++;
        zeros = *at == '0' ? zeros + 1 : 0;
    }
    return count - zeros;
}

static void check_f32(float value)
{
    char text[TD__DECIMAL_BYTES];
    float back;
    td__decimal_print_f32(value, text);
    assert_true(strlen(text) < TD__DECIMAL_BYTES);
    assert_true(td__decimal_read_f32(text, &back));
    assert_memory_equal(&back, &value, sizeof back);
    char shorter[400];
    size_t digits = digits_of(text);
    assert_in_range(digits, 0, 9);
    if (digits < 2 || strpbrk(text, ".e") == NULL) return; /* a whole number has all its digits */
    snprintf(shorter, sizeof shorter, "%.*g", (int)digits - 1, (double)value);
    assert_true(strtof(shorter, NULL) != value);
}

static void check_f64(double value)
{
    char text[TD__DECIMAL_BYTES];
    double back;
    td__decimal_print_f64(value, text);
    assert_true(strlen(text) < TD__DECIMAL_BYTES);
    assert_true(td__decimal_read_f64(text, &back));
    assert_memory_equal(&back, &value, sizeof back);
    char shorter[400];
    size_t digits = digits_of(text);
    assert_in_range(digits, 0, 17);
    if (digits < 2 || strpbrk(text, ".e") == NULL) return; /* a whole number has all its digits */
    snprintf(shorter, sizeof shorter, "%.*g", (int)digits - 1, value);
    assert_true(strtod(shorter, NULL) != value);
}

static void floats_of_all_kinds_round_trip(void **state)
{
    (void)state;
    const float edges[] = {0.0f, -0.0f, FLT_MIN, FLT_MAX, -FLT_MAX, FLT_EPSILON, FLT_TRUE_MIN,
                           1.0f, 0.1f, 16777216.0f, 16777215.0f, 1e10f, 0.05f, 3.4e-39f};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) check_f32(edges[i]);
    for (uint64_t i = 0; i < DRAWS; i++) {
        float value = f32_of(td__random_u64(draws(1), i));
        if (isfinite(value)) check_f32(value);
    }
}

static void doubles_of_all_kinds_round_trip(void **state)
{
    (void)state;
    const double edges[] = {0.0, -0.0, DBL_MIN, DBL_MAX, -DBL_MAX, DBL_EPSILON, DBL_TRUE_MIN, 1.0,
                            0.1, 0x1p53, 0x1p53 - 1, 1e23, 5e-324, 2.2250738585072011e-308};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) check_f64(edges[i]);
    for (uint64_t i = 0; i < DRAWS; i++) {
        double value = f64_of(td__random_u64(draws(2), i));
        if (isfinite(value)) check_f64(value);
    }
}

static void people_write_what_they_mean(void **state)
{
    (void)state;
    const struct {
        float value;
        const char *text;
    } rows[] = {{0.1f, "0.1"}, {0.05f, "0.05"}, {1.0f, "1"},       {-2.5f, "-2.5"},
                {1e10f, "1e+10"}, {1e-7f, "1e-07"}, {0.0f, "0"},    {100.0f, "100"}, {25000.0f, "25000"}, {3e9f, "3e+09"}};
    char text[TD__DECIMAL_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        td__decimal_print_f32(rows[i].value, text);
        assert_string_equal(text, rows[i].text);
    }
}

/* Half of the last place, and a trifle more or less: what goes wrong by way of a double. */
static void f32_is_rounded_once(void **state)
{
    (void)state;
    const struct {
        const char *text;
        float value;
    } rows[] = {{"1.00000005960464477539062", 1.0f},           /* below the middle */
                {"1.000000059604644775390625", 1.0f},          /* the middle: to even */
                {"1.0000000596046447753906251", 0x1.000002p0f}, /* above it, lost in a double */
                {"16777217", 16777216.0f},
                {"16777217.0000000000001", 16777218.0f},
                {"1e-46", 0.0f},
                {"340282346638528859811704183484516925440", FLT_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float value = -1;
        assert_true(td__decimal_read_f32(rows[i].text, &value));
        assert_memory_equal(&value, &rows[i].value, sizeof value);
    }
}

static void infinity_has_its_names(void **state)
{
    (void)state;
    const char *names[] = {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        float single = 0;
        double wide = 0;
        assert_true(td__decimal_read_f32(names[i], &single));
        assert_true(td__decimal_read_f64(names[i], &wide));
        assert_true(isinf(single) && !!signbit(single) == (names[i][0] == '-'));
        assert_true(isinf(wide) && !!signbit(wide) == (names[i][0] == '-'));
    }
    char text[TD__DECIMAL_BYTES];
    td__decimal_print_f64(-HUGE_VAL, text);
    assert_string_equal(text, "-inf");
}

static void anything_else_is_no_number(void **state)
{
    (void)state;
    const char *texts[] = {"",     " ",    " 1",   "1 ",    "1\n",  "nan",   "NaN",  "nan(1)",
                           "Inf",  "INF",  "infi", "0x10",  "0x1p3", "1,5",   "1e",   "e1",
                           "--1",  "+-1",  ".",    "-",     "1.2.3", "1e400", "1e39x", "1_000",
                           "1e+",  "1f",   "\xef\xbc\x91"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        float single;
        double wide;
        if (td__decimal_read_f32(texts[i], &single)) fail_msg("\"%s\" was read", texts[i]);
        if (td__decimal_read_f64(texts[i], &wide)) fail_msg("\"%s\" was read", texts[i]);
    }
    float value;
    assert_false(td__decimal_read_f32("1e39", &value));
    assert_false(td__decimal_read_f32("-3.5e38", &value));
}

/* Skipped where no locale with a decimal comma is installed (Debian: locale-gen de_DE.UTF-8). */
static void a_decimal_comma_changes_nothing(void **state)
{
    (void)state;
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) {
        print_message("SKIPPED: no locale with a decimal comma here\n");
        skip();
    }
    char text[TD__DECIMAL_BYTES], own[16];
    double value = 0;
    td__decimal_print_f64(1234.5, text);
    bool read = td__decimal_read_f64("0.25", &value), comma = td__decimal_read_f64("0,25", &value);
    snprintf(own, sizeof own, "%.1f", 0.5); /* the program's own locale is as it was */
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "1234.5");
    assert_true(read);
    assert_false(comma);
    assert_string_equal(own, "0,5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_of_all_kinds_round_trip),
        cmocka_unit_test(doubles_of_all_kinds_round_trip),
        cmocka_unit_test(people_write_what_they_mean),
        cmocka_unit_test(f32_is_rounded_once),
        cmocka_unit_test(infinity_has_its_names),
        cmocka_unit_test(anything_else_is_no_number),
        cmocka_unit_test(a_decimal_comma_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
