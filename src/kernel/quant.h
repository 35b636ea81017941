/* quant.h -- scores of compressed vectors: tables of a query, sums of their entries, products of small
 * integers, and the exact scores of the few vectors that are left.
 *
 * Serves: stage 7. quant_ref.c is plain C and the specification; all sets do the same arithmetic, so
 * their results are equal, not close.
 *
 * Codes. A vector is cut into blocks, each block has a code of 4 bits. 32 vectors are a group:
 * 16 bytes a block, byte i holds the codes of vector i (low half) and vector i + 16 (high half).
 * The number of blocks is padded to a multiple of 4, so that a register of 64 bytes takes 4 of them.
 * Table entries are so small that eight of them add up in a byte: that is 1.4 times faster than adding
 * 16-bit numbers, and 32 steps lose less than a thousandth of the recall (docs/speed.md). */
#ifndef TD_KERNEL_QUANT_H
#define TD_KERNEL_QUANT_H

#include <stddef.h>
#include <stdint.h>

enum {
    TD__GROUP = 32,       /* vectors whose codes are together */
    TD__CODE_VALUES = 16,
    TD__ENTRY_MAX = 31,   /* of a table */
    TD__ENTRIES_BYTE = 8, /* so many add up in a byte */
    TD__BLOCKS_STEP = 4,  /* the number of blocks is a multiple of it */
    TD__ROW_STEP = 32,    /* numbers of a row of 8-bit integers: a multiple of it */
    TD__KEYS_SPARE = 8    /* keys are written so many at a time */
};

/* Rows of a table, by number. */
typedef struct td__rows_by_number {
    const uint32_t *numbers; /* [count] */
    uint64_t count;
} td__rows_by_number;

/* Rows of 8-bit integers, each with the length of its step. */
typedef struct td__scaled_rows {
    const int8_t *rows;  /* [*, dim], dim a multiple of TD__ROW_STEP; aligned to 32 bytes */
    const float *scales; /* [*] */
    uint32_t dim;
} td__scaled_rows;

/* Codes to look through, and what for. */
typedef struct td__code_scan {
    const uint8_t *codes;  /* [groups, blocks, 16] */
    const uint32_t *live;  /* [groups]: bit i is set if vector i counts */
    const uint8_t *tables; /* [blocks, 16] */
    uint32_t groups, blocks;
    uint32_t least;     /* smaller sums are not wanted */
    uint64_t first_key; /* of the first vector, if its sum were 0 */
} td__code_scan;

/* The codewords of a codec (index/codec.h). */
typedef struct td__codebook {
    const float *codewords; /* [blocks, width, 16] */
    uint32_t dim, width;    /* the last block may have fewer than `width` numbers */
    uint32_t blocks, blocks_padded;
} td__codebook;

/* Tables of one query, in whole steps of 1 / scale: the score of codes is about
 * (sum of entries) / scale + offset. */
typedef struct td__code_scale {
    float scale;     /* 0 if all codes score the same */
    float offset;
    uint32_t most;   /* no sum of entries is larger */
    float mean;      /* of the sums, if every codeword were as likely as any other */
    float deviation; /* their standard deviation */
} td__code_scale;

typedef struct td__quant_kernels {
    /* Fill tables [blocks_padded, 16] for query [dim]; entries [blocks, 17] is scratch. The scale is at most
     * scale_max. No fused operations: tables are the same on all machines, and so is what is found by them. */
    td__code_scale (*make_tables)(const td__codebook *book, const float *query, float scale_max,
                                  float *entries, uint8_t *tables);

    /* Of each vector the sum over its blocks b of tables[b][code], and whether it is at least
     * `threshold`, as bits. codes [groups, blocks, 16], tables [blocks, 16] of at most TD__ENTRY_MAX,
     * sums [groups, 32], masks [groups]; codes and tables aligned to 64 bytes. No sum may exceed
     * 65535. */
    void (*sum_codes)(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks);

    /* Write the keys of the vectors with sums of at least `least`, in their order: first_key, plus the sum in
     * the upper half, less the vector's number. Returns how many. Keys [32 groups + TD__KEYS_SPARE]: what is
     * behind those that count is overwritten. */
    uint64_t (*collect)(const td__code_scan *scan, uint64_t *keys);

    /* keys[i] = td__key_make(s <query, row n>, n), n being number i of `which` and s the row's scale. The
     * products of integers must fit an int32. Query aligned to 32 bytes. */
    void (*key_rows)(const int16_t *query, const td__scaled_rows *rows, td__rows_by_number which,
                     uint64_t *keys);

    /* scores[i] = <query, row number i of `which`>, rows [*, dim]: one chain of fused multiply-adds
     * from 0 in the order of the dimensions, as all scores (kernel.h). */
    void (*score_rows)(const float *query, const float *rows, uint32_t dim, td__rows_by_number which,
                       float *scores);
} td__quant_kernels;

extern const td__quant_kernels td__quant_ref;
#if defined(__x86_64__)
extern const td__quant_kernels td__quant_avx2;
extern const td__quant_kernels td__quant_avx512;
#elif defined(__aarch64__)
extern const td__quant_kernels td__quant_neon;
#endif

#endif
