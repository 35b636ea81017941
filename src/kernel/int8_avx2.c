/* int8_avx2.c -- which products of small integers exceed a limit, 32 multiplications an instruction.
 *
 * Serves: stages 6 and 7. A tile is 6 rows by 16 items: 12 accumulators of 16-bit lanes, two registers
 * of items, one row's numbers, one of products: all 16 registers. One row alone goes over the whole
 * panel (6 accumulators), because then memory is the limit and should be read in order. */
#include "kernel/int8.h"

#if defined(__x86_64__)

#include <immintrin.h>
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

/* Bits of one tile into masks [height], from bit `shift` on. Nearly always there are none. */
static inline __attribute__((always_inline)) void tile(uint32_t height, uint32_t width,
                                                       const tile_view *view, uint32_t shift,
                                                       const int32_t *limits, uint64_t *masks)
{
    __m256i sum[TILE_ROWS][PANEL_WIDTH], any = _mm256_setzero_si256();
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) sum[r][w] = _mm256_setzero_si256();
    }
    for (uint32_t first = 0; first < view->dim; first += TD__INT8_CHUNK) {
        add_chunk(height, width, view, first, sum);
    }
    for (uint32_t r = 0; r < height; r++) {
        __m256i limit = _mm256_set1_epi32(limits[r]);
        for (uint32_t w = 0; w < width; w++) {
            sum[r][w] = _mm256_cmpgt_epi32(sum[r][w], limit);
            any = _mm256_or_si256(any, sum[r][w]);
        }
    }
    if (_mm256_testz_si256(any, any)) return;
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < width; w++) {
            int bits = _mm256_movemask_ps(_mm256_castsi256_ps(sum[r][w]));
            masks[r] |= (uint64_t)(uint32_t)bits << (shift + w * LANES);
        }
    }
}

/* The whole panel for `height` rows. */
static inline __attribute__((always_inline)) void strip(uint32_t height, uint32_t width,
                                                        tile_view view, const int32_t *limits,
                                                        uint64_t *masks)
{
    for (uint32_t r = 0; r < height; r++) masks[r] = 0;
    for (uint32_t j = 0; j < TD__PANEL; j += width * LANES) {
        tile(height, width, &view, j, limits, masks);
        view.panel += width * LANES * TD__INT8_STEP;
    }
}

static tile_view view_from(const td__int8_rows *rows, uint32_t row, const uint8_t *panel)
{
    uint32_t words = td__int8_words(rows->dim);
    return (tile_view){.values = rows->values + (size_t)row * rows->dim,
                       .starts = rows->starts + (size_t)row * words,
                       .panel = panel,
                       .dim = rows->dim,
                       .words = words};
}

static void above(const td__int8_rows *rows, const uint8_t *panel, const int32_t *limits,
                  uint64_t *masks)
{
    uint32_t r = 0;
    for (; r + TILE_ROWS <= rows->count; r += TILE_ROWS) {
        strip(TILE_ROWS, TILE_WIDTH, view_from(rows, r, panel), limits + r, masks + r);
    }
    tile_view view = view_from(rows, r, panel);
    limits += r;
    masks += r;
    switch (rows->count - r) {
    case 5:
        strip(5, 2, view, limits, masks);
        break;
    case 4:
        strip(4, 2, view, limits, masks);
        break;
    case 3:
        strip(3, 3, view, limits, masks);
        break;
    case 2:
        strip(2, 3, view, limits, masks);
        break;
    case 1:
        strip(1, 6, view, limits, masks);
        break;
    default:
        break;
    }
}

const td__int8_kernels td__int8_avx2 = {.above = above};

#endif
