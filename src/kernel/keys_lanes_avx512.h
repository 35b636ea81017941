/* keys_lanes_avx512.h -- eight keys in a register.
 *
 * Serves: stages 6 and 7. For files that are compiled for AVX-512. */
#ifndef TD_KERNEL_KEYS_LANES_AVX512_H
#define TD_KERNEL_KEYS_LANES_AVX512_H

#include <immintrin.h>
#include <stdint.h>

/* As td__key_make, eight times. */
static inline __m512i td__keys_of_eight(__m256 scores, __m256i positions)
{
    __m256 values = _mm256_add_ps(scores, _mm256_setzero_ps()); /* -0 + 0 is 0 */
    __mmask8 none = _mm256_cmp_ps_mask(scores, scores, _CMP_UNORD_Q);
    values = _mm256_mask_blend_ps(none, values, _mm256_set1_ps(-__builtin_inff()));
    __m256i bits = _mm256_castps_si256(values);
    __m256i flip = _mm256_or_si256(_mm256_srai_epi32(bits, 31), _mm256_set1_epi32(INT32_MIN));
    __m512i high = _mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm256_xor_si256(bits, flip)), 32);
    __m256i low = _mm256_xor_si256(positions, _mm256_set1_epi32(-1));
    return _mm512_or_si512(high, _mm512_cvtepu32_epi64(low));
}

/* The first `count` of eight lanes, or all. */
static inline __mmask8 td__lanes_first(uint64_t count)
{
    return (__mmask8)(count < 8 ? (1u << count) - 1 : 255u);
}

#endif
