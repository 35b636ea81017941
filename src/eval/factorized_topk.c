/* factorized_topk.c -- TFRS' FactorizedTopK, streaming.
 *
 * Serves: stage 6. In: queries with their true candidates. Out: share of hits, for each k.
 * Rows are taken in chunks. In score mode a row's hits follow from the number of candidates that
 * score strictly higher, without a list where that takes less time; in id mode from the place of the true
 * one in the list. */
#include "eval/evaluation.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/pool.h"
#include "index/count.h"
#include "base/poison.h"

enum {
    CHUNK_ROWS = 1024,
    LISTED_SHARE = 64 /* lists of up to this part of the candidates are cheap to find */
};

struct td_factorized_topk {
    td_context *context;
    const td_index *index;
    td_searcher *searcher;
    td_u32_list ks;
    uint32_t k_max; /* largest k, but at most the number of candidates */
    double hits[TD_U32_LIST_MAX], weights;
    /* of a chunk: */
    float *own;                   /* [CHUNK_ROWS] score of the true candidate */
    atomic_uint_fast64_t *higher; /* [CHUNK_ROWS] candidates before it; UINT64_MAX: a miss */
    float *queries;               /* to search: [CHUNK_ROWS, heads, dim] without odd values */
    td_hit *found;                /* [CHUNK_ROWS, k_max] */
    uint32_t *found_counts;       /* [CHUNK_ROWS] */
};

static td_status check_ks(const td_u32_list *ks, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(ks->count == 0 || ks->count > TD_U32_LIST_MAX, err, ERR_ARGUMENT,
               "%u values of k; 1 to %d are allowed", ks->count, TD_U32_LIST_MAX);
    for (uint32_t j = 0; j < ks->count; j++) {
        TD_FAIL_IF(ks->values[j] == 0, err, ERR_ARGUMENT, "k is 0; at least 1 is needed");
    }
done:
    return status;
}

td_status td_factorized_topk_create(td_factorized_topk **out, td_context *context,
                                    const td_index *index, const td_u32_list *ks, td_error *err)
{
    td_status status = TD_OK;
    td_factorized_topk *metric = NULL;
    TD_TRY(check_ks(ks, err));
    TD_FAIL_IF(!td__index_is_as_built(index), err, ERR_STATE, "the index has been updated; the metric "
               "needs one as it was built");
    TD_FAIL_IF(index->distance.measure != TD_DOT_PRODUCT, err, ERR_UNSUPPORTED, "the metric ranks by "
               "dot products; the index is one by %s", td_distance_measure_name(index->distance.measure));
    TD_TRY(td__alloc_zero(&metric, context, 1, sizeof *metric, err));
    *metric = (td_factorized_topk){.context = context, .index = index, .ks = *ks};
    for (uint32_t j = 0; j < ks->count; j++) {
        if (ks->values[j] > metric->k_max) metric->k_max = ks->values[j];
    }
    if (metric->k_max > index->count) metric->k_max = (uint32_t)index->count;
    TD_TRY(td_searcher_create(&metric->searcher, index, err));
    TD_TRY(td__alloc(&metric->own, context, CHUNK_ROWS, sizeof *metric->own, err));
    TD_TRY(td__alloc(&metric->higher, context, CHUNK_ROWS, sizeof *metric->higher, err));
    TD_TRY(
        td__alloc(&metric->found_counts, context, CHUNK_ROWS, sizeof *metric->found_counts, err));
    *out = metric;
    return TD_OK;
done:
    td_factorized_topk_free(metric);
    *out = NULL;
    return status;
}

void td_factorized_topk_free(td_factorized_topk *metric)
{
    if (metric == NULL) return;
    td_searcher_free(metric->searcher);
    td__free(metric->context, metric->own);
    td__free(metric->context, metric->higher);
    td__free(metric->context, metric->queries);
    td__free(metric->context, metric->found);
    td__free(metric->context, metric->found_counts);
    td__free(metric->context, metric);
}

void td_factorized_topk_reset(td_factorized_topk *metric)
{
    memset(metric->hits, 0, sizeof metric->hits);
    metric->weights = 0;
}

void td_factorized_topk_result(const td_factorized_topk *metric, double *result)
{
    for (uint32_t j = 0; j < metric->ks.count; j++) {
        result[j] = metric->weights == 0 ? 0 : metric->hits[j] / metric->weights;
    }
}

/* A chunk of `count` rows of which `higher` is known. */
static void add_rows(td_factorized_topk *metric, uint64_t count, const float *weight)
{
    for (uint64_t i = 0; i < count; i++) {
        double share = weight == NULL ? 1 : (double)weight[i];
        uint64_t higher = atomic_load_explicit(&metric->higher[i], memory_order_relaxed);
        metric->weights += share;
        for (uint32_t j = 0; j < metric->ks.count; j++) {
            if (higher < metric->ks.values[j]) metric->hits[j] += share;
        }
    }
}

static td_status check_queries(const td_factorized_topk *metric, const td_vectors *queries,
                               td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(queries->dim != metric->index->dim, err, ERR_ARGUMENT,
               "queries have %u dimensions, the index has %u", queries->dim, metric->index->dim);
    TD_FAIL_IF(td__heads(queries) > TD__HEADS_MAX, err, ERR_LIMIT,
               "%u vectors per query; at most %d are allowed", queries->heads, TD__HEADS_MAX);
done:
    return status;
}

static td_vectors chunk_of(const td_vectors *vectors, uint64_t first)
{
    td_vectors chunk = *vectors;
    chunk.data += first * td__heads(vectors) * vectors->dim;
    chunk.rows = vectors->rows - first < CHUNK_ROWS ? vectors->rows - first : CHUNK_ROWS;
    return chunk;
}

/* --- searching */

static td_status make_room(td_factorized_topk *metric, uint32_t heads, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__grow(&metric->queries, metric->context,
                    (uint64_t)CHUNK_ROWS * heads * metric->index->dim, sizeof *metric->queries,
                    err));
    TD_TRY(td__grow(&metric->found, metric->context, (uint64_t)CHUNK_ROWS * metric->k_max,
                    sizeof *metric->found, err));
done:
    return status;
}

/* A query that is not finite has no scores, so no hits; the search need not see it. */
static bool copy_query(float *to, const float *from, size_t width)
{
    bool finite = true;
    for (size_t k = 0; k < width; k++) finite = finite && isfinite(from[k]);
    if (finite)
        memcpy(to, from, width * sizeof *to);
    else
        memset(to, 0, width * sizeof *to);
    return finite;
}

/* --- score mode */

static float score_of(const td_factorized_topk *metric, const float *query, uint32_t heads,
                      const float *candidate)
{
    uint32_t dim = metric->index->dim;
    float best = NAN;
    for (uint32_t h = 0; h < heads; h++) {
        float score = metric->context->kernels->dot(query + (size_t)h * dim, candidate, dim);
        if (score > best || isnan(best)) best = score;
    }
    return best;
}

/* The rule of TFRS, item by item, where scores may overflow: a miss if one of the first k_max
 * scores is not finite. */
static uint64_t count_with_care(const td_factorized_topk *metric, const float *query,
                                uint32_t heads, float own)
{
    const td_index *index = metric->index;
    uint64_t higher = 0, lowest = 0;
    for (uint32_t i = 0; i < index->count; i++) {
        float best = NAN;
        for (uint32_t h = 0; h < heads; h++) {
            float score = td__index_score(index, query + (size_t)h * index->dim, i);
            if (score > best || isnan(best)) best = score;
        }
        if (isnan(best) || best == INFINITY) return UINT64_MAX;
        higher += best > own;
        lowest += best == -INFINITY;
    }
    return index->count - lowest < metric->k_max ? UINT64_MAX : higher;
}

/* No more is asked of a row than whether fewer than k candidates score higher, k up to k_max: its k_max
 * best tell. An index with a filter finds those in less time than it counts all. */
static bool lists_suffice(const td_factorized_topk *metric)
{
    return metric->index->int8 != NULL && metric->k_max > 0
           && metric->k_max <= metric->index->count / LISTED_SHARE;
}

static td_status count_in_lists(td_factorized_topk *metric, const td_vectors *queries, td_error *err)
{
    td_status status = TD_OK;
    size_t width = (size_t)td__heads(queries) * queries->dim;
    td_vectors clean = *queries;
    td_search search = {.k = metric->k_max};
    TD_TRY(make_room(metric, td__heads(queries), err));
    clean.data = metric->queries;
    for (uint64_t i = 0; i < queries->rows; i++) {
        (void)copy_query(metric->queries + i * width, queries->data + i * width, width);
    }
    TD_TRY(td_searcher_search(metric->searcher, &clean, &search, metric->found, metric->found_counts,
                              err));
    for (uint64_t i = 0; i < queries->rows; i++) {
        const td_hit *hits = metric->found + i * metric->k_max;
        uint64_t higher = 0;
        while (higher < metric->found_counts[i] && hits[higher].score > metric->own[i]) higher++;
        atomic_store_explicit(&metric->higher[i], higher, memory_order_relaxed);
    }
done:
    return status;
}

static td_status count_chunk(td_factorized_topk *metric, const td_vectors *queries,
                             const td_vectors *positives, td_error *err)
{
    td_status status = TD_OK;
    uint32_t heads = td__heads(queries), dim = metric->index->dim;
    for (uint64_t i = 0; i < queries->rows; i++) {
        const float *query = queries->data + i * heads * dim;
        metric->own[i] = score_of(metric, query, heads, positives->data + i * dim);
        if (isnan(metric->own[i])) metric->own[i] = INFINITY;
        atomic_init(&metric->higher[i], 0);
    }
    if (lists_suffice(metric)) TD_TRY(count_in_lists(metric, queries, err));
    else td__count_greater(metric->searcher, queries, metric->own, metric->higher);
    for (uint64_t i = 0; i < queries->rows; i++) {
        const float *query = queries->data + i * heads * dim;
        uint64_t higher = UINT64_MAX;
        if (isfinite(metric->own[i])) {
            if (!td__may_overflow(metric->index, query, heads)) continue;
            higher = count_with_care(metric, query, heads, metric->own[i]);
        }
        atomic_store_explicit(&metric->higher[i], higher, memory_order_relaxed);
    }
done:
    return status;
}

td_status td_factorized_topk_update(td_factorized_topk *metric, const td_vectors *queries,
                                    const td_vectors *positives, const float *weight, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_queries(metric, queries, err));
    TD_FAIL_IF(positives->dim != queries->dim || positives->rows != queries->rows
                   || td__heads(positives) != 1,
               err, ERR_ARGUMENT, "%llu positives of %u dimensions for %llu queries of %u",
               (unsigned long long)positives->rows, positives->dim,
               (unsigned long long)queries->rows, queries->dim);
    for (uint64_t first = 0; first < queries->rows; first += CHUNK_ROWS) {
        td_vectors part = chunk_of(queries, first), true_part = chunk_of(positives, first);
        TD_TRY(count_chunk(metric, &part, &true_part, err));
        add_rows(metric, part.rows, weight == NULL ? NULL : weight + first);
    }
done:
    return status;
}

/* --- id mode */

static uint64_t place_of(const td_hit *hits, uint32_t count, uint32_t position)
{
    for (uint32_t r = 0; r < count; r++) {
        if (hits[r].position == position) return r;
    }
    return UINT64_MAX;
}

static td_status place_chunk(td_factorized_topk *metric, const td_vectors *queries,
                             const uint32_t *position, td_error *err)
{
    td_status status = TD_OK;
    size_t width = (size_t)td__heads(queries) * queries->dim;
    td_vectors clean = *queries;
    td_search search = {.k = metric->k_max};
    clean.data = metric->queries;
    for (uint64_t i = 0; i < queries->rows; i++) {
        bool finite = copy_query(metric->queries + i * width, queries->data + i * width, width);
        metric->own[i] = finite ? 0.0f : NAN;
        metric->found_counts[i] = 0;
    }
    if (search.k > 0) {
        TD_TRY(td_searcher_search(metric->searcher, &clean, &search, metric->found,
                                  metric->found_counts, err));
    }
    for (uint64_t i = 0; i < queries->rows; i++) {
        const td_hit *hits = metric->found + i * metric->k_max;
        bool known = position[i] != TD_NONE && !isnan(metric->own[i]);
        uint64_t place = known ? place_of(hits, metric->found_counts[i], position[i]) : UINT64_MAX;
        atomic_store_explicit(&metric->higher[i], place, memory_order_relaxed);
    }
done:
    return status;
}

td_status td_factorized_topk_update_ids(td_factorized_topk *metric, const td_vectors *queries,
                                        const uint32_t *position, const float *weight,
                                        td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_queries(metric, queries, err));
    TD_TRY(make_room(metric, td__heads(queries), err));
    for (uint64_t first = 0; first < queries->rows; first += CHUNK_ROWS) {
        td_vectors part = chunk_of(queries, first);
        TD_TRY(place_chunk(metric, &part, position + first, err));
        add_rows(metric, part.rows, weight == NULL ? NULL : weight + first);
    }
done:
    return status;
}
