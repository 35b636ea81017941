/* baseline.h -- inside of a baseline: what its kinds share.
 *
 * Serves: stage 6. baseline.c has the options, the life and popularity; the other kinds have a file
 * each. A kind is two functions. */
#ifndef TD_EVAL_BASELINE_H
#define TD_EVAL_BASELINE_H

#include "eval/cooccurrence.h"

/* Work under way, told to the caller's hook. */
typedef struct td__baseline_progress {
    const td_progress_hook *hook; /* or NULL */
    double started, reported;     /* td__seconds */
} td__baseline_progress;

/* `done` of `total` candidates; the end is always told. CANCELLED if the hook says so. */
TD_MUST_CHECK td_status td__baseline_report(td__baseline_progress *progress, uint64_t done,
                                            uint64_t total, td_error *err);

typedef struct td__baseline_rule {
    /* Fill the part of the kind. `pairs` of the baseline are there; they go when this returns. */
    td_status (*build)(td_baseline *baseline, td__baseline_progress *progress, td_error *err);
    /* Add the scores of one query's candidates [count] to `scores` [candidates], zeros at first. */
    void (*score)(const td_baseline *baseline, const uint32_t *taken, uint64_t count,
                  float *scores);
} td__baseline_rule;

struct td_baseline {
    td_context *context;
    td_baseline_options options;
    const td__baseline_rule *rule;
    const td_dataset *train; /* borrowed */
    td_query_lists lists;    /* borrowed from it */
    uint32_t candidates;
    td__cooccurrence pairs; /* while it is built */

    float *popularity; /* [candidates] */

    uint64_t *target_offsets; /* [candidates + 1] item-kNN: candidates that count c as a neighbor */
    uint32_t *targets;        /* [target_offsets[candidates]] ascending within c */
    float *similarity;        /* [target_offsets[candidates]] of c and the target */

    float *weights; /* [candidates, candidates] EASE: B */
};

extern const td__baseline_rule td__baseline_knn;
extern const td__baseline_rule td__baseline_ease;

#endif
