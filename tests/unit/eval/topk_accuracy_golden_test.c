/* topk_accuracy_golden_test.c -- the streaming accuracy against the real tf-keras. */
#include "support/golden.h"

static void compare(const golden_case *one)
{
    td_topk_accuracy metric;
    uint64_t updates, count, rows;
    const float *expected = golden_f32(one, "result", &updates);
    td_topk_accuracy_init(&metric, (uint32_t)golden_number(one, "k", 0));
    assert_true(updates == (uint64_t)golden_number(one, "updates", 0));
    for (uint64_t u = 0; u < updates; u++) {
        char name[96];
        snprintf(name, sizeof name, "%s/%llu/y_pred", one->name, (unsigned long long)u);
        const td__tensor *prediction = td__container_find(one->file->tensors, name);
        td_predictions predictions = {.rows = prediction->rows,
                                      .classes = (uint32_t)prediction->cols,
                                      .prediction = prediction->data};
        snprintf(name, sizeof name, "%llu/sample_weight", (unsigned long long)u);
        predictions.weight = golden_f32(one, name, &rows);
        snprintf(name, sizeof name, "%llu/y_true", (unsigned long long)u);
        const float *target = golden_f32(one, name, &count);
        assert_int_equal(count, prediction->rows * prediction->cols);
        td_topk_accuracy_update(&metric, &predictions, target);
        assert_close(td_topk_accuracy_result(&metric), (double)expected[u], 1e-6, 1e-7);
    }
}

static void results_after_each_update_match_keras(void **state)
{
    (void)state;
    golden keras = golden_open("metrics");
    size_t compared = 0;
    for (size_t i = 0; i < golden_count(&keras); i++) {
        golden_case one = golden_case_begin(&keras, i);
        if (strcmp(golden_text(&one, "metric"), "top_k_categorical_accuracy") == 0) {
            compare(&one);
            compared++;
        }
        golden_case_end(&one);
    }
    assert_true(compared >= 18);
    golden_close(&keras);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_after_each_update_match_keras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
