/* retrieval_golden_test.c -- the retrieval task against the real tensorflow-recommenders.
 *
 * All cases of tests/golden/retrieval but those where TFRS has a defect or we mean something else;
 * those have tests of their own, which say what we do instead. */
#include "support/golden.h"
#include "support/retrieval_oracle.h"

#include <math.h>

/* A golden case as a batch. */
typedef struct golden_batch {
    td_retrieval_batch batch;
    td_retrieval_options options;
    uint64_t *id; /* owned */
} golden_batch;

/* Files do not say where rows end and heads begin; the shapes do (golden_retrieval.py). */
static uint32_t rows_of(uint64_t candidates, uint64_t dim)
{
    if (candidates == 23) return 16;
    if (candidates == 4) return dim == 3 ? 1 : 6;
    return (uint32_t)candidates;
}

static td_reduction reduction_of(const golden_case *one)
{
    const char *name = golden_text(one, "reduction");
    if (strcmp(name, "sum") == 0) return TD_REDUCTION_SUM;
    return strcmp(name, "none") == 0 ? TD_REDUCTION_NONE : TD_REDUCTION_MEAN;
}

static golden_batch batch_of(const golden_case *one)
{
    golden_batch made = {.id = NULL};
    td_retrieval_batch *batch = &made.batch;
    char name[96];
    uint64_t count, ids;
    snprintf(name, sizeof name, "%s/candidate", one->name);
    const td__tensor *candidate = td__container_find(one->file->tensors, name);
    batch->candidate = candidate->data;
    batch->candidates = (uint32_t)candidate->rows;
    batch->dim = (uint32_t)candidate->cols;
    batch->query = golden_f32(one, "query", &count);
    batch->queries = rows_of(batch->candidates, batch->dim);
    batch->heads = (uint32_t)(count / batch->dim / batch->queries);
    batch->sample_weight = golden_f32(one, "sample_weight", NULL);
    batch->sampling_probability = golden_f32(one, "sampling_probability", NULL);
    batch->score_mask = golden_u8(one, "score_mask", NULL);
    const int64_t *id = golden_i64(one, "candidate_id", &ids);
    if (id != NULL) {
        made.id = malloc(ids * sizeof *made.id);
        for (uint64_t i = 0; i < ids; i++) made.id[i] = (uint64_t)id[i];
    }
    batch->candidate_id = made.id;
    td_retrieval_options_init(&made.options);
    made.options.temperature = (float)golden_number(one, "temperature", 1.0);
    made.options.remove_accidental_hits = golden_true(one, "remove_accidental_hits");
    made.options.hard_negatives = (uint32_t)golden_number(one, "num_hard_negatives", 0);
    made.options.label_smoothing = (float)golden_number(one, "label_smoothing", 0);
    made.options.reduction = reduction_of(one);
    return made;
}

static td_status compute(td_context *context, const golden_batch *made, td_retrieval_result *result,
                         td_error *err)
{
    td_retrieval *task;
    td_retrieval_shape shape = shape_of(&made->batch);
    td_status status = td_retrieval_create(&task, context, &shape, &made->options, err);
    if (status == TD_OK) status = td_retrieval_compute(task, &made->batch, result, err);
    td_retrieval_free(task);
    return status;
}

/* Share of the largest value; the loss by itself, so that none hides behind another. */
static double worst_error(const golden_case *one, const golden_batch *made,
                          const td_retrieval_result *result)
{
    uint64_t losses, queries, candidates;
    const float *loss = golden_f32(one, "loss", &losses);
    const float *d_query = golden_f32(one, "d_query", &queries);
    const float *d_candidate = golden_f32(one, "d_candidate", &candidates);
    float reduced = (float)result->loss;
    bool none = made->options.reduction == TD_REDUCTION_NONE;
    assert_int_equal(losses, none ? made->batch.queries : 1);
    assert_int_equal(candidates, (uint64_t)made->batch.candidates * made->batch.dim);
    double error = golden_error(none ? result->row_loss : &reduced, loss, losses);
    error = fmax(error, golden_error(result->d_query, d_query, queries));
    return fmax(error, golden_error(result->d_candidate, d_candidate, candidates));
}

/* Cases that mean something else here. */
static bool is_ours(const golden_case *one)
{
    return golden_text(one, "defect") != NULL || golden_text(one, "note") != NULL;
}

static void losses_and_gradients_match_tfrs(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    golden tfrs = golden_open("retrieval");
    size_t compared = 0;
    for (size_t i = 0; i < golden_count(&tfrs); i++) {
        golden_case one = golden_case_begin(&tfrs, i);
        golden_batch made = batch_of(&one);
        td_retrieval_result result = result_make(&made.batch);
        if (!is_ours(&one)) {
            assert_ok(compute(context, &made, &result, &err));
            double error = worst_error(&one, &made, &result);
            if (!(error < 1e-5)) fail_msg("%s: error %.3g", one.name, error);
            compared++;
        }
        result_free(&result);
        free(made.id);
        golden_case_end(&one);
    }
    assert_true(compared >= 230);
    golden_close(&tfrs);
    td_context_free(context);
}

/* --- what we do where TFRS does otherwise */

static void check_refused(const char *name, td_status expected, const char *part)
{
    td_error err = {0};
    td_context *context = test_context(1);
    golden tfrs = golden_open("retrieval");
    golden_case one = golden_case_named(&tfrs, name);
    golden_batch made = batch_of(&one);
    td_retrieval_result result = result_make(&made.batch);
    assert_fails(compute(context, &made, &result, &err), expected, part);
    result_free(&result);
    free(made.id);
    golden_case_end(&one);
    golden_close(&tfrs);
    td_context_free(context);
}

static void what_tfrs_lets_pass_is_refused(void **state)
{
    (void)state;
    check_refused("mask_no_positive", TD_ERR_ARGUMENT, "row 1: score_mask");
    check_refused("mask_no_positive_hard", TD_ERR_ARGUMENT, "row 1: score_mask");
    check_refused("mask_false_row", TD_ERR_ARGUMENT, "row 1: score_mask");
    check_refused("mask_false_row_hard", TD_ERR_ARGUMENT, "row 1: score_mask");
    check_refused("narrow_plain", TD_ERR_ARGUMENT, "positives of 6 queries");
    check_refused("narrow_hits", TD_ERR_ARGUMENT, "positives of 6 queries");
    check_refused("hits_without_ids", TD_ERR_ARGUMENT, "candidate_id");
    check_refused("temperature_0", TD_ERR_ARGUMENT, "temperature");
}

static void smoothing_does_not_reach_columns_that_left(void **state)
{
    (void)state;
    td_error err = {0};
    static const char *const names[] = {"hits_smoothing", "mask_smoothing"};
    td_context *context = test_context(1);
    golden tfrs = golden_open("retrieval");
    for (size_t i = 0; i < 2; i++) {
        golden_case one = golden_case_named(&tfrs, names[i]);
        golden_batch made = batch_of(&one);
        td_retrieval_result result = result_make(&made.batch);
        oracle expected = oracle_retrieval(&made.batch, &made.options);
        assert_ok(compute(context, &made, &result, &err));
        assert_close(result.loss, expected.loss, 1e-6, 0);
        assert_true((double)golden_f32(&one, "loss", NULL)[0] > 1e30); /* TFRS */
        oracle_free(&expected);
        result_free(&result);
        free(made.id);
        golden_case_end(&one);
    }
    golden_close(&tfrs);
    td_context_free(context);
}

/* TFRS splits the gradient evenly among tied heads; here the first has all of it. */
static void tied_heads_have_the_same_gradient_in_sum(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    golden tfrs = golden_open("retrieval");
    golden_case one = golden_case_named(&tfrs, "heads_tied");
    golden_batch made = batch_of(&one);
    td_retrieval_result result = result_make(&made.batch);
    assert_ok(compute(context, &made, &result, &err));
    uint64_t count;
    const float *d_query = golden_f32(&one, "d_query", &count);
    const float *d_candidate = golden_f32(&one, "d_candidate", NULL);
    size_t dim = made.batch.dim, width = made.batch.heads * dim;
    assert_close(result.loss, (double)golden_f32(&one, "loss", NULL)[0], 1e-6, 0);
    assert_true(golden_error(result.d_candidate, d_candidate, made.batch.candidates * dim) < 1e-5);
    for (size_t b = 0; b < made.batch.queries; b++) {
        for (size_t k = 0; k < dim; k++) {
            size_t first = b * width + k, second = first + dim; /* head 1 repeats head 0 */
            assert_true(result.d_query[second] == 0);
            assert_close((double)result.d_query[first], (double)(d_query[first] + d_query[second]),
                         1e-5, 1e-6);
        }
    }
    result_free(&result);
    free(made.id);
    golden_case_end(&one);
    golden_close(&tfrs);
    td_context_free(context);
}

/* TFRS documents 0 as "all negatives" and keeps none; here it does what is documented. */
static void no_hard_negatives_means_all_negatives(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    golden tfrs = golden_open("retrieval");
    golden_case one = golden_case_named(&tfrs, "hard_0");
    golden_batch made = batch_of(&one);
    td_retrieval_result result = result_make(&made.batch);
    oracle expected = oracle_retrieval(&made.batch, &made.options);
    assert_ok(compute(context, &made, &result, &err));
    assert_true(golden_f32(&one, "loss", NULL)[0] == 0); /* TFRS */
    assert_true(result.loss > 1);
    assert_close(result.loss, expected.loss, 1e-6, 0);
    oracle_free(&expected);
    result_free(&result);
    free(made.id);
    golden_case_end(&one);
    golden_close(&tfrs);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_match_tfrs),
        cmocka_unit_test(what_tfrs_lets_pass_is_refused),
        cmocka_unit_test(smoothing_does_not_reach_columns_that_left),
        cmocka_unit_test(tied_heads_have_the_same_gradient_in_sum),
        cmocka_unit_test(no_hard_negatives_means_all_negatives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
