/* matrix_text.c -- vectors as text, one a line.
 *
 * Serves: stage 7. In: the bytes of a file. Out: a matrix, or the line and column that is no
 * number. Numbers are separated by commas, semicolons, tabs or blanks; empty lines are skipped. All
 * lines have as many numbers as the first. */
#include "index/matrix.h"

#include <string.h>

#include "base/decimal.h"
#include "base/memory.h"
#include "base/poison.h"

/* The longest decimal that NumPy or C print of a double has 24 characters; this is generous. */
enum { NUMBER_MAX = 63 };

typedef struct text_reader {
    const unsigned char *at, *end;
    uint64_t line; /* from 1 */
    td_context *context;
    float *values;
    uint64_t count;
    uint64_t dim; /* 0: not known yet */
} text_reader;

static bool is_separator(unsigned char c)
{
    return c == ',' || c == ';' || c == ' ' || c == '\t' || c == '\r';
}

static bool parse_number(const unsigned char *bytes, size_t length, float *value)
{
    char text[NUMBER_MAX + 1];
    if (length > NUMBER_MAX) return false;
    memcpy(text, bytes, length);
    text[length] = '\0';
    /* Not all that the reader of decimals takes is one here: it knows infinity. */
    return strspn(text, "0123456789+-.eE") == length && td__decimal_read_f32(text, value);
}

/* Comma or semicolon with nothing in front: a missing value is an error, not a shorter vector. */
static bool skip_separator(text_reader *in, bool *comma)
{
    while (in->at < in->end && is_separator(*in->at)) {
        bool hard = *in->at == ',' || *in->at == ';';
        if (hard && *comma) return false;
        *comma = *comma || hard;
        in->at++;
    }
    return true;
}

static td_status read_number(text_reader *in, uint64_t column, td_error *err)
{
    const unsigned char *start = in->at;
    while (in->at < in->end && *in->at != '\n' && !is_separator(*in->at)) in->at++;
    size_t length = (size_t)(in->at - start);
    float value;
    if (!parse_number(start, length, &value)) {
        return td__fail_at(err, TD_ERR_PARSE, in->line, 0,
                           "line %llu: number %llu, \"%.*s\", is not a finite decimal number",
                           (unsigned long long)in->line, (unsigned long long)column + 1,
                           (int)(length < 40 ? length : 40), (const char *)start);
    }
    td_status status = td__grow(&in->values, in->context, in->count + 1, sizeof value, err);
    if (status == TD_OK) in->values[in->count++] = value;
    return status;
}

static td_status read_line(text_reader *in, td_error *err)
{
    td_status status = TD_OK;
    uint64_t column = 0;
    bool comma = true; /* none may come before the first number */
    while (true) {
        bool closed = skip_separator(in, &comma);
        bool ends = in->at == in->end || *in->at == '\n';
        if (ends && column == 0 && closed) break;
        if (!closed || (ends && comma)) {
            status = td__fail_at(err, TD_ERR_PARSE, in->line, 0,
                                 "line %llu: number %llu is missing", (unsigned long long)in->line,
                                 (unsigned long long)column + 1);
            goto done;
        }
        if (ends) break;
        TD_TRY(read_number(in, column++, err));
        comma = false;
    }
    if (column > 0 && in->dim == 0) in->dim = column;
    if (column > 0 && column != in->dim) {
        status = td__fail_at(
            err, TD_ERR_PARSE, in->line, 0, "line %llu has %llu numbers, the first vector has %llu",
            (unsigned long long)in->line, (unsigned long long)column, (unsigned long long)in->dim);
    }
done:
    return status;
}

td_status td__matrix_from_text(td_matrix **out, td_context *context, td__bytes file, td_error *err)
{
    td_status status = TD_OK;
    text_reader in = {
        .at = file.bytes, .end = file.bytes + file.size, .line = 1, .context = context};
    *out = NULL;
    for (; in.at < in.end; in.line++) {
        TD_TRY(read_line(&in, err));
        if (in.at < in.end) in.at++; /* the newline */
    }
    TD_FAIL_IF(in.dim == 0, err, ERR_PARSE, "there is no vector in this file");
    TD_TRY(td__matrix_create(out, context, 0, 1, in.dim, err));
    (*out)->rows = in.count / in.dim;
    (*out)->data = in.values;
    in.values = NULL;
done:
    td__free(context, in.values);
    return status;
}
