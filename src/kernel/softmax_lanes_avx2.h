/* softmax_lanes_avx2.h -- 8 floats a register (AVX2), and the blocks that its registers have room for.
 *
 * Serves: the softmax's files for this set, in float32 and in bfloat16. */
#ifndef TD_KERNEL_SOFTMAX_LANES_AVX2_H
#define TD_KERNEL_SOFTMAX_LANES_AVX2_H

#include <immintrin.h>

#define vec          __m256
#define load(at)     _mm256_load_ps(at)
#define store(at, x) _mm256_store_ps(at, x)
#define all(x)       _mm256_set1_ps(x)
#define zero()       _mm256_setzero_ps()
#define add(a, b)    _mm256_add_ps(a, b)
#define sub(a, b)    _mm256_sub_ps(a, b)
#define fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define larger(a, b) _mm256_max_ps(a, b)
#define smaller(a, b) _mm256_min_ps(a, b)
#define scale(p, shifted)                                                                          \
    _mm256_castsi256_ps(_mm256_add_epi32(                                                          \
        _mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)))

enum { LANES = 8, SCORE_ROWS = 4, GROUP = 6, GROUP_TAIL = 2 };

#endif
