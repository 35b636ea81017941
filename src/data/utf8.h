/* utf8.h -- is this text UTF-8, and Latin-1 made UTF-8.
 *
 * Serves: stage 1. Pure functions over bytes. */
#ifndef TD_DATA_UTF8_H
#define TD_DATA_UTF8_H

#include <stddef.h>

/* Length of the longest prefix of `text` [bytes] that is UTF-8 as RFC 3629 has it (no overlong
 * forms, no surrogates, nothing beyond U+10FFFF). `bytes` if all of it is. */
size_t td__utf8_prefix(const char *text, size_t bytes);

/* Latin-1 (ISO 8859-1) as UTF-8: fills `utf8` [2 * bytes], returns the bytes written. Cannot fail.
 */
size_t td__utf8_from_latin1(char *utf8, const char *text, size_t bytes);

#endif
