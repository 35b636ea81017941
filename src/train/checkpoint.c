/* checkpoint.c -- a training interrupted and gone on with: container kind "checkpoint", version 1.
 *
 * Serves: stage 5. In: a trainer after an epoch. Out: a file, and back to the same bits.
 *
 * The rest of a training depends on weights, best weights, optimizer states and the report. The order
 * of the rows and the streaming estimates are functions of seed and data. One walk over the weights
 * serves to save, to check before anything is changed, and to load. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/container.h"
#include "base/container_options.h"
#include "base/memory.h"
#include "model/model.h"
#include "train/fingerprint.h"
#include "train/graph.h"
#include "train/optimizer.h"
#include "train/trainer.h"
#include "base/poison.h"

/* --- the walk */

typedef struct piece {
    char name[TD__NAME_MAX];
    uint64_t rows;
    uint32_t cols;
    float *values; /* [rows, cols] */
} piece;

typedef struct visitor {
    td_status (*visit)(void *file, const piece *p, td_error *err);
    void *file;
} visitor;

static td_status visit_weights(const visitor *v, const char *group, const char *name,
                               const td__parameter *shape, float *values, td_error *err)
{
    piece p = {.rows = shape->rows, .cols = shape->cols, .values = values};
    snprintf(p.name, sizeof p.name, "%s/%s", group, name);
    return v->visit(v->file, &p, err);
}

/* With a graph, the vectors that are learned: "latent/query_tower/embedding". */
static td_status visit_latent(td__trainer *t, const visitor *v, td_error *err)
{
    td_status status = TD_OK;
    td__tower *towers[TD__GRAPH_SIDES] = {&t->model->query_tower, &t->model->candidate_tower};
    static const char *const names[TD__GRAPH_SIDES] = {"query_tower/embedding",
                                                       "candidate_tower/embedding"};
    td__graph *graph = td__step_graph(t->step);
    for (int s = 0; graph != NULL && s < TD__GRAPH_SIDES; s++) {
        const td__parameter *table = td__tower_parameter(towers[s], 0);
        float *latent = td__graph_latent(graph, (td__graph_side)s);
        TD_TRY(visit_weights(v, "latent", names[s], table, latent, err));
    }
done:
    return status;
}

/* All weights: those of the model, the best, and those behind smoothed tables. */
static td_status walk(td__trainer *t, const visitor *v, td_error *err)
{
    td_status status = TD_OK;
    char name[TD__PARAMETER_NAME_MAX];
    const td__parameter *parameter;
    for (uint32_t i = 0; (parameter = td__model_parameter(t->model, i, name)) != NULL; i++) {
        TD_TRY(visit_weights(v, "weights", name, parameter, parameter->weights, err));
        if (t->average != NULL) {
            float *average = td__average_weights(t->average, i);
            TD_TRY(visit_weights(v, "average", name, parameter, average, err));
        }
        if (t->best != NULL) {
            float *best = td__snapshot_weights(t->best, i);
            TD_TRY(visit_weights(v, "best", name, parameter, best, err));
        }
    }
    TD_TRY(visit_latent(t, v, err));
done:
    return status;
}

static td_status add_piece(void *file, const piece *p, td_error *err)
{
    return td__container_add(file, p->name, TD__F32, p->rows, p->cols, p->values, err);
}

static td_status check_piece(void *file, const piece *p, td_error *err)
{
    const td__tensor *tensor;
    return td__container_require(file, p->name, TD__F32, p->rows, p->cols, &tensor, err);
}

static td_status load_piece(void *file, const piece *p, td_error *err)
{
    const td__tensor *tensor;
    td_status status = td__container_require(file, p->name, TD__F32, p->rows, p->cols, &tensor, err);
    if (status == TD_OK) memcpy(p->values, tensor->data, p->rows * p->cols * sizeof *p->values);
    return status;
}

/* --- the report: numbers as tensors, so that not a bit is lost in text */

enum { REPORT_COUNTS = 3, REPORT_FIGURES = 4 };

typedef struct saved_report {
    uint64_t counts[REPORT_COUNTS];  /* epochs, best epoch, steps */
    double figures[REPORT_FIGURES]; /* first loss, last loss, best monitor, seconds */
} saved_report;

static saved_report report_to_saved(const td_train_report *report)
{
    return (saved_report){
        .counts = {report->epochs, report->best_epoch, report->steps},
        .figures = {report->first_loss, report->last_loss, report->best_monitor, report->seconds}};
}

static td_train_report report_from_saved(const saved_report *saved)
{
    return (td_train_report){.epochs = (uint32_t)saved->counts[0],
                             .best_epoch = (uint32_t)saved->counts[1],
                             .steps = saved->counts[2],
                             .first_loss = saved->figures[0],
                             .last_loss = saved->figures[1],
                             .best_monitor = saved->figures[2],
                             .seconds = saved->figures[3]};
}

/* --- optimizers */

/* "optimizer/query_tower/embedding": that of parameter `index`, or NULL past the end. */
static td_optimizer *optimizer_at(td__trainer *t, uint32_t index, char name[TD__NAME_MAX])
{
    char parameter[TD__PARAMETER_NAME_MAX];
    if (td__model_parameter(t->model, index, parameter) == NULL) return NULL;
    snprintf(name, TD__NAME_MAX, "optimizer/%s", parameter);
    return td__step_optimizer(t->step, index);
}

static td_status save_temperature(td__trainer *t, td__container_writer *writer, td_error *err)
{
    const double *numbers = td__step_temperature(t->step)->numbers;
    return td__container_add(writer, "temperature", TD__F64, TD__TEMPERATURE_NUMBERS, 0, numbers, err);
}

static td_status load_temperature(td__trainer *t, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *tensor;
    td__temperature *temperature = td__step_temperature(t->step);
    double numbers[TD__TEMPERATURE_NUMBERS];
    bool old = td__container_find(file, "temperature") == NULL;
    if (old && !t->options.temperature.learned) return TD_OK; /* from before it could be learned */
    TD_TRY(td__container_require(file, "temperature", TD__F64, TD__TEMPERATURE_NUMBERS, 0, &tensor, err));
    memcpy(numbers, tensor->data, sizeof numbers);
    for (uint32_t i = 0; i < TD__TEMPERATURE_NUMBERS; i++) {
        TD_FAIL_IF(!isfinite(numbers[i]), err, ERR_CORRUPT, "number %u of the temperature is %g", i,
                   numbers[i]);
    }
    memcpy(temperature->numbers, numbers, sizeof numbers);
done:
    return status;
}

static td_status save_optimizers(td__trainer *t, td__container_writer *writer, td_error *err)
{
    td_status status = TD_OK;
    char name[TD__NAME_MAX];
    td_optimizer *optimizer;
    for (uint32_t i = 0; (optimizer = optimizer_at(t, i, name)) != NULL; i++) {
        TD_TRY(td__optimizer_save(optimizer, writer, name, err));
    }
done:
    return status;
}

static td_status load_optimizers(td__trainer *t, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    char name[TD__NAME_MAX];
    td_optimizer *optimizer;
    for (uint32_t i = 0; (optimizer = optimizer_at(t, i, name)) != NULL; i++) {
        TD_TRY(td__optimizer_load(optimizer, file, name, err));
    }
done:
    return status;
}

/* --- save */

static void format_data(const td__trainer *t, char text[17])
{
    snprintf(text, 17, "%016llx",
             (unsigned long long)td__fingerprint(t->model, t->train, t->validation));
}

static td_status add_metadata(td__trainer *t, td__container_writer *writer, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = t->model->context;
    char data[17];
    td_train_options options = t->options;
    options.checkpoint = options.log = NULL;
    format_data(t, data);
    TD_TRY(td__container_set_options(writer, context, "model", td_model_option_table(),
                                     &t->model->options, err));
    TD_TRY(td__container_set_options(writer, context, "train", td_train_option_table(), &options, err));
    TD_TRY(td__container_set(writer, "data", data, err));
    TD_TRY(td__container_set(writer, "log", t->log.text, err));
done:
    return status;
}

td_status td__trainer_save(td__trainer *t, td_error *err)
{
    td_status status = TD_OK;
    td__container_writer *writer = NULL;
    saved_report saved = report_to_saved(&t->report);
    TD_TRY(td__container_writer_create(&writer, t->model->context, "checkpoint",
                                       TD__CHECKPOINT_VERSION, err));
    TD_TRY(add_metadata(t, writer, err));
    TD_TRY(td__container_add(writer, "report/counts", TD__U64, REPORT_COUNTS, 0, saved.counts, err));
    TD_TRY(td__container_add(writer, "report/figures", TD__F64, REPORT_FIGURES, 0, saved.figures, err));
    TD_TRY(walk(t, &(visitor){.visit = add_piece, .file = writer}, err));
    TD_TRY(save_optimizers(t, writer, err));
    TD_TRY(save_temperature(t, writer, err));
    TD_TRY(td__container_commit(writer, t->options.checkpoint, err));
done:
    td__container_writer_free(writer);
    return status;
}

/* --- resume */

/* Training may go on for longer than was planned, unless the learning rate follows the plan. */
static bool may_differ(const td_train_options *options, const char *name)
{
    if (strcmp(name, "epochs") == 0) {
        return options->optimizer.schedule == TD_SCHEDULE_CONSTANT || options->optimizer.decay_steps > 0;
    }
    return strcmp(name, "checkpoint") == 0 || strcmp(name, "resume") == 0 || strcmp(name, "log") == 0;
}

typedef struct options_pair {
    const td_option_table *table;
    const void *saved, *now;
} options_pair;

static td_status compare_option(const options_pair *pair, const char *name, td_error *err)
{
    td_status status = TD_OK;
    char saved[256], now[256];
    TD_TRY(td_options_get(pair->table, pair->saved, name, saved, sizeof saved, err));
    TD_TRY(td_options_get(pair->table, pair->now, name, now, sizeof now, err));
    TD_FAIL_IF(strcmp(saved, now) != 0, err, ERR_STATE,
               "the checkpoint was made with %s %s, not %s; use the same options, or start anew "
               "without resume",
               name, saved, now);
done:
    return status;
}

static td_status check_model_options(const td__trainer *t, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    td_model_options saved;
    const td_option_table *table = td_model_option_table();
    options_pair pair = {.table = table, .saved = &saved, .now = &t->model->options};
    TD_TRY(td__container_get_options(file, "model", table, &saved, err));
    for (uint32_t i = 0; i < table->count; i++) TD_TRY(compare_option(&pair, table->rows[i].name, err));
done:
    return status;
}

static td_status check_train_options(const td__trainer *t, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    td_train_options saved;
    const td_option_table *table = td_train_option_table();
    options_pair pair = {.table = table, .saved = &saved, .now = &t->options};
    TD_TRY(td__container_get_options(file, "train", table, &saved, err));
    for (uint32_t i = 0; i < table->count; i++) {
        if (may_differ(&t->options, table->rows[i].name)) continue;
        TD_TRY(compare_option(&pair, table->rows[i].name, err));
    }
done:
    return status;
}

static td_status check_same(td__trainer *t, td__container *file, td_error *err)
{
    td_status status = TD_OK;
    char data[17];
    format_data(t, data);
    TD_TRY(check_model_options(t, file, err));
    TD_TRY(check_train_options(t, file, err));
    const char *saved = td__container_get(file, "data");
    TD_FAIL_IF(saved == NULL || strcmp(saved, data) != 0, err, ERR_STATE,
               "the checkpoint was made with other training or validation data; use the same, or "
               "start anew without resume");
    TD_TRY(walk(t, &(visitor){.visit = check_piece, .file = file}, err));
done:
    return status;
}

static td_status load_report(td__trainer *t, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *counts, *figures;
    saved_report saved;
    const char *log = td__container_get(file, "log");
    TD_FAIL_IF(log == NULL, err, ERR_CORRUPT, "the log is missing");
    TD_TRY(td__container_require(file, "report/counts", TD__U64, REPORT_COUNTS, 0, &counts, err));
    TD_TRY(td__container_require(file, "report/figures", TD__F64, REPORT_FIGURES, 0, &figures, err));
    memcpy(saved.counts, counts->data, sizeof saved.counts);
    memcpy(saved.figures, figures->data, sizeof saved.figures);
    TD_TRY(td__train_log_set(&t->log, log, err));
    t->report = report_from_saved(&saved);
done:
    return status;
}

static td_status resume_from(td__trainer *t, td__container *file, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_same(t, file, err));
    TD_TRY(load_optimizers(t, file, err));
    TD_TRY(load_temperature(t, file, err));
    TD_TRY(load_report(t, file, err));
    TD_TRY(walk(t, &(visitor){.visit = load_piece, .file = file}, err));
    td__snapshot_take(t->good, t->model);
    td__batches_replay(t->batches, t->report.epochs);
done:
    return status;
}

td_status td__trainer_resume(td__trainer *t, td_error *err)
{
    td__container *file;
    const char *path = t->options.checkpoint;
    td_status status =
        td__container_open(&file, t->model->context, path, "checkpoint", TD__CHECKPOINT_VERSION, err);
    if (status == TD_ERR_NOT_FOUND) return TD_OK;
    if (status != TD_OK) return status;
    status = resume_from(t, file, err);
    td__container_close(file);
    return status == TD_OK ? TD_OK : td__fail_within(err, status, path);
}
