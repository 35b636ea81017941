/* sampling.c -- how likely each candidate is to be in a batch, from counts.
 *
 * Serves: stage 4. In: rows of each candidate. Out: its share of all rows. */
#include "tandem/tandem.h"

#include "base/poison.h"

void td_sampling_from_counts(const uint64_t *counts, uint32_t count, float *probability)
{
    double total = 0.0;
    for (uint32_t i = 0; i < count; i++) total += (double)counts[i];
    for (uint32_t i = 0; i < count; i++) {
        probability[i] = total > 0.0 ? (float)((double)counts[i] / total) : 0.0f;
    }
}
