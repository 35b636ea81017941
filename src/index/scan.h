/* scan.h -- the one pass over the items that every exact search is.
 *
 * Serves: stages 6 and 7. In: some queries, some panels. Out: each query's best so far.
 *
 * Scores of a tile of queries against a panel of 48 items are made in a small buffer, compared with
 * each query's running k-th best score, and forgotten: a matrix of scores is never written. */
#ifndef TD_INDEX_SCAN_H
#define TD_INDEX_SCAN_H

#include "base/limits.h"
#include "index/index.h"
#include "kernel/quant.h"
#include "kernel/topk.h"

enum {
    /* Rows of queries that one call of the kernel takes: two of the 6-row tiles. */
    TD__TILE_ROWS = 12,
    /* A query with more vectors than that is a tile of its own. */
    TD__TILE_ROWS_MAX = TD__HEADS_MAX,
    /* Queries that one worker carries through all items: enough that fetching a panel from memory
     * takes little of the time (48 lose 15 %), few enough for the second cache. */
    TD__QUERY_BLOCK = 192
};

/* What one call searches for; the same for all workers. */
typedef struct td__scan {
    const td_index *index;
    const td__kernels *kernels;
    const float *queries; /* [queries, heads, dim] */
    uint32_t heads;
    const td_search *search;
    const uint32_t *exclude; /* each query's part ascending */
    uint64_t items;          /* that are there */
    bool filtered;           /* `allow` is of the caller, and not only of what is there */
} td__scan;

/* One worker's state: nothing here is shared. */
typedef struct td__scanner {
    _Alignas(TD__ALIGNMENT) float scores[TD__TILE_ROWS_MAX * TD__PANEL];
    float bias[TD__PANEL];
    uint64_t masks[TD__TILE_ROWS];
    float thresholds[TD__QUERY_BLOCK];
    td__topk top[TD__QUERY_BLOCK];
    uint64_t excluded[TD__QUERY_BLOCK]; /* the first exclusion that is not behind us */
    uint32_t few[TD__PANEL], few_count; /* positions that wait to be scored one by one */
    uint64_t *keys; /* borrowed: [TD__QUERY_BLOCK or fewer, capacity] */
    float *packed;  /* borrowed: [dim, TD__PANEL], or that the other way round, for an index that
                     * keeps no panels */
} td__scanner;

/* What a searcher has for each thread of its context, for others to use between its own calls. */
td__scanner *td__searcher_scanners(td_searcher *searcher);
const td_index *td__searcher_index(const td_searcher *searcher);

/* td_searcher_search of queries that are checked, and in the form that the index has inside. */
TD_MUST_CHECK td_status td__searcher_search(td_searcher *searcher, const td_vectors *queries,
                                            const td_search *search, td_hit *hits, uint32_t *counts,
                                            td_error *err);

/* Start with `count` <= TD__QUERY_BLOCK queries from `first` on. */
void td__scanner_start(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count,
                       uint64_t capacity);

/* Pass panels [panel, panel_end), in ascending order over all calls since the start. */
void td__scanner_run(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count,
                     uint64_t panel, uint64_t panel_end);

/* Ask for part i of n of the bytes that come next, so that they wait in the second cache. Between the
 * tiles of a panel, this hides nearly all of the time that the next one takes from memory. */
static inline void td__prefetch_part(const void *next, size_t bytes, uint32_t i, uint32_t n)
{
    size_t part = (bytes / n + TD__ALIGNMENT) / TD__ALIGNMENT * TD__ALIGNMENT, at = i * part;
    size_t end = at + part < bytes ? at + part : bytes;
    for (; at < end; at += TD__ALIGNMENT) __builtin_prefetch((const char *)next + at, 0, 2);
}

/* Let a panel that others follow fetch part i of n of the next one, of as many bytes. */
void td__scan_next(td__scan_panel *panel, size_t bytes, uint32_t i, uint32_t n);

/* Which items of a panel score above the thresholds of some queries, no more than make a tile: into
 * masks, and the scores of those. With several heads, the best of them. */
void td__scan_tile(td__scanner *scanner, const td__scan *scan, const td__scan_panel *panel,
                   uint64_t query, uint32_t queries, const float *thresholds);

/* Columns of a panel that hold items, as bits. */
static inline uint64_t td__panel_columns(const td_index *index, uint64_t panel)
{
    uint64_t left = index->count - panel * TD__PANEL;
    return left >= TD__PANEL ? (UINT64_C(1) << TD__PANEL) - 1 : (UINT64_C(1) << left) - 1;
}

/* Is `position` among the exclusions of `query`? */
static inline bool td__scan_excludes(const td__scan *scan, uint64_t query, uint32_t position)
{
    const uint64_t *offsets = scan->search->exclude_offsets;
    if (offsets == NULL) return false;
    uint64_t low = offsets[query], high = offsets[query + 1];
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (scan->exclude[middle] < position) low = middle + 1;
        else high = middle;
    }
    return low < offsets[query + 1] && scan->exclude[low] == position;
}

/* Results that a query wants: at most N. */
static inline uint64_t td__scan_k(const td__scan *scan, uint64_t query)
{
    const td_search *search = scan->search;
    uint64_t k = search->k_per_query == NULL ? search->k : search->k_per_query[query];
    return k < scan->index->count ? k : scan->index->count;
}

/* A panel's items: packed for good, or now, those of the open columns. What the others hold is of no
 * matter but finite. */
const float *td__panel_items(td__scanner *scanner, const td_index *index, uint64_t panel, uint64_t open);

/* Rows of float32, by number. */
typedef struct td__gathered {
    const float *rows;
    td__rows_by_number which;
} td__gathered;

/* The vectors at some positions, no more than TD__PANEL, of an index that is not packed: where they are, or, of
 * rounded ones, in `room` [TD__PANEL, dim]. */
td__gathered td__gather(const td_index *index, td__rows_by_number positions, float *room);

/* Ask for the vector at a position of such an index. */
static inline void td__fetch_row(const td_index *index, uint64_t position)
{
    if (index->rounded != NULL) {
        td__rounded_fetch(index->rounded, (uint32_t)position);
        return;
    }
    const char *row = (const char *)(index->rows + position * index->dim);
    for (size_t at = 0; at < index->dim * sizeof *index->rows; at += TD__ALIGNMENT) {
        __builtin_prefetch(row + at);
    }
}

/* Open items of a panel that are to be scored row by row (scan_few.c): they wait until they are as many
 * as a panel has. Then, and when asked to, they are scored for `count` queries from `first` on. */
void td__few_add(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count,
                 uint64_t panel, uint64_t open);
void td__few_score(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count);

/* Write the best of a query to its part of `hits` [queries, search->k], and what is left over as none. */
void td__scan_finish(const td__scan *scan, td__topk *top, uint64_t query, td_hit *hits,
                     uint32_t *counts);

/* Ascending, in place. */
void td__sort_positions(uint32_t *positions, uint64_t count);

/* Make scores [count, heads, TD__PANEL] the best of the heads, [count, TD__PANEL], in place. */
void td__best_of_heads(float *scores, uint32_t count, uint32_t heads);

/* How many queries of `heads` vectors make a tile. */
static inline uint32_t td__tile_queries(uint32_t heads)
{
    return heads < TD__TILE_ROWS ? TD__TILE_ROWS / heads : 1;
}

#endif
