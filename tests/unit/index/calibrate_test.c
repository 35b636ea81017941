/* calibrate_test.c -- a target recall is kept by queries that calibration has not seen. */
#include "support/clusters.h"

#include "index/tree.h"

enum { ITEMS = 20000, DIM = 12, LEARN = 400, MEASURED = 400, KS = 3 };

typedef struct fixture {
    td_context *context;
    td_index *tree;
    float *items, *users;
    td_vectors learn, measured;
} fixture;

static fixture make_store(td_store store)
{
    td_error err = {0};
    td_index_options options;
    fixture f = {.context = test_context(2), .items = test_clusters(1, ITEMS, DIM, 150),
                 .users = test_clusters(2, LEARN + MEASURED, DIM, 150)};
    td_vectors items = {.data = f.items, .rows = ITEMS, .dim = DIM};
    f.learn = (td_vectors){.data = f.users, .rows = LEARN, .dim = DIM};
    f.measured = (td_vectors){.data = f.users + LEARN * DIM, .rows = MEASURED, .dim = DIM};
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    options.store = store;
    assert_ok(td_index_build_with(&f.tree, f.context, &items, NULL, &options, NULL, &err));
    return f;
}

static fixture make(void)
{
    return make_store(TD_STORE_FLOAT32);
}

static void end(fixture *f)
{
    td_index_free(f->tree);
    td_context_free(f->context);
    free(f->items);
    free(f->users);
}

static double recall_of(const fixture *f, uint32_t k, float target)
{
    td_hit *found = malloc(MEASURED * k * sizeof *found), *right = malloc(MEASURED * k * sizeof *right);
    uint32_t counts[MEASURED];
    td_search search = {.k = k, .effort = {.target_recall = target}};
    test_search(f->tree, &f->measured, &search, found, counts);
    search.effort.target_recall = 1.0f;
    test_search(f->tree, &f->measured, &search, right, counts);
    double common = 0.0;
    for (uint32_t q = 0; q < MEASURED; q++) common += test_common(found + q * k, right + q * k, k);
    free(found);
    free(right);
    return common / (MEASURED * k);
}

/* Two samples of 400 users differ by about 0.015 at recall 0.9 (k 1) and less above. */
static void targets_are_kept(void **state)
{
    (void)state;
    fixture f = make();
    td_error err = {0};
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    assert_ok(td_index_check(f.tree, &err));
    const uint32_t ks[] = {1, 5, 10, 40, 100, 200};
    const float targets[] = {0.8f, 0.9f, 0.94f, 0.97f, 0.99f};
    for (int i = 0; i < 6; i++) {
        for (int t = 0; t < 5; t++) {
            double recall = recall_of(&f, ks[i], targets[t]), slack = 0.4 * (1.0 - (double)targets[t]);
            assert_true(recall >= (double)targets[t] - slack - 0.003);
            if (ks[i] >= 10) assert_true(recall < (double)targets[t] + slack + 0.06);
        }
    }
    end(&f);
}

static void beyond_the_table_the_search_is_exact(void **state)
{
    (void)state;
    fixture f = make();
    td_error err = {0};
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    assert_true(recall_of(&f, 10, 0.9999f) == 1.0);
    end(&f);
}

static void higher_targets_take_more(void **state)
{
    (void)state;
    fixture f = make();
    td_error err = {0};
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    const td__tree *tree = f.tree->tree;
    assert_int_equal(tree->calibration_queries, LEARN);
    assert_true(tree->calibrated_count % KS == 0);
    uint32_t each = tree->calibrated_count / KS;
    for (uint32_t i = 0; i < tree->calibrated_count; i++) {
        const td__calibrated *row = &tree->calibrated[i];
        if (row->leaves == 0.0f) continue;
        assert_true(row->leaves <= (float)tree->centers.count && row->candidates >= row->k);
        if (i % each == 0) continue;
        assert_true(row->leaves * row->candidates >= row[-1].leaves * row[-1].candidates);
    }
    end(&f);
}

static void queries_of_several_vectors_are_learned_from(void **state)
{
    (void)state;
    fixture f = make();
    td_error err = {0};
    f.learn.rows = LEARN / 2;
    f.learn.heads = 2;
    f.measured.rows = MEASURED / 2;
    f.measured.heads = 2;
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    td_search search = {.k = 10, .effort = {.target_recall = 0.9f}}, exact = search;
    exact.effort.target_recall = 1.0f;
    static td_hit found[MEASURED / 2 * 10], right[MEASURED / 2 * 10];
    uint32_t counts[MEASURED / 2], common = 0;
    test_search(f.tree, &f.measured, &search, found, counts);
    test_search(f.tree, &f.measured, &exact, right, counts);
    for (int q = 0; q < MEASURED / 2; q++) common += test_common(found + q * 10, right + q * 10, 10);
    assert_in_range(common, (uint64_t)(0.86 * MEASURED / 2 * 10), MEASURED / 2 * 10);
    end(&f);
}

/* Of the best by items as they were before rounding. */
static double recall_before_rounding(const fixture *f, uint32_t k, float target)
{
    td_error err = {0};
    td_index *exact;
    td_vectors items = {.data = f->items, .rows = ITEMS, .dim = DIM};
    td_hit *found = malloc(MEASURED * k * sizeof *found), *right = malloc(MEASURED * k * sizeof *right);
    uint32_t counts[MEASURED];
    td_search search = {.k = k, .effort = {.target_recall = target}};
    double common = 0.0;
    assert_ok(td_index_build(&exact, f->context, &items, NULL, &err));
    test_search(f->tree, &f->measured, &search, found, counts);
    test_search(exact, &f->measured, &search, right, counts);
    for (uint32_t q = 0; q < MEASURED; q++) common += test_common(found + q * k, right + q * k, k);
    free(found);
    free(right);
    td_index_free(exact);
    return common / (MEASURED * k);
}

static void rounded_items_keep_targets_of_what_they_were(void **state)
{
    (void)state;
    fixture f = make_store(TD_STORE_INT8);
    td_error err = {0};
    td_index_info info;
    td_index_describe(f.tree, &info);
    assert_true(info.recall_most == 1.0f);
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    assert_ok(td_index_check(f.tree, &err));
    td_index_describe(f.tree, &info);
    assert_true(info.recall_most > 0.9f && info.recall_most < 0.99f);
    const uint32_t ks[] = {10, 100};
    const float targets[] = {0.7f, 0.8f, 0.9f};
    for (int i = 0; i < 2; i++) {
        for (int t = 0; t < 3; t++) {
            double recall = recall_before_rounding(&f, ks[i], targets[t]);
            assert_true(recall > (double)targets[t] - 0.02 && recall < (double)targets[t] + 0.05);
        }
    }
    end(&f);
}

/* All that is out of reach gets what comes near to the most there is, at far less than the cost of all. */
static void targets_out_of_reach_cost_no_more_than_the_last(void **state)
{
    (void)state;
    fixture f = make_store(TD_STORE_INT8);
    td_error err = {0};
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    const td__tree *tree = f.tree->tree;
    const td__calibrated *last = &tree->calibrated[tree->calibrated_count - 1];
    assert_true(last->target == 1.0f && last->k == 100.0f && last[-1].k == 100.0f);
    assert_true(last->leaves > 0.0f && last->leaves == last[-1].leaves);
    assert_true(last->candidates == last[-1].candidates && last->reach == last[-1].reach);
    double most = recall_before_rounding(&f, 100, 1.0f), near = recall_before_rounding(&f, 100, 0.999f);
    assert_true(most < 0.995 && near <= most && near > most - 0.01);
    end(&f);
}

static void a_second_calibration_replaces_the_first(void **state)
{
    (void)state;
    fixture f = make();
    td_error err = {0};
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    uint32_t rows = f.tree->tree->calibrated_count;
    f.learn.rows = 100;
    assert_ok(td_index_calibrate(f.tree, &f.learn, NULL, &err));
    assert_int_equal(f.tree->tree->calibrated_count, rows);
    assert_int_equal(f.tree->tree->calibration_queries, 100);
    end(&f);
}

static bool stop_soon(void *user, const td_progress *progress)
{
    uint32_t *calls = user;
    assert_string_equal(progress->stage, "calibrate");
    return ++*calls < 3;
}

static void stops_and_refuses(void **state)
{
    (void)state;
    fixture f = make();
    td_error err = {0};
    uint32_t calls = 0;
    td_progress_hook hook = {stop_soon, &calls};
    assert_fails(td_index_calibrate(f.tree, &f.learn, &hook, &err), TD_ERR_CANCELLED, "stopped");
    assert_int_equal(f.tree->tree->calibration_queries, 0);
    f.learn.rows = 0;
    assert_fails(td_index_calibrate(f.tree, &f.learn, NULL, &err), TD_ERR_ARGUMENT, "no queries");
    f.learn = (td_vectors){.data = f.users, .rows = 10, .dim = DIM - 1};
    assert_fails(td_index_calibrate(f.tree, &f.learn, NULL, &err), TD_ERR_ARGUMENT, "dimensions");
    end(&f);
}

static void an_exact_index_has_nothing_to_learn(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    float *rows = test_clusters(1, 100, DIM, 5);
    td_vectors items = {.data = rows, .rows = 100, .dim = DIM};
    td_index *index;
    assert_ok(td_index_build(&index, context, &items, NULL, &err));
    assert_ok(td_index_calibrate(index, &items, NULL, &err));
    td_index_free(index);
    td_context_free(context);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_kept),
        cmocka_unit_test(beyond_the_table_the_search_is_exact),
        cmocka_unit_test(higher_targets_take_more),
        cmocka_unit_test(queries_of_several_vectors_are_learned_from),
        cmocka_unit_test(rounded_items_keep_targets_of_what_they_were),
        cmocka_unit_test(targets_out_of_reach_cost_no_more_than_the_last),
        cmocka_unit_test(a_second_calibration_replaces_the_first),
        cmocka_unit_test(stops_and_refuses),
        cmocka_unit_test(an_exact_index_has_nothing_to_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
