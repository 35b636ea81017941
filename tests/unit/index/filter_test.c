/* filter_test.c -- the search with a filter finds and counts the same, to the bit, as without. */
#include "support/test.h"

#include <float.h>
#include <math.h>

#include "index/count.h"
#include "index/filter.h"
#include "kernel/kernel.h"

/* --- data that makes bounds, ties or numbers difficult */

typedef enum shape {
    NORMAL,
    WHOLE_NUMBERS, /* many ties */
    UNIT_LENGTH,
    ZEROS,
    DENORMAL,
    HUGE_NUMBERS, /* scores overflow */
    LARGE_NUMBERS, /* and these nearly do */
    CONSTANT_ROWS,
    ONE_HOT,
    CROWDED, /* hardly told apart: nothing is filtered out */
    SKEWED,  /* lengths over twelve orders of magnitude */
    COPIES,
    SHAPES
} shape;

static void shape_row(float *row, uint32_t dim, uint64_t i, shape how)
{
    double length = 0;
    for (uint32_t k = 0; k < dim; k++) length += (double)row[k] * (double)row[k];
    for (uint32_t k = 0; k < dim; k++) {
        switch (how) {
        case WHOLE_NUMBERS: row[k] = roundf(row[k]); break;
        case UNIT_LENGTH: row[k] = (float)((double)row[k] / sqrt(length)); break;
        case ZEROS: row[k] = i % 5 == 0 ? row[k] : i % 2 == 0 ? 0.0f : -0.0f; break;
        case DENORMAL: row[k] *= i % 4 == 0 ? 1.0f : 1e-42f; break;
        case HUGE_NUMBERS: row[k] *= i % 7 == 0 ? 1.0f : 3e37f; break;
        case LARGE_NUMBERS: row[k] *= 2e17f; break;
        case CONSTANT_ROWS: row[k] = (float)(1 + i % 3); break;
        case ONE_HOT: row[k] = k == i % dim ? row[k] : 0.0f; break;
        case CROWDED: row[k] = 100.0f + 1e-3f * row[k]; break;
        case SKEWED: row[k] *= powf(10.0f, (float)(i % 13) - 6.0f); break;
        case COPIES: row[k] = i % 3 == 0 ? 0.5f : row[k]; break;
        case NORMAL: case SHAPES: break;
        }
    }
}

static float *shaped(uint64_t seed, uint64_t rows, uint32_t dim, shape how)
{
    float *vectors = test_normal_vectors(seed, rows, dim);
    for (uint64_t i = 0; i < rows; i++) shape_row(vectors + i * dim, dim, i, how);
    return vectors;
}

/* --- the same search in an index with the filter and in one without */

typedef struct pair {
    td_context *context;
    td_index *with, *without;
    td_searcher *filtered, *plain;
} pair;

static td_index *build(td_context *context, const td_vectors *items, td_prefilter prefilter)
{
    td_error err = {0};
    td_index *index;
    td_index_options options;
    td_index_info info;
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    options.prefilter = prefilter;
    assert_ok(td_index_build_with(&index, context, items, NULL, &options, NULL, &err));
    td_index_describe(index, &info);
    assert_int_equal(info.prefilter, prefilter);
    return index;
}

static pair make_pair(uint32_t threads, const td_vectors *items)
{
    td_error err = {0};
    pair p = {.context = test_context(threads)};
    p.with = build(p.context, items, TD_PREFILTER_INT8);
    p.without = build(p.context, items, TD_PREFILTER_NONE);
    assert_ok(td_index_check(p.with, &err));
    assert_ok(td_searcher_create(&p.filtered, p.with, &err));
    assert_ok(td_searcher_create(&p.plain, p.without, &err));
    return p;
}

static void free_pair(pair *p)
{
    td_searcher_free(p->filtered);
    td_searcher_free(p->plain);
    td_index_free(p->with);
    td_index_free(p->without);
    td_context_free(p->context);
}

static void compare(const pair *p, const td_vectors *queries, const td_search *search, const char *what)
{
    td_error err = {0};
    uint64_t places = queries->rows * search->k;
    td_hit *a = malloc((places + 1) * sizeof *a), *b = malloc((places + 1) * sizeof *b);
    uint32_t *a_counts = malloc((queries->rows + 1) * sizeof *a_counts);
    uint32_t *b_counts = malloc((queries->rows + 1) * sizeof *b_counts);
    assert_ok(td_searcher_search(p->plain, queries, search, a, a_counts, &err));
    assert_ok(td_searcher_search(p->filtered, queries, search, b, b_counts, &err));
    for (uint64_t i = 0; i < places; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) == 0) continue;
        fail_msg("%s: %llu items, dim %u, k %u, query %llu, hit %llu: (%u, %a), not (%u, %a)", what,
                 (unsigned long long)td_index_count(p->with), queries->dim, search->k,
                 (unsigned long long)(i / search->k), (unsigned long long)(i % search->k),
                 b[i].position, (double)b[i].score, a[i].position, (double)a[i].score);
    }
    assert_memory_equal(a_counts, b_counts, queries->rows * sizeof *a_counts);
    free(a);
    free(b);
    free(a_counts);
    free(b_counts);
}

static void compare_shapes(uint64_t rows, uint64_t count, uint32_t dim, shape item_shape,
                           shape query_shape, const uint32_t *ks, size_t k_count)
{
    char what[64];
    td_vectors items = {.data = shaped(1, rows, dim, item_shape), .rows = rows, .dim = dim};
    td_vectors queries = {.data = shaped(2, count, dim, query_shape), .rows = count, .dim = dim};
    pair p = make_pair(2, &items);
    snprintf(what, sizeof what, "items of shape %d, queries of %d", item_shape, query_shape);
    for (size_t i = 0; i < k_count; i++) {
        td_search search = {.k = ks[i]};
        compare(&p, &queries, &search, what);
    }
    free_pair(&p);
    free((float *)items.data);
    free((float *)queries.data);
}

/* --- tests */

static void all_shapes_of_items_and_queries(void **state)
{
    (void)state;
    const uint32_t ks[] = {1, 10, 150};
    for (shape i = 0; i < SHAPES; i++) {
        for (shape q = 0; q < SHAPES; q++) compare_shapes(1500, 30, 24, i, q, ks, 3);
    }
}

static void all_widths(void **state)
{
    (void)state;
    const uint32_t dims[] = {1, 2, 3, 4, 5, 7, 8, 31, 63, 64, 65, 127, 128, 129, 130, 255, 256, 1000, 2048};
    const uint32_t ks[] = {1, 20};
    const shape shapes[] = {NORMAL, WHOLE_NUMBERS, CONSTANT_ROWS, SKEWED, ONE_HOT, CROWDED};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        for (int s = 0; s < 6; s++) {
            compare_shapes(dims[d] > 500 ? 500 : 1000, 13, dims[d], shapes[s], shapes[s], ks, 2);
        }
    }
}

static void all_counts_and_all_k(void **state)
{
    (void)state;
    const uint32_t counts[] = {0, 1, 2, 47, 48, 49, 383, 384, 385, 2000};
    for (int n = 0; n < 10; n++) {
        uint32_t c = counts[n];
        const uint32_t ks[] = {1, 2, 64, 65, c > 1 ? c - 1 : 1, c > 0 ? c : 1, c + 1, 2 * c + 3};
        compare_shapes(c, 7, 16, NORMAL, NORMAL, ks, 8);
        compare_shapes(c, 7, 16, WHOLE_NUMBERS, WHOLE_NUMBERS, ks, 8);
    }
}

static void many_queries_in_every_grouping(void **state)
{
    (void)state;
    const uint32_t ks[] = {10};
    const uint64_t counts[] = {0, 1, 2, 3, 4, 5, 6, 11, 191, 192, 193, 400, 1000};
    for (int i = 0; i < 13; i++) compare_shapes(3000, counts[i], 20, SKEWED, NORMAL, ks, 1);
}

/* Requests of all kinds at once: several vectors a query, own k, exclusions, a bitmap, a bias of all
 * sizes. */
typedef struct request {
    uint64_t *offsets, *allow;
    uint32_t *exclude, *ks;
    float *bias;
    td_search search;
} request;

static request random_request(uint64_t *seed, uint64_t n, uint64_t queries, int round)
{
    request r = {.offsets = calloc(queries + 1, sizeof *r.offsets),
                 .allow = malloc((n / 64 + 1) * sizeof *r.allow),
                 .exclude = malloc((queries * n + 1) * sizeof *r.exclude),
                 .ks = malloc(queries * sizeof *r.ks),
                 .bias = test_normal_vectors(*seed, n, 1)};
    const float scales[] = {1e-30f, 0.01f, 1.0f, 100.0f, 1e30f};
    double share = round % 5 == 0 ? 1 : 0.1; /* nearly all may be excluded */
    for (uint64_t q = 0; q < queries; q++) {
        uint64_t count = (uint64_t)test_uniform(seed, 0, share * (double)n);
        r.offsets[q + 1] = r.offsets[q] + count;
        for (uint64_t i = r.offsets[q]; i < r.offsets[q + 1]; i++) {
            r.exclude[i] = (uint32_t)test_uniform(seed, 0, (double)n);
        }
    }
    for (uint64_t i = 0; i <= n / 64; i++) {
        r.allow[i] = round % 3 == 0 ? (uint64_t)test_uniform(seed, 0, 0x1p63) : i % 9 == 0 ? 5 : 0;
    }
    for (uint64_t i = 0; i < n; i++) r.bias[i] *= scales[round % 5];
    r.search.k = 1 + (uint32_t)test_uniform(seed, 0, 60);
    for (uint64_t q = 0; q < queries; q++) {
        r.ks[q] = (uint32_t)test_uniform(seed, 0, r.search.k + 0.99);
    }
    if (round & 1) r.search.exclude_offsets = r.offsets;
    r.search.exclude = r.exclude;
    if (round & 2) r.search.allow = r.allow;
    if (round & 4) r.search.bias = r.bias;
    if (round & 8) r.search.k_per_query = r.ks;
    return r;
}

static void free_request(request *r)
{
    free(r->offsets);
    free(r->allow);
    free(r->exclude);
    free(r->ks);
    free(r->bias);
}

static void requests_of_all_kinds(void **state)
{
    (void)state;
    uint64_t seed = 77;
    for (int round = 0; round < 160; round++) {
        uint64_t n = 1 + (uint64_t)test_uniform(&seed, 0, 2500);
        uint64_t count = 1 + (uint64_t)test_uniform(&seed, 0, round % 10 == 0 ? 230 : 12);
        uint32_t dim = 1 + (uint32_t)test_uniform(&seed, 0, 20);
        const uint32_t heads[] = {1, 1, 2, 3, 5, 13, 64};
        shape how = (shape)(round % SHAPES);
        td_vectors items = {.data = shaped(seed, n, dim, how), .rows = n, .dim = dim};
        td_vectors queries = {.rows = count, .dim = dim, .heads = heads[round % 7]};
        queries.data = shaped(seed + 1, count * queries.heads, dim, (shape)(round / 3 % SHAPES));
        request r = random_request(&seed, n, count, round);
        pair p = make_pair(1 + (uint32_t)(round % 3), &items);
        char what[32];
        snprintf(what, sizeof what, "request %d", round);
        compare(&p, &queries, &r.search, what);
        free_pair(&p);
        free_request(&r);
        free((float *)items.data);
        free((float *)queries.data);
    }
}

/* --- counting */

enum { COUNTED = 40 };

/* Scores of items, numbers between and far outside. */
static void choose_thresholds(const pair *p, const td_vectors *queries, float *thresholds)
{
    uint32_t width = queries->heads * queries->dim;
    for (uint32_t q = 0; q < queries->rows; q++) {
        uint32_t item = (uint32_t)(q * 37 % td_index_count(p->with));
        float own = td__index_score(p->without, queries->data + (size_t)q * width, item);
        const float choices[] = {own, own, own / 2, 0.0f, -fabsf(own), INFINITY, -INFINITY, FLT_MAX};
        thresholds[q] = isnan(choices[q % 8]) ? 0.0f : choices[q % 8];
    }
}

static void compare_counts(shape item_shape, shape query_shape, uint64_t rows, uint32_t heads)
{
    enum { DIM = 24 };
    td_vectors items = {.data = shaped(1, rows, DIM, item_shape), .rows = rows, .dim = DIM};
    td_vectors queries = {.rows = COUNTED, .dim = DIM, .heads = heads};
    queries.data = shaped(2, COUNTED * heads, DIM, query_shape);
    float thresholds[COUNTED];
    atomic_uint_fast64_t plain[COUNTED], filtered[COUNTED];
    pair p = make_pair(2, &items);
    choose_thresholds(&p, &queries, thresholds);
    for (int q = 0; q < COUNTED; q++) {
        atomic_init(&plain[q], 5);
        atomic_init(&filtered[q], 5);
    }
    td__count_greater(p.plain, &queries, thresholds, plain);
    td__count_greater(p.filtered, &queries, thresholds, filtered);
    for (int q = 0; q < COUNTED; q++) {
        uint64_t a = atomic_load(&plain[q]), b = atomic_load(&filtered[q]);
        if (a == b) continue;
        fail_msg("items of shape %d, queries of %d, %u heads, query %d: %llu above %a, not %llu",
                 item_shape, query_shape, heads, q, (unsigned long long)b, (double)thresholds[q],
                 (unsigned long long)a);
    }
    free_pair(&p);
    free((float *)items.data);
    free((float *)queries.data);
}

static void counts_are_the_same(void **state)
{
    (void)state;
    for (shape i = 0; i < SHAPES; i++) {
        for (shape q = 0; q < SHAPES; q++) {
            compare_counts(i, q, 1 + (i * 97 + q * 13) % 1500, 1 + (i + q) % 3);
        }
    }
    compare_counts(SKEWED, NORMAL, 200000, 1); /* several spans */
}

static void same_bits_for_any_threads_and_kernels(void **state)
{
    (void)state;
    enum { N = 20000, DIM = 36, QUERIES = 500, K = 25 };
    const uint32_t threads[] = {1, 2, 7};
    td_vectors items = {.data = shaped(1, N, DIM, SKEWED), .rows = N, .dim = DIM};
    td_vectors queries = {.data = shaped(2, QUERIES, DIM, NORMAL), .rows = QUERIES, .dim = DIM};
    static td_hit hits[2][QUERIES * K];
    static uint32_t counts[QUERIES];
    bool first = true, available;
    const char *kernel;
    for (uint32_t s = 0; td_kernel_describe(s, &kernel, &available); s++) {
        for (int t = 0; available && t < 3; t++) {
            td_error err = {0};
            td_context *context;
            td_searcher *searcher;
            td_search search = {.k = K};
            td_context_options options = {.threads = threads[t], .kernel = kernel};
            assert_ok(td_context_create(&context, &options, &err));
            td_index *index = build(context, &items, TD_PREFILTER_INT8);
            assert_ok(td_searcher_create(&searcher, index, &err));
            assert_ok(td_searcher_search(searcher, &queries, &search, hits[!first], counts, &err));
            if (!first) assert_memory_equal(hits[0], hits[1], sizeof hits[0]);
            first = false;
            td_searcher_free(searcher);
            td_index_free(index);
            td_context_free(context);
        }
    }
    free((float *)items.data);
    free((float *)queries.data);
}

static td_status search_once(void *state, td_context *context, td_error *err)
{
    const td_vectors *items = state;
    td_vectors queries = {.data = items->data, .rows = 4, .dim = items->dim};
    td_search search = {.k = 5};
    td_index_options options;
    td_index *index = NULL;
    td_searcher *searcher = NULL;
    td_hit hits[20];
    uint32_t counts[4];
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    options.prefilter = TD_PREFILTER_INT8;
    td_status status = td_index_build_with(&index, context, items, NULL, &options, NULL, err);
    if (status == TD_OK) status = td_index_check(index, err);
    if (status == TD_OK) status = td_searcher_create(&searcher, index, err);
    if (status == TD_OK) status = td_searcher_search(searcher, &queries, &search, hits, counts, err);
    td_searcher_free(searcher);
    td_index_free(index);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    td_vectors items = {.data = shaped(1, 100, 8, NORMAL), .rows = 100, .dim = 8};
    test_every_allocation(search_once, &items);
    free((float *)items.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_shapes_of_items_and_queries),
        cmocka_unit_test(all_widths),
        cmocka_unit_test(all_counts_and_all_k),
        cmocka_unit_test(many_queries_in_every_grouping),
        cmocka_unit_test(requests_of_all_kinds),
        cmocka_unit_test(counts_are_the_same),
        cmocka_unit_test(same_bits_for_any_threads_and_kernels),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
