/* int8_avx512.c -- which products of small integers exceed a limit, 64 multiplications an instruction.
 *
 * Serves: stages 6 and 7. A tile is 8 rows by the whole panel of 3 registers: 24 accumulators of 16-bit
 * lanes. For processors with AVX-512 but without VNNI. */
#include "kernel/int8.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

enum { LANES = 16, TILE_ROWS = 8, WIDTH = TD__PANEL / LANES };

static inline __m512i four_numbers(const int8_t *values)
{
    int32_t word;
    memcpy(&word, values, sizeof word);
    return _mm512_set1_epi32(word);
}

/* Products of `height` rows and the panel over one chunk from dimension `first` on, in 16-bit lanes,
 * then added to `sum`. The height is a constant where this is called. */
static inline __attribute__((always_inline)) void add_chunk(uint32_t height, const td__int8_rows *rows,
                                                            uint32_t row, const uint8_t *panel,
                                                            uint32_t first, __m512i sum[][WIDTH])
{
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i lanes[TILE_ROWS][WIDTH];
    uint32_t left = rows->dim - first, count = left < TD__INT8_CHUNK ? left : TD__INT8_CHUNK;
    const int32_t *starts = rows->starts + (size_t)row * td__int8_words(rows->dim);
    const int8_t *values = rows->values + (size_t)row * rows->dim;
    panel += (size_t)first * TD__PANEL;
    for (uint32_t r = 0; r < height; r++) {
        int32_t start = starts[r * td__int8_words(rows->dim) + first / TD__INT8_CHUNK];
        for (uint32_t w = 0; w < WIDTH; w++) lanes[r][w] = _mm512_set1_epi32(start);
    }
    for (uint32_t k = first; k < first + count; k += TD__INT8_STEP) {
        __m512i items[WIDTH];
        for (uint32_t w = 0; w < WIDTH; w++) {
            items[w] = _mm512_load_si512(panel + (size_t)w * LANES * TD__INT8_STEP);
        }
        for (uint32_t r = 0; r < height; r++) {
            __m512i numbers = four_numbers(values + (size_t)r * rows->dim + k);
            for (uint32_t w = 0; w < WIDTH; w++) {
                lanes[r][w] = _mm512_add_epi16(lanes[r][w], _mm512_maddubs_epi16(items[w], numbers));
            }
        }
        panel += (size_t)TD__INT8_STEP * TD__PANEL;
    }
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < WIDTH; w++) {
            sum[r][w] = _mm512_add_epi32(sum[r][w], _mm512_madd_epi16(lanes[r][w], ones));
        }
    }
}

static inline __attribute__((always_inline)) void tile(uint32_t height, const td__int8_rows *rows,
                                                       uint32_t row, const uint8_t *panel,
                                                       const int32_t *limits, uint64_t *masks)
{
    __m512i sum[TILE_ROWS][WIDTH];
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < WIDTH; w++) sum[r][w] = _mm512_setzero_si512();
    }
    for (uint32_t first = 0; first < rows->dim; first += TD__INT8_CHUNK) {
        add_chunk(height, rows, row, panel, first, sum);
    }
    for (uint32_t r = 0; r < height; r++) {
        __m512i limit = _mm512_set1_epi32(limits[row + r]);
        uint64_t mask = 0;
        for (uint32_t w = 0; w < WIDTH; w++) {
            mask |= (uint64_t)_mm512_cmpgt_epi32_mask(sum[r][w], limit) << (w * LANES);
        }
        masks[row + r] = mask;
    }
}

#include "kernel/int8_above_body.h"

#include "base/poison.h"

const td__int8_kernels td__int8_avx512 = {.above = above};

#endif
