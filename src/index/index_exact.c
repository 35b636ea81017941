/* index_exact.c -- the kind of index that looks at every item.
 *
 * Serves: stage 7. In: vectors. Out: packed panels that can be scanned (scan.h).
 * Items are kept only packed, as panels of 48 (kernel/kernel.h): one copy in memory. */
#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "index/index.h"

#include "base/poison.h"

/* Panels packed as one piece of work. */
enum { PACK_PANELS = 64 };

typedef struct packing {
    const td_vectors *items;
    float *panels;
} packing;

static void pack_block(void *state, uint64_t block, uint32_t worker)
{
    const packing *work = state;
    uint32_t dim = work->items->dim;
    uint64_t first = block * PACK_PANELS * TD__PANEL, left = work->items->rows - first;
    uint64_t count = left < PACK_PANELS * TD__PANEL ? left : PACK_PANELS * TD__PANEL;
    (void)worker;
    td__pack_panels(work->items->data + first * dim, count, dim, work->panels + first * dim);
}

static uint64_t floats_of(const td_index *index)
{
    return td__panel_count(index->count) * index->dim * TD__PANEL;
}

static td_status build(td_index *index, const td_vectors *items, const td_index_options *options,
                       const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    (void)options;
    (void)hook; /* a copy: over before anyone could ask */
    TD_TRY(td__alloc(&index->panels, index->context, floats_of(index), sizeof *index->panels, err));
    packing work = {.items = items, .panels = index->panels};
    td__parallel_for(index->context, td__block_count(items->rows, PACK_PANELS * TD__PANEL), pack_block,
                     &work);
    index->greatest = td__greatest_of(index->panels, floats_of(index));
done:
    return status;
}

static td_status load(td_index *index, const td_vectors *items, const td__container *file,
                      td_error *err)
{
    (void)file;
    return build(index, items, NULL, NULL, err);
}

static void clear(td_index *index)
{
    td__free(index->context, index->panels);
}

static td_status check(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    float greatest = td__greatest_of(index->panels, floats_of(index));
    TD_FAIL_IF(!isfinite(greatest), err, ERR_NUMERIC,
               "an item of the index has a value that is not finite");
    TD_FAIL_IF(greatest != index->greatest, err, ERR_CORRUPT,
               "the largest value of the index is not the one noted");
    for (uint64_t i = index->count; i < td__panel_count(index->count) * TD__PANEL; i++) {
        const float *column = td__index_panel(index, i / TD__PANEL) + i % TD__PANEL;
        for (uint32_t k = 0; k < index->dim; k++) {
            TD_FAIL_IF(column[(size_t)k * TD__PANEL] != 0.0f, err, ERR_CORRUPT,
                       "the unused columns of the last panel are not zero");
        }
    }
done:
    return status;
}

static void describe(const td_index *index, td_index_info *info)
{
    info->bytes = floats_of(index) * sizeof *index->panels;
}

const td__index_class td__index_exact = {
    .kind = TD_INDEX_EXACT,
    .name = "exact",
    .build = build,
    .clear = clear,
    .check = check,
    .describe = describe,
    .load = load,
};
