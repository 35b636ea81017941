/* candidates.h -- the best of a stream of slots with integer scores, and a threshold that follows close
 * behind.
 *
 * Serves: stage 7, the tree.
 *
 * Scores are counted in bins from the top down. The lowest bin that the wanted number needs is the edge;
 * whatever falls below it is not even written down. So nothing is sorted or selected on the way, and in
 * the end only the edge itself has to be cut. All keys differ (equal scores: the lower slot first), so the
 * best are one and the same set whatever the order they come in. */
#ifndef TD_INDEX_CANDIDATES_H
#define TD_INDEX_CANDIDATES_H

#include <stdint.h>

#include "kernel/keys.h"

enum { TD__BINS = 1024 };

/* `least` while everything is wanted: below all scores, and far from where differences overflow (clang 14
 * computes `a > b ? a - b : 0` as if a - b could not). */
#define TD__NO_LEAST (-(INT64_C(1) << 40))

typedef struct td__candidates {
    const td__key_kernels *kernels;
    uint64_t *keys;    /* [capacity] */
    uint64_t count;    /* written down */
    uint64_t capacity; /* at least twice `wanted`, and more by four times what is ever added at once */
    uint64_t wanted;
    uint64_t above;    /* of them in the edge or above */
    int64_t top;       /* no score is higher */
    int64_t least;     /* a lower score is not wanted any more */
    uint32_t shift;    /* a bin is 1 << shift scores wide, the last one goes down without end */
    uint32_t edge;
    uint32_t bins[TD__BINS];
} td__candidates;

/* Scores are at most `top`; bins reach about `span` below it. wanted > 0. */
void td__candidates_start(td__candidates *all, uint64_t wanted, int64_t top, int64_t span);

/* See to it that `more` keys can be written behind the others. */
void td__candidates_make_room(td__candidates *all, uint64_t more);

/* `added` keys have been written behind the others, whatever their scores: count them, and raise `least`. */
void td__candidates_add(td__candidates *all, uint64_t added);

/* Drop all but the wanted, and leave their keys, in no order. */
void td__candidates_cut(td__candidates *all);

static inline uint64_t td__candidate_key(int64_t score, uint32_t slot)
{
    return (uint64_t)(score + INT64_C(0x80000000)) << 32 | (uint32_t)~slot;
}

static inline int64_t td__candidate_score(uint64_t key)
{
    return (int64_t)(key >> 32) - INT64_C(0x80000000);
}

static inline uint32_t td__candidate_slot(uint64_t key)
{
    return ~(uint32_t)key;
}

static inline uint32_t td__candidate_bin(const td__candidates *all, int64_t score)
{
    uint64_t bin = (uint64_t)(all->top - score) >> all->shift;
    return bin < TD__BINS ? (uint32_t)bin : TD__BINS - 1;
}

#endif
