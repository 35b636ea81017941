/* round_trip_test.c -- random rows written in every format, plain and packed, are read back as they
 * were; and so they are from a saved dataset, whatever the number of threads. */
#include "support/test.h"

#include <zlib.h>

enum { ROWS = 3000, IDS = 97, ID_BYTES = 24 };

/* Rows to be written. Ids hold only what the format can carry. */
typedef struct rows {
    char ids[2][IDS][ID_BYTES];
    uint32_t query[ROWS], candidate[ROWS];
    float weight[ROWS];
    int64_t timestamp[ROWS];
} rows;

typedef struct form {
    td_text_format format;
    const char *separator;
    const char *line_end;
    bool header, packed, final_line_end;
} form;

static td_context *context;
static td_error err;

static int make_context(void **state)
{
    (void)state;
    context = test_context(2);
    return 0;
}

static int free_context(void **state)
{
    (void)state;
    td_context_free(context);
    return 0;
}

static uint32_t below(uint64_t *seed, uint32_t bound)
{
    return (uint32_t)test_uniform(seed, 0, bound - 1e-9);
}

/* Pieces of ids; those a format cannot carry without quotes come last. */
static const char *const pieces[] = {
    "a",  "Z", "0",  "77",  "-", "\xC3\xA9", "\xE6\x97\xA5", "\xF0\x9F\x8E\xAC",
    "'",  ".", "#",  " ",   ",", "\"",       "\n",           "\r\n",
    "\t", "|", "::", "\"\""};
enum { PLAIN_PIECES = 11, ALL_PIECES = sizeof pieces / sizeof pieces[0] };

static void make_rows(rows *r, uint64_t seed, bool quoted)
{
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < IDS; i++) {
            size_t length = (size_t)snprintf(r->ids[side][i], ID_BYTES, "%u", i);
            for (uint32_t n = below(&seed, 5); n > 0; n--) {
                const char *piece = pieces[below(&seed, quoted ? ALL_PIECES : PLAIN_PIECES)];
                length += (size_t)snprintf(r->ids[side][i] + length, ID_BYTES - length, "%s",
                                           piece);
            }
        }
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        r->query[i] = below(&seed, IDS);
        r->candidate[i] = below(&seed, IDS);
        r->weight[i] = (float)below(&seed, 20) / 4;
        r->timestamp[i] = (int64_t)below(&seed, 2000000000) - 5;
    }
}

/* A field as the format has it; quoted where CSV must, and at random where it may. */
static size_t put_field(char *text, const char *field, const form *f, uint64_t *seed)
{
    bool must = strpbrk(field, ",\"\r\n") != NULL;
    char *at = text;
    if (f->format != TD_FORMAT_CSV || (!must && below(seed, 2) == 0)) {
        size_t bytes = strlen(field);
        memcpy(text, field, bytes);
        return bytes;
    }
    *at++ = '"';
    for (; *field != '\0'; field++) {
        if (*field == '"') *at++ = '"';
        *at++ = *field;
    }
    *at++ = '"';
    return (size_t)(at - text);
}

static size_t put(char *text, const char *piece)
{
    size_t bytes = strlen(piece);
    memcpy(text, piece, bytes);
    return bytes;
}

static char *write_text(const rows *r, const form *f, size_t *count)
{
    char *text = malloc(ROWS * 160 + 100);
    assert_non_null(text);
    size_t at = 0;
    uint64_t seed = 5;
    static const char *const names[] = {"rating", "movieId", "timestamp", "userId"};
    for (int i = 0; f->header && i < 4; i++) {
        at += put(text + at, names[i]);
        at += put(text + at, i < 3 ? f->separator : f->line_end);
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        char weight[32], timestamp[32];
        (void)snprintf(weight, sizeof weight, "%.2f", (double)r->weight[i]);
        (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)r->timestamp[i]);
        const char *fields[] = {weight, r->ids[1][r->candidate[i]], timestamp,
                                r->ids[0][r->query[i]]};
        for (int k = 0; k < 4; k++) {
            at += put_field(text + at, fields[k], f, &seed);
            if (k < 3) at += put(text + at, f->separator);
        }
        if (i + 1 < ROWS || f->final_line_end) at += put(text + at, f->line_end);
    }
    *count = at;
    return text;
}

static const char *write_file(const char *text, size_t count, bool packed)
{
    if (!packed) return test_file("rows", text, count);
    const char *path = test_path("rows");
    gzFile file = gzopen(path, "wb1");
    assert_int_equal(gzwrite(file, text, (unsigned)count), count);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

static void same_as(const td_dataset *dataset, const rows *r)
{
    td_rows got = td_dataset_rows(dataset);
    assert_int_equal(got.count, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_string_equal(td_vocab_id(td_dataset_queries(dataset), got.query[i]),
                            r->ids[0][r->query[i]]);
        assert_string_equal(td_vocab_id(td_dataset_candidates(dataset), got.candidate[i]),
                            r->ids[1][r->candidate[i]]);
        assert_int_equal(got.timestamp[i], r->timestamp[i]);
        assert_memory_equal(&got.weight[i], &r->weight[i], sizeof(float));
    }
}

static td_read_options options_for(const form *f, bool told)
{
    td_read_options options;
    td_read_options_init(&options);
    if (told) options.format = f->format;
    if (told) options.header = f->header ? TD_HEADER_YES : TD_HEADER_NO;
    options.weight_column = f->header ? "rating" : "1";
    options.timestamp_column = f->header ? "timestamp" : "3";
    options.candidate_column = "2";
    options.query_column = "4";
    return options;
}

static void round_trip(const rows *r, const form *f)
{
    size_t count;
    char *text = write_text(r, f, &count);
    const char *path = write_file(text, count, f->packed);
    for (int told = 0; told < 2; told++) {
        td_dataset *dataset;
        td_read_report report;
        td_read_options options = options_for(f, told != 0);
        assert_ok(td_dataset_read(&dataset, context, &path, 1, &options, NULL, &report, &err));
        same_as(dataset, r);
        assert_int_equal(report.bytes, count);
        td_dataset_free(dataset);
    }
    free(text);
}

static void all_formats(void **state)
{
    (void)state;
    static const form forms[] = {
        {.format = TD_FORMAT_CSV, .separator = ","},
        {.format = TD_FORMAT_TSV, .separator = "\t"},
        {.format = TD_FORMAT_COLONS, .separator = "::"},
        {.format = TD_FORMAT_PIPE, .separator = "|"},
        {.format = TD_FORMAT_SPACE, .separator = " "},
        {.format = TD_FORMAT_SPACE, .separator = "   "},
    };
    rows *r = malloc(sizeof *r);
    assert_non_null(r);
    for (uint32_t i = 0; i < 6 * 16; i++) {
        form f = forms[i / 16];
        f.line_end = (i & 1) != 0 ? "\r\n" : "\n";
        f.header = (i & 2) != 0;
        f.packed = (i & 4) != 0;
        f.final_line_end = (i & 8) != 0;
        make_rows(r, i + 1, f.format == TD_FORMAT_CSV);
        round_trip(r, &f);
    }
    free(r);
}

/* The same bytes in the saved file, the same splits and lists, for any number of threads. */
static void threads_do_not_matter(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7};
    unsigned char *first = NULL;
    size_t first_count = 0;
    for (size_t t = 0; t < 3; t++) {
        td_context *on = test_context(threads[t]);
        td_dataset *dataset, *kept, *held_out, *back;
        const char *ratings = test_bundled("ratings.csv"), *saved = test_path("saved");
        td_read_options options;
        td_read_options_init(&options);
        options.timestamp_column = "timestamp";
        assert_ok(td_dataset_read(&dataset, on, &ratings, 1, &options, NULL, NULL, &err));
        assert_ok(td_dataset_split(&kept, &held_out, dataset, NULL, &err));
        assert_ok(td_dataset_save(held_out, saved, &err));
        size_t count;
        unsigned char *bytes = test_read(saved, &count);
        if (first == NULL) {
            first = bytes;
            first_count = count;
        } else {
            assert_int_equal(count, first_count);
            assert_memory_equal(bytes, first, count);
            free(bytes);
        }
        assert_ok(td_dataset_read(&back, on, &saved, 1, NULL, NULL, NULL, &err));
        assert_int_equal(td_dataset_rows(back).count, 20167);
        td_dataset_free(back);
        td_dataset_free(dataset);
        td_dataset_free(kept);
        td_dataset_free(held_out);
        td_context_free(on);
    }
    free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_formats),
        cmocka_unit_test(threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
