/* count.c -- how many items score higher than a query's own?
 *
 * Serves: stage 6. In: queries and a score for each. Out: counts.
 * The same tiles as in scan.c, or the same filter as in filter.c. A piece of work is a block of queries
 * over a span of panels; counts are integers, so that they may be added in any order. */
#include "index/count.h"

#include <float.h>
#include <math.h>

#include "base/limits.h"
#include "base/pool.h"
#include "index/filter.h"
#include "index/scan.h"
#include "base/poison.h"

/* 196,608 items, whole blocks of the filter. */
enum { SPAN_PANELS = 4096 };

typedef struct counting {
    td__workers workers;
    td__scan scan;
    uint64_t queries, spans;
    uint32_t block; /* queries */
    const float *thresholds;
    atomic_uint_fast64_t *counts;
} counting;

/* Some queries of one worker. */
typedef struct count_part {
    uint64_t first;
    uint32_t count;
    uint64_t panel, panel_end;
} count_part;

/* Masks of one panel for some queries from `first` on, no more than make a tile. */
static void count_tile(const counting *work, td__scanner *scanner, uint64_t first, uint32_t queries,
                       const float *items)
{
    const td__scan *scan = &work->scan;
    uint32_t dim = scan->index->dim, heads = scan->heads;
    scan->kernels->score_panel(scan->queries + first * heads * dim, queries * heads, items, dim, NULL,
                               scanner->scores);
    if (heads > 1) td__best_of_heads(scanner->scores, queries, heads);
    scan->kernels->above(scanner->scores, queries, work->thresholds + first, scanner->masks);
}

static void count_plainly(const counting *work, td__scanner *scanner, const count_part *part,
                          uint64_t *found)
{
    uint32_t tile = td__tile_queries(work->scan.heads);
    for (uint64_t panel = part->panel; panel < part->panel_end; panel++) {
        uint64_t columns = td__panel_columns(work->scan.index, panel);
        const float *items = td__panel_items(scanner, work->scan.index, panel, columns);
        for (uint32_t i = 0; i < part->count; i += tile) {
            uint32_t queries = part->count - i < tile ? part->count - i : tile;
            count_tile(work, scanner, part->first + i, queries, items);
            for (uint32_t q = 0; q < queries; q++) {
                found[i + q] += (uint32_t)__builtin_popcountll(scanner->masks[q] & columns);
            }
        }
    }
}

static void count_filtered(const counting *work, td__filter *filter, const count_part *part,
                           uint64_t *found)
{
    td__filter_start_counting(filter, &work->scan, part->first, part->count,
                              work->thresholds + part->first, found);
    td__filter_run(filter, &work->scan, part->first, part->count, part->panel, part->panel_end);
    td__filter_end(filter, &work->scan, part->first, part->count);
}

static void count_block(void *state, uint64_t block, uint32_t worker)
{
    const counting *work = state;
    uint64_t first = block / work->spans * work->block, left = work->queries - first;
    uint64_t panels = td__panel_count(work->scan.index->count);
    uint64_t panel = block % work->spans * SPAN_PANELS, found[TD__QUERY_BLOCK] = {0};
    count_part part = {
        .first = first,
        .count = left < work->block ? (uint32_t)left : work->block,
        .panel = panel,
        .panel_end = panels - panel < SPAN_PANELS ? panels : panel + SPAN_PANELS,
    };
    if (work->workers.filters == NULL) {
        count_plainly(work, &work->workers.scanners[worker], &part, found);
    } else {
        count_filtered(work, &work->workers.filters[worker], &part, found);
    }
    for (uint32_t i = 0; i < part.count; i++) {
        atomic_fetch_add_explicit(&work->counts[first + i], found[i], memory_order_relaxed);
    }
}

void td__count_greater(td_searcher *searcher, const td_vectors *queries, const float *thresholds,
                       atomic_uint_fast64_t *counts)
{
    const td_search nothing_special = {.k = 1};
    td__workers workers = td__searcher_workers(searcher);
    const td_index *index = workers.index;
    counting work = {.workers = workers,
                     .scan = {.index = index, .kernels = index->context->kernels,
                              .queries = queries->data, .heads = td__heads(queries),
                              .search = &nothing_special},
                     .queries = queries->rows,
                     .thresholds = thresholds,
                     .counts = counts};
    work.block = workers.filters == NULL ? TD__QUERY_BLOCK : td__filter_queries(work.scan.heads);
    work.spans = td__block_count(td__panel_count(index->count), SPAN_PANELS);
    td__parallel_for(index->context, td__block_count(queries->rows, work.block) * work.spans,
                     count_block, &work);
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
