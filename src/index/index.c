/* index.c -- the life of an exact index.
 *
 * Serves: stage 7. In: vectors and their ids. Out: packed panels that can be scanned.
 * Items are kept only packed, as panels of 48 (kernel/kernel.h): one copy in memory. */
#include "index/index.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/vocab.h"
#include "base/poison.h"

/* Panels packed as one piece of work. */
enum { PACK_PANELS = 64 };

/* Largest absolute value. Without their signs, floats are ordered as their bits are: infinity
 * behind all numbers, then NaN. */
static float greatest_of(const float *values, uint64_t count)
{
    uint32_t greatest = 0;
    float result;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bits &= UINT32_MAX >> 1;
        greatest = bits > greatest ? bits : greatest;
    }
    memcpy(&result, &greatest, sizeof result);
    return result;
}

td_status td__check_vectors(const td_vectors *vectors, const char *what, td_error *err)
{
    uint64_t width = (uint64_t)td__heads(vectors) * vectors->dim;
    for (uint64_t row = 0; row < vectors->rows; row++) {
        const float *values = vectors->data + row * width;
        if (isfinite(greatest_of(values, width))) continue;
        uint64_t column = 0;
        while (isfinite(values[column])) column++;
        return td__fail(
            err, TD_ERR_NUMERIC, "%s %llu has %f in column %llu; all values must be finite", what,
            (unsigned long long)row, (double)values[column], (unsigned long long)column);
    }
    return TD_OK;
}

static td_status check_items(const td_vectors *items, const td_vocab *ids, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(items->dim == 0 || items->dim > TD__DIM_MAX, err, ERR_LIMIT,
               "items have %u dimensions; 1 to %d are allowed", items->dim, TD__DIM_MAX);
    TD_FAIL_IF(td__heads(items) != 1, err, ERR_ARGUMENT,
               "items have %u vectors each; only queries may "
               "have more than one",
               items->heads);
    TD_FAIL_IF(items->rows >= TD_NONE, err, ERR_LIMIT, "%llu items; at most %u are allowed",
               (unsigned long long)items->rows, TD_NONE - 1);
    TD_FAIL_IF(ids != NULL && td_vocab_count(ids) != items->rows, err, ERR_ARGUMENT,
               "%llu items but %u ids", (unsigned long long)items->rows, td_vocab_count(ids));
    TD_TRY(td__check_vectors(items, "item", err));
done:
    return status;
}

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

td_status td_index_build(td_index **out, td_context *context, const td_vectors *items,
                         const td_vocab *ids, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = NULL;
    TD_TRY(check_items(items, ids, err));
    TD_TRY(td__alloc_zero(&index, context, 1, sizeof *index, err));
    index->context = context;
    index->count = items->rows;
    index->dim = items->dim;
    uint64_t floats = td__panel_count(items->rows) * items->dim * TD__PANEL;
    TD_TRY(td__alloc(&index->panels, context, floats, sizeof *index->panels, err));
    packing work = {.items = items, .panels = index->panels};
    td__parallel_for(context, td__block_count(items->rows, PACK_PANELS * TD__PANEL), pack_block,
                     &work);
    index->greatest = greatest_of(index->panels, floats);
    /* Shared, not copied: a vocabulary does not change once it is in use. */
    if (ids != NULL) index->ids = td__vocab_retain((td_vocab *)ids);
    *out = index;
    return TD_OK;
done:
    td_index_free(index);
    *out = NULL;
    return status;
}

void td_index_free(td_index *index)
{
    if (index == NULL) return;
    td_vocab_free(index->ids);
    td__free(index->context, index->panels);
    td__free(index->context, index);
}

uint64_t td_index_count(const td_index *index)
{
    return index->count;
}

uint32_t td_index_dim(const td_index *index)
{
    return index->dim;
}

const td_vocab *td_index_ids(const td_index *index)
{
    return index->ids;
}

static const float *column_of(const td_index *index, uint32_t position)
{
    assert(position < index->count);
    return td__index_panel(index, position / TD__PANEL) + position % TD__PANEL;
}

void td_index_vector(const td_index *index, uint32_t position, float *vector)
{
    const float *column = column_of(index, position);
    for (uint32_t k = 0; k < index->dim; k++) vector[k] = column[(size_t)k * TD__PANEL];
}

float td__index_score(const td_index *index, const float *query, uint32_t position)
{
    const float *column = column_of(index, position);
    float sum = 0.0f;
    for (uint32_t k = 0; k < index->dim; k++)
        sum = fmaf(query[k], column[(size_t)k * TD__PANEL], sum);
    return sum;
}

td_status td_index_check(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    uint64_t floats = td__panel_count(index->count) * index->dim * TD__PANEL;
    TD_FAIL_IF(index->dim == 0 || index->dim > TD__DIM_MAX || index->count >= TD_NONE, err,
               ERR_CORRUPT, "an index of %llu items with %u dimensions",
               (unsigned long long)index->count, index->dim);
    float greatest = greatest_of(index->panels, floats);
    TD_FAIL_IF(!isfinite(greatest), err, ERR_NUMERIC,
               "an item of the index has a value that is not finite");
    TD_FAIL_IF(greatest != index->greatest, err, ERR_CORRUPT,
               "the largest value of the index is not the one noted");
    TD_FAIL_IF(index->ids != NULL && td_vocab_count(index->ids) != index->count, err, ERR_CORRUPT,
               "%llu items but %u ids", (unsigned long long)index->count,
               td_vocab_count(index->ids));
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
