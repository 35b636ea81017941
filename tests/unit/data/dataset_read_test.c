/* dataset_read_test.c -- files become the rows they hold, and what cannot be read is told with its
 * place. */
#include "support/test.h"
#include "support/option_table.h"

static td_context *context;
static td_error err;

static int make_context(void **state)
{
    (void)state;
    context = test_context(2);
    return 0;
}

static int free_context(void **state)
{
    (void)state;
    td_context_free(context);
    return 0;
}

static td_read_options defaults(void)
{
    td_read_options options;
    td_read_options_init(&options);
    return options;
}

static td_status read_path(td_dataset **out, const char *path, const td_read_options *options,
                           td_read_report *report)
{
    return td_dataset_read(out, context, &path, 1, options, NULL, report, &err);
}

static td_status read_text(td_dataset **out, const char *text, const td_read_options *options,
                           td_read_report *report)
{
    return read_path(out, test_text_file("x.csv", text), options, report);
}

/* Rows as "query>candidate" with "*weight" and "@timestamp" where there are some. */
static const char *show(const td_dataset *dataset)
{
    static char out[4096];
    size_t length = 0;
    td_rows rows = td_dataset_rows(dataset);
    out[0] = '\0';
    for (uint64_t i = 0; i < rows.count; i++) {
        length += (size_t)snprintf(out + length, sizeof out - length, "%s%s>%s", i > 0 ? " " : "",
                                   td_vocab_id(td_dataset_queries(dataset), rows.query[i]),
                                   td_vocab_id(td_dataset_candidates(dataset), rows.candidate[i]));
        if (rows.weight != NULL) {
            length += (size_t)snprintf(out + length, sizeof out - length, "*%g",
                                       (double)rows.weight[i]);
        }
        if (rows.timestamp != NULL) {
            length += (size_t)snprintf(out + length, sizeof out - length, "@%lld",
                                       (long long)rows.timestamp[i]);
        }
    }
    return out;
}

static void reads_as(const char *text, const td_read_options *options, const char *shown)
{
    td_dataset *dataset;
    assert_ok(read_text(&dataset, text, options, NULL));
    assert_string_equal(show(dataset), shown);
    assert_ok(td_dataset_check(dataset, &err));
    td_dataset_free(dataset);
}

static void every_format(void **state)
{
    (void)state;
    reads_as("userId,movieId\n1,10\n2,20\n", NULL, "1>10 2>20");
    reads_as("1,10\n2,20", NULL, "1>10 2>20");
    reads_as("1\t10\t5\r\n2\t20\t4\r\n", NULL, "1>10 2>20");
    reads_as("1::10::5\n2::20::4\n", NULL, "1>10 2>20");
    reads_as("1|10\n2|20\n", NULL, "1>10 2>20");
    reads_as("1 10\n2   20\n", NULL, "1>10 2>20");
    reads_as("1 10 11 12\n2 20\n3 \n", NULL, "1>10 1>11 1>12 2>20");
    reads_as("\xEF\xBB\xBFuserId,movieId\n1,10\n", NULL, "1>10");
    reads_as("\"user\",\"item\"\n\"a,b\",\"say \"\"x\"\"\"\n\"two\nlines\",c\n", NULL,
             "a,b>say \"x\" two\nlines>c");
    reads_as("1,10\n\n1,10\n", NULL, "1>10 1>10");
    reads_as("J\xC3\xBCrgen,\xE6\x97\xA5\n", NULL, "J\xC3\xBCrgen>\xE6\x97\xA5");
}

static void files_without_rows(void **state)
{
    (void)state;
    td_dataset *dataset;
    td_read_report report;
    static const char *const texts[] = {"", "\n\n", "\xEF\xBB\xBF", "userId,movieId\n",
                                        "user,item"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        td_query_lists lists;
        assert_ok(read_text(&dataset, texts[i], NULL, &report));
        assert_int_equal(td_dataset_rows(dataset).count, 0);
        assert_int_equal(td_vocab_count(td_dataset_queries(dataset)), 0);
        assert_int_equal(report.rows, 0);
        assert_ok(td_dataset_query_lists(dataset, &lists, &err));
        assert_int_equal(lists.offsets[0], 0);
        td_dataset_free(dataset);
    }
    assert_fails(read_text(&dataset, "one\ntwo\n", NULL, NULL), TD_ERR_PARSE, "1 column");
    assert_null(dataset);
}

static void columns_by_name_and_number(void **state)
{
    (void)state;
    const char *text = "when,what,who,how\n5.9,i,u,0.5\n7,j,v,2\n";
    td_read_options options = defaults();
    options.query_column = "who";
    reads_as(text, &options, "u>5.9 v>7");
    options.candidate_column = "2";
    options.weight_column = "how";
    options.timestamp_column = "when";
    reads_as(text, &options, "u>i*0.5@5 v>j*2@7");
    options = defaults();
    options.candidate_column = "1";
    reads_as("a,b\nc,d\n", &options, "b>a d>c");
    reads_as("item,user\n1,2\n", NULL, "2>1");
    options = defaults();
    options.header = TD_HEADER_NO;
    reads_as("user,item\n1,2\n", &options, "user>item 1>2");
    options.header = TD_HEADER_YES;
    reads_as("9,8\n1,2\n", &options, "1>2");
}

static void a_column_that_is_not_there(void **state)
{
    (void)state;
    td_dataset *dataset;
    td_read_options options = defaults();
    options.timestamp_column = "when";
    assert_fails(read_text(&dataset, "user,item,time\n1,2,3\n", &options, NULL), TD_ERR_NOT_FOUND,
                 "no column \"when\"; columns are: user, item, time");
    options.timestamp_column = "4";
    assert_fails(read_text(&dataset, "1,2,3\n", &options, NULL), TD_ERR_NOT_FOUND, "3 columns");
    options.timestamp_column = "1";
    assert_fails(read_text(&dataset, "1 2 3\n4\n", &options, NULL), TD_ERR_ARGUMENT, "lists");
}

static void ratings_have_a_minimum(void **state)
{
    (void)state;
    td_dataset *dataset;
    td_read_report report;
    td_read_options options = defaults();
    options.rating_min = 4;
    assert_ok(
        read_text(&dataset, "user,item,rating\na,x,4.0\nb,y,3.9\nc,x,5\n", &options, &report));
    assert_string_equal(show(dataset), "a>x c>x");
    assert_int_equal(report.below_rating, 1);
    assert_int_equal(report.rows, 2);
    assert_int_equal(td_vocab_count(td_dataset_queries(dataset)), 2);
    td_dataset_free(dataset);
    assert_fails(read_text(&dataset, "user,item\na,x\n", &options, NULL), TD_ERR_ARGUMENT,
                 "rating");
    options.rating_column = "3";
    reads_as("a,x,5\nb,y,3\n", &options, "a>x");
    assert_fails(read_text(&dataset, "a,x,5\nb,y,good\n", &options, NULL), TD_ERR_PARSE,
                 ":2: column 3 \"good\" is not a rating (a number)");
}

typedef struct bad_line {
    const char *text; /* of line 3 */
    uint64_t byte;    /* from the start of that line */
    const char *message;
} bad_line;

static const bad_line bad_lines[] = {
    {"a,x,1,abc\n", 6, ":3: column 4 \"abc\" is not a timestamp (seconds, as a number)"},
    {"a,x,1,99999999999999999999\n", 6, "is not a timestamp"},
    {"a,x,1,\n", 6, "column 4 \"\" is not a timestamp"},
    {"a,x,-1,5\n", 4, "column 3 \"-1\" is not a weight (a number, at least 0)"},
    {"a,x,nan,5\n", 4, "is not a weight"},
    {"a,x,1e99,5\n", 4, "is not a weight"},
    {",x,1,5\n", 0, "column 1 \"\" is empty; an id is expected"},
    {"new,,1,5\n", 4, "column 2 \"\" is empty; an id is expected"},
    {"new,\xC3,1,5\n", 4, "column 2 \"?\" is not UTF-8"},
    {"new,a\xFF\xC3\xA9,1,5\n", 4, "is not UTF-8"},
    {"a,x,1\n", 0, ":3: has 3 columns; the first line has 4"},
    {"a,x,1,5,6\n", 0, "has 5 columns"},
    {"\"a\"x,x,1,5\n", 0, "between a closing quote and the next separator"},
};

/* Each alone is an error with its place; with skip_bad_lines it is counted and leaves no trace. */
static void bad_lines_are_told_or_counted(void **state)
{
    (void)state;
    td_read_options options = defaults();
    options.weight_column = "weight";
    options.timestamp_column = "time";
    for (size_t i = 0; i < sizeof bad_lines / sizeof bad_lines[0]; i++) {
        td_dataset *dataset;
        td_read_report report;
        char text[256];
        int start = snprintf(text, sizeof text, "user,item,weight,time\na,x,1,5\n");
        (void)snprintf(text + start, sizeof text - (size_t)start, "%sb,y,2,6\n", bad_lines[i].text);
        options.skip_bad_lines = false;
        assert_fails(read_text(&dataset, text, &options, &report), TD_ERR_PARSE,
                     bad_lines[i].message);
        assert_null(dataset);
        assert_int_equal(err.line, 3);
        assert_int_equal(err.byte, (uint64_t)start + bad_lines[i].byte);
        options.skip_bad_lines = true;
        assert_ok(read_text(&dataset, text, &options, &report));
        assert_string_equal(show(dataset), "a>x*1@5 b>y*2@6");
        assert_int_equal(report.bad_lines, 1);
        assert_int_equal(report.lines, 4);
        assert_non_null(strstr(report.first_bad, bad_lines[i].message));
        assert_int_equal(td_vocab_count(td_dataset_queries(dataset)), 2);
        assert_int_equal(td_vocab_count(td_dataset_candidates(dataset)), 2);
        td_dataset_free(dataset);
    }
}

static void an_open_quote_costs_one_line(void **state)
{
    (void)state;
    td_dataset *dataset;
    td_read_report report;
    td_read_options options = defaults();
    const char *text = "a,x\nb,\"y\nc,z\n";
    assert_fails(read_text(&dataset, text, NULL, NULL), TD_ERR_PARSE, ":2: a quote is opened");
    options.skip_bad_lines = true;
    assert_ok(read_text(&dataset, text, &options, &report));
    assert_string_equal(show(dataset), "a>x c>z");
    assert_int_equal(report.bad_lines, 1);
    td_dataset_free(dataset);
}

/* A text of 20 MiB: `first`, then lines of one row. */
static char *long_text(const char *first, const char *line, size_t *count)
{
    size_t bytes = strlen(line);
    char *text = malloc(20 << 20);
    assert_non_null(text);
    *count = (size_t)snprintf(text, 20 << 20, "%s", first);
    while (*count + bytes < 20 << 20) {
        memcpy(text + *count, line, bytes);
        *count += bytes;
    }
    return text;
}

static void lines_beyond_all_measure(void **state)
{
    (void)state;
    size_t count;
    td_dataset *dataset;
    td_read_report report;
    td_read_options options = defaults();
    options.format = TD_FORMAT_CSV;
    options.skip_bad_lines = true;
    char *text = long_text("a,x\nb,\"y\n", "c,zzzzzzzzzzzzzzzzzzzzzzzzzzzzz\n", &count);
    assert_ok(read_path(&dataset, test_file("open.csv", text, count), &options, &report));
    assert_int_equal(report.bad_lines, 1);
    assert_int_equal(report.rows, report.lines - 1);
    assert_non_null(strstr(report.first_bad, ":2: a quote is opened and not closed"));
    td_dataset_free(dataset);
    free(text);
    text = long_text("a,x\nb,", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", &count);
    assert_fails(read_path(&dataset, test_file("open.csv", text, count), &options, &report),
                 TD_ERR_LIMIT, ":2: a line of more than 16 MiB");
    free(text);
    remove(test_path("open.csv"));
}

static void ids_may_hold_all_but_nul(void **state)
{
    (void)state;
    td_dataset *dataset;
    const char *path = test_file("nul.csv", "a,x\nb\0c,y\n", 10);
    assert_fails(read_path(&dataset, path, NULL, NULL), TD_ERR_PARSE,
                 ":2: column 1 \"b?c\" holds a NUL");
    char text[TD_ID_BYTES_MAX + 16];
    memset(text, 'x', sizeof text);
    memcpy(text + TD_ID_BYTES_MAX, ",y\n", 4);
    assert_ok(read_text(&dataset, text, NULL, NULL));
    td_dataset_free(dataset);
    memcpy(text + TD_ID_BYTES_MAX, "x,y\n", 5);
    assert_fails(read_text(&dataset, text, NULL, NULL), TD_ERR_PARSE, "longer than the 4096 bytes");
}

static void latin1_becomes_utf8(void **state)
{
    (void)state;
    td_dataset *dataset;
    td_read_options options = defaults();
    const char *text = "J\xFCrgen,caf\xE9\n\"J\xFCrgen\",\"caf\xE9\"\"\"\n";
    assert_fails(read_text(&dataset, text, &options, NULL), TD_ERR_PARSE, "latin1");
    options.encoding = TD_ENCODING_LATIN1;
    reads_as(text, &options, "J\xC3\xBCrgen>caf\xC3\xA9 J\xC3\xBCrgen>caf\xC3\xA9\"");
    reads_as("u,\xC3\xA9\n", &options, "u>\xC3\x83\xC2\xA9");
}

static void bad_lists_leave_no_trace(void **state)
{
    (void)state;
    td_dataset *dataset;
    td_read_report report;
    td_read_options options = defaults();
    options.format = TD_FORMAT_LISTS;
    options.skip_bad_lines = true;
    assert_ok(read_text(&dataset, "1 10 11\n2 20 \xFF\n3 30\n4\n", &options, &report));
    assert_string_equal(show(dataset), "1>10 1>11 3>30");
    assert_int_equal(report.bad_lines, 1);
    assert_int_equal(td_vocab_count(td_dataset_queries(dataset)), 2);
    assert_int_equal(td_vocab_count(td_dataset_candidates(dataset)), 3);
    td_dataset_free(dataset);
}

static void several_files_are_one_dataset(void **state)
{
    (void)state;
    td_dataset *dataset;
    td_read_report report;
    char first[1024], second[1024], empty[1024], saved[1024];
    (void)snprintf(first, sizeof first, "%s", test_text_file("1", "item,user\nx,a\n"));
    (void)snprintf(second, sizeof second, "%s", test_text_file("2", "a\ty\nb\tx\n"));
    (void)snprintf(empty, sizeof empty, "%s", test_text_file("3", ""));
    const char *paths[] = {first, empty, second};
    assert_ok(td_dataset_read(&dataset, context, paths, 3, NULL, NULL, &report, &err));
    assert_string_equal(show(dataset), "a>x a>y b>x");
    assert_int_equal(report.bytes, 10 + 4 + 8);
    assert_int_equal(report.lines, 4);
    (void)snprintf(saved, sizeof saved, "%s", test_path("saved"));
    assert_ok(td_dataset_save(dataset, saved, &err));
    td_dataset_free(dataset);
    paths[1] = saved;
    assert_fails(td_dataset_read(&dataset, context, paths, 3, NULL, NULL, NULL, &err),
                 TD_ERR_ARGUMENT, "alone");
    assert_fails(td_dataset_read(&dataset, context, paths, 0, NULL, NULL, NULL, &err),
                 TD_ERR_ARGUMENT, "no file");
    paths[2] = test_path("none");
    paths[1] = empty;
    assert_fails(td_dataset_read(&dataset, context, paths, 3, NULL, NULL, NULL, NULL),
                 TD_ERR_NOT_FOUND, "");
}

static char *many_lines(uint32_t lines, size_t *count)
{
    char *text = malloc((size_t)lines * 24);
    assert_non_null(text);
    *count = 0;
    for (uint32_t i = 0; i < lines; i++) {
        *count += (size_t)snprintf(text + *count, 24, "%u,%u\n", i / 7, i * 31 % 1009);
    }
    return text;
}

static void rows_across_blocks(void **state)
{
    (void)state;
    size_t count;
    char *text = many_lines(200000, &count);
    td_dataset *dataset;
    td_read_report report;
    assert_ok(read_path(&dataset, test_file("many.csv", text, count), NULL, &report));
    td_rows rows = td_dataset_rows(dataset);
    assert_int_equal(rows.count, 200000);
    assert_int_equal(report.bytes, count);
    for (uint32_t i = 0; i < 200000; i++) {
        char id[24];
        (void)snprintf(id, sizeof id, "%u", i * 31 % 1009);
        assert_int_equal(rows.query[i], i / 7);
        assert_string_equal(td_vocab_id(td_dataset_candidates(dataset), rows.candidate[i]), id);
    }
    td_dataset_free(dataset);
    free(text);
}

typedef struct watcher {
    uint64_t calls, done, total;
    bool stop;
} watcher;

static bool watch(void *user, const td_progress *progress)
{
    watcher *w = user;
    w->calls++;
    w->done = progress->done;
    w->total = progress->total;
    assert_string_equal(progress->stage, "read");
    return !w->stop;
}

static void progress_is_told_and_can_stop(void **state)
{
    (void)state;
    size_t count;
    char *text = many_lines(50000, &count);
    const char *path = test_file("many.csv", text, count);
    td_dataset *dataset;
    watcher w = {0};
    td_progress_hook hook = {watch, &w};
    assert_ok(td_dataset_read(&dataset, context, &path, 1, NULL, &hook, NULL, &err));
    assert_true(w.calls >= 1);
    assert_int_equal(w.done, count);
    assert_int_equal(w.total, count);
    td_dataset_free(dataset);
    w.stop = true;
    assert_fails(td_dataset_read(&dataset, context, &path, 1, NULL, &hook, NULL, &err),
                 TD_ERR_CANCELLED, "stopped");
    assert_null(dataset);
    free(text);
}

static td_status read_with_everything(void *path, td_context *on, td_error *error)
{
    td_dataset *dataset;
    td_query_lists lists;
    td_read_options options = defaults();
    const char *paths[] = {path};
    options.weight_column = "rating";
    options.timestamp_column = "timestamp";
    options.encoding = TD_ENCODING_LATIN1;
    td_status status = td_dataset_read(&dataset, on, paths, 1, &options, NULL, NULL, error);
    if (status == TD_OK) status = td_dataset_query_lists(dataset, &lists, error);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[1024], *text = malloc(100000);
    assert_non_null(text);
    size_t count = (size_t)snprintf(text, 100, "userId,\"movie\"\"Id\",rating,timestamp\n");
    for (uint32_t i = 0; i < 2500; i++) {
        count += (size_t)snprintf(text + count, 64, "u%u,\"\xE9\"\"%u\",1,%u\n", i, i % 99, i);
    }
    (void)snprintf(path, sizeof path, "%s", test_file("all.csv", text, count));
    test_every_allocation(read_with_everything, path);
    free(text);
}

static void option_tables_are_sound(void **state)
{
    (void)state;
    test_option_table(td_read_option_table(), td_read_options);
    test_option_table(td_catalog_option_table(), td_catalog_options);
    test_option_table(td_split_option_table(), td_split_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format),
        cmocka_unit_test(files_without_rows),
        cmocka_unit_test(columns_by_name_and_number),
        cmocka_unit_test(a_column_that_is_not_there),
        cmocka_unit_test(ratings_have_a_minimum),
        cmocka_unit_test(bad_lines_are_told_or_counted),
        cmocka_unit_test(an_open_quote_costs_one_line),
        cmocka_unit_test(lines_beyond_all_measure),
        cmocka_unit_test(ids_may_hold_all_but_nul),
        cmocka_unit_test(latin1_becomes_utf8),
        cmocka_unit_test(bad_lists_leave_no_trace),
        cmocka_unit_test(several_files_are_one_dataset),
        cmocka_unit_test(rows_across_blocks),
        cmocka_unit_test(progress_is_told_and_can_stop),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(option_tables_are_sound),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
