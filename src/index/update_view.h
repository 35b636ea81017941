/* update_view.h -- what one searcher sees of an index that changes.
 *
 * Serves: stage 7.
 *
 * A view pins a state for the time of one search, and has marks of its own: which items of the base, and
 * which rows of the log, are there. It brings them up to date from the log, at a constant cost an
 * update, so searching needs no lock, and what it sees does not change under its hands. A search is one
 * of the base, with the marks in the place of the caller's bitmap, and one of the log's rows (update_search.c);
 * the two share no item, so the best of both are the best. */
#ifndef TD_INDEX_UPDATE_VIEW_H
#define TD_INDEX_UPDATE_VIEW_H

#include "index/scan.h"
#include "index/update.h"

typedef struct td__view {
    const td_index *index;
    td__reader reader;
    const td__state *state; /* pinned, or of a base without states: NULL */
    const td_index *base;   /* its base */
    uint64_t serial;        /* of the state that all below is of; 0: of none */
    uint64_t applied;       /* entries of its log */
    uint64_t count;         /* positions */
    uint64_t base_items;    /* of the base that are there */
    uint64_t *base_live;    /* [base count] bits; good while base_items < base count */
    uint64_t base_room;     /* words of it that are a copy of this base's marks; 0: none yet */
    uint32_t rows;          /* of the log */
    uint32_t rows_live;
    uint64_t *row_live;     /* [rows_max] bits */
    /* of one search: */
    td_search search;       /* with `allow` and `bias` for the base */
    uint64_t *allow;
    float *bias;
    float *tail;            /* [dim, TD__PANEL]: the rows behind the last full panel */
    uint64_t *keys;         /* [threads, queries of a tile, capacity] */
    td_hit *found;          /* likewise */
} td__view;

/* Join the readers of an index, and part from them. */
void td__view_join(td__view *view, const td_index *index);
void td__view_part(td__view *view);

/* Pin the current state and see what is new: view->serial changes with the base. To be followed by
 * td__view_end, also after a failure. */
TD_MUST_CHECK td_status td__view_begin(td__view *view, td_error *err);
void td__view_end(td__view *view);

/* view->search becomes what to ask of the base. */
TD_MUST_CHECK td_status td__view_ask(td__view *view, const td_search *search, td_error *err);

/* Merge the log's best into `hits`, which hold the base's. `scan` is of the base, `search` the caller's. */
TD_MUST_CHECK td_status td__view_add(td__view *view, const td__scan *scan, const td_search *search,
                                     uint64_t queries, td_hit *hits, uint32_t *counts, td_error *err);

/* Positions that the caller's arrays cover. */
static inline uint64_t td__view_covered(const td__view *view, const td_search *search)
{
    bool partly = search->positions > 0 && search->positions < view->count;
    return partly ? search->positions : view->count;
}

#endif
