/* evaluate_popularity.c -- evaluation of the list of the most popular, the same for all.
 *
 * Serves: stage 6. In: training rows. Out: metrics that every model should beat.
 * The list is made once; a query's is its beginning without what the query has seen. Candidates
 * without a training row are not in it. */
#include "eval/evaluation.h"

#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/topk.h"
#include "base/poison.h"

typedef struct popularity_ranker {
    const td__evaluation *evaluation;
    td__chunk *chunk;
    td_hit *list; /* [count] best first */
    uint32_t count;
    float *scores; /* [candidates] training rows, NaN for none */
} popularity_ranker;

static void rank_query(const popularity_ranker *ranker, uint32_t i)
{
    const td__evaluation *evaluation = ranker->evaluation;
    td__chunk *chunk = ranker->chunk;
    const uint64_t *offsets = evaluation->test.offsets + chunk->first;
    uint32_t query = evaluation->test.query[chunk->first + i], count = 0;
    td_hit *hits = chunk->hits + (size_t)i * evaluation->k_max;
    for (uint32_t r = 0; r < ranker->count && count < evaluation->k_max; r++) {
        bool out = evaluation->options->exclude_seen
                   && td__was_seen(evaluation, query, ranker->list[r].position);
        if (!out) hits[count++] = ranker->list[r];
    }
    chunk->hit_counts[i] = count;
    for (uint64_t item = offsets[i]; item < offsets[i + 1]; item++) {
        chunk->scores[item - offsets[0]] = ranker->scores[evaluation->test.candidate[item]];
    }
}

static void rank_block(void *state, uint64_t block, uint32_t worker)
{
    const popularity_ranker *ranker = state;
    uint32_t first = (uint32_t)block * TD__MEASURE_QUERIES, left = ranker->chunk->count - first;
    uint32_t count = left < TD__MEASURE_QUERIES ? left : TD__MEASURE_QUERIES;
    (void)worker;
    for (uint32_t i = first; i < first + count; i++) rank_query(ranker, i);
}

static td_status rank(void *user, const td__evaluation *evaluation, td__chunk *chunk, td_error *err)
{
    popularity_ranker *ranker = user;
    (void)err;
    ranker->evaluation = evaluation;
    ranker->chunk = chunk;
    td__parallel_for(evaluation->context, td__block_count(chunk->count, TD__MEASURE_QUERIES),
                     rank_block, ranker);
    return TD_OK;
}

static td_status make_list(popularity_ranker *ranker, td_context *context, const td_dataset *train,
                           td_error *err)
{
    td_status status = TD_OK;
    uint32_t candidates = td_vocab_count(td_dataset_candidates(train));
    uint64_t *counts = NULL, *keys = NULL;
    td__topk top;
    TD_TRY(td__alloc(&counts, context, candidates, sizeof *counts, err));
    TD_TRY(td__alloc(&keys, context, candidates, sizeof *keys, err));
    TD_TRY(td__alloc(&ranker->scores, context, candidates, sizeof *ranker->scores, err));
    TD_TRY(td__alloc(&ranker->list, context, candidates, sizeof *ranker->list, err));
    td_dataset_candidate_counts(train, counts);
    td__topk_init(&top, keys, candidates, candidates);
    for (uint32_t c = 0; c < candidates; c++) {
        ranker->scores[c] = counts[c] == 0 ? NAN : (float)counts[c];
        if (counts[c] > 0) td__topk_push(&top, td__key_make(ranker->scores[c], c));
    }
    ranker->count = (uint32_t)td__topk_finish(&top, ranker->list);
done:
    td__free(context, counts);
    td__free(context, keys);
    return status;
}

td_status td_evaluate_popularity(td_metrics *metrics, td_context *context, const td_dataset *train,
                                 const td_dataset *test, const td_evaluate_options *options,
                                 const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    td_evaluate_options defaults;
    popularity_ranker ranker = {0};
    td_evaluate_options_init(&defaults);
    td__evaluation evaluation = {.context = context,
                                 .options = options == NULL ? &defaults : options,
                                 .hook = hook,
                                 .rank = rank,
                                 .user = &ranker};
    TD_TRY(td__evaluation_prepare(&evaluation, train, test, err));
    TD_TRY(make_list(&ranker, context, train, err));
    TD_TRY(td__evaluation_run(&evaluation, train, metrics, err));
done:
    td__free(context, ranker.list);
    td__free(context, ranker.scores);
    td__evaluation_clear(&evaluation);
    return status;
}
