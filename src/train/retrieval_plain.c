/* retrieval_plain.c -- the plain engine: the reference for every row, shared among threads.
 *
 * Serves: stage 4. In: a checked batch. Out: loss, gradients, scores.
 *
 * One row at a time, so memory is O(C) a thread and never B x C. Rows are cut into
 * TD__REDUCTION_GROUPS groups. A group adds up its own d_candidate; these partial sums are then
 * added in the order of the groups, so the number of threads does not change the bits. */
#include "train/retrieval_plain.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/kernel.h"
#include "train/retrieval_reference.h"

#include "base/poison.h"

/* What a group of rows adds up. */
typedef struct group_sum {
    double loss, d_temperature;
    float *d_candidate; /* [C, D], or NULL if it is not wanted */
    uint32_t bad_row;   /* first row with a score that is not finite, or TD_NONE */
    uint32_t bad_column;
} group_sum;

struct td__plain {
    td_context *context;
    td_retrieval_options options;
    float *panels;           /* [panels, D, TD__PANEL] */
    double *log_sampling;    /* [C] */
    float *partial;          /* [groups, C, D] */
    td__reference_row *rows; /* [threads] */
    group_sum groups[TD__REDUCTION_GROUPS];
};

/* One call, as the blocks of the pool see it. */
typedef struct batch_job {
    td__plain *plain;
    td__reference reference;
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
    return (uint32_t)(group * job->reference.batch->queries / job->groups);
}

static void compute_row(const batch_job *job, uint32_t b, td__reference_row *row, group_sum *sum)
{
    const td_retrieval_batch *batch = job->reference.batch;
    float *d_query = job->result->d_query;
    if (d_query != NULL) d_query += (size_t)b * batch->heads * batch->dim;
    double weight = batch->sample_weight != NULL ? (double)batch->sample_weight[b] : 1.0;
    double loss = weight * td__reference_loss(&job->reference, b, row);
    if (job->result->row_loss != NULL) job->result->row_loss[b] = (float)loss;
    sum->loss += job->scale * loss;
    sum->d_temperature += td__reference_gradients(&job->reference, b, weight * job->scale, row,
                                                  d_query, sum->d_candidate);
}

static void store_scores(const batch_job *job, uint32_t b, const td__reference_row *row)
{
    size_t columns = job->reference.batch->candidates;
    float *scores = job->scores + b * columns;
    for (size_t c = 0; c < columns; c++) {
        scores[c] = row->score[c] == TD__LEFT ? TD_SCORE_LEFT : (float)row->score[c];
    }
}

static void run_group(void *state, uint64_t group, uint32_t worker)
{
    const batch_job *job = state;
    const td_retrieval_batch *batch = job->reference.batch;
    td__reference_row *row = &job->plain->rows[worker];
    group_sum *sum = &job->plain->groups[group];
    if (sum->d_candidate != NULL) {
        memset(sum->d_candidate, 0, (size_t)batch->candidates * batch->dim * sizeof(float));
    }
    for (uint32_t b = group_start(job, group); b < group_start(job, group + 1); b++) {
        if (!td__reference_score(&job->reference, b, row, &sum->bad_column)) {
            sum->bad_row = b;
            return;
        }
        if (job->result != NULL)
            compute_row(job, b, row, sum);
        else
            store_scores(job, b, row);
    }
}

static batch_job job_of(td__plain *plain, const td_retrieval_batch *batch)
{
    const float *probability = batch->sampling_probability;
    td__pack_panels(batch->candidate, batch->candidates, batch->dim, plain->panels);
    for (uint32_t c = 0; probability != NULL && c < batch->candidates; c++) {
        plain->log_sampling[c] = log(fmin(fmax((double)probability[c], 1e-6), 1.0));
    }
    return (batch_job){
        .plain = plain,
        .groups = group_count(batch->queries),
        .reference = {.kernels = plain->context->kernels,
                      .options = &plain->options,
                      .batch = batch,
                      .panels = plain->panels,
                      .log_sampling = probability != NULL ? plain->log_sampling : NULL}};
}

static td_status run(batch_job *job, td_error *err)
{
    td_status status = TD_OK;
    td__plain *plain = job->plain;
    size_t size = (size_t)job->reference.batch->candidates * job->reference.batch->dim;
    bool partial = job->result != NULL && job->result->d_candidate != NULL;
    for (uint32_t g = 0; g < job->groups; g++) {
        plain->groups[g] = (group_sum){.bad_row = TD_NONE,
                                       .d_candidate = partial ? plain->partial + g * size : NULL};
    }
    td__parallel_for(plain->context, job->groups, run_group, job);
    for (uint32_t g = 0; g < job->groups; g++) {
        const group_sum *sum = &plain->groups[g];
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
    uint64_t size = (uint64_t)job->reference.batch->candidates * job->reference.batch->dim;
    uint64_t first = block * REDUCE_BLOCK;
    uint64_t count = size - first < REDUCE_BLOCK ? size - first : REDUCE_BLOCK;
    float *sum = job->result->d_candidate + first;
    memset(sum, 0, count * sizeof *sum);
    for (uint32_t g = 0; g < job->groups; g++) {
        const float *partial = job->plain->groups[g].d_candidate + first;
        for (uint64_t i = 0; i < count; i++) sum[i] += partial[i];
    }
}

td_status td__plain_compute(td__plain *plain, const td_retrieval_batch *batch, double scale,
                            td_retrieval_result *result, td_error *err)
{
    batch_job job = job_of(plain, batch);
    job.scale = scale;
    job.result = result;
    td_status status = run(&job, err);
    if (status != TD_OK) return status;
    result->loss = result->d_temperature = 0.0;
    for (uint32_t g = 0; g < job.groups; g++) {
        result->loss += plain->groups[g].loss;
        result->d_temperature += plain->groups[g].d_temperature;
    }
    if (result->d_candidate != NULL) {
        uint64_t size = (uint64_t)batch->candidates * batch->dim;
        td__parallel_for(plain->context, td__block_count(size, REDUCE_BLOCK), reduce_block, &job);
    }
    return TD_OK;
}

td_status td__plain_scores(td__plain *plain, const td_retrieval_batch *batch, float *scores,
                           td_error *err)
{
    batch_job job = job_of(plain, batch);
    job.scores = scores;
    return run(&job, err);
}

td_status td__plain_create(td__plain **out, td_context *context, const td_retrieval_shape *shape,
                           const td_retrieval_options *options, bool gradients, td_error *err)
{
    td_status status = TD_OK;
    td__plain *plain = NULL;
    uint64_t size = (uint64_t)shape->candidates_max * shape->dim;
    uint64_t panels = td__panel_count(shape->candidates_max) * TD__PANEL * shape->dim;
    uint64_t partial = gradients ? group_count(shape->queries_max) * size : 0;
    uint32_t threads = td_context_threads(context);
    TD_TRY(td__alloc_zero(&plain, context, 1, sizeof *plain, err));
    plain->context = context;
    plain->options = *options;
    TD_TRY(td__alloc(&plain->panels, context, panels, sizeof(float), err));
    TD_TRY(td__alloc(&plain->log_sampling, context, shape->candidates_max, sizeof(double), err));
    TD_TRY(td__alloc(&plain->partial, context, partial, sizeof(float), err));
    TD_TRY(td__alloc_zero(&plain->rows, context, threads, sizeof *plain->rows, err));
    for (uint32_t t = 0; t < threads; t++) {
        TD_TRY(
            td__reference_row_init(&plain->rows[t], context, shape, options->hard_negatives, err));
    }
    *out = plain;
    return TD_OK;
done:
    td__plain_free(plain);
    *out = NULL;
    return status;
}

void td__plain_free(td__plain *plain)
{
    if (plain == NULL) return;
    td_context *context = plain->context;
    for (uint32_t t = 0; plain->rows != NULL && t < td_context_threads(context); t++) {
        td__reference_row_clear(&plain->rows[t], context);
    }
    td__free(context, plain->rows);
    td__free(context, plain->partial);
    td__free(context, plain->log_sampling);
    td__free(context, plain->panels);
    td__free(context, plain);
}
