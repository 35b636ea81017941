/* layer.h -- what a tower is made of: a step from vectors to vectors, with its weights and gradients.
 *
 * Serves: stage 3. A layer is a few numbers, a table of its weights and two functions. Everything that
 * must reach every weight walks the table: saving, loading, counting, checking, optimizers,
 * checkpoints, and the tests that compare gradients with finite differences. So a new kind of layer
 * is its two functions and its create. */
#ifndef TD_MODEL_LAYER_H
#define TD_MODEL_LAYER_H

#include "base/context.h"
#include "base/random.h"
#include "base/status.h"

enum { TD__LABEL_MAX = 24 }; /* bytes of a parameter's name within its tower */

/* Weights of one layer. */
typedef struct td__parameter {
    char name[TD__LABEL_MAX]; /* "embedding", "dense_2/kernel" */
    uint64_t rows;
    uint32_t cols;
    float *weights; /* [rows, cols] owned by the layer */
} td__parameter;

/* The gradient of one parameter: of some of its rows, or of all of them. Borrowed. */
typedef struct td__gradient {
    const uint32_t *touched; /* [count] distinct rows, or NULL: all, in order */
    uint64_t count;
    const float *values; /* [count, cols] */
} td__gradient;

/* One batch on its way through one layer. */
typedef struct td__flow {
    uint32_t count;          /* rows of the batch */
    const uint32_t *rows;    /* [count] which rows of the id table (first layer only) */
    struct td__bag *bag;     /* the histories (history layer only) */
    const float *input;      /* [count, width_in]; NULL for the first layer */
    float *output;           /* [count, width_out]; forward fills it, backward reads it */
    const float *d_output;   /* [count, width_out]; backward only */
    float *d_input;          /* [count, width_in]; backward fills it; NULL for the first layer */
    td__gradient *gradients; /* [parameter_count]; backward fills it */
    float *scratch;          /* of the layer's own, as its kind asked for; NULL: none */
} td__flow;

struct td__layer;

typedef struct td__layer_kind {
    const char *name;
    /* Bytes of scratch for one batch at a time, of any size; NULL: none. */
    uint64_t (*scratch)(const struct td__layer *layer, uint32_t threads, bool training);
    void (*forward)(const struct td__layer *layer, td_context *context, const td__flow *flow);
    void (*backward)(const struct td__layer *layer, td_context *context, const td__flow *flow);
} td__layer_kind;

enum { TD__LAYER_PARAMETERS = 2 }; /* most that a kind has today */

typedef struct td__layer {
    const td__layer_kind *kind;
    uint32_t width_in; /* floats per row; 0: takes rows of the id table */
    uint32_t width_out;
    uint32_t dim; /* of one vector; a row holds width_out / dim of them */
    bool relu;    /* behind a dense layer */
    uint32_t parameter_count;
    td__parameter parameters[TD__LAYER_PARAMETERS];
    const td__parameter *shared; /* history layer: the candidate tower's table; borrowed */
} td__layer;

/* Initial weights: number i of the table is a function of (seed, stream, i). */
typedef struct td__initial {
    td_initializer kind;
    float scale;
    uint64_t seed;
    td__stream stream;
} td__initial;

/* --- the kinds */

/* Table [rows, width] of vectors: id row -> its weights. `initial` NULL: weights are left as they
 * come, to be loaded. */
TD_MUST_CHECK td_status td__embedding_create(td__layer *out, td_context *context, uint64_t rows,
                                             uint32_t width, const td__initial *initial,
                                             td_error *err);

typedef struct td__dense_shape {
    uint32_t number; /* 1 for the first dense layer of a tower */
    uint32_t in, out;
    bool relu;
} td__dense_shape;

/* y = x W + b, or relu of it. `initial` NULL: weights are left as they come; else its seed and stream
 * count, not its distribution: first weights are those of Keras. */
TD_MUST_CHECK td_status td__dense_create(td__layer *out, td_context *context,
                                         const td__dense_shape *shape, const td__initial *initial,
                                         td_error *err);

/* Each vector of `dim` divided by its L2 norm; one shorter than 1e-12 becomes, and gets back, zero. */
void td__normalize_create(td__layer *out, uint32_t width, uint32_t dim);

typedef struct td__history_shape {
    uint32_t dim;
    td_pooling pooling;
    const td__parameter *shared; /* [., dim] the table that lists name rows of */
} td__history_shape;

/* y = x + the history pooled (td_pooling; bag.h). `initial` as for dense layers. The gradient of the
 * shared table is not among the layer's own: td__bag_gradient has it. */
TD_MUST_CHECK td_status td__history_create(td__layer *out, td_context *context,
                                           const td__history_shape *shape, const td__initial *initial,
                                           td_error *err);

/* Frees the weights; a zeroed layer is fine. */
void td__layer_clear(td__layer *layer, td_context *context);

#endif
