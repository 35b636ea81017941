/* schedule.c -- the learning rate of a step.
 *
 * Serves: stage 5. In: options and the number of the step. Out: its rate.
 * The formulas are those of tf_keras.optimizers.schedules; see docs/tfrs.md. */
#include <math.h>

#include "tandem/tandem.h"

#include "base/poison.h"

static const double PI = 3.14159265358979323846;

/* Steps that the schedule decays over, at least one. */
static double decay_steps(const td_optimizer_options *options, uint64_t steps)
{
    uint64_t count = options->decay_steps;
    if (count == 0 && steps > options->warmup_steps) count = steps - options->warmup_steps;
    return count > 0 ? (double)count : 1;
}

/* What the rate is multiplied with at a share `done` of the decay steps; may go beyond 1. */
static double schedule_factor(td_schedule_kind schedule, double rate, double done)
{
    double part = done < 1 ? done : 1;
    switch (schedule) {
    case TD_SCHEDULE_CONSTANT:
        return 1;
    case TD_SCHEDULE_EXPONENTIAL:
        return pow(rate, done);
    case TD_SCHEDULE_COSINE:
        return rate + (1 - rate) * 0.5 * (1 + cos(PI * part));
    case TD_SCHEDULE_LINEAR:
        return 1 + (rate - 1) * part;
    case TD_SCHEDULE_INVERSE_TIME:
        return 1 / (1 + rate * done);
    }
    return 1;
}

double td_learning_rate(const td_optimizer_options *options, uint64_t step, uint64_t steps)
{
    double base = (double)options->learning_rate;
    if (step < options->warmup_steps) return base * (double)step / (double)options->warmup_steps;
    double done = (double)(step - options->warmup_steps) / decay_steps(options, steps);
    return base * schedule_factor(options->schedule, (double)options->decay_rate, done);
}
