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
    uint32_t dim, words;
} tile_view;

static inline __m256i four_numbers(const int8_t *values)
{
    int32_t word;
    memcpy(&word, values, sizeof word);
    return _mm256_set1_epi32(word);
}

/* Products of `height` rows and `width` registers of items over one chunk from dimension `first` on,
 * in 16-bit lanes, then added to `sum`. Heights and widths are constants where this is called, so the
 * loops over them vanish and accumulators live in registers. */
static inline __attribute__((always_inline)) void add_chunk(uint32_t height, uint32_t width,
                                                            const tile_view *view, uint32_t first,
                                                            __m256i sum[][PANEL_WIDTH])
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i lanes[TILE_ROWS][PANEL_WIDTH];
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
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            sum[r][w] = _mm256_add_epi32(sum[r][w], _mm256_madd_epi16(lanes[r][w], ones));
        }
    }
}

static inline __attribute__((always_inline)) uint64_t bits_above(uint32_t width, const __m256i *sum,
                                                                 int32_t limit)
{
    uint64_t bits = 0;
    for (uint32_t w = 0; w < width; w++) {
        __m256i above = _mm256_cmpgt_epi32(sum[w], _mm256_set1_epi32(limit));
        bits |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(above)) << (w * LANES);
    }
    return bits;
}

/* Is any product above its row's low limit? Nearly always none is. */
static inline __attribute__((always_inline)) bool any_above(uint32_t height, uint32_t width,
                                                            __m256i sum[][PANEL_WIDTH],
                                                            const int32_t *lows)
{
    __m256i any = _mm256_setzero_si256();
    for (uint32_t r = 0; r < height; r++) {
        __m256i limit = _mm256_set1_epi32(lows[r]);
        for (uint32_t w = 0; w < width; w++) {
            any = _mm256_or_si256(any, _mm256_cmpgt_epi32(sum[r][w], limit));
        }
    }
    return !_mm256_testz_si256(any, any);
}

/* One tile's bits, from bit `shift` on, into the masks of rows `row` and following. */
static inline __attribute__((always_inline)) void tile(uint32_t height, uint32_t width,
                                                       const tile_view *view, uint32_t shift,
                                                       uint32_t row, const td__int8_limits *limits)
{
    __m256i sum[TILE_ROWS][PANEL_WIDTH];
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) sum[r][w] = _mm256_setzero_si256();
    }
    for (uint32_t first = 0; first < view->dim; first += TD__INT8_CHUNK) {
        add_chunk(height, width, view, first, sum);
    }
    if (!any_above(height, width, sum, limits->lows + row)) return;
    for (uint32_t r = 0; r < height; r++) {
        limits->above_low[row + r] |= bits_above(width, sum[r], limits->lows[row + r]) << shift;
        if (limits->highs == NULL) continue;
        limits->above_high[row + r] |= bits_above(width, sum[r], limits->highs[row + r]) << shift;
    }
}

/* The whole panel for `height` rows. */
static inline __attribute__((always_inline)) void strip(uint32_t height, uint32_t width,
                                                        const td__int8_rows *rows, uint32_t row,
                                                        const uint8_t *panel,
                                                        const td__int8_limits *limits)
{
    uint32_t words = td__int8_words(rows->dim);
    tile_view view = {.values = rows->values + (size_t)row * rows->dim,
                      .starts = rows->starts + (size_t)row * words,
                      .panel = panel,
                      .dim = rows->dim,
                      .words = words};
    for (uint32_t r = row; r < row + height; r++) {
        limits->above_low[r] = 0;
        if (limits->highs != NULL) limits->above_high[r] = 0;
    }
    for (uint32_t j = 0; j < TD__PANEL; j += width * LANES) {
        tile(height, width, &view, j, row, limits);
        view.panel += width * LANES * TD__INT8_STEP;
    }
}

static void compare(const td__int8_rows *rows, const uint8_t *panel, const td__int8_limits *limits)
{
    uint32_t r = 0;
    for (; r + TILE_ROWS <= rows->count; r += TILE_ROWS) {
        strip(TILE_ROWS, TILE_WIDTH, rows, r, panel, limits);
    }
    switch (rows->count - r) {
    case 5:
        strip(5, 2, rows, r, panel, limits);
        break;
    case 4:
        strip(4, 2, rows, r, panel, limits);
        break;
    case 3:
        strip(3, 3, rows, r, panel, limits);
        break;
    case 2:
        strip(2, 3, rows, r, panel, limits);
        break;
    case 1:
        strip(1, 6, rows, r, panel, limits);
        break;
    default:
        break;
    }
}

const td__int8_kernels td__int8_avx2 = {.compare = compare};

#endif
