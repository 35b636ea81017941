/* options.c -- the option tables of reading and splitting.
 *
 * Serves: stages 1 and 2. */
#include "base/options.h"

#include "base/poison.h"

#define FORMATS "auto|csv|tsv|colons|pipe|space|lists"
#define FORMAT_HELP                                                                                \
    "how fields are separated: csv by commas, with quotes; tsv by tabs; colons by \"::\"; pipe "   \
    "by "                                                                                          \
    "\"|\"; space by blanks; lists: a query id, then its candidate ids"

static const td_option read_rows[] = {
    TD__OPTION_CHOICE(td_read_options, format, "format", "auto", FORMATS, FORMAT_HELP),
    TD__OPTION_CHOICE(td_read_options, header, "header", "auto", "auto|yes|no",
                      "whether the first line names the columns"),
    TD__OPTION_CHOICE(td_read_options, encoding, "encoding", "utf8", "utf8|latin1",
                      "encoding of the text"),
    TD__OPTION_TEXT(td_read_options, query_column, "query-column", NULL, "COLUMN",
                    "name or number of the query (user) id column"),
    TD__OPTION_TEXT(td_read_options, candidate_column, "candidate-column", NULL, "COLUMN",
                    "name or number of the candidate (item) id column"),
    TD__OPTION_TEXT(td_read_options, weight_column, "weight-column", NULL, "COLUMN",
                    "name or number of the sample weight column"),
    TD__OPTION_TEXT(td_read_options, rating_column, "rating-column", NULL, "COLUMN",
                    "name or number of the rating column, for --rating-min"),
    TD__OPTION_TEXT(td_read_options, timestamp_column, "timestamp-column", NULL, "COLUMN",
                    "name or number of the column with the time in seconds"),
    TD__OPTION_F32(td_read_options, rating_min, "rating-min", "0", -1e30, 1e30, "RATING",
                   "leave out rows with a lower rating"),
    TD__OPTION_BOOL(td_read_options, skip_bad_lines, "skip-bad-lines", "false",
                    "count lines that cannot be read and go on, instead of stopping"),
};

static const td_option catalog_rows[] = {
    TD__OPTION_CHOICE(td_catalog_options, format, "items-format", "auto", FORMATS,
                      "the same of the item file"),
    TD__OPTION_CHOICE(td_catalog_options, header, "items-header", "auto", "auto|yes|no",
                      "whether the first line of the item file names the columns"),
    TD__OPTION_CHOICE(td_catalog_options, encoding, "items-encoding", "utf8", "utf8|latin1",
                      "encoding of the item file"),
    TD__OPTION_TEXT(td_catalog_options, id_column, "items-id-column", NULL, "COLUMN",
                    "name or number of the item file's id column"),
    TD__OPTION_TEXT(td_catalog_options, title_column, "items-title-column", NULL, "COLUMN",
                    "name or number of the item file's title column"),
    TD__OPTION_BOOL(td_catalog_options, skip_bad_lines, "items-skip-bad-lines", "false",
                    "count lines of the item file that cannot be read and go on"),
};

static const td_option split_rows[] = {
    TD__OPTION_CHOICE(td_split_options, kind, "split", "random", "random|time|time-query|last|query",
                      "what is held out: rows at random, the newest of all, the newest of each "
                      "query, the last of each query, rows of each query at random"),
    TD__OPTION_F64(td_split_options, fraction, "split-fraction", "0.2", 0, 1, "SHARE",
                   "share of the rows, or of each query's rows, that is held out"),
    TD__OPTION_U64(td_split_options, count, "split-count", "0", 0, TD__U64_MAX, "N",
                   "number of rows held out, instead of a share; of each query for last"),
    TD__OPTION_U64(td_split_options, seed, "split-seed", "42", 0, TD__U64_MAX, "N",
                   "seed of the random split"),
};

static const td_option_table read_table = TD__OPTION_TABLE("read", td_read_options, read_rows);
static const td_option_table catalog_table = TD__OPTION_TABLE("catalog", td_catalog_options,
                                                              catalog_rows);
static const td_option_table split_table = TD__OPTION_TABLE("split", td_split_options, split_rows);

const td_option_table *td_read_option_table(void)
{
    return &read_table;
}

void td_read_options_init(td_read_options *options)
{
    td_options_init(&read_table, options);
}

const td_option_table *td_catalog_option_table(void)
{
    return &catalog_table;
}

void td_catalog_options_init(td_catalog_options *options)
{
    td_options_init(&catalog_table, options);
}

const td_option_table *td_split_option_table(void)
{
    return &split_table;
}

void td_split_options_init(td_split_options *options)
{
    td_options_init(&split_table, options);
}
