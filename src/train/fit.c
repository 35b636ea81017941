/* fit.c -- vectors for queries that were not there when the model was trained, by the softmax.
 *
 * Serves: stages 5 to 7. In: a model, lists of candidates. Out: for each list the vector that makes it most
 * likely among all candidates, which stand still.
 *
 * Gradient descent on every vector at once, each with a step of its own: a step that lowers the loss is
 * taken and the next is longer, one that does not is taken back and halved. So the loss of a vector
 * never rises. With cosine similarity vectors stay on the sphere. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "kernel/kernel.h"
#include "kernel/softmax.h"
#include "model/model.h"
#include "base/poison.h"

enum { QUERIES_MAX = 256, ENTRIES_FIRST = 4096 };

struct td_fit {
    td_context *context;
    td_fit_options options;
    uint32_t candidates, dim;
    bool cosine;
    float *vectors; /* [candidates, dim] */
    td__softmax *softmax;
    uint32_t entries_max;
    uint32_t *offset; /* [QUERIES_MAX + 1] */
    uint32_t *column; /* [entries_max] */
    float *weight;    /* [entries_max], of each list their sum is 1 */
    float *entry_loss;                        /* [entries_max] */
    float *now, *slope, *trial, *trial_slope; /* [QUERIES_MAX, dim] */
    double loss[QUERIES_MAX], trial_loss[QUERIES_MAX], step[QUERIES_MAX];
};

static const td_option rows[] = {
    TD__OPTION_F32(td_fit_options, temperature, "fit-temperature", "0.1", 1e-6, 1e6, "T",
                   "temperature of the softmax, as in training"),
    TD__OPTION_U32(td_fit_options, steps, "fit-steps", "20", 0, 100000, "N",
                   "steps from the mean of the list's vectors; 0: the mean"),
    TD__OPTION_F32(td_fit_options, regularization, "fit-regularization", "0.01", 0, 1e6, "L",
                   "dot similarity: weight of half the squared length of the vector"),
};
static const td_option_table table = TD__OPTION_TABLE("fit", td_fit_options, rows);

const td_option_table *td_fit_option_table(void)
{
    return &table;
}

void td_fit_options_init(td_fit_options *options)
{
    td_options_init(&table, options);
}

/* --- life */

/* Room for lists of `entries` candidates together. */
static td_status reserve(td_fit *fit, uint32_t entries, td_error *err)
{
    td_status status = TD_OK;
    if (fit->softmax != NULL && entries <= fit->entries_max) return TD_OK;
    td__softmax_free(fit->softmax);
    fit->softmax = NULL;
    td__softmax_shape shape = {
        .rows = QUERIES_MAX, .columns = fit->candidates, .entries = entries, .dim = fit->dim};
    TD_TRY(td__softmax_create(&fit->softmax, fit->context, &shape, err));
    TD_TRY(td__grow(&fit->column, fit->context, entries, sizeof *fit->column, err));
    TD_TRY(td__grow(&fit->weight, fit->context, entries, sizeof *fit->weight, err));
    TD_TRY(td__grow(&fit->entry_loss, fit->context, entries, sizeof *fit->entry_loss, err));
    fit->entries_max = entries;
done:
    return status;
}

static td_status create_rooms(td_fit *fit, td_error *err)
{
    td_status status = TD_OK;
    size_t row_bytes = fit->dim * sizeof(float);
    TD_TRY(td__alloc(&fit->offset, fit->context, QUERIES_MAX + 1, sizeof *fit->offset, err));
    TD_TRY(td__alloc(&fit->now, fit->context, QUERIES_MAX, row_bytes, err));
    TD_TRY(td__alloc(&fit->slope, fit->context, QUERIES_MAX, row_bytes, err));
    TD_TRY(td__alloc(&fit->trial, fit->context, QUERIES_MAX, row_bytes, err));
    TD_TRY(td__alloc(&fit->trial_slope, fit->context, QUERIES_MAX, row_bytes, err));
    TD_TRY(reserve(fit, ENTRIES_FIRST, err));
done:
    return status;
}

/* The defaults, at the temperature of the training. */
static td_status options_of(td_fit_options *options, const td_model *model, td_error *err)
{
    td_train_options train;
    td_status status =
        td__model_get_training(model, "softmax", td_train_option_table(), &train, err);
    td_fit_options_init(options);
    if (td_model_training(model) != NULL) options->temperature = train.loss.temperature;
    return status;
}

td_status td_fit_create(td_fit **out, const td_model *model, const td_fit_options *options,
                        td_error *err)
{
    td_status status = TD_OK;
    td_fit *fit = NULL;
    td_fit_options chosen;
    if (options != NULL) chosen = *options;
    else TD_TRY(options_of(&chosen, model, err));
    TD_TRY(td_options_check(&table, &chosen, err));
    TD_FAIL_IF(model->options.heads != 1, err, ERR_ARGUMENT,
               "the model has %u vectors a query; one can be fitted", model->options.heads);
    TD_TRY(td__alloc_zero(&fit, model->context, 1, sizeof *fit, err));
    fit->context = model->context;
    fit->options = chosen;
    fit->candidates = td_vocab_count(model->candidates);
    fit->dim = model->options.dim;
    fit->cosine = model->options.similarity == TD_SIMILARITY_COSINE;
    TD_TRY(td__alloc(&fit->vectors, fit->context, fit->candidates, fit->dim * sizeof(float), err));
    TD_TRY(td_model_encode_candidates(model, fit->vectors, err));
    TD_TRY(create_rooms(fit, err));
    *out = fit;
    return TD_OK;
done:
    td_fit_free(fit);
    *out = NULL;
    return status;
}

void td_fit_free(td_fit *fit)
{
    if (fit == NULL) return;
    td__softmax_free(fit->softmax);
    td__free(fit->context, fit->vectors);
    td__free(fit->context, fit->offset);
    td__free(fit->context, fit->column);
    td__free(fit->context, fit->weight);
    td__free(fit->context, fit->entry_loss);
    td__free(fit->context, fit->now);
    td__free(fit->context, fit->slope);
    td__free(fit->context, fit->trial);
    td__free(fit->context, fit->trial_slope);
    td__free(fit->context, fit);
}

/* --- the lists of a chunk */

/* A chunk of the lists: `count` of them from `first` on. */
typedef struct chunk {
    const td_histories *histories;
    uint32_t first, count;
} chunk;

static float given_weight(const td_histories *histories, uint64_t i)
{
    return histories->weight == NULL ? 1.0f : histories->weight[i];
}

static td_status check_entry(const td_fit *fit, const td_histories *histories, uint64_t i, uint32_t q,
                             td_error *err)
{
    td_status status = TD_OK;
    uint32_t candidate = histories->candidates[i];
    float weight = given_weight(histories, i);
    TD_FAIL_IF(candidate != TD_NONE && candidate >= fit->candidates, err, ERR_ARGUMENT,
               "query %u: candidate %u is not there; the model has %u", q, candidate, fit->candidates);
    TD_FAIL_IF(!isfinite(weight) || weight < 0, err, ERR_ARGUMENT,
               "query %u: the weight %g is not allowed; it must be finite and not negative", q,
               (double)weight);
done:
    return status;
}

/* The weights of a list add up to 1, so that steps mean the same for long lists and short ones. */
static void normalize_weights(td_fit *fit, uint32_t begin, uint32_t end)
{
    double sum = 0.0;
    for (uint32_t e = begin; e < end; e++) sum += (double)fit->weight[e];
    for (uint32_t e = begin; e < end && sum > 0.0; e++) {
        fit->weight[e] = (float)((double)fit->weight[e] / sum);
    }
}

static td_status load_lists(td_fit *fit, const chunk *c, td_error *err)
{
    td_status status = TD_OK;
    const td_histories *histories = c->histories;
    uint32_t end = 0;
    fit->offset[0] = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t q = c->first + i, begin = end;
        for (uint64_t at = histories->offsets[q]; at < histories->offsets[q + 1]; at++) {
            TD_TRY(check_entry(fit, histories, at, q, err));
            if (histories->candidates[at] == TD_NONE) continue;
            fit->column[end] = histories->candidates[at];
            fit->weight[end++] = given_weight(histories, at);
        }
        normalize_weights(fit, begin, end);
        fit->offset[i + 1] = end;
    }
done:
    return status;
}

/* --- descent */

/* Onto the sphere, where the similarity is the cosine. */
static void settle(const td_fit *fit, float *vector)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < fit->dim; k++) sum += (double)vector[k] * (double)vector[k];
    double factor = !fit->cosine || sum < 1e-24 ? 1.0 : 1.0 / sqrt(sum);
    for (uint32_t k = 0; k < fit->dim; k++) vector[k] = (float)((double)vector[k] * factor);
}

static void start_at_means(td_fit *fit, uint32_t count)
{
    memset(fit->trial, 0, (size_t)count * fit->dim * sizeof *fit->trial);
    for (uint32_t i = 0; i < count; i++) {
        float *mean = fit->trial + (size_t)i * fit->dim;
        for (uint32_t e = fit->offset[i]; e < fit->offset[i + 1]; e++) {
            const float *vector = fit->vectors + (size_t)fit->column[e] * fit->dim;
            fit->context->kernels->axpy(fit->weight[e], vector, mean, fit->dim);
        }
        settle(fit, mean);
        fit->loss[i] = (double)INFINITY;
        fit->step[i] = (double)fit->options.temperature;
    }
}

/* What the length costs, and what of the slope leaves the sphere. */
static double finish_slope(const td_fit *fit, const float *vector, float *slope)
{
    double squares = 0.0, along = 0.0, length = (double)fit->options.regularization;
    for (uint32_t k = 0; k < fit->dim; k++) {
        squares += (double)vector[k] * (double)vector[k];
        along += (double)vector[k] * (double)slope[k];
    }
    double factor = fit->cosine ? -along : length;
    for (uint32_t k = 0; k < fit->dim; k++) {
        slope[k] = (float)((double)slope[k] + factor * (double)vector[k]);
    }
    return fit->cosine ? 0.0 : 0.5 * length * squares;
}

/* Loss and slope of every trial. */
static td_status measure(td_fit *fit, uint32_t count, td_error *err)
{
    td_status status = TD_OK;
    td__softmax_batch batch = {.rows = {.data = fit->trial, .count = count},
                               .columns = {.data = fit->vectors, .count = fit->candidates},
                               .temperature = fit->options.temperature,
                               .entry_offset = fit->offset,
                               .entry_column = fit->column,
                               .entry_weight = fit->weight,
                               .weight_scale = 1.0};
    td__softmax_result result = {.entry_loss = fit->entry_loss, .d_rows = fit->trial_slope};
    TD_TRY(td__softmax_compute(fit->softmax, &batch, &result, err));
    for (uint32_t i = 0; i < count; i++) {
        size_t at = (size_t)i * fit->dim;
        fit->trial_loss[i] = finish_slope(fit, fit->trial + at, fit->trial_slope + at);
        for (uint32_t e = fit->offset[i]; e < fit->offset[i + 1]; e++) {
            fit->trial_loss[i] += (double)fit->entry_loss[e];
        }
    }
done:
    return status;
}

/* Keep a trial that is better; else go half as far the next time. */
static void judge(td_fit *fit, uint32_t i)
{
    size_t at = (size_t)i * fit->dim, bytes = fit->dim * sizeof(float);
    if (fit->trial_loss[i] < fit->loss[i]) {
        memcpy(fit->now + at, fit->trial + at, bytes);
        memcpy(fit->slope + at, fit->trial_slope + at, bytes);
        fit->loss[i] = fit->trial_loss[i];
        fit->step[i] *= 1.5;
    } else {
        fit->step[i] *= 0.5;
    }
    for (uint32_t k = 0; k < fit->dim; k++) {
        fit->trial[at + k] = (float)((double)fit->now[at + k] - fit->step[i] * (double)fit->slope[at + k]);
    }
    settle(fit, fit->trial + at);
}

static td_status fit_chunk(td_fit *fit, const chunk *c, float *vectors, td_error *err)
{
    td_status status = TD_OK;
    const uint64_t *offsets = c->histories->offsets;
    uint64_t entries = offsets[c->first + c->count] - offsets[c->first];
    TD_FAIL_IF(entries >= TD_NONE, err, ERR_LIMIT, "%llu candidates in %u lists; at most %u are allowed",
               (unsigned long long)entries, c->count, TD_NONE - 1);
    TD_TRY(reserve(fit, (uint32_t)entries, err));
    TD_TRY(load_lists(fit, c, err));
    start_at_means(fit, c->count);
    memcpy(fit->now, fit->trial, (size_t)c->count * fit->dim * sizeof *fit->now);
    for (uint32_t s = 0; s <= fit->options.steps && fit->options.steps > 0; s++) {
        TD_TRY(measure(fit, c->count, err));
        for (uint32_t i = 0; i < c->count; i++) judge(fit, i);
    }
    memcpy(vectors + (size_t)c->first * fit->dim, fit->now,
           (size_t)c->count * fit->dim * sizeof *vectors);
done:
    return status;
}

td_status td_fit_solve(td_fit *fit, const td_histories *histories, float *vectors, td_error *err)
{
    td_status status = TD_OK;
    for (uint32_t q = 0; q < histories->count; q++) {
        TD_FAIL_IF(histories->offsets[q] > histories->offsets[q + 1], err, ERR_ARGUMENT,
                   "the list of query %u ends before it starts", q);
    }
    for (uint32_t first = 0; first < histories->count; first += QUERIES_MAX) {
        uint32_t left = histories->count - first;
        chunk c = {histories, first, left < QUERIES_MAX ? left : QUERIES_MAX};
        TD_TRY(fit_chunk(fit, &c, vectors, err));
    }
done:
    return status;
}
