/* two_tower.h -- items and users as two towers leave them, for measuring without a model.
 *
 * Serves: the benchmarks of the index. What trained vectors have and plain normal ones lack: items in
 * clusters of clusters, a few strong directions, lengths that follow popularity, and users that lie
 * between several clusters and, all of them, off to one side of the items. */
#ifndef TANDEM_BENCH_TWO_TOWER_H
#define TANDEM_BENCH_TWO_TOWER_H

#include "tandem/tandem.h"

typedef struct two_tower {
    uint64_t items, users;
    uint32_t dim;
    double spread; /* of the logarithm of the items' lengths: 0.15 is mild, 0.3 strong */
    double gap;    /* how far users are off: 0.3 */
    uint64_t seed;
} two_tower;

/* Fill item_rows [items, dim] and user_rows [users, dim]. False without memory. */
bool two_tower_make(const two_tower *shape, td_context *context, float *item_rows, float *user_rows);

#endif
