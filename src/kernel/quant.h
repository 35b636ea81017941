/* quant.h -- scores of compressed vectors: sums of table entries, products of small integers, and the
 * exact scores of the few vectors that are left.
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
    TD__ROW_STEP = 32     /* numbers of a row of 8-bit integers: a multiple of it */
};

/* Rows of a table, by number. */
typedef struct td__rows_by_number {
    const uint32_t *numbers; /* [count] */
    uint64_t count;
} td__rows_by_number;

typedef struct td__quant_kernels {
    /* Of each vector the sum over its blocks b of tables[b][code], and whether it is at least
     * `threshold`, as bits. codes [groups, blocks, 16], tables [blocks, 16] of at most TD__ENTRY_MAX,
     * sums [groups, 32], masks [groups]; codes and tables aligned to 64 bytes. No sum may exceed
     * 65535. */
    void (*sum_codes)(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks);

    /* products[i] = <query, row number i of `which`>, rows [*, dim], dim a multiple of TD__ROW_STEP;
     * must fit an int32. Query and rows aligned to 32 bytes. */
    void (*dot_rows)(const int16_t *query, const int8_t *rows, uint32_t dim, td__rows_by_number which,
                     int32_t *products);

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
