/* optimizer_rows.h -- one step of one row of weights, for each kind of optimizer.
 *
 * Serves: stage 5. */
#ifndef TD_TRAIN_OPTIMIZER_ROWS_H
#define TD_TRAIN_OPTIMIZER_ROWS_H

#include "tandem/tandem.h"

/* What is the same for all rows of a step. */
typedef struct td__row_rule {
    uint32_t dim;
    float rate; /* Adam: with the corrections of the moments' bias */
    float epsilon;
    float momentum;
    float beta1_rest, beta2_rest; /* 1 - beta */
} td__row_rule;

/* w [dim] and slots [width] change, g [dim] is the row's whole gradient. No two of them overlap. */
typedef void td__row_update(const td__row_rule *rule, float *restrict w, float *restrict slots,
                            const float *restrict g);

/* The update of a kind, and the numbers of state it keeps for a row. */
td__row_update *td__row_update_of(const td_optimizer_options *options);
uint32_t td__row_slots_of(const td_optimizer_options *options, uint32_t dim);

#endif
