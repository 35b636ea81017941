/* filter.c -- the exact search that looks at small integers first.
 *
 * Serves: stages 6 and 7. In: some queries, blocks of items. Out: each query's best so far.
 * Items come by descending length and not by position, so an item that ties with the threshold may
 * still win by its position: only scores below the threshold are passed over. */
#include "index/filter.h"

#include <float.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/poison.h"

enum { WHOLE_MAX = 64, LINE = 64, PREFETCH_MAX = 1024 };

/* --- life */

td_status td__filters_create(td__filter **out, const td_index *index, td__scanner *scanners,
                             uint32_t count, td_error *err)
{
    td_status status = TD_OK;
    td__filter *filters = NULL;
    uint64_t values = (uint64_t)TD__QUERY_BLOCK * index->int8->dim;
    uint64_t starts = (uint64_t)TD__QUERY_BLOCK * td__int8_words(index->int8->dim);
    TD_TRY(td__alloc_zero(&filters, index->context, count, sizeof *filters, err));
    TD_TRY(td__alloc(&filters[0].values, index->context, count * values, sizeof *filters->values, err));
    TD_TRY(td__alloc(&filters[0].starts, index->context, count * starts, sizeof *filters->starts, err));
    for (uint32_t w = 0; w < count; w++) {
        filters[w].scanner = &scanners[w];
        filters[w].values = filters[0].values + w * values;
        filters[w].starts = filters[0].starts + w * starts;
    }
    *out = filters;
    return TD_OK;
done:
    td__filters_free(filters, index);
    *out = NULL;
    return status;
}

void td__filters_free(td__filter *filters, const td_index *index)
{
    if (filters == NULL) return;
    td__free(index->context, filters[0].values);
    td__free(index->context, filters[0].starts);
    td__free(index->context, filters);
}

/* --- queries */

static int8_t *row_values(const td__filter *filter, const td__scan *scan, uint32_t row)
{
    return filter->values + (size_t)row * scan->index->int8->dim;
}

static int32_t *row_starts(const td__filter *filter, const td__scan *scan, uint32_t row)
{
    return filter->starts + (size_t)row * td__int8_words(scan->index->int8->dim);
}

static void bias_add(td__int8_bias *of, float bias)
{
    of->highest = fmax(of->highest, (double)bias);
    of->magnitude = fmax(of->magnitude, fabs((double)bias));
}

static td__int8_bias bias_of_all(const td__scan *scan)
{
    const float *bias = scan->search->bias;
    td__int8_bias found = {.highest = bias == NULL ? 0 : -(double)FLT_MAX};
    for (uint64_t i = 0; bias != NULL && i < scan->index->count; i++) bias_add(&found, bias[i]);
    return found;
}

static td__int8_bias bias_of_block(const td__scan *scan, uint64_t block)
{
    const td__int8 *int8 = scan->index->int8;
    const float *bias = scan->search->bias;
    td__int8_bias found = {.highest = bias == NULL ? 0 : -(double)FLT_MAX};
    uint64_t slot = block * TD__INT8_BLOCK_ITEMS, left = scan->index->count - slot;
    uint64_t end = slot + (left < TD__INT8_BLOCK_ITEMS ? left : TD__INT8_BLOCK_ITEMS);
    for (; bias != NULL && slot < end; slot++) bias_add(&found, bias[int8->positions[slot]]);
    return found;
}

void td__filter_start(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t count)
{
    const td_index *index = scan->index;
    filter->active_count = 0;
    filter->whole = 0;
    filter->whole_next = 1;
    filter->work = 0;
    filter->bias = bias_of_all(scan);
    for (uint32_t i = 0; i < count; i++) {
        filter->waiting[i].count = 0;
        if (filter->scanner->top[i].k == 0) continue;
        uint32_t row = filter->active_count * scan->heads;
        const float *vector = scan->queries + (first + i) * scan->heads * index->dim;
        filter->active[filter->active_count++] = i;
        for (uint32_t h = 0; h < scan->heads; h++, row++, vector += index->dim) {
            filter->queries[row] = td__int8_query_make(
                index->int8, vector, index->dim, filter->bias.magnitude,
                row_values(filter, scan, row), row_starts(filter, scan, row));
        }
    }
}

/* The last active query takes the place of this one. */
static void drop(td__filter *filter, const td__scan *scan, uint32_t a)
{
    uint32_t last = --filter->active_count, to = a * scan->heads, from = last * scan->heads;
    size_t dim = scan->index->int8->dim, words = td__int8_words(scan->index->int8->dim);
    if (a == last) return;
    filter->active[a] = filter->active[last];
    memcpy(&filter->queries[to], &filter->queries[from], scan->heads * sizeof *filter->queries);
    memcpy(row_values(filter, scan, to), row_values(filter, scan, from), scan->heads * dim);
    memcpy(row_starts(filter, scan, to), row_starts(filter, scan, from),
           scan->heads * words * sizeof *filter->starts);
}

static bool ends(const td__filter *filter, const td__scan *scan, uint32_t a, uint64_t block)
{
    const td__int8_block *bounds = &scan->index->int8->bounds[block];
    float threshold = filter->scanner->thresholds[filter->active[a]];
    for (uint32_t h = 0; h < scan->heads; h++) {
        if (!td__int8_ends(&filter->queries[a * scan->heads + h], bounds, threshold, filter->bias)) {
            return false;
        }
    }
    return true;
}

static void set_limits(td__filter *filter, const td__scan *scan, uint32_t a, uint64_t block)
{
    const td__int8_block *bounds = &scan->index->int8->bounds[block];
    float threshold = filter->scanner->thresholds[filter->active[a]];
    for (uint32_t row = a * scan->heads; row < (a + 1) * scan->heads; row++) {
        filter->limits[row] =
            td__int8_limit(&filter->queries[row], bounds, threshold, filter->block_bias);
    }
}

/* --- scoring what passed */

static void score_waiting(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t i)
{
    const td_index *index = scan->index;
    td__waiting *waiting = &filter->waiting[i];
    const float *rows[TD__ROWS], *bias = scan->search->bias;
    const float *vector = scan->queries + (first + i) * scan->heads * index->dim;
    float start[TD__ROWS], best[TD__ROWS], scores[TD__ROWS];
    for (uint32_t j = 0; j < TD__ROWS; j++) {
        uint32_t position = waiting->positions[j < waiting->count ? j : 0];
        rows[j] = index->rows + (uint64_t)position * index->dim;
        start[j] = bias == NULL ? 0.0f : bias[position];
        best[j] = NAN;
    }
    for (uint32_t h = 0; h < scan->heads; h++, vector += index->dim) {
        scan->kernels->score_rows(vector, rows, index->dim, start, scores);
        for (uint32_t j = 0; j < TD__ROWS; j++) {
            best[j] = scores[j] > best[j] || isnan(best[j]) ? scores[j] : best[j];
        }
    }
    td__topk *top = &filter->scanner->top[i];
    for (uint32_t j = 0; j < waiting->count; j++) {
        td__topk_push(top, td__key_make(best[j], waiting->positions[j]));
    }
    waiting->count = 0;
    filter->scanner->thresholds[i] = top->threshold;
}

static void prefetch_row(const td_index *index, uint32_t position)
{
    const char *row = (const char *)(index->rows + (uint64_t)position * index->dim);
    size_t bytes = index->dim * sizeof *index->rows;
    for (size_t at = 0; at < bytes && at < PREFETCH_MAX; at += LINE) __builtin_prefetch(row + at);
}

/* Columns of a panel passed for the query at place a. */
static void pass(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t a, uint64_t mask,
                 uint64_t panel)
{
    uint32_t i = filter->active[a];
    td__waiting *waiting = &filter->waiting[i];
    filter->passed += (uint32_t)__builtin_popcountll(mask);
    for (; mask != 0; mask &= mask - 1) {
        uint64_t slot = panel * TD__PANEL + (uint32_t)__builtin_ctzll(mask);
        uint32_t position = scan->index->int8->positions[slot];
        if (td__scan_excludes(scan, first + i, position)) continue;
        prefetch_row(scan->index, position);
        waiting->positions[waiting->count++] = position;
        if (waiting->count < TD__ROWS) continue;
        score_waiting(filter, scan, first, i);
        set_limits(filter, scan, a, panel / TD__INT8_BLOCK);
    }
}

/* Slots of a panel that hold items, and such as are allowed. */
static uint64_t open_slots(const td__scan *scan, uint64_t panel)
{
    const uint64_t *allow = scan->search->allow;
    const uint32_t *positions = scan->index->int8->positions + panel * TD__PANEL;
    uint64_t columns = td__panel_columns(scan->index, panel), open = 0;
    if (allow == NULL) return columns;
    for (uint32_t j = 0; j < TD__PANEL && (columns >> j & 1) != 0; j++) {
        open |= (allow[positions[j] / 64] >> positions[j] % 64 & 1) << j;
    }
    return open;
}

/* What passes of queries at the places from a on, whose rows have just been multiplied. */
static void take(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t a, uint32_t count,
                 uint64_t open, uint64_t panel)
{
    uint32_t heads = scan->heads;
    const uint64_t *masks = filter->masks + (size_t)a * heads;
    uint64_t any = 0;
    for (uint32_t row = 0; row < count * heads; row++) any |= masks[row];
    if ((any & open) == 0) return; /* nearly always */
    for (uint32_t i = 0; i < count; i++, masks += heads) {
        uint64_t mask = masks[0];
        for (uint32_t h = 1; h < heads; h++) mask |= masks[h];
        if ((mask & open) != 0) pass(filter, scan, first, a + i, mask & open, panel);
    }
}

/* As many queries at a time as make a tile. */
static void filter_panel(td__filter *filter, const td__scan *scan, uint64_t first, uint64_t panel,
                         uint64_t open)
{
    const td__int8 *int8 = scan->index->int8;
    const uint8_t *items = td__int8_panel(int8, panel);
    uint32_t heads = scan->heads, tile = td__tile_queries(heads), words = td__int8_words(int8->dim);
    uint32_t parts = (uint32_t)td__block_count(filter->active_count, tile);
    size_t bytes = (size_t)int8->dim * TD__PANEL;
    bool last = (panel + 1) * TD__PANEL >= scan->index->count;
    for (uint32_t i = 0; i < parts; i++) {
        uint32_t a = i * tile, left = filter->active_count - a, count = left < tile ? left : tile;
        size_t row = (size_t)a * heads;
        td__int8_rows rows = {.values = filter->values + row * int8->dim,
                              .starts = filter->starts + row * words,
                              .count = count * heads,
                              .dim = int8->dim};
        if (!last) td__prefetch_part(items + bytes, bytes, i, parts);
        scan->kernels->int8->above(&rows, items, filter->limits + row, filter->masks + row);
        take(filter, scan, first, a, count, open, panel);
    }
}

static bool is_alone(const td__filter *filter, const td__scan *scan)
{
    bool one = filter->active_count == 1 && scan->heads == 1 && filter->whole == 0;
    return one && scan->kernels->int8->above_two != NULL;
}

/* One vector asks: a block's panels by twos, half a block apart, where two streams come faster from
 * memory than one. What is open of the panels is looked at only where something passed. */
static void filter_alone(td__filter *filter, const td__scan *scan, uint64_t first, uint64_t panel)
{
    const td__int8 *int8 = scan->index->int8;
    td__int8_rows row = {.values = filter->values, .starts = filter->starts, .count = 1, .dim = int8->dim};
    for (uint64_t i = 0; i < TD__INT8_BLOCK / 2; i++, panel++) {
        uint64_t other = panel + TD__INT8_BLOCK / 2, masks[2];
        const uint8_t *panels[2] = {td__int8_panel(int8, panel), td__int8_panel(int8, other)};
        scan->kernels->int8->above_two(&row, panels, filter->limits[0], masks);
        if ((masks[0] | masks[1]) == 0) continue; /* nearly always */
        for (uint32_t p = 0; p < 2; p++) {
            uint64_t of = p == 0 ? panel : other, open = masks[p] == 0 ? 0 : open_slots(scan, of);
            if ((masks[p] & open) != 0) pass(filter, scan, first, 0, masks[p] & open, of);
        }
    }
}

/* --- blocks as a whole */

static void pack_slots(td__scanner *scanner, const td__scan *scan, uint64_t panel, uint64_t open)
{
    const td_index *index = scan->index;
    for (; open != 0; open &= open - 1) {
        uint32_t column = (uint32_t)__builtin_ctzll(open);
        uint32_t position = index->int8->positions[panel * TD__PANEL + column];
        const float *row = index->rows + (uint64_t)position * index->dim;
        float *to = scanner->packed + column;
        for (uint32_t k = 0; k < index->dim; k++) to[(size_t)k * TD__PANEL] = row[k];
        scanner->bias[column] = scan->search->bias == NULL ? 0.0f : scan->search->bias[position];
    }
}

/* Scores up to this are passed over: those below the threshold. NaN if there are none. */
static float below(float threshold)
{
    return threshold > -INFINITY ? nextafterf(threshold, -INFINITY) : NAN;
}

static void offer_whole(td__filter *filter, const td__scan *scan, uint64_t query, uint32_t i,
                        uint64_t mask, const float *scores, uint64_t panel)
{
    td__topk *top = &filter->scanner->top[i];
    for (; mask != 0; mask &= mask - 1) {
        uint32_t column = (uint32_t)__builtin_ctzll(mask);
        uint32_t position = scan->index->int8->positions[panel * TD__PANEL + column];
        if (td__scan_excludes(scan, query, position)) continue;
        td__topk_push(top, td__key_make(scores[column], position));
    }
    filter->scanner->thresholds[i] = top->threshold;
}

static void score_panel(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t count,
                        uint64_t panel, uint64_t open)
{
    td__scanner *scanner = filter->scanner;
    uint32_t dim = scan->index->dim, heads = scan->heads, tile = td__tile_queries(heads);
    float floors[TD__TILE_ROWS];
    pack_slots(scanner, scan, panel, open);
    for (uint32_t i = 0; i < count; i += tile) {
        uint32_t queries = count - i < tile ? count - i : tile;
        const float *rows = scan->queries + (first + i) * heads * dim;
        scan->kernels->score_panel(rows, queries * heads, scanner->packed, dim, scanner->bias,
                                   scanner->scores);
        if (heads > 1) td__best_of_heads(scanner->scores, queries, heads);
        for (uint32_t q = 0; q < queries; q++) floors[q] = below(scanner->thresholds[i + q]);
        scan->kernels->above(scanner->scores, queries, floors, scanner->masks);
        for (uint32_t q = 0; q < queries; q++) {
            uint64_t mask = scanner->masks[q] & open;
            if (mask == 0 || scanner->top[i + q].k == 0) continue;
            offer_whole(filter, scan, first + i + q, i + q, mask,
                        scanner->scores + (size_t)q * TD__PANEL, panel);
        }
    }
}

/* --- blocks */

static void begin_block(td__filter *filter, const td__scan *scan, uint64_t block)
{
    filter->passed = 0;
    filter->block_bias = bias_of_block(scan, block);
    for (uint32_t a = 0; a < filter->active_count;) {
        if (ends(filter, scan, a, block)) {
            drop(filter, scan, a);
            continue;
        }
        set_limits(filter, scan, a, block);
        a++;
    }
}

/* In cycles of a machine with 8 floats a register: of the integers of a block for some queries, and of
 * what passed of it, 8 rows side by side. */
static double work_of_few(const td__filter *filter, const td__scan *scan, uint32_t queries)
{
    double dim = scan->index->dim, rows = (double)queries * scan->heads;
    double work = (double)filter->passed * (0.5 * dim * scan->heads + 40);
    return work + TD__INT8_BLOCK_ITEMS * dim * rows / 50;
}

/* Of packing a block and of its tiles. */
static double work_of_whole(const td__scan *scan, uint32_t queries)
{
    double dim = scan->index->dim, rows = (double)queries * scan->heads;
    return td__scan_work(TD__INT8_BLOCK_ITEMS, dim, rows) + TD__INT8_BLOCK_ITEMS * dim * 1.5;
}

/* Would the block have been scored sooner as a whole? */
static bool passed_too_many(const td__filter *filter, const td__scan *scan, uint32_t count)
{
    return work_of_few(filter, scan, count) > work_of_whole(scan, count);
}

/* Next time try for twice as long before looking again. */
static void choose_way(td__filter *filter, const td__scan *scan, uint32_t count)
{
    if (filter->whole > 0) {
        filter->whole--;
    } else if (passed_too_many(filter, scan, count)) {
        filter->whole = filter->whole_next;
        if (filter->whole_next < WHOLE_MAX) filter->whole_next *= 2;
    } else {
        filter->whole_next = 1;
    }
}

void td__filter_run(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t count,
                    uint64_t panel, uint64_t panel_end)
{
    while (panel < panel_end) {
        uint64_t end = panel_end - panel < TD__INT8_BLOCK ? panel_end : panel + TD__INT8_BLOCK;
        begin_block(filter, scan, panel / TD__INT8_BLOCK);
        if (filter->active_count == 0) return;
        if (is_alone(filter, scan) && end - panel == TD__INT8_BLOCK) {
            filter_alone(filter, scan, first, panel);
            panel = end;
        }
        for (; panel < end; panel++) {
            uint64_t open = open_slots(scan, panel);
            if (open == 0) continue;
            if (filter->whole > 0) score_panel(filter, scan, first, count, panel, open);
            else filter_panel(filter, scan, first, panel, open);
        }
        filter->work += filter->whole > 0 ? work_of_whole(scan, count)
                                          : work_of_few(filter, scan, filter->active_count);
        choose_way(filter, scan, count);
    }
}

void td__filter_end(td__filter *filter, const td__scan *scan, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (filter->waiting[i].count > 0) score_waiting(filter, scan, first, i);
    }
}
