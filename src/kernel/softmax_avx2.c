/* softmax_avx2.c -- the loops of the softmax with 8 floats a register and fused multiply-add.
 *
 * Serves: softmax.c. Blocks of 4 rows x 24 columns for scores, 6 x 16 for gradients. */
#include "kernel/softmax_tiles.h"

#if defined(__x86_64__)

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

#include "kernel/softmax_tiles_body.h"

#include "base/poison.h"

const td__softmax_kernels td__softmax_avx2 = {
    .score = score,
    .weigh = weigh,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
