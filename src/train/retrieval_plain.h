/* retrieval_plain.h -- the plain engine of the retrieval task: the reference, row after row.
 *
 * Serves: stage 4. In: a batch that has been checked (retrieval.c). Out: loss and gradients. */
#ifndef TD_TRAIN_RETRIEVAL_PLAIN_H
#define TD_TRAIN_RETRIEVAL_PLAIN_H

#include "base/context.h"
#include "base/status.h"

/* Workspace: candidates in panels, one partial d_candidate a group of rows, one row of scores a
 * thread. One thread at a time. */
typedef struct td__plain td__plain;

/* Sized for batches up to `shape` (heads at least 1). Without `gradients` only for td__plain_scores. */
TD_MUST_CHECK td_status td__plain_create(td__plain **out, td_context *context,
                                         const td_retrieval_shape *shape,
                                         const td_retrieval_options *options, bool gradients,
                                         td_error *err);
void td__plain_free(td__plain *plain);

/* Steps 1 to 8 and their gradients, added up over the rows: no mean yet. Each row's weight is
 * sample_weight * scale. NUMERIC, with row and column, for a score that is not finite. */
TD_MUST_CHECK td_status td__plain_compute(td__plain *plain, const td_retrieval_batch *batch,
                                          double scale, td_retrieval_result *result, td_error *err);

/* Steps 1 to 7. `scores` [B, C]. */
TD_MUST_CHECK td_status td__plain_scores(td__plain *plain, const td_retrieval_batch *batch,
                                         float *scores, td_error *err);

#endif
