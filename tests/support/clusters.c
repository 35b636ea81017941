/* clusters.c -- vectors in clusters, for tests of partitions. */
#include "support/clusters.h"

#include <math.h>

float *test_clusters(uint64_t seed, uint64_t count, uint32_t dim, uint32_t clusters)
{
    float *middles = test_normal_vectors(77, clusters, dim), *rows = test_normal_vectors(seed, count, dim);
    uint64_t draws = seed + 1000;
    for (uint64_t i = 0; i < count; i++) {
        const float *middle = middles + (size_t)test_uniform(&draws, 0, clusters) * dim;
        float length = (float)exp(test_uniform(&draws, -0.4, 0.4));
        for (uint32_t k = 0; k < dim; k++) {
            rows[i * dim + k] = length * (middle[k] + 0.5f * rows[i * dim + k]);
        }
    }
    free(middles);
    return rows;
}

uint32_t test_common(const td_hit *a, const td_hit *b, uint32_t count)
{
    uint32_t common = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            common += a[i].position == b[j].position && a[i].position != TD_NONE;
        }
    }
    return common;
}

td_index *test_tree(td_context *context, const td_vectors *items, uint32_t leaves)
{
    td_error err = {0};
    td_index *index;
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    options.num_leaves = leaves;
    assert_ok(td_index_build_with(&index, context, items, NULL, &options, NULL, &err));
    assert_ok(td_index_check(index, &err));
    return index;
}

void test_search(const td_index *index, const td_vectors *queries, const td_search *search,
                 td_hit *hits, uint32_t *counts)
{
    td_error err = {0};
    td_searcher *searcher;
    assert_ok(td_searcher_create(&searcher, index, &err));
    assert_ok(td_searcher_search(searcher, queries, search, hits, counts, &err));
    td_searcher_free(searcher);
}
