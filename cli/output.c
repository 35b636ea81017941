/* output.c -- results on standard output.
 *
 * In: texts and JSON values. Out: bytes that a terminal or a parser can trust. */
#include "output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Length of the UTF-8 character at `text`, or 0 if there is none: overlong forms, surrogates and
 * values beyond U+10FFFF are none. */
static size_t character(const char *text)
{
    const unsigned char *b = (const unsigned char *)text;
    if (b[0] < 0x80) return 1;
    size_t length = b[0] >= 0xF0 ? 4 : b[0] >= 0xE0 ? 3 : 2;
    if (b[0] < 0xC2 || b[0] > 0xF4) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xC0u) != 0x80) return 0;
    }
    if (b[0] == 0xE0 && b[1] < 0xA0) return 0;
    if (b[0] == 0xED && b[1] > 0x9F) return 0;
    if (b[0] == 0xF0 && b[1] < 0x90) return 0;
    if (b[0] == 0xF4 && b[1] > 0x8F) return 0;
    return length;
}

/* Control characters of ASCII and of Latin-1 (two bytes from 0xC2 0x80 to 0xC2 0x9F). */
static bool is_control(const char *text)
{
    const unsigned char *b = (const unsigned char *)text;
    return b[0] < 0x20 || b[0] == 0x7F || (b[0] == 0xC2 && b[1] < 0xA0);
}

void cli_put_padded(FILE *out, const char *text, int width)
{
    for (; *text != '\0' && width != 0; width--) {
        size_t length = character(text);
        if (length == 0 || is_control(text)) fputc('?', out);
        else fwrite(text, 1, length, out);
        text += length == 0 ? 1 : length;
    }
    if (width > 0) fprintf(out, "%*s", width, "");
}

void cli_put(FILE *out, const char *text)
{
    cli_put_padded(out, text, -1);
}

int cli_width(const char *text)
{
    int width = 0;
    for (; *text != '\0'; width++) {
        size_t length = character(text);
        text += length == 0 ? 1 : length;
    }
    return width;
}

json_t *cli_json_text(const char *text)
{
    if (text == NULL) return json_null();
    json_t *whole = json_string(text);
    if (whole != NULL) return whole;
    char repaired[3 * 4096 + 4];
    size_t used = 0;
    while (*text != '\0' && used + 4 < sizeof repaired) {
        size_t length = character(text);
        memcpy(repaired + used, length == 0 ? "\xEF\xBF\xBD" : text, length == 0 ? 3 : length);
        used += length == 0 ? 3 : length;
        text += length == 0 ? 1 : length;
    }
    return json_stringn(repaired, used);
}

td_status cli_json_print(json_t *root, td_error *err)
{
    if (root == NULL) return td__fail(err, TD_ERR_MEMORY, "no memory for the JSON output");
    int failed = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    if (failed == 0) fputc('\n', stdout);
    return cli_output_end(err);
}

const char *cli_count(uint64_t count)
{
    static char ring[8][32];
    static unsigned next;
    char *text = ring[next++ % 8], digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *put = text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) *put++ = ',';
        *put++ = digits[i];
    }
    *put = '\0';
    return text;
}

static bool pipe_closed;

td_status cli_output_end(td_error *err)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return TD_OK;
    pipe_closed = pipe_closed || errno == EPIPE || errno == 0;
    return td__fail(err, TD_ERR_IO, "standard output: %s", strerror(errno));
}

bool cli_pipe_closed(void)
{
    return pipe_closed;
}

td_status cli_output_check(const char *path, td_error *err)
{
    char folder[4096];
    td_status status = TD_OK;
    TD_FAIL_IF(path == NULL, err, ERR_ARGUMENT, "--output needs the name of a file");
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    TD_FAIL_IF(length >= sizeof folder, err, ERR_ARGUMENT, "--output: the name is too long");
    memcpy(folder, path, length);
    folder[length] = '\0';
    const char *where = length == 0 ? "." : folder;
    TD_FAIL_IF(access(where, F_OK) != 0, err, ERR_NOT_FOUND, "%s: no such folder for --output",
               where);
    TD_FAIL_IF(access(where, W_OK) != 0, err, ERR_IO, "%s: %s", where, strerror(errno));
done:
    return status;
}
