/* ranking.c -- search over the candidates of a model or an index.
 *
 * In: query vectors and what to leave out. Out: hits, as columns or JSON. */
#include "ranking.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "output.h"

void cli_normalize(float *vectors, uint64_t rows, uint32_t dim)
{
    for (uint64_t r = 0; r < rows; r++) {
        float *vector = vectors + r * dim;
        double squares = 0;
        for (uint32_t i = 0; i < dim; i++) squares += (double)vector[i] * (double)vector[i];
        if (squares <= 0) continue;
        double scale = 1 / sqrt(squares);
        for (uint32_t i = 0; i < dim; i++) vector[i] = (float)((double)vector[i] * scale);
    }
}

td_status cli_engine_load(cli_engine *engine, td_context *context, const char *path, bool cosine,
                          td_error *err)
{
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    return cli_engine_load_with(engine, context, path, cosine, &options, NULL, err);
}

td_status cli_engine_load_with(cli_engine *engine, td_context *context, const char *path,
                               bool cosine, const td_index_options *options,
                               const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    float *vectors = NULL;
    *engine = (cli_engine){0};
    TD_TRY(td_model_load(&engine->model, context, path, err));
    uint32_t dim = td_model_get_options(engine->model)->dim;
    const td_vocab *ids = td_model_candidates(engine->model);
    uint64_t rows = td_vocab_count(ids);
    TD_TRY(td__alloc(&vectors, context, rows * dim, sizeof *vectors, err));
    TD_TRY(td_model_encode_candidates(engine->model, vectors, err));
    if (cosine) cli_normalize(vectors, rows, dim);
    td_vectors items = {.data = vectors, .rows = rows, .dim = dim};
    TD_TRY(td_index_build_with(&engine->index, context, &items, ids, options, hook, err));
done:
    td__free(context, vectors);
    return status;
}

void cli_engine_free(cli_engine *engine)
{
    td_index_free(engine->index);
    td_model_free(engine->model);
    *engine = (cli_engine){0};
}

td_status cli_lists_add(cli_lists *lists, td_context *context, const uint32_t *first,
                        uint32_t first_count, const uint32_t *second, uint32_t second_count,
                        td_error *err)
{
    td_status status = TD_OK;
    lists->context = context;
    uint64_t start = lists->queries == 0 ? 0 : lists->offsets[lists->queries];
    uint64_t end = start + first_count + second_count;
    TD_TRY(td__grow(&lists->offsets, context, (uint64_t)lists->queries + 2, sizeof *lists->offsets,
                    err));
    TD_TRY(td__grow(&lists->values, context, end + 1, sizeof *lists->values, err));
    if (first_count > 0) memcpy(lists->values + start, first, first_count * sizeof *first);
    if (second_count > 0) {
        memcpy(lists->values + start + first_count, second, second_count * sizeof *second);
    }
    lists->offsets[0] = 0;
    lists->offsets[++lists->queries] = end;
done:
    return status;
}

void cli_lists_clear(cli_lists *lists)
{
    if (lists->context == NULL) return;
    td__free(lists->context, lists->offsets);
    td__free(lists->context, lists->values);
    *lists = (cli_lists){0};
}

td_status cli_search_index(cli_hits *hits, td_context *context, const td_index *index,
                           const td_vectors *queries, uint32_t k, const cli_lists *exclude,
                           const uint64_t *allow, const td_search_effort *effort, td_error *err)
{
    td_status status = TD_OK;
    td_searcher *searcher = NULL;
    uint64_t items = td_index_count(index);
    *hits = (cli_hits){.context = context, .queries = (uint32_t)queries->rows};
    hits->k = items < k ? (uint32_t)items : k;
    td_search search = {.k = hits->k, .allow = allow};
    if (effort != NULL) search.effort = *effort;
    if (exclude != NULL) {
        search.exclude_offsets = exclude->offsets;
        search.exclude = exclude->values;
    }
    TD_TRY(td__alloc_zero(&hits->counts, context, queries->rows, sizeof *hits->counts, err));
    if (hits->k == 0) goto done;
    TD_TRY(td__alloc(&hits->hits, context, queries->rows * hits->k, sizeof *hits->hits, err));
    TD_TRY(td_searcher_create(&searcher, index, err));
    TD_TRY(td_searcher_search(searcher, queries, &search, hits->hits, hits->counts, err));
done:
    td_searcher_free(searcher);
    return status;
}

void cli_hits_clear(cli_hits *hits)
{
    if (hits->context == NULL) return;
    td__free(hits->context, hits->hits);
    td__free(hits->context, hits->counts);
    *hits = (cli_hits){0};
}

static const char *id_of(const cli_names *names, uint32_t position, char number[16])
{
    if (names->ids != NULL) return td_vocab_id(names->ids, position);
    snprintf(number, 16, "%u", position);
    return number;
}

static const char *title_of(const cli_names *names, uint32_t position)
{
    if (names->model == NULL) return NULL;
    const td_vocab *own = td_model_candidates(names->model);
    if (names->ids != own) {
        if (names->ids == NULL) return NULL;
        const char *id = td_vocab_id(names->ids, position);
        position = td_vocab_find(own, id, strlen(id));
    }
    return position != TD_NONE ? td_model_title(names->model, position) : NULL;
}

void cli_hits_print(const td_hit *hits, uint32_t count, const cli_names *names)
{
    int width = 2;
    char number[16];
    for (uint32_t i = 0; i < count; i++) {
        int own = cli_width(id_of(names, hits[i].position, number));
        if (own > width) width = own;
    }
    printf("rank    score  ");
    cli_put_padded(stdout, "id", width);
    printf("%s\n", count > 0 && title_of(names, hits[0].position) != NULL ? "  title" : "");
    for (uint32_t i = 0; i < count; i++) {
        const char *title = title_of(names, hits[i].position);
        printf("%4u %8.4g  ", i + 1, (double)hits[i].score);
        cli_put_padded(stdout, id_of(names, hits[i].position, number), width);
        if (title != NULL) fputs("  ", stdout);
        cli_put(stdout, title != NULL ? title : "");
        putchar('\n');
    }
}

json_t *cli_hits_json(const td_hit *hits, uint32_t count, const cli_names *names)
{
    char number[16];
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *title = cli_json_text(title_of(names, hits[i].position));
        json_t *id = cli_json_text(id_of(names, hits[i].position, number));
        json_array_append_new(list, json_pack("{s:i, s:o, s:f, s:o}", "rank", (int)i + 1, "id", id,
                                              "score", (double)hits[i].score, "title", title));
    }
    return list;
}
