/* model_test.c -- models: what they know, their vectors, what they refuse. */
#include "base/vocab.h"
#include "model/model.h"
#include "support/option_table.h"
#include "support/tiny_data.h"

static const tiny_shape shape = {.queries = 30, .candidates = 40, .groups = 4, .rows = 300, .seed = 1};

static td_model *make_model(td_context *context, const td_dataset *train,
                            const td_model_options *options)
{
    td_error err;
    td_model *model;
    assert_ok(td_model_create(&model, context, train, NULL, options, &err));
    assert_ok(td_model_check(model, &err));
    return model;
}

static void every_option_has_a_row(void **state)
{
    (void)state;
    test_option_table(td_model_option_table(), td_model_options);
}

/* --- vocabularies, counts, seen lists */

static uint64_t query_count(const td_dataset *dataset, uint32_t query)
{
    td_rows rows = td_dataset_rows(dataset);
    uint64_t count = 0;
    for (uint64_t i = 0; i < rows.count; i++) count += rows.query[i] == query;
    return count;
}

static uint32_t check_known_queries(const td_model *model, const td_dataset *dataset, uint32_t min_count)
{
    uint32_t known = 0;
    const td_vocab *ids = td_dataset_queries(dataset);
    for (uint32_t i = 0; i < td_vocab_count(ids); i++) {
        const char *id = td_vocab_id(ids, i);
        uint32_t expected = query_count(dataset, i) >= min_count ? known++ : TD_NONE;
        assert_int_equal(td_vocab_find(td_model_queries(model), id, strlen(id)), expected);
    }
    return known;
}

static uint32_t check_known_candidates(const td_model *model, const td_dataset *dataset,
                                       uint32_t min_count)
{
    uint32_t known = 0;
    const td_vocab *ids = td_dataset_candidates(dataset);
    uint64_t *counts = calloc(td_vocab_count(ids), sizeof *counts);
    td_dataset_candidate_counts(dataset, counts);
    for (uint32_t i = 0; i < td_vocab_count(ids); i++) {
        const char *id = td_vocab_id(ids, i);
        uint32_t expected = counts[i] >= min_count ? known++ : TD_NONE;
        assert_int_equal(td_vocab_find(td_model_candidates(model), id, strlen(id)), expected);
        if (expected != TD_NONE) {
            assert_int_equal(td_model_candidate_count(model, expected), counts[i]);
        }
    }
    free(counts);
    return known;
}

static void ids_with_too_few_rows_are_not_known(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model_options options;
    td_model_options_init(&options);
    uint32_t most = 0;
    for (uint32_t min_count = 1; min_count <= 9; min_count += 4) {
        options.min_count = min_count;
        td_model *model = make_model(context, dataset, &options);
        uint32_t queries = check_known_queries(model, dataset, min_count);
        uint32_t candidates = check_known_candidates(model, dataset, min_count);
        assert_int_equal(td_vocab_count(td_model_queries(model)), queries);
        assert_int_equal(td_vocab_count(td_model_candidates(model)), candidates);
        if (min_count == 1) most = candidates;
        else assert_true(candidates < most); /* or the test shows nothing */
        td_model_free(model);
    }
    td_dataset_free(dataset);
    td_context_free(context);
}

static void all_ids_of_the_dataset_can_be_known(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &shape), *train, *test;
    tiny_split(&train, &test, dataset, 0.9);
    td_model_options options;
    td_model_options_init(&options);
    td_model *some = make_model(context, train, &options);
    options.vocabulary = TD_VOCABULARY_ALL;
    td_model *all = make_model(context, train, &options);
    uint32_t ids = td_vocab_count(td_dataset_candidates(dataset));
    assert_true(td_vocab_count(td_model_candidates(some)) < ids);
    assert_int_equal(td_vocab_count(td_model_candidates(all)), ids);
    options.min_count = 2;
    td_model *refused;
    assert_fails(td_model_create(&refused, context, train, NULL, &options, &err), TD_ERR_ARGUMENT,
                 "vocabulary all");
    assert_null(refused);
    td_model_free(some);
    td_model_free(all);
    td_dataset_free(train);
    td_dataset_free(test);
    td_dataset_free(dataset);
    td_context_free(context);
}

/* Was (query id, candidate id) in the training rows? */
static bool was_trained_on(const td_dataset *dataset, const char *query, const char *candidate)
{
    td_rows rows = td_dataset_rows(dataset);
    for (uint64_t i = 0; i < rows.count; i++) {
        if (strcmp(td_vocab_id(td_dataset_queries(dataset), rows.query[i]), query) == 0
            && strcmp(td_vocab_id(td_dataset_candidates(dataset), rows.candidate[i]), candidate) == 0) {
            return true;
        }
    }
    return false;
}

static void seen_lists_are_the_known_candidates_of_the_training_rows(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model_options options;
    td_model_options_init(&options);
    options.min_count = 5;
    td_model *model = make_model(context, dataset, &options);
    for (uint32_t query = 0; query < td_vocab_count(td_model_queries(model)); query++) {
        uint32_t count, next = 0;
        const uint32_t *seen = td_model_seen(model, query, &count);
        for (uint32_t c = 0; c < td_vocab_count(td_model_candidates(model)); c++) {
            bool expected = was_trained_on(dataset, td_vocab_id(td_model_queries(model), query),
                                           td_vocab_id(td_model_candidates(model), c));
            assert_int_equal(next < count && seen[next] == c, expected);
            next += expected;
        }
        assert_int_equal(next, count);
    }
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

/* --- titles */

static void titles_come_from_the_catalog_by_id(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &shape);
    const char *path = test_text_file("items.csv", "itemId,title\nc3,Three\nc1,\"One, and only\"\n"
                                                   "c999,Nowhere\n");
    td_catalog *catalog;
    td_model *model;
    assert_ok(td_catalog_read(&catalog, context, path, NULL, NULL, &err));
    assert_ok(td_model_create(&model, context, dataset, catalog, NULL, &err));
    td_catalog_free(catalog); /* titles are copies */
    const td_vocab *ids = td_model_candidates(model);
    assert_string_equal(td_model_title(model, td_vocab_find(ids, "c3", 2)), "Three");
    assert_string_equal(td_model_title(model, td_vocab_find(ids, "c1", 2)), "One, and only");
    assert_null(td_model_title(model, td_vocab_find(ids, "c2", 2)));
    td_model_free(model);
    model = make_model(context, dataset, NULL);
    assert_null(td_model_title(model, 0));
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

/* --- vectors */

static td_model_options wide_options(void)
{
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 6;
    options.heads = 3;
    options.similarity = TD_SIMILARITY_COSINE;
    options.oov_buckets = 4;
    options.min_count = 5;
    return options;
}

static void queries_by_id_and_by_row_are_the_same(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model_options options = wide_options();
    td_model *model = make_model(context, dataset, &options);
    uint32_t count = td_vocab_count(td_model_queries(model));
    const char *ids[32];
    uint32_t rows[32];
    float by_id[32 * 18], by_row[32 * 18];
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = count - 1 - i;
        ids[i] = td_vocab_id(td_model_queries(model), rows[i]);
    }
    assert_ok(td_model_encode_queries(model, ids, count, by_id, &err));
    assert_ok(td_model_encode_query_rows(model, rows, count, by_row, &err));
    assert_memory_equal(by_id, by_row, count * 18 * sizeof(float));
    for (uint32_t i = 0; i < count * 3; i++) {
        double squares = 0.0;
        for (uint32_t k = i * 6; k < i * 6 + 6; k++) squares += (double)by_id[k] * (double)by_id[k];
        assert_close(squares, 1.0, 1e-6, 0);
    }
    rows[0] = count;
    assert_fails(td_model_encode_query_rows(model, rows, 1, by_row, &err), TD_ERR_ARGUMENT, "no query");
    rows[0] = TD_NONE;
    assert_fails(td_model_encode_query_rows(model, rows, 1, by_row, &err), TD_ERR_ARGUMENT, "no query");
    assert_ok(td_model_encode_queries(model, ids, 0, by_id, &err));
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

static void unknown_ids_use_the_vector_of_their_bucket(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model_options options = wide_options();
    options.similarity = TD_SIMILARITY_DOT;
    td_model *model = make_model(context, dataset, &options);
    uint32_t known = td_vocab_count(td_model_queries(model));
    for (int i = 0; i < 20; i++) {
        char id[16];
        const char *ids[] = {id};
        float vector[18];
        snprintf(id, sizeof id, "nobody-%d", i);
        assert_ok(td_model_encode_queries(model, ids, 1, vector, &err));
        uint64_t row = known + td__vocab_hash(id, strlen(id)) % 4;
        const td__parameter *table = td__model_parameter(model, 0, NULL);
        assert_memory_equal(vector, table->weights + row * 18, sizeof vector);
    }
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

static void candidates_come_in_order_also_beyond_one_chunk(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    tiny_shape many = {.queries = 9, .candidates = 9000, .groups = 3, .rows = 20000, .seed = 2};
    td_dataset *dataset = tiny_dataset(context, &many);
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 4;
    td_model *model = make_model(context, dataset, &options);
    uint32_t count = td_vocab_count(td_model_candidates(model));
    assert_true(count > 5000);
    float *vectors = malloc((size_t)count * 4 * sizeof *vectors);
    assert_ok(td_model_encode_candidates(model, vectors, &err));
    const td__parameter *table = td__model_parameter(model, 1, NULL);
    assert_memory_equal(vectors, table->weights, (size_t)count * 4 * sizeof *vectors);
    free(vectors);
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

/* --- parameters */

static void parameters_are_named_and_counted(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model_options options = wide_options();
    td_model *model = make_model(context, dataset, &options);
    char name[TD__PARAMETER_NAME_MAX];
    assert_int_equal(td__model_parameters(model), 2);
    assert_non_null(td__model_parameter(model, 0, name));
    assert_string_equal(name, "query_tower/embedding");
    assert_non_null(td__model_parameter(model, 1, name));
    assert_string_equal(name, "candidate_tower/embedding");
    assert_null(td__model_parameter(model, 2, name));
    uint64_t queries = td_vocab_count(td_model_queries(model)) + 4;
    uint64_t candidates = td_vocab_count(td_model_candidates(model)) + 4;
    assert_int_equal(td_model_parameter_count(model), queries * 18 + candidates * 6);
    assert_int_equal(td_model_get_options(model)->heads, 3);
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

static void the_same_seed_gives_the_same_weights_for_any_threads(void **state)
{
    (void)state;
    td_model_options options = wide_options();
    float first[18 * 40];
    for (uint32_t threads = 1; threads <= 7; threads += 3) {
        td_context *context = test_context(threads);
        td_dataset *dataset = tiny_dataset(context, &shape);
        td_model *model = make_model(context, dataset, &options);
        const td__parameter *table = td__model_parameter(model, 0, NULL);
        size_t bytes = table->rows * table->cols * sizeof(float);
        assert_true(bytes <= sizeof first);
        if (threads == 1) memcpy(first, table->weights, bytes);
        else assert_memory_equal(first, table->weights, bytes);
        td_model_free(model);
        td_dataset_free(dataset);
        td_context_free(context);
    }
}

/* --- what is refused */

static void impossible_options_and_data_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model *model;
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 0;
    assert_fails(td_model_create(&model, context, dataset, NULL, &options, &err), TD_ERR_ARGUMENT, "dim");
    assert_null(model);
    td_model_options_init(&options);
    options.min_count = 1000;
    assert_fails(td_model_create(&model, context, dataset, NULL, &options, &err), TD_ERR_ARGUMENT,
                 "1000 training rows");
    options.min_count = 1;
    options.dim = 65536;
    options.heads = 64;
    assert_fails(td_model_create(&model, context, dataset, NULL, &options, &err), TD_ERR_LIMIT, "heads");
    td_dataset_free(dataset);
    td_context_free(context);
}

static td_status create_and_encode(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_dataset *dataset = NULL;
    td_model *model = NULL;
    td_model_options options = wide_options();
    float vectors[40 * 6];
    const char *ids[] = {"q1", "new"};
    tiny_shape small = shape;
    small.rows = 100;
    options.min_count = 1;
    td_status status = tiny_dataset_build(&dataset, context, &small, err);
    if (status == TD_OK) status = td_model_create(&model, context, dataset, NULL, &options, err);
    if (status == TD_OK) status = td_model_encode_candidates(model, vectors, err);
    if (status == TD_OK) status = td_model_encode_queries(model, ids, 2, vectors, err);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(create_and_encode, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_has_a_row),
        cmocka_unit_test(ids_with_too_few_rows_are_not_known),
        cmocka_unit_test(all_ids_of_the_dataset_can_be_known),
        cmocka_unit_test(seen_lists_are_the_known_candidates_of_the_training_rows),
        cmocka_unit_test(titles_come_from_the_catalog_by_id),
        cmocka_unit_test(queries_by_id_and_by_row_are_the_same),
        cmocka_unit_test(unknown_ids_use_the_vector_of_their_bucket),
        cmocka_unit_test(candidates_come_in_order_also_beyond_one_chunk),
        cmocka_unit_test(parameters_are_named_and_counted),
        cmocka_unit_test(the_same_seed_gives_the_same_weights_for_any_threads),
        cmocka_unit_test(impossible_options_and_data_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
