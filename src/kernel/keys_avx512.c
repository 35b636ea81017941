/* keys_avx512.c -- choosing and sorting keys, eight an instruction.
 *
 * Serves: stages 6 and 7. */
#include "kernel/keys.h"

#if defined(__x86_64__)

#include <string.h>

#include "kernel/keys_lanes_avx512.h"

#include "base/poison.h"

enum { CHUNK = 512 /* keys that are parted at once */ };

/* No more than CHUNK: those above the pivot move forward in place, the others wait beside. So no load depends
 * on what was found before it. */
static uint64_t part_chunk(uint64_t *keys, uint64_t count, __m512i pivot)
{
    uint64_t others[CHUNK], front = 0, back = 0;
    for (uint64_t i = 0; i < count; i += 8) {
        __mmask8 lanes = td__lanes_first(count - i);
        __m512i some = _mm512_maskz_loadu_epi64(lanes, keys + i);
        __mmask8 above = _mm512_mask_cmpgt_epu64_mask(lanes, some, pivot);
        __mmask8 below = (__mmask8)(lanes & ~above);
        _mm512_mask_storeu_epi64(keys + front, lanes, _mm512_maskz_compress_epi64(above, some));
        _mm512_storeu_si512(others + back, _mm512_maskz_compress_epi64(below, some));
        front += (unsigned)__builtin_popcount(above);
        back += (unsigned)__builtin_popcount(below);
    }
    memcpy(keys + front, others, back * sizeof *keys);
    return front;
}

/* [first, middle) and [middle, end) of an array change places, in any order. */
static void exchange(uint64_t *keys, uint64_t first, uint64_t middle, uint64_t end)
{
    uint64_t count = middle - first < end - middle ? middle - first : end - middle;
    uint64_t *a = keys + first, *b = keys + end - count;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = a[i];
        a[i] = b[i];
        b[i] = key;
    }
}

static uint64_t part(uint64_t *keys, uint64_t count, uint64_t pivot)
{
    const __m512i pivots = _mm512_set1_epi64((long long)pivot);
    uint64_t front = 0;
    for (uint64_t at = 0; at < count; at += CHUNK) {
        uint64_t some = count - at < CHUNK ? count - at : CHUNK;
        uint64_t above = part_chunk(keys + at, some, pivots);
        exchange(keys, front, at, at + above);
        front += above;
    }
    return front;
}

static td__key_range range(const uint64_t *keys, uint64_t count)
{
    __m512i low = _mm512_set1_epi64(-1), high = _mm512_setzero_si512();
    for (uint64_t i = 0; i < count; i += 8) {
        __mmask8 lanes = td__lanes_first(count - i);
        __m512i some = _mm512_maskz_loadu_epi64(lanes, keys + i);
        low = _mm512_mask_min_epu64(low, lanes, low, some);
        high = _mm512_max_epu64(high, some);
    }
    return (td__key_range){_mm512_reduce_min_epu64(low), _mm512_reduce_max_epu64(high)};
}

/* A key goes to where as many are above it. */
static inline void sort_registers(uint64_t *keys, uint64_t count, int registers)
{
    __m512i all[TD__KEYS_FEW / 8];
    uint64_t copy[TD__KEYS_FEW];
    for (int r = 0; r < registers; r++) {
        uint64_t first = (uint64_t)r * 8;
        __mmask8 lanes = td__lanes_first(count < first ? 0 : count - first);
        all[r] = _mm512_maskz_loadu_epi64(lanes, keys + first);
        _mm512_storeu_si512(copy + first, all[r]);
    }
    for (uint64_t i = 0; i < count; i++) {
        __m512i one = _mm512_set1_epi64((long long)copy[i]);
        uint32_t above = 0;
        for (int r = 0; r < registers; r++) {
            above |= (uint32_t)_mm512_cmpgt_epu64_mask(all[r], one) << 8 * r;
        }
        keys[__builtin_popcount(above)] = copy[i];
    }
}

static void sort_few(uint64_t *keys, uint64_t count)
{
    if (count <= 8) sort_registers(keys, count, 1);
    else if (count <= 16) sort_registers(keys, count, 2);
    else sort_registers(keys, count, 4);
}

static void make(const float *scores, uint32_t count, uint64_t *keys)
{
    __m256i positions = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (uint32_t i = 0; i < count; i += 8) {
        __mmask8 lanes = td__lanes_first(count - i);
        __m256 some = _mm256_maskz_loadu_ps(lanes, scores + i);
        _mm512_mask_storeu_epi64(keys + i, lanes, td__keys_of_eight(some, positions));
        positions = _mm256_add_epi32(positions, _mm256_set1_epi32(8));
    }
}

/* Bins are found eight at a time, and counted one by one. */
static uint64_t count_bins(const uint64_t *keys, uint64_t count, const td__key_bins *bins, uint32_t edge)
{
    const __m512i top = _mm512_set1_epi64((long long)bins->top), last = _mm512_set1_epi64(bins->last);
    const __m512i edges = _mm512_set1_epi64(edge);
    const __m128i shift = _mm_cvtsi32_si128((int)bins->shift);
    uint32_t *counts = bins->counts, found[8];
    uint64_t above = 0;
    for (uint64_t i = 0; i < count; i += 8) {
        __mmask8 lanes = td__lanes_first(count - i);
        __m512i below = _mm512_sub_epi64(top, _mm512_srli_epi64(_mm512_maskz_loadu_epi64(lanes, keys + i), 32));
        __m512i bin = _mm512_min_epu64(_mm512_srl_epi64(below, shift), last);
        above += (unsigned)__builtin_popcount(_mm512_mask_cmple_epu64_mask(lanes, bin, edges));
        _mm256_storeu_si256((__m256i *)found, _mm512_cvtepi64_epi32(bin));
        uint64_t some = count - i < 8 ? count - i : 8;
        for (uint64_t j = 0; j < some; j++) counts[found[j]]++;
    }
    return above;
}

const td__key_kernels td__keys_avx512 = {
    .few = TD__KEYS_FEW,
    .part = part,
    .range = range,
    .sort_few = sort_few,
    .make = make,
    .count = count_bins,
};

#endif
