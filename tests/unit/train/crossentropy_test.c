/* crossentropy_test.c -- cross-entropies against known numbers, float64 and finite differences. */
#include "support/option_table.h"
#include "support/test.h"

#include <math.h>

typedef enum loss_kind { CATEGORICAL, SPARSE, BINARY } loss_kind;

/* A loss with all its input. */
typedef struct loss_case {
    loss_kind kind;
    td_crossentropy_options options;
    td_predictions predictions;
    float prediction[60], target[60], weight[10];
    int64_t label[10];
} loss_case;

static td_status compute(const loss_case *loss, td_crossentropy_result *result, td_error *err)
{
    td_predictions predictions = loss->predictions;
    predictions.prediction = loss->prediction;
    if (predictions.weight != NULL) predictions.weight = loss->weight;
    if (loss->kind == CATEGORICAL)
        return td_categorical_crossentropy(&predictions, loss->target, &loss->options, result, err);
    if (loss->kind == SPARSE)
        return td_sparse_categorical_crossentropy(&predictions, loss->label, &loss->options, result,
                                                  err);
    return td_binary_crossentropy(&predictions, loss->target, &loss->options, result, err);
}

static double loss_of(const loss_case *loss)
{
    td_error err = {0};
    td_crossentropy_result result = {0};
    assert_ok(compute(loss, &result, &err));
    return result.loss;
}

/* --- the numbers of Keras' documentation */

static loss_case documented(loss_kind kind)
{
    loss_case loss = {.kind = kind,
                      .prediction = {0.05f, 0.95f, 0, 0.1f, 0.8f, 0.1f},
                      .target = {0, 1, 0, 0, 0, 1},
                      .label = {1, 2},
                      .weight = {0.3f, 0.7f},
                      .predictions = {.rows = 2, .classes = 3}};
    td_crossentropy_options_init(&loss.options);
    return loss;
}

static void documented_numbers_of_keras(void **state)
{
    (void)state;
    for (loss_kind kind = CATEGORICAL; kind <= SPARSE; kind++) {
        loss_case loss = documented(kind);
        assert_close(loss_of(&loss), 1.177, 0, 5e-4);
        assert_close(loss_of(&loss), (-log(0.95) - log(0.1)) / 2, 1e-6, 0);
        loss.options.reduction = TD_REDUCTION_SUM;
        assert_close(loss_of(&loss), 2.354, 0, 5e-4);
        loss.options.reduction = TD_REDUCTION_MEAN;
        loss.predictions.weight = loss.weight;
        assert_close(loss_of(&loss), 0.814, 0, 5e-4);
        td_error err = {0};
        float row_loss[2];
        loss.predictions.weight = NULL;
        loss.options.reduction = TD_REDUCTION_NONE;
        td_crossentropy_result result = {.row_loss = row_loss};
        assert_ok(compute(&loss, &result, &err));
        assert_close((double)row_loss[0], 0.0513, 0, 5e-5);
        assert_close((double)row_loss[1], 2.303, 0, 5e-4);
        assert_close(result.loss, 2.354, 0, 5e-4);
    }
}

static void binary_numbers_by_hand(void **state)
{
    (void)state;
    loss_case loss = {.kind = BINARY,
                      .prediction = {0.6f, 0.4f, 0.4f, 0.6f},
                      .target = {0, 1, 0, 0},
                      .predictions = {.rows = 2, .classes = 2}};
    td_crossentropy_options_init(&loss.options);
    assert_close(loss_of(&loss), 0.815, 0, 5e-4); /* Keras' documentation */
    loss.options.label_smoothing = 0.5f;          /* targets .25 .75 .25 .25 */
    double a = log(0.6), b = log(0.4);
    assert_close(loss_of(&loss),
                 -(.25 * a + .75 * b + .75 * b + .25 * a + .25 * b + .75 * a + .25 * a + .75 * b)
                     / 4,
                 1e-6, 0);
}

/* --- against float64 */

static double softmax_loss(const double *logit, const double *target, uint32_t classes)
{
    double largest = -HUGE_VAL, sum = 0, loss = 0;
    for (uint32_t c = 0; c < classes; c++) largest = fmax(largest, logit[c]);
    for (uint32_t c = 0; c < classes; c++) sum += exp(logit[c] - largest);
    for (uint32_t c = 0; c < classes; c++) loss += target[c] * (largest + log(sum) - logit[c]);
    return loss;
}

static double clipped(double p)
{
    return fmin(fmax(p, 1e-7), 1 - 1e-7);
}

static double binary_loss(double x, double y, bool logits)
{
    if (logits) return y * log1p(exp(-x)) + (1 - y) * log1p(exp(x));
    double p = clipped(x);
    return -(y * log(p + 1e-7) + (1 - y) * log(1 - p + 1e-7));
}

static double expected_row(const loss_case *loss, uint64_t row)
{
    double logit[6], target[6], sum = 0, total = 0, e = (double)loss->options.label_smoothing;
    uint32_t classes = loss->predictions.classes;
    for (uint32_t c = 0; c < classes; c++) sum += (double)loss->prediction[row * classes + c];
    for (uint32_t c = 0; c < classes; c++) {
        double x = (double)loss->prediction[row * classes + c];
        double y = (double)loss->target[row * classes + c];
        if (loss->kind == BINARY) {
            total += binary_loss(x, y * (1 - e) + e / 2, loss->options.from_logits) / classes;
        }
        target[c] = loss->kind == SPARSE ? loss->label[row] == c : y * (1 - e) + e / classes;
        logit[c] = loss->options.from_logits ? x
                   : loss->kind == SPARSE    ? log(clipped(x))
                                             : log(clipped(x / sum));
        if (loss->kind == CATEGORICAL && !loss->options.from_logits) total -= target[c] * logit[c];
    }
    if (loss->kind == BINARY || (loss->kind == CATEGORICAL && !loss->options.from_logits))
        return total;
    return softmax_loss(logit, target, classes);
}

static loss_case random_case(loss_kind kind, uint64_t seed, bool logits)
{
    loss_case loss = {.kind = kind, .predictions = {.rows = 5, .classes = 4}};
    td_crossentropy_options_init(&loss.options);
    loss.options.from_logits = logits;
    for (uint32_t i = 0; i < 20; i++) {
        loss.prediction[i] = (float)(logits ? test_uniform(&seed, -4, 4)
                                            : test_uniform(&seed, .05, .95));
        loss.target[i] = (float)test_uniform(&seed, 0, 1);
    }
    for (uint32_t row = 0; row < 5; row++) {
        loss.label[row] = (int64_t)test_uniform(&seed, 0, 4);
        loss.weight[row] = (float)test_uniform(&seed, 0, 2);
    }
    if (seed % 2 == 0) loss.predictions.weight = loss.weight;
    if (seed % 3 == 0 && kind != SPARSE) loss.options.label_smoothing = 0.3f;
    loss.options.reduction = (td_reduction)(seed % 5 % 3);
    return loss;
}

static void losses_match_float64(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 600; seed++) {
        loss_case loss = random_case((loss_kind)(seed % 3), seed, seed / 3 % 2 != 0);
        double sum = 0;
        for (uint64_t row = 0; row < 5; row++) {
            double weight = loss.predictions.weight ? (double)loss.weight[row] : 1;
            sum += weight * expected_row(&loss, row);
        }
        if (loss.options.reduction == TD_REDUCTION_MEAN) sum /= 5;
        assert_close(loss_of(&loss), sum, 1e-6, 1e-6);
    }
}

static void gradients_match_finite_differences(void **state)
{
    (void)state;
    td_error err = {0};
    for (uint64_t seed = 0; seed < 120; seed++) {
        loss_case loss = random_case((loss_kind)(seed % 3), seed, seed / 3 % 2 != 0);
        float gradient[20];
        td_crossentropy_result result = {.d_prediction = gradient};
        assert_ok(compute(&loss, &result, &err));
        for (uint32_t i = 0; i < 20; i++) {
            float before = loss.prediction[i], up = before + 1e-3f, down = before - 1e-3f;
            loss.prediction[i] = up;
            double high = loss_of(&loss);
            loss.prediction[i] = down;
            double low = loss_of(&loss);
            loss.prediction[i] = before;
            assert_close((double)gradient[i], (high - low) / ((double)up - (double)down), 2e-3,
                         1e-3);
        }
    }
}

/* --- borders */

static void clipped_probabilities_bound_the_loss_and_stop_the_gradient(void **state)
{
    (void)state;
    td_error err = {0};
    float gradient[3];
    loss_case loss = {.kind = CATEGORICAL,
                      .prediction = {1, 0, 0},
                      .target = {0, 1, 0},
                      .predictions = {.rows = 1, .classes = 3}};
    td_crossentropy_options_init(&loss.options);
    td_crossentropy_result result = {.d_prediction = gradient};
    assert_ok(compute(&loss, &result, &err));
    assert_close(result.loss, 16.118096, 1e-6, 0); /* -ln 1e-7, the largest there is */
    for (int c = 0; c < 3; c++) assert_true(gradient[c] == 0);
    loss.target[0] = 1;
    loss.target[1] = 0;
    assert_close(loss_of(&loss), 1.19e-7, 1e-2, 0); /* the smallest: float32 1 - 1e-7 */
}

static void huge_logits_do_not_overflow(void **state)
{
    (void)state;
    td_error err = {0};
    float gradient[2];
    loss_case loss = {.kind = CATEGORICAL,
                      .prediction = {1000, -1000},
                      .target = {0, 1},
                      .label = {1},
                      .predictions = {.rows = 1, .classes = 2}};
    td_crossentropy_options_init(&loss.options);
    loss.options.from_logits = true;
    td_crossentropy_result result = {.d_prediction = gradient};
    for (loss.kind = CATEGORICAL; loss.kind <= SPARSE; loss.kind++) {
        assert_ok(compute(&loss, &result, &err));
        assert_true(result.loss == 2000 && gradient[0] == 1 && gradient[1] == -1);
    }
    loss.kind = BINARY;
    assert_ok(compute(&loss, &result, &err));
    assert_true(result.loss == 1000 && gradient[0] == 0.5f && gradient[1] == -0.5f);
}

/* TensorFlow's gradient is always P - y; that of the loss is P sum y - y. */
static void targets_need_not_sum_to_one(void **state)
{
    (void)state;
    td_error err = {0};
    float gradient[2];
    loss_case loss = {
        .kind = CATEGORICAL, .target = {0.5f, 1.5f}, .predictions = {.rows = 1, .classes = 2}};
    td_crossentropy_options_init(&loss.options);
    loss.options.from_logits = true;
    td_crossentropy_result result = {.d_prediction = gradient};
    assert_ok(compute(&loss, &result, &err));
    assert_close(result.loss, 2 * log(2), 1e-12, 0);
    assert_true(gradient[0] == 0.5f && gradient[1] == -0.5f);
}

static void ignored_rows_count_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    float gradient[6], row_loss[2];
    loss_case loss = documented(SPARSE);
    loss.label[0] = -1;
    loss.options.ignore_class = -1;
    td_crossentropy_result result = {.d_prediction = gradient, .row_loss = row_loss};
    assert_ok(compute(&loss, &result, &err));
    assert_close(result.loss, -log(0.1), 1e-6, 0); /* the mean of one row */
    assert_true(row_loss[0] == 0 && gradient[0] == 0 && gradient[1] == 0 && gradient[2] == 0);
    assert_true(gradient[5] < 0);
    loss.label[1] = -1;
    assert_ok(compute(&loss, &result, &err));
    assert_true(result.loss == 0); /* Keras: 0 / 0 */
}

static void no_rows_cost_nothing(void **state)
{
    (void)state;
    loss_case loss = documented(CATEGORICAL);
    loss.predictions.rows = 0;
    assert_true(loss_of(&loss) == 0);
}

/* --- what is refused */

static void refuses_input_without_meaning(void **state)
{
    (void)state;
    td_error err = {0};
    td_crossentropy_result result = {0};
    loss_case loss = documented(SPARSE);
    loss.label[1] = 3;
    assert_fails(compute(&loss, &result, &err), TD_ERR_ARGUMENT, "row 1: label 3");
    loss.label[1] = -1;
    assert_fails(compute(&loss, &result, &err), TD_ERR_ARGUMENT, "row 1: label -1");
    loss = documented(CATEGORICAL);
    loss.prediction[4] = NAN;
    assert_fails(compute(&loss, &result, &err), TD_ERR_NUMERIC, "row 1: prediction");
    loss = documented(CATEGORICAL);
    loss.target[0] = INFINITY;
    assert_fails(compute(&loss, &result, &err), TD_ERR_NUMERIC, "row 0: target");
    loss = documented(CATEGORICAL);
    loss.predictions.weight = loss.weight;
    loss.weight[1] = NAN;
    assert_fails(compute(&loss, &result, &err), TD_ERR_NUMERIC, "row 1: weight");
    loss = documented(CATEGORICAL);
    memset(loss.prediction, 0, sizeof loss.prediction);
    assert_fails(compute(&loss, &result, &err), TD_ERR_NUMERIC,
                 "row 0: the probabilities sum to 0");
    loss = documented(CATEGORICAL);
    loss.predictions.classes = 0;
    assert_fails(compute(&loss, &result, &err), TD_ERR_ARGUMENT, "classes");
    td_predictions nothing = {.rows = 1, .classes = 2};
    assert_fails(td_categorical_crossentropy(&nothing, loss.target, NULL, &result, &err),
                 TD_ERR_ARGUMENT, "prediction");
    nothing.prediction = loss.prediction;
    assert_fails(td_sparse_categorical_crossentropy(&nothing, NULL, NULL, &result, &err),
                 TD_ERR_ARGUMENT, "labels");
    loss = documented(BINARY);
    loss.target[5] = 1.5f;
    assert_fails(compute(&loss, &result, &err), TD_ERR_ARGUMENT, "row 1: target 1.5");
    loss = documented(BINARY);
    loss.options.label_smoothing = -1;
    assert_fails(compute(&loss, &result, &err), TD_ERR_ARGUMENT, "label-smoothing");
}

static void refuses_results_that_do_not_fit(void **state)
{
    (void)state;
    td_error err = {0};
    float row_loss[2];
    loss_case loss = documented(CATEGORICAL);
    loss.predictions.weight = loss.weight;
    loss.weight[1] = 3e38f;
    td_crossentropy_result result = {.row_loss = row_loss};
    assert_fails(compute(&loss, &result, &err), TD_ERR_NUMERIC, "row 1: row_loss");
}

static void option_table_is_sound(void **state)
{
    (void)state;
    test_option_table(td_crossentropy_option_table(), td_crossentropy_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_numbers_of_keras),
        cmocka_unit_test(binary_numbers_by_hand),
        cmocka_unit_test(losses_match_float64),
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(clipped_probabilities_bound_the_loss_and_stop_the_gradient),
        cmocka_unit_test(huge_logits_do_not_overflow),
        cmocka_unit_test(targets_need_not_sum_to_one),
        cmocka_unit_test(ignored_rows_count_nothing),
        cmocka_unit_test(no_rows_cost_nothing),
        cmocka_unit_test(refuses_input_without_meaning),
        cmocka_unit_test(refuses_results_that_do_not_fit),
        cmocka_unit_test(option_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
