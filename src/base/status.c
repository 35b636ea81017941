/* status.c -- names of the status codes, and the filling of error reports.
 *
 * Serves: every stage. In: a code and a sentence. Out: td_error. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

typedef struct status_row {
    td_status status;
    int exit_code, http;
    const char *name, *sentence;
} status_row;

static const status_row status_rows[] = {
#define STATUS_ROW(name, value, exit_code, http, sentence) {TD_##name, exit_code, http, #name, sentence},
    TD_STATUS_MAP(STATUS_ROW)
#undef STATUS_ROW
};

static const status_row *status_find(td_status status)
{
    static const status_row unknown = {TD_ERR_STATE, 1, 500, "unknown", "unknown status"};
    for (size_t i = 0; i < sizeof status_rows / sizeof status_rows[0]; i++) {
        if (status_rows[i].status == status) return &status_rows[i];
    }
    return &unknown;
}

const char *td_status_name(td_status status)
{
    return status_find(status)->name;
}

const char *td_status_sentence(td_status status)
{
    return status_find(status)->sentence;
}

int td_status_exit_code(td_status status)
{
    return status_find(status)->exit_code;
}

int td_status_http(td_status status)
{
    return status_find(status)->http;
}

const char *td_version(void)
{
    return TD_VERSION_STRING;
}

/* A message cut in the middle of a UTF-8 character would no longer be text. */
static void cut_to_whole_character(char *message, size_t length)
{
    size_t start = length;
    while (start > 0 && ((unsigned char)message[start - 1] & 0xC0u) == 0x80u) start--;
    if (start > 0 && (unsigned char)message[start - 1] >= 0xC0u) message[start - 1] = '\0';
}

static void fill(td_error *err, td_status status, uint64_t line, uint64_t byte, const char *format,
                 va_list arguments) TD__PRINTF(5, 0);

static void fill(td_error *err, td_status status, uint64_t line, uint64_t byte, const char *format,
                 va_list arguments)
{
    if (err == NULL) return;
    err->status = status;
    err->line = line;
    err->byte = byte;
    int length = vsnprintf(err->message, sizeof err->message, format, arguments);
    if (length < 0) err->message[0] = '\0';
    if (length >= (int)sizeof err->message) cut_to_whole_character(err->message, sizeof err->message - 1);
}

td_status td__fail(td_error *err, td_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(err, status, 0, 0, format, arguments);
    va_end(arguments);
    return status;
}

td_status td__fail_at(td_error *err, td_status status, uint64_t line, uint64_t byte,
                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(err, status, line, byte, format, arguments);
    va_end(arguments);
    return status;
}

td_status td__fail_within(td_error *err, td_status status, const char *prefix)
{
    if (err == NULL) return status;
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    int length = snprintf(err->message, sizeof err->message, "%s: %s", prefix, inner);
    if (length >= (int)sizeof err->message) cut_to_whole_character(err->message, sizeof err->message - 1);
    return status;
}
