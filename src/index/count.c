/* count.c -- how many items score higher than a query's own?
 *
 * Serves: stage 6. In: queries and a score for each. Out: counts.
 * The same tiles as in scan.c. A piece of work is a block of queries over a span of panels; counts
 * are integers, so that they may be added in any order. There is no filter as in searches: of items that
 * score about as high as a positive there are too many, unless it is among the very best
 * (docs/speed.md). */
#include "index/count.h"

#include <float.h>
#include <math.h>

#include "base/limits.h"
#include "base/pool.h"
#include "index/scan.h"
#include "base/poison.h"

/* 196,608 items. */
enum { SPAN_PANELS = 4096 };

typedef struct counting {
    td__scan scan;
    td__scanner *scanners; /* [threads] */
    uint64_t queries, spans;
    const float *thresholds;
    atomic_uint_fast64_t *counts;
} counting;

static void count_block(void *state, uint64_t block, uint32_t worker)
{
    const counting *work = state;
    td__scanner *scanner = &work->scanners[worker];
    uint64_t first = block / work->spans * TD__QUERY_BLOCK, left = work->queries - first;
    uint32_t count = left < TD__QUERY_BLOCK ? (uint32_t)left : TD__QUERY_BLOCK;
    uint32_t tile = td__tile_queries(work->scan.heads), found[TD__QUERY_BLOCK] = {0};
    uint64_t panels = td__panel_count(work->scan.index->count), panel = block % work->spans * SPAN_PANELS;
    uint64_t end = panels - panel < SPAN_PANELS ? panels : panel + SPAN_PANELS;
    uint32_t tiles = (uint32_t)td__block_count(count, tile);
    size_t bytes = (size_t)work->scan.index->dim * TD__PANEL * sizeof(float);
    for (; panel < end; panel++) {
        uint64_t columns = td__panel_columns(work->scan.index, panel);
        td__scan_panel view = {
            .items = td__panel_items(scanner, work->scan.index, panel, columns),
            .dim = work->scan.index->dim};
        bool more = view.items != scanner->packed && panel + 1 < end;
        for (uint32_t i = 0; i < count; i += tile) {
            uint32_t queries = count - i < tile ? count - i : tile;
            if (more) td__scan_next(&view, bytes, i / tile, tiles);
            td__scan_tile(scanner, &work->scan, &view, first + i, queries,
                          work->thresholds + first + i);
            for (uint32_t q = 0; q < queries; q++) {
                found[i + q] += (uint32_t)__builtin_popcountll(scanner->masks[q] & columns);
            }
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        atomic_fetch_add_explicit(&work->counts[first + i], found[i], memory_order_relaxed);
    }
}

void td__count_greater(td_searcher *searcher, const td_vectors *queries, const float *thresholds,
                       atomic_uint_fast64_t *counts)
{
    const td_index *index = td__searcher_index(searcher);
    counting work = {.scan = {.index = index, .kernels = index->context->kernels,
                              .queries = queries->data, .heads = td__heads(queries)},
                     .scanners = td__searcher_scanners(searcher),
                     .queries = queries->rows,
                     .thresholds = thresholds,
                     .counts = counts};
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
