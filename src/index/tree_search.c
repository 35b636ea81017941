/* tree_search.c -- searching a tree.
 *
 * Serves: stage 7. In: queries, and how much to look at. Out: the best of what was looked at, with
 * exact scores.
 *
 * A query goes from much to little and from coarse to exact:
 *   1. all centres by <query, centre>; the best leaves in that order
 *   2. the leaves' codes: sums of table entries, integers; the best `candidates` remain
 *   3. the candidates' rows of 8-bit integers; about twice k remain
 *   4. their float32 vectors, by the same kernel as the exact scan, so scores have the same bits
 * Queries share nothing, so threads and batches change nothing. A query whose leaves hold fewer than k
 * allowed items takes more leaves, all if need be. */
#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "index/tree.h"

#include "base/poison.h"

enum {
    CHUNK = 16,    /* groups whose codes are summed before the threshold is looked at again */
    PREFETCH = 8,  /* rows ahead */
    BASE_MAX = 1 << 29,
    QUERY_MAX = 32767 /* of the query in integers, if the products then fit */
};

/* What a call of td__tree_search shares. */
typedef struct tree_call {
    const td__scan *scan;
    td__tree_scratch *scratch; /* [threads] */
    td__effort effort;
    uint64_t finalists;
    uint64_t queries;
    td_hit *hits;
    uint32_t *counts;
} tree_call;

/* --- 1: leaves */

/* The query times a power of two that brings its largest element between 1/2 and 1. */
static void scale_query(td__tree_scratch *scratch, const float *query, uint32_t dim)
{
    int exponent;
    float greatest = td__greatest_of(query, dim);
    frexpf(greatest, &exponent);
    for (uint32_t k = 0; k < dim; k++) {
        scratch->scaled[k] = exponent == 0 ? query[k] : ldexpf(query[k], -exponent);
    }
}

static void score_centers(td__tree_scratch *scratch, const td_index *index)
{
    const td__centers *centers = &index->tree->centers;
    for (uint64_t p = 0; p < td__panel_count(centers->count); p++) {
        index->context->kernels->score_panel(scratch->scaled, 1,
                                             centers->panels + p * index->dim * TD__PANEL, index->dim,
                                             NULL, scratch->centers + p * TD__PANEL);
    }
}

/* Returns the largest absolute score of a leaf. */
static float rank_leaves(td__tree_scratch *scratch, const td__tree *tree, uint64_t leaves)
{
    td__topk best;
    td__topk_init(&best, scratch->leaf_keys, tree->centers.count + UINT64_C(1), leaves);
    for (uint32_t l = 0; l < tree->centers.count; l++) {
        td__topk_push(&best, td__key_make(scratch->centers[l], l));
    }
    td__topk_finish(&best, scratch->leaves);
    return td__greatest_of(scratch->centers, tree->centers.count);
}

void td__tree_route(td__tree_scratch *scratch, const td_index *index, const float *query,
                    uint64_t leaves)
{
    scale_query(scratch, query, index->dim);
    score_centers(scratch, index);
    float greatest = rank_leaves(scratch, index->tree, leaves);
    float scale_max = fminf((float)BASE_MAX / (greatest + 1e-20f), 1e30f);
    scratch->scale = td__codec_tables(&index->tree->codec, scratch->scaled, scale_max,
                                      scratch->entries, scratch->tables);
}

/* --- 2: codes */

/* A leaf's share of its items' integer scores. */
static int64_t base_of(const td__tree_scratch *scratch, uint64_t rank)
{
    float base = (scratch->leaves[rank].score + scratch->scale.offset) * scratch->scale.scale;
    base = base > (float)BASE_MAX ? (float)BASE_MAX : base;
    base = base < -(float)BASE_MAX ? -(float)BASE_MAX : base;
    return (int64_t)floorf(base + 0.5f);
}

static uint64_t code_key(int64_t score, uint32_t slot)
{
    return (uint64_t)(score + INT64_C(0x80000000)) << 32 | (uint32_t)~slot;
}

/* The least integer score that could still come in. */
static int64_t least_score(const td__topk *top)
{
    return (int64_t)(top->floor >> 32) - INT64_C(0x80000000);
}

static bool is_allowed(const td__scan *scan, uint64_t query, uint32_t position)
{
    const uint64_t *allow = scan->search->allow;
    if (allow != NULL && (allow[position / 64] >> (position % 64) & 1) == 0) return false;
    return !td__scan_excludes(scan, query, position);
}

/* Offer the slots of a group that are in `mask`. */
static void offer(td__topk *top, const td__scan *scan, uint64_t query, uint32_t group, uint32_t mask,
                  int64_t base, const uint16_t *sums)
{
    const uint32_t *positions = scan->index->tree->positions;
    for (; mask != 0; mask &= mask - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(mask), slot = group * TD__GROUP + i;
        uint64_t key = code_key(base + sums[i], slot);
        if (key > top->floor && is_allowed(scan, query, positions[slot])) td__topk_push(top, key);
    }
}

static void scan_leaf(td__tree_scratch *scratch, const td__scan *scan, uint64_t query, uint32_t leaf,
                      int64_t base)
{
    _Alignas(TD__ALIGNMENT) uint16_t sums[CHUNK * TD__GROUP];
    uint32_t masks[CHUNK];
    const td__tree *tree = scan->index->tree;
    uint32_t blocks = tree->codec.blocks_padded, end = tree->first[leaf + 1], count;
    for (uint32_t g = tree->first[leaf]; g < end; g += count) {
        int64_t least = least_score(&scratch->candidates) - base;
        if (least > (int64_t)scratch->scale.most) return;
        count = end - g < CHUNK ? end - g : CHUNK;
        scan->kernels->quant->sum_codes(tree->codes + (uint64_t)g * blocks * 16, count,
                                        scratch->tables, blocks, least > 0 ? (uint32_t)least : 0, sums,
                                        masks);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t mask = masks[i] & tree->live[g + i];
            if (mask == 0) continue;
            offer(&scratch->candidates, scan, query, g + i, mask, base, sums + i * TD__GROUP);
        }
    }
}

void td__tree_scan(td__tree_scratch *scratch, const td__scan *scan, uint64_t query, uint64_t first,
                   uint64_t end)
{
    for (uint64_t rank = first; rank < end; rank++) {
        int64_t base = base_of(scratch, rank), least = least_score(&scratch->candidates);
        if (base + (int64_t)scratch->scale.most < least) return; /* as all leaves behind */
        scan_leaf(scratch, scan, query, scratch->leaves[rank].position, base);
    }
}

static void find_candidates(td__tree_scratch *scratch, const tree_call *call, uint64_t query,
                            const float *vector)
{
    const td_index *index = call->scan->index;
    uint64_t all = index->tree->centers.count, leaves = call->effort.leaves, done = 0;
    uint64_t want = td__scan_k(call->scan, query);
    td__topk_init(&scratch->candidates, scratch->keys,
                  td__topk_capacity(call->effort.candidates, UINT64_MAX), call->effort.candidates);
    td__tree_route(scratch, index, vector, leaves);
    td__tree_scan(scratch, call->scan, query, 0, leaves);
    while (scratch->candidates.count < want && leaves < all) {
        if (done == 0) rank_leaves(scratch, index->tree, all);
        done = leaves;
        leaves = 2 * leaves < all ? 2 * leaves : all;
        td__tree_scan(scratch, call->scan, query, done, leaves);
    }
    td__topk_cut(&scratch->candidates);
}

/* --- 3: rows of 8-bit integers */

static void query_to_integers(td__tree_scratch *scratch, const td_index *index)
{
    uint32_t stride = index->tree->stride, most = (UINT32_C(1) << 31) / 128 / stride;
    float scale = (float)(most < QUERY_MAX ? most : QUERY_MAX);
    for (uint32_t k = 0; k < index->dim; k++) {
        scratch->query[k] = (int16_t)floorf(scratch->scaled[k] * scale + 0.5f);
    }
}

/* Leave the slots of the finalists in scratch->finalists, from `count` on; returns the new count. */
static uint64_t choose_finalists(td__tree_scratch *scratch, const tree_call *call, uint64_t count)
{
    const td_index *index = call->scan->index;
    const td__tree *tree = index->tree;
    const td__topk *from = &scratch->candidates;
    td__topk best;
    query_to_integers(scratch, index);
    td__topk_init(&best, scratch->few_keys, td__topk_capacity(call->finalists, UINT64_MAX),
                  call->finalists);
    for (uint64_t i = 0; i < from->count; i++) {
        uint32_t slot = td__key_position(from->keys[i]);
        uint64_t ahead = i + PREFETCH < from->count ? i + PREFETCH : i;
        const int8_t *next = tree->rows + (uint64_t)td__key_position(from->keys[ahead]) * tree->stride;
        for (uint32_t at = 0; at < tree->stride; at += 64) __builtin_prefetch(next + at);
        int32_t product = call->scan->kernels->quant->dot_row(
            scratch->query, tree->rows + (uint64_t)slot * tree->stride, tree->stride);
        td__topk_push(&best, td__key_make((float)product * tree->scales[slot], slot));
    }
    td__topk_cut(&best);
    for (uint64_t i = 0; i < best.count; i++) {
        scratch->finalists[count + i] = tree->positions[td__key_position(best.keys[i])];
    }
    return count + best.count;
}

/* --- 4: vectors */

/* Up to a panel of positions, scored as the exact scan does. */
static void score_panel(td__tree_scratch *scratch, const td__scan *scan, const float *query,
                        const uint32_t *positions, uint32_t count)
{
    const td_index *index = scan->index;
    for (uint32_t j = 0; j < count; j++) {
        const float *row = td__index_at(index, positions[j]);
        for (uint32_t k = 0; k < index->dim; k++) scratch->packed[(size_t)k * TD__PANEL + j] = row[k];
    }
    scan->kernels->score_panel(query, scan->heads, scratch->packed, index->dim, NULL, scratch->scores);
    if (scan->heads > 1) td__best_of_heads(scratch->scores, 1, scan->heads);
}

static void finish(td__tree_scratch *scratch, const tree_call *call, uint64_t query,
                   const float *vectors, uint64_t count)
{
    td__topk best;
    uint64_t k = td__scan_k(call->scan, query);
    td__topk_init(&best, scratch->few_keys, td__topk_capacity(k, UINT64_MAX), k);
    for (uint64_t i = 0; i < count; i += TD__PANEL) {
        const uint32_t *positions = scratch->finalists + i;
        uint32_t some = count - i < TD__PANEL ? (uint32_t)(count - i) : TD__PANEL;
        score_panel(scratch, call->scan, vectors, positions, some);
        for (uint32_t j = 0; j < some; j++) {
            td__topk_push(&best, td__key_make(scratch->scores[j], positions[j]));
        }
    }
    td__scan_finish(call->scan, &best, query, call->hits, call->counts);
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

static void search_query(void *state, uint64_t query, uint32_t worker)
{
    const tree_call *call = state;
    const td__scan *scan = call->scan;
    td__tree_scratch *scratch = &call->scratch[worker];
    uint32_t dim = scan->index->dim, heads = scan->heads;
    const float *vectors = scan->queries + query * heads * dim;
    uint64_t count = 0;
    for (uint32_t h = 0; h < heads; h++) {
        find_candidates(scratch, call, query, vectors + (size_t)h * dim);
        count = choose_finalists(scratch, call, count);
    }
    if (heads > 1) count = drop_doubles(scratch->finalists, count);
    finish(scratch, call, query, vectors, count);
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
    call.finalists = 2 * (uint64_t)scan->search->k + 10;
    if (call.finalists > call.effort.candidates) call.finalists = call.effort.candidates;
    TD_TRY(td__tree_scratch_grow(scratch, index, call.effort.candidates, call.finalists * scan->heads,
                                 scan->search->k, err));
    td__parallel_for(index->context, queries, search_query, &call);
done:
    return status;
}

/* --- scratch */

td_status td__tree_scratch_create(void **scratch, const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = index->context;
    const td__tree *tree = index->tree;
    uint64_t leaves = tree->centers.count, entries = (uint64_t)tree->codec.blocks * TD__CODE_VALUES;
    td__tree_scratch *all;
    TD_TRY(td__alloc_zero(&all, context, td_context_threads(context), sizeof *all, err));
    *scratch = all;
    for (uint32_t w = 0; w < td_context_threads(context); w++) {
        td__tree_scratch *one = &all[w];
        TD_TRY(td__alloc(&one->centers, context, td__panel_count(leaves) * TD__PANEL, sizeof(float),
                         err));
        TD_TRY(td__alloc(&one->leaf_keys, context, leaves, sizeof *one->leaf_keys, err));
        TD_TRY(td__alloc(&one->leaves, context, leaves, sizeof *one->leaves, err));
        TD_TRY(td__alloc(&one->entries, context, entries, sizeof(float), err));
        TD_TRY(td__alloc(&one->tables, context, tree->codec.blocks_padded, TD__CODE_VALUES, err));
        TD_TRY(td__alloc(&one->scaled, context, index->dim, sizeof(float), err));
        TD_TRY(td__alloc_zero(&one->query, context, tree->stride, sizeof *one->query, err));
        TD_TRY(td__alloc_zero(&one->packed, context, index->dim, TD__PANEL * sizeof(float), err));
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
        td__free(context, all[w].centers);
        td__free(context, all[w].leaf_keys);
        td__free(context, all[w].leaves);
        td__free(context, all[w].entries);
        td__free(context, all[w].tables);
        td__free(context, all[w].scaled);
        td__free(context, all[w].query);
        td__free(context, all[w].packed);
        td__free(context, all[w].scores);
        td__free(context, all[w].keys);
        td__free(context, all[w].few_keys);
        td__free(context, all[w].finalists);
    }
    td__free(context, all);
}

td_status td__tree_scratch_grow(td__tree_scratch *scratch, const td_index *index, uint64_t candidates,
                                uint64_t finalists, uint64_t k, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = index->context;
    uint64_t keys = td__topk_capacity(candidates, UINT64_MAX);
    uint64_t few = td__topk_capacity(finalists > k ? finalists : k, UINT64_MAX);
    for (uint32_t w = 0; w < td_context_threads(context); w++) {
        TD_TRY(td__grow(&scratch[w].keys, context, keys, sizeof *scratch->keys, err));
        TD_TRY(td__grow(&scratch[w].few_keys, context, few, sizeof *scratch->few_keys, err));
        TD_TRY(td__grow(&scratch[w].finalists, context, finalists, sizeof *scratch->finalists, err));
    }
done:
    return status;
}
