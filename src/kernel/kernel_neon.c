/* kernel_neon.c -- the kernels with 4 floats a register (every 64-bit ARM).
 *
 * Serves: stages 4, 6 and 7. In: vectors. Out: scores, the bits of kernel_ref.c.
 * A tile is 6 rows by 12 columns: 18 accumulators, 3 registers of columns and 6 broadcasts of the
 * 32 registers. A panel is 4 tiles wide; few rows are done over the whole panel. */
#include "kernel/int8.h"
#include "kernel/gemm_tiles.h"
#include "kernel/kernel.h"
#include "kernel/keys.h"
#include "kernel/quant.h"
#include "kernel/softmax_bf16.h"
#include "kernel/softmax_tiles.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "kernel/cpu.h"

#include "base/poison.h"

enum { LANES = 4, TILE_ROWS = 6, TILE_WIDTH = 3, PANEL_WIDTH = TD__PANEL / LANES };

static bool available(void)
{
    return true;
}

/* One chain cannot be split, so there is nothing to widen. */
static float dot(const float *a, const float *b, uint32_t dim)
{
    float sum = 0.0f;
    for (uint32_t k = 0; k < dim; k++) sum = fmaf(a[k], b[k], sum);
    return sum;
}

static void axpy(float alpha, const float *x, float *y, uint32_t dim)
{
    uint32_t k = 0;
    for (; k + LANES <= dim; k += LANES) {
        vst1q_f32(y + k, vfmaq_n_f32(vld1q_f32(y + k), vld1q_f32(x + k), alpha));
    }
    for (; k < dim; k++) y[k] = fmaf(alpha, x[k], y[k]);
}

/* `height` rows against `width` registers of columns. Both are constants where it is called, so the
 * loops over them vanish and `sum` lives in registers. */
static inline __attribute__((always_inline)) void tile(uint32_t height, uint32_t width,
                                                       const float *rows, const float *panel,
                                                       uint32_t dim, const float *start, float *out)
{
    float32x4_t sum[TILE_ROWS][PANEL_WIDTH];
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            sum[r][w] = start == NULL ? vdupq_n_f32(0.0f) : vld1q_f32(start + w * LANES);
        }
    }
    for (uint32_t k = 0; k < dim; k++, panel += TD__PANEL) {
        float32x4_t column[PANEL_WIDTH];
        for (uint32_t w = 0; w < width; w++) column[w] = vld1q_f32(panel + w * LANES);
        for (uint32_t r = 0; r < height; r++) {
            float32x4_t factor = vld1q_dup_f32(rows + (size_t)r * dim + k);
            for (uint32_t w = 0; w < width; w++)
                sum[r][w] = vfmaq_f32(sum[r][w], factor, column[w]);
        }
    }
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            vst1q_f32(out + (size_t)r * TD__PANEL + w * LANES, sum[r][w]);
        }
    }
}

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
    for (; r + 2 <= row_count; r += 2) {
        strip(2, 6, rows + (size_t)r * dim, panel, dim, start, out + (size_t)r * TD__PANEL);
    }
    for (; r < row_count; r++) {
        strip(1, PANEL_WIDTH, rows + (size_t)r * dim, panel, dim, start,
              out + (size_t)r * TD__PANEL);
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
    static const uint32_t bit[LANES] = {1, 2, 4, 8};
    uint32x4_t bits = vld1q_u32(bit);
    for (uint32_t r = 0; r < row_count; r++, scores += TD__PANEL) {
        float32x4_t threshold = vdupq_n_f32(thresholds[r]);
        uint64_t mask = 0;
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            uint32x4_t not_above = vcleq_f32(vld1q_f32(scores + w * LANES), threshold);
            mask |= (uint64_t)vaddvq_u32(vbicq_u32(bits, not_above)) << (w * LANES);
        }
        masks[r] = mask;
    }
}

/* All bytes at once: no machine was at hand to see whether that holds anything up. */
static void scan_panel(const td__scan_panel *panel, const float *rows, uint32_t row_count,
                       const float *thresholds, float *out, uint64_t *masks)
{
    for (size_t at = 0; at < panel->next_bytes; at += 64) __builtin_prefetch(panel->next + at, 0, 2);
    score_panel(rows, row_count, panel->items, panel->dim, panel->start, out);
    above(out, row_count, thresholds, masks);
}

/* What the sets share. They differ in products of integers, which ARMv8.2 has, and of bfloat16. */
#define SHARED_KERNELS                                                                             \
    .dot = dot, .axpy = axpy, .score_panel = score_panel, .score_rows = score_rows,                \
    .above = above, .scan_panel = scan_panel, .softmax = &td__softmax_neon,                        \
    .quant = &td__quant_neon, .keys = &td__keys_ref, .gemm = &td__gemm_neon

const td__kernels td__kernels_neon = {.name = "neon",
                                      .available = available,
                                      .int8 = &td__int8_neon,
                                      .bf16 = &td__bf16_neon,
                                      SHARED_KERNELS};

const td__kernels td__kernels_neondot = {.name = "neondot",
                                         .available = td__cpu_has_neondot,
                                         .int8 = &td__int8_neondot,
                                         .bf16 = &td__bf16_neon,
                                         SHARED_KERNELS};

const td__kernels td__kernels_neonbf16 = {.name = "neonbf16",
                                          .available = td__cpu_has_neonbf16,
                                          .int8 = &td__int8_neondot,
                                          .bf16 = &td__bf16_neonbf16,
                                          SHARED_KERNELS};

#endif
