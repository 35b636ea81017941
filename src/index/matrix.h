/* matrix.h -- vectors from files of others: what the readers share.
 *
 * Serves: stage 7. A reader gets the bytes of a whole file and makes an owned matrix, or says at
 * which byte or line it is no such file. Sizes in a file are believed only after the file proved to
 * have that many bytes. */
#ifndef TD_INDEX_MATRIX_H
#define TD_INDEX_MATRIX_H

#include "base/context.h"
#include "base/status.h"

struct td_matrix {
    td_context *context;
    float *data; /* [rows, heads, dim], owned */
    uint64_t rows;
    uint32_t dim;
    uint32_t heads;
};

/* Bytes of a file, borrowed, of any alignment. */
typedef struct td__bytes {
    const unsigned char *bytes;
    uint64_t size;
} td__bytes;

/* An empty matrix with room for rows * heads * dim floats. LIMIT for dimensions that are none. */
TD_MUST_CHECK td_status td__matrix_create(td_matrix **out, td_context *context, uint64_t rows,
                                          uint64_t heads, uint64_t dim, td_error *err);

/* NumPy: numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
TD_MUST_CHECK td_status td__matrix_from_npy(td_matrix **out, td_context *context, td__bytes file,
                                            td_error *err);
/* Per row: int32 dim, dim floats. corpus-texmex.irisa.fr */
TD_MUST_CHECK td_status td__matrix_from_fvecs(td_matrix **out, td_context *context, td__bytes file,
                                              td_error *err);
/* uint32 rows, uint32 dim, then all floats. big-ann-benchmarks.com */
TD_MUST_CHECK td_status td__matrix_from_fbin(td_matrix **out, td_context *context, td__bytes file,
                                             td_error *err);
/* One vector a line; numbers separated by commas, semicolons or blanks. */
TD_MUST_CHECK td_status td__matrix_from_text(td_matrix **out, td_context *context, td__bytes file,
                                             td_error *err);

#endif
