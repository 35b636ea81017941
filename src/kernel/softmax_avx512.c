/* softmax_avx512.c -- the loops of the softmax with 16 floats a register.
 *
 * Serves: softmax.c. Blocks of 8 rows x 48 columns for scores, 12 x 32 for gradients. */
#include "kernel/softmax_tiles.h"

#if defined(__x86_64__)

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

#include "kernel/softmax_tiles_body.h"

#include "base/poison.h"

const td__softmax_kernels td__softmax_avx512 = {
    .score = score,
    .weigh = weigh,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
