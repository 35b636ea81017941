/* retrieval_engines_test.c -- the fused engine of the retrieval task is the plain one, to rounding.
 *
 * Both engines get the same batches directly, so that what the task chooses does not matter here. */
#include "support/retrieval_oracle.h"
#include "support/softmax_problem.h"

#include <math.h>

#include "train/retrieval_fused.h"
#include "train/retrieval_plain.h"

static void run_plain(td_context *context, const td_retrieval_batch *batch,
                      const td_retrieval_options *options, td_retrieval_result *result)
{
    td_error err = {0};
    td__plain *plain;
    td_retrieval_shape shape = shape_of(batch);
    assert_ok(td__plain_create(&plain, context, &shape, options, true, &err));
    assert_ok(td__plain_compute(plain, batch, 1.0, result, &err));
    td__plain_free(plain);
}

static void run_fused(td_context *context, const td_retrieval_batch *batch,
                      const td_retrieval_options *options, td_retrieval_result *result)
{
    td_error err = {0};
    td__fused *fused;
    td_retrieval_shape shape = shape_of(batch);
    assert_ok(td__fused_create(&fused, context, &shape, options, &err));
    assert_ok(td__fused_compute(fused, batch, 1.0, result, &err));
    td__fused_free(fused);
}

/* Largest difference over the largest value. */
static double difference(const float *a, const float *b, size_t count)
{
    double largest = 0.0, apart = 0.0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)b[i]));
        double gap = fabs((double)a[i] - (double)b[i]);
        apart = gap <= apart ? apart : gap; /* what is no number stays */
    }
    return largest == 0.0 ? apart : apart / largest;
}

static void assert_engines_agree(td_context *context, const td_retrieval_batch *batch,
                                 const td_retrieval_options *options, double tolerance)
{
    td_retrieval_result plain = result_make(batch), fused = result_make(batch);
    run_plain(context, batch, options, &plain);
    run_fused(context, batch, options, &fused);
    size_t queries = (size_t)batch->queries * batch->heads * batch->dim;
    size_t candidates = (size_t)batch->candidates * batch->dim;
    assert_close(fused.loss, plain.loss, tolerance, tolerance);
    assert_close(fused.d_temperature, plain.d_temperature, 10 * tolerance, 10 * tolerance);
    assert_true(difference(fused.row_loss, plain.row_loss, batch->queries) <= tolerance);
    assert_true(difference(fused.d_query, plain.d_query, queries) <= tolerance);
    assert_true(difference(fused.d_candidate, plain.d_candidate, candidates) <= tolerance);
    result_free(&plain);
    result_free(&fused);
}

static void engines_agree_on_random_batches(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    uint64_t random_state = 5;
    uint32_t too_close = 0;
    for (unsigned with = 0; with < WITH_ALL; with += WITH_STEP) {
        uint32_t rows = 1 + (uint32_t)test_uniform(&random_state, 0, 120);
        uint32_t dim = 1 + (uint32_t)test_uniform(&random_state, 0, 70);
        random_batch random = random_batch_make(with, rows, dim, with);
        oracle exact = oracle_retrieval(&random.batch, &random.options);
        /* Where heads or negatives are equal to rounding, the engines may choose differently. */
        if (exact.closest > 1e-5) {
            assert_engines_agree(context, &random.batch, &random.options, 2e-5);
        } else {
            too_close++;
        }
        oracle_free(&exact);
        random_batch_free(&random);
    }
    assert_in_range(too_close, 0, WITH_ALL / WITH_STEP / 4);
    td_context_free(context);
}

/* On vectors that rounding leaves as they are, so that heads and hard negatives are the same. Tolerances of
 * gradients are those of one rounded weight: some batches have few. */
static void bfloat16_agrees_on_random_batches(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    uint64_t random_state = 6;
    for (unsigned with = 0; with < WITH_ALL; with += WITH_STEP) {
        uint32_t rows = 2 + (uint32_t)test_uniform(&random_state, 0, 120);
        uint32_t dim = 1 + (uint32_t)test_uniform(&random_state, 0, 70);
        random_batch random = random_batch_make(with, rows, dim, with + 1000);
        size_t queries = (size_t)random.batch.queries * random.batch.heads * dim;
        softmax_make_exact((float *)random.batch.query, queries);
        softmax_make_exact((float *)random.batch.candidate, (size_t)random.batch.candidates * dim);
        random.options.temperature = SOFTMAX_FACTOR_1;
        oracle exact = oracle_retrieval(&random.batch, &random.options);
        td_retrieval_result plain = result_make(&random.batch), fused = result_make(&random.batch);
        run_plain(context, &random.batch, &random.options, &plain);
        random.options.precision = TD_PRECISION_BFLOAT16;
        run_fused(context, &random.batch, &random.options, &fused);
        if (exact.closest > 1e-5) {
            assert_close(fused.loss, plain.loss, 2e-5, 2e-5);
            assert_true(difference(fused.row_loss, plain.row_loss, random.batch.queries) <= 2e-5);
            assert_true(difference(fused.d_query, plain.d_query, queries) <= 1e-2);
        }
        result_free(&plain);
        result_free(&fused);
        oracle_free(&exact);
        random_batch_free(&random);
    }
    td_context_free(context);
}

/* --- columns that leave, far above those that stay */

typedef struct tower {
    float query[2], candidates[4];
    uint64_t id[4];
    uint8_t mask[8];
    td_retrieval_batch batch;
    td_retrieval_options options;
} tower;

/* Two rows, four candidates; the third would score 1000 above the positives. */
static void make_tower(tower *t)
{
    *t = (tower){.query = {1.0f, 2.0f}, .candidates = {1.0f, 1.5f, 1000.0f, -2.0f},
                 .id = {7, 8, 9, 10}, .mask = {1, 1, 1, 1, 1, 1, 1, 1}};
    td_retrieval_options_init(&t->options);
    t->batch = (td_retrieval_batch){.queries = 2, .candidates = 4, .heads = 1, .dim = 1,
                                    .query = t->query, .candidate = t->candidates,
                                    .candidate_id = t->id};
}

static void masked_columns_do_not_hide_the_others(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    tower t;
    make_tower(&t);
    t.batch.score_mask = t.mask;
    t.mask[2] = t.mask[6] = 0;
    assert_engines_agree(context, &t.batch, &t.options, 1e-6);
    t.mask[6] = 1; /* in one row it leaves, in the other it rules */
    assert_engines_agree(context, &t.batch, &t.options, 1e-6);
    td_context_free(context);
}

static void accidental_hits_do_not_hide_the_others(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    tower t;
    make_tower(&t);
    t.options.remove_accidental_hits = true;
    t.id[2] = 7; /* a hit of row 0 with another vector; row 1 sees it */
    assert_engines_agree(context, &t.batch, &t.options, 1e-6);
    t.id[1] = 7; /* now it leaves both rows, and so do all but the last */
    assert_engines_agree(context, &t.batch, &t.options, 1e-6);
    t.id[3] = 7; /* nothing but the positives is left */
    assert_engines_agree(context, &t.batch, &t.options, 1e-6);
    td_context_free(context);
}

static void many_equal_ids_in_one_ring(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    random_batch random = random_batch_make(3, 300, 20, WITH_HITS);
    for (uint32_t c = 0; c < random.batch.candidates; c++) {
        random.id[c] = c % 4 * UINT64_C(0x100000000); /* ids that differ in high bits only */
    }
    assert_engines_agree(context, &random.batch, &random.options, 1e-5);
    random_batch_free(&random);
    td_context_free(context);
}

static void negative_weights_push_the_other_way(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    random_batch random = random_batch_make(4, 40, 8, WITH_WEIGHTS);
    for (uint32_t b = 0; b < 40; b += 3) random.weight[b] = -random.weight[b];
    assert_engines_agree(context, &random.batch, &random.options, 1e-5);
    random_batch_free(&random);
    td_context_free(context);
}

/* --- the plain engine is the specification: double behind float32 scores */

static void plain_losses_are_exact(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const float query[] = {1}, candidates[] = {0, 0, 0}, probability[] = {0, 9, 0.5f};
    const float far_query[] = {1000}, far[] = {-1, 1, 1};
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    td_retrieval_batch batch = {.queries = 1, .candidates = 3, .heads = 1, .dim = 1, .query = query,
                                .candidate = candidates, .sampling_probability = probability};
    td_retrieval_result result = {0};
    run_plain(context, &batch, &options, &result);
    assert_close(result.loss, log(1e6 + 1 + 2) - log(1e6), 0, 1e-12);
    batch.query = far_query;
    batch.candidate = far;
    batch.sampling_probability = NULL;
    run_plain(context, &batch, &options, &result);
    assert_close(result.loss, 2000 + log(2), 1e-12, 0);
    td_context_free(context);
}

static void plain_losses_with_hits_are_exact(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const float query[] = {1}, candidates[] = {5, 1, 7, 2};
    const uint64_t ids[] = {9, 4, 4, 4 + (UINT64_C(1) << 32)};
    const uint32_t positive[] = {1};
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    td_retrieval_batch batch = {.queries = 1, .candidates = 4, .heads = 1, .dim = 1, .query = query,
                                .candidate = candidates, .candidate_id = ids, .positive = positive};
    td_retrieval_result result = {0};
    run_plain(context, &batch, &options, &result);
    assert_close(result.loss, log(exp(5) + exp(1) + exp(7) + exp(2)) - 1, 1e-12, 0);
    options.remove_accidental_hits = true;
    run_plain(context, &batch, &options, &result);
    assert_close(result.loss, log(exp(5) + exp(1) + exp(2)) - 1, 1e-12, 0);
    td_context_free(context);
}

static void plain_losses_of_few_columns_are_exact(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const float query[] = {1}, candidates[] = {0, 2, 3, 2, 3, 2}, three[] = {1, 2, 3};
    const uint8_t mask[] = {1, 0, 1};
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.hard_negatives = 3;
    td_retrieval_batch batch = {.queries = 1, .candidates = 6, .heads = 1, .dim = 1, .query = query,
                                .candidate = candidates};
    td_retrieval_result result = {0};
    run_plain(context, &batch, &options, &result);
    assert_close(result.loss, log(1 + exp(2) + 2 * exp(3)), 1e-12, 0);
    options.hard_negatives = 0;
    options.label_smoothing = 0.5f;
    batch.candidates = 3;
    batch.candidate = three;
    batch.score_mask = mask;
    run_plain(context, &batch, &options, &result);
    assert_close(result.loss, log(exp(1) + exp(3)) - 0.75 * 1 - 0.25 * 3, 1e-12, 0);
    td_context_free(context);
}

static void plain_scales_are_exact(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    random_batch random = random_batch_make(11, 10, 4, WITH_WEIGHTS);
    td_retrieval_shape shape = shape_of(&random.batch);
    td_retrieval_result sum = {0}, mean = {0};
    td__plain *plain;
    assert_ok(td__plain_create(&plain, context, &shape, &random.options, true, &err));
    assert_ok(td__plain_compute(plain, &random.batch, 1.0, &sum, &err));
    assert_ok(td__plain_compute(plain, &random.batch, 0.1, &mean, &err));
    assert_close(mean.loss, sum.loss / 10, 1e-12, 0);
    assert_close(mean.d_temperature, sum.d_temperature / 10, 1e-12, 0);
    td__plain_free(plain);
    random_batch_free(&random);
    td_context_free(context);
}

static void plain_memory_has_no_b_times_c_term(void **state)
{
    (void)state;
    td_error err = {0};
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    int64_t before = memory.bytes;
    td_retrieval_shape shape = {.queries_max = 65536, .candidates_max = 65536, .heads = 1, .dim = 4};
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    td__plain *plain;
    assert_ok(td__plain_create(&plain, context, &shape, &options, true, &err));
    assert_true(memory.bytes - before < INT64_C(65536) * 65536 / 100);
    td__plain_free(plain);
    td_context_free(context);
}

static void the_task_takes_the_fused_engine(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    random_batch random = random_batch_make(9, 60, 16, WITH_HITS | WITH_PROBABILITY);
    td_retrieval_result fused = result_make(&random.batch), task_result = result_make(&random.batch);
    td_retrieval_shape shape = shape_of(&random.batch);
    td_retrieval *task;
    assert_ok(td_retrieval_create(&task, context, &shape, &random.options, &err));
    assert_ok(td_retrieval_compute(task, &random.batch, &task_result, &err));
    td_retrieval_free(task);
    run_fused(context, &random.batch, &random.options, &fused);
    assert_true(fused.loss == task_result.loss);
    assert_memory_equal(fused.d_query, task_result.d_query, 60 * 16 * sizeof(float));
    result_free(&fused);
    result_free(&task_result);
    random_batch_free(&random);
    td_context_free(context);
}

static td_status create_and_free(void *state, td_context *context, td_error *err)
{
    td__fused *fused;
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.remove_accidental_hits = true;
    (void)state;
    td_retrieval_shape shape = {.queries_max = 5, .candidates_max = 9, .heads = 1, .dim = 3};
    td_status status = td__fused_create(&fused, context, &shape, &options, err);
    td__fused_free(fused);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(create_and_free, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_agree_on_random_batches),
        cmocka_unit_test(bfloat16_agrees_on_random_batches),
        cmocka_unit_test(masked_columns_do_not_hide_the_others),
        cmocka_unit_test(accidental_hits_do_not_hide_the_others),
        cmocka_unit_test(many_equal_ids_in_one_ring),
        cmocka_unit_test(negative_weights_push_the_other_way),
        cmocka_unit_test(plain_losses_are_exact),
        cmocka_unit_test(plain_losses_with_hits_are_exact),
        cmocka_unit_test(plain_losses_of_few_columns_are_exact),
        cmocka_unit_test(plain_scales_are_exact),
        cmocka_unit_test(plain_memory_has_no_b_times_c_term),
        cmocka_unit_test(the_task_takes_the_fused_engine),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
