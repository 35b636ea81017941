/* record_test.c -- records and fields are where RFC 4180 and the plain formats have them, however
 * the bytes arrive. */
#define _GNU_SOURCE
#include "support/test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "data/record.h"
#include "data/detect.h"

enum { FIELDS = 64 };

/* All records of a text as one line of text: fields as <field>, records ended by ";", bad ones "!".
 */
static void show_whole(char *out, size_t capacity, td_text_format format, const char *bytes,
                       size_t count)
{
    td__field fields[FIELDS];
    td__record record = {.fields = fields, .capacity = FIELDS};
    size_t length = 0;
    out[0] = '\0';
    while (count > 0) {
        td__record_state state = td__record_parse(&record, td__dialect_of(format), bytes, count,
                                                  true);
        assert_true(state != TD__RECORD_MORE);
        assert_true(record.bytes > 0 && record.bytes <= count);
        for (uint32_t i = 0; state == TD__RECORD_FOUND && i < record.count; i++) {
            char text[256];
            assert_true(fields[i].bytes < sizeof text);
            size_t size = td__field_copy(text, &fields[i]);
            length += (size_t)snprintf(out + length, capacity - length, "<%.*s>", (int)size, text);
        }
        length += (size_t)snprintf(out + length, capacity - length,
                                   state == TD__RECORD_BAD ? "!" : ";");
        bytes += record.bytes;
        count -= record.bytes;
    }
}

/* The same records, each asked for with 1, 2, 3, ... bytes until it is there. */
static void same_in_pieces(td_text_format format, const char *bytes, size_t count)
{
    td__field whole_fields[FIELDS], piece_fields[FIELDS];
    td__record whole = {.fields = whole_fields, .capacity = FIELDS};
    td__record piece = {.fields = piece_fields, .capacity = FIELDS};
    td__dialect dialect = td__dialect_of(format);
    while (count > 0) {
        td__record_state state = td__record_parse(&whole, dialect, bytes, count, true), found;
        size_t seen = 0;
        do {
            seen++;
            found = td__record_parse(&piece, dialect, bytes, seen, seen == count);
        } while (found == TD__RECORD_MORE && seen < count);
        assert_int_equal(found, state);
        assert_int_equal(piece.bytes, whole.bytes);
        assert_int_equal(piece.lines, whole.lines);
        if (state == TD__RECORD_FOUND) {
            assert_int_equal(piece.count, whole.count);
            for (uint32_t i = 0; i < whole.count; i++) {
                assert_ptr_equal(piece_fields[i].text, whole_fields[i].text);
                assert_int_equal(piece_fields[i].bytes, whole_fields[i].bytes);
                assert_int_equal(piece_fields[i].doubled_quotes, whole_fields[i].doubled_quotes);
            }
        }
        bytes += whole.bytes;
        count -= whole.bytes;
    }
}

typedef struct example {
    td_text_format format;
    const char *text, *shown;
} example;

static const example examples[] = {
    {TD_FORMAT_CSV, "a,b\n", "<a><b>;"},
    {TD_FORMAT_CSV, "a,b", "<a><b>;"},
    {TD_FORMAT_CSV, "a,b\r\nc,d\r\n", "<a><b>;<c><d>;"},
    {TD_FORMAT_CSV, "a,b\nc,d\r", "<a><b>;<c><d>;"},
    {TD_FORMAT_CSV, ",\n,,", "<><>;<><><>;"},
    {TD_FORMAT_CSV, "a\n\n\r\nb\n", "<a>;;;<b>;"},
    {TD_FORMAT_CSV, "\"a\",\"b\"\n", "<a><b>;"},
    {TD_FORMAT_CSV, "\"a\",\"b\"", "<a><b>;"},
    {TD_FORMAT_CSV, "\"a,b\",c\n", "<a,b><c>;"},
    {TD_FORMAT_CSV, "\"a\nb\",c\nd,e\n", "<a\nb><c>;<d><e>;"},
    {TD_FORMAT_CSV, "\"a\r\nb\",c\r\nd,e\r\n", "<a\r\nb><c>;<d><e>;"},
    {TD_FORMAT_CSV, "\"say \"\"hi\"\"\",c\n", "<say \"hi\"><c>;"},
    {TD_FORMAT_CSV, "\"\"\"\",\"\"\n", "<\"><>;"},
    {TD_FORMAT_CSV, "\"\"\n", "<>;"},
    {TD_FORMAT_CSV, "a\"b,c\"\n", "<a\"b><c\">;"},
    {TD_FORMAT_CSV, "\"a\"b,c\nd,e\n", "!<d><e>;"},
    {TD_FORMAT_CSV, "\"a\r,c\nd,e\n", "!<d><e>;"},
    {TD_FORMAT_CSV, "\"a\"\r,c\nd,e\n", "!<d><e>;"},
    {TD_FORMAT_CSV, "\"a\"\r", "<a>;"},
    {TD_FORMAT_CSV, "x,\"open\nd,e\n", "!<d><e>;"},
    {TD_FORMAT_CSV, "\"", "!"},
    {TD_FORMAT_CSV, " a , b \n", "< a >< b >;"},
    {TD_FORMAT_CSV, "a\rb,c\n", "<a\rb><c>;"},
    {TD_FORMAT_CSV, "a,12345678,123456789,1234567\n", "<a><12345678><123456789><1234567>;"},
    {TD_FORMAT_TSV, "a\t\"b\tc\"\n", "<a><\"b><c\">;"},
    {TD_FORMAT_TSV, "a,b\tc d\r\n", "<a,b><c d>;"},
    {TD_FORMAT_COLONS, "1::a: b::c\n", "<1><a: b><c>;"},
    {TD_FORMAT_COLONS, "1:::2::\n", "<1><:2><>;"},
    {TD_FORMAT_COLONS, "1:\n2::", "<1:>;<2><>;"},
    {TD_FORMAT_COLONS, ":", "<:>;"},
    {TD_FORMAT_PIPE, "1|Toy Story (1995)||x,y\n", "<1><Toy Story (1995)><><x,y>;"},
    {TD_FORMAT_SPACE, "  a \t b\t\tc  \r\n\n   \nd e", "<a><b><c>;;;<d><e>;"},
    {TD_FORMAT_LISTS, "1 2 3 4\n5\n6 7 \n", "<1><2><3><4>;<5>;<6><7>;"},
};

static void fields_of_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        char shown[1024];
        show_whole(shown, sizeof shown, examples[i].format, examples[i].text,
                   strlen(examples[i].text));
        assert_string_equal(shown, examples[i].shown);
    }
}

static void pieces_of_any_size_give_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        same_in_pieces(examples[i].format, examples[i].text, strlen(examples[i].text));
    }
}

/* Random texts of the bytes that matter, in every format. */
static void random_texts_whole_and_in_pieces(void **state)
{
    (void)state;
    static const char alphabet[] = "a,\"\n\r\t:| \"\",\n";
    uint64_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        char text[48];
        size_t count = (size_t)test_uniform(&seed, 1, sizeof text + 0.99);
        for (size_t i = 0; i < count; i++) {
            text[i] = alphabet[(size_t)test_uniform(&seed, 0, sizeof alphabet - 1 - 1e-9)];
        }
        td_text_format format = (td_text_format)(TD_FORMAT_CSV + round % 6);
        same_in_pieces(format, text, count);
    }
}

/* Nothing is read behind the bytes given, nor before them. */
static void stays_inside_at_the_edge_of_a_page(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    char *middle = pages + page;
    assert_int_equal(mprotect(middle, page, PROT_READ | PROT_WRITE), 0);
    td__field fields[FIELDS];
    td__record record = {.fields = fields, .capacity = FIELDS};
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        size_t count = strlen(examples[i].text);
        for (size_t cut = 1; cut <= count; cut++) {
            char *end_at = middle + page - cut;
            memcpy(end_at, examples[i].text, cut);
            memcpy(middle, examples[i].text, cut);
            for (int last = 0; last < 2; last++) {
                td__dialect dialect = td__dialect_of(examples[i].format);
                td__record_state a = td__record_parse(&record, dialect, end_at, cut, last != 0);
                td__record_state b = td__record_parse(&record, dialect, middle, cut, last != 0);
                assert_int_equal(a, b);
            }
        }
    }
    munmap(pages, 3 * page);
}

static void fields_beyond_the_capacity_are_counted(void **state)
{
    (void)state;
    td__field fields[2] = {{0}};
    td__record record = {.fields = fields, .capacity = 1};
    assert_int_equal(td__record_parse(&record, td__dialect_of(TD_FORMAT_CSV), "a,b,c\n", 6, true),
                     TD__RECORD_FOUND);
    assert_int_equal(record.count, 3);
    assert_int_equal(fields[0].bytes, 1);
    assert_null(fields[1].text);
    record.capacity = 0;
    assert_int_equal(td__record_parse(&record, td__dialect_of(TD_FORMAT_CSV), "a,b,c\n", 6, true),
                     TD__RECORD_FOUND);
    assert_int_equal(record.count, 3);
}

static void lines_are_counted_within_quotes(void **state)
{
    (void)state;
    td__record record = {0};
    const char *text = "\"a\nb\r\n\",c\nd";
    assert_int_equal(
        td__record_parse(&record, td__dialect_of(TD_FORMAT_CSV), text, strlen(text), true),
        TD__RECORD_FOUND);
    assert_int_equal(record.lines, 3);
    assert_int_equal(record.bytes, strlen(text) - 1);
    assert_int_equal(td__record_parse(&record, td__dialect_of(TD_FORMAT_CSV), "\"a\n\n", 4, true),
                     TD__RECORD_BAD);
    assert_int_equal(record.lines, 1);
    assert_int_equal(record.bytes, 3);
    assert_non_null(strstr(record.reason, "not closed"));
    assert_int_equal(td__record_parse(&record, td__dialect_of(TD_FORMAT_CSV), "", 0, true),
                     TD__RECORD_MORE);
}

static void a_long_line_is_one_record(void **state)
{
    (void)state;
    size_t count = 3000000;
    char *text = malloc(count);
    assert_non_null(text);
    memset(text, 'x', count);
    text[count / 2] = ',';
    text[count - 1] = '\n';
    td__field fields[2];
    td__record record = {.fields = fields, .capacity = 2};
    td__dialect csv = td__dialect_of(TD_FORMAT_CSV);
    assert_int_equal(td__record_parse(&record, csv, text, count - 1, false), TD__RECORD_MORE);
    assert_int_equal(td__record_parse(&record, csv, text, count, false), TD__RECORD_FOUND);
    assert_int_equal(fields[0].bytes, count / 2);
    assert_int_equal(fields[1].bytes, count - 1 - count / 2 - 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_examples),
        cmocka_unit_test(pieces_of_any_size_give_the_same),
        cmocka_unit_test(random_texts_whole_and_in_pieces),
        cmocka_unit_test(stays_inside_at_the_edge_of_a_page),
        cmocka_unit_test(fields_beyond_the_capacity_are_counted),
        cmocka_unit_test(lines_are_counted_within_quotes),
        cmocka_unit_test(a_long_line_is_one_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
