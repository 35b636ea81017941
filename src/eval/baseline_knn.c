/* baseline_knn.c -- candidates like those that the query took.
 *
 * Serves: stage 6. In: the training part. Out: for each candidate the targets that count it as one of
 * their neighbors.
 *
 * Neighbors are found target by target, all targets at once on the threads, and then listed the other
 * way round, because a query's scores are gathered from what it took. */
#include "eval/baseline.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/topk.h"
#include "base/poison.h"

enum {
    BLOCK = 16,       /* targets of a block: even the densest data give it milliseconds of work */
    SLICE_BLOCKS = 64 /* blocks between two reports of progress */
};

/* Scratch of one thread. */
typedef struct worker_scratch {
    uint32_t *counts, *touched; /* [candidates] counts are zeros between targets */
    uint64_t *keys;             /* [capacity] */
} worker_scratch;

typedef struct knn_job {
    td_baseline *baseline;
    worker_scratch *scratch; /* [threads] */
    uint32_t threads;
    uint64_t keep, capacity; /* neighbors of a target, and room to find them */
    uint64_t first_block;
    td_hit *hits;    /* [candidates, keep] neighbors of each target, best first */
    uint64_t *found; /* [candidates] how many */
} knn_job;

static float similarity(const td_baseline *baseline, uint32_t a, uint32_t b, uint32_t common)
{
    double both = (double)td__cooccurrence_count(&baseline->pairs, a)
                  * (double)td__cooccurrence_count(&baseline->pairs, b);
    return (float)((double)common / (sqrt(both) + (double)baseline->options.shrinkage));
}

static void find_neighbors(const knn_job *job, const worker_scratch *scratch, uint32_t target)
{
    td__topk top;
    td__topk_init(&top, scratch->keys, job->capacity, job->keep);
    uint32_t found = td__cooccurrence_row(&job->baseline->pairs, target, scratch->counts,
                                          scratch->touched);
    for (uint32_t i = 0; i < found; i++) {
        uint32_t other = scratch->touched[i];
        float like = similarity(job->baseline, target, other, scratch->counts[other]);
        if (other != target) td__topk_push(&top, td__key_make(like, other));
        scratch->counts[other] = 0;
    }
    job->found[target] = td__topk_finish(&top, job->hits + target * job->keep);
}

static void knn_block(void *state, uint64_t block, uint32_t worker)
{
    const knn_job *job = state;
    uint64_t first = (job->first_block + block) * BLOCK, end = first + BLOCK;
    if (end > job->baseline->candidates) end = job->baseline->candidates;
    for (uint64_t target = first; target < end; target++) {
        find_neighbors(job, &job->scratch[worker], (uint32_t)target);
    }
}

static td_status find_all(knn_job *job, td__baseline_progress *progress, td_error *err)
{
    td_status status = TD_OK;
    uint64_t total = job->baseline->candidates, blocks = td__block_count(total, BLOCK);
    for (job->first_block = 0; job->first_block < blocks; job->first_block += SLICE_BLOCKS) {
        uint64_t left = blocks - job->first_block;
        td__parallel_for(job->baseline->context, left < SLICE_BLOCKS ? left : SLICE_BLOCKS,
                         knn_block, job);
        uint64_t done = (job->first_block + SLICE_BLOCKS) * BLOCK;
        TD_TRY(td__baseline_report(progress, done < total ? done : total, total, err));
    }
done:
    return status;
}

/* Offsets move on while the lists fill, and are then those of the next candidate: put them back. */
static void turn_round(td_baseline *baseline, const knn_job *job)
{
    uint64_t *offsets = baseline->target_offsets;
    for (uint32_t target = 0; target < baseline->candidates; target++) {
        for (uint64_t i = 0; i < job->found[target]; i++) {
            const td_hit *hit = &job->hits[target * job->keep + i];
            uint64_t at = offsets[hit->position]++;
            baseline->targets[at] = target;
            baseline->similarity[at] = hit->score;
        }
    }
    memmove(offsets + 1, offsets, baseline->candidates * sizeof *offsets);
    offsets[0] = 0;
}

static td_status list_targets(td_baseline *baseline, const knn_job *job, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = baseline->context;
    uint64_t candidates = baseline->candidates;
    TD_TRY(td__alloc_zero(&baseline->target_offsets, context, candidates + 1,
                          sizeof *baseline->target_offsets, err));
    uint64_t *offsets = baseline->target_offsets;
    for (uint64_t target = 0; target < candidates; target++) {
        const td_hit *hits = job->hits + target * job->keep;
        for (uint64_t i = 0; i < job->found[target]; i++) offsets[hits[i].position + 1]++;
    }
    for (uint64_t c = 0; c < candidates; c++) offsets[c + 1] += offsets[c];
    TD_TRY(td__alloc(&baseline->targets, context, offsets[candidates], sizeof *baseline->targets,
                     err));
    TD_TRY(td__alloc(&baseline->similarity, context, offsets[candidates],
                     sizeof *baseline->similarity, err));
    turn_round(baseline, job);
done:
    return status;
}

static td_status create_job(knn_job *job, td_baseline *baseline, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = baseline->context;
    uint64_t candidates = baseline->candidates, others = candidates > 0 ? candidates - 1 : 0;
    job->baseline = baseline;
    job->threads = td__pool_threads(context->pool);
    job->keep = baseline->options.neighbors < others ? baseline->options.neighbors : others;
    job->capacity = td__topk_capacity(job->keep, candidates);
    TD_TRY(td__alloc_zero(&job->scratch, context, job->threads, sizeof *job->scratch, err));
    for (uint32_t t = 0; t < job->threads; t++) {
        worker_scratch *scratch = &job->scratch[t];
        TD_TRY(td__alloc_zero(&scratch->counts, context, candidates, sizeof(uint32_t), err));
        TD_TRY(td__alloc(&scratch->touched, context, candidates, sizeof(uint32_t), err));
        TD_TRY(td__alloc(&scratch->keys, context, job->capacity, sizeof(uint64_t), err));
    }
    TD_TRY(td__alloc(&job->hits, context, candidates * job->keep, sizeof *job->hits, err));
    TD_TRY(td__alloc(&job->found, context, candidates, sizeof *job->found, err));
done:
    return status;
}

static void clear_job(knn_job *job, td_context *context)
{
    for (uint32_t t = 0; job->scratch != NULL && t < job->threads; t++) {
        td__free(context, job->scratch[t].counts);
        td__free(context, job->scratch[t].touched);
        td__free(context, job->scratch[t].keys);
    }
    td__free(context, job->scratch);
    td__free(context, job->hits);
    td__free(context, job->found);
}

static td_status build(td_baseline *baseline, td__baseline_progress *progress, td_error *err)
{
    td_status status = TD_OK;
    knn_job job = {0};
    TD_TRY(create_job(&job, baseline, err));
    TD_TRY(find_all(&job, progress, err));
    TD_TRY(list_targets(baseline, &job, err));
done:
    clear_job(&job, baseline->context);
    return status;
}

static void score(const td_baseline *baseline, const uint32_t *taken, uint64_t count, float *scores)
{
    for (uint64_t t = 0; t < count; t++) {
        uint64_t end = baseline->target_offsets[taken[t] + 1];
        for (uint64_t i = baseline->target_offsets[taken[t]]; i < end; i++) {
            scores[baseline->targets[i]] += baseline->similarity[i];
        }
    }
}

const td__baseline_rule td__baseline_knn = {build, score};
