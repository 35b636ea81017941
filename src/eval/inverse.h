/* inverse.h -- the inverse of a large symmetric positive definite matrix, in place.
 *
 * Serves: stage 6, EASE. */
#ifndef TD_EVAL_INVERSE_H
#define TD_EVAL_INVERSE_H

#include "base/context.h"
#include "base/status.h"

/* An inversion under way: call td__inverse_next until all `rows` are done. */
typedef struct td__inverse {
    td_context *context;
    float *matrix; /* [rows, rows] the lower triangle counts; borrowed */
    uint64_t rows;
    uint64_t done;    /* rows swept so far */
    double *pivot;    /* scratch, see inverse.c */
    float *diagonal;  /* [rows] of the matrix at first */
    float *column, *product, *panels, *inverse_panels;
} td__inverse;

TD_MUST_CHECK td_status td__inverse_init(td__inverse *out, td_context *context, float *matrix,
                                         uint64_t rows, td_error *err);
void td__inverse_clear(td__inverse *inverse); /* zeroed is fine */

/* Sweep the next rows. After the last ones the lower triangle holds MINUS the inverse. NUMERIC if the
 * matrix is not positive definite as far as float32 can tell. */
TD_MUST_CHECK td_status td__inverse_next(td__inverse *inverse, td_error *err);

/* Copy the lower triangle to the upper one. */
void td__mirror_lower(td_context *context, float *matrix, uint64_t rows);

#endif
