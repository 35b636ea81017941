/* tree_guarantee_test.c -- whatever the sizes: min(k, N) different items of the index, in order, with
 * exact scores. */
#include <math.h>

#include "support/clusters.h"

enum { QUERIES = 3, K_MAX = 2001 };

typedef struct world {
    td_context *context;
    float *items, *users;
    td_vectors queries;
    td_index *tree;
    uint32_t count, dim;
} world;

static world make(uint32_t count, uint32_t dim, float *items)
{
    world w = {.context = test_context(2), .items = items, .count = count, .dim = dim,
               .users = test_clusters(7, QUERIES, dim, 5)};
    td_vectors rows = {.data = items, .rows = count, .dim = dim};
    memset(w.users, 0, dim * sizeof *w.users); /* the first query is zero */
    w.queries = (td_vectors){.data = w.users, .rows = QUERIES, .dim = dim};
    w.tree = test_tree(w.context, &rows, 0);
    return w;
}

static void end(world *w)
{
    td_index_free(w->tree);
    td_context_free(w->context);
    free(w->items);
    free(w->users);
}

static float score_of(const world *w, uint32_t query, uint32_t position)
{
    const float *a = w->users + (size_t)query * w->dim, *b = w->items + (size_t)position * w->dim;
    float sum = 0.0f;
    for (uint32_t j = 0; j < w->dim; j++) sum = fmaf(a[j], b[j], sum);
    return sum;
}

static void check_hits(const world *w, uint32_t query, const td_hit *hits, uint32_t k, uint32_t count)
{
    static bool seen[1 << 16];
    memset(seen, 0, w->count + (size_t)1);
    assert_int_equal(count, k < w->count ? k : w->count);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(hits[i].position < w->count && !seen[hits[i].position]);
        seen[hits[i].position] = true;
        assert_true(hits[i].score == score_of(w, query, hits[i].position));
        if (i > 0) assert_true(hits[i].score <= hits[i - 1].score);
    }
    for (uint32_t i = count; i < k; i++) assert_int_equal(hits[i].position, TD_NONE);
}

static void check_search(const world *w, uint32_t k, td_search_effort effort)
{
    td_search search = {.k = k, .effort = effort};
    td_hit *hits = malloc((size_t)QUERIES * k * sizeof *hits);
    uint32_t counts[QUERIES];
    test_search(w->tree, &w->queries, &search, hits, counts);
    for (uint32_t q = 0; q < QUERIES; q++) check_hits(w, q, hits + (size_t)q * k, k, counts[q]);
    free(hits);
}

static void check_every_k(const world *w)
{
    const uint32_t ks[] = {1, 2, 2000, w->count, w->count + 1};
    for (int i = 0; i < 5; i++) {
        if (ks[i] == 0) continue;
        check_search(w, ks[i], (td_search_effort){0});
        check_search(w, ks[i], (td_search_effort){.num_leaves_to_search = 1,
                                                  .reordering_num_neighbors = 1});
    }
}

static void any_number_of_items(void **state)
{
    (void)state;
    const uint32_t counts[] = {0, 1, 2, 31, 32, 33, 100, 1000, 40000};
    for (int i = 0; i < 9; i++) {
        world w = make(counts[i], 6, test_clusters(1, counts[i] + UINT64_C(1), 6, 20));
        check_every_k(&w);
        end(&w);
    }
}

static void any_number_of_dimensions(void **state)
{
    (void)state;
    const uint32_t dims[] = {1, 2, 3, 31, 32, 33, 64, 100, 257, 512, 1000, 2048};
    for (int i = 0; i < 12; i++) {
        world w = make(700, dims[i], test_clusters(2, 700, dims[i], 20));
        check_every_k(&w);
        end(&w);
    }
}

static void doubles_and_zeros(void **state)
{
    (void)state;
    enum { COUNT = 36000, DIM = 8 };
    for (uint32_t different = 0; different <= 100; different += 50) {
        float *items = calloc((size_t)COUNT * DIM, sizeof *items);
        float *some = test_clusters(3, 101, DIM, 20);
        for (uint32_t i = 0; different > 0 && i < COUNT; i++) {
            memcpy(items + (size_t)i * DIM, some + (size_t)(i % different) * DIM, DIM * sizeof *items);
        }
        world w = make(COUNT, DIM, items);
        check_every_k(&w);
        free(some);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_items),
        cmocka_unit_test(any_number_of_dimensions),
        cmocka_unit_test(doubles_and_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
