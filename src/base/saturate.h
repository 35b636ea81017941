/* saturate.h -- sums and products of sizes that stop at the largest number: what is too much stays too much.
 *
 * Serves: stages 5 and 6, the planning of memory. */
#ifndef TD_BASE_SATURATE_H
#define TD_BASE_SATURATE_H

#include <stdint.h>

static inline uint64_t td__sat_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t td__sat_mul(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static inline uint64_t td__sat_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t td__sat_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What td__grow may have left over: half as much again. */
static inline uint64_t td__sat_grown(uint64_t bytes)
{
    return td__sat_add(bytes, bytes / 2);
}

#endif
