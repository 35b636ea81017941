/* average.h -- the moving average of a model's weights over the epochs of its training.
 *
 * Serves: stage 5.
 *
 * With a constant rate the weights keep moving about the place where the loss is least; their mean over some
 * epochs is nearer to it than the last of them (Polyak & Juditsky 1992; Izmailov et al., UAI 2018). After
 * each epoch
 *
 *     average = decay * average + (1 - decay) * weights            (the first: average = weights)
 *
 * Where only the directions of a tower's vectors count, and nothing lies between them and its table, vectors
 * of length 1 are averaged: the others grow, and the last would count most. */
#ifndef TD_TRAIN_AVERAGE_H
#define TD_TRAIN_AVERAGE_H

#include "base/status.h"

typedef struct td__average td__average;

/* Room for as many numbers as the model has weights. */
TD_MUST_CHECK td_status td__average_create(td__average **out, const td_model *model, float decay,
                                           td_error *err);
void td__average_free(td__average *average);

/* After an epoch; `first`: there is none before it. */
void td__average_add(td__average *average, const td_model *model, bool first);

/* The model gets the average and the average the model's weights; a second time, each has its own again. */
void td__average_swap(td__average *average, td_model *model);

/* Average of parameter `index` (td__model_parameter), of its shape. */
float *td__average_weights(td__average *average, uint32_t index);

#endif
