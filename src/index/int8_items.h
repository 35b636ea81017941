/* int8_items.h -- items and queries in small integers, with proved bounds of their exact scores.
 *
 * Serves: stages 6 and 7. In: vectors. Out: integers a quarter of their size, and for each query and
 * block of items the integer product below which no exact score can reach a threshold.
 *
 * The bound. Let x = s u + e with integers u (an item), q = t v + f with integers v (a query). Then
 *     <q, x> = t s <v, u> + t <v, e> + <f, x> <= t s <v, u> + t |v| |e| + |f| |x|      (Cauchy-Schwarz)
 * The score is a chain of n = dim fused multiply-adds from the bias b on, each rounded once: by 2^-24 of
 * its result, or by 2^-150 where that is denormal. If nothing overflows it differs from b + <q, x> by
 * at most g (|b| + sum |q_k x_k|) + n 2^-149 with g = n 2^-24 / (1 - n 2^-24), and the sum is at most
 * |q| |x| (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). So
 *     score <= b + g |b| + t s <v, u> + t |v| |e| + (|f| + g |q|) |x| + n 2^-149
 * and an item whose right-hand side is below a threshold has a score below it. Solved for <v, u>, with
 * the largest |e|, |x|, b, |b| of a block of items that share s, that is one integer for each query and
 * block. It is computed in double, whose roundings (2^-53 each, some ten of them) drown in the slack
 * that is added to each |e|, |x| and |f| (2^-30 of it). */
#ifndef TD_INDEX_INT8_ITEMS_H
#define TD_INDEX_INT8_ITEMS_H

#include "index/index.h"
#include "kernel/int8.h"

enum {
    /* Panels that share a scale and a bound: enough that making limits takes no time, few enough that
     * their items are of about the same length. */
    TD__INT8_BLOCK = 16,
    TD__INT8_BLOCK_ITEMS = TD__INT8_BLOCK * TD__PANEL
};

/* What a block's items have in common; lengths in units of its scale s. */
typedef struct td__int8_block {
    double scale, inverse; /* s, 1 / s */
    double error;  /* no |e| is larger */
    double length; /* no |x| is larger */
} td__int8_block;

/* All items by descending length, so that blocks are even, thresholds rise early, and a query may stop
 * where |q| |x| cannot reach its threshold any more. A slot is a place in that order. */
typedef struct td__int8 {
    uint32_t dim; /* padded to TD__INT8_STEP */
    uint64_t blocks;
    uint8_t *panels;        /* [td__panel_count(N), dim / 4, TD__PANEL, 4] */
    uint32_t *positions;    /* [td__panel_count(N) * TD__PANEL] item of a slot, or TD_NONE */
    td__int8_block *bounds; /* [blocks] */
} td__int8;

TD_MUST_CHECK td_status td__int8_create(td__int8 **out, td_context *context, const td_vectors *items,
                                        td_error *err);
void td__int8_free(td__int8 *int8, td_context *context);
/* Does the order hold every item once, and do bounds and lanes keep to what is said of them? CORRUPT. */
TD_MUST_CHECK td_status td__int8_check(const td__int8 *int8, const td_index *index, td_error *err);
uint64_t td__int8_bytes(const td__int8 *int8, uint64_t count);

static inline const uint8_t *td__int8_panel(const td__int8 *int8, uint64_t panel)
{
    return int8->panels + panel * int8->dim * TD__PANEL;
}

static inline uint32_t td__int8_dim(uint32_t dim)
{
    return (dim + TD__INT8_STEP - 1) / TD__INT8_STEP * TD__INT8_STEP;
}

/* A query vector, in units of its scale t where nothing else is said. */
typedef struct td__int8_query {
    double inverse;  /* 1 / t */
    double integers; /* |v| */
    double error;    /* |f| + g |q| */
    double length;   /* (1 + g) |q|, not in units */
    double rounding; /* g */
    double tiny;     /* n 2^-149 */
    bool bounded;    /* false: a score might overflow, so nothing is known of any */
} td__int8_query;

/* The integers of a query vector [dim] into values [td__int8_dim] and starts [td__int8_words], and its
 * bounds. `magnitude` is at least any |bias|. */
td__int8_query td__int8_query_make(const td__int8 *int8, const float *query, uint32_t dim,
                                   double magnitude, int8_t *values, int32_t *starts);

/* Bias of some items: the largest, and the largest |b|. */
typedef struct td__int8_bias {
    double highest, magnitude;
} td__int8_bias;

/* An item of the block whose product with the query is not above the limit has a score below the
 * threshold. INT32_MIN if nothing is known; so if the threshold is NaN. */
int32_t td__int8_limit(const td__int8_query *query, const td__int8_block *block, float threshold,
                       td__int8_bias bias);

/* Is no score of this block, and of those behind it, as high as the threshold? The bias is that of all
 * items. */
bool td__int8_ends(const td__int8_query *query, const td__int8_block *block, float threshold,
                   td__int8_bias bias);

#endif
