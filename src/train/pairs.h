/* pairs.h -- training rows as pairs of rows of the two tables.
 *
 * Serves: stage 5, for trainers that work on all rows at once. */
#ifndef TD_TRAIN_PAIRS_H
#define TD_TRAIN_PAIRS_H

#include "model/model.h"

/* `query`, `candidate` [rows of train] are filled: number of the query (td__model_query_number), row of
 * the candidate. */
TD_MUST_CHECK td_status td__pairs_fill(uint32_t *query, uint32_t *candidate, const td_model *model,
                                       const td_dataset *train, td_error *err);

#endif
