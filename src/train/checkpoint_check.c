/* checkpoint_check.c -- is a checkpoint one that a training can go on from?
 *
 * Serves: stage 5. In: a file. Out: the first rule that is broken. A training that resumes checks in
 * addition that the checkpoint is its own (checkpoint.c). */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/container_options.h"
#include "train/optimizer.h"
#include "train/trainer.h"
#include "base/poison.h"

typedef struct checking {
    td_context *context;
    const td__container *file;
    td_model_options model;
    td_train_options train;
    uint64_t epochs;
} checking;

static td_status check_options(checking *c, td_error *err)
{
    td_status status = TD_OK;
    const char *data = td__container_get(c->file, "data");
    TD_TRY(td__container_get_options(c->file, "model", td_model_option_table(), &c->model, err));
    TD_TRY(td__container_get_options(c->file, "train", td_train_option_table(), &c->train, err));
    TD_FAIL_IF(data == NULL || strlen(data) != 16 || strspn(data, "0123456789abcdef") != 16, err,
               ERR_CORRUPT, "the fingerprint of the data is not 16 hexadecimal digits");
done:
    return status;
}

/* Epochs, best epoch and steps, then losses, monitor and seconds: see saved_report. */
static td_status check_report(checking *c, td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *counts, *figures;
    TD_TRY(td__container_require(c->file, "report/counts", TD__U64, 3, 0, &counts, err));
    TD_TRY(td__container_require(c->file, "report/figures", TD__F64, 4, 0, &figures, err));
    const uint64_t *count = counts->data;
    const double *figure = figures->data;
    TD_FAIL_IF(count[0] == 0 || count[0] > UINT32_MAX || count[1] > count[0] || count[2] < count[0],
               err, ERR_CORRUPT, "the report has %llu epochs, of which %llu is best, and %llu steps",
               (unsigned long long)count[0], (unsigned long long)count[1],
               (unsigned long long)count[2]);
    for (int i = 0; i < 4; i++) {
        TD_FAIL_IF(!isfinite(figure[i]), err, ERR_CORRUPT, "figure %d of the report is not finite", i);
    }
    c->epochs = count[0];
done:
    return status;
}

/* One line an epoch, each a JSON object. */
static td_status check_log(const checking *c, td_error *err)
{
    td_status status = TD_OK;
    uint64_t lines = 0;
    const char *log = td__container_get(c->file, "log");
    TD_FAIL_IF(log == NULL, err, ERR_CORRUPT, "the log is missing");
    for (; *log != '\0'; lines++) {
        size_t length = strcspn(log, "\n");
        json_t *line = json_loadb(log, length, JSON_REJECT_DUPLICATES, NULL);
        bool sound = json_is_object(line);
        json_decref(line);
        TD_FAIL_IF(!sound, err, ERR_CORRUPT, "line %llu of the log is no JSON object",
                   (unsigned long long)lines + 1);
        log += length + (log[length] == '\n');
    }
    TD_FAIL_IF(lines != c->epochs, err, ERR_CORRUPT, "the log has %llu lines for %llu epochs",
               (unsigned long long)lines, (unsigned long long)c->epochs);
done:
    return status;
}

static td_status check_finite(const td__tensor *tensor, td_error *err)
{
    const float *values = tensor->data;
    for (uint64_t i = 0; i < tensor->rows * tensor->cols; i++) {
        if (isfinite(values[i])) continue;
        return td__fail(err, TD_ERR_CORRUPT, "tensor \"%s\": number %llu is not finite",
                        tensor->name, (unsigned long long)i);
    }
    return TD_OK;
}

/* An optimizer of this shape takes the state, or says why not. */
static td_status check_optimizer(const checking *c, const td__tensor *weights, const char *name,
                                 td_error *err)
{
    td_status status = TD_OK;
    td_optimizer *optimizer = NULL;
    char state[TD__NAME_MAX];
    snprintf(state, sizeof state, "optimizer/%.80s", name);
    TD_TRY(td_optimizer_create(&optimizer, c->context, weights->rows, (uint32_t)weights->cols,
                               &c->train.optimizer, err));
    TD_TRY(td__optimizer_load(optimizer, c->file, state, err));
done:
    td_optimizer_free(optimizer);
    return status;
}

/* If there is a tensor GROUP/PARAMETER, it has the shape of these weights, and numbers. */
static td_status check_copy(const checking *c, const td__tensor *weights, const char *group, td_error *err)
{
    td_status status = TD_OK;
    char name[TD__NAME_MAX];
    const td__tensor *copy;
    snprintf(name, sizeof name, "%s/%.80s", group, weights->name + strlen("weights/"));
    if (td__container_find(c->file, name) == NULL) return TD_OK;
    TD_TRY(td__container_require(c->file, name, TD__F32, weights->rows, weights->cols, &copy, err));
    TD_TRY(check_finite(copy, err));
done:
    return status;
}

static td_status check_weights(const checking *c, const td__tensor *weights, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(weights->dtype != TD__F32 || weights->cols == 0 || weights->cols > TD__DIM_MAX, err,
               ERR_CORRUPT, "tensor \"%s\" is no table of float32 vectors", weights->name);
    TD_TRY(check_finite(weights, err));
    TD_TRY(check_optimizer(c, weights, weights->name + strlen("weights/"), err));
    TD_TRY(check_copy(c, weights, "best", err));
    TD_TRY(check_copy(c, weights, "latent", err));
    TD_TRY(check_copy(c, weights, "average", err));
done:
    return status;
}

/* The id tables must be there, as wide as the model's vectors, with more rows than those of unknown ids. */
static td_status check_table(const checking *c, const char *name, uint64_t width, uint32_t others,
                             td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *table;
    TD_TRY(td__container_require(c->file, name, TD__F32, UINT64_MAX, width, &table, err));
    TD_FAIL_IF(table->rows <= others, err, ERR_CORRUPT,
               "tensor \"%s\" has no row for an id", name);
done:
    return status;
}

static td_status check_tensors(const checking *c, td_error *err)
{
    td_status status = TD_OK;
    uint64_t dim = c->model.dim;
    uint32_t oov = c->model.oov_buckets;
    uint32_t strangers = c->model.query_tower == TD_QUERY_HISTORY ? 0 : oov; /* one row for all */
    TD_TRY(check_table(c, "weights/query_tower/embedding", c->model.heads * dim, strangers, err));
    TD_TRY(check_table(c, "weights/candidate_tower/embedding", dim, oov, err));
    if (c->train.graph_layers > 0) {
        TD_TRY(check_table(c, "latent/query_tower/embedding", dim, strangers, err));
        TD_TRY(check_table(c, "latent/candidate_tower/embedding", dim, oov, err));
    }
    for (uint32_t i = 0; i < td__container_count(c->file); i++) {
        const td__tensor *tensor = td__container_at(c->file, i);
        if (strncmp(tensor->name, "weights/", strlen("weights/")) != 0) continue;
        TD_TRY(check_weights(c, tensor, err));
    }
done:
    return status;
}

td_status td__checkpoint_check(td_context *context, const char *path, td_error *err)
{
    td__container *file;
    td_status status =
        td__container_open(&file, context, path, "checkpoint", TD__CHECKPOINT_VERSION, err);
    if (status != TD_OK) return status;
    checking c = {.context = context, .file = file};
    TD_TRY(check_options(&c, err));
    TD_TRY(check_report(&c, err));
    TD_TRY(check_log(&c, err));
    TD_TRY(check_tensors(&c, err));
done:
    td__container_close(file);
    return status == TD_OK ? TD_OK : td__fail_within(err, status, path);
}
