/* baseline_quality_test.c -- popularity, item-kNN, EASE and iALS on real data: the levels that they are
 * known to reach, and their order. The settings of item-kNN, EASE and iALS were chosen on a tenth of
 * the training part, never on the test part. */
#include "support/test.h"

/* One data set, cut 80/20 at random, and what was measured on it. */
typedef struct trial {
    td_context *context;
    td_dataset *train, *test;
    uint32_t k;
} trial;

typedef struct quality {
    double recall, ndcg;
} quality;

static trial make_trial(const char *path, uint32_t k)
{
    td_error err;
    trial t = {.context = test_context(0), .k = k};
    td_dataset *all;
    td_split_options split;
    td_split_options_init(&split);
    split.kind = TD_SPLIT_RANDOM;
    split.fraction = 0.2;
    assert_ok(td_dataset_read(&all, t.context, &path, 1, NULL, NULL, NULL, &err));
    assert_ok(td_dataset_split(&t.train, &t.test, all, &split, &err));
    td_dataset_free(all);
    return t;
}

static void clear_trial(trial *t)
{
    td_dataset_free(t->train);
    td_dataset_free(t->test);
    td_context_free(t->context);
}

static td_evaluate_options top(uint32_t k)
{
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    options.k = (td_u32_list){.count = 1, .values = {k}};
    options.exclude_seen = true;
    return options;
}

static quality report(const char *name, const td_metrics *metrics)
{
    quality q = {metrics->at[0].recall, metrics->at[0].ndcg};
    print_message("%-10s recall@%u %.4f  NDCG@%u %.4f\n", name, metrics->at[0].k, q.recall,
                  metrics->at[0].k, q.ndcg);
    return q;
}

static quality measure_baseline(const trial *t, const char *name,
                                const td_baseline_options *options)
{
    td_error err;
    td_metrics metrics;
    td_baseline *baseline;
    td_evaluate_options evaluate = top(t->k);
    assert_ok(td_baseline_build(&baseline, t->context, t->train, options, NULL, &err));
    td_scorer scorer = td_baseline_scorer(baseline);
    assert_ok(td_evaluate(&metrics, t->context, &scorer, t->train, t->test, &evaluate, NULL, &err));
    td_baseline_free(baseline);
    return report(name, &metrics);
}

static quality measure_popularity(const trial *t)
{
    return measure_baseline(t, "popularity", NULL);
}

static quality measure_knn(const trial *t, uint32_t neighbors, float shrinkage)
{
    td_baseline_options options;
    td_baseline_options_init(&options);
    options.kind = TD_BASELINE_ITEM_KNN;
    options.neighbors = neighbors;
    options.shrinkage = shrinkage;
    return measure_baseline(t, "item-kNN", &options);
}

static quality measure_ease(const trial *t, float lambda)
{
    td_baseline_options options;
    td_baseline_options_init(&options);
    options.kind = TD_BASELINE_EASE;
    options.regularization = lambda;
    return measure_baseline(t, "EASE", &options);
}

static quality measure_ials(const trial *t, float alpha, float lambda, uint32_t epochs)
{
    td_error err;
    td_metrics metrics;
    td_model *model;
    td_model_options shape;
    td_ials_options options;
    td_evaluate_options evaluate = top(t->k);
    td_model_options_init(&shape);
    td_ials_options_init(&options);
    shape.dim = 64;
    options.unobserved_weight = alpha;
    options.regularization = lambda;
    options.epochs = epochs;
    assert_ok(td_model_create(&model, t->context, t->train, NULL, &shape, &err));
    assert_ok(td_model_train_ials(model, t->train, NULL, &options, NULL, NULL, &err));
    assert_ok(td_evaluate_model(&metrics, model, t->train, t->test, &evaluate, NULL, &err));
    td_model_free(model);
    return report("iALS", &metrics);
}

/* With no options at all. */
static void defaults_of_ials_are_near_the_best(void **state)
{
    (void)state;
    trial t = make_trial(test_bundled("ratings.csv"), 10);
    td_ials_options defaults;
    td_ials_options_init(&defaults);
    quality chosen = measure_ials(&t, defaults.unobserved_weight, defaults.regularization, 8);
    assert_true(chosen.ndcg > 0.31 && chosen.recall > 0.155);
    clear_trial(&t);
}

/* 9724 candidates: EASE would take minutes under a sanitizer, so it is for the smaller sets. */
static void on_the_bundled_data_all_are_far_above_popularity(void **state)
{
    (void)state;
    trial t = make_trial(test_bundled("ratings.csv"), 10);
    quality popularity = measure_popularity(&t);
    quality knn = measure_knn(&t, 100, 0);
    quality ials = measure_ials(&t, 0.03f, 0.03f, 8);
    assert_close(popularity.ndcg, 0.1924, 0, 0.005);
    assert_true(knn.ndcg > 0.32 && knn.recall > 0.15);
    assert_true(ials.ndcg > 0.315 && ials.recall > 0.155);
    clear_trial(&t);
}

/* The list of td_evaluate_popularity is the same baseline. */
static void popularity_is_that_of_the_evaluation(void **state)
{
    (void)state;
    td_error err;
    td_metrics metrics;
    trial t = make_trial(test_bundled("ratings.csv"), 20);
    td_evaluate_options evaluate = top(t.k);
    quality ours = measure_popularity(&t);
    assert_ok(td_evaluate_popularity(&metrics, t.context, t.train, t.test, &evaluate, NULL, &err));
    assert_close(ours.recall, metrics.at[0].recall, 0, 1e-12);
    assert_close(ours.ndcg, metrics.at[0].ndcg, 0, 1e-12);
    clear_trial(&t);
}

static void on_movielens_100k_ease_leads(void **state)
{
    (void)state;
    TEST_DATA(path, "ml-100k/u.data");
    trial t = make_trial(path, 20);
    quality popularity = measure_popularity(&t);
    quality knn = measure_knn(&t, 100, 100);
    quality ease = measure_ease(&t, 600);
    quality ials = measure_ials(&t, 0.1f, 0.03f, 8);
    assert_true(popularity.ndcg < 0.22);
    assert_true(knn.recall > 0.315 && knn.ndcg > 0.38);
    assert_true(ease.recall > 0.35 && ease.ndcg > 0.428);
    assert_true(ials.recall > 0.345 && ials.ndcg > 0.418);
    clear_trial(&t);
}

static void on_movielens_1m_ease_and_ials_reach_their_known_level(void **state)
{
    (void)state;
    TEST_DATA(path, "ml-1m/ratings_chrono.tsv.gz");
    trial t = make_trial(path, 20);
    quality popularity = measure_popularity(&t);
    quality knn = measure_knn(&t, 200, 50);
    quality ease = measure_ease(&t, 1000);
    quality ials = measure_ials(&t, 0.2f, 0.01f, 8);
    assert_true(popularity.ndcg < 0.2);
    assert_true(knn.recall > 0.22 && knn.ndcg > 0.345);
    assert_true(ease.recall > 0.27 && ease.ndcg > 0.41);
    assert_true(ials.recall > 0.265 && ials.ndcg > 0.4);
    clear_trial(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_the_bundled_data_all_are_far_above_popularity),
        cmocka_unit_test(defaults_of_ials_are_near_the_best),
        cmocka_unit_test(popularity_is_that_of_the_evaluation),
        cmocka_unit_test(on_movielens_100k_ease_leads),
        cmocka_unit_test(on_movielens_1m_ease_and_ials_reach_their_known_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
