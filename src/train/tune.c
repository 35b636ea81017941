/* tune.c -- a search over settings: random ones, of which the better go on for longer.
 *
 * Serves: stage 5. In: ranges, and a function that trains. Out: the best settings found.
 *
 * Successive halving (Jamieson & Talwalkar, AISTATS 2016): in round 0 all trials get a small part of
 * the epochs; the best of them go on to the next round, with more; in the last round they get all.
 * Trial 0 has the defaults, so the result is never worse than those. The settings of a trial are a
 * function of (seed, its number). */
#include "train/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "base/poison.h"

static const td_option option_rows[] = {
    TD__OPTION_U32(td_tune_options, trials, "trials", "27", 1, 100000, "N",
                   "settings tried in the first round, at most"),
    TD__OPTION_U32(td_tune_options, rounds, "rounds", "3", 1, 16, "N",
                   "rounds; the last one trains for all epochs"),
    TD__OPTION_U32(td_tune_options, keep, "keep", "3", 2, 1000, "N",
                   "one of N goes on to the next round, for N times the epochs"),
    TD__OPTION_F64(td_tune_options, seconds, "seconds", "300", 0, 1e9, "S",
                   "time for all of it, shared evenly by the rounds; 0: no limit"),
    TD__OPTION_U64(td_tune_options, seed, "seed", "42", 0, TD__U64_MAX, "SEED",
                   "the settings that are tried are a function of it"),
};
static const td_option_table option_table = TD__OPTION_TABLE("tune", td_tune_options, option_rows);

const td_option_table *td_tune_option_table(void)
{
    return &option_table;
}

void td_tune_options_init(td_tune_options *options)
{
    td_options_init(&option_table, options);
}

/* --- ranges */

/* A decade or so around the defaults; wider costs trials. */
static const td_tune_range softmax_ranges[] = {
    {"learning-rate", 0.005, 0.5, true, false, NULL},
    {"batch-size", 128, 4096, true, true, NULL},
    {"temperature", 0.1, 2, true, false, NULL},
    {"init-scale", 0.005, 0.2, true, false, NULL},
    {"sampling-correction", 0, 0, false, false, "counts|none"},
    {"negatives", 0, 0, false, false, "batch|mixed"},
    {"negative-count", 256, 4096, true, true, NULL},
    {"partition-power", 1, 1.3, false, false, NULL},
    {"dropout", 0, 0.4, false, false, NULL},
    {"l2", 1e-8, 1e-4, true, false, NULL},
};
static const td_tune_range ials_ranges[] = {
    {"unobserved-weight", 0.0003, 0.3, true, false, NULL},
    {"regularization", 0.0005, 0.1, true, false, NULL},
    {"regularization-exponent", 0, 1, false, false, NULL},
};

const td_tune_range *td_tune_softmax_ranges(uint32_t *count)
{
    *count = sizeof softmax_ranges / sizeof softmax_ranges[0];
    return softmax_ranges;
}

const td_tune_range *td_tune_ials_ranges(uint32_t *count)
{
    *count = sizeof ials_ranges / sizeof ials_ranges[0];
    return ials_ranges;
}

static void draw_choice(char text[TD_TUNE_TEXT_MAX], const char *choices, double unit)
{
    uint32_t count = 1;
    for (const char *c = choices; *c != '\0'; c++) count += *c == '|';
    uint32_t chosen = (uint32_t)(unit * count);
    for (; chosen > 0; chosen--) choices += strcspn(choices, "|") + 1;
    size_t length = strcspn(choices, "|");
    snprintf(text, TD_TUNE_TEXT_MAX, "%.*s", (int)length, choices);
}

/* Three digits are as much as a setting is worth, and the text is what is set. */
void td__tune_draw(char text[TD_TUNE_TEXT_MAX], const td_tune_range *range, double unit)
{
    if (range->choices != NULL) {
        draw_choice(text, range->choices, unit);
        return;
    }
    double value = range->logarithmic ? range->min * pow(range->max / range->min, unit)
                                      : range->min + (range->max - range->min) * unit;
    if (range->whole) snprintf(text, TD_TUNE_TEXT_MAX, "%.0f", floor(value + 0.5));
    else snprintf(text, TD_TUNE_TEXT_MAX, "%.3g", value);
}

static td_status check_ranges(const td_tune_range *ranges, uint32_t count, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(count > TD_TUNE_SETTINGS_MAX, err, ERR_LIMIT, "%u ranges; at most %d are allowed",
               count, TD_TUNE_SETTINGS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const td_tune_range *range = &ranges[i];
        if (range->choices != NULL) continue;
        TD_FAIL_IF(!(range->min <= range->max) || !isfinite(range->min) || !isfinite(range->max),
                   err, ERR_ARGUMENT, "the range of %s goes from %g to %g", range->option,
                   range->min, range->max);
        TD_FAIL_IF(range->logarithmic && range->min <= 0, err, ERR_ARGUMENT,
                   "the range of %s is logarithmic, so it cannot start at %g", range->option,
                   range->min);
    }
done:
    return status;
}

/* --- the search */

typedef struct search {
    const td_tune_range *ranges;
    uint32_t range_count;
    td_tune_options options;
    const td_tune_trainee *trainee;
    td_tune_trial *trials; /* [options.trials]; after a round its best stand first */
    uint32_t count;        /* of trials that are still in */
    double started;        /* td__seconds */
    td_tune_trial best;
    bool any;
} search;

static void draw_trial(const search *s, td_tune_trial *trial, uint32_t number)
{
    td__random numbers = td__random_stream(s->options.seed, TD__STREAM_TUNE, number);
    *trial = (td_tune_trial){.number = number, .rounds = s->options.rounds};
    if (number == 0) return;
    trial->count = s->range_count;
    for (uint32_t i = 0; i < s->range_count; i++) {
        trial->settings[i].option = s->ranges[i].option;
        td__tune_draw(trial->settings[i].text, &s->ranges[i], td__random_unit(numbers, i));
    }
}

/* Rounds have equal shares of the time; what one leaves the next ones have. */
static bool is_late(const search *s, uint32_t round)
{
    double share = s->options.seconds * (double)(round + 1) / (double)s->options.rounds;
    return s->options.seconds > 0 && td__seconds() - s->started >= share;
}

/* A trial that diverges is the worst, and no failure of the search. */
static td_status run_trial(search *s, td_tune_trial *trial, uint32_t round, td_error *err)
{
    double start = td__seconds();
    trial->round = round;
    trial->effort = pow(s->options.keep, (double)round - (double)(s->options.rounds - 1));
    td_status status = s->trainee->run(s->trainee->user, trial, err);
    if (status == TD_ERR_NUMERIC) trial->score = -HUGE_VAL;
    else if (status != TD_OK) return status;
    if (isnan(trial->score)) trial->score = -HUGE_VAL;
    trial->seconds = td__seconds() - start;
    if (!s->any || trial->score > s->best.score) s->best = *trial;
    s->any = true;
    if (s->trainee->done == NULL) return TD_OK;
    return s->trainee->done(s->trainee->user, trial, &s->best, err);
}

static int by_score_then_number(const void *a, const void *b)
{
    const td_tune_trial *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

/* The first trial of a round is run in any case; those that time does not allow are out. */
static td_status run_round(search *s, uint32_t round, td_error *err)
{
    td_status status = TD_OK;
    uint32_t done = 0;
    while (done < s->count && (done == 0 || !is_late(s, round))) {
        TD_TRY(run_trial(s, &s->trials[done], round, err));
        done++;
    }
    qsort(s->trials, done, sizeof *s->trials, by_score_then_number);
    s->count = (done + s->options.keep - 1) / s->options.keep;
done:
    return status;
}

td_status td_tune(td_tune_trial *best, td_context *context, const td_tune_range *ranges,
                  uint32_t range_count, const td_tune_options *options,
                  const td_tune_trainee *trainee, td_error *err)
{
    td_status status = TD_OK;
    search s = {.ranges = ranges, .range_count = range_count, .trainee = trainee};
    td_tune_options_init(&s.options);
    if (options != NULL) s.options = *options;
    TD_TRY(td_options_check(&option_table, &s.options, err));
    TD_TRY(check_ranges(ranges, range_count, err));
    TD_TRY(td__alloc(&s.trials, context, s.options.trials, sizeof *s.trials, err));
    s.count = s.options.trials;
    s.started = td__seconds();
    for (uint32_t i = 0; i < s.count; i++) draw_trial(&s, &s.trials[i], i);
    for (uint32_t round = 0; round < s.options.rounds; round++) TD_TRY(run_round(&s, round, err));
    if (best != NULL) *best = s.best;
done:
    td__free(context, s.trials);
    return status;
}
