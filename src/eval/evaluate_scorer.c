/* evaluate_scorer.c -- evaluation of anything that scores all candidates.
 *
 * Serves: stage 6. In: a scorer. Out: metrics.
 * A worker has the scores of a few queries at a time; of each it keeps the best and the scores of
 * the test items. */
#include "eval/evaluation.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/topk.h"
#include "base/poison.h"

/* Scores that one call of the scorer makes, if that is a query at least: 256 KiB. */
enum { SCORES_OF_CALL = 1 << 16, QUERIES_OF_CALL_MAX = 64 };

typedef struct scorer_ranker {
    const td_scorer *scorer;
    const td__evaluation *evaluation;
    td__chunk *chunk;
    uint32_t block;        /* queries of a call */
    float *scores;         /* [threads, block, candidates] */
    uint64_t *keys;        /* [threads, candidates] */
    td__failure *failures; /* [threads] */
} scorer_ranker;

static td_status check_scores(const float *scores, uint32_t count, const uint32_t *queries,
                              uint32_t candidates, td_error *err)
{
    for (uint64_t i = 0; i < (uint64_t)count * candidates; i++) {
        if (!isnan(scores[i])) continue;
        return td__fail(err, TD_ERR_NUMERIC,
                        "the score of query %u for candidate %llu is not a number",
                        queries[i / candidates], (unsigned long long)(i % candidates));
    }
    return TD_OK;
}

/* Scores of the test items, before the seen candidates lose theirs. */
static void keep_item_scores(const scorer_ranker *ranker, uint32_t i, const float *scores)
{
    const uint64_t *offsets = ranker->evaluation->test.offsets + ranker->chunk->first;
    for (uint64_t item = offsets[i]; item < offsets[i + 1]; item++) {
        float score = scores[ranker->evaluation->test.candidate[item]];
        ranker->chunk->scores[item - offsets[0]] = score == -INFINITY ? NAN : score;
    }
}

static void rank_query(const scorer_ranker *ranker, uint32_t i, float *scores, uint64_t *keys)
{
    td__chunk *chunk = ranker->chunk;
    td__topk top;
    keep_item_scores(ranker, i, scores);
    for (uint64_t e = chunk->exclude_offsets[i]; e < chunk->exclude_offsets[i + 1]; e++) {
        scores[chunk->exclude[e]] = -INFINITY;
    }
    uint32_t k = ranker->evaluation->k_max, candidates = ranker->evaluation->rank_count;
    td__topk_init(&top, keys, td__topk_capacity(k, candidates), k);
    for (uint32_t c = 0; c < candidates; c++) {
        if (scores[c] <= top.threshold || scores[c] == -INFINITY) continue;
        td__topk_push(&top, td__key_make(scores[c], c));
    }
    td_hit *hits = chunk->hits + (size_t)i * k;
    chunk->hit_counts[i] = (uint32_t)td__topk_finish(&top, hits);
}

static void rank_block(void *state, uint64_t block, uint32_t worker)
{
    scorer_ranker *ranker = state;
    td_status status = TD_OK;
    td_error err = {0};
    uint32_t candidates = ranker->evaluation->rank_count;
    uint32_t first = (uint32_t)block * ranker->block, left = ranker->chunk->count - first;
    uint32_t count = left < ranker->block ? left : ranker->block;
    const uint32_t *queries = ranker->evaluation->test.query + ranker->chunk->first + first;
    float *scores = ranker->scores + (size_t)worker * ranker->block * candidates;
    uint64_t *keys = ranker->keys + (size_t)worker * candidates;
    TD_TRY(ranker->scorer->score(ranker->scorer->user, queries, count, scores, &err));
    TD_TRY(check_scores(scores, count, queries, candidates, &err));
    for (uint32_t i = 0; i < count; i++) {
        rank_query(ranker, first + i, scores + (size_t)i * candidates, keys);
    }
done:
    td__failure_note(&ranker->failures[worker], status, block, &err);
}

static td_status rank(void *user, const td__evaluation *evaluation, td__chunk *chunk, td_error *err)
{
    scorer_ranker *ranker = user;
    ranker->chunk = chunk;
    td__parallel_for(evaluation->context, td__block_count(chunk->count, ranker->block), rank_block,
                     ranker);
    return td__failure_first(ranker->failures, td_context_threads(evaluation->context), err);
}

static td_status make_scratch(scorer_ranker *ranker, const td__evaluation *evaluation,
                              td_error *err)
{
    td_status status = TD_OK;
    td_context *context = evaluation->context;
    uint32_t threads = td_context_threads(context), candidates = evaluation->rank_count;
    uint32_t fit = candidates == 0 ? QUERIES_OF_CALL_MAX : SCORES_OF_CALL / candidates;
    ranker->evaluation = evaluation;
    ranker->block = fit == 0 ? 1 : fit > QUERIES_OF_CALL_MAX ? QUERIES_OF_CALL_MAX : fit;
    TD_TRY(td__alloc(&ranker->scores, context, (uint64_t)threads * ranker->block * candidates,
                     sizeof *ranker->scores, err));
    TD_TRY(td__alloc(&ranker->keys, context, (uint64_t)threads * candidates, sizeof *ranker->keys,
                     err));
    TD_TRY(td__alloc_zero(&ranker->failures, context, threads, sizeof *ranker->failures, err));
done:
    return status;
}

td_status td_evaluate(td_metrics *metrics, td_context *context, const td_scorer *scorer,
                      const td_dataset *train, const td_dataset *test,
                      const td_evaluate_options *options, const td_progress_hook *hook,
                      td_error *err)
{
    td_status status = TD_OK;
    td_evaluate_options defaults;
    scorer_ranker ranker = {.scorer = scorer};
    td_evaluate_options_init(&defaults);
    td__evaluation evaluation = {.context = context,
                                 .options = options == NULL ? &defaults : options,
                                 .hook = hook,
                                 .rank = rank,
                                 .user = &ranker};
    TD_TRY(td__evaluation_prepare(&evaluation, train, test, err));
    TD_TRY(make_scratch(&ranker, &evaluation, err));
    TD_TRY(td__evaluation_run(&evaluation, train, metrics, err));
done:
    td__free(context, ranker.scores);
    td__free(context, ranker.keys);
    td__free(context, ranker.failures);
    td__evaluation_clear(&evaluation);
    return status;
}
