/* softmax_bf16_neonbf16.c -- the loops of the softmax in bfloat16 with BFDOT (ARMv8.6): 8 multiplications
 * and as many additions an instruction.
 *
 * Serves: softmax_pairs.c. Rounds sums otherwise than softmax_bf16_ref.c: see softmax_bf16.h. */
#include "kernel/softmax_bf16.h"

#if defined(__aarch64__)

#include "kernel/softmax_lanes_neon.h"

#define terms bfloat16x8_t
#define load_terms(at, half)    vreinterpretq_bf16_u32(vld1q_u32(at))
#define all_terms(x, half)      vreinterpretq_bf16_u32(vdupq_n_u32(x))
#define add_products(a, b, sum) vbfdotq_f32(sum, a, b)

enum { HALVES = 1 };

#include "kernel/softmax_bf16_body.h"

#include "base/poison.h"

/* BFCVTN rounds as td__bf16_of but for what is below 2^-126, which BFDOT takes for 0 all the same. */
static inline uint16x8_t round_eight(const float *at)
{
    bfloat16x8_t lower = vcvtq_low_bf16_f32(vld1q_f32(at));
    return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(lower, vld1q_f32(at + LANES)));
}

static void round_weights(const float *weights, uint32_t height, td__pair *along, td__pair *across)
{
    for (uint32_t r = 0; r < height; r += 2, weights += 2 * TD__PANEL, along += TD__PANEL) {
        for (uint32_t j = 0; j < TD__PANEL; j += 8) {
            uint16x8_t first = round_eight(weights + j), second = round_eight(weights + TD__PANEL + j);
            td__pair *to = along + j / 2, *pairs = across + (size_t)(r / 2) * TD__PANEL + j;
            vst1q_u32(to, vreinterpretq_u32_u16(first));
            vst1q_u32(to + TD__PANEL / 2, vreinterpretq_u32_u16(second));
            vst1q_u32(pairs, vreinterpretq_u32_u16(vzip1q_u16(first, second)));
            vst1q_u32(pairs + LANES, vreinterpretq_u32_u16(vzip2q_u16(first, second)));
        }
    }
}

const td__bf16_kernels td__bf16_neonbf16 = {
    .native = true,
    .score = score,
    .keep = keep,
    .round = round_weights,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
