/* cmd_evaluate.c -- tandem evaluate: how good is a model on what it was not trained on?
 *
 * In: a model, the training part, the held-out part. Out: metrics beside those of popularity. */
#include <stdio.h>

#include "args.h"
#include "data.h"
#include "metrics.h"
#include "output.h"

typedef struct evaluate_own {
    bool keep_seen;
} evaluate_own;

typedef struct evaluate_arguments {
    cli_common common;
    evaluate_own own;
    cli_data data;
    td_evaluate_options evaluate;
    cli_beside beside;
} evaluate_arguments;

static const td_option own_rows[] = {
    TD__OPTION_BOOL(evaluate_own, keep_seen, "keep-seen", "false",
                    "rank the candidates of the training part too, as TFRS does"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("evaluate-own", evaluate_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    CLI_DATA_GROUPS(evaluate_arguments),
    {"Measuring", td_evaluate_option_table, offsetof(evaluate_arguments, evaluate)},
    {"What a ranking holds", own_table, offsetof(evaluate_arguments, own)},
    {"What it must beat", cli_beside_option_table, offsetof(evaluate_arguments, beside)},
    {"Everywhere", cli_common_option_table, offsetof(evaluate_arguments, common)},
};

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    evaluate_arguments *arguments = call->arguments;
    td_model *model = NULL;
    cli_parts parts = {0};
    cli_comparison comparison;
    bool held_out = arguments->data.test != NULL || cli_given_any(call, td_split_option_table());
    TD_FAIL_IF(!held_out, err, ERR_ARGUMENT,
               "nothing is held out to measure on; name it with --test FILE, or cut the files in "
               "the way they were cut for training with --split");
    TD_TRY(cli_beside_check(&arguments->beside, err));
    if (arguments->own.keep_seen) arguments->evaluate.exclude_seen = false;
    TD_TRY(td_model_load(&model, call->context, call->operands[0], err));
    TD_TRY(cli_parts_read(&parts, call, &arguments->data, call->operands + 1,
                          call->operand_count - 1, false, err));
    cli_parts_print(&parts, call);
    TD_TRY(cli_compare(&comparison, call, model, parts.train, parts.test, &arguments->beside,
                       &arguments->evaluate, err));
    if (call->common->json) {
        TD_TRY(cli_json_print(cli_comparison_json(&comparison), err));
    } else {
        cli_comparison_print(&comparison, call);
    }
done:
    cli_parts_free(&parts);
    td_model_free(model);
    return status;
}

const cli_verb cli_evaluate = {
    .name = "evaluate",
    .summary = "measure a model on interactions it was not trained on",
    .operands = "MODEL FILE...",
    .operands_min = 2,
    .operands_max = UINT32_MAX,
    .about = "Ranks all candidates for each query of the held-out part and measures how far up the "
             "held-out ones stand, for the model and for what it must beat: the most popular, "
             "item-knn, EASE. It warns where the model is not better, or gives all queries much "
             "the same. Give the "
             "files the model was trained on, and either --test FILE or the same --split flags as "
             "for training: the same flags cut the same way. What a query had in the training part "
             "is left out of its ranking unless --keep-seen.",
    .example = "tandem evaluate movies.tandem data/ml-latest-small/ratings.csv --split random",
    .output = "One object: model, popularity, item-knn, ease (those that were measured), each with "
              "queries, rows, rows_unknown (held-out rows whose candidate cannot be ranked: "
              "misses), seconds (a baseline: with learning) and at: a list of objects with k, "
              "ndcg, recall, hit_rate, precision, map, mrr, accuracy, coverage, overlap, "
              "popularity; and warnings, a list of sentences.",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(evaluate_arguments),
    .run = run,
};
