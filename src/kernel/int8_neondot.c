/* int8_neondot.c -- which products of small integers exceed a limit, with the dot products of ARMv8.2:
 * 16 multiplications and additions an instruction, in 32 bits.
 *
 * Serves: stages 6 and 7. A tile is 8 rows by 12 items: 24 accumulators, 3 registers of items, one of a
 * row's numbers. */
#include "kernel/int8.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "kernel/kernel.h"

enum { TILE_ROWS = 8, WIDTH = 3, QUARTET = 16 };

static inline int8x16_t four_numbers(const int8_t *values)
{
    int32_t word;
    memcpy(&word, values, sizeof word);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

static inline uint64_t bits_above(int32x4_t sum, int32_t limit)
{
    static const uint32_t bit[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgtq_s32(sum, vdupq_n_s32(limit)), vld1q_u32(bit)));
}

/* `height` is a constant where this is called, so the loops over it vanish. */
static inline __attribute__((always_inline)) void tile(uint32_t height, const td__int8_rows *rows,
                                                       uint32_t row, const uint8_t *panel,
                                                       const int32_t *limits, uint64_t *masks)
{
    const uint8x16_t zero = vdupq_n_u8(TD__INT8_ZERO);
    const int8_t *values = rows->values + (size_t)row * rows->dim;
    for (uint32_t r = 0; r < height; r++) masks[row + r] = 0;
    for (uint32_t j = 0; j < TD__PANEL; j += 4 * WIDTH) {
        const uint8_t *at = panel + j * TD__INT8_STEP;
        int32x4_t sum[TILE_ROWS][WIDTH];
        for (uint32_t r = 0; r < height; r++) {
            for (uint32_t w = 0; w < WIDTH; w++) sum[r][w] = vdupq_n_s32(0);
        }
        for (uint32_t k = 0; k < rows->dim; k += TD__INT8_STEP) {
            int8x16_t items[WIDTH];
            for (uint32_t w = 0; w < WIDTH; w++) {
                items[w] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(at + w * QUARTET), zero));
            }
            for (uint32_t r = 0; r < height; r++) {
                int8x16_t numbers = four_numbers(values + (size_t)r * rows->dim + k);
                for (uint32_t w = 0; w < WIDTH; w++) sum[r][w] = vdotq_s32(sum[r][w], items[w], numbers);
            }
            at += (size_t)TD__INT8_STEP * TD__PANEL;
        }
        for (uint32_t r = 0; r < height; r++) {
            for (uint32_t w = 0; w < WIDTH; w++) {
                masks[row + r] |= bits_above(sum[r][w], limits[row + r]) << (j + 4 * w);
            }
        }
    }
}

#include "kernel/int8_above_body.h"

#include "base/poison.h"

const td__int8_kernels td__int8_neondot = {.above = above};

#endif
