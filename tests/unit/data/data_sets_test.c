/* data_sets_test.c -- the real data sets are read without being told what they are, and have the
 * sizes their authors state. */
#include "support/test.h"

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

static td_dataset *read_sized(const char *path, const td_read_options *options, uint64_t rows,
                              uint32_t queries, uint32_t candidates)
{
    td_dataset *dataset;
    td_read_report report;
    assert_ok(td_dataset_read(&dataset, context, &path, 1, options, NULL, &report, &err));
    assert_int_equal(report.rows, rows);
    assert_int_equal(td_dataset_rows(dataset).count, rows);
    assert_int_equal(td_vocab_count(td_dataset_queries(dataset)), queries);
    assert_int_equal(td_vocab_count(td_dataset_candidates(dataset)), candidates);
    assert_ok(td_dataset_check(dataset, &err));
    return dataset;
}

static td_catalog *read_titles(const char *path, td_text_encoding encoding, uint32_t items)
{
    td_catalog *catalog;
    td_catalog_options options;
    td_catalog_options_init(&options);
    options.encoding = encoding;
    assert_ok(td_catalog_read(&catalog, context, path, &options, NULL, &err));
    assert_int_equal(td_vocab_count(td_catalog_ids(catalog)), items);
    return catalog;
}

static void has_title(const td_catalog *catalog, const char *id, const char *title)
{
    uint32_t position = td_vocab_find(td_catalog_ids(catalog), id, strlen(id));
    assert_int_not_equal(position, TD_NONE);
    assert_string_equal(td_catalog_title(catalog, position), title);
}

static void the_bundled_set(void **state)
{
    (void)state;
    td_read_options options;
    td_read_options_init(&options);
    options.timestamp_column = "timestamp";
    options.weight_column = "rating";
    td_dataset *dataset = read_sized(test_bundled("ratings.csv"), &options, 100836, 610, 9724);
    td_rows rows = td_dataset_rows(dataset);
    assert_int_equal(rows.timestamp[0], 964982703);
    assert_close((double)rows.weight[100835], 3.0, 0, 0);
    assert_string_equal(td_vocab_id(td_dataset_queries(dataset), rows.query[100835]), "610");
    td_dataset_free(dataset);
    options.rating_min = 4;
    td_dataset_free(read_sized(test_bundled("ratings.csv"), &options, 48580, 609, 6298));
    td_catalog *catalog = read_titles(test_bundled("movies.csv"), TD_ENCODING_UTF8, 9742);
    has_title(catalog, "1", "Toy Story (1995)");
    has_title(catalog, "11", "American President, The (1995)");
    has_title(catalog, "73", "Mis\xC3\xA9rables, Les (1995)");
    td_catalog_free(catalog);
}

static void movielens_100k(void **state)
{
    (void)state;
    TEST_DATA(ratings, "ml-100k/u.data");
    TEST_DATA(items, "ml-100k/u.item");
    TEST_DATA(users, "ml-100k/u.user");
    td_read_options options;
    td_read_options_init(&options);
    options.timestamp_column = "4";
    td_dataset *dataset = read_sized(ratings, &options, 100000, 943, 1682);
    td_dataset *kept, *held_out;
    td_split_options split;
    td_split_options_init(&split);
    assert_ok(td_dataset_split(&kept, &held_out, dataset, &split, &err));
    assert_int_equal(td_dataset_rows(kept).count, 80000);
    assert_int_equal(td_dataset_rows(held_out).count, 20000);
    td_dataset_free(kept);
    td_dataset_free(held_out);
    td_dataset_free(dataset);
    td_catalog *catalog = read_titles(items, TD_ENCODING_LATIN1, 1682);
    has_title(catalog, "1", "Toy Story (1995)");
    td_catalog_free(catalog);
    td_catalog_free(read_titles(users, TD_ENCODING_LATIN1, 943));
}

static void movielens_1m(void **state)
{
    (void)state;
    TEST_DATA(ratings, "ml-1m/ratings_chrono.tsv.gz");
    TEST_DATA(movies, "ml-1m/movies.dat");
    td_dataset *dataset = read_sized(ratings, NULL, 1000209, 6040, 3706), *kept, *held_out;
    td_split_options split = {.kind = TD_SPLIT_LAST, .count = 1};
    assert_ok(td_dataset_split(&kept, &held_out, dataset, &split, &err));
    assert_int_equal(td_dataset_rows(held_out).count, 6040);
    td_dataset_free(kept);
    td_dataset_free(held_out);
    td_dataset_free(dataset);
    /* 598 rows at the end have no position. */
    td_read_options options;
    td_read_options_init(&options);
    options.timestamp_column = "position";
    assert_fails(td_dataset_read(&dataset, context, &ratings, 1, &options, NULL, NULL, &err),
                 TD_ERR_PARSE, ":999613: column 4 \"\" is not a timestamp");
    options.skip_bad_lines = true;
    td_dataset_free(read_sized(ratings, &options, 999611, 6040, 3416));
    td_catalog *catalog = read_titles(movies, TD_ENCODING_LATIN1, 3883);
    has_title(catalog, "73", "Mis\xC3\xA9rables, Les (1995)");
    has_title(catalog, "1", "Toy Story (1995)");
    td_catalog_free(catalog);
    td_catalog *refused;
    assert_fails(td_catalog_read(&refused, context, movies, NULL, NULL, &err), TD_ERR_PARSE,
                 "movies.dat:73: column 2 \"Mis?rables, Les (1995)\" is not UTF-8");
}

/* A given split: both parts in one pair of vocabularies. */
static void given_split(const char *train_path, const char *test_path, const uint64_t *sizes)
{
    const char *paths[] = {train_path, test_path};
    td_dataset *train, *test, *first, *second;
    assert_ok(td_dataset_read(&train, context, &paths[0], 1, NULL, NULL, NULL, &err));
    assert_ok(td_dataset_read(&test, context, &paths[1], 1, NULL, NULL, NULL, &err));
    assert_ok(td_dataset_align(&first, &second, train, test, &err));
    assert_int_equal(td_vocab_count(td_dataset_queries(first)), sizes[0]);
    assert_int_equal(td_vocab_count(td_dataset_candidates(second)), sizes[1]);
    assert_int_equal(td_dataset_rows(first).count, sizes[2]);
    assert_int_equal(td_dataset_rows(second).count, sizes[3]);
    td_query_lists lists;
    assert_ok(td_dataset_query_lists(first, &lists, &err));
    assert_int_equal(lists.offsets[lists.queries], sizes[2]);
    td_dataset_free(train);
    td_dataset_free(test);
    td_dataset_free(first);
    td_dataset_free(second);
}

static void gowalla(void **state)
{
    (void)state;
    TEST_DATA(train, "gowalla/train.txt");
    TEST_DATA(test, "gowalla/test.txt");
    given_split(train, test, (const uint64_t[]){29858, 40981, 810128, 217242});
}

static void yelp2018(void **state)
{
    (void)state;
    TEST_DATA(train, "yelp2018/train.txt");
    TEST_DATA(test, "yelp2018/test.txt");
    given_split(train, test, (const uint64_t[]){31668, 38048, 1237259, 324147});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bundled_set), cmocka_unit_test(movielens_100k),
        cmocka_unit_test(movielens_1m),    cmocka_unit_test(gowalla),
        cmocka_unit_test(yelp2018),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
