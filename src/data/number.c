/* number.c -- numbers of text fields, all of the field or nothing.
 *
 * Serves: stage 1. In: the bytes of a field. Out: a number. */
#include "data/number.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"
#include "base/poison.h"

enum {
    TEXT_MAX = 128,   /* more digits than any number written by a machine has */
    EXACT_DIGITS = 18 /* of these any number fits in 63 bits */
};

typedef struct number_text {
    const char *at, *end;
} number_text;

static number_text trimmed(const char *text, size_t bytes)
{
    number_text t = {text, text + bytes};
    while (t.at < t.end && (*t.at == ' ' || *t.at == '\t')) t.at++;
    while (t.end > t.at && (t.end[-1] == ' ' || t.end[-1] == '\t')) t.end--;
    return t;
}

static bool take(number_text *t, char c)
{
    if (t->at == t->end || *t->at != c) return false;
    t->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A number in decimal notation, apart: value = digits * 10^-decimals if `exact`. */
typedef struct decimal {
    bool negative;
    bool exact; /* at most EXACT_DIGITS digits, no exponent: nothing of the text is lost */
    uint64_t digits;
    size_t decimals;
} decimal;

/* The digits at t->at behind those of `value`, which wraps beyond 19 of them. */
static uint64_t take_digits(number_text *t, uint64_t value)
{
    const char *at = t->at;
    for (; at < t->end && is_digit(*at); at++) value = value * 10 + (uint64_t)(*at - '0');
    t->at = at;
    return value;
}

static bool read_decimal(number_text t, decimal *d)
{
    d->negative = take(&t, '-');
    if (!d->negative) (void)take(&t, '+');
    const char *start = t.at;
    d->digits = take_digits(&t, 0);
    size_t all = (size_t)(t.at - start);
    d->decimals = 0;
    if (take(&t, '.')) {
        start = t.at;
        d->digits = take_digits(&t, d->digits);
        d->decimals = (size_t)(t.at - start);
        all += d->decimals;
    }
    d->exact = all <= EXACT_DIGITS;
    if (all == 0) return false;
    if (!take(&t, 'e') && !take(&t, 'E')) return t.at == t.end;
    if (!take(&t, '-')) (void)take(&t, '+');
    d->exact = false;
    start = t.at;
    (void)take_digits(&t, 0);
    return t.at > start && t.at == t.end;
}

/* Correctly rounded, whatever the length. */
static bool parse_slowly(number_text t, double *number)
{
    char text[TEXT_MAX];
    size_t bytes = (size_t)(t.end - t.at);
    if (bytes >= sizeof text) return false;
    memcpy(text, t.at, bytes);
    text[bytes] = '\0';
    return td__decimal_read_f64(text, number);
}

bool td__number_float(const char *text, size_t bytes, float *number)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    number_text t = trimmed(text, bytes);
    decimal d;
    double value;
    if (!read_decimal(t, &d)) return false;
    if (d.exact && d.digits < UINT64_C(1) << 53) {
        /* Both exact in a double, so the quotient is the nearest (Clinger 1990). */
        value = (double)d.digits / powers[d.decimals];
        if (d.negative) value = -value;
    } else if (!parse_slowly(t, &value)) {
        return false;
    }
    *number = (float)value;
    return isfinite(*number);
}

/* More digits than EXACT_DIGITS, leading zeros perhaps. */
static bool read_long(const char *at, const char *end, uint64_t most, uint64_t *value)
{
    *value = 0;
    for (; at < end; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*value > (most - digit) / 10) return false;
        *value = *value * 10 + digit;
    }
    return true;
}

bool td__number_seconds(const char *text, size_t bytes, int64_t *seconds)
{
    number_text t = trimmed(text, bytes);
    bool negative = take(&t, '-');
    if (!negative) (void)take(&t, '+');
    const char *start = t.at;
    uint64_t value = take_digits(&t, 0), most = (uint64_t)INT64_MAX + negative;
    const char *end = t.at;
    if (end == start) return false;
    if (end - start > EXACT_DIGITS && !read_long(start, end, most, &value)) return false;
    if (take(&t, '.')) (void)take_digits(&t, 0);
    *seconds = (int64_t)(negative ? 0 - value : value);
    return t.at == t.end;
}

bool td__number_column(const char *text, size_t bytes, uint32_t *column)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (!is_digit(text[i])) return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (value > UINT32_MAX) return false;
    }
    *column = (uint32_t)value;
    return value > 0;
}
