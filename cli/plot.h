/* plot.h -- a search over settings as a picture. */
#ifndef TANDEM_CLI_PLOT_H
#define TANDEM_CLI_PLOT_H

#include "trials.h"

/* What the panels show. */
typedef struct cli_plot {
    const cli_trials *trials;
    const td_tune_range *ranges; /* [range_count] a panel for each */
    uint32_t range_count;
    const char *score; /* "ndcg@10" */
} cli_plot;

/* An SVG file: the scores in the order of the trials, and against each setting. */
TD_MUST_CHECK td_status cli_plot_write(const cli_plot *plot, td_context *context, const char *path,
                                       td_error *err);

#endif
