/* tune_test.c -- a search over settings finds what is good, the same each time, and stops in time. */
#include "support/test.h"
#include "support/option_table.h"

#include <math.h>

#include "train/tune.h"

/* A landscape with its top at x = 0.1, y = 7; more effort adds the same to all. */
typedef struct landscape {
    td_tune_trial trials[256];
    uint32_t count;
    uint32_t diverges;  /* trial that has no result, or UINT32_MAX */
    uint32_t fails;     /* trial that fails, or UINT32_MAX */
    uint32_t best_told; /* number of the best at the last call of done */
} landscape;

static double number_of(const td_tune_trial *trial, const char *option, double initial)
{
    for (uint32_t i = 0; i < trial->count; i++) {
        if (strcmp(trial->settings[i].option, option) == 0) {
            return strtod(trial->settings[i].text, NULL);
        }
    }
    return initial;
}

static td_status run(void *user, td_tune_trial *trial, td_error *err)
{
    landscape *l = user;
    (void)err;
    if (trial->number == l->fails) return TD_ERR_IO;
    if (trial->number == l->diverges) return TD_ERR_NUMERIC;
    double x = log10(number_of(trial, "x", 1e-3)), y = number_of(trial, "y", 1);
    trial->score = trial->effort - (x + 1) * (x + 1) - 0.01 * (y - 7) * (y - 7);
    return TD_OK;
}

static td_status note(void *user, const td_tune_trial *trial, const td_tune_trial *best,
                      td_error *err)
{
    landscape *l = user;
    (void)err;
    l->trials[l->count++] = *trial;
    l->best_told = best->number;
    return TD_OK;
}

static const td_tune_range ranges[] = {
    {"x", 1e-4, 1e2, true, false, NULL},
    {"y", 0, 20, false, true, NULL},
    {"z", 0, 0, false, false, "red|green|blue"},
};

static td_tune_options untimed(uint32_t trials, uint32_t rounds, uint32_t keep)
{
    td_tune_options options;
    td_tune_options_init(&options);
    options.trials = trials;
    options.rounds = rounds;
    options.keep = keep;
    options.seconds = 0;
    return options;
}

static landscape *new_landscape(void)
{
    landscape *l = calloc(1, sizeof *l);
    l->diverges = l->fails = UINT32_MAX;
    return l;
}

static td_tune_trial search(landscape *l, const td_tune_options *options)
{
    td_error err = {0};
    td_tune_trial best;
    td_context *context = test_context(1);
    td_tune_trainee trainee = {run, note, l};
    assert_ok(td_tune(&best, context, ranges, 3, options, &trainee, &err));
    td_context_free(context);
    return best;
}

static void values_lie_in_their_ranges(void **state)
{
    (void)state;
    char text[TD_TUNE_TEXT_MAX];
    td__tune_draw(text, &ranges[0], 0);
    assert_string_equal(text, "0.0001");
    td__tune_draw(text, &ranges[0], 0.5); /* half way in the logarithm */
    assert_string_equal(text, "0.1");
    td__tune_draw(text, &ranges[1], 0.333);
    assert_string_equal(text, "7");
    const char *colors[] = {"red", "green", "blue"};
    for (int i = 0; i < 3; i++) {
        td__tune_draw(text, &ranges[2], i / 3.0 + 0.1);
        assert_string_equal(text, colors[i]);
    }
    for (double unit = 0; unit < 1; unit += 0.01) {
        td__tune_draw(text, &ranges[0], unit);
        double value = strtod(text, NULL);
        assert_true(value >= 1e-4 && value <= 1e2);
    }
}

/* 9 trials, of which 3 go on, of which 1 goes on: the best of each round, for thrice as long. */
static void the_best_of_each_round_go_on_for_longer(void **state)
{
    (void)state;
    td_tune_options options = untimed(9, 3, 3);
    landscape *l = new_landscape();
    search(l, &options);
    assert_int_equal(l->count, 13);
    for (uint32_t i = 0; i < 13; i++) {
        uint32_t round = i < 9 ? 0 : i < 12 ? 1 : 2;
        assert_int_equal(l->trials[i].round, round);
        assert_close(l->trials[i].effort, pow(3, (double)round - 2), 1e-12, 0);
    }
    for (uint32_t i = 9; i < 12; i++) { /* nobody left behind was better */
        uint32_t better = 0, at = l->trials[i].number;
        for (uint32_t j = 0; j < 9; j++) better += l->trials[j].score > l->trials[at].score;
        assert_int_equal(better, i - 9);
    }
    assert_int_equal(l->trials[12].number, l->trials[9].number);
    free(l);
}

static void the_first_trial_has_no_settings_and_the_others_all(void **state)
{
    (void)state;
    td_tune_options options = untimed(5, 1, 3);
    landscape *l = new_landscape();
    search(l, &options);
    assert_int_equal(l->trials[0].count, 0);
    for (uint32_t i = 1; i < 5; i++) {
        assert_int_equal(l->trials[i].number, i);
        assert_int_equal(l->trials[i].count, 3);
        for (int r = 0; r < 3; r++) {
            assert_string_equal(l->trials[i].settings[r].option, ranges[r].option);
        }
    }
    free(l);
}

static void the_best_is_near_the_top_and_never_below_the_defaults(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        td_tune_options options = untimed(100, 3, 3);
        options.seed = seed;
        landscape *l = new_landscape();
        td_tune_trial best = search(l, &options);
        assert_true(best.score > 0.5); /* the top is at 1, the defaults at -3.36 */
        assert_int_equal(l->best_told, best.number);
        free(l);
    }
    td_tune_options few = untimed(1, 1, 3);
    landscape *l = new_landscape();
    assert_close(search(l, &few).score, 1 - 4 - 0.36, 1e-12, 0);
    free(l);
}

static void trials_are_a_function_of_seed_and_number(void **state)
{
    (void)state;
    td_tune_options options = untimed(8, 2, 3);
    landscape *a = new_landscape(), *b = new_landscape(), *c = new_landscape();
    search(a, &options);
    options.trials = 6;
    search(b, &options);
    for (uint32_t i = 0; i < 6; i++) {
        for (uint32_t r = 0; r < b->trials[i].count; r++) {
            assert_string_equal(a->trials[i].settings[r].text, b->trials[i].settings[r].text);
        }
    }
    options.seed++;
    search(c, &options);
    assert_string_not_equal(b->trials[1].settings[0].text, c->trials[1].settings[0].text);
    free(a);
    free(b);
    free(c);
}

static void time_that_is_over_ends_rounds_but_not_the_search(void **state)
{
    (void)state;
    td_tune_options options = untimed(100, 3, 3);
    options.seconds = 1e-9;
    landscape *l = new_landscape();
    search(l, &options);
    assert_int_equal(l->count, 3); /* the first of each round */
    assert_close(l->trials[2].effort, 1, 0, 0);
    free(l);
}

static void a_trial_that_diverges_is_the_worst(void **state)
{
    (void)state;
    td_tune_options options = untimed(3, 2, 3);
    landscape *l = new_landscape();
    l->diverges = 0;
    td_tune_trial best = search(l, &options);
    assert_true(best.number != 0);
    assert_true(isinf(l->trials[0].score) && l->trials[0].score < 0);
    free(l);
}

static void failures_and_ranges_that_are_none_are_told(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    landscape *l = new_landscape();
    td_tune_trainee trainee = {run, note, l};
    td_tune_options options = untimed(4, 1, 3);
    const td_tune_range reversed = {"x", 2, 1, false, false, NULL};
    const td_tune_range zero = {"x", 0, 1, true, false, NULL};
    td_tune_range many[TD_TUNE_SETTINGS_MAX + 1];
    for (int i = 0; i <= TD_TUNE_SETTINGS_MAX; i++) many[i] = ranges[0];
    assert_fails(td_tune(NULL, context, &reversed, 1, &options, &trainee, &err), TD_ERR_ARGUMENT,
                 "goes from 2 to 1");
    assert_fails(td_tune(NULL, context, &zero, 1, &options, &trainee, &err), TD_ERR_ARGUMENT,
                 "logarithmic");
    assert_fails(td_tune(NULL, context, many, TD_TUNE_SETTINGS_MAX + 1, &options, &trainee, &err),
                 TD_ERR_LIMIT, "ranges");
    l->fails = 2;
    assert_int_equal(td_tune(NULL, context, ranges, 3, &options, &trainee, &err), TD_ERR_IO);
    assert_int_equal(l->count, 2);
    options.keep = 1;
    assert_fails(td_tune(NULL, context, ranges, 3, &options, &trainee, &err), TD_ERR_ARGUMENT,
                 "keep");
    free(l);
    td_context_free(context);
}

/* Every value of the library's own ranges is one that the options take. */
static void own_ranges_are_allowed_by_their_options(void **state)
{
    (void)state;
    td_error err = {0};
    char text[TD_TUNE_TEXT_MAX];
    for (int trainer = 0; trainer < 2; trainer++) {
        uint32_t count;
        const td_tune_range *own =
            trainer == 0 ? td_tune_softmax_ranges(&count) : td_tune_ials_ranges(&count);
        for (uint32_t i = 0; i < count; i++) {
            td_train_options train;
            td_ials_options ials;
            td_model_options model;
            td_train_options_init(&train);
            td_ials_options_init(&ials);
            td_model_options_init(&model);
            const td_option_table *table =
                trainer == 0 ? td_train_option_table() : td_ials_option_table();
            void *options = trainer == 0 ? (void *)&train : (void *)&ials;
            if (td_option_find(table, own[i].option) == NULL) {
                table = td_model_option_table();
                options = &model;
            }
            for (double unit = 0; unit < 1; unit += 0.0999) {
                td__tune_draw(text, &own[i], unit);
                assert_ok(td_options_set(table, options, own[i].option, text, &err));
            }
        }
    }
}

static td_status search_once(void *user, td_context *context, td_error *err)
{
    landscape *l = user;
    l->count = 0;
    td_tune_trainee trainee = {run, note, l};
    td_tune_options options = untimed(4, 2, 3);
    return td_tune(NULL, context, ranges, 3, &options, &trainee, err);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    landscape *l = new_landscape();
    test_every_allocation(search_once, l);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_lie_in_their_ranges),
        cmocka_unit_test(the_best_of_each_round_go_on_for_longer),
        cmocka_unit_test(the_first_trial_has_no_settings_and_the_others_all),
        cmocka_unit_test(the_best_is_near_the_top_and_never_below_the_defaults),
        cmocka_unit_test(trials_are_a_function_of_seed_and_number),
        cmocka_unit_test(time_that_is_over_ends_rounds_but_not_the_search),
        cmocka_unit_test(a_trial_that_diverges_is_the_worst),
        cmocka_unit_test(failures_and_ranges_that_are_none_are_told),
        cmocka_unit_test(own_ranges_are_allowed_by_their_options),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
