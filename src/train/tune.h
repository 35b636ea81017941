/* tune.h -- the part of the search over settings that its tests look at.
 *
 * Serves: stage 5. */
#ifndef TD_TRAIN_TUNE_H
#define TD_TRAIN_TUNE_H

#include "base/status.h"

/* The value of a range at `unit` of its way, [0, 1), as text that td_options_set takes. */
void td__tune_draw(char text[TD_TUNE_TEXT_MAX], const td_tune_range *range, double unit);

#endif
