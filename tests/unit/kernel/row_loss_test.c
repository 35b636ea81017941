/* row_loss_test.c -- losses that are no softmax: their words in float64, finite differences, threads. */
#include "support/softmax_problem.h"

#include <math.h>

#include "kernel/kernel.h"

enum { ROWS = 21, COLUMNS = 110, ENTRIES = 3 * ROWS, DIM = 6 };

/* Row r has entries 3 r .. 3 r + 2, of which some are the same column. */
typedef struct problem {
    float rows[ROWS * DIM], columns[COLUMNS * DIM], weight[ENTRIES];
    uint32_t copies[COLUMNS], offset[ROWS + 1], column[ENTRIES];
    float d_rows[ROWS * DIM], d_columns[COLUMNS * DIM], entry_loss[ENTRIES];
    td__row_loss row_loss;
    td_precision precision;
    td__softmax_batch batch;
    td__softmax_result result;
} problem;

static problem found, other;

static void draw(problem *p, td_loss kind, uint64_t seed)
{
    *p = (problem){.row_loss = {.kind = kind, .margin = 0.3f, .negative_weight = 5.0f}};
    for (uint32_t i = 0; i < ROWS * DIM; i++) p->rows[i] = (float)test_uniform(&seed, -1, 1);
    for (uint32_t i = 0; i < COLUMNS * DIM; i++) p->columns[i] = (float)test_uniform(&seed, -1, 1);
    for (uint32_t k = 0; k < COLUMNS; k++) p->copies[k] = (uint32_t)test_uniform(&seed, 0, 3.99);
    for (uint32_t b = 0; b < ENTRIES; b++) {
        p->column[b] = b % 7 == 1 ? p->column[b - 1] : (uint32_t)test_uniform(&seed, 0, COLUMNS);
        p->weight[b] = (float)test_uniform(&seed, 0.1, 2);
    }
    for (uint32_t r = 0; r <= ROWS; r++) p->offset[r] = 3 * r;
    p->batch = (td__softmax_batch){.rows = {p->rows, NULL, ROWS},
                                   .columns = {p->columns, NULL, COLUMNS},
                                   .temperature = 0.8f,
                                   .copies = p->copies,
                                   .entry_offset = p->offset,
                                   .entry_column = p->column,
                                   .entry_weight = p->weight,
                                   .weight_scale = 0.5,
                                   .row_loss = &p->row_loss};
    p->result = (td__softmax_result){
        .entry_loss = p->entry_loss, .d_rows = p->d_rows, .d_columns = p->d_columns};
}

/* --- the words of the header */

static double score(const problem *p, uint32_t row, uint32_t column)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < DIM; k++) {
        sum += (double)p->rows[row * DIM + k] * (double)p->columns[column * DIM + k];
    }
    return sum / (double)p->batch.temperature;
}

static bool is_negative(const problem *p, uint32_t row, uint32_t column)
{
    for (uint32_t b = p->offset[row]; b < p->offset[row + 1]; b++) {
        if (p->column[b] == column) return false;
    }
    return true;
}

static double softplus(double x)
{
    return fmax(x, 0.0) + log1p(exp(-fabs(x)));
}

/* Sum over the negatives of n f(s - shift), and of n where s > shift; N. */
typedef struct sums {
    double hinge, softplus, violators, count;
} sums;

static sums over_negatives(const problem *p, uint32_t row, double shift)
{
    sums found_sums = {0};
    for (uint32_t k = 0; k < COLUMNS; k++) {
        if (!is_negative(p, row, k)) continue;
        double n = (double)p->copies[k], x = score(p, row, k) - shift;
        found_sums.hinge += n * fmax(0.0, x);
        found_sums.softplus += n * softplus(x);
        found_sums.violators += x > 0 ? n : 0.0;
        found_sums.count += n;
    }
    return found_sums;
}

static double entry_loss(const problem *p, uint32_t b)
{
    uint32_t row = b / 3;
    double s = score(p, row, p->column[b]), margin = (double)p->row_loss.margin;
    double weight = (double)p->row_loss.negative_weight;
    sums pairs = over_negatives(p, row, s - margin);
    switch (p->row_loss.kind) {
    case TD_LOSS_CCL:
        return 1.0 - s + weight * over_negatives(p, row, margin).hinge / pairs.count;
    case TD_LOSS_SIGMOID:
        return softplus(-s) + weight * over_negatives(p, row, 0.0).softplus / pairs.count;
    case TD_LOSS_BPR:
        return over_negatives(p, row, s).softplus / pairs.count;
    case TD_LOSS_HINGE:
        return pairs.hinge / pairs.count;
    case TD_LOSS_WARP:
        return pairs.violators == 0 ? 0.0 : log1p(pairs.violators) / pairs.violators * pairs.hinge;
    case TD_LOSS_SOFTMAX:
        break;
    }
    fail();
    return 0.0;
}

static double loss(const problem *p)
{
    double sum = 0.0;
    for (uint32_t b = 0; b < ENTRIES; b++) sum += (double)p->weight[b] * entry_loss(p, b);
    return sum * p->batch.weight_scale;
}

static td_status compute(problem *p, td_context *context, td_error *err)
{
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = ROWS, .columns = COLUMNS, .entries = ENTRIES, .dim = DIM,
                               .precision = p->precision};
    td_status status = td__softmax_create(&softmax, context, &shape, err);
    if (status == TD_OK) status = td__softmax_reserve_row_losses(softmax, err);
    if (status == TD_OK) status = td__softmax_compute(softmax, &p->batch, &p->result, err);
    td__softmax_free(softmax);
    return status;
}

/* --- tests */

static void each_loss_is_what_its_formula_says(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    for (int kind = TD_LOSS_CCL; kind <= TD_LOSS_SIGMOID; kind++) {
        draw(&found, (td_loss)kind, 3);
        assert_ok(compute(&found, context, &err));
        assert_close(found.result.loss, loss(&found), 2e-6, 1e-6);
        for (uint32_t b = 0; b < ENTRIES; b++) {
            double expected = (double)found.weight[b] * entry_loss(&found, b);
            assert_close((double)found.entry_loss[b], expected, 2e-6, 1e-6);
        }
    }
    td_context_free(context);
}

/* The slope in one number. Hinges have corners, so the step is small and the difference in double; the
 * weight of warp, ln(1 + V) / V, is held as the method does. */
static double slope(problem *p, float *number)
{
    const float step = 1e-4f;
    float held = *number;
    *number = held + step;
    double above = (double)*number, up = loss(p);
    *number = held - step;
    double below = (double)*number, down = loss(p);
    *number = held;
    return (up - down) / (above - below);
}

static void gradients_are_slopes_of_the_loss(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    const int smooth_enough[] = {TD_LOSS_CCL, TD_LOSS_BPR, TD_LOSS_HINGE, TD_LOSS_SIGMOID};
    for (uint32_t i = 0; i < 4; i++) {
        draw(&found, (td_loss)smooth_enough[i], 5);
        assert_ok(compute(&found, context, &err));
        uint32_t far = 0;
        for (uint32_t k = 0; k < ROWS * DIM; k++) {
            double expected = slope(&found, &found.rows[k]);
            far += fabs((double)found.d_rows[k] - expected) > 1e-3 * fabs(expected) + 1e-3;
        }
        for (uint32_t k = 0; k < COLUMNS * DIM; k++) {
            double expected = slope(&found, &found.columns[k]);
            far += fabs((double)found.d_columns[k] - expected) > 1e-3 * fabs(expected) + 1e-3;
        }
        bool corners = found.row_loss.kind == TD_LOSS_CCL || found.row_loss.kind == TD_LOSS_HINGE;
        if (far > (corners ? 8u : 0u)) fail_msg("loss %d: %u gradients are off", smooth_enough[i], far);
        assert_close(found.result.d_temperature, slope(&found, &found.batch.temperature), 1e-2, 1e-2);
    }
    td_context_free(context);
}

/* The gradient of warp: that of the hinge loss with each entry's own factor, which stands still. */
static void warp_is_a_weighted_hinge(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    draw(&found, TD_LOSS_WARP, 6);
    draw(&other, TD_LOSS_HINGE, 6);
    for (uint32_t b = 0; b < ENTRIES; b++) {
        sums pairs = over_negatives(&found, b / 3, score(&found, b / 3, found.column[b]) - 0.3);
        double factor = pairs.violators == 0 ? 0.0 : log1p(pairs.violators) / pairs.violators;
        other.weight[b] *= (float)(factor * pairs.count);
    }
    assert_ok(compute(&found, context, &err));
    assert_ok(compute(&other, context, &err));
    assert_close(found.result.loss, other.result.loss, 1e-5, 0);
    for (uint32_t k = 0; k < COLUMNS * DIM; k++) {
        assert_close((double)found.d_columns[k], (double)other.d_columns[k], 1e-4, 1e-4);
    }
    for (uint32_t k = 0; k < ROWS * DIM; k++) {
        assert_close((double)found.d_rows[k], (double)other.d_rows[k], 1e-4, 1e-4);
    }
    td_context_free(context);
}

/* One step down the gradient lowers each of them. */
static void a_step_down_lowers_the_loss(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    for (int kind = TD_LOSS_CCL; kind <= TD_LOSS_SIGMOID; kind++) {
        draw(&found, (td_loss)kind, 7);
        assert_ok(compute(&found, context, &err));
        double before = loss(&found);
        for (uint32_t k = 0; k < ROWS * DIM; k++) found.rows[k] -= 1e-3f * found.d_rows[k];
        for (uint32_t k = 0; k < COLUMNS * DIM; k++) found.columns[k] -= 1e-3f * found.d_columns[k];
        assert_true(loss(&found) < before);
    }
    td_context_free(context);
}

static void scores_of_hundreds_stay_numbers(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    for (int kind = TD_LOSS_CCL; kind <= TD_LOSS_SIGMOID; kind++) {
        draw(&found, (td_loss)kind, 8);
        found.batch.temperature = 0.002f;
        assert_ok(compute(&found, context, &err));
        assert_close(found.result.loss, loss(&found), 1e-5, 1e-5);
    }
    td_context_free(context);
}

static void what_is_not_finite_names_the_row(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    for (int kind = TD_LOSS_CCL; kind <= TD_LOSS_SIGMOID; kind++) {
        draw(&found, (td_loss)kind, 9);
        found.rows[4 * DIM] = NAN;
        assert_fails(compute(&found, context, &err), TD_ERR_NUMERIC, "row 4");
    }
    td_context_free(context);
}

/* Vectors that rounding leaves as they are: float32's losses, and its gradients but for rounded slopes. */
static void bfloat16_agrees_with_float32(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    for (int kind = TD_LOSS_CCL; kind <= TD_LOSS_SIGMOID; kind++) {
        float d_rows[ROWS * DIM], d_columns[COLUMNS * DIM];
        draw(&found, (td_loss)kind, 30);
        found.batch.temperature = 1.0f;
        softmax_make_exact(found.rows, ROWS * DIM);
        softmax_make_exact(found.columns, COLUMNS * DIM);
        assert_ok(compute(&found, context, &err));
        memcpy(d_rows, found.d_rows, sizeof d_rows);
        memcpy(d_columns, found.d_columns, sizeof d_columns);
        double right = found.result.loss;
        found.precision = TD_PRECISION_BFLOAT16;
        assert_ok(compute(&found, context, &err));
        assert_close(found.result.loss, right, 1e-6, 0.0);
        double rows = softmax_apart(found.d_rows, d_rows, ROWS * DIM);
        double columns = softmax_apart(found.d_columns, d_columns, COLUMNS * DIM);
        if (!(rows <= 3e-3 && columns <= 3e-3)) fail_msg("loss %d: %.3g, %.3g apart", kind, rows, columns);
        if (rows == 0.0) fail_msg("loss %d: nothing was rounded", kind);
    }
    td_context_free(context);
}

static void same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    td_error err;
    for (int kind = TD_LOSS_CCL; kind <= TD_LOSS_SIGMOID; kind++) {
        for (uint32_t threads = 1; threads <= 7; threads += threads == 1 ? 1 : 5) {
            td_context *context = test_context(threads);
            problem *p = threads == 1 ? &found : &other;
            draw(p, (td_loss)kind, 10);
            assert_ok(compute(p, context, &err));
            assert_memory_equal(p->d_rows, found.d_rows, sizeof found.d_rows);
            assert_memory_equal(p->d_columns, found.d_columns, sizeof found.d_columns);
            assert_true(p->result.loss == found.result.loss);
            td_context_free(context);
        }
    }
}

static td_status compute_it(void *state, td_context *context, td_error *err)
{
    return compute(state, context, err);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    draw(&found, TD_LOSS_CCL, 11);
    test_every_allocation(compute_it, &found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_loss_is_what_its_formula_says),
        cmocka_unit_test(gradients_are_slopes_of_the_loss),
        cmocka_unit_test(warp_is_a_weighted_hinge),
        cmocka_unit_test(a_step_down_lowers_the_loss),
        cmocka_unit_test(scores_of_hundreds_stay_numbers),
        cmocka_unit_test(what_is_not_finite_names_the_row),
        cmocka_unit_test(bfloat16_agrees_with_float32),
        cmocka_unit_test(same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
