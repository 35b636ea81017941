/* cmd_update.c -- tandem update: items of an index come, change and go.
 *
 * In: an index file, vectors with ids, ids to delete. Out: the index file, replaced as a whole. */
#include <stdio.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "ids.h"
#include "output.h"
#include "progress.h"
#include "ranking.h"

typedef struct update_own {
    const char *output;
    const char *upsert;
    const char *ids;
    bool normalize;
    const char *remove; /* read from the list of given flags */
    const char *remove_file;
    bool rebuild;
    const char *calibrate;
} update_own;

typedef struct update_arguments {
    cli_common common;
    update_own own;
} update_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(update_own, output, "output", NULL, "FILE",
                    "index file to write (-o FILE); without it the index itself is replaced"),
    TD__OPTION_TEXT(update_own, upsert, "upsert", NULL, "FILE",
                    "vectors to insert, or to put in the place of those with the same ids: .npy, "
                    ".fvecs, .fbin, text with one vector a line, or a model, for its candidates"),
    TD__OPTION_TEXT(update_own, ids, "ids", NULL, "FILE",
                    "file with one id a line, for vectors that do not come from a model"),
    TD__OPTION_BOOL(update_own, normalize, "normalize", "false",
                    "divide each vector by its length, as the index was made"),
    TD__OPTION_TEXT(update_own, remove, "delete", NULL, "ID",
                    "item to delete, after all vectors are in; may be given several times"),
    TD__OPTION_TEXT(update_own, remove_file, "delete-file", NULL, "FILE",
                    "file with one such item id a line"),
    TD__OPTION_BOOL(update_own, rebuild, "rebuild", "false",
                    "then build the index anew from the items that are there"),
    TD__OPTION_TEXT(update_own, calibrate, "calibrate", NULL, "FILE",
                    "query vectors of users, to calibrate a tree on at the end"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("update-own", update_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Update", own_table, offsetof(update_arguments, own)},
    {"Everywhere", cli_common_option_table, offsetof(update_arguments, common)},
};

/* How many of each. */
typedef struct update_counts {
    uint64_t upserted, deleted;
} update_counts;

static td_status upsert_vectors(td_index *index, const cli_call *call, update_counts *counts,
                                td_error *err)
{
    td_status status = TD_OK;
    const update_own *own = &((const update_arguments *)call->arguments)->own;
    td_matrix *matrix = NULL;
    cli_ids ids = {0};
    float *copy = NULL;
    TD_FAIL_IF(own->ids == NULL, err, ERR_ARGUMENT, "--upsert needs the items' ids: --ids FILE");
    TD_TRY(td_matrix_read(&matrix, call->context, own->upsert, err));
    td_vectors items = td_matrix_vectors(matrix);
    TD_TRY(cli_ids_read(&ids, call, "", own->ids, err));
    TD_FAIL_IF(ids.count != items.rows, err, ERR_ARGUMENT, "%s: %u ids for %llu vectors", own->ids,
               ids.count, (unsigned long long)items.rows);
    if (own->normalize && items.heads <= 1) {
        TD_TRY(td__alloc(&copy, call->context, items.rows * items.dim, sizeof *copy, err));
        if (items.rows > 0) memcpy(copy, items.data, items.rows * items.dim * sizeof *copy);
        cli_normalize(copy, items.rows, items.dim);
        items.data = copy;
    }
    TD_TRY(td_index_upsert(index, &items, ids.ids, NULL, err));
    counts->upserted = items.rows;
done:
    td__free(call->context, copy);
    cli_ids_clear(&ids);
    td_matrix_free(matrix);
    return status;
}

static td_status upsert_model(td_index *index, const cli_call *call, update_counts *counts,
                              td_error *err)
{
    td_status status = TD_OK;
    const update_own *own = &((const update_arguments *)call->arguments)->own;
    td_model *model = NULL;
    float *vectors = NULL;
    const char **ids = NULL;
    TD_FAIL_IF(own->ids != NULL, err, ERR_ARGUMENT, "a model has ids of its own; leave --ids out");
    TD_TRY(td_model_load(&model, call->context, own->upsert, err));
    const td_vocab *vocab = td_model_candidates(model);
    uint32_t rows = td_vocab_count(vocab), dim = td_model_get_options(model)->dim;
    TD_TRY(td__alloc(&vectors, call->context, (uint64_t)rows * dim, sizeof *vectors, err));
    TD_TRY(td__alloc(&ids, call->context, rows, sizeof *ids, err));
    TD_TRY(td_model_encode_candidates(model, vectors, err));
    if (own->normalize) cli_normalize(vectors, rows, dim);
    for (uint32_t i = 0; i < rows; i++) ids[i] = td_vocab_id(vocab, i);
    td_vectors items = {.data = vectors, .rows = rows, .dim = dim};
    TD_TRY(td_index_upsert(index, &items, ids, NULL, err));
    counts->upserted = rows;
done:
    td__free(call->context, ids);
    td__free(call->context, vectors);
    td_model_free(model);
    return status;
}

static td_status delete_items(td_index *index, const cli_call *call, update_counts *counts,
                              td_error *err)
{
    td_status status = TD_OK;
    const update_own *own = &((const update_arguments *)call->arguments)->own;
    cli_ids ids = {0};
    TD_TRY(cli_ids_read(&ids, call, "delete", own->remove_file, err));
    TD_TRY(td_index_delete(index, ids.ids, ids.count, err));
    counts->deleted = ids.count;
done:
    cli_ids_clear(&ids);
    return status;
}

/* Put into place, or build anew; and calibrate. */
static td_status finish(td_index *index, const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const update_own *own = &((const update_arguments *)call->arguments)->own;
    td_matrix *matrix = NULL;
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    if (own->rebuild) TD_TRY(td_index_rebuild(index, NULL, NULL, &hook, err));
    else TD_TRY(td_index_merge(index, err));
    if (own->calibrate != NULL) {
        TD_TRY(td_matrix_read(&matrix, call->context, own->calibrate, err));
        td_vectors queries = td_matrix_vectors(matrix);
        TD_TRY(td_index_calibrate(index, &queries, &hook, err));
    }
done:
    cli_progress_end(&progress);
    td_matrix_free(matrix);
    return status;
}

static td_status report(const cli_call *call, const td_index *index, const char *output,
                        const update_counts *counts, td_error *err)
{
    td_index_info info;
    td_index_describe(index, &info);
    if (call->common->json) {
        return cli_json_print(
            json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:f}", "index", cli_json_text(output),
                      "upserted", (json_int_t)counts->upserted, "deleted",
                      (json_int_t)counts->deleted, "items", (json_int_t)info.items, "positions",
                      (json_int_t)td_index_count(index), "updates", (json_int_t)info.updates,
                      "drift", info.drift), err);
    }
    if (call->common->quiet) return TD_OK;
    fprintf(stderr, "%s: %s upserted, %s deleted; %s items", output, cli_count(counts->upserted),
            cli_count(counts->deleted), cli_count(info.items));
    if (info.drift > 0) fprintf(stderr, "; drift %.2f", info.drift);
    if (info.drift > 1.2) fputs(", so the tree no longer suits them: give --rebuild", stderr);
    fputc('\n', stderr);
    return TD_OK;
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const update_own *own = &((const update_arguments *)call->arguments)->own;
    const char *path = call->operands[0], *output = own->output != NULL ? own->output : path;
    td_index *index = NULL;
    update_counts counts = {0};
    TD_FAIL_IF(own->upsert == NULL && own->ids != NULL, err, ERR_ARGUMENT,
               "--ids names vectors that are not there; give them with --upsert FILE");
    TD_TRY(td_index_load(&index, call->context, path, err));
    if (own->upsert != NULL && td__container_probe(own->upsert)) {
        TD_TRY(upsert_model(index, call, &counts, err));
    } else if (own->upsert != NULL) {
        TD_TRY(upsert_vectors(index, call, &counts, err));
    }
    TD_TRY(delete_items(index, call, &counts, err));
    TD_TRY(finish(index, call, err));
    TD_TRY(td_index_save(index, output, err));
    TD_TRY(report(call, index, output, &counts, err));
done:
    td_index_free(index);
    return status;
}

const cli_verb cli_update = {
    .name = "update",
    .summary = "change, add and delete items of an index",
    .operands = "INDEX",
    .operands_min = 1,
    .operands_max = 1,
    .about = "Puts vectors into an index file by id, and deletes items, without building it anew. "
             "The file is replaced as a whole, or, if anything fails, not at all. Positions stay: "
             "a replaced item keeps its own, a new one gets the next. Drift tells how far the "
             "vectors that came are from the centres of a tree, compared with those it was built "
             "for; above 1.2 it is time for --rebuild.",
    .example = "tandem index movies.tandem -o movies.index\n"
               "tandem update movies.index --delete 7 --delete 12 -o shorter.index\n"
               "tandem update shorter.index --upsert movies.tandem",
    .output = "One object: index (the file), upserted, deleted, items (that are there), positions "
              "(with those of deleted items), updates (since the index was built), drift (of a "
              "tree; 0: nothing came since).",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(update_arguments),
    .run = run,
};
