/* model_build.c -- a new model from a dataset: which ids it knows, their counts, titles, seen lists.
 *
 * Serves: stage 3. In: the training part and the item file. Out: an untrained model.
 * Positions keep the order of the dataset, so lists that ascend there ascend here. */
#include <string.h>

#include "base/memory.h"
#include "model/model.h"
#include "base/poison.h"

/* From a dataset's positions to the model's: one side of the interactions. */
typedef struct id_map {
    const td_vocab *from;
    uint64_t *counts; /* [from] training rows */
    uint32_t *to;     /* [from] position in the model, or TD_NONE */
} id_map;

typedef struct builder {
    td_model *model;
    const td_dataset *train;
    id_map queries, candidates;
} builder;

static td_status create_map(id_map *map, td_context *context, const td_vocab *from, td_error *err)
{
    td_status status = TD_OK;
    map->from = from;
    TD_TRY(td__alloc_zero(&map->counts, context, td_vocab_count(from), sizeof *map->counts, err));
    TD_TRY(td__alloc(&map->to, context, td_vocab_count(from), sizeof *map->to, err));
done:
    return status;
}

static void clear_map(id_map *map, td_context *context)
{
    td__free(context, map->counts);
    td__free(context, map->to);
}

static bool is_known(const td_model_options *options, uint64_t count)
{
    return options->vocabulary == TD_VOCABULARY_ALL || count >= options->min_count;
}

/* The ids that get a row of their own, in the order of the dataset. */
static td_status choose_ids(td_vocab **out, const td_model *model, id_map *map, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td_vocab_create(out, model->context, err));
    for (uint32_t i = 0; i < td_vocab_count(map->from); i++) {
        map->to[i] = TD_NONE;
        if (!is_known(&model->options, map->counts[i])) continue;
        const char *id = td_vocab_id(map->from, i);
        TD_TRY(td_vocab_add(*out, id, strlen(id), &map->to[i], err));
    }
done:
    return status;
}

static td_status build_vocabularies(builder *b, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = b->model;
    td_rows rows = td_dataset_rows(b->train);
    TD_TRY(create_map(&b->queries, model->context, td_dataset_queries(b->train), err));
    TD_TRY(create_map(&b->candidates, model->context, td_dataset_candidates(b->train), err));
    for (uint64_t i = 0; i < rows.count; i++) b->queries.counts[rows.query[i]]++;
    td_dataset_candidate_counts(b->train, b->candidates.counts);
    TD_TRY(choose_ids(&model->queries, model, &b->queries, err));
    TD_TRY(choose_ids(&model->candidates, model, &b->candidates, err));
    TD_FAIL_IF(td_vocab_count(model->queries) == 0, err, ERR_ARGUMENT,
               "no query has %u training rows (min-count): nothing to learn", model->options.min_count);
    TD_FAIL_IF(td_vocab_count(model->candidates) == 0, err, ERR_ARGUMENT,
               "no candidate has %u training rows (min-count): nothing to learn",
               model->options.min_count);
done:
    return status;
}

static td_status build_counts(builder *b, td_error *err)
{
    td_model *model = b->model;
    td_status status = td__alloc(&model->counts, model->context, td_vocab_count(model->candidates),
                                 sizeof *model->counts, err);
    if (status != TD_OK) return status;
    for (uint32_t i = 0; i < td_vocab_count(b->candidates.from); i++) {
        if (b->candidates.to[i] != TD_NONE) model->counts[b->candidates.to[i]] = b->candidates.counts[i];
    }
    return TD_OK;
}

/* Append the known candidates of one query; returns the new end. */
static uint64_t copy_seen(const builder *b, const td_query_lists *lists, uint32_t query, uint64_t end)
{
    for (uint64_t i = lists->offsets[query]; i < lists->offsets[query + 1]; i++) {
        uint32_t candidate = b->candidates.to[lists->candidates[i]];
        if (candidate != TD_NONE) b->model->seen[end++] = candidate;
    }
    return end;
}

static td_status build_seen(builder *b, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = b->model;
    td_query_lists lists;
    uint32_t known = td_vocab_count(model->queries);
    TD_TRY(td_dataset_query_lists(b->train, &lists, err));
    TD_TRY(td__alloc(&model->seen_offsets, model->context, (uint64_t)known + 1,
                     sizeof *model->seen_offsets, err));
    TD_TRY(td__alloc(&model->seen, model->context, lists.offsets[lists.queries], sizeof *model->seen,
                     err));
    uint64_t end = 0;
    model->seen_offsets[0] = 0;
    for (uint32_t query = 0; query < lists.queries; query++) {
        if (b->queries.to[query] == TD_NONE) continue;
        end = copy_seen(b, &lists, query, end);
        model->seen_offsets[b->queries.to[query] + 1] = end;
    }
done:
    return status;
}

static const char *find_title(const td_model *model, const td_catalog *catalog, uint32_t candidate)
{
    const char *id = td_vocab_id(model->candidates, candidate);
    uint32_t position = td_vocab_find(td_catalog_ids(catalog), id, strlen(id));
    const char *title = position == TD_NONE ? NULL : td_catalog_title(catalog, position);
    return title == NULL ? "" : title;
}

static td_status build_titles(td_model *model, const td_catalog *catalog, td_error *err)
{
    td_status status = TD_OK;
    uint32_t count = td_vocab_count(model->candidates);
    TD_TRY(td__alloc(&model->title_offsets, model->context, (uint64_t)count + 1,
                     sizeof *model->title_offsets, err));
    model->title_offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        model->title_offsets[i + 1] = model->title_offsets[i] + strlen(find_title(model, catalog, i)) + 1;
    }
    TD_TRY(td__alloc(&model->title_bytes, model->context, model->title_offsets[count], 1, err));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = model->title_offsets[i];
        memcpy(model->title_bytes + start, find_title(model, catalog, i),
               model->title_offsets[i + 1] - start);
    }
done:
    return status;
}

td_status td_model_create(td_model **out, td_context *context, const td_dataset *train,
                          const td_catalog *catalog, const td_model_options *options, td_error *err)
{
    td_status status = TD_OK;
    builder b = {.train = train};
    TD_TRY(td__model_create_empty(&b.model, context, options, err));
    TD_TRY(build_vocabularies(&b, err));
    TD_TRY(build_counts(&b, err));
    TD_TRY(build_seen(&b, err));
    TD_TRY(td__model_build_history(b.model, &(td__history_source){.dataset = train,
                                                                  .query = b.queries.to,
                                                                  .candidate = b.candidates.to},
                                   err));
    if (catalog != NULL) TD_TRY(build_titles(b.model, catalog, err));
    TD_TRY(td__model_create_towers(b.model, true, err));
done:
    clear_map(&b.queries, context);
    clear_map(&b.candidates, context);
    if (status != TD_OK) {
        td_model_free(b.model);
        b.model = NULL;
    }
    *out = b.model;
    return status;
}
