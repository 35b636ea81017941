/* table_test.c -- records come with their lines, columns are found by name and number, and
 * complaints show the field as it is, but never garble a terminal. */
#include "support/test.h"

#include <zlib.h>

#include "data/table.h"

static td_context *context;
static td_error err;

static int make_context(void **state)
{
    (void)state;
    context = test_context(1);
    return 0;
}

static int free_context(void **state)
{
    (void)state;
    td_context_free(context);
    return 0;
}

static td__table *open_path(const char *path, td_text_header header, td_read_report *report)
{
    td__table *table;
    td__table_options options = {.header = header};
    assert_ok(td__table_open(&table, context, path, &options, false, report, &err));
    return table;
}

static void next_is(td__table *table, uint64_t line, const char *first_field)
{
    bool found;
    assert_ok(td__table_next(table, &found, &err));
    assert_true(found);
    assert_int_equal(table->line, line);
    const td__field *field = &table->record.fields[0];
    assert_int_equal(field->bytes, strlen(first_field));
    assert_memory_equal(field->text, first_field, field->bytes);
}

static void ends(td__table *table)
{
    bool found;
    for (int i = 0; i < 2; i++) {
        assert_ok(td__table_next(table, &found, &err));
        assert_false(found);
    }
    td__table_close(table);
}

static void lines_are_counted_through_all(void **state)
{
    (void)state;
    td_read_report report = {0};
    const char *text = "\xEF\xBB\xBF\n\r\n\"user\",item\n\na,1\n\"b\nb\",2\n\n\n\"c\",3";
    td__table *table = open_path(test_text_file("t", text), TD_HEADER_AUTO, &report);
    assert_int_equal(table->options.format, TD_FORMAT_CSV);
    assert_int_equal(table->options.header, TD_HEADER_YES);
    assert_int_equal(table->columns, 2);
    next_is(table, 5, "a");
    next_is(table, 6, "b\nb");
    next_is(table, 10, "c");
    ends(table);
    assert_int_equal(report.lines, 10);
    assert_int_equal(report.bytes, strlen(text));
}

static void the_first_row_without_a_header_is_a_row(void **state)
{
    (void)state;
    td_read_report report = {0};
    td__table *table = open_path(test_text_file("t", "\n1,2\n3,4\n"), TD_HEADER_AUTO, &report);
    assert_int_equal(table->options.header, TD_HEADER_NO);
    assert_int_equal(table->columns, 2);
    assert_string_equal(td__table_name(table, 1), "");
    next_is(table, 2, "1");
    next_is(table, 3, "3");
    ends(table);
}

static void a_bad_first_line_is_skipped_or_told(void **state)
{
    (void)state;
    td__table *table;
    td_read_report report = {0};
    td__table_options options = {.format = TD_FORMAT_CSV, .skip_bad_lines = true};
    const char *path = test_text_file("t", "\"a\"x,1\nuser,item\nb,2\n");
    assert_ok(td__table_open(&table, context, path, &options, false, &report, &err));
    assert_int_equal(report.bad_lines, 1);
    assert_non_null(strstr(report.first_bad, "t:1: there is text between"));
    td__table_close(table);
    options.skip_bad_lines = false;
    assert_fails(td__table_open(&table, context, path, &options, false, &report, &err),
                 TD_ERR_PARSE, "t:1: there is text between");
    assert_null(table);
}

static void more_columns_than_anyone_expects(void **state)
{
    (void)state;
    char text[8000], name[16];
    size_t count = 0;
    for (int line = 0; line < 3; line++) {
        for (int i = 0; i < 500; i++) {
            count += (size_t)snprintf(text + count, sizeof text - count,
                                      line == 0 ? "%sc%d" : "%s%d", i == 0 ? "" : ",", i);
        }
        text[count++] = '\n';
    }
    td_read_report report = {0};
    td__table *table = open_path(test_file("t", text, count), TD_HEADER_AUTO, &report);
    assert_int_equal(table->columns, 500);
    for (uint32_t i = 0; i < 500; i++) {
        uint32_t column;
        (void)snprintf(name, sizeof name, "c%u", i);
        assert_ok(td__table_find(table, name, &column, &err));
        assert_int_equal(column, i);
    }
    next_is(table, 2, "0");
    assert_memory_equal(table->record.fields[499].text, "499", 3);
    next_is(table, 3, "0");
    uint32_t column;
    assert_fails(td__table_find(table, "c500", &column, &err), TD_ERR_NOT_FOUND,
                 "columns are: c0, c1");
    ends(table);
}

static void columns_are_found(void **state)
{
    (void)state;
    td_read_report report = {0};
    uint32_t column;
    const char *text = "2,\"say \"\"hi\"\"\",user_id,userId,\xC3\xA9\n1,1,1,1,1\n";
    td__table *table = open_path(test_text_file("t", text), TD_HEADER_YES, &report);
    assert_string_equal(td__table_name(table, 1), "say \"hi\"");
    assert_ok(td__table_find(table, "2", &column, &err));
    assert_int_equal(column, 0); /* a name goes before a number */
    assert_ok(td__table_find(table, "3", &column, &err));
    assert_int_equal(column, 2);
    assert_ok(td__table_find(table, "\xC3\xA9", &column, &err));
    assert_int_equal(column, 4);
    assert_int_equal(td__table_find_usual(table, TD__COLUMN_QUERY), 2); /* the first of equals */
    assert_int_equal(td__table_find_usual(table, TD__COLUMN_TITLE), TD_NONE);
    static const char *const missing[] = {"6", "0", "", "USER_ID", "-1"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_fails(td__table_find(table, missing[i], &column, &err), TD_ERR_NOT_FOUND,
                     "no column");
        assert_int_equal(column, TD_NONE);
    }
    td__table_close(table);
    assert_true(td__column_is_named("user"));
    assert_true(td__column_is_named("0"));
    assert_false(td__column_is_named("12"));
    assert_false(td__column_is_named(NULL));
}

static void complaint_about(const char *bytes, size_t count, const char *shown)
{
    td_read_report report = {0};
    char text[512];
    memcpy(text, "x,", 2);
    memcpy(text + 2, bytes, count);
    text[2 + count] = '\n';
    td__table *table = open_path(test_file("t", text, count + 3), TD_HEADER_NO, &report);
    bool found;
    assert_ok(td__table_next(table, &found, &err));
    assert_fails(td__table_fail(table, 1, &err, "is odd"), TD_ERR_PARSE, shown);
    assert_int_equal(err.byte, 2);
    td__table_close(table);
}

static void complaints_show_the_field(void **state)
{
    (void)state;
    complaint_about("abc", 3, "t:1: column 2 \"abc\" is odd");
    complaint_about("", 0, "column 2 \"\" is odd");
    complaint_about("a\033[2Jb\0c\x7F", 9, "column 2 \"a?[2Jb?c?\" is odd");
    complaint_about("caf\xC3\xA9", 5, "column 2 \"caf\xC3\xA9\" is odd");
    complaint_about("caf\xE9 \xC3\xA9", 7, "column 2 \"caf? ??\" is odd");
    char many[300], shown[400];
    memset(many, 'y', sizeof many);
    (void)snprintf(shown, sizeof shown, "column 2 \"%.60s...\" is odd", many);
    complaint_about(many, sizeof many, shown);
    /* A character that the cut goes through is not shown in half. */
    memcpy(many + 59, "\xC3\xA9", 2);
    complaint_about(many, sizeof many, "y?...\" is odd");
}

static void text_is_unquoted_and_converted(void **state)
{
    (void)state;
    td__table *table;
    td_read_report report = {0};
    bool found;
    td__field left, right;
    td__table_options options = {
        .format = TD_FORMAT_CSV, .encoding = TD_ENCODING_LATIN1, .header = TD_HEADER_NO};
    const char *path = test_text_file("t", "\"\xE9\"\"\xFC\",\xC3\xA9\n\"\"\"\",plain\n");
    assert_ok(td__table_open(&table, context, path, &options, false, &report, &err));
    assert_ok(td__table_next(table, &found, &err));
    assert_ok(td__table_text(table, 0, 0, &left, &err));
    assert_ok(td__table_text(table, 1, 1, &right, &err));
    assert_int_equal(left.bytes, 5);
    assert_memory_equal(left.text, "\xC3\xA9\"\xC3\xBC", 5);
    assert_int_equal(right.bytes, 4);
    assert_memory_equal(right.text, "\xC3\x83\xC2\xA9", 4);
    assert_ok(td__table_check_id(table, 0, &left, &err));
    assert_ok(td__table_next(table, &found, &err));
    assert_ok(td__table_text(table, 0, 0, &left, &err));
    assert_int_equal(left.bytes, 1);
    assert_memory_equal(left.text, "\"", 1);
    ends(table);
}

static void bytes_are_those_of_the_text(void **state)
{
    (void)state;
    td_read_report report = {0};
    const char *path = test_path("t.gz");
    gzFile file = gzopen(path, "wb");
    for (int i = 0; i < 100000; i++) assert_int_equal(gzputs(file, "12,345\n"), 7);
    assert_int_equal(gzclose(file), Z_OK);
    td__table *table = open_path(path, TD_HEADER_AUTO, &report);
    for (uint64_t i = 1; i <= 100000; i++) next_is(table, i, "12");
    assert_true(td__text_input_position(table->input) < 10000);
    ends(table);
    assert_int_equal(report.bytes, 700000);
    assert_int_equal(report.lines, 100000);
}

static void only_bad_lines_are_skipped(void **state)
{
    (void)state;
    td_read_report report = {0};
    td__table table = {.report = &report};
    td_error first = {.status = TD_ERR_PARSE, .message = "first"};
    td_error second = {.status = TD_ERR_PARSE, .message = "second"};
    assert_int_equal(td__table_skip(&table, TD_ERR_PARSE, &first), TD_ERR_PARSE);
    assert_int_equal(report.bad_lines, 0);
    table.options.skip_bad_lines = true;
    assert_int_equal(td__table_skip(&table, TD_ERR_PARSE, &first), TD_OK);
    assert_int_equal(td__table_skip(&table, TD_ERR_PARSE, &second), TD_OK);
    assert_int_equal(td__table_skip(&table, TD_ERR_MEMORY, &second), TD_ERR_MEMORY);
    assert_int_equal(td__table_skip(&table, TD_ERR_CORRUPT, &second), TD_ERR_CORRUPT);
    assert_int_equal(report.bad_lines, 2);
    assert_string_equal(report.first_bad, "first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_counted_through_all),
        cmocka_unit_test(the_first_row_without_a_header_is_a_row),
        cmocka_unit_test(a_bad_first_line_is_skipped_or_told),
        cmocka_unit_test(more_columns_than_anyone_expects),
        cmocka_unit_test(columns_are_found),
        cmocka_unit_test(complaints_show_the_field),
        cmocka_unit_test(text_is_unquoted_and_converted),
        cmocka_unit_test(bytes_are_those_of_the_text),
        cmocka_unit_test(only_bad_lines_are_skipped),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
