/* cmd_train.c -- tandem train: from files of interactions to a model file.
 *
 * In: interactions, perhaps an item file. Out: a model, and how good it is on what was held out. */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "contest.h"
#include "data.h"
#include "memory.h"
#include "metrics.h"
#include "output.h"
#include "recipe.h"
#include "training.h"

typedef struct train_own {
    const char *output;
    const char *items;
    const char *from;
} train_own;

typedef struct train_arguments {
    cli_common common;
    train_own own;
    cli_data data;
    td_catalog_options catalog;
    cli_recipe recipe;
    cli_training training;
    td_evaluate_options evaluate;
    cli_beside beside;
    cli_memory memory;
    td_model_options ials_model; /* what iALS would train */
} train_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(train_own, output, "output", "model.tandem", "FILE",
                    "model file to write (-o FILE)"),
    TD__OPTION_TEXT(train_own, items, "items", NULL, "FILE",
                    "item file: ids and titles to show instead of bare ids"),
    TD__OPTION_TEXT(train_own, from, "from", NULL, "MODEL",
                    "model to go on from, trained as it was: the files then hold what happened "
                    "since; new users and items get vectors, and all others start from theirs"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("train-own", train_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Files", own_table, offsetof(train_arguments, own)},
    CLI_DATA_GROUPS(train_arguments),
    {"Reading the item file", td_catalog_option_table, offsetof(train_arguments, catalog)},
    {"What is chosen by itself", cli_recipe_option_table, offsetof(train_arguments, recipe)},
    CLI_TRAINING_GROUPS(train_arguments),
    {"Measuring what was held out", td_evaluate_option_table, offsetof(train_arguments, evaluate)},
    {"What it must beat", cli_beside_option_table, offsetof(train_arguments, beside)},
    {"Memory", cli_memory_option_table, offsetof(train_arguments, memory)},
    {"Everywhere", cli_common_option_table, offsetof(train_arguments, common)},
};

/* What a model is made of, beside the training part; NULL: there is none. */
typedef struct origins {
    td_model *old;
    td_catalog *catalog;
} origins;

static td_status load_from(td_model **out, const cli_call *call, td_error *err)
{
    const train_arguments *arguments = call->arguments;
    *out = NULL;
    return arguments->own.from == NULL
               ? TD_OK : td_model_load(out, call->context, arguments->own.from, err);
}

/* A new model, or the old one with what is new in the training part. */
static td_status make_model(td_model **out, const cli_call *call, const origins *from,
                            const cli_parts *parts, td_error *err)
{
    const train_arguments *arguments = call->arguments;
    if (from->old != NULL) {
        return td_model_extend(out, from->old, parts->train, from->catalog, err);
    }
    return td_model_create(out, call->context, parts->train, from->catalog,
                           &arguments->training.model, err);
}

static void print_growth(const cli_call *call, const td_model *old, const td_model *model)
{
    const train_arguments *arguments = call->arguments;
    if (old == NULL || call->common->quiet) return;
    fprintf(stderr, "%s: %s queries and %s candidates are new\n", arguments->own.from,
            cli_count(td_vocab_count(td_model_queries(model))
                      - td_vocab_count(td_model_queries(old))),
            cli_count(td_vocab_count(td_model_candidates(model))
                      - td_vocab_count(td_model_candidates(old))));
}

/* What a model is like was settled when it was made. */
static td_status check_from(const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const train_arguments *arguments = call->arguments;
    const td_option_table *table = td_model_option_table();
    bool ials = arguments->training.trainer == CLI_TRAINER_IALS;
    TD_FAIL_IF(arguments->own.from != NULL && ials, err, ERR_ARGUMENT,
               "iALS solves all vectors from the files alone, so it would forget what --from "
               "knows; give it all files without --from");
    for (uint32_t i = 0; arguments->own.from != NULL && i < table->count; i++) {
        const char *name = table->rows[i].name;
        bool shared = strcmp(name, "seed") == 0;
        TD_FAIL_IF(!shared && cli_given_texts(call, name, NULL, 0) > 0, err, ERR_ARGUMENT,
                   "--%s is settled by the model of --from; leave one of the two out", name);
    }
done:
    return status;
}

/* iALS comes ever nearer to the minimum of its loss, and which of its last epochs is best on a
 * small part is chance: all that were made. The softmax learns by heart beyond its best one. */
static uint32_t epochs_again(const train_arguments *arguments, const td_train_report *report)
{
    bool ials = arguments->training.trainer == CLI_TRAINER_IALS;
    return ials ? report->epochs : report->best_epoch;
}

/* Again on all rows that are there to train on. */
static td_status train_again(const cli_call *call, const origins *from, td_model **model,
                             cli_parts *parts, uint32_t epochs, td_error *err)
{
    td_status status = TD_OK;
    train_arguments *arguments = call->arguments;
    td_train_report report;
    td_model_free(*model);
    *model = NULL;
    td_dataset_free(parts->train);
    td_dataset_free(parts->validation);
    parts->train = parts->whole;
    parts->validation = parts->whole = NULL;
    arguments->training.softmax.epochs = arguments->training.ials.epochs = epochs;
    arguments->training.softmax.log = NULL;
    TD_TRY(make_model(model, call, from, parts, err));
    TD_TRY(cli_training_run(&arguments->training, call, *model, parts, &report, err));
    if (!call->common->quiet) {
        fprintf(stderr, "trained again on all %s rows for %u epochs in %.2f s\n",
                cli_count(td_dataset_rows(parts->train).count), epochs, report.seconds);
    }
done:
    return status;
}

static bool is_refitted(const train_arguments *arguments, const td_train_report *report)
{
    return arguments->recipe.kind == CLI_RECIPE_AUTO && arguments->recipe.refit
           && report->best_epoch > 0 && arguments->training.softmax.checkpoint == NULL;
}

static void print_report(const cli_call *call, const td_model *model,
                         const td_train_report *report)
{
    const train_arguments *arguments = call->arguments;
    if (call->common->quiet) return;
    bool ials = arguments->training.trainer == CLI_TRAINER_IALS;
    fprintf(stderr, "%s: %s parameters, %u epochs, %s %s in %.2f s, loss %.4f to %.4f",
            arguments->own.output, cli_count(td_model_parameter_count(model)), report->epochs,
            cli_count(report->steps), ials ? "vectors solved" : "steps", report->seconds,
            report->first_loss, report->last_loss);
    if (report->best_epoch > 0) {
        fprintf(stderr, "; best on the validation part: %.4f in epoch %u", report->best_monitor,
                report->best_epoch);
    }
    fputc('\n', stderr);
}

static json_t *report_json(const cli_call *call, const cli_parts *parts, const td_model *model,
                           const td_train_report *report, const cli_comparison *comparison)
{
    const train_arguments *arguments = call->arguments;
    const td_vocab *queries = td_model_queries(model), *candidates = td_model_candidates(model);
    json_t *read = json_pack(
        "{s:I, s:I, s:I, s:I}", "lines", (json_int_t)parts->report.lines, "rows",
        (json_int_t)parts->report.rows, "below_rating", (json_int_t)parts->report.below_rating,
        "bad_lines", (json_int_t)parts->report.bad_lines);
    json_t *trained = json_pack(
        "{s:s, s:I, s:i, s:i, s:I, s:f, s:f, s:f, s:f}", "trainer",
        arguments->training.trainer == CLI_TRAINER_IALS ? "ials" : "softmax", "rows",
        (json_int_t)td_dataset_rows(parts->train).count, "epochs", (int)report->epochs,
        "best_epoch", (int)report->best_epoch, "steps", (json_int_t)report->steps, "first_loss",
        report->first_loss, "last_loss", report->last_loss, "best_monitor", report->best_monitor,
        "seconds", report->seconds);
    json_t *evaluation = comparison != NULL ? cli_comparison_json(comparison) : json_null();
    return json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:o}", "model",
                     cli_json_text(arguments->own.output), "queries",
                     (json_int_t)td_vocab_count(queries), "candidates",
                     (json_int_t)td_vocab_count(candidates), "parameters",
                     (json_int_t)td_model_parameter_count(model), "read", read, "train", trained,
                     "evaluation", evaluation);
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    train_arguments *arguments = call->arguments;
    cli_parts parts = {0};
    origins from = {0};
    td_model *model = NULL;
    td_train_report report = {0};
    cli_comparison comparison;
    cli_memory_report memory;
    bool json = call->common->json;
    TD_TRY(cli_output_check(arguments->own.output, err));
    TD_TRY(check_from(call, err));
    TD_TRY(cli_training_check(&arguments->training, call, err));
    if (arguments->training.trainer != CLI_TRAINER_SOFTMAX) {
        arguments->recipe.kind = CLI_RECIPE_PLAIN; /* iALS has no settings to choose */
    }
    TD_TRY(cli_beside_check(&arguments->beside, err));
    TD_TRY(cli_parts_read(&parts, call, &arguments->data, call->operands, call->operand_count,
                          arguments->recipe.validation_fraction > 0, err));
    TD_TRY(cli_recipe_hold_out(&arguments->recipe, call, &arguments->data, &parts, err));
    cli_parts_print(&parts, call);
    TD_TRY(load_from(&from.old, call, err));
    arguments->ials_model = arguments->training.model;
    arguments->ials_model.similarity = TD_SIMILARITY_DOT;
    TD_TRY(cli_recipe_choose(&arguments->recipe, call, &parts, from.old, &arguments->training.model,
                             &arguments->training.softmax, err));
    TD_TRY(cli_training_catalog(&from.catalog, call, arguments->own.items, &arguments->catalog,
                                err));
    bool contested = from.old == NULL && cli_recipe_tries_ials(&arguments->recipe, call, &parts);
    const td_data_size size = cli_recipe_size(&parts);
    const td_model_options largest = cli_contest_largest(call, &arguments->ials_model, &size);
    const cli_memory_job job = {&arguments->training, contested ? &largest : NULL, &parts,
                                from.catalog, &arguments->beside};
    TD_TRY(cli_memory_plan(&memory, &arguments->memory, call, &job, err));
    if (arguments->memory.plan) {
        json_t *root = json ? json_pack("{s:o}", "memory", cli_memory_json(&memory)) : NULL;
        if (json) TD_TRY(cli_json_print(root, err));
        goto done;
    }
    TD_TRY(make_model(&model, call, &from, &parts, err));
    print_growth(call, from.old, model);
    TD_TRY(cli_training_run(&arguments->training, call, model, &parts, &report, err));
    if (!json) print_report(call, model, &report);
    if (contested && report.best_epoch > 0) {
        const cli_contest contest = {call, &parts, from.catalog, &arguments->training, &model,
                                     &report};
        TD_TRY(cli_contest_run(&contest, &arguments->ials_model, &size, err));
    }
    if (is_refitted(arguments, &report)) {
        TD_TRY(train_again(call, &from, &model, &parts, epochs_again(arguments, &report), err));
    }
    TD_TRY(td_model_save(model, arguments->own.output, err));
    if (parts.test != NULL) {
        TD_TRY(cli_compare(&comparison, call, model, parts.train, parts.test, &arguments->beside,
                           &arguments->evaluate, err));
        if (!json) cli_comparison_print(&comparison, call);
    }
    if (json) {
        json_t *root = report_json(call, &parts, model, &report,
                                   parts.test != NULL ? &comparison : NULL);
        json_object_set_new(root, "memory", cli_memory_json(&memory));
        TD_TRY(cli_json_print(root, err));
    }
done:
    td_model_free(from.old);
    td_catalog_free(from.catalog);
    td_model_free(model);
    cli_parts_free(&parts);
    return status;
}

const cli_verb cli_train = {
    .name = "train",
    .summary = "learn a model from files of interactions",
    .operands = "FILE...",
    .operands_min = 1,
    .operands_max = UINT32_MAX,
    .about = "Reads who interacted with what, learns one vector for each query (user) and each "
             "candidate (item) so that a query's vector is nearest to what it is likely to "
             "interact with next, and writes a model file. With a part held out (--split or "
             "--test) it then measures the model on it, beside what it must beat (the most popular "
             "candidates, item-knn, EASE), and warns where it does not, or where all queries get "
             "much the same. docs/table.md says how to read the table.",
    .example = "tandem train data/ml-latest-small/ratings.csv \\\n"
               "    --items data/ml-latest-small/movies.csv --split random -o movies.tandem",
    .output = "One object: model (the file), queries, candidates, parameters, read (lines, rows, "
              "below_rating, bad_lines), train (trainer, rows, epochs, best_epoch, steps, "
              "first_loss, last_loss, best_monitor, seconds), evaluation (as tandem evaluate "
              "prints it, or null) and memory (bytes, known before the training: data, model, "
              "copies, optimizer, workspace, evaluation, baselines, needed, may_be_taken). With "
              "--plan: memory alone.",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(train_arguments),
    .run = run,
};
