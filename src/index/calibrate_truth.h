/* calibrate_truth.h -- what a query ought to find, for calibration.
 *
 * Serves: stage 7. In: a tree, queries. Out: each query's best by the index itself, and which of these are
 * the best indeed.
 *
 * Of an index that keeps its vectors the two are the same. One of rounded items no longer has what the
 * items were, but it knows how rounding errs: each number by up to half a scale, any difference as likely as
 * another, none having to do with the others. So an item is taken to have been its row and such differences,
 * drawn once. As many of the best by these as are among the best by rows: so many of the true best are, on
 * the average (docs/speed.md says how near that comes). */
#ifndef TD_INDEX_CALIBRATE_TRUTH_H
#define TD_INDEX_CALIBRATE_TRUTH_H

#include "index/index.h"

enum {
    TD__TRUTH_KS = 3,
    TD__TRUTH_MAX = 128 /* best of a query: more than the largest k, as their order may be another */
};

/* The k that calibration learns of, ascending. */
extern const uint32_t td__truth_ks[TD__TRUTH_KS];

/* Some of a query's best, as bits. */
typedef struct td__ranks {
    uint64_t bits[TD__TRUTH_MAX / 64];
} td__ranks;

typedef struct td__truths {
    uint32_t width;
    td_hit *hits;     /* [queries, width] in the order of the index */
    uint32_t *counts; /* [queries] */
    td__ranks *best;  /* [queries, TD__TRUTH_KS]: those among the best k */
} td__truths;

/* To be cleared, on failure too. */
TD_MUST_CHECK td_status td__truths_make(td__truths *truths, const td_index *index,
                                        const td_vectors *queries, td_error *err);
void td__truths_clear(td__truths *truths, td_context *context);

/* Of the best td__truth_ks[kind], how many are hits of a search that found these? */
uint8_t td__truths_count(const td__truths *truths, uint64_t query, uint32_t kind, const td__ranks *found);

/* What a rounded item may have been, into `item` [dim]. */
void td__truth_guess(const td_index *index, uint32_t position, float *item);

#endif
