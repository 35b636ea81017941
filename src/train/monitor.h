/* monitor.h -- the figure that decides which epoch is best.
 *
 * Serves: stage 5, every trainer. */
#ifndef TD_TRAIN_MONITOR_H
#define TD_TRAIN_MONITOR_H

#include "base/status.h"

/* What to measure, on what. All borrowed. */
typedef struct td__validation {
    const td_model *model;
    const td_dataset *train, *part;
    td_monitor monitor;
    uint32_t k;
    const td_progress_hook *hook; /* or NULL */
} td__validation;

/* The monitor's metric of the validation part, seen removed. */
TD_MUST_CHECK td_status td__validate(const td__validation *validation, double *monitor,
                                     td_error *err);

/* ARGUMENT unless `validation` (NULL is fine) has rows and shares its vocabularies with `train`. */
TD_MUST_CHECK td_status td__validation_check(const td_dataset *train, const td_dataset *validation,
                                             td_error *err);

#endif
