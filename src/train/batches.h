/* batches.h -- a dataset cut into batches, as rows of the towers' tables.
 *
 * Serves: stage 5. In: interactions. Out: for each batch its distinct query and candidate rows, and
 * which of them each interaction uses. A row of a table is what counts as one query or candidate: ids
 * that share an out-of-vocabulary row cannot be told apart by any tower, so they are the same one here,
 * for accidental hits and sampling probabilities too. (Where queries have no rows of their own, what
 * counts is td__model_query_number.) */
#ifndef TD_TRAIN_BATCHES_H
#define TD_TRAIN_BATCHES_H

#include "base/context.h"
#include "base/status.h"

/* The distinct table rows of one side of a batch: those of its interactions in order of first
 * occurrence, then other negatives; or, with negatives all, every candidate in the order of the table. */
typedef struct td__distinct {
    uint32_t count;
    const uint32_t *rows; /* [count] of the tower's table; of queries td__model_query_number */
    const uint32_t *of;   /* [batch count] which of `rows` each interaction uses */
} td__distinct;

typedef struct td__batch {
    uint32_t count; /* interactions */
    td__distinct queries, candidates;
    const uint64_t *candidate_id; /* [count] */
    const float *weight;          /* [count] or NULL: 1 */
    const float *probability;     /* [count] sampling probability of each candidate, or NULL */
    /* How each of the distinct candidates counts, if there are other negatives than the batch's own
     * (negatives.h), or NULL: each once an interaction, biases from `probability`. */
    const uint32_t *copies; /* [candidates.count] */
    const float *bias;      /* [candidates.count] or NULL: 0 */
    const float *own_bias;  /* [candidates.count] of positives, or NULL: bias */
    /* Decoupled: the columns that distinct query i has a training row for, here or in another batch, are
     * known_column[known_offset[i]] .. [known_offset[i + 1] - 1] (known.h). NULL: those of its rows here. */
    const uint32_t *known_offset; /* [queries.count + 1] */
    const uint32_t *known_column;
} td__batch;

/* The largest batch that may come. */
typedef struct td__batch_shape {
    uint32_t interactions, queries, candidates; /* distinct ones */
} td__batch_shape;

/* One thread at a time. */
typedef struct td__batches td__batches;

/* ARGUMENT if there are no rows, or if none of their ids is known to the model. LIMIT for too many. */
TD_MUST_CHECK td_status td__batches_create(td__batches **out, const td_model *model,
                                           const td_dataset *train, const td_train_options *options,
                                           td_error *err);
void td__batches_free(td__batches *batches);

uint32_t td__batches_rows(const td__batches *batches);     /* of an epoch */
uint32_t td__batches_count(const td__batches *batches);    /* of an epoch */
td__batch_shape td__batches_shape(const td__batches *batches);

/* Start epoch number `epoch`, from 0. Epochs may be started in any order, but for the streaming
 * estimates: they are a function of all batches before, see td__batches_replay. */
void td__batches_start(td__batches *batches, uint32_t epoch);

/* The next batch of the epoch, or NULL. Borrowed until the next call. Allocates nothing. */
const td__batch *td__batches_next(td__batches *batches);

/* Go through epochs 0 .. epochs - 1 as training did, to be as one who was there. */
void td__batches_replay(td__batches *batches, uint32_t epochs);

#endif
