/* softmax.c -- the softmax of rows against columns, strip by strip.
 *
 * Serves: stage 4. In: vectors, biases, positives. Out: loss and gradients.
 *
 * How it works:
 *   1. pack: columns are gathered once into rows of whole registers and into panels of 48 columns.
 *   2. groups: the rows are cut into TD__REDUCTION_GROUPS groups, each into strips of at most 128 rows.
 *      A group is one block of work and owns one partial gradient of the columns, so results do not
 *      depend on the number of threads. For each strip:
 *        score    2^(score - anchor) of all columns, kept: 128 x K floats, which stay in the caches;
 *                 the anchor of a row is the score of its first positive, which needs no pass over the
 *                 columns. If some score is so far above it that sums could overflow (2^60), the strip
 *                 is scored again with each row's true maximum.
 *        weigh    sums, losses, and the positives' part of the gradients, taken from their weights:
 *                 O(rows + entries).
 *        gradient of the strip's rows and of all columns, from the kept weights.
 *   3. reduce: the partial gradients of the columns are added in the order of the groups.
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

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/pool.h"
#include "kernel/softmax_tiles.h"

#include "base/poison.h"

#define LOG2_E 1.4426950408889634
#define LN_2   0.6931471805599453

enum {
    STRIP_MAX = 128,
    PACK_COLUMNS = 384,  /* columns of a block of packing, whole panels */
    REDUCE_COLUMNS = 96  /* columns of a block of the final sum */
};

/* Sums up to here leave gradients far from overflow; a row's sum is 1 at least. */
static const float SUM_MAX = 0x1p60f;
static const float PADDING_BIAS = -1e30f;

/* What one thread works on: a strip. */
typedef struct strip {
    uint32_t begin, count, height; /* first row, rows, rows padded to whole units */
    float *rows;      /* [STRIP_MAX, stride] row * log2(e) / temperature */
    float *scaled;    /* the same times alpha, sliced: what the columns' gradients add up */
    float *d_rows;    /* their gradients, sliced */
    float *tile;      /* [STRIP_MAX, TD__PANEL] raw scores */
    float *sums;      /* [STRIP_MAX, TD__SLICE] */
    float *anchor;    /* [STRIP_MAX] */
    float *alpha;     /* [STRIP_MAX] */
    float *weights;   /* [panels, height, TD__PANEL] */
} strip;

typedef struct group_sum {
    double loss, d_temperature;
    uint32_t repeated;
    uint32_t bad_row; /* the first whose scores are not finite, or TD_NONE */
} group_sum;

struct td__softmax {
    td_context *context;
    td__softmax_shape shape;
    uint32_t stride;     /* dim in whole registers */
    float *columns;      /* [panels, 48, stride], each panel sliced */
    float *panels;       /* [panels, stride, 48] */
    float *bias;         /* [panels * 48], units of log2, with the logarithm of the copies */
    float *own_bias;     /* [panels * 48], the same for positives, without copies; or, for a row loss,
                          * the copies */
    float *partial;      /* [groups, panels, 48, stride] gradients of the columns, each panel sliced */
    double *share;       /* [entries] w (1 + (e - stay) / Z) */
    td__loss_entry *loss_entry; /* [entries] of row losses, or NULL */
    float *scratch;      /* [threads, scratch_floats] */
    size_t scratch_floats;
    group_sum sums[TD__REDUCTION_GROUPS];
};

/* One call of compute. */
typedef struct call {
    td__softmax *softmax;
    const td__softmax_batch *batch;
    td__softmax_result *result;
    const td__kernels *kernels;
    uint32_t panels;     /* of this batch */
    double copies;       /* of all columns; for a row loss */
    uint32_t group_rows; /* rows of a group, the last may have fewer */
    uint32_t groups;
} call;

static uint32_t round_up(uint32_t value, uint32_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* --- numbers */

/* Natural logarithm of a positive, normal number to 1e-12, from basic operations only: the same bits
 * with any C library. x = m 2^e, m in [1/sqrt 2, sqrt 2), ln m = 2 artanh((m - 1) / (m + 1)). */
static double logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t shifted = bits - UINT64_C(0x3FE6A09E667F3BCD);
    int64_t exponent = (int64_t)shifted >> 52;
    bits -= (uint64_t)exponent << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1.0) / (m + 1.0), q = s * s;
    double p = q * (1.0 / 15) + 1.0 / 13;
    p = p * q + 1.0 / 11;
    p = p * q + 1.0 / 9;
    p = p * q + 1.0 / 7;
    p = p * q + 1.0 / 5;
    p = p * q + 1.0 / 3;
    return 2.0 * s * (p * q + 1.0) + (double)exponent * LN_2;
}

/* 2^x for |x| < 1000 to 1e-14, in the same way: x = n + f, |f| <= 1/2, the series of e^(f ln 2). */
static double power_of_2(double x)
{
    double n = floor(x + 0.5), t = (x - n) * LN_2, sum = 1.0;
    for (int k = 13; k > 0; k--) sum = sum * t / k + 1.0;
    return ldexp(sum, (int)n);
}

static float sum_lanes(const float *sums)
{
    float tree[TD__SLICE];
    memcpy(tree, sums, sizeof tree);
    for (uint32_t width = TD__SLICE / 2; width > 0; width /= 2) {
        for (uint32_t i = 0; i < width; i++) tree[i] += tree[i + width];
    }
    return tree[0];
}

/* --- vectors */

/* Dimension k of vector i of a sliced array of `count` vectors. */
static size_t place(uint32_t k, uint32_t i, uint32_t count)
{
    return ((size_t)(k / TD__SLICE) * count + i) * TD__SLICE + k % TD__SLICE;
}

/* One vector of a sliced array (or of a plain one: step TD__SLICE). Sums over slices are written in
 * plain C, each product and each sum rounded on its own, so they are the same for all kernel sets. */
typedef struct sliced {
    float *at;
    size_t step; /* from a slice to the next */
} sliced;

static sliced plain_vector(float *array, size_t i, uint32_t stride)
{
    return (sliced){.at = array + i * stride, .step = TD__SLICE};
}

static sliced sliced_vector(float *array, uint32_t i, uint32_t count)
{
    return (sliced){.at = array + (size_t)i * TD__SLICE, .step = (size_t)count * TD__SLICE};
}

/* Columns lie panel by panel, each panel sliced. */
static sliced column_vector(float *columns, uint32_t column, uint32_t stride)
{
    size_t panel = (size_t)(column / TD__PANEL) * TD__PANEL * stride;
    return sliced_vector(columns + panel, column % TD__PANEL, TD__PANEL);
}

static void set_scaled(sliced to, float factor, sliced from, uint32_t stride)
{
    for (uint32_t k = 0; k < stride; k += TD__SLICE, to.at += to.step, from.at += from.step) {
        for (uint32_t l = 0; l < TD__SLICE; l++) to.at[l] = factor * from.at[l];
    }
}

static void add_scaled(sliced to, float factor, sliced from, uint32_t stride)
{
    for (uint32_t k = 0; k < stride; k += TD__SLICE, to.at += to.step, from.at += from.step) {
        for (uint32_t l = 0; l < TD__SLICE; l++) to.at[l] += factor * from.at[l];
    }
}

static float dot(sliced a, sliced b, uint32_t stride)
{
    float sums[TD__SLICE] = {0};
    for (uint32_t k = 0; k < stride; k += TD__SLICE, a.at += a.step, b.at += b.step) {
        for (uint32_t l = 0; l < TD__SLICE; l++) sums[l] += a.at[l] * b.at[l];
    }
    return sum_lanes(sums);
}

static void copy_out(float *to, sliced from, uint32_t dim)
{
    for (uint32_t k = 0; k < dim; k += TD__SLICE, from.at += from.step) {
        uint32_t count = dim - k < TD__SLICE ? dim - k : TD__SLICE;
        memcpy(to + k, from.at, count * sizeof *to);
    }
}

/* --- pack */

static const float *vector_of(const td__softmax_side *side, uint32_t i, uint32_t dim)
{
    return side->data + (size_t)(side->index == NULL ? i : side->index[i]) * dim;
}

static uint32_t copies_of(const td__softmax_batch *batch, uint32_t column)
{
    return batch->copies == NULL ? 1 : batch->copies[column];
}

static float bias_of(const td__softmax_batch *batch, uint32_t column)
{
    double bias = batch->bias == NULL ? 0.0 : (double)batch->bias[column];
    uint32_t copies = copies_of(batch, column);
    if (copies == 0) return PADDING_BIAS;
    if (copies > 1) bias += logarithm((double)copies);
    return (float)(bias * LOG2_E);
}

static float own_bias_of(const td__softmax_batch *batch, uint32_t column)
{
    return batch->own_bias == NULL ? 0.0f : (float)((double)batch->own_bias[column] * LOG2_E);
}

static void pack_bias(const call *c, uint32_t column, bool real)
{
    float *bias = &c->softmax->bias[column], *own = &c->softmax->own_bias[column];
    if (c->batch->row_loss != NULL) {
        *bias = 0.0f;
        *own = real ? (float)copies_of(c->batch, column) : 0.0f;
    } else {
        *bias = real ? bias_of(c->batch, column) : PADDING_BIAS;
        *own = real ? own_bias_of(c->batch, column) : 0.0f;
    }
}

/* Column j of a panel, to both layouts. */
static void pack_column(const call *c, uint32_t column, const float *vector, uint32_t dim)
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
    const call *c = state;
    const td__softmax_side *side = &c->batch->columns;
    uint32_t dim = c->softmax->shape.dim, end = c->panels * TD__PANEL;
    uint32_t first = (uint32_t)block * PACK_COLUMNS;
    (void)worker;
    for (uint32_t k = first; k < end && k < first + PACK_COLUMNS; k++) {
        bool real = k < side->count; /* the last panel is filled up with zeros that weigh nothing */
        pack_bias(c, k, real);
        pack_column(c, k, real ? vector_of(side, k, dim) : NULL, real ? dim : 0);
    }
}

/* --- strips */

static strip strip_of(const td__softmax *softmax, uint32_t worker)
{
    size_t matrix = (size_t)STRIP_MAX * softmax->stride;
    float *at = softmax->scratch + worker * softmax->scratch_floats;
    strip s = {.rows = at};
    s.scaled = s.rows + matrix;
    s.d_rows = s.scaled + matrix;
    s.tile = s.d_rows + matrix;
    s.sums = s.tile + STRIP_MAX * TD__PANEL;
    s.anchor = s.sums + STRIP_MAX * TD__SLICE;
    s.alpha = s.anchor + STRIP_MAX;
    s.weights = s.alpha + STRIP_MAX;
    return s;
}

static size_t scratch_floats(uint32_t stride, uint64_t panels)
{
    size_t strip_fixed = STRIP_MAX * (3 * (size_t)stride + TD__PANEL + TD__SLICE + 2);
    return strip_fixed + (size_t)panels * STRIP_MAX * TD__PANEL;
}

/* Entries of row r: [first, end). */
static uint32_t first_entry(const td__softmax_batch *batch, uint32_t row)
{
    return batch->entry_offset == NULL ? row : batch->entry_offset[row];
}

static uint32_t entry_column(const td__softmax_batch *batch, uint32_t entry)
{
    return batch->entry_column == NULL ? entry : batch->entry_column[entry];
}

static float *cell(const strip *s, uint32_t i, uint32_t column)
{
    size_t tile = (size_t)(column / TD__PANEL) * s->height + i;
    return s->weights + tile * TD__PANEL + column % TD__PANEL;
}

/* A unit of the scores: those of the softmax are in log2. */
static double unit_of(const call *c)
{
    return c->batch->row_loss != NULL ? 1.0 : LN_2;
}

static void load_rows(const call *c, strip *s)
{
    uint32_t stride = c->softmax->stride, dim = c->softmax->shape.dim;
    double units = c->batch->row_loss != NULL ? 1.0 : LOG2_E;
    float factor = (float)(units / (double)c->batch->temperature);
    memset(s->rows, 0, (size_t)s->height * stride * sizeof *s->rows);
    for (uint32_t i = 0; i < s->count; i++) {
        const float *row = vector_of(&c->batch->rows, s->begin + i, dim);
        float *to = s->rows + (size_t)i * stride;
        for (uint32_t k = 0; k < dim; k++) to[k] = factor * row[k];
    }
}

/* Of a positive. */
static float score_of(const call *c, const strip *s, uint32_t i, uint32_t column)
{
    td__softmax *softmax = c->softmax;
    uint32_t stride = softmax->stride;
    const float *bias = c->batch->own_bias == NULL ? softmax->bias : softmax->own_bias;
    return bias[column]
           + dot(plain_vector(s->rows, i, stride), column_vector(softmax->columns, column, stride),
                 stride);
}

static void anchor_at_positives(const call *c, strip *s)
{
    for (uint32_t i = 0; i < s->height; i++) {
        uint32_t row = s->begin + i;
        bool has_entry = i < s->count && first_entry(c->batch, row) < first_entry(c->batch, row + 1);
        uint32_t column = has_entry ? entry_column(c->batch, first_entry(c->batch, row)) : 0;
        s->anchor[i] = has_entry ? score_of(c, s, i, column) : 0.0f;
    }
}

/* Does column k take part in row i of the strip? */
static bool stays(const call *c, const strip *s, uint32_t i, uint32_t column)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i;
    if (i >= s->count || column >= batch->columns.count) return true;
    if (batch->mask != NULL && batch->mask[(size_t)row * batch->columns.count + column] == 0) {
        return false;
    }
    if (batch->ring_next == NULL || first_entry(batch, row) == first_entry(batch, row + 1)) return true;
    uint32_t own = entry_column(batch, first_entry(batch, row));
    for (uint32_t k = batch->ring_next[own]; k != own; k = batch->ring_next[k]) {
        if (k == column) return false;
    }
    return true;
}

static void anchor_at_maxima(const call *c, strip *s)
{
    const td__softmax *softmax = c->softmax;
    for (uint32_t i = 0; i < s->height; i++) s->anchor[i] = PADDING_BIAS;
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *panel = softmax->panels + (size_t)p * TD__PANEL * softmax->stride;
        c->kernels->score_panel(s->rows, s->height, panel, softmax->stride,
                                softmax->bias + (size_t)p * TD__PANEL, s->tile);
        for (uint32_t i = 0; i < s->height; i++) {
            const float *scores = s->tile + (size_t)i * TD__PANEL;
            for (uint32_t j = 0; j < TD__PANEL; j++) {
                if (!(scores[j] > s->anchor[i])) continue;
                if (stays(c, s, i, p * TD__PANEL + j)) s->anchor[i] = scores[j];
            }
        }
    }
}

static void score_strip(const call *c, strip *s)
{
    const td__softmax *softmax = c->softmax;
    td__softmax_tile tile = {
        .height = s->height, .dim = softmax->stride, .rows = s->rows, .anchor = s->anchor,
        .sums = s->sums,
    };
    memset(s->sums, 0, (size_t)s->height * TD__SLICE * sizeof *s->sums);
    for (uint32_t p = 0; p < c->panels; p++) {
        tile.panel = softmax->panels + (size_t)p * TD__PANEL * softmax->stride;
        tile.bias = softmax->bias + (size_t)p * TD__PANEL;
        tile.weights = s->weights + (size_t)p * s->height * TD__PANEL;
        c->kernels->softmax->score(&tile);
    }
}

/* Is some score so far above its anchor that it was cut off, or sums might be? */
static bool overflows(const strip *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (sum_lanes(s->sums + (size_t)i * TD__SLICE) > SUM_MAX) return true;
    }
    return false;
}

/* --- weigh */

/* The sum of a row's weights again, but for one column: where a difference would have cancelled. */
static double sum_without(const call *c, const strip *s, uint32_t i, uint32_t column)
{
    double sum = 0.0;
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *weights = s->weights + ((size_t)p * s->height + i) * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            if (p * TD__PANEL + j != column) sum += (double)weights[j];
        }
    }
    return sum;
}

/* The other columns of the positive's ring leave the row. Returns what remains of the sum. */
static double leave_ring(const call *c, const strip *s, uint32_t i, uint32_t column, double sum)
{
    const uint32_t *next = c->batch->ring_next;
    double left = sum;
    if (next == NULL || next[column] == column) return sum;
    for (uint32_t k = next[column]; k != column; k = next[k]) {
        float *weight = cell(s, i, k);
        left -= (double)*weight;
        *weight = 0.0f;
    }
    bool exact = left >= sum * 0.5 && left < (double)INFINITY;
    return exact ? left : sum_without(c, s, i, TD_NONE);
}

static double leave_mask(const call *c, const strip *s, uint32_t i, double sum)
{
    uint32_t columns = c->batch->columns.count;
    if (c->batch->mask == NULL) return sum;
    const uint8_t *mask = c->batch->mask + (size_t)(s->begin + i) * columns;
    for (uint32_t k = 0; k < columns; k++) {
        if (mask[k] == 0) *cell(s, i, k) = 0.0f;
    }
    return sum_without(c, s, i, TD_NONE);
}

/* The sum of the row's weights but for one column. */
static double others_of(const call *c, const strip *s, uint32_t i, uint32_t column, double sum)
{
    double others = sum - (double)*cell(s, i, column);
    return others >= sum * 0.5 ? others : sum_without(c, s, i, column);
}

/* Score of a positive above the row's anchor. */
static double exponent_of(const call *c, const strip *s, uint32_t i, uint32_t column)
{
    return (double)score_of(c, s, i, column) - (double)s->anchor[i];
}

/* What an entry's own column adds to its sum: all of its weight, one copy, or its weight as a positive. */
static double own_weight(const call *c, const strip *s, uint32_t i, uint32_t column)
{
    double e = (double)*cell(s, i, column);
    if (c->batch->own_bias != NULL) return power_of_2(fmin(exponent_of(c, s, i, column), 900.0));
    return c->batch->remove_copies ? e / (double)copies_of(c->batch, column) : e;
}

/* ln(sum n / e) of an entry. A weight cut off at 2^-100 is computed in full instead. */
static double loss_of(const call *c, const strip *s, uint32_t i, uint32_t column, double sum)
{
    bool own = c->batch->own_bias != NULL;
    double n = own ? 1.0 : (double)copies_of(c->batch, column);
    float weight = *cell(s, i, column);
    if (!own && weight > 0x1p-90f) return logarithm(sum * n / (double)weight);
    return logarithm(sum * n) - exponent_of(c, s, i, column) * LN_2;
}

/* What a power of the partition function other than 1 adds to the loss. */
static double power_loss(const call *c, const strip *s, uint32_t i, double sum)
{
    double power = c->batch->partition_power;
    if (power == 0.0 || power == 1.0) return 0.0;
    return (power - 1.0) * (logarithm(sum) + (double)s->anchor[i] * LN_2);
}

/* Returns the entry's part of alpha. */
static double weigh_entry(const call *c, const strip *s, uint32_t i, uint32_t entry, double row_sum,
                          group_sum *group)
{
    uint32_t column = entry_column(c->batch, entry);
    double given = c->batch->entry_weight == NULL ? 1.0 : (double)c->batch->entry_weight[entry];
    double weight = given * c->batch->weight_scale, e = (double)*cell(s, i, column);
    double power = c->batch->partition_power == 0.0 ? 1.0 : c->batch->partition_power;
    double stay = own_weight(c, s, i, column);
    double sum = others_of(c, s, i, column, row_sum) + stay, part = power * weight / sum;
    double loss = loss_of(c, s, i, column, sum) + power_loss(c, s, i, sum);
    if (c->result->entry_loss != NULL) c->result->entry_loss[entry] = (float)(given * loss);
    c->softmax->share[entry] = weight + part * (e - stay);
    group->loss += weight * loss;
    return part;
}

/* The positives' part of the gradients: here, once and in double, and not from the finished sums,
 * where it would cancel for a row that is nearly certain. */
static void take_positives(const call *c, const strip *s, uint32_t i, double alpha)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i;
    for (uint32_t b = first_entry(batch, row); b < first_entry(batch, row + 1); b++) {
        float *weight = cell(s, i, entry_column(batch, b));
        *weight = (float)((double)*weight - c->softmax->share[b] / alpha);
    }
}

static void weigh_row(const call *c, const strip *s, uint32_t i, group_sum *group)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i, end = first_entry(batch, row + 1), entry = first_entry(batch, row);
    double alpha = 0.0, sum = (double)sum_lanes(s->sums + (size_t)i * TD__SLICE);
    sum = leave_mask(c, s, i, sum);
    if (entry < end) sum = leave_ring(c, s, i, entry_column(batch, entry), sum);
    if (!(sum > 0.0 && sum < (double)INFINITY)) {
        if (row < group->bad_row) group->bad_row = row;
        sum = 1.0;
    }
    for (; entry < end; entry++) alpha += weigh_entry(c, s, i, entry, sum, group);
    if (alpha != 0.0) take_positives(c, s, i, alpha);
    s->alpha[i] = (float)alpha;
}

/* --- gradients */

static float *partial_of(const call *c, uint32_t group)
{
    return c->softmax->partial + (size_t)group * c->panels * TD__PANEL * c->softmax->stride;
}

static void scale_rows(const call *c, strip *s)
{
    uint32_t stride = c->softmax->stride;
    for (uint32_t i = 0; i < s->height; i++) {
        float factor = i < s->count ? s->alpha[i] * (float)unit_of(c) : 0.0f;
        set_scaled(sliced_vector(s->scaled, i, s->height), factor, plain_vector(s->rows, i, stride),
                   stride);
    }
}

static void gradients(const call *c, strip *s, float *partial, bool first)
{
    const td__softmax *softmax = c->softmax;
    const td__softmax_kernels *kernels = c->kernels->softmax;
    uint32_t stride = softmax->stride;
    memset(s->d_rows, 0, (size_t)s->height * stride * sizeof *s->d_rows);
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *weights = s->weights + (size_t)p * s->height * TD__PANEL;
        size_t panel = (size_t)p * TD__PANEL * stride;
        kernels->rows_gradient(weights, s->height, softmax->columns + panel, stride, s->d_rows);
        if (c->result->d_columns == NULL) continue;
        kernels->columns_gradient(weights, s->height, s->scaled, stride, first, partial + panel);
    }
}

/* The row's gradient to the caller. Returns <row, gradient> / temperature. */
static double finish_row(const call *c, strip *s, uint32_t i)
{
    uint32_t stride = c->softmax->stride, dim = c->softmax->shape.dim;
    sliced vector = plain_vector(s->rows, i, stride), d_row = sliced_vector(s->d_rows, i, s->height);
    set_scaled(d_row, s->alpha[i] / c->batch->temperature, d_row, stride);
    if (c->result->d_rows != NULL) {
        copy_out(c->result->d_rows + (size_t)(s->begin + i) * dim, d_row, dim);
    }
    return unit_of(c) * (double)dot(vector, d_row, stride);
}

/* --- strips, groups, and their sum */

static void weigh_strip(const call *c, strip *s, group_sum *sum)
{
    anchor_at_positives(c, s);
    score_strip(c, s);
    if (overflows(s)) {
        anchor_at_maxima(c, s);
        score_strip(c, s);
        sum->repeated++;
    }
    for (uint32_t i = 0; i < s->count; i++) weigh_row(c, s, i, sum);
}

/* The other way: scores become slopes by the row loss. */
static void lose_row(const call *c, const strip *s, uint32_t i, group_sum *group)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i, first = first_entry(batch, row);
    td__loss_row scores = {
        .scores = s->weights + (size_t)i * TD__PANEL,
        .step = (size_t)s->height * TD__PANEL,
        .panels = c->panels,
        .counts = c->softmax->own_bias,
        .count_sum = c->copies,
        .column = batch->entry_column + first,
        .weight = batch->entry_weight == NULL ? NULL : batch->entry_weight + first,
        .weight_scale = batch->weight_scale,
        .entries = first_entry(batch, row + 1) - first,
        .entry = c->softmax->loss_entry + first,
    };
    double loss = td__row_loss_compute(batch->row_loss, &scores);
    group->loss += loss;
    if (!isfinite(loss) && row < group->bad_row) group->bad_row = row;
    for (uint32_t e = 0; c->result->entry_loss != NULL && e < scores.entries; e++) {
        double weight = scores.weight == NULL ? 1.0 : (double)scores.weight[e];
        c->result->entry_loss[first + e] = (float)(weight * scores.entry[e].loss);
    }
}

static void lose_strip(const call *c, strip *s, group_sum *sum)
{
    const td__softmax *softmax = c->softmax;
    for (uint32_t p = 0; p < c->panels; p++) {
        size_t first = (size_t)p * TD__PANEL;
        c->kernels->score_panel(s->rows, s->height, softmax->panels + first * softmax->stride,
                                softmax->stride, softmax->bias + first,
                                s->weights + first * s->height);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        lose_row(c, s, i, sum);
        s->alpha[i] = 1.0f;
    }
}

static void run_strip(const call *c, strip *s, uint32_t group, bool first)
{
    group_sum *sum = &c->softmax->sums[group];
    float *partial = partial_of(c, group);
    load_rows(c, s);
    if (c->batch->row_loss != NULL) lose_strip(c, s, sum);
    else weigh_strip(c, s, sum);
    scale_rows(c, s);
    gradients(c, s, partial, first);
    for (uint32_t i = 0; i < s->count; i++) sum->d_temperature -= finish_row(c, s, i);
}

static void group_block(void *state, uint64_t block, uint32_t worker)
{
    const call *c = state;
    uint32_t group = (uint32_t)block, begin = group * c->group_rows;
    uint32_t end = begin + c->group_rows, rows = c->batch->rows.count;
    if (end > rows) end = rows;
    uint32_t strips = (end - begin + STRIP_MAX - 1) / STRIP_MAX;
    uint32_t height = round_up((end - begin + strips - 1) / strips, TD__SOFTMAX_UNIT);
    strip s = strip_of(c->softmax, worker);
    c->softmax->sums[group] = (group_sum){.bad_row = TD_NONE};
    for (uint32_t at = begin; at < end; at += height) {
        s.begin = at;
        s.count = end - at < height ? end - at : height;
        s.height = round_up(s.count, TD__SOFTMAX_UNIT);
        run_strip(c, &s, group, at == begin);
    }
}

static void reduce_block(void *state, uint64_t block, uint32_t worker)
{
    const call *c = state;
    uint32_t stride = c->softmax->stride, dim = c->softmax->shape.dim;
    uint32_t first = (uint32_t)block * REDUCE_COLUMNS, count = c->batch->columns.count;
    (void)worker;
    for (uint32_t k = first; k < count && k < first + REDUCE_COLUMNS; k++) {
        sliced sum = column_vector(c->softmax->partial, k, stride);
        for (uint32_t g = 1; g < c->groups; g++) {
            add_scaled(sum, 1.0f, column_vector(partial_of(c, g), k, stride), stride);
        }
        copy_out(c->result->d_columns + (size_t)k * dim, sum, dim);
    }
}

static td_status sum_groups(const call *c, td_error *err)
{
    td__softmax_result *result = c->result;
    td_status status = TD_OK;
    uint32_t bad_row = TD_NONE;
    for (uint32_t g = 0; g < c->groups; g++) {
        const group_sum *sum = &c->softmax->sums[g];
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
    call c = {.softmax = softmax, .batch = batch, .result = result, .kernels = context->kernels};
    c.panels = (uint32_t)td__panel_count(columns);
    c.group_rows = round_up((uint32_t)td__block_count(rows, TD__REDUCTION_GROUPS), TD__SOFTMAX_UNIT);
    c.groups = rows == 0 ? 0 : (uint32_t)td__block_count(rows, c.group_rows);
    for (uint32_t k = 0; batch->row_loss != NULL && k < columns; k++) c.copies += copies_of(batch, k);
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
    uint32_t stride = round_up(shape->dim, TD__SLICE);
    uint64_t panels = td__panel_count(shape->columns), columns = panels * TD__PANEL;
    uint64_t floats = columns * stride * (2 + TD__REDUCTION_GROUPS) + 2 * columns
                      + 2 * (uint64_t)shape->entries + (uint64_t)threads * scratch_floats(stride, panels);
    return floats * sizeof(float);
}

td_status td__softmax_create(td__softmax **out, td_context *context, const td__softmax_shape *shape,
                             td_error *err)
{
    td_status status = TD_OK;
    td__softmax *softmax = NULL;
    uint32_t stride = round_up(shape->dim, TD__SLICE);
    uint64_t panels = td__panel_count(shape->columns), matrix = panels * TD__PANEL * stride;
    TD_TRY(td__alloc_zero(&softmax, context, 1, sizeof *softmax, err));
    *softmax = (td__softmax){.context = context, .shape = *shape, .stride = stride};
    softmax->scratch_floats = scratch_floats(stride, panels);
    TD_TRY(td__alloc(&softmax->columns, context, matrix, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->panels, context, matrix, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->bias, context, panels * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->own_bias, context, panels * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->partial, context, TD__REDUCTION_GROUPS * matrix, sizeof(float), err));
    TD_TRY(td__alloc(&softmax->share, context, shape->entries, sizeof(double), err));
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
    td__free(softmax->context, softmax->bias);
    td__free(softmax->context, softmax->own_bias);
    td__free(softmax->context, softmax->partial);
    td__free(softmax->context, softmax->share);
    td__free(softmax->context, softmax->loss_entry);
    td__free(softmax->context, softmax->scratch);
    td__free(softmax->context, softmax);
}
