/* int8.h -- which products of small integers exceed a limit: the filter in front of exact scores.
 *
 * Serves: stages 6 and 7. int8_ref.c is plain C and the specification; all sets give equal answers.
 *
 * A row is a query in integers v, |v| <= 64; a panel has 48 items in integers u, |u| <= 127, kept as
 * u + 128. Without the instructions for it (VNNI), x86 multiplies bytes fastest by adding pairs of
 * products into 16 bits. That is right only where neither a pair nor a sum overflows:
 *   - a pair is at most 2 * 255 * 64 = 32640;
 *   - sums may wrap on the way if their last value fits. A lane of 16 bits adds up every other pair of
 *     a chunk of 128 dimensions; as the squares of its 64 u, and those of its 64 v, add up to at most
 *     181^2 each, its sum is at most 181^2 = 32761 (Cauchy-Schwarz).
 * Whoever makes rows and panels keeps to that (index/int8_items.c). */
#ifndef TD_KERNEL_INT8_H
#define TD_KERNEL_INT8_H

#include <stddef.h>
#include <stdint.h>

enum {
    TD__INT8_STEP = 4,    /* dimensions are padded with zeros to a multiple of it */
    TD__INT8_CHUNK = 128, /* dimensions whose sums fit 16 bits */
    TD__INT8_ZERO = 128,  /* how u = 0 is kept */
    TD__INT8_ITEM_MAX = 127,
    TD__INT8_QUERY_MAX = 64,
    TD__INT8_LENGTH_MAX = 181
};

/* Queries. `starts` make up for the 128 in the items: with S(..) = -128 times the sum of some v, word
 * c < chunks is S(lane 0 of chunk c) mod 2^16 and S(lane 1) in its upper half, the last word S(all).
 * Lane 0 of a chunk has the dimensions k with k mod 4 in {0, 1}, lane 1 the others. */
typedef struct td__int8_rows {
    const int8_t *values;  /* [count, dim] */
    const int32_t *starts; /* [count, td__int8_words(dim)] */
    uint32_t count, dim;
} td__int8_rows;

static inline uint32_t td__int8_chunks(uint32_t dim)
{
    return (dim + TD__INT8_CHUNK - 1) / TD__INT8_CHUNK;
}

static inline uint32_t td__int8_words(uint32_t dim)
{
    return td__int8_chunks(dim) + 1;
}

typedef struct td__int8_kernels {
    /* Bit j of masks[r] is set if <row r, item j> > limits[r]. panel [dim / 4, 48, 4], aligned to 64
     * bytes; limits, masks [rows->count]. */
    void (*above)(const td__int8_rows *rows, const uint8_t *panel, const int32_t *limits,
                  uint64_t *masks);

    /* `above` for one row and two panels: memory is the limit then, and gives more from two places. NULL:
     * no faster than one by one, or never seen to be. */
    void (*above_two)(const td__int8_rows *row, const uint8_t *const panels[2], int32_t limit,
                      uint64_t masks[2]);
} td__int8_kernels;

extern const td__int8_kernels td__int8_ref;
#if defined(__x86_64__)
extern const td__int8_kernels td__int8_avx2;
extern const td__int8_kernels td__int8_avx512;
extern const td__int8_kernels td__int8_avx512vnni;
#elif defined(__aarch64__)
extern const td__int8_kernels td__int8_neon;
extern const td__int8_kernels td__int8_neondot;
#endif

#endif
