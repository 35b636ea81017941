/* utf8.h -- is this text UTF-8?
 *
 * Serves: stage 1, and all that ends up in JSON. */
#ifndef TD_BASE_UTF8_H
#define TD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Position of the first byte that does not belong to a well-formed character (RFC 3629: no overlong
 * forms, no surrogates, at most U+10FFFF); `count` if there is none. */
size_t td__utf8_valid_prefix(const char *text, size_t count);

/* The same of a whole text with a NUL at its end. */
bool td__is_utf8(const char *text);

#endif
