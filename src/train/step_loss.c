/* step_loss.c -- the loss of a training batch on its distinct rows.
 *
 * Serves: stage 5. In: distinct vectors and interactions. Out: loss, gradients of distinct vectors. */
#include "train/step_loss.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "kernel/kernel.h"
#include "kernel/softmax.h"
#include "train/negatives.h"
#include "train/retrieval_fused.h"

#include "base/poison.h"

/* Interactions in the order of their query, for the softmax engine. */
typedef struct grouped {
    uint32_t *offset; /* [distinct queries + 2] */
    uint32_t *column; /* [interactions] */
    float *weight;    /* [interactions] */
    uint32_t *copies; /* [distinct candidates] */
    float *bias;      /* [distinct candidates] */
} grouped;

/* Vectors of every interaction, for td_retrieval. */
typedef struct expanded {
    float *query, *d_query;         /* [interactions, heads, dim] */
    float *candidate, *d_candidate; /* [interactions, dim] */
} expanded;

struct td__step_loss {
    td_context *context;
    td_retrieval_options options;
    double partition_power;
    td__row_loss row_loss; /* another loss than the softmax */
    double d_temperature;
    uint32_t heads, dim;
    td__softmax *softmax; /* owned; NULL: the options need the task */
    grouped grouped;
    td_retrieval *task; /* owned */
    expanded expanded;
};

/* --- life */

static td_status create_softmax(td__step_loss *loss, const td__batch_shape *batch, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = loss->context;
    grouped *g = &loss->grouped;
    td__softmax_shape shape = {batch->queries, batch->candidates, batch->interactions, loss->dim};
    TD_TRY(td__softmax_create(&loss->softmax, context, &shape, err));
    if (loss->row_loss.kind != TD_LOSS_SOFTMAX) {
        TD_TRY(td__softmax_reserve_row_losses(loss->softmax, err));
    }
    TD_TRY(td__alloc(&g->offset, context, (uint64_t)batch->queries + 2, sizeof *g->offset, err));
    TD_TRY(td__alloc(&g->column, context, batch->interactions, sizeof *g->column, err));
    TD_TRY(td__alloc(&g->weight, context, batch->interactions, sizeof *g->weight, err));
    TD_TRY(td__alloc(&g->copies, context, batch->candidates, sizeof *g->copies, err));
    TD_TRY(td__alloc(&g->bias, context, batch->candidates, sizeof *g->bias, err));
done:
    return status;
}

static td_status create_task(td__step_loss *loss, uint32_t rows, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = loss->context;
    expanded *e = &loss->expanded;
    size_t bytes = loss->dim * sizeof(float), query_bytes = loss->heads * bytes;
    td_retrieval_shape shape = {
        .queries_max = rows, .candidates_max = rows, .heads = loss->heads, .dim = loss->dim};
    TD_TRY(td_retrieval_create(&loss->task, context, &shape, &loss->options, err));
    TD_TRY(td__alloc(&e->query, context, rows, query_bytes, err));
    TD_TRY(td__alloc(&e->d_query, context, rows, query_bytes, err));
    TD_TRY(td__alloc(&e->candidate, context, rows, bytes, err));
    TD_TRY(td__alloc(&e->d_candidate, context, rows, bytes, err));
done:
    return status;
}

/* What needs the task has its own way with negatives. */
static td_status check_task(const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(td__negatives_needed(options), err, ERR_ARGUMENT,
               "several heads, hard-negatives and label-smoothing work with negatives batch and "
               "without memory-batches");
    TD_FAIL_IF(options->kind != TD_LOSS_SOFTMAX || options->temperature.learned, err, ERR_ARGUMENT,
               "several heads, hard-negatives and label-smoothing work with loss softmax and without "
               "learn-temperature");
    TD_FAIL_IF(options->partition_power != 1.0f, err, ERR_ARGUMENT,
               "partition-power works without several heads, hard-negatives and label-smoothing");
done:
    return status;
}

td_status td__step_loss_create(td__step_loss **out, td_context *context,
                               const td__step_loss_shape *shape, const td_train_options *options,
                               td_error *err)
{
    td_status status = TD_OK;
    td__step_loss *loss = NULL;
    TD_TRY(td__alloc_zero(&loss, context, 1, sizeof *loss, err));
    *loss = (td__step_loss){.context = context,
                            .options = options->loss,
                            .partition_power = (double)options->partition_power,
                            .row_loss = {.kind = options->kind,
                                         .margin = options->margin,
                                         .negative_weight = options->negative_weight},
                            .heads = shape->heads,
                            .dim = shape->dim};
    if (td__fused_serves(shape->heads, &options->loss)) {
        TD_TRY(create_softmax(loss, &shape->batch, err));
    } else {
        TD_TRY(check_task(options, err));
        TD_TRY(create_task(loss, shape->batch.interactions, err));
    }
    *out = loss;
    return TD_OK;
done:
    td__step_loss_free(loss);
    *out = NULL;
    return status;
}

void td__step_loss_free(td__step_loss *loss)
{
    if (loss == NULL) return;
    td_context *context = loss->context;
    td__softmax_free(loss->softmax);
    td__free(context, loss->grouped.offset);
    td__free(context, loss->grouped.column);
    td__free(context, loss->grouped.weight);
    td__free(context, loss->grouped.copies);
    td__free(context, loss->grouped.bias);
    td_retrieval_free(loss->task);
    td__free(context, loss->expanded.query);
    td__free(context, loss->expanded.d_query);
    td__free(context, loss->expanded.candidate);
    td__free(context, loss->expanded.d_candidate);
    td__free(context, loss);
}

/* --- distinct vectors */

/* Counting sort by query. */
static void group_by_query(grouped *g, const td__batch *batch)
{
    const uint32_t *query = batch->queries.of;
    memset(g->offset, 0, ((size_t)batch->queries.count + 2) * sizeof *g->offset);
    for (uint32_t i = 0; i < batch->count; i++) g->offset[query[i] + 2]++;
    for (uint32_t r = 0; r < batch->queries.count; r++) g->offset[r + 2] += g->offset[r + 1];
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t entry = g->offset[query[i] + 1]++;
        g->column[entry] = batch->candidates.of[i];
        g->weight[entry] = batch->weight == NULL ? 1.0f : batch->weight[i];
    }
}

static void count_copies(grouped *g, const td__batch *batch)
{
    memset(g->copies, 0, batch->candidates.count * sizeof *g->copies);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t column = batch->candidates.of[i];
        if (g->copies[column]++ > 0 || batch->probability == NULL) continue;
        g->bias[column] = td__sampling_bias(batch->probability[i]);
    }
}

static double scale_of(const td__step_loss *loss, const td__batch *batch)
{
    return loss->options.reduction == TD_REDUCTION_MEAN ? 1.0 / batch->count : 1.0;
}

static td_status compute_distinct(td__step_loss *loss, const td__batch *batch,
                                  const td__step_vectors *vectors, td_retrieval_result *result,
                                  td_error *err)
{
    grouped *g = &loss->grouped;
    group_by_query(g, batch);
    if (batch->copies == NULL) count_copies(g, batch);
    td__softmax_batch rows = {
        .rows = {.data = vectors->query, .count = batch->queries.count},
        .columns = {.data = vectors->candidate, .count = batch->candidates.count},
        .temperature = loss->options.temperature,
        .bias = batch->copies != NULL ? batch->bias : batch->probability == NULL ? NULL : g->bias,
        .own_bias = batch->own_bias,
        .copies = batch->copies != NULL ? batch->copies : g->copies,
        .entry_offset = g->offset,
        .entry_column = g->column,
        .entry_weight = g->weight,
        .weight_scale = scale_of(loss, batch),
        .partition_power = loss->partition_power,
        .row_loss = loss->row_loss.kind == TD_LOSS_SOFTMAX ? NULL : &loss->row_loss,
        .remove_copies = loss->options.remove_accidental_hits,
    };
    td__softmax_result sums = {.d_rows = vectors->d_query, .d_columns = vectors->d_candidate};
    td_status status = td__softmax_compute(loss->softmax, &rows, &sums, err);
    result->loss = sums.loss;
    result->d_temperature = sums.d_temperature;
    return status;
}

/* --- a vector for each interaction */

static void expand(const td__distinct *distinct, uint32_t count, size_t width, const float *from,
                   float *to)
{
    for (uint32_t i = 0; i < count; i++) {
        memcpy(to + i * width, from + distinct->of[i] * width, width * sizeof *to);
    }
}

/* The gradient of each distinct row from those of its interactions. */
static void add_up(const td__step_loss *loss, const td__distinct *distinct, uint32_t count,
                   uint32_t width, const float *from, float *to)
{
    memset(to, 0, (size_t)distinct->count * width * sizeof *to);
    for (uint32_t i = 0; i < count; i++) {
        loss->context->kernels->axpy(1.0f, from + (size_t)i * width,
                                     to + (size_t)distinct->of[i] * width, width);
    }
}

static td_status compute_expanded(td__step_loss *loss, const td__batch *batch,
                                  const td__step_vectors *vectors, td_retrieval_result *result,
                                  td_error *err)
{
    td_status status = TD_OK;
    expanded *e = &loss->expanded;
    uint32_t query_width = loss->heads * loss->dim;
    expand(&batch->queries, batch->count, query_width, vectors->query, e->query);
    expand(&batch->candidates, batch->count, loss->dim, vectors->candidate, e->candidate);
    td_retrieval_batch rows = {.queries = batch->count,
                               .candidates = batch->count,
                               .heads = loss->heads,
                               .dim = loss->dim,
                               .query = e->query,
                               .candidate = e->candidate,
                               .sample_weight = batch->weight,
                               .sampling_probability = batch->probability,
                               .candidate_id = batch->candidate_id};
    result->d_query = e->d_query;
    result->d_candidate = e->d_candidate;
    TD_TRY(td_retrieval_compute(loss->task, &rows, result, err));
    add_up(loss, &batch->queries, batch->count, query_width, e->d_query, vectors->d_query);
    add_up(loss, &batch->candidates, batch->count, loss->dim, e->d_candidate, vectors->d_candidate);
done:
    return status;
}

td_status td__step_loss_compute(td__step_loss *loss, const td__batch *batch,
                                const td__step_vectors *vectors, double *sum, td_error *err)
{
    td_status status = TD_OK;
    td_retrieval_result result = {0};
    *sum = 0.0;
    if (loss->softmax != NULL) TD_TRY(compute_distinct(loss, batch, vectors, &result, err));
    else TD_TRY(compute_expanded(loss, batch, vectors, &result, err));
    TD_FAIL_IF(!isfinite(result.loss) || !isfinite(result.d_temperature), err, ERR_NUMERIC,
               "the loss is %g and its slope %g", result.loss, result.d_temperature);
    *sum = result.loss / scale_of(loss, batch);
    loss->d_temperature = result.d_temperature;
done:
    return status;
}

void td__step_loss_set_temperature(td__step_loss *loss, float temperature)
{
    loss->options.temperature = temperature;
}

double td__step_loss_d_temperature(const td__step_loss *loss)
{
    return loss->d_temperature;
}
