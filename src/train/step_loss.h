/* step_loss.h -- the loss of a training batch, from the vectors of its distinct rows and back to them.
 *
 * Serves: stage 5. In: distinct query and candidate vectors, and who met whom. Out: the loss of every
 * interaction, and a gradient for each distinct vector.
 *
 * The softmax engine takes the distinct vectors as they are, candidates with their multiplicity: the loss
 * and gradients of the batch with all its repetitions, for less work (kernel/softmax.h). */
#ifndef TD_TRAIN_STEP_LOSS_H
#define TD_TRAIN_STEP_LOSS_H

#include "train/batches.h"

/* One thread at a time; the context's threads share the work. */
typedef struct td__step_loss td__step_loss;

typedef struct td__step_loss_shape {
    td__batch_shape batch; /* the largest */
    uint32_t heads, dim;   /* heads at least 1 */
} td__step_loss_shape;

/* Everything compute needs is allocated here. ARGUMENT for options that do not go together. */
TD_MUST_CHECK td_status td__step_loss_create(td__step_loss **out, td_context *context,
                                             const td__step_loss_shape *shape,
                                             const td_train_options *options, td_error *err);
void td__step_loss_free(td__step_loss *loss);

typedef struct td__step_vectors {
    const float *query;     /* [distinct queries, heads, dim] */
    const float *candidate; /* [distinct candidates, dim] */
    float *d_query;         /* the same shapes, filled */
    float *d_candidate;
} td__step_vectors;

/* The temperature of the next batches, in place of that of the options: for learning it. */
void td__step_loss_set_temperature(td__step_loss *loss, float temperature);

/* Slope of the last loss. */
double td__step_loss_d_temperature(const td__step_loss *loss);

/* `sum` receives the sum of weight * loss over the interactions, whatever the reduction; gradients are
 * those of the reduced loss. NUMERIC if it is not finite. */
TD_MUST_CHECK td_status td__step_loss_compute(td__step_loss *loss, const td__batch *batch,
                                              const td__step_vectors *vectors, double *sum,
                                              td_error *err);

#endif
