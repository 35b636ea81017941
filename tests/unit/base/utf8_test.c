/* utf8_test.c -- exactly the UTF-8 of RFC 3629 passes, and Latin-1 becomes it. */
#include "support/test.h"

#include "base/utf8.h"

/* Encode a code point as the pattern says, allowed or not. */
static size_t encode(char *text, uint32_t point, size_t bytes)
{
    static const unsigned char heads[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    for (size_t i = bytes; i-- > 1; point >>= 6) text[i] = (char)(0x80 | (point & 0x3F));
    text[0] = (char)(heads[bytes] | point);
    return bytes;
}

static size_t shortest(uint32_t point)
{
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x200000; point++) {
        char text[4];
        bool good = point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
        size_t bytes = encode(text, point, shortest(point));
        assert_int_equal(td__utf8_prefix(text, bytes), good ? bytes : 0);
    }
}

static void no_overlong_forms(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x10000; point++) {
        char text[4];
        for (size_t bytes = shortest(point) + 1; bytes <= 4; bytes++) {
            encode(text, point, bytes);
            assert_int_equal(td__utf8_prefix(text, bytes), 0);
        }
    }
}

static void cut_characters_end_the_prefix(void **state)
{
    (void)state;
    const char *text = "abcdefghij\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\xAC!";
    static const size_t prefix[] = {10, 10, 12, 12, 12, 15, 15, 15, 15, 19, 20};
    for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
        assert_int_equal(td__utf8_prefix(text, 10 + i), prefix[i]);
    }
    assert_int_equal(td__utf8_prefix("\x80", 1), 0);
    assert_int_equal(td__utf8_prefix("\xFF", 1), 0);
    assert_int_equal(td__utf8_prefix("", 0), 0);
}

static void latin1_of_every_byte(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 256; c++) {
        char latin1 = (char)c, utf8[2], expected[4];
        size_t bytes = encode(expected, c, shortest(c));
        assert_int_equal(td__utf8_from_latin1(utf8, &latin1, 1), bytes);
        assert_memory_equal(utf8, expected, bytes);
    }
    char utf8[16];
    size_t bytes = td__utf8_from_latin1(utf8, "Mis\xE9rables", 10 - 1);
    assert_int_equal(bytes, 10);
    assert_memory_equal(utf8, "Mis\xC3\xA9rable", 10);
}

/* Of all 2^24 sequences of three bytes exactly the encodings of characters are valid: count them.
 */
static void nothing_else_is_text(void **state)
{
    (void)state;
    uint64_t valid = 0;
    for (uint32_t i = 0; i < 1u << 24; i++) {
        const char bytes[3] = {(char)(i >> 16), (char)(i >> 8), (char)i};
        valid += td__utf8_prefix(bytes, 3) == 3;
    }
    const uint64_t one = 128, two = 0x800 - 128, three = 0x10000 - 0x800 - 0x800;
    assert_int_equal(valid, one * one * one + 2 * one * two + three);
    assert_true(td__is_utf8("K\xC3\xB6ln"));
    assert_true(td__is_utf8(""));
    assert_false(td__is_utf8("K\xF6ln"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(no_overlong_forms),
        cmocka_unit_test(cut_characters_end_the_prefix),
        cmocka_unit_test(latin1_of_every_byte),
        cmocka_unit_test(nothing_else_is_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
