/* utf8.c -- is this text UTF-8, and Latin-1 made UTF-8.
 *
 * Serves: stage 1, and all that ends up in JSON. In: bytes. Out: how many of them are good, or the same text in UTF-8. */
#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/poison.h"

/* The rows of table 3-7 of the Unicode Standard: which second bytes a first byte allows. Further
 * bytes are 0x80 to 0xBF. */
typedef struct utf8_form {
    unsigned char first_low, first_high, second_low, second_high;
    unsigned char bytes;
} utf8_form;

static const utf8_form utf8_forms[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
    {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
    {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

/* Bytes of the character beyond ASCII that starts at `at` [left > 0], 0 if it is none. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    for (size_t i = 0; i < sizeof utf8_forms / sizeof utf8_forms[0]; i++) {
        const utf8_form *form = &utf8_forms[i];
        if (at[0] < form->first_low || at[0] > form->first_high) continue;
        if (left < form->bytes || at[1] < form->second_low || at[1] > form->second_high) return 0;
        for (size_t k = 2; k < form->bytes; k++) {
            if (at[k] < 0x80 || at[k] > 0xBF) return 0;
        }
        return form->bytes;
    }
    return 0;
}

size_t td__utf8_prefix(const char *text, size_t bytes)
{
    const unsigned char *all = (const unsigned char *)text;
    size_t at = 0;
    while (at < bytes) {
        uint64_t word;
        if (bytes - at >= sizeof word) {
            memcpy(&word, all + at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t step = all[at] < 0x80 ? 1 : character_bytes(all + at, bytes - at);
        if (step == 0) break;
        at += step;
    }
    return at;
}

size_t td__utf8_from_latin1(char *utf8, const char *text, size_t bytes)
{
    size_t written = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80) utf8[written++] = (char)(0xC0 | (c >> 6));
        utf8[written++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3F));
    }
    return written;
}
