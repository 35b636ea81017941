/* ials_lists.c -- training rows as lists, one for each row of a table of vectors.
 *
 * Serves: stage 5, iALS. In: pairs. Out: the pairs by their first. */
#include "train/ials_lists.h"

#include <string.h>

#include "base/memory.h"
#include "base/poison.h"

static void measure(td__ials_lists *lists)
{
    for (uint32_t r = 0; r < lists->rows; r++) {
        uint64_t count = lists->offsets[r + 1];
        lists->filled += count > 0;
        if (count > lists->longest) lists->longest = count;
        lists->offsets[r + 1] += lists->offsets[r];
    }
}

/* Offsets move on while the lists fill, and are then those of the next row: put them back. */
static void deal_out(td__ials_lists *lists, const uint32_t *key, const uint32_t *other,
                     const float *weight, uint64_t count)
{
    uint64_t *offsets = lists->offsets;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = offsets[key[i]]++;
        lists->others[at] = other[i];
        if (weight != NULL) lists->weight[at] = weight[i];
    }
    memmove(offsets + 1, offsets, lists->rows * sizeof *offsets);
    offsets[0] = 0;
}

td_status td__ials_lists_init(td__ials_lists *out, td_context *context, uint32_t rows,
                              const uint32_t *key, const uint32_t *other, const float *weight,
                              uint64_t count, td_error *err)
{
    td_status status = TD_OK;
    *out = (td__ials_lists){.context = context, .rows = rows};
    TD_TRY(td__alloc_zero(&out->offsets, context, (uint64_t)rows + 1, sizeof *out->offsets, err));
    TD_TRY(td__alloc(&out->others, context, count, sizeof *out->others, err));
    if (weight != NULL) {
        TD_TRY(td__alloc(&out->weight, context, count, sizeof *out->weight, err));
    }
    for (uint64_t i = 0; i < count; i++) out->offsets[key[i] + 1]++;
    measure(out);
    deal_out(out, key, other, weight, count);
    return TD_OK;
done:
    td__ials_lists_clear(out);
    return status;
}

void td__ials_lists_clear(td__ials_lists *lists)
{
    if (lists->context == NULL) return;
    td__free(lists->context, lists->offsets);
    td__free(lists->context, lists->others);
    td__free(lists->context, lists->weight);
    *lists = (td__ials_lists){0};
}
