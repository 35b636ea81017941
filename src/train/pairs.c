/* pairs.c -- training rows as pairs of rows of the two tables.
 *
 * Serves: stage 5. In: a dataset, a model. Out: for each row of the first, two rows of the second. */
#include "train/pairs.h"

#include "base/memory.h"
#include "base/poison.h"

static void map_rows(uint32_t *out, const uint32_t *positions, uint64_t count,
                     const uint32_t *vocab_rows)
{
    for (uint64_t i = 0; i < count; i++) out[i] = vocab_rows[positions[i]];
}

td_status td__pairs_fill(uint32_t *query, uint32_t *candidate, const td_model *model,
                         const td_dataset *train, td_error *err)
{
    td_status status = TD_OK;
    const td_vocab *queries = td_dataset_queries(train);
    const td_vocab *candidates = td_dataset_candidates(train);
    td_rows rows = td_dataset_rows(train);
    uint32_t more = td_vocab_count(queries), *vocab_rows = NULL;
    if (more < td_vocab_count(candidates)) more = td_vocab_count(candidates);
    TD_TRY(td__alloc(&vocab_rows, model->context, more, sizeof *vocab_rows, err));
    td__model_number_queries(model, queries, vocab_rows);
    map_rows(query, rows.query, rows.count, vocab_rows);
    td__model_candidate_rows(model, candidates, vocab_rows);
    map_rows(candidate, rows.candidate, rows.count, vocab_rows);
done:
    td__free(model->context, vocab_rows);
    return status;
}
