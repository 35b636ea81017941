/* model_extend.c -- a model that knows more: new interactions, new queries, new candidates.
 *
 * Serves: stage 3. In: a model, a dataset of what happened since. Out: a larger model, ready to be
 * trained on.
 *
 * Old ids keep their positions and their vectors. A new id starts as the model saw it until now: with
 * the out-of-vocabulary vector of its hash. So nothing that the model says changes by extending it,
 * but that new candidates can be found, and that histories are longer where the query tower has them; and after iALS that vector is the mean of the queries. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model.h"
#include "base/poison.h"

/* One side of the interactions. */
typedef struct side {
    const td_vocab *old, *more; /* of the model, of the dataset */
    uint64_t *counts;           /* [more] rows */
    uint32_t *to;               /* [more] position in the new model, or TD_NONE */
} side;

typedef struct extension {
    td_context *context;
    const td_model *old;
    const td_dataset *more;
    td_model *model;
    side queries, candidates;
} extension;

static td_status side_init(side *s, td_context *context, const td_vocab *old, const td_vocab *more,
                           td_error *err)
{
    td_status status = TD_OK;
    uint32_t count = td_vocab_count(more);
    s->old = old;
    s->more = more;
    TD_TRY(td__alloc_zero(&s->counts, context, count, sizeof *s->counts, err));
    TD_TRY(td__alloc(&s->to, context, count, sizeof *s->to, err));
done:
    return status;
}

static void side_clear(side *s, td_context *context)
{
    td__free(context, s->counts);
    td__free(context, s->to);
}

/* The old ids in their order, then the new ones in that of the dataset. */
static td_status join(td_vocab **out, const extension *e, side *s, td_error *err)
{
    td_status status = TD_OK;
    uint32_t position;
    const td_model_options *options = &e->old->options;
    TD_TRY(td_vocab_create(out, e->context, err));
    for (uint32_t i = 0; i < td_vocab_count(s->old); i++) {
        const char *id = td_vocab_id(s->old, i);
        TD_TRY(td_vocab_add(*out, id, strlen(id), &position, err));
    }
    for (uint32_t i = 0; i < td_vocab_count(s->more); i++) {
        const char *id = td_vocab_id(s->more, i);
        bool known = options->vocabulary == TD_VOCABULARY_ALL || s->counts[i] >= options->min_count;
        s->to[i] = td_vocab_find(*out, id, strlen(id));
        if (s->to[i] == TD_NONE && known) {
            TD_TRY(td_vocab_add(*out, id, strlen(id), &s->to[i], err));
        }
    }
done:
    return status;
}

static td_status join_vocabularies(extension *e, td_error *err)
{
    td_status status = TD_OK;
    td_rows rows = td_dataset_rows(e->more);
    TD_TRY(side_init(&e->queries, e->context, e->old->queries, td_dataset_queries(e->more), err));
    TD_TRY(side_init(&e->candidates, e->context, e->old->candidates,
                     td_dataset_candidates(e->more), err));
    for (uint64_t i = 0; i < rows.count; i++) e->queries.counts[rows.query[i]]++;
    td_dataset_candidate_counts(e->more, e->candidates.counts);
    TD_TRY(join(&e->model->queries, e, &e->queries, err));
    TD_TRY(join(&e->model->candidates, e, &e->candidates, err));
done:
    return status;
}

static td_status add_counts(extension *e, td_error *err)
{
    uint32_t old = td_vocab_count(e->old->candidates);
    uint32_t all = td_vocab_count(e->model->candidates);
    td_status status =
        td__alloc_zero(&e->model->counts, e->context, all, sizeof *e->model->counts, err);
    if (status != TD_OK) return status;
    memcpy(e->model->counts, e->old->counts, old * sizeof *e->old->counts);
    for (uint32_t i = 0; i < td_vocab_count(e->candidates.more); i++) {
        uint32_t to = e->candidates.to[i];
        if (to != TD_NONE) e->model->counts[to] += e->candidates.counts[i];
    }
    return TD_OK;
}

/* --- seen lists */

static int by_position(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Sort a list and drop its doubles; returns its new length. */
static uint64_t make_distinct(uint32_t *list, uint64_t count)
{
    uint64_t kept = 0;
    if (count > 1) qsort(list, count, sizeof *list, by_position);
    for (uint64_t i = 0; i < count; i++) {
        if (kept == 0 || list[i] != list[kept - 1]) list[kept++] = list[i];
    }
    return kept;
}

/* What the old model and the dataset have of one query; returns the new end. */
static uint64_t join_seen(const extension *e, const td_query_lists *lists, uint32_t query,
                          uint32_t in_more, uint64_t start)
{
    uint64_t end = start;
    uint32_t *seen = e->model->seen, count = 0;
    if (query < td_vocab_count(e->old->queries)) {
        const uint32_t *old = td_model_seen(e->old, query, &count);
        if (count > 0) memcpy(seen + end, old, count * sizeof *seen);
        end += count;
    }
    if (in_more == TD_NONE) return end;
    for (uint64_t i = lists->offsets[in_more]; i < lists->offsets[in_more + 1]; i++) {
        uint32_t to = e->candidates.to[lists->candidates[i]];
        if (to != TD_NONE) seen[end++] = to;
    }
    return start + make_distinct(seen + start, end - start);
}

static td_status add_seen(extension *e, td_error *err)
{
    td_status status = TD_OK;
    td_query_lists lists;
    uint32_t *from = NULL; /* [queries] position in the dataset, or TD_NONE */
    uint32_t queries = td_vocab_count(e->model->queries);
    uint64_t old = e->old->seen_offsets[td_vocab_count(e->old->queries)];
    TD_TRY(td_dataset_query_lists(e->more, &lists, err));
    TD_TRY(td__alloc(&from, e->context, queries, sizeof *from, err));
    TD_TRY(td__alloc(&e->model->seen, e->context, old + lists.offsets[lists.queries],
                     sizeof *e->model->seen, err));
    TD_TRY(td__alloc(&e->model->seen_offsets, e->context, (uint64_t)queries + 1,
                     sizeof *e->model->seen_offsets, err));
    for (uint32_t q = 0; q < queries; q++) from[q] = TD_NONE;
    for (uint32_t i = 0; i < lists.queries; i++) {
        if (e->queries.to[i] != TD_NONE) from[e->queries.to[i]] = i;
    }
    e->model->seen_offsets[0] = 0;
    for (uint32_t q = 0; q < queries; q++) {
        e->model->seen_offsets[q + 1] = join_seen(e, &lists, q, from[q], e->model->seen_offsets[q]);
    }
done:
    td__free(e->context, from);
    return status;
}

/* --- titles */

/* A new item file knows best; else what the old model had. */
static const char *title_of(const extension *e, const td_catalog *catalog, uint32_t candidate)
{
    const char *title = NULL;
    if (catalog != NULL) {
        const char *id = td_vocab_id(e->model->candidates, candidate);
        uint32_t position = td_vocab_find(td_catalog_ids(catalog), id, strlen(id));
        if (position != TD_NONE) title = td_catalog_title(catalog, position);
    }
    if (title == NULL && candidate < td_vocab_count(e->old->candidates)) {
        title = td_model_title(e->old, candidate);
    }
    return title == NULL ? "" : title;
}

static td_status add_titles(extension *e, const td_catalog *catalog, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = e->model;
    uint32_t count = td_vocab_count(model->candidates);
    if (catalog == NULL && e->old->title_offsets == NULL) return TD_OK;
    TD_TRY(td__alloc(&model->title_offsets, e->context, (uint64_t)count + 1,
                     sizeof *model->title_offsets, err));
    model->title_offsets[0] = 0;
    for (uint32_t c = 0; c < count; c++) {
        model->title_offsets[c + 1] = model->title_offsets[c] + strlen(title_of(e, catalog, c)) + 1;
    }
    TD_TRY(td__alloc(&model->title_bytes, e->context, model->title_offsets[count], 1, err));
    for (uint32_t c = 0; c < count; c++) {
        uint64_t start = model->title_offsets[c];
        memcpy(model->title_bytes + start, title_of(e, catalog, c),
               model->title_offsets[c + 1] - start);
    }
done:
    return status;
}

/* --- vectors */

/* Rows of the id table: old ones as they are, new ones as that of their hash, the rest behind. */
static void copy_table(td__tower *to, const td_vocab *ids, const td__tower *from,
                       const td_vocab *old_ids)
{
    const td__parameter *old = &from->layers[0].parameters[0];
    td__parameter *table = &to->layers[0].parameters[0];
    size_t bytes = old->cols * sizeof(float);
    for (uint32_t row = 0; row < td__tower_rows(to); row++) {
        uint32_t source = row < to->known ? td__tower_row(from, old_ids, td_vocab_id(ids, row))
                                          : from->known + (row - to->known);
        memcpy(table->weights + (size_t)row * old->cols, old->weights + (size_t)source * old->cols,
               bytes);
    }
}

/* Weights other than the id tables do not depend on the ids. */
static void copy_others(td__tower *to, const td__tower *from)
{
    for (uint32_t i = 1; i < from->layer_count; i++) {
        for (uint32_t p = 0; p < from->layers[i].parameter_count; p++) {
            const td__parameter *old = &from->layers[i].parameters[p];
            memcpy(to->layers[i].parameters[p].weights, old->weights,
                   old->rows * old->cols * sizeof(float));
        }
    }
}

static td_status add_towers(extension *e, td_error *err)
{
    td_status status = td__model_create_towers(e->model, false, err);
    if (status != TD_OK) return status;
    copy_table(&e->model->query_tower, e->model->queries, &e->old->query_tower, e->old->queries);
    copy_table(&e->model->candidate_tower, e->model->candidates, &e->old->candidate_tower,
               e->old->candidates);
    copy_others(&e->model->query_tower, &e->old->query_tower);
    copy_others(&e->model->candidate_tower, &e->old->candidate_tower);
    return TD_OK;
}

td_status td_model_extend(td_model **out, const td_model *model, const td_dataset *more,
                          const td_catalog *catalog, td_error *err)
{
    td_status status = TD_OK;
    extension e = {.context = model->context, .old = model, .more = more};
    TD_TRY(td__model_create_empty(&e.model, e.context, &model->options, err));
    TD_TRY(join_vocabularies(&e, err));
    TD_TRY(add_counts(&e, err));
    TD_TRY(add_seen(&e, err));
    TD_TRY(td__model_build_history(e.model, &(td__history_source){.dataset = more,
                                                                  .query = e.queries.to,
                                                                  .candidate = e.candidates.to,
                                                                  .old = model},
                                   err));
    TD_TRY(add_titles(&e, catalog, err));
    TD_TRY(add_towers(&e, err));
    if (model->training != NULL) TD_TRY(td__model_load_training(e.model, model->training, err));
done:
    side_clear(&e.queries, e.context);
    side_clear(&e.candidates, e.context);
    if (status != TD_OK) {
        td_model_free(e.model);
        e.model = NULL;
    }
    *out = e.model;
    return status;
}
