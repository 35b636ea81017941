/* search_test.c -- search finds exactly what looking at every item finds, in the same order. */
#include "support/test.h"

#include <float.h>
#include <math.h>

/* What is searched, where, and for what. */
typedef struct problem {
    td_vectors items, queries;
    td_search search;
} problem;

/* --- the plain answer: score everything, sort, cut */

static float plain_score(const problem *p, uint64_t query, uint64_t item)
{
    uint32_t heads = p->queries.heads == 0 ? 1 : p->queries.heads, dim = p->items.dim;
    float best = NAN;
    for (uint32_t h = 0; h < heads; h++) {
        const float *q = p->queries.data + (query * heads + h) * dim;
        const float *c = p->items.data + item * dim;
        float sum = p->search.bias == NULL ? 0.0f : p->search.bias[item];
        for (uint32_t k = 0; k < dim; k++) sum = fmaf(q[k], c[k], sum);
        if (isnan(best) || sum > best) best = sum;
    }
    return isnan(best) ? -INFINITY : best;
}

static bool plain_allowed(const problem *p, uint64_t query, uint64_t item)
{
    const td_search *s = &p->search;
    if (s->allow != NULL && (s->allow[item / 64] >> (item % 64) & 1) == 0) return false;
    if (s->exclude_offsets == NULL) return true;
    for (uint64_t i = s->exclude_offsets[query]; i < s->exclude_offsets[query + 1]; i++) {
        if (s->exclude[i] == item) return false;
    }
    return true;
}

static int by_score_then_position(const void *a, const void *b)
{
    const td_hit *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->position < y->position ? -1 : x->position > y->position;
}

static uint32_t plain_search(const problem *p, uint64_t query, td_hit *hits)
{
    td_hit *all = malloc((p->items.rows + 1) * sizeof *all);
    uint32_t count = 0,
             k = p->search.k_per_query == NULL ? p->search.k : p->search.k_per_query[query];
    for (uint32_t i = 0; i < p->items.rows; i++) {
        if (!plain_allowed(p, query, i)) continue;
        all[count++] = (td_hit){.position = i, .score = plain_score(p, query, i)};
    }
    qsort(all, count, sizeof *all, by_score_then_position);
    if (count > k) count = k;
    memcpy(hits, all, count * sizeof *hits);
    free(all);
    return count;
}

/* --- comparing */

static td_hit *run_search(const problem *p, td_context *context, uint32_t **counts)
{
    td_error err = {0};
    td_index *index;
    td_searcher *searcher;
    td_hit *hits = malloc((p->queries.rows * p->search.k + 1) * sizeof *hits);
    *counts = malloc((p->queries.rows + 1) * sizeof **counts);
    assert_ok(td_index_build(&index, context, &p->items, NULL, &err));
    assert_ok(td_index_check(index, &err));
    assert_ok(td_searcher_create(&searcher, index, &err));
    assert_ok(td_searcher_search(searcher, &p->queries, &p->search, hits, *counts, &err));
    td_searcher_free(searcher);
    td_index_free(index);
    return hits;
}

static void check_against_plain(const problem *p, td_context *context)
{
    uint32_t *counts, k = p->search.k;
    td_hit *hits = run_search(p, context, &counts), *expected = malloc((k + 1) * sizeof *expected);
    for (uint64_t q = 0; q < p->queries.rows; q++) {
        uint32_t count = plain_search(p, q, expected);
        assert_int_equal(counts[q], count);
        for (uint32_t i = 0; i < k; i++) {
            td_hit hit = hits[q * k + i];
            td_hit right = i < count ? expected[i] : (td_hit){TD_NONE, -INFINITY};
            if (hit.position != right.position || hit.score != right.score) {
                fail_msg("query %llu, hit %u of %u: (%u, %a), not (%u, %a)", (unsigned long long)q,
                         i, k, hit.position, (double)hit.score, right.position,
                         (double)right.score);
            }
        }
    }
    free(hits);
    free(counts);
    free(expected);
}

static problem make_problem(uint64_t items, uint64_t queries, uint32_t heads, uint32_t dim)
{
    return (problem){
        .items = {.data = test_normal_vectors(1, items, dim), .rows = items, .dim = dim},
        .queries = {.data = test_normal_vectors(2, queries * heads, dim),
                    .rows = queries,
                    .dim = dim,
                    .heads = heads},
        .search = {.k = 10},
    };
}

static void free_problem(problem *p)
{
    free((float *)p->items.data);
    free((float *)p->queries.data);
}

/* --- tests */

static void all_sizes_and_all_k(void **state)
{
    (void)state;
    const uint64_t counts[] = {0, 1, 2, 47, 48, 49, 95, 96, 97, 500};
    const uint32_t dims[] = {1, 7, 32};
    td_context *context = test_context(2);
    for (int i = 0; i < 10; i++) {
        for (int d = 0; d < 3; d++) {
            problem p = make_problem(counts[i], 5, 1, dims[d]);
            uint32_t n = (uint32_t)counts[i];
            const uint32_t ks[] = {1,     2,        10, 64, 65, n > 1 ? n - 1 : 1, n > 0 ? n : 1,
                                   n + 1, 2 * n + 3};
            for (int k = 0; k < 9; k++) {
                p.search.k = ks[k];
                check_against_plain(&p, context);
            }
            free_problem(&p);
        }
    }
    td_context_free(context);
}

static void many_queries_in_every_grouping(void **state)
{
    (void)state;
    const uint64_t queries[] = {0, 1, 2, 11, 12, 13, 47, 100, 191, 192, 193, 400, 1000};
    td_context *context = test_context(2);
    for (int i = 0; i < 13; i++) {
        problem p = make_problem(1000, queries[i], 1, 9);
        check_against_plain(&p, context);
        free_problem(&p);
    }
    td_context_free(context);
}

static void several_vectors_per_query_score_by_the_best(void **state)
{
    (void)state;
    const uint32_t heads[] = {0, 1, 2, 3, 5, 12, 13, 64};
    td_context *context = test_context(2);
    for (int i = 0; i < 8; i++) {
        problem p = make_problem(300, 30, heads[i] == 0 ? 1 : heads[i], 6);
        p.queries.heads = heads[i];
        check_against_plain(&p, context);
        free_problem(&p);
    }
    td_context_free(context);
}

static void equal_scores_stand_by_position(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    problem p = make_problem(700, 8, 1, 4);
    float *items = (float *)p.items.data, *queries = (float *)p.queries.data;
    for (uint64_t i = 0; i < 700 * 4; i++) items[i] = roundf(items[i]);
    for (uint64_t i = 0; i < 8 * 4; i++) queries[i] = roundf(queries[i]);
    for (uint32_t k = 0; k < 4; k++) queries[k] = 0.0f; /* all scores equal */
    for (uint32_t k = 1; k <= 701; k += 100) {
        p.search.k = k;
        check_against_plain(&p, context);
    }
    memset(items, 0, 700 * 4 * sizeof *items);
    check_against_plain(&p, context);
    free_problem(&p);
    td_context_free(context);
}

static void tiny_and_huge_numbers(void **state)
{
    (void)state;
    const float scales[] = {1e-45f, 1e-40f, 1e-20f, 1e18f, 1e30f, FLT_MAX / 8};
    td_context *context = test_context(2);
    for (int i = 0; i < 6; i++) {
        problem p = make_problem(333, 6, 1, 5);
        float *items = (float *)p.items.data, *queries = (float *)p.queries.data;
        for (uint64_t j = 0; j < 333 * 5; j++) items[j] *= j % 3 == 0 ? 1.0f : scales[i];
        for (uint64_t j = 0; j < 6 * 5; j++) queries[j] *= j % 2 == 0 ? 1.0f : scales[i];
        p.search.k = 333; /* scores that overflow, or have no value, come last, all of them */
        check_against_plain(&p, context);
        p.search.k = 10;
        check_against_plain(&p, context);
        free_problem(&p);
    }
    td_context_free(context);
}

static void each_query_has_its_own_k(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    const uint32_t ks[] = {0, 1, 20, 7, 20, 0};
    problem p = make_problem(100, 6, 1, 8);
    p.search.k = 20;
    p.search.k_per_query = ks;
    check_against_plain(&p, context);
    free_problem(&p);
    td_context_free(context);
}

static void bias_is_part_of_the_score(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    problem p = make_problem(150, 9, 2, 8);
    float *bias = test_normal_vectors(3, 150, 1);
    p.search.bias = bias;
    check_against_plain(&p, context);
    for (int i = 0; i < 150; i++) bias[i] *= 100.0f;
    check_against_plain(&p, context);
    free(bias);
    free_problem(&p);
    td_context_free(context);
}

/* Random requests of all kinds at once. */
static void never_returns_what_is_excluded(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    uint64_t seed = 99;
    for (int round = 0; round < 200; round++) {
        uint64_t n = 1 + (uint64_t)test_uniform(&seed, 0, 300);
        uint64_t queries = 1 + (uint64_t)test_uniform(&seed, 0, round % 10 == 0 ? 120 : 10);
        problem p = make_problem(n, queries, 1 + (uint32_t)(round % 3), 3);
        uint64_t *offsets = calloc(queries + 1, sizeof *offsets);
        uint32_t *exclude = malloc((queries * 2 * n + 1) * sizeof *exclude);
        uint64_t *allow = malloc((n / 64 + 1) * sizeof *allow);
        for (uint64_t q = 0; q < queries; q++) {
            uint64_t count = (uint64_t)test_uniform(&seed, 0, 2.0 * (double)n);
            offsets[q + 1] = offsets[q] + count;
            for (uint64_t i = offsets[q]; i < offsets[q + 1]; i++) {
                exclude[i] = (uint32_t)test_uniform(&seed, 0, (double)n);
            }
        }
        for (uint64_t i = 0; i <= n / 64; i++) {
            allow[i] = (uint64_t)test_uniform(&seed, 0, 0x1p63) | (round % 4 == 0 ? UINT64_MAX : 1);
        }
        p.search.k = 1 + (uint32_t)test_uniform(&seed, 0, 40);
        p.search.exclude_offsets = offsets;
        p.search.exclude = exclude;
        if (round % 2 == 0) p.search.allow = allow;
        check_against_plain(&p, context);
        free(offsets);
        free(exclude);
        free(allow);
        free_problem(&p);
    }
    td_context_free(context);
}

static void everything_may_be_excluded_or_closed(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    enum { N = 130 };
    uint32_t all[N];
    for (uint32_t i = 0; i < N; i++) all[i] = i;
    const uint64_t offsets[] = {0, N}, closed[3] = {0}, one[3] = {0, 0, 2};
    problem p = make_problem(N, 1, 1, 4);
    p.search.exclude_offsets = offsets;
    p.search.exclude = all;
    check_against_plain(&p, context);
    p.search.exclude_offsets = NULL;
    p.search.allow = closed;
    check_against_plain(&p, context);
    p.search.allow = one;
    check_against_plain(&p, context);
    free_problem(&p);
    td_context_free(context);
}

static void same_bits_for_any_threads_and_kernels(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    const uint64_t queries[] = {1, 20, 900};
    for (int n = 0; n < 3; n++) {
        problem p = make_problem(30000, queries[n], 1, 24);
        td_hit *first = NULL;
        p.search.k = n == 0 ? 1000 : 25;
        size_t bytes = queries[n] * p.search.k * sizeof *first;
        const char *kernel;
        bool available;
        for (uint32_t s = 0; td_kernel_describe(s, &kernel, &available); s++) {
            for (int t = 0; available && t < 3; t++) {
                td_error err = {0};
                td_context *context;
                uint32_t *counts;
                td_context_options options = {.threads = threads[t], .kernel = kernel};
                assert_ok(td_context_create(&context, &options, &err));
                td_hit *hits = run_search(&p, context, &counts);
                if (first == NULL)
                    first = hits;
                else
                    assert_memory_equal(first, hits, bytes);
                if (hits != first) free(hits);
                free(counts);
                td_context_free(context);
            }
        }
        free(first);
        free_problem(&p);
    }
}

static void same_bits_however_queries_are_grouped(void **state)
{
    (void)state;
    enum { QUERIES = 230, K = 9 };
    td_error err = {0};
    td_context *context = test_context(2);
    problem p = make_problem(2000, QUERIES, 1, 12);
    static td_hit whole[QUERIES * K], parts[QUERIES * K];
    static uint32_t counts[QUERIES];
    td_index *index;
    td_searcher *searcher;
    p.search.k = K;
    assert_ok(td_index_build(&index, context, &p.items, NULL, &err));
    assert_ok(td_searcher_create(&searcher, index, &err));
    assert_ok(td_searcher_search(searcher, &p.queries, &p.search, whole, counts, &err));
    for (uint64_t first = 0, size = 1; first < QUERIES; first += size, size = size * 2 + 1) {
        td_vectors part = p.queries;
        part.data += first * part.dim;
        part.rows = size < QUERIES - first ? size : QUERIES - first;
        assert_ok(td_searcher_search(searcher, &part, &p.search, parts + first * K, counts, &err));
    }
    assert_memory_equal(whole, parts, sizeof whole);
    td_searcher_free(searcher);
    td_index_free(index);
    free_problem(&p);
    td_context_free(context);
}

static void a_warm_searcher_allocates_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    problem p = make_problem(500, 60, 1, 8);
    td_index *index;
    td_searcher *searcher;
    static td_hit hits[60 * 10];
    uint32_t counts[60];
    const uint64_t offsets[61] = {0, 2, 2};
    const uint32_t exclude[] = {9, 3};
    problem small = p;
    small.queries.rows = 2;
    small.search.exclude_offsets = offsets;
    small.search.exclude = exclude;
    assert_ok(td_index_build(&index, context, &p.items, NULL, &err));
    assert_ok(td_searcher_create(&searcher, index, &err));
    assert_ok(td_searcher_search(searcher, &small.queries, &small.search, hits, counts, &err));
    assert_ok(td_searcher_search(searcher, &p.queries, &p.search, hits, counts, &err));
    int64_t before = memory.allocations;
    for (int i = 0; i < 5; i++) {
        assert_ok(td_searcher_search(searcher, &p.queries, &p.search, hits, counts, &err));
        assert_ok(td_searcher_search(searcher, &small.queries, &small.search, hits, counts, &err));
    }
    assert_int_equal(memory.allocations, before);
    td_searcher_free(searcher);
    td_index_free(index);
    td_context_free(context);
    free_problem(&p);
}

static void refuses_what_makes_no_sense(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    problem p = make_problem(10, 2, 1, 4);
    td_hit hits[20];
    uint32_t counts[2];
    td_index *index;
    td_searcher *s;
    assert_ok(td_index_build(&index, context, &p.items, NULL, &err));
    assert_ok(td_searcher_create(&s, index, &err));
    td_vectors narrow = p.queries;
    narrow.dim = 3;
    assert_fails(td_searcher_search(s, &narrow, &p.search, hits, counts, &err), TD_ERR_ARGUMENT,
                 "queries have 3 dimensions, the index has 4");
    td_vectors heads = p.queries;
    heads.heads = 65;
    assert_fails(td_searcher_search(s, &heads, &p.search, hits, counts, &err), TD_ERR_LIMIT, "65");
    td_search search = {.k = 0};
    assert_fails(td_searcher_search(s, &p.queries, &search, hits, counts, &err), TD_ERR_ARGUMENT,
                 "k is 0");
    const uint32_t ks[] = {10, 11};
    search = (td_search){.k = 10, .k_per_query = ks};
    assert_fails(td_searcher_search(s, &p.queries, &search, hits, counts, &err), TD_ERR_ARGUMENT,
                 "k of query 1 is 11");
    const uint64_t offsets[] = {0, 1, 2}, backwards[] = {0, 2, 1};
    const uint32_t beyond[] = {9, 10};
    search = (td_search){.k = 10, .exclude_offsets = offsets, .exclude = beyond};
    assert_fails(td_searcher_search(s, &p.queries, &search, hits, counts, &err), TD_ERR_ARGUMENT,
                 "query 1 excludes position 10");
    const uint32_t fine[] = {1, 2};
    search = (td_search){.k = 10, .exclude_offsets = backwards, .exclude = fine};
    assert_fails(td_searcher_search(s, &p.queries, &search, hits, counts, &err), TD_ERR_ARGUMENT,
                 "start at 2 and end at 1");
    const float bias[10] = {0, 0, 0, NAN};
    search = (td_search){.k = 10, .bias = bias};
    assert_fails(td_searcher_search(s, &p.queries, &search, hits, counts, &err), TD_ERR_NUMERIC,
                 "item 3");
    ((float *)p.queries.data)[6] = INFINITY;
    assert_fails(td_searcher_search(s, &p.queries, &p.search, hits, counts, &err), TD_ERR_NUMERIC,
                 "query 1 has inf in column 2");
    td_searcher_free(s);
    td_index_free(index);
    td_context_free(context);
    free_problem(&p);
}

static td_status search_once(void *state, td_context *context, td_error *err)
{
    const problem *p = state;
    td_index *index = NULL;
    td_searcher *searcher = NULL;
    td_hit hits[3 * 10];
    uint32_t counts[3];
    td_status status = td_index_build(&index, context, &p->items, NULL, err);
    if (status == TD_OK) status = td_searcher_create(&searcher, index, err);
    if (status == TD_OK)
        status = td_searcher_search(searcher, &p->queries, &p->search, hits, counts, err);
    td_searcher_free(searcher);
    td_index_free(index);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    problem p = make_problem(100, 3, 1, 4);
    const uint64_t offsets[] = {0, 2, 2, 2};
    const uint32_t exclude[] = {9, 3};
    p.search.exclude_offsets = offsets;
    p.search.exclude = exclude;
    test_every_allocation(search_once, &p);
    free_problem(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes_and_all_k),
        cmocka_unit_test(many_queries_in_every_grouping),
        cmocka_unit_test(several_vectors_per_query_score_by_the_best),
        cmocka_unit_test(equal_scores_stand_by_position),
        cmocka_unit_test(tiny_and_huge_numbers),
        cmocka_unit_test(each_query_has_its_own_k),
        cmocka_unit_test(bias_is_part_of_the_score),
        cmocka_unit_test(never_returns_what_is_excluded),
        cmocka_unit_test(everything_may_be_excluded_or_closed),
        cmocka_unit_test(same_bits_for_any_threads_and_kernels),
        cmocka_unit_test(same_bits_however_queries_are_grouped),
        cmocka_unit_test(a_warm_searcher_allocates_nothing),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
