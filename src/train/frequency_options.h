/* frequency_options.h -- the option rows of the streaming estimate, for its own table and for that of
 * training.
 *
 * Serves: stages 4 and 5. */
#ifndef TD_TRAIN_FREQUENCY_OPTIONS_H
#define TD_TRAIN_FREQUENCY_OPTIONS_H

#include "base/options.h"

/* `at` is where the options lie in the struct: nothing, or "frequency." with its dot. */
#define TD__FREQUENCY_OPTION_ROWS(type, at)                                                        \
    TD__OPTION_U32(type, at buckets, "frequency-buckets", "1048576", 1, 1u << 31, "N",             \
                   "buckets of each hash array"),                                                  \
    TD__OPTION_U32(type, at arrays, "frequency-arrays", "2", 1, 16, "N",                           \
                   "hash arrays, the largest gap of them counts"),                                 \
    TD__OPTION_F32(type, at learning_rate, "frequency-rate", "0.01", 1e-6, 1, "ALPHA",             \
                   "share of a new gap in the moving average"),                                    \
    TD__OPTION_F32(type, at initial_gap, "frequency-gap", "100", 1, 1e9, "STEPS",                  \
                   "gap of an id before it is first seen")

#endif
