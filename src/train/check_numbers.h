/* check_numbers.h -- refusing NaN and infinity, with the place where it was found.
 *
 * Serves: stage 4. */
#ifndef TD_TRAIN_CHECK_NUMBERS_H
#define TD_TRAIN_CHECK_NUMBERS_H

#include "base/status.h"

/* NUMERIC, with row and column, for the first value that is not finite. values [rows, columns] or
 * NULL: nothing to check. */
TD_MUST_CHECK td_status td__check_finite(const char *what, const float *values, uint64_t rows,
                                         uint64_t columns, td_error *err);

#endif
