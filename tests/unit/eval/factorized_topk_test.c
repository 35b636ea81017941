/* factorized_topk_test.c -- the streaming metric counts what it says, in both modes. */
#include "support/test.h"

#include <float.h>
#include <math.h>

typedef struct corpus {
    float *vectors;
    td_vectors items;
    td_index *index;
} corpus;

static corpus make_corpus(td_context *context, uint64_t count, uint32_t dim, bool rounded)
{
    td_error err = {0};
    corpus c = {.vectors = test_normal_vectors(3, count, dim)};
    for (uint64_t i = 0; rounded && i < count * dim; i++) c.vectors[i] = roundf(c.vectors[i]);
    c.items = (td_vectors){.data = c.vectors, .rows = count, .dim = dim};
    assert_ok(td_index_build(&c.index, context, &c.items, NULL, &err));
    return c;
}

static void free_corpus(corpus *c)
{
    td_index_free(c->index);
    free(c->vectors);
}

static float score(const td_vectors *queries, uint64_t q, const float *candidate)
{
    uint32_t heads = queries->heads == 0 ? 1 : queries->heads;
    float best = -INFINITY;
    for (uint32_t h = 0; h < heads; h++) {
        float sum = 0.0f;
        for (uint32_t k = 0; k < queries->dim; k++) {
            sum = fmaf(queries->data[(q * heads + h) * queries->dim + k], candidate[k], sum);
        }
        if (sum > best) best = sum;
    }
    return best;
}

/* Shares of hits by looking at every candidate. */
static void plain_result(const corpus *c, const td_vectors *queries, const float *positives,
                         const uint32_t *position, const float *weight, const td_u32_list *ks,
                         double *result)
{
    double weights = 0;
    memset(result, 0, ks->count * sizeof *result);
    for (uint64_t q = 0; q < queries->rows; q++) {
        const float *own_vector = positives != NULL
                                      ? positives + q * queries->dim
                                      : c->vectors + (uint64_t)position[q] * queries->dim;
        float own = score(queries, q, own_vector);
        uint32_t before = 0;
        for (uint32_t i = 0; i < c->items.rows; i++) {
            float other = score(queries, q, c->vectors + (uint64_t)i * queries->dim);
            before += other > own || (position != NULL && other == own && i < position[q]);
        }
        double share = weight == NULL ? 1 : (double)weight[q];
        weights += share;
        for (uint32_t j = 0; j < ks->count; j++) result[j] += before < ks->values[j] ? share : 0;
    }
    for (uint32_t j = 0; j < ks->count; j++) result[j] /= weights;
}

static const td_u32_list some_k = {.count = 6, .values = {10, 1, 3, 100, 1, 100000}};

static void assert_result(const td_factorized_topk *metric, const double *expected)
{
    double found[6];
    td_factorized_topk_result(metric, found);
    for (uint32_t j = 0; j < some_k.count; j++) assert_close(found[j], expected[j], 1e-12, 0);
}

static void check_both_modes(td_context *context, uint64_t count, uint64_t rows, uint32_t heads,
                             bool rounded)
{
    td_error err = {0};
    enum { DIM = 6 };
    corpus c = make_corpus(context, count, DIM, rounded);
    float *queries = test_normal_vectors(4, rows * heads, DIM),
          *weights = test_normal_vectors(5, rows, 1);
    float *outside = test_normal_vectors(6, rows, DIM);
    uint32_t *position = malloc(rows * sizeof *position);
    for (uint64_t i = 0; rounded && i < rows * heads * DIM; i++) queries[i] = roundf(queries[i]);
    for (uint64_t i = 0; i < rows; i++) {
        weights[i] = fabsf(weights[i]);
        position[i] = (uint32_t)(i * 7919 % count);
        if (i % 2 == 0)
            memcpy(outside + i * DIM, c.vectors + position[i] * DIM, DIM * sizeof *outside);
    }
    td_vectors q = {.data = queries, .rows = rows, .dim = DIM, .heads = heads};
    td_vectors p = {.data = outside, .rows = rows, .dim = DIM};
    td_factorized_topk *metric;
    double expected[6];
    assert_ok(td_factorized_topk_create(&metric, context, c.index, &some_k, &err));
    plain_result(&c, &q, outside, NULL, weights, &some_k, expected);
    assert_ok(td_factorized_topk_update(metric, &q, &p, weights, &err));
    assert_result(metric, expected);
    td_factorized_topk_reset(metric);
    plain_result(&c, &q, NULL, position, NULL, &some_k, expected);
    assert_ok(td_factorized_topk_update_ids(metric, &q, position, NULL, &err));
    assert_result(metric, expected);
    td_factorized_topk_free(metric);
    free(queries);
    free(weights);
    free(outside);
    free(position);
    free_corpus(&c);
}

static void agrees_with_looking_at_every_candidate(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    const uint64_t counts[] = {1, 47, 48, 49, 300}, rows[] = {1, 12, 13, 200, 1500};
    for (int i = 0; i < 5; i++) {
        for (int rounded = 0; rounded < 2; rounded++) {
            check_both_modes(context, counts[i], rows[i], 1, rounded);
            check_both_modes(context, counts[i], rows[4 - i] / 4 + 1, 3, rounded);
        }
    }
    td_context_free(context);
}

static void result_with(td_context *context, const td_vectors *items, td_prefilter prefilter,
                        const td_vectors *queries, const td_vectors *positives, double *result)
{
    td_error err = {0};
    td_index *index;
    td_factorized_topk *metric;
    td_index_options options;
    const td_u32_list ks = {.count = 4, .values = {1, 3, 10, 60}};
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    options.prefilter = prefilter;
    assert_ok(td_index_build_with(&index, context, items, NULL, &options, NULL, &err));
    assert_ok(td_factorized_topk_create(&metric, context, index, &ks, &err));
    assert_ok(td_factorized_topk_update(metric, queries, positives, NULL, &err));
    td_factorized_topk_result(metric, result);
    td_factorized_topk_free(metric);
    td_index_free(index);
}

/* Such an index is searched for lists where the other counts. With ties, and rows that are misses. */
static void a_filter_changes_nothing(void **state)
{
    (void)state;
    enum { N = 4000, ROWS = 1500, DIM = 6, HEADS = 2 };
    td_context *context = test_context(2);
    corpus c = make_corpus(context, N, DIM, true);
    float *queries = test_normal_vectors(8, ROWS * HEADS, DIM);
    float *positives = test_normal_vectors(9, ROWS, DIM);
    for (uint64_t i = 0; i < ROWS * DIM; i++) positives[i] = roundf(3 * positives[i]);
    for (uint64_t i = 0; i < ROWS * HEADS * DIM; i++) queries[i] = roundf(2 * queries[i]);
    queries[5] = NAN;
    queries[100] = -INFINITY;
    queries[300] = FLT_MAX;
    positives[77 * DIM] = INFINITY;
    positives[78 * DIM] = NAN;
    td_vectors q = {.data = queries, .rows = ROWS, .dim = DIM, .heads = HEADS};
    td_vectors p = {.data = positives, .rows = ROWS, .dim = DIM};
    double plain[4], filtered[4];
    result_with(context, &c.items, TD_PREFILTER_NONE, &q, &p, plain);
    result_with(context, &c.items, TD_PREFILTER_INT8, &q, &p, filtered);
    assert_memory_equal(plain, filtered, sizeof plain);
    assert_true(plain[0] > 0.05 && plain[3] > plain[0] && plain[3] < 0.95);
    free(queries);
    free(positives);
    free_corpus(&c);
    td_context_free(context);
}

static void updates_add_up(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    corpus c = make_corpus(context, 100, 4, false);
    float *queries = test_normal_vectors(4, 30, 4), *positives = test_normal_vectors(6, 30, 4);
    td_factorized_topk *whole, *parts;
    double a[6], b[6];
    td_vectors q = {.data = queries, .rows = 30, .dim = 4},
               p = {.data = positives, .rows = 30, .dim = 4};
    assert_ok(td_factorized_topk_create(&whole, context, c.index, &some_k, &err));
    assert_ok(td_factorized_topk_create(&parts, context, c.index, &some_k, &err));
    td_factorized_topk_result(whole, a);
    assert_true(a[0] == 0.0 && a[5] == 0.0); /* before any weight */
    assert_ok(td_factorized_topk_update(whole, &q, &p, NULL, &err));
    for (uint64_t i = 0; i < 30; i++) {
        td_vectors one = {.data = queries + i * 4, .rows = 1, .dim = 4};
        td_vectors own = {.data = positives + i * 4, .rows = 1, .dim = 4};
        assert_ok(td_factorized_topk_update(parts, &one, &own, NULL, &err));
    }
    td_factorized_topk_result(whole, a);
    td_factorized_topk_result(parts, b);
    assert_memory_equal(a, b, sizeof a);
    td_factorized_topk_reset(whole);
    td_factorized_topk_result(whole, a);
    assert_true(a[0] == 0.0 && a[5] == 0.0);
    td_factorized_topk_free(whole);
    td_factorized_topk_free(parts);
    free(queries);
    free(positives);
    free_corpus(&c);
    td_context_free(context);
}

/* A miss at every k, also at one that takes in all candidates. */
static void rows_without_finite_scores_are_misses(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const float vectors[6] = {FLT_MAX, 0, 1, 0, -FLT_MAX, 1};
    td_vectors items = {.data = vectors, .rows = 3, .dim = 2};
    td_index *index;
    td_factorized_topk *metric;
    const td_u32_list ks = {.count = 2, .values = {2, 100}};
    struct {
        float query[2], positive[2];
        double at_2, at_100; /* what is right */
    } rows[] = {
        {{1, 0}, {1, 0}, 1, 1},
        {{NAN, 0}, {1, 0}, 0, 0},
        {{1, INFINITY}, {1, 0}, 0, 0},
        {{1, 0}, {NAN, 0}, 0, 0},
        {{4, 0}, {1, 0}, 0, 0}, /* the first candidate's score is infinite */
        {{FLT_MAX, 0}, {FLT_MAX, 0}, 0, 0},
    };
    assert_ok(td_index_build(&index, context, &items, NULL, &err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        td_vectors q = {.data = rows[i].query, .rows = 1, .dim = 2};
        td_vectors p = {.data = rows[i].positive, .rows = 1, .dim = 2};
        double result[2];
        assert_ok(td_factorized_topk_create(&metric, context, index, &ks, &err));
        assert_ok(td_factorized_topk_update(metric, &q, &p, NULL, &err));
        td_factorized_topk_result(metric, result);
        assert_true(result[0] == rows[i].at_2 && result[1] == rows[i].at_100);
        td_factorized_topk_free(metric);
    }
    td_index_free(index);
    td_context_free(context);
}

/* -infinity is only seen by TFRS if it is among the first max(k). */
static void minus_infinity_matters_only_among_the_first(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const float vectors[3] = {1, 2, -FLT_MAX}, query = 4, positive = 2;
    td_vectors items = {.data = vectors, .rows = 3, .dim = 1};
    td_vectors q = {.data = &query, .rows = 1, .dim = 1},
               p = {.data = &positive, .rows = 1, .dim = 1};
    td_index *index;
    td_factorized_topk *metric;
    const td_u32_list few = {.count = 1, .values = {2}}, all = {.count = 1, .values = {3}};
    double result;
    assert_ok(td_index_build(&index, context, &items, NULL, &err));
    assert_ok(td_factorized_topk_create(&metric, context, index, &few, &err));
    assert_ok(td_factorized_topk_update(metric, &q, &p, NULL, &err));
    td_factorized_topk_result(metric, &result);
    assert_true(result == 1.0);
    td_factorized_topk_free(metric);
    assert_ok(td_factorized_topk_create(&metric, context, index, &all, &err));
    assert_ok(td_factorized_topk_update(metric, &q, &p, NULL, &err));
    td_factorized_topk_result(metric, &result);
    assert_true(result == 0.0);
    td_factorized_topk_free(metric);
    td_index_free(index);
    td_context_free(context);
}

static void unknown_ids_are_misses(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    corpus c = make_corpus(context, 5, 2, false);
    const float query[6] = {1, 2, NAN, 2, 1, 2};
    const uint32_t position[3] = {TD_NONE, 1, 1};
    const td_u32_list ks = {.count = 1, .values = {5}};
    td_vectors q = {.data = query, .rows = 3, .dim = 2};
    td_factorized_topk *metric;
    double result;
    assert_ok(td_factorized_topk_create(&metric, context, c.index, &ks, &err));
    assert_ok(td_factorized_topk_update_ids(metric, &q, position, NULL, &err));
    td_factorized_topk_result(metric, &result);
    assert_close(result, 1.0 / 3, 1e-15, 0);
    td_factorized_topk_free(metric);
    free_corpus(&c);
    td_context_free(context);
}

static void an_empty_index_has_no_hits_in_id_mode(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    corpus c = make_corpus(context, 0, 2, false);
    const float query[2] = {1, 2};
    const uint32_t position = 0;
    const td_u32_list ks = {.count = 1, .values = {5}};
    td_vectors q = {.data = query, .rows = 1, .dim = 2};
    td_factorized_topk *metric;
    double result;
    assert_ok(td_factorized_topk_create(&metric, context, c.index, &ks, &err));
    assert_ok(td_factorized_topk_update_ids(metric, &q, &position, NULL, &err));
    td_factorized_topk_result(metric, &result);
    assert_true(result == 0.0);
    td_factorized_topk_reset(metric);
    assert_ok(td_factorized_topk_update(metric, &q, &q, NULL, &err));
    td_factorized_topk_result(metric, &result);
    assert_true(result == 1.0); /* none scores higher */
    td_factorized_topk_free(metric);
    free_corpus(&c);
    td_context_free(context);
}

static void same_bits_for_any_threads_and_kernels(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    double first[6] = {0};
    bool have_first = false, available;
    const char *kernel;
    for (uint32_t s = 0; td_kernel_describe(s, &kernel, &available); s++) {
        for (int t = 0; available && t < 3; t++) {
            td_error err = {0};
            td_context *context;
            td_context_options options = {.threads = threads[t], .kernel = kernel};
            assert_ok(td_context_create(&context, &options, &err));
            corpus c = make_corpus(context, 250000, 3, false);
            float *queries = test_normal_vectors(4, 260, 3),
                  *weights = test_normal_vectors(5, 260, 1);
            td_vectors q = {.data = queries, .rows = 260, .dim = 3};
            td_factorized_topk *metric;
            double result[6];
            assert_ok(td_factorized_topk_create(&metric, context, c.index, &some_k, &err));
            assert_ok(td_factorized_topk_update(metric, &q, &q, weights, &err));
            td_factorized_topk_result(metric, result);
            if (!have_first) memcpy(first, result, sizeof first);
            have_first = true;
            assert_memory_equal(result, first, sizeof first);
            td_factorized_topk_free(metric);
            free(queries);
            free(weights);
            free_corpus(&c);
            td_context_free(context);
        }
    }
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    corpus c = make_corpus(context, 5, 2, false);
    td_factorized_topk *metric;
    td_u32_list ks = {.count = 0};
    assert_fails(td_factorized_topk_create(&metric, context, c.index, &ks, &err), TD_ERR_ARGUMENT,
                 "0 val");
    assert_null(metric);
    ks.count = 2;
    assert_fails(td_factorized_topk_create(&metric, context, c.index, &ks, &err), TD_ERR_ARGUMENT,
                 "k is 0");
    assert_ok(td_factorized_topk_create(&metric, context, c.index, &some_k, &err));
    const float data[6] = {0};
    const uint32_t position[2] = {0};
    td_vectors q = {.data = data, .rows = 2, .dim = 3}, p = {.data = data, .rows = 2, .dim = 2};
    assert_fails(td_factorized_topk_update(metric, &q, &p, NULL, &err), TD_ERR_ARGUMENT, "3 dim");
    assert_fails(td_factorized_topk_update_ids(metric, &q, position, NULL, &err), TD_ERR_ARGUMENT,
                 "3 dim");
    q.dim = 2;
    p.rows = 1;
    assert_fails(td_factorized_topk_update(metric, &q, &p, NULL, &err), TD_ERR_ARGUMENT,
                 "1 positives");
    q.heads = 65;
    assert_fails(td_factorized_topk_update(metric, &q, &p, NULL, &err), TD_ERR_LIMIT, "65");
    td_factorized_topk_free(metric);
    free_corpus(&c);
    td_context_free(context);
}

static td_status update_once(void *state, td_context *context, td_error *err)
{
    const float vectors[6] = {1, 2, 3, 4, 5, 6};
    const uint32_t position[3] = {2, 0, 1};
    td_vectors v = {.data = vectors, .rows = 3, .dim = 2};
    td_index *index = NULL;
    td_factorized_topk *metric = NULL;
    (void)state;
    td_status status = td_index_build(&index, context, &v, NULL, err);
    if (status == TD_OK) status = td_factorized_topk_create(&metric, context, index, &some_k, err);
    if (status == TD_OK) status = td_factorized_topk_update(metric, &v, &v, NULL, err);
    if (status == TD_OK) status = td_factorized_topk_update_ids(metric, &v, position, NULL, err);
    td_factorized_topk_free(metric);
    td_index_free(index);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(update_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_looking_at_every_candidate),
        cmocka_unit_test(a_filter_changes_nothing),
        cmocka_unit_test(updates_add_up),
        cmocka_unit_test(rows_without_finite_scores_are_misses),
        cmocka_unit_test(minus_infinity_matters_only_among_the_first),
        cmocka_unit_test(unknown_ids_are_misses),
        cmocka_unit_test(an_empty_index_has_no_hits_in_id_mode),
        cmocka_unit_test(same_bits_for_any_threads_and_kernels),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
