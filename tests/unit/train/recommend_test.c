/* recommend_test.c -- settings by the size of the data: allowed, of the kind they say, better than those
 * that know nothing. */
#include "support/tiny_data.h"

static void recommend(td_data_size size, td_model_options *model, td_train_options *train)
{
    td_error err;
    td_model_options_init(model);
    td_train_options_init(train);
    td_train_recommend(&size, model, train);
    assert_ok(td_options_check(td_model_option_table(), model, &err));
    assert_ok(td_options_check(td_train_option_table(), train, &err));
}

static void small_catalogues_are_scored_whole(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    recommend((td_data_size){100000, 610, 9724}, &model, &train);
    assert_int_equal(train.negatives.kind, TD_NEGATIVES_ALL);
    assert_int_equal(train.group, TD_GROUP_QUERIES);
    recommend((td_data_size){810128, 29858, 40981}, &model, &train);
    assert_int_equal(train.negatives.kind, TD_NEGATIVES_MIXED);
    assert_int_equal(train.batch_size, 256);
}

static void every_size_has_settings(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    for (uint64_t rows = 0; rows < UINT64_C(1) << 40; rows = rows * 7 + 1) {
        uint32_t ids = rows < 4000000000u ? (uint32_t)rows : 4000000000u;
        recommend((td_data_size){rows, ids, ids / 3}, &model, &train);
        recommend((td_data_size){rows, ids / 100, ids}, &model, &train);
    }
}

static void dense_data_get_a_higher_temperature(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options dense, sparse;
    recommend((td_data_size){1000000, 6040, 3706}, &model, &dense);
    recommend((td_data_size){1237259, 31668, 38048}, &model, &sparse);
    assert_true(dense.loss.temperature > sparse.loss.temperature);
}

/* What the caller chose and the recommendation does not speak of stays. */
static void other_options_stay(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    td_model_options_init(&model);
    td_train_options_init(&train);
    model.dim = 17;
    train.seed = 99;
    td_train_recommend(&(td_data_size){1000, 100, 100}, &model, &train);
    assert_int_equal(model.dim, 17);
    assert_int_equal(train.seed, 99);
}

static double ndcg_of(const td_dataset *kept, const td_dataset *held_out, bool recommended,
                      td_context *context)
{
    td_error err;
    td_model *trained;
    td_model_options model;
    td_train_options train;
    td_metrics metrics;
    td_model_options_init(&model);
    td_train_options_init(&train);
    train.epochs = 20;
    if (recommended) {
        td_train_recommend(&(td_data_size){td_dataset_rows(kept).count, 100, 200}, &model, &train);
        train.epochs = 20;
    }
    assert_ok(td_model_create(&trained, context, kept, NULL, &model, &err));
    assert_ok(td_model_train(trained, kept, NULL, &train, NULL, NULL, &err));
    assert_ok(td_evaluate_model(&metrics, trained, kept, held_out, NULL, NULL, &err));
    td_model_free(trained);
    return metrics.at[0].ndcg;
}

static void they_do_better_than_settings_that_know_nothing(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    tiny_shape shape = {.queries = 100, .candidates = 200, .groups = 5, .rows = 3000, .seed = 8};
    td_dataset *whole = tiny_dataset(context, &shape), *kept, *held_out;
    tiny_split(&kept, &held_out, whole, 0.2);
    double plain = ndcg_of(kept, held_out, false, context);
    assert_true(ndcg_of(kept, held_out, true, context) > plain);
    td_dataset_free(whole);
    td_dataset_free(kept);
    td_dataset_free(held_out);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_catalogues_are_scored_whole),
        cmocka_unit_test(every_size_has_settings),
        cmocka_unit_test(dense_data_get_a_higher_temperature),
        cmocka_unit_test(other_options_stay),
        cmocka_unit_test(they_do_better_than_settings_that_know_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
