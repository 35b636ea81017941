/* cmd_tune.c -- tandem tune: look for better settings than the defaults.
 *
 * In: interactions, a time. Out: the best model found, and the command that makes it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "base/file.h"
#include "base/memory.h"
#include "metrics.h"
#include "output.h"
#include "plot.h"
#include "training.h"
#include "trials.h"

typedef struct tune_own {
    const char *output;
    const char *items;
    double validation_fraction;
    const char *trials_log;
    const char *plot;
} tune_own;

typedef struct tune_arguments {
    cli_common common;
    tune_own own;
    cli_data data;
    td_catalog_options catalog;
    cli_training training;
    td_tune_options tune;
    td_evaluate_options evaluate;
    cli_beside beside;
} tune_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(tune_own, output, "output", "model.tandem", "FILE",
                    "file for the best model (-o FILE)"),
    TD__OPTION_TEXT(tune_own, items, "items", NULL, "FILE",
                    "item file: ids and titles to show instead of bare ids"),
    TD__OPTION_F64(tune_own, validation_fraction, "validation-fraction", "0.1", 1e-6, 0.9, "SHARE",
                   "share of the training part that settings are compared on"),
    TD__OPTION_TEXT(tune_own, trials_log, "trials-log", NULL, "FILE", "JSON lines, one a trial"),
    TD__OPTION_TEXT(tune_own, plot, "plot", NULL, "FILE",
                    "picture (SVG) of the scores against each setting"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("tune-own", tune_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Files", own_table, offsetof(tune_arguments, own)},
    {"The search", td_tune_option_table, offsetof(tune_arguments, tune)},
    CLI_DATA_GROUPS(tune_arguments),
    {"Reading the item file", td_catalog_option_table, offsetof(tune_arguments, catalog)},
    CLI_TRAINING_GROUPS(tune_arguments),
    {"Measuring what was held out", td_evaluate_option_table, offsetof(tune_arguments, evaluate)},
    {"What it must beat", cli_beside_option_table, offsetof(tune_arguments, beside)},
    {"Everywhere", cli_common_option_table, offsetof(tune_arguments, common)},
};

/* A search under way. */
typedef struct session {
    const cli_call *call;
    const tune_arguments *arguments;
    cli_parts parts;
    td_catalog *catalog;
    td_tune_range ranges[TD_TUNE_SETTINGS_MAX];
    uint32_t range_count;
    cli_trials trials;
    cli_remake remake;
    td_model *best; /* of the trial with the best score so far */
    double best_score;
    td_tune_trial best_trial;
    char *log; /* JSON lines so far */
    size_t log_bytes;
    char score_name[32]; /* "ndcg@10" */
} session;

static void session_clear(session *s)
{
    td_context *context = s->call->context;
    td_model_free(s->best);
    td_catalog_free(s->catalog);
    cli_trials_clear(&s->trials);
    td__free(context, s->log);
    cli_parts_free(&s->parts);
}

static bool is_ials(const session *s)
{
    return s->arguments->training.trainer == CLI_TRAINER_IALS;
}

/* Settings that not every loss and not every tower goes with. */
static bool is_left_out(const session *s, const char *option)
{
    static const char *const special[] = {"loss", "heads", "hard-negatives", "label-smoothing",
                                          "decoupled", "memory-batches"};
    static const char *const delicate[] = {"negatives", "negative-count", "partition-power"};
    bool found = false, given = false;
    for (size_t i = 0; i < sizeof delicate / sizeof delicate[0]; i++) {
        found = found || strcmp(option, delicate[i]) == 0;
    }
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        given = given || cli_given_texts(s->call, special[i], NULL, 0) > 0;
    }
    return found && given;
}

/* What the user has set is not searched. */
static void choose_ranges(session *s)
{
    uint32_t count;
    const td_tune_range *all = is_ials(s) ? td_tune_ials_ranges(&count)
                                          : td_tune_softmax_ranges(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (cli_given_texts(s->call, all[i].option, NULL, 0) > 0) continue;
        if (is_left_out(s, all[i].option)) continue;
        s->ranges[s->range_count++] = all[i];
    }
}

static uint32_t epochs_of(const session *s, const td_tune_trial *trial)
{
    const cli_training *training = &s->arguments->training;
    uint32_t all = is_ials(s) ? training->ials.epochs : training->softmax.epochs;
    double share = ceil(trial->effort * all - 1e-9);
    return share < 1 ? 1 : (uint32_t)share;
}

/* --- one trial */

static td_status set_option(cli_training *training, const td_tune_setting *setting, td_error *err)
{
    const td_option_table *trainer = training->trainer == CLI_TRAINER_IALS
                                         ? td_ials_option_table() : td_train_option_table();
    void *options = training->trainer == CLI_TRAINER_IALS ? (void *)&training->ials
                                                          : (void *)&training->softmax;
    if (td_option_find(trainer, setting->option) != NULL) {
        return td_options_set(trainer, options, setting->option, setting->text, err);
    }
    return td_options_set(td_model_option_table(), &training->model, setting->option,
                          setting->text, err);
}

static void keep_if_best(session *s, td_model **model, double score)
{
    if (s->best != NULL && score <= s->best_score) return;
    td_model_free(s->best);
    s->best = *model;
    s->best_score = score;
    *model = NULL;
}

static td_status run_trial(void *user, td_tune_trial *trial, td_error *err)
{
    td_status status = TD_OK;
    session *s = user;
    cli_training training = s->arguments->training;
    td_train_report report = {0};
    td_model *model = NULL;
    training.softmax.epochs = training.ials.epochs = epochs_of(s, trial);
    for (uint32_t i = 0; i < trial->count; i++) {
        TD_TRY(set_option(&training, &trial->settings[i], err));
    }
    TD_TRY(td_model_create(&model, s->call->context, s->parts.train, s->catalog, &training.model,
                           err));
    TD_TRY(cli_training_run(&training, s->call, model, &s->parts, &report, err));
    trial->score = report.best_monitor;
    keep_if_best(s, &model, trial->score);
done:
    td_model_free(model);
    return status;
}

/* --- what is told of it */

static td_status add_to_log(session *s, const td_tune_trial *trial, const char *command,
                            td_error *err)
{
    td_status status = TD_OK;
    json_t *object = cli_trial_json(trial, epochs_of(s, trial), command);
    size_t bytes = json_dumpb(object, NULL, 0, JSON_COMPACT);
    TD_FAIL_IF(bytes == 0, err, ERR_MEMORY, "out of memory for JSON");
    TD_TRY(td__grow(&s->log, s->call->context, s->log_bytes + bytes + 1, 1, err));
    json_dumpb(object, s->log + s->log_bytes, bytes, JSON_COMPACT);
    s->log_bytes += bytes;
    s->log[s->log_bytes++] = '\n';
done:
    json_decref(object);
    return status;
}

static td_status write_log(const session *s, td_error *err)
{
    td__writer *writer;
    const char *path = s->arguments->own.trials_log;
    td_status status = td__writer_create(&writer, s->call->context, path, err);
    if (status != TD_OK) return status;
    status = td__writer_write(writer, s->log, s->log_bytes, err);
    if (status == TD_OK) return td__writer_commit(writer, err);
    td__writer_abandon(writer);
    return status;
}

/* After each trial, so that an interrupted search leaves what it found. */
static td_status write_files(session *s, const td_tune_trial *trial, td_error *err)
{
    td_status status = TD_OK;
    const tune_own *own = &s->arguments->own;
    cli_plot plot = {&s->trials, s->ranges, s->range_count, s->score_name};
    char *command = cli_trial_command(&s->remake, trial, epochs_of(s, trial));
    TD_FAIL_IF(command == NULL, err, ERR_MEMORY, "out of memory for a command line");
    TD_TRY(add_to_log(s, trial, command, err));
    if (own->trials_log != NULL) TD_TRY(write_log(s, err));
    if (own->plot != NULL) TD_TRY(cli_plot_write(&plot, s->call->context, own->plot, err));
done:
    td__free(s->call->context, command);
    return status;
}

static td_status tell(void *user, const td_tune_trial *trial, const td_tune_trial *best,
                      td_error *err)
{
    td_status status = TD_OK;
    session *s = user;
    bool is_best = best->number == trial->number && best->round == trial->round;
    s->best_trial = *best;
    if (!s->call->common->json) cli_trial_print(trial, epochs_of(s, trial), is_best);
    TD_TRY(cli_trials_add(&s->trials, trial, err));
    TD_TRY(write_files(s, trial, err));
done:
    return status;
}

/* --- the whole */

static td_status search(session *s, td_error *err)
{
    td_status status = TD_OK;
    td_tune_trainee trainee = {.run = run_trial, .done = tell, .user = s};
    if (!s->call->common->json) cli_trials_print_head(s->score_name);
    TD_TRY(td_tune(NULL, s->call->context, s->ranges, s->range_count, &s->arguments->tune, &trainee,
                   err));
    TD_FAIL_IF(s->best == NULL, err, ERR_NUMERIC,
               "all trials diverged; a lower --learning-rate helps");
done:
    return status;
}

static json_t *result_json(const session *s, const char *command, const cli_comparison *comparison)
{
    json_t *trials = json_array();
    for (uint32_t i = 0; i < s->trials.count; i++) {
        const td_tune_trial *trial = &s->trials.trials[i];
        uint32_t epochs = epochs_of(s, trial);
        char *own = cli_trial_command(&s->remake, trial, epochs);
        json_array_append_new(trials, cli_trial_json(trial, epochs, own));
        td__free(s->call->context, own);
    }
    json_t *best = cli_trial_json(&s->best_trial, epochs_of(s, &s->best_trial), command);
    json_t *evaluation = comparison != NULL ? cli_comparison_json(comparison) : json_null();
    return json_pack("{s:o, s:s, s:o, s:o, s:o}", "model", cli_json_text(s->arguments->own.output),
                     "monitor", s->score_name, "best", best, "trials", trials, "evaluation",
                     evaluation);
}

static td_status show(const session *s, td_error *err)
{
    td_status status = TD_OK;
    cli_comparison comparison;
    bool json = s->call->common->json, measured = s->parts.test != NULL;
    const td_tune_trial *best = &s->best_trial;
    char *command = cli_trial_command(&s->remake, best, epochs_of(s, best));
    TD_FAIL_IF(command == NULL, err, ERR_MEMORY, "out of memory for a command line");
    if (measured) {
        TD_TRY(cli_compare(&comparison, s->call, s->best, s->parts.train, s->parts.test,
                           &s->arguments->beside, &s->arguments->evaluate, err));
    }
    if (json) {
        TD_TRY(cli_json_print(result_json(s, command, measured ? &comparison : NULL), err));
        goto done;
    }
    printf("\nbest: trial %u, %s %.4f on the validation part; to make this model again:\n",
           best->number, s->score_name, best->score);
    cli_put(stdout, command);
    puts(measured ? "\n" : "");
    if (measured) cli_comparison_print(&comparison, s->call);
done:
    td__free(s->call->context, command);
    return status;
}

/* Files that one training writes would be overwritten by the next. */
static td_status check(tune_arguments *arguments, const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    static const char *const refused[] = {"checkpoint", "resume", "log"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        TD_FAIL_IF(cli_given_texts(call, refused[i], NULL, 0) > 0, err, ERR_ARGUMENT,
                   "--%s is for one training; tandem tune does many (--trials-log keeps them)",
                   refused[i]);
    }
    TD_TRY(cli_output_check(arguments->own.output, err));
    TD_TRY(cli_training_check(&arguments->training, call, err));
    TD_TRY(cli_beside_check(&arguments->beside, err));
done:
    return status;
}

static void name_score(session *s)
{
    static const char *const monitors[] = {"ndcg", "recall", "hit-rate", "mrr"};
    const cli_training *training = &s->arguments->training;
    td_monitor monitor = is_ials(s) ? training->ials.monitor : training->softmax.monitor;
    uint32_t k = is_ials(s) ? training->ials.monitor_k : training->softmax.monitor_k;
    snprintf(s->score_name, sizeof s->score_name, "%s@%u", monitors[monitor], k);
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    tune_arguments *arguments = call->arguments;
    const char *fraction = "0.1";
    session s = {.call = call, .arguments = arguments, .trials = {.context = call->context}};
    TD_TRY(check(arguments, call, err));
    cli_given_texts(call, "validation-fraction", &fraction, 1);
    s.remake = (cli_remake){call, own_table(), fraction, arguments->own.output};
    choose_ranges(&s);
    name_score(&s);
    TD_TRY(cli_parts_read(&s.parts, call, &arguments->data, call->operands, call->operand_count,
                          true, err));
    TD_TRY(cli_parts_hold_validation(&s.parts, call, &arguments->data,
                                     arguments->own.validation_fraction, err));
    cli_parts_print(&s.parts, call);
    TD_TRY(cli_training_catalog(&s.catalog, call, arguments->own.items, &arguments->catalog, err));
    TD_TRY(search(&s, err));
    TD_TRY(td_model_save(s.best, arguments->own.output, err));
    TD_TRY(show(&s, err));
done:
    session_clear(&s);
    return status;
}

const cli_verb cli_tune = {
    .name = "tune",
    .summary = "look for better settings than the defaults",
    .operands = "FILE...",
    .operands_min = 1,
    .operands_max = UINT32_MAX,
    .about = "Trains with many settings drawn at random, each for a few epochs, and the better "
             "ones for longer (successive halving), until --seconds are over. Settings are "
             "compared on a part of the training part (--validation-fraction); what is held out "
             "with --split or --test is measured once, at the end, with the best. Options that "
             "are given stay; the others of learning-rate, batch-size, temperature, init-scale "
             "and sampling-correction (of --trainer ials: unobserved-weight, regularization and "
             "its exponent) are searched. It prints the tandem train command that makes the best "
             "model again, to the bit. Trial 0 has the defaults.",
    .example = "tandem tune data/ml-latest-small/ratings.csv --trainer ials --split random \\\n"
               "    --epochs 4 --trials 4 --rounds 2 --seconds 20 --plot tune.svg -o tuned.tandem",
    .output = "One object: model (the file), monitor (\"ndcg@10\"), best and trials (a list), each "
              "with trial, round, epochs, score (null: diverged), seconds, settings (an object of "
              "texts) and command; evaluation (as tandem evaluate prints it, or null).",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(tune_arguments),
    .run = run,
};
