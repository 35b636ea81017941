/* topk_accuracy_test.c -- Keras' TopKCategoricalAccuracy, from its documentation and by definition.
 */
#include "support/test.h"

#include <math.h>

static double once(uint32_t k, const td_predictions *predictions, const int64_t *label)
{
    td_topk_accuracy metric;
    td_topk_accuracy_init(&metric, k);
    td_topk_accuracy_update_sparse(&metric, predictions, label);
    return td_topk_accuracy_result(&metric);
}

static void documented_numbers_of_keras(void **state)
{
    (void)state;
    const float target[] = {0, 0, 1, 0, 1, 0};
    const float prediction[] = {0.1f, 0.9f, 0.8f, 0.05f, 0.95f, 0};
    const float weight[] = {0.7f, 0.3f};
    td_predictions predictions = {.rows = 2, .classes = 3, .prediction = prediction};
    td_topk_accuracy metric;
    td_topk_accuracy_init(&metric, 1);
    td_topk_accuracy_update(&metric, &predictions, target);
    assert_true(td_topk_accuracy_result(&metric) == 0.5);
    td_topk_accuracy_reset(&metric);
    assert_true(td_topk_accuracy_result(&metric) == 0);
    predictions.weight = weight;
    td_topk_accuracy_update(&metric, &predictions, target);
    assert_close(td_topk_accuracy_result(&metric), 0.3, 1e-7, 0);
}

static void ties_are_hits_whatever_the_position(void **state)
{
    (void)state;
    const float prediction[] = {3, 1, 1, 1};
    td_predictions predictions = {.rows = 1, .classes = 4, .prediction = prediction};
    for (int64_t label = 1; label < 4; label++) {
        assert_true(once(1, &predictions, &label) == 0);
        assert_true(once(2, &predictions, &label) == 1);
    }
}

static void k_of_zero_never_hits_and_of_all_classes_always(void **state)
{
    (void)state;
    const float prediction[] = {3, 2, 1};
    td_predictions predictions = {.rows = 1, .classes = 3, .prediction = prediction};
    const int64_t best = 0, last = 2;
    assert_true(once(0, &predictions, &best) == 0);
    assert_true(once(2, &predictions, &last) == 0);
    assert_true(once(3, &predictions, &last) == 1);
    assert_true(once(99, &predictions, &last) == 1);
}

static void labels_out_of_range_miss(void **state)
{
    (void)state;
    const float prediction[] = {1, 2};
    td_predictions predictions = {.rows = 1, .classes = 2, .prediction = prediction};
    const int64_t labels[] = {-1, 2, INT64_MAX, INT64_MIN, (INT64_C(1) << 32) + 1};
    for (size_t i = 0; i < 5; i++) assert_true(once(5, &predictions, &labels[i]) == 0);
}

static void rows_with_a_number_that_is_not_finite_miss(void **state)
{
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t where = 0; where < 3; where++) {
            float prediction[] = {1, 2, 3};
            prediction[where] = odd[i];
            td_predictions predictions = {.rows = 1, .classes = 3, .prediction = prediction};
            const int64_t label = 2;
            assert_true(once(3, &predictions, &label) == 0);
        }
    }
}

static void the_label_is_the_first_maximum(void **state)
{
    (void)state;
    const float prediction[] = {1, 5, 9}, target[] = {0.25f, 0.75f, 0.75f}, zeros[] = {0, 0, 0};
    td_predictions predictions = {.rows = 1, .classes = 3, .prediction = prediction};
    td_topk_accuracy metric;
    td_topk_accuracy_init(&metric, 2);
    td_topk_accuracy_update(&metric, &predictions, target); /* label 1: second best */
    assert_true(td_topk_accuracy_result(&metric) == 1);
    td_topk_accuracy_update(&metric, &predictions, zeros); /* label 0: the worst */
    assert_true(td_topk_accuracy_result(&metric) == 0.5);
}

static void updates_add_up(void **state)
{
    (void)state;
    enum { ROWS = 100, CLASSES = 7 };
    float prediction[ROWS * CLASSES], weight[ROWS];
    int64_t label[ROWS];
    uint64_t seed = 1;
    double hits = 0, weights = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t higher = 0;
        label[row] = (int64_t)test_uniform(&seed, 0, CLASSES);
        weight[row] = (float)test_uniform(&seed, 0, 2);
        float *values = prediction + row * CLASSES;
        for (uint32_t c = 0; c < CLASSES; c++) values[c] = (float)test_uniform(&seed, 0, 1);
        for (uint32_t c = 0; c < CLASSES; c++) higher += values[c] > values[label[row]];
        if (higher < 3) hits += (double)weight[row];
        weights += (double)weight[row];
    }
    td_topk_accuracy metric;
    td_topk_accuracy_init(&metric, 3);
    for (uint32_t first = 0; first < ROWS; first += 25) {
        td_predictions part = {.rows = 25,
                               .classes = CLASSES,
                               .prediction = prediction + first * CLASSES,
                               .weight = weight + first};
        td_topk_accuracy_update_sparse(&metric, &part, label + first);
    }
    assert_close(td_topk_accuracy_result(&metric), hits / weights, 1e-12, 0);
    td_topk_accuracy_reset(&metric);
    assert_int_equal(metric.k, 3);
    assert_true(metric.hits == 0 && metric.weights == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_numbers_of_keras),
        cmocka_unit_test(ties_are_hits_whatever_the_position),
        cmocka_unit_test(k_of_zero_never_hits_and_of_all_classes_always),
        cmocka_unit_test(labels_out_of_range_miss),
        cmocka_unit_test(rows_with_a_number_that_is_not_finite_miss),
        cmocka_unit_test(the_label_is_the_first_maximum),
        cmocka_unit_test(updates_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
