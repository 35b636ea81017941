/* kernel_avx2.c -- the kernels with 8 floats a register and fused multiply-add (x86-64-v3).
 *
 * Serves: stages 4, 6 and 7. In: vectors. Out: scores, the bits of kernel_ref.c.
 * A tile is 6 rows by 16 columns: 12 accumulators, 2 registers of columns and 1 broadcast fill 15
 * of the 16 registers, and 12 chains hide the latency of 4 cycles at 2 fma a cycle. A panel is 3
 * tiles wide. One row alone is done over the whole panel (6 chains), because then memory is the
 * limit and should be read in order. */
#include "kernel/int8.h"
#include "kernel/gemm_tiles.h"
#include "kernel/kernel.h"
#include "kernel/quant.h"
#include "kernel/softmax_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernel/cpu.h"

#include "base/poison.h"

enum { LANES = 8, TILE_ROWS = 6, TILE_WIDTH = 2, PANEL_WIDTH = TD__PANEL / LANES };

/* One chain cannot be split, so there is nothing to widen. */
static float dot(const float *a, const float *b, uint32_t dim)
{
    float sum = 0.0f;
    for (uint32_t k = 0; k < dim; k++) sum = fmaf(a[k], b[k], sum);
    return sum;
}

static void axpy(float alpha, const float *x, float *y, uint32_t dim)
{
    __m256 factor = _mm256_set1_ps(alpha);
    uint32_t k = 0;
    for (; k + LANES <= dim; k += LANES) {
        __m256 sum = _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + k), _mm256_loadu_ps(y + k));
        _mm256_storeu_ps(y + k, sum);
    }
    for (; k < dim; k++) y[k] = fmaf(alpha, x[k], y[k]);
}

/* `height` rows against `width` registers of columns. Both are constants where it
 * is called, so the loops over them vanish and `sum` lives in registers. */
static inline __attribute__((always_inline)) void tile(uint32_t height, uint32_t width,
                                                       const float *rows, const float *panel,
                                                       uint32_t dim, const float *start, float *out)
{
    __m256 sum[TILE_ROWS][PANEL_WIDTH];
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            sum[r][w] = start == NULL ? _mm256_setzero_ps() : _mm256_loadu_ps(start + w * LANES);
        }
    }
    for (uint32_t k = 0; k < dim; k++, panel += TD__PANEL) {
        __m256 column[PANEL_WIDTH];
        for (uint32_t w = 0; w < width; w++) column[w] = _mm256_load_ps(panel + w * LANES);
        for (uint32_t r = 0; r < height; r++) {
            __m256 factor = _mm256_broadcast_ss(rows + (size_t)r * dim + k);
            for (uint32_t w = 0; w < width; w++) {
                sum[r][w] = _mm256_fmadd_ps(factor, column[w], sum[r][w]);
            }
        }
    }
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            _mm256_store_ps(out + (size_t)r * TD__PANEL + w * LANES, sum[r][w]);
        }
    }
}

/* The whole panel for `height` rows, in strips of `width` registers. */
static inline __attribute__((always_inline)) void strip(uint32_t height, uint32_t width,
                                                        const float *rows, const float *panel,
                                                        uint32_t dim, const float *start,
                                                        float *out)
{
    for (uint32_t j = 0; j < TD__PANEL; j += width * LANES) {
        tile(height, width, rows, panel + j, dim, start == NULL ? NULL : start + j, out + j);
    }
}

static void score_panel(const float *rows, uint32_t row_count, const float *panel, uint32_t dim,
                        const float *start, float *out)
{
    uint32_t r = 0;
    for (; r + TILE_ROWS <= row_count; r += TILE_ROWS) {
        strip(TILE_ROWS, TILE_WIDTH, rows + (size_t)r * dim, panel, dim, start,
              out + (size_t)r * TD__PANEL);
    }
    rows += (size_t)r * dim;
    out += (size_t)r * TD__PANEL;
    switch (row_count - r) {
    case 5:
        strip(5, 2, rows, panel, dim, start, out);
        break;
    case 4:
        strip(4, 3, rows, panel, dim, start, out);
        break;
    case 3:
        strip(3, 3, rows, panel, dim, start, out);
        break;
    case 2:
        strip(2, 3, rows, panel, dim, start, out);
        break;
    case 1:
        strip(1, 6, rows, panel, dim, start, out);
        break;
    default:
        break;
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

static void above(const float *scores, uint32_t row_count, const float *thresholds, uint64_t *masks)
{
    for (uint32_t r = 0; r < row_count; r++, scores += TD__PANEL) {
        __m256 threshold = _mm256_broadcast_ss(thresholds + r);
        uint64_t mask = 0;
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            __m256 score = _mm256_load_ps(scores + w * LANES);
            __m256 passes = _mm256_cmp_ps(score, threshold, _CMP_NLE_UQ);
            mask |= (uint64_t)(uint32_t)_mm256_movemask_ps(passes) << (w * LANES);
        }
        masks[r] = mask;
    }
}

const td__kernels td__kernels_avx2 = {
    .name = "avx2",
    .available = td__cpu_has_avx2,
    .dot = dot,
    .axpy = axpy,
    .score_panel = score_panel,
    .score_rows = score_rows,
    .above = above,
    .softmax = &td__softmax_avx2,
    .quant = &td__quant_avx2,
    .int8 = &td__int8_avx2,
    .gemm = &td__gemm_avx2,
};

#endif
