/* optimizer_struct.h -- the fields of an optimizer.
 *
 * Serves: optimizer.c and optimizer_state.c, nobody else. */
#ifndef TD_TRAIN_OPTIMIZER_STRUCT_H
#define TD_TRAIN_OPTIMIZER_STRUCT_H

#include "train/row_groups.h"

struct td_optimizer {
    td_context *context;
    td_optimizer_options options;
    uint64_t rows;
    uint32_t dim;
    uint32_t width; /* numbers of state for a row */
    uint64_t steps;
    float *slots;   /* [rows, width] */
    float *scratch; /* [threads, dim rounded up to whole cache lines] */
    td__row_groups groups;
};

#endif
