/* crossentropy_golden_test.c -- cross-entropies against the real tf-keras. */
#include "support/golden.h"

#include <math.h>

/* A golden case as arguments. */
typedef struct golden_loss {
    td_predictions predictions;
    td_crossentropy_options options;
    const float *target;
    const int64_t *label;
    const char *name;
} golden_loss;

static td_reduction reduction_of(const golden_case *one)
{
    const char *name = golden_text(one, "reduction");
    if (strcmp(name, "sum") == 0) return TD_REDUCTION_SUM;
    return strcmp(name, "none") == 0 ? TD_REDUCTION_NONE : TD_REDUCTION_MEAN;
}

static golden_loss loss_of(const golden_case *one)
{
    golden_loss made = {.name = golden_text(one, "loss")};
    char name[96];
    snprintf(name, sizeof name, "%s/y_pred", one->name);
    const td__tensor *prediction = td__container_find(one->file->tensors, name);
    made.predictions = (td_predictions){.rows = prediction->rows,
                                        .classes = (uint32_t)prediction->cols,
                                        .prediction = prediction->data,
                                        .weight = golden_f32(one, "sample_weight", NULL)};
    bool sparse = strncmp(made.name, "sparse", 6) == 0;
    if (sparse)
        made.label = golden_i64(one, "y_true", NULL);
    else
        made.target = golden_f32(one, "y_true", NULL);
    td_crossentropy_options_init(&made.options);
    made.options.from_logits = golden_true(one, "from_logits");
    made.options.label_smoothing = (float)golden_number(one, "label_smoothing", 0);
    made.options.reduction = reduction_of(one);
    json_t *ignored = json_object_get(one->options, "ignore_class");
    if (json_is_integer(ignored)) made.options.ignore_class = json_integer_value(ignored);
    return made;
}

static td_status compute(const golden_loss *loss, td_crossentropy_result *result, td_error *err)
{
    if (loss->label != NULL)
        return td_sparse_categorical_crossentropy(&loss->predictions, loss->label, &loss->options,
                                                  result, err);
    if (strncmp(loss->name, "binary", 6) == 0)
        return td_binary_crossentropy(&loss->predictions, loss->target, &loss->options, result,
                                      err);
    return td_categorical_crossentropy(&loss->predictions, loss->target, &loss->options, result,
                                       err);
}

/* Losses and gradients, each element by itself: |a - b| <= 1e-5 (|b| + floor). One ulp of a float32
 * probability near the clip moves the loss by up to 6e-8, which the floor allows for. */
static bool agree(const float *ours, const float *theirs, uint64_t count, double floor)
{
    for (uint64_t i = 0; i < count; i++) {
        double gap = fabs((double)ours[i] - (double)theirs[i]);
        if (!(gap <= 1e-5 * (fabs((double)theirs[i]) + floor))) return false;
    }
    return true;
}

static void compare(const golden_case *one)
{
    td_error err = {0};
    float row_loss[16], gradient[64];
    uint64_t losses, count;
    golden_loss loss = loss_of(one);
    td_crossentropy_result result = {.row_loss = row_loss, .d_prediction = gradient};
    const float *expected = golden_f32(one, "loss", &losses);
    const float *d_expected = golden_f32(one, "d_y_pred", &count);
    assert_true(loss.predictions.rows <= 16 && count <= 64);
    assert_int_equal(count, loss.predictions.rows * loss.predictions.classes);
    assert_ok(compute(&loss, &result, &err));
    float reduced = (float)result.loss;
    bool none = loss.options.reduction == TD_REDUCTION_NONE;
    if (!agree(none ? row_loss : &reduced, expected, losses, 0.1))
        fail_msg("%s: loss %.9g, Keras %.9g", one->name, result.loss, (double)expected[0]);
    if (!agree(gradient, d_expected, count, 0.1)) fail_msg("%s: the gradient differs", one->name);
}

static void losses_and_gradients_match_keras(void **state)
{
    (void)state;
    golden keras = golden_open("crossentropy");
    size_t compared = 0;
    for (size_t i = 0; i < golden_count(&keras); i++) {
        golden_case one = golden_case_begin(&keras, i);
        if (golden_text(&one, "defect") == NULL) {
            compare(&one);
            compared++;
        }
        golden_case_end(&one);
    }
    assert_true(compared >= 240);
    golden_close(&keras);
}

/* --- what we do where Keras does otherwise */

static void loose_targets_have_the_loss_of_keras_and_its_true_gradient(void **state)
{
    (void)state;
    td_error err = {0};
    golden keras = golden_open("crossentropy");
    golden_case one = golden_case_named(&keras, "categorical_loose_labels");
    golden_loss loss = loss_of(&one);
    float row_loss[16], gradient[64];
    uint64_t rows, classes = loss.predictions.classes;
    td_crossentropy_result result = {.row_loss = row_loss, .d_prediction = gradient};
    assert_ok(compute(&loss, &result, &err));
    const float *expected = golden_f32(&one, "loss", &rows);
    const float *d_expected = golden_f32(&one, "d_y_pred", NULL);
    assert_true(agree(row_loss, expected, rows, 0.1));
    for (uint64_t row = 0; row < rows; row++) {
        double ours = 0, theirs = 0, targets = 0;
        for (uint64_t c = 0; c < classes; c++) {
            ours += (double)gradient[row * classes + c];
            theirs += (double)d_expected[row * classes + c];
            targets += (double)loss.target[row * classes + c];
        }
        assert_close(ours, 0, 0, 1e-6); /* the loss does not change when all logits do */
        assert_close(theirs, 1 - targets, 0, 1e-5);
    }
    golden_case_end(&one);
    golden_close(&keras);
}

static void rows_that_sum_to_zero_are_refused_and_no_rows_cost_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    golden keras = golden_open("crossentropy");
    golden_case zero = golden_case_named(&keras, "categorical_zero_row");
    golden_case ignored = golden_case_named(&keras, "sparse_categorical_all_ignored");
    golden_loss loss = loss_of(&zero);
    td_crossentropy_result result = {0};
    assert_fails(compute(&loss, &result, &err), TD_ERR_NUMERIC,
                 "row 0: the probabilities sum to 0");
    loss = loss_of(&ignored);
    assert_ok(compute(&loss, &result, &err));
    assert_true(result.loss == 0);
    assert_true(isnan(golden_f32(&ignored, "loss", NULL)[0])); /* Keras */
    golden_case_end(&zero);
    golden_case_end(&ignored);
    golden_close(&keras);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_match_keras),
        cmocka_unit_test(loose_targets_have_the_loss_of_keras_and_its_true_gradient),
        cmocka_unit_test(rows_that_sum_to_zero_are_refused_and_no_rows_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
