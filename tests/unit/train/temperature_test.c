/* temperature_test.c -- learning a temperature: to the minimum, within bounds, not unless asked. */
#include "support/test.h"

#include <math.h>

#include "train/temperature.h"

static const td_temperature_options learned = {
    .learned = true, .least = 0.02f, .most = 0.9f, .rate = 0.01f};

static void a_learned_temperature_finds_the_minimum(void **state)
{
    (void)state;
    td__temperature t;
    td__temperature_init(&t, 0.5f, &learned);
    for (int i = 0; i < 3000; i++) { /* of (ln T - ln 0.1)^2: its slope by T is 2 (ln T - ln 0.1) / T */
        double value = (double)td__temperature_value(&t);
        td__temperature_step(&t, 2.0 * log(value / 0.1) / value);
    }
    assert_close((double)td__temperature_value(&t), 0.1, 0.02, 0);
}

static void it_stays_within_its_bounds(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        td__temperature t;
        td__temperature_init(&t, 0.5f, &learned);
        for (int i = 0; i < 2000; i++) td__temperature_step(&t, sign);
        assert_close((double)td__temperature_value(&t), sign > 0 ? 0.02 : 0.9, 1e-6, 0);
    }
}

/* Adam's first step is the rate, whatever the slope. */
static void the_first_step_is_the_rate(void **state)
{
    (void)state;
    for (double slope = 1e-3; slope < 1e4; slope *= 10) {
        td__temperature t;
        td__temperature_init(&t, 0.5f, &learned);
        td__temperature_step(&t, slope);
        assert_close(log((double)td__temperature_value(&t)), log(0.5) - 0.01, 1e-4, 0);
    }
}

static void a_fixed_one_does_not_move(void **state)
{
    (void)state;
    td__temperature t;
    td_temperature_options options = learned;
    options.learned = false;
    td__temperature_init(&t, 0.25f, &options);
    td__temperature_step(&t, 100.0);
    assert_true(td__temperature_value(&t) == 0.25f);
}

static void bounds_must_hold_the_first_value(void **state)
{
    (void)state;
    td_error err;
    td_temperature_options options = learned;
    assert_ok(td__temperature_check(0.5f, &options, &err));
    assert_fails(td__temperature_check(1.0f, &options, &err), TD_ERR_ARGUMENT, "temperature-max 0.9");
    assert_fails(td__temperature_check(0.01f, &options, &err), TD_ERR_ARGUMENT, "temperature-min 0.02");
    options.learned = false;
    assert_ok(td__temperature_check(1.0f, &options, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_learned_temperature_finds_the_minimum),
        cmocka_unit_test(it_stays_within_its_bounds),
        cmocka_unit_test(the_first_step_is_the_rate),
        cmocka_unit_test(a_fixed_one_does_not_move),
        cmocka_unit_test(bounds_must_hold_the_first_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
