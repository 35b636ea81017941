/* count.c -- how many items score higher than a query's own?
 *
 * Serves: stage 6. In: queries and a score for each. Out: counts.
 * The same tiles as in scan.c. A piece of work is a block of queries over a span of panels; counts
 * are integers, so that they may be added in any order. */
#include "index/count.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/pool.h"
#include "index/scan.h"
#include "base/poison.h"

/* 196,608 items. */
enum { SPAN_PANELS = 4096 };

typedef struct counting {
    const td_index *index;
    const td_vectors *queries;
    const float *thresholds;
    atomic_uint_fast64_t *counts;
    uint64_t spans;
} counting;

/* Scores of query vectors [count, dim] against a panel's items; what columns past the last item hold is
 * of no matter. An index without panels has its rows scored a few at a time, by the same chains: slower,
 * and the same bits. */
static void score_items(const td_index *index, const float *vectors, uint32_t count, uint64_t panel,
                        float *scores)
{
    const td__kernels *kernels = index->context->kernels;
    if (index->rows == NULL) {
        kernels->score_panel(vectors, count, td__index_panel(index, panel), index->dim, NULL, scores);
        return;
    }
    for (uint32_t j = 0; j < TD__PANEL; j += TD__ROWS) {
        const float *rows[TD__ROWS];
        for (uint32_t i = 0; i < TD__ROWS; i++) {
            uint64_t at = panel * TD__PANEL + j + i; /* past the end: the last, whatever it scores */
            rows[i] = index->rows + (at < index->count ? at : index->count - 1) * index->dim;
        }
        for (uint32_t r = 0; r < count; r++) {
            kernels->score_rows(vectors + (size_t)r * index->dim, rows, index->dim, NULL,
                                scores + r * TD__PANEL + j);
        }
    }
}

/* One panel for some queries from `first` on, fewer than make a tile. */
static void count_tile(const counting *work, uint64_t first, uint32_t queries, uint64_t panel,
                       uint32_t *found)
{
    _Alignas(TD__ALIGNMENT) float scores[TD__TILE_ROWS_MAX * TD__PANEL];
    uint64_t masks[TD__TILE_ROWS], columns = td__panel_columns(work->index, panel);
    const td__kernels *kernels = work->index->context->kernels;
    uint32_t dim = work->index->dim, heads = td__heads(work->queries);
    score_items(work->index, work->queries->data + first * heads * dim, queries * heads, panel, scores);
    if (heads > 1) td__best_of_heads(scores, queries, heads);
    kernels->above(scores, queries, work->thresholds + first, masks);
    for (uint32_t q = 0; q < queries; q++) {
        found[q] += (uint32_t)__builtin_popcountll(masks[q] & columns);
    }
}

static void count_block(void *state, uint64_t block, uint32_t worker)
{
    const counting *work = state;
    uint64_t first = block / work->spans * TD__QUERY_BLOCK, left = work->queries->rows - first;
    uint32_t count = left < TD__QUERY_BLOCK ? (uint32_t)left : TD__QUERY_BLOCK;
    uint32_t tile = td__tile_queries(td__heads(work->queries)), found[TD__QUERY_BLOCK] = {0};
    uint64_t panels = td__panel_count(work->index->count),
             panel = block % work->spans * SPAN_PANELS;
    uint64_t end = panels - panel < SPAN_PANELS ? panels : panel + SPAN_PANELS;
    (void)worker;
    for (; panel < end; panel++) {
        for (uint32_t i = 0; i < count; i += tile) {
            uint32_t queries = count - i < tile ? count - i : tile;
            count_tile(work, first + i, queries, panel, found + i);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        atomic_fetch_add_explicit(&work->counts[first + i], found[i], memory_order_relaxed);
    }
}

void td__count_greater(const td_index *index, const td_vectors *queries, const float *thresholds,
                       atomic_uint_fast64_t *counts)
{
    counting work = {
        .index = index, .queries = queries, .thresholds = thresholds, .counts = counts};
    work.spans = td__block_count(td__panel_count(index->count), SPAN_PANELS);
    uint64_t blocks = td__block_count(queries->rows, TD__QUERY_BLOCK) * work.spans;
    td__parallel_for(index->context, blocks, count_block, &work);
}

/* Every partial sum is at most dim * |q| * |x|, and rounding adds less than as much again. */
bool td__may_overflow(const td_index *index, const float *query, uint32_t heads)
{
    double greatest = 0;
    for (uint64_t i = 0; i < (uint64_t)heads * index->dim; i++) {
        if (!isfinite(query[i])) return true;
        if (fabs((double)query[i]) > greatest) greatest = fabs((double)query[i]);
    }
    return greatest * (double)index->greatest * (double)index->dim >= (double)FLT_MAX / 2;
}
