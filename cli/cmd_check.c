/* cmd_check.c -- tandem check: are these files of Tandem whole?
 *
 * In: files. Out: a line for each; the first failure gives the exit code. */
#include <stdio.h>

#include "output.h"
#include "verb.h"

typedef struct check_arguments {
    cli_common common;
} check_arguments;

static const cli_group groups[] = {
    {"Everywhere", cli_common_option_table, offsetof(check_arguments, common)},
};

static td_status check_one(const cli_call *call, const char *path, json_t *list, td_error *err)
{
    td_status status = td_file_check(call->context, path, err);
    if (list != NULL) {
        json_t *why = status == TD_OK ? json_null() : cli_json_text(err->message);
        json_array_append_new(list, json_pack("{s:o, s:b, s:s, s:o}", "file", cli_json_text(path),
                                              "ok", (int)(status == TD_OK), "status",
                                              td_status_name(status), "error", why));
    } else {
        cli_put(stdout, path);
        fputs(status == TD_OK ? ": ok" : ": not ok\n    ", stdout);
        if (status != TD_OK) cli_put(stdout, err->message);
        putchar('\n');
    }
    return status;
}

static td_status run(cli_call *call, td_error *err)
{
    td_status first = TD_OK, status;
    td_error own;
    json_t *list = call->common->json ? json_array() : NULL;
    for (uint32_t i = 0; i < call->operand_count; i++) {
        status = check_one(call, call->operands[i], list, &own);
        if (status == TD_OK || first != TD_OK) continue;
        first = status;
        if (err != NULL) *err = own;
    }
    if (list != NULL) {
        status = cli_json_print(json_pack("{s:o}", "files", list), &own);
        if (first == TD_OK && status != TD_OK) {
            first = status;
            if (err != NULL) *err = own;
        }
    }
    return first;
}

const cli_verb cli_check = {
    .name = "check",
    .summary = "verify files of Tandem",
    .operands = "FILE...",
    .operands_min = 1,
    .operands_max = UINT32_MAX,
    .about = "Verifies model, index, dataset and checkpoint files: structure, every checksum, and "
             "the rules of their kind, such as offsets in order and numbers that are finite.",
    .example = "tandem check movies.tandem movies.index",
    .output = "One object: files, a list of objects with file, ok, status (OK, ERR_CORRUPT, ...) "
              "and error (a sentence, or null).",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(check_arguments),
    .run = run,
};
