/* gemm_neon.c -- rows times a packed matrix with 4 floats a register (arm64).
 *
 * Serves: gemm.c. Tiles of 6 rows x 16 columns. */
#include "kernel/gemm_tiles.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define vec          float32x4_t
#define load(at)     vld1q_f32(at)
#define store(at, x) vst1q_f32(at, x)
#define all(x)       vdupq_n_f32(x)
#define fma(a, b, c) vfmaq_f32(c, a, b)
#define larger(a, b) larger_of(a, b)

/* a > b ? a : b; the instruction differs for what is not a number. */
static inline float32x4_t larger_of(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

enum { LANES = 4, GROUP = 6, SLICES = 1 };

#include "kernel/gemm_tiles_body.h"

#include "base/poison.h"

const td__gemm_kernels td__gemm_neon = {.product = product};

#endif
