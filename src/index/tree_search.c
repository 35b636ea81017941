/* tree_search.c -- searching a tree.
 *
 * Serves: stage 7. In: queries, and how much to look at. Out: the best of what was looked at, with
 * exact scores.
 *
 * A query goes from much to little and from coarse to exact:
 *   1. all centres by <query, centre>; the best leaves in that order, until the next leaf is not expected
 *      to hold a candidate
 *   2. the leaves' codes: sums of table entries, integers; the best `candidates` remain
 *   3. the candidates' rows of 8-bit integers; those remain that may be among the k best
 *   4. their float32 vectors, or rounded ones, by the same kernel as the exact scan, so scores have the same bits
 * Queries share nothing, so threads and batches change nothing. A query whose leaves hold fewer than k
 * allowed items takes more leaves, all if need be. */
#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "index/tree.h"

#include "base/poison.h"

enum {
    CHUNK = 16, /* groups whose codes are summed before the threshold is looked at again */
    CHUNK_FIRST = 2, /* doubled each time: so long as there is no threshold, every item is written down */
    FEW = 16, /* finalists that are scored while the next come from memory; no more than TD__PANEL */
    BASE_MAX = 1 << 29,
    QUERY_MAX = 32767 /* of the query in integers, if the products then fit */
};

/* What a call of td__tree_search shares. */
typedef struct tree_call {
    const td__scan *scan;
    td__tree_scratch *scratch; /* [threads] */
    td__effort effort;
    uint32_t tile; /* queries that a worker takes at once */
    uint64_t queries;
    td_hit *hits;
    uint32_t *counts;
} tree_call;

/* --- 1: leaves */

/* A query times a power of two that brings its largest element between 1/2 and 1. */
static void scale_query(const float *query, uint32_t dim, float *scaled)
{
    int exponent;
    frexpf(td__greatest_of(query, dim), &exponent);
    double factor = ldexp(1.0, -exponent);
    for (uint32_t k = 0; k < dim; k++) scaled[k] = (float)((double)query[k] * factor);
}

static uint64_t leaf_room(const td__tree *tree)
{
    return td__panel_count(tree->centers.count) * TD__PANEL;
}

void td__tree_near(td__tree_scratch *scratch, const td_index *index, const float *queries, uint32_t count)
{
    const td__centers *centers = &index->tree->centers;
    uint64_t room = leaf_room(index->tree);
    uint32_t dim = index->dim;
    for (uint32_t r = 0; r < count; r++) {
        scale_query(queries + (size_t)r * dim, dim, scratch->all_scaled + (size_t)r * dim);
    }
    for (uint64_t p = 0; p < td__panel_count(centers->count); p++) {
        float *to = scratch->all_centers + p * TD__PANEL;
        index->context->kernels->score_panel(scratch->all_scaled, count,
                                             centers->panels + p * dim * TD__PANEL, dim, NULL,
                                             scratch->scores);
        for (uint32_t r = 0; r < count; r++) {
            memcpy(to + r * room, scratch->scores + (size_t)r * TD__PANEL, TD__PANEL * sizeof *to);
        }
    }
}

/* Returns the largest absolute score of a leaf. */
static float rank_leaves(td__tree_scratch *scratch, const td_index *index, uint64_t leaves)
{
    const td__key_kernels *kernels = index->context->kernels->keys;
    uint32_t count = index->tree->centers.count;
    td__topk best;
    td__topk_init(&best, scratch->leaf_keys, count + UINT64_C(1), leaves);
    best.kernels = kernels;
    best.count = count;
    kernels->make(scratch->centers, count, best.keys);
    td__key_range range = kernels->range(best.keys, count);
    scratch->ranked = td__topk_finish(&best, scratch->leaves);
    return fmaxf(fabsf(td__key_score(range.low)), fabsf(td__key_score(range.high)));
}

void td__tree_route(td__tree_scratch *scratch, const td_index *index, uint32_t row, uint64_t leaves)
{
    scratch->scaled = scratch->all_scaled + (size_t)row * index->dim;
    scratch->centers = scratch->all_centers + row * leaf_room(index->tree);
    float greatest = rank_leaves(scratch, index, leaves);
    float scale_max = fminf((float)BASE_MAX / (greatest + 1e-20f), 1e30f);
    scratch->scale = td__codec_tables(&index->tree->codec, scratch->scaled, scale_max,
                                      scratch->entries, scratch->tables);
}

/* --- 2: codes */

int64_t td__tree_base(const td__tree_scratch *scratch, uint64_t rank)
{
    double base = (double)((scratch->leaves[rank].score + scratch->scale.offset) * scratch->scale.scale);
    base = base > BASE_MAX ? BASE_MAX : base < -BASE_MAX ? -BASE_MAX : base;
    return (int64_t)(base + BASE_MAX + 0.5) - BASE_MAX;
}

static bool is_allowed(const td__scan *scan, uint64_t query, uint32_t position)
{
    const uint64_t *allow = scan->search->allow;
    if (allow != NULL && (allow[position / 64] >> (position % 64) & 1) == 0) return false;
    return !td__scan_excludes(scan, query, position);
}

/* Leave of the keys those whose slots the query allows; returns how many. */
static uint64_t keep_allowed(uint64_t *keys, uint64_t count, const td__scan *scan, uint64_t query)
{
    const uint32_t *positions = scan->index->tree->positions;
    uint64_t kept = 0;
    if (scan->search->allow == NULL && scan->search->exclude_offsets == NULL) return count;
    for (uint64_t i = 0; i < count; i++) {
        keys[kept] = keys[i];
        kept += is_allowed(scan, query, positions[td__candidate_slot(keys[i])]);
    }
    return kept;
}

static void scan_leaf(td__tree_scratch *scratch, const td__scan *scan, uint64_t query, uint32_t leaf,
                      int64_t base)
{
    td__candidates *to = &scratch->candidates;
    const td__tree *tree = scan->index->tree;
    uint32_t blocks = tree->codec.blocks_padded, end = tree->first[leaf + 1], count;
    uint32_t chunk = to->least == TD__NO_LEAST ? CHUNK_FIRST : CHUNK;
    for (uint32_t g = tree->first[leaf]; g < end; g += count) {
        if (base + (int64_t)scratch->scale.most < to->least) return;
        count = end - g < chunk ? end - g : chunk;
        chunk = 2 * chunk < CHUNK ? 2 * chunk : CHUNK;
        td__candidates_make_room(to, (uint64_t)count * TD__GROUP + TD__KEYS_SPARE);
        td__code_scan codes = {.codes = tree->codes + (uint64_t)g * blocks * 16,
                               .live = tree->live + g,
                               .tables = scratch->tables,
                               .groups = count,
                               .blocks = blocks,
                               .least = to->least > base ? (uint32_t)(to->least - base) : 0,
                               .first_key = td__candidate_key(base, g * TD__GROUP)};
        uint64_t *keys = to->keys + to->count;
        uint64_t added = scan->kernels->quant->collect(&codes, keys);
        if (added > 0) td__candidates_add(to, keep_allowed(keys, added, scan, query));
    }
}

void td__tree_scan_start(td__tree_scratch *scratch, uint64_t candidates)
{
    int64_t most = (int64_t)scratch->scale.most;
    td__candidates_start(&scratch->candidates, candidates, td__tree_base(scratch, 0) + most, 2 * most);
}

void td__tree_scan(td__tree_scratch *scratch, const td__scan *scan, uint64_t query, uint64_t first,
                   uint64_t end)
{
    for (uint64_t rank = first; rank < end; rank++) {
        int64_t base = td__tree_base(scratch, rank);
        if (base + (int64_t)scratch->scale.most < scratch->candidates.least) return; /* as all behind */
        scan_leaf(scratch, scan, query, scratch->leaves[rank].position, base);
    }
}

/* How far the lowest wanted score lies above what items of the leaf at `rank` have on the average, in
 * standard deviations: few of them can be expected beyond 3. */
float td__tree_distance(const td__tree_scratch *scratch, int64_t least, uint64_t rank)
{
    double mean = (double)td__tree_base(scratch, rank) + (double)scratch->scale.mean;
    return (float)(((double)least - mean) / ((double)scratch->scale.deviation + 1e-20));
}

/* The leaf at `rank` and those behind it are not worth a look. */
static bool is_enough(const td__tree_scratch *scratch, uint64_t rank, float reach)
{
    int64_t least = scratch->candidates.least;
    return least != TD__NO_LEAST && td__tree_distance(scratch, least, rank) > reach;
}

/* For the query vector that is number `row` of those last given to td__tree_near. */
static void find_candidates(td__tree_scratch *scratch, const tree_call *call, uint64_t query,
                            uint32_t row)
{
    const td_index *index = call->scan->index;
    const td__effort *effort = &call->effort;
    uint64_t all = index->tree->centers.count, want = td__scan_k(call->scan, query), done = 0;
    td__tree_route(scratch, index, row, effort->expected);
    td__tree_scan_start(scratch, effort->candidates);
    while (done < all) {
        uint64_t end = td__tree_next(done);
        bool few = scratch->candidates.count < want;
        if (!few && done >= effort->leaves) break;
        if (!few && end > effort->leaves) end = effort->leaves;
        if (end > all) end = all;
        if (end >= scratch->ranked && scratch->ranked < all) {
            rank_leaves(scratch, index, 4 * end < all ? 4 * end : all);
        }
        td__tree_scan(scratch, call->scan, query, done, end);
        done = end;
        if (done < all && is_enough(scratch, done, effort->reach)) break;
    }
    td__candidates_cut(&scratch->candidates);
}

/* --- 3: rows of 8-bit integers */

/* Returns the length of the query in these steps. */
static float query_to_integers(td__tree_scratch *scratch, const td_index *index)
{
    uint32_t stride = index->tree->stride, most = (UINT32_C(1) << 31) / 128 / stride;
    float scale = (float)(most < QUERY_MAX ? most : QUERY_MAX), square = 0.0f;
    for (uint32_t k = 0; k < index->dim; k++) {
        float steps = scratch->scaled[k] * scale;
        scratch->query[k] = (int16_t)((int32_t)(steps + (QUERY_MAX + 1.5f)) - (QUERY_MAX + 1));
        square += steps * steps;
    }
    return sqrtf(square);
}

/* Keys of all candidates by their rows. */
static void score_candidates(td__tree_scratch *scratch, const tree_call *call)
{
    const td__tree *tree = call->scan->index->tree;
    const td__candidates *from = &scratch->candidates;
    td__scaled_rows rows = {tree->rows, tree->scales, tree->stride};
    for (uint64_t i = 0; i < from->count; i++) scratch->slots[i] = td__candidate_slot(from->keys[i]);
    call->scan->kernels->quant->key_rows(scratch->query, &rows,
                                         (td__rows_by_number){scratch->slots, from->count},
                                         scratch->few_keys);
}

/* Leave the positions of those that may be among the k best in scratch->finalists, from `count` on;
 * returns the new count. A row's numbers are off by up to half its scale, so that the error of its score
 * has a standard deviation of scale |query| / sqrt(12), and |query| scale is 2.4 deviations of the
 * difference of two. Of rounded items the row is exact, and the query is off by up to half a step. */
static uint64_t choose_finalists(td__tree_scratch *scratch, const tree_call *call, uint64_t query,
                                 uint64_t count)
{
    const td_index *index = call->scan->index;
    const td__tree *tree = index->tree;
    uint64_t total = scratch->candidates.count, k = td__scan_k(call->scan, query);
    if (k == 0) return count;
    float length = query_to_integers(scratch, index);
    if (index->rounded != NULL) length = TD__ROUNDED_MAX * sqrtf((float)index->dim);
    td__topk best;
    score_candidates(scratch, call);
    td__topk_init(&best, scratch->few_keys, total, k);
    best.kernels = call->scan->kernels->keys;
    best.count = total;
    td__topk_cut(&best);
    float least = INFINITY;
    if (best.count > 0) least = td__key_score(best.kernels->range(best.keys, best.count).low);
    uint64_t first = count;
    for (uint64_t i = 0; i < total; i++) {
        uint32_t slot = td__key_position(best.keys[i]);
        if (i >= k && !(td__key_score(best.keys[i]) + tree->scales[slot] * length >= least)) continue;
        scratch->finalists[count++] = slot;
        __builtin_prefetch(tree->positions + slot);
    }
    for (uint64_t i = first; i < count; i++) {
        scratch->finalists[i] = tree->positions[scratch->finalists[i]];
    }
    return count;
}

/* --- 4: vectors */

/* All at once would be more than the processor can have under way. Rows of rounded items were just read. */
static void fetch_few(const td__tree_scratch *scratch, const td_index *index, uint64_t first,
                      uint64_t count)
{
    if (index->rounded != NULL) return;
    uint64_t end = count - first < FEW ? count : first + FEW;
    for (uint64_t i = first; i < end; i++) td__fetch_row(index, scratch->finalists[i]);
}

static void finish(td__tree_scratch *scratch, const tree_call *call, uint64_t query,
                   const float *vectors, uint64_t count)
{
    td__topk best;
    const td__scan *scan = call->scan;
    uint64_t k = td__scan_k(scan, query);
    uint32_t dim = scan->index->dim;
    td__topk_init(&best, scratch->few_keys, td__topk_capacity(k, UINT64_MAX), k);
    best.kernels = scan->kernels->keys;
    fetch_few(scratch, scan->index, 0, count);
    for (uint64_t i = 0; i < count; i += FEW) {
        td__rows_by_number some = {scratch->finalists + i, count - i < FEW ? count - i : FEW};
        if (count - i > FEW) fetch_few(scratch, scan->index, i + FEW, count);
        td__gathered from = td__gather(scan->index, some, scratch->vectors);
        for (uint32_t h = 0; h < scan->heads; h++) {
            float *scores = scratch->scores + (size_t)h * TD__PANEL;
            scan->kernels->quant->score_rows(vectors + (size_t)h * dim, from.rows, dim, from.which,
                                             scores);
            /* The best of heads is taken of whole panels. */
            for (uint64_t j = some.count; j < TD__PANEL; j++) scores[j] = 0.0f;
        }
        if (scan->heads > 1) td__best_of_heads(scratch->scores, 1, scan->heads);
        for (uint64_t j = 0; j < some.count; j++) {
            td__topk_push(&best, td__key_make(scratch->scores[j], some.numbers[j]));
        }
    }
    td__scan_finish(scan, &best, query, call->hits, call->counts);
}

/* Heads may have found the same items: keep one of each. */
static uint64_t drop_doubles(uint32_t *positions, uint64_t count)
{
    uint64_t kept = 0;
    td__sort_positions(positions, count);
    for (uint64_t i = 0; i < count; i++) {
        if (kept == 0 || positions[i] != positions[kept - 1]) positions[kept++] = positions[i];
    }
    return kept;
}

/* Query `i` of a tile of `rows` vectors. More heads than td__tree_near takes come in parts. */
static void search_query(const tree_call *call, td__tree_scratch *scratch, uint64_t first, uint32_t i,
                         uint32_t rows)
{
    const td__scan *scan = call->scan;
    uint32_t dim = scan->index->dim, heads = scan->heads;
    const float *tile = scan->queries + first * heads * dim;
    uint64_t count = 0;
    for (uint32_t row = i * heads; row < (i + 1) * heads; row++) {
        uint32_t part = row % TD__TILE_ROWS, left = rows - row;
        if (part == 0) {
            td__tree_near(scratch, scan->index, tile + (size_t)row * dim,
                          left < TD__TILE_ROWS ? left : TD__TILE_ROWS);
        }
        find_candidates(scratch, call, first + i, part);
        count = choose_finalists(scratch, call, first + i, count);
    }
    if (heads > 1) count = drop_doubles(scratch->finalists, count);
    finish(scratch, call, first + i, tile + (size_t)i * heads * dim, count);
}

/* The queries of a tile share nothing but the pass over the centers. */
static void search_tile(void *state, uint64_t tile, uint32_t worker)
{
    const tree_call *call = state;
    uint64_t first = tile * call->tile, left = call->queries - first;
    uint32_t count = left < call->tile ? (uint32_t)left : call->tile;
    for (uint32_t i = 0; i < count; i++) {
        search_query(call, &call->scratch[worker], first, i, count * call->scan->heads);
    }
}

/* As many queries as the kernel scores at once, unless a thread would have nothing to do. */
static uint32_t tile_of(const td__scan *scan, uint64_t queries)
{
    uint32_t tile = td__tile_queries(scan->heads);
    uint64_t share = td__block_count(queries, td_context_threads(scan->index->context));
    return share < tile ? (uint32_t)share : tile;
}

td_status td__tree_search(void *scratch, const td__scan *scan, uint64_t queries, td_hit *hits,
                          uint32_t *counts, bool *exactly, td_error *err)
{
    td_status status = TD_OK;
    const td_index *index = scan->index;
    tree_call call = {.scan = scan, .scratch = scratch, .queries = queries, .hits = hits,
                      .counts = counts};
    *exactly = !td__tree_plan(scan, &call.effort);
    if (*exactly) return TD_OK;
    TD_TRY(td__tree_scratch_grow(scratch, index, call.effort.candidates, scan->heads, scan->search->k,
                                 err));
    if (queries == 0) return TD_OK;
    call.tile = tile_of(scan, queries);
    td__parallel_for(index->context, td__block_count(queries, call.tile), search_tile, &call);
done:
    return status;
}

/* --- scratch */

td_status td__tree_scratch_create(void **scratch, const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = index->context;
    const td__tree *tree = index->tree;
    uint64_t leaves = tree->centers.count;
    td__tree_scratch *all;
    TD_TRY(td__alloc_zero(&all, context, td_context_threads(context), sizeof *all, err));
    *scratch = all;
    for (uint32_t w = 0; w < td_context_threads(context); w++) {
        td__tree_scratch *one = &all[w];
        TD_TRY(td__alloc(&one->all_centers, context, TD__TILE_ROWS * leaf_room(tree), sizeof(float), err));
        TD_TRY(td__alloc(&one->leaf_keys, context, leaves, sizeof *one->leaf_keys, err));
        TD_TRY(td__alloc(&one->leaves, context, leaves, sizeof *one->leaves, err));
        TD_TRY(td__alloc(&one->entries, context, td__codec_entries(&tree->codec), sizeof(float), err));
        TD_TRY(td__alloc(&one->tables, context, tree->codec.blocks_padded, TD__CODE_VALUES, err));
        TD_TRY(td__alloc(&one->all_scaled, context, (uint64_t)TD__TILE_ROWS * index->dim, sizeof(float),
                         err));
        TD_TRY(td__alloc_zero(&one->query, context, tree->stride, sizeof *one->query, err));
        if (index->rounded != NULL) {
            TD_TRY(td__alloc(&one->vectors, context, (uint64_t)TD__PANEL * index->dim, sizeof(float),
                             err));
        }
        TD_TRY(td__alloc(&one->scores, context, TD__HEADS_MAX * TD__PANEL, sizeof(float), err));
    }
done:
    return status;
}

void td__tree_scratch_free(void *scratch, const td_index *index)
{
    td_context *context = index->context;
    td__tree_scratch *all = scratch;
    for (uint32_t w = 0; w < td_context_threads(context); w++) {
        td__free(context, all[w].all_centers);
        td__free(context, all[w].leaf_keys);
        td__free(context, all[w].leaves);
        td__free(context, all[w].entries);
        td__free(context, all[w].tables);
        td__free(context, all[w].all_scaled);
        td__free(context, all[w].query);
        td__free(context, all[w].scores);
        td__free(context, all[w].vectors);
        td__free(context, all[w].keys);
        td__free(context, all[w].few_keys);
        td__free(context, all[w].slots);
        td__free(context, all[w].finalists);
    }
    td__free(context, all);
}

td_status td__tree_scratch_grow(td__tree_scratch *scratch, const td_index *index, uint64_t candidates,
                                uint32_t heads, uint64_t k, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = index->context;
    uint64_t keys = 2 * candidates + 4 * (CHUNK * TD__GROUP + TD__KEYS_SPARE), hits = td__topk_capacity(k, UINT64_MAX);
    for (uint32_t w = 0; w < td_context_threads(context); w++) {
        td__tree_scratch *one = &scratch[w];
        TD_TRY(td__grow(&one->keys, context, keys, sizeof *one->keys, err));
        TD_TRY(td__grow(&one->few_keys, context, candidates > hits ? candidates : hits,
                        sizeof *one->few_keys, err));
        TD_TRY(td__grow(&one->slots, context, candidates, sizeof *one->slots, err));
        TD_TRY(td__grow(&one->finalists, context, candidates * heads, sizeof *one->finalists, err));
        one->candidates.kernels = context->kernels->keys;
        one->candidates.keys = one->keys;
        one->candidates.capacity = keys;
    }
done:
    return status;
}
