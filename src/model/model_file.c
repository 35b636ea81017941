/* model_file.c -- a model as a file, kind "model", version 1.
 *
 * Serves: stage 3. In: a model. Out: a container, and back to the same bytes. docs/format.md has the
 * list of tensors; those of the towers are named by td__model_parameter. */
#include <string.h>

#include "base/container.h"
#include "base/container_options.h"
#include "base/memory.h"
#include "model/model.h"
#include "base/poison.h"

static const uint32_t VERSION = 1;

/* --- save */

static td_status add_lists(const td_model *model, td__container_writer *writer, td_error *err)
{
    td_status status = TD_OK;
    uint64_t queries = td_vocab_count(model->queries), candidates = td_vocab_count(model->candidates);
    TD_TRY(td__container_add(writer, "counts", TD__U64, candidates, 0, model->counts, err));
    TD_TRY(td__container_add(writer, "seen.offsets", TD__U64, queries + 1, 0, model->seen_offsets, err));
    TD_TRY(td__container_add(writer, "seen.candidates", TD__U32, model->seen_offsets[queries], 0,
                             model->seen, err));
    if (model->history_offsets != NULL) {
        TD_TRY(td__container_add(writer, "history.offsets", TD__U64, queries + 1, 0,
                                 model->history_offsets, err));
        TD_TRY(td__container_add(writer, "history.candidates", TD__U32,
                                 model->history_offsets[queries], 0, model->history, err));
    }
    if (model->title_offsets == NULL) return TD_OK;
    TD_TRY(td__container_add(writer, "titles.offsets", TD__U64, candidates + 1, 0,
                             model->title_offsets, err));
    TD_TRY(td__container_add(writer, "titles.bytes", TD__U8, model->title_offsets[candidates], 0,
                             model->title_bytes, err));
done:
    return status;
}

static td_status add_parameters(const td_model *model, td__container_writer *writer, td_error *err)
{
    td_status status = TD_OK;
    char name[TD__PARAMETER_NAME_MAX];
    const td__parameter *parameter;
    for (uint32_t i = 0; (parameter = td__model_parameter(model, i, name)) != NULL; i++) {
        TD_TRY(td__container_add(writer, name, TD__F32, parameter->rows, parameter->cols,
                                 parameter->weights, err));
    }
done:
    return status;
}

td_status td_model_save(const td_model *model, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__container_writer *writer = NULL;
    TD_TRY(td__container_writer_create(&writer, model->context, "model", VERSION, err));
    TD_TRY(td__container_set_options(writer, model->context, "options", td_model_option_table(),
                                     &model->options, err));
    if (model->training != NULL) {
        TD_TRY(td__container_set(writer, "training", model->training, err));
    }
    TD_TRY(td__container_add_vocab(writer, "queries", model->queries, err));
    TD_TRY(td__container_add_vocab(writer, "candidates", model->candidates, err));
    TD_TRY(add_lists(model, writer, err));
    TD_TRY(add_parameters(model, writer, err));
    TD_TRY(td__container_commit(writer, path, err));
done:
    td__container_writer_free(writer);
    return status;
}

/* --- load */

typedef struct loader {
    const td__container *file;
    td_context *context;
    td_model *model;
} loader;

/* A copy of a vector of `count` elements that must be there. `out` points to a pointer. */
static td_status copy_vector(const loader *l, const char *name, td__dtype dtype, uint64_t count,
                             void *out, td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *tensor;
    void *copy = NULL;
    TD_TRY(td__container_require(l->file, name, dtype, UINT64_MAX, 0, &tensor, err));
    TD_FAIL_IF(tensor->rows != count, err, ERR_CORRUPT, "%s has %llu elements instead of %llu", name,
               (unsigned long long)tensor->rows, (unsigned long long)count);
    TD_TRY(td__alloc(&copy, l->context, count, td__dtype_size(dtype), err));
    if (count > 0) memcpy(copy, tensor->data, count * td__dtype_size(dtype));
    memcpy(out, &copy, sizeof copy);
done:
    return status;
}

static td_status load_seen(const loader *l, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = l->model;
    uint64_t queries = td_vocab_count(model->queries);
    TD_TRY(copy_vector(l, "seen.offsets", TD__U64, queries + 1, &model->seen_offsets, err));
    TD_TRY(copy_vector(l, "seen.candidates", TD__U32, model->seen_offsets[queries], &model->seen, err));
done:
    return status;
}

/* Models of towers with a history have one. */
static td_status load_history(const loader *l, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = l->model;
    uint64_t queries = td_vocab_count(model->queries);
    if (!td__model_has_history(model)) return TD_OK;
    TD_TRY(copy_vector(l, "history.offsets", TD__U64, queries + 1, &model->history_offsets, err));
    TD_TRY(copy_vector(l, "history.candidates", TD__U32, model->history_offsets[queries],
                       &model->history, err));
done:
    return status;
}

static td_status load_titles(const loader *l, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = l->model;
    uint64_t candidates = td_vocab_count(model->candidates);
    if (td__container_find(l->file, "titles.offsets") == NULL) return TD_OK;
    TD_TRY(copy_vector(l, "titles.offsets", TD__U64, candidates + 1, &model->title_offsets, err));
    TD_TRY(copy_vector(l, "titles.bytes", TD__U8, model->title_offsets[candidates],
                       &model->title_bytes, err));
done:
    return status;
}

static td_status load_parameters(const loader *l, td_error *err)
{
    td_status status = TD_OK;
    char name[TD__PARAMETER_NAME_MAX];
    td__parameter *parameter;
    for (uint32_t i = 0; (parameter = td__model_parameter(l->model, i, name)) != NULL; i++) {
        const td__tensor *tensor;
        TD_TRY(td__container_require(l->file, name, TD__F32, parameter->rows, parameter->cols, &tensor,
                                     err));
        memcpy(parameter->weights, tensor->data, tensor->rows * tensor->cols * sizeof(float));
    }
done:
    return status;
}

static td_status load_from(loader *l, td_error *err)
{
    td_status status = TD_OK;
    td_model_options options;
    TD_TRY(td__container_get_options(l->file, "options", td_model_option_table(), &options, err));
    TD_TRY(td__model_create_empty(&l->model, l->context, &options, err));
    td_model *model = l->model;
    TD_TRY(td__container_load_vocab(l->file, "queries", l->context, &model->queries, err));
    TD_TRY(td__container_load_vocab(l->file, "candidates", l->context, &model->candidates, err));
    TD_TRY(copy_vector(l, "counts", TD__U64, td_vocab_count(model->candidates), &model->counts, err));
    TD_TRY(load_seen(l, err));
    TD_TRY(load_history(l, err));
    TD_TRY(load_titles(l, err));
    TD_TRY(td__model_create_towers(model, false, err));
    TD_TRY(load_parameters(l, err));
    const char *training = td__container_get(l->file, "training");
    if (training != NULL) TD_TRY(td__model_load_training(model, training, err));
    TD_TRY(td_model_check(model, err));
done:
    return status;
}

td_status td_model_load(td_model **out, td_context *context, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__container *file = NULL;
    loader l = {.context = context};
    TD_TRY(td__container_open(&file, context, path, "model", VERSION, err));
    l.file = file;
    status = load_from(&l, err);
    if (status != TD_OK) status = td__fail_within(err, status, path);
done:
    td__container_close(file);
    if (status != TD_OK) {
        td_model_free(l.model);
        l.model = NULL;
    }
    *out = l.model;
    return status;
}
