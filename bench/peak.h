/* peak.h -- what the machine can do: fused multiply-adds and reading memory.
 *
 * Serves: the benchmarks, which give their rates as shares of these. */
#ifndef TANDEM_BENCH_PEAK_H
#define TANDEM_BENCH_PEAK_H

#include "tandem/tandem.h"

/* Floating point operations a second of all threads, in the widest registers of the context's kernel
 * set (2 operations a fused multiply-add). One sample of about 2 ms. */
double bench_fma_rate(td_context *context);

/* The same on pairs of bfloat16, by the instruction that the kernel set has for them. 0: it has none. */
double bench_bf16_rate(td_context *context);

/* Operations a second on integers of 8 bits, the way the kernel set multiplies them (2 a product and
 * sum): the ceiling of its tiles. One sample of about 2 ms. */
double bench_int8_rate(td_context *context);

/* Bytes a second that all threads read from an array of 64 MiB a thread. One sample. */
double bench_read_rate(td_context *context, const float *array, uint64_t floats);

#endif
