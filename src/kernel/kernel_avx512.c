/* kernel_avx512.c -- the kernels with 16 floats a register (x86-64-v4).
 *
 * Serves: stages 4, 6 and 7. In: vectors. Out: scores, the bits of kernel_ref.c.
 * A tile is 8 rows by the whole panel of 3 registers: 24 accumulators, 3 registers of columns and a
 * broadcast that is part of the fma. */
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

enum { LANES = 16, TILE_ROWS = 8, PANEL_WIDTH = TD__PANEL / LANES };

/* One chain cannot be split, so there is nothing to widen. */
static float dot(const float *a, const float *b, uint32_t dim)
{
    float sum = 0.0f;
    for (uint32_t k = 0; k < dim; k++) sum = fmaf(a[k], b[k], sum);
    return sum;
}

static void axpy(float alpha, const float *x, float *y, uint32_t dim)
{
    __m512 factor = _mm512_set1_ps(alpha);
    for (uint32_t k = 0; k < dim; k += LANES) {
        uint32_t left = dim - k;
        __mmask16 lanes = left >= LANES ? (__mmask16)0xFFFF : (__mmask16)((1u << left) - 1);
        __m512 sum = _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(lanes, x + k),
                                     _mm512_maskz_loadu_ps(lanes, y + k));
        _mm512_mask_storeu_ps(y + k, lanes, sum);
    }
}

/* `height` rows against the panel. It is a constant where this is called, so the loops over it
 * vanish and `sum` lives in registers. */
static inline __attribute__((always_inline)) void tile(uint32_t height, const float *rows,
                                                       const float *panel, uint32_t dim,
                                                       const float *start, float *out)
{
    __m512 sum[TILE_ROWS][PANEL_WIDTH];
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            sum[r][w] = start == NULL ? _mm512_setzero_ps() : _mm512_loadu_ps(start + w * LANES);
        }
    }
    for (uint32_t k = 0; k < dim; k++, panel += TD__PANEL) {
        __m512 column[PANEL_WIDTH];
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) column[w] = _mm512_load_ps(panel + w * LANES);
        for (uint32_t r = 0; r < height; r++) {
            __m512 factor = _mm512_set1_ps(rows[(size_t)r * dim + k]);
            for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
                sum[r][w] = _mm512_fmadd_ps(factor, column[w], sum[r][w]);
            }
        }
    }
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            _mm512_store_ps(out + (size_t)r * TD__PANEL + w * LANES, sum[r][w]);
        }
    }
}

static void score_panel(const float *rows, uint32_t row_count, const float *panel, uint32_t dim,
                        const float *start, float *out)
{
    uint32_t r = 0;
    for (; r + 8 <= row_count; r += 8) {
        tile(8, rows + (size_t)r * dim, panel, dim, start, out + (size_t)r * TD__PANEL);
    }
    for (; r + 4 <= row_count; r += 4) {
        tile(4, rows + (size_t)r * dim, panel, dim, start, out + (size_t)r * TD__PANEL);
    }
    for (; r < row_count; r++) {
        tile(1, rows + (size_t)r * dim, panel, dim, start, out + (size_t)r * TD__PANEL);
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
        __m512 threshold = _mm512_set1_ps(thresholds[r]);
        uint64_t mask = 0;
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            __m512 score = _mm512_load_ps(scores + w * LANES);
            uint64_t passes = _mm512_cmp_ps_mask(score, threshold, _CMP_NLE_UQ);
            mask |= passes << (w * LANES);
        }
        masks[r] = mask;
    }
}

/* What both sets share. They differ in the products of integers only. */
#define SHARED_KERNELS                                                                             \
    .dot = dot, .axpy = axpy, .score_panel = score_panel, .score_rows = score_rows,                \
    .above = above, .softmax = &td__softmax_avx512, .quant = &td__quant_avx512,                    \
    .gemm = &td__gemm_avx512

const td__kernels td__kernels_avx512 = {
    .name = "avx512", .available = td__cpu_has_avx512, .int8 = &td__int8_avx512, SHARED_KERNELS};

const td__kernels td__kernels_avx512vnni = {.name = "avx512vnni",
                                            .available = td__cpu_has_avx512vnni,
                                            .int8 = &td__int8_avx512vnni,
                                            SHARED_KERNELS};

#endif
