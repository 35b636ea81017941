/* int8_ref.c -- which products of small integers exceed a limit, in plain C: the specification.
 *
 * Serves: stages 6 and 7. */
#include "kernel/int8.h"

#include "kernel/kernel.h"

#include "base/poison.h"

static int32_t product(const int8_t *row, const uint8_t *panel, uint32_t column, uint32_t dim)
{
    int32_t sum = 0;
    for (uint32_t k = 0; k < dim; k++) {
        size_t step = k / TD__INT8_STEP, at = (step * TD__PANEL + column) * TD__INT8_STEP;
        sum += row[k] * (panel[at + k % TD__INT8_STEP] - TD__INT8_ZERO);
    }
    return sum;
}

static void above(const td__int8_rows *rows, const uint8_t *panel, const int32_t *limits,
                  uint64_t *masks)
{
    for (uint32_t r = 0; r < rows->count; r++) {
        const int8_t *row = rows->values + (size_t)r * rows->dim;
        masks[r] = 0;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            masks[r] |= (uint64_t)(product(row, panel, j, rows->dim) > limits[r]) << j;
        }
    }
}

const td__int8_kernels td__int8_ref = {.above = above};
