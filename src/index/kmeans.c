/* kmeans.c -- a partition of vectors by their nearest centres.
 *
 * Serves: stage 7, the tree. In: vectors. Out: centres, and who is nearest to which.
 * |x - c|^2 = |x|^2 - 2 (<x, c> - |c|^2 / 2), so the nearest centre is the one with the largest score
 * from a start of -|c|^2 / 2, and finding it is the exact search's work on panels of centres. */
#include "index/kmeans.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/random.h"
#include "kernel/kernel.h"

#include "base/poison.h"

enum {
    TILE_ROWS = 12,
    BLOCK_ROWS = TILE_ROWS * 64, /* one piece of work */
    MEAN_LEAVES = 8              /* centres of one piece of work */
};

td_status td__centers_create(td__centers *centers, td_context *context, uint32_t count, uint32_t dim,
                             td_error *err)
{
    td_status status = TD_OK;
    uint64_t columns = td__panel_count(count) * TD__PANEL;
    *centers = (td__centers){.context = context, .count = count, .dim = dim};
    TD_TRY(td__alloc_zero(&centers->rows, context, (uint64_t)count * dim, sizeof(float), err));
    TD_TRY(td__alloc_zero(&centers->panels, context, columns * dim, sizeof(float), err));
    TD_TRY(td__alloc_zero(&centers->starts, context, columns, sizeof(float), err));
done:
    return status;
}

void td__centers_clear(td__centers *centers)
{
    if (centers->context == NULL) return;
    td__free(centers->context, centers->rows);
    td__free(centers->context, centers->panels);
    td__free(centers->context, centers->starts);
}

void td__centers_pack(td__centers *centers)
{
    td__pack_panels(centers->rows, centers->count, centers->dim, centers->panels);
    for (uint64_t i = 0; i < td__panel_count(centers->count) * TD__PANEL; i++) {
        const float *row = centers->rows + i * centers->dim;
        float half = 0.0f;
        for (uint32_t k = 0; i < centers->count && k < centers->dim; k++) half += row[k] * row[k];
        centers->starts[i] = i < centers->count ? -0.5f * half : -INFINITY;
    }
}

/* --- who is nearest to which */

typedef struct assigning {
    const td__centers *centers;
    const td__kernels *kernels;
    const float *rows;
    uint64_t count;
    uint32_t *leaf;
} assigning;

/* Up to TILE_ROWS rows against all panels. */
static void assign_tile(const assigning *work, uint64_t first, uint32_t count)
{
    _Alignas(TD__ALIGNMENT) float scores[TILE_ROWS * TD__PANEL];
    float best[TILE_ROWS];
    uint64_t masks[TILE_ROWS];
    uint32_t dim = work->centers->dim, *leaf = work->leaf + first;
    for (uint32_t r = 0; r < count; r++) best[r] = -INFINITY;
    memset(leaf, 0, count * sizeof *leaf);
    for (uint64_t p = 0; p < td__panel_count(work->centers->count); p++) {
        const float *panel = work->centers->panels + p * dim * TD__PANEL;
        work->kernels->score_panel(work->rows + first * dim, count, panel, dim,
                                   work->centers->starts + p * TD__PANEL, scores);
        work->kernels->above(scores, count, best, masks);
        for (uint32_t r = 0; r < count; r++) {
            for (uint64_t mask = masks[r]; mask != 0; mask &= mask - 1) {
                uint32_t column = (uint32_t)__builtin_ctzll(mask);
                float score = scores[r * TD__PANEL + column];
                if (!(score > best[r])) continue;
                best[r] = score;
                leaf[r] = (uint32_t)(p * TD__PANEL + column);
            }
        }
    }
}

static void assign_block(void *state, uint64_t block, uint32_t worker)
{
    const assigning *work = state;
    uint64_t first = block * BLOCK_ROWS, end = first + BLOCK_ROWS;
    (void)worker;
    if (end > work->count) end = work->count;
    for (; first < end; first += TILE_ROWS) {
        assign_tile(work, first, end - first < TILE_ROWS ? (uint32_t)(end - first) : TILE_ROWS);
    }
}

void td__centers_assign(const td__centers *centers, const float *rows, uint64_t count, uint32_t *leaf)
{
    assigning work = {.centers = centers, .kernels = centers->context->kernels, .rows = rows,
                      .count = count, .leaf = leaf};
    td__parallel_for(centers->context, td__block_count(count, BLOCK_ROWS), assign_block, &work);
}

void td__group_by_leaf(const uint32_t *leaf, uint64_t count, uint32_t leaves, uint64_t *first,
                       uint32_t *order)
{
    memset(first, 0, (leaves + (size_t)1) * sizeof *first);
    for (uint64_t i = 0; i < count; i++) first[leaf[i] + 1]++;
    for (uint32_t l = 0; l < leaves; l++) first[l + 1] += first[l];
    for (uint64_t i = 0; i < count; i++) order[first[leaf[i]]++] = (uint32_t)i;
    for (uint32_t l = leaves; l > 0; l--) first[l] = first[l - 1]; /* each had moved to its end */
    first[0] = 0;
}

/* --- where the centres go */

typedef struct moving {
    td__centers *centers;
    const float *rows;
    uint64_t count;
    const uint64_t *first;
    const uint32_t *order;
    td__random draws;
    uint64_t drawn; /* numbers of `draws` that earlier rounds may have taken */
} moving;

static void move_center(const moving *work, uint32_t l)
{
    uint32_t dim = work->centers->dim;
    float *center = work->centers->rows + (size_t)l * dim;
    uint64_t members = work->first[l + 1] - work->first[l];
    if (members == 0) {
        uint64_t row = td__random_below(work->draws, work->drawn + l, work->count);
        memcpy(center, work->rows + row * dim, dim * sizeof *center);
        return;
    }
    memset(center, 0, dim * sizeof *center);
    for (uint64_t i = work->first[l]; i < work->first[l + 1]; i++) {
        const float *row = work->rows + (size_t)work->order[i] * dim;
        for (uint32_t k = 0; k < dim; k++) center[k] += row[k];
    }
    for (uint32_t k = 0; k < dim; k++) center[k] /= (float)members;
}

static void move_block(void *state, uint64_t block, uint32_t worker)
{
    const moving *work = state;
    (void)worker;
    for (uint32_t i = 0; i < MEAN_LEAVES; i++) {
        uint64_t l = block * MEAN_LEAVES + i;
        if (l < work->centers->count) move_center(work, (uint32_t)l);
    }
}

void td__draw_sample(uint32_t *chosen, uint64_t wanted, uint64_t total, uint64_t seed, uint64_t sub)
{
    td__random draws = td__random_stream(seed, TD__STREAM_KMEANS, sub);
    uint64_t taken = 0;
    for (uint64_t i = 0; taken < wanted; i++) {
        if (td__random_below(draws, i, total - i) < wanted - taken) chosen[taken++] = (uint32_t)i;
    }
}

/* Rows drawn at random; with fewer rows than centres the last centres repeat row 0 and stay empty. */
static void draw_centers(td__centers *centers, const float *rows, uint64_t count, uint32_t *chosen,
                         uint64_t seed)
{
    uint64_t wanted = centers->count < count ? centers->count : count;
    memset(chosen, 0, centers->count * sizeof *chosen);
    td__draw_sample(chosen, wanted, count, seed, 1);
    for (uint32_t l = 0; l < centers->count; l++) {
        memcpy(centers->rows + (size_t)l * centers->dim, rows + (size_t)chosen[l] * centers->dim,
               centers->dim * sizeof *rows);
    }
    td__centers_pack(centers);
}

td_status td__kmeans(td__centers *centers, const float *rows, uint64_t count, uint32_t rounds,
                     uint64_t seed, td__round_fn *report, void *user, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = centers->context;
    uint32_t *leaf = NULL, *order = NULL;
    uint64_t *first = NULL, room = count > centers->count ? count : centers->count;
    TD_TRY(td__alloc(&leaf, context, count, sizeof *leaf, err));
    TD_TRY(td__alloc(&order, context, room, sizeof *order, err));
    TD_TRY(td__alloc(&first, context, centers->count + UINT64_C(1), sizeof *first, err));
    draw_centers(centers, rows, count, order, seed);
    moving work = {.centers = centers, .rows = rows, .count = count, .first = first, .order = order,
                   .draws = td__random_stream(seed, TD__STREAM_KMEANS, 2)};
    for (uint32_t round = 0; round < rounds; round++) {
        TD_FAIL_IF(report != NULL && !report(user, round), err, ERR_CANCELLED, "stopped in round %u",
                   round);
        td__centers_assign(centers, rows, count, leaf);
        td__group_by_leaf(leaf, count, centers->count, first, order);
        td__parallel_for(context, td__block_count(centers->count, MEAN_LEAVES), move_block, &work);
        td__centers_pack(centers);
        work.drawn += centers->count;
    }
done:
    td__free(context, leaf);
    td__free(context, order);
    td__free(context, first);
    return status;
}
