/* gemm_tiles.h -- the loop of a dense layer that takes the time: some rows times a packed matrix.
 *
 * Serves: gemm.c. gemm_ref.c is the specification; the other sets are one body (gemm_tiles_body.h) with
 * other registers. Every element of the result is one chain of fused multiply-adds in rising order, so
 * all sets give the same bits. */
#ifndef TD_KERNEL_GEMM_TILES_H
#define TD_KERNEL_GEMM_TILES_H

#include "kernel/kernel.h"

enum {
    TD__GEMM_SLICE = 16, /* columns of a packed slice: the widest register */
    TD__GEMM_STRIP = 12  /* rows of a packed strip: 12 or two times 6 are a tile */
};

/* out[i][j] = start + sum over t < steps of a(i, t) b(t, j) for i < height, j < width; `start` is
 * bias[j], or what is in out[i][j], or 0; then, for relu, what is below 0 becomes 0. */
typedef struct td__product {
    uint32_t height, width, steps;
    const float *a; /* a(i, t) is a[i * a_row + t * a_step] */
    size_t a_row, a_step;
    const float *b; /* [ceil(width / 16), steps, 16], aligned to 64 bytes; beyond width: finite */
    float *out;     /* out[i * out_row + j] */
    size_t out_row;
    const float *bias; /* [width] or NULL */
    bool add, relu;    /* add: on top of out; not with a bias */
} td__product;

typedef struct td__gemm_kernels {
    void (*product)(const td__product *p);
} td__gemm_kernels;

extern const td__gemm_kernels td__gemm_ref;
#if defined(__x86_64__)
extern const td__gemm_kernels td__gemm_avx2;
extern const td__gemm_kernels td__gemm_avx512;
#elif defined(__aarch64__)
extern const td__gemm_kernels td__gemm_neon;
#endif

#endif
