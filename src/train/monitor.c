/* monitor.c -- the figure that decides which epoch is best.
 *
 * Serves: stage 5. In: the model as it is, the validation part. Out: one metric. */
#include "train/monitor.h"

#include "base/poison.h"

static double metric_of(td_monitor monitor, const td_metrics_at *at)
{
    switch (monitor) {
    case TD_MONITOR_NDCG:
        return at->ndcg;
    case TD_MONITOR_RECALL:
        return at->recall;
    case TD_MONITOR_HIT_RATE:
        return at->hit_rate;
    case TD_MONITOR_MRR:
        return at->mrr;
    }
    return 0.0;
}

td_status td__validate(const td__validation *validation, double *monitor, td_error *err)
{
    td_metrics metrics;
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    options.k = (td_u32_list){.count = 1, .values = {validation->k}};
    options.exclude_seen = true;
    td_status status = td_evaluate_model(&metrics, validation->model, validation->train,
                                         validation->part, &options, validation->hook, err);
    if (status == TD_OK) *monitor = metric_of(validation->monitor, &metrics.at[0]);
    return status;
}

td_status td__validation_check(const td_dataset *train, const td_dataset *validation,
                               td_error *err)
{
    td_status status = TD_OK;
    if (validation == NULL) return TD_OK;
    TD_FAIL_IF(td_dataset_queries(validation) != td_dataset_queries(train)
                   || td_dataset_candidates(validation) != td_dataset_candidates(train),
               err, ERR_ARGUMENT,
               "training and validation part must share their vocabularies: take them from "
               "td_dataset_split or td_dataset_align");
    TD_FAIL_IF(td_dataset_rows(validation).count == 0, err, ERR_ARGUMENT,
               "the validation part has no rows");
done:
    return status;
}
