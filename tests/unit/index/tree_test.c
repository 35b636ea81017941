/* tree_test.c -- a tree finds nearly what its exact twin finds, and never what it must not. */
#include "support/clusters.h"
#include "support/option_table.h"

#include <float.h>
#include <math.h>

#include "index/tree.h"

enum { ITEMS = 6000, QUERIES = 60, DIM = 20, LEAVES = 40, K = 10 };

/* An index of each kind over the same items. */
typedef struct twins {
    td_context *context;
    td_vectors items, queries;
    td_index *tree, *exact;
} twins;

static twins make_twins(uint64_t count, uint32_t dim, uint32_t heads, uint32_t leaves)
{
    td_error err = {0};
    twins t = {
        .context = test_context(2),
        .items = {.data = test_clusters(1, count, dim, 60), .rows = count, .dim = dim},
        .queries = {.data = test_clusters(2, (uint64_t)QUERIES * heads, dim, 60), .rows = QUERIES,
                    .dim = dim, .heads = heads},
    };
    t.tree = test_tree(t.context, &t.items, leaves);
    assert_ok(td_index_build(&t.exact, t.context, &t.items, NULL, &err));
    return t;
}

static void end_twins(twins *t)
{
    td_index_free(t->tree);
    td_index_free(t->exact);
    td_context_free(t->context);
    free((float *)t->items.data);
    free((float *)t->queries.data);
}

/* Search both; every hit of the tree has the exact score of its item. Returns the recall. */
static double compare(const twins *t, const td_search *search)
{
    uint64_t rows = t->queries.rows;
    uint32_t k = search->k, heads = t->queries.heads, *counts = malloc(2 * rows * sizeof *counts);
    td_hit *found = malloc(rows * k * sizeof *found), *right = malloc(rows * k * sizeof *right);
    double common = 0.0, wanted = 0.0;
    test_search(t->tree, &t->queries, search, found, counts);
    test_search(t->exact, &t->queries, search, right, counts + rows);
    for (uint64_t q = 0; q < rows; q++) {
        assert_int_equal(counts[q], counts[rows + q]);
        for (uint32_t i = 0; i < k; i++) {
            td_hit hit = found[q * k + i];
            if (i >= counts[q]) {
                assert_true(hit.position == TD_NONE && hit.score == -INFINITY);
                continue;
            }
            float best = -INFINITY;
            for (uint32_t h = 0; h < heads; h++) {
                const float *vector = t->queries.data + (q * heads + h) * t->items.dim;
                best = fmaxf(best, td__index_score(t->exact, vector, hit.position));
            }
            assert_true(hit.score == best || search->bias != NULL);
            if (i > 0) assert_true(hit.score <= found[q * k + i - 1].score);
        }
        common += test_common(found + q * k, right + q * k, counts[q]);
        wanted += counts[q];
    }
    free(found);
    free(right);
    free(counts);
    return wanted > 0 ? common / wanted : 1.0;
}

static td_search thorough(uint32_t k)
{
    return (td_search){.k = k, .effort = {.num_leaves_to_search = UINT32_MAX,
                                          .reordering_num_neighbors = UINT32_MAX}};
}

/* --- what it finds */

static void more_effort_finds_more(void **state)
{
    (void)state;
    twins t = make_twins(ITEMS, DIM, 1, LEAVES);
    const uint32_t leaves[] = {1, 4, 12, LEAVES};
    double before = 0.0;
    for (int i = 0; i < 4; i++) {
        td_search search = {.k = K, .effort = {.num_leaves_to_search = leaves[i],
                                               .reordering_num_neighbors = 200}};
        double recall = compare(&t, &search);
        assert_true(recall >= before);
        before = recall;
    }
    assert_true(before > 0.99);
    td_search narrow = {.k = K, .effort = {.num_leaves_to_search = LEAVES,
                                           .reordering_num_neighbors = 10}};
    assert_true(compare(&t, &narrow) < before);
    end_twins(&t);
}

static void looking_at_everything_finds_everything(void **state)
{
    (void)state;
    const uint32_t dims[] = {1, 2, 3, 31, 32, 33, 70};
    for (int d = 0; d < 7; d++) {
        twins t = make_twins(1500, dims[d], 1, 20);
        td_search search = thorough(K);
        assert_true(compare(&t, &search) > 0.998);
        end_twins(&t);
    }
}

static void wide_vectors_are_found(void **state)
{
    (void)state;
    twins t = make_twins(600, 2048, 1, 10);
    td_search search = thorough(K);
    assert_true(compare(&t, &search) > 0.99);
    td_index_info info;
    td_index_describe(t.tree, &info);
    assert_int_equal(info.dimensions_per_block, 11);
    end_twins(&t);
}

static void the_default_effort_is_good(void **state)
{
    (void)state;
    twins t = make_twins(ITEMS, DIM, 1, 0);
    td_search search = {.k = K};
    assert_true(compare(&t, &search) > 0.9);
    search.effort.target_recall = 1.0f;
    assert_true(compare(&t, &search) == 1.0);
    end_twins(&t);
}

static void any_k_and_any_number_of_items(void **state)
{
    (void)state;
    const uint64_t counts[] = {0, 1, 2, 31, 33, 500, 3000};
    for (int i = 0; i < 7; i++) {
        twins t = make_twins(counts[i], 8, 1, 7);
        const uint32_t ks[] = {1, 2, 100, 2000, (uint32_t)counts[i] + 1};
        for (int j = 0; j < 5; j++) {
            td_search search = thorough(ks[j]);
            assert_true(compare(&t, &search) > 0.995);
        }
        end_twins(&t);
    }
}

static void queries_of_several_vectors(void **state)
{
    (void)state;
    twins t = make_twins(ITEMS, DIM, 3, LEAVES);
    td_search search = thorough(K);
    assert_true(compare(&t, &search) > 0.998);
    search.effort.num_leaves_to_search = 12;
    search.effort.reordering_num_neighbors = 200;
    assert_true(compare(&t, &search) > 0.8);
    end_twins(&t);
}

static void k_of_each_query(void **state)
{
    (void)state;
    twins t = make_twins(ITEMS, DIM, 1, LEAVES);
    uint32_t ks[QUERIES];
    for (uint32_t q = 0; q < QUERIES; q++) ks[q] = q % (K + 1);
    td_search search = thorough(K);
    search.k_per_query = ks;
    assert_true(compare(&t, &search) > 0.998);
    end_twins(&t);
}

/* --- what it must not find */

static bool is_allowed(const td_search *search, uint32_t query, uint32_t position)
{
    if (search->allow != NULL && (search->allow[position / 64] >> position % 64 & 1) == 0) return false;
    if (search->exclude_offsets == NULL) return true;
    for (uint64_t i = search->exclude_offsets[query]; i < search->exclude_offsets[query + 1]; i++) {
        if (search->exclude[i] == position) return false;
    }
    return true;
}

static void check_only_allowed(const twins *t, const td_search *search)
{
    td_hit *hits = malloc(QUERIES * search->k * sizeof *hits);
    uint32_t counts[QUERIES];
    test_search(t->tree, &t->queries, search, hits, counts);
    for (uint32_t q = 0; q < QUERIES; q++) {
        for (uint32_t i = 0; i < counts[q]; i++) {
            assert_true(is_allowed(search, q, hits[q * search->k + i].position));
        }
    }
    free(hits);
}

/* The best of each query are excluded, so they would be found. */
static void excluded_items_never_come(void **state)
{
    (void)state;
    enum { EXCLUDED = 50 };
    twins t = make_twins(ITEMS, DIM, 1, LEAVES);
    td_search all = {.k = EXCLUDED}, search = {.k = K};
    td_hit *best = malloc(QUERIES * EXCLUDED * sizeof *best);
    uint32_t counts[QUERIES], exclude[QUERIES * EXCLUDED];
    uint64_t offsets[QUERIES + 1];
    test_search(t.exact, &t.queries, &all, best, counts);
    for (uint32_t i = 0; i < QUERIES * EXCLUDED; i++) exclude[i] = best[i].position; /* not sorted */
    for (uint32_t q = 0; q <= QUERIES; q++) offsets[q] = (uint64_t)q * EXCLUDED;
    search.exclude = exclude;
    search.exclude_offsets = offsets;
    check_only_allowed(&t, &search);
    assert_true(compare(&t, &search) > 0.85);
    search.effort = thorough(K).effort;
    assert_true(compare(&t, &search) > 0.998);
    free(best);
    end_twins(&t);
}

static void all_but_a_few_excluded(void **state)
{
    (void)state;
    twins t = make_twins(1000, DIM, 1, 30);
    uint32_t *exclude = malloc(QUERIES * 1000 * sizeof *exclude);
    uint64_t offsets[QUERIES + 1] = {0};
    for (uint32_t q = 0; q < QUERIES; q++) {
        offsets[q + 1] = offsets[q];
        for (uint32_t i = 0; i < 1000; i++) {
            if (i % 200 != q) exclude[offsets[q + 1]++] = i;
        }
    }
    td_search search = {.k = K, .exclude = exclude, .exclude_offsets = offsets,
                        .effort = {.num_leaves_to_search = 1, .reordering_num_neighbors = 20}};
    assert_true(compare(&t, &search) == 1.0); /* five each, found in any leaf they may be in */
    free(exclude);
    end_twins(&t);
}

enum { MANY = 40000 };

/* Every so many of the items. */
static uint64_t *allow_every(uint32_t step)
{
    uint64_t *allow = calloc(MANY / 64 + 1, sizeof *allow);
    for (uint32_t i = 0; i < MANY; i += step) td__set_bit(allow, i);
    return allow;
}

/* Is it the tree that such a search takes? */
static bool takes_tree(const twins *t, const td_search *search)
{
    td__effort effort;
    td__scan scan = {.index = t->tree, .search = search, .items = MANY, .filtered = true};
    return td__tree_plan(&scan, &effort);
}

static void only_allowed_items_come(void **state)
{
    (void)state;
    const uint32_t shares[] = {1000, 100, 10, 2};
    twins t = make_twins(MANY, 8, 1, 60);
    for (int s = 0; s < 4; s++) {
        uint64_t *allow = allow_every(shares[s]);
        td_search search = {.k = K, .allow = allow};
        check_only_allowed(&t, &search);
        if (!takes_tree(&t, &search)) assert_true(compare(&t, &search) == 1.0);
        else assert_true(compare(&t, &search) > 0.9);
        free(allow);
    }
    uint64_t *allow = allow_every(1);
    for (uint32_t i = 0; i < MANY; i += 5) td__clear_bit(allow, i);
    td_search most = {.k = K, .allow = allow};
    check_only_allowed(&t, &most);
    assert_true(compare(&t, &most) > 0.9);
    free(allow);
    end_twins(&t);
}

/* Few allowed items are scored exactly, many are not, and there is one place where that changes; the more
 * leaves and candidates a tree would take, the later. */
static void the_plan_follows_the_work(void **state)
{
    (void)state;
    twins t = make_twins(MANY, 8, 1, 60);
    uint32_t changes[3] = {0};
    for (uint32_t e = 0; e < 3; e++) {
        const td_search_effort efforts[] = {{.num_leaves_to_search = 2, .reordering_num_neighbors = 20},
                                            {.num_leaves_to_search = 60, .reordering_num_neighbors = 20},
                                            {.num_leaves_to_search = 60, .reordering_num_neighbors = 2000}};
        bool tree = true;
        for (uint32_t step = 2; step <= 2000; step += 1 + step / 8) {
            uint64_t *allow = allow_every(step);
            td_search search = {.k = 1, .allow = allow, .effort = efforts[e]};
            bool now = takes_tree(&t, &search);
            assert_true(tree || !now);
            if (tree && !now) changes[e] = step;
            tree = now;
            free(allow);
        }
        assert_false(tree);
    }
    assert_true(changes[0] > changes[1] && changes[1] > changes[2] && changes[2] >= 2);
    end_twins(&t);
}

static void a_bias_is_searched_exactly(void **state)
{
    (void)state;
    twins t = make_twins(ITEMS, DIM, 1, LEAVES);
    float *bias = test_normal_vectors(4, ITEMS, 1);
    td_search search = {.k = K, .bias = bias};
    assert_true(compare(&t, &search) == 1.0);
    free(bias);
    end_twins(&t);
}

/* --- same bits */

static void search_bits(const char *kernel, uint32_t threads, uint32_t calls, td_hit *hits)
{
    td_error err = {0};
    td_context *context;
    td_context_options options = {.threads = threads, .kernel = kernel};
    assert_ok(td_context_create(&context, &options, &err));
    float *rows = test_clusters(1, ITEMS, DIM, 60), *users = test_clusters(2, QUERIES, DIM, 60);
    td_vectors items = {.data = rows, .rows = ITEMS, .dim = DIM};
    td_index *tree = test_tree(context, &items, LEAVES);
    td_search search = {.k = K, .effort = {.num_leaves_to_search = 6, .reordering_num_neighbors = 40}};
    for (uint32_t c = 0; c < calls; c++) {
        uint32_t counts[QUERIES], some = QUERIES / calls;
        td_vectors queries = {.data = users + (size_t)c * some * DIM, .rows = some, .dim = DIM};
        test_search(tree, &queries, &search, hits + (size_t)c * some * K, counts);
    }
    td_index_free(tree);
    td_context_free(context);
    free(rows);
    free(users);
}

static void same_bits_for_any_threads_kernels_and_batches(void **state)
{
    (void)state;
    static td_hit first[QUERIES * K], other[QUERIES * K];
    search_bits("ref", 1, 1, first);
    search_bits("ref", 7, 1, other);
    assert_memory_equal(first, other, sizeof first);
    search_bits("ref", 1, QUERIES, other);
    assert_memory_equal(first, other, sizeof first);
    const char *name;
    bool available;
    for (uint32_t i = 0; td_kernel_describe(i, &name, &available); i++) {
        if (!available) continue;
        search_bits(name, 2, 3, other);
        assert_memory_equal(first, other, sizeof first);
    }
}

static void scaling_a_query_by_a_power_of_two_changes_nothing(void **state)
{
    (void)state;
    twins t = make_twins(ITEMS, DIM, 1, LEAVES);
    td_search search = {.k = K, .effort = {.num_leaves_to_search = 5, .reordering_num_neighbors = 40}};
    static td_hit plain[QUERIES * K], scaled[QUERIES * K];
    uint32_t counts[QUERIES];
    test_search(t.tree, &t.queries, &search, plain, counts);
    float *query = (float *)t.queries.data;
    for (uint32_t i = 0; i < QUERIES * DIM; i++) query[i] = ldexpf(query[i], 40);
    test_search(t.tree, &t.queries, &search, scaled, counts);
    for (uint32_t i = 0; i < QUERIES * K; i++) {
        assert_int_equal(plain[i].position, scaled[i].position);
        assert_true(ldexpf(plain[i].score, 40) == scaled[i].score);
    }
    end_twins(&t);
}

/* --- odd items and queries */

static void odd_vectors_do_no_harm(void **state)
{
    (void)state;
    twins t = make_twins(3000, DIM, 1, 20);
    float *items = (float *)t.items.data, *queries = (float *)t.queries.data;
    memset(items, 0, 500 * DIM * sizeof *items);                       /* zeros */
    for (uint32_t i = 500; i < 1500; i++) memcpy(items + i * DIM, items + 2000 * DIM, DIM * sizeof *items);
    for (uint32_t k = 0; k < DIM; k++) {
        items[1600 * DIM + k] = 1e-42f;
        items[1700 * DIM + k] = 1e15f;
        queries[k] = 0.0f;
        queries[DIM + k] = FLT_MAX / 1e18f;
        queries[2 * DIM + k] = 1e-44f;
    }
    td_error err = {0};
    td_index_free(t.tree);
    td_index_free(t.exact);
    t.tree = test_tree(t.context, &t.items, 20);
    assert_ok(td_index_build(&t.exact, t.context, &t.items, NULL, &err));
    for (uint32_t k = 1; k <= 100; k *= 10) {
        td_search search = {.k = k};
        (void)compare(&t, &search); /* k hits each, of the right score */
    }
    end_twins(&t);
}

static void items_that_are_all_equal(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    float *rows = malloc(2000 * DIM * sizeof *rows);
    for (uint32_t i = 0; i < 2000 * DIM; i++) rows[i] = (float)(i % DIM) - 3.0f;
    td_vectors items = {.data = rows, .rows = 2000, .dim = DIM};
    td_vectors query = {.data = rows, .rows = 1, .dim = DIM};
    td_index *tree = test_tree(context, &items, 10);
    td_search search = {.k = 100};
    td_hit hits[100];
    uint32_t count;
    test_search(tree, &query, &search, hits, &count);
    assert_int_equal(count, 100);
    for (int i = 1; i < 100; i++) {
        assert_true(hits[i].score == hits[0].score && hits[i].position > hits[i - 1].position);
    }
    td_index_free(tree);
    td_context_free(context);
    free(rows);
}

/* --- building */

static void auto_goes_by_the_number_of_items(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    const uint64_t counts[] = {100, 19999, 20000};
    float *rows = test_clusters(1, 20000, 4, 10);
    for (int i = 0; i < 3; i++) {
        td_vectors items = {.data = rows, .rows = counts[i], .dim = 4};
        td_index *index;
        td_index_info info;
        assert_ok(td_index_build_with(&index, context, &items, NULL, NULL, NULL, &err));
        td_index_describe(index, &info);
        assert_int_equal(info.kind, counts[i] < 20000 ? TD_INDEX_EXACT : TD_INDEX_TREE);
        assert_true((info.leaves > 0) == (info.kind == TD_INDEX_TREE));
        assert_true(info.bytes >= counts[i] * 4 * sizeof(float));
        td_index_free(index);
    }
    td_context_free(context);
    free(rows);
}

static void refuses_what_a_tree_cannot_hold(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *index;
    float rows[4] = {1, 2, 3e15f, 4};
    td_vectors items = {.data = rows, .rows = 2, .dim = 2};
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    assert_fails(td_index_build_with(&index, context, &items, NULL, &options, NULL, &err),
                 TD_ERR_NUMERIC, "exact index takes all");
    assert_null(index);
    rows[2] = NAN;
    assert_fails(td_index_build_with(&index, context, &items, NULL, &options, NULL, &err),
                 TD_ERR_NUMERIC, "item 1");
    options.training_iterations = 0;
    assert_fails(td_index_build_with(&index, context, &items, NULL, &options, NULL, &err),
                 TD_ERR_ARGUMENT, "training-iterations");
    td_context_free(context);
}

static void refuses_a_target_that_is_none(void **state)
{
    (void)state;
    twins t = make_twins(100, DIM, 1, 5);
    td_error err = {0};
    td_searcher *searcher;
    td_hit hits[QUERIES];
    uint32_t counts[QUERIES];
    td_search search = {.k = 1, .effort = {.target_recall = 1.5f}};
    assert_ok(td_searcher_create(&searcher, t.exact, &err));
    assert_fails(td_searcher_search(searcher, &t.queries, &search, hits, counts, &err), TD_ERR_ARGUMENT,
                 "target-recall");
    td_searcher_free(searcher);
    end_twins(&t);
}

typedef struct hooked {
    uint64_t last, calls, stop_at;
} hooked;

static bool count_reports(void *user, const td_progress *progress)
{
    hooked *seen = user;
    assert_string_equal(progress->stage, "index");
    assert_true(seen->calls == 0 || progress->done > seen->last);
    assert_true(progress->done <= progress->total);
    seen->last = progress->done;
    return ++seen->calls != seen->stop_at;
}

static void reports_and_stops(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    float *rows = test_clusters(1, 500, DIM, 10);
    td_vectors items = {.data = rows, .rows = 500, .dim = DIM};
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    options.training_iterations = 3;
    for (uint64_t stop = 0; stop <= 6; stop++) {
        hooked seen = {.stop_at = stop};
        td_progress_hook hook = {count_reports, &seen};
        td_index *index;
        td_status status = td_index_build_with(&index, context, &items, NULL, &options, &hook, &err);
        assert_int_equal(status, stop == 0 ? TD_OK : TD_ERR_CANCELLED);
        assert_int_equal(seen.calls, stop == 0 ? 7 : stop);
        td_index_free(index);
    }
    td_context_free(context);
    free(rows);
}

static void option_tables_are_sound(void **state)
{
    (void)state;
    test_option_table(td_index_option_table(), td_index_options);
    test_option_table(td_search_effort_option_table(), td_search_effort);
    td_search_effort effort;
    td_search_effort_init(&effort);
    assert_true(effort.target_recall == 0.95f);
    assert_string_equal(td_index_kind_name(TD_INDEX_TREE), "tree");
    assert_string_equal(td_index_kind_name(TD_INDEX_EXACT), "exact");
    assert_string_equal(td_index_kind_name(TD_INDEX_AUTO), "auto");
    assert_string_equal(td_index_kind_name((td_index_kind)9), "unknown");
}

static td_status build_and_search(void *state, td_context *context, td_error *err)
{
    const td_vectors *items = state;
    td_index *index = NULL;
    td_searcher *searcher = NULL;
    td_hit hits[5];
    uint32_t count;
    td_vectors query = {.data = items->data, .rows = 1, .dim = items->dim};
    td_search search = {.k = 5};
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    td_status status = td_index_build_with(&index, context, items, NULL, &options, NULL, err);
    if (status == TD_OK) status = td_searcher_create(&searcher, index, err);
    if (status == TD_OK) status = td_searcher_search(searcher, &query, &search, hits, &count, err);
    td_searcher_free(searcher);
    if (status == TD_OK) status = td_index_calibrate(index, &query, NULL, err);
    td_index_free(index);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    float *rows = test_clusters(1, 200, 5, 10);
    td_vectors items = {.data = rows, .rows = 200, .dim = 5};
    test_every_allocation(build_and_search, &items);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_effort_finds_more),
        cmocka_unit_test(looking_at_everything_finds_everything),
        cmocka_unit_test(wide_vectors_are_found),
        cmocka_unit_test(the_default_effort_is_good),
        cmocka_unit_test(any_k_and_any_number_of_items),
        cmocka_unit_test(queries_of_several_vectors),
        cmocka_unit_test(k_of_each_query),
        cmocka_unit_test(excluded_items_never_come),
        cmocka_unit_test(all_but_a_few_excluded),
        cmocka_unit_test(only_allowed_items_come),
        cmocka_unit_test(the_plan_follows_the_work),
        cmocka_unit_test(a_bias_is_searched_exactly),
        cmocka_unit_test(same_bits_for_any_threads_kernels_and_batches),
        cmocka_unit_test(scaling_a_query_by_a_power_of_two_changes_nothing),
        cmocka_unit_test(odd_vectors_do_no_harm),
        cmocka_unit_test(items_that_are_all_equal),
        cmocka_unit_test(auto_goes_by_the_number_of_items),
        cmocka_unit_test(refuses_what_a_tree_cannot_hold),
        cmocka_unit_test(refuses_a_target_that_is_none),
        cmocka_unit_test(reports_and_stops),
        cmocka_unit_test(option_tables_are_sound),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
