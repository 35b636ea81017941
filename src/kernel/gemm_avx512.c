/* gemm_avx512.c -- rows times a packed matrix with 16 floats a register.
 *
 * Serves: gemm.c. Tiles of 12 rows x 32 columns. */
#include "kernel/gemm_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define vec          __m512
#define load(at)     _mm512_loadu_ps(at)
#define store(at, x) _mm512_storeu_ps(at, x)
#define all(x)       _mm512_set1_ps(x)
#define fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define larger(a, b) _mm512_max_ps(a, b)

enum { LANES = 16, GROUP = 12, SLICES = 2 };

#include "kernel/gemm_tiles_body.h"

#include "base/poison.h"

const td__gemm_kernels td__gemm_avx512 = {.product = product};

#endif
