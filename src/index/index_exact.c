/* index_exact.c -- the kind of index that looks at every item.
 *
 * Serves: stage 7. In: vectors. Out: packed panels that can be scanned (scan.h).
 * Without a filter, items are kept only packed, as panels of 48 (kernel/kernel.h): one copy in memory.
 * With one (int8_items.h), few are scored, from anywhere: rows, and the integers beside them. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "index/filter_trial.h"
#include "index/index.h"
#include "index/int8_items.h"

#include "base/poison.h"

enum {
    PACK_PANELS = 64, /* packed as one piece of work */
    /* From here on a filter may be the faster way: a trial tells. Below, a call costs more than that. */
    FILTER_ITEMS_MIN = 16384,
    FILTER_DIM_MIN = 16
};

#define FILTER_KEY "index.prefilter"

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

static td_status build_panels(td_index *index, const td_vectors *items, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__alloc(&index->panels, index->context, floats_of(index), sizeof *index->panels, err));
    packing work = {.items = items, .panels = index->panels};
    td__parallel_for(index->context, td__block_count(items->rows, PACK_PANELS * TD__PANEL), pack_block,
                     &work);
    index->greatest = td__greatest_of(index->panels, floats_of(index));
done:
    return status;
}

/* The items of a file that is kept may stay where they are. */
static td_status build_filtered(td_index *index, const td_vectors *items, td_error *err)
{
    td_status status = TD_OK;
    uint64_t count = items->rows * items->dim;
    if (index->file != NULL) {
        index->rows = (float *)items->data; /* never written: what a file holds is a base's */
    } else {
        TD_TRY(td__alloc(&index->rows, index->context, count, sizeof *index->rows, err));
        if (count > 0) memcpy(index->rows, items->data, count * sizeof *index->rows);
    }
    index->greatest = td__greatest_of(index->rows, count);
    TD_TRY(td__int8_create(&index->int8, index->context, items, err));
done:
    return status;
}

/* A filter if it pays, by a short trial. */
static td_status build_by_trial(td_index *index, const td_vectors *items, td_error *err)
{
    td_status status = TD_OK;
    bool pays;
    TD_TRY(build_filtered(index, items, err));
    TD_TRY(td__filter_pays(&pays, index, err));
    if (pays) return TD_OK;
    td__index_drop(index, index->rows);
    td__int8_free(index->int8, index->context);
    index->rows = NULL;
    index->int8 = NULL;
    TD_TRY(build_panels(index, items, err));
done:
    return status;
}

static td_status build_as(td_index *index, const td_vectors *items, td_prefilter prefilter,
                          td_error *err)
{
    bool worth = items->rows >= FILTER_ITEMS_MIN && items->dim >= FILTER_DIM_MIN;
    if (prefilter == TD_PREFILTER_AUTO && worth) return build_by_trial(index, items, err);
    if (prefilter == TD_PREFILTER_INT8) return build_filtered(index, items, err);
    return build_panels(index, items, err);
}

static td_status build(td_index *index, const td_vectors *items, const td_index_options *options,
                       const td_progress_hook *hook, td_error *err)
{
    (void)hook; /* copies: over before anyone could ask */
    return build_as(index, items, options->prefilter, err);
}

static const char *const filter_names[] = {"auto", "none", "int8"};

static td_status save(const td_index *index, td__container_writer *writer, td_error *err)
{
    td_prefilter prefilter = index->int8 != NULL ? TD_PREFILTER_INT8 : TD_PREFILTER_NONE;
    return td__container_set(writer, FILTER_KEY, filter_names[prefilter], err);
}

/* Integers are made again: that takes less time than reading them, and they cannot be damaged. */
static td_status load(td_index *index, const td_vectors *items, const td__container *file,
                      td_error *err)
{
    const char *name = td__container_get(file, FILTER_KEY);
    if (name == NULL) return build_as(index, items, TD_PREFILTER_AUTO, err);
    for (td_prefilter p = TD_PREFILTER_NONE; p <= TD_PREFILTER_INT8; p++) {
        if (strcmp(name, filter_names[p]) == 0) return build_as(index, items, p, err);
    }
    return td__fail(err, TD_ERR_CORRUPT, "prefilter \"%.40s\" is not known", name);
}

static void clear(td_index *index)
{
    td__free(index->context, index->panels);
    td__index_drop(index, index->rows);
    td__int8_free(index->int8, index->context);
}

/* Columns of the last panel that hold no item. */
static td_status check_unused(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
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

static td_status check(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    uint64_t row_floats = index->count * index->dim;
    float greatest = index->int8 != NULL ? td__greatest_of(index->rows, row_floats)
                                         : td__greatest_of(index->panels, floats_of(index));
    TD_FAIL_IF(!isfinite(greatest), err, ERR_NUMERIC,
               "an item of the index has a value that is not finite");
    TD_FAIL_IF(greatest != index->greatest, err, ERR_CORRUPT,
               "the largest value of the index is not the one noted");
    if (index->int8 != NULL) TD_TRY(td__int8_check(index->int8, index, err));
    else TD_TRY(check_unused(index, err));
done:
    return status;
}

static void describe(const td_index *index, td_index_info *info)
{
    uint64_t rows = index->count * index->dim * sizeof *index->rows;
    info->prefilter = index->int8 != NULL ? TD_PREFILTER_INT8 : TD_PREFILTER_NONE;
    info->bytes = index->int8 == NULL ? floats_of(index) * sizeof *index->panels
                                      : rows + td__int8_bytes(index->int8, index->count);
    info->mapped = index->int8 != NULL && index->file != NULL ? rows : 0;
}

const td__index_class td__index_exact = {
    .kind = TD_INDEX_EXACT,
    .name = "exact",
    .build = build,
    .clear = clear,
    .check = check,
    .describe = describe,
    .save = save,
    .load = load,
};
