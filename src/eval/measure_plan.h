/* measure_plan.h -- how much memory it takes to measure a model, and what it is measured beside.
 *
 * Serves: stage 6, for the plans of train/plan.h. */
#ifndef TD_EVAL_MEASURE_PLAN_H
#define TD_EVAL_MEASURE_PLAN_H

#include "base/status.h"

typedef struct td__measure_plan {
    td_data_size size;       /* of the training part */
    uint64_t query_rows_max; /* of the query with the most */
    uint32_t heads, dim, threads;
    uint32_t baselines; /* bits 1 << td_baseline_kind */
} td__measure_plan;

/* td_evaluate_model on a part of `rows`, with its default options; 0 for no rows. */
uint64_t td__measure_plan_model(const td__measure_plan *in, uint64_t rows);

/* The baseline that takes the most, and its evaluation. */
uint64_t td__measure_plan_baselines(const td__measure_plan *in, uint64_t rows);

#endif
