/* training.c -- how a model is trained: by which trainer, with which options.
 *
 * In: flags, a model, the parts of a dataset. Out: a trained model. */
#include "training.h"

#include <string.h>

#include "args.h"

static const td_option rows[] = {
    TD__OPTION_CHOICE(cli_training, trainer, "trainer", "softmax", "softmax|ials",
                      "softmax: batch by batch, also for cosines, several vectors a query, and "
                      "candidates in the millions; ials: all pairs at once, few settings, often "
                      "the better one on dense data, and new users from their history"),
};

const td_option_table *cli_training_option_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("training", cli_training, rows);
    return &table;
}

/* Has a group other than the two trainers' a flag of this name? */
static bool is_shared(const cli_verb *verb, const char *name)
{
    for (uint32_t g = 0; g < verb->group_count; g++) {
        const td_option_table *table = verb->groups[g].table();
        if (table == td_train_option_table() || table == td_ials_option_table()) continue;
        if (td_option_find(table, name) != NULL) return true;
    }
    return false;
}

static td_status check_flags(const cli_training *training, const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    bool ials = training->trainer == CLI_TRAINER_IALS;
    const td_option_table *own = ials ? td_ials_option_table() : td_train_option_table();
    const td_option_table *other = ials ? td_train_option_table() : td_ials_option_table();
    for (uint32_t i = 0; i < call->given_count; i++) {
        const char *name = call->given[i].row->name;
        if (call->given[i].group->table() != other || td_option_find(own, name) != NULL) continue;
        TD_FAIL_IF(!is_shared(call->verb, name), err, ERR_ARGUMENT,
                   "--%s is an option of --trainer %s; --trainer %s has none like it%s", name,
                   ials ? "softmax" : "ials", ials ? "ials" : "softmax",
                   ials && (strcmp(name, "checkpoint") == 0 || strcmp(name, "resume") == 0)
                       ? ": it is done in a few epochs, so start anew" : "");
    }
done:
    return status;
}

td_status cli_training_check(cli_training *training, const cli_call *call, td_error *err)
{
    bool ials = training->trainer == CLI_TRAINER_IALS;
    if (ials && cli_given_texts(call, "similarity", NULL, 0) == 0) {
        training->model.similarity = TD_SIMILARITY_DOT;
    }
    return check_flags(training, call, err);
}

td_status cli_training_catalog(td_catalog **out, const cli_call *call, const char *path,
                               const td_catalog_options *options, td_error *err)
{
    td_read_report report;
    *out = NULL;
    if (path == NULL) return TD_OK;
    return td_catalog_read(out, call->context, path, options, &report, err);
}

td_status cli_training_run(const cli_training *training, const cli_call *call, td_model *model,
                           const cli_parts *parts, td_train_report *report, td_error *err)
{
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    td_status status =
        training->trainer == CLI_TRAINER_IALS
            ? td_model_train_ials(model, parts->train, parts->validation, &training->ials, &hook,
                                  report, err)
            : td_model_train(model, parts->train, parts->validation, &training->softmax, &hook,
                             report, err);
    cli_progress_end(&progress);
    return status;
}
