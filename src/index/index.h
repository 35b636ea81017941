/* index.h -- what an index is inside, for those who scan it.
 *
 * Serves: stages 6 and 7. The interface for users is public. */
#ifndef TD_INDEX_INDEX_H
#define TD_INDEX_INDEX_H

#include "kernel/kernel.h"

struct td_index {
    td_context *context;
    uint64_t count; /* N */
    uint32_t dim;
    float *panels;  /* [td__panel_count(N), dim, TD__PANEL]; columns past N are zeros */
    td_vocab *ids;  /* shared, or NULL */
    float greatest; /* largest absolute value of an element */
};

static inline const float *td__index_panel(const td_index *index, uint64_t panel)
{
    return index->panels + panel * index->dim * TD__PANEL;
}

/* Score of the item at `position` for one query vector [dim]: the same bits as in a scan. */
float td__index_score(const td_index *index, const float *query, uint32_t position);

/* NUMERIC, naming row and column, if an element is not finite; `what` is "item", "query". */
TD_MUST_CHECK td_status td__check_vectors(const td_vectors *vectors, const char *what,
                                          td_error *err);

static inline uint32_t td__heads(const td_vectors *vectors)
{
    return vectors->heads == 0 ? 1 : vectors->heads;
}

#endif
