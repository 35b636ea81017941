/* filter.h -- the exact search that looks at small integers first.
 *
 * Serves: stages 6 and 7. In: some queries, an index with int8 items. Out: each query's best so far, the
 * same as scan.h finds.
 *
 * Panels of integers are compared with a limit for each query vector (int8_items.h). What passes waits until
 * there is a handful for its query, and is then scored as every score is. Where too much passes (items
 * that are hardly told apart, a large k), blocks of items are scored as a whole, as scan.c does. */
#ifndef TD_INDEX_FILTER_H
#define TD_INDEX_FILTER_H

#include "index/int8_items.h"
#include "index/scan.h"

/* Items of one query that passed and have no score yet. */
typedef struct td__waiting {
    uint32_t positions[TD__ROWS], count;
} td__waiting;

/* One worker's state. `scanner` has the best so far and room for scores. Queries that still look for
 * more are `active`; their vectors are rows, side by side: place a of `active` has rows a * heads and
 * following. */
typedef struct td__filter {
    td__scanner *scanner;
    uint32_t active[TD__QUERY_BLOCK], active_count;
    td__waiting waiting[TD__QUERY_BLOCK];
    td__int8_query queries[TD__QUERY_BLOCK]; /* by row, as those below */
    int32_t limits[TD__QUERY_BLOCK];
    uint64_t masks[TD__QUERY_BLOCK];
    int8_t *values;  /* [TD__QUERY_BLOCK, dim] */
    int32_t *starts; /* [TD__QUERY_BLOCK, words] */
    td__int8_bias bias, block_bias; /* of all items, of the block's */
    uint64_t passed;                /* items of the block, over all queries */
    uint32_t whole, whole_next;     /* blocks to score as a whole: now, and the next time */
    double work;                    /* done since the start, counted and not timed (td__scan_work) */
} td__filter;

/* Queries of a worker's block: no more than TD__QUERY_BLOCK vectors. */
static inline uint32_t td__filter_queries(uint32_t heads)
{
    return heads < TD__QUERY_BLOCK ? TD__QUERY_BLOCK / heads : 1;
}

/* A filter on each of `count` scanners; the memory behind them in `values` and `starts`. */
TD_MUST_CHECK td_status td__filters_create(td__filter **out, const td_index *index,
                                           td__scanner *scanners, uint32_t count, td_error *err);
void td__filters_free(td__filter *filters, const td_index *index);

/* As the functions of td__scanner, whose start comes first. Panels come in whole blocks of
 * TD__INT8_BLOCK, ascending over all calls since the start; td__filter_end scores what still waits. */
void td__filter_start(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t count);
void td__filter_run(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t count,
                    uint64_t panel, uint64_t panel_end);
void td__filter_end(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t count);

/* Work of passing `items` for `rows` vectors of queries without a filter, in the same units. */
static inline double td__scan_work(double items, double dim, double rows)
{
    return items * dim * rows / 14;
}

#endif
