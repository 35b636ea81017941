/* train_log.h -- what training did, one JSON line an epoch.
 *
 * Serves: stage 5. The file is rewritten whole after each epoch, so that it is never half a line and a
 * resumed training leaves the log of an uninterrupted one. */
#ifndef TD_TRAIN_TRAIN_LOG_H
#define TD_TRAIN_TRAIN_LOG_H

#include "base/context.h"
#include "base/status.h"

typedef struct td__epoch {
    uint32_t epoch; /* 1-based */
    uint64_t steps; /* so far */
    double loss;    /* mean per row */
    bool validated;
    double monitor; /* if validated */
    bool best;
    double learning_rate; /* of the last step */
    double seconds;       /* of this epoch's steps, without validation */
    double rows_per_second;
} td__epoch;

typedef struct td__train_log {
    td_context *context;
    const char *path; /* borrowed; NULL: keep the text, write nothing */
    char *text;       /* all lines so far; NULL at first */
    uint64_t bytes;
} td__train_log;

/* Add a line and write the file. */
TD_MUST_CHECK td_status td__train_log_add(td__train_log *log, const td__epoch *epoch, td_error *err);
/* Start from the text of an interrupted training. */
TD_MUST_CHECK td_status td__train_log_set(td__train_log *log, const char *text, td_error *err);
void td__train_log_clear(td__train_log *log);

#endif
