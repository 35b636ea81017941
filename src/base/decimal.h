/* decimal.h -- decimal numbers as text, to the bit and in every locale.
 *
 * Serves: stages 2 to 7: options, saved configuration. */
#ifndef TD_BASE_DECIMAL_H
#define TD_BASE_DECIMAL_H

#include <stdbool.h>

enum { TD__DECIMAL_BYTES = 32 }; /* room for any number and its NUL */

/* The nearest number to a decimal, or to "inf" and "infinity" with or without sign. False for anything
 * else: blanks, hexadecimal, nan, junk behind, numbers too large to be finite. */
bool td__decimal_read_f32(const char *text, float *value);
bool td__decimal_read_f64(const char *text, double *value);

/* The fewest digits that read back to the same number, or all of a whole number if they are shorter.
 * text [TD__DECIMAL_BYTES]. */
void td__decimal_print_f32(float value, char *text);
void td__decimal_print_f64(double value, char *text);

#endif
