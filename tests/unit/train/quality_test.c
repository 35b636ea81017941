/* quality_test.c -- the recommended defaults on the bundled MovieLens data: far above popularity. */
#include "support/test.h"

static td_evaluate_options top_10(void)
{
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    options.k = (td_u32_list){.count = 1, .values = {10}};
    options.exclude_seen = true;
    return options;
}

static void defaults_beat_popularity_on_the_bundled_data(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(0);
    const char *path = test_bundled("ratings.csv");
    td_dataset *all, *train, *test;
    td_split_options split;
    td_split_options_init(&split);
    split.kind = TD_SPLIT_RANDOM;
    assert_ok(td_dataset_read(&all, context, &path, 1, NULL, NULL, NULL, &err));
    assert_ok(td_dataset_split(&train, &test, all, &split, &err));
    td_model *model;
    td_train_options options;
    td_train_options_init(&options);
    options.epochs = 5; /* near the best for the defaults */
    assert_ok(td_model_create(&model, context, train, NULL, NULL, &err));
    assert_ok(td_model_train(model, train, NULL, &options, NULL, NULL, &err));
    td_metrics ours, popularity;
    td_evaluate_options evaluate = top_10();
    assert_ok(td_evaluate_model(&ours, model, train, test, &evaluate, NULL, &err));
    assert_ok(td_evaluate_popularity(&popularity, context, train, test, &evaluate, NULL, &err));
    print_message("NDCG@10 %.4f, popularity %.4f\n", ours.at[0].ndcg, popularity.at[0].ndcg);
    assert_true(ours.at[0].ndcg > 1.4 * popularity.at[0].ndcg);
    assert_true(ours.at[0].recall > 1.4 * popularity.at[0].recall);
    td_model_free(model);
    td_dataset_free(train);
    td_dataset_free(test);
    td_dataset_free(all);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_beat_popularity_on_the_bundled_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
