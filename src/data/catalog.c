/* catalog.c -- an item file: ids, titles, and whatever else it says of an item.
 *
 * Serves: stages 1, 3 and 7. In: a path. Out: text by item and column.
 *
 * All cells lie in one block of text, each with a NUL behind, and a table of where each starts.
 * Invariant: the id at position p of `ids` is cell (p, id column). */
#include "data/catalog.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "data/table.h"
#include "base/poison.h"

struct td_catalog {
    td_context *context;
    td_vocab *ids;
    uint32_t columns, id_column, title_column; /* title_column TD_NONE: there is none */
    char *text;
    uint64_t text_bytes;
    uint64_t *names; /* [columns] where in `text` the name of a column starts */
    uint64_t *cells; /* [items, columns] where a cell starts */
};

uint32_t td__catalog_columns(const td_catalog *catalog)
{
    return catalog->columns;
}

const char *td__catalog_column_name(const td_catalog *catalog, uint32_t column)
{
    return catalog->text + catalog->names[column];
}

uint32_t td__catalog_find_column(const td_catalog *catalog, const char *name)
{
    for (uint32_t i = 0; i < catalog->columns; i++) {
        if (strcmp(td__catalog_column_name(catalog, i), name) == 0) return i;
    }
    return TD_NONE;
}

const char *td__catalog_cell(const td_catalog *catalog, uint32_t position, uint32_t column)
{
    return catalog->text + catalog->cells[(uint64_t)position * catalog->columns + column];
}

const td_vocab *td_catalog_ids(const td_catalog *catalog)
{
    return catalog->ids;
}

const char *td_catalog_title(const td_catalog *catalog, uint32_t position)
{
    if (catalog->title_column == TD_NONE) return td_vocab_id(catalog->ids, position);
    return td__catalog_cell(catalog, position, catalog->title_column);
}

void td_catalog_free(td_catalog *catalog)
{
    if (catalog == NULL) return;
    td_context *context = catalog->context;
    td__free(context, catalog->text);
    td__free(context, catalog->names);
    td__free(context, catalog->cells);
    td_vocab_free(catalog->ids);
    td__free(context, catalog);
}

/* --- reading */

static td_status add_text(td_catalog *catalog, const char *text, size_t bytes, uint64_t *start,
                          td_error *err)
{
    td_status status = td__grow(&catalog->text, catalog->context, catalog->text_bytes + bytes + 1,
                                1, err);
    if (status != TD_OK) return status;
    *start = catalog->text_bytes;
    memcpy(catalog->text + *start, text, bytes);
    catalog->text[*start + bytes] = '\0';
    catalog->text_bytes += bytes + 1;
    return TD_OK;
}

static td_status find_columns(td_catalog *catalog, const td__table *table,
                              const td_catalog_options *options, td_error *err)
{
    td_status status = TD_OK;
    catalog->columns = table->columns;
    catalog->id_column = td__table_find_usual(table, TD__COLUMN_ITEM);
    catalog->title_column = td__table_find_usual(table, TD__COLUMN_TITLE);
    if (options->id_column != NULL) {
        TD_TRY(td__table_find(table, options->id_column, &catalog->id_column, err));
    }
    if (options->title_column != NULL) {
        TD_TRY(td__table_find(table, options->title_column, &catalog->title_column, err));
    }
    if (catalog->id_column == TD_NONE) catalog->id_column = 0;
    if (catalog->title_column == TD_NONE && table->columns > 1) catalog->title_column = 1;
done:
    return status;
}

static td_status keep_names(td_catalog *catalog, const td__table *table, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__alloc(&catalog->names, catalog->context, catalog->columns, sizeof *catalog->names,
                     err));
    for (uint32_t i = 0; i < catalog->columns; i++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%u", i + 1);
        const char *name = table->names == NULL ? number : td__table_name(table, i);
        TD_TRY(add_text(catalog, name, strlen(name), &catalog->names[i], err));
    }
done:
    return status;
}

static td_status check_row(const td_catalog *catalog, td__table *table, td__field *id,
                           td_error *err)
{
    td_status status = TD_OK;
    td__field text;
    for (uint32_t i = 0; i < catalog->columns; i++) {
        TD_TRY(td__table_text(table, i, 1, &text, err));
        TD_TRY(td__table_check_text(table, i, &text, err));
    }
    TD_TRY(td__table_text(table, catalog->id_column, 0, id, err));
    TD_TRY(td__table_check_id(table, catalog->id_column, id, err));
    if (td_vocab_find(catalog->ids, id->text, id->bytes) != TD_NONE) {
        return td__table_fail(table, catalog->id_column, err,
                              "is the id of an earlier line too; an item has one line");
    }
done:
    return status;
}

/* All is checked before anything is added: a line that is skipped leaves no trace. */
static td_status read_row(td_catalog *catalog, td__table *table, td_error *err)
{
    td_status status = TD_OK;
    td__field id, text;
    uint32_t position;
    TD_TRY(check_row(catalog, table, &id, err));
    TD_TRY(td_vocab_add(catalog->ids, id.text, id.bytes, &position, err));
    uint64_t at = (uint64_t)position * catalog->columns;
    TD_TRY(td__grow(&catalog->cells, catalog->context, at + catalog->columns,
                    sizeof *catalog->cells, err));
    for (uint32_t i = 0; i < catalog->columns; i++) {
        TD_TRY(td__table_text(table, i, 1, &text, err));
        TD_TRY(add_text(catalog, text.text, text.bytes, &catalog->cells[at + i], err));
    }
done:
    return status;
}

static td_status read_rows(td_catalog *catalog, td__table *table, td_error *err)
{
    td_status status = TD_OK;
    for (;;) {
        bool found;
        status = td__table_next(table, &found, err);
        if (status == TD_OK && !found) break;
        if (status == TD_OK) status = read_row(catalog, table, err);
        if (status != TD_OK) TD_TRY(td__table_skip(table, status, err));
    }
    table->report->rows = td_vocab_count(catalog->ids);
done:
    return status;
}

static td_status read_file(td_catalog *catalog, const char *path, const td_catalog_options *o,
                           td_read_report *report, td_error *err)
{
    td_status status = TD_OK;
    td__table *table = NULL;
    td__table_options how = {o->format, o->header, o->encoding, o->skip_bad_lines};
    bool named = td__column_is_named(o->id_column) || td__column_is_named(o->title_column);
    TD_TRY(td__table_open(&table, catalog->context, path, &how, named, report, err));
    TD_FAIL_IF(table->options.format == TD_FORMAT_LISTS, err, ERR_ARGUMENT,
               "%s: an item file has columns, but its lines have different numbers of fields; name "
               "its format",
               path);
    if (table->columns > 0) {
        TD_TRY(find_columns(catalog, table, o, err));
        TD_TRY(keep_names(catalog, table, err));
    }
    TD_TRY(read_rows(catalog, table, err));
done:
    td__table_close(table);
    return status;
}

td_status td_catalog_read(td_catalog **out, td_context *context, const char *path,
                          const td_catalog_options *options, td_read_report *report, td_error *err)
{
    td_status status = TD_OK;
    td_catalog *catalog = NULL;
    td_catalog_options defaults;
    td_read_report unseen_report;
    td_error unseen_error;
    *out = NULL;
    if (report == NULL) report = &unseen_report;
    if (err == NULL) err = &unseen_error;
    *report = (td_read_report){0};
    td_catalog_options_init(&defaults);
    if (options == NULL) options = &defaults;
    TD_TRY(td_options_check(td_catalog_option_table(), options, err));
    TD_TRY(td__alloc_zero(&catalog, context, 1, sizeof *catalog, err));
    catalog->context = context;
    catalog->title_column = TD_NONE;
    TD_TRY(td_vocab_create(&catalog->ids, context, err));
    TD_TRY(read_file(catalog, path, options, report, err));
    *out = catalog;
    return TD_OK;
done:
    td_catalog_free(catalog);
    return status;
}
