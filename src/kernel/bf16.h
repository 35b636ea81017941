/* bf16.h -- numbers of 16 bits with the range of float32 (bfloat16), and pairs of them.
 *
 * Serves: the softmax in bfloat16 (softmax_bf16.h). A bfloat16 is the upper half of a float32: 8 bits of
 * mantissa instead of 24, so rounding changes a number by 2^-8 of itself at most. */
#ifndef TD_KERNEL_BF16_H
#define TD_KERNEL_BF16_H

#include <stdint.h>
#include <string.h>

/* Two numbers that are multiplied and added up together: the first in the lower half. */
typedef uint32_t td__pair;

/* The nearest bfloat16, of two the even one, as AVX512_BF16 rounds: infinity where the largest one,
 * 3.39e38, is passed by half a step; NaN stays NaN, made quiet; what float32 keeps with fewer bits
 * (below 2^-126) becomes a zero of its sign. */
static inline uint32_t td__bf16_of(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t size = bits & 0x7FFFFFFF, upper = bits >> 16;
    uint32_t rounded = (bits + 0x7FFF + (upper & 1)) >> 16;
    rounded = size < 0x00800000 ? upper & 0x8000 : rounded;
    return size > 0x7F800000 ? upper | 0x40 : rounded;
}

/* Exact. */
static inline float td__bf16_value(uint32_t bf16)
{
    uint32_t bits = bf16 << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static inline td__pair td__pair_of(float first, float second)
{
    return td__bf16_of(first) | td__bf16_of(second) << 16;
}

#endif
