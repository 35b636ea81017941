/* softmax_lanes_avx512.h -- 16 floats a register (AVX-512), and the blocks that its registers have room for.
 *
 * Serves: the softmax's files for this set, in float32 and in bfloat16. */
#ifndef TD_KERNEL_SOFTMAX_LANES_AVX512_H
#define TD_KERNEL_SOFTMAX_LANES_AVX512_H

#include <immintrin.h>

#define vec          __m512
#define load(at)     _mm512_load_ps(at)
#define store(at, x) _mm512_store_ps(at, x)
#define all(x)       _mm512_set1_ps(x)
#define zero()       _mm512_setzero_ps()
#define add(a, b)    _mm512_add_ps(a, b)
#define sub(a, b)    _mm512_sub_ps(a, b)
#define fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define larger(a, b) _mm512_max_ps(a, b)
#define smaller(a, b) _mm512_min_ps(a, b)
#define scale(p, shifted)                                                                          \
    _mm512_castsi512_ps(_mm512_add_epi32(                                                          \
        _mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)))

enum { LANES = 16, SCORE_ROWS = 8, GROUP = 12, GROUP_TAIL = 4 };

#endif
