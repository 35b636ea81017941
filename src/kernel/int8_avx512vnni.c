/* int8_avx512vnni.c -- which products of small integers exceed a limit, with VNNI: 64 multiplications
 * and as many additions an instruction, in 32 bits.
 *
 * Serves: stages 6 and 7. A tile is 8 rows by the whole panel of 3 registers: 24 accumulators. */
#include "kernel/int8.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernel/kernel.h"

enum { LANES = 16, TILE_ROWS = 8, WIDTH = TD__PANEL / LANES };

#ifndef TD__VNNI_BY_HAND /* a test that stands in for the instruction, where there is none */

/* sum += items * the 4 numbers at `row`, each lane of 4 bytes for itself. gcc 12 copies and stores the
 * accumulator of _mm512_dpbusd_epi32 at every use; it keeps that of this in its register. */
static inline __m512i add_products(__m512i sum, __m512i items, const int8_t *row)
{
    typedef int32_t __attribute__((may_alias, aligned(1))) any_word;
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(items), "m"(*(const any_word *)row));
    return sum;
}

#endif

/* `height` is a constant where this is called, so the loops over it vanish. */
static inline __attribute__((always_inline)) void tile(uint32_t height, const td__int8_rows *rows,
                                                       uint32_t row, const uint8_t *panel,
                                                       const int32_t *limits, uint64_t *masks)
{
    __m512i sum[TILE_ROWS][WIDTH];
    const int8_t *values = rows->values + (size_t)row * rows->dim;
    uint32_t words = td__int8_words(rows->dim);
    for (uint32_t r = 0; r < height; r++) {
        int32_t start = rows->starts[(size_t)(row + r) * words + words - 1];
        for (uint32_t w = 0; w < WIDTH; w++) sum[r][w] = _mm512_set1_epi32(start);
    }
    for (uint32_t k = 0; k < rows->dim; k += TD__INT8_STEP) {
        __m512i items[WIDTH];
        for (uint32_t w = 0; w < WIDTH; w++) {
            items[w] = _mm512_load_si512(panel + (size_t)w * LANES * TD__INT8_STEP);
        }
        for (uint32_t r = 0; r < height; r++) {
            const int8_t *numbers = values + (size_t)r * rows->dim + k;
            for (uint32_t w = 0; w < WIDTH; w++) sum[r][w] = add_products(sum[r][w], items[w], numbers);
        }
        panel += (size_t)TD__INT8_STEP * TD__PANEL;
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

const td__int8_kernels td__int8_avx512vnni = {.above = above};

#endif
