/* int8_neon.c -- which products of small integers exceed a limit, 8 multiplications an instruction
 * (every 64-bit ARM).
 *
 * Serves: stages 6 and 7. A register holds 4 items by 4 dimensions; each half of it is multiplied by
 * the row's 4 numbers, given twice, into 8 lanes of 16 bits. A lane adds up every fourth dimension of a
 * chunk, so its sum fits as the bound for every other pair says. A tile is 4 rows by 8 items. */
#include "kernel/int8.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "kernel/kernel.h"

#include "base/poison.h"

enum { TILE_ROWS = 4, WIDTH = 2, QUARTET = 16 };

static inline int8x8_t four_numbers(const int8_t *values)
{
    int32_t word;
    memcpy(&word, values, sizeof word);
    return vreinterpret_s8_s32(vdup_n_s32(word));
}

/* Products of `height` rows and 8 items over one chunk from dimension `first` on, added to `sum`. */
static inline __attribute__((always_inline)) void add_chunk(uint32_t height, const int8_t *values,
                                                            uint32_t dim, const uint8_t *panel,
                                                            uint32_t first, int32x4_t sum[][WIDTH])
{
    const uint8x16_t zero = vdupq_n_u8(TD__INT8_ZERO);
    int16x8_t lanes[TILE_ROWS][2 * WIDTH];
    uint32_t left = dim - first, count = left < TD__INT8_CHUNK ? left : TD__INT8_CHUNK;
    panel += (size_t)first * TD__PANEL;
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < 2 * WIDTH; w++) lanes[r][w] = vdupq_n_s16(0);
    }
    for (uint32_t k = first; k < first + count; k += TD__INT8_STEP) {
        int8x16_t items[WIDTH];
        for (uint32_t w = 0; w < WIDTH; w++) {
            items[w] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(panel + w * QUARTET), zero));
        }
        for (uint32_t r = 0; r < height; r++) {
            int8x8_t row = four_numbers(values + (size_t)r * dim + k);
            for (uint32_t w = 0; w < WIDTH; w++) {
                int16x8_t *pair = &lanes[r][2 * w];
                pair[0] = vmlal_s8(pair[0], vget_low_s8(items[w]), row);
                pair[1] = vmlal_s8(pair[1], vget_high_s8(items[w]), row);
            }
        }
        panel += (size_t)TD__INT8_STEP * TD__PANEL;
    }
    for (uint32_t r = 0; r < height; r++) {
        for (uint32_t w = 0; w < WIDTH; w++) {
            int32x4_t low = vpaddlq_s16(lanes[r][2 * w]), high = vpaddlq_s16(lanes[r][2 * w + 1]);
            sum[r][w] = vaddq_s32(sum[r][w], vpaddq_s32(low, high));
        }
    }
}

static inline uint64_t bits_above(int32x4_t sum, int32_t limit)
{
    static const uint32_t bit[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgtq_s32(sum, vdupq_n_s32(limit)), vld1q_u32(bit)));
}

static inline __attribute__((always_inline)) void tile(uint32_t height, const td__int8_rows *rows,
                                                       uint32_t row, const uint8_t *panel,
                                                       const int32_t *limits, uint64_t *masks)
{
    const int8_t *values = rows->values + (size_t)row * rows->dim;
    for (uint32_t r = 0; r < height; r++) masks[row + r] = 0;
    for (uint32_t j = 0; j < TD__PANEL; j += 4 * WIDTH, panel += WIDTH * QUARTET) {
        int32x4_t sum[TILE_ROWS][WIDTH];
        for (uint32_t r = 0; r < height; r++) {
            for (uint32_t w = 0; w < WIDTH; w++) sum[r][w] = vdupq_n_s32(0);
        }
        for (uint32_t first = 0; first < rows->dim; first += TD__INT8_CHUNK) {
            add_chunk(height, values, rows->dim, panel, first, sum);
        }
        for (uint32_t r = 0; r < height; r++) {
            for (uint32_t w = 0; w < WIDTH; w++) {
                masks[row + r] |= bits_above(sum[r][w], limits[row + r]) << (j + 4 * w);
            }
        }
    }
}

static void above(const td__int8_rows *rows, const uint8_t *panel, const int32_t *limits,
                  uint64_t *masks)
{
    uint32_t r = 0;
    for (; r + 4 <= rows->count; r += 4) tile(4, rows, r, panel, limits, masks);
    for (; r < rows->count; r++) tile(1, rows, r, panel, limits, masks);
}

const td__int8_kernels td__int8_neon = {.above = above};

#endif
