/* quant_avx2.c -- scores of compressed vectors, 32 table entries an instruction.
 *
 * Serves: stage 7. A register holds two blocks of a group, one in each half, with their two tables
 * beside. The entries found are bytes; eight of them are added up as bytes, and these sums as 16-bit
 * numbers without being spread out first: `both` adds pairs of bytes as they are, `odd` the upper ones
 * alone, and the lower ones are both - 256 odd. */
#include "kernel/quant.h"
#include "kernel/quant_rows_x86.h"

#if defined(__x86_64__)

#include <math.h>
#include <string.h>

#include "kernel/quant_collect_body.h"
#include "kernel/quant_tables_body.h"
#include "kernel/quant_tables_plain.h"
#include "kernel/topk.h"

#include "base/poison.h"

typedef struct sums16 {
    __m256i both, odd;
} sums16;

static inline void add_bytes(sums16 *sums, __m256i bytes)
{
    sums->both = _mm256_add_epi16(sums->both, bytes);
    sums->odd = _mm256_add_epi16(sums->odd, _mm256_srli_epi16(bytes, 8));
}

/* Add the entries of `blocks` <= 2 TD__ENTRIES_BYTE blocks. */
static inline void add_blocks(sums16 *low, sums16 *high, const uint8_t *codes, const uint8_t *tables,
                              uint32_t blocks)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i first = _mm256_setzero_si256(), second = first;
    for (uint32_t b = 0; b < blocks; b += 2) {
        __m256i bytes = _mm256_load_si256((const __m256i *)(codes + (size_t)b * 16));
        __m256i table = _mm256_load_si256((const __m256i *)(tables + (size_t)b * 16));
        __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
        bytes = _mm256_shuffle_epi8(table, _mm256_and_si256(bytes, nibble));
        first = _mm256_add_epi8(first, bytes);
        second = _mm256_add_epi8(second, _mm256_shuffle_epi8(table, upper));
    }
    add_bytes(low, first);
    add_bytes(high, second);
}

static inline __m128i add_halves(__m256i x)
{
    return _mm_add_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* Write the sums of 16 vectors; returns the bits of those at or above the threshold. */
static inline uint32_t finish(const sums16 *sums, __m128i threshold, uint16_t *out)
{
    __m256i even = _mm256_sub_epi16(sums->both, _mm256_slli_epi16(sums->odd, 8));
    __m128i evens = add_halves(even), odds = add_halves(sums->odd);
    __m128i low = _mm_unpacklo_epi16(evens, odds), high = _mm_unpackhi_epi16(evens, odds);
    _mm_storeu_si128((__m128i *)out, low);
    _mm_storeu_si128((__m128i *)(out + 8), high);
    low = _mm_cmpeq_epi16(_mm_max_epu16(low, threshold), low);
    high = _mm_cmpeq_epi16(_mm_max_epu16(high, threshold), high);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
}

static void sum_codes(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks)
{
    const uint32_t run = 2 * TD__ENTRIES_BYTE;
    const __m128i least = _mm_set1_epi16((short)(threshold > 65535 ? 65535 : threshold));
    for (uint32_t g = 0; g < groups; g++, sums += TD__GROUP, codes += (size_t)blocks * 16) {
        sums16 low = {_mm256_setzero_si256(), _mm256_setzero_si256()}, high = low;
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

static inline __m256i dot_row(const int16_t *query, const int8_t *row, uint32_t dim)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    for (uint32_t k = 0; k < dim; k += TD__ROW_STEP) {
        __m256i r0 = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(row + k)));
        __m256i r1 = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(row + k + 16)));
        __m256i q0 = _mm256_load_si256((const __m256i *)(query + k));
        __m256i q1 = _mm256_load_si256((const __m256i *)(query + k + 16));
        a = _mm256_add_epi32(a, _mm256_madd_epi16(q0, r0));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(q1, r1));
    }
    return _mm256_add_epi32(a, b);
}

static void key_rows(const int16_t *query, const td__scaled_rows *rows, td__rows_by_number which,
                     uint64_t *keys)
{
    for (uint64_t i = 0; i < which.count; i += 4) {
        __m256i sums[4];
        int32_t four[4];
        for (uint64_t j = 0; j < 4; j++) {
            td__prefetch_row(rows, which, i + j + TD__ROWS_AHEAD);
            sums[j] = dot_row(query, rows->rows + (uint64_t)td__row_number(which, i + j) * rows->dim,
                              rows->dim);
        }
        __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                                          _mm256_hadd_epi32(sums[2], sums[3]));
        _mm_storeu_si128((__m128i *)four, _mm_add_epi32(_mm256_castsi256_si128(pairs),
                                                        _mm256_extracti128_si256(pairs, 1)));
        for (uint64_t j = 0; j < 4 && i + j < which.count; j++) {
            uint32_t n = which.numbers[i + j];
            keys[i + j] = td__key_make((float)four[j] * rows->scales[n], n);
        }
    }
}

const td__quant_kernels td__quant_avx2 = {
    .make_tables = make_tables,
    .sum_codes = sum_codes,
    .collect = collect,
    .key_rows = key_rows,
    .score_rows = td__score_rows_x86,
};

#endif
