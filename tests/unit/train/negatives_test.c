/* negatives_test.c -- what is drawn, how often, with which bias, and that it is the same each time. */
#include "support/test.h"

#include <math.h>

#include "train/negatives.h"

enum { TABLE = 12, KNOWN = 10, ROWS = 60 };

/* Rows 0 to 9 are candidates with 1 to 10 training rows, 10 is a catch-all that is used, 11 one that is
 * not. */
static const uint64_t counts[TABLE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 5, 0};
static const td__negatives_source source = {
    .counts = counts, .table_rows = TABLE, .known = KNOWN, .rows_max = 8, .rows_mean = 6.0};

static td_train_options options_of(td_negatives kind)
{
    td_train_options options;
    td_train_options_init(&options);
    options.negatives.kind = kind;
    options.negatives.count = 5;
    return options;
}

static td__negatives *make(td_context *context, const td_train_options *options)
{
    td_error err;
    td__negatives *negatives;
    assert_ok(td__negatives_create(&negatives, context, &source, options, &err));
    return negatives;
}

/* Shares of the rows in many draws follow (training rows)^power, and the unused catch-all never comes. */
static void draws_follow_the_power_of_popularity(void **state)
{
    (void)state;
    const double powers[] = {0.0, 0.5, 1.0};
    td_context *context = test_context(1);
    for (uint32_t p = 0; p < 3; p++) {
        td_train_options options = options_of(TD_NEGATIVES_SAMPLED);
        options.negatives.power = (float)powers[p];
        td__negatives *n = make(context, &options);
        double found[TABLE] = {0}, sum = 0.0;
        for (uint32_t batch = 0; batch < 20000; batch++) {
            td__drawn drawn = td__negatives_draw(n, 1, batch);
            assert_int_equal(drawn.count, 5);
            for (uint32_t i = 0; i < drawn.count; i++) found[drawn.rows[i]] += 1e-5;
        }
        for (uint32_t row = 0; row < 11; row++) sum += pow((double)counts[row], powers[p]);
        for (uint32_t row = 0; row < 11; row++) { /* 100,000 draws: a deviation of 0.001 */
            assert_close(found[row], pow((double)counts[row], powers[p]) / sum, 0, 0.006);
        }
        assert_true(found[11] == 0.0);
        td__negatives_free(n);
    }
    td_context_free(context);
}

static void draws_are_a_function_of_seed_epoch_and_batch(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_train_options options = options_of(TD_NEGATIVES_MIXED);
    options.negatives.count = 64;
    td__negatives *a = make(context, &options), *b = make(context, &options);
    options.seed++;
    td__negatives *other = make(context, &options);
    uint32_t rows[64];
    td__negatives_draw(b, 0, 9);
    memcpy(rows, td__negatives_draw(a, 3, 4).rows, sizeof rows);
    assert_memory_equal(rows, td__negatives_draw(b, 3, 4).rows, sizeof rows);
    assert_memory_not_equal(rows, td__negatives_draw(b, 4, 3).rows, sizeof rows);
    assert_memory_not_equal(rows, td__negatives_draw(b, 3, 5).rows, sizeof rows);
    assert_memory_not_equal(rows, td__negatives_draw(other, 3, 4).rows, sizeof rows);
    td__negatives_free(a);
    td__negatives_free(b);
    td__negatives_free(other);
    td_context_free(context);
}

static void all_are_all_that_can_come(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_train_options options = options_of(TD_NEGATIVES_ALL);
    td__negatives *n = make(context, &options);
    td__drawn drawn = td__negatives_draw(n, 2, 2);
    assert_int_equal(drawn.count, 11);
    for (uint32_t i = 0; i < 11; i++) assert_int_equal(drawn.rows[i], i);
    assert_null(td__negatives_bias(n));
    assert_int_equal(td__negatives_columns_max(n), 11);
    td__negatives_free(n);
    td_context_free(context);
}

/* exp(-bias) is the expected number of times: 6 own rows, 2 remembered batches, 5 draws. */
static void biases_are_logarithms_of_expected_counts(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    for (int kind = TD_NEGATIVES_BATCH; kind <= TD_NEGATIVES_MIXED; kind++) {
        td_train_options options = options_of((td_negatives)kind);
        options.negatives.memory = 2;
        options.negatives.power = 1.0f;
        td__negatives *n = make(context, &options);
        double times = 6.0 * (kind == TD_NEGATIVES_SAMPLED ? 2 : 3) + (kind == TD_NEGATIVES_BATCH ? 0 : 5);
        for (uint32_t row = 0; row < 11; row++) {
            double expected = times * (double)counts[row] / ROWS;
            assert_close((double)td__negatives_bias(n)[row], -log(expected), 1e-5, 1e-5);
        }
        assert_int_equal(td__negatives_own(n), kind != TD_NEGATIVES_SAMPLED);
        assert_int_equal(td__negatives_separate(n), kind == TD_NEGATIVES_SAMPLED);
        td__negatives_free(n);
    }
    td_train_options options = options_of(TD_NEGATIVES_MIXED);
    options.sampling_correction = TD_SAMPLING_NONE;
    td__negatives *n = make(context, &options);
    assert_null(td__negatives_bias(n));
    td__negatives_free(n);
    td_context_free(context);
}

/* Batches of 1, 2, 3, ... candidates: the last two are there, the older first; an epoch starts empty. */
static void memory_holds_the_batches_before(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_train_options options = options_of(TD_NEGATIVES_BATCH);
    options.negatives.memory = 2;
    td__negatives *n = make(context, &options);
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        for (uint32_t batch = 0; batch < 6; batch++) {
            td__drawn drawn = td__negatives_draw(n, epoch, batch);
            uint32_t expected = batch == 0 ? 0 : batch == 1 ? 1 : 2 * batch - 1, at = 0;
            assert_int_equal(drawn.count, expected);
            for (uint32_t old = batch < 2 ? 0 : batch - 2; old < batch; old++) {
                for (uint32_t i = 0; i <= old; i++) assert_int_equal(drawn.rows[at++], old);
            }
            uint64_t ids[6] = {batch, batch, batch, batch, batch, batch};
            td__negatives_remember(n, ids, batch + 1);
        }
    }
    td__negatives_free(n);
    td_context_free(context);
}

static void options_that_do_not_go_together_are_named(void **state)
{
    (void)state;
    td_error err;
    td__negatives *n;
    td_context *context = test_context(1);
    td_train_options options = options_of(TD_NEGATIVES_ALL);
    assert_true(td__negatives_needed(&options));
    options.negatives.memory = 3;
    assert_fails(td__negatives_create(&n, context, &source, &options, &err), TD_ERR_ARGUMENT,
                 "memory-batches 3");
    options = options_of(TD_NEGATIVES_SAMPLED);
    options.negatives.count = 0;
    assert_fails(td__negatives_create(&n, context, &source, &options, &err), TD_ERR_ARGUMENT,
                 "negative-count is 0");
    options = options_of(TD_NEGATIVES_MIXED);
    options.sampling_correction = TD_SAMPLING_STREAMING;
    assert_fails(td__negatives_create(&n, context, &source, &options, &err), TD_ERR_ARGUMENT,
                 "streaming");
    options = options_of(TD_NEGATIVES_BATCH);
    assert_false(td__negatives_needed(&options));
    td_context_free(context);
}

static td_status create_and_free(void *state, td_context *context, td_error *err)
{
    td__negatives *n;
    td_status status = td__negatives_create(&n, context, &source, state, err);
    td__negatives_free(n);
    return status;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    td_train_options options = options_of(TD_NEGATIVES_MIXED);
    options.negatives.memory = 2;
    test_every_allocation(create_and_free, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_power_of_popularity),
        cmocka_unit_test(draws_are_a_function_of_seed_epoch_and_batch),
        cmocka_unit_test(all_are_all_that_can_come),
        cmocka_unit_test(biases_are_logarithms_of_expected_counts),
        cmocka_unit_test(memory_holds_the_batches_before),
        cmocka_unit_test(options_that_do_not_go_together_are_named),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
