/* clusters.h -- vectors in clusters, for tests of partitions. */
#ifndef TANDEM_TESTS_CLUSTERS_H
#define TANDEM_TESTS_CLUSTERS_H

#include "support/test.h"

/* rows [count, dim] around `clusters` common middles (the same for any seed), of lengths that differ.
 * Free with free. */
float *test_clusters(uint64_t seed, uint64_t count, uint32_t dim, uint32_t clusters);

/* Of the first `count` of each, how many positions are in both. */
uint32_t test_common(const td_hit *a, const td_hit *b, uint32_t count);

/* A tree over `items`; other options as by default. A failure fails the test. */
td_index *test_tree(td_context *context, const td_vectors *items, uint32_t leaves);

/* Search with a new searcher: `hits` [queries, k], `counts` [queries]. */
void test_search(const td_index *index, const td_vectors *queries, const td_search *search,
                 td_hit *hits, uint32_t *counts);

#endif
