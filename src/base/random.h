/* random.h -- random numbers without state: a function of (seed, stream, index).
 *
 * Serves: stages 2, 3 and 5. Any thread can draw any number of a stream in any order, so results do
 * not depend on the number of threads. The generator is SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)
 * started at a hash of seed and stream: number i of a stream is its i-th output. */
#ifndef TD_BASE_RANDOM_H
#define TD_BASE_RANDOM_H

#include <stdint.h>

/* What a stream is used for; two uses never share one. Add at the end: order is part of the results. */
typedef enum td__stream {
    TD__STREAM_SPLIT = 1,
    TD__STREAM_SHUFFLE,
    TD__STREAM_INIT_QUERY,
    TD__STREAM_INIT_CANDIDATE,
    TD__STREAM_NEGATIVES,
    TD__STREAM_DROPOUT,
    TD__STREAM_KMEANS,
    TD__STREAM_CODEBOOK,
    TD__STREAM_TUNE,
    TD__STREAM_RECALL,
    TD__STREAM_INIT_HISTORY,
    TD__STREAM_HISTORY,
    TD__STREAM_PARTS,
    TD__STREAM_STRANGERS,
    TD__STREAM_ROUNDING,
    TD__STREAM_SPLIT_QUERY
} td__stream;

typedef struct td__random {
    uint64_t base;
} td__random;

/* The finaliser of SplitMix64: a bijection that mixes all 64 bits. */
static inline uint64_t td__mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* `sub` tells apart sequences of one use: the epoch, the batch. */
static inline td__random td__random_stream(uint64_t seed, td__stream stream, uint64_t sub)
{
    uint64_t base = td__mix64(seed + UINT64_C(0x9E3779B97F4A7C15));
    base = td__mix64(base ^ td__mix64((uint64_t)stream * UINT64_C(0xD1B54A32D192ED03)));
    return (td__random){.base = td__mix64(base + sub * UINT64_C(0x8CB92BA72F3D8DD7))};
}

static inline uint64_t td__random_u64(td__random random, uint64_t index)
{
    return td__mix64(random.base + (index + 1) * UINT64_C(0x9E3779B97F4A7C15));
}

/* Uniform in [0, bound), bound > 0. By multiplication (Lemire 2019) without rejection: the bias is at
 * most bound / 2^64. */
static inline uint64_t td__random_below(td__random random, uint64_t index, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)td__random_u64(random, index) * bound) >> 64);
}

/* Uniform in [0, 1), 53 bits. */
static inline double td__random_unit(td__random random, uint64_t index)
{
    return (double)(td__random_u64(random, index) >> 11) * 0x1.0p-53;
}

#endif
