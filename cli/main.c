/* main.c -- the command line tool: find the verb, read its options, run it, report.
 *
 * Results go to standard output, progress and errors to standard error. The exit code says what
 * kind of failure it was (td_status_exit_code); see EXIT STATUS in tandem(1). */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "help.h"
#include "output.h"

const cli_verb *const cli_verbs[] = {
    &cli_train,  &cli_tune,   &cli_evaluate, &cli_recommend, &cli_similar, &cli_index,
    &cli_update, &cli_search, &cli_bench,    &cli_export,    &cli_info,    &cli_check,   &cli_help,
    &cli_completion, &cli_version, NULL,
};

static const td_option common_rows[] = {
    TD__OPTION_U32(cli_common, threads, "threads", "0", 0, 256, "N",
                   "threads to use; 0: as many as this process may run on"),
    TD__OPTION_TEXT(cli_common, kernel, "kernel", "auto", "NAME",
                    "kernel set to use; tandem info --cpu lists them"),
    TD__OPTION_BOOL(cli_common, json, "json", "false", "print the result as JSON"),
    TD__OPTION_BOOL(cli_common, quiet, "quiet", "false",
                    "no progress and no remarks on standard error (-q)"),
};

const td_option_table *cli_common_option_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("common", cli_common, common_rows);
    return &table;
}

/* One sentence; nothing if the reader of a pipe went away, which is its good right. */
static int report(const char *verb, td_status status, const td_error *err)
{
    if (status == TD_OK) return 0;
    if (!cli_pipe_closed()) {
        fprintf(stderr, "tandem %s: ", verb);
        cli_put(stderr, err->message);
        fputc('\n', stderr);
    }
    return td_status_exit_code(status);
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    td_context_options options = {.threads = call->common->threads, .kernel = call->common->kernel};
    TD_TRY(td_context_create(&call->context, &options, err));
    TD_TRY(call->verb->run(call, err));
done:
    td_context_free(call->context);
    call->context = NULL;
    return status;
}

static int run_verb(const cli_verb *verb, int argc, char **argv)
{
    cli_call call = {0};
    td_error err = {0}, end_err;
    bool help = false;
    td_status status = cli_parse(&call, verb, argc, argv, &help, &err);
    if (status == TD_OK && help) cli_help_verb(stdout, verb);
    else if (status == TD_OK) status = run(&call, &err);
    cli_call_clear(&call);
    td_status end = cli_output_end(&end_err);
    if (status == TD_OK && end != TD_OK) {
        status = end;
        err = end_err;
    }
    return report(verb->name, status, &err);
}

static int unknown_verb(const char *name)
{
    const char *names[32];
    uint32_t count = 0;
    while (cli_verbs[count] != NULL && count < 32) {
        names[count] = cli_verbs[count]->name;
        count++;
    }
    const char *nearest = cli_nearest(name, names, count);
    fputs("tandem: there is no verb \"", stderr);
    cli_put(stderr, name);
    fprintf(stderr, nearest != NULL ? "\"; did you mean %s?\n" : "\"; see tandem help%s\n",
            nearest != NULL ? nearest : "");
    return td_status_exit_code(TD_ERR_ARGUMENT);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        cli_help_overview(stderr);
        return td_status_exit_code(TD_ERR_ARGUMENT);
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    const cli_verb *verb = cli_verb_find(name);
    if (verb == NULL) return unknown_verb(name);
    return run_verb(verb, argc - 2, argv + 2);
}
