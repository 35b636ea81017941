/* row_loss.c -- losses on the scores of one row that are no softmax: pairwise and pointwise.
 *
 * Serves: stage 4. In: scores of a row. Out: losses of its entries, slopes of the scores.
 * Loops run over panels of TD__PANEL scores, which the compiler turns into vector instructions (-O3, see
 * CMakeLists.txt). ccl and sigmoid pass over the scores once a row, the others once an entry. */
#include "kernel/row_loss.h"

#include <math.h>
#include <string.h>

#include "kernel/softmax_tiles.h"

#include "base/poison.h"

#define LOG2_E 1.44269504f

static const float LEFT_OUT = -1e30f; /* a score that no loss sees */

/* --- functions of a panel */

/* e^-x for x >= 0, as the softmax has it (softmax_tiles.h). */
static inline float exp_minus(float x)
{
    float y = x < 69.0f ? x * -LOG2_E : TD__EXP2_MIN;
    float shifted = y + TD__EXP2_MAGIC, n = shifted - TD__EXP2_MAGIC, f = y - n;
    float p = TD__EXP2_C6;
    p = p * f + TD__EXP2_C5;
    p = p * f + TD__EXP2_C4;
    p = p * f + TD__EXP2_C3;
    p = p * f + TD__EXP2_C2;
    p = p * f + TD__EXP2_C1;
    p = p * f + 1.0f;
    int32_t bits, exponent;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&exponent, &shifted, sizeof exponent);
    bits = (int32_t)((uint32_t)bits + ((uint32_t)exponent << 23));
    memcpy(&p, &bits, sizeof p);
    return p;
}

/* ln(1 + t) for 0 <= t <= 1: 2 artanh(z), z = t / (2 + t) <= 1/3, to 1e-7. */
static inline float log_1_plus(float t)
{
    float z = t / (2.0f + t), q = z * z;
    float p = q * (1.0f / 13) + 1.0f / 11;
    p = p * q + 1.0f / 9;
    p = p * q + 1.0f / 7;
    p = p * q + 1.0f / 5;
    p = p * q + 1.0f / 3;
    return 2.0f * z * (p * q + 1.0f);
}

/* Values and slopes of a loss of one score at the scores less `shift`, for a panel. */
typedef void panel_fn(const float *scores, float shift, float *values, float *slopes);

/* max(0, x) */
static void hinge_panel(const float *scores, float shift, float *values, float *slopes)
{
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        float x = scores[j] - shift;
        values[j] = x < 0.0f ? 0.0f : x; /* NaN stays */
        slopes[j] = x > 0.0f ? 1.0f : 0.0f;
    }
}

/* ln(1 + e^x) */
static void softplus_panel(const float *scores, float shift, float *values, float *slopes)
{
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        float x = scores[j] - shift, positive = x < 0.0f ? 0.0f : x;
        float t = exp_minus(x > 0.0f ? x : -x);
        float part = (x > 0.0f ? 1.0f : t) / (1.0f + t);
        values[j] = positive + log_1_plus(t);
        slopes[j] = scores[j] > LEFT_OUT ? part : 0.0f;
    }
}

static panel_fn *panel_fn_of(td_loss kind)
{
    return kind == TD_LOSS_BPR || kind == TD_LOSS_SIGMOID ? softplus_panel : hinge_panel;
}

/* Sum of a panel times the counts: 16 sums, added in pairs. */
static double weighted_sum(const float *values, const float *counts)
{
    float sums[TD__SLICE] = {0};
    for (uint32_t j = 0; j < TD__PANEL; j += TD__SLICE) {
        for (uint32_t l = 0; l < TD__SLICE; l++) sums[l] += values[j + l] * counts[j + l];
    }
    for (uint32_t width = TD__SLICE / 2; width > 0; width /= 2) {
        for (uint32_t l = 0; l < width; l++) sums[l] += sums[l + width];
    }
    return (double)sums[0];
}

/* --- a row */

static float *cell(const td__loss_row *row, uint32_t column)
{
    return row->scores + (column / TD__PANEL) * row->step + column % TD__PANEL;
}

static double weight_of(const td__loss_row *row, uint32_t e)
{
    return row->weight == NULL ? 1.0 : (double)row->weight[e];
}

/* Keep the positives' scores and leave them out of the negatives. Returns N. */
static double take_positives(td__loss_row *row)
{
    double negatives = row->count_sum;
    for (uint32_t e = 0; e < row->entries; e++) {
        row->entry[e] = (td__loss_entry){.score = (double)*cell(row, row->column[e])};
    }
    for (uint32_t e = 0; e < row->entries; e++) {
        float *score = cell(row, row->column[e]);
        if (*score == LEFT_OUT) continue; /* the row has it twice */
        *score = LEFT_OUT;
        negatives -= (double)row->counts[row->column[e]];
    }
    return negatives;
}

/* --- ccl, sigmoid: positives and negatives apart */

static void add_pointwise_positives(const td__row_loss *loss, td__loss_row *row)
{
    for (uint32_t e = 0; e < row->entries; e++) {
        td__loss_entry *entry = &row->entry[e];
        if (loss->kind == TD_LOSS_CCL) {
            entry->loss = 1.0 - entry->score;
            entry->slope = -1.0;
        } else {
            double t = exp(-fabs(entry->score));
            entry->loss = fmax(-entry->score, 0.0) + log1p(t);
            entry->slope = -(entry->score > 0.0 ? t : 1.0) / (1.0 + t);
        }
    }
}

/* The same negatives for every entry: one pass serves them all. */
static void add_pointwise_negatives(const td__row_loss *loss, td__loss_row *row, double negatives)
{
    float values[TD__PANEL], slopes[TD__PANEL], shift = loss->kind == TD_LOSS_CCL ? loss->margin : 0.0f;
    double share = negatives > 0.0 ? (double)loss->negative_weight / negatives : 0.0, sum = 0.0, all = 0.0;
    for (uint32_t e = 0; e < row->entries; e++) all += weight_of(row, e) * row->weight_scale;
    float scale = (float)(all * share);
    for (uint32_t p = 0; p < row->panels; p++) {
        float *scores = row->scores + p * row->step;
        const float *counts = row->counts + (size_t)p * TD__PANEL;
        panel_fn_of(loss->kind)(scores, shift, values, slopes);
        sum += weighted_sum(values, counts);
        for (uint32_t j = 0; j < TD__PANEL; j++) scores[j] = scale * slopes[j] * counts[j];
    }
    for (uint32_t e = 0; e < row->entries; e++) row->entry[e].loss += share * sum;
}

/* --- bpr, hinge, warp: every entry against the negatives */

static float shift_of(const td__row_loss *loss, const td__loss_entry *entry)
{
    float margin = loss->kind == TD_LOSS_BPR ? 0.0f : loss->margin;
    return (float)(entry->score - (double)margin);
}

/* The factor of an entry's sum over the negatives. */
static double pair_share(const td__row_loss *loss, const td__loss_row *row, uint32_t e, double negatives)
{
    float values[TD__PANEL], slopes[TD__PANEL], shift = shift_of(loss, &row->entry[e]);
    double violators = 0.0;
    if (loss->kind != TD_LOSS_WARP) return negatives > 0.0 ? 1.0 / negatives : 0.0;
    for (uint32_t p = 0; p < row->panels; p++) {
        hinge_panel(row->scores + p * row->step, shift, values, slopes);
        violators += weighted_sum(slopes, row->counts + (size_t)p * TD__PANEL);
    }
    return violators > 0.0 ? log1p(violators) / violators : 0.0;
}

static void add_pairs_of_panel(const td__row_loss *loss, td__loss_row *row, uint32_t p)
{
    float values[TD__PANEL], slopes[TD__PANEL], sums[TD__PANEL] = {0};
    float *scores = row->scores + p * row->step;
    const float *counts = row->counts + (size_t)p * TD__PANEL;
    for (uint32_t e = 0; e < row->entries; e++) {
        td__loss_entry *entry = &row->entry[e];
        float scale = (float)(entry->scale * weight_of(row, e) * row->weight_scale);
        panel_fn_of(loss->kind)(scores, shift_of(loss, entry), values, slopes);
        entry->loss += entry->scale * weighted_sum(values, counts);
        entry->slope -= entry->scale * weighted_sum(slopes, counts);
        for (uint32_t j = 0; j < TD__PANEL; j++) sums[j] += scale * slopes[j];
    }
    for (uint32_t j = 0; j < TD__PANEL; j++) scores[j] = sums[j] * counts[j];
}

static void add_pairs(const td__row_loss *loss, td__loss_row *row, double negatives)
{
    for (uint32_t e = 0; e < row->entries; e++) {
        row->entry[e].scale = pair_share(loss, row, e, negatives);
    }
    for (uint32_t p = 0; p < row->panels; p++) add_pairs_of_panel(loss, row, p);
}

double td__row_loss_compute(const td__row_loss *loss, td__loss_row *row)
{
    double sum = 0.0, negatives = take_positives(row);
    if (loss->kind == TD_LOSS_CCL || loss->kind == TD_LOSS_SIGMOID) {
        add_pointwise_positives(loss, row);
        add_pointwise_negatives(loss, row, negatives);
    } else {
        add_pairs(loss, row, negatives);
    }
    for (uint32_t e = 0; e < row->entries; e++) {
        td__loss_entry *entry = &row->entry[e];
        double weight = weight_of(row, e) * row->weight_scale;
        *cell(row, row->column[e]) += (float)(weight * entry->slope);
        sum += weight * entry->loss;
    }
    return sum;
}
