/* dataset_file.c -- a dataset in a file.
 *
 * Serves: stage 2. In: a dataset, or a path. Out: a container of kind "dataset", or the dataset in
 * it, whose rows stay in the mapped file. See docs/format.md. */
#include <string.h>

#include "base/container.h"
#include "data/dataset.h"
#include "base/poison.h"

enum { DATASET_VERSION = 1 };

td_status td_dataset_save(const td_dataset *dataset, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__container_writer *writer = NULL;
    uint64_t rows = dataset->rows;
    TD_TRY(td__container_writer_create(&writer, dataset->context, "dataset", DATASET_VERSION, err));
    TD_TRY(td__container_add(writer, "rows.query", TD__U32, rows, 0, dataset->query, err));
    TD_TRY(td__container_add(writer, "rows.candidate", TD__U32, rows, 0, dataset->candidate, err));
    if (dataset->has_weight) {
        TD_TRY(td__container_add(writer, "rows.weight", TD__F32, rows, 0, dataset->weight, err));
    }
    if (dataset->has_timestamp) {
        TD_TRY(
            td__container_add(writer, "rows.timestamp", TD__I64, rows, 0, dataset->timestamp, err));
    }
    TD_TRY(td__container_add_vocab(writer, "queries", dataset->queries, err));
    TD_TRY(td__container_add_vocab(writer, "candidates", dataset->candidates, err));
    TD_TRY(td__container_commit(writer, path, err));
done:
    td__container_writer_free(writer);
    return status;
}

/* A column of the rows in the mapping. A dataset never writes to its rows once it is made. */
static td_status map_column(void *out, const td_dataset *dataset, const char *name, td__dtype dtype,
                            td_error *err)
{
    const td__tensor *tensor;
    td_status status = td__container_require(dataset->container, name, dtype, dataset->rows, 0,
                                             &tensor, err);
    if (status != TD_OK) return status;
    void *data = (void *)(uintptr_t)tensor->data;
    memcpy(out, &data, sizeof data);
    return TD_OK;
}

static td_status map_rows(td_dataset *dataset, td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *queries;
    TD_TRY(td__container_require(dataset->container, "rows.query", TD__U32, UINT64_MAX, 0, &queries,
                                 err));
    dataset->rows = dataset->capacity = queries->rows;
    dataset->has_weight = td__container_find(dataset->container, "rows.weight") != NULL;
    dataset->has_timestamp = td__container_find(dataset->container, "rows.timestamp") != NULL;
    TD_TRY(map_column(&dataset->query, dataset, "rows.query", TD__U32, err));
    TD_TRY(map_column(&dataset->candidate, dataset, "rows.candidate", TD__U32, err));
    if (dataset->has_weight)
        TD_TRY(map_column(&dataset->weight, dataset, "rows.weight", TD__F32, err));
    if (dataset->has_timestamp) {
        TD_TRY(map_column(&dataset->timestamp, dataset, "rows.timestamp", TD__I64, err));
    }
done:
    return status;
}

/* Takes the container in every case. */
static td_status load(td_dataset **out, td_context *context, td__container *container,
                      td_error *err)
{
    td_status status = TD_OK;
    td_dataset *dataset = NULL;
    td_vocab *queries = NULL, *candidates = NULL;
    TD_TRY(td__container_load_vocab(container, "queries", context, &queries, err));
    TD_TRY(td__container_load_vocab(container, "candidates", context, &candidates, err));
    TD_TRY(td__dataset_create(&dataset, context, queries, candidates, err));
    dataset->container = container;
    container = NULL;
    TD_TRY(map_rows(dataset, err));
    TD_TRY(td_dataset_check(dataset, err));
    *out = dataset;
    dataset = NULL;
done:
    td_vocab_free(queries);
    td_vocab_free(candidates);
    td__container_close(container);
    td_dataset_free(dataset);
    return status;
}

td_status td__dataset_open(td_dataset **out, td_context *context, const char *path, td_error *err)
{
    td__container *container;
    *out = NULL;
    td_status status = td__container_open(&container, context, path, "dataset", DATASET_VERSION,
                                          err);
    if (status != TD_OK) return status;
    status = load(out, context, container, err);
    return status == TD_OK ? TD_OK : td__fail_within(err, status, path);
}
