/* cmd_info.c -- tandem info: what a file holds, what this machine can do.
 *
 * In: a file of Tandem, or of interactions; or --cpu. Out: a description. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "output.h"
#include "progress.h"

typedef struct info_own {
    bool cpu;
} info_own;

typedef struct info_arguments {
    cli_common common;
    info_own own;
    td_read_options read;
} info_arguments;

static const td_option own_rows[] = {
    TD__OPTION_BOOL(info_own, cpu, "cpu", "false",
                    "kernel sets: built in, able to run here, chosen"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("info-own", info_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Information", own_table, offsetof(info_arguments, own)},
    {"Reading interactions", td_read_option_table, offsetof(info_arguments, read)},
    {"Everywhere", cli_common_option_table, offsetof(info_arguments, common)},
};

static td_status describe_cpu(const cli_call *call, td_error *err)
{
    const char *name, *chosen = td_context_kernel(call->context);
    bool available;
    json_t *sets = json_array();
    for (uint32_t i = 0; td_kernel_describe(i, &name, &available); i++) {
        json_array_append_new(sets, json_pack("{s:s, s:b, s:b}", "kernel", name, "available",
                                              (int)available, "chosen",
                                              (int)(strcmp(name, chosen) == 0)));
    }
    if (call->common->json) {
        return cli_json_print(json_pack("{s:i, s:b, s:o}", "threads",
                                        (int)td_context_threads(call->context), "bfloat16",
                                        (int)td_context_bfloat16(call->context), "kernels", sets),
                              err);
    }
    json_decref(sets);
    for (uint32_t i = 0; td_kernel_describe(i, &name, &available); i++) {
        bool is_chosen = strcmp(name, chosen) == 0;
        printf("%-10s %s%s\n", name, available ? "available" : "not on this machine",
               is_chosen ? ", chosen" : "");
    }
    printf("%u threads; products of bfloat16 %s\n", td_context_threads(call->context),
           td_context_bfloat16(call->context)
               ? "by instructions for them"
               : "widened to float32: --precision bfloat16 is slower");
    return TD_OK;
}

/* Objects and short arrays of JSON as indented lines, for people. */
static void print_value(const char *key, const json_t *value, int depth)
{
    printf("%*s%s", depth * 2, "", key != NULL ? key : "");
    if (json_is_object(value) || json_is_array(value)) putchar('\n');
    if (json_is_object(value)) {
        for (void *at = json_object_iter((json_t *)value); at != NULL;
             at = json_object_iter_next((json_t *)value, at)) {
            print_value(json_object_iter_key(at), json_object_iter_value(at), depth + 1);
        }
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            char *line = json_dumps(json_array_get(value, i), JSON_COMPACT | JSON_ENCODE_ANY);
            printf("%*s%s\n", depth * 2 + 2, "", line != NULL ? line : "");
            free(line);
        }
    } else {
        char *line = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        printf(": %s\n", line != NULL ? line : "");
        free(line);
    }
}

/* What an index is, beside the tensors that it is kept in. */
static td_status describe_index(const cli_call *call, json_t *root, td_error *err)
{
    td_index *index;
    td_index_info info;
    td_status status = td_index_load_mapped(&index, call->context, call->operands[0], err);
    if (status != TD_OK) return status;
    td_index_describe(index, &info);
    json_object_set_new(
        root, "index",
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:f}", "kind",
                  td_index_kind_name(info.kind), "distance_measure",
                  td_distance_measure_name(info.distance_measure), "store",
                  td_store_name(info.store), "bytes", (json_int_t)info.bytes,
                  "items", (json_int_t)info.items, "positions",
                  (json_int_t)td_index_count(index), "leaves", (json_int_t)info.leaves,
                  "calibration_queries", (json_int_t)info.calibration_queries, "recall_most",
                  (double)info.recall_most, "updates", (json_int_t)info.updates, "drift",
                  info.drift));
    td_index_free(index);
    return TD_OK;
}

static td_status describe_container(const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    char *text = NULL;
    json_t *root = NULL;
    json_error_t reason = {0};
    TD_TRY(td_file_describe(&text, call->context, call->operands[0], err));
    root = json_loads(text, 0, &reason);
    TD_FAIL_IF(root == NULL, err, ERR_CORRUPT, "%s: the description is no JSON: %s",
               call->operands[0], reason.text);
    if (strcmp(json_string_value(json_object_get(root, "kind")), "index") == 0) {
        TD_TRY(describe_index(call, root, err));
    }
    if (call->common->json) {
        status = cli_json_print(root, err);
        root = NULL;
        goto done;
    }
    for (void *at = json_object_iter(root); at != NULL; at = json_object_iter_next(root, at)) {
        print_value(json_object_iter_key(at), json_object_iter_value(at), 0);
    }
done:
    json_decref(root);
    td_text_free(call->context, text);
    return status;
}

typedef struct time_range {
    int64_t first, last;
} time_range;

static time_range range_of(const td_rows *rows)
{
    time_range range = {0, 0};
    if (rows->timestamp == NULL || rows->count == 0) return range;
    range.first = range.last = rows->timestamp[0];
    for (uint64_t i = 1; i < rows->count; i++) {
        if (rows->timestamp[i] < range.first) range.first = rows->timestamp[i];
        if (rows->timestamp[i] > range.last) range.last = rows->timestamp[i];
    }
    return range;
}

static td_status show_dataset(const cli_call *call, const td_dataset *dataset,
                              const td_read_report *report, td_error *err)
{
    td_rows rows = td_dataset_rows(dataset);
    uint64_t queries = td_vocab_count(td_dataset_queries(dataset));
    uint64_t candidates = td_vocab_count(td_dataset_candidates(dataset));
    time_range range = range_of(&rows);
    if (call->common->json) {
        json_t *root = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "kind", "interactions",
                                 "rows", (json_int_t)rows.count, "queries", (json_int_t)queries,
                                 "candidates", (json_int_t)candidates, "lines",
                                 (json_int_t)report->lines, "bad_lines",
                                 (json_int_t)report->bad_lines, "below_rating",
                                 (json_int_t)report->below_rating);
        if (rows.timestamp != NULL) {
            json_object_set_new(root, "first_timestamp", json_integer(range.first));
            json_object_set_new(root, "last_timestamp", json_integer(range.last));
        }
        return cli_json_print(root, err);
    }
    printf("interactions: %s rows of %s queries and %s candidates", cli_count(rows.count),
           cli_count(queries), cli_count(candidates));
    if (queries > 0 && candidates > 0) {
        printf(", %.3g%% of all pairs",
               100.0 * (double)rows.count / ((double)queries * (double)candidates));
    }
    putchar('\n');
    if (rows.timestamp != NULL) {
        printf("timestamps: %" PRId64 " to %" PRId64 "\n", range.first, range.last);
    }
    if (report->below_rating > 0) {
        printf("below the least rating: %s\n", cli_count(report->below_rating));
    }
    if (report->bad_lines > 0) {
        printf("bad lines: %s; the first: %s\n", cli_count(report->bad_lines), report->first_bad);
    }
    return TD_OK;
}

static td_status describe_text(const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const info_arguments *arguments = call->arguments;
    td_dataset *dataset = NULL;
    td_read_report report = {0};
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    status = td_dataset_read(&dataset, call->context, call->operands, 1, &arguments->read, &hook,
                             &report, err);
    cli_progress_end(&progress);
    if (status == TD_OK) status = show_dataset(call, dataset, &report, err);
    td_dataset_free(dataset);
    return status;
}

static td_status run(cli_call *call, td_error *err)
{
    const info_own *own = &((const info_arguments *)call->arguments)->own;
    if (own->cpu) return describe_cpu(call, err);
    if (call->operand_count == 0) {
        return td__fail(err, TD_ERR_ARGUMENT, "about what? name a file, or give --cpu");
    }
    if (td__container_probe(call->operands[0])) return describe_container(call, err);
    return describe_text(call, err);
}

const cli_verb cli_info = {
    .name = "info",
    .summary = "what a file holds, what this machine can do",
    .operands = "[FILE]",
    .operands_min = 0,
    .operands_max = 1,
    .about = "Describes a model, index, dataset or checkpoint file: its kind, options, counts and "
             "tensors. Any other file is read as interactions and counted, which shows whether "
             "Tandem understands it. --cpu lists the kernel sets instead.",
    .example = "tandem info movies.tandem\n"
               "tandem info data/ml-latest-small/ratings.csv\n"
               "tandem info --cpu",
    .output = "For a file of Tandem its description: kind, version, metadata and the table of "
              "tensors; for an index also index: kind, distance_measure, store, bytes (of "
              "memory, without ids), items, positions, leaves, calibration_queries, "
              "recall_most (of int8: the largest target recall that is kept; 1: no limit is "
              "known), updates, drift. For interactions: kind, rows, queries, candidates, lines, "
              "bad_lines, below_rating, and first_timestamp and last_timestamp if they were "
              "read. For --cpu: threads, and kernels: a list of objects with kernel, "
              "available, chosen.",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(info_arguments),
    .run = run,
};
