/* retrieval_reference.c -- the retrieval task, step by step: the specification of every faster engine.
 *
 * Serves: stage 4. In: a checked batch. Out: loss, gradients, scores.
 *
 * One row (query) at a time, so memory is O(C) a thread and never B x C. With S the scores, w the
 * weight, y the labels and P = softmax(S) over the columns that stay:
 *
 *     loss                 w (ln sum_c exp S[c]  -  sum_c y[c] S[c])
 *     G[c]                 d loss / d S[c] = w (P[c] - y[c]), 0 where the column left
 *     d_query[h]           sum_c G[c] / T * candidate[c], over the columns that head h won
 *     d_candidate[c]       sum_b G[b][c] / T * query[b][the head that won c]
 *     d_temperature        sum_bc -G[b][c] * raw[b][c] / T^2, raw the scores of step 1
 *
 * Probabilities, ids and masks get no gradient. Raw scores are float32, in the kernels' arithmetic;
 * all that follows is double, up to the gradients.
 *
 * Rows are cut into TD__REDUCTION_GROUPS groups. A group adds up its own d_candidate; these partial
 * sums are then added in the order of the groups, so threads do not change the bits. */
#include "train/retrieval_reference.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/kernel.h"

#include "base/poison.h"

/* Score of a column that left. All other scores are finite. */
#define LEFT (-HUGE_VAL)

/* What one thread needs for one row. The arrays have room for whole panels. */
typedef struct row_scratch {
    float *tile;      /* [H, TD__PANEL] */
    float *raw;       /* [C] scores of step 1 */
    uint8_t *head;    /* [C] the head that gave raw */
    double *score;    /* [C] S: steps 3 to 7; LEFT where the column left */
    double *gradient; /* [C] G, without T */
    uint32_t *heap;   /* [hard negatives] columns */
} row_scratch;

/* What a group of rows adds up. */
typedef struct group_sum {
    double loss, d_temperature;
    float *d_candidate; /* [C, D] */
    uint32_t bad_row;   /* first row with a score that is not finite, or TD_NONE */
    uint32_t bad_column;
} group_sum;

struct td__reference {
    td_context *context;
    td_retrieval_options options;
    float *panels;        /* [panels, D, TD__PANEL] */
    double *log_sampling; /* [C] ln of the clipped probabilities */
    float *partial;       /* [groups, C, D] */
    row_scratch *scratch; /* [threads] */
    group_sum groups[TD__REDUCTION_GROUPS];
};

/* --- one row: steps 1 to 7 ---------------------------------------------------------------------- */

/* 1. raw[c] = max over h of <query[h], candidate[c]>; of equal heads the first wins. */
static void score_heads(const td__reference *reference, const td_retrieval_batch *batch,
                        const float *query, row_scratch *row)
{
    const td__kernels *kernels = reference->context->kernels;
    for (uint32_t first = 0; first < batch->candidates; first += TD__PANEL) {
        const float *panel = reference->panels + (size_t)first * batch->dim;
        kernels->score_panel(query, batch->heads, panel, batch->dim, NULL, row->tile);
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            uint32_t best = 0;
            for (uint32_t h = 1; h < batch->heads; h++) {
                if (row->tile[h * TD__PANEL + j] > row->tile[best * TD__PANEL + j]) best = h;
            }
            row->raw[first + j] = row->tile[best * TD__PANEL + j];
            row->head[first + j] = (uint8_t)best;
        }
    }
}

/* 3 and 4. S[c] = raw[c] / T - ln clip(p[c], 1e-6, 1). False, with the column, if raw is not finite. */
static bool scale_and_correct(const td__reference *reference, const td_retrieval_batch *batch,
                              row_scratch *row, uint32_t *bad_column)
{
    double temperature = (double)reference->options.temperature;
    const double *log_sampling = batch->sampling_probability ? reference->log_sampling : NULL;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        *bad_column = c;
        if (!isfinite(row->raw[c])) return false;
        row->score[c] = (double)row->raw[c] / temperature;
        if (log_sampling != NULL) row->score[c] -= log_sampling[c];
    }
    return true;
}

/* 5. Other columns with the id of the row's positive leave: they are no negatives. */
static void remove_accidental_hits(const td_retrieval_batch *batch, uint32_t positive,
                                   row_scratch *row)
{
    const uint64_t *id = batch->candidate_id;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (c != positive && id[c] == id[positive]) row->score[c] = LEFT;
    }
}

/* 6. Columns with mask 0 leave. mask [C]. */
static void apply_mask(const td_retrieval_batch *batch, const uint8_t *mask, row_scratch *row)
{
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (mask[c] == 0) row->score[c] = LEFT;
    }
}

/* Does column a rank behind column b? Lower scores do, and of equal ones the higher column. */
static bool ranks_behind(const double *score, uint32_t a, uint32_t b)
{
    return score[a] < score[b] || (score[a] == score[b] && a > b);
}

/* Put `column` in the place of the root, and the heap in order: the column that ranks last on top. */
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
                                row_scratch *row)
{
    uint32_t count = 0;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (c == positive || row->score[c] == LEFT) continue;
        if (count < wanted) push(row->heap, count++, row->score, c);
        else if (ranks_behind(row->score, row->heap[0], c))
            replace_last(row->heap, count, row->score, c);
    }
    if (count < wanted) return; /* fewer than wanted: all stay */
    uint32_t last = row->heap[0];
    double last_score = row->score[last];
    for (uint32_t c = 0; c < batch->candidates; c++) {
        bool behind = row->score[c] < last_score || (row->score[c] == last_score && c > last);
        if (c != positive && behind) row->score[c] = LEFT;
    }
}

static uint32_t positive_of(const td_retrieval_batch *batch, uint32_t b)
{
    return batch->positive != NULL ? batch->positive[b] : b; /* 2. the label of row b */
}

/* Steps 1 to 7 for row b. False, with the column, if a score is not finite. */
static bool score_row(const td__reference *reference, const td_retrieval_batch *batch, uint32_t b,
                      row_scratch *row, uint32_t *bad_column)
{
    const td_retrieval_options *options = &reference->options;
    uint32_t positive = positive_of(batch, b);
    score_heads(reference, batch, batch->query + (size_t)b * batch->heads * batch->dim, row);
    if (!scale_and_correct(reference, batch, row, bad_column)) return false;
    if (options->remove_accidental_hits) remove_accidental_hits(batch, positive, row);
    if (batch->score_mask != NULL)
        apply_mask(batch, batch->score_mask + (size_t)b * batch->candidates, row);
    if (options->hard_negatives > 0 && options->hard_negatives < batch->candidates - 1)
        keep_hard_negatives(batch, options->hard_negatives, positive, row);
    return true;
}

/* --- one row: step 8 and the gradients ---------------------------------------------------------- */

/* 8. ln sum exp S - sum y S, with y = smoothing / n for each of the n columns that stay, and
 * 1 - smoothing more for the positive. Fills gradient with P - y. Anchored at the largest score, so
 * nothing overflows. */
static double crossentropy(const td_retrieval_batch *batch, double smoothing, uint32_t positive,
                           row_scratch *row)
{
    double largest = LEFT, sum = 0.0, kept = 0.0, kept_score = 0.0;
    for (uint32_t c = 0; c < batch->candidates; c++) largest = fmax(largest, row->score[c]);
    for (uint32_t c = 0; c < batch->candidates; c++) {
        row->gradient[c] = 0.0;
        if (row->score[c] == LEFT) continue;
        row->gradient[c] = exp(row->score[c] - largest);
        sum += row->gradient[c];
        kept += 1.0;
        kept_score += row->score[c] - largest;
    }
    for (uint32_t c = 0; c < batch->candidates; c++) {
        if (row->score[c] != LEFT) row->gradient[c] = row->gradient[c] / sum - smoothing / kept;
    }
    row->gradient[positive] -= 1.0 - smoothing;
    return log(sum) - (1.0 - smoothing) * (row->score[positive] - largest)
           - smoothing / kept * kept_score;
}

/* d_query [H, D] and the group's d_candidate [C, D] of one row; either may be NULL. `scale` is w / T. */
static void add_gradients(const td__kernels *kernels, const td_retrieval_batch *batch,
                          const float *query, double scale, const row_scratch *row, float *d_query,
                          float *d_candidate)
{
    size_t dim = batch->dim;
    if (d_query != NULL) memset(d_query, 0, batch->heads * dim * sizeof *d_query);
    for (uint32_t c = 0; c < batch->candidates; c++) {
        float gradient = (float)(scale * row->gradient[c]);
        if (gradient == 0.0f) continue;
        size_t head = row->head[c] * dim, column = c * dim;
        if (d_query != NULL)
            kernels->axpy(gradient, batch->candidate + column, d_query + head, batch->dim);
        if (d_candidate != NULL)
            kernels->axpy(gradient, query + head, d_candidate + column, batch->dim);
    }
}

/* sum_c G[c] raw[c], without w. Columns that left have G = 0. */
static double gradient_times_raw(const td_retrieval_batch *batch, const row_scratch *row)
{
    double sum = 0.0;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        sum += row->gradient[c] * (double)row->raw[c];
    }
    return sum;
}

/* --- all rows ----------------------------------------------------------------------------------- */

/* One call, as the blocks of the pool see it. */
typedef struct batch_job {
    td__reference *reference;
    const td_retrieval_batch *batch;
    uint32_t groups;
    double scale;
    td_retrieval_result *result; /* NULL: scores are wanted */
    float *scores;
} batch_job;

/* Small batches have fewer groups; the number depends on B alone. */
static uint32_t group_count(uint32_t rows)
{
    return rows < TD__REDUCTION_GROUPS ? rows : TD__REDUCTION_GROUPS;
}

static uint32_t group_start(const batch_job *job, uint64_t group)
{
    return (uint32_t)(group * job->batch->queries / job->groups);
}

static void compute_row(const batch_job *job, uint32_t b, row_scratch *row, group_sum *sum)
{
    const td_retrieval_batch *batch = job->batch;
    const td_retrieval_options *options = &job->reference->options;
    size_t query_at = (size_t)b * batch->heads * batch->dim;
    float *d_query = job->result->d_query;
    double temperature = (double)options->temperature;
    double weight = batch->sample_weight != NULL ? (double)batch->sample_weight[b] : 1.0;
    double loss = crossentropy(batch, (double)options->label_smoothing, positive_of(batch, b), row);
    double scaled = weight * job->scale;
    if (job->result->row_loss != NULL) job->result->row_loss[b] = (float)(weight * loss);
    sum->loss += scaled * loss;
    sum->d_temperature -= scaled * gradient_times_raw(batch, row) / (temperature * temperature);
    add_gradients(job->reference->context->kernels, batch, batch->query + query_at,
                  scaled / temperature, row, d_query != NULL ? d_query + query_at : NULL,
                  sum->d_candidate);
}

static void store_scores(const batch_job *job, uint32_t b, const row_scratch *row)
{
    float *scores = job->scores + (size_t)b * job->batch->candidates;
    for (uint32_t c = 0; c < job->batch->candidates; c++) {
        scores[c] = row->score[c] == LEFT ? TD_SCORE_LEFT : (float)row->score[c];
    }
}

static void run_group(void *state, uint64_t group, uint32_t worker)
{
    const batch_job *job = state;
    row_scratch *row = &job->reference->scratch[worker];
    group_sum *sum = &job->reference->groups[group];
    if (sum->d_candidate != NULL) {
        memset(sum->d_candidate, 0,
               (size_t)job->batch->candidates * job->batch->dim * sizeof *sum->d_candidate);
    }
    for (uint32_t b = group_start(job, group); b < group_start(job, group + 1); b++) {
        if (!score_row(job->reference, job->batch, b, row, &sum->bad_column)) {
            sum->bad_row = b;
            return;
        }
        if (job->result != NULL) compute_row(job, b, row, sum);
        else store_scores(job, b, row);
    }
}

static td_status run(batch_job *job, td_error *err)
{
    td_status status = TD_OK;
    td__reference *reference = job->reference;
    const td_retrieval_batch *batch = job->batch;
    bool partial = job->result != NULL && job->result->d_candidate != NULL;
    td__pack_panels(batch->candidate, batch->candidates, batch->dim, reference->panels);
    for (uint32_t c = 0; batch->sampling_probability != NULL && c < batch->candidates; c++) {
        reference->log_sampling[c] = log(fmin(fmax((double)batch->sampling_probability[c], 1e-6), 1.0));
    }
    for (uint32_t g = 0; g < job->groups; g++) {
        size_t at = (size_t)g * batch->candidates * batch->dim;
        reference->groups[g] = (group_sum){.bad_row = TD_NONE,
                                           .d_candidate = partial ? reference->partial + at : NULL};
    }
    td__parallel_for(reference->context, job->groups, run_group, job);
    for (uint32_t g = 0; g < job->groups; g++) {
        const group_sum *sum = &reference->groups[g];
        TD_FAIL_IF(sum->bad_row != TD_NONE, err, ERR_NUMERIC,
                   "row %u: the score of candidate %u is not finite; the vectors are too large",
                   sum->bad_row, sum->bad_column);
    }
done:
    return status;
}

enum { REDUCE_BLOCK = 1 << 14 }; /* floats of d_candidate a block */

static void reduce_block(void *state, uint64_t block, uint32_t worker)
{
    const batch_job *job = state;
    (void)worker;
    uint64_t size = (uint64_t)job->batch->candidates * job->batch->dim;
    uint64_t first = block * REDUCE_BLOCK;
    uint64_t count = size - first < REDUCE_BLOCK ? size - first : REDUCE_BLOCK;
    float *sum = job->result->d_candidate + first;
    memset(sum, 0, count * sizeof *sum);
    for (uint32_t g = 0; g < job->groups; g++) {
        const float *partial = job->reference->groups[g].d_candidate + first;
        for (uint64_t i = 0; i < count; i++) sum[i] += partial[i];
    }
}

td_status td__reference_compute(td__reference *reference, const td_retrieval_batch *batch,
                                double scale, td_retrieval_result *result, td_error *err)
{
    batch_job job = {.reference = reference, .batch = batch, .groups = group_count(batch->queries),
               .scale = scale, .result = result};
    td_status status = run(&job, err);
    if (status != TD_OK) return status;
    result->loss = result->d_temperature = 0.0;
    for (uint32_t g = 0; g < job.groups; g++) {
        result->loss += reference->groups[g].loss;
        result->d_temperature += reference->groups[g].d_temperature;
    }
    if (result->d_candidate != NULL) {
        uint64_t size = (uint64_t)batch->candidates * batch->dim;
        td__parallel_for(reference->context, td__block_count(size, REDUCE_BLOCK), reduce_block, &job);
    }
    return TD_OK;
}

td_status td__reference_scores(td__reference *reference, const td_retrieval_batch *batch,
                               float *scores, td_error *err)
{
    batch_job job = {.reference = reference, .batch = batch, .groups = group_count(batch->queries),
               .scores = scores};
    return run(&job, err);
}

/* --- the workspace ------------------------------------------------------------------------------ */

static td_status create_scratch(row_scratch *row, td_context *context,
                                const td_retrieval_shape *shape, uint32_t hard_negatives,
                                td_error *err)
{
    td_status status = TD_OK;
    uint64_t columns = td__panel_count(shape->candidates_max) * TD__PANEL;
    uint64_t heap = hard_negatives < columns ? hard_negatives : 0; /* more: all stay, no heap */
    TD_TRY(td__alloc(&row->tile, context, (uint64_t)shape->heads * TD__PANEL, sizeof *row->tile, err));
    TD_TRY(td__alloc(&row->raw, context, columns, sizeof *row->raw, err));
    TD_TRY(td__alloc(&row->head, context, columns, sizeof *row->head, err));
    TD_TRY(td__alloc(&row->score, context, columns, sizeof *row->score, err));
    TD_TRY(td__alloc(&row->gradient, context, columns, sizeof *row->gradient, err));
    TD_TRY(td__alloc(&row->heap, context, heap, sizeof *row->heap, err));
done:
    return status;
}

static void free_scratch(row_scratch *row, td_context *context)
{
    td__free(context, row->tile);
    td__free(context, row->raw);
    td__free(context, row->head);
    td__free(context, row->score);
    td__free(context, row->gradient);
    td__free(context, row->heap);
}

td_status td__reference_create(td__reference **out, td_context *context,
                               const td_retrieval_shape *shape, const td_retrieval_options *options,
                               td_error *err)
{
    td_status status = TD_OK;
    td__reference *reference = NULL;
    uint64_t size = (uint64_t)shape->candidates_max * shape->dim;
    uint64_t panels = td__panel_count(shape->candidates_max) * TD__PANEL * shape->dim;
    uint32_t threads = td_context_threads(context);
    TD_TRY(td__alloc_zero(&reference, context, 1, sizeof *reference, err));
    reference->context = context;
    reference->options = *options;
    TD_TRY(td__alloc(&reference->panels, context, panels, sizeof(float), err));
    TD_TRY(td__alloc(&reference->log_sampling, context, shape->candidates_max, sizeof(double), err));
    TD_TRY(td__alloc(&reference->partial, context, group_count(shape->queries_max) * size,
                     sizeof(float), err));
    TD_TRY(td__alloc_zero(&reference->scratch, context, threads, sizeof(row_scratch), err));
    for (uint32_t t = 0; t < threads; t++) {
        TD_TRY(create_scratch(&reference->scratch[t], context, shape, options->hard_negatives, err));
    }
    *out = reference;
    return TD_OK;
done:
    td__reference_free(reference);
    *out = NULL;
    return status;
}

void td__reference_free(td__reference *reference)
{
    if (reference == NULL) return;
    td_context *context = reference->context;
    for (uint32_t t = 0; reference->scratch != NULL && t < td_context_threads(context); t++) {
        free_scratch(&reference->scratch[t], context);
    }
    td__free(context, reference->scratch);
    td__free(context, reference->partial);
    td__free(context, reference->log_sampling);
    td__free(context, reference->panels);
    td__free(context, reference);
}
