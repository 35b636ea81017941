/* snapshot.h -- a copy of all weights of a model, to come back to.
 *
 * Serves: stage 5. */
#ifndef TD_TRAIN_SNAPSHOT_H
#define TD_TRAIN_SNAPSHOT_H

#include "base/status.h"

typedef struct td__snapshot td__snapshot;

/* With the weights that the model has now. */
TD_MUST_CHECK td_status td__snapshot_create(td__snapshot **out, const td_model *model,
                                            td_error *err);
void td__snapshot_free(td__snapshot *snapshot);
void td__snapshot_take(td__snapshot *snapshot, const td_model *model);
void td__snapshot_restore(const td__snapshot *snapshot, td_model *model);

/* Copy of parameter `index` (td__model_parameter), of its shape. */
float *td__snapshot_weights(td__snapshot *snapshot, uint32_t index);

#endif
