/* frequency_test.c -- sampling probabilities, from counts and from a stream of batches. */
#include "support/option_table.h"
#include "support/test.h"

#include <math.h>

static td_frequency *frequency_on(td_context *context, const td_frequency_options *options)
{
    td_error err = {0};
    td_frequency *frequency;
    assert_ok(td_frequency_create(&frequency, context, options, &err));
    return frequency;
}

static td_frequency_options small_options(void)
{
    td_frequency_options options;
    td_frequency_options_init(&options);
    options.buckets = 5000;
    return options;
}

static double probability_of(const td_frequency *frequency, uint64_t id)
{
    float probability;
    td_frequency_probability(frequency, &id, 1, &probability);
    return (double)probability;
}

static void moving_average_by_hand(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_frequency_options options = small_options();
    options.learning_rate = 0.25f;
    options.initial_gap = 8;
    td_frequency *frequency = frequency_on(context, &options);
    const uint64_t seen[] = {77}, other[] = {78};
    assert_close(probability_of(frequency, 77), 1.0 / 8, 1e-6, 0);
    td_frequency_update(frequency, other, 1);
    td_frequency_update(frequency, other, 1);
    td_frequency_update(frequency, seen, 1); /* step 3: gap 3 */
    assert_close(probability_of(frequency, 77), 1 / (0.75 * 8 + 0.25 * 3), 1e-6, 0);
    td_frequency_update(frequency, other, 1);
    td_frequency_update(frequency, seen, 1); /* step 5: gap 2 */
    assert_close(probability_of(frequency, 77), 1 / (0.75 * 6.75 + 0.25 * 2), 1e-6, 0);
    td_frequency_free(frequency);
    td_context_free(context);
}

static void an_id_counts_once_a_step_and_at_most_one(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_frequency_options options = small_options();
    options.learning_rate = 1;
    td_frequency *frequency = frequency_on(context, &options);
    const uint64_t ids[] = {5, 5, 5, 6, 5};
    for (int step = 0; step < 10; step++) td_frequency_update(frequency, ids, 5);
    assert_true(probability_of(frequency, 5) == 1.0);
    td_frequency_free(frequency);
    td_context_free(context);
}

/* Yi et al. 6.1: M = 1000 items, q_i ~ i^2, batches of 128 without replacement, H = 5000, gaps
 * start at 100; the error is sum |p^ - p| / (2 B). */
enum { ITEMS = 1000, BATCH = 128 };

static void draw_batch(uint64_t *seed, bool turned, uint64_t *ids)
{
    static bool taken[ITEMS];
    memset(taken, 0, sizeof taken);
    for (uint32_t i = 0; i < BATCH;) {
        /* The distribution function of i^2 on [0, M) is (x / M)^3. */
        uint32_t item = (uint32_t)(ITEMS * cbrt(test_uniform(seed, 0, 1)));
        if (turned) item = ITEMS - 1 - item;
        if (taken[item]) continue;
        taken[item] = true;
        ids[i++] = item + (UINT64_C(1) << 33);
    }
}

static double simulate(td_context *context, uint32_t arrays, uint32_t buckets, bool turn)
{
    static double seen[ITEMS];
    td_frequency_options options = small_options();
    options.arrays = arrays;
    options.buckets = buckets;
    td_frequency *frequency = frequency_on(context, &options);
    uint64_t seed = 1, ids[BATCH];
    memset(seen, 0, sizeof seen);
    for (uint32_t step = 0; step < 12000; step++) {
        draw_batch(&seed, turn && step >= 4000, ids);
        td_frequency_update(frequency, ids, BATCH);
        for (uint32_t i = 0; step >= 4000 && i < BATCH; i++) seen[ids[i] & 0xFFFF] += 1.0 / 8000;
    }
    double error = 0;
    for (uint32_t item = 0; item < ITEMS; item++) {
        error += fabs(probability_of(frequency, item + (UINT64_C(1) << 33)) - seen[item]);
    }
    td_frequency_free(frequency);
    return error / (2 * BATCH);
}

static void the_papers_simulation_converges(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    assert_true(simulate(context, 4, 5000, false) < 0.05);
    assert_true(simulate(context, 4, 5000, true)
                < 0.08); /* the distribution turned round at 4000 */
    td_context_free(context);
}

static void more_arrays_undo_collisions(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    double one = simulate(context, 1, 2000, false), four = simulate(context, 4, 2000, false);
    if (!(four < 0.6 * one)) fail_msg("error %g with 1 array, %g with 4", one, four);
    td_context_free(context);
}

static void refuses_options_out_of_bounds(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_frequency *frequency;
    td_frequency_options options = small_options();
    options.buckets = 0;
    assert_fails(td_frequency_create(&frequency, context, &options, &err), TD_ERR_ARGUMENT,
                 "buckets");
    assert_null(frequency);
    options = small_options();
    options.learning_rate = 0;
    assert_fails(td_frequency_create(&frequency, context, &options, &err), TD_ERR_ARGUMENT, "rate");
    options = small_options();
    options.initial_gap = NAN;
    assert_fails(td_frequency_create(&frequency, context, &options, &err), TD_ERR_ARGUMENT, "gap");
    td_context_free(context);
}

static td_status create(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_frequency_options options = small_options();
    td_frequency *frequency;
    td_status status = td_frequency_create(&frequency, context, &options, err);
    td_frequency_free(frequency);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(create, NULL);
}

static void counts_become_shares(void **state)
{
    (void)state;
    const uint64_t counts[] = {1, 0, 3, UINT64_C(1) << 60}, none[] = {0, 0};
    float probability[4];
    td_sampling_from_counts(counts, 3, probability);
    assert_true(probability[0] == 0.25f && probability[1] == 0 && probability[2] == 0.75f);
    td_sampling_from_counts(counts, 4, probability);
    assert_true(probability[3] == 1.0f && probability[0] > 0);
    td_sampling_from_counts(none, 2, probability);
    assert_true(probability[0] == 0 && probability[1] == 0);
}

static void option_table_is_sound(void **state)
{
    (void)state;
    test_option_table(td_frequency_option_table(), td_frequency_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moving_average_by_hand),
        cmocka_unit_test(an_id_counts_once_a_step_and_at_most_one),
        cmocka_unit_test(the_papers_simulation_converges),
        cmocka_unit_test(more_arrays_undo_collisions),
        cmocka_unit_test(refuses_options_out_of_bounds),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(counts_become_shares),
        cmocka_unit_test(option_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
