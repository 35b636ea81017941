/* quant.h -- scores of compressed vectors: sums of table entries, and products of small integers.
 *
 * Serves: stage 7. quant_ref.c is plain C and the specification; all sets do the same integer
 * arithmetic, so their results are equal, not close.
 *
 * Codes. A vector is cut into blocks, each block has a code of 4 bits. 32 vectors are a group:
 * 16 bytes a block, byte i holds the codes of vector i (low half) and vector i + 16 (high half).
 * The number of blocks is padded to a multiple of 4, so that a register of 64 bytes takes 4 of them. */
#ifndef TD_KERNEL_QUANT_H
#define TD_KERNEL_QUANT_H

#include <stdint.h>

enum {
    TD__GROUP = 32,      /* vectors whose codes are together */
    TD__CODE_VALUES = 16,
    TD__BLOCKS_STEP = 4, /* the number of blocks is a multiple of it */
    TD__ROW_STEP = 32    /* numbers of a row of 8-bit integers: a multiple of it */
};

typedef struct td__quant_kernels {
    /* Of each vector the sum over its blocks b of tables[b][code], and whether it is at least
     * `threshold`, as bits. codes [groups, blocks, 16], tables [blocks, 16], sums [groups, 32],
     * masks [groups]; codes and tables aligned to 64 bytes. No sum may exceed 65535. */
    void (*sum_codes)(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks);

    /* <query, row>, dim a multiple of TD__ROW_STEP; must fit an int32. Both aligned to 32 bytes. */
    int32_t (*dot_row)(const int16_t *query, const int8_t *row, uint32_t dim);
} td__quant_kernels;

extern const td__quant_kernels td__quant_ref;
#if defined(__x86_64__)
extern const td__quant_kernels td__quant_avx2;
extern const td__quant_kernels td__quant_avx512;
#elif defined(__aarch64__)
extern const td__quant_kernels td__quant_neon;
#endif

#endif
