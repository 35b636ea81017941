/* bxb.h -- the same loss the usual way: all B x B scores in memory, products by OpenBLAS.
 *
 * Serves: bench_train, as what to compare with. It is the best such version we could write: memory
 * allocated once and in huge pages, one vectorised softmax in place, no label matrix. A framework does
 * more passes. */
#ifndef TANDEM_BENCH_BXB_H
#define TANDEM_BENCH_BXB_H

#include "tandem/tandem.h"

typedef struct bxb bxb;

/* NULL without OpenBLAS or memory. */
bxb *bxb_create(td_context *context, uint32_t size, uint32_t dim);
void bxb_free(bxb *task);

/* Sum of the losses of rows against columns of the same number; gradients are filled. */
double bxb_compute(bxb *task, const float *rows, const float *columns, float *d_rows,
                   float *d_columns);

#endif
