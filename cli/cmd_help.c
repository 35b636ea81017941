/* cmd_help.c -- tandem help: the verbs, or one of them explained.
 *
 * In: the descriptions of the verbs. Out: text, or a man page. */
#include <stdio.h>

#include "args.h"
#include "help.h"
#include "output.h"

typedef struct help_own {
    bool man;
} help_own;

typedef struct help_arguments {
    cli_common common;
    help_own own;
} help_arguments;

static const td_option help_rows[] = {
    TD__OPTION_BOOL(help_own, man, "man", "false", "print the man page (troff) instead"),
};

static const td_option_table *help_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("help-own", help_own, help_rows);
    return &table;
}

static const cli_group help_groups[] = {
    {"Help", help_table, offsetof(help_arguments, own)},
    {"Everywhere", cli_common_option_table, offsetof(help_arguments, common)},
};

static td_status verbs_json(td_error *err)
{
    json_t *list = json_array();
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "verb", (*verb)->name, "summary",
                                              (*verb)->summary));
    }
    return cli_json_print(json_pack("{s:o}", "verbs", list), err);
}

static td_status run_help(cli_call *call, td_error *err)
{
    const help_own *own = &((const help_arguments *)call->arguments)->own;
    if (call->common->json) return verbs_json(err);
    if (call->operand_count == 0) {
        (own->man ? cli_man_overview : cli_help_overview)(stdout);
        return TD_OK;
    }
    const cli_verb *verb = cli_verb_find(call->operands[0]);
    if (verb == NULL) {
        return td__fail(err, TD_ERR_ARGUMENT, "there is no verb \"%s\"; see tandem help",
                        call->operands[0]);
    }
    (own->man ? cli_man_verb : cli_help_verb)(stdout, verb);
    return TD_OK;
}

const cli_verb cli_help = {
    .name = "help",
    .summary = "explain a verb",
    .operands = "[VERB]",
    .operands_max = 1,
    .about = "Lists the verbs, or explains one: what for, an example, every option with its "
             "default.",
    .example = "tandem help train",
    .output = "One object: verbs, a list of objects with verb and summary.",
    CLI_GROUPS(help_groups),
    .arguments_size = sizeof(help_arguments),
    .run = run_help,
};
