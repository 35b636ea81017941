/* detect.c -- what a text file is: its format, its header line, which column is which.
 *
 * Serves: stage 1. In: the first bytes of a file. Out: the answers. */
#include "data/detect.h"

#include <string.h>

#include "data/number.h"
#include "base/poison.h"

enum { SAMPLE_RECORDS = 32, SAMPLE_COLUMNS = 64, SPACE_COLUMNS_MAX = 4, NAME_BYTES_MAX = 32 };

td__dialect td__dialect_of(td_text_format format)
{
    static const td__dialect dialects[] = {
        [TD_FORMAT_AUTO] = {.separator = ','},
        [TD_FORMAT_CSV] = {.separator = ',', .quoted = true},
        [TD_FORMAT_TSV] = {.separator = '\t'},
        [TD_FORMAT_COLONS] = {.separator = ':', .doubled = true},
        [TD_FORMAT_PIPE] = {.separator = '|'},
        [TD_FORMAT_SPACE] = {.separator = ' ', .blanks = true},
        [TD_FORMAT_LISTS] = {.separator = ' ', .blanks = true},
    };
    return dialects[format];
}

/* The records of a sample, one after the other. */
typedef struct sample {
    td__dialect dialect;
    const char *bytes;
    size_t count;
    bool last;
    uint32_t records; /* so far */
} sample;

/* The next record that is not empty; false at the end. The first record of all is taken as it is
 * even if the sample cuts it off. */
static bool sample_next(sample *s, td__record *record)
{
    while (s->records < SAMPLE_RECORDS) {
        bool last = s->last || s->records == 0;
        if (td__record_parse(record, s->dialect, s->bytes, s->count, s->last) == TD__RECORD_MORE
            && (!last
                || td__record_parse(record, s->dialect, s->bytes, s->count, true)
                       == TD__RECORD_MORE)) {
            return false;
        }
        s->bytes += record->bytes;
        s->count -= record->bytes;
        if (record->count == 0 && record->reason == NULL) continue;
        s->records++;
        return true;
    }
    return false;
}

typedef struct shape {
    uint32_t records, alike; /* alike: those with as many fields as the first */
    uint32_t first_fields, most_fields;
} shape;

static shape measure(sample s)
{
    shape found = {0};
    td__record record = {0};
    while (sample_next(&s, &record)) {
        if (record.reason != NULL) continue;
        if (found.first_fields == 0) found.first_fields = record.count;
        if (found.most_fields < record.count) found.most_fields = record.count;
        if (record.count == found.first_fields) found.alike++;
    }
    found.records = s.records;
    return found;
}

static bool regular(const shape *s)
{
    return s->first_fields >= 2 && 2 * s->alike > s->records;
}

td_text_format td__detect_format(const char *bytes, size_t count, bool last)
{
    static const td_text_format formats[] = {TD_FORMAT_TSV, TD_FORMAT_COLONS, TD_FORMAT_CSV,
                                             TD_FORMAT_PIPE};
    td_text_format best = TD_FORMAT_AUTO;
    shape best_shape = {0};
    sample s = {.bytes = bytes, .count = count, .last = last};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        s.dialect = td__dialect_of(formats[i]);
        shape found = measure(s);
        if (!regular(&found)) continue;
        bool better = found.alike != best_shape.alike
                          ? found.alike > best_shape.alike
                          : found.first_fields > best_shape.first_fields;
        if (!better) continue;
        best = formats[i];
        best_shape = found;
    }
    if (best != TD_FORMAT_AUTO) return best;
    s.dialect = td__dialect_of(TD_FORMAT_SPACE);
    shape found = measure(s);
    if (found.most_fields < 2) return TD_FORMAT_CSV;
    return regular(&found) && found.first_fields <= SPACE_COLUMNS_MAX ? TD_FORMAT_SPACE
                                                                      : TD_FORMAT_LISTS;
}

static bool is_number(const td__field *field)
{
    float number;
    return td__number_float(field->text, field->bytes, &number);
}

static bool is_usual(const td__field *field)
{
    for (int use = TD__COLUMN_QUERY; use <= TD__COLUMN_TITLE; use++) {
        if (td__column_rank((td__column_use)use, field->text, field->bytes) != 0) return true;
    }
    return false;
}

static uint32_t kept_fields(const td__record *record)
{
    return record->count < record->capacity ? record->count : record->capacity;
}

/* Is there a column with numbers, and nothing else, below the first line? */
static bool numbers_below(sample s)
{
    td__field fields[SAMPLE_COLUMNS];
    td__record record = {.fields = fields, .capacity = SAMPLE_COLUMNS};
    uint32_t numbers[SAMPLE_COLUMNS] = {0}, others[SAMPLE_COLUMNS] = {0};
    (void)sample_next(&s, &record);
    while (sample_next(&s, &record)) {
        for (uint32_t i = 0; record.reason == NULL && i < kept_fields(&record); i++) {
            if (is_number(&fields[i]))
                numbers[i]++;
            else if (fields[i].bytes > 0)
                others[i]++;
        }
    }
    for (uint32_t i = 0; i < SAMPLE_COLUMNS; i++) {
        if (numbers[i] > 0 && others[i] == 0) return true;
    }
    return false;
}

bool td__detect_header(td__dialect dialect, const char *bytes, size_t count, bool last)
{
    td__field fields[SAMPLE_COLUMNS];
    td__record record = {.fields = fields, .capacity = SAMPLE_COLUMNS};
    sample s = {.dialect = dialect, .bytes = bytes, .count = count, .last = last};
    sample first = s;
    if (!sample_next(&first, &record) || record.reason != NULL) return false;
    bool usual = false;
    for (uint32_t i = 0; i < kept_fields(&record); i++) {
        if (is_number(&fields[i])) return false;
        usual = usual || is_usual(&fields[i]);
    }
    return usual || numbers_below(s);
}

/* Most usual first; NULL ends a row. */
static const char *const usual_names[][24] = {
    [TD__COLUMN_QUERY] = {"userid", "user", "uid", "customerid", "customer", "visitorid",
                          "reviewerid", "accountid", "memberid", "personid", "profileid",
                          "sessionid", "session", "queryid", "query", NULL},
    [TD__COLUMN_CANDIDATE] = {"itemid",      "item",       "iid",       "movieid", "movie",
                              "candidateid", "candidate",  "productid", "product", "parentasin",
                              "asin",        "bookid",     "isbn",      "trackid", "songid",
                              "artistid",    "businessid", "articleid", "newsid",  "gameid",
                              "videoid",     "documentid", "docid",     NULL},
    [TD__COLUMN_RATING] = {"rating", "score", "stars", "overall", NULL},
    [TD__COLUMN_TIMESTAMP] = {"timestamp", "time", "unixtime", "unixreviewtime", NULL},
    [TD__COLUMN_ITEM] = {"id", NULL},
    [TD__COLUMN_TITLE] = {"title", "name", "movietitle", "itemname", "productname", "booktitle",
                          "itemtitle", "producttitle", NULL},
};

/* `plain` [NAME_BYTES_MAX + 1]: letters and digits of the name in lower case, up to a colon. */
static void simplify(char *plain, const char *name, size_t bytes)
{
    size_t length = 0;
    for (size_t i = 0; i < bytes && name[i] != ':'; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
        if (kept && length < NAME_BYTES_MAX) plain[length++] = c;
    }
    plain[length] = '\0';
}

uint32_t td__column_rank(td__column_use use, const char *name, size_t bytes)
{
    char plain[NAME_BYTES_MAX + 1];
    simplify(plain, name, bytes);
    for (uint32_t i = 0; usual_names[use][i] != NULL; i++) {
        if (strcmp(usual_names[use][i], plain) == 0) return i + 1;
    }
    if (use != TD__COLUMN_ITEM) return 0;
    uint32_t rank = td__column_rank(TD__COLUMN_CANDIDATE, name, bytes);
    return rank == 0 ? 0 : rank + 1;
}
