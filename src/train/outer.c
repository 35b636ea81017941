/* outer.c -- sums of outer products of vectors.
 *
 * Serves: stage 5, iALS. In: rows of a table, weights. Out: the upper triangle of sum weight v v'.
 *
 * The vectors are gathered a chunk at a time, once with coordinates as rows, once packed in panels of
 * coordinates; then the sum is a product of the two, which the kernel for scores does: it runs along
 * the chunk. Of each panel only the rows up to its own last column are made. If the width is not a
 * multiple of panels, the narrow one stands first, where it meets the fewest rows: for 64 columns 60
 * of 100 products are made where 51 are needed. */
#include "train/outer.h"

#include <string.h>

#include "base/memory.h"
#include "base/poison.h"

enum { CHUNK = 128 }; /* for 64 columns all of it is 100 KB: half of a common second-level cache */

/* Columns in front of panel p, for p up to the number of panels. */
static uint32_t columns_before(const td__outer *outer, uint32_t p)
{
    uint32_t missing = outer->panels * TD__PANEL - outer->width;
    return p == 0 ? 0 : p * TD__PANEL - missing;
}

td_status td__outer_init(td__outer *out, td_context *context, uint32_t width, td_error *err)
{
    td_status status = TD_OK;
    uint64_t panels = td__panel_count(width);
    *out = (td__outer){0};
    TD_TRY(td__alloc(&out->transposed, context, (uint64_t)width * CHUNK, sizeof(float), err));
    TD_TRY(td__alloc_zero(&out->packed, context, panels * CHUNK * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&out->tile, context, (uint64_t)width * TD__PANEL, sizeof(float), err));
    TD_TRY(td__alloc(&out->sums, context, panels * width * TD__PANEL, sizeof(float), err));
    td__outer_reset(out, width);
    return TD_OK;
done:
    td__outer_clear(out, context);
    return status;
}

void td__outer_clear(td__outer *outer, td_context *context)
{
    td__free(context, outer->transposed);
    td__free(context, outer->packed);
    td__free(context, outer->tile);
    td__free(context, outer->sums);
    *outer = (td__outer){0};
}

void td__outer_reset(td__outer *outer, uint32_t width)
{
    outer->width = width;
    outer->panels = (uint32_t)td__panel_count(width);
    memset(outer->sums, 0, (size_t)outer->panels * width * TD__PANEL * sizeof *outer->sums);
}

/* Vector number `at` of a chunk of `count`, in both forms; weighted in one of them. What stands in a
 * narrow panel behind its columns is left over from before: finite, and never looked at. */
static void gather(td__outer *outer, const float *vector, float weight, uint32_t at, uint32_t count)
{
    for (uint32_t k = 0; k < outer->width; k++) outer->transposed[k * count + at] = vector[k];
    for (uint32_t p = 0; p < outer->panels; p++) {
        float *row = outer->packed + ((size_t)p * count + at) * TD__PANEL;
        uint32_t start = columns_before(outer, p), end = columns_before(outer, p + 1);
        for (uint32_t k = start; k < end; k++) row[k - start] = weight * vector[k];
    }
}

static void add_panel(td__outer *outer, const td__kernels *kernels, uint32_t p, uint32_t count)
{
    uint32_t rows = columns_before(outer, p + 1);
    float *sums = outer->sums + (size_t)p * outer->width * TD__PANEL;
    kernels->score_panel(outer->transposed, rows, outer->packed + (size_t)p * count * TD__PANEL,
                         count, NULL, outer->tile);
    for (size_t i = 0; i < (size_t)rows * TD__PANEL; i++) sums[i] += outer->tile[i];
}

static const float *vector_at(const td__outer_input *input, uint64_t i)
{
    uint64_t row = input->positions == NULL ? input->first + i : input->positions[i];
    return input->table + row * input->dim + input->column;
}

void td__outer_add(td__outer *outer, const td__kernels *kernels, const td__outer_input *input)
{
    enum { AHEAD = 8, LINE_FLOATS = 16 };
    for (uint64_t done = 0; done < input->count;) {
        uint64_t left = input->count - done;
        uint32_t count = left < CHUNK ? (uint32_t)left : CHUNK;
        for (uint32_t at = 0; at < count; at++) {
            uint64_t i = done + at;
            if (i + AHEAD < input->count) {
                const float *later = vector_at(input, i + AHEAD);
                for (uint32_t k = 0; k < outer->width; k += LINE_FLOATS) __builtin_prefetch(later + k);
            }
            gather(outer, vector_at(input, i), input->weight == NULL ? 1.0f : input->weight[i], at,
                   count);
        }
        for (uint32_t p = 0; p < outer->panels; p++) add_panel(outer, kernels, p, count);
        done += count;
    }
}

void td__outer_get(const td__outer *outer, float *matrix)
{
    for (uint32_t p = 0; p < outer->panels; p++) {
        uint32_t start = columns_before(outer, p), end = columns_before(outer, p + 1);
        const float *sums = outer->sums + (size_t)p * outer->width * TD__PANEL;
        for (uint32_t i = 0; i < end; i++) {
            float *row = matrix + (size_t)i * outer->width;
            for (uint32_t j = i > start ? i : start; j < end; j++) {
                row[j] = sums[(size_t)i * TD__PANEL + (j - start)];
            }
        }
    }
}
