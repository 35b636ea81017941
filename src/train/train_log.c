/* train_log.c -- what training did, one JSON line an epoch.
 *
 * Serves: stage 5. In: figures of an epoch. Out: a line of the log. */
#include "train/train_log.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/poison.h"

enum { LINE_MAX = 512 };

/* The line without its end; 0 if there is no memory. */
static size_t format_line(char line[LINE_MAX], const td__epoch *epoch)
{
    json_t *monitor = epoch->validated ? json_real(epoch->monitor) : json_null();
    json_t *object = json_pack("{s:I, s:I, s:f, s:o, s:b, s:f, s:f, s:f}", "epoch",
                               (json_int_t)epoch->epoch, "steps", (json_int_t)epoch->steps, "loss",
                               epoch->loss, "monitor", monitor, "best", (int)epoch->best,
                               "learning_rate", epoch->learning_rate, "seconds", epoch->seconds,
                               "rows_per_second", epoch->rows_per_second);
    if (object == NULL) return 0;
    size_t bytes = json_dumpb(object, line, LINE_MAX, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    return bytes < LINE_MAX ? bytes : 0;
}

static td_status append(td__train_log *log, const char *text, size_t bytes, td_error *err)
{
    td_status status = td__grow(&log->text, log->context, log->bytes + bytes + 1, 1, err);
    if (status != TD_OK) return status;
    memcpy(log->text + log->bytes, text, bytes);
    log->bytes += bytes;
    log->text[log->bytes] = '\0';
    return TD_OK;
}

static td_status write_file(const td__train_log *log, td_error *err)
{
    td__writer *writer;
    td_status status = td__writer_create(&writer, log->context, log->path, err);
    if (status != TD_OK) return status;
    status = td__writer_write(writer, log->text, log->bytes, err);
    if (status == TD_OK) return td__writer_commit(writer, err);
    td__writer_abandon(writer);
    return status;
}

td_status td__train_log_add(td__train_log *log, const td__epoch *epoch, td_error *err)
{
    td_status status = TD_OK;
    char line[LINE_MAX];
    size_t bytes = format_line(line, epoch);
    TD_FAIL_IF(bytes == 0, err, ERR_MEMORY, "out of memory for JSON");
    line[bytes] = '\n';
    TD_TRY(append(log, line, bytes + 1, err));
    if (log->path != NULL) TD_TRY(write_file(log, err));
done:
    return status;
}

td_status td__train_log_set(td__train_log *log, const char *text, td_error *err)
{
    log->bytes = 0;
    return append(log, text, strlen(text), err);
}

void td__train_log_clear(td__train_log *log)
{
    td__free(log->context, log->text);
    log->text = NULL;
    log->bytes = 0;
}
