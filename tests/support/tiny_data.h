/* tiny_data.h -- small datasets with a taste in them, for tests of models and training. */
#ifndef TANDEM_TESTS_TINY_DATA_H
#define TANDEM_TESTS_TINY_DATA_H

#include "support/test.h"

/* Queries "q0", "q1", ... each like one of `groups` groups of candidates "c0", "c1", ...: candidate c
 * belongs to group c % groups, query q likes group q % groups; one row in ten is at random. Early
 * candidates of a group are more popular. */
typedef struct tiny_shape {
    uint32_t queries, candidates, groups, rows;
    uint64_t seed;
    bool weighted; /* weights 0.5, 1 and 2 */
} tiny_shape;

/* The status of td_dataset_build: for tests with failing memory. Free with td_dataset_free. */
td_status tiny_dataset_build(td_dataset **out, td_context *context, const tiny_shape *shape,
                             td_error *err);

/* The same; a failure fails the test. */
td_dataset *tiny_dataset(td_context *context, const tiny_shape *shape);

/* Cut off a part at random. */
void tiny_split(td_dataset **kept, td_dataset **held_out, const td_dataset *dataset, double fraction);

#endif
