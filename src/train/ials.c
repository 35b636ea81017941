/* ials.c -- training by alternating least squares: options and the loop over epochs.
 *
 * Serves: stage 5. In: a model, a training part, a validation part. Out: a trained model.
 *
 *     for each epoch:  solve candidates, solve queries   (ials_sides.c, ials_solve.c)
 *                      measure the loss, validate        (ials_sides.c, monitor.c)
 *                      keep: best, last good             (snapshot.c)
 *
 * Queries come last, so that each ends as the minimiser for the candidates that will be searched: what
 * folding in gives for the same list. */
#include "train/ials.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/options.h"
#include "train/monitor.h"
#include "train/snapshot.h"
#include "base/poison.h"

static const td_option option_rows[] = {
    TD__OPTION_F32(td_ials_options, unobserved_weight, "unobserved-weight", "0", 0, 1e6,
                   "ALPHA", "weight of all pairs, against 1 for a row; 0: from the data"),
    TD__OPTION_F32(td_ials_options, regularization, "regularization", "0.008", 1e-9, 1e6, "LAMBDA",
                   "weight of the squared vectors"),
    TD__OPTION_F32(td_ials_options, exponent, "regularization-exponent", "1", 0, 2, "NU",
                   "how regularization grows with the rows of a vector; 0: not"),
    TD__OPTION_U32(td_ials_options, block, "block", "128", 1, 65536, "N",
                   "numbers of a vector solved together; from the dimension on: exact"),
    TD__OPTION_U32(td_ials_options, epochs, "epochs", "16", 1, TD__U32_MAX, "N",
                   "times all vectors are solved, at most"),
    TD__OPTION_U32(td_ials_options, patience, "patience", "3", 0, TD__U32_MAX, "N",
                   "stop after N epochs without gain on the validation part; 0: never"),
    TD__OPTION_CHOICE(td_ials_options, monitor, "monitor", "ndcg", "ndcg|recall|hit-rate|mrr",
                      "what counts as gain on the validation part"),
    TD__OPTION_U32(td_ials_options, monitor_k, "monitor-k", "10", 1, 1e6, "K",
                   "results per query that the monitor looks at"),
    TD__OPTION_BOOL(td_ials_options, restore_best, "restore-best", "true",
                    "end with the weights of the best epoch on the validation part"),
};
static const td_option_table option_table = TD__OPTION_TABLE("ials", td_ials_options, option_rows);

const td_option_table *td_ials_option_table(void)
{
    return &option_table;
}

void td_ials_options_init(td_ials_options *options)
{
    td_options_init(&option_table, options);
}

/* --- a training under way */

typedef struct training {
    td__ials ials;
    const td_dataset *train, *validation; /* validation: or NULL */
    const td_progress_hook *hook;         /* or NULL */
    td_train_report report;               /* of the epochs that ended well */
    td__snapshot *good;                   /* after the last epoch that ended well */
    td__snapshot *best;                   /* NULL unless it is to be restored */
} training;

static td_status solve_epoch(training *t, double *loss, td_error *err)
{
    td_status status = TD_OK;
    td__ials *ials = &t->ials;
    td__ials_progress progress = {.hook = t->hook,
                                  .epoch = t->report.epochs + 1,
                                  .epochs = ials->options.epochs,
                                  .loss = t->report.last_loss,
                                  .started = td__seconds()};
    progress.reported = progress.started;
    td__ials_empty_queries(ials);
    TD_TRY(td__ials_solve_side(ials, TD__IALS_CANDIDATES, &progress, err));
    TD_TRY(td__ials_solve_side(ials, TD__IALS_QUERIES, &progress, err));
    TD_TRY(td__ials_loss(ials, loss, err));
    TD_TRY(td__model_check_finite(ials->model, err));
    td__ials_fill_queries(ials);
done:
    return status;
}

static td_status validate(const training *t, double *monitor, td_error *err)
{
    td__validation validation = {.model = t->ials.model,
                                 .train = t->train,
                                 .part = t->validation,
                                 .monitor = t->ials.options.monitor,
                                 .k = t->ials.options.monitor_k,
                                 .hook = t->hook};
    return td__validate(&validation, monitor, err);
}

static void count_epoch(training *t, double loss, double monitor, double seconds)
{
    td_train_report *report = &t->report;
    const td__ials *ials = &t->ials;
    bool first = report->epochs++ == 0;
    report->steps += (uint64_t)ials->sides[0].lists.filled + ials->sides[1].lists.filled;
    report->seconds += seconds;
    report->last_loss = ials->rows == 0 ? 0.0 : loss / (double)ials->rows;
    if (first) report->first_loss = report->last_loss;
    if (t->validation != NULL && (first || monitor > report->best_monitor)) {
        report->best_epoch = report->epochs;
        report->best_monitor = monitor;
        if (t->best != NULL) td__snapshot_take(t->best, ials->model);
    }
    td__snapshot_take(t->good, ials->model);
}

/* Go back to where all was well, and say where it was. */
static td_status give_up(training *t, td_error *err)
{
    char where[80];
    snprintf(where, sizeof where, "iALS failed in epoch %u", t->report.epochs + 1);
    td__snapshot_restore(t->good, t->ials.model);
    return td__fail_within(err, TD_ERR_NUMERIC, where);
}

static td_status run_epoch(training *t, td_error *err)
{
    td_status status = TD_OK;
    double started = td__seconds(), loss = 0.0, monitor = 0.0;
    TD_TRY(solve_epoch(t, &loss, err));
    if (t->validation != NULL) TD_TRY(validate(t, &monitor, err));
    count_epoch(t, loss, monitor, td__seconds() - started);
done:
    return status == TD_ERR_NUMERIC ? give_up(t, err) : status;
}

static bool is_finished(const training *t)
{
    const td_train_report *report = &t->report;
    const td_ials_options *options = &t->ials.options;
    if (report->epochs >= options->epochs) return true;
    return t->validation != NULL && options->patience > 0 && report->epochs > 0
           && report->epochs - report->best_epoch >= options->patience;
}

static td_status prepare(training *t, td_model *model, const td_ials_options *options,
                         td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td_options_check(&option_table, options, err));
    TD_TRY(td__validation_check(t->train, t->validation, err));
    TD_TRY(td__ials_init(&t->ials, model, t->train, options, err));
    TD_TRY(td__snapshot_create(&t->good, model, err));
    if (t->validation != NULL && options->restore_best) {
        TD_TRY(td__snapshot_create(&t->best, model, err));
    }
    TD_TRY(td__model_set_training(model, "ials", &option_table, options, err));
done:
    return status;
}

td_status td_model_train_ials(td_model *model, const td_dataset *train,
                              const td_dataset *validation, const td_ials_options *options,
                              const td_progress_hook *hook, td_train_report *report, td_error *err)
{
    td_status status = TD_OK;
    training t = {.train = train, .validation = validation, .hook = hook};
    td_ials_options defaults;
    td_ials_options_init(&defaults);
    TD_TRY(prepare(&t, model, options == NULL ? &defaults : options, err));
    while (!is_finished(&t)) TD_TRY(run_epoch(&t, err));
    if (t.best != NULL) td__snapshot_restore(t.best, model);
done:
    if (report != NULL) *report = t.report;
    td__ials_clear(&t.ials);
    td__snapshot_free(t.good);
    td__snapshot_free(t.best);
    return status;
}
