/* softmax_lanes_neon.h -- 4 floats a register (NEON), and the blocks that its registers have room for.
 *
 * Serves: the softmax's files for this set, in float32 and in bfloat16. */
#ifndef TD_KERNEL_SOFTMAX_LANES_NEON_H
#define TD_KERNEL_SOFTMAX_LANES_NEON_H

#include <arm_neon.h>

#define vec               float32x4_t
#define load(at)          vld1q_f32(at)
#define store(at, x)      vst1q_f32(at, x)
#define all(x)            vdupq_n_f32(x)
#define zero()            vdupq_n_f32(0.0f)
#define add(a, b)         vaddq_f32(a, b)
#define sub(a, b)         vsubq_f32(a, b)
#define fma(a, b, c)      vfmaq_f32(c, a, b)
#define larger(a, b)      larger_of(a, b)
#define smaller(a, b)     smaller_of(a, b)
#define scale(p, shifted) scale_of(p, shifted)

/* a > b ? a : b and a < b ? a : b; the instructions differ for what is not a number. */
static inline float32x4_t larger_of(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline float32x4_t smaller_of(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline float32x4_t scale_of(float32x4_t p, float32x4_t shifted)
{
    uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23);
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), n));
}

enum { LANES = 4, SCORE_ROWS = 8, GROUP = 12, GROUP_TAIL = 4 };

#endif
