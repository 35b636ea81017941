/* retrieval_fused.c -- the fast engine of the retrieval task.
 *
 * Serves: stage 4. In: a checked batch. Out: loss and gradients.
 *
 * A row of the batch is a row of the softmax with one entry, a candidate is a column. Candidates come
 * as vectors of their own, so equal ids are not made one; they are linked into rings, and the others of
 * the positive's ring leave the row: accidental hits. Rings are found with a hash table of the ids.
 *
 * The other way round of a symmetric loss is a second call with the roles changed: row b is the positive of
 * row b, column b its query. Both calls count half, and their gradients are added. */
#include "train/retrieval_fused.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "kernel/softmax.h"

#include "base/poison.h"

struct td__fused {
    td_context *context;
    td_retrieval_options options;
    td__softmax *softmax;
    float *bias;         /* [C] */
    uint32_t *ring_next; /* [C] */
    uint32_t *slots;     /* [slot_count] a column of each id + 1, or 0 */
    uint64_t slot_count; /* a power of two, at least 2 C */
    float *back_positive; /* symmetric: [B, D] gradients of the positives of the rows */
    float *back_query;    /* [B, D] */
    float *back_loss;     /* [B] */
};

float td__sampling_bias(float probability)
{
    return (float)-log(fmin(fmax((double)probability, 1e-6), 1.0));
}

td_status td__fused_create(td__fused **out, td_context *context, const td_retrieval_shape *shape,
                           const td_retrieval_options *options, td_error *err)
{
    td_status status = TD_OK;
    td__fused *fused = NULL;
    uint32_t rows = shape->queries_max, columns = shape->candidates_max;
    size_t row_bytes = shape->dim * sizeof(float);
    if (options->symmetric && columns < rows) columns = rows;
    td__softmax_shape size = {.rows = shape->queries_max, .columns = columns,
                              .entries = shape->queries_max, .dim = shape->dim,
                              .heads = shape->heads, .hard_negatives = options->hard_negatives,
                              .precision = options->precision};
    TD_TRY(td__alloc_zero(&fused, context, 1, sizeof *fused, err));
    *fused = (td__fused){.context = context, .options = *options, .slot_count = 2};
    while (fused->slot_count < 2 * (uint64_t)columns) fused->slot_count *= 2;
    TD_TRY(td__softmax_create(&fused->softmax, context, &size, err));
    TD_TRY(td__alloc(&fused->bias, context, columns, sizeof *fused->bias, err));
    if (options->remove_accidental_hits) {
        TD_TRY(td__alloc(&fused->ring_next, context, columns, sizeof *fused->ring_next, err));
        TD_TRY(td__alloc(&fused->slots, context, fused->slot_count, sizeof *fused->slots, err));
    }
    if (options->symmetric) {
        TD_TRY(td__alloc(&fused->back_positive, context, rows, row_bytes, err));
        TD_TRY(td__alloc(&fused->back_query, context, rows, row_bytes, err));
        TD_TRY(td__alloc(&fused->back_loss, context, rows, sizeof *fused->back_loss, err));
    }
    *out = fused;
    return TD_OK;
done:
    td__fused_free(fused);
    *out = NULL;
    return status;
}

void td__fused_free(td__fused *fused)
{
    if (fused == NULL) return;
    td__softmax_free(fused->softmax);
    td__free(fused->context, fused->bias);
    td__free(fused->context, fused->ring_next);
    td__free(fused->context, fused->slots);
    td__free(fused->context, fused->back_positive);
    td__free(fused->context, fused->back_query);
    td__free(fused->context, fused->back_loss);
    td__free(fused->context, fused);
}

/* Put column c into the ring of its id. */
static void join_ring(td__fused *fused, const uint64_t *id, uint32_t c)
{
    uint64_t slot = td__mix64(id[c]) & (fused->slot_count - 1);
    while (fused->slots[slot] != 0 && id[fused->slots[slot] - 1] != id[c]) {
        slot = (slot + 1) & (fused->slot_count - 1);
    }
    fused->ring_next[c] = c;
    if (fused->slots[slot] == 0) {
        fused->slots[slot] = c + 1;
        return;
    }
    uint32_t first = fused->slots[slot] - 1;
    fused->ring_next[c] = fused->ring_next[first];
    fused->ring_next[first] = c;
}

static const uint32_t *make_rings(td__fused *fused, const uint64_t *id, uint32_t count)
{
    if (!fused->options.remove_accidental_hits) return NULL;
    memset(fused->slots, 0, fused->slot_count * sizeof *fused->slots);
    for (uint32_t c = 0; c < count; c++) join_ring(fused, id, c);
    return fused->ring_next;
}

static const float *make_bias(td__fused *fused, const td_retrieval_batch *batch)
{
    if (batch->sampling_probability == NULL) return NULL;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        fused->bias[c] = td__sampling_bias(batch->sampling_probability[c]);
    }
    return fused->bias;
}

static td_status compute_forth(td__fused *fused, const td_retrieval_batch *batch, double scale,
                               td_retrieval_result *result, td_error *err)
{
    td__softmax_batch rows = {
        .rows = {.data = batch->query, .count = batch->queries},
        .columns = {.data = batch->candidate, .count = batch->candidates},
        .temperature = fused->options.temperature,
        .bias = make_bias(fused, batch),
        .entry_column = batch->positive,
        .entry_weight = batch->sample_weight,
        .weight_scale = scale,
        .heads = batch->heads,
        .hard_negatives = fused->options.hard_negatives,
        .label_smoothing = (double)fused->options.label_smoothing,
        .ring_next = make_rings(fused, batch->candidate_id, batch->candidates),
        .mask = batch->score_mask,
    };
    td__softmax_result sums = {.entry_loss = result->row_loss, .d_rows = result->d_query,
                               .d_columns = result->d_candidate};
    td_status status = td__softmax_compute(fused->softmax, &rows, &sums, err);
    result->loss = sums.loss;
    result->d_temperature = sums.d_temperature;
    return status;
}

/* Several rows may have one positive: in their order, so that sums have the same bits. */
static void add_back(const td__fused *fused, const td_retrieval_batch *batch,
                     const td_retrieval_result *result)
{
    size_t dim = batch->dim;
    for (uint32_t b = 0; b < batch->queries; b++) {
        size_t positive = batch->positive == NULL ? b : batch->positive[b];
        float *query = result->d_query, *candidate = result->d_candidate;
        for (size_t k = 0; query != NULL && k < dim; k++) {
            query[b * dim + k] += fused->back_query[b * dim + k];
        }
        for (size_t k = 0; candidate != NULL && k < dim; k++) {
            candidate[positive * dim + k] += fused->back_positive[b * dim + k];
        }
        if (result->row_loss == NULL) continue;
        result->row_loss[b] = 0.5f * (result->row_loss[b] + fused->back_loss[b]);
    }
}

static td_status compute_back(td__fused *fused, const td_retrieval_batch *batch, double scale,
                              td_retrieval_result *result, td_error *err)
{
    td__softmax_batch rows = {
        .rows = {.data = batch->candidate, .index = batch->positive, .count = batch->queries},
        .columns = {.data = batch->query, .count = batch->queries},
        .temperature = fused->options.temperature,
        .entry_weight = batch->sample_weight,
        .weight_scale = scale,
        .hard_negatives = fused->options.hard_negatives,
        .label_smoothing = (double)fused->options.label_smoothing,
        .ring_next = make_rings(fused, batch->query_id, batch->queries),
    };
    td__softmax_result sums = {.entry_loss = fused->back_loss, .d_rows = fused->back_positive,
                               .d_columns = fused->back_query};
    td_status status = td__softmax_compute(fused->softmax, &rows, &sums, err);
    if (status != TD_OK) return status;
    result->loss += sums.loss;
    result->d_temperature += sums.d_temperature;
    add_back(fused, batch, result);
    return TD_OK;
}

td_status td__fused_compute(td__fused *fused, const td_retrieval_batch *batch, double scale,
                            td_retrieval_result *result, td_error *err)
{
    bool symmetric = fused->options.symmetric;
    if (symmetric) scale *= 0.5;
    td_status status = compute_forth(fused, batch, scale, result, err);
    if (status != TD_OK || !symmetric) return status;
    return compute_back(fused, batch, scale, result, err);
}
