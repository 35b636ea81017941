/* quant_rows_x86.h -- what the x86-64 sets of quant.h share: going through rows by their numbers.
 *
 * Serves: stage 7. For files that are compiled for AVX2 and more. */
#ifndef TD_KERNEL_QUANT_ROWS_X86_H
#define TD_KERNEL_QUANT_ROWS_X86_H

#include "kernel/quant.h"
#include "kernel/score_eight_x86.h"

#if defined(__AVX2__)

#include <immintrin.h>

enum { TD__ROWS_AHEAD = 12 /* rows of small integers are fetched this early */ };

/* Past the end: the last row once more. */
static inline uint32_t td__row_number(td__rows_by_number which, uint64_t i)
{
    return which.numbers[i < which.count ? i : which.count - 1];
}

static inline void td__prefetch_row(const td__scaled_rows *rows, td__rows_by_number which, uint64_t i)
{
    uint32_t n = td__row_number(which, i);
    const int8_t *row = rows->rows + (uint64_t)n * rows->dim;
    _mm_prefetch((const char *)(rows->scales + n), _MM_HINT_T0);
    for (uint32_t k = 0; k < rows->dim; k += 64) _mm_prefetch((const char *)row + k, _MM_HINT_T0);
}

/* The first `count` of four numbers, or all. */
static inline void td__store_some(int32_t *to, __m128i four, uint64_t count)
{
    const __m128i places = _mm_setr_epi32(0, 1, 2, 3);
    __m128i wanted = _mm_cmpgt_epi32(_mm_set1_epi32(count < 4 ? (int)count : 4), places);
    _mm_maskstore_epi32(to, wanted, four);
}

static void td__score_rows_x86(const float *query, const float *rows, uint32_t dim,
                               td__rows_by_number which, float *scores)
{
    const float *eight[8];
    for (uint64_t i = 0; i < which.count; i += 8) {
        for (uint64_t j = 0; j < 8; j++) {
            eight[j] = rows + (uint64_t)td__row_number(which, i + j) * dim;
        }
        __m256 sums = td__score_eight(query, eight, dim, _mm256_setzero_ps());
        __m128i first = _mm_castps_si128(_mm256_castps256_ps128(sums));
        td__store_some((int32_t *)scores + i, first, which.count - i);
        if (which.count - i <= 4) return;
        first = _mm_castps_si128(_mm256_extractf128_ps(sums, 1));
        td__store_some((int32_t *)scores + i + 4, first, which.count - i - 4);
    }
}

#endif
#endif
