/* crossentropy.c -- Keras' cross-entropies as library calls: checks, reductions, rows in order.
 *
 * Serves: stage 4. In: predictions and labels. Out: a loss, and its gradient with respect to the
 * predictions. The loss of one row is in crossentropy_rows.c. */
#include <math.h>
#include <string.h>

#include "base/options.h"
#include "train/check_numbers.h"
#include "train/crossentropy_rows.h"

#include "base/poison.h"

static const td_option rows[] = {
    TD__OPTION_BOOL(td_crossentropy_options, from_logits, "from-logits", "false",
                    "predictions are logits, not probabilities"),
    TD__OPTION_F32(td_crossentropy_options, label_smoothing, "label-smoothing", "0", 0, 1, "SHARE",
                   "share of the label that is spread over all classes"),
    TD__OPTION_CHOICE(td_crossentropy_options, reduction, "reduction", "mean", "sum|mean|none",
                      "how the losses of the rows become one number"),
    TD__OPTION_I64(td_crossentropy_options, ignore_class, "ignore-class", "-9223372036854775808",
                   -TD__I64_MAX, TD__I64_MAX, "LABEL", "leave out rows with this label"),
};
static const td_option_table table = TD__OPTION_TABLE("crossentropy", td_crossentropy_options,
                                                      rows);

const td_option_table *td_crossentropy_option_table(void)
{
    return &table;
}

void td_crossentropy_options_init(td_crossentropy_options *options)
{
    td_options_init(&table, options);
}

/* Rows with the ignored label are left out: loss and gradient 0. */
static bool takes_part(const td__crossentropy *job, uint64_t row)
{
    return job->label == NULL || job->options.ignore_class == INT64_MIN
           || job->label[row] != job->options.ignore_class;
}

static double mean_scale(const td__crossentropy *job)
{
    uint64_t count = 0;
    for (uint64_t row = 0; row < job->predictions->rows; row++) count += takes_part(job, row);
    return count > 0 ? 1.0 / (double)count : 1.0;
}

/* All rows: row_loss, d_prediction and loss of the result. */
static void run(const td__crossentropy *job, td__crossentropy_row *row_fn,
                td_crossentropy_result *result)
{
    const td_predictions *predictions = job->predictions;
    size_t classes = predictions->classes;
    double scale = job->options.reduction == TD_REDUCTION_MEAN ? mean_scale(job) : 1.0;
    double sum = 0.0;
    for (uint64_t row = 0; row < predictions->rows; row++) {
        double loss = 0.0;
        double weight = predictions->weight != NULL ? (double)predictions->weight[row] : 1.0;
        float *d_row = result->d_prediction != NULL ? result->d_prediction + row * classes : NULL;
        if (takes_part(job, row))
            loss = weight * row_fn(job, row, weight * scale, d_row);
        else if (d_row != NULL)
            memset(d_row, 0, classes * sizeof *d_row);
        if (result->row_loss != NULL) result->row_loss[row] = (float)loss;
        sum += loss;
    }
    result->loss = scale * sum;
}

static td_status check_input(const td__crossentropy *job, td_error *err)
{
    const td_predictions *predictions = job->predictions;
    td_status status = TD_OK;
    TD_TRY(td_options_check(&table, &job->options, err));
    TD_FAIL_IF(predictions->classes == 0, err, ERR_ARGUMENT, "predictions have no classes");
    TD_FAIL_IF(predictions->rows > 0 && predictions->prediction == NULL, err, ERR_ARGUMENT,
               "prediction is missing");
    TD_FAIL_IF(predictions->rows > 0 && job->target == NULL && job->label == NULL, err,
               ERR_ARGUMENT, "the labels are missing");
    TD_TRY(td__check_finite("prediction", predictions->prediction, predictions->rows,
                            predictions->classes, err));
    TD_TRY(td__check_finite("target", job->target, predictions->rows, predictions->classes, err));
    TD_TRY(td__check_finite("weight", predictions->weight, predictions->rows, 1, err));
done:
    return status;
}

static td_status check_result(const td_predictions *predictions,
                              const td_crossentropy_result *result, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__check_finite("row_loss", result->row_loss, predictions->rows, 1, err));
    TD_TRY(td__check_finite("d_prediction", result->d_prediction, predictions->rows,
                            predictions->classes, err));
    TD_FAIL_IF(!isfinite(result->loss), err, ERR_NUMERIC, "the loss is %g", result->loss);
done:
    return status;
}

static td__crossentropy job_of(const td_predictions *predictions, const float *target,
                               const int64_t *label, const td_crossentropy_options *options)
{
    td__crossentropy job = {.predictions = predictions, .target = target, .label = label};
    td_crossentropy_options_init(&job.options);
    if (options != NULL) job.options = *options;
    return job;
}

/* Probabilities are divided by their sum. */
static td_status check_sums(const td_predictions *predictions, td_error *err)
{
    td_status status = TD_OK;
    for (uint64_t row = 0; row < predictions->rows; row++) {
        float sum = td__row_sum(predictions->prediction + row * predictions->classes,
                                predictions->classes);
        TD_FAIL_IF(sum == 0.0f || !isfinite(sum), err, ERR_NUMERIC,
                   "row %llu: the probabilities sum to %g", (unsigned long long)row, (double)sum);
    }
done:
    return status;
}

td_status td_categorical_crossentropy(const td_predictions *predictions, const float *target,
                                      const td_crossentropy_options *options,
                                      td_crossentropy_result *result, td_error *err)
{
    td_status status = TD_OK;
    td__crossentropy job = job_of(predictions, target, NULL, options);
    TD_TRY(check_input(&job, err));
    if (!job.options.from_logits) TD_TRY(check_sums(predictions, err));
    run(&job, job.options.from_logits ? td__categorical_logits : td__categorical_probabilities,
        result);
    TD_TRY(check_result(predictions, result, err));
done:
    return status;
}

td_status td_sparse_categorical_crossentropy(const td_predictions *predictions,
                                             const int64_t *label,
                                             const td_crossentropy_options *options,
                                             td_crossentropy_result *result, td_error *err)
{
    td_status status = TD_OK;
    td__crossentropy job = job_of(predictions, NULL, label, options);
    TD_TRY(check_input(&job, err));
    for (uint64_t row = 0; row < predictions->rows; row++) {
        bool known = label[row] >= 0 && label[row] < (int64_t)predictions->classes;
        TD_FAIL_IF(takes_part(&job, row) && !known, err, ERR_ARGUMENT,
                   "row %llu: label %lld is not one of the %u classes", (unsigned long long)row,
                   (long long)label[row], predictions->classes);
    }
    run(&job, job.options.from_logits ? td__sparse_logits : td__sparse_probabilities, result);
    TD_TRY(check_result(predictions, result, err));
done:
    return status;
}

td_status td_binary_crossentropy(const td_predictions *predictions, const float *target,
                                 const td_crossentropy_options *options,
                                 td_crossentropy_result *result, td_error *err)
{
    td_status status = TD_OK;
    td__crossentropy job = job_of(predictions, target, NULL, options);
    TD_TRY(check_input(&job, err));
    for (uint64_t i = 0; i < predictions->rows * predictions->classes; i++) {
        TD_FAIL_IF(target[i] < 0.0f || target[i] > 1.0f, err, ERR_ARGUMENT,
                   "row %llu: target %g is not in [0, 1]",
                   (unsigned long long)(i / predictions->classes), (double)target[i]);
    }
    run(&job, job.options.from_logits ? td__binary_logits : td__binary_probabilities, result);
    TD_TRY(check_result(predictions, result, err));
done:
    return status;
}
