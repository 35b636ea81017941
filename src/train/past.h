/* past.h -- what the query tower takes in a step, if it adds histories.
 *
 * Serves: stage 5. In: a batch. Out: for each of its distinct queries the row of the id table, and the
 * history without all candidates that the batch has rows of the query for. So no positive is part of the
 * vector that is to find it, and still a query has one vector in the batch, whatever its rows: the loss
 * and its cost are those of towers without history. (A query whose whole history is in the batch is left
 * with nothing of it, which is why batches of whole queries take parts: epoch_order.h.) */
#ifndef TD_TRAIN_PAST_H
#define TD_TRAIN_PAST_H

#include "model/model.h"
#include "train/batches.h"

/* One thread at a time. */
typedef struct td__past td__past;

/* `shape`: of the largest batch. */
TD_MUST_CHECK td_status td__past_create(td__past **out, const td_model *model,
                                        const td_train_options *options, const td__batch_shape *shape,
                                        td_error *err);
void td__past_free(td__past *past);

/* Most distinct candidates in the histories of a batch. */
uint32_t td__past_candidates_max(const td__past *past);

/* The histories that were filled last. Borrowed. */
const td__bag *td__past_bag(const td__past *past);

/* For step number `step`: id_dropout is a function of seed, step and query. Borrowed until the next call.
 * Allocates nothing. */
td__tower_input td__past_fill(td__past *past, const td__batch *batch, uint64_t step);

#endif
