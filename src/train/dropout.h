/* dropout.h -- numbers of vectors left out at random while training.
 *
 * Serves: stage 5. A number is kept with probability 1 - rate and then divided by it, so that sums stay as
 * they are on average (Srivastava et al., JMLR 2014). What is kept is a function of (seed, step, row,
 * dimension): nothing needs to be stored for the way back. */
#ifndef TD_TRAIN_DROPOUT_H
#define TD_TRAIN_DROPOUT_H

#include "train/batches.h"

typedef struct td__dropout {
    float rate;
    uint64_t seed;
} td__dropout;

/* to[i] = from[i] kept or 0, for `rows` [count] of a tower's table with vectors of `width`. `to` may be
 * `from`. */
void td__dropout_apply(const td__dropout *dropout, uint64_t step, const td__distinct *rows,
                       uint32_t width, const float *from, float *to);

#endif
