/* softmax_bf16_avx512bf16.c -- the loops of the softmax in bfloat16 with AVX512_BF16: 32 multiplications
 * and as many additions an instruction.
 *
 * Serves: softmax_pairs.c. The bits of softmax_bf16_ref.c but for sums below 2^-126, which the instruction
 * takes for 0. Blocks as in float32. */
#include "kernel/softmax_bf16.h"

#if defined(__x86_64__)

#include "kernel/softmax_lanes_avx512.h"

#define terms __m512i
#define load_terms(at, half) _mm512_load_si512(at)
#define all_terms(x, half)   _mm512_set1_epi32((int)(x))

enum { HALVES = 1 };

#ifndef TD__BF16_BY_HAND /* a test that stands in for the two instructions, where there are none */

/* sum + the products of 16 pairs, the second numbers first. */
static inline __m512 add_products(__m512i a, __m512i b, __m512 sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* td__bf16_of of 32 numbers: those of `first`, then those of `second`. */
static inline __m512i round_two(__m512 first, __m512 second)
{
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

#endif

#include "kernel/softmax_bf16_body.h"

#include "base/poison.h"

/* Two rows are rounded at once. Their halves are the rows; the two taken in turns are the pairs of rows. */
static void round_weights(const float *weights, uint32_t height, td__pair *along, td__pair *across)
{
    const __m512i in_turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                              23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (uint32_t r = 0; r < height; r += 2, weights += 2 * TD__PANEL, along += TD__PANEL) {
        for (uint32_t j = 0; j < TD__PANEL; j += LANES) {
            const float *row = weights + j;
            __m512i both = round_two(_mm512_load_ps(row), _mm512_load_ps(row + TD__PANEL));
            td__pair *to = along + j / 2;
            _mm256_store_si256((__m256i *)(void *)to, _mm512_castsi512_si256(both));
            _mm256_store_si256((__m256i *)(void *)(to + TD__PANEL / 2), _mm512_extracti64x4_epi64(both, 1));
            _mm512_store_si512(across + (size_t)(r / 2) * TD__PANEL + j,
                               _mm512_permutexvar_epi16(in_turns, both));
        }
    }
}

const td__bf16_kernels td__bf16_avx512bf16 = {
    .native = true,
    .score = score,
    .keep = keep,
    .round = round_weights,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
