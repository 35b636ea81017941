/* softmax_hard.c -- hard negatives: of each row only the best-scored ones stay.
 *
 * Serves: softmax.c. In: the kept scores of a row, without copies. Out: losses, and gradients in place of
 * the scores.
 *
 * The n + 1 best columns of a row hold the n best negatives of every entry: each column is at least one
 * of them, and an entry passes over one column, its own. So they are found once a row, in order, weighed
 * once, and each entry walks down the list until it has n. A column that stands for several copies is
 * that many negatives; of columns with equal scores the lower comes first. */
#include "kernel/softmax_strip.h"

#include "base/poison.h"

/* The candidates of a row, best first: s->best, and 2^(score - anchor) in s->best_weights. */
typedef struct shortlist {
    const td__softmax_call *c;
    const td__strip *s;
    uint32_t row; /* of the strip */
    uint32_t count;
} shortlist;

/* An entry on its way through the list. */
typedef struct entry_walk {
    uint32_t column;
    double weight, own, score; /* 2^(own score - anchor); the score itself, units of log2 */
    double sum, count, scores; /* Z, N, and the sum of the N scores */
} entry_walk;

static uint32_t find_best(const td__softmax_call *c, const td__strip *s, uint32_t i)
{
    uint64_t wanted = (uint64_t)c->batch->hard_negatives + 1, columns = c->batch->columns.count;
    uint64_t mask, k = wanted < columns ? wanted : columns;
    td__topk top;
    td__topk_init(&top, s->keys, td__topk_capacity(k, columns), k);
    for (uint32_t p = 0; p < c->panels; p++) {
        const float *scores = td__weights_of(s, i, p);
        for (c->kernels->above(scores, 1, &top.threshold, &mask); mask != 0; mask &= mask - 1) {
            uint32_t j = (uint32_t)__builtin_ctzll(mask), column = p * TD__PANEL + j;
            if (column >= columns || scores[j] == TD__SCORE_LEFT) continue;
            td__topk_push(&top, td__key_make(scores[j], column));
        }
    }
    return (uint32_t)td__topk_finish(&top, s->best);
}

static void weigh_best(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t count)
{
    float sums[TD__SLICE] __attribute__((aligned(64))) = {0};
    uint32_t padded = td__round_up(count, TD__PANEL);
    for (uint32_t j = 0; j < padded; j++) {
        s->best_weights[j] = j < count ? s->best[j].score : TD__PADDING_BIAS;
    }
    for (uint32_t j = 0; j < padded; j += TD__PANEL) {
        c->kernels->softmax->weigh(s->best_weights + j, s->anchor[i], sums);
    }
}

/* How many copies of number j of the list are negatives of the entry, if `room` more are wanted. */
static uint32_t negatives_at(const shortlist *list, uint32_t j, uint32_t own_column, uint32_t room)
{
    const td__softmax_batch *batch = list->c->batch;
    uint32_t column = list->s->best[j].position, copies = td__copies_of(batch, column);
    if (column == own_column) copies = td__counts_once(batch) ? 0 : copies - 1;
    return copies < room ? copies : room;
}

static void add_negatives(const shortlist *list, entry_walk *walk)
{
    uint32_t room = list->c->batch->hard_negatives;
    for (uint32_t j = 0; j < list->count && room > 0; j++) {
        uint32_t taken = negatives_at(list, j, walk->column, room);
        walk->sum += (double)taken * (double)list->s->best_weights[j];
        walk->count += (double)taken;
        walk->scores += (double)taken * (double)list->s->best[j].score;
        room -= taken;
    }
}

static entry_walk walk_entry(const shortlist *list, uint32_t entry)
{
    const td__softmax_call *c = list->c;
    const td__softmax_batch *batch = c->batch;
    entry_walk walk = {.column = td__entry_column(batch, entry)};
    double given = batch->entry_weight == NULL ? 1.0 : (double)batch->entry_weight[entry];
    walk.weight = given * batch->weight_scale;
    walk.score = (double)c->softmax->kept_score[entry];
    double exponent = walk.score - (double)list->s->anchor[list->row];
    walk.own = exponent > -900.0 ? td__power_of_2(exponent) : 0.0;
    walk.sum = walk.own;
    walk.count = 1.0;
    walk.scores = walk.score;
    add_negatives(list, &walk);
    return walk;
}

/* With the scores S in units of log2 above the anchor A: p (ln sum + A) - (1 - e) S - e mean S. */
static double loss_of(const shortlist *list, const entry_walk *walk)
{
    const td__softmax_batch *batch = list->c->batch;
    double anchor = (double)list->s->anchor[list->row];
    double power = batch->partition_power == 0.0 ? 1.0 : batch->partition_power;
    double smoothing = batch->label_smoothing;
    double label = (1.0 - smoothing) * (walk->score - anchor)
                   + smoothing * (walk->scores / walk->count - anchor);
    return power * td__logarithm(walk->sum) + ((power - 1.0) * anchor - label) * TD__LN_2;
}

static void add_to(const shortlist *list, uint32_t column, double gradient)
{
    float *cell = td__cell(list->s, list->row, column);
    *cell = (float)((double)*cell + gradient);
}

/* The entry's gradient with respect to the scores of the columns that stay. */
static void add_gradients(const shortlist *list, const entry_walk *walk)
{
    const td__softmax_batch *batch = list->c->batch;
    double power = batch->partition_power == 0.0 ? 1.0 : batch->partition_power;
    double part = walk->weight * power / walk->sum;
    double smooth = walk->weight * batch->label_smoothing / walk->count;
    uint32_t room = batch->hard_negatives;
    for (uint32_t j = 0; j < list->count && room > 0; j++) {
        uint32_t taken = negatives_at(list, j, walk->column, room);
        double each = part * (double)list->s->best_weights[j] - smooth;
        if (taken > 0) add_to(list, list->s->best[j].position, (double)taken * each);
        room -= taken;
    }
    double label = walk->weight * (1.0 - batch->label_smoothing) + smooth;
    add_to(list, walk->column, part * walk->own - label);
}

static void clear_row(const td__softmax_call *c, const td__strip *s, uint32_t i)
{
    for (uint32_t p = 0; p < c->panels; p++) {
        memset(td__weights_of(s, i, p), 0, TD__PANEL * sizeof(float));
    }
}

void td__strip_pick_row(const td__softmax_call *c, td__strip *s, uint32_t i, td__group_sum *group)
{
    const td__softmax_batch *batch = c->batch;
    uint32_t row = s->begin + i, end = td__first_entry(batch, row + 1);
    shortlist list = {.c = c, .s = s, .row = i};
    s->alpha[i] = 1.0f;
    list.count = find_best(c, s, i);
    weigh_best(c, s, i, list.count);
    clear_row(c, s, i);
    for (uint32_t b = td__first_entry(batch, row); b < end; b++) {
        entry_walk walk = walk_entry(&list, b);
        double given = batch->entry_weight == NULL ? 1.0 : (double)batch->entry_weight[b];
        double loss = loss_of(&list, &walk);
        if (c->result->entry_loss != NULL) c->result->entry_loss[b] = (float)(given * loss);
        group->loss += walk.weight * loss;
        add_gradients(&list, &walk);
    }
}
