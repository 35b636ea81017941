/* scan.c -- the one pass over the items that every exact search is.
 *
 * Serves: stages 6 and 7. In: some queries, some panels. Out: each query's best so far.
 * An index that keeps rows has its panels packed on the way, once for all queries of the block, or, where
 * few items are open or few queries ask, scored row by row (scan_few.c): the same scores.
 * What may be returned is decided in three places, cheapest first: columns that the bitmap closes are
 * masked for all queries at once (a panel without open columns is not even scored), the threshold
 * drops nearly all the rest, and only what passes it is looked up in the query's exclusions. */
#include "index/scan.h"

#include "base/pool.h"
#include "base/poison.h"

enum {
    /* Rough costs, in scores of a row by itself: packing an item, scoring a packed panel (docs/speed.md). */
    PACKING = 6,
    PANEL_SCORES = 8,
    AHEAD = 12,       /* panels whose rows are fetched in time to be packed, ... */
    AHEAD_ITEMS = 12  /* ... if they are so few that no processor sees them coming */
};

void td__scanner_start(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count,
                       uint64_t capacity)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t k = td__scan_k(scan, first + i);
        td__topk_init(&scanner->top[i], scanner->keys + i * capacity, capacity, k);
        scanner->top[i].kernels = scan->kernels->keys;
        scanner->thresholds[i] = scanner->top[i].threshold;
        if (scan->search->exclude_offsets != NULL) {
            scanner->excluded[i] = scan->search->exclude_offsets[first + i];
        }
    }
}

/* 48 bits of the bitmap from bit 48 * panel on. A panel touches one word, or two. */
static uint64_t allowed_columns(const uint64_t *allow, uint64_t panel, uint64_t count)
{
    uint64_t bit = panel * TD__PANEL, word = bit / 64, shift = bit % 64;
    uint64_t columns = allow[word] >> shift;
    if (shift > 0 && (word + 1) * 64 < count) columns |= allow[word + 1] << (64 - shift);
    return columns;
}

static uint64_t open_columns(const td__scan *scan, uint64_t panel)
{
    const td_index *index = scan->index;
    uint64_t columns = td__panel_columns(index, panel);
    if (scan->search->allow != NULL) {
        columns &= allowed_columns(scan->search->allow, panel, index->count);
    }
    return columns;
}

/* The panel's part of the bias; a copy with zeros behind where the array ends within the panel. */
static const float *panel_bias(td__scanner *scanner, const td__scan *scan, uint64_t panel)
{
    const float *bias = scan->search->bias;
    if (bias == NULL) return NULL;
    uint64_t first = panel * TD__PANEL, left = scan->index->count - first;
    if (left >= TD__PANEL) return bias + first;
    memset(scanner->bias, 0, sizeof scanner->bias);
    memcpy(scanner->bias, bias + first, (size_t)left * sizeof *bias);
    return scanner->bias;
}

void td__best_of_heads(float *scores, uint32_t count, uint32_t heads)
{
    for (uint32_t i = 0; i < count; i++) {
        float *best = scores + (size_t)i * TD__PANEL;
        memmove(best, scores + (size_t)i * heads * TD__PANEL, TD__PANEL * sizeof *best);
        for (uint32_t h = 1; h < heads; h++) {
            const float *other = scores + ((size_t)i * heads + h) * TD__PANEL;
            /* A score without a value loses against all others, whichever head it is of. */
            for (uint32_t j = 0; j < TD__PANEL; j++) {
                best[j] = other[j] > best[j] || isnan(best[j]) ? other[j] : best[j];
            }
        }
    }
}

/* Columns of the panel that a query excludes. Panels come in ascending order, as exclusions do, so
 * `at` only moves forward. */
static uint64_t excluded_columns(const td__scan *scan, uint64_t query, uint64_t panel, uint64_t *at)
{
    uint64_t end = scan->search->exclude_offsets[query + 1], first = panel * TD__PANEL, columns = 0;
    while (*at < end && scan->exclude[*at] < first) (*at)++;
    for (; *at < end && scan->exclude[*at] < first + TD__PANEL; (*at)++) {
        columns |= UINT64_C(1) << (scan->exclude[*at] - first);
    }
    return columns;
}

/* Offer the columns of `mask` to one query. */
static void collect(td__topk *top, const float *scores, uint64_t mask, uint64_t panel)
{
    for (; mask != 0; mask &= mask - 1) {
        uint32_t column = (uint32_t)__builtin_ctzll(mask);
        td__topk_push(top, td__key_make(scores[column], (uint32_t)(panel * TD__PANEL + column)));
    }
}

/* Offer query `i` of the block what a mask of its scores lets through. */
static void collect_masked(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t i,
                           const float *scores, uint64_t mask, uint64_t panel)
{
    if (mask == 0) return;
    if (scan->search->exclude_offsets != NULL) {
        mask &= ~excluded_columns(scan, first + i, panel, &scanner->excluded[i]);
    }
    collect(&scanner->top[i], scores, mask, panel);
    scanner->thresholds[i] = scanner->top[i].threshold;
}

/* A tile of scores has been made for queries [i, i + queries) of the block, and masks of those above. */
static void collect_tile(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t i,
                         uint32_t queries, uint64_t panel, uint64_t open)
{
    for (uint32_t q = 0; q < queries; q++) {
        collect_masked(scanner, scan, first, i + q, scanner->scores + (size_t)q * TD__PANEL,
                       scanner->masks[q] & open, panel);
    }
}

td__gathered td__gather(const td_index *index, td__rows_by_number positions, float *room)
{
    static const uint32_t in_order[TD__PANEL] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
        24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47};
    if (index->rounded == NULL) return (td__gathered){index->rows, positions};
    for (uint64_t i = 0; i < positions.count; i++) {
        td__rounded_copy(index->rounded, positions.numbers[i], index->dim, room + i * index->dim);
    }
    return (td__gathered){room, {in_order, positions.count}};
}

static void pack_column(const td_index *index, uint64_t position, float *to)
{
    if (index->rounded != NULL) {
        td__rounded_spread(index->rounded, (uint32_t)position, index->dim, to, TD__PANEL);
        return;
    }
    const float *row = index->rows + position * index->dim;
    for (uint32_t k = 0; k < index->dim; k++) to[(size_t)k * TD__PANEL] = row[k];
}

const float *td__panel_items(td__scanner *scanner, const td_index *index, uint64_t panel, uint64_t open)
{
    if (td__index_is_packed(index)) return td__index_panel(index, panel);
    for (; open != 0; open &= open - 1) {
        uint32_t column = (uint32_t)__builtin_ctzll(open);
        pack_column(index, panel * TD__PANEL + column, scanner->packed + column);
    }
    return scanner->packed;
}

void td__scan_tile(td__scanner *scanner, const td__scan *scan, const td__scan_panel *panel,
                   uint64_t query, uint32_t queries, const float *thresholds)
{
    uint32_t heads = scan->heads, dim = panel->dim;
    const float *rows = scan->queries + query * heads * dim;
    if (heads == 1) {
        scan->kernels->scan_panel(panel, rows, queries, thresholds, scanner->scores, scanner->masks);
        return;
    }
    for (size_t at = 0; at < panel->next_bytes; at += TD__ALIGNMENT) {
        __builtin_prefetch(panel->next + at, 0, 2);
    }
    scan->kernels->score_panel(rows, queries * heads, panel->items, dim, panel->start, scanner->scores);
    td__best_of_heads(scanner->scores, queries, heads);
    scan->kernels->above(scanner->scores, queries, thresholds, scanner->masks);
}

void td__scan_next(td__scan_panel *panel, size_t bytes, uint32_t i, uint32_t n)
{
    size_t part = (bytes / n + TD__ALIGNMENT) / TD__ALIGNMENT * TD__ALIGNMENT, at = i * part;
    panel->next = (const char *)panel->items + bytes + at;
    panel->next_bytes = at >= bytes ? 0 : bytes - at < part ? bytes - at : part;
}

/* Rows lie apart: do the open ones of a panel cost less one by one than packed? */
static bool are_few(const td__scan *scan, uint64_t open, uint32_t queries)
{
    uint64_t items = (uint64_t)__builtin_popcountll(open), vectors = (uint64_t)queries * scan->heads;
    if (td__index_is_packed(scan->index) || scan->search->bias != NULL) return false;
    return vectors * items < PACKING * items + PANEL_SCORES * vectors;
}

/* Rows that will be packed; others are asked for when they are written down. */
static void fetch_ahead(const td__scan *scan, uint64_t panel, uint32_t queries)
{
    const td_index *index = scan->index;
    uint64_t open = open_columns(scan, panel);
    if (open == 0 || td__index_is_packed(index) || __builtin_popcountll(open) > AHEAD_ITEMS) return;
    if (are_few(scan, open, queries)) return;
    for (; open != 0; open &= open - 1) {
        td__fetch_row(index, panel * TD__PANEL + (uint64_t)__builtin_ctzll(open));
    }
}

static void scan_panel(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count,
                       uint64_t panel, uint64_t open, bool more)
{
    uint32_t dim = scan->index->dim, tile = td__tile_queries(scan->heads);
    uint32_t tiles = (uint32_t)td__block_count(count, tile);
    size_t bytes = (size_t)dim * TD__PANEL * sizeof *scan->index->panels;
    td__scan_panel view = {.items = td__panel_items(scanner, scan->index, panel, open),
                           .start = panel_bias(scanner, scan, panel),
                           .dim = dim};
    for (uint32_t i = 0; i < count; i += tile) {
        uint32_t queries = count - i < tile ? count - i : tile;
        if (more && view.items != scanner->packed) td__scan_next(&view, bytes, i / tile, tiles);
        td__scan_tile(scanner, scan, &view, first + i, queries, scanner->thresholds + i);
        collect_tile(scanner, scan, first, i, queries, panel, open);
    }
}

/* One vector asks and nothing but products is wanted: then memory is the limit. */
static bool is_single(const td__scan *scan, uint32_t count)
{
    bool plain = scan->index->panels != NULL && scan->search->bias == NULL;
    return count == 1 && scan->heads == 1 && plain && scan->kernels->scan_two != NULL;
}

/* Two panels for one query; the caller looks whether both are there. Columns that are closed are scored
 * in vain: their bytes are read with the others'. */
static void scan_two(td__scanner *scanner, const td__scan *scan, uint64_t query, uint64_t panel)
{
    const td_index *index = scan->index;
    uint64_t masks[2], open[2] = {open_columns(scan, panel), open_columns(scan, panel + 1)};
    if ((open[0] | open[1]) == 0) return;
    scan->kernels->scan_two(td__index_panel(index, panel), index->dim, scan->queries + query * index->dim,
                            scanner->thresholds[0], scanner->scores, masks);
    for (uint32_t i = 0; i < 2; i++) {
        collect_masked(scanner, scan, query, 0, scanner->scores + (size_t)i * TD__PANEL,
                       masks[i] & open[i], panel + i);
    }
}

void td__scanner_run(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count,
                     uint64_t panel, uint64_t panel_end)
{
    scanner->few_count = 0;
    if (is_single(scan, count)) {
        for (; panel + 2 <= panel_end; panel += 2) scan_two(scanner, scan, first, panel);
    }
    for (; panel < panel_end; panel++) {
        uint64_t open = open_columns(scan, panel);
        if (panel + AHEAD < panel_end) fetch_ahead(scan, panel + AHEAD, count);
        if (open == 0) continue;
        if (are_few(scan, open, count)) {
            td__few_add(scanner, scan, first, count, panel, open);
            continue;
        }
        td__few_score(scanner, scan, first, count); /* ascending, or equal scores go wrong */
        scan_panel(scanner, scan, first, count, panel, open, panel + 1 < panel_end);
    }
    td__few_score(scanner, scan, first, count);
}

void td__scan_finish(const td__scan *scan, td__topk *top, uint64_t query, td_hit *hits,
                     uint32_t *counts)
{
    uint64_t k = scan->search->k;
    hits += query * k;
    counts[query] = (uint32_t)td__topk_finish(top, hits);
    for (uint64_t i = counts[query]; i < k; i++) {
        hits[i] = (td_hit){.position = TD_NONE, .score = -INFINITY};
    }
}

static void sink(uint32_t *heap, uint64_t root, uint64_t count)
{
    for (uint64_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && heap[child + 1] > heap[child]) child++;
        if (heap[root] >= heap[child]) return;
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

void td__sort_positions(uint32_t *positions, uint64_t count)
{
    for (uint64_t i = count / 2; i-- > 0;) sink(positions, i, count);
    for (uint64_t end = count; end-- > 1;) {
        uint32_t last = positions[end];
        positions[end] = positions[0];
        positions[0] = last;
        sink(positions, 0, end);
    }
}
