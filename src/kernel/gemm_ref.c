/* gemm_ref.c -- rows times a packed matrix in plain C: the specification of the others.
 *
 * Serves: gemm.c. In: rows, a packed matrix, where to start. Out: sums. */
#include <math.h>

#include "kernel/gemm_tiles.h"

#include "base/poison.h"

static float start_of(const td__product *p, uint32_t i, uint32_t j)
{
    if (p->bias != NULL) return p->bias[j];
    return p->add ? p->out[i * p->out_row + j] : 0.0f;
}

static void product(const td__product *p)
{
    for (uint32_t i = 0; i < p->height; i++) {
        for (uint32_t j = 0; j < p->width; j++) {
            const float *b = p->b + (size_t)(j / TD__GEMM_SLICE) * p->steps * TD__GEMM_SLICE;
            float sum = start_of(p, i, j);
            for (uint32_t t = 0; t < p->steps; t++) {
                sum = fmaf(p->a[i * p->a_row + t * p->a_step],
                           b[(size_t)t * TD__GEMM_SLICE + j % TD__GEMM_SLICE], sum);
            }
            p->out[i * p->out_row + j] = p->relu && 0.0f > sum ? 0.0f : sum;
        }
    }
}

const td__gemm_kernels td__gemm_ref = {.product = product};
