/* evaluate_model.c -- evaluation of a model over all its candidates.
 *
 * Serves: stage 6. In: a model. Out: metrics.
 * Candidate vectors are made once and indexed; the lists come from the exact search, in which the
 * seen candidates are left out. A test item's own score is the same chain of fma as in the search.
 */
#include "eval/evaluation.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "index/index.h"
#include "model/model.h"
#include "base/poison.h"

typedef struct model_ranker {
    const td_model *model;
    const td__evaluation *evaluation;
    const td_dataset *train;
    td__chunk *chunk;
    float *items;      /* [candidates, dim] */
    uint32_t *rank_of; /* [dataset candidates] position in the model, or TD_NONE */
    td_index *index;
    td_searcher *searcher;
    const char **ids; /* [TD__CHUNK_QUERIES] */
    float *queries;   /* [TD__CHUNK_QUERIES, heads, dim] */
} model_ranker;

/* Test items of one query, side by side. Those that cannot be ranked are scored as candidate 0 at first;
 * there is one, as every model has candidates. */
static void score_items(const model_ranker *ranker, const float *query, const uint32_t *candidates,
                        uint32_t count, float *scores)
{
    const td_model_options *options = &ranker->model->options;
    const float *rows[TD__ROWS];
    float found[TD__ROWS], best[TD__ROWS];
    for (uint32_t i = 0; i < TD__ROWS; i++) {
        uint32_t position = td__rank_position(ranker->evaluation, candidates[i < count ? i : 0]);
        rows[i] = ranker->items + (size_t)(position == TD_NONE ? 0 : position) * options->dim;
        best[i] = -INFINITY;
    }
    for (uint32_t h = 0; h < options->heads; h++) {
        ranker->evaluation->context->kernels->score_rows(query + (size_t)h * options->dim, rows,
                                                         options->dim, NULL, found);
        for (uint32_t i = 0; i < TD__ROWS; i++) best[i] = found[i] > best[i] ? found[i] : best[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        bool known = td__rank_position(ranker->evaluation, candidates[i]) != TD_NONE;
        scores[i] = known ? best[i] : NAN;
    }
}

/* Scores of the test items of some queries. */
static void score_block(void *state, uint64_t block, uint32_t worker)
{
    const model_ranker *ranker = state;
    const td__test_items *test = &ranker->evaluation->test;
    const uint64_t *offsets = test->offsets + ranker->chunk->first;
    size_t width = (size_t)ranker->model->options.heads * ranker->model->options.dim;
    uint32_t first = (uint32_t)block * TD__MEASURE_QUERIES, left = ranker->chunk->count - first;
    uint32_t end = left < TD__MEASURE_QUERIES ? ranker->chunk->count : first + TD__MEASURE_QUERIES;
    (void)worker;
    for (uint32_t i = first; i < end; i++) {
        for (uint64_t item = offsets[i]; item < offsets[i + 1]; item += TD__ROWS) {
            uint64_t more = offsets[i + 1] - item;
            score_items(ranker, ranker->queries + i * width, test->candidate + item,
                        more < TD__ROWS ? (uint32_t)more : TD__ROWS,
                        &ranker->chunk->scores[item - offsets[0]]);
        }
    }
}

static td_status rank(void *user, const td__evaluation *evaluation, td__chunk *chunk, td_error *err)
{
    td_status status = TD_OK;
    model_ranker *ranker = user;
    const td_vocab *names = td_dataset_queries(ranker->train);
    const td_model_options *options = &ranker->model->options;
    td_vectors queries = {.data = ranker->queries,
                          .rows = chunk->count,
                          .dim = options->dim,
                          .heads = options->heads};
    td_search search = {.k = evaluation->k_max,
                        .exclude_offsets = chunk->exclude_offsets,
                        .exclude = chunk->exclude};
    ranker->chunk = chunk;
    for (uint32_t i = 0; i < chunk->count; i++) {
        ranker->ids[i] = td_vocab_id(names, evaluation->test.query[chunk->first + i]);
        chunk->hit_counts[i] = 0;
    }
    TD_TRY(td_model_encode_queries(ranker->model, ranker->ids, chunk->count, ranker->queries, err));
    if (search.k > 0) {
        TD_TRY(td_searcher_search(ranker->searcher, &queries, &search, chunk->hits,
                                  chunk->hit_counts, err));
    }
    td__parallel_for(evaluation->context, td__block_count(chunk->count, TD__MEASURE_QUERIES),
                     score_block, ranker);
done:
    return status;
}

/* The dataset numbers its candidates in one way, the model in another. */
static td_status map_candidates(model_ranker *ranker, td__evaluation *evaluation, td_error *err)
{
    td_status status = TD_OK;
    const td_vocab *ours = td_dataset_candidates(ranker->train);
    const td_vocab *theirs = ranker->model->candidates;
    uint32_t count = td_vocab_count(ours);
    TD_TRY(td__alloc(&ranker->rank_of, evaluation->context, count, sizeof *ranker->rank_of, err));
    for (uint32_t c = 0; c < count; c++) {
        const char *id = td_vocab_id(ours, c);
        ranker->rank_of[c] = td_vocab_find(theirs, id, strlen(id));
    }
    evaluation->rank_of = ranker->rank_of;
    evaluation->rank_count = td_vocab_count(theirs);
done:
    return status;
}

static td_status make_index(model_ranker *ranker, td_context *context, td_error *err)
{
    td_status status = TD_OK;
    const td_model_options *options = &ranker->model->options;
    uint32_t count = td_vocab_count(ranker->model->candidates);
    td_vectors items = {.rows = count, .dim = options->dim};
    TD_TRY(td__alloc(&ranker->items, context, (uint64_t)count * options->dim, sizeof *ranker->items,
                     err));
    TD_TRY(td__alloc(&ranker->ids, context, TD__CHUNK_QUERIES, sizeof *ranker->ids, err));
    TD_TRY(td__alloc(&ranker->queries, context,
                     (uint64_t)TD__CHUNK_QUERIES * options->heads * options->dim,
                     sizeof *ranker->queries, err));
    TD_TRY(td_model_encode_candidates(ranker->model, ranker->items, err));
    items.data = ranker->items;
    TD_TRY(td_index_build(&ranker->index, context, &items, NULL, err));
    TD_TRY(td_searcher_create(&ranker->searcher, ranker->index, err));
done:
    return status;
}

td_status td_evaluate_model(td_metrics *metrics, const td_model *model, const td_dataset *train,
                            const td_dataset *test, const td_evaluate_options *options,
                            const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = model->context;
    td_evaluate_options defaults;
    td_evaluate_options_init(&defaults);
    model_ranker ranker = {.model = model, .train = train};
    td__evaluation evaluation = {.context = context,
                                 .options = options == NULL ? &defaults : options,
                                 .hook = hook,
                                 .rank = rank,
                                 .user = &ranker};
    ranker.evaluation = &evaluation;
    TD_TRY(td__evaluation_prepare(&evaluation, train, test, err));
    TD_TRY(map_candidates(&ranker, &evaluation, err));
    TD_TRY(make_index(&ranker, context, err));
    TD_TRY(td__evaluation_run(&evaluation, train, metrics, err));
done:
    td_searcher_free(ranker.searcher);
    td_index_free(ranker.index);
    td__free(context, ranker.items);
    td__free(context, ranker.rank_of);
    td__free(context, ranker.ids);
    td__free(context, ranker.queries);
    td__evaluation_clear(&evaluation);
    return status;
}
