/* retrieval_test.c -- the retrieval task against float64, finite differences and its promises. */
#include "support/option_table.h"
#include "support/retrieval_oracle.h"

#include <math.h>

/* What the fused engine gives of a value that its float32 scores and sums lead to. The same checks at
 * 1e-12 are made of the plain engine in retrieval_engines_test.c. */
#define FLOAT32 1e-7

/* The task made for one batch, run once. */
static td_status compute_once(td_context *context, const td_retrieval_batch *batch,
                              const td_retrieval_options *options, td_retrieval_result *result,
                              td_error *err)
{
    td_retrieval *task;
    td_retrieval_shape shape = shape_of(batch);
    td_status status = td_retrieval_create(&task, context, &shape, options, err);
    if (status == TD_OK) status = td_retrieval_compute(task, batch, result, err);
    td_retrieval_free(task);
    return status;
}

/* --- against float64 */

static void compare(td_context *context, const random_batch *random, uint64_t seed)
{
    td_error err = {0};
    const td_retrieval_batch *batch = &random->batch;
    oracle expected = oracle_retrieval(batch, &random->options);
    td_retrieval_result result = result_make(batch);
    assert_ok(compute_once(context, batch, &random->options, &result, &err));
    /* Float32 may choose another head or negative where two scores are equal to rounding. */
    if (expected.closest > 1e-5) {
        size_t queries = (size_t)batch->queries * batch->heads * batch->dim;
        size_t candidates = (size_t)batch->candidates * batch->dim;
        double size = fabs(expected.loss) + batch->queries;
        if (!(fabs(result.loss - expected.loss) <= 1e-6 * size)
            || !(fabs(result.d_temperature - expected.d_temperature)
                 <= 1e-5 * (size + fabs(expected.d_temperature)))
            || !(array_error(result.row_loss, expected.row_loss, batch->queries) <= 1e-5)
            || !(array_error(result.d_query, expected.d_query, queries) <= 1e-5)
            || !(array_error(result.d_candidate, expected.d_candidate, candidates) <= 1e-5)) {
            fail_msg("seed %llu: loss %.9g, expected %.9g", (unsigned long long)seed, result.loss,
                     expected.loss);
        }
    }
    result_free(&result);
    oracle_free(&expected);
}

static void every_combination_of_options_matches_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (unsigned with = 0; with < WITH_ALL; with += WITH_STEP) {
        uint64_t seed = with * 7919u;
        uint32_t rows = 1 + (uint32_t)test_uniform(&seed, 0, 20);
        uint32_t dim = 1 + (uint32_t)test_uniform(&seed, 0, 12);
        random_batch random = random_batch_make(seed, rows, dim, with);
        compare(context, &random, with);
        random_batch_free(&random);
    }
    td_context_free(context);
}

static void batches_wider_than_a_panel_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (unsigned with = 0; with < WITH_ALL; with += 97) {
        random_batch random = random_batch_make(with, 150, 33, with);
        compare(context, &random, with);
        random_batch_free(&random);
    }
    td_context_free(context);
}

static void scores_match_float64_and_feed_the_metrics(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    random_batch random = random_batch_make(5, 20, 6,
                                            WITH_TEMPERATURE | WITH_PROBABILITY | WITH_HITS
                                                | WITH_MASK | WITH_HARD | WITH_EXTRA);
    random.options.hard_negatives = 4;
    const td_retrieval_batch *batch = &random.batch;
    oracle expected = oracle_retrieval(batch, &random.options);
    td_retrieval_shape shape = shape_of(batch);
    size_t count = (size_t)batch->queries * batch->candidates;
    float *scores = malloc(count * sizeof *scores);
    td_retrieval *task;
    assert_ok(td_retrieval_create(&task, context, &shape, &random.options, &err));
    assert_ok(td_retrieval_scores(task, batch, scores, &err));
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        bool gone = expected.score[i] == -HUGE_VAL;
        assert_true((scores[i] == TD_SCORE_LEFT) == gone);
        if (!gone) assert_close((double)scores[i], expected.score[i], 1e-5, 1e-5);
        left += gone;
    }
    assert_int_equal(left, count - 5 * batch->queries);
    td_topk_accuracy metric;
    td_topk_accuracy_init(&metric, 5); /* the positive and four negatives: always among five */
    int64_t *labels = malloc(batch->queries * sizeof *labels);
    for (uint32_t b = 0; b < batch->queries; b++) labels[b] = b;
    td_topk_accuracy_update_sparse(&metric,
                                   &(td_predictions){.rows = batch->queries,
                                                     .classes = batch->candidates,
                                                     .prediction = scores},
                                   labels);
    assert_true(td_topk_accuracy_result(&metric) == 1.0);
    free(labels);
    free(scores);
    td_retrieval_free(task);
    oracle_free(&expected);
    random_batch_free(&random);
    td_context_free(context);
}

/* --- finite differences */

static double loss_of(td_context *context, const random_batch *random)
{
    td_error err = {0};
    td_retrieval_result result = {0};
    assert_ok(compute_once(context, &random->batch, &random->options, &result, &err));
    return result.loss;
}

/* Slope of the loss along one float, by central difference. */
static double slope(td_context *context, const random_batch *random, float *value)
{
    float before = *value, up = before + 4e-3f, down = before - 4e-3f;
    *value = up;
    double high = loss_of(context, random);
    *value = down;
    double low = loss_of(context, random);
    *value = before;
    return (high - low) / ((double)up - (double)down);
}

static void check_slopes(td_context *context, random_batch *random)
{
    td_error err = {0};
    const td_retrieval_batch *batch = &random->batch;
    td_retrieval_result result = result_make(batch);
    assert_ok(compute_once(context, batch, &random->options, &result, &err));
    size_t queries = (size_t)batch->queries * batch->heads * batch->dim;
    size_t candidates = (size_t)batch->candidates * batch->dim;
    for (size_t i = 0; i < queries; i++) {
        assert_close((double)result.d_query[i], slope(context, random, &random->query[i]), 2e-3,
                     2e-3);
    }
    for (size_t i = 0; i < candidates; i++) {
        assert_close((double)result.d_candidate[i], slope(context, random, &random->candidate[i]),
                     2e-3, 2e-3);
    }
    assert_close(result.d_temperature, slope(context, random, &random->options.temperature), 2e-3,
                 2e-3);
    result_free(&result);
}

static void gradients_match_finite_differences(void **state)
{
    (void)state;
    static const unsigned options[] = {0,
                                       WITH_TEMPERATURE,
                                       WITH_PROBABILITY,
                                       WITH_HITS,
                                       WITH_MASK,
                                       WITH_HARD,
                                       WITH_SMOOTHING,
                                       WITH_WEIGHTS,
                                       WITH_HEADS,
                                       WITH_POSITIVES,
                                       WITH_EXTRA,
                                       WITH_MEAN,
                                       WITH_SMOOTHING | WITH_MASK,
                                       WITH_SMOOTHING | WITH_HITS | WITH_HARD,
                                       WITH_ALL - 1};
    td_context *context = test_context(1);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        random_batch random = random_batch_make(1, 5, 3, options[i]);
        /* Steps smaller than the distance to the next kink, where there are any. */
        for (uint64_t seed = 2;; seed++) {
            if (random.options.temperature < 0.5f) random.options.temperature += 0.5f;
            oracle at = oracle_retrieval(&random.batch, &random.options);
            double closest = at.closest;
            oracle_free(&at);
            if (closest > 0.08) break;
            random_batch_free(&random);
            random = random_batch_make(seed, 5, 3, options[i]);
        }
        check_slopes(context, &random);
        random_batch_free(&random);
    }
    td_context_free(context);
}

/* --- single steps, by hand */

/* One query (1) against candidates (score c) with one dimension. */
static td_retrieval_batch line(const float *query, const float *candidates, uint32_t count)
{
    return (td_retrieval_batch){.queries = 1,
                                .candidates = count,
                                .heads = 1,
                                .dim = 1,
                                .query = query,
                                .candidate = candidates};
}

static void first_batch_of_zeros_costs_b_ln_b(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    static float zeros[512 * 4];
    td_retrieval_batch batch = {.queries = 512,
                                .candidates = 512,
                                .heads = 1,
                                .dim = 4,
                                .query = zeros,
                                .candidate = zeros};
    td_retrieval_result result = {0};
    assert_ok(compute_once(context, &batch, NULL, &result, &err));
    assert_close(result.loss, 512 * log(512), 1e-12, 0);
    td_context_free(context);
}

static void ties_of_hard_negatives_keep_the_lower_column(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const float query[] = {1}, candidates[] = {0, 2, 3, 2, 3, 2};
    td_retrieval_batch batch = line(query, candidates, 6);
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.hard_negatives = 3;
    td_retrieval_result result = result_make(&batch);
    assert_ok(compute_once(context, &batch, &options, &result, &err));
    assert_close(result.loss, log(1 + exp(2) + 2 * exp(3)), FLOAT32, 0);
    assert_true(result.d_candidate[1] > 0 && result.d_candidate[2] > 0
                && result.d_candidate[4] > 0);
    assert_true(result.d_candidate[3] == 0 && result.d_candidate[5] == 0);
    result_free(&result);
    td_context_free(context);
}

static void ties_of_heads_go_to_the_first(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const float query[] = {0.5f, 1, 1}, candidates[] = {1, 2};
    td_retrieval_batch batch = {.queries = 1,
                                .candidates = 2,
                                .heads = 3,
                                .dim = 1,
                                .query = query,
                                .candidate = candidates};
    td_retrieval_result result = result_make(&batch);
    assert_ok(compute_once(context, &batch, NULL, &result, &err));
    assert_true(result.d_query[0] == 0 && result.d_query[2] == 0);
    assert_close((double)result.d_query[1], 1 / (1 + exp(-1)), 1e-6, 0);
    result_free(&result);
    td_context_free(context);
}

static void accidental_hits_leave_but_not_the_positive(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const float query[] = {1}, candidates[] = {5, 1, 7, 2};
    const uint64_t ids[] = {9, 4, 4, 4 + (UINT64_C(1) << 32)}; /* the last is another item */
    const uint32_t positive[] = {1};
    td_retrieval_batch batch = line(query, candidates, 4);
    batch.positive = positive;
    batch.candidate_id = ids;
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    td_retrieval_result result = result_make(&batch);
    assert_ok(compute_once(context, &batch, &options, &result, &err));
    assert_close(result.loss, log(exp(5) + exp(1) + exp(7) + exp(2)) - 1, FLOAT32, 0);
    options.remove_accidental_hits = true;
    assert_ok(compute_once(context, &batch, &options, &result, &err));
    assert_close(result.loss, log(exp(5) + exp(1) + exp(2)) - 1, FLOAT32, 0);
    assert_true(result.d_candidate[2] == 0 && result.d_candidate[1] < 0);
    result_free(&result);
    td_context_free(context);
}

static void probabilities_are_clipped_before_the_logarithm(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const float query[] = {1}, candidates[] = {0, 0, 0}, probability[] = {0, 9, 0.5f};
    td_retrieval_batch batch = line(query, candidates, 3);
    batch.sampling_probability = probability;
    td_retrieval_result result = {0};
    assert_ok(compute_once(context, &batch, NULL, &result, &err));
    assert_close(result.loss, log(1e6 + 1 + 2) - log(1e6), 4e-7, 0);
    td_context_free(context);
}

static void smoothing_spreads_over_the_columns_that_stay(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const float query[] = {1}, candidates[] = {1, 2, 3};
    const uint8_t mask[] = {1, 0, 1};
    td_retrieval_batch batch = line(query, candidates, 3);
    batch.score_mask = mask;
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.label_smoothing = 0.5f;
    td_retrieval_result result = result_make(&batch);
    assert_ok(compute_once(context, &batch, &options, &result, &err));
    assert_close(result.loss, log(exp(1) + exp(3)) - 0.75 * 1 - 0.25 * 3, FLOAT32, 0);
    assert_true(result.d_candidate[1] == 0);
    result_free(&result);
    td_context_free(context);
}

/* --- sizes and magnitudes */

static void huge_logits_neither_overflow_nor_vanish(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const float query[] = {1000}, candidates[] = {-1, 1, 1};
    td_retrieval_batch batch = line(query, candidates, 3);
    td_retrieval_result result = result_make(&batch);
    assert_ok(compute_once(context, &batch, NULL, &result, &err));
    assert_close(result.loss, 2000 + log(2), FLOAT32, 0);
    assert_close((double)result.d_candidate[1], 500, 1e-6, 0);
    assert_close((double)result.d_query[0], 2, 1e-6, 0);
    result_free(&result);
    td_context_free(context);
}

static void one_candidate_leaves_nothing_to_learn(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(3);
    const float query[] = {3, 4}, candidates[] = {-1, 2};
    td_retrieval_batch batch = {.queries = 1,
                                .candidates = 1,
                                .heads = 1,
                                .dim = 2,
                                .query = query,
                                .candidate = candidates};
    td_retrieval_result result = result_make(&batch);
    batch.heads = 0;                                   /* means 1 */
    result.d_candidate[0] = result.d_candidate[1] = 7; /* written, not added */
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.hard_negatives = 5;
    assert_ok(compute_once(context, &batch, &options, &result, &err));
    assert_true(result.loss == 0 && result.d_temperature == 0);
    assert_true(result.d_candidate[0] == 0 && result.d_candidate[1] == 0);
    result_free(&result);
    td_context_free(context);
}

static void no_rows_cost_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    const float candidates[] = {1, 2};
    float d_candidate[] = {7, 7};
    td_retrieval_batch batch = {
        .queries = 0, .candidates = 2, .heads = 1, .dim = 1, .candidate = candidates};
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.reduction = TD_REDUCTION_MEAN;
    td_retrieval_result result = {.loss = 7, .d_candidate = d_candidate};
    assert_ok(compute_once(context, &batch, &options, &result, &err));
    assert_true(result.loss == 0 && d_candidate[0] == 0 && d_candidate[1] == 0);
    td_context_free(context);
}

static void weights_of_zero_give_zero(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    random_batch random = random_batch_make(3, 9, 4, WITH_WEIGHTS | WITH_HEADS);
    memset(random.weight, 0, 9 * sizeof(float));
    td_retrieval_result result = result_make(&random.batch);
    assert_ok(compute_once(context, &random.batch, &random.options, &result, &err));
    assert_true(result.loss == 0 && result.d_temperature == 0);
    for (size_t i = 0; i < 9 * 4; i++) assert_true(result.d_candidate[i] == 0);
    for (size_t i = 0; i < 9 * 3 * 4; i++) assert_true(result.d_query[i] == 0);
    result_free(&result);
    random_batch_free(&random);
    td_context_free(context);
}

static void reductions_differ_by_the_number_of_rows(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    random_batch random = random_batch_make(11, 10, 4, WITH_WEIGHTS);
    td_retrieval_result sum = result_make(&random.batch), other = result_make(&random.batch);
    assert_ok(compute_once(context, &random.batch, &random.options, &sum, &err));
    random.options.reduction = TD_REDUCTION_NONE;
    assert_ok(compute_once(context, &random.batch, &random.options, &other, &err));
    assert_true(other.loss == sum.loss && other.d_temperature == sum.d_temperature);
    random.options.reduction = TD_REDUCTION_MEAN;
    assert_ok(compute_once(context, &random.batch, &random.options, &other, &err));
    assert_close(other.loss, sum.loss / 10, 1e-12, 0);
    assert_close(other.d_temperature, sum.d_temperature / 10, FLOAT32, 0);
    double total = 0;
    for (uint32_t b = 0; b < 10; b++) {
        assert_true(other.row_loss[b] == sum.row_loss[b]); /* weight * loss, not reduced */
        total += (double)sum.row_loss[b];
    }
    assert_close(total, sum.loss, 1e-6, 0);
    for (size_t i = 0; i < 40; i++) {
        assert_close((double)other.d_query[i], (double)sum.d_query[i] / 10, 1e-6, 1e-9);
    }
    result_free(&sum);
    result_free(&other);
    random_batch_free(&random);
    td_context_free(context);
}

/* --- promises of the handle */

static void same_bits_for_any_number_of_threads(void **state)
{
    (void)state;
    td_error err = {0};
    static const uint32_t threads[] = {1, 2, 7};
    random_batch random = random_batch_make(21, 211, 17, WITH_ALL - 1 - WITH_POSITIVES);
    const td_retrieval_batch *batch = &random.batch;
    size_t queries = (size_t)batch->queries * batch->heads * batch->dim * sizeof(float);
    size_t candidates = (size_t)batch->candidates * batch->dim * sizeof(float);
    td_retrieval_result first = result_make(batch), again = result_make(batch);
    for (size_t i = 0; i < 3; i++) {
        td_context *context = test_context(threads[i]);
        td_retrieval_result *result = i == 0 ? &first : &again;
        assert_ok(compute_once(context, batch, &random.options, result, &err));
        td_context_free(context);
        if (i == 0) continue;
        assert_memory_equal(first.d_query, again.d_query, queries);
        assert_memory_equal(first.d_candidate, again.d_candidate, candidates);
        assert_memory_equal(first.row_loss, again.row_loss, batch->queries * sizeof(float));
        assert_true(first.loss == again.loss && first.d_temperature == again.d_temperature);
    }
    result_free(&first);
    result_free(&again);
    random_batch_free(&random);
}

static void same_bits_on_every_kernel_set(void **state)
{
    (void)state;
    td_error err = {0};
    random_batch random = random_batch_make(22, 90, 37, WITH_ALL - 1 - WITH_POSITIVES);
    const td_retrieval_batch *batch = &random.batch;
    size_t candidates = (size_t)batch->candidates * batch->dim * sizeof(float);
    td_retrieval_result first = result_make(batch), again = result_make(batch);
    const char *name;
    bool available;
    for (uint32_t i = 0; td_kernel_describe(i, &name, &available); i++) {
        if (!available) continue;
        td_context *context;
        td_context_options wanted = {.threads = 2, .kernel = name};
        assert_ok(td_context_create(&context, &wanted, &err));
        assert_ok(compute_once(context, batch, &random.options, i == 0 ? &first : &again, &err));
        td_context_free(context);
        if (i == 0) continue;
        assert_memory_equal(first.d_candidate, again.d_candidate, candidates);
        assert_memory_equal(first.row_loss, again.row_loss, batch->queries * sizeof(float));
        assert_true(first.loss == again.loss);
    }
    result_free(&first);
    result_free(&again);
    random_batch_free(&random);
}

static void smaller_batches_fit_a_larger_task(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    random_batch large = random_batch_make(1, 60, 5, WITH_EXTRA),
                 small = random_batch_make(2, 7, 5, 0);
    td_retrieval_shape shape = shape_of(&large.batch);
    td_retrieval *task;
    assert_ok(td_retrieval_create(&task, context, &shape, &large.options, &err));
    td_retrieval_result wide = result_make(&large.batch), result = result_make(&small.batch);
    td_retrieval_result alone = result_make(&small.batch);
    assert_ok(td_retrieval_compute(task, &large.batch, &wide, &err));
    assert_ok(td_retrieval_compute(task, &small.batch, &result, &err));
    assert_ok(compute_once(context, &small.batch, &small.options, &alone, &err));
    assert_true(result.loss == alone.loss);
    assert_memory_equal(result.d_query, alone.d_query, 7 * 5 * sizeof(float));
    assert_memory_equal(result.d_candidate, alone.d_candidate, 7 * 5 * sizeof(float));
    td_retrieval_free(task);
    result_free(&wide);
    result_free(&result);
    result_free(&alone);
    random_batch_free(&large);
    random_batch_free(&small);
    td_context_free(context);
}

static void compute_allocates_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 3);
    random_batch random = random_batch_make(8, 70, 8, WITH_ALL - 1);
    td_retrieval_shape shape = shape_of(&random.batch);
    td_retrieval_result result = result_make(&random.batch);
    td_retrieval *task;
    assert_ok(td_retrieval_create(&task, context, &shape, &random.options, &err));
    int64_t before = memory.allocations;
    for (int i = 0; i < 3; i++) assert_ok(td_retrieval_compute(task, &random.batch, &result, &err));
    assert_int_equal(memory.allocations, before);
    td_retrieval_free(task);
    result_free(&result);
    random_batch_free(&random);
    td_context_free(context);
    assert_int_equal(memory.blocks, 0);
}

static int64_t bytes_of_task(uint32_t rows)
{
    td_error err = {0};
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    int64_t before = memory.bytes;
    td_retrieval_shape shape = {.queries_max = rows, .candidates_max = rows, .heads = 1, .dim = 4};
    td_retrieval *task;
    assert_ok(td_retrieval_create(&task, context, &shape, NULL, &err));
    int64_t bytes = memory.bytes - before;
    td_retrieval_free(task);
    td_context_free(context);
    return bytes;
}

static void memory_has_no_b_times_c_term(void **state)
{
    (void)state;
    int64_t half = bytes_of_task(32768), whole = bytes_of_task(65536);
    assert_true(whole < 2 * half + half / 100); /* a B x C term would make it nearly 4 */
    assert_true(whole < INT64_C(65536) * 65536 * 4 / 100);
}

static td_status create_and_compute(void *state, td_context *context, td_error *err)
{
    random_batch *random = state;
    td_retrieval_result result = {0};
    return compute_once(context, &random->batch, &random->options, &result, err);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    random_batch random = random_batch_make(4, 5, 3, WITH_ALL - 1);
    test_every_allocation(create_and_compute, &random);
    random_batch_free(&random);
}

/* --- what is refused */

static void refuses_options_and_shapes_without_meaning(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_retrieval *task;
    td_retrieval_shape shape = {.queries_max = 4, .candidates_max = 4, .heads = 1, .dim = 2};
    td_retrieval_options options;
    static const float temperatures[] = {0.0f, -1.0f, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        td_retrieval_options_init(&options);
        options.temperature = temperatures[i];
        assert_fails(td_retrieval_create(&task, context, &shape, &options, &err), TD_ERR_ARGUMENT,
                     "temperature");
        assert_null(task);
    }
    td_retrieval_options_init(&options);
    options.label_smoothing = 1.5f;
    assert_fails(td_retrieval_create(&task, context, &shape, &options, &err), TD_ERR_ARGUMENT,
                 "label-smoothing");
    shape.dim = 0;
    assert_fails(td_retrieval_create(&task, context, &shape, NULL, &err), TD_ERR_ARGUMENT, "dim");
    shape = (td_retrieval_shape){.queries_max = 4, .candidates_max = 4, .heads = 999, .dim = 2};
    assert_fails(td_retrieval_create(&task, context, &shape, NULL, &err), TD_ERR_ARGUMENT, "heads");
    td_context_free(context);
}

/* A batch of two rows that tests spoil. */
typedef struct spoiled {
    float query[4], candidate[4], weight[2], probability[2];
    uint8_t mask[4];
    uint32_t positive[2];
    td_retrieval_batch batch;
} spoiled;

static void make_sound(spoiled *s)
{
    *s = (spoiled){.query = {1, 2, 3, 4},
                   .candidate = {1, 2, 3, 4},
                   .weight = {1, 1},
                   .probability = {0.5f, 0.5f},
                   .mask = {1, 1, 1, 1},
                   .positive = {0, 1}};
    s->batch = (td_retrieval_batch){.queries = 2,
                                    .candidates = 2,
                                    .heads = 1,
                                    .dim = 2,
                                    .query = s->query,
                                    .candidate = s->candidate,
                                    .positive = s->positive,
                                    .sample_weight = s->weight,
                                    .sampling_probability = s->probability,
                                    .score_mask = s->mask};
}

#define assert_refused(spoil, expected, part)                                                      \
    do {                                                                                           \
        make_sound(&s);                                                                            \
        assert_ok(td_retrieval_compute(task, &s.batch, &result, &err));                            \
        spoil;                                                                                     \
        assert_fails(td_retrieval_compute(task, &s.batch, &result, &err), expected, part);         \
    } while (0)

static void refuses_batches_without_meaning(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    td_retrieval_shape shape = {.queries_max = 2, .candidates_max = 2, .heads = 1, .dim = 2};
    td_retrieval *task;
    td_retrieval_result result = {0};
    spoiled s;
    assert_ok(td_retrieval_create(&task, context, &shape, NULL, &err));
    assert_refused(s.batch.queries = 3, TD_ERR_ARGUMENT, "room for 2");
    assert_refused(s.batch.candidates = 3, TD_ERR_ARGUMENT, "room for 2");
    assert_refused(s.batch.dim = 1, TD_ERR_ARGUMENT, "dim 1");
    assert_refused(s.batch.heads = 2, TD_ERR_ARGUMENT, "2 heads");
    assert_refused(s.batch.query = NULL, TD_ERR_ARGUMENT, "query");
    assert_refused(s.batch.candidate = NULL, TD_ERR_ARGUMENT, "candidate");
    assert_refused((s.batch.positive = NULL, s.batch.candidates = 1), TD_ERR_ARGUMENT, "positive");
    assert_refused(s.positive[1] = 2, TD_ERR_ARGUMENT, "row 1: positive is 2");
    assert_refused(s.mask[3] = 0, TD_ERR_ARGUMENT, "row 1: score_mask");
    assert_refused(s.probability[1] = -0.1f, TD_ERR_ARGUMENT, "candidate 1");
    assert_refused(s.query[3] = NAN, TD_ERR_NUMERIC, "row 1: query");
    assert_refused(s.candidate[0] = INFINITY, TD_ERR_NUMERIC, "row 0: candidate");
    assert_refused(s.weight[1] = NAN, TD_ERR_NUMERIC, "row 1: sample_weight");
    assert_refused(s.probability[0] = NAN, TD_ERR_NUMERIC, "row 0: sampling_probability");
    assert_refused((s.query[2] = 3e38f, s.candidate[2] = 3e38f), TD_ERR_NUMERIC,
                   "row 1: the score");
    float row_loss[2];
    result.row_loss = row_loss;
    assert_refused((s.weight[0] = 3e38f, s.query[0] = 1e6f), TD_ERR_NUMERIC, "row 0: row_loss");
    td_retrieval_free(task);
    td_context_free(context);
}

static void removing_accidental_hits_needs_ids(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    spoiled s;
    make_sound(&s);
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.remove_accidental_hits = true;
    td_retrieval_result result = {0};
    assert_fails(compute_once(context, &s.batch, &options, &result, &err), TD_ERR_ARGUMENT,
                 "candidate_id");
    td_context_free(context);
}

static void option_table_is_sound(void **state)
{
    (void)state;
    test_option_table(td_retrieval_option_table(), td_retrieval_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_of_options_matches_float64),
        cmocka_unit_test(batches_wider_than_a_panel_match_float64),
        cmocka_unit_test(scores_match_float64_and_feed_the_metrics),
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(first_batch_of_zeros_costs_b_ln_b),
        cmocka_unit_test(ties_of_hard_negatives_keep_the_lower_column),
        cmocka_unit_test(ties_of_heads_go_to_the_first),
        cmocka_unit_test(accidental_hits_leave_but_not_the_positive),
        cmocka_unit_test(probabilities_are_clipped_before_the_logarithm),
        cmocka_unit_test(smoothing_spreads_over_the_columns_that_stay),
        cmocka_unit_test(huge_logits_neither_overflow_nor_vanish),
        cmocka_unit_test(one_candidate_leaves_nothing_to_learn),
        cmocka_unit_test(no_rows_cost_nothing),
        cmocka_unit_test(weights_of_zero_give_zero),
        cmocka_unit_test(reductions_differ_by_the_number_of_rows),
        cmocka_unit_test(same_bits_for_any_number_of_threads),
        cmocka_unit_test(same_bits_on_every_kernel_set),
        cmocka_unit_test(smaller_batches_fit_a_larger_task),
        cmocka_unit_test(compute_allocates_nothing),
        cmocka_unit_test(memory_has_no_b_times_c_term),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(refuses_options_and_shapes_without_meaning),
        cmocka_unit_test(refuses_batches_without_meaning),
        cmocka_unit_test(removing_accidental_hits_needs_ids),
        cmocka_unit_test(option_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
