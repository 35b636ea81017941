/* number.h -- numbers of text fields, all of the field or nothing.
 *
 * Serves: stage 1. Pure functions over bytes; no locale changes what they accept. Blanks around a
 * number are allowed; anything else around it, "inf", "nan", and hexadecimal are not. */
#ifndef TD_DATA_NUMBER_H
#define TD_DATA_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* [+-] digits [. digits]: whole seconds, decimals cut (towards zero). False if it is none, or does
 * not fit in 64 bits. */
bool td__number_seconds(const char *text, size_t bytes, int64_t *seconds);

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point: the nearest
 * float. False if it is none, or is too large for a float. */
bool td__number_float(const char *text, size_t bytes, float *number);

/* Digits only, at least one: 1, 2, ... up to UINT32_MAX. */
bool td__number_column(const char *text, size_t bytes, uint32_t *column);

#endif
