/* quant_avx512.c -- scores of compressed vectors, 64 table entries an instruction.
 *
 * Serves: stage 7. As quant_avx2.c, with four blocks of a group in a register. */
#include "kernel/quant.h"
#include "kernel/quant_rows_x86.h"

#if defined(__x86_64__)

#include <math.h>
#include <string.h>

#include "kernel/keys_lanes_avx512.h"
#include "kernel/quant_tables_body.h"

#include "base/poison.h"

/* --- tables */

static inline float td__block_entries(const float *codewords, const float *query, uint32_t width,
                                      float *entries, float *range)
{
    __m512 sums = _mm512_setzero_ps();
    for (uint32_t j = 0; j < width; j++) {
        __m512 values = _mm512_loadu_ps(codewords + (size_t)j * TD__CODE_VALUES);
        sums = _mm512_add_ps(sums, _mm512_mul_ps(_mm512_set1_ps(query[j]), values));
    }
    /* Smallest of eight in one half, largest in the other; then both at once. */
    __m256 a = _mm512_castps512_ps256(sums), b = _mm512_extractf32x8_ps(sums, 1);
    __m256 low = _mm256_min_ps(a, b), high = _mm256_max_ps(a, b);
    low = _mm256_min_ps(low, _mm256_permute2f128_ps(low, low, 1));
    high = _mm256_max_ps(high, _mm256_permute2f128_ps(high, high, 1));
    __m128 l = _mm256_castps256_ps128(low), h = _mm256_castps256_ps128(high);
    l = _mm_min_ps(l, _mm_movehl_ps(l, l));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    l = _mm_min_ss(l, _mm_movehdup_ps(l));
    h = _mm_max_ss(h, _mm_movehdup_ps(h));
    _mm512_storeu_ps(entries, _mm512_sub_ps(sums, _mm512_broadcastss_ps(l)));
    *range = _mm_cvtss_f32(h) - _mm_cvtss_f32(l);
    return _mm_cvtss_f32(l);
}

static inline void td__block_table(const float *entries, float scale, float most, uint8_t *table,
                                   uint32_t *sum, uint32_t *squares)
{
    __m512 steps = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(entries), _mm512_set1_ps(scale)),
                                 _mm512_set1_ps(0.5f));
    __m512i whole = _mm512_cvttps_epi32(_mm512_min_ps(steps, _mm512_set1_ps(most)));
    __m128i bytes = _mm512_cvtepi32_epi8(whole), sums = _mm_sad_epu8(bytes, _mm_setzero_si128());
    __m256i wide = _mm256_cvtepu8_epi16(bytes), pairs = _mm256_madd_epi16(wide, wide);
    __m128i all = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    all = _mm_add_epi32(all, _mm_shuffle_epi32(all, _MM_SHUFFLE(1, 0, 3, 2)));
    all = _mm_add_epi32(all, _mm_shuffle_epi32(all, _MM_SHUFFLE(2, 3, 0, 1)));
    _mm_storeu_si128((__m128i *)table, bytes);
    *sum = (uint32_t)(_mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4));
    *squares = (uint32_t)_mm_cvtsi128_si32(all);
}

/* --- sums */

/* Each quarter of the registers has one block of four: bytes of vectors 0 to 15, and of 16 to 31. Returns the
 * sums of the quarters as 16-bit numbers, vector by vector. */
static inline __m512i add_quarters(__m512i first, __m512i second)
{
    __m512i a = _mm512_add_epi16(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(first)),
                                 _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(first, 1)));
    __m512i b = _mm512_add_epi16(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(second)),
                                 _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(second, 1)));
    return _mm512_add_epi16(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xEE));
}

/* The sums of `blocks` <= 4 TD__ENTRIES_BYTE blocks of a group. */
static inline __m512i sum_blocks(const uint8_t *codes, const uint8_t *tables, uint32_t blocks)
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
    return add_quarters(first, second);
}

static inline __m512i sum_group(const uint8_t *codes, const uint8_t *tables, uint32_t blocks)
{
    const uint32_t run = 4 * TD__ENTRIES_BYTE;
    __m512i sums = _mm512_setzero_si512();
    uint32_t b = 0;
    for (; b + run <= blocks; b += run) {
        sums = _mm512_add_epi16(sums, sum_blocks(codes + (size_t)b * 16, tables + (size_t)b * 16, run));
    }
    if (b < blocks) {
        sums = _mm512_add_epi16(sums, sum_blocks(codes + (size_t)b * 16, tables + (size_t)b * 16,
                                                 blocks - b));
    }
    return sums;
}

static void sum_codes(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks)
{
    const __m512i least = _mm512_set1_epi16((short)(threshold > 65535 ? 65535 : threshold));
    for (uint32_t g = 0; g < groups; g++) {
        __m512i all = sum_group(codes + (size_t)g * blocks * 16, tables, blocks);
        _mm512_storeu_si512(sums + (size_t)g * TD__GROUP, all);
        masks[g] = threshold > 65535 ? 0 : _mm512_cmpge_epu16_mask(all, least);
    }
}

static inline uint64_t *write_eight(__m128i sums, uint32_t mask, __m512i keys, uint64_t *to)
{
    __m512i some = _mm512_add_epi64(keys, _mm512_slli_epi64(_mm512_cvtepu16_epi64(sums), 32));
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi64((__mmask8)mask, some));
    return to + __builtin_popcount(mask & 255);
}

static inline uint64_t *write_group(__m512i sums, uint32_t mask, uint64_t first_key, uint64_t *to)
{
    const __m512i eight = _mm512_set1_epi64(8);
    __m512i keys = _mm512_sub_epi64(_mm512_set1_epi64((long long)first_key),
                                    _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    to = write_eight(_mm512_castsi512_si128(sums), mask, keys, to);
    keys = _mm512_sub_epi64(keys, eight);
    to = write_eight(_mm512_extracti32x4_epi32(sums, 1), mask >> 8, keys, to);
    keys = _mm512_sub_epi64(keys, eight);
    to = write_eight(_mm512_extracti32x4_epi32(sums, 2), mask >> 16, keys, to);
    keys = _mm512_sub_epi64(keys, eight);
    return write_eight(_mm512_extracti32x4_epi32(sums, 3), mask >> 24, keys, to);
}

static uint64_t collect(const td__code_scan *scan, uint64_t *keys)
{
    const __m512i least = _mm512_set1_epi16((short)scan->least);
    uint64_t *end = keys;
    if (scan->least > 65535) return 0;
    for (uint32_t g = 0; g < scan->groups; g++) {
        __m512i sums = sum_group(scan->codes + (size_t)g * scan->blocks * 16, scan->tables, scan->blocks);
        uint32_t mask = _mm512_cmpge_epu16_mask(sums, least) & scan->live[g];
        if (mask == 0) continue;
        end = write_group(sums, mask, scan->first_key - (uint64_t)g * TD__GROUP, end);
    }
    return (uint64_t)(end - keys);
}

/* --- rows */

static inline __m512i dot_row(const int16_t *query, const int8_t *row, uint32_t dim)
{
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t k = 0; k < dim; k += TD__ROW_STEP) {
        __m512i r = _mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)(row + k)));
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_loadu_si512(query + k), r));
    }
    return sum;
}

/* In every quarter: what that quarter of each of four registers adds up to. */
static inline __m512i add_fours(const __m512i *sums)
{
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]),
                                 _mm512_unpackhi_epi32(sums[0], sums[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2], sums[3]),
                                 _mm512_unpackhi_epi32(sums[2], sums[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

static inline __m256i add_eights(const __m512i *sums)
{
    __m512i a = add_fours(sums), b = add_fours(sums + 4);
    __m256i first = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    __m256i second = _mm256_add_epi32(_mm512_castsi512_si256(b), _mm512_extracti64x4_epi64(b, 1));
    return _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                            _mm256_permute2x128_si256(first, second, 0x31));
}

static void key_rows(const int16_t *query, const td__scaled_rows *rows, td__rows_by_number which,
                     uint64_t *keys)
{
    for (uint64_t i = 0; i < which.count; i += 8) {
        __m512i sums[8];
        for (uint64_t j = 0; j < 8; j++) {
            td__prefetch_row(rows, which, i + j + TD__ROWS_AHEAD);
            sums[j] = dot_row(query, rows->rows + (uint64_t)td__row_number(which, i + j) * rows->dim,
                              rows->dim);
        }
        __mmask8 lanes = td__lanes_first(which.count - i);
        __m256i numbers = _mm256_maskz_loadu_epi32(lanes, which.numbers + i);
        __m256 scales = _mm512_mask_i64gather_ps(_mm256_setzero_ps(), lanes,
                                                 _mm512_cvtepu32_epi64(numbers), rows->scales, 4);
        __m256 scores = _mm256_mul_ps(_mm256_cvtepi32_ps(add_eights(sums)), scales);
        _mm512_mask_storeu_epi64(keys + i, lanes, td__keys_of_eight(scores, numbers));
    }
}

const td__quant_kernels td__quant_avx512 = {
    .make_tables = make_tables,
    .sum_codes = sum_codes,
    .collect = collect,
    .key_rows = key_rows,
    .score_rows = td__score_rows_x86,
};

#endif
