/* measure.c -- clocks, medians, and what the system says about itself.
 *
 * Serves: the benchmarks. */
#define _DEFAULT_SOURCE /* getloadavg */
#include "measure.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double bench_processor(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void bench_pause(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)(1e9 * (seconds - (double)time.tv_sec));
    nanosleep(&time, NULL);
}

void bench_add(bench_times *times, double seconds)
{
    if (times->count < BENCH_RUNS_MAX) times->seconds[times->count++] = seconds;
}

double bench_best(const bench_times *times)
{
    double best = times->count == 0 ? 0.0 : times->seconds[0];
    for (uint32_t i = 1; i < times->count; i++) {
        if (times->seconds[i] < best) best = times->seconds[i];
    }
    return best;
}

static int compare(const void *left, const void *right)
{
    double a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

double bench_median(const bench_times *times)
{
    bench_times sorted = *times;
    if (sorted.count == 0) return 0.0;
    qsort(sorted.seconds, sorted.count, sizeof sorted.seconds[0], compare);
    return sorted.seconds[sorted.count / 2];
}

double bench_load(void)
{
    double load;
    return getloadavg(&load, 1) == 1 ? load : 0.0;
}

uint64_t bench_peak_memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (uint64_t)usage.ru_maxrss * 1024;
}
