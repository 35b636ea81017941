/* distance.c -- measures of nearness that are not the dot product, made of dot products.
 *
 * Serves: stage 7. In: items and queries as the caller has them. Out: the form in which an index
 * holds and asks them. Lengths are summed in double precision, in the order of the dimensions. */
#include "index/distance.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "index/index.h"

#include "base/poison.h"

#define DISTANCE_KEY "index.distance"

/* Powers of two up to these are far from the ends of float32. */
enum { EXPONENT_MAX = 100 };

/* Of a normalised row's squared length from 1. */
#define LENGTH_ERROR 1e-4

static const char *const names[] = {"dot_product", "cosine", "squared_l2"};

enum { NAMES = sizeof names / sizeof names[0] };

const char *td_distance_measure_name(td_distance_measure measure)
{
    return (size_t)measure < NAMES ? names[measure] : "unknown";
}

static double square_of(const float *vector, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < dim; k++) sum += (double)vector[k] * (double)vector[k];
    return sum;
}

/* --- columns of about the size of the others */

static int clamp(int exponent)
{
    return exponent > EXPONENT_MAX    ? EXPONENT_MAX
           : exponent < -EXPONENT_MAX ? -EXPONENT_MAX
                                      : exponent;
}

void td__distance_choose(td__distance *distance, const td_vectors *items)
{
    float greatest = td__greatest_of(items->data, items->rows * items->dim);
    double longest = 0.0;
    distance->square = distance->one = 0;
    if (distance->measure != TD_SQUARED_L2 || greatest == 0.0f) return;
    for (uint64_t i = 0; i < items->rows; i++) {
        longest = fmax(longest, square_of(items->data + i * items->dim, items->dim));
    }
    distance->one = clamp(ilogbf(greatest));
    distance->square = clamp(ilogbf(greatest) - ilogb(longest));
}

/* --- the inner form */

static void normalize(const float *from, uint32_t dim, float *to)
{
    double square = square_of(from, dim), inverse = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    for (uint32_t k = 0; k < dim; k++) to[k] = (float)((double)from[k] * inverse);
}

static void add_columns(const td__distance *distance, const float *from, uint32_t dim, float *to)
{
    memcpy(to, from, dim * sizeof *to);
    to[dim] = (float)ldexp(square_of(from, dim), distance->square);
    to[dim + 1] = ldexpf(1.0f, distance->one);
}

static void ask_columns(const td__distance *distance, const float *from, uint32_t dim, float *to)
{
    for (uint32_t k = 0; k < dim; k++) to[k] = 2.0f * from[k];
    to[dim] = -ldexpf(1.0f, -distance->square);
    to[dim + 1] = (float)-ldexp(square_of(from, dim), -distance->one);
}

typedef void form(const td__distance *distance, const float *from, uint32_t dim, float *to);

static void normal_form(const td__distance *distance, const float *from, uint32_t dim, float *to)
{
    (void)distance;
    normalize(from, dim, to);
}

static void same_form(const td__distance *distance, const float *from, uint32_t dim, float *to)
{
    (void)distance;
    memcpy(to, from, dim * sizeof *to);
}

static td_status convert(const td__distance *distance, const td_vectors *vectors, form *make,
                         float *to, td_error *err)
{
    uint32_t heads = td__heads(vectors), dim = vectors->dim;
    uint32_t width = dim + td__distance_columns(distance);
    for (uint64_t i = 0; i < vectors->rows * heads; i++) {
        make(distance, vectors->data + i * dim, dim, to + i * width);
        if (isfinite(td__greatest_of(to + i * width, width))) continue;
        return td__fail(err, TD_ERR_NUMERIC,
                        "vector %llu is too long for squared distances in float32",
                        (unsigned long long)(i / heads));
    }
    return TD_OK;
}

td_status td__distance_items(const td__distance *distance, const td_vectors *items, float *to,
                             td_error *err)
{
    static form *const forms[] = {same_form, normal_form, add_columns};
    return convert(distance, items, forms[distance->measure], to, err);
}

td_status td__distance_queries(const td__distance *distance, const td_vectors *queries, float *to,
                               td_error *err)
{
    static form *const forms[] = {same_form, normal_form, ask_columns};
    return convert(distance, queries, forms[distance->measure], to, err);
}

/* --- files */

static bool is_inner(const td__distance *distance, const float *row, uint32_t dim)
{
    uint32_t own = dim - td__distance_columns(distance);
    double square = square_of(row, own);
    if (td__greatest_of(row, dim) == 0.0f) return true;
    if (distance->measure == TD_COSINE) return fabs(square - 1.0) < LENGTH_ERROR;
    return row[own] == (float)ldexp(square, distance->square)
           && row[own + 1] == ldexpf(1.0f, distance->one);
}

td_status td__distance_check(const td__distance *distance, const td_vectors *rows, td_error *err)
{
    if (distance->measure == TD_DOT_PRODUCT) return TD_OK;
    for (uint64_t i = 0; i < rows->rows; i++) {
        if (is_inner(distance, rows->data + i * rows->dim, rows->dim)) continue;
        return td__fail(err, TD_ERR_CORRUPT, "item %llu is not in the form of an index by %s",
                        (unsigned long long)i, td_distance_measure_name(distance->measure));
    }
    return TD_OK;
}

bool td__distance_is_near(const td__distance *distance, const float *row, uint32_t dim, double error)
{
    if (distance->measure != TD_COSINE || td__greatest_of(row, dim) == 0.0f) return true;
    return fabs(sqrt(square_of(row, dim)) - 1.0) < error * sqrt(dim) + LENGTH_ERROR;
}

td_status td__distance_save(const td__distance *distance, td__container_writer *writer,
                            td_error *err)
{
    char text[96];
    if (distance->measure == TD_DOT_PRODUCT) return TD_OK;
    int used = snprintf(text, sizeof text, "{\"measure\":\"%s\",\"square\":%d,\"one\":%d}",
                        td_distance_measure_name(distance->measure), distance->square,
                        distance->one);
    if (used < 0) return td__fail(err, TD_ERR_LIMIT, "the measure of an index cannot be written");
    return td__container_set(writer, DISTANCE_KEY, text, err);
}

static bool read_measure(td__distance *distance, const json_t *object)
{
    const char *name;
    if (json_unpack((json_t *)object, "{s:s, s:i, s:i}", "measure", &name, "square",
                    &distance->square, "one", &distance->one)
        != 0) {
        return false;
    }
    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(name, names[i]) == 0) distance->measure = (td_distance_measure)i;
    }
    return distance->measure != TD_DOT_PRODUCT && distance->square == clamp(distance->square)
           && distance->one == clamp(distance->one);
}

td_status td__distance_load(td__distance *distance, const td__container *file, td_error *err)
{
    const char *text = td__container_get(file, DISTANCE_KEY);
    *distance = (td__distance){.measure = TD_DOT_PRODUCT};
    if (text == NULL) return TD_OK;
    json_t *object = json_loads(text, 0, NULL);
    bool good = object != NULL && read_measure(distance, object);
    json_decref(object);
    if (good) return TD_OK;
    return td__fail(err, TD_ERR_CORRUPT,
                    "the distance measure of the index is not known or not allowed");
}
