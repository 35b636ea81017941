/* factorized_topk_golden_test.c -- the streaming metric against the real TFRS, in both modes. */
#include "support/golden.h"

typedef struct update {
    td_vectors queries, positives;
    const int64_t *ids;
    const float *weight;
} update;

static update read_update(const golden_case *one, uint64_t number, uint32_t dim)
{
    char name[64];
    uint64_t count;
    update u = {.queries = {.dim = dim}, .positives = {.dim = dim}};
    snprintf(name, sizeof name, "%llu/query", (unsigned long long)number);
    u.queries.data = golden_f32(one, name, &count);
    u.queries.rows = u.positives.rows = count / dim;
    snprintf(name, sizeof name, "%llu/true_candidate", (unsigned long long)number);
    u.positives.data = golden_f32(one, name, &count);
    snprintf(name, sizeof name, "%llu/true_id", (unsigned long long)number);
    u.ids = golden_i64(one, name, &count);
    snprintf(name, sizeof name, "%llu/sample_weight", (unsigned long long)number);
    u.weight = golden_f32(one, name, &count);
    return u;
}

/* The first place of an id: where TFRS lists one of several, that is the one it finds first. */
static uint32_t position_of(const int64_t *ids, uint64_t count, int64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) return i;
    }
    return TD_NONE;
}

static void add_update(td_factorized_topk *metric, const update *u, const int64_t *ids,
                       uint64_t count)
{
    td_error err = {0};
    uint32_t positions[64];
    if (u->ids == NULL) {
        assert_ok(td_factorized_topk_update(metric, &u->queries, &u->positives, u->weight, &err));
        return;
    }
    assert_true(u->queries.rows <= 64);
    for (uint64_t i = 0; i < u->queries.rows; i++) {
        positions[i] = position_of(ids, count, u->ids[i]);
    }
    assert_ok(td_factorized_topk_update_ids(metric, &u->queries, positions, u->weight, &err));
}

static td_u32_list read_ks(const golden_case *one)
{
    td_u32_list ks = {0};
    const json_t *values = json_object_get(one->options, "ks");
    for (size_t j = 0; j < json_array_size(values); j++) {
        ks.values[ks.count++] = (uint32_t)json_integer_value(json_array_get(values, j));
    }
    return ks;
}

static void compare(const golden_case *one, td_context *context)
{
    enum { DIM = 4 };
    td_error err = {0};
    td_index *index;
    td_factorized_topk *metric;
    uint64_t floats, updates = (uint64_t)golden_number(one, "updates", 0), ignored;
    td_vectors items = {.data = golden_f32(one, "candidate", &floats), .dim = DIM};
    const int64_t *ids = golden_i64(one, "candidate_id", &ignored);
    const float *expected = golden_f32(one, "result", &ignored);
    td_u32_list ks = read_ks(one);
    items.rows = floats / DIM;
    if (strstr(one->name, "inf_candidate") != NULL || strstr(one->name, "inf_all") != NULL) {
        /* TFRS counts misses where a candidate is infinite; an index refuses it. */
        assert_fails(td_index_build(&index, context, &items, NULL, &err), TD_ERR_NUMERIC, "item 3");
        return;
    }
    assert_ok(td_index_build(&index, context, &items, NULL, &err));
    assert_ok(td_factorized_topk_create(&metric, context, index, &ks, &err));
    for (uint64_t u = 0; u < updates; u++) {
        double result[TD_U32_LIST_MAX];
        update next = read_update(one, u, DIM);
        add_update(metric, &next, ids, items.rows);
        td_factorized_topk_result(metric, result);
        for (uint32_t j = 0; j < ks.count; j++) {
            assert_close(result[j], (double)expected[u * ks.count + j], 1e-6, 1e-7);
        }
    }
    td_factorized_topk_free(metric);
    td_index_free(index);
}

static void results_after_each_update_match_tfrs(void **state)
{
    (void)state;
    golden tfrs = golden_open("metrics");
    size_t compared = 0;
    for (size_t i = 0; i < golden_count(&tfrs); i++) {
        golden_case one = golden_case_begin(&tfrs, i);
        if (strcmp(golden_text(&one, "metric"), "factorized_top_k") == 0) {
            compare(&one, tfrs.context);
            compared++;
        }
        golden_case_end(&one);
    }
    assert_true(compared >= 20);
    golden_close(&tfrs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_after_each_update_match_tfrs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
