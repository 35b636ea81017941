/* utf8.c -- is this text UTF-8?
 *
 * Serves: stage 1, and all that ends up in JSON. In: bytes. Out: how many of them are text.
 *
 * The table is Table 3-7 of the Unicode standard: by the first byte, how many follow and what the
 * second may be; the third and fourth are always 80 to BF. */
#include "base/utf8.h"

#include <string.h>

#include "base/poison.h"

typedef struct utf8_row {
    unsigned char first_low, first_high;
    unsigned char second_low, second_high;
    unsigned char length;
} utf8_row;

static const utf8_row utf8_rows[] = {
    {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static const utf8_row *row_of(unsigned char first)
{
    for (size_t i = 0; i < sizeof utf8_rows / sizeof utf8_rows[0]; i++) {
        if (first >= utf8_rows[i].first_low && first <= utf8_rows[i].first_high)
            return &utf8_rows[i];
    }
    return NULL;
}

/* Length of the character at the start of bytes [count], count > 0; 0 if it is none. */
static size_t character_length(const unsigned char *bytes, size_t count)
{
    const utf8_row *row = row_of(bytes[0]);
    if (row == NULL || row->length > count) return 0;
    if (row->length > 1 && (bytes[1] < row->second_low || bytes[1] > row->second_high)) return 0;
    for (size_t i = 2; i < row->length; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xBF) return 0;
    }
    return row->length;
}

size_t td__utf8_valid_prefix(const char *text, size_t count)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0;
    while (at < count) {
        size_t length = character_length(bytes + at, count - at);
        if (length == 0) return at;
        at += length;
    }
    return count;
}

bool td__is_utf8(const char *text)
{
    size_t count = strlen(text);
    return td__utf8_valid_prefix(text, count) == count;
}
