/* distance.h -- measures of nearness that are not the dot product, made of dot products.
 *
 * Serves: stage 7. Inside, an index knows dot products only. One of another measure holds its items, and
 * asks its queries, in a form whose dot products are the measure:
 *
 *   cosine      items and queries divided by their lengths; zeros stay
 *   squared_l2  two columns more:   item (x, c |x|^2, g)   query (2 q, -1 / c, -|q|^2 / g)
 *               whose product is 2 q x - |x|^2 - |q|^2 = -|q - x|^2
 *
 * c and g are powers of two, chosen once so that the new columns are about as large as the others, which
 * codes and integers of 8 bits are made for. They change no bit of a score. */
#ifndef TD_INDEX_DISTANCE_H
#define TD_INDEX_DISTANCE_H

#include <tandem/tandem.h>

#include "base/container.h"

typedef struct td__distance {
    td_distance_measure measure;
    int square; /* c = 2^square */
    int one;    /* g = 2^one */
} td__distance;

/* Columns that the measure adds. */
static inline uint32_t td__distance_columns(const td__distance *distance)
{
    return distance->measure == TD_SQUARED_L2 ? 2 : 0;
}

/* Choose c and g for items. */
void td__distance_choose(td__distance *distance, const td_vectors *items);

/* The inner form of items [rows, dim] or queries [rows, heads, dim], which are finite, into `to`
 * [.., dim + columns]. NUMERIC if it is not finite: the vector is too long. */
TD_MUST_CHECK td_status td__distance_items(const td__distance *distance, const td_vectors *items,
                                           float *to, td_error *err);
TD_MUST_CHECK td_status td__distance_queries(const td__distance *distance, const td_vectors *queries,
                                             float *to, td_error *err);

/* CORRUPT if rows of an index are not in the inner form; zeros are: of a deleted item. */
TD_MUST_CHECK td_status td__distance_check(const td__distance *distance, const td_vectors *rows,
                                           td_error *err);

/* The measure in the metadata of a file; dot_product is not noted. */
/* Is this row, each of whose numbers may be off by `error`, in the form of the measure, which is not
 * squared_l2? */
bool td__distance_is_near(const td__distance *distance, const float *row, uint32_t dim, double error);

TD_MUST_CHECK td_status td__distance_save(const td__distance *distance, td__container_writer *writer,
                                          td_error *err);
TD_MUST_CHECK td_status td__distance_load(td__distance *distance, const td__container *file,
                                          td_error *err);

#endif
