/* fold_in.c -- vectors for queries that were not there when the model was trained.
 *
 * Serves: stages 5 to 7. In: a model, lists of candidates. Out: the vector of each list, by the closed
 * form with which iALS solves its queries. */
#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "train/ials.h"
#include "base/poison.h"

struct td_fold_in {
    td_context *context;
    uint32_t candidates; /* of the model's vocabulary */
    float *gram;         /* [dim, dim] */
    td__ials_problem problem;
};

/* Vectors that are not zero: iALS leaves those at zero that nothing was learned for. */
static double learned(const td__parameter *table)
{
    uint64_t count = 0;
    for (uint64_t row = 0; row < table->rows; row++) {
        const float *vector = table->weights + row * table->cols;
        uint32_t k = 0;
        while (k < table->cols && vector[k] == 0.0f) k++;
        count += k < table->cols;
    }
    return (double)count;
}

td_status td_fold_in_create(td_fold_in **out, const td_model *model, const td_ials_options *options,
                            td_error *err)
{
    td_status status = TD_OK;
    td_fold_in *fold_in = NULL;
    td_ials_options defaults;
    uint64_t dim = model->options.dim;
    if (options == NULL) {
        TD_TRY(td__model_get_training(model, "ials", td_ials_option_table(), &defaults, err));
        options = &defaults;
    }
    TD_TRY(td_options_check(td_ials_option_table(), options, err));
    TD_TRY(td__ials_check_model(model, err));
    const td__parameter *table = &model->candidate_tower.layers[0].parameters[0];
    TD_TRY(td__alloc_zero(&fold_in, model->context, 1, sizeof *fold_in, err));
    fold_in->context = model->context;
    fold_in->candidates = td_vocab_count(model->candidates);
    fold_in->problem = (td__ials_problem){.kernels = model->context->kernels,
                                          .table = table->weights,
                                          .dim = model->options.dim,
                                          .block = model->options.dim,
                                          .others = learned(table),
                                          .unobserved_weight =
                                              td__ials_unobserved_weight(model, options),
                                          .regularization = (double)options->regularization,
                                          .exponent = (double)options->exponent};
    TD_TRY(td__alloc(&fold_in->gram, model->context, dim * dim, sizeof(float), err));
    TD_TRY(td__ials_gram(model->context, table->weights, table->rows, model->options.dim,
                         fold_in->gram, err));
    fold_in->problem.gram = fold_in->gram;
    *out = fold_in;
    return TD_OK;
done:
    td_fold_in_free(fold_in);
    *out = NULL;
    return status;
}

void td_fold_in_free(td_fold_in *fold_in)
{
    if (fold_in == NULL) return;
    td__free(fold_in->context, fold_in->gram);
    td__free(fold_in->context, fold_in);
}

/* --- a call */

typedef struct fold_job {
    const td_fold_in *fold_in;
    const td_histories *histories; /* without unknown candidates */
    td__ials_scratch *scratch;     /* [threads] */
    float *vectors;
    uint8_t *failed; /* [count] */
} fold_job;

static td_status check_offsets(const td_histories *histories, td_error *err)
{
    td_status status = TD_OK;
    for (uint32_t h = 0; h < histories->count; h++) {
        TD_FAIL_IF(histories->offsets[h] > histories->offsets[h + 1], err, ERR_ARGUMENT,
                   "the list of query %u ends before it starts", h);
    }
done:
    return status;
}

static td_status check_history(const td_fold_in *fold_in, const td_histories *histories,
                               uint32_t history, td_error *err)
{
    td_status status = TD_OK;
    for (uint64_t i = histories->offsets[history]; i < histories->offsets[history + 1]; i++) {
        uint32_t candidate = histories->candidates[i];
        float weight = histories->weight == NULL ? 1.0f : histories->weight[i];
        TD_FAIL_IF(candidate != TD_NONE && candidate >= fold_in->candidates, err, ERR_ARGUMENT,
                   "query %u: candidate %u is not there; the model has %u", history, candidate,
                   fold_in->candidates);
        TD_FAIL_IF(!isfinite(weight) || weight < 0, err, ERR_ARGUMENT,
                   "query %u: the weight %g is not allowed; it must be finite and not negative",
                   history, (double)weight);
    }
done:
    return status;
}

/* A copy of the lists that passes unknown candidates over. */
typedef struct known_lists {
    uint64_t *offsets;
    uint32_t *candidates;
    float *weight; /* or NULL */
} known_lists;

static td_status copy_known(known_lists *out, td_context *context, const td_histories *histories,
                            td_error *err)
{
    td_status status = TD_OK;
    uint64_t total = histories->offsets[histories->count] - histories->offsets[0], end = 0;
    TD_TRY(td__alloc(&out->offsets, context, (uint64_t)histories->count + 1, sizeof(uint64_t), err));
    TD_TRY(td__alloc(&out->candidates, context, total, sizeof(uint32_t), err));
    if (histories->weight != NULL) {
        TD_TRY(td__alloc(&out->weight, context, total, sizeof(float), err));
    }
    out->offsets[0] = 0;
    for (uint32_t h = 0; h < histories->count; h++) {
        for (uint64_t i = histories->offsets[h]; i < histories->offsets[h + 1]; i++) {
            if (histories->candidates[i] == TD_NONE) continue;
            if (out->weight != NULL) out->weight[end] = histories->weight[i];
            out->candidates[end++] = histories->candidates[i];
        }
        out->offsets[h + 1] = end;
    }
done:
    return status;
}

static void fold_block(void *state, uint64_t block, uint32_t worker)
{
    const fold_job *job = state;
    const td_histories *histories = job->histories;
    uint64_t start = histories->offsets[block];
    td__ials_list list = {.others = histories->candidates + start,
                          .weight = histories->weight == NULL ? NULL : histories->weight + start,
                          .count = histories->offsets[block + 1] - start};
    const td__ials_problem *problem = &job->fold_in->problem;
    job->failed[block] = !td__ials_solve(problem, &job->scratch[worker], &list,
                                         job->vectors + block * problem->dim);
}

static td_status run(fold_job *job, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = job->fold_in->context;
    uint32_t threads = td__pool_threads(context->pool), count = job->histories->count;
    uint32_t dim = job->fold_in->problem.dim; /* one block is all of it: no scores are kept */
    TD_TRY(td__alloc_zero(&job->scratch, context, threads, sizeof *job->scratch, err));
    for (uint32_t t = 0; t < threads; t++) {
        TD_TRY(td__ials_scratch_init(&job->scratch[t], context, dim, 0, err));
    }
    TD_TRY(td__alloc(&job->failed, context, count, 1, err));
    td__parallel_for(context, count, fold_block, job);
    for (uint32_t h = 0; h < count; h++) {
        TD_FAIL_IF(job->failed[h], err, ERR_NUMERIC,
                   "the equations of query %u have no solution in float32; a larger regularization "
                   "helps",
                   h);
    }
done:
    for (uint32_t t = 0; job->scratch != NULL && t < threads; t++) {
        td__ials_scratch_clear(&job->scratch[t], context);
    }
    td__free(context, job->scratch);
    td__free(context, job->failed);
    return status;
}

td_status td_fold_in_solve(const td_fold_in *fold_in, const td_histories *histories,
                           float *vectors, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = fold_in->context;
    known_lists known = {0};
    if (histories->count == 0) return TD_OK;
    TD_TRY(check_offsets(histories, err));
    for (uint32_t h = 0; h < histories->count; h++) {
        TD_TRY(check_history(fold_in, histories, h, err));
    }
    TD_TRY(copy_known(&known, context, histories, err));
    td_histories lists = {histories->count, known.offsets, known.candidates, known.weight};
    fold_job job = {.fold_in = fold_in, .histories = &lists, .vectors = vectors};
    TD_TRY(run(&job, err));
done:
    td__free(context, known.offsets);
    td__free(context, known.candidates);
    td__free(context, known.weight);
    return status;
}
