/* utf8_test.c -- every sequence of up to three bytes, and the corners of those of four. */
#include "support/test.h"

#include "base/utf8.h"

static size_t encode(uint32_t code, unsigned char *out)
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (unsigned char)(0xC0 | code >> 6);
        out[1] = (unsigned char)(0x80 | (code & 63));
        return 2;
    }
    size_t length = code < 0x10000 ? 3 : 4;
    out[0] = (unsigned char)(length == 3 ? 0xE0 | code >> 12 : 0xF0 | code >> 18);
    for (size_t i = 1; i < length; i++) {
        out[i] = (unsigned char)(0x80 | (code >> (6 * (length - 1 - i)) & 63));
    }
    return length;
}

static bool is_scalar(uint32_t code)
{
    return code < 0xD800 || (code > 0xDFFF && code <= 0x10FFFF);
}

static void all_characters_are_text(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF + 5000; code++) {
        unsigned char bytes[4];
        size_t length = encode(code, bytes);
        bool valid = td__utf8_valid_prefix((const char *)bytes, length) == length;
        if (valid != is_scalar(code)) fail_msg("U+%X", code);
        for (size_t cut = 1; cut < length && is_scalar(code); cut++) {
            if (td__utf8_valid_prefix((const char *)bytes, cut) != 0) fail_msg("U+%X cut", code);
        }
    }
}

/* Of all 2^24 sequences of three bytes exactly the encodings of characters are valid: count them.
 */
static void nothing_else_is_text(void **state)
{
    (void)state;
    uint64_t valid = 0;
    for (uint32_t i = 0; i < 1u << 24; i++) {
        const unsigned char bytes[3] = {(unsigned char)(i >> 16), (unsigned char)(i >> 8),
                                        (unsigned char)i};
        valid += td__utf8_valid_prefix((const char *)bytes, 3) == 3;
    }
    const uint64_t one = 128, two = 0x800 - 128, three = 0x10000 - 0x800 - 0x800;
    assert_int_equal(valid, one * one * one + 2 * one * two + three);
}

static void the_first_bad_byte_is_found(void **state)
{
    (void)state;
    assert_int_equal(td__utf8_valid_prefix("ab\xffgh", 5), 2);
    assert_int_equal(td__utf8_valid_prefix("\xc3\xa4\xc3", 3), 2);
    assert_int_equal(td__utf8_valid_prefix("", 0), 0);
    assert_int_equal(td__utf8_valid_prefix("\xf4\x90\x80\x80", 4), 0);
    assert_true(td__is_utf8("K\xc3\xb6ln \xe6\xbc\xa2 \xf0\x9f\x8e\xac"));
    assert_false(td__is_utf8("K\xf6ln"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_characters_are_text),
        cmocka_unit_test(nothing_else_is_text),
        cmocka_unit_test(the_first_bad_byte_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
