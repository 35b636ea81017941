/* bag.h -- the histories of a batch of queries, and room for what becomes of them.
 *
 * Serves: stages 3 and 5. In: for each query of a batch a list of rows of the candidate table. Out: the
 * lists as entries, their distinct rows, and for each of these the entries that it has: what
 * layer_history.c pools forward along the lists, and backward along the rows, so that a row's gradient is
 * one sum in one order, whoever computes it. */
#ifndef TD_MODEL_BAG_H
#define TD_MODEL_BAG_H

#include "model/layer.h"

typedef struct td__bag_shape {
    uint32_t lists;      /* of a batch, at most */
    uint64_t entries;    /* likewise */
    uint32_t table_rows; /* of the candidate table */
    uint32_t dim;        /* of its vectors */
    td_pooling pooling;
    bool training; /* a backward follows */
} td__bag_shape;

/* One thread at a time. Filled anew for each batch; allocates nothing then. */
typedef struct td__bag {
    td__bag_shape shape;
    uint32_t count;    /* lists */
    uint32_t *offset;  /* [lists + 1] entries of list i are offset[i] .. offset[i + 1] - 1 */
    uint32_t *item;    /* [entries] which of the distinct rows */
    uint32_t distinct; /* rows */
    uint32_t *rows;    /* [distinct] of the table */
    uint32_t *back;    /* [distinct + 2] of a backward: entries of row i are those numbered entry[back[i]] .. */
    uint32_t *entry;   /* [entries] ascending within a row */
    uint32_t *list_of; /* [entries] by number of the entry */
    /* Of layer_history.c. */
    float *weight;   /* [entries] with which an entry counts */
    float *d_score;  /* [entries] attention, training: gradient of what the softmax takes */
    float *vectors;  /* [distinct, dim] attention: rows of the table */
    float *keys;     /* [distinct, dim] attention: tanh(W e + b) */
    float *d_keys;   /* [distinct, dim] attention, training: gradient of W e + b */
    float *d_vectors; /* [distinct, dim] training: gradient of the table's rows */
    float *d_through; /* [distinct, dim] attention, training: the part of it that came through the keys */
    /* Of filling. */
    uint32_t *mark;  /* [table_rows] place of a row among the distinct ones + 1, or 0 */
    uint32_t *taken; /* [table_rows] number of the last list that has the row, or that is to lack it */
    uint32_t number; /* of the list being filled */
} td__bag;

/* LIMIT for more than 2^32 - 2 entries. */
TD_MUST_CHECK td_status td__bag_create(td__bag **out, td_context *context, const td__bag_shape *shape,
                                       td_error *err);
void td__bag_free(td__bag *bag, td_context *context);

/* Bytes of a bag, before there is one. */
uint64_t td__bag_bytes(const td__bag_shape *shape);

/* Fill: start; then for each list open, what it is to lack, what it has; then finish. `add` goes from the
 * end of `rows` on, up to `most` of them (0: all); what comes twice counts once, TD_NONE not at all. */
void td__bag_start(td__bag *bag);
void td__bag_open(td__bag *bag);
void td__bag_leave_out(td__bag *bag, uint32_t row);
void td__bag_add(td__bag *bag, const uint32_t *rows, uint64_t count, uint32_t most);
void td__bag_finish(td__bag *bag);

/* After a backward: the gradient of the candidate table from the queries' side. Borrowed. */
td__gradient td__bag_gradient(const td__bag *bag);

#endif
