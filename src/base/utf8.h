/* utf8.h -- is this text UTF-8, and Latin-1 made UTF-8.
 *
 * Serves: stage 1, and all that ends up in JSON. Pure functions over bytes. */
#ifndef TD_BASE_UTF8_H
#define TD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Length of the longest prefix of `text` [bytes] that is UTF-8 as RFC 3629 has it (no overlong
 * forms, no surrogates, nothing beyond U+10FFFF). `bytes` if all of it is. */
size_t td__utf8_prefix(const char *text, size_t bytes);

/* Is all of a text with a NUL at its end UTF-8? */
static inline bool td__is_utf8(const char *text)
{
    size_t bytes = strlen(text);
    return td__utf8_prefix(text, bytes) == bytes;
}

/* Latin-1 (ISO 8859-1) as UTF-8: fills `utf8` [2 * bytes], returns the bytes written. Cannot fail.
 */
size_t td__utf8_from_latin1(char *utf8, const char *text, size_t bytes);

#endif
