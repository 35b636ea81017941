/* temperature.h -- the temperature of the scores, fixed or learned.
 *
 * Serves: stage 5. Learned as its logarithm, by Adam, within bounds (as CLIP does; Radford et al., ICML
 * 2021): a step changes it by a factor, and it cannot become 0 or negative. */
#ifndef TD_TRAIN_TEMPERATURE_H
#define TD_TRAIN_TEMPERATURE_H

#include "tandem/tandem.h"

enum { TD__TEMPERATURE_NUMBERS = 4 };

/* State: all of it is in `numbers`, for checkpoints. */
typedef struct td__temperature {
    td_temperature_options options;
    double numbers[TD__TEMPERATURE_NUMBERS]; /* log temperature, mean of gradients, of squares, steps */
} td__temperature;

void td__temperature_init(td__temperature *t, float initial, const td_temperature_options *options);
float td__temperature_value(const td__temperature *t);

/* `d_temperature`: slope of the loss. Does nothing unless learned. */
void td__temperature_step(td__temperature *t, double d_temperature);

/* ARGUMENT if the bounds exclude each other or the initial value. */
TD_MUST_CHECK td_status td__temperature_check(float initial, const td_temperature_options *options,
                                              td_error *err);

#endif
