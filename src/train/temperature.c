/* temperature.c -- the temperature of the scores, fixed or learned.
 *
 * Serves: stage 5. In: slopes of the loss. Out: a temperature. */
#include "train/temperature.h"

#include <math.h>

#include "base/status.h"
#include "base/poison.h"

static const double BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;

enum { LOG_VALUE, MEAN, SQUARES, STEPS };

void td__temperature_init(td__temperature *t, float initial, const td_temperature_options *options)
{
    *t = (td__temperature){.options = *options, .numbers = {log((double)initial)}};
}

float td__temperature_value(const td__temperature *t)
{
    return (float)exp(t->numbers[LOG_VALUE]);
}

void td__temperature_step(td__temperature *t, double d_temperature)
{
    double *n = t->numbers;
    if (!t->options.learned) return;
    double slope = d_temperature * exp(n[LOG_VALUE]);
    n[STEPS] += 1.0;
    n[MEAN] += (1.0 - BETA1) * (slope - n[MEAN]);
    n[SQUARES] += (1.0 - BETA2) * (slope * slope - n[SQUARES]);
    double mean = n[MEAN] / (1.0 - pow(BETA1, n[STEPS]));
    double square = n[SQUARES] / (1.0 - pow(BETA2, n[STEPS]));
    n[LOG_VALUE] -= (double)t->options.rate * mean / (sqrt(square) + EPSILON);
    n[LOG_VALUE] = fmax(n[LOG_VALUE], log((double)t->options.least));
    n[LOG_VALUE] = fmin(n[LOG_VALUE], log((double)t->options.most));
}

td_status td__temperature_check(float initial, const td_temperature_options *options, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(options->learned && !(options->least <= initial && initial <= options->most), err,
               ERR_ARGUMENT,
               "temperature is %g, but to be learned between temperature-min %g and temperature-max %g",
               (double)initial, (double)options->least, (double)options->most);
done:
    return status;
}
