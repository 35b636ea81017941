/* decimal.c -- decimal numbers as text, to the bit and in every locale.
 *
 * Serves: stages 2 to 7. In: text or a number. Out: the other.
 *
 * The C library converts exactly, but by the program's locale ("0,1" in German) and reads more than
 * we allow. So this thread is in the C locale meanwhile, and the characters are looked at first. */
#include "base/decimal.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

typedef struct c_locale {
    locale_t c, before;
} c_locale;

/* glibc's C locale is static, so newlocale does not fail for lack of memory. */
static c_locale enter_c_locale(void)
{
    c_locale locale = {.c = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
    if (locale.c != (locale_t)0) locale.before = uselocale(locale.c);
    return locale;
}

static void leave_c_locale(c_locale locale)
{
    if (locale.c == (locale_t)0) return;
    (void)uselocale(locale.before);
    freelocale(locale.c);
}

static bool is_infinity(const char *text)
{
    text += text[0] == '-' || text[0] == '+';
    return strcmp(text, "inf") == 0 || strcmp(text, "infinity") == 0;
}

static bool is_readable(const char *text)
{
    if (is_infinity(text)) return true;
    return text[0] != '\0' && strspn(text, "0123456789+-.eE") == strlen(text);
}

bool td__decimal_read_f32(const char *text, float *value)
{
    char *end;
    if (!is_readable(text)) return false;
    c_locale locale = enter_c_locale();
    *value = strtof(text, &end); /* not by way of double, which would round twice */
    leave_c_locale(locale);
    return end != text && *end == '\0' && (isfinite(*value) || is_infinity(text));
}

bool td__decimal_read_f64(const char *text, double *value)
{
    char *end;
    if (!is_readable(text)) return false;
    c_locale locale = enter_c_locale();
    *value = strtod(text, &end);
    leave_c_locale(locale);
    return end != text && *end == '\0' && (isfinite(*value) || is_infinity(text));
}

/* %g writes 100 in one digit as 1e+02. All digits of a whole number are shorter then, and exact. */
static void prefer_shorter(char *text, const char *full)
{
    if (strlen(full) < strlen(text)) memcpy(text, full, strlen(full) + 1);
}

void td__decimal_print_f32(float value, char *text)
{
    char full[TD__DECIMAL_BYTES];
    c_locale locale = enter_c_locale();
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, TD__DECIMAL_BYTES, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    snprintf(full, sizeof full, "%.9g", (double)value);
    prefer_shorter(text, full);
    leave_c_locale(locale);
}

void td__decimal_print_f64(double value, char *text)
{
    char full[TD__DECIMAL_BYTES];
    c_locale locale = enter_c_locale();
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, TD__DECIMAL_BYTES, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    snprintf(full, sizeof full, "%.17g", value);
    prefer_shorter(text, full);
    leave_c_locale(locale);
}
