/* crossentropy_rows.h -- the loss of one row, by kind of label and of prediction.
 *
 * Serves: stage 4. */
#ifndef TD_TRAIN_CROSSENTROPY_ROWS_H
#define TD_TRAIN_CROSSENTROPY_ROWS_H

#include "tandem/tandem.h"

/* One call: the input, checked. */
typedef struct td__crossentropy {
    const td_predictions *predictions;
    const float *target;  /* [rows, classes], or NULL if labels are numbers */
    const int64_t *label; /* [rows], or NULL */
    td_crossentropy_options options;
} td__crossentropy;

/* The loss of a row, without weight. d_row [classes] (or NULL) is filled with scale * gradient. */
typedef double td__crossentropy_row(const td__crossentropy *job, uint64_t row, double scale,
                                    float *d_row);

td__crossentropy_row td__categorical_logits;
td__crossentropy_row td__categorical_probabilities;
td__crossentropy_row td__sparse_logits;
td__crossentropy_row td__sparse_probabilities;
td__crossentropy_row td__binary_logits;
td__crossentropy_row td__binary_probabilities;

/* The sum that probabilities are divided by, in float32 as Keras has it. row [classes] */
float td__row_sum(const float *row, uint32_t classes);

#endif
