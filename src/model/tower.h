/* tower.h -- a stack of layers: ids -> vectors, and gradients back to the weights.
 *
 * Serves: stages 3 and 5. The first layer is a table with a row per known id, then the
 * out-of-vocabulary rows. The history may be added to it (layer_history.c). Dense layers may follow, all but the last with relu; then normalisation, if
 * scores are cosines. */
#ifndef TD_MODEL_TOWER_H
#define TD_MODEL_TOWER_H

#include "model/bag.h"

enum { TD__TOWER_LAYERS = TD_U32_LIST_MAX + 3 }; /* table, history, dense layers, normalisation */

typedef struct td__tower {
    uint32_t known;       /* ids with a row of their own: rows 0 .. known - 1 */
    uint32_t oov_buckets; /* rows behind them */
    uint32_t heads;       /* vectors per id */
    uint32_t dim;         /* of each */
    uint32_t layer_count;
    td__layer layers[TD__TOWER_LAYERS];
} td__tower;

typedef struct td__tower_shape {
    uint32_t known, oov_buckets, heads, dim;
    td_similarity similarity;
    td_u32_list layers; /* widths of dense layers; the last one's is dim, of each head. The table then
                         * has dim numbers a row, else heads * dim */
    const td__parameter *shared; /* table of the candidates whose histories are added, or NULL: none. The
                                  * out-of-vocabulary rows are then zero at first */
    td_pooling pooling;
} td__tower_shape;

/* `initial` NULL: weights to be loaded. LIMIT if there are too many rows. */
TD_MUST_CHECK td_status td__tower_create(td__tower *out, td_context *context,
                                         const td__tower_shape *shape, const td__initial *initial,
                                         td_error *err);
void td__tower_clear(td__tower *tower, td_context *context);

uint32_t td__tower_rows(const td__tower *tower);  /* of the id table */
uint32_t td__tower_width(const td__tower *tower); /* floats per id: heads * dim */

/* Row of an id of the tower's vocabulary: its position, or an out-of-vocabulary row by its hash. */
uint32_t td__tower_row(const td__tower *tower, const td_vocab *vocab, const char *id);

/* All weights of the tower, in order; NULL past the end. */
td__parameter *td__tower_parameter(td__tower *tower, uint32_t index);

/* Room for one batch in a tower: the outputs of the layers and, for training, their gradients.
 * Immutable towers may be used by any number of threads, each with its own pass. */
typedef struct td__pass td__pass;

TD_MUST_CHECK td_status td__pass_create(td__pass **out, td_context *context, const td__tower *tower,
                                        uint32_t rows_max, bool training, td_error *err);
void td__pass_free(td__pass *pass, td_context *context);

/* What goes in. All of it must stay there until the backward is done. */
typedef struct td__tower_input {
    uint32_t count;
    const uint32_t *rows; /* [count] of the id table; the same one may come several times */
    td__bag *bag;         /* [count lists] the histories, for a tower that adds them */
} td__tower_input;

/* Their vectors: the result [count, heads, dim] is borrowed until the next call. */
const float *td__tower_forward(const td__tower *tower, td_context *context, td__pass *pass,
                               const td__tower_input *input);

/* `d_output` [count, heads, dim] of the last forward -> a gradient for each td__tower_parameter, in
 * order; that of shared histories is in their bag. Borrowed until the next call; the gradient of a table
 * may be `d_output` itself, with a row as often as it came. */
const td__gradient *td__tower_backward(const td__tower *tower, td_context *context, td__pass *pass,
                                       const float *d_output);

#endif
