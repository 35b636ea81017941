/* recommend.h -- what counts as small and as dense data where settings are chosen by size. */
#ifndef TD_TRAIN_RECOMMEND_H
#define TD_TRAIN_RECOMMEND_H

#include <stdbool.h>

#include "tandem/tandem.h"

/* Few enough pairs of a query and a candidate to look at all of them, time and again. */
bool td__data_is_small(const td_data_size *size);

/* Rows enough for a candidate. */
bool td__data_is_dense(const td_data_size *size);

#endif
