/* monitor.c -- the figure that decides which epoch is best.
 *
 * Serves: stage 5. In: the model as it is, the validation part. Out: one metric. */
#include "train/trainer.h"
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

td_status td__trainer_validate(const td__trainer *trainer, double *monitor, td_error *err)
{
    td_metrics metrics;
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    options.k = (td_u32_list){.count = 1, .values = {trainer->options.monitor_k}};
    options.exclude_seen = true;
    td_status status = td_evaluate_model(&metrics, trainer->model, trainer->train,
                                         trainer->validation, &options, trainer->hook, err);
    if (status == TD_OK) *monitor = metric_of(trainer->options.monitor, &metrics.at[0]);
    return status;
}
