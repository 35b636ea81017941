/* fingerprint.h -- one number for all data that a training depends on.
 *
 * Serves: stage 5: a checkpoint goes on only with the data it was made with. */
#ifndef TD_TRAIN_FINGERPRINT_H
#define TD_TRAIN_FINGERPRINT_H

#include "base/status.h"

/* XXH64 over the ids that the model knows and those of the datasets, and the datasets' rows in order.
 * `validation` may be NULL. */
uint64_t td__fingerprint(const td_model *model, const td_dataset *train,
                         const td_dataset *validation);

#endif
