/* cmd_completion.c -- tandem completion: scripts that complete verbs, options and choices. */
#include <stdio.h>

#include "help.h"

typedef struct completion_arguments {
    cli_common common;
} completion_arguments;

static const cli_group groups[] = {
    {"Everywhere", cli_common_option_table, offsetof(completion_arguments, common)},
};

static td_status run(cli_call *call, td_error *err)
{
    if (cli_completion_script(stdout, call->operands[0])) return TD_OK;
    return td__fail(err, TD_ERR_ARGUMENT,
                    "there is no completion for \"%s\"; there is bash, zsh, fish",
                    call->operands[0]);
}

const cli_verb cli_completion = {
    .name = "completion",
    .summary = "print a completion script for bash, zsh or fish",
    .operands = "SHELL",
    .operands_min = 1,
    .operands_max = 1,
    .about = "Prints a script that completes verbs, options and their choices. An installed Tandem "
             "has these scripts where the shells look for them.",
    .example = "eval \"$(tandem completion bash)\"",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(completion_arguments),
    .run = run,
};
