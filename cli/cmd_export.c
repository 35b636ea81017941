/* cmd_export.c -- tandem export: vectors, ids and interactions for other programs.
 *
 * In: a model, or files of interactions. Out: one file in the form that its name asks for. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "output.h"
#include "progress.h"

/* In the order of the choices of --what. */
typedef enum export_what {
    WHAT_CANDIDATES,
    WHAT_QUERIES,
    WHAT_CANDIDATE_IDS,
    WHAT_QUERY_IDS,
    WHAT_INTERACTIONS,
    WHAT_DATASET
} export_what;

typedef struct export_own {
    export_what what;
    const char *output;
} export_own;

typedef struct export_arguments {
    cli_common common;
    export_own own;
    td_read_options read;
} export_arguments;

static const td_option own_rows[] = {
    TD__OPTION_CHOICE(export_own, what, "what", "candidates",
                      "candidates|queries|candidate-ids|query-ids|interactions|dataset",
                      "vectors or ids of a model, or the rows of interaction files"),
    TD__OPTION_TEXT(export_own, output, "output", NULL, "FILE",
                    "file to write (-o FILE): vectors as .npy, or as .csv with ids; ids one a "
                    "line; interactions as .csv; a dataset in Tandem's own form, which loads at "
                    "once"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("export-own", export_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Export", own_table, offsetof(export_arguments, own)},
    {"Reading interactions", td_read_option_table, offsetof(export_arguments, read)},
    {"Everywhere", cli_common_option_table, offsetof(export_arguments, common)},
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* --- lines of CSV and of ids */

static td_status write_text(td__writer *writer, const char *text, td_error *err)
{
    return td__writer_write(writer, text, strlen(text), err);
}

/* As RFC 4180: quoted if it holds a comma, a quote or a line break. */
static td_status write_field(td__writer *writer, const char *text, td_error *err)
{
    td_status status = TD_OK;
    if (strpbrk(text, ",\"\r\n") == NULL) return write_text(writer, text, err);
    TD_TRY(write_text(writer, "\"", err));
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"') TD_TRY(write_text(writer, "\"", err));
        TD_TRY(td__writer_write(writer, at, 1, err));
    }
    TD_TRY(write_text(writer, "\"", err));
done:
    return status;
}

static td_status write_ids(td__writer *writer, const td_vocab *ids, td_error *err)
{
    td_status status = TD_OK;
    for (uint32_t i = 0; i < td_vocab_count(ids); i++) {
        TD_TRY(write_text(writer, td_vocab_id(ids, i), err));
        TD_TRY(write_text(writer, "\n", err));
    }
done:
    return status;
}

/* "id,0,1,..." and a row for each vector; queries with several heads have them one behind the
 * other. */
static td_status write_vectors(td__writer *writer, const td_vocab *ids, const float *vectors,
                               uint64_t each, td_error *err)
{
    td_status status = TD_OK;
    char text[32];
    TD_TRY(write_text(writer, "id", err));
    for (uint64_t i = 0; i < each; i++) {
        snprintf(text, sizeof text, ",%llu", (unsigned long long)i);
        TD_TRY(write_text(writer, text, err));
    }
    for (uint32_t row = 0; row < td_vocab_count(ids); row++) {
        TD_TRY(write_text(writer, "\n", err));
        TD_TRY(write_field(writer, td_vocab_id(ids, row), err));
        for (uint64_t i = 0; i < each; i++) {
            snprintf(text, sizeof text, ",%.9g", (double)vectors[row * each + i]);
            TD_TRY(write_text(writer, text, err));
        }
    }
    TD_TRY(write_text(writer, "\n", err));
done:
    return status;
}

static td_status write_rows(td__writer *writer, const td_dataset *dataset, td_error *err)
{
    td_status status = TD_OK;
    td_rows rows = td_dataset_rows(dataset);
    char text[64];
    TD_TRY(write_text(writer, "query,candidate", err));
    if (rows.weight != NULL) TD_TRY(write_text(writer, ",weight", err));
    if (rows.timestamp != NULL) TD_TRY(write_text(writer, ",timestamp", err));
    for (uint64_t i = 0; i < rows.count; i++) {
        TD_TRY(write_text(writer, "\n", err));
        TD_TRY(write_field(writer, td_vocab_id(td_dataset_queries(dataset), rows.query[i]), err));
        TD_TRY(write_text(writer, ",", err));
        TD_TRY(write_field(writer, td_vocab_id(td_dataset_candidates(dataset), rows.candidate[i]),
                           err));
        text[0] = '\0';
        if (rows.weight != NULL) snprintf(text, sizeof text, ",%.9g", (double)rows.weight[i]);
        TD_TRY(write_text(writer, text, err));
        text[0] = '\0';
        if (rows.timestamp != NULL) {
            snprintf(text, sizeof text, ",%lld", (long long)rows.timestamp[i]);
        }
        TD_TRY(write_text(writer, text, err));
    }
    TD_TRY(write_text(writer, "\n", err));
done:
    return status;
}

/* --- the two sources */

static td_status encode(float **vectors, const td_model *model, export_what what, uint32_t heads,
                        td_context *context, td_error *err)
{
    td_status status = TD_OK;
    uint32_t *rows = NULL, dim = td_model_get_options(model)->dim;
    const td_vocab *ids = what == WHAT_QUERIES ? td_model_queries(model)
                                               : td_model_candidates(model);
    uint64_t count = td_vocab_count(ids);
    TD_TRY(td__alloc(vectors, context, count * heads * dim, sizeof **vectors, err));
    if (what == WHAT_CANDIDATES) {
        TD_TRY(td_model_encode_candidates(model, *vectors, err));
    } else {
        TD_TRY(td__alloc(&rows, context, count, sizeof *rows, err));
        for (uint32_t i = 0; i < count; i++) rows[i] = i;
        TD_TRY(td_model_encode_query_rows(model, rows, (uint32_t)count, *vectors, err));
    }
done:
    td__free(context, rows);
    return status;
}

static td_status export_vectors(const cli_call *call, const export_own *own, const td_model *model,
                                td_error *err)
{
    td_status status = TD_OK;
    float *vectors = NULL;
    td__writer *writer = NULL;
    const td_model_options *options = td_model_get_options(model);
    uint32_t heads = own->what == WHAT_QUERIES ? options->heads : 1;
    const td_vocab *ids = own->what == WHAT_QUERIES ? td_model_queries(model)
                                                    : td_model_candidates(model);
    bool npy = ends_with(own->output, ".npy"), csv = ends_with(own->output, ".csv");
    TD_FAIL_IF(!npy && !csv, err, ERR_ARGUMENT, "%s: vectors are written as .npy or .csv",
               own->output);
    TD_TRY(encode(&vectors, model, own->what, heads, call->context, err));
    if (npy) {
        td_vectors matrix = {vectors, td_vocab_count(ids), options->dim, heads};
        TD_TRY(td_vectors_write_npy(&matrix, call->context, own->output, err));
    } else {
        TD_TRY(td__writer_create(&writer, call->context, own->output, err));
        TD_TRY(write_vectors(writer, ids, vectors, (uint64_t)heads * options->dim, err));
        status = td__writer_commit(writer, err);
        writer = NULL;
    }
done:
    td__writer_abandon(writer);
    td__free(call->context, vectors);
    return status;
}

static td_status export_model(const cli_call *call, const export_own *own, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = NULL;
    td__writer *writer = NULL;
    TD_FAIL_IF(call->operand_count > 1, err, ERR_ARGUMENT, "one model at a time");
    TD_TRY(td_model_load(&model, call->context, call->operands[0], err));
    if (own->what == WHAT_CANDIDATES || own->what == WHAT_QUERIES) {
        TD_TRY(export_vectors(call, own, model, err));
    } else {
        bool queries = own->what == WHAT_QUERY_IDS;
        TD_TRY(td__writer_create(&writer, call->context, own->output, err));
        TD_TRY(write_ids(writer, queries ? td_model_queries(model) : td_model_candidates(model),
                         err));
        status = td__writer_commit(writer, err);
        writer = NULL;
    }
done:
    td__writer_abandon(writer);
    td_model_free(model);
    return status;
}

static td_status export_data(const cli_call *call, const export_own *own, td_error *err)
{
    td_status status = TD_OK;
    const export_arguments *arguments = call->arguments;
    td_dataset *dataset = NULL;
    td__writer *writer = NULL;
    td_read_report report;
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    status = td_dataset_read(&dataset, call->context, call->operands, call->operand_count,
                             &arguments->read, &hook, &report, err);
    cli_progress_end(&progress);
    if (status != TD_OK) goto done;
    if (own->what == WHAT_DATASET) {
        TD_TRY(td_dataset_save(dataset, own->output, err));
    } else {
        TD_TRY(td__writer_create(&writer, call->context, own->output, err));
        TD_TRY(write_rows(writer, dataset, err));
        status = td__writer_commit(writer, err);
        writer = NULL;
    }
done:
    td__writer_abandon(writer);
    td_dataset_free(dataset);
    return status;
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const export_own *own = &((const export_arguments *)call->arguments)->own;
    TD_FAIL_IF(own->output == NULL, err, ERR_ARGUMENT, "where to? name the file with -o FILE");
    bool data = own->what == WHAT_INTERACTIONS || own->what == WHAT_DATASET;
    TD_TRY(data ? export_data(call, own, err) : export_model(call, own, err));
    if (call->common->json) {
        TD_TRY(cli_json_print(json_pack("{s:o}", "output", cli_json_text(own->output)), err));
    }
done:
    return status;
}

const cli_verb cli_export = {
    .name = "export",
    .summary = "vectors, ids and interactions for other programs",
    .operands = "MODEL|FILE...",
    .operands_min = 1,
    .operands_max = UINT32_MAX,
    .about = "Writes the vectors or the ids of a model, in the same order, or the interactions of "
             "files as one CSV or as a dataset file that later commands map instead of reading.",
    .example = "tandem export movies.tandem --what candidates -o candidates.npy\n"
               "tandem export movies.tandem --what candidate-ids -o candidates.txt",
    .output = "One object: output (the file).",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(export_arguments),
    .run = run,
};
