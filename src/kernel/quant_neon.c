/* quant_neon.c -- scores of compressed vectors, 16 table entries an instruction.
 *
 * Serves: stage 7. Eight entries are added up as bytes, these sums as 16-bit numbers. */
#include "kernel/quant.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "kernel/quant_collect_body.h"
#include "kernel/quant_tables_body.h"
#include "kernel/quant_tables_plain.h"
#include "kernel/topk.h"

#include "base/poison.h"

enum { ROWS_AHEAD = 12 };

typedef struct sums16 {
    uint16x8_t first, second; /* of vectors 0 .. 7 and 8 .. 15 */
} sums16;

static inline void add_bytes(sums16 *sums, uint8x16_t bytes)
{
    sums->first = vaddw_u8(sums->first, vget_low_u8(bytes));
    sums->second = vaddw_high_u8(sums->second, bytes);
}

/* Add the entries of `blocks` <= TD__ENTRIES_BYTE blocks. */
static inline void add_blocks(sums16 *low, sums16 *high, const uint8_t *codes, const uint8_t *tables,
                              uint32_t blocks)
{
    const uint8x16_t nibble = vdupq_n_u8(15);
    uint8x16_t first = vdupq_n_u8(0), second = first;
    for (uint32_t b = 0; b < blocks; b++) {
        uint8x16_t bytes = vld1q_u8(codes + (size_t)b * 16), table = vld1q_u8(tables + (size_t)b * 16);
        first = vaddq_u8(first, vqtbl1q_u8(table, vandq_u8(bytes, nibble)));
        second = vaddq_u8(second, vqtbl1q_u8(table, vshrq_n_u8(bytes, 4)));
    }
    add_bytes(low, first);
    add_bytes(high, second);
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
    const uint32_t run = TD__ENTRIES_BYTE;
    const uint16x8_t least = vdupq_n_u16((uint16_t)(threshold > 65535 ? 65535 : threshold));
    for (uint32_t g = 0; g < groups; g++, sums += TD__GROUP, codes += (size_t)blocks * 16) {
        sums16 low = {vdupq_n_u16(0), vdupq_n_u16(0)}, high = low;
        for (uint32_t b = 0; b < blocks; b += run) {
            add_blocks(&low, &high, codes + (size_t)b * 16, tables + (size_t)b * 16,
                       blocks - b < run ? blocks - b : run);
        }
        masks[g] = finish(&low, least, sums) | finish(&high, least, sums + 16) << 16;
        if (threshold > 65535) masks[g] = 0;
    }
}

static inline int32_t dot_row(const int16_t *query, const int8_t *row, uint32_t dim)
{
    int32x4_t a = vdupq_n_s32(0), b = a;
    for (uint32_t k = 0; k < dim; k += 8) {
        int16x8_t q = vld1q_s16(query + k), r = vmovl_s8(vld1_s8(row + k));
        a = vmlal_s16(a, vget_low_s16(q), vget_low_s16(r));
        b = vmlal_high_s16(b, q, r);
    }
    return vaddvq_s32(vaddq_s32(a, b));
}

static void key_rows(const int16_t *query, const td__scaled_rows *rows, td__rows_by_number which,
                     uint64_t *keys)
{
    uint32_t dim = rows->dim;
    for (uint64_t i = 0; i < which.count; i++) {
        uint32_t n = which.numbers[i];
        uint32_t next = which.numbers[i + ROWS_AHEAD < which.count ? i + ROWS_AHEAD : which.count - 1];
        __builtin_prefetch(rows->scales + next);
        for (uint32_t k = 0; k < dim; k += 64) {
            __builtin_prefetch(rows->rows + (uint64_t)next * dim + k);
        }
        int32_t product = dot_row(query, rows->rows + (uint64_t)n * dim, dim);
        keys[i] = td__key_make((float)product * rows->scales[n], n);
    }
}

static inline float32x4_t score_four(const float *query, const float *const *rows, uint32_t dim)
{
    float32x4_t sums = vdupq_n_f32(0.0f);
    uint32_t k = 0;
    for (; k + 4 <= dim; k += 4) {
        float32x4_t a = vld1q_f32(rows[0] + k), b = vld1q_f32(rows[1] + k);
        float32x4_t c = vld1q_f32(rows[2] + k), d = vld1q_f32(rows[3] + k), q = vld1q_f32(query + k);
        float64x2_t ab = vreinterpretq_f64_f32(vtrn1q_f32(a, b));
        float64x2_t cd = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
        float64x2_t ab2 = vreinterpretq_f64_f32(vtrn2q_f32(a, b));
        float64x2_t cd2 = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
        sums = vfmaq_laneq_f32(sums, vreinterpretq_f32_f64(vtrn1q_f64(ab, cd)), q, 0);
        sums = vfmaq_laneq_f32(sums, vreinterpretq_f32_f64(vtrn1q_f64(ab2, cd2)), q, 1);
        sums = vfmaq_laneq_f32(sums, vreinterpretq_f32_f64(vtrn2q_f64(ab, cd)), q, 2);
        sums = vfmaq_laneq_f32(sums, vreinterpretq_f32_f64(vtrn2q_f64(ab2, cd2)), q, 3);
    }
    for (; k < dim; k++) {
        const float column[4] = {rows[0][k], rows[1][k], rows[2][k], rows[3][k]};
        sums = vfmaq_n_f32(sums, vld1q_f32(column), query[k]);
    }
    return sums;
}

static void score_rows(const float *query, const float *rows, uint32_t dim, td__rows_by_number which,
                       float *scores)
{
    const float *four[4];
    float sums[4];
    for (uint64_t i = 0; i < which.count; i += 4) {
        uint64_t some = which.count - i < 4 ? which.count - i : 4;
        for (uint64_t j = 0; j < 4; j++) {
            four[j] = rows + (uint64_t)which.numbers[i + (j < some ? j : 0)] * dim;
        }
        vst1q_f32(sums, score_four(query, four, dim));
        for (uint64_t j = 0; j < some; j++) scores[i + j] = sums[j];
    }
}

const td__quant_kernels td__quant_neon = {
    .make_tables = make_tables,
    .sum_codes = sum_codes,
    .collect = collect,
    .key_rows = key_rows,
    .score_rows = score_rows,
};

#endif
