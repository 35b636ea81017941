/* softmax_avx2.c -- the loops of the softmax with 8 floats a register and fused multiply-add.
 *
 * Serves: softmax.c. Blocks of 4 rows x 24 columns for scores, 6 x 16 for gradients. */
#include "kernel/softmax_tiles.h"

#if defined(__x86_64__)

#include "kernel/softmax_lanes_avx2.h"

#include "kernel/softmax_f32_body.h"

#include "base/poison.h"

const td__softmax_kernels td__softmax_avx2 = {
    .score = score,
    .weigh = weigh,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
