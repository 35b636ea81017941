/* negatives.h -- candidates that a batch is measured against beyond its own, and how each of them counts.
 *
 * Serves: stage 5. In: seed and step. Out: rows of the candidate table; weights of columns.
 *
 * The softmax of a batch sums over columns: distinct candidates, each with the number of times it came
 * (copies) and a bias. The kinds differ in what comes, and in the expected number of times
 *
 *     e(c) = (own + memory) rows of a batch * share of c in the training rows
 *            + count drawn * share of c in the draw (proportional to its rows ^ power)
 *
 * of which -ln is the bias: with it the sum estimates the one over all candidates ("log-q correction" of
 * the mixture; Yi et al., RecSys 2019; Yang et al., WWW 2020, mixed negative sampling).
 *
 *     batch     own = 1, count = 0: the other rows of the batch are the negatives
 *     sampled   own = 0: only what is drawn; a positive counts once, without bias, in its own rows
 *     mixed     own = 1
 *     all       every candidate once, no bias: the full softmax
 *
 * `memory` batches before the current one stay as negatives (cross-batch memory, Wang et al., SIGIR 2021).
 * What stays is the candidates, not their old vectors: with tables their present vectors cost a copy, so
 * nothing is stale and they learn too. */
#ifndef TD_TRAIN_NEGATIVES_H
#define TD_TRAIN_NEGATIVES_H

#include "base/context.h"
#include "base/status.h"

typedef struct td__negatives td__negatives;

/* The candidate table as the training part sees it. */
typedef struct td__negatives_source {
    const uint64_t *counts; /* [table_rows] training rows of each row of the table */
    uint32_t table_rows;
    uint32_t known;         /* the first of them are candidates of their own, the others catch-alls */
    uint32_t rows_max;      /* interactions of the largest batch */
    double rows_mean;       /* of a batch */
} td__negatives_source;

/* Is there anything to do beyond the batch's own candidates? */
bool td__negatives_needed(const td_train_options *options);

/* ARGUMENT for options that do not go together. `source` is read at once. */
TD_MUST_CHECK td_status td__negatives_create(td__negatives **out, td_context *context,
                                             const td__negatives_source *source,
                                             const td_train_options *options, td_error *err);
void td__negatives_free(td__negatives *negatives);

/* Columns beyond those of the batch's own candidates, at most. */
uint32_t td__negatives_columns_max(const td__negatives *negatives);

/* Rows that come with batch number `batch` of an epoch, with repetitions, in a fixed order: a function
 * of seed, epoch, batch, and for `memory` the batches before. Borrowed until the next call. For
 * negatives all, they are all candidates, each once, the same each time. */
typedef struct td__drawn {
    uint32_t count;
    const uint32_t *rows;
} td__drawn;
td__drawn td__negatives_draw(td__negatives *negatives, uint32_t epoch, uint32_t batch);

/* Keep the candidates of a batch for the next ones. */
void td__negatives_remember(td__negatives *negatives, const uint64_t *candidate_id, uint32_t count);

/* How a candidate counts. */
bool td__negatives_own(const td__negatives *negatives); /* do the batch's own rows add copies? */
bool td__negatives_are_all(const td__negatives *negatives);
const float *td__negatives_bias(const td__negatives *negatives);     /* [table_rows] or NULL: none */
bool td__negatives_separate(const td__negatives *negatives); /* positives have no bias, and count once */

#endif
