/* index_file.c -- an index as a file, and back.
 *
 * Serves: stage 7. In: an index, a path. Out: a container of kind "index" (base/container.h) with the
 * tensor "vectors" [N, dim] in plain rows, which any safetensors reader can use, the ids, and what the
 * kind of index adds. A file that names no kind is an exact index's. */
#include "index/index.h"

#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "base/pool.h"
#include "base/poison.h"

enum { INDEX_VERSION = 1, UNPACK_ROWS = 4096 };

#define KIND_KEY "index.kind"

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
        td_index_vector(index, (uint32_t)i, work->rows + i * index->dim);
    }
}

/* Plain rows: those of the index, or owned ones that its panels are unpacked to. */
static td_status rows_of(const td_index *index, const float **rows, float **owned, td_error *err)
{
    td_status status = TD_OK;
    *owned = NULL;
    *rows = index->rows;
    if (index->rows != NULL) return TD_OK;
    TD_TRY(td__alloc(owned, index->context, index->count * index->dim, sizeof **owned, err));
    unpacking work = {.index = index, .rows = *owned};
    td__parallel_for(index->context, td__block_count(index->count, UNPACK_ROWS), unpack_block, &work);
    *rows = *owned;
done:
    return status;
}

td_status td_index_save(const td_index *index, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__container_writer *writer = NULL;
    const float *rows;
    float *owned;
    TD_TRY(rows_of(index, &rows, &owned, err));
    TD_TRY(td__container_writer_create(&writer, index->context, "index", INDEX_VERSION, err));
    TD_TRY(td__container_set(writer, KIND_KEY, index->kind->name, err));
    TD_TRY(td__container_add(writer, "vectors", TD__F32, index->count, index->dim, rows, err));
    if (index->ids != NULL) TD_TRY(td__container_add_vocab(writer, "ids", index->ids, err));
    if (index->kind->save != NULL) TD_TRY(index->kind->save(index, writer, err));
    TD_TRY(td__container_commit(writer, path, err));
done:
    td__container_writer_free(writer);
    td__free(index->context, owned);
    return status;
}

static td_status kind_of(const td__index_class **kind, const td__container *container, td_error *err)
{
    const char *name = td__container_get(container, KIND_KEY);
    *kind = name == NULL ? &td__index_exact : td__index_class_find(name);
    if (*kind != NULL) return TD_OK;
    return td__fail(err, TD_ERR_CORRUPT, "indexes of kind \"%.40s\" are not known", name);
}

/* The checksums say that the file is as it was written; whether that is an index, loading it says. */
static td_status build_from(td_index **out, td_context *context, const td__container *container,
                            td_error *err)
{
    td_status status = TD_OK;
    td_index *index = NULL;
    td_vocab *ids = NULL;
    const td__tensor *tensor;
    const td__index_class *kind;
    TD_TRY(kind_of(&kind, container, err));
    TD_TRY(td__container_require(container, "vectors", TD__F32, UINT64_MAX, UINT64_MAX, &tensor, err));
    TD_FAIL_IF(tensor->cols > TD__DIM_MAX, err, ERR_CORRUPT, "items of %llu dimensions; at most %d are "
               "allowed", (unsigned long long)tensor->cols, TD__DIM_MAX);
    if (td__container_find(container, "ids.offsets") != NULL) {
        TD_TRY(td__container_load_vocab(container, "ids", context, &ids, err));
    }
    td_vectors items = {.data = tensor->data, .rows = tensor->rows, .dim = (uint32_t)tensor->cols};
    TD_TRY(td__index_create(&index, context, kind, &items, ids, err));
    TD_TRY(kind->load(index, &items, container, err));
    *out = index;
    index = NULL;
done:
    td_index_free(index);
    td_vocab_free(ids);
    if (status == TD_OK || status == TD_ERR_MEMORY) return status;
    if (err != NULL) err->status = TD_ERR_CORRUPT;
    return TD_ERR_CORRUPT;
}

td_status td_index_load(td_index **out, td_context *context, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__container *container = NULL;
    *out = NULL;
    TD_TRY(td__container_open(&container, context, path, "index", INDEX_VERSION, err));
    status = build_from(out, context, container, err);
    if (status != TD_OK) status = td__fail_within(err, status, path);
done:
    td__container_close(container);
    return status;
}
