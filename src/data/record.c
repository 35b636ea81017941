/* record.c -- where a record of a text file ends and where its fields lie.
 *
 * Serves: stage 1. In: bytes and a dialect. Out: one record.
 *
 * Plain fields, nearly all there are, are found eight bytes at a time: a byte equal to a wanted one
 * becomes zero by exclusive or, and the usual bit trick (Mycroft 1987) marks the lowest zero byte.
 */
#include "data/record.h"

#include <string.h>

#include "base/poison.h"

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

typedef struct cursor {
    td__record *record;
    td__dialect dialect;
    const char *start, *at, *end;
    bool last;
} cursor;

static inline uint64_t load_word(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Marks the lowest byte of `word` that equals the byte `pattern` is made of; bytes above it may be
 * marked wrongly. */
static inline uint64_t mark_equal(uint64_t word, uint64_t pattern)
{
    uint64_t x = word ^ pattern;
    return (x - ONES) & ~x & HIGHS;
}

/* Marks all bytes of `word` that equal the byte `pattern` is made of, and no others. */
static inline uint64_t mark_all_equal(uint64_t word, uint64_t pattern)
{
    uint64_t x = word ^ pattern;
    return ~(((x & ~HIGHS) + ~HIGHS) | x | ~HIGHS);
}

/* The first `a`, `b` or line feed, or `end`. */
static inline const char *find_stop(const char *at, const char *end, unsigned char a,
                                    unsigned char b)
{
    uint64_t pattern_a = a * ONES, pattern_b = b * ONES, pattern_lf = '\n' * ONES;
    for (; end - at >= 8; at += 8) {
        uint64_t word = load_word(at);
        uint64_t marks = mark_equal(word, pattern_a) | mark_equal(word, pattern_lf);
        if (a != b) marks |= mark_equal(word, pattern_b);
        if (marks != 0) return at + (__builtin_ctzll(marks) >> 3);
    }
    while (at < end && *at != (char)a && *at != (char)b && *at != '\n') at++;
    return at;
}

static void add_field(td__record *record, const char *start, const char *end, bool doubled_quotes)
{
    if (record->count < record->capacity) {
        record->fields[record->count] = (td__field){start, (size_t)(end - start), doubled_quotes};
    }
    record->count++;
}

static const char *without_cr(const char *start, const char *end)
{
    return end > start && end[-1] == '\r' ? end - 1 : end;
}

/* The record ends at `at`, which is a line feed or the end of the file. */
static td__record_state finish(cursor *c, const char *at)
{
    if (at < c->end) at++;
    c->record->bytes = (size_t)(at - c->start);
    c->record->lines++;
    return TD__RECORD_FOUND;
}

/* A bad record counts as its first line, so that a quote left open costs one line, not the file. */
static td__record_state fail(cursor *c, const char *reason)
{
    const char *stop = memchr(c->start, '\n', (size_t)(c->end - c->start));
    if (stop == NULL && !c->last) return TD__RECORD_MORE;
    c->record->lines = 0;
    (void)finish(c, stop == NULL ? c->end : stop);
    c->record->reason = reason;
    return TD__RECORD_BAD;
}

/* A quoted field from behind its first quote. On FOUND, `at` is at the separator or the line end.
 */
static td__record_state quoted_field(cursor *c)
{
    const char *start = c->at;
    bool doubled = false;
    for (;;) {
        const char *quote = memchr(c->at, '"', (size_t)(c->end - c->at));
        if (quote == NULL || (quote + 1 == c->end && !c->last)) {
            if (!c->last) return TD__RECORD_MORE;
            return fail(c, "a quote is opened and not closed");
        }
        c->at = quote + 1;
        if (c->at == c->end || *c->at != '"') break;
        doubled = true;
        c->at++;
    }
    add_field(c->record, start, c->at - 1, doubled);
    for (const char *p = start; (p = memchr(p, '\n', (size_t)(c->at - p))) != NULL; p++) {
        c->record->lines++;
    }
    if (c->at < c->end && *c->at == '\r') {
        if (c->at + 1 == c->end && !c->last) return TD__RECORD_MORE;
        if (c->at + 1 == c->end || c->at[1] == '\n') c->at++;
    }
    if (c->at == c->end && !c->last) return TD__RECORD_MORE;
    if (c->at == c->end || *c->at == '\n' || *c->at == (char)c->dialect.separator) {
        return TD__RECORD_FOUND;
    }
    return fail(c, "there is text between a closing quote and the next separator");
}

/* Where a plain field that starts at `at` ends: a separator, the line end or the end of the bytes.
 */
static inline const char *plain_stop(td__dialect dialect, const char *at, const char *end)
{
    unsigned char separator = dialect.separator;
    const char *stop = find_stop(at, end, separator, separator);
    while (dialect.doubled && stop < end && *stop == (char)separator
           && (stop + 1 == end || stop[1] != (char)separator)) {
        stop = find_stop(stop + 1, end, separator, separator);
    }
    return stop;
}

/* The plain field at c->at. On FOUND, `at` is at the separator or the line end; an empty line has
 * no field. */
static inline td__record_state plain_field(cursor *c)
{
    const char *start = c->at, *stop = plain_stop(c->dialect, start, c->end);
    c->at = stop;
    if (stop == c->end && !c->last) return TD__RECORD_MORE;
    bool line_end = stop == c->end || *stop == '\n';
    const char *end = line_end ? without_cr(start, stop) : stop;
    if (line_end && end == start && c->record->count == 0) return TD__RECORD_FOUND;
    add_field(c->record, start, end, false);
    return TD__RECORD_FOUND;
}

/* The plain fields in front, eight bytes after the other without starting anew for each field. What
 * is not plain, or ends less than eight bytes before the end, is left at c->at. True if the record
 * ended: it does so at c->at. */
static bool take_plain_fields(cursor *c)
{
    uint64_t separators = c->dialect.separator * ONES, line_feeds = '\n' * ONES;
    const char *at = c->at;
    while (c->end - at > 8 && !(c->dialect.quoted && *c->at == '"')) {
        uint64_t word = load_word(at);
        uint64_t marks = mark_all_equal(word, separators) | mark_all_equal(word, line_feeds);
        for (; marks != 0; marks &= marks - 1) {
            const char *stop = at + (__builtin_ctzll(marks) >> 3);
            if (*stop == '\n') {
                const char *end = without_cr(c->at, stop);
                if (end > c->at || c->record->count > 0) add_field(c->record, c->at, end, false);
                c->at = stop;
                return true;
            }
            add_field(c->record, c->at, stop, false);
            c->at = stop + 1;
            if (c->dialect.quoted && *c->at == '"') return false;
        }
        at += 8;
    }
    return false;
}

static td__record_state parse_separated(cursor *c)
{
    if (!c->dialect.doubled && take_plain_fields(c)) return finish(c, c->at);
    for (;;) {
        bool quoted = c->dialect.quoted && c->at < c->end && *c->at == '"';
        if (quoted) c->at++;
        td__record_state state = quoted ? quoted_field(c) : plain_field(c);
        if (state != TD__RECORD_FOUND) return state;
        if (c->at == c->end || *c->at == '\n') return finish(c, c->at);
        c->at += c->dialect.doubled ? 2 : 1;
    }
}

static td__record_state parse_blanks(cursor *c)
{
    for (;;) {
        while (c->at < c->end && (*c->at == ' ' || *c->at == '\t')) c->at++;
        const char *start = c->at;
        c->at = find_stop(start, c->end, ' ', '\t');
        if (c->at == c->end && !c->last) return TD__RECORD_MORE;
        bool separated = c->at < c->end && *c->at != '\n';
        const char *end = separated ? c->at : without_cr(start, c->at);
        if (end > start) add_field(c->record, start, end, false);
        if (!separated) return finish(c, c->at);
    }
}

td__record_state td__record_parse(td__record *record, td__dialect dialect, const char *bytes,
                                  size_t count, bool last)
{
    record->count = 0;
    record->bytes = 0;
    record->lines = 0;
    record->reason = NULL;
    if (count == 0) return TD__RECORD_MORE;
    cursor c = {record, dialect, bytes, bytes, bytes + count, last};
    return dialect.blanks ? parse_blanks(&c) : parse_separated(&c);
}

size_t td__field_copy(char *text, const td__field *field)
{
    const char *from = field->text, *end = from + field->bytes;
    char *to = text;
    while (from < end) {
        if (field->doubled_quotes && *from == '"') from++;
        *to++ = *from++;
    }
    return (size_t)(to - text);
}
