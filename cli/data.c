/* data.c -- interactions for training and for measuring.
 *
 * In: files and flags. Out: the training part and what is held out, in one pair of vocabularies. */
#include "data.h"

#include <stdio.h>

#include "args.h"
#include "output.h"

static const td_option rows[] = {
    TD__OPTION_TEXT(cli_data, test, "test", NULL, "FILE",
                    "file with the part to measure on, of the same form as the others"),
};

const td_option_table *cli_data_option_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("data", cli_data, rows);
    return &table;
}

static td_status read_files(td_dataset **out, const cli_call *call, const cli_data *data,
                            const char *const *files, uint32_t count, td_read_report *report,
                            td_error *err)
{
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    td_status status = td_dataset_read(out, call->context, files, count, &data->read, &hook, report,
                                       err);
    cli_progress_end(&progress);
    return status;
}

/* The test part from its own file. */
static td_status add_test_file(cli_parts *parts, const cli_call *call, const cli_data *data,
                               td_error *err)
{
    td_status status = TD_OK;
    td_dataset *test = NULL, *train = NULL;
    td_read_report report;
    TD_TRY(read_files(&test, call, data, &data->test, 1, &report, err));
    TD_TRY(td_dataset_align(&train, &parts->test, parts->train, test, err));
    td_dataset_free(parts->train);
    parts->train = train;
done:
    td_dataset_free(test);
    return status;
}

/* Replace the training part by what a split keeps of it. */
static td_status hold_out(cli_parts *parts, const td_split_options *split, td_error *err)
{
    td_dataset *kept = NULL;
    td_status status = td_dataset_split(&kept, &parts->test, parts->train, split, err);
    if (status != TD_OK) return status;
    td_dataset_free(parts->train);
    parts->train = kept;
    return TD_OK;
}

td_status cli_parts_hold_validation(cli_parts *parts, const cli_call *call, const cli_data *data,
                                    double fraction, td_error *err)
{
    td_split_options split = data->split;
    td_dataset *kept = NULL;
    if (!cli_given_any(call, td_split_option_table())) split.kind = TD_SPLIT_RANDOM;
    if (split.kind != TD_SPLIT_LAST) split.count = 0;
    split.fraction = fraction;
    td_status status = td_dataset_split(&kept, &parts->validation, parts->train, &split, err);
    if (status != TD_OK) return status;
    parts->whole = parts->train;
    parts->train = kept;
    return TD_OK;
}

td_status cli_parts_read(cli_parts *parts, const cli_call *call, const cli_data *data,
                         const char *const *files, uint32_t count, bool split_serves, td_error *err)
{
    td_status status = TD_OK;
    bool split = cli_given_any(call, td_split_option_table());
    bool both = data->test != NULL && split && !split_serves;
    *parts = (cli_parts){0};
    TD_FAIL_IF(both, err, ERR_ARGUMENT,
               "--test names the held-out part, so there is nothing to split; leave one of the two "
               "out");
    TD_TRY(read_files(&parts->train, call, data, files, count, &parts->report, err));
    TD_FAIL_IF(td_dataset_rows(parts->train).count == 0, err, ERR_PARSE,
               "%s: holds no interactions; expected lines with a query id and a candidate id%s",
               files[0], parts->report.below_rating > 0 ? " and a rating that is high enough" : "");
    if (data->test != NULL) TD_TRY(add_test_file(parts, call, data, err));
    else if (split) TD_TRY(hold_out(parts, &data->split, err));
done:
    return status;
}

void cli_parts_free(cli_parts *parts)
{
    td_dataset_free(parts->train);
    td_dataset_free(parts->validation);
    td_dataset_free(parts->whole);
    td_dataset_free(parts->test);
    *parts = (cli_parts){0};
}

static void print_part(const char *name, const td_dataset *part)
{
    if (part == NULL) return;
    fprintf(stderr, ", %s rows %s", cli_count(td_dataset_rows(part).count), name);
}

void cli_parts_print(const cli_parts *parts, const cli_call *call)
{
    const td_read_report *report = &parts->report;
    if (call->common->quiet) return;
    fprintf(stderr, "%s queries, %s candidates",
            cli_count(td_vocab_count(td_dataset_queries(parts->train))),
            cli_count(td_vocab_count(td_dataset_candidates(parts->train))));
    print_part("to train on", parts->train);
    print_part("for validation", parts->validation);
    print_part("held out", parts->test);
    fputc('\n', stderr);
    if (report->below_rating > 0) {
        fprintf(stderr, "%s rows below the least rating were left out\n",
                cli_count(report->below_rating));
    }
    if (report->bad_lines > 0) {
        fprintf(stderr, "%s bad lines were skipped; the first: %s\n", cli_count(report->bad_lines),
                report->first_bad);
    }
}
