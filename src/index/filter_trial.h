/* filter_trial.h -- does the filter pay on these items?
 *
 * Serves: stage 7. In: an exact index with int8 items, just built. Out: yes or no. */
#ifndef TD_INDEX_FILTER_TRIAL_H
#define TD_INDEX_FILTER_TRIAL_H

#include "index/index.h"

/* Search some of the items among all of them. Whether that takes less work than a scan without a filter
 * is counted and not timed: the answer is a function of the items alone. */
TD_MUST_CHECK td_status td__filter_pays(bool *pays, const td_index *index, td_error *err);

#endif
