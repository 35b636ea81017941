/* quant_neon.c -- scores of compressed vectors, 16 table entries an instruction.
 *
 * Serves: stage 7. */
#include "kernel/quant.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include "base/poison.h"

typedef struct sums16 {
    uint16x8_t first, second; /* of vectors 0 .. 7 and 8 .. 15 */
} sums16;

static inline void add_entries(sums16 *sums, uint8x16_t table, uint8x16_t codes)
{
    uint8x16_t entries = vqtbl1q_u8(table, codes);
    sums->first = vaddw_u8(sums->first, vget_low_u8(entries));
    sums->second = vaddw_high_u8(sums->second, entries);
}

static inline uint32_t finish_eight(uint16x8_t sums, uint16x8_t threshold, uint16_t *out)
{
    static const uint16_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    vst1q_u16(out, sums);
    return vaddvq_u16(vandq_u16(vcgeq_u16(sums, threshold), vld1q_u16(bit)));
}

static inline uint32_t finish(const sums16 *sums, uint16x8_t threshold, uint16_t *out)
{
    return finish_eight(sums->first, threshold, out)
           | finish_eight(sums->second, threshold, out + 8) << 8;
}

static void sum_codes(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks)
{
    const uint8x16_t nibble = vdupq_n_u8(15);
    const uint16x8_t least = vdupq_n_u16((uint16_t)(threshold > 65535 ? 65535 : threshold));
    for (uint32_t g = 0; g < groups; g++, sums += TD__GROUP) {
        sums16 low = {vdupq_n_u16(0), vdupq_n_u16(0)}, high = low;
        for (uint32_t b = 0; b < blocks; b++, codes += TD__GROUP / 2) {
            uint8x16_t bytes = vld1q_u8(codes), table = vld1q_u8(tables + (uint64_t)b * 16);
            add_entries(&low, table, vandq_u8(bytes, nibble));
            add_entries(&high, table, vshrq_n_u8(bytes, 4));
        }
        masks[g] = finish(&low, least, sums) | finish(&high, least, sums + 16) << 16;
        if (threshold > 65535) masks[g] = 0;
    }
}

static int32_t dot_row(const int16_t *query, const int8_t *row, uint32_t dim)
{
    int32x4_t a = vdupq_n_s32(0), b = a;
    for (uint32_t k = 0; k < dim; k += 8) {
        int16x8_t q = vld1q_s16(query + k), r = vmovl_s8(vld1_s8(row + k));
        a = vmlal_s16(a, vget_low_s16(q), vget_low_s16(r));
        b = vmlal_high_s16(b, q, r);
    }
    return vaddvq_s32(vaddq_s32(a, b));
}

const td__quant_kernels td__quant_neon = {
    .sum_codes = sum_codes,
    .dot_row = dot_row,
};

#endif
