/* softmax_avx512.c -- the loops of the softmax with 16 floats a register.
 *
 * Serves: softmax.c. Blocks of 8 rows x 48 columns for scores, 12 x 32 for gradients. */
#include "kernel/softmax_tiles.h"

#if defined(__x86_64__)

#include "kernel/softmax_lanes_avx512.h"

#include "kernel/softmax_f32_body.h"

#include "base/poison.h"

const td__softmax_kernels td__softmax_avx512 = {
    .score = score,
    .weigh = weigh,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};

#endif
