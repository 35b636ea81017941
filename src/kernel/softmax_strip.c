/* softmax_strip.c -- one strip of rows of the softmax, from vectors to gradients.
 *
 * Serves: softmax.c. In: packed columns. Out: gradients of the rows, and a part of those of the columns. */
#include "kernel/softmax_strip.h"

#include "kernel/softmax_pairs.h"

#include "base/poison.h"

/* Sums up to here leave gradients far from overflow; a row's sum is 1 at least. */
static const float SUM_MAX = 0x1p60f;

/* --- memory */

static bool keeps(const td__softmax_shape *shape)
{
    return shape->heads > 1 || shape->hard_negatives > 0;
}

static uint64_t hard_of(const td__softmax_shape *shape)
{
    uint64_t others = shape->columns == 0 ? 0 : shape->columns - 1;
    return shape->hard_negatives < others ? shape->hard_negatives : others;
}

/* 16-float pieces of `bytes`: everything in a strip begins on a cache line. */
static size_t floats_of(uint64_t bytes)
{
    return (bytes + 63) / 64 * 16;
}

static size_t step_of(uint32_t height)
{
    return (size_t)height * TD__PANEL + TD__SLICE;
}

static size_t winner_floats(const td__softmax_shape *shape, uint64_t panels)
{
    return shape->heads > 1 ? floats_of(TD__STRIP_MAX / 2 * panels * TD__PANEL) : 0;
}

static size_t key_floats(const td__softmax_shape *shape)
{
    if (shape->hard_negatives == 0) return 0;
    return floats_of(td__topk_capacity(hard_of(shape) + 1, shape->columns) * sizeof(uint64_t));
}

size_t td__strip_floats(const td__softmax_shape *shape)
{
    size_t stride = td__round_up(shape->dim, TD__SLICE);
    uint64_t panels = td__panel_count(shape->columns);
    size_t floats = TD__STRIP_MAX * (3 * stride + TD__PANEL + TD__SLICE + 2)
                    + panels * step_of(TD__STRIP_MAX);
    if (shape->precision == TD_PRECISION_BFLOAT16) floats += TD__STRIP_MAX * stride;
    if (!keeps(shape)) return floats;
    floats += winner_floats(shape, panels) + key_floats(shape);
    if (shape->hard_negatives == 0) return floats;
    uint64_t best = (uint64_t)td__panel_count(hard_of(shape) + 1) * TD__PANEL;
    return floats + floats_of(best * sizeof(td_hit)) + best;
}

/* Raw scores are done with when weights are rounded. */
static float *lay_out_pairs(td__strip *s, float *at, size_t pairs)
{
    s->pair_rows = (td__pair *)(void *)at;
    s->pair_scaled = s->pair_rows + pairs;
    s->along = (td__pair *)(void *)s->tile;
    s->across = s->along + TD__STRIP_MAX * (TD__PANEL / 2);
    return at + 2 * pairs;
}

td__strip td__strip_of(const td__softmax *softmax, uint32_t worker)
{
    const td__softmax_shape *shape = &softmax->shape;
    size_t matrix = (size_t)TD__STRIP_MAX * softmax->stride;
    uint64_t panels = td__panel_count(shape->columns);
    uint64_t best = (uint64_t)td__panel_count(hard_of(shape) + 1) * TD__PANEL;
    float *at = softmax->scratch + worker * softmax->scratch_floats;
    td__strip s = {.rows = at};
    s.scaled = s.rows + matrix;
    s.d_rows = s.scaled + matrix;
    s.tile = s.d_rows + matrix;
    s.sums = s.tile + TD__STRIP_MAX * TD__PANEL;
    s.anchor = s.sums + TD__STRIP_MAX * TD__SLICE;
    s.alpha = s.anchor + TD__STRIP_MAX;
    s.weights = s.alpha + TD__STRIP_MAX;
    at = s.weights + panels * step_of(TD__STRIP_MAX);
    if (td__in_pairs(softmax)) at = lay_out_pairs(&s, at, matrix / 2);
    s.winner = (uint8_t *)at;
    at += winner_floats(shape, panels);
    s.keys = (uint64_t *)(void *)at;
    at += key_floats(shape);
    s.best = (td_hit *)(void *)at;
    s.best_weights = at + floats_of(best * sizeof(td_hit));
    return s;
}

/* --- scores */

static void load_rows(const td__softmax_call *c, td__strip *s)
{
    uint32_t stride = c->softmax->stride, dim = c->softmax->shape.dim;
    double units = c->batch->row_loss != NULL ? 1.0 : TD__LOG2_E;
    float factor = (float)(units / (double)c->batch->temperature);
    memset(s->rows, 0, (size_t)s->height * stride * sizeof *s->rows);
    for (uint32_t i = 0; i < s->count; i++) {
        const float *row = td__vector_of(&c->batch->rows, s->begin + i, (size_t)dim * s->heads);
        for (uint32_t h = 0; h < s->heads; h++, row += dim) {
            float *to = s->rows + ((size_t)i * s->heads + h) * stride;
            for (uint32_t k = 0; k < dim; k++) to[k] = factor * row[k];
        }
    }
    if (td__in_pairs(c->softmax)) td__pairs_load_rows(c, s);
}

static float dot(td__sliced a, td__sliced b, uint32_t stride)
{
    float sums[TD__SLICE] = {0};
    for (uint32_t k = 0; k < stride; k += TD__SLICE, a.at += a.step, b.at += b.step) {
        for (uint32_t l = 0; l < TD__SLICE; l++) sums[l] += a.at[l] * b.at[l];
    }
    return td__sum_lanes(sums);
}

/* <score row r, column> */
static float product_of(const td__softmax_call *c, const td__strip *s, uint32_t r, uint32_t column)
{
    uint32_t stride = c->softmax->stride;
    if (td__in_pairs(c->softmax)) return td__pairs_dot(c, s, r, column);
    return dot(td__plain_vector(s->rows, r, stride),
               td__column_vector(c->softmax->columns, column, stride), stride);
}

float td__strip_score(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column)
{
    const float *bias = c->batch->own_bias != NULL ? c->softmax->own_bias : c->softmax->bias;
    float best = product_of(c, s, i * s->heads, column);
    for (uint32_t h = 1; h < s->heads; h++) {
        float other = product_of(c, s, i * s->heads + h, column);
        if (other > best) best = other;
    }
    return bias[column] + best;
}

void td__strip_keep(const td__softmax_call *c, const td__strip *s, uint32_t p, float *out)
{
    const td__softmax *softmax = c->softmax;
    if (td__in_pairs(softmax)) {
        td__pairs_keep(c, s, p, out);
        return;
    }
    c->kernels->score_panel(s->rows, s->height, softmax->panels + (size_t)p * TD__PANEL * softmax->stride,
                            softmax->stride, softmax->bias + (size_t)p * TD__PANEL, out);
}

static void anchor_at_positives(const td__softmax_call *c, td__strip *s)
{
    const td__softmax_batch *batch = c->batch;
    for (uint32_t i = 0; i < s->height; i++) {
        uint32_t row = s->begin + i;
        bool has_entry = i < s->count && td__first_entry(batch, row) < td__first_entry(batch, row + 1);
        uint32_t column = has_entry ? td__entry_column(batch, td__first_entry(batch, row)) : 0;
        s->anchor[i] = has_entry ? td__strip_score(c, s, i, column) : 0.0f;
    }
}

static void anchor_at_maxima(const td__softmax_call *c, td__strip *s)
{
    for (uint32_t i = 0; i < s->height; i++) s->anchor[i] = TD__PADDING_BIAS;
    for (uint32_t p = 0; p < c->panels; p++) {
        td__strip_keep(c, s, p, s->tile);
        for (uint32_t i = 0; i < s->height; i++) {
            const float *scores = s->tile + (size_t)i * TD__PANEL;
            for (uint32_t j = 0; j < TD__PANEL; j++) {
                if (!(scores[j] > s->anchor[i])) continue;
                if (td__strip_stays(c, s, i, p * TD__PANEL + j)) s->anchor[i] = scores[j];
            }
        }
    }
}

static void score_panel(const td__softmax_call *c, td__strip *s, uint32_t p)
{
    const td__softmax *softmax = c->softmax;
    td__softmax_tile tile = {
        .height = s->height, .dim = softmax->stride, .rows = s->rows, .anchor = s->anchor,
        .panel = softmax->panels + (size_t)p * TD__PANEL * softmax->stride,
        .bias = softmax->bias + (size_t)p * TD__PANEL,
        .weights = s->weights + p * s->step, .sums = s->sums,
    };
    c->kernels->softmax->score(&tile);
}

static void score_strip(const td__softmax_call *c, td__strip *s)
{
    memset(s->sums, 0, (size_t)s->height * TD__SLICE * sizeof *s->sums);
    for (uint32_t p = 0; p < c->panels; p++) {
        if (td__in_pairs(c->softmax)) td__pairs_score(c, s, p);
        else score_panel(c, s, p);
    }
}

/* Is some score so far above its anchor that it was cut off, or sums might be? */
static bool overflows(const td__strip *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (td__sum_lanes(s->sums + (size_t)i * TD__SLICE) > SUM_MAX) return true;
    }
    return false;
}

/* One head, labels that are 0 or 1, all negatives: weights can be made while scores are in registers. */
static void weigh_at_once(const td__softmax_call *c, td__strip *s, td__group_sum *group)
{
    anchor_at_positives(c, s);
    score_strip(c, s);
    if (overflows(s)) {
        anchor_at_maxima(c, s);
        score_strip(c, s);
        group->repeated++;
    }
    for (uint32_t i = 0; i < s->count; i++) td__strip_weigh_row(c, s, i, group);
}

/* --- gradients */

static void set_scaled(td__sliced to, float factor, td__sliced from, uint32_t stride)
{
    for (uint32_t k = 0; k < stride; k += TD__SLICE, to.at += to.step, from.at += from.step) {
        for (uint32_t l = 0; l < TD__SLICE; l++) to.at[l] = factor * from.at[l];
    }
}

static void scale_rows(const td__softmax_call *c, td__strip *s)
{
    uint32_t stride = c->softmax->stride;
    for (uint32_t r = 0; r < s->height; r++) {
        uint32_t i = r / s->heads;
        float factor = i < s->count ? s->alpha[i] * (float)td__score_unit(c->batch) : 0.0f;
        set_scaled(td__sliced_vector(s->scaled, r, s->height), factor,
                   td__plain_vector(s->rows, r, stride), stride);
    }
}

static void gradients(const td__softmax_call *c, td__strip *s, float *partial, bool first)
{
    const td__softmax *softmax = c->softmax;
    const td__softmax_kernels *kernels = c->kernels->softmax;
    uint32_t stride = softmax->stride;
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *weights = s->weights + p * s->step;
        size_t panel = (size_t)p * TD__PANEL * stride;
        kernels->rows_gradient(weights, s->height, softmax->columns + panel, stride, s->d_rows);
        if (c->result->d_columns == NULL) continue;
        kernels->columns_gradient(weights, s->height, s->scaled, stride, first, partial + panel);
    }
}

/* The gradient of score row r to the caller. Returns <row, gradient> / temperature. */
static double finish_row(const td__softmax_call *c, td__strip *s, uint32_t r)
{
    uint32_t stride = c->softmax->stride, dim = c->softmax->shape.dim;
    td__sliced vector = td__plain_vector(s->rows, r, stride);
    td__sliced d_row = td__sliced_vector(s->d_rows, r, s->height);
    set_scaled(d_row, s->alpha[r / s->heads] / c->batch->temperature, d_row, stride);
    if (c->result->d_rows != NULL) {
        size_t at = (size_t)s->begin * s->heads + r;
        td__copy_out(c->result->d_rows + at * dim, d_row, dim);
    }
    return td__score_unit(c->batch) * (double)dot(vector, d_row, stride);
}

void td__strip_run(const td__softmax_call *c, td__strip *s, uint32_t group, bool first)
{
    td__softmax *softmax = c->softmax;
    td__group_sum *sum = &softmax->sums[group];
    float *partial = softmax->partial + (size_t)group * c->panels * TD__PANEL * softmax->stride;
    s->heads = c->heads;
    s->height = td__round_up(s->count * s->heads, TD__SOFTMAX_UNIT);
    s->step = step_of(s->height);
    load_rows(c, s);
    s->kept = td__scores_kept(c->batch);
    if (s->kept) td__strip_weigh_kept(c, s, sum);
    else weigh_at_once(c, s, sum);
    scale_rows(c, s);
    memset(s->d_rows, 0, (size_t)s->height * softmax->stride * sizeof *s->d_rows);
    if (td__in_pairs(softmax)) td__pairs_gradients(c, s, partial, first);
    else gradients(c, s, partial, first);
    for (uint32_t r = 0; r < s->count * s->heads; r++) sum->d_temperature -= finish_row(c, s, r);
}
