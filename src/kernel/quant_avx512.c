/* quant_avx512.c -- scores of compressed vectors, 64 table entries an instruction.
 *
 * Serves: stage 7. As quant_avx2.c, with four blocks of a group in a register. */
#include "kernel/quant.h"
#include "kernel/quant_rows_x86.h"

#if defined(__x86_64__)

#include "base/poison.h"

typedef struct sums16 {
    __m512i both, odd;
} sums16;

static inline void add_bytes(sums16 *sums, __m512i bytes)
{
    sums->both = _mm512_add_epi16(sums->both, bytes);
    sums->odd = _mm512_add_epi16(sums->odd, _mm512_srli_epi16(bytes, 8));
}

/* Add the entries of `blocks` <= 4 TD__ENTRIES_BYTE blocks. */
static inline void add_blocks(sums16 *low, sums16 *high, const uint8_t *codes, const uint8_t *tables,
                              uint32_t blocks)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i first = _mm512_setzero_si512(), second = first;
    for (uint32_t b = 0; b < blocks; b += 4) {
        __m512i bytes = _mm512_load_si512(codes + (size_t)b * 16);
        __m512i table = _mm512_load_si512(tables + (size_t)b * 16);
        __m512i upper = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble);
        bytes = _mm512_shuffle_epi8(table, _mm512_and_si512(bytes, nibble));
        first = _mm512_add_epi8(first, bytes);
        second = _mm512_add_epi8(second, _mm512_shuffle_epi8(table, upper));
    }
    add_bytes(low, first);
    add_bytes(high, second);
}

static inline __m128i add_quarters(__m512i x)
{
    __m256i half = _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Write the sums of 16 vectors; returns the bits of those at or above the threshold. */
static inline uint32_t finish(const sums16 *sums, __m256i threshold, uint16_t *out)
{
    __m512i even = _mm512_sub_epi16(sums->both, _mm512_slli_epi16(sums->odd, 8));
    __m128i evens = add_quarters(even), odds = add_quarters(sums->odd);
    __m128i low = _mm_unpacklo_epi16(evens, odds), high = _mm_unpackhi_epi16(evens, odds);
    __m256i all = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    _mm256_storeu_si256((__m256i *)out, all);
    return _mm256_cmpge_epu16_mask(all, threshold);
}

static void sum_codes(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks)
{
    const uint32_t run = 4 * TD__ENTRIES_BYTE;
    const __m256i least = _mm256_set1_epi16((short)(threshold > 65535 ? 65535 : threshold));
    for (uint32_t g = 0; g < groups; g++, sums += TD__GROUP, codes += (size_t)blocks * 16) {
        sums16 low = {_mm512_setzero_si512(), _mm512_setzero_si512()}, high = low;
        uint32_t b = 0;
        for (; b + run <= blocks; b += run) {
            add_blocks(&low, &high, codes + (size_t)b * 16, tables + (size_t)b * 16, run);
        }
        if (b < blocks) {
            add_blocks(&low, &high, codes + (size_t)b * 16, tables + (size_t)b * 16, blocks - b);
        }
        masks[g] = finish(&low, least, sums) | finish(&high, least, sums + 16) << 16;
        if (threshold > 65535) masks[g] = 0;
    }
}

static inline int32_t dot_row(const int16_t *query, const int8_t *row, uint32_t dim)
{
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t k = 0; k < dim; k += TD__ROW_STEP) {
        __m512i r = _mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)(row + k)));
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_loadu_si512(query + k), r));
    }
    return _mm512_reduce_add_epi32(sum);
}

static void dot_rows(const int16_t *query, const int8_t *rows, uint32_t dim, td__rows_by_number which,
                     int32_t *products)
{
    for (uint64_t i = 0; i < which.count; i++) {
        td__prefetch_row(rows, dim, which, i + TD__ROWS_AHEAD);
        products[i] = dot_row(query, rows + (uint64_t)which.numbers[i] * dim, dim);
    }
}

const td__quant_kernels td__quant_avx512 = {
    .sum_codes = sum_codes,
    .dot_rows = dot_rows,
    .score_rows = td__score_rows_x86,
};

#endif
