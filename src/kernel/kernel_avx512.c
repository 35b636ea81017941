/* kernel_avx512.c -- the kernels with 16 floats a register (x86-64-v4).
 *
 * Serves: stages 4, 6 and 7. In: vectors. Out: scores, the bits of kernel_ref.c.
 * A tile is 8 rows by the whole panel of 3 registers: 24 accumulators, 3 registers of columns and a
 * broadcast that is part of the fma. */
#include "kernel/int8.h"
#include "kernel/gemm_tiles.h"
#include "kernel/kernel.h"
#include "kernel/keys.h"
#include "kernel/quant.h"
#include "kernel/score_eight_x86.h"
#include "kernel/softmax_bf16.h"
#include "kernel/softmax_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#include "kernel/cpu.h"

#include "base/poison.h"

enum { LANES = 16, TILE_ROWS = 8, PANEL_WIDTH = TD__PANEL / LANES };

/* Cache lines to fetch at a time: one row alone takes 3 lines of items itself at each dimension. */
#define LINES_OF(height) ((height) == 1 ? 3u : 1u)

/* One chain cannot be split, so there is nothing to widen. */
static float dot(const float *a, const float *b, uint32_t dim)
{
    float sum = 0.0f;
    for (uint32_t k = 0; k < dim; k++) sum = fmaf(a[k], b[k], sum);
    return sum;
}

/* The first lanes of a register, one for each of the numbers that are left. */
static __mmask16 lanes_for(uint32_t left)
{
    uint32_t bits = left >= LANES ? 0xFFFF : (1u << left) - 1;
    return (__mmask16)bits;
}

static void axpy(float alpha, const float *x, float *y, uint32_t dim)
{
    __m512 factor = _mm512_set1_ps(alpha);
    for (uint32_t k = 0; k < dim; k += LANES) {
        __mmask16 lanes = lanes_for(dim - k);
        __m512 sum = _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(lanes, x + k),
                                     _mm512_maskz_loadu_ps(lanes, y + k));
        _mm512_mask_storeu_ps(y + k, lanes, sum);
    }
}

/* `height` rows against the panel: `sum` from `start` on. The height is a constant where this is called,
 * and so is whether memory that is wanted next is fetched, `step` bytes at each dimension; so the loops
 * over them vanish and `sum` lives in registers. */
static inline __attribute__((always_inline)) void multiply(uint32_t height, const float *rows,
                                                           const td__scan_panel *panel, size_t step,
                                                           __m512 sum[][PANEL_WIDTH])
{
    const float *items = panel->items, *start = panel->start;
    const char *next = panel->next;
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            sum[r][w] = start == NULL ? _mm512_setzero_ps() : _mm512_loadu_ps(start + w * LANES);
        }
    }
    for (uint32_t k = 0; k < panel->dim; k++, items += TD__PANEL) {
        __m512 column[PANEL_WIDTH];
        if (step > 0) {
            for (uint32_t l = 0; l < LINES_OF(height); l++) _mm_prefetch(next + l * 64, _MM_HINT_T1);
            next += step;
        }
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) column[w] = _mm512_load_ps(items + w * LANES);
        for (uint32_t r = 0; r < height; r++) {
            __m512 factor = _mm512_set1_ps(rows[(size_t)r * panel->dim + k]);
            for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
                sum[r][w] = _mm512_fmadd_ps(factor, column[w], sum[r][w]);
            }
        }
    }
}

static inline __attribute__((always_inline)) void store(uint32_t height, __m512 sum[][PANEL_WIDTH],
                                                        float *out)
{
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            _mm512_store_ps(out + (size_t)r * TD__PANEL + w * LANES, sum[r][w]);
        }
    }
}

static inline __attribute__((always_inline)) void tile(uint32_t height, const float *rows,
                                                       const float *panel, uint32_t dim,
                                                       const float *start, float *out)
{
    __m512 sum[TILE_ROWS][PANEL_WIDTH];
    td__scan_panel view = {.items = panel, .start = start, .dim = dim};
    multiply(height, rows, &view, 0, sum);
    store(height, sum, out);
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

/* --- scores that are looked at before they are stored */

static inline __attribute__((always_inline)) void scan_tile(uint32_t height, const float *rows,
                                                            td__scan_panel *panel, size_t step,
                                                            const float *thresholds, float *out,
                                                            uint64_t *masks)
{
    __m512 sum[TILE_ROWS][PANEL_WIDTH];
    uint64_t any = 0;
    if (step > 0) multiply(height, rows, panel, step, sum);
    else multiply(height, rows, panel, 0, sum);
    panel->next += step * panel->dim;
    for (uint32_t r = 0; r < height; r++) {
        __m512 threshold = _mm512_set1_ps(thresholds[r]);
        uint64_t mask = 0;
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            uint64_t passes = _mm512_cmp_ps_mask(sum[r][w], threshold, _CMP_NLE_UQ);
            mask |= passes << (w * LANES);
        }
        masks[r] = mask;
        any |= mask;
    }
    if (any != 0) store(height, sum, out); /* hardly ever */
}

/* Bytes to fetch at each dimension of each tile, so that all are asked for by the last; 0: none. */
static size_t step_of(const td__scan_panel *panel, uint32_t row_count)
{
    uint32_t tiles = row_count / 8 + row_count % 8 / 4 + row_count % 4;
    return panel->next_bytes == 0 ? 0 : panel->next_bytes / (tiles * panel->dim) + 1;
}

static void scan_panel(const td__scan_panel *panel, const float *rows, uint32_t row_count,
                       const float *thresholds, float *out, uint64_t *masks)
{
    td__scan_panel view = *panel;
    size_t step = row_count == 0 ? 0 : step_of(panel, row_count), dim = panel->dim;
    uint32_t r = 0;
    for (; r + 8 <= row_count; r += 8) {
        scan_tile(8, rows + r * dim, &view, step, thresholds + r, out + (size_t)r * TD__PANEL, masks + r);
    }
    for (; r + 4 <= row_count; r += 4) {
        scan_tile(4, rows + r * dim, &view, step, thresholds + r, out + (size_t)r * TD__PANEL, masks + r);
    }
    for (; r < row_count; r++) {
        scan_tile(1, rows + r * dim, &view, step, thresholds + r, out + (size_t)r * TD__PANEL, masks + r);
    }
}

static void score_rows(const float *query, const float *const rows[TD__ROWS], uint32_t dim,
                       const float *start, float out[TD__ROWS])
{
    __m256 sums = start == NULL ? _mm256_setzero_ps() : _mm256_loadu_ps(start);
    _mm256_storeu_ps(out, td__score_eight(query, rows, dim, sums));
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

/* What the sets share. They differ in products of integers and of bfloat16 only. */
#define SHARED_KERNELS                                                                             \
    .dot = dot, .axpy = axpy, .score_panel = score_panel, .score_rows = score_rows,                \
    .above = above, .scan_panel = scan_panel, .softmax = &td__softmax_avx512,                      \
    .quant = &td__quant_avx512, .keys = &td__keys_avx512, .gemm = &td__gemm_avx512

const td__kernels td__kernels_avx512 = {.name = "avx512",
                                        .available = td__cpu_has_avx512,
                                        .int8 = &td__int8_avx512,
                                        .bf16 = &td__bf16_avx2,
                                        SHARED_KERNELS};

const td__kernels td__kernels_avx512vnni = {.name = "avx512vnni",
                                            .available = td__cpu_has_avx512vnni,
                                            .int8 = &td__int8_avx512vnni,
                                            .bf16 = &td__bf16_avx2,
                                            SHARED_KERNELS};

const td__kernels td__kernels_avx512bf16 = {.name = "avx512bf16",
                                            .available = td__cpu_has_avx512bf16,
                                            .int8 = &td__int8_avx512vnni,
                                            .bf16 = &td__bf16_avx512bf16,
                                            SHARED_KERNELS};

#endif
