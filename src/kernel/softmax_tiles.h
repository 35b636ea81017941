/* softmax_tiles.h -- the three loops of the softmax that take the time: one strip of rows against one
 * panel of TD__PANEL columns.
 *
 * Serves: softmax.c. Three units of a multiply and an add for each score and dimension: scores, the
 * gradient of the rows, the gradient of the columns. softmax_ref.c is the specification; the other
 * sets are one body (softmax_tiles_body.h) with other registers.
 *
 * Every element of every result is one chain of fused multiply-adds in rising order, so all sets give
 * the same bits. `dim` is a multiple of TD__SLICE, heights are multiples of TD__SOFTMAX_UNIT, all
 * arrays are aligned to 64 bytes.
 *
 * Sliced: an array of `count` vectors lies as [dim / TD__SLICE, count, TD__SLICE]. The gradient loops
 * work on a slice of the dimensions at a time; rows 256 or 512 bytes apart would fall on the same few
 * sets of the nearest cache.
 */
#ifndef TD_KERNEL_SOFTMAX_TILES_H
#define TD_KERNEL_SOFTMAX_TILES_H

#include "kernel/kernel.h"

enum {
    TD__SLICE = 16,      /* floats of a slice; partial sums of a row; the widest register */
    TD__SOFTMAX_UNIT = 8    /* rows */
};

typedef struct td__softmax_tile {
    uint32_t height, dim;
    const float *rows;   /* [height, dim] in units of log2 */
    const float *anchor; /* [height] what the exponents of a row are relative to */
    const float *panel;  /* [dim, TD__PANEL] */
    const float *bias;   /* [TD__PANEL] in units of log2 */
    float *weights;      /* [height, TD__PANEL] out: 2^(bias - anchor + <row, column>), at most 2^126 */
    float *sums;         /* [height, TD__SLICE] += columns j, j + 16, j + 32 in this order */
} td__softmax_tile;

typedef struct td__softmax_kernels {
    void (*score)(const td__softmax_tile *tile);

    /* The second half of score, for one row whose scores are there: scores [TD__PANEL] become
     * 2^(score - anchor), at most 2^126; sums [TD__SLICE] as above. */
    void (*weigh)(float *scores, float anchor, float *sums);

    /* d_rows[r] += sum over j of weights[r][j] columns[j]; columns [TD__PANEL, dim], d_rows
     * [height, dim], both sliced. */
    void (*rows_gradient)(const float *weights, uint32_t height, const float *columns, uint32_t dim,
                          float *d_rows);

    /* d_columns[j] += sum over r of weights[r][j] rows[r]; `first`: = instead of +=. The same shapes,
     * sliced. */
    void (*columns_gradient)(const float *weights, uint32_t height, const float *rows, uint32_t dim,
                             bool first, float *d_columns);
} td__softmax_kernels;

extern const td__softmax_kernels td__softmax_ref;
#if defined(__x86_64__)
extern const td__softmax_kernels td__softmax_avx2;
extern const td__softmax_kernels td__softmax_avx512;
#elif defined(__aarch64__)
extern const td__softmax_kernels td__softmax_neon;
#endif

/* 2^y: y = n + f with n whole and |f| <= 1/2; adding 1.5 * 2^23 rounds to n and leaves n
 * in the low bits, which are then added to the exponent of the polynomial for 2^f. The polynomial is
 * the minimax one of degree 6 with 2^0 = 1: 2.6e-9, with rounding 8.3e-8 (0.7 ulp).
 * What is below 2^-100 of the anchor becomes 2^-100: nothing, and products with it stay normal.
 * What is above 2^126 becomes 2^126: sums show that the strip needs other anchors. */
#define TD__EXP2_MIN   -100.0f
#define TD__EXP2_MAX   126.0f
#define TD__EXP2_MAGIC 12582912.0f
#define TD__EXP2_C1    0x1.62e432p-1f
#define TD__EXP2_C2    0x1.ebfbe2p-3f
#define TD__EXP2_C3    0x1.c6ae72p-5f
#define TD__EXP2_C4    0x1.3b270ep-7f
#define TD__EXP2_C5    0x1.5f7276p-10f
#define TD__EXP2_C6    0x1.470b4ap-13f

#endif
