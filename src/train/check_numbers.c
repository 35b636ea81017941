/* check_numbers.c -- refusing NaN and infinity.
 *
 * Serves: stage 4. In: a matrix. Out: a sentence about its first bad value. */
#include "train/check_numbers.h"

#include <math.h>

#include "base/poison.h"

/* x - x is 0 for finite x, else NaN; a sum of zeros stays 0, so one compare tests all values. */
static bool all_finite(const float *values, uint64_t count)
{
    float sums[8] = {0};
    uint64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (uint32_t j = 0; j < 8; j++) sums[j] += values[i + j] - values[i + j];
    }
    for (; i < count; i++) sums[0] += values[i] - values[i];
    float sum = 0.0f;
    for (uint32_t j = 0; j < 8; j++) sum += sums[j];
    return sum == 0.0f;
}

td_status td__check_finite(const char *what, const float *values, uint64_t rows, uint64_t columns,
                           td_error *err)
{
    if (values == NULL || all_finite(values, rows * columns)) return TD_OK;
    uint64_t at = 0;
    while (isfinite(values[at])) at++;
    return td__fail(err, TD_ERR_NUMERIC, "row %llu: %s is %g in column %llu",
                    (unsigned long long)(at / columns), what, (double)values[at],
                    (unsigned long long)(at % columns));
}
