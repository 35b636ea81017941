/* baseline_ease.c -- the linear model that predicts each candidate from the others.
 *
 * Serves: stage 6. In: the training part. Out: B [candidates, candidates].
 *
 * Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: with P = (X'X + lambda I)^-1,
 * B_ij = -P_ij / P_jj, and 0 on the diagonal. One matrix is all the memory: X'X + lambda I becomes P,
 * P becomes B, in place. */
#include "eval/baseline.h"

#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "eval/inverse.h"
#include "kernel/kernel.h"
#include "base/poison.h"

enum { BLOCK = 16 }; /* candidates of a block of work */

static td_status check_memory(const td_baseline *baseline, td_error *err)
{
    td_status status = TD_OK;
    uint64_t n = baseline->candidates, most = baseline->options.memory_max;
    TD_FAIL_IF(n * n > most / sizeof(float), err, ERR_LIMIT,
               "EASE needs %llu MB for %llu candidates; memory_max is %llu MB, enough for %.0f",
               (unsigned long long)(n * n / 1000000 * sizeof(float)), (unsigned long long)n,
               (unsigned long long)(most / 1000000), floor(sqrt((double)most / sizeof(float))));
done:
    return status;
}

static uint64_t block_end(const td_baseline *baseline, uint64_t block)
{
    uint64_t end = (block + 1) * BLOCK;
    return end < baseline->candidates ? end : baseline->candidates;
}

/* Row c of X'X up to the diagonal, and lambda there. Counts are exact in float32 up to 16 million. */
static void count_row(const td_baseline *baseline, uint64_t c, float *row)
{
    const td__cooccurrence *pairs = &baseline->pairs;
    for (uint64_t j = 0; j <= c; j++) row[j] = 0.0f;
    for (uint64_t t = pairs->offsets[c]; t < pairs->offsets[c + 1]; t++) {
        const uint32_t *taken = pairs->lists.candidates + pairs->lists.offsets[pairs->queries[t]];
        for (; *taken < c; taken++) row[*taken] += 1.0f;
    }
    row[c] = (float)td__cooccurrence_count(pairs, (uint32_t)c) + baseline->options.regularization;
}

static void count_block(void *state, uint64_t block, uint32_t worker)
{
    const td_baseline *baseline = state;
    (void)worker;
    for (uint64_t c = block * BLOCK; c < block_end(baseline, block); c++) {
        count_row(baseline, c, baseline->weights + c * baseline->candidates);
    }
}

typedef struct divide_job {
    const td_baseline *baseline;
    float *diagonal; /* [candidates] of P */
} divide_job;

/* -P becomes B. */
static void divide_block(void *state, uint64_t block, uint32_t worker)
{
    const divide_job *job = state;
    uint64_t n = job->baseline->candidates;
    (void)worker;
    for (uint64_t i = block * BLOCK; i < block_end(job->baseline, block); i++) {
        float *row = job->baseline->weights + i * n;
        for (uint64_t j = 0; j < n; j++) row[j] /= job->diagonal[j];
        row[i] = 0.0f;
    }
}

static td_status divide(td_baseline *baseline, td_error *err)
{
    td_status status = TD_OK;
    uint64_t n = baseline->candidates;
    divide_job job = {.baseline = baseline};
    TD_TRY(td__alloc(&job.diagonal, baseline->context, n, sizeof *job.diagonal, err));
    for (uint64_t i = 0; i < n; i++) job.diagonal[i] = -baseline->weights[i * n + i];
    td__parallel_for(baseline->context, td__block_count(n, BLOCK), divide_block, &job);
done:
    td__free(baseline->context, job.diagonal);
    return status;
}

static td_status invert(td_baseline *baseline, td__baseline_progress *progress, td_error *err)
{
    td_status status = TD_OK;
    td__inverse inverse = {0};
    uint64_t n = baseline->candidates;
    TD_TRY(td__inverse_init(&inverse, baseline->context, baseline->weights, n, err));
    while (inverse.done < n) {
        TD_TRY(td__inverse_next(&inverse, err));
        TD_TRY(td__baseline_report(progress, inverse.done, n, err));
    }
done:
    td__inverse_clear(&inverse);
    return status;
}

static td_status build(td_baseline *baseline, td__baseline_progress *progress, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = baseline->context;
    uint64_t n = baseline->candidates;
    TD_TRY(check_memory(baseline, err));
    TD_TRY(td__alloc(&baseline->weights, context, n * n, sizeof *baseline->weights, err));
    td__parallel_for(context, td__block_count(n, BLOCK), count_block, baseline);
    TD_TRY(invert(baseline, progress, err));
    td__mirror_lower(context, baseline->weights, n);
    TD_TRY(divide(baseline, err));
done:
    return status;
}

static void score(const td_baseline *baseline, const uint32_t *taken, uint64_t count, float *scores)
{
    const td__kernels *kernels = baseline->context->kernels;
    for (uint64_t t = 0; t < count; t++) {
        kernels->axpy(1.0f, baseline->weights + (uint64_t)taken[t] * baseline->candidates, scores,
                      baseline->candidates);
    }
}

const td__baseline_rule td__baseline_ease = {build, score};
