/* history.h -- a user who was not there when the model was trained, known by what was taken. */
#ifndef TANDEM_CLI_HISTORY_H
#define TANDEM_CLI_HISTORY_H

#include "ids.h"

typedef struct cli_history {
    td_context *context;
    uint32_t count;
    uint32_t *candidates; /* [count] positions in the model, distinct, in the order given: those
                           * of --history, then of the file, then titles */
    cli_ids ids;          /* [ids.count] the ids that were given, known or not */
    uint32_t unknown;     /* of them: passed over */
} cli_history;

/* Was any of --history, --history-title, --history-file given? */
bool cli_history_given(const cli_call *call);
/* Read these flags. NOT_FOUND if none of the candidates is known, ARGUMENT for a title that is not
 * that of one candidate. Undo with cli_history_clear, also after a failure. */
TD_MUST_CHECK td_status cli_history_read(cli_history *history, const cli_call *call,
                                         const td_model *model, const char *path, td_error *err);
void cli_history_clear(cli_history *history);

/* The vector of such a user: through the query tower, if it takes histories, else by folding in.
 * `vector` [heads, dim]. */
TD_MUST_CHECK td_status cli_history_vector(float *vector, const cli_history *history,
                                           const td_model *model, td_error *err);

#endif
