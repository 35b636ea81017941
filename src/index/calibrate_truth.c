/* calibrate_truth.c -- what a query ought to find, for calibration.
 *
 * Serves: stage 7. */
#include "index/calibrate_truth.h"

#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "index/scan.h"

#include "base/poison.h"

enum { K_MAX = 100 };

const uint32_t td__truth_ks[TD__TRUTH_KS] = {1, 10, K_MAX};

void td__truth_guess(const td_index *index, uint32_t position, float *item)
{
    const td__rounded *rounded = index->rounded;
    td__random draws = td__random_stream(0, TD__STREAM_ROUNDING, position);
    float scale = rounded->scales[rounded->slots[position]];
    td__rounded_copy(rounded, position, index->dim, item);
    for (uint32_t k = 0; k < index->dim; k++) {
        item[k] += scale * ((float)td__random_unit(draws, k) - 0.5f);
    }
}

/* The best of a query's vectors. */
static float score(const float *vectors, uint32_t heads, const float *item, uint32_t dim)
{
    float best = -INFINITY;
    for (uint32_t h = 0; h < heads; h++, vectors += dim) {
        float sum = 0.0f;
        for (uint32_t k = 0; k < dim; k++) sum = fmaf(vectors[k], item[k], sum);
        best = fmaxf(best, sum);
    }
    return best;
}

/* Of hits in the order of their guessed items the first k, for each k. */
static void mark_best(td__ranks *best, const td_hit *order, uint32_t count)
{
    memset(best, 0, TD__TRUTH_KS * sizeof *best);
    for (uint32_t kind = 0; kind < TD__TRUTH_KS; kind++) {
        for (uint32_t i = 0; i < count && i < td__truth_ks[kind]; i++) {
            uint32_t rank = order[i].position;
            best[kind].bits[rank / 64] |= UINT64_C(1) << rank % 64;
        }
    }
}

static void judge(td__truths *truths, const td_index *index, uint64_t query, const float *vectors,
                  uint32_t heads, float *item)
{
    const td_hit *hits = truths->hits + query * truths->width;
    uint32_t count = truths->counts[query];
    td_hit order[TD__TRUTH_MAX];
    uint64_t keys[TD__TRUTH_MAX];
    td__topk top;
    td__topk_init(&top, keys, TD__TRUTH_MAX, TD__TRUTH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        float by = hits[i].score;
        if (index->rounded != NULL) {
            td__truth_guess(index, hits[i].position, item);
            by = score(vectors, heads, item, index->dim);
        }
        keys[top.count++] = td__key_make(by, i);
    }
    td__topk_finish(&top, order);
    mark_best(truths->best + query * TD__TRUTH_KS, order, count);
}

static td_status find_hits(td__truths *truths, const td_index *index, const td_vectors *queries,
                           td_error *err)
{
    td_status status = TD_OK;
    td_searcher *searcher = NULL;
    td_search search = {.k = truths->width, .allow = index->live, .effort = {.target_recall = 1.0f}};
    TD_TRY(td_searcher_create(&searcher, index, err));
    TD_TRY(td__searcher_search(searcher, queries, &search, truths->hits, truths->counts, err));
done:
    td_searcher_free(searcher);
    return status;
}

td_status td__truths_make(td__truths *truths, const td_index *index, const td_vectors *queries,
                          td_error *err)
{
    td_status status = TD_OK;
    td_context *context = index->context;
    uint32_t heads = td__heads(queries);
    float *item = NULL;
    *truths = (td__truths){0};
    truths->width = index->rounded != NULL ? TD__TRUTH_MAX : K_MAX;
    TD_TRY(td__alloc(&truths->hits, context, queries->rows * truths->width, sizeof *truths->hits, err));
    TD_TRY(td__alloc(&truths->counts, context, queries->rows, sizeof *truths->counts, err));
    TD_TRY(td__alloc(&truths->best, context, queries->rows * TD__TRUTH_KS, sizeof *truths->best, err));
    TD_TRY(td__alloc(&item, context, index->dim, sizeof *item, err));
    TD_TRY(find_hits(truths, index, queries, err));
    for (uint64_t q = 0; q < queries->rows; q++) {
        const float *vectors = queries->data + q * heads * index->dim;
        judge(truths, index, q, vectors, heads, item);
    }
done:
    td__free(context, item);
    return status;
}

void td__truths_clear(td__truths *truths, td_context *context)
{
    td__free(context, truths->hits);
    td__free(context, truths->counts);
    td__free(context, truths->best);
}

uint8_t td__truths_count(const td__truths *truths, uint64_t query, uint32_t kind, const td__ranks *found)
{
    const td__ranks *best = &truths->best[query * TD__TRUTH_KS + kind];
    uint64_t low = found->bits[0], high = found->bits[1];
    for (uint32_t i = 0; i < td__truth_ks[kind]; i++) { /* the hits go */
        if (low != 0) low &= low - 1;
        else high &= high - 1;
    }
    low = found->bits[0] & ~low & best->bits[0];
    high = found->bits[1] & ~high & best->bits[1];
    return (uint8_t)(__builtin_popcountll(low) + __builtin_popcountll(high));
}
