/* epoch_order.h -- in which order the interactions of an epoch come, and where its batches end.
 *
 * Serves: stage 5. In: seed and epoch. Out: positions of interactions. By rows, a batch is the next
 * `batch_size` interactions. By queries, it is all interactions of the next `batch_size` queries: each
 * query is then scored against the candidates once an epoch instead of once an interaction. Or of parts of
 * the interactions of a query, if it is not to meet them all at once: an epoch deals them anew, goes through
 * the queries with the first part of each, then in another order with the second, and so on. So two parts of
 * a query share a batch at most where one round ends and the next begins. */
#ifndef TD_TRAIN_EPOCH_ORDER_H
#define TD_TRAIN_EPOCH_ORDER_H

#include "base/context.h"
#include "base/status.h"

typedef struct td__epoch_order td__epoch_order;

/* The interactions that are to be ordered. */
typedef struct td__order_source {
    uint32_t rows;         /* interactions */
    const uint32_t *query; /* [rows] position of the query of each in the dataset */
    const uint32_t *row_of; /* [queries] row of the tower's table: what counts as one query */
    uint32_t table_rows;
    uint32_t parts; /* by query: of the interactions of each, at most; 1: all at once */
} td__order_source;

TD_MUST_CHECK td_status td__epoch_order_create(td__epoch_order **out, td_context *context,
                                               const td__order_source *source,
                                               const td_train_options *options, td_error *err);
void td__epoch_order_free(td__epoch_order *order);

uint32_t td__epoch_order_batches(const td__epoch_order *order); /* of an epoch */

/* Bounds of the largest batch of any epoch. */
uint32_t td__epoch_order_rows_max(const td__epoch_order *order);
uint32_t td__epoch_order_queries_max(const td__epoch_order *order);

/* Arrange epoch number `epoch`, from 0. Each is a function of seed and epoch alone. */
void td__epoch_order_start(td__epoch_order *order, uint32_t epoch);

/* Place in the epoch behind batch `batch`; the place of its first interaction is the end of the one
 * before. */
uint32_t td__epoch_order_end(const td__epoch_order *order, uint32_t batch);

/* Interaction at a place of the epoch. */
uint32_t td__epoch_order_at(const td__epoch_order *order, uint32_t place);

#endif
