/* bf16_by_hand.c -- the AVX512_BF16 loops of the softmax, for any machine with AVX-512.
 *
 * The kernel's own source, with its two instructions of that extension done step by step in plain C, as
 * Intel's manual defines them (vol. 2, VDPBF16PS, VCVTNE2PS2BF16). So its loops, offsets and shuffles are
 * tested where no processor has the extension (under tools/emulate-avx512 too); that the compiler and the
 * processor do these two right is not. */
#include "support/bf16_by_hand.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernel/cpu.h"

#define TD__BF16_BY_HAND
#define td__bf16_avx512bf16 bf16_by_hand

/* What is below 2^-126 is 0 for both instructions, whatever the mode of the processor. */
static float without_denormals(float number)
{
    return fabsf(number) < 0x1p-126f ? copysignf(0.0f, number) : number;
}

static float multiply_add(uint32_t a, uint32_t b, float sum)
{
    float first = without_denormals(td__bf16_value(a)), second = without_denormals(td__bf16_value(b));
    return without_denormals(fmaf(first, second, without_denormals(sum)));
}

static __m512 add_products(__m512i a, __m512i b, __m512 sum)
{
    uint32_t x[16], y[16];
    float s[16];
    _mm512_storeu_si512(x, a);
    _mm512_storeu_si512(y, b);
    _mm512_storeu_ps(s, sum);
    for (int i = 0; i < 16; i++) {
        s[i] = multiply_add(x[i] >> 16, y[i] >> 16, s[i]);
        s[i] = multiply_add(x[i] & 0xFFFF, y[i] & 0xFFFF, s[i]);
    }
    return _mm512_loadu_ps(s);
}

/* The second operand of the instruction is the lower half of the result. */
static __m512i round_two(__m512 first, __m512 second)
{
    float from[32];
    uint16_t to[32];
    _mm512_storeu_ps(from, first);
    _mm512_storeu_ps(from + 16, second);
    for (int i = 0; i < 32; i++) to[i] = (uint16_t)td__bf16_of(from[i]);
    return _mm512_loadu_si512(to);
}

#include "../../src/kernel/softmax_bf16_avx512bf16.c"

bool bf16_by_hand_available(void)
{
    return td__cpu_has_avx512();
}

#endif
