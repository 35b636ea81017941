/* retrieval_fused.c -- the fast engine of the retrieval task.
 *
 * Serves: stage 4. In: a checked batch. Out: loss and gradients.
 *
 * A row of the batch is a row of the softmax with one entry, a candidate is a column. Candidates come
 * as vectors of their own, so equal ids are not made one; they are linked into rings, and the others of
 * the positive's ring leave the row: accidental hits. Rings are found with a hash table of the ids. */
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
    uint32_t columns = shape->candidates_max;
    td__softmax_shape size = {.rows = shape->queries_max, .columns = columns,
                              .entries = shape->queries_max, .dim = shape->dim,
                              .heads = shape->heads, .hard_negatives = options->hard_negatives};
    TD_TRY(td__alloc_zero(&fused, context, 1, sizeof *fused, err));
    *fused = (td__fused){.context = context, .options = *options, .slot_count = 2};
    while (fused->slot_count < 2 * (uint64_t)columns) fused->slot_count *= 2;
    TD_TRY(td__softmax_create(&fused->softmax, context, &size, err));
    TD_TRY(td__alloc(&fused->bias, context, columns, sizeof *fused->bias, err));
    if (options->remove_accidental_hits) {
        TD_TRY(td__alloc(&fused->ring_next, context, columns, sizeof *fused->ring_next, err));
        TD_TRY(td__alloc(&fused->slots, context, fused->slot_count, sizeof *fused->slots, err));
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

static const uint32_t *make_rings(td__fused *fused, const td_retrieval_batch *batch)
{
    if (!fused->options.remove_accidental_hits) return NULL;
    memset(fused->slots, 0, fused->slot_count * sizeof *fused->slots);
    for (uint32_t c = 0; c < batch->candidates; c++) join_ring(fused, batch->candidate_id, c);
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

td_status td__fused_compute(td__fused *fused, const td_retrieval_batch *batch, double scale,
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
        .ring_next = make_rings(fused, batch),
        .mask = batch->score_mask,
    };
    td__softmax_result sums = {.entry_loss = result->row_loss, .d_rows = result->d_query,
                               .d_columns = result->d_candidate};
    td_status status = td__softmax_compute(fused->softmax, &rows, &sums, err);
    result->loss = sums.loss;
    result->d_temperature = sums.d_temperature;
    return status;
}
