/* step_loss.c -- the loss of a training batch on its distinct rows.
 *
 * Serves: stage 5. In: distinct vectors and interactions. Out: loss, gradients of distinct vectors. */
#include "train/step_loss.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "kernel/softmax.h"
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

struct td__step_loss {
    td_context *context;
    td_retrieval_options options;
    double partition_power;
    td__row_loss row_loss; /* another loss than the softmax */
    double d_temperature;
    uint32_t heads, dim;
    td__softmax *softmax; /* owned */
    grouped grouped;
};

/* --- life */

/* Hard negatives and smoothed labels are the softmax's alone. */
static td_status check_row_loss(const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    bool softmax_only = options->loss.hard_negatives > 0 || options->loss.label_smoothing > 0.0f;
    TD_FAIL_IF(options->kind != TD_LOSS_SOFTMAX && softmax_only, err, ERR_ARGUMENT,
               "hard-negatives and label-smoothing work with loss softmax");
done:
    return status;
}

static td_status create_softmax(td__step_loss *loss, const td__batch_shape *batch, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = loss->context;
    grouped *g = &loss->grouped;
    td__softmax_shape shape = {.rows = batch->queries,
                               .columns = batch->candidates,
                               .entries = batch->interactions,
                               .dim = loss->dim,
                               .heads = loss->heads,
                               .hard_negatives = loss->options.hard_negatives};
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
    TD_TRY(check_row_loss(options, err));
    TD_TRY(create_softmax(loss, &shape->batch, err));
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
    td__free(context, loss);
}

/* --- one batch */

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

static td__softmax_batch softmax_batch(const td__step_loss *loss, const td__batch *batch,
                                       const td__step_vectors *vectors)
{
    const grouped *g = &loss->grouped;
    const float *bias = batch->probability == NULL ? NULL : g->bias;
    return (td__softmax_batch){
        .rows = {.data = vectors->query, .count = batch->queries.count},
        .columns = {.data = vectors->candidate, .count = batch->candidates.count},
        .temperature = loss->options.temperature,
        .bias = batch->copies != NULL ? batch->bias : bias,
        .own_bias = batch->own_bias,
        .copies = batch->copies != NULL ? batch->copies : g->copies,
        .entry_offset = g->offset,
        .entry_column = g->column,
        .entry_weight = g->weight,
        .weight_scale = scale_of(loss, batch),
        .partition_power = loss->partition_power,
        .row_loss = loss->row_loss.kind == TD_LOSS_SOFTMAX ? NULL : &loss->row_loss,
        .heads = loss->heads,
        .hard_negatives = loss->options.hard_negatives,
        .label_smoothing = (double)loss->options.label_smoothing,
        .remove_copies = loss->options.remove_accidental_hits,
    };
}

td_status td__step_loss_compute(td__step_loss *loss, const td__batch *batch,
                                const td__step_vectors *vectors, double *sum, td_error *err)
{
    td_status status = TD_OK;
    grouped *g = &loss->grouped;
    group_by_query(g, batch);
    if (batch->copies == NULL) count_copies(g, batch);
    td__softmax_batch rows = softmax_batch(loss, batch, vectors);
    td__softmax_result sums = {.d_rows = vectors->d_query, .d_columns = vectors->d_candidate};
    *sum = 0.0;
    TD_TRY(td__softmax_compute(loss->softmax, &rows, &sums, err));
    TD_FAIL_IF(!isfinite(sums.loss) || !isfinite(sums.d_temperature), err, ERR_NUMERIC,
               "the loss is %g and its slope %g", sums.loss, sums.d_temperature);
    *sum = sums.loss / scale_of(loss, batch);
    loss->d_temperature = sums.d_temperature;
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
