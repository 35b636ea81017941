/* gemm_avx2.c -- rows times a packed matrix with 8 floats a register and fused multiply-add.
 *
 * Serves: gemm.c. Tiles of 6 rows x 16 columns. */
#include "kernel/gemm_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define vec          __m256
#define load(at)     _mm256_loadu_ps(at)
#define store(at, x) _mm256_storeu_ps(at, x)
#define all(x)       _mm256_set1_ps(x)
#define fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define larger(a, b) _mm256_max_ps(a, b)

enum { LANES = 8, GROUP = 6, SLICES = 1 };

#include "kernel/gemm_tiles_body.h"

#include "base/poison.h"

const td__gemm_kernels td__gemm_avx2 = {.product = product};

#endif
