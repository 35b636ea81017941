/* plan.h -- inside of a memory plan.
 *
 * Serves: stage 5. plan.c has the model and the whole, plan_step.c what training works with,
 * eval/measure_plan.c what measuring takes. Each figure stands for the allocations of the file it names. */
#ifndef TD_TRAIN_PLAN_H
#define TD_TRAIN_PLAN_H

#include "base/saturate.h"
#include "base/status.h"
#include "model/bag.h"

/* What the parts of a plan are computed from. */
typedef struct td__plan_input {
    const td_plan_data *data;
    const td_model_options *model;
    uint64_t query_rows, candidate_rows; /* of the towers' tables; of queries, numbers (model.h) */
    uint32_t threads;
} td__plan_input;

/* Largest batch (batches.h), from sizes alone. */
typedef struct td__plan_batch {
    uint64_t interactions, queries, candidates;
} td__plan_batch;

/* --- the parts */

typedef struct td__plan_tower {
    uint64_t rows;       /* of the table */
    uint32_t table;      /* numbers of its rows */
    uint32_t width;      /* of the output, all heads */
    bool history, attention; /* layer_history.c behind the table, and with weights */
    const td_u32_list *layers;
} td__plan_tower;

td__plan_tower td__plan_tower_of(const td__plan_input *in, bool query);

/* Numbers in the weights of a tower. */
uint64_t td__plan_floats(const td__plan_tower *tower);

/* Matrices of a tower: `in` numbers to `out`, the bias apart. Number `index` of its dense layers. */
void td__plan_dense(const td__plan_tower *tower, uint32_t index, uint32_t *in, uint32_t *out);

/* Most training rows that one row of the table of queries, or of candidates, can have: rare ids share one. */
uint64_t td__plan_longest(const td__plan_input *in, bool query);

td__plan_batch td__plan_batch_of(const td__plan_input *in, const td_train_options *options);
/* bag.c, of `queries` queries of a batch of the largest size. */
td__bag_shape td__plan_bag(const td__plan_input *in, uint64_t queries, bool training);
uint64_t td__plan_workspace(const td__plan_input *in, const td_train_options *options);
uint64_t td__plan_ials_workspace(const td__plan_input *in, const td_ials_options *options);
uint64_t td__plan_optimizer(const td__plan_input *in, const td_train_options *options);

#endif
