/* evaluate_test.c -- metrics are those worked out by hand, and by sorting everything. */
#include "support/option_table.h"
#include "support/rankings.h"

#include <math.h>

/* --- scorers */

typedef struct table_scorer {
    ranking_score *score;
    uint32_t candidates;
    uint64_t seed;
} table_scorer;

static td_status score_rows(void *user, const uint32_t *queries, uint32_t count, float *scores,
                            td_error *err)
{
    const table_scorer *table = user;
    (void)err;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t c = 0; c < table->candidates; c++) {
            scores[(size_t)i * table->candidates + c] = table->score(user, queries[i], c);
        }
    }
    return TD_OK;
}

static uint64_t hash(uint64_t seed, uint32_t query, uint32_t candidate)
{
    uint64_t x = seed + query * UINT64_C(0x9E3779B97F4A7C15)
                 + candidate * UINT64_C(0xD1B54A32D192ED03);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    return x ^ (x >> 31);
}

/* Few different values, so that ties are many; every tenth candidate cannot be ranked. */
static float tied_score(void *user, uint32_t query, uint32_t candidate)
{
    const table_scorer *table = user;
    if (candidate % 10 == 9) return -INFINITY;
    return (float)(hash(table->seed, query, candidate) % 12) - 5.0f;
}

static float smooth_score(void *user, uint32_t query, uint32_t candidate)
{
    const table_scorer *table = user;
    return (float)(hash(table->seed, query, candidate) % 1000003) * 1e-3f;
}

/* The lower position first, for all. */
static float falling_score(void *user, uint32_t query, uint32_t candidate)
{
    (void)user;
    (void)query;
    return -(float)candidate;
}

static const td_evaluate_options all_k = {
    .k = {.count = 7, .values = {5, 1, 2, 10, 100, 40, 1000000}}};

static td_metrics evaluate(td_context *context, const ranking_data *data, table_scorer *table,
                           const td_evaluate_options *options)
{
    td_error err = {0};
    td_metrics metrics;
    table->candidates = td_vocab_count(td_dataset_candidates(data->train));
    td_scorer scorer = {.score = score_rows, .user = table};
    assert_ok(
        td_evaluate(&metrics, context, &scorer, data->train, data->test, options, NULL, &err));
    return metrics;
}

/* --- by hand */

/* Query 0 has seen c0 and is tested on c1, c3: its ranking is c1 c2 c3 c4, hits at ranks 0 and 2.
 * Query 1 has seen nothing and is tested on c4, twice: its ranking is c0 .. c4, the hit at rank 4.
 */
static void metrics_of_two_queries_by_hand(void **state)
{
    (void)state;
    const ranking_row train[] = {{0, 0}, {2, 1}, {2, 0}}, test[] = {{0, 3}, {0, 1}, {1, 4}, {1, 4}};
    td_context *context = test_context(1);
    ranking_data data = ranking_data_make(context, 3, 5, train, 3, test, 4);
    td_evaluate_options options = {.k = {.count = 2, .values = {1, 3}}, .exclude_seen = true};
    table_scorer table = {.score = falling_score};
    td_metrics m = evaluate(context, &data, &table, &options);
    assert_int_equal(m.queries, 2);
    assert_int_equal(m.rows, 4);
    assert_int_equal(m.rows_unknown, 0);
    assert_int_equal(m.count, 2);
    /* k = 1: query 0 hits, query 1 does not */
    assert_close(m.at[0].accuracy, 1.0 / 4, 1e-15, 0);
    assert_close(m.at[0].recall, (1.0 / 2 + 0) / 2, 1e-15, 0);
    assert_close(m.at[0].precision, (1.0 + 0) / 2, 1e-15, 0);
    assert_close(m.at[0].hit_rate, 1.0 / 2, 1e-15, 0);
    assert_close(m.at[0].ndcg, 1.0 / 2, 1e-15, 0);
    assert_close(m.at[0].map, 1.0 / 2, 1e-15, 0);
    assert_close(m.at[0].mrr, 1.0 / 2, 1e-15, 0);
    assert_close(m.at[0].coverage, 2.0 / 5, 1e-15, 0); /* c1, c0 */
    assert_close(m.at[0].popularity, (1.0 + 2.0) / 2, 1e-15, 0);
    assert_close(m.at[0].overlap, 0, 0, 0);
    /* k = 3: query 0 hits at 0 and 2, query 1 not */
    assert_close(m.at[1].accuracy, 2.0 / 4, 1e-15, 0);
    assert_close(m.at[1].recall, 1.0 / 2, 1e-15, 0);
    assert_close(m.at[1].precision, (2.0 / 3) / 2, 1e-15, 0);
    assert_close(m.at[1].hit_rate, 1.0 / 2, 1e-15, 0);
    assert_close(m.at[1].ndcg, (1 + 1 / log2(4)) / (1 + 1 / log2(3)) / 2, 1e-15, 0);
    assert_close(m.at[1].map, ((1.0 + 2.0 / 3) / 2) / 2, 1e-15, 0);
    assert_close(m.at[1].mrr, 1.0 / 2, 1e-15, 0);
    assert_close(m.at[1].coverage, 4.0 / 5, 1e-15, 0);
    assert_close(m.at[1].overlap, 2.0 / 3, 1e-15, 0); /* c1 c2 c3 and c0 c1 c2 */
    ranking_data_free(&data);
    td_context_free(context);
}

static float equal_score(void *user, uint32_t query, uint32_t candidate)
{
    (void)user;
    (void)query;
    (void)candidate;
    return 1.5f;
}

/* Three queries that get the same list overlap wholly; one list has nothing to overlap with. */
static void equal_lists_overlap_wholly_and_one_list_not_at_all(void **state)
{
    (void)state;
    const ranking_row train[] = {{3, 0}}, test[] = {{0, 3}, {1, 1}, {2, 4}};
    td_context *context = test_context(1);
    td_evaluate_options options = {.k = {.count = 1, .values = {3}}, .exclude_seen = true};
    for (uint64_t queries = 1; queries <= 3; queries += 2) {
        ranking_data data = ranking_data_make(context, 4, 5, train, 1, test, queries);
        table_scorer table = {.score = falling_score};
        td_metrics m = evaluate(context, &data, &table, &options);
        assert_close(m.at[0].overlap, queries == 1 ? 0 : 1, 0, 0);
        ranking_data_free(&data);
    }
    td_context_free(context);
}

/* All scores equal: accuracy counts every row as a hit, the ranking goes by position. */
static void ties_count_for_accuracy_and_stand_by_position(void **state)
{
    (void)state;
    const ranking_row train[] = {{0, 1}}, test[] = {{0, 0}, {0, 3}};
    td_context *context = test_context(1);
    ranking_data data = ranking_data_make(context, 1, 4, train, 1, test, 2);
    td_evaluate_options options = {.k = {.count = 1, .values = {1}}};
    table_scorer table = {.score = equal_score};
    td_metrics m = evaluate(context, &data, &table, &options);
    assert_close(m.at[0].accuracy, 1.0, 0, 0);
    assert_close(m.at[0].recall, 0.5, 0, 0);
    ranking_data_free(&data);
    td_context_free(context);
}

/* --- against the plain way */

static void agrees_with_sorting_everything(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    ranking_score *const scores[] = {tied_score, smooth_score, falling_score};
    for (uint64_t seed = 0; seed < 6; seed++) {
        ranking_data data = ranking_data_random(context, 20, 60, 150, 80, seed);
        for (int s = 0; s < 3; s++) {
            for (int exclude = 0; exclude < 2; exclude++) {
                td_evaluate_options options = all_k;
                table_scorer table = {.score = scores[s], .seed = seed};
                options.exclude_seen = exclude;
                td_metrics found = evaluate(context, &data, &table, &options);
                td_metrics expected = ranking_metrics(&data, scores[s], &table, 60, &options);
                assert_metrics_equal(&found, &expected);
            }
        }
        ranking_data_free(&data);
    }
    td_context_free(context);
}

static float popularity_score(void *user, uint32_t query, uint32_t candidate)
{
    const uint64_t *counts = user;
    (void)query;
    return counts[candidate] == 0 ? -INFINITY : (float)counts[candidate];
}

static void popularity_is_the_scorer_of_counts(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    for (int exclude = 0; exclude < 2; exclude++) {
        ranking_data data = ranking_data_random(context, 25, 90, 200, 70, 4);
        uint64_t counts[90];
        td_metrics found;
        td_evaluate_options options = all_k;
        options.exclude_seen = exclude;
        td_dataset_candidate_counts(data.train, counts);
        assert_ok(
            td_evaluate_popularity(&found, context, data.train, data.test, &options, NULL, &err));
        td_metrics expected = ranking_metrics(&data, popularity_score, counts, 90, &options);
        assert_true(expected.rows_unknown > 0);
        assert_metrics_equal(&found, &expected);
        ranking_data_free(&data);
    }
    td_context_free(context);
}

static void same_bits_for_any_threads(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    td_metrics first = {0}, popular = {0};
    for (int t = 0; t < 3; t++) {
        td_error err = {0};
        td_context *context = test_context(threads[t]);
        ranking_data data = ranking_data_random(context, 3000, 700, 20000, 9000, 8);
        table_scorer table = {.score = smooth_score, .seed = 3};
        td_metrics found = evaluate(context, &data, &table, NULL), list;
        assert_ok(td_evaluate_popularity(&list, context, data.train, data.test, NULL, NULL, &err));
        found.seconds = list.seconds = 0;
        if (t == 0) first = found;
        if (t == 0) popular = list;
        assert_memory_equal(&found, &first, sizeof found);
        assert_memory_equal(&list, &popular, sizeof list);
        assert_true(found.queries > 2 * 1024);
        ranking_data_free(&data);
        td_context_free(context);
    }
}

/* --- odd input */

static void nothing_to_test_gives_zeros(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    const ranking_row train[] = {{0, 0}};
    ranking_data data = ranking_data_make(context, 2, 3, train, 1, NULL, 0);
    table_scorer table = {.score = smooth_score};
    td_metrics found = evaluate(context, &data, &table, NULL);
    assert_int_equal(found.queries, 0);
    assert_int_equal(found.count, 5);
    for (uint32_t j = 0; j < found.count; j++) {
        td_metrics_at zero = {.k = found.at[j].k};
        assert_memory_equal(&found.at[j], &zero, sizeof zero);
    }
    assert_ok(td_evaluate_popularity(&found, context, data.train, data.test, NULL, NULL, &err));
    assert_int_equal(found.queries, 0);
    ranking_data_free(&data);
    td_context_free(context);
}

static float nan_for_one(void *user, uint32_t query, uint32_t candidate)
{
    (void)user;
    return query == 700 && candidate == 5 ? NAN : 0.0f;
}

static td_status always_fails(void *user, const uint32_t *queries, uint32_t count, float *scores,
                              td_error *err)
{
    (void)user;
    (void)count;
    (void)scores;
    err->status = TD_ERR_STATE;
    snprintf(err->message, sizeof err->message, "query %u first", queries[0]);
    return TD_ERR_STATE;
}

static void failures_of_the_scorer_come_through(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    ranking_data data = ranking_data_random(context, 1000, 30, 5000, 5000, 1);
    table_scorer table = {.score = nan_for_one, .candidates = 30};
    td_scorer scorer = {.score = score_rows, .user = &table}, failing = {.score = always_fails};
    td_metrics metrics;
    assert_fails(td_evaluate(&metrics, context, &scorer, data.train, data.test, NULL, NULL, &err),
                 TD_ERR_NUMERIC, "query 700 for candidate 5");
    for (int i = 0; i < 10; i++) { /* the first block's, whoever is faster */
        assert_fails(
            td_evaluate(&metrics, context, &failing, data.train, data.test, NULL, NULL, &err),
            TD_ERR_STATE, "query 0 first");
    }
    ranking_data_free(&data);
    td_context_free(context);
}

static void refuses_what_does_not_fit_together(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_metrics metrics;
    ranking_data one = ranking_data_random(context, 5, 5, 9, 9, 1);
    ranking_data two = ranking_data_random(context, 5, 5, 9, 9, 1);
    td_evaluate_options options = {.k = {.count = 0}};
    assert_fails(td_evaluate_popularity(&metrics, context, one.train, two.test, NULL, NULL, &err),
                 TD_ERR_ARGUMENT, "td_dataset_align");
    assert_fails(
        td_evaluate_popularity(&metrics, context, one.train, one.test, &options, NULL, &err),
        TD_ERR_ARGUMENT, "k");
    options.k = (td_u32_list){.count = 1, .values = {0}};
    assert_fails(
        td_evaluate_popularity(&metrics, context, one.train, one.test, &options, NULL, &err),
        TD_ERR_ARGUMENT, "k");
    ranking_data_free(&one);
    ranking_data_free(&two);
    td_context_free(context);
}

static bool stop_at_once(void *user, const td_progress *progress)
{
    uint64_t *seen = user;
    assert_string_equal(progress->stage, "evaluate");
    *seen = progress->done;
    return false;
}

static bool go_on(void *user, const td_progress *progress)
{
    uint64_t *seen = user;
    assert_true(progress->done > *seen && progress->done <= progress->total);
    *seen = progress->done;
    return true;
}

static void the_hook_sees_the_end_and_can_stop(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_metrics metrics;
    uint64_t seen = 0;
    ranking_data data = ranking_data_random(context, 50, 30, 300, 200, 1);
    td_progress_hook hook = {.report = go_on, .user = &seen};
    assert_ok(td_evaluate_popularity(&metrics, context, data.train, data.test, NULL, &hook, &err));
    assert_int_equal(seen, metrics.queries);
    hook.report = stop_at_once;
    assert_fails(
        td_evaluate_popularity(&metrics, context, data.train, data.test, NULL, &hook, &err),
        TD_ERR_CANCELLED, "stopped");
    ranking_data_free(&data);
    td_context_free(context);
}

static td_status evaluate_all(void *state, td_context *context, td_error *err)
{
    static const char *const query[] = {"a", "a", "b", "b", "a", "b"};
    static const char *const candidate[] = {"x", "y", "z", "x", "z", "y"};
    td_interactions rows = {.rows = 6, .query_id = query, .candidate_id = candidate};
    td_split_options split = {.kind = TD_SPLIT_LAST, .count = 1};
    td_dataset *all = NULL, *train = NULL, *test = NULL;
    td_metrics metrics;
    td_scorer scorer = {.score = score_rows, .user = state};
    td_status status = td_dataset_build(&all, context, &rows, err);
    if (status == TD_OK) status = td_dataset_split(&train, &test, all, &split, err);
    if (status == TD_OK)
        status = td_evaluate(&metrics, context, &scorer, train, test, NULL, NULL, err);
    if (status == TD_OK)
        status = td_evaluate_popularity(&metrics, context, train, test, NULL, NULL, err);
    td_dataset_free(all);
    td_dataset_free(train);
    td_dataset_free(test);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    table_scorer table = {.score = falling_score, .candidates = 3};
    test_every_allocation(evaluate_all, &table);
}

static void the_option_table_is_sound(void **state)
{
    (void)state;
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    assert_int_equal(options.k.count, 5);
    assert_int_equal(options.k.values[4], 100);
    assert_true(options.exclude_seen);
    test_option_table(td_evaluate_option_table(), td_evaluate_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_of_two_queries_by_hand),
        cmocka_unit_test(equal_lists_overlap_wholly_and_one_list_not_at_all),
        cmocka_unit_test(ties_count_for_accuracy_and_stand_by_position),
        cmocka_unit_test(agrees_with_sorting_everything),
        cmocka_unit_test(popularity_is_the_scorer_of_counts),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(nothing_to_test_gives_zeros),
        cmocka_unit_test(failures_of_the_scorer_come_through),
        cmocka_unit_test(refuses_what_does_not_fit_together),
        cmocka_unit_test(the_hook_sees_the_end_and_can_stop),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(the_option_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
