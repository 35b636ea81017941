/* memory.c -- the memory of a training, told before it starts.
 *
 * In: what was read, and the options. Out: a line for people, an object for programs, or a refusal.
 */
#include "memory.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/saturate.h"
#include "machine.h"
#include "output.h"

static const td_option rows[] = {
    TD__OPTION_U64(cli_memory, bytes_max, "memory-max", "0", 0, TD__U64_MAX, "BYTES",
                   "refuse to start if more is needed beside the data; 0: what the machine, or the "
                   "control group, has free"),
    TD__OPTION_BOOL(cli_memory, plan, "plan", "false",
                    "say how much memory it would take, and stop"),
};

const td_option_table *cli_memory_option_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("memory", cli_memory, rows);
    return &table;
}

static uint64_t title_bytes(const td_catalog *catalog)
{
    uint64_t bytes = 0;
    if (catalog == NULL) return 0;
    for (uint32_t i = 0; i < td_vocab_count(td_catalog_ids(catalog)); i++) {
        const char *title = td_catalog_title(catalog, i);
        bytes += title == NULL ? 1 : strlen(title) + 1;
    }
    return bytes;
}

/* If a later training takes more than the first, the plan is that of the later one: the best model
 * so far, by either trainer, stays beside it. */
static td_status add_rival(td_memory_plan *plan, const td_plan_data *data,
                           const cli_memory_job *job, td_error *err)
{
    td_status status = TD_OK;
    td_memory_plan rival;
    uint64_t kept;
    if (job->rival == NULL) return TD_OK;
    TD_TRY(td_ials_plan(&rival, data, job->rival, &job->training->ials, err));
    kept = rival.model > plan->model ? rival.model : plan->model;
    rival.model = td__sat_add(rival.model, kept);
    rival.needed = td__sat_add(rival.needed, kept);
    if (rival.needed > plan->needed) *plan = rival;
done:
    return status;
}

static td_status make_plan(td_memory_plan *plan, const cli_call *call, const cli_memory_job *job,
                           td_error *err)
{
    td_status status = TD_OK;
    td_plan_data data;
    const cli_parts *parts = job->parts;
    const cli_training *training = job->training;
    /* It may be trained again on all rows. */
    const td_dataset *train = parts->whole != NULL ? parts->whole : parts->train;
    TD_TRY(td_plan_data_of(&data, train, parts->validation, parts->test, err));
    data.title_bytes = title_bytes(job->catalog);
    data.threads = td_context_threads(call->context);
    TD_TRY(cli_beside_kinds(&data.baselines, job->beside, data.size.candidates, err));
    TD_TRY(training->trainer == CLI_TRAINER_IALS
               ? td_ials_plan(plan, &data, &training->model, &training->ials, err)
               : td_train_plan(plan, &data, &training->model, &training->softmax, err));
    TD_TRY(add_rival(plan, &data, job, err));
done:
    return status;
}

static void print_part(FILE *out, const char *before, const char *name, uint64_t bytes)
{
    char text[TD__AMOUNT_MAX];
    if (bytes > 0) fprintf(out, "%s%s %s", before, name, td__amount(text, bytes));
}

static void print_plan(FILE *out, const cli_memory_report *report)
{
    const td_memory_plan *plan = &report->plan;
    char needed[TD__AMOUNT_MAX], data[TD__AMOUNT_MAX], most[TD__AMOUNT_MAX];
    fprintf(out, "memory: %s beside the data (%s): ", td__amount(needed, plan->needed),
            td__amount(data, plan->data));
    print_part(out, "", "model", plan->model);
    print_part(out, ", ", "copies of its weights", plan->copies);
    print_part(out, ", ", "optimizer", plan->optimizer);
    print_part(out, ", ", "workspace", plan->workspace);
    print_part(out, ", ", "measuring", plan->evaluation);
    print_part(out, ", ", "baselines", plan->baselines);
    if (report->bytes_max == UINT64_MAX) fputs("; how much is free is not known\n", out);
    else fprintf(out, "; %s may be taken\n", td__amount(most, report->bytes_max));
}

td_status cli_memory_plan(cli_memory_report *report, const cli_memory *memory, const cli_call *call,
                          const cli_memory_job *job, td_error *err)
{
    td_status status = TD_OK;
    *report = (cli_memory_report){.bytes_max = memory->bytes_max};
    if (report->bytes_max == 0) report->bytes_max = cli_memory_free("");
    TD_TRY(make_plan(&report->plan, call, job, err));
    if (memory->plan && !call->common->json) print_plan(stdout, report);
    else if (!call->common->quiet) print_plan(stderr, report);
    TD_TRY(td_memory_plan_check(&report->plan, report->bytes_max, err));
done:
    return status;
}

/* JSON's integers here end at 2^63. */
static json_t *bytes_json(uint64_t bytes)
{
    return json_integer(bytes > INT64_MAX ? INT64_MAX : (json_int_t)bytes);
}

json_t *cli_memory_json(const cli_memory_report *report)
{
    const td_memory_plan *plan = &report->plan;
    json_t *most = report->bytes_max == UINT64_MAX ? json_null() : bytes_json(report->bytes_max);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "data",
                     bytes_json(plan->data), "model", bytes_json(plan->model), "copies",
                     bytes_json(plan->copies), "optimizer", bytes_json(plan->optimizer),
                     "workspace", bytes_json(plan->workspace), "evaluation",
                     bytes_json(plan->evaluation), "baselines", bytes_json(plan->baselines),
                     "needed", bytes_json(plan->needed), "may_be_taken", most);
}
