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

/* The other way round of a symmetric loss: interactions in the order of their candidate. */
typedef struct turned {
    uint32_t *offset;   /* [distinct candidates + 2] */
    uint32_t *column;   /* [interactions] their queries */
    float *weight;      /* [interactions] */
    uint32_t *copies;   /* [distinct queries] */
    float *d_candidate; /* [distinct candidates, dim] */
    float *d_query;     /* [distinct queries, dim] */
} turned;

struct td__step_loss {
    td_context *context;
    td_retrieval_options options;
    double partition_power;
    bool decoupled;
    td__row_loss row_loss; /* another loss than the softmax */
    double d_temperature;
    uint32_t heads, dim;
    td__softmax *softmax; /* owned */
    grouped grouped;
    turned turned; /* of a symmetric loss */
};

/* --- life */

/* Hard negatives and smoothed labels are the softmax's alone. */
static td_status check_row_loss(const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    bool softmax_only = options->loss.hard_negatives > 0 || options->loss.label_smoothing > 0.0f;
    bool others = softmax_only || options->loss.symmetric;
    TD_FAIL_IF(options->kind != TD_LOSS_SOFTMAX && softmax_only, err, ERR_ARGUMENT,
               "hard-negatives and label-smoothing work with loss softmax");
    TD_FAIL_IF(options->kind != TD_LOSS_SOFTMAX && options->loss.symmetric, err, ERR_ARGUMENT,
               "symmetric works with loss softmax");
    TD_FAIL_IF(options->decoupled && (options->kind != TD_LOSS_SOFTMAX || others), err, ERR_ARGUMENT,
               "decoupled works with loss softmax, without hard-negatives, label-smoothing and "
               "symmetric");
done:
    return status;
}

static td_status create_turned(td__step_loss *loss, const td__batch_shape *batch, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = loss->context;
    turned *t = &loss->turned;
    size_t row_bytes = loss->dim * sizeof(float);
    TD_FAIL_IF(loss->heads > 1, err, ERR_ARGUMENT,
               "symmetric works with one vector a query; heads is %u", loss->heads);
    TD_TRY(td__alloc(&t->offset, context, (uint64_t)batch->candidates + 2, sizeof *t->offset, err));
    TD_TRY(td__alloc(&t->column, context, batch->interactions, sizeof *t->column, err));
    TD_TRY(td__alloc(&t->weight, context, batch->interactions, sizeof *t->weight, err));
    TD_TRY(td__alloc(&t->copies, context, batch->queries, sizeof *t->copies, err));
    TD_TRY(td__alloc(&t->d_candidate, context, batch->candidates, row_bytes, err));
    TD_TRY(td__alloc(&t->d_query, context, batch->queries, row_bytes, err));
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
                               .hard_negatives = loss->options.hard_negatives,
                               .precision = loss->options.precision};
    if (loss->options.symmetric && shape.columns < shape.rows) shape.columns = shape.rows;
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
                            .decoupled = options->decoupled,
                            .row_loss = {.kind = options->kind,
                                         .margin = options->margin,
                                         .negative_weight = options->negative_weight},
                            .heads = shape->heads,
                            .dim = shape->dim};
    TD_TRY(check_row_loss(options, err));
    TD_TRY(create_softmax(loss, &shape->batch, err));
    if (loss->options.symmetric) TD_TRY(create_turned(loss, &shape->batch, err));
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
    td__free(context, loss->turned.offset);
    td__free(context, loss->turned.column);
    td__free(context, loss->turned.weight);
    td__free(context, loss->turned.copies);
    td__free(context, loss->turned.d_candidate);
    td__free(context, loss->turned.d_query);
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

/* Each way of a symmetric loss counts half. */
static double weight_of(const td__step_loss *loss, const td__batch *batch)
{
    return loss->options.symmetric ? 0.5 * scale_of(loss, batch) : scale_of(loss, batch);
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
        .weight_scale = weight_of(loss, batch),
        .partition_power = loss->partition_power,
        .row_loss = loss->row_loss.kind == TD_LOSS_SOFTMAX ? NULL : &loss->row_loss,
        .heads = loss->heads,
        .hard_negatives = loss->options.hard_negatives,
        .label_smoothing = (double)loss->options.label_smoothing,
        .decoupled = loss->decoupled,
        .absent_offset = batch->known_offset,
        .absent_column = batch->known_column,
        .remove_copies = loss->options.remove_accidental_hits,
    };
}

/* Counting sort by candidate. A column's copies are the interactions of its query. */
static void turn(turned *t, const td__batch *batch)
{
    const uint32_t *query = batch->queries.of, *candidate = batch->candidates.of;
    memset(t->offset, 0, ((size_t)batch->candidates.count + 2) * sizeof *t->offset);
    memset(t->copies, 0, batch->queries.count * sizeof *t->copies);
    for (uint32_t i = 0; i < batch->count; i++) t->offset[candidate[i] + 2]++;
    for (uint32_t c = 0; c < batch->candidates.count; c++) t->offset[c + 2] += t->offset[c + 1];
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t entry = t->offset[candidate[i] + 1]++;
        t->column[entry] = query[i];
        t->weight[entry] = batch->weight == NULL ? 1.0f : batch->weight[i];
        t->copies[query[i]]++;
    }
}

static void add_arrays(float *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] += from[i];
}

/* The other way round: distinct candidates against distinct queries. Nothing corrects for sampling: a
 * candidate's own bias is in all scores of its row. */
static td_status add_turned(td__step_loss *loss, const td__batch *batch,
                            const td__step_vectors *vectors, td__softmax_result *sums, td_error *err)
{
    turned *t = &loss->turned;
    td__softmax_batch rows = {
        .rows = {.data = vectors->candidate, .count = batch->candidates.count},
        .columns = {.data = vectors->query, .count = batch->queries.count},
        .temperature = loss->options.temperature,
        .copies = t->copies,
        .entry_offset = t->offset,
        .entry_column = t->column,
        .entry_weight = t->weight,
        .weight_scale = weight_of(loss, batch),
        .partition_power = loss->partition_power,
        .hard_negatives = loss->options.hard_negatives,
        .label_smoothing = (double)loss->options.label_smoothing,
        .remove_copies = loss->options.remove_accidental_hits,
    };
    td__softmax_result more = {.d_rows = t->d_candidate, .d_columns = t->d_query};
    turn(t, batch);
    td_status status = td__softmax_compute(loss->softmax, &rows, &more, err);
    if (status != TD_OK) return status;
    sums->loss += more.loss;
    sums->d_temperature += more.d_temperature;
    add_arrays(vectors->d_candidate, t->d_candidate, (size_t)batch->candidates.count * loss->dim);
    add_arrays(vectors->d_query, t->d_query, (size_t)batch->queries.count * loss->dim);
    return TD_OK;
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
    if (loss->options.symmetric) TD_TRY(add_turned(loss, batch, vectors, &sums, err));
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
