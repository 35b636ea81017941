/* row_groups.h -- which gradients of a step belong to the same row of weights.
 *
 * Serves: stage 5. */
#ifndef TD_TRAIN_ROW_GROUPS_H
#define TD_TRAIN_ROW_GROUPS_H

#include "base/context.h"
#include "base/status.h"

/* One group for each distinct row, in the order of first occurrence; its gradients are
 * first[g], next[first[g]], ..., ascending, up to TD_NONE. */
typedef struct td__row_groups {
    td_context *context;
    uint64_t rows;
    uint32_t *group; /* [rows] the group of a row; TD_NONE between steps */
    uint32_t count;  /* of groups */
    uint32_t *row;   /* [count] */
    uint32_t *first; /* [count] */
    uint32_t *last;  /* [count] */
    uint32_t *next;  /* [gradients] */
} td__row_groups;

TD_MUST_CHECK td_status td__row_groups_init(td__row_groups *groups, td_context *context,
                                            uint64_t rows, td_error *err);
void td__row_groups_clear(td__row_groups *groups);

/* Room for `count` gradients. LIMIT for more than 2^32 - 2. */
TD_MUST_CHECK td_status td__row_groups_reserve(td__row_groups *groups, uint64_t count,
                                               td_error *err);

/* Rows of some gradients. */
typedef struct td__row_list {
    const uint32_t *rows; /* [count] */
    uint64_t count;
} td__row_list;

/* Group the gradients of several lists, which are numbered through. Allocates nothing once there have been
 * as many before. ARGUMENT, with the position, for a row that is not there; LIMIT for more than 2^32 - 2
 * gradients. */
TD_MUST_CHECK td_status td__row_groups_make(td__row_groups *groups, const td__row_list *lists,
                                            uint32_t list_count, td_error *err);

#endif
