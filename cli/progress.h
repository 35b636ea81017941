/* progress.h -- a bar on standard error while long work is under way, and Ctrl-C to stop it. */
#ifndef TANDEM_CLI_PROGRESS_H
#define TANDEM_CLI_PROGRESS_H

#include "verb.h"

typedef struct cli_progress {
    bool shown;     /* standard error is a terminal and --quiet was not given */
    uint32_t epoch; /* being trained; 0: none */
    double loss;    /* of that epoch so far */
    double seconds; /* since it began */
} cli_progress;

/* `progress` must live as long as the hook. The first Ctrl-C makes the hook return false, the
 * second ends the program. */
td_progress_hook cli_progress_start(cli_progress *progress, const cli_call *call);
/* Take the bar off the screen. Safe to call twice. */
void cli_progress_end(cli_progress *progress);

#endif
