/* table.c -- the records of one text file, one after the other, with columns and places for errors.
 *
 * Serves: stage 1. In: a path and what is known of the file. Out: records. */
#include "data/table.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "data/number.h"
#include "base/poison.h"

enum {
    FIRST_FIELDS = 64,
    QUOTED_BYTES_MAX = 60,      /* of a field, in messages */
    RECORD_BYTES_MAX = 16 << 20 /* two million ids; an open quote must not eat all memory */
};

/* A piece of a field for a message: printable, not too long. `text` [QUOTED_BYTES_MAX + 4]. */
static void quote_field(char *text, const td__field *field)
{
    size_t bytes = field->bytes < QUOTED_BYTES_MAX ? field->bytes : QUOTED_BYTES_MAX;
    size_t good = td__utf8_prefix(field->text, bytes);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)field->text[i];
        text[i] = (char)(c < 0x20 || c == 0x7F || (i >= good && c >= 0x80) ? '?' : c);
    }
    memcpy(text + bytes, field->bytes > bytes ? "..." : "", field->bytes > bytes ? 4 : 1);
}

static uint64_t offset_of(const td__table *table, const char *at)
{
    return table->window.offset + (uint64_t)(at - table->window.bytes);
}

td_status td__table_fail(const td__table *table, uint32_t column, td_error *err,
                         const char *complaint)
{
    const td__field *field = &table->record.fields[column];
    char text[QUOTED_BYTES_MAX + 4];
    quote_field(text, field);
    return td__fail_at(err, TD_ERR_PARSE, table->line, offset_of(table, field->text),
                       "%s:%llu: column %u \"%s\" %s", table->path, (unsigned long long)table->line,
                       column + 1, text, complaint);
}

td_status td__table_skip(td__table *table, td_status status, td_error *err)
{
    if (status != TD_ERR_PARSE || !table->options.skip_bad_lines) return status;
    if (table->report->bad_lines++ == 0) {
        memcpy(table->report->first_bad, err->message, sizeof table->report->first_bad);
    }
    return TD_OK;
}

static td_status fail_line(const td__table *table, td_error *err, const char *complaint)
{
    return td__fail_at(err, TD_ERR_PARSE, table->line,
                       offset_of(table, table->window.bytes + table->at), "%s:%llu: %s",
                       table->path, (unsigned long long)table->line, complaint);
}

/* --- records */

static td_status read_on(td__table *table, td_error *err)
{
    uint64_t before = table->window.offset + table->window.count;
    td_status status = td__text_input_slide(table->input, table->at, &table->window, err);
    if (status != TD_OK) return status;
    table->at = 0;
    table->report->bytes += table->window.offset + table->window.count - before;
    return TD_OK;
}

static td__record_state parse(td__table *table, bool last)
{
    return td__record_parse(&table->record, table->dialect, table->window.bytes + table->at,
                            table->window.count - table->at, last);
}

/* The record goes on behind the window. Read on, unless it is so long that something must be wrong: a
 * quote left open is a bad record, anything else is beyond the limit. */
static td_status read_more(td__table *table, td__record_state *state, td_error *err)
{
    if (table->window.count - table->at < RECORD_BYTES_MAX) return read_on(table, err);
    *state = parse(table, true);
    if (*state == TD__RECORD_BAD) return TD_OK;
    return td__fail_at(err, TD_ERR_LIMIT, table->lines + 1, table->window.offset + table->at,
                       "%s:%llu: a line of more than %d MiB", table->path,
                       (unsigned long long)(table->lines + 1), RECORD_BYTES_MAX >> 20);
}

/* Take the record that was parsed: check it, and move behind it. */
static td_status take_record(td__table *table, td__record_state state, td_error *err)
{
    td_status status = TD_OK;
    const td__record *record = &table->record;
    table->line = table->lines + 1;
    if (state == TD__RECORD_BAD) {
        status = fail_line(table, err, record->reason);
    } else if (table->columns == 0) {
        table->columns = record->count;
    } else if (record->count != table->columns && record->count > 0
               && table->options.format != TD_FORMAT_LISTS) {
        char complaint[96];
        (void)snprintf(complaint, sizeof complaint, "has %u columns; the first line has %u",
                       record->count, table->columns);
        status = fail_line(table, err, complaint);
    }
    table->at += record->bytes;
    table->lines += record->lines;
    table->report->lines += record->lines;
    return status;
}

td_status td__table_next(td__table *table, bool *found, td_error *err)
{
    td_status status = TD_OK;
    *found = table->held;
    table->held = false;
    while (!*found) {
        td__record_state state = parse(table, table->window.last);
        if (state == TD__RECORD_MORE && table->window.last) break;
        if (state == TD__RECORD_MORE) TD_TRY(read_more(table, &state, err));
        if (state == TD__RECORD_MORE) continue;
        if (table->record.count > table->record.capacity) {
            TD_TRY(td__grow(&table->record.fields, table->context, table->record.count,
                            sizeof *table->record.fields, err));
            table->record.capacity = table->record.count;
            continue;
        }
        TD_TRY(take_record(table, state, err));
        *found = table->record.count > 0;
    }
done:
    return status;
}

/* --- text of fields */

static td_status scratch_of(td__table *table, uint32_t slot, size_t bytes, td_error *err)
{
    return td__grow(&table->scratch[slot], table->context, (uint64_t)bytes + 1, 1, err);
}

td_status td__table_text(td__table *table, uint32_t column, uint32_t slot, td__field *text,
                         td_error *err)
{
    td_status status = TD_OK;
    *text = table->record.fields[column];
    bool latin1 = table->options.encoding == TD_ENCODING_LATIN1;
    if (!text->doubled_quotes && !latin1) return TD_OK;
    size_t bytes = text->bytes;
    TD_TRY(scratch_of(table, slot, 3 * bytes, err));
    char *plain = table->scratch[slot] + (latin1 ? 2 * bytes : 0);
    *text = (td__field){plain, td__field_copy(plain, text), false};
    if (latin1) {
        text->bytes = td__utf8_from_latin1(table->scratch[slot], plain, text->bytes);
        text->text = table->scratch[slot];
    }
done:
    return status;
}

td_status td__table_check_text(const td__table *table, uint32_t column, const td__field *text,
                               td_error *err)
{
    if (memchr(text->text, '\0', text->bytes) != NULL) {
        return td__table_fail(table, column, err, "holds a NUL byte; is this a text file?");
    }
    if (td__utf8_prefix(text->text, text->bytes) != text->bytes) {
        return td__table_fail(table, column, err,
                              "is not UTF-8; if it is Latin-1, set the encoding to latin1");
    }
    return TD_OK;
}

td_status td__table_check_id(const td__table *table, uint32_t column, const td__field *text,
                             td_error *err)
{
    if (text->bytes == 0) return td__table_fail(table, column, err, "is empty; an id is expected");
    if (text->bytes > TD_ID_BYTES_MAX) {
        return td__table_fail(table, column, err, "is longer than the 4096 bytes an id may have");
    }
    return td__table_check_text(table, column, text, err);
}

/* --- columns */

const char *td__table_name(const td__table *table, uint32_t column)
{
    const char *name = table->names;
    if (name == NULL) return "";
    while (column-- > 0) name += strlen(name) + 1;
    return name;
}

uint32_t td__table_find_usual(const td__table *table, td__column_use use)
{
    uint32_t best = TD_NONE, best_rank = UINT32_MAX;
    for (uint32_t i = 0; table->names != NULL && i < table->columns; i++) {
        const char *name = td__table_name(table, i);
        uint32_t rank = td__column_rank(use, name, strlen(name));
        if (rank == 0 || rank >= best_rank) continue;
        best = i;
        best_rank = rank;
    }
    return best;
}

bool td__column_is_named(const char *wanted)
{
    uint32_t number;
    return wanted != NULL && !td__number_column(wanted, strlen(wanted), &number);
}

static td_status fail_column(const td__table *table, const char *wanted, td_error *err)
{
    char list[256] = "";
    size_t length = 0;
    if (table->names == NULL) {
        return td__fail(err, TD_ERR_NOT_FOUND,
                        "%s: there is no column \"%.60s\": %u columns without names", table->path,
                        wanted, table->columns);
    }
    for (uint32_t i = 0; i < table->columns; i++) {
        int wrote = snprintf(list + length, sizeof list - length, "%s%s", i == 0 ? "" : ", ",
                             td__table_name(table, i));
        if (wrote < 0 || (size_t)wrote >= sizeof list - length) break;
        length += (size_t)wrote;
    }
    list[length] = '\0';
    return td__fail(err, TD_ERR_NOT_FOUND, "%s: there is no column \"%.60s\"; columns are: %s",
                    table->path, wanted, list);
}

td_status td__table_find(const td__table *table, const char *wanted, uint32_t *column,
                         td_error *err)
{
    for (uint32_t i = 0; table->names != NULL && i < table->columns; i++) {
        *column = i;
        if (strcmp(td__table_name(table, i), wanted) == 0) return TD_OK;
    }
    uint32_t number;
    if (td__number_column(wanted, strlen(wanted), &number) && number <= table->columns) {
        *column = number - 1;
        return TD_OK;
    }
    *column = TD_NONE;
    return fail_column(table, wanted, err);
}

/* --- opening */

static td_status read_names(td__table *table, td_error *err)
{
    td_status status = TD_OK;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < table->record.count; i++) {
        td__field text;
        TD_TRY(td__table_text(table, i, 0, &text, err));
        TD_TRY(td__table_check_text(table, i, &text, err));
        TD_TRY(td__grow(&table->names, table->context, bytes + text.bytes + 1, 1, err));
        memcpy(table->names + bytes, text.text, text.bytes);
        table->names[bytes + text.bytes] = '\0';
        bytes += text.bytes + 1;
    }
done:
    return status;
}

/* The first window is the sample: all of a small file, some of a large one. */
static td_status read_sample(td__table *table, td_error *err)
{
    td_status status = read_on(table, err);
    if (status != TD_OK) return status;
    if (table->window.count >= 3 && memcmp(table->window.bytes, "\xEF\xBB\xBF", 3) == 0) table->at = 3;
    return TD_OK;
}

static td_status first_record(td__table *table, bool *found, td_error *err)
{
    td_status status;
    do {
        status = td__table_next(table, found, err);
        if (status == TD_OK) break;
        status = td__table_skip(table, status, err);
    } while (status == TD_OK);
    return status;
}

/* Format, header and number of columns, which the first record tells. */
static td_status examine(td__table *table, bool must_have_names, td_error *err)
{
    td_status status = TD_OK;
    const char *bytes = table->window.bytes + table->at;
    size_t count = table->window.count - table->at;
    td__table_options *options = &table->options;
    if (options->format == TD_FORMAT_AUTO) {
        options->format = td__detect_format(bytes, count, table->window.last);
    }
    table->dialect = td__dialect_of(options->format);
    if (options->format == TD_FORMAT_LISTS) options->header = TD_HEADER_NO;
    if (options->header == TD_HEADER_AUTO) {
        bool header = must_have_names
                      || td__detect_header(table->dialect, bytes, count, table->window.last);
        options->header = header ? TD_HEADER_YES : TD_HEADER_NO;
    }
    bool found;
    TD_TRY(first_record(table, &found, err));
    if (found && options->header == TD_HEADER_YES) TD_TRY(read_names(table, err));
    table->held = found && options->header == TD_HEADER_NO;
done:
    return status;
}

td_status td__table_open(td__table **out, td_context *context, const char *path,
                         const td__table_options *options, bool must_have_names,
                         td_read_report *report, td_error *err)
{
    td_status status = TD_OK;
    td__table *table = NULL;
    TD_TRY(td__alloc_zero(&table, context, 1, sizeof *table, err));
    table->context = context;
    table->path = path;
    table->options = *options;
    table->report = report;
    TD_TRY(td__alloc(&table->record.fields, context, FIRST_FIELDS, sizeof(td__field), err));
    table->record.capacity = FIRST_FIELDS;
    TD_TRY(td__text_input_open(&table->input, context, path, err));
    TD_TRY(read_sample(table, err));
    TD_TRY(examine(table, must_have_names, err));
    *out = table;
    return TD_OK;
done:
    td__table_close(table);
    *out = NULL;
    return status;
}

void td__table_close(td__table *table)
{
    if (table == NULL) return;
    td__text_input_close(table->input);
    for (uint32_t i = 0; i < TD__TABLE_SCRATCHES; i++) td__free(table->context, table->scratch[i]);
    td__free(table->context, table->names);
    td__free(table->context, table->record.fields);
    td__free(table->context, table);
}
