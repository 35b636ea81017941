/* retrieval_fused.h -- the fast engine of the retrieval task: kernel/softmax.h for a batch as it is.
 *
 * Serves: stage 4. In: a batch that has been checked (retrieval.c). Out: loss and gradients. The same
 * as the plain engine to rounding. Where two scores are equal to rounding, heads and hard negatives may
 * be chosen the other way. */
#ifndef TD_TRAIN_RETRIEVAL_FUSED_H
#define TD_TRAIN_RETRIEVAL_FUSED_H

#include "base/context.h"
#include "base/status.h"

/* One thread at a time. */
typedef struct td__fused td__fused;

/* Sized for batches up to `shape`: O(C D) floats and the strips of the threads. */
TD_MUST_CHECK td_status td__fused_create(td__fused **out, td_context *context,
                                         const td_retrieval_shape *shape,
                                         const td_retrieval_options *options, td_error *err);
void td__fused_free(td__fused *fused);

/* As td__plain_compute. NUMERIC, with the row, for a score that is not finite. */
TD_MUST_CHECK td_status td__fused_compute(td__fused *fused, const td_retrieval_batch *batch,
                                          double scale, td_retrieval_result *result, td_error *err);

/* The correction of a score: -ln(clip(probability, 1e-6, 1)). */
float td__sampling_bias(float probability);

#endif
