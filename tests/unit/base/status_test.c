/* status_test.c -- error reports say what happened and stay whole. */
#include "support/test.h"

#include "base/status.h"

static void every_status_has_its_facts(void **state)
{
    (void)state;
#define CHECK(name, value, exit_code, http, sentence)                                              \
    assert_string_equal(td_status_name(TD_##name), #name);                                         \
    assert_string_equal(td_status_sentence(TD_##name), sentence);                                  \
    assert_int_equal(td_status_exit_code(TD_##name), exit_code);                                   \
    assert_int_equal(td_status_http(TD_##name), http);
    TD_STATUS_MAP(CHECK)
#undef CHECK
    assert_string_equal(td_status_name((td_status)-999), "unknown");
    assert_int_not_equal(td_status_exit_code((td_status)-999), 0);
}

static void exit_codes_are_distinct(void **state)
{
    (void)state;
    static const td_status all[] = {
#define VALUE(name, value, exit_code, http, sentence) TD_##name,
        TD_STATUS_MAP(VALUE)
#undef VALUE
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(td_status_exit_code(all[i]), td_status_exit_code(all[j]));
        }
    }
}

static void a_failure_fills_the_whole_report(void **state)
{
    (void)state;
    td_error err;
    memset(&err, 0xAA, sizeof err);
    assert_int_equal(td__fail(&err, TD_ERR_IO, "cannot open %s", "x.csv"), TD_ERR_IO);
    assert_int_equal(err.status, TD_ERR_IO);
    assert_int_equal(err.line, 0);
    assert_int_equal(err.byte, 0);
    assert_string_equal(err.message, "cannot open x.csv");
    assert_int_equal(td__fail_at(&err, TD_ERR_PARSE, 7, 99, "bad"), TD_ERR_PARSE);
    assert_int_equal(err.line, 7);
    assert_int_equal(err.byte, 99);
    assert_int_equal(td__fail_within(&err, TD_ERR_PARSE, "model.tandem"), TD_ERR_PARSE);
    assert_string_equal(err.message, "model.tandem: bad");
    assert_int_equal(err.line, 7);
}

static void no_report_is_fine(void **state)
{
    (void)state;
    assert_int_equal(td__fail(NULL, TD_ERR_IO, "x"), TD_ERR_IO);
    assert_int_equal(td__fail_at(NULL, TD_ERR_IO, 1, 1, "x"), TD_ERR_IO);
    assert_int_equal(td__fail_within(NULL, TD_ERR_IO, "x"), TD_ERR_IO);
}

/* Cut at every place: what is left is whole characters and ends with NUL. */
static void long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    td_error err;
    char text[1024];
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'a', lead);
        for (size_t at = lead; at + 4 < sizeof text; at += 3) memcpy(text + at, "\xE2\x82\xAC", 4);
        td__fail(&err, TD_ERR_IO, "%s", text);
        size_t length = strlen(err.message);
        assert_true(length < sizeof err.message && length > sizeof err.message - 5);
        assert_int_equal((length - lead) % 3, 0);
        assert_memory_equal(err.message + length - 3, "\xE2\x82\xAC", 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_facts),
        cmocka_unit_test(exit_codes_are_distinct),
        cmocka_unit_test(a_failure_fills_the_whole_report),
        cmocka_unit_test(no_report_is_fine),
        cmocka_unit_test(long_messages_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
