/* softmax.c -- the softmax of rows against columns, strip by strip.
 *
 * Serves: stage 4. In: vectors, biases, positives. Out: loss and gradients.
 *
 * How it works:
 *   1. pack: columns are gathered once into rows of whole registers and into panels of 48 columns.
 *   2. groups: the rows are cut into TD__REDUCTION_GROUPS groups, each into strips of at most 128 rows.
 *      A group is one block of work and owns one partial gradient of the columns, so results do not
 *      depend on the number of threads. For each strip (softmax_strip.c):
 *        score    2^(score - anchor) of all columns, kept: 128 x K floats, which stay in the caches;
 *                 the anchor of a row is the score of its first positive, which needs no pass over the
 *                 columns. If some score is so far above it that sums could overflow (2^60), the strip
 *                 is scored again with each row's true maximum.
 *        weigh    sums, losses, and the positives' part of the gradients, taken from their weights:
 *                 O(rows + entries) (softmax_weigh.c).
 *        gradient of the strip's rows and of all columns, from the kept weights.
 *      Several heads, smoothed labels, hard negatives and row losses look at the scores first
 *      (softmax_kept.c, softmax_hard.c): one more pass over the strip, in which a row lies in the
 *      nearest cache.
 *   3. reduce: the partial gradients of the columns are added in the order of the groups.
 * In bfloat16 the products of 1 and 2 are of rounded numbers (softmax_pairs.c); all else is the same.
 * Keeping the strip makes 3 products of U x K x d; scoring again for the second gradient, as is usual
 * where memory is far, would be a fourth (docs/speed.md).
 *
 * With weight e[k] = 2^(score - anchor), and for entry b on column k with n copies: stay the part of
 * e[k] that stays, e[k] or one copy's e[k] / n, and Z[b] = stay + the sum over all other columns,
 *     loss = w[b] ln(Z[b] n / e[k]),  alpha = sum over the row's entries of w[b] / Z[b],
 *     e[k] loses, for each entry on it, w[b] (1 + (e[k] - stay) / Z[b]) / alpha; then
 *     t d_row = alpha sum over k of e[k] column[k],  t d_column[k] = sum over rows of alpha e[k] row
 * with t the temperature. With own biases stay is 2^(own score - anchor). With a power p, ln Z and each
 * 1 / Z above count p times. */
#include "kernel/softmax.h"

#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/softmax_pairs.h"
#include "kernel/softmax_strip.h"

#include "base/poison.h"

enum {
    PACK_COLUMNS = 384, /* columns of a block of packing, whole panels */
    REDUCE_COLUMNS = 96 /* columns of a block of the final sum */
};

/* --- pack */

/* A column without copies weighs nothing; where scores are kept it leaves the row instead, because its
 * heads are to be compared. Hard negatives are picked copy by copy: then the copies are no part of the
 * bias. */
static float bias_of(const td__softmax_batch *batch, uint32_t column)
{
    double bias = batch->bias == NULL ? 0.0 : (double)batch->bias[column];
    uint32_t copies = td__copies_of(batch, column);
    if (copies == 0 && !td__scores_kept(batch)) return TD__PADDING_BIAS;
    if (copies > 1 && batch->hard_negatives == 0) bias += td__logarithm((double)copies);
    return (float)(bias * TD__LOG2_E);
}

static float own_bias_of(const td__softmax_batch *batch, uint32_t column)
{
    return batch->own_bias == NULL ? 0.0f : (float)((double)batch->own_bias[column] * TD__LOG2_E);
}

static void pack_bias(const td__softmax_call *c, uint32_t column, bool real)
{
    td__softmax *softmax = c->softmax;
    uint32_t copies = real ? td__copies_of(c->batch, column) : 0;
    softmax->count[column] = (float)copies;
    softmax->bias[column] = softmax->own_bias[column] = 0.0f;
    if (c->batch->row_loss != NULL) return;
    softmax->count_log[column] =
        copies > 1 ? (float)(td__logarithm((double)copies) / TD__LN_2) : 0.0f;
    softmax->bias[column] = real ? bias_of(c->batch, column) : TD__PADDING_BIAS;
    softmax->own_bias[column] = real ? own_bias_of(c->batch, column) : 0.0f;
}

/* Dimension k of vector i of a sliced array of `count` vectors. */
static size_t place(uint32_t k, uint32_t i, uint32_t count)
{
    return ((size_t)(k / TD__SLICE) * count + i) * TD__SLICE + k % TD__SLICE;
}

/* Column j of a panel, to both layouts. */
static void pack_column(const td__softmax_call *c, uint32_t column, const float *vector, uint32_t dim)
{
    const td__softmax *softmax = c->softmax;
    uint32_t stride = softmax->stride, j = column % TD__PANEL;
    size_t panel = (size_t)(column - j) * stride;
    float *slices = softmax->columns + panel, *transposed = softmax->panels + panel;
    for (uint32_t k = 0; k < stride; k++) {
        float value = k < dim ? vector[k] : 0.0f;
        slices[place(k, j, TD__PANEL)] = value;
        transposed[(size_t)k * TD__PANEL + j] = value;
    }
}

static void pack_block(void *state, uint64_t block, uint32_t worker)
{
    const td__softmax_call *c = state;
    const td__softmax_side *side = &c->batch->columns;
    uint32_t dim = c->softmax->shape.dim, end = c->panels * TD__PANEL;
    uint32_t first = (uint32_t)block * PACK_COLUMNS;
    (void)worker;
    for (uint32_t k = first; k < end && k < first + PACK_COLUMNS; k++) {
        bool real = k < side->count; /* the last panel is filled up with zeros that weigh nothing */
        pack_bias(c, k, real);
        const float *vector = real ? td__vector_of(side, k, dim) : NULL;
        if (td__in_pairs(c->softmax)) td__pairs_pack_column(c, k, vector, real ? dim : 0);
        else pack_column(c, k, vector, real ? dim : 0);
    }
}

/* --- groups, and their sum */

static float *partial_of(const td__softmax_call *c, uint32_t group)
{
    return c->softmax->partial + (size_t)group * c->panels * TD__PANEL * c->softmax->stride;
}

/* Rows of a strip: strips of a group are alike, and of whole units if they fit. */
static uint32_t strip_rows(uint32_t count, uint32_t heads)
{
    uint32_t most = TD__STRIP_MAX / heads, strips = (count + most - 1) / most;
    uint32_t rows = (count + strips - 1) / strips, whole = td__round_up(rows, TD__SOFTMAX_UNIT);
    return whole <= most ? whole : rows;
}

static void group_block(void *state, uint64_t block, uint32_t worker)
{
    const td__softmax_call *c = state;
    uint32_t group = (uint32_t)block, begin = group * c->group_rows;
    uint32_t end = begin + c->group_rows, rows = c->batch->rows.count;
    if (end > rows) end = rows;
    uint32_t height = strip_rows(end - begin, c->heads);
    td__strip s = td__strip_of(c->softmax, worker);
    c->softmax->sums[group] = (td__group_sum){.bad_row = TD_NONE};
    for (uint32_t at = begin; at < end; at += height) {
        s.begin = at;
        s.count = end - at < height ? end - at : height;
        td__strip_run(c, &s, group, at == begin);
    }
}

static void add_vector(td__sliced to, td__sliced from, uint32_t stride)
{
    for (uint32_t k = 0; k < stride; k += TD__SLICE, to.at += to.step, from.at += from.step) {
        for (uint32_t l = 0; l < TD__SLICE; l++) to.at[l] += from.at[l];
    }
}

static void reduce_block(void *state, uint64_t block, uint32_t worker)
{
    const td__softmax_call *c = state;
    uint32_t stride = c->softmax->stride, dim = c->softmax->shape.dim;
    uint32_t first = (uint32_t)block * REDUCE_COLUMNS, count = c->batch->columns.count;
    (void)worker;
    for (uint32_t k = first; k < count && k < first + REDUCE_COLUMNS; k++) {
        td__sliced sum = td__column_vector(c->softmax->partial, k, stride);
        for (uint32_t g = 1; g < c->groups; g++) {
            add_vector(sum, td__column_vector(partial_of(c, g), k, stride), stride);
        }
        td__copy_out(c->result->d_columns + (size_t)k * dim, sum, dim);
    }
}

static td_status sum_groups(const td__softmax_call *c, td_error *err)
{
    td__softmax_result *result = c->result;
    td_status status = TD_OK;
    uint32_t bad_row = TD_NONE;
    for (uint32_t g = 0; g < c->groups; g++) {
        const td__group_sum *sum = &c->softmax->sums[g];
        result->loss += sum->loss;
        result->d_temperature += sum->d_temperature;
        result->repeated += sum->repeated;
        if (sum->bad_row < bad_row) bad_row = sum->bad_row;
    }
    TD_FAIL_IF(bad_row != TD_NONE, err, ERR_NUMERIC,
               "row %u: the score of a candidate is not finite; the vectors are too large", bad_row);
done:
    return status;
}

td_status td__softmax_compute(td__softmax *softmax, const td__softmax_batch *batch,
                              td__softmax_result *result, td_error *err)
{
    td_context *context = softmax->context;
    uint32_t rows = batch->rows.count, columns = batch->columns.count;
    td__softmax_call c = {
        .softmax = softmax, .batch = batch, .result = result, .kernels = context->kernels};
    c.heads = batch->heads == 0 ? 1 : batch->heads;
    for (uint32_t k = 0; batch->row_loss != NULL && k < columns; k++) {
        c.copies += (double)td__copies_of(batch, k);
    }
    c.panels = (uint32_t)td__panel_count(columns);
    c.group_rows = td__round_up((uint32_t)td__block_count(rows, TD__REDUCTION_GROUPS), TD__SOFTMAX_UNIT);
    c.groups = rows == 0 ? 0 : (uint32_t)td__block_count(rows, c.group_rows);
    result->loss = result->d_temperature = 0.0;
    result->repeated = 0;
    td__parallel_for(context, td__block_count((uint64_t)c.panels * TD__PANEL, PACK_COLUMNS), pack_block, &c);
    td__parallel_for(context, c.groups, group_block, &c);
    if (result->d_columns != NULL && c.groups > 0) {
        td__parallel_for(context, td__block_count(columns, REDUCE_COLUMNS), reduce_block, &c);
    } else if (result->d_columns != NULL) {
        memset(result->d_columns, 0, (size_t)columns * softmax->shape.dim * sizeof(float));
    }
    return sum_groups(&c, err);
}

/* --- life */

uint64_t td__softmax_bytes(const td__softmax_shape *shape, uint32_t threads)
{
    uint32_t stride = td__round_up(shape->dim, TD__SLICE);
    uint64_t panels = td__panel_count(shape->columns), columns = panels * TD__PANEL;
    uint32_t copies = shape->precision == TD_PRECISION_BFLOAT16 ? 1 : 2;
    uint64_t floats = columns * stride * (copies + TD__REDUCTION_GROUPS) + 4 * columns
                      + 3 * (uint64_t)shape->entries + (uint64_t)threads * td__strip_floats(shape);
    return floats * sizeof(float);
}

td_status td__softmax_create(td__softmax **out, td_context *context, const td__softmax_shape *shape,
                             td_error *err)
{
    td_status status = TD_OK;
    td__softmax *softmax = NULL;
    uint32_t stride = td__round_up(shape->dim, TD__SLICE);
    uint64_t panels = td__panel_count(shape->columns), matrix = panels * TD__PANEL * stride;
    TD_TRY(td__alloc_zero(&softmax, context, 1, sizeof *softmax, err));
    *softmax = (td__softmax){.context = context, .shape = *shape, .stride = stride};
    softmax->scratch_floats = td__strip_floats(shape);
    if (td__in_pairs(softmax)) {
        TD_TRY(td__alloc(&softmax->pair_columns, context, matrix / 2, sizeof(td__pair), err));
        TD_TRY(td__alloc(&softmax->pair_panels, context, matrix / 2, sizeof(td__pair), err));
    } else {
        TD_TRY(td__alloc(&softmax->columns, context, matrix, sizeof(float), err));
        TD_TRY(td__alloc(&softmax->panels, context, matrix, sizeof(float), err));
    }
    TD_TRY(td__alloc(&softmax->bias, context, panels * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->own_bias, context, panels * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->count, context, panels * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->count_log, context, panels * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->partial, context, TD__REDUCTION_GROUPS * matrix, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->share, context, shape->entries, sizeof(double), err));
    TD_TRY(td__alloc(&softmax->kept_score, context, shape->entries, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->scratch, context, td_context_threads(context),
                     softmax->scratch_floats * sizeof(float), err));
    *out = softmax;
    return TD_OK;
done:
    td__softmax_free(softmax);
    *out = NULL;
    return status;
}

td_status td__softmax_reserve_row_losses(td__softmax *softmax, td_error *err)
{
    return td__alloc(&softmax->loss_entry, softmax->context, softmax->shape.entries,
                     sizeof *softmax->loss_entry, err);
}

void td__softmax_free(td__softmax *softmax)
{
    if (softmax == NULL) return;
    td__free(softmax->context, softmax->columns);
    td__free(softmax->context, softmax->panels);
    td__free(softmax->context, softmax->pair_columns);
    td__free(softmax->context, softmax->pair_panels);
    td__free(softmax->context, softmax->bias);
    td__free(softmax->context, softmax->own_bias);
    td__free(softmax->context, softmax->count);
    td__free(softmax->context, softmax->count_log);
    td__free(softmax->context, softmax->partial);
    td__free(softmax->context, softmax->share);
    td__free(softmax->context, softmax->kept_score);
    td__free(softmax->context, softmax->loss_entry);
    td__free(softmax->context, softmax->scratch);
    td__free(softmax->context, softmax);
}
