/* retrieval.c -- the retrieval task on bare arrays: its options, its handle, its checks.
 *
 * Serves: stage 4. In: a batch of vectors. Out: loss and gradients. What the numbers are is said in
 * retrieval_reference.c; this file makes sure that they mean something, and hands them to the fused
 * engine; scores come from the plain one. */
#include <math.h>

#include "base/limits.h"
#include "base/memory.h"
#include "train/check_numbers.h"
#include "train/retrieval_fused.h"
#include "train/retrieval_options.h"
#include "train/retrieval_plain.h"

#include "base/poison.h"

struct td_retrieval {
    td_context *context;
    td_retrieval_shape shape;
    td_retrieval_options options;
    td__fused *fused; /* owned: loss and gradients */
    td__plain *plain; /* owned: scores */
};

static const td_option rows[] = {
    TD__RETRIEVAL_OPTION_ROWS(td_retrieval_options, , "false"),
};
static const td_option_table table = TD__OPTION_TABLE("retrieval", td_retrieval_options, rows);

const td_option_table *td_retrieval_option_table(void)
{
    return &table;
}

void td_retrieval_options_init(td_retrieval_options *options)
{
    td_options_init(&table, options);
}

/* --- handle */

static td_status check_shape(const td_retrieval_shape *shape, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(shape->dim < 1 || shape->dim > TD__DIM_MAX, err, ERR_ARGUMENT,
               "dim is %u; 1 to %d are allowed", shape->dim, TD__DIM_MAX);
    TD_FAIL_IF(shape->heads > TD__HEADS_MAX, err, ERR_ARGUMENT,
               "heads is %u; at most %d are allowed", shape->heads, TD__HEADS_MAX);
done:
    return status;
}

td_status td_retrieval_create(td_retrieval **out, td_context *context,
                              const td_retrieval_shape *shape, const td_retrieval_options *options,
                              td_error *err)
{
    td_status status = TD_OK;
    td_retrieval *task = NULL;
    td_retrieval_options chosen;
    td_retrieval_options_init(&chosen);
    if (options != NULL) chosen = *options;
    TD_TRY(td_options_check(&table, &chosen, err));
    TD_TRY(check_shape(shape, err));
    TD_TRY(td__alloc_zero(&task, context, 1, sizeof *task, err));
    task->context = context;
    task->options = chosen;
    task->shape = *shape;
    if (task->shape.heads == 0) task->shape.heads = 1;
    TD_FAIL_IF(chosen.symmetric && task->shape.heads > 1, err, ERR_ARGUMENT,
               "a symmetric loss works with one head; there are %u", task->shape.heads);
    TD_TRY(td__fused_create(&task->fused, context, &task->shape, &chosen, err));
    TD_TRY(td__plain_create(&task->plain, context, &task->shape, &chosen, false, err));
    *out = task;
    return TD_OK;
done:
    td_retrieval_free(task);
    *out = NULL;
    return status;
}

void td_retrieval_free(td_retrieval *task)
{
    if (task == NULL) return;
    td__fused_free(task->fused);
    td__plain_free(task->plain);
    td__free(task->context, task);
}

/* --- checks */

static td_status check_symmetric(const td_retrieval *task, const td_retrieval_batch *batch,
                                 td_error *err)
{
    td_status status = TD_OK;
    if (!task->options.symmetric) return TD_OK;
    TD_FAIL_IF(task->options.remove_accidental_hits && batch->query_id == NULL, err, ERR_ARGUMENT,
               "removing accidental hits from a symmetric loss needs query_id");
    TD_FAIL_IF(batch->score_mask != NULL, err, ERR_ARGUMENT,
               "a symmetric loss takes no score_mask");
done:
    return status;
}

static td_status check_fit(const td_retrieval *task, const td_retrieval_batch *batch, td_error *err)
{
    const td_retrieval_shape *shape = &task->shape;
    td_status status = TD_OK;
    TD_FAIL_IF(batch->dim != shape->dim || batch->heads != shape->heads, err, ERR_ARGUMENT,
               "the batch has dim %u and %u heads, the task was made for %u and %u", batch->dim,
               batch->heads, shape->dim, shape->heads);
    TD_FAIL_IF(batch->queries > shape->queries_max || batch->candidates > shape->candidates_max,
               err, ERR_ARGUMENT,
               "the batch has %u queries and %u candidates, the task room for %u and %u",
               batch->queries, batch->candidates, shape->queries_max, shape->candidates_max);
    TD_FAIL_IF(batch->query == NULL && batch->queries > 0, err, ERR_ARGUMENT, "query is missing");
    TD_FAIL_IF(batch->candidate == NULL && batch->candidates > 0, err, ERR_ARGUMENT,
               "candidate is missing");
    TD_FAIL_IF(batch->positive == NULL && batch->candidates < batch->queries, err, ERR_ARGUMENT,
               "%u candidates cannot hold the positives of %u queries; give positive",
               batch->candidates, batch->queries);
    TD_FAIL_IF(task->options.remove_accidental_hits && batch->candidate_id == NULL, err,
               ERR_ARGUMENT, "removing accidental hits needs candidate_id");
    TD_TRY(check_symmetric(task, batch, err));
done:
    return status;
}

/* Every row has a positive, and it takes part. */
static td_status check_positives(const td_retrieval_batch *batch, td_error *err)
{
    td_status status = TD_OK;
    for (uint32_t b = 0; b < batch->queries; b++) {
        uint32_t positive = batch->positive != NULL ? batch->positive[b] : b;
        TD_FAIL_IF(positive >= batch->candidates, err, ERR_ARGUMENT,
                   "row %u: positive is %u; there are %u candidates", b, positive,
                   batch->candidates);
        TD_FAIL_IF(batch->score_mask != NULL
                       && batch->score_mask[(size_t)b * batch->candidates + positive] == 0,
                   err, ERR_ARGUMENT, "row %u: score_mask leaves out the row's positive, column %u",
                   b, positive);
    }
done:
    return status;
}

static td_status check_values(const td_retrieval_batch *batch, td_error *err)
{
    td_status status = TD_OK;
    const float *probability = batch->sampling_probability;
    uint64_t query_width = (uint64_t)batch->heads * batch->dim;
    TD_TRY(td__check_finite("query", batch->query, batch->queries, query_width, err));
    TD_TRY(td__check_finite("candidate", batch->candidate, batch->candidates, batch->dim, err));
    TD_TRY(td__check_finite("sample_weight", batch->sample_weight, batch->queries, 1, err));
    TD_TRY(td__check_finite("sampling_probability", probability, batch->candidates, 1, err));
    for (uint32_t c = 0; probability != NULL && c < batch->candidates; c++) {
        TD_FAIL_IF(probability[c] < 0.0f, err, ERR_ARGUMENT,
                   "sampling_probability of candidate %u is %g; probabilities are not negative", c,
                   (double)probability[c]);
    }
done:
    return status;
}

static td_status check_batch(const td_retrieval *task, const td_retrieval_batch *batch,
                             td_error *err)
{
    td_status status = check_fit(task, batch, err);
    if (status == TD_OK) status = check_positives(batch, err);
    if (status == TD_OK) status = check_values(batch, err);
    return status;
}

/* Gradients and losses are float32 and may not fit. */
static td_status check_result(const td_retrieval_batch *batch, const td_retrieval_result *result,
                              td_error *err)
{
    td_status status = TD_OK;
    uint64_t query_width = (uint64_t)batch->heads * batch->dim;
    TD_TRY(td__check_finite("row_loss", result->row_loss, batch->queries, 1, err));
    TD_TRY(td__check_finite("d_query", result->d_query, batch->queries, query_width, err));
    TD_TRY(
        td__check_finite("d_candidate", result->d_candidate, batch->candidates, batch->dim, err));
    TD_FAIL_IF(!isfinite(result->loss) || !isfinite(result->d_temperature), err, ERR_NUMERIC,
               "the loss is %g and d_temperature %g", result->loss, result->d_temperature);
done:
    return status;
}

/* --- work */

static td_retrieval_batch with_heads(const td_retrieval_batch *batch)
{
    td_retrieval_batch copy = *batch;
    if (copy.heads == 0) copy.heads = 1;
    return copy;
}

td_status td_retrieval_compute(td_retrieval *task, const td_retrieval_batch *batch,
                               td_retrieval_result *result, td_error *err)
{
    td_status status = TD_OK;
    td_retrieval_batch checked = with_heads(batch);
    bool mean = task->options.reduction == TD_REDUCTION_MEAN && checked.queries > 0;
    TD_TRY(check_batch(task, &checked, err));
    double scale = mean ? 1.0 / checked.queries : 1.0;
    TD_TRY(td__fused_compute(task->fused, &checked, scale, result, err));
    TD_TRY(check_result(&checked, result, err));
done:
    return status;
}

td_status td_retrieval_scores(td_retrieval *task, const td_retrieval_batch *batch, float *scores,
                              td_error *err)
{
    td_retrieval_batch checked = with_heads(batch);
    td_status status = check_batch(task, &checked, err);
    if (status != TD_OK) return status;
    return td__plain_scores(task->plain, &checked, scores, err);
}
