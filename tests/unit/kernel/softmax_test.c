/* softmax_test.c -- the softmax engine against float64, in all the forms a batch can take. */
#include "support/softmax_cases.h"

#include <math.h>

#include "kernel/kernel.h"

static void test_ragged_shapes_match_float64(void **state)
{
    (void)state;
    check_ragged_shapes(softmax_usual, 2e-6);
}

static void test_options_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (uint64_t mix = 0; mix < 16; mix++) {
        softmax_problem p = softmax_usual(100 + mix);
        p.remove = (mix & 1) != 0;
        p.weighted = (mix & 2) != 0;
        p.biased = (mix & 4) != 0;
        p.temperature = (mix & 8) != 0 ? 0.1f : 1.7f;
        check_forms(p, context, 2e-6);
    }
    td_context_free(context);
}

static void test_many_copies_of_few_items(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    softmax_problem p = softmax_usual(5);
    p.items = 3;
    p.batch = 300;
    p.queries = 10;
    p.remove = true;
    p.size = 1.5f;
    check_forms(p, context, 4e-6);
    td_context_free(context);
}

static void test_several_strips_and_groups(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    softmax_problem p = softmax_usual(6);
    p.queries = p.items = 380;
    p.batch = 400;
    p.extra = 300;
    p.dim = 64;
    check_forms(p, context, 2e-6);
    td_context_free(context);
}

/* Rows of one group that need more than one strip: groups are an eighth of the rows. */
static void test_second_strip_of_a_group_adds_to_the_first(void **state)
{
    (void)state;
    enum { ROWS = 1100, DIM = 3 };
    static float rows[ROWS * DIM], columns[DIM], d_columns[DIM], d_both[2 * DIM];
    td_error err;
    td_context *context = test_context(1);
    uint64_t random = 1;
    double sum[DIM] = {0};
    float both[2 * DIM] = {0.5f, -0.25f, 0.0f, -0.5f, 0.125f, 1.0f};
    static uint32_t zero[ROWS];
    for (uint32_t i = 0; i < ROWS * DIM; i++) rows[i] = (float)test_uniform(&random, -1, 1);
    memcpy(columns, both, sizeof columns);
    for (uint32_t r = 0; r < ROWS; r++) {
        double gap = 0.0;
        for (uint32_t k = 0; k < DIM; k++) {
            gap += (double)rows[r * DIM + k] * ((double)both[DIM + k] - (double)both[k]);
        }
        for (uint32_t k = 0; k < DIM; k++) {
            sum[k] += (double)rows[r * DIM + k] / (1.0 + exp(-gap));
        }
    }
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = ROWS, .columns = 2, .entries = ROWS, .dim = DIM};
    td__softmax_batch batch = {.rows = {rows, NULL, ROWS}, .columns = {both, NULL, 2},
                               .temperature = 1.0f, .weight_scale = 1.0, .entry_column = zero};
    td__softmax_result result = {.d_columns = d_both};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    for (uint32_t k = 0; k < DIM; k++) {
        assert_close((double)d_both[DIM + k], sum[k], 1e-5, 1e-5);
        assert_close((double)d_both[k], -sum[k], 1e-5, 1e-5);
    }
    batch.columns.count = 1; /* one column: no loss, no gradient */
    result.d_columns = d_columns;
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    assert_close(result.loss, 0.0, 0.0, 1e-4);
    for (uint32_t k = 0; k < DIM; k++) assert_close((double)d_columns[k], 0.0, 0.0, 1e-4);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    check_same_bits_for_1_2_and_7_threads(varied(TD_PRECISION_FLOAT32));
}

static void test_same_bits_for_all_kernel_sets(void **state)
{
    (void)state;
    softmax_solve(&expected, varied(TD_PRECISION_FLOAT32));
    run_on(&found, "ref");
    for (uint32_t set = 1; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->available()) continue;
        run_on(&again, kernels->name);
        softmax_same_results(&found, &again, kernels->name);
    }
}

static uint64_t hash(uint64_t h, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) h = (h ^ at[i]) * UINT64_C(0x100000001B3); /* FNV-1a */
    return h;
}

/* One number for x86-64 and arm64, found with gcc on both: the arithmetic is IEEE 754's alone. */
static void test_same_bits_on_all_processors(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    softmax_solve(&expected, varied(TD_PRECISION_FLOAT32));
    softmax_make_form(&found, &expected, true, true);
    softmax_run(&found, context);
    td_context_free(context);
    size_t row_bytes = sizeof(float) * found.shape.rows * found.shape.dim;
    size_t column_bytes = sizeof(float) * found.shape.columns * found.shape.dim;
    uint64_t h = hash(UINT64_C(0xCBF29CE484222325), &found.result.loss, sizeof(double));
    h = hash(h, &found.result.d_temperature, sizeof(double));
    h = hash(h, found.d_rows, row_bytes);
    h = hash(h, found.d_columns, column_bytes);
    if (h != UINT64_C(0x7FA7A629FD5737D1)) fail_msg("the bits have changed: %#llx", (unsigned long long)h);
}

static void test_logits_of_a_thousand_are_scored_again(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    softmax_problem p = softmax_usual(31);
    p.size = 10.0f; /* 24 dimensions: logits up to +-2400 */
    check_forms(p, context, 2e-4);
    assert_true(found.result.repeated > 0);
    assert_true(found.result.loss > 1000.0);
    td_context_free(context);
}

static void test_moderate_logits_are_scored_once(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    check_forms(softmax_usual(32), context, 2e-6);
    assert_int_equal(found.result.repeated, 0);
    td_context_free(context);
}

/* The second entry of a row lies so far below the first that its weight is cut off; its loss is not. */
static void test_loss_of_an_entry_far_below_the_anchor(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    float row[1] = {1.0f}, columns[2] = {0.0f, -300.0f}, losses[2], d_row[1];
    uint32_t offset[2] = {0, 2}, column[2] = {0, 1};
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 1, .columns = 2, .entries = 2, .dim = 1};
    td__softmax_batch batch = {.rows = {row, NULL, 1}, .columns = {columns, NULL, 2},
                               .temperature = 1.0f, .weight_scale = 0.5, .entry_offset = offset,
                               .entry_column = column};
    td__softmax_result result = {.entry_loss = losses, .d_rows = d_row};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    assert_close((double)losses[1], 300.0, 1e-6, 0.0);
    assert_close(result.loss, 150.0, 1e-6, 0.0);
    assert_close((double)d_row[0], 150.0, 1e-6, 0.0);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_temperature_gradient_is_the_slope_of_the_loss(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    softmax_problem p = softmax_usual(41);
    p.remove = p.weighted = p.biased = true;
    double loss[2], step = 1e-2;
    for (int side = 0; side < 2; side++) {
        p.temperature = (float)(0.8 + (side == 0 ? -step : step));
        softmax_solve(&expected, p);
        softmax_make_form(&found, &expected, true, true);
        softmax_run(&found, context);
        loss[side] = found.result.loss;
    }
    p.temperature = 0.8f;
    softmax_solve(&expected, p);
    softmax_make_form(&found, &expected, true, true);
    softmax_run(&found, context);
    assert_close(found.result.d_temperature, (loss[1] - loss[0]) / (2 * step), 2e-3, 1e-3);
    td_context_free(context);
}

/* Vectors found through an index, no entry lists, no outputs: the same loss. */
static void test_optional_arguments(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    uint32_t index[SOFTMAX_LIMIT];
    softmax_problem p = softmax_usual(51);
    p.extra = 0;
    softmax_solve(&expected, p);
    softmax_make_form(&found, &expected, false, false);
    softmax_run(&found, context);
    softmax_make_form(&again, &expected, false, false);
    for (uint32_t b = 0; b < p.batch; b++) index[b] = expected.query[b];
    again.batch.rows = (td__softmax_side){expected.queries, index, p.batch};
    again.batch.columns = (td__softmax_side){expected.items, expected.item, p.batch};
    again.batch.entry_offset = again.batch.entry_column = NULL;
    again.batch.entry_weight = again.batch.bias = NULL;
    softmax_run(&again, context);
    softmax_same_results(&found, &again, "index");
    td__softmax *softmax;
    assert_ok(td__softmax_create(&softmax, context, &again.shape, &err));
    td__softmax_result bare = {0};
    assert_ok(td__softmax_compute(softmax, &again.batch, &bare, &err));
    assert_true(bare.loss == found.result.loss);
    assert_true(bare.d_temperature == found.result.d_temperature);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_weight_scale_scales_everything(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    softmax_solve(&expected, softmax_usual(52));
    softmax_make_form(&found, &expected, true, true);
    softmax_run(&found, context);
    softmax_make_form(&again, &expected, true, true);
    again.batch.weight_scale = 0.25;
    softmax_run(&again, context);
    assert_close(again.result.loss, found.result.loss / 4, 1e-12, 0.0);
    for (uint32_t i = 0; i < again.shape.rows * again.shape.dim; i++) {
        assert_close((double)again.d_rows[i], (double)found.d_rows[i] / 4, 1e-6, 1e-7);
    }
    td_context_free(context);
}

/* A row without entries, or with weight 0, moves nothing, whatever its vector. */
static void test_rows_without_weight_move_nothing(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    float rows[6] = {500.0f, 0.0f, 0.3f, 0.2f, 0.0f, 700.0f};
    float columns[4] = {1.0f, 2.0f, -1.0f, 3.0f};
    float weight[2] = {1.0f, 0.0f}, d_rows[6], d_columns[4];
    uint32_t offset[4] = {0, 0, 1, 2}, column[2] = {0, 1};
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 3, .columns = 2, .entries = 2, .dim = 2};
    td__softmax_batch batch = {.rows = {rows, NULL, 3}, .columns = {columns, NULL, 2},
                               .temperature = 1.0f, .weight_scale = 1.0, .entry_offset = offset,
                               .entry_column = column, .entry_weight = weight};
    td__softmax_result result = {.d_rows = d_rows, .d_columns = d_columns};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    double p = 1.0 / (1.0 + exp(0.7 - (-0.3 + 0.6)));
    assert_close(result.loss, -log(1.0 - p), 1e-6, 0.0);
    for (uint32_t k = 0; k < 2; k++) {
        assert_true(d_rows[k] == 0.0f && d_rows[4 + k] == 0.0f);
        assert_close((double)d_columns[2 + k], p * (double)rows[2 + k], 1e-6, 0.0);
        assert_close((double)d_columns[k], -p * (double)rows[2 + k], 1e-6, 0.0);
    }
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_nothing_in_gives_zeros(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    float columns[3] = {1, 2, 3}, d_columns[3] = {7, 7, 7};
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 0, .columns = 3, .entries = 0, .dim = 1};
    td__softmax_batch batch = {.columns = {columns, NULL, 3}, .temperature = 1.0f};
    td__softmax_result result = {.d_columns = d_columns, .loss = 5.0};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    assert_true(result.loss == 0.0 && result.d_temperature == 0.0);
    for (int k = 0; k < 3; k++) assert_true(d_columns[k] == 0.0f);
    batch.columns.count = 0;
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_numbers_that_are_not_finite_name_the_row(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    check_bad_numbers(softmax_usual(61), bad, 3, 2e-6);
}

static void test_compute_allocates_nothing(void **state)
{
    (void)state;
    check_compute_allocates_nothing(varied(TD_PRECISION_FLOAT32));
}

static void test_workspace_is_what_the_header_says(void **state)
{
    (void)state;
    td_error err;
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 3);
    int64_t before = memory.bytes;
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 5000, .columns = 3000, .entries = 7000, .dim = 48};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    double stated = (double)td__softmax_bytes(&shape, 3);
    assert_close((double)(memory.bytes - before), stated, 0.0, 4096.0);
    double formula = 40.0 * 3000 * 48 + 512.0 * 3000 * 3 + 12.0 * 7000;
    assert_close(stated, formula, 0.1, 0.0);
    shape.rows = 50000000;
    assert_true((double)td__softmax_bytes(&shape, 3) == stated);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_every_failed_allocation_is_reported(void **state)
{
    (void)state;
    check_every_failed_allocation(TD_PRECISION_FLOAT32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ragged_shapes_match_float64),
        cmocka_unit_test(test_options_match_float64),
        cmocka_unit_test(test_many_copies_of_few_items),
        cmocka_unit_test(test_several_strips_and_groups),
        cmocka_unit_test(test_second_strip_of_a_group_adds_to_the_first),
        cmocka_unit_test(test_same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(test_same_bits_for_all_kernel_sets),
        cmocka_unit_test(test_same_bits_on_all_processors),
        cmocka_unit_test(test_logits_of_a_thousand_are_scored_again),
        cmocka_unit_test(test_moderate_logits_are_scored_once),
        cmocka_unit_test(test_loss_of_an_entry_far_below_the_anchor),
        cmocka_unit_test(test_temperature_gradient_is_the_slope_of_the_loss),
        cmocka_unit_test(test_optional_arguments),
        cmocka_unit_test(test_weight_scale_scales_everything),
        cmocka_unit_test(test_rows_without_weight_move_nothing),
        cmocka_unit_test(test_nothing_in_gives_zeros),
        cmocka_unit_test(test_numbers_that_are_not_finite_name_the_row),
        cmocka_unit_test(test_compute_allocates_nothing),
        cmocka_unit_test(test_workspace_is_what_the_header_says),
        cmocka_unit_test(test_every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
