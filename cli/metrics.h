/* metrics.h -- a model measured beside the popularity list. */
#ifndef TANDEM_CLI_METRICS_H
#define TANDEM_CLI_METRICS_H

#include <jansson.h>

#include "verb.h"

typedef struct cli_comparison {
    td_metrics model, popularity;
} cli_comparison;

TD_MUST_CHECK td_status cli_compare(cli_comparison *comparison, const cli_call *call,
                                    const td_model *model, const td_dataset *train,
                                    const td_dataset *test, const td_evaluate_options *options,
                                    td_error *err);
/* A table on standard output; and a warning on standard error if popularity is better. */
void cli_comparison_print(const cli_comparison *comparison, const td_evaluate_options *options);
/* {"model": METRICS, "popularity": METRICS}; NULL without memory. */
json_t *cli_comparison_json(const cli_comparison *comparison);

#endif
