/* ials_lists.h -- training rows as lists, one for each row of a table of vectors.
 *
 * Serves: stage 5, iALS and the graph (graph.h). */
#ifndef TD_TRAIN_IALS_LISTS_H
#define TD_TRAIN_IALS_LISTS_H

#include "base/status.h"

/* Those of row r are others[offsets[r]] .. others[offsets[r + 1] - 1], in the order of the dataset. A
 * pair that occurs twice stands there twice. */
typedef struct td__ials_lists {
    td_context *context;
    uint32_t rows;
    uint32_t filled;   /* rows with a list that is not empty */
    uint64_t longest;  /* list */
    uint64_t *offsets; /* [rows + 1] */
    uint32_t *others;  /* [offsets[rows]] rows of the other table */
    float *weight;     /* [offsets[rows]], or NULL: 1 */
} td__ials_lists;

/* `key`, `other` [count] rows of both tables; `weight` [count] or NULL. */
TD_MUST_CHECK td_status td__ials_lists_init(td__ials_lists *out, td_context *context, uint32_t rows,
                                            const uint32_t *key, const uint32_t *other,
                                            const float *weight, uint64_t count, td_error *err);
void td__ials_lists_clear(td__ials_lists *lists); /* zeroed is fine */

static inline uint64_t td__ials_lists_count(const td__ials_lists *lists, uint64_t row)
{
    return lists->offsets[row + 1] - lists->offsets[row];
}

#endif
