/* kernel_ref.c -- the kernels in plain C: the specification of all the others.
 *
 * Serves: stages 4, 6 and 7. In: vectors. Out: scores.
 * fmaf is exact on every machine (in software where the processor has none), which is what makes the
 * results of all sets equal. */
#include <math.h>
#include <string.h>

#include "kernel/int8.h"
#include "kernel/gemm_tiles.h"
#include "kernel/kernel.h"
#include "kernel/keys.h"
#include "kernel/quant.h"
#include "kernel/softmax_bf16.h"
#include "kernel/softmax_tiles.h"

#include "base/poison.h"

static bool available(void)
{
    return true;
}

static float dot(const float *a, const float *b, uint32_t dim)
{
    float sum = 0.0f;
    for (uint32_t k = 0; k < dim; k++) sum = fmaf(a[k], b[k], sum);
    return sum;
}

static void axpy(float alpha, const float *x, float *y, uint32_t dim)
{
    for (uint32_t k = 0; k < dim; k++) y[k] = fmaf(alpha, x[k], y[k]);
}

static void score_panel(const float *rows, uint32_t row_count, const float *panel, uint32_t dim,
                        const float *start, float *out)
{
    for (uint32_t r = 0; r < row_count; r++) {
        const float *row = rows + (size_t)r * dim;
        float *sums = out + (size_t)r * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j++) sums[j] = start == NULL ? 0.0f : start[j];
        for (uint32_t k = 0; k < dim; k++) {
            const float *column = panel + (size_t)k * TD__PANEL;
            for (uint32_t j = 0; j < TD__PANEL; j++) sums[j] = fmaf(row[k], column[j], sums[j]);
        }
    }
}

/* Chains that do not depend on each other, side by side. */
static void score_rows(const float *query, const float *const rows[TD__ROWS], uint32_t dim,
                       const float *start, float out[TD__ROWS])
{
    float sums[TD__ROWS];
    for (uint32_t i = 0; i < TD__ROWS; i++) sums[i] = start == NULL ? 0.0f : start[i];
    for (uint32_t k = 0; k < dim; k++) {
        for (uint32_t i = 0; i < TD__ROWS; i++) sums[i] = fmaf(query[k], rows[i][k], sums[i]);
    }
    memcpy(out, sums, sizeof sums);
}

static void above(const float *scores, uint32_t row_count, const float *thresholds,
                  uint64_t *masks)
{
    for (uint32_t r = 0; r < row_count; r++) {
        const float *row = scores + (size_t)r * TD__PANEL;
        uint64_t mask = 0;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            mask |= (uint64_t) !(row[j] <= thresholds[r]) << j;
        }
        masks[r] = mask;
    }
}

static void scan_panel(const td__scan_panel *panel, const float *rows, uint32_t row_count,
                       const float *thresholds, float *out, uint64_t *masks)
{
    score_panel(rows, row_count, panel->items, panel->dim, panel->start, out);
    above(out, row_count, thresholds, masks);
}

const td__kernels td__kernels_ref = {
    .name = "ref",
    .available = available,
    .dot = dot,
    .axpy = axpy,
    .score_panel = score_panel,
    .score_rows = score_rows,
    .above = above,
    .scan_panel = scan_panel,
    .softmax = &td__softmax_ref,
    .bf16 = &td__bf16_ref,
    .quant = &td__quant_ref,
    .keys = &td__keys_ref,
    .int8 = &td__int8_ref,
    .gemm = &td__gemm_ref,
};
