/* graph.h -- both tables smoothed over the graph of who took what.
 *
 * Serves: stage 5, --graph-layers. In: first weights, training rows, gradients of a step. Out: the tables
 * that the towers look up.
 *
 * What is learned are latent vectors e, one for each row of both tables. The tables hold
 *
 *     s = 1 / (L + 1)  sum for l = 0 .. L of A^l e,     A = [0 R; R' 0] with R(q, c) = 1 / sqrt(n(q) n(c))
 *
 * for each training row (q, c), n being how many rows a query or candidate has: LightGCN (He et al., SIGIR
 * 2020, equations 3 to 8). So queries are near those who took the same, and after training the tables are
 * those of any other model. A is symmetric: the gradient of e is the same map of the gradient of s. All rows
 * get a gradient in every step. */
#ifndef TD_TRAIN_GRAPH_H
#define TD_TRAIN_GRAPH_H

#include "model/model.h"

typedef enum td__graph_side { TD__GRAPH_QUERIES, TD__GRAPH_CANDIDATES, TD__GRAPH_SIDES } td__graph_side;

typedef struct td__graph td__graph;

/* The model's tables become the latent vectors, and the model's are smoothed. The model is borrowed. `layers`
 * at least 1. ARGUMENT if a query has not one vector of its own, without a history. */
TD_MUST_CHECK td_status td__graph_create(td__graph **out, td_model *model, const td_dataset *train,
                                         uint32_t layers, td_error *err);
void td__graph_free(td__graph *graph);

/* Note the gradient of some rows of a table as it stands; those of a row are added. */
void td__graph_add(td__graph *graph, td__graph_side side, const td__gradient *gradient);

/* Move the latent vectors by all that was noted, and smooth the tables anew. */
TD_MUST_CHECK td_status td__graph_step(td__graph *graph, td_optimizer *const optimizers[TD__GRAPH_SIDES],
                                       double learning_rate, td_error *err);

/* [rows, dim] of a side, for checkpoints; may be set, if the tables are set with them. */
float *td__graph_latent(td__graph *graph, td__graph_side side);

/* Bytes for tables of so many rows and so many training rows. */
uint64_t td__graph_bytes(uint64_t query_rows, uint64_t candidate_rows, uint32_t dim, uint64_t rows);

#endif
