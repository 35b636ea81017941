/* update_search.c -- the rows of a log, searched exactly.
 *
 * Serves: stage 7. In: queries, and the best of the base. Out: the best of the base and the log.
 * Scores are made as in scan.c, a tile of queries against a panel of rows, so they have the same bits.
 * Rows do not come in the order of their positions: of equal scores a later row may be the better one. */
#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "index/update_view.h"

#include "base/poison.h"

typedef struct log_call {
    const td__view *view;
    const td__scan *scan;
    const td_search *search; /* the caller's */
    uint64_t queries;
    uint64_t tile;           /* queries of one piece of work */
    uint64_t capacity;       /* keys of a query */
    td_hit *hits;
    uint32_t *counts;
} log_call;

/* One piece of work. */
typedef struct log_tile {
    _Alignas(TD__ALIGNMENT) float scores[TD__TILE_ROWS_MAX * TD__PANEL];
    float start[TD__PANEL];
    float thresholds[TD__TILE_ROWS];
    uint64_t masks[TD__TILE_ROWS];
    td__topk top[TD__TILE_ROWS];
    uint64_t first; /* query */
    uint32_t count;
} log_tile;

static const float *panel_rows(const td__view *view, uint32_t panel)
{
    bool full = (panel + UINT64_C(1)) * TD__PANEL <= view->rows;
    return full ? view->state->log.panels + (size_t)panel * TD__PANEL * view->base->dim : view->tail;
}

/* Bits of the rows of a panel that are there. */
static uint64_t open_rows(const td__view *view, uint32_t panel)
{
    uint64_t bit = (uint64_t)panel * TD__PANEL, word = bit / 64, shift = bit % 64;
    uint64_t rows = view->row_live[word] >> shift;
    if (shift + TD__PANEL > 64) rows |= view->row_live[word + 1] << (64 - shift);
    return rows & ((UINT64_C(1) << TD__PANEL) - 1);
}

static const float *panel_start(const log_call *call, log_tile *tile, uint32_t panel, uint64_t open)
{
    const uint32_t *positions = call->view->state->log.positions + (size_t)panel * TD__PANEL;
    uint64_t covered = td__view_covered(call->view, call->search);
    if (call->search->bias == NULL) return NULL;
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        bool there = (open >> j & 1) != 0 && positions[j] < covered;
        tile->start[j] = there ? call->search->bias[positions[j]] : 0.0f;
    }
    return tile->start;
}

static bool is_wanted(const log_call *call, uint64_t query, uint32_t position)
{
    const td_search *search = call->search;
    if (search->allow != NULL || search->bias != NULL) {
        if (position >= td__view_covered(call->view, search)) return false;
    }
    if (search->allow != NULL && !td__bit(search->allow, position)) return false;
    return !td__scan_excludes(call->scan, query, position);
}

/* A score equal to that of the floor may still come in, by its position. */
static float threshold_of(const td__topk *top)
{
    if (top->k == 0) return INFINITY;
    return top->threshold == -INFINITY ? NAN : nextafterf(top->threshold, -INFINITY);
}

static void collect(const log_call *call, log_tile *tile, uint32_t q, uint32_t panel, uint64_t mask)
{
    const uint32_t *positions = call->view->state->log.positions + (size_t)panel * TD__PANEL;
    td__topk *top = &tile->top[q];
    for (; mask != 0; mask &= mask - 1) {
        uint32_t j = (uint32_t)__builtin_ctzll(mask);
        uint64_t key = td__key_make(tile->scores[(size_t)q * TD__PANEL + j], positions[j]);
        if (key > top->floor && is_wanted(call, tile->first + q, positions[j])) td__topk_push(top, key);
    }
    tile->thresholds[q] = threshold_of(top);
}

static void scan_panel(const log_call *call, log_tile *tile, uint32_t panel)
{
    const td__scan *scan = call->scan;
    uint32_t dim = scan->index->dim, heads = scan->heads;
    uint64_t open = open_rows(call->view, panel);
    if (open == 0) return;
    const float *start = panel_start(call, tile, panel, open);
    scan->kernels->score_panel(scan->queries + tile->first * heads * dim, tile->count * heads,
                               panel_rows(call->view, panel), dim, start, tile->scores);
    if (heads > 1) td__best_of_heads(tile->scores, tile->count, heads);
    scan->kernels->above(tile->scores, tile->count, tile->thresholds, tile->masks);
    for (uint32_t q = 0; q < tile->count; q++) {
        uint64_t mask = tile->masks[q] & open;
        if (mask != 0) collect(call, tile, q, panel, mask);
    }
}

static uint64_t key_of(const td_hit *hit)
{
    return td__key_make(hit->score, hit->position);
}

/* The best of two lists, best first, into the first, which has room for `room`. */
static void merge_hits(td_hit *hits, uint32_t *count, uint64_t room, const td_hit *more, uint64_t found)
{
    uint64_t a = 0, b = 0;
    while (a + b < room && (a < *count || b < found)) {
        bool second = a == *count || (b < found && key_of(&more[b]) > key_of(&hits[a]));
        if (second) b++;
        else a++;
    }
    *count = (uint32_t)(a + b);
    for (uint64_t i = a + b; b > 0;) { /* from the end, so that nothing is overwritten */
        if (a > 0 && key_of(&hits[a - 1]) < key_of(&more[b - 1])) hits[--i] = hits[--a];
        else hits[--i] = more[--b];
    }
}

static uint64_t k_of(const log_call *call, uint64_t query)
{
    const td_search *search = call->search;
    return search->k_per_query == NULL ? search->k : search->k_per_query[query];
}

static void search_tile(void *state, uint64_t block, uint32_t worker)
{
    const log_call *call = state;
    const td__view *view = call->view;
    uint64_t first = block * call->tile, left = call->queries - first;
    log_tile tile = {.first = first, .count = (uint32_t)(left < call->tile ? left : call->tile)};
    uint64_t *keys = view->keys + worker * call->tile * call->capacity;
    td_hit *found = view->found + worker * call->capacity;
    for (uint32_t q = 0; q < tile.count; q++) {
        uint64_t k = k_of(call, first + q);
        k = k < view->rows_live ? k : view->rows_live;
        td__topk_init(&tile.top[q], keys + q * call->capacity, call->capacity, k);
        tile.thresholds[q] = tile.top[q].threshold;
    }
    for (uint32_t p = 0; p < td__panel_count(view->rows); p++) scan_panel(call, &tile, p);
    for (uint32_t q = 0; q < tile.count; q++) {
        uint64_t count = td__topk_finish(&tile.top[q], found);
        merge_hits(call->hits + (first + q) * call->search->k, &call->counts[first + q],
                   k_of(call, first + q), found, count);
    }
}

static td_status make_room(td__view *view, log_call *call, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = view->index->context;
    uint64_t threads = td_context_threads(context), dim = view->base->dim;
    uint64_t k = call->search->k < view->rows_live ? call->search->k : view->rows_live;
    call->tile = td__tile_queries(call->scan->heads);
    call->capacity = td__topk_capacity(k, view->rows_live);
    TD_TRY(td__grow(&view->keys, context, threads * call->tile * call->capacity, sizeof *view->keys,
                    err));
    TD_TRY(td__grow(&view->found, context, threads * call->capacity, sizeof *view->found, err));
    if (view->tail == NULL) {
        TD_TRY(td__alloc_zero(&view->tail, context, dim * TD__PANEL, sizeof *view->tail, err));
    }
done:
    return status;
}

/* What an earlier search has left in the other columns does no harm. */
static void pack_tail(const td__view *view)
{
    uint32_t dim = view->base->dim, first = view->rows / TD__PANEL * TD__PANEL;
    for (uint32_t r = first; r < view->rows; r++) {
        const float *row = view->state->log.rows + (size_t)r * dim;
        for (uint32_t k = 0; k < dim; k++) view->tail[(size_t)k * TD__PANEL + r - first] = row[k];
    }
}

td_status td__view_add(td__view *view, const td__scan *scan, const td_search *search, uint64_t queries,
                       td_hit *hits, uint32_t *counts, td_error *err)
{
    td_status status = TD_OK;
    log_call call = {.view = view, .scan = scan, .search = search, .queries = queries, .hits = hits,
                     .counts = counts};
    if (view->rows_live == 0 || queries == 0) return TD_OK;
    TD_TRY(make_room(view, &call, err));
    pack_tail(view);
    td__parallel_for(view->index->context, td__block_count(queries, call.tile), search_tile, &call);
done:
    return status;
}
