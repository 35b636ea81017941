/* rounded.h -- vectors as integers of 8 bits times a scale.
 *
 * Serves: stage 7, the tree.
 *
 * The scale is the largest absolute value over 127, with 16 bits of which the last is rounded up. So
 * every product of integer and scale is a float32 without another rounding, the largest integer is 127, and
 * a vector that was rounded once stays as it is when it is rounded again: updates, merges and files do
 * not wear vectors out. */
#ifndef TD_INDEX_ROUNDED_H
#define TD_INDEX_ROUNDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/quant.h"

enum { TD__ROUNDED_MAX = 127 };

/* The items of an index that keeps them in this form alone. */
typedef struct td__rounded {
    uint32_t stride;     /* of rows */
    uint32_t *slots;     /* [N]: the row of each position; TD_NONE: not there */
    const int8_t *rows;  /* [*, stride] */
    const float *scales; /* [*] */
} td__rounded;

/* The integers of a vector [dim], each half a scale or less from what it stands for; returns the scale.
 * 0, and zeros, for a vector so short that its scale has no inverse. */
float td__round_vector(const float *vector, uint32_t dim, int8_t *row);
/* What a vector is then. */
void td__round_in_place(float *vector, uint32_t dim);
/* Are these integers and their scale what td__round_vector makes of some vector? */
bool td__is_rounded(const int8_t *row, float scale, uint32_t dim);

/* The first `dim` numbers of the vector at a position, `step` apart; zeros if it is not there. */
void td__rounded_spread(const td__rounded *rounded, uint32_t position, uint32_t dim, float *vector,
                        size_t step);
void td__rounded_copy(const td__rounded *rounded, uint32_t position, uint32_t dim, float *vector);

/* Its score for a query [dim]: the same bits as of the vector. */
float td__rounded_score(const td__rounded *rounded, uint32_t position, const float *query, uint32_t dim);

/* Ask for the vector at a position. */
void td__rounded_fetch(const td__rounded *rounded, uint32_t position);

#endif
