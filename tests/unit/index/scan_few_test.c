/* scan_few_test.c -- items scored one by one are found as items of whole panels are, to the bit. */
#include "support/clusters.h"

#include "base/random.h"
#include "index/scan.h"

enum { ITEMS = 6000, QUERIES = 60, DIM = 20, LEAVES = 40, K = 10, DIFFERENT = 50 };

/* A tree, whose rows lie apart, and an exact index, whose panels are packed. Items come again and again, so
 * that equal scores must be told apart by position. */
typedef struct twins {
    td_context *context;
    td_vectors queries;
    float *items, *users;
    td_index *tree, *exact;
} twins;

static twins make_twins(uint32_t threads, uint32_t heads)
{
    td_error err = {0};
    td_index_options options;
    twins t = {.context = test_context(threads), .items = test_clusters(1, ITEMS, DIM, 60),
               .users = test_clusters(2, (uint64_t)QUERIES * heads, DIM, 60)};
    for (uint32_t i = DIFFERENT; i < ITEMS; i++) {
        memcpy(t.items + (size_t)i * DIM, t.items + (size_t)(i % DIFFERENT) * DIM, DIM * sizeof *t.items);
    }
    td_vectors items = {.data = t.items, .rows = ITEMS, .dim = DIM};
    t.queries = (td_vectors){.data = t.users, .rows = QUERIES, .dim = DIM, .heads = heads};
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    options.prefilter = TD_PREFILTER_NONE;
    t.tree = test_tree(t.context, &items, LEAVES);
    assert_ok(td_index_build_with(&t.exact, t.context, &items, NULL, &options, NULL, &err));
    return t;
}

static void end_twins(twins *t)
{
    td_index_free(t->tree);
    td_index_free(t->exact);
    td_context_free(t->context);
    free(t->items);
    free(t->users);
}

/* Stretches of closed, sparse and open items. */
static uint64_t *allow_stretches(uint64_t seed)
{
    uint64_t *allow = calloc(ITEMS / 64 + 1, sizeof *allow);
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint64_t random = td__mix64(seed << 32 | i), stretch = i / 300 % 3;
        if (stretch == 2 || (stretch == 1 && random % 30 == 0)) td__set_bit(allow, i);
    }
    return allow;
}

/* Few queries, whose rows are scored one by one, and many, whose are not. */
static void compare(const twins *t, td_search *search)
{
    td_hit found[QUERIES * K], right[QUERIES * K];
    uint32_t counts[QUERIES], right_counts[QUERIES];
    search->effort.target_recall = 1.0f;
    test_search(t->exact, &t->queries, search, right, right_counts);
    for (uint32_t some = 1; some <= QUERIES; some *= 4) {
        td_vectors queries = t->queries;
        queries.rows = some;
        test_search(t->tree, &queries, search, found, counts);
        assert_memory_equal(found, right, some * K * sizeof *found);
        assert_memory_equal(counts, right_counts, some * sizeof *counts);
    }
}

static void rows_are_scored_as_panels_are(void **state)
{
    (void)state;
    const uint32_t excluded[] = {0, 51, 101, 603, 901, 5998}, heads[] = {1, 3}, threads[] = {1, 2, 7};
    uint64_t offsets[QUERIES + 1];
    for (uint32_t q = 0; q <= QUERIES; q++) offsets[q] = q < 3 ? 0 : 6;
    for (int h = 0; h < 6; h++) {
        twins t = make_twins(threads[h / 2], heads[h % 2]);
        for (uint64_t seed = 1; seed <= 3; seed++) {
            uint64_t *allow = allow_stretches(seed);
            compare(&t, &(td_search){.k = K, .allow = allow});
            compare(&t, &(td_search){.k = K, .allow = allow, .exclude_offsets = offsets,
                                     .exclude = excluded});
            free(allow);
        }
        end_twins(&t);
    }
}

/* As many as wait at most, one less and one more; and k that some queries do not have. */
static void any_number_of_rows(void **state)
{
    (void)state;
    twins t = make_twins(1, 1);
    uint32_t ks[QUERIES];
    for (uint32_t q = 0; q < QUERIES; q++) ks[q] = q % (K + 1);
    for (uint32_t count = 0; count <= 2 * TD__PANEL + 1; count += count == 2 ? 44 : 1) {
        uint64_t *allow = calloc(ITEMS / 64 + 1, sizeof *allow);
        for (uint32_t i = 0; i < count; i++) td__set_bit(allow, i * 61);
        compare(&t, &(td_search){.k = K, .allow = allow});
        compare(&t, &(td_search){.k = K, .k_per_query = ks, .allow = allow});
        free(allow);
    }
    end_twins(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_scored_as_panels_are),
        cmocka_unit_test(any_number_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
