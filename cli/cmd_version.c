/* cmd_version.c -- tandem version: which program this is. */
#include <stdio.h>

#include "output.h"
#include "verb.h"

typedef struct version_arguments {
    cli_common common;
} version_arguments;

static const cli_group groups[] = {
    {"Everywhere", cli_common_option_table, offsetof(version_arguments, common)},
};

static td_status run(cli_call *call, td_error *err)
{
    if (call->common->json) return cli_json_print(json_pack("{s:s}", "version", td_version()), err);
    printf("tandem %s\n", td_version());
    return TD_OK;
}

const cli_verb cli_version = {
    .name = "version",
    .summary = "print the version",
    .operands = "",
    .about = "Prints the version of the program.",
    .output = "One object: version.",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(version_arguments),
    .run = run,
};
