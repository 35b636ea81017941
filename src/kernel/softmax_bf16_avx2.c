/* softmax_bf16_avx2.c -- the loops of the softmax in bfloat16 with 8 floats a register: no instruction
 * multiplies pairs, so each half becomes 8 floats. Slower than float32 (docs/speed.md).
 *
 * Serves: softmax_pairs.c. The bits of softmax_bf16_ref.c. */
#include "kernel/softmax_bf16.h"

#if defined(__x86_64__)

#include "kernel/softmax_lanes_avx2.h"

#define terms __m256
#define load_terms(at, half)    load_half(at, half)
#define all_terms(x, half)      all_half(&(x), half)
#define add_products(a, b, sum) _mm256_fmadd_ps(a, b, sum)

enum { HALVES = 2 };

/* The first (0) or second (1) numbers of 8 pairs. Two shifts: a mask would take a register from the sums. */
static inline __m256 half_of(__m256i pairs, uint32_t half)
{
    __m256i number = half == 0 ? pairs : _mm256_srli_epi32(pairs, 16);
    return _mm256_castsi256_ps(_mm256_slli_epi32(number, 16));
}

/* Nothing is loaded ahead of its turn: gcc would take up both halves at once, and have too few registers for
 * the sums. */
static inline __m256 all_half(const td__pair *at, uint32_t half)
{
    __asm__ volatile("" : : : "memory");
    return half_of(_mm256_set1_epi32((int)*at), half);
}

static inline __m256 load_half(const td__pair *at, uint32_t half)
{
    __asm__ volatile("" : : : "memory");
    return half_of(_mm256_load_si256((const __m256i *)(const void *)at), half);
}

#include "kernel/softmax_bf16_body.h"

/* td__bf16_of of 8 numbers. */
static inline __m256i round_eight(const float *at)
{
    __m256 number = _mm256_load_ps(at), no_sign = _mm256_set1_ps(-0.0f);
    __m256i bits = _mm256_castps_si256(number), upper = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    __m256 tiny = _mm256_cmp_ps(_mm256_andnot_ps(no_sign, number), _mm256_set1_ps(0x1p-126f), _CMP_LT_OQ);
    __m256i sign = _mm256_and_si256(upper, _mm256_set1_epi32(0x8000));
    __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    rounded = _mm256_blendv_epi8(rounded, sign, _mm256_castps_si256(tiny));
    __m256 none = _mm256_cmp_ps(number, number, _CMP_UNORD_Q);
    return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(none));
}

/* 16 numbers of two rows. */
static inline void round_columns(const float *weights, td__pair *along, td__pair *across)
{
    __m256i row[2][2];
    for (uint32_t r = 0; r < 2; r++) {
        for (uint32_t w = 0; w < 2; w++) row[r][w] = round_eight(weights + r * TD__PANEL + w * LANES);
        __m256i packed = _mm256_packus_epi32(row[r][0], row[r][1]);
        _mm256_store_si256((__m256i *)(void *)(along + r * (TD__PANEL / 2)),
                           _mm256_permute4x64_epi64(packed, 0xD8)); /* 0, 2, 1, 3 */
    }
    for (uint32_t w = 0; w < 2; w++) {
        __m256i pairs = _mm256_or_si256(row[0][w], _mm256_slli_epi32(row[1][w], 16));
        _mm256_store_si256((__m256i *)(void *)(across + w * LANES), pairs);
    }
}

#include "kernel/softmax_bf16_round_body.h"

#include "base/poison.h"

const td__bf16_kernels td__bf16_avx2 = {
    .score = score,
    .keep = keep,
    .round = round_weights,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
