/* cmd_index.c -- tandem index: from vectors to a file that can be searched.
 *
 * In: a model, or a file of vectors. Out: an index file. */
#include <stdio.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "ids.h"
#include "output.h"
#include "ranking.h"

typedef struct index_own {
    const char *output;
    const char *ids;
    bool normalize;
} index_own;

typedef struct index_arguments {
    cli_common common;
    index_own own;
} index_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(index_own, output, "output", "items.index", "FILE",
                    "index file to write (-o FILE)"),
    TD__OPTION_TEXT(index_own, ids, "ids", NULL, "FILE",
                    "file with one id a line, for vectors that do not come from a model"),
    TD__OPTION_BOOL(index_own, normalize, "normalize", "false",
                    "divide each vector by its length, so that scores are cosines"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("index-own", index_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Index", own_table, offsetof(index_arguments, own)},
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

static td_status build_from_vectors(td_index **index, const cli_call *call, const char *path,
                                    td_error *err)
{
    td_status status = TD_OK;
    const index_own *own = &((const index_arguments *)call->arguments)->own;
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
    TD_TRY(td_index_build(index, call->context, &items, ids, err));
done:
    td__free(call->context, copy);
    td_vocab_free(ids);
    td_matrix_free(matrix);
    return status;
}

static td_status build_from_model(td_index **index, const cli_call *call, const char *path,
                                  td_error *err)
{
    td_status status = TD_OK;
    const index_own *own = &((const index_arguments *)call->arguments)->own;
    cli_engine engine = {0};
    TD_FAIL_IF(own->ids != NULL, err, ERR_ARGUMENT, "a model has ids of its own; leave --ids out");
    TD_TRY(cli_engine_load(&engine, call->context, path, own->normalize, err));
    *index = engine.index;
    engine.index = NULL;
done:
    cli_engine_free(&engine);
    return status;
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const index_own *own = &((const index_arguments *)call->arguments)->own;
    const char *path = call->operands[0];
    td_index *index = NULL;
    TD_FAIL_IF(own->output == NULL, err, ERR_ARGUMENT, "--output needs the name of a file");
    if (td__container_probe(path)) TD_TRY(build_from_model(&index, call, path, err));
    else TD_TRY(build_from_vectors(&index, call, path, err));
    TD_TRY(td_index_save(index, own->output, err));
    if (call->common->json) {
        TD_TRY(cli_json_print(json_pack("{s:o, s:I, s:I}", "index", cli_json_text(own->output),
                                        "items", (json_int_t)td_index_count(index), "dim",
                                        (json_int_t)td_index_dim(index)), err));
    } else if (!call->common->quiet) {
        fprintf(stderr, "%s: %s items of %u dimensions\n", own->output,
                cli_count(td_index_count(index)), td_index_dim(index));
    }
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
             ".fvecs, .fbin, or text with one vector a line. Search is exact.",
    .example = "tandem index movies.tandem -o movies.index",
    .output = "One object: index (the file), items, dim.",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(index_arguments),
    .run = run,
};
