/* schedule_test.c -- learning rates at the ends of warm-up and decay, and beyond. */
#include "support/test.h"

static td_optimizer_options with(td_schedule_kind kind)
{
    td_optimizer_options options;
    td_optimizer_options_init(&options);
    options.learning_rate = 0.5f;
    options.decay_rate = 0.25f;
    options.schedule = kind;
    return options;
}

static double at(const td_optimizer_options *options, uint64_t step)
{
    return td_learning_rate(options, step, 100);
}

static void constant_stays(void **state)
{
    (void)state;
    td_optimizer_options options = with(TD_SCHEDULE_CONSTANT);
    assert_close(at(&options, 0), 0.5, 0, 0);
    assert_close(at(&options, 99), 0.5, 0, 0);
    assert_close(td_learning_rate(&options, 5, 0), 0.5, 0, 0);
}

/* decay_steps 0: over the whole training, at whose end the rate is lr * decay_rate. */
static void decays_over_the_whole_training(void **state)
{
    static const td_schedule_kind kinds[] = {TD_SCHEDULE_EXPONENTIAL, TD_SCHEDULE_COSINE,
                                             TD_SCHEDULE_LINEAR};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        td_optimizer_options options = with(kinds[i]);
        assert_close(at(&options, 0), 0.5, 1e-12, 0);
        assert_close(at(&options, 100), 0.125, 1e-12, 0);
        for (uint64_t step = 0; step < 100; step++) {
            assert_true(at(&options, step + 1) < at(&options, step));
        }
    }
    td_optimizer_options options = with(TD_SCHEDULE_INVERSE_TIME);
    assert_close(at(&options, 100), 0.4, 1e-12, 0);
}

static void cosine_and_linear_stop_at_the_end(void **state)
{
    (void)state;
    td_optimizer_options options = with(TD_SCHEDULE_COSINE);
    options.decay_steps = 10;
    assert_close(at(&options, 5), 0.5 * (0.25 + 0.75 * 0.5), 1e-12, 0);
    assert_close(at(&options, 10), 0.125, 1e-12, 0);
    assert_close(at(&options, 1000000), 0.125, 1e-12, 0);
    options.schedule = TD_SCHEDULE_LINEAR;
    assert_close(at(&options, 1000000), 0.125, 1e-12, 0);
    options.schedule = TD_SCHEDULE_EXPONENTIAL;
    assert_close(at(&options, 20), 0.5 * 0.25 * 0.25, 1e-12, 0);
}

static void warm_up_rises_from_zero_and_then_decays(void **state)
{
    (void)state;
    td_optimizer_options options = with(TD_SCHEDULE_LINEAR);
    options.warmup_steps = 20;
    assert_close(at(&options, 0), 0, 0, 0);
    assert_close(at(&options, 5), 0.125, 1e-12, 0);
    assert_close(at(&options, 20), 0.5, 1e-12, 0);
    assert_close(at(&options, 60), 0.5 * (1 - 0.75 * 0.5), 1e-12, 0);
    assert_close(at(&options, 100), 0.125, 1e-12, 0);
    /* A training that ends within the warm-up never divides by zero. */
    assert_close(td_learning_rate(&options, 20, 10), 0.5, 1e-12, 0);
    assert_close(td_learning_rate(&options, 21, 10), 0.125, 1e-12, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(decays_over_the_whole_training),
        cmocka_unit_test(cosine_and_linear_stop_at_the_end),
        cmocka_unit_test(warm_up_rises_from_zero_and_then_decays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
