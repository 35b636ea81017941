/* shuffle.h -- a random order that is a function of (seed, epoch).
 *
 * Serves: stage 5. */
#ifndef TD_TRAIN_SHUFFLE_H
#define TD_TRAIN_SHUFFLE_H

#include <stdint.h>

/* Fill `order` [count] with a permutation of 0 .. count - 1, each as likely as any other. */
void td__shuffle(uint32_t *order, uint32_t count, uint64_t seed, uint64_t epoch);

#endif
