/* cmd_search.c -- tandem search: the nearest items of an index.
 *
 * In: an index and query vectors, from a file, the command line, or a model's query tower. Out: the
 * top k of each query. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ids.h"
#include "output.h"
#include "ranking.h"

typedef struct search_own {
    const char *queries;
    const char *vector;
    const char *model;
    const char *user; /* read from the list of given flags */
    uint32_t k;
    const char *exclude; /* likewise */
    const char *exclude_file;
    const char *allow;
} search_own;

typedef struct search_arguments {
    cli_common common;
    search_own own;
    td_search_effort effort;
} search_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(search_own, queries, "queries", NULL, "FILE",
                    "query vectors: .npy, .fvecs, .fbin, or text with one vector a line"),
    TD__OPTION_TEXT(search_own, vector, "vector", NULL, "NUMBERS",
                    "one query vector, \"0.1,-0.2,...\""),
    TD__OPTION_TEXT(search_own, model, "model", NULL, "FILE",
                    "model: makes the query vectors of users, and gives titles"),
    TD__OPTION_TEXT(search_own, user, "user", NULL, "ID",
                    "user of the model to search for (-u ID); may be given several times"),
    TD__OPTION_U32(search_own, k, "k", "10", 1, 1000000, "N", "how many items (-k N)"),
    TD__OPTION_TEXT(search_own, exclude, "exclude", NULL, "ID",
                    "item never to return; may be given several times"),
    TD__OPTION_TEXT(search_own, exclude_file, "exclude-file", NULL, "FILE",
                    "file with one such item id a line"),
    TD__OPTION_TEXT(search_own, allow, "allow", NULL, "FILE",
                    "file with one id a line: return only these items"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("search-own", search_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Queries and results", own_table, offsetof(search_arguments, own)},
    {"Trees", td_search_effort_option_table, offsetof(search_arguments, effort)},
    {"Everywhere", cli_common_option_table, offsetof(search_arguments, common)},
};

/* Query vectors from one of the three sources, and what to call them. */
typedef struct query_set {
    td_matrix *matrix; /* of --queries */
    td_model *model;
    cli_ids users;
    float *made; /* of --vector and --user */
    td_vectors vectors;
} query_set;

static void query_set_clear(query_set *queries, td_context *context)
{
    td_matrix_free(queries->matrix);
    td_model_free(queries->model);
    cli_ids_clear(&queries->users);
    td__free(context, queries->made);
}

/* Numbers separated by commas or blanks. */
static td_status parse_vector(query_set *queries, const cli_call *call, const char *text,
                              td_error *err)
{
    td_status status = TD_OK;
    uint32_t count = 0;
    TD_TRY(td__alloc(&queries->made, call->context, strlen(text) + 1, sizeof *queries->made, err));
    for (const char *at = text; *(at += strspn(at, ", ")) != '\0';) {
        char *end;
        queries->made[count++] = strtof(at, &end);
        TD_FAIL_IF(end == at || (*end != '\0' && strchr(", ", *end) == NULL), err, ERR_ARGUMENT,
                   "--vector: number %u, \"%.40s\", is none", count, at);
        at = end;
    }
    queries->vectors = (td_vectors){.data = queries->made, .rows = 1, .dim = count};
done:
    return status;
}

static td_status encode_users(query_set *queries, const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const td_model_options *options = td_model_get_options(queries->model);
    uint32_t count = queries->users.count, position;
    uint64_t each = (uint64_t)options->dim * options->heads;
    for (uint32_t u = 0; u < count; u++) {
        TD_TRY(cli_find(&position, td_model_queries(queries->model), queries->users.ids[u],
                        "user", err));
    }
    TD_TRY(td__alloc(&queries->made, call->context, count * each, sizeof *queries->made, err));
    TD_TRY(td_model_encode_queries(queries->model, queries->users.ids, count, queries->made, err));
    queries->vectors = (td_vectors){queries->made, count, options->dim, options->heads};
done:
    return status;
}

static td_status read_queries(query_set *queries, const cli_call *call, const search_own *own,
                              td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(cli_ids_read(&queries->users, call, "user", NULL, err));
    int sources = (own->queries != NULL) + (own->vector != NULL) + (queries->users.count > 0);
    TD_FAIL_IF(
        sources != 1, err, ERR_ARGUMENT,
        "search for what? give one of --queries FILE, --vector NUMBERS, or --model FILE with "
        "--user ID");
    TD_FAIL_IF(queries->users.count > 0 && own->model == NULL, err, ERR_ARGUMENT,
               "--user needs --model FILE, which makes the user's vector");
    if (own->model != NULL) TD_TRY(td_model_load(&queries->model, call->context, own->model, err));
    if (own->queries != NULL) {
        TD_TRY(td_matrix_read(&queries->matrix, call->context, own->queries, err));
        queries->vectors = td_matrix_vectors(queries->matrix);
    } else if (own->vector != NULL) {
        TD_TRY(parse_vector(queries, call, own->vector, err));
    } else {
        TD_TRY(encode_users(queries, call, err));
    }
done:
    return status;
}

/* Position of an item: by id, or, in an index without ids, by number. */
static td_status find_item(uint32_t *position, const td_index *index, const char *id,
                           td_error *err)
{
    if (td_index_ids(index) != NULL)
        return cli_find(position, td_index_ids(index), id, "item", err);
    char *end;
    errno = 0;
    unsigned long long number = strtoull(id, &end, 10);
    bool good = *end == '\0' && end != id && id[0] != '-' && errno == 0;
    *position = (uint32_t)number;
    if (good && number < td_index_count(index)) return TD_OK;
    return td__fail(err, TD_ERR_NOT_FOUND, "there is no item \"%.200s\"; the index has 0 to %lld",
                    id, (long long)td_index_count(index) - 1);
}

/* The same list of excluded items for each query. */
static td_status read_excluded(cli_lists *exclude, const cli_call *call, const td_index *index,
                               uint64_t queries, td_error *err)
{
    td_status status = TD_OK;
    const search_own *own = &((const search_arguments *)call->arguments)->own;
    cli_ids ids = {0};
    uint32_t *positions = NULL;
    TD_TRY(cli_ids_read(&ids, call, "exclude", own->exclude_file, err));
    TD_TRY(td__alloc(&positions, call->context, ids.count, sizeof *positions, err));
    for (uint32_t i = 0; i < ids.count; i++) {
        TD_TRY(find_item(&positions[i], index, ids.ids[i], err));
    }
    for (uint64_t q = 0; q < queries; q++) {
        TD_TRY(cli_lists_add(exclude, call->context, positions, ids.count, NULL, 0, err));
    }
done:
    td__free(call->context, positions);
    cli_ids_clear(&ids);
    return status;
}

/* Bitmap of the allowed items, or NULL without --allow. */
static td_status read_allowed(uint64_t **allow, const cli_call *call, const td_index *index,
                              td_error *err)
{
    td_status status = TD_OK;
    const search_own *own = &((const search_arguments *)call->arguments)->own;
    cli_ids ids = {0};
    uint32_t position;
    if (own->allow == NULL) return TD_OK;
    TD_TRY(cli_ids_read(&ids, call, "", own->allow, err));
    TD_TRY(
        td__alloc_zero(allow, call->context, td_index_count(index) / 64 + 1, sizeof **allow, err));
    for (uint32_t i = 0; i < ids.count; i++) {
        TD_TRY(find_item(&position, index, ids.ids[i], err));
        (*allow)[position / 64] |= UINT64_C(1) << (position % 64);
    }
done:
    cli_ids_clear(&ids);
    return status;
}

static td_status show(const cli_call *call, const td_index *index, const query_set *queries,
                      const cli_hits *hits, td_error *err)
{
    cli_names names = {td_index_ids(index), queries->model};
    json_t *list = call->common->json ? json_array() : NULL;
    for (uint32_t q = 0; q < hits->queries; q++) {
        const td_hit *own = hits->hits + (uint64_t)q * hits->k;
        const char *user = queries->users.count > 0 ? queries->users.ids[q] : NULL;
        if (list != NULL) {
            json_array_append_new(list, json_pack("{s:I, s:o, s:o}", "query", (json_int_t)q, "user",
                                                  cli_json_text(user), "items",
                                                  cli_hits_json(own, hits->counts[q], &names)));
            continue;
        }
        if (hits->queries > 1) printf("%squery %u\n", q > 0 ? "\n" : "", q);
        cli_hits_print(own, hits->counts[q], &names);
    }
    return list == NULL ? TD_OK : cli_json_print(json_pack("{s:o}", "queries", list), err);
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const search_arguments *arguments = call->arguments;
    const search_own *own = &arguments->own;
    td_index *index = NULL;
    query_set queries = {0};
    cli_lists exclude = {0};
    uint64_t *allow = NULL;
    cli_hits hits = {0};
    TD_TRY(read_queries(&queries, call, own, err));
    TD_TRY(td_index_load_mapped(&index, call->context, call->operands[0], err));
    TD_FAIL_IF(queries.vectors.dim != td_index_dim(index), err, ERR_ARGUMENT,
               "the queries have %u dimensions, %s has %u", queries.vectors.dim, call->operands[0],
               td_index_dim(index));
    TD_FAIL_IF(queries.vectors.rows > UINT32_MAX, err, ERR_LIMIT, "more than %u queries",
               UINT32_MAX);
    TD_TRY(read_excluded(&exclude, call, index, queries.vectors.rows, err));
    TD_TRY(read_allowed(&allow, call, index, err));
    TD_TRY(cli_search_index(&hits, call->context, index, &queries.vectors, own->k, &exclude, allow,
                            &arguments->effort, err));
    TD_TRY(show(call, index, &queries, &hits, err));
done:
    cli_hits_clear(&hits);
    td__free(call->context, allow);
    cli_lists_clear(&exclude);
    query_set_clear(&queries, call->context);
    td_index_free(index);
    return status;
}

const cli_verb cli_search = {
    .name = "search",
    .summary = "the nearest items of an index",
    .operands = "INDEX",
    .operands_min = 1,
    .operands_max = 1,
    .about = "Finds the items of an index file with the largest dot products with query vectors, "
             "which come from a file, from the command line, or from a model and a user. The "
             "answer of an exact index is exact; a tree may miss some items, as --target-recall "
             "says. Equal scores stand in the order of the index.",
    .example = "tandem index movies.tandem -o movies.index\n"
               "tandem search movies.index --model movies.tandem --user 7 -k 5",
    .output = "One object: queries, a list of objects with query (number from 0), user (or null) "
              "and items: a list of objects with rank, id, score, title (or null).",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(search_arguments),
    .run = run,
};
