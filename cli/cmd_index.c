/* cmd_index.c -- tandem index: from vectors to a file that can be searched.
 *
 * In: a model, or a file of vectors. Out: an index file. */
#include <stdio.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "ids.h"
#include "output.h"
#include "progress.h"
#include "ranking.h"

typedef struct index_own {
    const char *output;
    const char *ids;
    bool normalize;
    const char *calibrate;
} index_own;

typedef struct index_arguments {
    cli_common common;
    index_own own;
    td_index_options index;
} index_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(index_own, output, "output", "items.index", "FILE",
                    "index file to write (-o FILE)"),
    TD__OPTION_TEXT(index_own, ids, "ids", NULL, "FILE",
                    "file with one id a line, for vectors that do not come from a model"),
    TD__OPTION_BOOL(index_own, normalize, "normalize", "false",
                    "divide each vector by its length, so that scores are cosines"),
    TD__OPTION_TEXT(index_own, calibrate, "calibrate", NULL, "FILE",
                    "query vectors of users, to learn what a tree's target recall takes; a model "
                    "brings its own users"),
};

/* Users of a model that its tree is calibrated on: more tell nothing new. */
enum { CALIBRATION_USERS = 2000 };

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("index-own", index_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Index", own_table, offsetof(index_arguments, own)},
    {"Kind", td_index_option_table, offsetof(index_arguments, index)},
    {"Everywhere", cli_common_option_table, offsetof(index_arguments, common)},
};

/* The ids of a file, in its order; as many as there are vectors. */
static td_status read_ids(td_vocab **vocab, const cli_call *call, const char *path, uint64_t rows,
                          td_error *err)
{
    td_status status = TD_OK;
    cli_ids ids = {0};
    uint32_t position;
    TD_TRY(cli_ids_read(&ids, call, "", path, err));
    TD_FAIL_IF(ids.count != rows, err, ERR_ARGUMENT, "%s: %u ids for %llu vectors", path,
               ids.count, (unsigned long long)rows);
    TD_TRY(td_vocab_create(vocab, call->context, err));
    for (uint32_t i = 0; i < ids.count; i++) {
        TD_TRY(td_vocab_add(*vocab, ids.ids[i], strlen(ids.ids[i]), &position, err));
        TD_FAIL_IF(position != i, err, ERR_PARSE, "%s: id %u, \"%.200s\", is there twice", path,
                   i + 1, ids.ids[i]);
    }
done:
    cli_ids_clear(&ids);
    return status;
}

static td_status calibrate_from_file(td_index *index, const cli_call *call, const char *path,
                                     const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    td_matrix *matrix = NULL;
    TD_TRY(td_matrix_read(&matrix, call->context, path, err));
    td_vectors queries = td_matrix_vectors(matrix);
    TD_TRY(td_index_calibrate(index, &queries, hook, err));
done:
    td_matrix_free(matrix);
    return status;
}

/* On users spread evenly over all. */
static td_status calibrate_from_model(td_index *index, const cli_call *call, const td_model *model,
                                      const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    const td_model_options *shape = td_model_get_options(model);
    uint32_t users = td_vocab_count(td_model_queries(model)), rows[CALIBRATION_USERS];
    uint32_t count = users < CALIBRATION_USERS ? users : CALIBRATION_USERS;
    uint32_t heads = shape->heads == 0 ? 1 : shape->heads;
    float *vectors = NULL;
    if (count == 0) return TD_OK;
    for (uint32_t i = 0; i < count; i++) rows[i] = (uint32_t)((uint64_t)i * users / count);
    TD_TRY(td__alloc(&vectors, call->context, (uint64_t)count * heads * shape->dim, sizeof *vectors,
                     err));
    TD_TRY(td_model_encode_query_rows(model, rows, count, vectors, err));
    td_vectors queries = {.data = vectors, .rows = count, .dim = shape->dim, .heads = heads};
    TD_TRY(td_index_calibrate(index, &queries, hook, err));
done:
    td__free(call->context, vectors);
    return status;
}

static td_status build_from_vectors(td_index **index, const cli_call *call, const char *path,
                                    const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    const index_arguments *arguments = call->arguments;
    const index_own *own = &arguments->own;
    td_matrix *matrix = NULL;
    td_vocab *ids = NULL;
    float *copy = NULL;
    TD_TRY(td_matrix_read(&matrix, call->context, path, err));
    td_vectors items = td_matrix_vectors(matrix);
    if (own->ids != NULL) TD_TRY(read_ids(&ids, call, own->ids, items.rows, err));
    if (own->normalize) {
        TD_TRY(td__alloc(&copy, call->context, items.rows * items.dim, sizeof *copy, err));
        if (items.rows > 0) memcpy(copy, items.data, items.rows * items.dim * sizeof *copy);
        cli_normalize(copy, items.rows, items.dim);
        items.data = copy;
    }
    TD_TRY(td_index_build_with(index, call->context, &items, ids, &arguments->index, hook, err));
done:
    td__free(call->context, copy);
    td_vocab_free(ids);
    td_matrix_free(matrix);
    return status;
}

static td_status build_from_model(td_index **index, const cli_call *call, const char *path,
                                  const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    const index_arguments *arguments = call->arguments;
    const index_own *own = &arguments->own;
    td_index_info info;
    cli_engine engine = {0};
    TD_FAIL_IF(own->ids != NULL, err, ERR_ARGUMENT, "a model has ids of its own; leave --ids out");
    TD_TRY(cli_engine_load_with(&engine, call->context, path, own->normalize, &arguments->index,
                                hook, err));
    td_index_describe(engine.index, &info);
    if (info.kind == TD_INDEX_TREE && own->calibrate == NULL) {
        TD_TRY(calibrate_from_model(engine.index, call, engine.model, hook, err));
    }
    *index = engine.index;
    engine.index = NULL;
done:
    cli_engine_free(&engine);
    return status;
}

/* The index of the operand, calibrated if there are users for it. */
static td_status build(td_index **index, const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const index_own *own = &((const index_arguments *)call->arguments)->own;
    const char *path = call->operands[0];
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    if (td__container_probe(path)) TD_TRY(build_from_model(index, call, path, &hook, err));
    else TD_TRY(build_from_vectors(index, call, path, &hook, err));
    if (own->calibrate != NULL) {
        TD_TRY(calibrate_from_file(*index, call, own->calibrate, &hook, err));
    }
done:
    cli_progress_end(&progress);
    return status;
}

static td_status report(const cli_call *call, const td_index *index, const char *output,
                        td_error *err)
{
    td_index_info info;
    td_index_describe(index, &info);
    const char *kind = td_index_kind_name(info.kind);
    if (call->common->json) {
        return cli_json_print(json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:I}", "index",
                                        cli_json_text(output), "kind", kind, "store",
                                        td_store_name(info.store), "items",
                                        (json_int_t)td_index_count(index), "dim",
                                        (json_int_t)td_index_dim(index), "leaves",
                                        (json_int_t)info.leaves, "calibration_queries",
                                        (json_int_t)info.calibration_queries), err);
    }
    if (call->common->quiet) return TD_OK;
    fprintf(stderr, "%s: %s items of %u dimensions", output, cli_count(td_index_count(index)),
            td_index_dim(index));
    if (info.kind == TD_INDEX_TREE) fprintf(stderr, " in a tree of %u leaves", info.leaves);
    if (info.store == TD_STORE_INT8) fputs(", of 8 bits a number", stderr);
    if (info.kind == TD_INDEX_TREE && info.calibration_queries == 0) {
        fputs(", not calibrated: give query vectors with --calibrate", stderr);
    }
    if (info.recall_most < 1.0f) {
        fprintf(stderr, ", which keep target recalls up to %.3f", (double)info.recall_most);
    }
    fputc('\n', stderr);
    return TD_OK;
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const index_own *own = &((const index_arguments *)call->arguments)->own;
    td_index *index = NULL;
    TD_FAIL_IF(own->output == NULL, err, ERR_ARGUMENT, "--output needs the name of a file");
    TD_TRY(build(&index, call, err));
    TD_TRY(td_index_save(index, own->output, err));
    TD_TRY(report(call, index, own->output, err));
done:
    td_index_free(index);
    return status;
}

const cli_verb cli_index = {
    .name = "index",
    .summary = "make a searchable file of vectors",
    .operands = "MODEL|VECTORS",
    .operands_min = 1,
    .operands_max = 1,
    .about = "Writes an index file from the candidates of a model, or from any vectors: .npy, "
             ".fvecs, .fbin, or text with one vector a line. An exact index looks at every item; a "
             "tree at the most likely ones, as many as the target recall of a search takes.",
    .example = "tandem index movies.tandem -o movies.index",
    .output = "One object: index (the file), kind, store, items, dim, leaves (of a tree, else 0), "
              "calibration_queries (0: not calibrated).",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(index_arguments),
    .run = run,
};
