/* cooccurrence.h -- how many queries took both of two candidates.
 *
 * Serves: stage 6, the baselines. */
#ifndef TD_EVAL_COOCCURRENCE_H
#define TD_EVAL_COOCCURRENCE_H

#include "base/status.h"

/* The distinct (query, candidate) pairs of a dataset, listed from both sides. */
typedef struct td__cooccurrence {
    td_context *context;
    uint32_t candidates;
    td_query_lists lists; /* borrowed from the dataset */
    uint64_t *offsets;    /* [candidates + 1] queries that took candidate c: queries[offsets[c]] .. */
    uint32_t *queries;    /* [offsets[candidates]] ascending within a candidate */
} td__cooccurrence;

/* `dataset` is borrowed until the clear. */
TD_MUST_CHECK td_status td__cooccurrence_init(td__cooccurrence *out, td_context *context,
                                              const td_dataset *dataset, td_error *err);
void td__cooccurrence_clear(td__cooccurrence *pairs); /* zeroed, or twice, is fine */

/* Number of queries that took candidate c. */
static inline uint64_t td__cooccurrence_count(const td__cooccurrence *pairs, uint32_t c)
{
    return pairs->offsets[c + 1] - pairs->offsets[c];
}

/* Visit candidate c: for each query that took it, each candidate of that query. Thus `counts`
 * [candidates], zeros at first, become the number of queries in common; `touched` [candidates] lists
 * those that are not zero, in no order. Returns how many. */
uint32_t td__cooccurrence_row(const td__cooccurrence *pairs, uint32_t c, uint32_t *counts,
                              uint32_t *touched);

#endif
