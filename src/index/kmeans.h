/* kmeans.h -- a partition of vectors by their nearest centres.
 *
 * Serves: stage 7, the tree. Euclidean, not spherical: a centre's length says how long its vectors are,
 * which matters when they are searched by dot product. */
#ifndef TD_INDEX_KMEANS_H
#define TD_INDEX_KMEANS_H

#include "base/context.h"
#include "base/status.h"

/* Centres, and what it takes to find the nearest. */
typedef struct td__centers {
    td_context *context;
    uint32_t count, dim;
    float *rows;   /* [count, dim] */
    float *panels; /* the same, packed */
    float *starts; /* [panels, TD__PANEL]: -|c|^2 / 2, so that the best score is the nearest centre;
                    * -INFINITY past the end */
} td__centers;

TD_MUST_CHECK td_status td__centers_create(td__centers *centers, td_context *context, uint32_t count,
                                           uint32_t dim, td_error *err);
/* `rows` have changed. */
void td__centers_pack(td__centers *centers);
void td__centers_clear(td__centers *centers);

/* leaf[i] of each row [count, dim] is its nearest centre, the first of several. */
void td__centers_assign(const td__centers *centers, const float *rows, uint64_t count, uint32_t *leaf);

/* Rows of one leaf behind each other: those of leaf l are order[first[l]] to order[first[l + 1] - 1],
 * ascending. first [leaves + 1], order [count]. */
void td__group_by_leaf(const uint32_t *leaf, uint64_t count, uint32_t leaves, uint64_t *first,
                       uint32_t *order);

/* How k-means goes on: told before each round; false stops it with CANCELLED. */
typedef bool td__round_fn(void *user, uint32_t round);

/* Lloyd's rounds from centres drawn among the rows; a centre without rows is drawn anew. `centers` has
 * been created; at least one row. The same bits for any number of threads. */
TD_MUST_CHECK td_status td__kmeans(td__centers *centers, const float *rows, uint64_t count,
                                   uint32_t rounds, uint64_t seed, td__round_fn *report, void *user,
                                   td_error *err);

/* `wanted` <= total of the numbers 0 .. total - 1, ascending, all choices equally likely (Knuth,
 * algorithm 3.4.2 S). */
void td__draw_sample(uint32_t *chosen, uint64_t wanted, uint64_t total, uint64_t seed, uint64_t sub);

#endif
