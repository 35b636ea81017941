/* count.h -- how many items score higher than a query's own?
 *
 * Serves: stage 6. The rank of a known item without a list of the others. */
#ifndef TD_INDEX_COUNT_H
#define TD_INDEX_COUNT_H

#include <stdatomic.h>

#include "index/index.h"

/* Add to counts[q] the number of items of the searcher's index whose score for query q is strictly
 * greater than thresholds[q], which must not be NaN. Scores without a value (NaN) count as greater.
 * Allocates nothing; shares the work among the context's threads. */
void td__count_greater(td_searcher *searcher, const td_vectors *queries, const float *thresholds,
                       atomic_uint_fast64_t *counts);

/* Can a score of this query [heads, dim] overflow? If not, all its scores are finite. */
bool td__may_overflow(const td_index *index, const float *query, uint32_t heads);

#endif
