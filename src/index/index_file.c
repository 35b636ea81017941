/* index_file.c -- an index as a file, and back.
 *
 * Serves: stage 7. In: an index, a path. Out: a container of kind "index" (base/container.h) with the
 * tensor "vectors" [N, dim] in plain rows, which any safetensors reader can use, the ids, and what the
 * kind of index adds. A file that names no kind is an exact index's. One with deleted items has a bitmap
 * of those that are there and version 2, so that no older reader brings them back; one of another measure
 * than the dot product has version 3, so that none takes its scores for dot products. One of rounded items
 * has no "vectors", and version 4; "index.rounded" has their number and width (rounded.h). Updates that are not
 * merged yet are merged for the file. */
#include "index/update.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "base/pool.h"
#include "base/poison.h"

enum {
    INDEX_VERSION = 1,
    LIVE_VERSION = 2,
    DISTANCE_VERSION = 3,
    ROUNDED_VERSION = 4,
    UNPACK_ROWS = 4096
};

#define KIND_KEY "index.kind"
#define DRIFT_KEY "index.updates"
#define ROUNDED_KEY "index.rounded"

typedef struct unpacking {
    const td_index *index;
    float *rows;
} unpacking;

static void unpack_block(void *state, uint64_t block, uint32_t worker)
{
    const unpacking *work = state;
    const td_index *index = work->index;
    uint64_t first = block * UNPACK_ROWS, left = index->count - first;
    uint64_t end = left < UNPACK_ROWS ? index->count : first + UNPACK_ROWS;
    (void)worker;
    for (uint64_t i = first; i < end; i++) {
        td__index_copy(index, (uint32_t)i, index->dim, work->rows + i * index->dim);
    }
}

/* Plain rows: those of the index, or owned ones that its panels are unpacked to. */
static td_status rows_of(const td_index *index, const float **rows, float **owned, td_error *err)
{
    td_status status = TD_OK;
    *rows = index->rows;
    if (index->rows != NULL) return TD_OK;
    TD_TRY(td__alloc(owned, index->context, index->count * index->dim, sizeof **owned, err));
    unpacking work = {.index = index, .rows = *owned};
    td__parallel_for(index->context, td__block_count(index->count, UNPACK_ROWS), unpack_block, &work);
    *rows = *owned;
done:
    return status;
}

static td_status save_vectors(const td_index *index, float **owned, td__container_writer *writer,
                              td_error *err)
{
    td_status status = TD_OK;
    const float *rows;
    char text[64];
    if (index->rounded == NULL) {
        TD_TRY(rows_of(index, &rows, owned, err));
        return td__container_add(writer, "vectors", TD__F32, index->count, index->dim, rows, err);
    }
    int used = snprintf(text, sizeof text, "{\"items\":%llu,\"dim\":%u}",
                        (unsigned long long)index->count, index->dim);
    if (used < 0) return td__fail(err, TD_ERR_LIMIT, "the size of an index cannot be written");
    TD_TRY(td__container_set(writer, ROUNDED_KEY, text, err));
done:
    return status;
}

static td_status save_drift(const td__drift *drift, td__container_writer *writer, td_error *err)
{
    char text[160];
    if (drift->updates == 0) return TD_OK;
    int used = snprintf(text, sizeof text,
                        "{\"updates\":%llu,\"built\":%.17g,\"sum\":%.17g,\"merged\":%llu}",
                        (unsigned long long)drift->updates, drift->built, drift->sum,
                        (unsigned long long)drift->merged);
    if (used < 0) return td__fail(err, TD_ERR_LIMIT, "the updates of an index cannot be written");
    return td__container_set(writer, DRIFT_KEY, text, err);
}

static uint32_t version_of(const td_index *base, const td__distance *distance)
{
    if (base->rounded != NULL) return ROUNDED_VERSION;
    if (distance->measure != TD_DOT_PRODUCT) return DISTANCE_VERSION;
    return base->dead > 0 ? LIVE_VERSION : INDEX_VERSION;
}

static td_status save_base(const td_index *index, const td_index *whole, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__container_writer *writer = NULL;
    const td_vocab *ids = td_index_ids(whole);
    float *owned = NULL; /* until all is written */
    TD_TRY(td__container_writer_create(&writer, index->context, "index",
                                       version_of(index, &whole->distance), err));
    TD_TRY(td__container_set(writer, KIND_KEY, index->kind->name, err));
    TD_TRY(td__distance_save(&whole->distance, writer, err));
    TD_TRY(save_drift(&index->drift, writer, err));
    TD_TRY(save_vectors(index, &owned, writer, err));
    if (ids != NULL) TD_TRY(td__container_add_vocab(writer, "ids", ids, err));
    if (index->dead > 0) {
        TD_TRY(td__container_add(writer, "live", TD__U64, td__words(index->count), 0, index->live, err));
    }
    if (index->kind->save != NULL) TD_TRY(index->kind->save(index, writer, err));
    TD_TRY(td__container_commit(writer, path, err));
done:
    td__container_writer_free(writer);
    td__free(index->context, owned);
    return status;
}

td_status td_index_save(const td_index *index, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td_index *merged = NULL;
    pthread_mutex_lock(&index->updates->changing);
    const td__state *state = td__state_now(index);
    if (state->log.entries_count > 0) {
        td__merge from = td__merge_from(index);
        TD_TRY(td__merge_make(&merged, &from, err));
    }
    TD_TRY(save_base(merged != NULL ? merged : state->base, index, path, err));
done:
    pthread_mutex_unlock(&index->updates->changing);
    td_index_free(merged);
    return status;
}

static td_status kind_of(const td__index_class **kind, const td__container *container, td_error *err)
{
    const char *name = td__container_get(container, KIND_KEY);
    *kind = name == NULL ? &td__index_exact : td__index_class_find(name);
    if (*kind != NULL) return TD_OK;
    return td__fail(err, TD_ERR_CORRUPT, "indexes of kind \"%.40s\" are not known", name);
}

static td_status load_drift(td__drift *drift, const td__container *container, td_error *err)
{
    td_status status = TD_OK;
    const char *text = td__container_get(container, DRIFT_KEY);
    json_int_t updates, merged;
    if (text == NULL) return TD_OK;
    json_t *object = json_loads(text, 0, NULL);
    bool good = object != NULL
                && json_unpack(object, "{s:I, s:F, s:F, s:I}", "updates", &updates, "built",
                               &drift->built, "sum", &drift->sum, "merged", &merged) == 0;
    json_decref(object);
    TD_FAIL_IF(!good || updates < 0 || merged < 0 || !(drift->built >= 0) || !isfinite(drift->built)
                   || !(drift->sum >= 0) || !isfinite(drift->sum),
               err, ERR_CORRUPT, "the record of updates is not allowed");
    drift->updates = (uint64_t)updates;
    drift->merged = (uint64_t)merged;
done:
    return status;
}

/* Which items are there: all, if the file does not say. */
static td_status load_live(td_index *index, const td__container *container, td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *tensor;
    uint64_t words = td__words(index->count), there = 0;
    if (td__container_find(container, "live") == NULL) return TD_OK;
    TD_TRY(td__container_require(container, "live", TD__U64, words, 0, &tensor, err));
    TD_TRY(td__alloc(&index->live, index->context, words, sizeof *index->live, err));
    if (words > 0) memcpy(index->live, tensor->data, (size_t)words * sizeof *index->live);
    for (uint64_t w = 0; w < words; w++) there += (uint64_t)__builtin_popcountll(index->live[w]);
    TD_FAIL_IF(words > 0 && index->count % 64 != 0 && index->live[words - 1] >> index->count % 64 != 0,
               err, ERR_CORRUPT, "an item is marked as there behind the last, %llu",
               (unsigned long long)index->count);
    index->dead = index->count - there;
done:
    return status;
}

static td_status load_distance(td_index *index, const td_vectors *items, const td__container *container,
                               td_error *err)
{
    td_status status = TD_OK;
    td__distance *distance = &index->distance;
    TD_TRY(td__distance_load(distance, container, err));
    TD_FAIL_IF(items->dim <= td__distance_columns(distance), err, ERR_CORRUPT,
               "items of %u dimensions are too narrow for the distance measure", items->dim);
    if (items->data != NULL) return td__distance_check(distance, items, err);
    TD_FAIL_IF(distance->measure == TD_SQUARED_L2, err, ERR_CORRUPT,
               "rounded items cannot be searched by squared distances");
done:
    return status;
}

/* Number and width of the items, and their vectors, or NULL: a tree has them rounded. */
static td_status load_items(td_vectors *items, const td__index_class *kind, const td__container *container,
                            td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *tensor;
    const char *text = td__container_get(container, ROUNDED_KEY);
    json_int_t rows = -1, dim = -1;
    if (text == NULL) {
        TD_TRY(td__container_require(container, "vectors", TD__F32, UINT64_MAX, UINT64_MAX, &tensor, err));
        TD_FAIL_IF(tensor->cols > TD__DIM_MAX, err, ERR_CORRUPT, "items of %llu dimensions; at most %d "
                   "are allowed", (unsigned long long)tensor->cols, TD__DIM_MAX);
        *items = (td_vectors){.data = tensor->data, .rows = tensor->rows, .dim = (uint32_t)tensor->cols};
        return td__check_vectors(items, "item", err);
    }
    json_t *object = json_loads(text, 0, NULL);
    bool good = object != NULL && json_unpack(object, "{s:I, s:I}", "items", &rows, "dim", &dim) == 0;
    json_decref(object);
    TD_FAIL_IF(!good || kind != &td__index_tree || rows < 0 || rows >= TD_NONE || dim < 1
                   || dim > TD__DIM_MAX,
               err, ERR_CORRUPT, "the record of rounded items is not allowed");
    *items = (td_vectors){.rows = (uint64_t)rows, .dim = (uint32_t)dim};
done:
    return status;
}

/* The checksums say that the file is as it was written; whether that is an index, loading it says. */
static td_status build_from(td_index **out, td_context *context, td__container **file, bool mapped,
                            td_error *err)
{
    td_status status = TD_OK;
    td__container *container = *file;
    td_index *index = NULL;
    td_vocab *ids = NULL;
    td_vectors items;
    const td__index_class *kind;
    TD_TRY(kind_of(&kind, container, err));
    TD_TRY(load_items(&items, kind, container, err));
    if (td__container_find(container, "ids.offsets") != NULL) {
        TD_TRY(td__container_load_vocab(container, "ids", context, &ids, err));
    }
    TD_TRY(td__index_create(&index, context, kind, &items, ids, err));
    TD_TRY(load_distance(index, &items, container, err));
    TD_TRY(load_drift(&index->drift, container, err));
    TD_TRY(load_live(index, container, err));
    if (mapped) { /* the index's now */
        index->file = container;
        *file = NULL;
    }
    TD_TRY(kind->load(index, &items, container, err));
    TD_TRY(td__updates_create(index, err));
    *out = index;
    index = NULL;
done:
    td_index_free(index);
    td_vocab_free(ids);
    if (status == TD_OK || status == TD_ERR_MEMORY) return status;
    if (err != NULL) err->status = TD_ERR_CORRUPT;
    return TD_ERR_CORRUPT;
}

static td_status load(td_index **out, td_context *context, const char *path, bool mapped, td_error *err)
{
    td_status status = TD_OK;
    td__container *container = NULL;
    *out = NULL;
    TD_TRY(td__container_open(&container, context, path, "index", ROUNDED_VERSION, err));
    status = build_from(out, context, &container, mapped, err);
    if (status != TD_OK) status = td__fail_within(err, status, path);
done:
    td__container_close(container);
    return status;
}

td_status td_index_load(td_index **out, td_context *context, const char *path, td_error *err)
{
    return load(out, context, path, false, err);
}

td_status td_index_load_mapped(td_index **out, td_context *context, const char *path, td_error *err)
{
    return load(out, context, path, true, err);
}
