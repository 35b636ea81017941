/* softmax_bf16.h -- the loops of the softmax on numbers rounded to bfloat16, a pair at a time.
 *
 * Serves: softmax_pairs.c. The same three loops as softmax_tiles.h: a strip of rows against one panel of
 * columns. Factors are pairs of bfloat16 (bf16.h), sums and weights float32. softmax_bf16_ref.c is the
 * specification.
 *
 * Arithmetic. Every element of every result is one chain over the pairs in rising order, of each pair the
 * second number first, as VDPBF16PS adds them (Intel SDM vol. 2):
 *     s = fma(a[1], b[1], s); s = fma(a[0], b[0], s)
 * Products of two bfloat16 are exact in float32. So all sets give the same bits, but for two:
 *   - avx512bf16: VDPBF16PS takes sums below 2^-126 for 0;
 *   - neonbf16: BFDOT adds the two products first, and rounds both sums to odd: what is not exact ends in
 *     a 1. An error of up to 2^-23 of a sum at each step, where others have 2^-24. Below 2^-126: 0.
 * Both are below what the rounding of the factors has done, 2^-9 on average. */
#ifndef TD_KERNEL_SOFTMAX_BF16_H
#define TD_KERNEL_SOFTMAX_BF16_H

#include "kernel/bf16.h"
#include "kernel/softmax_tiles.h"

typedef struct td__bf16_tile {
    uint32_t height, dim;
    const td__pair *rows;  /* [height, dim / 2] in units of log2 */
    const td__pair *panel; /* [dim / 2, TD__PANEL] */
    const float *anchor;   /* [height] */
    const float *bias;     /* [TD__PANEL] */
    float *weights;        /* [height, TD__PANEL] out, as in td__softmax_tile */
    float *sums;           /* [height, TD__SLICE] += the weights, as there */
} td__bf16_tile;

typedef struct td__bf16_kernels {
    bool native; /* an instruction takes a pair at once; else both halves are widened */

    void (*score)(const td__bf16_tile *tile);

    /* The scores themselves to `weights`: bias + <row, column>. Anchor and sums are not looked at. */
    void (*keep)(const td__bf16_tile *tile);

    /* Weights [height, TD__PANEL] rounded, to pairs of columns [height, TD__PANEL / 2] and to pairs of
     * rows [height / 2, TD__PANEL]. */
    void (*round)(const float *weights, uint32_t height, td__pair *along, td__pair *across);

    /* d_rows[r] += sum over j of weights[r][j] columns[j]; along [height, TD__PANEL / 2]; columns
     * [TD__PANEL / 2, dim] pairs of two columns; d_rows [height, dim]. The last two are sliced. */
    void (*rows_gradient)(const td__pair *along, uint32_t height, const td__pair *columns, uint32_t dim,
                          float *d_rows);

    /* d_columns[j] += sum over r of weights[r][j] rows[r]; `first`: = instead of +=; across [height / 2,
     * TD__PANEL]; rows [height / 2, dim] pairs of two rows; d_columns [TD__PANEL, dim]. */
    void (*columns_gradient)(const td__pair *across, uint32_t height, const td__pair *rows, uint32_t dim,
                             bool first, float *d_columns);
} td__bf16_kernels;

extern const td__bf16_kernels td__bf16_ref;
#if defined(__x86_64__)
extern const td__bf16_kernels td__bf16_avx2;
extern const td__bf16_kernels td__bf16_avx512bf16;
#elif defined(__aarch64__)
extern const td__bf16_kernels td__bf16_neon;
extern const td__bf16_kernels td__bf16_neonbf16;
#endif

#endif
