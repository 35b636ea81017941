/* cooccurrence_test.c -- rows of X'X against counting by hand. */
#include "support/test.h"

#include "eval/cooccurrence.h"

enum { QUERIES = 25, CANDIDATES = 14, ROWS_MAX = 2 * QUERIES * CANDIDATES };

typedef struct world {
    td_context *context;
    td_dataset *dataset;
    td__cooccurrence pairs;
    uint32_t taken[QUERIES][CANDIDATES];
} world;

static const char *id_of(uint32_t i)
{
    static char text[64][8];
    snprintf(text[i], sizeof text[i], "%u", i);
    return text[i];
}

/* One pair in five comes twice; the last candidate has one query alone. */
static td_dataset *make_dataset(td_context *context)
{
    static const char *query[ROWS_MAX], *candidate[ROWS_MAX];
    td_error err;
    td_dataset *dataset;
    uint64_t rows = 0, seed = 17;
    for (uint32_t q = 0; q < QUERIES; q++) {
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            bool rare = c == CANDIDATES - 1;
            if (rare ? q != 3 : test_uniform(&seed, 0, 1) > 0.4) continue;
            for (uint32_t times = test_uniform(&seed, 0, 1) < 0.2 ? 2 : 1; times > 0; times--) {
                query[rows] = id_of(q);
                candidate[rows++] = id_of(c);
            }
        }
    }
    td_interactions interactions = {.rows = rows, .query_id = query, .candidate_id = candidate};
    assert_ok(td_dataset_build(&dataset, context, &interactions, &err));
    return dataset;
}

static world make_world(void)
{
    td_error err;
    world w = {.context = test_context(1)};
    w.dataset = make_dataset(w.context);
    assert_ok(td__cooccurrence_init(&w.pairs, w.context, w.dataset, &err));
    td_rows rows = td_dataset_rows(w.dataset);
    for (uint64_t i = 0; i < rows.count; i++) w.taken[rows.query[i]][rows.candidate[i]] = 1;
    return w;
}

static void clear_world(world *w)
{
    td__cooccurrence_clear(&w->pairs);
    td__cooccurrence_clear(&w->pairs); /* twice is fine */
    td_dataset_free(w->dataset);
    td_context_free(w->context);
}

static void rows_count_the_queries_in_common(void **state)
{
    (void)state;
    world w = make_world();
    for (uint32_t a = 0; a < CANDIDATES; a++) {
        uint32_t counts[CANDIDATES] = {0}, touched[CANDIDATES], expected = 0;
        uint32_t found = td__cooccurrence_row(&w.pairs, a, counts, touched);
        for (uint32_t b = 0; b < CANDIDATES; b++) {
            uint32_t common = 0;
            for (uint32_t q = 0; q < QUERIES; q++) common += w.taken[q][a] * w.taken[q][b];
            assert_int_equal(counts[b], common);
            expected += common > 0;
        }
        assert_int_equal(found, expected);
        for (uint32_t i = 0; i < found; i++) {
            assert_true(counts[touched[i]] > 0);
            counts[touched[i]] = 0; /* each is listed once */
        }
        assert_true(counts[a] == 0);
    }
    clear_world(&w);
}

static void queries_of_a_candidate_ascend_and_are_distinct(void **state)
{
    (void)state;
    world w = make_world();
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        uint64_t start = w.pairs.offsets[c], count = 0;
        for (uint32_t q = 0; q < QUERIES; q++) {
            if (w.taken[q][c]) assert_int_equal(w.pairs.queries[start + count++], q);
        }
        assert_int_equal(td__cooccurrence_count(&w.pairs, c), count);
    }
    clear_world(&w);
}

static td_status init_body(void *state, td_context *context, td_error *err)
{
    static const char *query[] = {"a", "b", "b"}, *candidate[] = {"x", "y", "x"};
    td_interactions interactions = {.rows = 3, .query_id = query, .candidate_id = candidate};
    td_dataset *dataset = NULL;
    td__cooccurrence pairs = {0};
    (void)state;
    td_status status = td_dataset_build(&dataset, context, &interactions, err);
    if (status == TD_OK) status = td__cooccurrence_init(&pairs, context, dataset, err);
    td__cooccurrence_clear(&pairs);
    td_dataset_free(dataset);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation(init_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_count_the_queries_in_common),
        cmocka_unit_test(queries_of_a_candidate_ascend_and_are_distinct),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
