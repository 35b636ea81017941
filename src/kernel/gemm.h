/* gemm.h -- the products of a dense layer: y = relu(x W + b), and the gradients of x, W and b.
 *
 * Serves: stages 3 and 5 (model/layer_dense.c). gemm.c packs and shares the work among threads,
 * gemm_tiles.h has the one loop that takes the time.
 *
 * Numbers. An element of y is one chain of fused multiply-adds from b[j] over the inputs in order, one
 * of d_x a chain from 0 over the outputs. The rows of a batch are cut into at most
 * TD__REDUCTION_GROUPS groups that depend on their number alone; within a group d_W and d_b are chains
 * over the rows in order, and the groups are added in order. So all kernel sets and any number of
 * threads give the same bits. */
#ifndef TD_KERNEL_GEMM_H
#define TD_KERNEL_GEMM_H

#include "base/context.h"

/* A dense layer. Borrows its weights. */
typedef struct td__affine {
    uint32_t in, out;     /* numbers a row */
    bool relu;            /* y = max(0, x W + b); NaN stays NaN */
    const float *weights; /* W [in, out] */
    const float *bias;    /* b [out] */
} td__affine;

/* Bytes of scratch for a forward, or for both if `gradients`: weights in packed form, and for gradients
 * one copy of d_W a group and some rows a thread. Aligned as td__alloc does. */
uint64_t td__affine_scratch(const td__affine *map, uint32_t threads, bool gradients);

/* y [rows, out] of x [rows, in]. */
void td__affine_forward(td_context *context, const td__affine *map, const float *x, uint64_t rows,
                        float *y, void *scratch);

typedef struct td__affine_flow {
    uint64_t rows;
    const float *x;   /* [rows, in] */
    const float *y;   /* [rows, out] of the forward: where relu let through */
    const float *d_y; /* [rows, out] */
    float *d_x;       /* [rows, in] filled */
    float *d_weights; /* [in, out] filled */
    float *d_bias;    /* [out] filled */
} td__affine_flow;

/* Gradients of sum(d_y * y). Where relu gave 0 nothing passes (at 0 itself too, as in Keras). */
void td__affine_backward(td_context *context, const td__affine *map, const td__affine_flow *flow,
                         void *scratch);

#endif
