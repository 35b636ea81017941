/* search_golden_test.c -- search against the real TFRS' BruteForce and Streaming. */
#include "support/golden.h"

enum { QUERIES = 6, K_MAX = 20 };

typedef struct golden_search {
    const float *candidates, *queries, *scores;
    const int64_t *ids, *exclusions, *found; /* ids, exclusions may be NULL */
    uint64_t count, exclusion_count, score_count;
    uint32_t dim, k;
} golden_search;

static golden_search read_case(const golden_case *one)
{
    golden_search g = {.k = (uint32_t)golden_number(one, "k", 0)};
    uint64_t floats;
    g.queries = golden_f32(one, "query", &floats);
    g.dim = (uint32_t)(floats / QUERIES);
    g.candidates = golden_f32(one, "candidate", &floats);
    g.count = floats / g.dim;
    g.ids = golden_i64(one, "candidate_id", &floats);
    g.exclusions = golden_i64(one, "exclusion", &g.exclusion_count);
    g.scores = golden_f32(one, "score", &g.score_count);
    g.found = golden_i64(one, "id", &floats);
    return g;
}

static int64_t id_of(const golden_search *g, uint64_t position)
{
    return g->ids == NULL ? (int64_t)position : g->ids[position];
}

/* TFRS excludes ids; all positions with such an id are ours to exclude. */
static void exclude_by_id(const golden_search *g, uint64_t *offsets, uint32_t *exclude)
{
    uint64_t each = g->exclusions == NULL ? 0 : g->exclusion_count / QUERIES;
    offsets[0] = 0;
    for (uint64_t q = 0; q < QUERIES; q++) {
        uint64_t end = offsets[q];
        for (uint64_t e = 0; e < each; e++) {
            for (uint32_t i = 0; i < g->count; i++) {
                if (id_of(g, i) == g->exclusions[q * each + e]) exclude[end++] = i;
            }
        }
        offsets[q + 1] = end;
    }
}

static bool is_excluded(const uint64_t *offsets, const uint32_t *exclude, uint64_t q,
                        uint32_t position)
{
    for (uint64_t i = offsets[q]; i < offsets[q + 1]; i++) {
        if (exclude[i] == position) return true;
    }
    return false;
}

/* Where TFRS has a defect (it fills up with excluded items, or throws), ours must still never
 * return what is excluded, and as many as there are. Else the same scores and the same ids. */
static void compare(const golden_case *one)
{
    golden_search g = read_case(one);
    td_error err = {0};
    td_index *index;
    td_searcher *searcher;
    uint64_t offsets[QUERIES + 1];
    uint32_t exclude[QUERIES * 64], counts[QUERIES];
    td_hit hits[QUERIES * K_MAX];
    td_vectors items = {.data = g.candidates, .rows = g.count, .dim = g.dim};
    td_vectors queries = {.data = g.queries, .rows = QUERIES, .dim = g.dim};
    exclude_by_id(&g, offsets, exclude);
    td_search search = {.k = g.k, .exclude_offsets = offsets, .exclude = exclude};
    assert_true(g.k <= K_MAX);
    assert_ok(td_index_build(&index, one->file->context, &items, NULL, &err));
    assert_ok(td_searcher_create(&searcher, index, &err));
    assert_ok(td_searcher_search(searcher, &queries, &search, hits, counts, &err));
    bool defect = golden_text(one, "defect") != NULL;
    uint64_t columns = g.score_count / QUERIES;
    for (uint64_t q = 0; q < QUERIES; q++) {
        for (uint32_t i = 0; i < counts[q]; i++) {
            const td_hit *hit = &hits[q * g.k + i];
            assert_false(is_excluded(offsets, exclude, q, hit->position));
            if (defect) continue;
            assert_true(i < columns);
            assert_true(hit->score == g.scores[q * columns + i]);
            assert_int_equal(id_of(&g, hit->position), g.found[q * columns + i]);
        }
        if (!defect) assert_int_equal(counts[q], columns);
    }
    td_searcher_free(searcher);
    td_index_free(index);
}

static void hits_are_those_of_tfrs(void **state)
{
    (void)state;
    golden tfrs = golden_open("brute_force");
    assert_true(golden_count(&tfrs) >= 20);
    for (size_t i = 0; i < golden_count(&tfrs); i++) {
        golden_case one = golden_case_begin(&tfrs, i);
        compare(&one);
        golden_case_end(&one);
    }
    golden_close(&tfrs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_are_those_of_tfrs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
