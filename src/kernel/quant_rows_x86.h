/* quant_rows_x86.h -- what the x86-64 sets of quant.h share: going through rows by their numbers.
 *
 * Serves: stage 7. For files that are compiled for AVX2 and more. */
#ifndef TD_KERNEL_QUANT_ROWS_X86_H
#define TD_KERNEL_QUANT_ROWS_X86_H

#include "kernel/quant.h"

#if defined(__AVX2__)

#include <immintrin.h>

enum { TD__ROWS_AHEAD = 12 /* rows of small integers are fetched this early */ };

/* Past the end: the last row once more. */
static inline uint32_t td__row_number(td__rows_by_number which, uint64_t i)
{
    return which.numbers[i < which.count ? i : which.count - 1];
}

static inline void td__prefetch_row(const int8_t *rows, uint32_t dim, td__rows_by_number which,
                                    uint64_t i)
{
    const int8_t *row = rows + (uint64_t)td__row_number(which, i) * dim;
    for (uint32_t k = 0; k < dim; k += 64) _mm_prefetch(row + k, _MM_HINT_T0);
}

/* The first `count` of four numbers, or all. */
static inline void td__store_some(int32_t *to, __m128i four, uint64_t count)
{
    const __m128i places = _mm_setr_epi32(0, 1, 2, 3);
    __m128i wanted = _mm_cmpgt_epi32(_mm_set1_epi32(count < 4 ? (int)count : 4), places);
    _mm_maskstore_epi32(to, wanted, four);
}

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

static inline __m256 td__score_eight(const float *query, const float *const *rows, uint32_t dim)
{
    __m256 sums = _mm256_setzero_ps(), columns[8];
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

static void td__score_rows_x86(const float *query, const float *rows, uint32_t dim,
                               td__rows_by_number which, float *scores)
{
    const float *eight[8];
    for (uint64_t i = 0; i < which.count; i += 8) {
        for (uint64_t j = 0; j < 8; j++) {
            eight[j] = rows + (uint64_t)td__row_number(which, i + j) * dim;
        }
        __m256 sums = td__score_eight(query, eight, dim);
        __m128i first = _mm_castps_si128(_mm256_castps256_ps128(sums));
        td__store_some((int32_t *)scores + i, first, which.count - i);
        if (which.count - i <= 4) return;
        first = _mm_castps_si128(_mm256_extractf128_ps(sums, 1));
        td__store_some((int32_t *)scores + i + 4, first, which.count - i - 4);
    }
}

#endif
#endif
