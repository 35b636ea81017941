/* int8_items_test.c -- no item whose score reaches a threshold is ever left out, and most others are. */
#include "support/test.h"

#include <float.h>
#include <math.h>

#include "index/int8_items.h"

enum { N = 900, QUERIES = 12, DIM_MAX = 300 };

/* Numbers over many orders of magnitude, with zeros, in rows of many orders of magnitude. */
static float *wild_vectors(uint64_t seed, uint64_t rows, uint32_t dim, double orders)
{
    float *vectors = test_normal_vectors(seed, rows, dim);
    for (uint64_t i = 0; i < rows; i++) {
        double row = exp2(test_uniform(&seed, -orders, orders));
        for (uint32_t k = 0; k < dim; k++) {
            double scale = row * exp2(test_uniform(&seed, -0.3 * orders, 0.3 * orders));
            float *value = &vectors[i * dim + k];
            *value = test_uniform(&seed, 0, 1) < 0.1 ? 0.0f : (float)((double)*value * scale);
        }
    }
    return vectors;
}

static td_index *make_index(td_context *context, const td_vectors *items)
{
    td_error err = {0};
    td_index *index;
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    options.prefilter = TD_PREFILTER_INT8;
    assert_ok(td_index_build_with(&index, context, items, NULL, &options, NULL, &err));
    assert_ok(td_index_check(index, &err));
    return index;
}

/* One query vector against one slot. */
typedef struct probe {
    const td_index *index;
    td__int8_query query;
    _Alignas(64) int8_t values[DIM_MAX + TD__INT8_STEP];
    int32_t starts[8];
} probe;

static void probe_init(probe *p, const td_index *index, const float *vector, double magnitude)
{
    p->index = index;
    p->query = td__int8_query_make(index->int8, vector, index->dim, magnitude, p->values, p->starts);
}

static bool passes(const probe *p, uint64_t slot, float threshold, td__int8_bias bias)
{
    const td__int8 *int8 = p->index->int8;
    const td__int8_block *block = &int8->bounds[slot / TD__INT8_BLOCK_ITEMS];
    td__int8_rows rows = {.values = p->values, .starts = p->starts, .count = 1, .dim = int8->dim};
    int32_t limit = td__int8_limit(&p->query, block, threshold, bias);
    uint64_t mask;
    p->index->context->kernels->int8->above(&rows, td__int8_panel(int8, slot / TD__PANEL), &limit, &mask);
    return (mask >> slot % TD__PANEL & 1) != 0;
}

static float score_of(const td_index *index, const float *query, uint32_t position, float bias)
{
    float item[DIM_MAX], sum = bias;
    td_index_vector(index, position, item);
    for (uint32_t k = 0; k < index->dim; k++) sum = fmaf(query[k], item[k], sum);
    return sum;
}

/* The tightest threshold that an item reaches is its own score. */
static void check_own_scores(const td_index *index, const td_vectors *queries, const float *bias)
{
    for (uint64_t q = 0; q < queries->rows; q++) {
        probe p;
        const float *query = queries->data + q * index->dim;
        probe_init(&p, index, query, bias == NULL ? 0 : (double)FLT_MAX / 1e6);
        for (uint64_t slot = 0; slot < index->count; slot++) {
            uint32_t position = index->int8->positions[slot];
            float b = bias == NULL ? 0.0f : bias[position];
            float score = score_of(index, query, position, b);
            td__int8_bias of = {.highest = (double)b, .magnitude = fabs((double)b)};
            if (passes(&p, slot, score, of)) continue;
            fail_msg("dim %u: item %u is left out of query %llu at its own score %a", index->dim, position,
                     (unsigned long long)q, (double)score);
        }
    }
}

static void an_item_passes_at_its_own_score(void **state)
{
    (void)state;
    const uint32_t dims[] = {1, 3, 8, 64, 128, 129, 300};
    const double orders[] = {0, 3, 20, 60, 120};
    td_context *context = test_context(1);
    for (int d = 0; d < 7; d++) {
        for (int o = 0; o < 5; o++) {
            td_vectors items = {.data = wild_vectors(5, N, dims[d], orders[o]), .rows = N, .dim = dims[d]};
            td_vectors queries = {.data = wild_vectors(6, QUERIES, dims[d], orders[4 - o]),
                                  .rows = QUERIES, .dim = dims[d]};
            if (orders[o] > 100) { /* beyond float here and there */
                for (uint64_t i = 0; i < N * dims[d]; i++) {
                    float *value = (float *)items.data + i;
                    if (!isfinite(*value)) *value = FLT_MAX;
                }
            }
            for (uint64_t i = 0; i < QUERIES * dims[d]; i++) {
                if (!isfinite(queries.data[i])) ((float *)queries.data)[i] = -FLT_MAX;
            }
            td_index *index = make_index(context, &items);
            check_own_scores(index, &queries, NULL);
            float *bias = wild_vectors(7, N, 1, 90);
            check_own_scores(index, &queries, bias);
            free(bias);
            td_index_free(index);
            free((float *)items.data);
            free((float *)queries.data);
        }
    }
    td_context_free(context);
}

/* Vectors of normal numbers: the bound is off by less than 3 hundredths of the lengths. */
static void most_items_below_a_threshold_are_left_out(void **state)
{
    (void)state;
    enum { DIM = 64 };
    const td__int8_bias none = {0};
    td_context *context = test_context(1);
    td_vectors items = {.data = test_normal_vectors(1, N, DIM), .rows = N, .dim = DIM};
    float *queries = test_normal_vectors(2, QUERIES, DIM);
    td_index *index = make_index(context, &items);
    uint32_t passed = 0, due = 0;
    for (uint64_t q = 0; q < QUERIES; q++) {
        probe p;
        probe_init(&p, index, queries + q * DIM, 0);
        for (uint64_t slot = 0; slot < N; slot++) {
            uint32_t position = index->int8->positions[slot];
            due += score_of(index, queries + q * DIM, position, 0) >= 16.0f; /* two deviations */
            passed += passes(&p, slot, 16.0f, none);
        }
    }
    assert_in_range(passed, due, 2 * due);
    free(queries);
    free((float *)items.data);
    td_index_free(index);
    td_context_free(context);
}

static void a_query_ends_only_where_nothing_reaches_its_threshold(void **state)
{
    (void)state;
    enum { DIM = 10 };
    const td__int8_bias none = {0};
    td_context *context = test_context(1);
    td_vectors items = {.data = wild_vectors(1, 3000, DIM, 4), .rows = 3000, .dim = DIM};
    float *queries = test_normal_vectors(2, QUERIES, DIM);
    td_index *index = make_index(context, &items);
    uint32_t ended = 0;
    for (uint64_t q = 0; q < QUERIES; q++) {
        probe p;
        const float *query = queries + q * DIM;
        probe_init(&p, index, query, 0);
        float highest = -INFINITY; /* of all from a block on */
        for (uint64_t b = index->int8->blocks; b-- > 0;) {
            for (uint64_t slot = b * TD__INT8_BLOCK_ITEMS;
                 slot < (b + 1) * TD__INT8_BLOCK_ITEMS && slot < 3000; slot++) {
                highest = fmaxf(highest, score_of(index, query, index->int8->positions[slot], 0));
            }
            assert_false(td__int8_ends(&p.query, &index->int8->bounds[b], highest, none));
            ended += td__int8_ends(&p.query, &index->int8->bounds[b], 100 * fabsf(highest), none);
        }
    }
    assert_true(ended > 0);
    free(queries);
    free((float *)items.data);
    td_index_free(index);
    td_context_free(context);
}

static void nothing_is_known_before_there_is_a_threshold(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const td__int8_bias none = {0};
    td_vectors items = {.data = test_normal_vectors(1, 100, 8), .rows = 100, .dim = 8};
    td_index *index = make_index(context, &items);
    probe p;
    probe_init(&p, index, items.data, 0);
    assert_int_equal(td__int8_limit(&p.query, index->int8->bounds, NAN, none), INT32_MIN);
    assert_int_equal(td__int8_limit(&p.query, index->int8->bounds, -INFINITY, none), INT32_MIN);
    assert_int_equal(td__int8_limit(&p.query, index->int8->bounds, FLT_MAX, none), INT32_MAX);
    assert_false(td__int8_ends(&p.query, index->int8->bounds, NAN, none));
    probe_init(&p, index, items.data, (double)FLT_MAX / 2); /* with such a bias a score might overflow */
    assert_int_equal(td__int8_limit(&p.query, index->int8->bounds, FLT_MAX, none), INT32_MIN);
    assert_false(td__int8_ends(&p.query, index->int8->bounds, FLT_MAX, none));
    free((float *)items.data);
    td_index_free(index);
    td_context_free(context);
}

/* --- the deep check sees what is wrong */

static void damage_is_found(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vectors items = {.data = test_normal_vectors(1, 1000, 8), .rows = 1000, .dim = 8};
    td_index *index = make_index(context, &items);
    td__int8 *int8 = index->int8;
    uint32_t position = int8->positions[999], others[] = {1000, int8->positions[3]};
    for (int i = 0; i < 2; i++) {
        int8->positions[999] = others[i];
        assert_fails(td_index_check(index, &err), TD_ERR_CORRUPT, "which is none or is elsewhere");
    }
    int8->positions[999] = position;
    uint8_t byte = int8->panels[40];
    int8->panels[40] ^= 64;
    assert_fails(td_index_check(index, &err), TD_ERR_CORRUPT, "beyond the bounds of its block");
    int8->panels[40] = byte;
    double length = int8->bounds[1].length;
    int8->bounds[1].length *= 0.9;
    assert_fails(td_index_check(index, &err), TD_ERR_CORRUPT, "beyond the bounds of its block");
    int8->bounds[1].length = length;
    for (uint32_t k = 0; k < 4; k++) int8->panels[k] = int8->panels[k + 192] = 255;
    assert_fails(td_index_check(index, &err), TD_ERR_CORRUPT, "are too large");
    free((float *)items.data);
    td_index_free(index);
    td_context_free(context);
}

/* --- files */

static void files_keep_the_choice(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vectors items = {.data = test_normal_vectors(1, 700, 5), .rows = 700, .dim = 5};
    for (td_prefilter p = TD_PREFILTER_NONE; p <= TD_PREFILTER_INT8; p++) {
        td_index_options options;
        td_index *index, *loaded;
        td_index_info info;
        td_index_options_init(&options);
        options.kind = TD_INDEX_EXACT;
        options.prefilter = p;
        assert_ok(td_index_build_with(&index, context, &items, NULL, &options, NULL, &err));
        assert_ok(td_index_save(index, test_path("index"), &err));
        assert_ok(td_index_load(&loaded, context, test_path("index"), &err));
        assert_ok(td_index_check(loaded, &err));
        td_index_describe(loaded, &info);
        assert_int_equal(info.prefilter, p);
        for (uint32_t i = 0; i < 700; i++) {
            float vector[5];
            td_index_vector(loaded, i, vector);
            assert_memory_equal(vector, items.data + i * 5, sizeof vector);
        }
        td_index_free(index);
        td_index_free(loaded);
    }
    free((float *)items.data);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_passes_at_its_own_score),
        cmocka_unit_test(most_items_below_a_threshold_are_left_out),
        cmocka_unit_test(a_query_ends_only_where_nothing_reaches_its_threshold),
        cmocka_unit_test(nothing_is_known_before_there_is_a_threshold),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(files_keep_the_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
