/* step.h -- one step of training: gather, loss, backward, update.
 *
 * Serves: stage 5. In: a batch. Out: changed weights and the loss.
 * The towers run on the distinct rows of a batch only, and so does the loss where it can
 * (step_loss.h). */
#ifndef TD_TRAIN_STEP_H
#define TD_TRAIN_STEP_H

#include "train/batches.h"
#include "train/temperature.h"

/* Everything a step needs, allocated once: O(batch * width) floats and the optimizers' states.
 * One thread at a time; the context's threads share the work. */
typedef struct td__step td__step;

/* `shape`: of the largest batch. */
TD_MUST_CHECK td_status td__step_create(td__step **out, td_model *model,
                                        const td_train_options *options,
                                        const td__batch_shape *shape, td_error *err);
/* With graph_layers, before the first step: the graph of these rows smooths the model's tables. */
TD_MUST_CHECK td_status td__step_smooth(td__step *step, td_model *model, const td_dataset *train,
                                        uint32_t layers, td_error *err);
void td__step_free(td__step *step);

/* Run one batch: the model's weights change. `loss` receives the sum of weight * loss over its rows,
 * whatever the reduction. NUMERIC if it is not finite; the weights are then as before. */
TD_MUST_CHECK td_status td__step_run(td__step *step, const td__batch *batch, double learning_rate,
                                     double *loss, td_error *err);

/* The temperature as it is now; may be set, for a training gone on with. */
td__temperature *td__step_temperature(td__step *step);

/* NULL: the tables are not smoothed. */
struct td__graph *td__step_graph(td__step *step);

/* Optimizer of parameter `index` of the model (td__model_parameter). */
td_optimizer *td__step_optimizer(td__step *step, uint32_t index);

#endif
