/* recall_test.c -- the recall of served queries is estimated fairly, and known as well as is said. */
#include "support/clusters.h"
#include "support/option_table.h"

enum { ITEMS = 4000, DIM = 8, QUERIES = 600, K = 10 };

typedef struct fixture {
    td_context *context;
    td_index *tree;
    float *items, *users;
    td_vectors queries;
    td_hit hits[QUERIES * K];
    uint32_t counts[QUERIES];
} fixture;

/* A search that looks at few leaves: much is missing. */
static const td_search narrow = {
    .k = K, .effort = {.num_leaves_to_search = 2, .reordering_num_neighbors = 30}};

static fixture *make(void)
{
    fixture *f = calloc(1, sizeof *f);
    f->context = test_context(2);
    f->items = test_clusters(1, ITEMS, DIM, 40);
    f->users = test_normal_vectors(2, QUERIES, DIM);
    td_vectors items = {.data = f->items, .rows = ITEMS, .dim = DIM};
    f->queries = (td_vectors){.data = f->users, .rows = QUERIES, .dim = DIM};
    f->tree = test_tree(f->context, &items, 60);
    test_search(f->tree, &f->queries, &narrow, f->hits, f->counts);
    return f;
}

static void end(fixture *f)
{
    td_index_free(f->tree);
    td_context_free(f->context);
    free(f->items);
    free(f->users);
    free(f);
}

static td_recall_sampler *sampler_of(const fixture *f, float share, uint32_t window)
{
    td_error err = {0};
    td_recall_sampler *sampler;
    td_recall_options options;
    td_recall_options_init(&options);
    options.share = share;
    options.window = window;
    assert_ok(td_recall_sampler_create(&sampler, f->tree, &options, &err));
    return sampler;
}

/* Recall of queries [first, end), counted another way. */
static double recall_of(const fixture *f, uint64_t first, uint64_t last)
{
    static td_hit truth[QUERIES * K];
    static uint32_t counts[QUERIES];
    td_search exact = {.k = K, .effort = {.target_recall = 1.0f}};
    uint32_t found = 0;
    test_search(f->tree, &f->queries, &exact, truth, counts);
    for (uint64_t q = first; q < last; q++) found += test_common(f->hits + q * K, truth + q * K, K);
    return found / (double)((last - first) * K);
}

static td_recall_estimate add(td_recall_sampler *sampler, const fixture *f, uint64_t first,
                              uint64_t last)
{
    td_error err = {0};
    td_recall_estimate estimate;
    td_vectors some = {.data = f->users + first * DIM, .rows = last - first, .dim = DIM};
    assert_ok(td_recall_sampler_add(sampler, &some, &narrow, f->hits + first * K, f->counts + first,
                                    &err));
    td_recall_sampler_estimate(sampler, &estimate);
    return estimate;
}

static void every_option_has_a_row(void **state)
{
    (void)state;
    test_option_table(td_recall_option_table(), td_recall_options);
}

static void nothing_is_known_without_queries(void **state)
{
    (void)state;
    fixture *f = make();
    td_recall_sampler *sampler = sampler_of(f, 0.0f, 10);
    td_recall_estimate estimate = add(sampler, f, 0, QUERIES);
    assert_int_equal(estimate.queries, QUERIES);
    assert_int_equal(estimate.sampled, 0);
    assert_true(estimate.recall == 0.0 && estimate.low == 0.0 && estimate.high == 1.0);
    td_recall_sampler_free(sampler);
    td_recall_sampler_free(NULL);
    end(f);
}

static void a_share_of_one_measures_all(void **state)
{
    (void)state;
    fixture *f = make();
    td_recall_sampler *sampler = sampler_of(f, 1.0f, 10000);
    td_recall_estimate estimate = add(sampler, f, 0, QUERIES);
    double recall = recall_of(f, 0, QUERIES);
    assert_in_range(100 * recall, 20, 95); /* else this shows little */
    assert_int_equal(estimate.sampled, QUERIES);
    assert_int_equal(estimate.window, QUERIES);
    assert_close(estimate.recall, recall, 1e-12, 0.0);
    assert_true(estimate.low < recall && recall < estimate.high);
    assert_true(estimate.high - estimate.low < 0.06);
    td_recall_sampler_free(sampler);
    end(f);
}

/* Known to be so for these seeds: the test is of the arithmetic, not of luck. */
static void intervals_hold_the_truth(void **state)
{
    (void)state;
    fixture *f = make();
    double recall = recall_of(f, 0, QUERIES);
    td_error err = {0};
    int held = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        td_recall_options options = {.share = 0.1f, .window = 1000, .seed = seed};
        td_recall_sampler *sampler;
        assert_ok(td_recall_sampler_create(&sampler, f->tree, &options, &err));
        td_recall_estimate estimate = add(sampler, f, 0, QUERIES);
        assert_in_range(estimate.sampled, 30, 100);
        held += estimate.low <= recall && recall <= estimate.high;
        td_recall_sampler_free(sampler);
    }
    assert_in_range(held, 90, 100);
    end(f);
}

static void the_sample_is_the_same_however_queries_are_grouped(void **state)
{
    (void)state;
    fixture *f = make();
    td_recall_sampler *whole = sampler_of(f, 0.2f, 50), *parts = sampler_of(f, 0.2f, 50);
    td_recall_estimate a = add(whole, f, 0, QUERIES), b = {0};
    for (uint64_t q = 0; q < QUERIES; q += 7) b = add(parts, f, q, q + 7 < QUERIES ? q + 7 : QUERIES);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(a.window, 50);
    assert_true(a.sampled > 50);
    td_recall_sampler_free(whole);
    td_recall_sampler_free(parts);
    end(f);
}

static void the_window_forgets(void **state)
{
    (void)state;
    fixture *f = make();
    td_recall_sampler *sampler = sampler_of(f, 1.0f, 100);
    add(sampler, f, 0, 350);
    td_recall_estimate estimate = add(sampler, f, 350, QUERIES);
    assert_int_equal(estimate.sampled, QUERIES);
    assert_int_equal(estimate.window, 100);
    assert_close(estimate.recall, recall_of(f, QUERIES - 100, QUERIES), 1e-12, 0.0);
    td_recall_sampler_free(sampler);
    end(f);
}

/* All found 6000 times is no proof that nothing is ever missed. */
static void an_interval_is_never_empty(void **state)
{
    (void)state;
    fixture *f = make();
    td_search exact = {.k = K, .effort = {.target_recall = 1.0f}};
    td_recall_sampler *sampler = sampler_of(f, 1.0f, 1000);
    test_search(f->tree, &f->queries, &exact, f->hits, f->counts);
    td_recall_estimate estimate = add(sampler, f, 0, QUERIES);
    assert_true(estimate.recall == 1.0 && estimate.high == 1.0);
    assert_close(estimate.low, 1.0 / (1.0 + 3.841459 / (QUERIES * K)), 1e-6, 0.0);
    td_recall_sampler_free(sampler);
    end(f);
}

/* One query, all its recall in one number: the trial is one, and Wilson's interval wide. */
static void one_query_tells_little(void **state)
{
    (void)state;
    fixture *f = make();
    td_recall_sampler *sampler = sampler_of(f, 1.0f, 1000);
    uint64_t q = 0;
    while (recall_of(f, q, q + 1) == 1.0) q++;
    td_recall_estimate estimate = add(sampler, f, q, q + 1);
    assert_int_equal(estimate.window, 1);
    assert_true(estimate.low <= estimate.recall && estimate.recall <= estimate.high);
    assert_true(estimate.low >= 0.0 && estimate.high <= 1.0);
    td_recall_sampler_free(sampler);
    end(f);
}

/* Exclusions, an allow list and a k of each query's own belong to what the truth is. */
static void requests_are_repeated_whole(void **state)
{
    (void)state;
    fixture *f = make();
    td_error err = {0};
    uint64_t offsets[QUERIES + 1], allow[ITEMS / 64 + 1];
    uint32_t exclude[2 * QUERIES], ks[QUERIES];
    memset(allow, 0x55, sizeof allow);
    for (uint32_t q = 0; q < QUERIES; q++) {
        offsets[q] = 2 * q;
        exclude[2 * q] = f->hits[q * K].position;
        exclude[2 * q + 1] = f->hits[q * K + 1].position;
        ks[q] = q % (K + 1);
    }
    offsets[QUERIES] = 2 * QUERIES;
    td_search search = {.k = K, .k_per_query = ks, .exclude_offsets = offsets, .exclude = exclude,
                        .allow = allow, .effort = {.target_recall = 1.0f}};
    test_search(f->tree, &f->queries, &search, f->hits, f->counts);
    td_recall_sampler *sampler = sampler_of(f, 1.0f, 1000);
    assert_ok(td_recall_sampler_add(sampler, &f->queries, &search, f->hits, f->counts, &err));
    td_recall_estimate estimate;
    td_recall_sampler_estimate(sampler, &estimate);
    assert_true(estimate.recall == 1.0);
    f->counts[1] = 0; /* as if its one hit had been missed */
    assert_ok(td_recall_sampler_add(sampler, &f->queries, &search, f->hits, f->counts, &err));
    td_recall_sampler_estimate(sampler, &estimate);
    assert_close(estimate.recall, 1.0 - 1.0 / 1000, 1e-12, 0.0);
    td_recall_sampler_free(sampler);
    end(f);
}

static void refuses_what_the_search_refuses(void **state)
{
    (void)state;
    fixture *f = make();
    td_error err = {0};
    td_recall_sampler *sampler = sampler_of(f, 1.0f, 10);
    td_vectors wrong = {.data = f->users, .rows = 2, .dim = DIM - 1};
    assert_fails(td_recall_sampler_add(sampler, &wrong, &narrow, f->hits, f->counts, &err),
                 TD_ERR_ARGUMENT, "dimensions");
    td_search none = {.k = 0};
    assert_fails(td_recall_sampler_add(sampler, &f->queries, &none, f->hits, f->counts, &err),
                 TD_ERR_ARGUMENT, "k");
    td_recall_estimate estimate;
    td_recall_sampler_estimate(sampler, &estimate);
    assert_int_equal(estimate.queries, 0);
    td_recall_sampler_free(sampler);
    td_recall_options options = {.share = 2.0f, .window = 10};
    assert_fails(td_recall_sampler_create(&sampler, f->tree, &options, &err), TD_ERR_ARGUMENT,
                 "share");
    assert_null(sampler);
    end(f);
}

static void an_exact_index_finds_all(void **state)
{
    (void)state;
    fixture *f = make();
    td_error err = {0};
    td_vectors items = {.data = f->items, .rows = ITEMS, .dim = DIM};
    td_index *exact;
    td_recall_sampler *sampler;
    td_recall_estimate estimate;
    td_recall_options options = {.share = 1.0f, .window = 1000};
    td_search search = {.k = K};
    assert_ok(td_index_build(&exact, f->context, &items, NULL, &err));
    test_search(exact, &f->queries, &search, f->hits, f->counts);
    assert_ok(td_recall_sampler_create(&sampler, exact, &options, &err));
    assert_ok(td_recall_sampler_add(sampler, &f->queries, &search, f->hits, f->counts, &err));
    td_recall_sampler_estimate(sampler, &estimate);
    assert_true(estimate.recall == 1.0);
    td_recall_sampler_free(sampler);
    td_index_free(exact);
    end(f);
}

static td_status sample_some(void *state, td_context *context, td_error *err)
{
    const fixture *f = state;
    td_vectors items = {.data = f->items, .rows = 200, .dim = DIM};
    td_vectors queries = {.data = f->users, .rows = 20, .dim = DIM};
    td_search search = {.k = K};
    td_recall_options options = {.share = 1.0f, .window = 10};
    td_index *index;
    td_recall_sampler *sampler = NULL;
    td_status status = td_index_build(&index, context, &items, NULL, err);
    if (status == TD_OK) status = td_recall_sampler_create(&sampler, index, &options, err);
    if (status == TD_OK)
        status = td_recall_sampler_add(sampler, &queries, &search, f->hits, f->counts, err);
    td_recall_sampler_free(sampler);
    td_index_free(index);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture *f = make();
    test_every_allocation(sample_some, f);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_has_a_row),
        cmocka_unit_test(nothing_is_known_without_queries),
        cmocka_unit_test(a_share_of_one_measures_all),
        cmocka_unit_test(intervals_hold_the_truth),
        cmocka_unit_test(the_sample_is_the_same_however_queries_are_grouped),
        cmocka_unit_test(the_window_forgets),
        cmocka_unit_test(an_interval_is_never_empty),
        cmocka_unit_test(one_query_tells_little),
        cmocka_unit_test(requests_are_repeated_whole),
        cmocka_unit_test(refuses_what_the_search_refuses),
        cmocka_unit_test(an_exact_index_finds_all),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
