/* csv_fuzz.c -- any bytes are read as a text file of every format, or refused, without harm.
 *
 * The first byte is a set of switches, the rest is the file. Beyond not crashing: a file has the same
 * records whole and in pieces; detection has an answer; reading that skips bad lines gives the rows
 * that strict reading gives, if that gives any. */
#define _GNU_SOURCE
#include "support/test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "data/detect.h"
#include "data/number.h"
#include "data/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 16, FORMATS = TD_FORMAT_LISTS + 1 };

static td_context *the_context;

static void free_context(void)
{
    td_context_free(the_context);
}

static void expect(bool condition)
{
    if (!condition) abort();
}

/* --- the parser */

static void same_record(const td__record *a, const td__record *b)
{
    expect(a->bytes == b->bytes && a->lines == b->lines && a->count == b->count);
    for (uint32_t i = 0; i < a->count && i < FIELDS; i++) {
        expect(a->fields[i].text == b->fields[i].text && a->fields[i].bytes == b->fields[i].bytes);
    }
}

/* In a block of its own that ends with its last byte, so that the sanitizer sees a step too far. */
static td__record_state parse_piece(td__record *record, td__dialect dialect, const char *bytes,
                                    size_t count, bool last)
{
    td__field fields[FIELDS];
    char *piece = malloc(count + (count == 0));
    expect(piece != NULL);
    memcpy(piece, bytes, count);
    td__record found = {.fields = fields, .capacity = FIELDS};
    td__record_state state = td__record_parse(&found, dialect, piece, count, last);
    td__field *kept = record->fields;
    for (uint32_t i = 0; i < found.count && i < FIELDS; i++) {
        expect(fields[i].text >= piece && fields[i].text + fields[i].bytes <= piece + count);
        kept[i] = fields[i];
        kept[i].text = bytes + (fields[i].text - piece);
    }
    *record = found;
    record->fields = kept;
    free(piece);
    return state;
}

/* Pieces grow by `step`, then by twice as much, ... so that long records stay cheap. */
static void parse_whole_and_in_pieces(td_text_format format, const char *bytes, size_t count,
                                      size_t step)
{
    td__dialect dialect = td__dialect_of(format);
    td__field whole_fields[FIELDS], piece_fields[FIELDS];
    td__record whole = {.fields = whole_fields, .capacity = FIELDS};
    td__record piece = {.fields = piece_fields, .capacity = FIELDS};
    for (int records = 0; count > 0 && records < 64; records++) {
        td__record_state state = td__record_parse(&whole, dialect, bytes, count, true), found;
        expect(state != TD__RECORD_MORE && whole.bytes > 0 && whole.bytes <= count);
        size_t seen = 0, grow = step;
        do {
            seen = seen + grow < count ? seen + grow : count;
            grow += grow / 2;
            found = parse_piece(&piece, dialect, bytes, seen, seen == count);
        } while (found == TD__RECORD_MORE);
        expect(found == state);
        if (state == TD__RECORD_FOUND) same_record(&piece, &whole);
        expect(piece.bytes == whole.bytes);
        bytes += whole.bytes;
        count -= whole.bytes;
    }
}

/* What is taken for a number is one to the C library as well. */
static void read_numbers(const char *bytes, size_t count)
{
    char text[64];
    float number;
    int64_t seconds;
    size_t used = count < sizeof text ? count : sizeof text - 1;
    memcpy(text, bytes, used);
    text[used] = '\0';
    if (td__number_float(text, used, &number)) {
        char *end;
        float expected = (float)strtod(text, &end);
        expect(memcmp(&number, &expected, sizeof number) == 0 && end > text);
        expect(strspn(end, " \t") == strlen(end));
    }
    if (td__number_seconds(text, used, &seconds)) expect(seconds == strtoll(text, NULL, 10));
}

/* --- the whole way */

static td_read_options options_of(uint8_t switches)
{
    td_read_options options;
    td_read_options_init(&options);
    options.format = (td_text_format)(switches % FORMATS);
    if ((switches & 0x08) != 0) options.header = TD_HEADER_NO;
    if ((switches & 0x10) != 0) options.encoding = TD_ENCODING_LATIN1;
    if ((switches & 0x20) != 0) options.timestamp_column = "2";
    if ((switches & 0x40) != 0) options.weight_column = "1";
    if ((switches & 0x80) != 0) options.query_column = "user";
    return options;
}

static void same_rows(const td_dataset *a, const td_dataset *b)
{
    td_rows left = td_dataset_rows(a), right = td_dataset_rows(b);
    expect(left.count == right.count);
    for (uint64_t i = 0; i < left.count; i++) {
        expect(left.query[i] == right.query[i] && left.candidate[i] == right.candidate[i]);
    }
    expect(td_vocab_count(td_dataset_queries(a)) == td_vocab_count(td_dataset_queries(b)));
    expect(td_vocab_count(td_dataset_candidates(a)) == td_vocab_count(td_dataset_candidates(b)));
}

static void read_twice(const char *path, td_read_options options)
{
    td_error err = {0};
    td_read_report report;
    td_dataset *strict, *lenient;
    td_status status = td_dataset_read(&strict, the_context, &path, 1, &options, NULL, NULL, &err);
    expect((status == TD_OK) == (strict != NULL));
    expect(status == TD_OK || (err.status == status && err.message[0] != '\0'));
    options.skip_bad_lines = true;
    td_status again = td_dataset_read(&lenient, the_context, &path, 1, &options, NULL, &report, &err);
    if (status == TD_OK) {
        expect(again == TD_OK && report.bad_lines == 0);
        same_rows(strict, lenient);
    }
    if (again == TD_OK) {
        expect(td_dataset_check(lenient, &err) == TD_OK);
        expect(status == TD_OK || report.bad_lines > 0);
        expect(report.bad_lines == 0 || report.first_bad[0] != '\0');
    }
    td_dataset_free(strict);
    td_dataset_free(lenient);
}

static void read_as_file(const uint8_t *data, size_t size, td_read_options options)
{
    char path[64];
    int file = memfd_create("csv", 0);
    if (file < 0) return;
    if (write(file, data, size) == (ssize_t)size) {
        td_catalog *catalog;
        td_catalog_options items;
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        read_twice(path, options);
        td_catalog_options_init(&items);
        items.encoding = options.encoding;
        td_status status = td_catalog_read(&catalog, the_context, path, &items, NULL, NULL);
        expect((status == TD_OK) == (catalog != NULL));
        td_catalog_free(catalog);
    }
    close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (the_context == NULL) {
        the_context = test_context(1);
        atexit(free_context);
    }
    if (size == 0) return 0;
    const char *bytes = (const char *)data + 1;
    size_t count = size - 1;
    for (int format = TD_FORMAT_CSV; format < FORMATS; format++) {
        parse_whole_and_in_pieces((td_text_format)format, bytes, count, 1 + data[0] % 7u);
    }
    td_text_format found = td__detect_format(bytes, count, (data[0] & 1) != 0);
    expect(found > TD_FORMAT_AUTO && found <= TD_FORMAT_LISTS);
    (void)td__detect_header(td__dialect_of(found), bytes, count, (data[0] & 1) != 0);
    read_numbers(bytes, count);
    read_as_file(data + 1, count, options_of(data[0]));
    return 0;
}
