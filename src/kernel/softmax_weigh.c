/* softmax_weigh.c -- sums, losses, and the positives' part of the gradients: O(rows + entries).
 *
 * Serves: softmax.c. In: the weights of a strip. Out: losses, and weights that are gradients but for a
 * factor of their row (alpha).
 *
 * With smoothed labels the gradient of a row is not a multiple of its weights: every column that stays
 * loses its share of the label. Such rows, and those whose entries' weights cancel, are flattened: the
 * weights become the gradients themselves, and alpha 1. */
#include "kernel/softmax_strip.h"

#include "base/poison.h"

/* Sums below, in units of the row's anchor, come from weights that were cut off: columns that are not there,
 * or scores 62 below the positive. There is nothing to tell it from. */
static const double NEGLIGIBLE = 0x1p-90;

/* What the entries of a row add up to. */
typedef struct entry_sums {
    double alpha;     /* sum of w p / Z */
    double magnitude; /* the same without signs */
    double smooth;    /* sum of w smoothing / N */
} entry_sums;

/* --- columns that leave */

bool td__strip_stays(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column)
{
    const td__softmax_batch *batch = c->batch;
    if (i >= s->count || column >= batch->columns.count) return true; /* padding */
    uint32_t row = s->begin + i, first = td__first_entry(batch, row);
    if (batch->mask != NULL && batch->mask[(size_t)row * batch->columns.count + column] == 0) {
        return false;
    }
    if (batch->ring_next == NULL || first == td__first_entry(batch, row + 1)) return true;
    uint32_t own = td__entry_column(batch, first);
    for (uint32_t k = batch->ring_next[own]; k != own; k = batch->ring_next[k]) {
        if (k == column) return false;
    }
    return true;
}

/* The sum of a row's weights again, but for one column: where a difference would have cancelled. */
static double sum_without(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column)
{
    double sum = 0.0;
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *weights = td__weights_of(s, i, p);
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            if (p * TD__PANEL + j != column) sum += (double)weights[j];
        }
    }
    return sum;
}

/* A column's weight, which becomes 0. */
static double leave(const td__strip *s, uint32_t i, uint32_t column)
{
    float *weight = td__cell(s, i, column);
    double was = (double)*weight;
    *weight = 0.0f;
    return was;
}

/* The other columns of the positive's ring leave the row. Returns what remains of the sum. */
static double leave_ring(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column,
                         double sum)
{
    const uint32_t *next = c->batch->ring_next;
    double left = sum;
    if (next == NULL || next[column] == column) return sum;
    for (uint32_t k = next[column]; k != column; k = next[k]) left -= leave(s, i, k);
    bool exact = left >= sum * 0.5 && left < (double)INFINITY;
    return exact ? left : sum_without(c, s, i, TD_NONE);
}

static double leave_mask(const td__softmax_call *c, const td__strip *s, uint32_t i, double sum)
{
    uint32_t columns = c->batch->columns.count;
    if (c->batch->mask == NULL) return sum;
    const uint8_t *mask = c->batch->mask + (size_t)(s->begin + i) * columns;
    for (uint32_t k = 0; k < columns; k++) {
        if (mask[k] == 0) *td__cell(s, i, k) = 0.0f;
    }
    return sum_without(c, s, i, TD_NONE);
}

static double leave_absent(const td__softmax_batch *batch, const td__strip *s, uint32_t i)
{
    const uint32_t *offset = batch->absent_offset + s->begin + i;
    double left = 0.0;
    for (uint32_t a = offset[0]; a < offset[1]; a++) left += leave(s, i, batch->absent_column[a]);
    return left;
}

/* Decoupled: the columns of the row's own entries leave, and those that are to be absent. */
static double leave_entries(const td__softmax_call *c, const td__strip *s, uint32_t i, double sum)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i;
    if (!batch->decoupled) return sum;
    double left = sum;
    for (uint32_t b = td__first_entry(batch, row); b < td__first_entry(batch, row + 1); b++) {
        left -= leave(s, i, td__entry_column(batch, b));
    }
    if (batch->absent_offset != NULL) left -= leave_absent(batch, s, i);
    bool exact = left >= sum * 0.5 && left < (double)INFINITY;
    return exact ? left : sum_without(c, s, i, TD_NONE);
}

/* --- entries */

/* The sum of the row's weights but for one column. */
static double others_of(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column,
                        double sum)
{
    double others = sum - (double)*td__cell(s, i, column);
    return others >= sum * 0.5 ? others : sum_without(c, s, i, column);
}

/* Score of an entry above the row's anchor. */
static double exponent_of(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t entry)
{
    uint32_t column = td__entry_column(c->batch, entry);
    float score = s->kept ? c->softmax->kept_score[entry] : td__strip_score(c, s, i, column);
    return (double)score - (double)s->anchor[i];
}

/* What an entry's own column adds to its sum: all of its weight, one copy, or its weight as a positive. */
static double own_weight(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t entry)
{
    uint32_t column = td__entry_column(c->batch, entry);
    double e = (double)*td__cell(s, i, column);
    if (c->batch->own_bias != NULL) {
        return td__power_of_2(fmin(exponent_of(c, s, i, entry), 900.0));
    }
    return c->batch->remove_copies ? e / (double)td__copies_of(c->batch, column) : e;
}

/* ln(sum n / e) of an entry. A weight cut off at 2^-100 is computed in full instead. */
static double loss_of(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t entry,
                      double sum)
{
    bool own = c->batch->own_bias != NULL;
    uint32_t column = td__entry_column(c->batch, entry);
    double n = own ? 1.0 : (double)td__copies_of(c->batch, column);
    float weight = *td__cell(s, i, column);
    if (!own && weight > 0x1p-90f) return td__logarithm(sum * n / (double)weight);
    return td__logarithm(sum * n) - exponent_of(c, s, i, entry) * TD__LN_2;
}

/* What a power of the partition function other than 1 adds to the loss. */
static double power_loss(const td__softmax_call *c, const td__strip *s, uint32_t i, double sum)
{
    double power = c->batch->partition_power;
    if (power == 0.0 || power == 1.0) return 0.0;
    return (power - 1.0) * (td__logarithm(sum) + (double)s->anchor[i] * TD__LN_2);
}

/* What smoothing the labels adds to the loss of an entry and takes from the share of its column. */
typedef struct smoothing {
    double loss, share;
} smoothing;

/* Scores are those of one copy, units of log2. Of the column's own copies only one may count, and with
 * the score of a positive. */
static smoothing smooth_entry(const td__softmax_call *c, const td__strip *s, uint32_t entry,
                              double weight, entry_sums *sums)
{
    const td__softmax *softmax = c->softmax;
    uint32_t column = td__entry_column(c->batch, entry);
    double part = c->batch->label_smoothing, n = (double)td__copies_of(c->batch, column);
    if (part == 0.0) return (smoothing){0};
    bool own = c->batch->own_bias != NULL;
    double stay = td__counts_once(c->batch) ? 1.0 : n, score = (double)softmax->kept_score[entry];
    double bias = (double)softmax->bias[column] - (double)softmax->own_bias[column];
    double one = own ? score + bias : score; /* as a column, with all its copies */
    one -= (double)softmax->count_log[column];
    if (!own) score = one;
    double count = s->stay_count - n + stay;
    double mean = (s->stay_score - (n > 0.0 ? n * one : 0.0) + stay * score) / count;
    double each = weight * part / count;
    sums->smooth += each;
    return (smoothing){.loss = part * (score - mean) * TD__LN_2,
                       .share = -weight * part - each * (n - stay)};
}

static void weigh_entry(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t entry,
                        double row_sum, entry_sums *sums, td__group_sum *group)
{
    uint32_t column = td__entry_column(c->batch, entry);
    double given = c->batch->entry_weight == NULL ? 1.0 : (double)c->batch->entry_weight[entry];
    double weight = given * c->batch->weight_scale, e = (double)*td__cell(s, i, column);
    double power = c->batch->partition_power == 0.0 ? 1.0 : c->batch->partition_power;
    bool decoupled = c->batch->decoupled;
    double stay = decoupled ? 0.0 : own_weight(c, s, i, entry);
    double sum = decoupled ? row_sum : others_of(c, s, i, column, row_sum) + stay;
    if (decoupled && sum < NEGLIGIBLE) {
        c->softmax->share[entry] = 0.0;
        if (c->result->entry_loss != NULL) c->result->entry_loss[entry] = 0.0f;
        return;
    }
    double part = power * weight / sum;
    smoothing smooth = smooth_entry(c, s, entry, weight, sums);
    double loss = loss_of(c, s, i, entry, sum) + power_loss(c, s, i, sum) + smooth.loss;
    if (c->result->entry_loss != NULL) c->result->entry_loss[entry] = (float)(given * loss);
    c->softmax->share[entry] = weight + part * (e - stay) + smooth.share;
    group->loss += weight * loss;
    sums->alpha += part;
    sums->magnitude += fabs(part);
}

/* The positives' part of the gradients: here, once and in double, and not from the finished sums,
 * where it would cancel for a row that is nearly certain. */
static void take_positives(const td__softmax_call *c, const td__strip *s, uint32_t i, double alpha)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i;
    for (uint32_t b = td__first_entry(batch, row); b < td__first_entry(batch, row + 1); b++) {
        float *weight = td__cell(s, i, td__entry_column(batch, b));
        *weight = (float)((double)*weight - c->softmax->share[b] / alpha);
    }
}

/* Weights become gradients; what left, weight 0, stays so. */
static void flatten(const td__softmax_call *c, const td__strip *s, uint32_t i, const entry_sums *sums)
{
    float alpha = (float)sums->alpha, smooth = (float)sums->smooth;
    for (uint32_t p = 0; p < c->panels; p++) {
        float *weights = td__weights_of(s, i, p);
        const float *counts = c->softmax->count + (size_t)p * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            float gradient = alpha * weights[j] - smooth * counts[j];
            weights[j] = weights[j] == 0.0f ? 0.0f : gradient;
        }
    }
}

void td__strip_weigh_row(const td__softmax_call *c, td__strip *s, uint32_t i, td__group_sum *group)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i, entry = td__first_entry(batch, row);
    uint32_t end = td__first_entry(batch, row + 1);
    entry_sums sums = {0};
    double sum = leave_mask(c, s, i, (double)td__sum_lanes(s->sums + (size_t)i * TD__SLICE));
    if (entry < end) sum = leave_ring(c, s, i, td__entry_column(batch, entry), sum);
    if (!(sum > 0.0 && sum < (double)INFINITY)) {
        if (row < group->bad_row) group->bad_row = row;
        sum = 1.0;
    }
    sum = leave_entries(c, s, i, sum);
    for (; entry < end; entry++) weigh_entry(c, s, i, entry, sum, &sums, group);
    s->alpha[i] = (float)sums.alpha;
    if (sums.smooth != 0.0 || fabs(sums.alpha) < 0x1p-20 * sums.magnitude) {
        flatten(c, s, i, &sums);
        s->alpha[i] = 1.0f;
        take_positives(c, s, i, 1.0);
    } else if (sums.alpha != 0.0) {
        take_positives(c, s, i, sums.alpha);
    }
}
