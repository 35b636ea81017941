/* trainer.c -- the training loop.
 *
 * Serves: stage 5. In: a model, a training part, a validation part. Out: a trained model.
 *
 *     for each epoch:  for each batch: step        (batches.c, step.c)
 *                      validate                    (monitor.c)
 *                      keep: best, last good       (snapshot.c)
 *                      write: log, checkpoint      (train_log.c, checkpoint.c)
 *
 * An epoch counts (in the report, the log, the checkpoint) once all of this is done. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "model/model.h"
#include "train/monitor.h"
#include "base/poison.h"

static const double REPORT_SECONDS = 0.05;

/* --- progress */

static double mean_loss(const td__trainer *t)
{
    return t->epoch_rows == 0 ? 0.0 : t->epoch_loss / (double)t->epoch_rows;
}

/* Tell the hook, not too often but always at the end of an epoch. CANCELLED if it says so. */
static td_status report_progress(td__trainer *t, td_error *err)
{
    uint32_t rows = td__batches_rows(t->batches);
    double now = td__seconds();
    bool last = t->epoch_rows == rows;
    if (t->hook == NULL || (!last && now - t->reported < REPORT_SECONDS)) return TD_OK;
    t->reported = now;
    td_progress progress = {.stage = "train",
                            .done = t->epoch_rows,
                            .total = rows,
                            .unit = "rows",
                            .epoch = t->report.epochs + 1,
                            .epochs = t->options.epochs,
                            .loss = mean_loss(t),
                            .seconds = now - t->epoch_started};
    if (t->hook->report(t->hook->user, &progress)) return TD_OK;
    return td__fail(err, TD_ERR_CANCELLED, "training stopped by the caller in epoch %u after %llu rows",
                    progress.epoch, (unsigned long long)t->epoch_rows);
}

/* --- an epoch */

static td_status run_step(td__trainer *t, const td__batch *batch, td_error *err)
{
    double loss;
    uint64_t all = (uint64_t)t->options.epochs * td__batches_count(t->batches);
    t->learning_rate = td_learning_rate(&t->options.optimizer, t->report.steps, all);
    td_status status = td__step_run(t->step, batch, t->learning_rate, &loss, err);
    if (status != TD_OK) return status;
    t->report.steps++;
    t->epoch_loss += loss;
    t->epoch_rows += batch->count;
    return TD_OK;
}

static td_status run_steps(td__trainer *t, td_error *err)
{
    td_status status = TD_OK;
    const td__batch *batch;
    td__batches_start(t->batches, t->report.epochs);
    while ((batch = td__batches_next(t->batches)) != NULL) {
        TD_TRY(run_step(t, batch, err));
        TD_TRY(report_progress(t, err));
    }
    TD_TRY(td__model_check_finite(t->model, err));
done:
    return status;
}

/* The loss or a weight is no number any more: go back to where all was well, and say where it was. */
static td_status give_up(td__trainer *t, td_error *err)
{
    char where[120];
    snprintf(where, sizeof where,
             "training diverged in epoch %u, step %llu (a lower learning rate helps)",
             t->report.epochs + 1, (unsigned long long)t->report.steps + 1);
    td__snapshot_restore(t->good, t->model);
    return td__fail_within(err, TD_ERR_NUMERIC, where);
}

/* First epoch, or better than all before. */
static bool is_best(const td__trainer *t, double monitor)
{
    return t->report.best_epoch == 0 || monitor > t->report.best_monitor;
}

static void count_epoch(td__trainer *t, td__epoch *epoch)
{
    td_train_report *report = &t->report;
    report->epochs = epoch->epoch;
    report->seconds += td__seconds() - t->epoch_started;
    report->last_loss = epoch->loss;
    report->temperature = (double)td__temperature_value(td__step_temperature(t->step));
    if (epoch->epoch == 1) report->first_loss = epoch->loss;
    epoch->best = epoch->validated && is_best(t, epoch->monitor);
    if (epoch->best) {
        report->best_epoch = epoch->epoch;
        report->best_monitor = epoch->monitor;
        if (t->best != NULL) td__snapshot_take(t->best, t->model);
    }
}

static td_status validate(const td__trainer *t, double *monitor, td_error *err)
{
    td__validation validation = {.model = t->model,
                                 .train = t->train,
                                 .part = t->validation,
                                 .monitor = t->options.monitor,
                                 .k = t->options.monitor_k,
                                 .hook = t->hook};
    return td__validate(&validation, monitor, err);
}

/* The model with averaged weights, if they are wanted; a second time, as it was. */
static void swap_average(const td__trainer *t)
{
    if (t->average != NULL) td__average_swap(t->average, t->model);
}

/* What came of an epoch, with the weights that would be kept. */
static td_status judge_epoch(td__trainer *t, td__epoch *epoch, td_error *err)
{
    td_status status = TD_OK;
    swap_average(t);
    if (epoch->validated) status = validate(t, &epoch->monitor, err);
    if (status == TD_OK) count_epoch(t, epoch);
    swap_average(t);
    return status;
}

/* Is the epoch under way one of those that are validated? */
static bool is_validated(const td__trainer *t)
{
    uint32_t epoch = t->report.epochs + 1;
    return t->validation != NULL
           && (epoch % t->options.validate_every == 0 || epoch == t->options.epochs);
}

static td_status run_epoch(td__trainer *t, td_error *err)
{
    td_status status = TD_OK;
    t->epoch_started = t->reported = td__seconds();
    t->epoch_loss = 0.0;
    t->epoch_rows = 0;
    TD_TRY(run_steps(t, err));
    double seconds = td__seconds() - t->epoch_started;
    td__epoch epoch = {.epoch = t->report.epochs + 1,
                       .steps = t->report.steps,
                       .loss = mean_loss(t),
                       .validated = is_validated(t),
                       .learning_rate = t->learning_rate,
                       .seconds = seconds,
                       .rows_per_second = (double)t->epoch_rows / fmax(seconds, 1e-9)};
    if (t->average != NULL) td__average_add(t->average, t->model, t->report.epochs == 0);
    TD_TRY(judge_epoch(t, &epoch, err));
    td__snapshot_take(t->good, t->model);
    TD_TRY(td__train_log_add(&t->log, &epoch, err));
    if (t->options.checkpoint != NULL) TD_TRY(td__trainer_save(t, err));
done:
    return status == TD_ERR_NUMERIC ? give_up(t, err) : status;
}

static bool is_finished(const td__trainer *t)
{
    const td_train_report *report = &t->report;
    if (report->epochs >= t->options.epochs) return true;
    return t->validation != NULL && t->options.patience > 0 && report->epochs > 0
           && report->epochs - report->best_epoch >= t->options.patience;
}

/* --- the whole */

static td_status check_arguments(const td__trainer *t, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td_options_check(td_train_option_table(), &t->options, err));
    TD_FAIL_IF(t->options.resume && t->options.checkpoint == NULL, err, ERR_ARGUMENT,
               "resume needs a checkpoint to go on from");
    TD_TRY(td__validation_check(t->train, t->validation, err));
done:
    return status;
}

static td_status note_training(const td__trainer *t, td_error *err)
{
    td_train_options options = t->options;
    options.checkpoint = options.log = NULL;
    options.resume = false;
    return td__model_set_training(t->model, "softmax", td_train_option_table(), &options, err);
}

static td_status prepare(td__trainer *t, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_arguments(t, err));
    TD_TRY(td__batches_create(&t->batches, t->model, t->train, &t->options, err));
    td__batch_shape shape = td__batches_shape(t->batches);
    TD_TRY(td__step_create(&t->step, t->model, &t->options, &shape, err));
    TD_TRY(td__step_smooth(t->step, t->model, t->train, t->options.graph_layers, err));
    TD_TRY(td__snapshot_create(&t->good, t->model, err));
    if (t->options.average_decay > 0.0f) {
        TD_TRY(td__average_create(&t->average, t->model, t->options.average_decay, err));
    }
    if (t->validation != NULL && t->options.restore_best) {
        TD_TRY(td__snapshot_create(&t->best, t->model, err));
    }
    t->log = (td__train_log){.context = t->model->context, .path = t->options.log};
    if (t->options.resume) TD_TRY(td__trainer_resume(t, err));
    TD_TRY(note_training(t, err));
done:
    return status;
}

static void clear(td__trainer *t)
{
    td__batches_free(t->batches);
    td__step_free(t->step);
    td__snapshot_free(t->good);
    td__average_free(t->average);
    td__snapshot_free(t->best);
    td__train_log_clear(&t->log);
}

td_status td_model_train(td_model *model, const td_dataset *train, const td_dataset *validation,
                         const td_train_options *options, const td_progress_hook *hook,
                         td_train_report *report, td_error *err)
{
    td_status status = TD_OK;
    td__trainer t = {.model = model, .train = train, .validation = validation, .hook = hook};
    if (options != NULL) t.options = *options;
    else td_train_options_init(&t.options);
    TD_TRY(prepare(&t, err));
    while (!is_finished(&t)) TD_TRY(run_epoch(&t, err));
    if (t.best != NULL) td__snapshot_restore(t.best, model);
    else swap_average(&t);
done:
    if (report != NULL) *report = t.report;
    clear(&t);
    return status;
}
