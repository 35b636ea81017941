/* softmax_neon.c -- the loops of the softmax with 4 floats a register (arm64).
 *
 * Serves: softmax.c. Blocks of 8 rows x 12 columns for scores, 12 x 8 for gradients. */
#include "kernel/softmax_tiles.h"

#if defined(__aarch64__)

#include "kernel/softmax_lanes_neon.h"

#include "kernel/softmax_f32_body.h"

#include "base/poison.h"

const td__softmax_kernels td__softmax_neon = {
    .score = score,
    .weigh = weigh,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
