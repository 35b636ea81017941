/* score_eight_x86.h -- scores of eight vectors that lie anywhere, one in each lane of a register.
 *
 * Serves: stages 6 and 7. For files that are compiled for AVX2 and more. The vectors are turned round in
 * registers, so that each score stays the one chain that it is everywhere (kernel.h). */
#ifndef TD_KERNEL_SCORE_EIGHT_X86_H
#define TD_KERNEL_SCORE_EIGHT_X86_H

#if defined(__AVX2__)

#include <immintrin.h>
#include <stdint.h>

/* Eight numbers of each of eight rows become eight numbers, one of each row, eight times. */
static inline void td__transpose_eight(const float *const *rows, uint32_t at, __m256 *out)
{
    __m256 pairs[8], fours[8];
    for (int i = 0; i < 4; i++) {
        __m256 a = _mm256_loadu_ps(rows[2 * i] + at), b = _mm256_loadu_ps(rows[2 * i + 1] + at);
        pairs[2 * i] = _mm256_unpacklo_ps(a, b);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(a, b);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int half = 0; half < 2; half++) {
            __m256 a = pairs[i + half], b = pairs[i + half + 2];
            fours[i + 2 * half] = _mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 1, 0));
            fours[i + 2 * half + 1] = _mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 2, 3, 2));
        }
    }
    for (int i = 0; i < 4; i++) {
        out[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
        out[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
}

/* Eight chains side by side, from `sums` on. */
static inline __m256 td__score_eight(const float *query, const float *const *rows, uint32_t dim,
                                     __m256 sums)
{
    __m256 columns[8];
    uint32_t k = 0;
    for (; k + 8 <= dim; k += 8) {
        td__transpose_eight(rows, k, columns);
        for (uint32_t j = 0; j < 8; j++) {
            sums = _mm256_fmadd_ps(_mm256_broadcast_ss(query + k + j), columns[j], sums);
        }
    }
    for (; k < dim; k++) {
        __m256 column = _mm256_setr_ps(rows[0][k], rows[1][k], rows[2][k], rows[3][k], rows[4][k],
                                       rows[5][k], rows[6][k], rows[7][k]);
        sums = _mm256_fmadd_ps(_mm256_broadcast_ss(query + k), column, sums);
    }
    return sums;
}

#endif
#endif
