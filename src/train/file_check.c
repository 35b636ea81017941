/* file_check.c -- is a file of Tandem what it claims to be?
 *
 * Serves: every stage, for those who look at files. In: a path. Out: TD_OK, or what is wrong where.
 * It lives in this layer because it is the lowest that knows all kinds of files, checkpoints too. Each kind is a row
 * of `kinds`: opening the container checks every byte, the row's function what the numbers mean. */
#include <string.h>

#include "base/container.h"
#include "train/trainer.h"
#include "base/poison.h"

typedef td_status check_fn(td_context *context, const char *path, td_error *err);

typedef struct kind_row {
    const char *kind;
    check_fn *check;
} kind_row;

static td_status check_dataset(td_context *context, const char *path, td_error *err)
{
    td_dataset *dataset;
    td_status status = td_dataset_read(&dataset, context, &path, 1, NULL, NULL, NULL, err);
    if (status == TD_OK) status = td_dataset_check(dataset, err);
    td_dataset_free(dataset);
    return status;
}

static td_status check_model(td_context *context, const char *path, td_error *err)
{
    td_model *model;
    td_status status = td_model_load(&model, context, path, err);
    if (status == TD_OK) status = td_model_check(model, err);
    td_model_free(model);
    return status;
}

static td_status check_index(td_context *context, const char *path, td_error *err)
{
    td_index *index;
    td_status status = td_index_load(&index, context, path, err);
    if (status == TD_OK) status = td_index_check(index, err);
    td_index_free(index);
    return status;
}

static const kind_row kinds[] = {
    {"dataset", check_dataset},
    {"model", check_model},
    {"index", check_index},
    {"checkpoint", td__checkpoint_check},
};

static td_status check_kind(td_context *context, const char *path, const char *kind, td_error *err)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].kind, kind) != 0) continue;
        return kinds[i].check(context, path, err);
    }
    return td__fail(err, TD_ERR_VERSION,
                    "%.200s: files of kind \"%.40s\" are not known to Tandem %s", path, kind,
                    TD_VERSION_STRING);
}

td_status td_file_check(td_context *context, const char *path, td_error *err)
{
    td__container *container;
    td_status status = td__container_open(&container, context, path, NULL, UINT32_MAX, err);
    if (status != TD_OK) return status;
    status = check_kind(context, path, td__container_kind(container), err);
    td__container_close(container);
    return status;
}
