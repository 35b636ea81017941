/* int8_avx2.c -- which products of small integers exceed a limit, 32 multiplications an instruction.
 *
 * Serves: stages 6 and 7. A tile is 6 rows by 16 items: 12 accumulators of 16-bit lanes, two registers
 * of items, one row's numbers, one of products: all 16 registers. One row alone goes over the whole
 * panel (6 accumulators), because then memory is the limit and should be read in order. */
#include "kernel/int8.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/kernel.h"

#include "base/poison.h"

enum { LANES = 8, TILE_ROWS = 6, TILE_WIDTH = 2, PANEL_WIDTH = TD__PANEL / LANES };

typedef struct tile_view {
    const int8_t *values;
    const int32_t *starts;
    const uint8_t *panel;
    const int32_t *limits;
    uint32_t dim, words;
} tile_view;

static inline __m256i four_numbers(const int8_t *values)
{
    int32_t word;
    memcpy(&word, values, sizeof word);
    return _mm256_set1_epi32(word);
}

/* Products of `height` rows and `width` registers of items over one chunk from dimension `first` on,
 * in 16-bit lanes. Heights and widths are constants where this is called, so the loops over them vanish
 * and `lanes` live in registers. */
static inline __attribute__((always_inline)) void multiply(uint32_t height, uint32_t width,
                                                           const tile_view *view, uint32_t first,
                                                           __m256i lanes[][PANEL_WIDTH])
{
    uint32_t left = view->dim - first, count = left < TD__INT8_CHUNK ? left : TD__INT8_CHUNK;
    const uint8_t *panel = view->panel + (size_t)first * TD__PANEL;
    for (uint32_t r = 0; r < height; r++) {
        int32_t start = view->starts[r * view->words + first / TD__INT8_CHUNK];
        for (uint32_t w = 0; w < width; w++) lanes[r][w] = _mm256_set1_epi32(start);
    }
    for (uint32_t k = first; k < first + count; k += TD__INT8_STEP) {
        __m256i items[PANEL_WIDTH];
        for (uint32_t w = 0; w < width; w++) {
            items[w] = _mm256_load_si256((const __m256i *)(panel + w * LANES * TD__INT8_STEP));
        }
        for (uint32_t r = 0; r < height; r++) {
            __m256i row = four_numbers(view->values + (size_t)r * view->dim + k);
            for (uint32_t w = 0; w < width; w++) {
                lanes[r][w] = _mm256_add_epi16(lanes[r][w], _mm256_maddubs_epi16(items[w], row));
            }
        }
        panel += (size_t)TD__INT8_STEP * TD__PANEL;
    }
}

/* Sums of all chunks. Few vectors have more than one: then nothing needs to be kept beside the lanes. */
static inline __attribute__((always_inline)) void add_up(uint32_t height, uint32_t width,
                                                         const tile_view *view, bool one_chunk,
                                                         __m256i sum[][PANEL_WIDTH])
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i lanes[TILE_ROWS][PANEL_WIDTH];
    multiply(height, width, view, 0, lanes);
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) sum[r][w] = _mm256_madd_epi16(lanes[r][w], ones);
    }
    for (uint32_t first = TD__INT8_CHUNK; !one_chunk && first < view->dim; first += TD__INT8_CHUNK) {
        multiply(height, width, view, first, lanes);
        for (uint32_t r = 0; r < height; r++) {
            for (uint32_t w = 0; w < width; w++) {
                sum[r][w] = _mm256_add_epi32(sum[r][w], _mm256_madd_epi16(lanes[r][w], ones));
            }
        }
    }
}

/* Bits of one tile into masks [height], from bit `shift` on. Nearly always there are none. */
static inline __attribute__((always_inline)) void tile(uint32_t height, uint32_t width,
                                                       const tile_view *view, bool one_chunk,
                                                       uint32_t shift, uint64_t *masks)
{
    __m256i sum[TILE_ROWS][PANEL_WIDTH], any = _mm256_setzero_si256();
    add_up(height, width, view, one_chunk, sum);
    for (uint32_t r = 0; r < height; r++) {
        __m256i limit = _mm256_set1_epi32(view->limits[r]);
        for (uint32_t w = 0; w < width; w++) {
            sum[r][w] = _mm256_cmpgt_epi32(sum[r][w], limit);
            any = _mm256_or_si256(any, sum[r][w]);
        }
    }
    if (_mm256_testz_si256(any, any)) return;
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            __m256 passes = _mm256_castsi256_ps(sum[r][w]);
            masks[r] |= (uint64_t)(uint32_t)_mm256_movemask_ps(passes) << (shift + w * LANES);
        }
    }
}

/* The whole panel for `height` rows. */
static inline __attribute__((always_inline)) void strip(uint32_t height, uint32_t width,
                                                        tile_view view, uint64_t *masks)
{
    bool one_chunk = view.dim <= TD__INT8_CHUNK;
    for (uint32_t r = 0; r < height; r++) masks[r] = 0;
    for (uint32_t j = 0; j < TD__PANEL; j += width * LANES) {
        if (one_chunk) tile(height, width, &view, true, j, masks);
        else tile(height, width, &view, false, j, masks);
        view.panel += width * LANES * TD__INT8_STEP;
    }
}

static void above(const td__int8_rows *rows, const uint8_t *panel, const int32_t *limits,
                  uint64_t *masks)
{
    tile_view view = {.values = rows->values, .starts = rows->starts, .panel = panel,
                      .limits = limits, .dim = rows->dim, .words = td__int8_words(rows->dim)};
    uint32_t left = rows->count;
    for (; left >= TILE_ROWS; left -= TILE_ROWS) {
        strip(TILE_ROWS, TILE_WIDTH, view, masks);
        view.values += (size_t)TILE_ROWS * view.dim;
        view.starts += TILE_ROWS * view.words;
        view.limits += TILE_ROWS;
        masks += TILE_ROWS;
    }
    switch (left) {
    case 5:
        strip(5, 2, view, masks);
        break;
    case 4:
        strip(4, 2, view, masks);
        break;
    case 3:
        strip(3, 3, view, masks);
        break;
    case 2:
        strip(2, 3, view, masks);
        break;
    case 1:
        strip(1, 6, view, masks);
        break;
    default:
        break;
    }
}

/* Products of one row over one chunk of both panels, in 16-bit lanes. */
static inline __attribute__((always_inline)) void multiply_two(const tile_view *view,
                                                               const uint8_t *second,
                                                               __m256i lanes[][PANEL_WIDTH])
{
    const uint8_t *items = view->panel;
    for (uint32_t w = 0; w < PANEL_WIDTH; w++) lanes[0][w] = lanes[1][w] = _mm256_set1_epi32(*view->starts);
    for (uint32_t k = 0; k < view->dim; k += TD__INT8_STEP) {
        __m256i row = four_numbers(view->values + k);
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            size_t at = (size_t)(k * TD__PANEL + w * LANES * TD__INT8_STEP);
            __m256i first = _mm256_load_si256((const __m256i *)(items + at));
            __m256i other = _mm256_load_si256((const __m256i *)(second + at));
            lanes[0][w] = _mm256_add_epi16(lanes[0][w], _mm256_maddubs_epi16(first, row));
            lanes[1][w] = _mm256_add_epi16(lanes[1][w], _mm256_maddubs_epi16(other, row));
        }
    }
}

static void above_two(const td__int8_rows *row, const uint8_t *const panels[2], int32_t limit,
                      uint64_t masks[2])
{
    if (row->dim > TD__INT8_CHUNK) {
        for (uint32_t i = 0; i < 2; i++) above(row, panels[i], &limit, &masks[i]);
        return;
    }
    const __m256i ones = _mm256_set1_epi16(1), limits = _mm256_set1_epi32(limit);
    tile_view view = {.values = row->values, .starts = row->starts, .panel = panels[0], .dim = row->dim};
    __m256i lanes[2][PANEL_WIDTH];
    multiply_two(&view, panels[1], lanes);
    for (uint32_t i = 0; i < 2; i++) {
        masks[i] = 0;
        for (uint32_t w = 0; w < PANEL_WIDTH; w++) {
            __m256i passes = _mm256_cmpgt_epi32(_mm256_madd_epi16(lanes[i][w], ones), limits);
            int bits = _mm256_movemask_ps(_mm256_castsi256_ps(passes));
            masks[i] |= (uint64_t)(uint32_t)bits << (w * LANES);
        }
    }
}

const td__int8_kernels td__int8_avx2 = {.above = above, .above_two = above_two};

#endif
