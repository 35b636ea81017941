/* known.h -- which columns of a batch its queries are known to have.
 *
 * Serves: stage 5. In: the training rows; a batch. Out: for each of its distinct queries those of its
 * distinct candidates that the query has a training row for, in this batch or in another one.
 *
 * A decoupled loss leaves a query's positives out of what they are measured against. Where a batch takes
 * all rows of its queries, these are the rows of the batch, and nothing is to be looked up. Where it takes
 * single rows or parts, the others would count as negatives, and as the hardest ones. */
#ifndef TD_TRAIN_KNOWN_H
#define TD_TRAIN_KNOWN_H

#include "train/batches.h"

/* One thread at a time. */
typedef struct td__known td__known;

typedef struct td__known_source {
    td_rows rows;              /* of the training part, fewer than 2^32 - 1; read at once */
    const uint32_t *query_row; /* [queries of the dataset] row of the table */
    const uint32_t *candidate_row; /* [candidates of the dataset] */
    uint32_t table_rows;           /* of the queries */
    td__batch_shape shape;         /* of the largest batch */
} td__known_source;

/* A decoupled loss, and batches that may lack rows of their queries? */
bool td__known_needed(const td_model_options *model, const td_train_options *options);

TD_MUST_CHECK td_status td__known_create(td__known **out, td_context *context,
                                         const td__known_source *source, td_error *err);
void td__known_free(td__known *known, td_context *context);

/* Columns of the distinct query i: column[offset[i]] .. column[offset[i + 1] - 1]. */
typedef struct td__known_columns {
    const uint32_t *offset; /* [queries + 1] */
    const uint32_t *column;
} td__known_columns;

/* `place` [rows of the candidate table]: place of a row among the distinct ones + 1, or 0. Borrowed until
 * the next call. Allocates nothing. */
td__known_columns td__known_find(td__known *known, const td__distinct *queries, const uint32_t *place);

#endif
