/* table.h -- the records of one text file, one after the other, with columns and places for errors.
 *
 * Serves: stage 1. Puts together the bytes (text_input.h), the records (record.h) and what kind of
 * file it is (detect.h). One thread at a time. */
#ifndef TD_DATA_TABLE_H
#define TD_DATA_TABLE_H

#include "base/context.h"
#include "base/status.h"
#include "data/detect.h"
#include "data/record.h"
#include "data/text_input.h"

typedef struct td__table_options {
    td_text_format format;
    td_text_header header;
    td_text_encoding encoding;
    bool skip_bad_lines;
} td__table_options;

enum { TD__TABLE_SCRATCHES = 2 };

/* Fields are read by the users of a table and set by table.c. */
typedef struct td__table {
    td_context *context;
    const char *path;          /* borrowed */
    td__table_options options; /* with the format and the header found */
    td_read_report *report;    /* borrowed: bytes, lines and bad lines are counted here */
    uint32_t columns;          /* of the first record; 0: the file is empty */
    td__record record;         /* the last one found; borrows from the window */
    uint64_t line;             /* its first line, from 1 */
    td__dialect dialect;
    td__text_input *input;
    td__text_window window;
    size_t at;      /* in the window: behind the last record */
    uint64_t lines; /* up to there */
    bool held;      /* the first record was only looked at: it comes again */
    char *names;    /* header names in UTF-8, each with a NUL behind; NULL: no header */
    char *scratch[TD__TABLE_SCRATCHES];
} td__table;

/* Open a file, find out what it is, and read its header. `must_have_names`: a column is asked for
 * by name, so AUTO means that there is a header. */
TD_MUST_CHECK td_status td__table_open(td__table **out, td_context *context, const char *path,
                                       const td__table_options *options, bool must_have_names,
                                       td_read_report *report, td_error *err);
void td__table_close(td__table *table);

/* The next record that is not empty: table->record. *found is false at the end. PARSE, with the
 * table behind the bad record, if it cannot be read or has not as many fields as the first one. */
TD_MUST_CHECK td_status td__table_next(td__table *table, bool *found, td_error *err);

/* What to do with the failure of a record: if it is a PARSE and bad lines are to be skipped, count
 * it and return TD_OK; else return `status`. `err` is not NULL. */
td_status td__table_skip(td__table *table, td_status status, td_error *err);

/* "path:line: column 4 "abc" is not a timestamp": PARSE, about a field of the record. */
td_status td__table_fail(const td__table *table, uint32_t column, td_error *err,
                         const char *complaint);

/* A field as UTF-8 without doubled quotes. Borrowed until the next call with this `slot` (below
 * TD__TABLE_SCRATCHES) or the next record. Checks nothing. */
TD_MUST_CHECK td_status td__table_text(td__table *table, uint32_t column, uint32_t slot,
                                       td__field *text, td_error *err);
/* PARSE unless the text is UTF-8 without NUL. */
TD_MUST_CHECK td_status td__table_check_text(const td__table *table, uint32_t column,
                                             const td__field *text, td_error *err);
/* The same, and it is an id: not empty, not too long. */
TD_MUST_CHECK td_status td__table_check_id(const td__table *table, uint32_t column,
                                           const td__field *text, td_error *err);

/* Name of a column, "" without a header. */
const char *td__table_name(const td__table *table, uint32_t column);
/* Position of the column called `wanted`, or of that number (from 1). NOT_FOUND says which there
 * are. */
TD_MUST_CHECK td_status td__table_find(const td__table *table, const char *wanted, uint32_t *column,
                                       td_error *err);
/* Position of the column with the most usual name for this use, or TD_NONE. */
uint32_t td__table_find_usual(const td__table *table, td__column_use use);
/* Is this the name of a column, rather than its number? NULL is none. */
bool td__column_is_named(const char *wanted);

#endif
