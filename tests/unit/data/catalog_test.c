/* catalog_test.c -- item files give a title and every other column by id. */
#include "support/test.h"

#include "data/catalog.h"

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

static td_status read_text(td_catalog **out, const char *text, const td_catalog_options *options,
                           td_read_report *report)
{
    return td_catalog_read(out, context, test_text_file("items", text), options, report, &err);
}

static const char *title_of(const td_catalog *catalog, const char *id)
{
    uint32_t position = td_vocab_find(td_catalog_ids(catalog), id, strlen(id));
    assert_int_not_equal(position, TD_NONE);
    return td_catalog_title(catalog, position);
}

static void columns_by_name(void **state)
{
    (void)state;
    td_catalog *catalog;
    td_read_report report;
    const char *text = "genres,title,movieId\n"
                       "Comedy|Drama,\"American President, The (1995)\",11\n"
                       ",\"say \"\"x\"\"\",7\n";
    assert_ok(read_text(&catalog, text, NULL, &report));
    assert_int_equal(report.rows, 2);
    assert_int_equal(td__catalog_columns(catalog), 3);
    assert_int_equal(td__catalog_find_column(catalog, "genres"), 0);
    assert_int_equal(td__catalog_find_column(catalog, "movieId"), 2);
    assert_int_equal(td__catalog_find_column(catalog, "year"), TD_NONE);
    assert_string_equal(td_vocab_id(td_catalog_ids(catalog), 0), "11");
    assert_string_equal(title_of(catalog, "11"), "American President, The (1995)");
    assert_string_equal(title_of(catalog, "7"), "say \"x\"");
    assert_string_equal(td__catalog_cell(catalog, 0, 0), "Comedy|Drama");
    assert_string_equal(td__catalog_cell(catalog, 1, 0), "");
    assert_string_equal(td__catalog_cell(catalog, 1, 2), "7");
    td_catalog_free(catalog);
}

static void columns_by_number(void **state)
{
    (void)state;
    td_catalog *catalog;
    td_catalog_options options;
    td_catalog_options_init(&options);
    const char *text = "7::Heat::Action\n8::Up::Animation\n";
    assert_ok(read_text(&catalog, text, NULL, NULL));
    assert_string_equal(title_of(catalog, "8"), "Up");
    assert_string_equal(td__catalog_column_name(catalog, 2), "3");
    td_catalog_free(catalog);
    options.id_column = "2";
    options.title_column = "3";
    assert_ok(read_text(&catalog, text, &options, NULL));
    assert_string_equal(title_of(catalog, "Up"), "Animation");
    td_catalog_free(catalog);
    options.title_column = "4";
    assert_fails(read_text(&catalog, text, &options, NULL), TD_ERR_NOT_FOUND, "\"4\"");
    assert_null(catalog);
}

static void without_titles_the_ids_stand_for_them(void **state)
{
    (void)state;
    td_catalog *catalog;
    assert_ok(read_text(&catalog, "itemId\n5\n6\n", NULL, NULL));
    assert_string_equal(title_of(catalog, "6"), "6");
    td_catalog_free(catalog);
    assert_ok(read_text(&catalog, "", NULL, NULL));
    assert_int_equal(td_vocab_count(td_catalog_ids(catalog)), 0);
    assert_int_equal(td__catalog_columns(catalog), 0);
    td_catalog_free(catalog);
}

static void bad_lines_are_told_or_counted(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } bad[] = {
        {"1,again,x\n", "items:3: column 1 \"1\" is the id of an earlier line too"},
        {",none,x\n", "items:3: column 1 \"\" is empty"},
        {"2,two\n", "items:3: has 2 columns; the first line has 3"},
        {"2,two,\xE9\n", "items:3: column 3 \"?\" is not UTF-8"},
        {"2,\"two,x\n", "items:3: a quote is opened and not closed"},
    };
    td_catalog_options options;
    td_catalog_options_init(&options);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        td_catalog *catalog;
        td_read_report report;
        char text[256];
        (void)snprintf(text, sizeof text, "id,name,kind\n1,one,x\n%s3,three,y\n", bad[i].line);
        options.skip_bad_lines = false;
        assert_fails(read_text(&catalog, text, &options, &report), TD_ERR_PARSE, bad[i].message);
        options.skip_bad_lines = true;
        assert_ok(read_text(&catalog, text, &options, &report));
        assert_int_equal(report.bad_lines, 1);
        assert_int_equal(td_vocab_count(td_catalog_ids(catalog)), 2);
        assert_string_equal(title_of(catalog, "3"), "three");
        assert_string_equal(td__catalog_cell(catalog, 1, 2), "y");
        td_catalog_free(catalog);
    }
    td_catalog *catalog;
    assert_fails(td_catalog_read(&catalog, context, test_path("none"), NULL, NULL, &err),
                 TD_ERR_NOT_FOUND, "none");
    assert_fails(read_text(&catalog, "1 a b c d e\n2 a\n", NULL, NULL), TD_ERR_ARGUMENT,
                 "name its format");
}

static td_status read_latin1(void *path, td_context *on, td_error *error)
{
    td_catalog *catalog;
    td_catalog_options options;
    td_catalog_options_init(&options);
    options.encoding = TD_ENCODING_LATIN1;
    td_status status = td_catalog_read(&catalog, on, path, &options, NULL, error);
    td_catalog_free(catalog);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[1024], text[20000];
    size_t count = 0;
    for (int i = 0; i < 300; i++) {
        count += (size_t)snprintf(text + count, sizeof text - count, "%d|Mis\xE9rables %d|x|y\n", i,
                                  i);
    }
    (void)snprintf(path, sizeof path, "%s", test_text_file("latin1", text));
    test_every_allocation(read_latin1, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_by_name),
        cmocka_unit_test(columns_by_number),
        cmocka_unit_test(without_titles_the_ids_stand_for_them),
        cmocka_unit_test(bad_lines_are_told_or_counted),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
