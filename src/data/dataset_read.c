/* dataset_read.c -- text files of interactions become a dataset.
 *
 * Serves: stages 1 and 2. In: paths and which columns mean what. Out: a dataset, and a report.
 *
 * One pass. All that can be wrong with a line is checked before its ids are added, so a line that
 * is skipped leaves no trace in the vocabularies. An id that is known already has been checked. */
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/container.h"
#include "data/dataset.h"
#include "data/number.h"
#include "data/table.h"
#include "base/poison.h"

enum { ROWS_PER_REPORT = 4096 };

/* An id of the row in hand. */
typedef struct row_id {
    td__field text;
    uint32_t position; /* TD_NONE: not in the vocabulary yet */
} row_id;

typedef struct reader {
    td_dataset *dataset;
    const td_read_options *options;
    td_read_report *report;
    td__table *table;
    uint32_t query, candidate, weight, rating, timestamp; /* columns; TD_NONE: not read */
    row_id last_query; /* only position and bytes of the text hold: files often go query by query */
    const td_progress_hook *hook;
    uint64_t bytes_done, bytes_total; /* of the files before this one; of all */
    double begin;    /* of all, in seconds */
    double reported; /* seconds from `begin` to the last report */
} reader;

/* --- progress */

/* The sum of the sizes, 0 if one of them has none (a pipe). */
static uint64_t total_bytes(const char *const *paths, uint32_t count)
{
    uint64_t total = 0;
    struct stat info;
    for (uint32_t i = 0; i < count; i++) {
        if (stat(paths[i], &info) != 0 || !S_ISREG(info.st_mode)) return 0;
        total += (uint64_t)info.st_size;
    }
    return total;
}

/* A pipe is not probed: that would take its first bytes. */
static bool is_saved(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && td__container_probe(path);
}

static td_status report_progress(reader *r, uint64_t done, bool force, td_error *err)
{
    if (r->hook == NULL || r->hook->report == NULL) return TD_OK;
    double seconds = td__seconds() - r->begin;
    if (!force && seconds - r->reported < 0.05) return TD_OK;
    r->reported = seconds;
    td_progress progress = {.stage = "read",
                            .done = done,
                            .total = r->bytes_total,
                            .unit = "bytes",
                            .seconds = seconds};
    if (r->hook->report(r->hook->user, &progress)) return TD_OK;
    return td__fail(err, TD_ERR_CANCELLED, "reading was stopped");
}

/* --- columns */

static td_status find_named(const reader *r, const char *wanted, uint32_t *column, td_error *err)
{
    *column = TD_NONE;
    if (wanted == NULL) return TD_OK;
    return td__table_find(r->table, wanted, column, err);
}

/* By its usual name, else the first column that is not `taken`. */
static td_status find_id_column(const reader *r, const char *wanted, td__column_use use,
                                uint32_t taken, uint32_t *column, td_error *err)
{
    if (wanted != NULL) return td__table_find(r->table, wanted, column, err);
    *column = td__table_find_usual(r->table, use);
    if (*column == TD_NONE || *column == taken) *column = taken == 0 ? 1 : 0;
    if (*column < r->table->columns) return TD_OK;
    return td__fail(err, TD_ERR_PARSE,
                    "%s: the first line has 1 column; a query id and a candidate id are needed",
                    r->table->path);
}

/* A minimum means nothing without ratings, so their column is looked for. */
static td_status find_rating(reader *r, td_error *err)
{
    if (r->options->rating_column != NULL) {
        return td__table_find(r->table, r->options->rating_column, &r->rating, err);
    }
    r->rating = TD_NONE;
    if (!(r->options->rating_min > 0) && !(r->options->rating_min < 0)) return TD_OK;
    r->rating = td__table_find_usual(r->table, TD__COLUMN_RATING);
    if (r->rating != TD_NONE) return TD_OK;
    return td__fail(err, TD_ERR_ARGUMENT,
                    "%s: a lowest rating is set, but no column is known to be the rating; name it",
                    r->table->path);
}

static td_status find_columns(reader *r, td_error *err)
{
    td_status status = TD_OK;
    const td_read_options *options = r->options;
    uint32_t given = TD_NONE;
    if (options->candidate_column != NULL) {
        TD_TRY(td__table_find(r->table, options->candidate_column, &given, err));
    }
    TD_TRY(find_id_column(r, options->query_column, TD__COLUMN_QUERY, given, &r->query, err));
    TD_TRY(find_id_column(r, options->candidate_column, TD__COLUMN_CANDIDATE, r->query,
                          &r->candidate, err));
    TD_TRY(find_named(r, options->weight_column, &r->weight, err));
    TD_TRY(find_named(r, options->timestamp_column, &r->timestamp, err));
    TD_TRY(find_rating(r, err));
done:
    return status;
}

/* Lists have no columns but the first; a column that is asked for cannot be there. */
static td_status check_lists(const reader *r, td_error *err)
{
    const td_read_options *o = r->options;
    bool asked = o->query_column != NULL || o->candidate_column != NULL || o->weight_column != NULL
                 || o->rating_column != NULL || o->timestamp_column != NULL || o->rating_min > 0
                 || o->rating_min < 0;
    if (!asked) return TD_OK;
    return td__fail(
        err, TD_ERR_ARGUMENT,
        "%s: is a file of lists, which has no columns to choose; if it is not, name its "
        "format",
        r->table->path);
}

/* --- rows */

/* Take the id in this column: find it, or see that it can be added. */
static td_status take_id(reader *r, const td_vocab *vocab, uint32_t column, uint32_t slot,
                         row_id *id, td_error *err)
{
    td_status status = td__table_text(r->table, column, slot, &id->text, err);
    if (status != TD_OK) return status;
    id->position = td_vocab_find(vocab, id->text.text, id->text.bytes);
    if (id->position != TD_NONE) return TD_OK;
    return td__table_check_id(r->table, column, &id->text, err);
}

/* The same for a query, which most often is that of the line before. */
static td_status take_query(reader *r, row_id *id, td_error *err)
{
    const td__field *field = &r->table->record.fields[r->query];
    const row_id *last = &r->last_query;
    bool same =
        last->position != TD_NONE && field->bytes == last->text.bytes && !field->doubled_quotes
        && r->options->encoding == TD_ENCODING_UTF8
        && memcmp(field->text, td_vocab_id(r->dataset->queries, last->position), field->bytes) == 0;
    *id = *last;
    return same ? TD_OK : take_id(r, r->dataset->queries, r->query, 0, id, err);
}

static td_status add_id(td_vocab *vocab, row_id *id, td_error *err)
{
    if (id->position != TD_NONE) return TD_OK;
    return td_vocab_add(vocab, id->text.text, id->text.bytes, &id->position, err);
}

static td_status take_weight(const reader *r, float *weight, td_error *err)
{
    if (r->weight == TD_NONE) return TD_OK;
    const td__field *field = &r->table->record.fields[r->weight];
    if (td__number_float(field->text, field->bytes, weight) && *weight >= 0) return TD_OK;
    return td__table_fail(r->table, r->weight, err, "is not a weight (a number, at least 0)");
}

static td_status take_timestamp(const reader *r, int64_t *timestamp, td_error *err)
{
    if (r->timestamp == TD_NONE) return TD_OK;
    const td__field *field = &r->table->record.fields[r->timestamp];
    if (td__number_seconds(field->text, field->bytes, timestamp)) return TD_OK;
    return td__table_fail(r->table, r->timestamp, err, "is not a timestamp (seconds, as a number)");
}

static td_status take_rating(const reader *r, bool *enough, td_error *err)
{
    float rating;
    *enough = true;
    if (r->rating == TD_NONE) return TD_OK;
    const td__field *field = &r->table->record.fields[r->rating];
    if (!td__number_float(field->text, field->bytes, &rating)) {
        return td__table_fail(r->table, r->rating, err, "is not a rating (a number)");
    }
    *enough = rating >= r->options->rating_min;
    return TD_OK;
}

static td_status read_row(reader *r, td_error *err)
{
    td_status status = TD_OK;
    td_dataset *dataset = r->dataset;
    td__row row = {.weight = 1.0f};
    row_id query, candidate;
    bool enough;
    TD_TRY(take_weight(r, &row.weight, err));
    TD_TRY(take_timestamp(r, &row.timestamp, err));
    TD_TRY(take_rating(r, &enough, err));
    TD_TRY(take_query(r, &query, err));
    TD_TRY(take_id(r, dataset->candidates, r->candidate, 1, &candidate, err));
    if (!enough) {
        r->report->below_rating++;
        return TD_OK;
    }
    TD_TRY(add_id(dataset->queries, &query, err));
    TD_TRY(add_id(dataset->candidates, &candidate, err));
    row.query = query.position;
    row.candidate = candidate.position;
    r->last_query = query;
    TD_TRY(td__dataset_append(dataset, &row, err));
done:
    return status;
}

/* A query and its candidates: all are checked before the first is added. */
static td_status read_list(reader *r, td_error *err)
{
    td_status status = TD_OK;
    td_dataset *dataset = r->dataset;
    uint32_t count = r->table->record.count;
    row_id query, candidate;
    for (uint32_t i = 0; i < count; i++) {
        TD_TRY(td__table_text(r->table, i, 0, &query.text, err));
        TD_TRY(td__table_check_id(r->table, i, &query.text, err));
    }
    if (count < 2) return TD_OK;
    TD_TRY(take_id(r, dataset->queries, 0, 0, &query, err));
    TD_TRY(add_id(dataset->queries, &query, err));
    for (uint32_t i = 1; i < count; i++) {
        TD_TRY(take_id(r, dataset->candidates, i, 1, &candidate, err));
        TD_TRY(add_id(dataset->candidates, &candidate, err));
        td__row row = {query.position, candidate.position, 1.0f, 0};
        TD_TRY(td__dataset_append(dataset, &row, err));
    }
done:
    return status;
}

/* --- files */

static td_status read_records(reader *r, td_error *err)
{
    td_status status = TD_OK;
    td__table *table = r->table;
    bool lists = table->options.format == TD_FORMAT_LISTS;
    for (uint64_t n = 1;; n++) {
        bool found;
        status = td__table_next(table, &found, err);
        if (status == TD_OK && !found) break;
        if (status == TD_OK) status = lists ? read_list(r, err) : read_row(r, err);
        if (status != TD_OK) TD_TRY(td__table_skip(table, status, err));
        if (n % ROWS_PER_REPORT != 0) continue;
        uint64_t done = r->bytes_done + td__text_input_position(table->input);
        TD_TRY(report_progress(r, done, false, err));
    }
done:
    return status;
}

static td_status read_file(reader *r, const char *path, td_error *err)
{
    td_status status = TD_OK;
    const td_read_options *o = r->options;
    td__table_options how = {o->format, o->header, o->encoding, o->skip_bad_lines};
    bool named = td__column_is_named(o->query_column) || td__column_is_named(o->candidate_column)
                 || td__column_is_named(o->weight_column) || td__column_is_named(o->rating_column)
                 || td__column_is_named(o->timestamp_column);
    TD_TRY(td__table_open(&r->table, r->dataset->context, path, &how, named, r->report, err));
    if (r->table->columns > 0) {
        bool lists = r->table->options.format == TD_FORMAT_LISTS;
        TD_TRY(lists ? check_lists(r, err) : find_columns(r, err));
    }
    TD_TRY(read_records(r, err));
    r->bytes_done += td__text_input_position(r->table->input);
done:
    td__table_close(r->table);
    r->table = NULL;
    return status;
}

static td_status read_files(reader *r, const char *const *paths, uint32_t count, td_error *err)
{
    td_status status = TD_OK;
    r->begin = td__seconds();
    r->bytes_total = total_bytes(paths, count);
    for (uint32_t i = 0; i < count; i++) {
        TD_FAIL_IF(is_saved(paths[i]), err, ERR_ARGUMENT,
                   "%s: is a saved dataset, which can only be read alone", paths[i]);
        TD_TRY(read_file(r, paths[i], err));
    }
    r->report->rows = r->dataset->rows;
    TD_TRY(report_progress(r, r->bytes_done, true, err));
done:
    return status;
}

static td_status open_saved(td_dataset **out, td_context *context, const char *path,
                            td_read_report *report, td_error *err)
{
    td_status status = td__dataset_open(out, context, path, err);
    if (status == TD_OK) report->rows = (*out)->rows;
    return status;
}

td_status td_dataset_read(td_dataset **out, td_context *context, const char *const *paths,
                          uint32_t path_count, const td_read_options *options,
                          const td_progress_hook *hook, td_read_report *report, td_error *err)
{
    td_status status = TD_OK;
    td_dataset *dataset = NULL;
    td_read_options defaults;
    td_read_report unseen_report;
    td_error unseen_error;
    *out = NULL;
    if (report == NULL) report = &unseen_report;
    if (err == NULL) err = &unseen_error;
    *report = (td_read_report){0};
    td_read_options_init(&defaults);
    if (options == NULL) options = &defaults;
    TD_TRY(td_options_check(td_read_option_table(), options, err));
    TD_FAIL_IF(path_count == 0, err, ERR_ARGUMENT, "no file to read is named");
    if (path_count == 1 && is_saved(paths[0])) {
        return open_saved(out, context, paths[0], report, err);
    }
    TD_TRY(td__dataset_create(&dataset, context, NULL, NULL, err));
    dataset->has_weight = options->weight_column != NULL;
    dataset->has_timestamp = options->timestamp_column != NULL;
    reader r = {.dataset = dataset,
                .options = options,
                .report = report,
                .hook = hook,
                .last_query.position = TD_NONE};
    TD_TRY(read_files(&r, paths, path_count, err));
    *out = dataset;
    return TD_OK;
done:
    td_dataset_free(dataset);
    return status;
}
