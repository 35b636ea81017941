/* model_history_test.c -- models whose queries are known by what they had: which candidates count, vectors of
 * queries that were there and of others, files, growth. */
#include <math.h>

#include "base/container.h"
#include "model/model.h"
#include "support/tiny_data.h"

enum { ROWS = 8, DIM = 4 };

static const char *const query_ids[ROWS] = {"ann", "bob", "ann", "ann", "ann", "bob", "ann", "cid"};
static const char *const candidate_ids[ROWS] = {"p", "q", "r", "p", "s", "p", "t", "u"};
/* ann: t at 1, r at 2, s and p at 5 (in this order of the file: p comes before s), and p once more at 0. */
static const int64_t times[ROWS] = {0, 3, 2, 5, 5, -4, 1, 9};

static td_model_options options_of(td_query_tower tower, uint32_t length)
{
    td_model_options options;
    td_model_options_init(&options);
    options.dim = DIM;
    options.query_tower = tower;
    options.history_length = length;
    options.init_scale = 0.5f;
    return options;
}

static td_dataset *build(td_context *context, const int64_t *when)
{
    td_error err;
    td_dataset *dataset;
    const td_interactions rows = {
        .rows = ROWS, .query_id = query_ids, .candidate_id = candidate_ids, .timestamp = when};
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    return dataset;
}

static td_model *make(td_context *context, const int64_t *when, const td_model_options *options)
{
    td_error err;
    td_model *model;
    td_dataset *dataset = build(context, when);
    assert_ok(td_model_create(&model, context, dataset, NULL, options, &err));
    td_dataset_free(dataset);
    assert_ok(td_model_check(model, &err));
    return model;
}

/* The ids of a query's history, one letter each. */
static void assert_history(const td_model *model, const char *query, const char *expected)
{
    char text[16] = "";
    uint32_t count;
    const uint32_t *list = td__model_history(model, td__model_query_number(model, query), &count);
    for (uint32_t i = 0; i < count; i++) text[i] = *td_vocab_id(td_model_candidates(model), list[i]);
    assert_string_equal(text, expected);
}

/* --- which candidates count */

static void histories_are_in_the_order_of_time_each_candidate_once(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_model_options options = options_of(TD_QUERY_HISTORY, 0);
    td_model *model = make(context, times, &options);
    assert_history(model, "ann", "trps");
    assert_history(model, "bob", "pq");
    assert_history(model, "cid", "u");
    assert_history(model, "nobody", "");
    td_model_free(model);
    td_context_free(context);
}

static void the_most_recent_stay_of_longer_ones(void **state)
{
    (void)state;
    const char *expected[] = {"s", "ps", "rps", "trps", "trps"};
    td_context *context = test_context(1);
    for (uint32_t length = 1; length <= 5; length++) {
        td_model_options options = options_of(TD_QUERY_ID_HISTORY, length);
        td_model *model = make(context, times, &options);
        assert_history(model, "ann", expected[length - 1]);
        td_model_free(model);
    }
    td_context_free(context);
}

/* Over seeds, each candidate of ann is as likely; p has two rows. */
static void without_timestamps_the_seed_chooses(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    uint32_t chosen[256] = {0};
    for (uint32_t seed = 0; seed < 400; seed++) {
        uint32_t count, again;
        td_model_options options = options_of(TD_QUERY_HISTORY, 1);
        options.seed = seed;
        td_model *model = make(context, NULL, &options), *same = make(context, NULL, &options);
        const uint32_t *list = td__model_history(model, 0, &count);
        assert_int_equal(count, 1);
        assert_int_equal(*td__model_history(same, 0, &again), *list);
        chosen[(unsigned char)*td_vocab_id(td_model_candidates(model), *list)]++;
        td_model_free(model);
        td_model_free(same);
    }
    assert_close(chosen['p'], 160, 0, 40);
    assert_close(chosen['r'], 80, 0, 30);
    assert_close(chosen['s'], 80, 0, 30);
    assert_close(chosen['t'], 80, 0, 30);
    td_context_free(context);
}

static void id_towers_have_no_history(void **state)
{
    (void)state;
    td_error err;
    float out[DIM];
    const uint64_t offsets[2] = {0, 0};
    const td_histories one = {.count = 1, .offsets = offsets};
    td_context *context = test_context(1);
    td_model_options options = options_of(TD_QUERY_ID, 0);
    td_model *model = make(context, times, &options);
    assert_null(model->history);
    assert_fails(td_model_encode_histories(model, &one, out, &err), TD_ERR_UNSUPPORTED,
                 "query-tower id");
    td_model_free(model);
    options = options_of(TD_QUERY_HISTORY, 0);
    options.heads = 2;
    td_dataset *dataset = build(context, NULL);
    assert_fails(td_model_create(&model, context, dataset, NULL, &options, &err), TD_ERR_ARGUMENT,
                 "query-layers");
    td_dataset_free(dataset);
    td_context_free(context);
}

/* --- vectors */

static uint32_t position(const td_model *model, const char *id)
{
    return td_vocab_find(td_model_candidates(model), id, strlen(id));
}

/* What is known by its history alone is the same, whether it was there or not; and by hand. */
static void a_list_says_all_there_is_to_say(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    td_model_options options = options_of(TD_QUERY_HISTORY, 3);
    td_model *model = make(context, times, &options);
    float of_ann[DIM], of_list[2 * DIM];
    const char *ann = "ann";
    uint32_t list[7];
    const char *ids[] = {"q", "t", "r", "s", "p", "s", "nix"}; /* the last three: r p s */
    for (int i = 0; i < 7; i++) list[i] = position(model, ids[i]);
    const uint64_t offsets[3] = {0, 7, 7};
    const td_histories histories = {.count = 2, .offsets = offsets, .candidates = list};
    for (uint32_t k = 0; k < DIM; k++) td__model_parameter(model, 0, NULL)->weights[k] = (float)k;
    assert_ok(td_model_encode_queries(model, &ann, 1, of_ann, &err));
    assert_ok(td_model_encode_histories(model, &histories, of_list, &err));
    const float *table = td__model_parameter(model, 1, NULL)->weights;
    for (uint32_t k = 0; k < DIM; k++) {
        double sum = 0.0;
        for (int i = 2; i < 5; i++) sum += (double)table[list[i] * DIM + k];
        assert_close((double)of_ann[k], k + sum / 3.0, 1e-6, 1e-6);
        assert_close((double)of_list[k], (double)of_ann[k], 1e-6, 1e-6);
        assert_true(of_list[DIM + k] == (float)k); /* an empty one: what is common to all */
    }
    td_model_free(model);
    td_context_free(context);
}

/* With vectors of their own: the row, and for strangers that of unknown ids, which starts as zero. */
static void strangers_have_the_vector_of_unknown_ids(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_model_options options = options_of(TD_QUERY_ID_HISTORY, 0);
    td_model *model = make(context, times, &options);
    const uint32_t list[] = {position(model, "u")}, row = td__model_query_number(model, "cid");
    const uint64_t offsets[2] = {0, 1};
    const td_histories one = {.count = 1, .offsets = offsets, .candidates = list};
    const float *ids = td__model_parameter(model, 0, NULL)->weights;
    const float *items = td__model_parameter(model, 1, NULL)->weights + list[0] * DIM;
    const char *names[2] = {"cid", "nobody"};
    float by_id[2 * DIM], by_row[DIM], by_list[DIM];
    assert_ok(td_model_encode_queries(model, names, 2, by_id, &err));
    assert_ok(td_model_encode_query_rows(model, &row, 1, by_row, &err));
    assert_ok(td_model_encode_histories(model, &one, by_list, &err));
    assert_memory_equal(by_row, by_id, sizeof by_row);
    assert_memory_equal(by_list, items, sizeof by_list);
    for (uint32_t k = 0; k < DIM; k++) {
        assert_close((double)by_id[k], (double)ids[row * DIM + k] + (double)items[k], 1e-6, 1e-7);
        assert_true(by_id[DIM + k] == 0.0f);
    }
    td_model_free(model);
    td_context_free(context);
}

static void lists_that_cannot_be_are_refused(void **state)
{
    (void)state;
    td_error err;
    float out[DIM], weight[2] = {1, 1};
    const uint32_t list[2] = {0, 6};
    const uint64_t offsets[2] = {0, 2};
    td_histories one = {.count = 1, .offsets = offsets, .candidates = list};
    td_context *context = test_context(1);
    td_model_options options = options_of(TD_QUERY_HISTORY, 0);
    td_model *model = make(context, times, &options);
    assert_fails(td_model_encode_histories(model, &one, out, &err), TD_ERR_ARGUMENT,
                 "element 1 of the histories is candidate 6; the model has 6");
    one.weight = weight;
    assert_fails(td_model_encode_histories(model, &one, out, &err), TD_ERR_ARGUMENT, "weights");
    one = (td_histories){0};
    assert_ok(td_model_encode_histories(model, &one, NULL, &err));
    td_model_free(model);
    td_context_free(context);
}

/* Chunks of encoding are an inner matter. */
static void many_queries_have_the_vectors_of_each(void **state)
{
    (void)state;
    enum { QUERIES = 9000 };
    td_error err;
    td_context *context = test_context(2);
    tiny_shape shape = {.queries = QUERIES, .candidates = 50, .groups = 5, .rows = 30000, .seed = 4};
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model_options options = options_of(TD_QUERY_ID_HISTORY, 2);
    options.history_pooling = TD_POOLING_ATTENTION;
    options.similarity = TD_SIMILARITY_COSINE;
    td_model *model;
    assert_ok(td_model_create(&model, context, dataset, NULL, &options, &err));
    uint32_t count = td_vocab_count(td_model_queries(model)), rows[QUERIES];
    float *all = calloc((size_t)count * DIM, sizeof *all), one[DIM];
    for (uint32_t i = 0; i < count; i++) rows[i] = i;
    assert_ok(td_model_encode_query_rows(model, rows, count, all, &err));
    for (uint32_t i = 0; i < count; i += 1 + i % 700) {
        assert_ok(td_model_encode_query_rows(model, &rows[i], 1, one, &err));
        assert_memory_equal(one, all + (size_t)i * DIM, sizeof one);
    }
    free(all);
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

/* --- files */

static void a_loaded_model_is_the_saved_one(void **state)
{
    (void)state;
    for (int tower = TD_QUERY_HISTORY; tower <= TD_QUERY_ID_HISTORY; tower++) {
        td_error err;
        td_model *loaded;
        td_context *context = test_context(1);
        const char *path = test_path("history.tandem"), *again = test_path("again.tandem");
        td_model_options options = options_of((td_query_tower)tower, 3);
        options.history_pooling = TD_POOLING_ATTENTION;
        td_model *model = make(context, times, &options);
        assert_ok(td_model_save(model, path, &err));
        assert_ok(td_model_load(&loaded, context, path, &err));
        assert_history(loaded, "ann", "rps");
        assert_ok(td_model_save(loaded, again, &err));
        size_t a_size, b_size;
        unsigned char *a = test_read(path, &a_size), *b = test_read(again, &b_size);
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
        free(a);
        free(b);
        td_model_free(model);
        td_model_free(loaded);
        td_context_free(context);
    }
}

static void every_flipped_byte_is_found(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    const char *path = test_path("flip.tandem");
    td_model_options options = options_of(TD_QUERY_HISTORY, 0);
    td_model *model = make(context, times, &options), *loaded;
    assert_ok(td_model_save(model, path, &err));
    size_t size;
    unsigned char *bytes = test_read(path, &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x20;
        assert_true(td_model_load(&loaded, context, test_file("flipped", bytes, size), &err) != TD_OK);
        bytes[i] ^= 0x20;
    }
    free(bytes);
    td_model_free(model);
    td_context_free(context);
}

/* The model as it is now, with right checksums and a wrong history, is refused when it is loaded. */
static void assert_refused(td_model *model, const char *part)
{
    td_error err;
    td_model *loaded;
    const char *path = test_path("broken.tandem");
    assert_fails(td_model_check(model, &err), TD_ERR_CORRUPT, part);
    assert_ok(td_model_save(model, path, &err));
    assert_fails(td_model_load(&loaded, model->context, path, &err), TD_ERR_CORRUPT, part);
}

static void every_broken_rule_is_named(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_model_options options = options_of(TD_QUERY_HISTORY, 4);
    td_model *model = make(context, times, &options);
    uint32_t *list = model->history, held = list[1];
    list[1] = position(model, "u"); /* of cid */
    assert_refused(model, "the history of query 0 has candidate 5, which it has not seen");
    list[1] = 77;
    assert_refused(model, "candidate 77");
    list[1] = held;
    model->options.history_length = 3;
    assert_refused(model, "history-length is 3");
    model->options.history_length = 0;
    model->history_offsets[1]--; /* the last of ann goes to bob */
    assert_refused(model, "has 3 candidates; it has seen 2");
    model->history_offsets[1]++;
    model->history_offsets[0] = 1;
    assert_refused(model, "histories do not start at 0");
    model->history_offsets[0] = 0;
    model->history_offsets[1] = 9;
    assert_refused(model, "of the histories ends before");
    td_model_free(model);
    td_context_free(context);
}

/* A model that says it has histories must have them. */
static void missing_histories_are_found(void **state)
{
    (void)state;
    td_error err;
    td_model *loaded;
    td_context *context = test_context(1);
    const char *path = test_path("none.tandem");
    td_model_options options = options_of(TD_QUERY_ID, 0);
    td_model *model = make(context, times, &options);
    model->options.query_tower = TD_QUERY_ID_HISTORY;
    assert_ok(td_model_save(model, path, &err));
    assert_fails(td_model_load(&loaded, context, path, &err), TD_ERR_CORRUPT, "history.offsets");
    td_model_free(model);
    td_context_free(context);
}

/* --- growth */

static void a_model_that_grows_has_longer_histories(void **state)
{
    (void)state;
    td_error err;
    const char *queries[] = {"ann", "dan", "ann", "ann"}, *candidates[] = {"v", "p", "r", "v"};
    const int64_t when[] = {1, 2, 7, 6};
    const td_interactions rows = {.rows = 4, .query_id = queries, .candidate_id = candidates,
                                  .timestamp = when};
    const char *expected[] = {"tpsvr", "vr", "psvr"};
    for (int i = 0; i < 3; i++) {
        td_context *context = test_context(1);
        td_dataset *more;
        td_model *extended;
        td_model_options options = options_of(TD_QUERY_ID_HISTORY, i == 0 ? 0 : 2 * (uint32_t)i);
        td_model *model = make(context, times, &options);
        assert_ok(td_dataset_build(&more, context, &rows, &err));
        assert_ok(td_model_extend(&extended, model, more, NULL, &err));
        assert_ok(td_model_check(extended, &err));
        assert_history(extended, "ann", expected[i]);
        assert_history(extended, "dan", "p");
        assert_history(extended, "cid", "u");
        td_model_free(extended);
        td_model_free(model);
        td_dataset_free(more);
        td_context_free(context);
    }
}

/* --- other trainers, memory */

static void ials_wants_vectors_of_the_queries_alone(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_model_options options = options_of(TD_QUERY_HISTORY, 0);
    td_model *model = make(context, times, &options);
    td_dataset *dataset = build(context, times);
    assert_fails(td_model_train_ials(model, dataset, NULL, NULL, NULL, NULL, &err), TD_ERR_ARGUMENT,
                 "query-tower id");
    td_dataset_free(dataset);
    td_model_free(model);
    td_context_free(context);
}

static td_status whole_life(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_dataset *dataset;
    td_model *model = NULL, *extended = NULL, *loaded = NULL;
    const uint32_t list[2] = {0, 1};
    const uint64_t offsets[2] = {0, 2};
    const td_histories one = {.count = 1, .offsets = offsets, .candidates = list};
    float out[DIM];
    tiny_shape shape = {.queries = 5, .candidates = 6, .groups = 2, .rows = 30, .seed = 3};
    td_model_options options = options_of(TD_QUERY_ID_HISTORY, 3);
    td_status status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status != TD_OK) return status;
    status = td_model_create(&model, context, dataset, NULL, &options, err);
    if (status == TD_OK) status = td_model_extend(&extended, model, dataset, NULL, err);
    if (status == TD_OK) status = td_model_save(extended, test_path("life.tandem"), err);
    if (status == TD_OK) status = td_model_load(&loaded, context, test_path("life.tandem"), err);
    if (status == TD_OK) status = td_model_encode_histories(loaded, &one, out, err);
    td_model_free(model);
    td_model_free(extended);
    td_model_free(loaded);
    td_dataset_free(dataset);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    test_every_allocation(whole_life, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_are_in_the_order_of_time_each_candidate_once),
        cmocka_unit_test(the_most_recent_stay_of_longer_ones),
        cmocka_unit_test(without_timestamps_the_seed_chooses),
        cmocka_unit_test(id_towers_have_no_history),
        cmocka_unit_test(a_list_says_all_there_is_to_say),
        cmocka_unit_test(strangers_have_the_vector_of_unknown_ids),
        cmocka_unit_test(lists_that_cannot_be_are_refused),
        cmocka_unit_test(many_queries_have_the_vectors_of_each),
        cmocka_unit_test(a_loaded_model_is_the_saved_one),
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(every_broken_rule_is_named),
        cmocka_unit_test(missing_histories_are_found),
        cmocka_unit_test(a_model_that_grows_has_longer_histories),
        cmocka_unit_test(ials_wants_vectors_of_the_queries_alone),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
