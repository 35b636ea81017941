/* outer.h -- sums of outer products of vectors: weight * v v' over many v.
 *
 * Serves: stage 5, iALS. */
#ifndef TD_TRAIN_OUTER_H
#define TD_TRAIN_OUTER_H

#include "base/status.h"
#include "kernel/kernel.h"

/* A sum under way, with its scratch. One thread at a time. */
typedef struct td__outer {
    uint32_t width;    /* of the vectors */
    uint32_t panels;   /* that cover it */
    float *transposed; /* [width, vectors of a chunk] */
    float *packed;     /* [panels, vectors of a chunk, TD__PANEL] */
    float *tile;       /* [width, TD__PANEL] */
    float *sums;       /* [panels, width, TD__PANEL] */
} td__outer;

/* Which vectors, and which part of them: columns [column, column + width of the sum) of rows
 * `positions` [count] of a table. */
typedef struct td__outer_input {
    const float *table; /* [., dim] */
    uint32_t dim, column;
    const uint32_t *positions; /* [count], or NULL: the rows from `first` on */
    uint64_t first, count;
    const float *weight; /* [count] or NULL: 1 */
} td__outer_input;

TD_MUST_CHECK td_status td__outer_init(td__outer *out, td_context *context, uint32_t width,
                                       td_error *err);
void td__outer_clear(td__outer *outer, td_context *context); /* zeroed is fine */

/* Start anew with vectors of this width, at most that of the init. */
void td__outer_reset(td__outer *outer, uint32_t width);
void td__outer_add(td__outer *outer, const td__kernels *kernels, const td__outer_input *input);

/* The upper triangle of the sum, into that of `matrix` [width, width]. */
void td__outer_get(const td__outer *outer, float *matrix);

#endif
