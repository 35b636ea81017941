/* softmax_tiles_test.c -- the loops of the softmax: plain C against float64, other sets against it. */
#include "support/test.h"

#include <math.h>

#include "kernel/softmax_tiles.h"

enum { HEIGHT_MAX = 128, DIM_MAX = 160 };

typedef struct tiles {
    float rows[HEIGHT_MAX * DIM_MAX], panel[DIM_MAX * TD__PANEL];
    float weights[HEIGHT_MAX * TD__PANEL], sums[HEIGHT_MAX * TD__SLICE];
    float anchor[HEIGHT_MAX], bias[TD__PANEL];
    float d_rows[HEIGHT_MAX * DIM_MAX], d_columns[TD__PANEL * DIM_MAX];
    float kept[TD__PANEL]; /* a row of scores, weighed later */
} tiles;

static _Alignas(64) tiles reference, other;

static void fill(float *array, size_t count, double range, uint64_t *random)
{
    for (size_t i = 0; i < count; i++) array[i] = (float)test_uniform(random, -range, range);
}

static void fill_all(tiles *t, double range, uint64_t seed)
{
    uint64_t random = seed;
    fill(t->rows, HEIGHT_MAX * DIM_MAX, range, &random);
    fill(t->panel, DIM_MAX * TD__PANEL, 1.0, &random);
    fill(t->weights, HEIGHT_MAX * TD__PANEL, 1.0, &random);
    fill(t->sums, HEIGHT_MAX * TD__SLICE, 1.0, &random);
    fill(t->anchor, HEIGHT_MAX, 10.0, &random);
    fill(t->bias, TD__PANEL, 10.0, &random);
    fill(t->d_rows, HEIGHT_MAX * DIM_MAX, 1.0, &random);
    fill(t->d_columns, TD__PANEL * DIM_MAX, 1.0, &random);
    fill(t->kept, TD__PANEL, 120.0, &random);
}

static td__softmax_tile tile_of(tiles *t, uint32_t height, uint32_t dim)
{
    return (td__softmax_tile){.height = height, .dim = dim, .rows = t->rows, .anchor = t->anchor,
                              .panel = t->panel, .bias = t->bias, .weights = t->weights,
                              .sums = t->sums};
}

static void run_all(const td__softmax_kernels *kernels, tiles *t, uint32_t height, uint32_t dim)
{
    td__softmax_tile tile = tile_of(t, height, dim);
    kernels->score(&tile);
    kernels->weigh(t->kept, t->anchor[0], t->sums);
    kernels->rows_gradient(t->weights, height, t->panel, dim, t->d_rows);
    kernels->columns_gradient(t->weights, height, t->rows, dim, height % 16 == 0, t->d_columns);
}

/* 2^y [TD__PANEL] by the plain loop. */
static void exp2_by_kernel(const float *y, float *out)
{
    tiles *t = &reference;
    memset(t->rows, 0, TD__SOFTMAX_UNIT * TD__SLICE * sizeof *t->rows);
    memset(t->anchor, 0, sizeof t->anchor);
    memcpy(t->bias, y, sizeof t->bias);
    td__softmax_tile tile = tile_of(t, TD__SOFTMAX_UNIT, TD__SLICE);
    td__softmax_ref.score(&tile);
    memcpy(out, t->weights, TD__PANEL * sizeof *out);
}

static void test_weigh_is_the_second_half_of_score(void **state)
{
    (void)state;
    float in[TD__PANEL], out[TD__PANEL], sums[TD__SLICE] = {1.0f};
    uint64_t random = 8;
    fill(in, TD__PANEL, 130.0, &random);
    exp2_by_kernel(in, out);
    td__softmax_ref.weigh(in, 0.0f, sums);
    assert_memory_equal(in, out, sizeof out);
    for (uint32_t l = 0; l < TD__SLICE; l++) {
        float sum = l == 0 ? 1.0f : 0.0f;
        assert_true(sums[l] == ((sum + out[l]) + out[l + TD__SLICE]) + out[l + 2 * TD__SLICE]);
    }
}

static float exp2_of_one(float y)
{
    float in[TD__PANEL], out[TD__PANEL];
    for (uint32_t j = 0; j < TD__PANEL; j++) in[j] = y;
    exp2_by_kernel(in, out);
    return out[TD__PANEL - 1];
}

static void test_exp2_is_within_one_unit_in_the_last_place(void **state)
{
    (void)state;
    uint64_t random = 3;
    double worst = 0.0;
    for (int i = 0; i < 400; i++) {
        float y[TD__PANEL], out[TD__PANEL];
        fill(y, TD__PANEL, i % 2 == 0 ? 99.9 : 0.6, &random);
        exp2_by_kernel(y, out);
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            worst = fmax(worst, fabs((double)out[j] / exp2((double)y[j]) - 1.0));
        }
    }
    if (!(worst <= 0x1p-23)) fail_msg("relative error %.3g", worst);
}

static void test_exp2_at_its_borders(void **state)
{
    (void)state;
    assert_true(exp2_of_one(0.0f) == 1.0f);
    assert_true(exp2_of_one(-3.0f) == 0.125f);
    assert_true(exp2_of_one(-1e30f) == 0x1p-100f);
    assert_true(exp2_of_one(-INFINITY) == 0x1p-100f);
    assert_true(exp2_of_one(200.0f) == 0x1p126f);
    assert_true(exp2_of_one(INFINITY) == 0x1p126f);
    assert_true(isnan(exp2_of_one(NAN)));
}

/* A sliced array of `count` vectors: dimension k of vector i. */
static size_t place(uint32_t k, uint32_t i, uint32_t count)
{
    return ((size_t)(k / TD__SLICE) * count + i) * TD__SLICE + k % TD__SLICE;
}

static void test_plain_score_is_the_formula(void **state)
{
    (void)state;
    tiles *t = &reference;
    uint32_t height = 16, dim = 48;
    fill_all(t, 1.0, 5);
    memcpy(&other, t, sizeof other);
    td__softmax_tile tile = tile_of(t, height, dim);
    td__softmax_ref.score(&tile);
    for (uint32_t r = 0; r < height; r++) {
        double sum = 0.0, sum_before = 0.0, sum_after = 0.0;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            double y = (double)t->bias[j] - (double)t->anchor[r];
            for (uint32_t k = 0; k < dim; k++) {
                y += (double)t->rows[r * dim + k] * (double)t->panel[k * TD__PANEL + j];
            }
            assert_close((double)t->weights[r * TD__PANEL + j], exp2(y), 1e-5, 0.0);
            sum += exp2(y);
        }
        for (uint32_t l = 0; l < TD__SLICE; l++) {
            sum_before += (double)other.sums[r * TD__SLICE + l];
            sum_after += (double)t->sums[r * TD__SLICE + l];
        }
        assert_close(sum_after, sum_before + sum, 1e-5, 1e-5);
    }
}

static void test_plain_gradients_are_the_formula(void **state)
{
    (void)state;
    tiles *t = &reference;
    uint32_t height = 24, dim = 32;
    fill_all(t, 1.0, 6);
    memcpy(&other, t, sizeof other);
    td__softmax_ref.rows_gradient(t->weights, height, t->panel, dim, t->d_rows);
    td__softmax_ref.columns_gradient(t->weights, height, t->rows, dim, false, t->d_columns);
    for (uint32_t k = 0; k < dim; k++) {
        for (uint32_t r = 0; r < height; r++) {
            double sum = (double)other.d_rows[place(k, r, height)];
            for (uint32_t j = 0; j < TD__PANEL; j++) {
                sum += (double)t->weights[r * TD__PANEL + j] * (double)t->panel[place(k, j, TD__PANEL)];
            }
            assert_close((double)t->d_rows[place(k, r, height)], sum, 1e-5, 1e-5);
        }
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            double sum = (double)other.d_columns[place(k, j, TD__PANEL)];
            for (uint32_t r = 0; r < height; r++) {
                sum += (double)t->weights[r * TD__PANEL + j] * (double)t->rows[place(k, r, height)];
            }
            assert_close((double)t->d_columns[place(k, j, TD__PANEL)], sum, 1e-5, 1e-5);
        }
    }
}

static void test_first_sum_forgets_what_was_there(void **state)
{
    (void)state;
    for (uint32_t set = 0; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->available()) continue;
        fill_all(&reference, 1.0, 7);
        memcpy(&other, &reference, sizeof other);
        memset(other.d_columns, 0, sizeof other.d_columns);
        for (size_t i = 0; i < TD__PANEL * DIM_MAX; i++) reference.d_columns[i] = NAN;
        kernels->softmax->columns_gradient(reference.weights, 40, reference.rows, 80, true,
                                           reference.d_columns);
        kernels->softmax->columns_gradient(other.weights, 40, other.rows, 80, false, other.d_columns);
        assert_memory_equal(reference.d_columns, other.d_columns, TD__PANEL * 80 * sizeof(float));
    }
}

static void compare_sets(const td__kernels *kernels, uint32_t height, uint32_t dim, double range)
{
    fill_all(&reference, range, height * 1000 + dim);
    memcpy(&other, &reference, sizeof other);
    run_all(&td__softmax_ref, &reference, height, dim);
    run_all(kernels->softmax, &other, height, dim);
    if (memcmp(&reference, &other, sizeof other) != 0) {
        fail_msg("%s differs from plain C at height %u, dim %u", kernels->name, height, dim);
    }
}

/* All heights and dims that occur: every tail of every block, nothing written beside the results. */
static void test_all_sets_give_the_bits_of_plain_c(void **state)
{
    (void)state;
    for (uint32_t set = 1; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->available()) {
            print_message("SKIPPED: this machine cannot run %s\n", kernels->name);
            continue;
        }
        for (uint32_t height = 8; height <= HEIGHT_MAX; height += 8) {
            compare_sets(kernels, height, 16, 1.0);
            compare_sets(kernels, height, 48, 1.0);
        }
        for (uint32_t dim = 16; dim <= DIM_MAX; dim += 16) compare_sets(kernels, 32, dim, 1.0);
        compare_sets(kernels, 128, 64, 1000.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp2_is_within_one_unit_in_the_last_place),
        cmocka_unit_test(test_exp2_at_its_borders),
        cmocka_unit_test(test_weigh_is_the_second_half_of_score),
        cmocka_unit_test(test_plain_score_is_the_formula),
        cmocka_unit_test(test_plain_gradients_are_the_formula),
        cmocka_unit_test(test_first_sum_forgets_what_was_there),
        cmocka_unit_test(test_all_sets_give_the_bits_of_plain_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
