/* recommend_test.c -- settings by the size of the data: allowed, of the kind they say, better than
 * popularity. */
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

static void the_size_decides(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    recommend((td_data_size){100000, 610, 9724}, &model, &train);
    assert_int_equal(model.similarity, TD_SIMILARITY_DOT);
    assert_int_equal(train.negatives.kind, TD_NEGATIVES_BATCH);
    recommend((td_data_size){1000209, 6040, 3706}, &model, &train);
    assert_int_equal(train.negatives.kind, TD_NEGATIVES_ALL);
    assert_int_equal(train.batch_size, 128);
    assert_true(train.decoupled && train.partition_power > 1.0f);
    recommend((td_data_size){810128, 29858, 40981}, &model, &train);
    assert_int_equal(model.similarity, TD_SIMILARITY_COSINE);
    assert_int_equal(train.negatives.kind, TD_NEGATIVES_MIXED);
    assert_int_equal(train.group, TD_GROUP_QUERIES);
    assert_int_equal(train.optimizer.optimizer, TD_OPTIMIZER_ADAM_LAZY);
    assert_int_equal(train.optimizer.schedule, TD_SCHEDULE_CONSTANT);
    assert_true(train.optimizer.beta2 < 0.99f); /* a query has a step an epoch, and 80 in all */
    assert_true(train.optimizer.beta1 < 0.9f && train.average_decay > 0.0f);
    assert_true(train.decoupled && train.partition_power > 1.0f && train.dropout == 0.0f);
}

/* What works with negatives of the batch alone gets them, on data of any size. */
static void other_negatives_are_not_for_everything(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        td_model_options model;
        td_train_options train;
        td_model_options_init(&model);
        td_train_options_init(&train);
        if (what == 0) model.heads = 2;
        if (what == 1) train.loss.hard_negatives = 5;
        if (what == 2) train.loss.label_smoothing = 0.1f;
        if (what == 3) train.sampling_correction = TD_SAMPLING_STREAMING;
        td_train_recommend(&(td_data_size){810128, 29858, 40981}, &model, &train);
        assert_int_equal(train.negatives.kind, TD_NEGATIVES_BATCH);
    }
}

/* Options that the caller has set and that leave no room for it keep a plain partition function. */
static void what_cannot_be_decoupled_is_not(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        td_model_options model;
        td_train_options train;
        td_model_options_init(&model);
        td_train_options_init(&train);
        if (what == 1) train.loss.symmetric = true;
        if (what == 2) train.kind = TD_LOSS_CCL;
        td_train_recommend(&(td_data_size){810128, 29858, 40981}, &model, &train);
        assert_int_equal(train.decoupled, what == 0);
        assert_int_equal(train.partition_power > 1.0f, what == 0);
        assert_int_equal(train.kind, TD_LOSS_SOFTMAX);
    }
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

/* Small data have pairs, all allowed, no two alike, and nothing else is set; what has no number sets
 * nothing. */
static void check_settings_of_ials(const td_data_size *size)
{
    td_error err;
    td_ials_options plain, one, other;
    td_model_options model, another;
    td_ials_options_init(&plain);
    td_model_options_init(&another);
    uint32_t count = td_ials_recommend(size, UINT32_MAX, &another, &plain);
    assert_true(count > 0);
    for (uint32_t n = 0; n <= count; n++) {
        td_ials_options_init(&one);
        td_model_options_init(&model);
        one.epochs = 7;
        model.dim = 17;
        model.seed = 99;
        assert_int_equal(td_ials_recommend(size, n, &model, &one), count);
        assert_ok(td_options_check(td_model_option_table(), &model, &err));
        assert_true((model.dim == 17) == (n == count));
        assert_int_equal(model.seed, 99);
        assert_ok(td_options_check(td_ials_option_table(), &one, &err));
        assert_int_equal(one.epochs, 7);
        assert_true((one.unobserved_weight == plain.unobserved_weight) == (n == count));
        for (uint32_t before = 0; before < n; before++) {
            td_ials_options_init(&other);
            td_ials_recommend(size, before, &another, &other);
            assert_true(one.unobserved_weight != other.unobserved_weight
                        || one.regularization != other.regularization
                        || model.dim != another.dim);
        }
    }
}

static void small_data_have_settings_of_ials(void **state)
{
    (void)state;
    check_settings_of_ials(&(td_data_size){100000, 610, 9724});
    check_settings_of_ials(&(td_data_size){1000209, 6040, 3706});
}

static void large_data_have_none(void **state)
{
    (void)state;
    td_model_options model = {.dim = 17};
    td_ials_options plain, same;
    td_ials_options_init(&plain);
    td_ials_options_init(&same);
    assert_int_equal(td_ials_recommend(&(td_data_size){810128, 29858, 40981}, 0, &model, &same), 0);
    assert_int_equal(model.dim, 17);
    assert_true(plain.unobserved_weight == same.unobserved_weight);
    assert_true(plain.regularization == same.regularization);
}

/* All kinds of settings beat the list of the most popular. */
static void they_beat_popularity(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    tiny_shape shape = {.queries = 100, .candidates = 200, .groups = 5, .rows = 3000, .seed = 8};
    td_dataset *whole = tiny_dataset(context, &shape), *kept, *held_out;
    td_metrics popular;
    tiny_split(&kept, &held_out, whole, 0.2);
    assert_ok(td_evaluate_popularity(&popular, context, kept, held_out, NULL, NULL, &err));
    const td_data_size sizes[] = {{2400, 100, 200}, {24000, 100, 200}, {2400, 100000, 100000}};
    for (uint32_t i = 0; i < 3; i++) {
        td_model *trained;
        td_model_options model;
        td_train_options train;
        td_metrics metrics;
        recommend(sizes[i], &model, &train);
        train.batch_size = 32;
        train.epochs = 20;
        assert_ok(td_model_create(&trained, context, kept, NULL, &model, &err));
        assert_ok(td_model_train(trained, kept, NULL, &train, NULL, NULL, &err));
        assert_ok(td_evaluate_model(&metrics, trained, kept, held_out, NULL, NULL, &err));
        assert_true(metrics.at[0].ndcg > popular.at[0].ndcg);
        td_model_free(trained);
    }
    td_dataset_free(whole);
    td_dataset_free(kept);
    td_dataset_free(held_out);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_size_decides),
        cmocka_unit_test(what_cannot_be_decoupled_is_not),
        cmocka_unit_test(every_size_has_settings),
        cmocka_unit_test(other_negatives_are_not_for_everything),
        cmocka_unit_test(other_options_stay),
        cmocka_unit_test(small_data_have_settings_of_ials),
        cmocka_unit_test(large_data_have_none),
        cmocka_unit_test(they_beat_popularity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
