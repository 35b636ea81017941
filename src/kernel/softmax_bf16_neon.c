/* softmax_bf16_neon.c -- the loops of the softmax in bfloat16 with 4 floats a register (arm64), for
 * processors whose instructions multiply no pairs: each half becomes 4 floats.
 *
 * Serves: softmax_pairs.c. The bits of softmax_bf16_ref.c. */
#include "kernel/softmax_bf16.h"

#if defined(__aarch64__)

#include "kernel/softmax_lanes_neon.h"

#define terms float32x4_t
#define load_terms(at, half)    half_of(vld1q_u32(at), half)
#define all_terms(x, half)      half_of(vdupq_n_u32(x), half)
#define add_products(a, b, sum) vfmaq_f32(sum, a, b)

enum { HALVES = 2 };

/* The first (0) or second (1) numbers of 4 pairs. */
static inline float32x4_t half_of(uint32x4_t pairs, uint32_t half)
{
    return vreinterpretq_f32_u32(half == 0 ? vshlq_n_u32(pairs, 16)
                                           : vandq_u32(pairs, vdupq_n_u32(0xFFFF0000)));
}

#include "kernel/softmax_bf16_body.h"

/* td__bf16_of of 4 numbers. */
static inline uint32x4_t round_four(const float *at)
{
    float32x4_t number = vld1q_f32(at);
    uint32x4_t bits = vreinterpretq_u32_f32(number), upper = vshrq_n_u32(bits, 16);
    uint32x4_t half = vaddq_u32(vandq_u32(upper, vdupq_n_u32(1)), vdupq_n_u32(0x7FFF));
    uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, half), 16);
    uint32x4_t tiny = vcltq_f32(vabsq_f32(number), vdupq_n_f32(0x1p-126f));
    rounded = vbslq_u32(tiny, vandq_u32(upper, vdupq_n_u32(0x8000)), rounded);
    return vbslq_u32(vceqq_f32(number, number), rounded, vorrq_u32(upper, vdupq_n_u32(0x40)));
}

/* 8 numbers of two rows. */
static inline void round_columns(const float *weights, td__pair *along, td__pair *across)
{
    uint32x4_t row[2][2];
    for (uint32_t r = 0; r < 2; r++) {
        for (uint32_t w = 0; w < 2; w++) row[r][w] = round_four(weights + r * TD__PANEL + w * LANES);
        uint16x8_t packed = vcombine_u16(vmovn_u32(row[r][0]), vmovn_u32(row[r][1]));
        vst1q_u32(along + r * (TD__PANEL / 2), vreinterpretq_u32_u16(packed));
    }
    for (uint32_t w = 0; w < 2; w++) {
        vst1q_u32(across + w * LANES, vsliq_n_u32(row[0][w], row[1][w], 16));
    }
}

#include "kernel/softmax_bf16_round_body.h"

#include "base/poison.h"

const td__bf16_kernels td__bf16_neon = {
    .score = score,
    .keep = keep,
    .round = round_weights,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
