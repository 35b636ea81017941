/* topk.h -- the k best of a stream of scored positions.
 *
 * Serves: stages 6 and 7.
 *
 * A score and its position make one integer, the key: a larger key is a better hit. Scores compare
 * by value (-0 and 0 are equal; a score without a value, NaN, counts as -infinity), equal scores by
 * position, the lower first. All keys differ, so the k best are one and the same set whatever the
 * order they come in. */
#ifndef TD_KERNEL_TOPK_H
#define TD_KERNEL_TOPK_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/keys.h"
#include "tandem/tandem.h"

/* Keeps what may still be among the k best. When `capacity` keys are there, the k best of them stay
 * and the rest go. Start with td__topk_init; the memory is the caller's. */
typedef struct td__topk {
    uint64_t *keys;    /* [capacity] */
    uint64_t count;    /* kept now */
    uint64_t capacity; /* > k, or at least the number of keys that will ever come; not 0 */
    uint64_t k;
    uint64_t floor;  /* keys up to this cannot be among the k best */
    const td__key_kernels *kernels; /* plain C; who has better ones may set them after td__topk_init */
    float threshold; /* score of `floor`: later positions with scores <= this need not be tried; NaN
                      * while all must be */
} td__topk;

static inline uint64_t td__key_make(float score, uint32_t position)
{
    uint32_t bits;
    score = isnan(score) ? -INFINITY : score + 0.0f; /* -0 + 0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(1) << 31; /* now ordered as unsigned integers */
    return (uint64_t)bits << 32 | (uint32_t)~position;
}

static inline uint32_t td__key_position(uint64_t key)
{
    return ~(uint32_t)key;
}

static inline float td__key_score(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    float score;
    bits ^= bits >> 31 ? UINT32_C(1) << 31 : UINT32_MAX;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* Room for the k best of `total` positions: twice k keeps the work per key constant. */
static inline uint64_t td__topk_capacity(uint64_t k, uint64_t total)
{
    uint64_t roomy = k < 64 ? k + 64 : 2 * k;
    return roomy < total ? roomy : total == 0 ? 1 : total;
}

void td__topk_init(td__topk *top, uint64_t *keys, uint64_t capacity, uint64_t k);

/* Drop all but the k best; raises `floor` and `threshold`. */
void td__topk_shrink(td__topk *top);

/* Drop all but exactly the k best, in no order. */
void td__topk_cut(td__topk *top);

/* Offer a key. Whether it is wanted cannot be foreseen, so it is written in any case, and counted
 * if it is. */
static inline void td__topk_push(td__topk *top, uint64_t key)
{
    assert(top->count < top->capacity);
    top->keys[top->count] = key;
    top->count += key > top->floor;
    if (top->count == top->capacity) td__topk_shrink(top);
}

/* Write the k best (or all, if fewer came), best first, to `hits` [k]; returns how many. `top` is
 * then empty of use: init it again. */
uint64_t td__topk_finish(td__topk *top, td_hit *hits);

#endif
