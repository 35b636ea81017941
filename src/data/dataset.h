/* dataset.h -- rows over two vocabularies, as the files of this layer make and cut them.
 *
 * Serves: stage 2. The rest of the interface is public. */
#ifndef TD_DATA_DATASET_H
#define TD_DATA_DATASET_H

#include <pthread.h>

#include "base/context.h"
#include "base/status.h"

struct td__container;

/* Rows are in memory of our own, or, if `container` is not NULL, in that mapped file. */
struct td_dataset {
    td_context *context;
    td_vocab *queries, *candidates; /* owned shares */
    uint64_t rows, capacity;
    uint32_t *query, *candidate; /* [rows] */
    float *weight;               /* [rows] or NULL */
    int64_t *timestamp;          /* [rows] or NULL */
    bool has_weight, has_timestamp;
    struct td__container *container;
    pthread_mutex_t lock; /* of what follows: made when first asked for */
    bool has_lists;
    uint64_t *list_offsets;
    uint32_t *list_candidates;
};

typedef struct td__row {
    uint32_t query, candidate;
    float weight;
    int64_t timestamp;
} td__row;

/* An empty dataset. Takes a share of each vocabulary; NULL: new ones. */
TD_MUST_CHECK td_status td__dataset_create(td_dataset **out, td_context *context, td_vocab *queries,
                                           td_vocab *candidates, td_error *err);
/* While it is being made: room for this many rows in all; one row more. */
TD_MUST_CHECK td_status td__dataset_reserve(td_dataset *dataset, uint64_t rows, td_error *err);
TD_MUST_CHECK td_status td__dataset_append(td_dataset *dataset, const td__row *row, td_error *err);

/* Row `index`, with weight 1 and time 0 where there are none. */
td__row td__dataset_row(const td_dataset *dataset, uint64_t index);

/* Map a file written by td_dataset_save: everything in it is verified. */
TD_MUST_CHECK td_status td__dataset_open(td_dataset **out, td_context *context, const char *path,
                                         td_error *err);

#endif
