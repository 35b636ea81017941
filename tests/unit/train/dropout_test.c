/* dropout_test.c -- dropout keeps sums on average, and the same numbers on the way back. */
#include "support/test.h"

#include "train/dropout.h"

enum { ROWS = 200, WIDTH = 50 };

static float from[ROWS * WIDTH], to[ROWS * WIDTH], again[ROWS * WIDTH];
static uint32_t rows[ROWS];
static td__distinct distinct = {.count = ROWS, .rows = rows};

static void set_up(void)
{
    for (uint32_t i = 0; i < ROWS; i++) rows[i] = 1000 - 3 * i;
    for (uint32_t i = 0; i < ROWS * WIDTH; i++) from[i] = 1.0f;
}

static void the_share_and_the_sum_are_kept(void **state)
{
    (void)state;
    set_up();
    for (float rate = 0.1f; rate < 0.95f; rate += 0.4f) {
        double zeros = 0.0, sum = 0.0;
        td__dropout_apply(&(td__dropout){.rate = rate, .seed = 1}, 7, &distinct, WIDTH, from, to);
        for (uint32_t i = 0; i < ROWS * WIDTH; i++) {
            zeros += to[i] == 0.0f;
            sum += (double)to[i];
            if (to[i] != 0.0f) assert_close((double)to[i], 1.0 / (1.0 - (double)rate), 1e-6, 0);
        }
        assert_close(zeros / (ROWS * WIDTH), (double)rate, 0, 0.02);
        assert_close(sum / (ROWS * WIDTH), 1.0, 0, 0.15);
    }
}

/* In place, of some rows only: a number's fate hangs on its row and the step alone. */
static void fate_is_a_function_of_step_and_row(void **state)
{
    (void)state;
    set_up();
    td__dropout dropout = {.rate = 0.5f, .seed = 1};
    td__dropout_apply(&dropout, 7, &distinct, WIDTH, from, to);
    td__distinct last = {.count = 1, .rows = rows + ROWS - 1};
    memcpy(again, from, sizeof again);
    td__dropout_apply(&dropout, 7, &last, WIDTH, again, again);
    assert_memory_equal(again, to + (ROWS - 1) * WIDTH, WIDTH * sizeof(float));
    td__dropout_apply(&dropout, 8, &distinct, WIDTH, from, again);
    assert_memory_not_equal(again, to, sizeof to);
    dropout.seed = 2;
    td__dropout_apply(&dropout, 7, &distinct, WIDTH, from, again);
    assert_memory_not_equal(again, to, sizeof to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_and_the_sum_are_kept),
        cmocka_unit_test(fate_is_a_function_of_step_and_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
