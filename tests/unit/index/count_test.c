/* count_test.c -- counting what scores higher agrees with looking at all, and with float64. */
#include "support/clusters.h"

#include <float.h>
#include <math.h>

#include "index/count.h"

enum { DIM = 11 };

static td_index *make_index(td_context *context, const float *vectors, uint64_t count)
{
    td_error err = {0};
    td_index *index;
    td_vectors items = {.data = vectors, .rows = count, .dim = DIM};
    assert_ok(td_index_build(&index, context, &items, NULL, &err));
    return index;
}

static void count(const td_index *index, const td_vectors *queries, const float *thresholds,
                  atomic_uint_fast64_t *found)
{
    td_error err = {0};
    td_searcher *searcher;
    assert_ok(td_searcher_create(&searcher, index, &err));
    td__count_greater(searcher, queries, thresholds, found);
    td_searcher_free(searcher);
}

static void counts_what_scores_strictly_higher(void **state)
{
    (void)state;
    const uint64_t counts[] = {0, 1, 48, 97, 5000}, rows[] = {1, 13, 193};
    td_context *context = test_context(2);
    for (int n = 0; n < 5; n++) {
        for (int r = 0; r < 3; r++) {
            float *items = test_normal_vectors(1, counts[n], DIM);
            float *queries = test_normal_vectors(2, rows[r], DIM);
            float thresholds[193];
            atomic_uint_fast64_t found[193];
            td_index *index = make_index(context, items, counts[n]);
            td_vectors q = {.data = queries, .rows = rows[r], .dim = DIM};
            for (uint64_t i = 0; i < rows[r]; i++) {
                /* every other threshold is the score of an item: it does not count itself */
                uint32_t item = counts[n] == 0 ? 0 : (uint32_t)(i * 31 % counts[n]);
                bool own = i % 2 == 0 && counts[n] > 0;
                thresholds[i] = own ? td__index_score(index, queries + i * DIM, item) : 0.25f;
                atomic_init(&found[i], 1000); /* added to, not set */
            }
            count(index, &q, thresholds, found);
            for (uint64_t i = 0; i < rows[r]; i++) {
                uint64_t expected = 1000;
                for (uint32_t c = 0; c < counts[n]; c++) {
                    expected += td__index_score(index, queries + i * DIM, c) > thresholds[i];
                }
                assert_int_equal(atomic_load(&found[i]), expected);
            }
            td_index_free(index);
            free(items);
            free(queries);
        }
    }
    td_context_free(context);
}

/* Of an index without panels, and queries of several vectors, as of its exact twin. */
static void a_tree_counts_as_its_exact_twin(void **state)
{
    (void)state;
    const uint64_t counts[] = {0, 1, 47, 48, 1000};
    td_context *context = test_context(2);
    float *items = test_normal_vectors(1, 1000, DIM), *queries = test_normal_vectors(2, 90, DIM);
    for (uint32_t heads = 1; heads <= 3; heads += 2) {
        for (int n = 0; n < 5; n++) {
            td_vectors rows = {.data = items, .rows = counts[n], .dim = DIM};
            td_vectors q = {.data = queries, .rows = 30, .dim = DIM, .heads = heads};
            td_index *exact = make_index(context, items, counts[n]), *tree = test_tree(context, &rows, 9);
            float thresholds[30];
            atomic_uint_fast64_t found[2][30];
            for (uint32_t i = 0; i < 30; i++) {
                thresholds[i] = counts[n] == 0 ? 0.0f : td__index_score(exact, queries + i * heads * DIM, 0);
                atomic_init(&found[0][i], 0);
                atomic_init(&found[1][i], 0);
            }
            count(exact, &q, thresholds, found[0]);
            count(tree, &q, thresholds, found[1]);
            for (int i = 0; i < 30; i++) {
                assert_int_equal(atomic_load(&found[0][i]), atomic_load(&found[1][i]));
            }
            td_index_free(exact);
            td_index_free(tree);
        }
    }
    td_context_free(context);
    free(items);
    free(queries);
}

/* The error of a chain of dim fma is at most dim * 2^-24 * sum |q_k x_k|, to first order. */
static void scores_are_close_to_float64(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    td_context *context = test_context(1);
    float *items = test_normal_vectors(1, COUNT, DIM), *query = test_normal_vectors(2, 1, DIM);
    td_index *index = make_index(context, items, COUNT);
    for (uint32_t c = 0; c < COUNT; c++) {
        double exact = 0, size = 0;
        for (uint32_t k = 0; k < DIM; k++) {
            double product = (double)query[k] * (double)items[c * DIM + k];
            exact += product;
            size += fabs(product);
        }
        double found = (double)td__index_score(index, query, c);
        assert_close(found, exact, 0, 1.01 * DIM * 0x1p-24 * size);
    }
    td_index_free(index);
    free(items);
    free(query);
    td_context_free(context);
}

static void overflow_is_foreseen(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    float items[DIM] = {0}, query[2 * DIM] = {0};
    items[3] = -FLT_MAX / 64;
    td_index *index = make_index(context, items, 1);
    query[DIM + 3] = 1.0f;
    assert_false(td__may_overflow(index, query, 2));
    query[DIM + 3] = 128.0f;
    assert_false(td__may_overflow(index, query, 1)); /* only in the second vector */
    assert_true(td__may_overflow(index, query, 2));
    query[DIM + 3] = NAN;
    assert_true(td__may_overflow(index, query, 2));
    query[DIM + 3] = -INFINITY;
    assert_true(td__may_overflow(index, query, 2));
    td_index_free(index);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_scores_strictly_higher),
        cmocka_unit_test(a_tree_counts_as_its_exact_twin),
        cmocka_unit_test(scores_are_close_to_float64),
        cmocka_unit_test(overflow_is_foreseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
