/* measure.h -- times of runs that are repeated in turn with others.
 *
 * Serves: the benchmarks. The machine may be shared, so each case is run many times, in rounds with
 * the others, and the best and the median are kept; a case is judged by its ratio to the peak that was
 * measured in the same rounds. */
#ifndef TANDEM_BENCH_MEASURE_H
#define TANDEM_BENCH_MEASURE_H

#include <stdint.h>

enum { BENCH_RUNS_MAX = 1000 };

typedef struct bench_times {
    uint32_t count;
    double seconds[BENCH_RUNS_MAX];
} bench_times;

double bench_now(void); /* seconds of a clock that only goes forward */
double bench_processor(void); /* seconds that all threads of this process have run */
void bench_pause(double seconds);
void bench_add(bench_times *times, double seconds);
double bench_best(const bench_times *times); /* 0 without runs */
double bench_median(const bench_times *times);
double bench_load(void); /* load average of the last minute */
uint64_t bench_peak_memory(void); /* bytes this process has ever held */

#endif
