/* options_test.c -- fields set by name keep their bits; what is not allowed is refused in words. */
#include "support/option_table.h"

#include <jansson.h>
#include <locale.h>
#include <math.h>

#include "base/options.h"

typedef enum fruit { APPLE, PEAR, PLUM } fruit;

typedef struct inner {
    float rate;
    bool fast;
} inner;

typedef struct sample {
    inner nested;
    fruit kind;
    uint32_t count;
    uint64_t seed;
    int64_t label;
    double width;
    float open; /* may be infinite */
    const char *path;
    td_u32_list ks;
    td_u32_list layers; /* may be empty */
} sample;

static const td_option rows[] = {
    TD__OPTION_F32(sample, nested.rate, "rate", "0.1", 1e-6, 1e6, "RATE", "how fast"),
    TD__OPTION_BOOL(sample, nested.fast, "fast", "yes", "whether"),
    TD__OPTION_CHOICE(sample, kind, "kind", "pear", "apple|pear|plum", "which"),
    TD__OPTION_U32(sample, count, "count", "7", 1, 100, "N", "how many"),
    TD__OPTION_U64(sample, seed, "seed", "18446744073709551615", 0, TD__U64_MAX, "N", "where from"),
    TD__OPTION_I64(sample, label, "label", "-1", -TD__I64_MAX, TD__I64_MAX, "N", "what not"),
    TD__OPTION_F64(sample, width, "width", "0.1", -1e300, 1e300, "W", "how wide"),
    TD__OPTION_F32(sample, open, "open", "-inf", -HUGE_VAL, HUGE_VAL, "X", "how far"),
    TD__OPTION_TEXT(sample, path, "path", NULL, "FILE", "where to"),
    TD__OPTION_U32_LIST(sample, ks, "ks", "1,5,10", 1, 1000, "K,...", "cuts"),
    TD__OPTION_U32_LIST(sample, layers, "layers", "", 1, 1000, "N,...", "widths"),
};
static const td_option_table table = TD__OPTION_TABLE("sample", sample, rows);

static sample defaults(void)
{
    sample options;
    td_options_init(&table, &options);
    return options;
}

static void the_sample_table_is_sound(void **state)
{
    (void)state;
    test_option_table(&table, sample);
}

static void defaults_are_those_of_the_table(void **state)
{
    (void)state;
    sample o = defaults();
    assert_true(o.nested.rate == 0.1f && o.nested.fast && o.kind == PEAR && o.count == 7);
    assert_true(o.seed == UINT64_MAX && o.label == -1 && o.width == 0.1 && o.open == -INFINITY);
    assert_null(o.path);
    assert_int_equal(o.ks.count, 3);
    assert_int_equal(o.ks.values[2], 10);
}

static void values_at_the_bounds_are_taken(void **state)
{
    static const char *const good[][2] = {
        {"rate", "1e-6"},
        {"rate", "1000000"},
        {"rate", "+.5"},
        {"rate", "5."},
        {"count", "1"},
        {"count", "100"},
        {"count", "007"},
        {"seed", "0"},
        {"label", "-9223372036854775808"},
        {"label", "9223372036854775807"},
        {"width", "-1e300"},
        {"width", "-0"},
        {"open", "inf"},
        {"open", "-infinity"},
        {"open", "3e38"},
        {"ks", "1000"},
        {"layers", ""},
        {"layers", "64,32"},
        {"fast", "0"},
        {"kind", "plum"},
        {"ks", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"},
    };
    (void)state;
    td_error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        sample o = defaults();
        assert_ok(td_options_set(&table, &o, good[i][0], good[i][1], &err));
        assert_ok(td_options_check(&table, &o, &err));
    }
}

static void what_is_no_value_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[][2] = {
        {"rate", ""},
        {"rate", "abc"},
        {"rate", "1x"},
        {"rate", " 1"},
        {"rate", "1 "},
        {"rate", "0x1p3"},
        {"rate", "nan"},
        {"rate", "NAN"},
        {"rate", "inf"},
        {"rate", "1e999"},
        {"rate", "1e"},
        {"rate", "--1"},
        {"rate", "9e-7"},
        {"rate", "1000001"},
        {"rate", "0,5"},
        {"rate", "."},
        {"count", "0"},
        {"count", "101"},
        {"count", "-1"},
        {"count", "+1"},
        {"count", "1.0"},
        {"count", ""},
        {"count", "4294967297"},
        {"seed", "18446744073709551616"},
        {"seed", "-1"},
        {"label", "9223372036854775808"},
        {"label", "-9223372036854775809"},
        {"label", "-"},
        {"width", "1e301"},
        {"width", "1e400"},
        {"width", "inf"},
        {"open", "nan"},
        {"open", "1e39"},
        {"kind", "app"},
        {"kind", "apple|pear"},
        {"kind", ""},
        {"fast", "2"},
        {"fast", "TRUE"},
        {"fast", ""},
        {"ks", ""},
        {"layers", ","},
        {"layers", "0"},
        {"ks", "1,"},
        {"ks", ",1"},
        {"ks", "1,,2"},
        {"ks", "0"},
        {"ks", "1001"},
        {"ks", "1, 2"},
        {"ks", "99999999999"},
        {"ks", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"},
    };
    (void)state;
    td_error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sample o = defaults(), before = defaults();
        if (td_options_set(&table, &o, bad[i][0], bad[i][1], &err) != TD_ERR_ARGUMENT) {
            fail_msg("%s took \"%s\"", bad[i][0], bad[i][1]);
        }
        assert_non_null(strstr(err.message, bad[i][0]));
        assert_memory_equal(&o, &before, sizeof o);
    }
}

static void the_sentence_says_what_is_allowed(void **state)
{
    (void)state;
    td_error err = {0};
    sample o = defaults();
    assert_fails(td_options_set(&table, &o, "count", "0", &err), TD_ERR_ARGUMENT,
                 "option count: \"0\" is not allowed; it takes a whole number from 1 to 100");
    assert_fails(td_options_set(&table, &o, "kind", "fig", &err), TD_ERR_ARGUMENT,
                 "one of apple|pear|plum");
    assert_fails(td_options_set(&table, &o, "fast", "x", &err), TD_ERR_ARGUMENT, "true or false");
    assert_fails(td_options_set(&table, &o, "seed", "x", &err), TD_ERR_ARGUMENT, "64 bits from 0");
    assert_fails(td_options_set(&table, &o, "ks", "0", &err), TD_ERR_ARGUMENT, "commas between");
}

static void an_unknown_name_suggests_the_nearest(void **state)
{
    (void)state;
    td_error err = {0};
    sample o = defaults();
    char text[8];
    assert_fails(td_options_set(&table, &o, "cuont", "1", &err), TD_ERR_ARGUMENT,
                 "there is no sample option \"cuont\"; the nearest is \"count\"");
    assert_fails(td_options_get(&table, &o, "widht", text, 8, &err), TD_ERR_ARGUMENT, "\"width\"");
    char long_name[600];
    memset(long_name, 'k', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_fails(td_options_set(&table, &o, long_name, "1", &err), TD_ERR_ARGUMENT, "nearest");
    assert_null(td_option_find(&table, "rat"));
    assert_ptr_equal(td_option_find(&table, "rate"), &rows[0]);
}

/* Numbers of all sizes, drawn as bit patterns. */
static void floats_round_trip_to_the_bit(void **state)
{
    (void)state;
    td_error err = {0};
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        sample o = defaults(), copy = defaults();
        uint32_t bits = (uint32_t)test_uniform(&seed, 0, 4294967296.0);
        char text[64];
        memcpy(&o.open, &bits, sizeof bits);
        o.width = test_uniform(&seed, -1, 1) * pow(10, test_uniform(&seed, -300, 300));
        if (isnan(o.open)) continue;
        assert_ok(td_options_get(&table, &o, "open", text, sizeof text, &err));
        assert_true(strlen(text) <= 16);
        assert_ok(td_options_set(&table, &copy, "open", text, &err));
        assert_ok(td_options_get(&table, &o, "width", text, sizeof text, &err));
        assert_ok(td_options_set(&table, &copy, "width", text, &err));
        assert_memory_equal(&copy, &o, sizeof o);
    }
}

/* Programs that use the library may have called setlocale. Skipped where no such locale is
 * installed (Debian: apt-get install locales, locale-gen de_DE.UTF-8). */
static void a_decimal_comma_changes_nothing(void **state)
{
    (void)state;
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) {
        print_message("SKIPPED: the locale de_DE.UTF-8 is not installed\n");
        skip();
    }
    td_error err = {0};
    sample o = defaults();
    char text[32];
    assert_true(o.width == 0.1);
    assert_ok(td_options_set(&table, &o, "width", "0.25", &err));
    assert_ok(td_options_get(&table, &o, "width", text, sizeof text, &err));
    assert_string_equal(text, "0.25");
    assert_fails(td_options_set(&table, &o, "width", "0,25", &err), TD_ERR_ARGUMENT, "width");
    test_option_table(&table, sample);
    setlocale(LC_NUMERIC, "C");
}

static void text_is_the_shortest_and_must_fit(void **state)
{
    (void)state;
    td_error err = {0};
    sample o = defaults();
    char text[16];
    assert_ok(td_options_get(&table, &o, "rate", text, sizeof text, &err));
    assert_string_equal(text, "0.1");
    assert_ok(td_options_get(&table, &o, "rate", text, 4, &err));
    assert_fails(td_options_get(&table, &o, "rate", text, 3, &err), TD_ERR_LIMIT, "takes 4 bytes");
    assert_fails(td_options_get(&table, &o, "seed", text, 0, &err), TD_ERR_LIMIT, "room for 0");
    assert_ok(td_options_set(&table, &o, "path", "/x", &err));
    assert_ok(td_options_get(&table, &o, "path", text, sizeof text, &err));
    assert_string_equal(text, "/x");
    assert_ok(td_options_set(&table, &o, "path", "", &err));
    assert_null(o.path);
}

static void check_finds_what_was_written_into_the_struct(void **state)
{
    (void)state;
    td_error err = {0};
    sample o = defaults();
    o.nested.rate = NAN;
    assert_fails(td_options_check(&table, &o, &err), TD_ERR_ARGUMENT, "option rate: \"nan\"");
    o = defaults();
    memset(&o.nested.fast, 2, 1);
    assert_fails(td_options_check(&table, &o, &err), TD_ERR_ARGUMENT, "option fast");
    o = defaults();
    o.kind = (fruit)3;
    assert_fails(td_options_check(&table, &o, &err), TD_ERR_ARGUMENT, "option kind: \"3\"");
    o = defaults();
    o.ks.count = 17;
    assert_fails(td_options_check(&table, &o, &err), TD_ERR_ARGUMENT, "option ks");
    o = defaults();
    o.count = 101;
    assert_fails(td_options_check(&table, &o, NULL), TD_ERR_ARGUMENT, "option ks");
}

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static void json_keeps_every_bit(void **state)
{
    (void)state;
    td_error err = {0};
    sample o = defaults(), copy = defaults();
    o.nested.rate = nextafterf(0.3f, 1);
    o.width = nextafter(1e-17, 1);
    o.path = "a/b.tandem";
    json_t *object, *read;
    assert_ok(td__options_to_json(&object, &table, &o, &err));
    char *text = json_dumps(object, JSON_COMPACT);
    assert_non_null(strstr(text, "\"seed\":\"18446744073709551615\""));
    assert_non_null(strstr(text, "\"open\":\"-inf\""));
    assert_non_null(strstr(text, "\"ks\":[1,5,10]"));
    read = parse(text);
    assert_ok(td__options_from_json(&table, &copy, read, &err));
    assert_string_equal(copy.path, o.path);
    copy.path = o.path;
    assert_memory_equal(&copy, &o, sizeof o);
    free(text);
    json_decref(object);
    json_decref(read);
}

static void json_of_other_shape_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[][2] = {
        {"[]", "not an object"},
        {"{\"count\":3,\"sed\":1}", "\"seed\""},
        {"{\"count\":3,\"rate\":{}}", "rate"},
        {"{\"count\":3,\"rate\":[]}", "rate"},
        {"{\"count\":3,\"rate\":null}", "rate"},
        {"{\"count\":3.5}", "count"},
        {"{\"count\":3,\"fast\":7}", "fast"},
        {"{\"count\":3,\"path\":7}", "path"},
        {"{\"count\":3,\"ks\":[1,2.5]}", "ks"},
        {"{\"count\":3,\"ks\":[1,-2]}", "ks"},
        {"{\"count\":3,\"ks\":[]}", "ks"},
        {"{\"count\":3,\"ks\":[1111111111,1111111111,1111111111,1111111111,1111111111,1111111111,"
         "1111111111,1111111111,1111111111,1111111111,1111111111,1111111111,1111111111,1111111111,"
         "1111111111,1111111111,1111111111,1111111111,1111111111,1111111111]}",
         "ks"},
    };
    (void)state;
    td_error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sample o = defaults(), before = defaults();
        json_t *value = parse(bad[i][0]);
        assert_fails(td__options_from_json(&table, &o, value, &err), TD_ERR_ARGUMENT, bad[i][1]);
        assert_memory_equal(&o, &before, sizeof o);
        json_decref(value);
    }
    sample o = defaults();
    o.path = "\xff";
    json_t *object;
    assert_fails(td__options_to_json(&object, &table, &o, &err), TD_ERR_ARGUMENT, "UTF-8");
    assert_null(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_table_is_sound),
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(values_at_the_bounds_are_taken),
        cmocka_unit_test(what_is_no_value_is_refused_and_changes_nothing),
        cmocka_unit_test(the_sentence_says_what_is_allowed),
        cmocka_unit_test(an_unknown_name_suggests_the_nearest),
        cmocka_unit_test(floats_round_trip_to_the_bit),
        cmocka_unit_test(a_decimal_comma_changes_nothing),
        cmocka_unit_test(text_is_the_shortest_and_must_fit),
        cmocka_unit_test(check_finds_what_was_written_into_the_struct),
        cmocka_unit_test(json_keeps_every_bit),
        cmocka_unit_test(json_of_other_shape_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
