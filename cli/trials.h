/* trials.h -- the trials of a search over settings: as rows, as JSON, as command lines. */
#ifndef TANDEM_CLI_TRIALS_H
#define TANDEM_CLI_TRIALS_H

#include <jansson.h>

#include "verb.h"

/* All that were run, in the order they were. */
typedef struct cli_trials {
    td_context *context;
    uint32_t count;
    td_tune_trial *trials; /* [count] */
} cli_trials;

TD_MUST_CHECK td_status cli_trials_add(cli_trials *trials, const td_tune_trial *trial,
                                       td_error *err);
void cli_trials_clear(cli_trials *trials);

/* The tandem train that makes the model of a trial: what was given to this call of tandem tune, the
 * trial's settings, `epochs`. */
typedef struct cli_remake {
    const cli_call *call;
    const td_option_table *own;        /* the verb's own options: of them only --items is train's */
    const char *validation_fraction;
    const char *output;
} cli_remake;

/* A line for the shell; NULL without memory. Owned: td__free. */
char *cli_trial_command(const cli_remake *remake, const td_tune_trial *trial, uint32_t epochs);

void cli_trials_print_head(const char *monitor);
void cli_trial_print(const td_tune_trial *trial, uint32_t epochs, bool is_best);
/* {"trial", "round", "epochs", "score" (null: diverged), "seconds", "settings", "command"} */
json_t *cli_trial_json(const td_tune_trial *trial, uint32_t epochs, const char *command);

#endif
