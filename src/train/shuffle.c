/* shuffle.c -- a random order that is a function of (seed, epoch).
 *
 * Serves: stage 5. In: seed and epoch. Out: a permutation.
 * Fisher-Yates (Knuth, TAOCP 3.4.2, algorithm P) from the identity, so an epoch needs nothing of the
 * epochs before it: that is what makes a resumed training the same. */
#include "train/shuffle.h"

#include "base/random.h"
#include "base/poison.h"

void td__shuffle(uint32_t *order, uint32_t count, uint64_t seed, uint64_t epoch)
{
    td__random numbers = td__random_stream(seed, TD__STREAM_SHUFFLE, epoch);
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = (uint32_t)td__random_below(numbers, i, i);
        uint32_t held = order[i - 1];
        order[i - 1] = order[other];
        order[other] = held;
    }
}
