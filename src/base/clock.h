/* clock.h -- seconds that pass.
 *
 * Serves: every stage that says how long it took. */
#ifndef TD_BASE_CLOCK_H
#define TD_BASE_CLOCK_H

#include <time.h>

/* Since some fixed moment; never goes back. */
static inline double td__seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
