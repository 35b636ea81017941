/* softmax_kept.c -- scores that are looked at before they are weighed: several heads, smoothed labels, hard
 * negatives, and losses that are no softmax.
 *
 * Serves: softmax.c. In: the vectors of a strip. Out: its weights.
 *
 * The scores of the strip are kept as they are, and each row is then taken from scores to weights on its
 * own, while it lies in the nearest caches:
 *     fold     of the heads' scores of a column the best stays, with the number of its head
 *     leave    masked columns and accidental hits are marked
 *     survey   the largest score becomes the anchor; what smoothing needs is summed up
 *     weigh    exponentials; then softmax_weigh.c, or softmax_hard.c for hard negatives; or row_loss.c
 *     spread   the weight of a column goes to the head that won it, zeros to the others: from here on
 *              each head is a row of its own */
#include "kernel/softmax_strip.h"

#include "base/poison.h"


/* Of equal heads the first wins. scores [heads, TD__PANEL] */
static void fold_tile(float *restrict scores, uint32_t heads, uint8_t *restrict winner)
{
    memset(winner, 0, TD__PANEL);
    for (uint32_t h = 1; h < heads; h++) {
        const float *other = scores + (size_t)h * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            winner[j] = other[j] > scores[j] ? (uint8_t)h : winner[j];
        }
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            scores[j] = other[j] > scores[j] ? other[j] : scores[j];
        }
    }
}

static void fold(const td__softmax_call *c, const td__strip *s, uint32_t i)
{
    for (uint32_t p = 0; p < c->panels; p++) {
        fold_tile(td__weights_of(s, i, p), s->heads, td__winner_of(c, s, i, p * TD__PANEL));
    }
}

/* Backwards, because the first head's row holds the weights. */
static void spread_tile(float *restrict weights, uint32_t heads, const uint8_t *restrict winner)
{
    for (uint32_t h = heads; h-- > 0;) {
        float *own = weights + (size_t)h * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j++) own[j] = winner[j] == h ? weights[j] : 0.0f;
    }
}

static void spread(const td__softmax_call *c, const td__strip *s, uint32_t i)
{
    for (uint32_t p = 0; p < c->panels; p++) {
        spread_tile(td__weights_of(s, i, p), s->heads, td__winner_of(c, s, i, p * TD__PANEL));
    }
}

/* Mark what leaves the row: masked columns, those nobody drew, the others of the positive's ring. */
static void leave(const td__softmax_call *c, const td__strip *s, uint32_t i)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i, columns = batch->columns.count, first = td__first_entry(batch, row);
    const uint8_t *mask = batch->mask == NULL ? NULL : batch->mask + (size_t)row * columns;
    for (uint32_t k = 0; mask != NULL && k < columns; k++) {
        if (mask[k] == 0) *td__cell(s, i, k) = TD__SCORE_LEFT;
    }
    for (uint32_t k = 0; batch->own_bias != NULL && k < columns; k++) {
        if (td__copies_of(batch, k) == 0) *td__cell(s, i, k) = TD__SCORE_LEFT;
    }
    if (batch->ring_next == NULL || first == td__first_entry(batch, row + 1)) return;
    uint32_t own = td__entry_column(batch, first);
    for (uint32_t k = batch->ring_next[own]; k != own; k = batch->ring_next[k]) {
        *td__cell(s, i, k) = TD__SCORE_LEFT;
    }
}

/* Positives that have no bias of their own have the scores of their columns, to the bit. */
static void keep_positives(const td__softmax_call *c, const td__strip *s, uint32_t i)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i;
    for (uint32_t b = td__first_entry(batch, row); b < td__first_entry(batch, row + 1); b++) {
        uint32_t column = td__entry_column(batch, b);
        c->softmax->kept_score[b] = batch->own_bias == NULL ? *td__cell(s, i, column)
                                                            : td__strip_score(c, s, i, column);
    }
}

/* The largest score of a row, of its positives too. False if some score is not finite. */
static bool find_anchor(const td__softmax_call *c, td__strip *s, uint32_t i)
{
    uint32_t row = s->begin + i;
    float largest[TD__SLICE], zero[TD__SLICE] = {0};
    for (uint32_t l = 0; l < TD__SLICE; l++) largest[l] = TD__SCORE_LEFT;
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *scores = td__weights_of(s, i, p);
        for (uint32_t j = 0; j < TD__PANEL; j += TD__SLICE) {
            for (uint32_t l = 0; l < TD__SLICE; l++) {
                largest[l] = scores[j + l] > largest[l] ? scores[j + l] : largest[l];
                zero[l] += scores[j + l] - scores[j + l]; /* NaN for what is not finite */
            }
        }
    }
    for (uint32_t l = 1; l < TD__SLICE; l++) {
        if (largest[l] > largest[0]) largest[0] = largest[l];
    }
    for (uint32_t b = td__first_entry(c->batch, row); b < td__first_entry(c->batch, row + 1); b++) {
        float own = c->softmax->kept_score[b];
        if (own > largest[0]) largest[0] = own;
    }
    s->anchor[i] = largest[0];
    return td__sum_lanes(zero) == 0.0f;
}

/* How many columns stay, and the sum of their scores, each copy on its own. */
static void sum_scores(const td__softmax_call *c, td__strip *s, uint32_t i)
{
    double count[TD__SLICE] = {0}, sum[TD__SLICE] = {0};
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *scores = td__weights_of(s, i, p);
        const float *counts = c->softmax->count + (size_t)p * TD__PANEL;
        const float *logs = c->softmax->count_log + (size_t)p * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j += TD__SLICE) {
            for (uint32_t l = 0; l < TD__SLICE; l++) {
                float n = scores[j + l] == TD__SCORE_LEFT ? 0.0f : counts[j + l];
                count[l] += (double)n;
                sum[l] += (double)n * ((double)scores[j + l] - (double)logs[j + l]);
            }
        }
    }
    s->stay_count = s->stay_score = 0.0;
    for (uint32_t l = 0; l < TD__SLICE; l++) {
        s->stay_count += count[l];
        s->stay_score += sum[l];
    }
}

static void weigh(const td__softmax_call *c, td__strip *s, uint32_t i)
{
    float *sums = s->sums + (size_t)i * TD__SLICE;
    memset(sums, 0, TD__SLICE * sizeof *sums);
    for (uint32_t p = 0; p < c->panels; p++) {
        c->kernels->softmax->weigh(td__weights_of(s, i, p), s->anchor[i], sums);
    }
}

/* The other way: scores become slopes by the row loss. */
static void lose_row(const td__softmax_call *c, td__strip *s, uint32_t i, td__group_sum *group)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i, first = td__first_entry(batch, row);
    td__loss_row scores = {
        .scores = td__weights_of(s, i, 0),
        .step = s->step,
        .panels = c->panels,
        .counts = c->softmax->count,
        .count_sum = c->copies,
        .column = batch->entry_column + first,
        .weight = batch->entry_weight == NULL ? NULL : batch->entry_weight + first,
        .weight_scale = batch->weight_scale,
        .entries = td__first_entry(batch, row + 1) - first,
        .entry = c->softmax->loss_entry + first,
    };
    double loss = td__row_loss_compute(batch->row_loss, &scores);
    s->alpha[i] = 1.0f;
    group->loss += loss;
    if (!isfinite(loss) && row < group->bad_row) group->bad_row = row;
    for (uint32_t e = 0; c->result->entry_loss != NULL && e < scores.entries; e++) {
        double weight = scores.weight == NULL ? 1.0 : (double)scores.weight[e];
        c->result->entry_loss[first + e] = (float)(weight * scores.entry[e].loss);
    }
}

static void weigh_softmax_row(const td__softmax_call *c, td__strip *s, uint32_t i, td__group_sum *group)
{
    keep_positives(c, s, i);
    leave(c, s, i);
    if (!find_anchor(c, s, i) && s->begin + i < group->bad_row) group->bad_row = s->begin + i;
    if (c->batch->hard_negatives > 0) {
        td__strip_pick_row(c, s, i, group);
    } else {
        if (c->batch->label_smoothing > 0.0) sum_scores(c, s, i);
        weigh(c, s, i);
        td__strip_weigh_row(c, s, i, group);
    }
}

void td__strip_weigh_kept(const td__softmax_call *c, td__strip *s, td__group_sum *group)
{
    for (uint32_t p = 0; p < c->panels; p++) td__strip_keep(c, s, p, s->weights + p * s->step);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->heads > 1) fold(c, s, i);
        if (c->batch->row_loss != NULL) lose_row(c, s, i, group);
        else weigh_softmax_row(c, s, i, group);
        if (s->heads > 1) spread(c, s, i);
    }
}
