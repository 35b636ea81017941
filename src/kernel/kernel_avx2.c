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

/* Memory that will be wanted soon, a little at each step over the dimensions. */
typedef struct fetching {
    const char *at;
    size_t step; /* 0: nothing is wanted */
} fetching;

/* Products of `height` rows and `width` registers of columns. These are constants where it is called,
 * and so is whether anything is fetched; so the loops over them vanish and `sum` lives in registers. */
static inline __attribute__((always_inline)) void multiply(uint32_t height, uint32_t width,
                                                           const float *rows, const float *panel,
                                                           uint32_t dim, fetching *ahead,
                                                           __m256 sum[][PANEL_WIDTH])
{
    for (uint32_t k = 0; k < dim; k++, panel += TD__PANEL) {
        __m256 column[PANEL_WIDTH];
        if (ahead != NULL) {
            for (uint32_t l = 0; l < (width + 1) / 2; l++) _mm_prefetch(ahead->at + l * 64, _MM_HINT_T1);
            ahead->at += ahead->step;
        }
        for (uint32_t w = 0; w < width; w++) column[w] = _mm256_load_ps(panel + w * LANES);
        for (uint32_t r = 0; r < height; r++) {
            __m256 factor = _mm256_broadcast_ss(rows + (size_t)r * dim + k);
            for (uint32_t w = 0; w < width; w++) {
                sum[r][w] = _mm256_fmadd_ps(factor, column[w], sum[r][w]);
            }
        }
    }
}

static inline __attribute__((always_inline)) void begin(uint32_t height, uint32_t width,
                                                        const float *start,
                                                        __m256 sum[][PANEL_WIDTH])
{
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            sum[r][w] = start == NULL ? _mm256_setzero_ps() : _mm256_loadu_ps(start + w * LANES);
        }
    }
}

static inline __attribute__((always_inline)) void store(uint32_t height, uint32_t width,
                                                        __m256 sum[][PANEL_WIDTH], float *out)
{
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            _mm256_store_ps(out + (size_t)r * TD__PANEL + w * LANES, sum[r][w]);
        }
    }
}

static inline __attribute__((always_inline)) void tile(uint32_t height, uint32_t width,
                                                       const float *rows, const float *panel,
                                                       uint32_t dim, const float *start, float *out)
{
    __m256 sum[TILE_ROWS][PANEL_WIDTH];
    begin(height, width, start, sum);
    multiply(height, width, rows, panel, dim, NULL, sum);
    store(height, width, sum, out);
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

/* --- scores that are looked at before they are stored */

typedef struct scan_view {
    td__scan_panel panel;
    fetching ahead;
} scan_view;

/* Of the comparisons in `passes`, bits from `shift` on; the scores go where somebody may read them. */
static inline __attribute__((always_inline)) void scan_tile(uint32_t height, uint32_t width,
                                                            const float *rows, scan_view *view,
                                                            uint32_t shift, const float *thresholds,
                                                            float *out, uint64_t *masks)
{
    __m256 sum[TILE_ROWS][PANEL_WIDTH], any = _mm256_setzero_ps();
    const td__scan_panel *panel = &view->panel;
    begin(height, width, panel->start == NULL ? NULL : panel->start + shift, sum);
    multiply(height, width, rows, panel->items + shift, panel->dim, &view->ahead, sum);
    for (uint32_t r = 0; r < height; r++) {
        __m256 threshold = _mm256_broadcast_ss(thresholds + r);
        for (uint32_t w = 0; w < width; w++) {
            any = _mm256_or_ps(any, _mm256_cmp_ps(sum[r][w], threshold, _CMP_NLE_UQ));
        }
    }
    if (_mm256_testz_ps(any, any)) return; /* nearly always */
    store(height, width, sum, out + shift);
    for (uint32_t r = 0; r < height; r++) {
        __m256 threshold = _mm256_broadcast_ss(thresholds + r);
        for (uint32_t w = 0; w < width; w++) {
            int bits = _mm256_movemask_ps(_mm256_cmp_ps(sum[r][w], threshold, _CMP_NLE_UQ));
            masks[r] |= (uint64_t)(uint32_t)bits << (shift + w * LANES);
        }
    }
}

static inline __attribute__((always_inline)) void scan_strip(uint32_t height, uint32_t width,
                                                             const float *rows, scan_view *view,
                                                             const float *thresholds, float *out,
                                                             uint64_t *masks)
{
    for (uint32_t r = 0; r < height; r++) masks[r] = 0;
    for (uint32_t j = 0; j < TD__PANEL; j += width * LANES) {
        scan_tile(height, width, rows, view, j, thresholds, out, masks);
    }
}

/* Bytes to fetch at each dimension of each tile, so that all are asked for by the last. */
static fetching plan_fetching(const td__scan_panel *panel, uint32_t row_count)
{
    static const uint8_t strips_of_rest[TILE_ROWS] = {0, 1, 2, 2, 2, 3};
    uint32_t tiles = row_count / TILE_ROWS * 3 + strips_of_rest[row_count % TILE_ROWS];
    if (panel->next_bytes == 0 || tiles == 0) return (fetching){.at = (const char *)panel->items};
    return (fetching){.at = panel->next, .step = panel->next_bytes / (tiles * panel->dim) + 1};
}

static void scan_panel(const td__scan_panel *panel, const float *rows, uint32_t row_count,
                       const float *thresholds, float *out, uint64_t *masks)
{
    scan_view view = {.panel = *panel, .ahead = plan_fetching(panel, row_count)};
    uint32_t r = 0;
    for (; r + TILE_ROWS <= row_count; r += TILE_ROWS) {
        scan_strip(TILE_ROWS, TILE_WIDTH, rows + (size_t)r * panel->dim, &view, thresholds + r,
                   out + (size_t)r * TD__PANEL, masks + r);
    }
    rows += (size_t)r * panel->dim;
    thresholds += r;
    out += (size_t)r * TD__PANEL;
    masks += r;
    switch (row_count - r) {
    case 5:
        scan_strip(5, 2, rows, &view, thresholds, out, masks);
        break;
    case 4:
        scan_strip(4, 3, rows, &view, thresholds, out, masks);
        break;
    case 3:
        scan_strip(3, 3, rows, &view, thresholds, out, masks);
        break;
    case 2:
        scan_strip(2, 3, rows, &view, thresholds, out, masks);
        break;
    case 1:
        scan_strip(1, 6, rows, &view, thresholds, out, masks);
        break;
    default:
        break;
    }
}

/* Both panels in step: two streams from memory come a fifth faster than one (docs/speed.md), and bytes
 * that are asked for ahead come slower than those that the processor sees coming. */
static void scan_two(const float *items, uint32_t dim, const float *row, float threshold, float *out,
                     uint64_t masks[2])
{
    const float *second = items + (size_t)dim * TD__PANEL;
    __m256 sum[2 * PANEL_WIDTH], least = _mm256_set1_ps(threshold);
    for (uint32_t w = 0; w < 2 * PANEL_WIDTH; w++) sum[w] = _mm256_setzero_ps();
    for (uint32_t k = 0; k < dim; k++, items += TD__PANEL, second += TD__PANEL) {
        __m256 factor = _mm256_broadcast_ss(row + k);
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            sum[w] = _mm256_fmadd_ps(factor, _mm256_load_ps(items + w * LANES), sum[w]);
        }
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            __m256 *of = sum + PANEL_WIDTH + w;
            *of = _mm256_fmadd_ps(factor, _mm256_load_ps(second + w * LANES), *of);
        }
    }
    masks[0] = masks[1] = 0;
    for (uint32_t w = 0; w < 2 * PANEL_WIDTH; w++) {
        int bits = _mm256_movemask_ps(_mm256_cmp_ps(sum[w], least, _CMP_NLE_UQ));
        masks[w / PANEL_WIDTH] |= (uint64_t)(uint32_t)bits << (w % PANEL_WIDTH * LANES);
        _mm256_store_ps(out + w * LANES, sum[w]);
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
    .scan_panel = scan_panel,
    .scan_two = scan_two,
    .softmax = &td__softmax_avx2,
    .bf16 = &td__bf16_avx2,
    .quant = &td__quant_avx2,
    .keys = &td__keys_ref,
    .int8 = &td__int8_avx2,
    .gemm = &td__gemm_avx2,
};

#endif
