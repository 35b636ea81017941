/* retrieval_reference.c -- one row of the retrieval task, step by step: the specification of every
 * faster engine.
 *
 * Serves: stage 4. In: a checked batch. Out: a row's scores, loss and gradients.
 *
 * With S the scores, w the weight, T the temperature, y the labels, P = softmax(S) over the columns
 * that stay, and raw the scores of step 1:
 *
 *     loss             w (ln sum_c exp S[c]  -  sum_c y[c] S[c])
 *     G[c]             d loss / d S[c] = w (P[c] - y[c]), 0 where the column left
 *     d_query[h]       sum_c G[c] / T * candidate[c], over the columns that head h won
 *     d_candidate[c]   G[c] / T * query[the head that won c], added up over the rows
 *     d_temperature    sum_c -G[c] raw[c] / T^2
 *
 * Probabilities, ids and masks get no gradient. Raw scores are float32 in the kernels' arithmetic;
 * all that follows is double, up to the gradients. */
#include "train/retrieval_reference.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "kernel/kernel.h"

#include "base/poison.h"

/* --- steps 1 to 7 */

/* Columns that head h scores higher than the heads before it. tile [TD__PANEL] */
static void take_better(const float *tile, uint32_t h, float *raw, uint8_t *head)
{
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        if (tile[j] <= raw[j]) continue;
        raw[j] = tile[j];
        head[j] = (uint8_t)h;
    }
}

/* 1. raw[c] = max over h of <query[h], candidate[c]>; of equal heads the first wins. */
static void score_heads(const td__reference *reference, const float *query, td__reference_row *row)
{
    const td_retrieval_batch *batch = reference->batch;
    for (uint32_t first = 0; first < batch->candidates; first += TD__PANEL) {
        const float *panel = reference->panels + (size_t)first * batch->dim;
        reference->kernels->score_panel(query, batch->heads, panel, batch->dim, NULL, row->tile);
        memcpy(row->raw + first, row->tile, TD__PANEL * sizeof *row->raw);
        memset(row->head + first, 0, TD__PANEL);
        for (uint32_t h = 1; h < batch->heads; h++) {
            take_better(row->tile + (size_t)h * TD__PANEL, h, row->raw + first, row->head + first);
        }
    }
}

/* 2. The label of row b. */
static uint32_t positive_of(const td_retrieval_batch *batch, uint32_t b)
{
    return batch->positive != NULL ? batch->positive[b] : b;
}

/* 3 and 4. S[c] = raw[c] / T - ln clip(p[c], 1e-6, 1). False if raw is not finite. */
static bool scale_and_correct(const td__reference *reference, td__reference_row *row,
                              uint32_t *bad_column)
{
    double temperature = (double)reference->options->temperature;
    const double *log_sampling = reference->log_sampling;
    for (uint32_t c = 0; c < reference->batch->candidates; c++) {
        *bad_column = c;
        if (!isfinite(row->raw[c])) return false;
        row->score[c] = (double)row->raw[c] / temperature;
        if (log_sampling != NULL) row->score[c] -= log_sampling[c];
    }
    return true;
}

/* 5. Other columns with the id of the row's positive leave: they are no negatives. */
static void remove_accidental_hits(const td_retrieval_batch *batch, uint32_t positive,
                                   td__reference_row *row)
{
    const uint64_t *id = batch->candidate_id;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (c != positive && id[c] == id[positive]) row->score[c] = TD__LEFT;
    }
}

/* 6. Columns with mask 0 leave. mask [C]. */
static void apply_mask(const td_retrieval_batch *batch, const uint8_t *mask, td__reference_row *row)
{
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (mask[c] == 0) row->score[c] = TD__LEFT;
    }
}

/* Does column a rank behind column b? Lower scores do, and of equal ones the higher column. */
static bool ranks_behind(const double *score, uint32_t a, uint32_t b)
{
    return score[a] < score[b] || (score[a] == score[b] && a > b);
}

/* Put `column` in the place of the root, and the heap in order: what ranks last is on top. */
static void replace_last(uint32_t *heap, uint32_t count, const double *score, uint32_t column)
{
    uint32_t at = 0;
    for (uint32_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && ranks_behind(score, heap[child + 1], heap[child])) child++;
        if (!ranks_behind(score, heap[child], column)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = column;
}

static void push(uint32_t *heap, uint32_t count, const double *score, uint32_t column)
{
    uint32_t at = count;
    for (; at > 0 && ranks_behind(score, column, heap[(at - 1) / 2]); at = (at - 1) / 2) {
        heap[at] = heap[(at - 1) / 2];
    }
    heap[at] = column;
}

/* 7. The positive and the `wanted` best of the others stay. */
static void keep_hard_negatives(const td_retrieval_batch *batch, uint32_t wanted, uint32_t positive,
                                td__reference_row *row)
{
    uint32_t count = 0;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (c == positive || row->score[c] == TD__LEFT) continue;
        if (count < wanted)
            push(row->heap, count++, row->score, c);
        else if (ranks_behind(row->score, row->heap[0], c))
            replace_last(row->heap, count, row->score, c);
    }
    if (count < wanted) return; /* fewer than wanted: all stay */
    uint32_t last = row->heap[0];
    double last_score = row->score[last];
    for (uint32_t c = 0; c < batch->candidates; c++) {
        bool behind = row->score[c] < last_score || (row->score[c] == last_score && c > last);
        if (c != positive && behind) row->score[c] = TD__LEFT;
    }
}

bool td__reference_score(const td__reference *reference, uint32_t b, td__reference_row *row,
                         uint32_t *bad_column)
{
    const td_retrieval_batch *batch = reference->batch;
    const td_retrieval_options *options = reference->options;
    uint32_t positive = positive_of(batch, b);
    score_heads(reference, batch->query + (size_t)b * batch->heads * batch->dim, row);
    if (!scale_and_correct(reference, row, bad_column)) return false;
    if (options->remove_accidental_hits) remove_accidental_hits(batch, positive, row);
    if (batch->score_mask != NULL)
        apply_mask(batch, batch->score_mask + (size_t)b * batch->candidates, row);
    if (options->hard_negatives > 0 && options->hard_negatives < batch->candidates - 1)
        keep_hard_negatives(batch, options->hard_negatives, positive, row);
    return true;
}

/* --- step 8 and the gradients */

/* Anchored at the largest score, so nothing overflows. exp(S - largest) is left in `gradient`. */
static double sum_of_exponentials(const td_retrieval_batch *batch, double largest,
                                  td__reference_row *row)
{
    double sum = 0.0;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        row->gradient[c] = row->score[c] == TD__LEFT ? 0.0 : exp(row->score[c] - largest);
        sum += row->gradient[c];
    }
    return sum;
}

static double largest_score(const td_retrieval_batch *batch, const td__reference_row *row)
{
    double largest = TD__LEFT;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (row->score[c] > largest) largest = row->score[c];
    }
    return largest;
}

/* 8. ln sum exp S - sum y S, with y = smoothing / n for each of the n columns that stay, and
 * 1 - smoothing more for the positive. */
double td__reference_loss(const td__reference *reference, uint32_t b, td__reference_row *row)
{
    const td_retrieval_batch *batch = reference->batch;
    double smoothing = (double)reference->options->label_smoothing;
    double largest = largest_score(batch, row), sum = sum_of_exponentials(batch, largest, row);
    double stay = 0.0, score = 0.0; /* how many, and the sum of their scores */
    uint32_t positive = positive_of(batch, b);
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (row->score[c] == TD__LEFT) continue;
        stay += 1.0;
        score += row->score[c] - largest;
    }
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (row->score[c] != TD__LEFT) row->gradient[c] = row->gradient[c] / sum - smoothing / stay;
    }
    row->gradient[positive] -= 1.0 - smoothing;
    return log(sum) - (1.0 - smoothing) * (row->score[positive] - largest)
           - smoothing / stay * score;
}

double td__reference_gradients(const td__reference *reference, uint32_t b, double w,
                               td__reference_row *row, float *d_query, float *d_candidate)
{
    const td_retrieval_batch *batch = reference->batch;
    const td__kernels *kernels = reference->kernels;
    double temperature = (double)reference->options->temperature, d_temperature = 0.0;
    size_t dim = batch->dim;
    const float *query = batch->query + b * batch->heads * dim;
    if (d_query != NULL) memset(d_query, 0, batch->heads * dim * sizeof *d_query);
    for (uint32_t c = 0; c < batch->candidates; c++) {
        double gradient = w * row->gradient[c];
        float scaled = (float)(gradient / temperature);
        if (gradient == 0.0) continue;
        size_t head = row->head[c] * dim, column = c * dim;
        if (d_query != NULL)
            kernels->axpy(scaled, batch->candidate + column, d_query + head, batch->dim);
        if (d_candidate != NULL)
            kernels->axpy(scaled, query + head, d_candidate + column, batch->dim);
        d_temperature -= gradient * (double)row->raw[c] / (temperature * temperature);
    }
    return d_temperature;
}

/* --- the arrays of a row */

td_status td__reference_row_init(td__reference_row *row, td_context *context,
                                 const td_retrieval_shape *shape, uint32_t hard_negatives,
                                 td_error *err)
{
    td_status status = TD_OK;
    uint64_t columns = td__panel_count(shape->candidates_max) * TD__PANEL;
    uint64_t heap = hard_negatives < columns ? hard_negatives : 0; /* more: all stay, no heap */
    TD_TRY(
        td__alloc(&row->tile, context, (uint64_t)shape->heads * TD__PANEL, sizeof *row->tile, err));
    TD_TRY(td__alloc(&row->raw, context, columns, sizeof *row->raw, err));
    TD_TRY(td__alloc(&row->head, context, columns, sizeof *row->head, err));
    TD_TRY(td__alloc(&row->score, context, columns, sizeof *row->score, err));
    TD_TRY(td__alloc(&row->gradient, context, columns, sizeof *row->gradient, err));
    TD_TRY(td__alloc(&row->heap, context, heap, sizeof *row->heap, err));
done:
    return status;
}

void td__reference_row_clear(td__reference_row *row, td_context *context)
{
    td__free(context, row->tile);
    td__free(context, row->raw);
    td__free(context, row->head);
    td__free(context, row->score);
    td__free(context, row->gradient);
    td__free(context, row->heap);
    *row = (td__reference_row){.tile = NULL};
}
