/* ials_sides.c -- half an epoch of iALS, and its loss.
 *
 * Serves: stage 5. In: a model and the training part. Out: one side's vectors, solved.
 *
 * A vector depends on the other side alone, so all vectors of a side are solved at once, in any order,
 * on any number of threads. */
#include "train/ials.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/pool.h"
#include "train/cholesky.h"
#include "train/pairs.h"
#include "base/poison.h"

enum {
    BLOCK = 16,        /* vectors of a block of work: one alone takes tens of microseconds */
    SLICE_BLOCKS = 256 /* blocks between two reports of progress */
};

static const double REPORT_SECONDS = 0.05;

/* What all pairs together weigh, against the training rows, if nobody says otherwise. The best ratios
 * found on five sets lie between 2 and 30, with little to choose between them near 8. */
static const double UNOBSERVED_RATIO = 8.0;

/* --- life */

td_status td__ials_check_model(const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(model->options.similarity != TD_SIMILARITY_DOT, err, ERR_ARGUMENT,
               "iALS scores by dot product: the model must be made with similarity dot");
    TD_FAIL_IF(td__model_has_history(model), err, ERR_ARGUMENT,
               "iALS solves for a vector of each query: query-tower id; it folds in new queries from "
               "their histories itself");
    TD_FAIL_IF(model->options.heads > 1, err, ERR_ARGUMENT,
               "iALS has one vector per query; the model has %u heads", model->options.heads);
    TD_FAIL_IF(model->options.query_layers.count + model->options.candidate_layers.count > 0, err,
               ERR_ARGUMENT, "iALS learns tables of vectors; the model has dense layers behind them "
               "(query-layers, candidate-layers)");
done:
    return status;
}

double td__ials_unobserved_weight(const td_model *model, const td_ials_options *options)
{
    double pairs = (double)td_vocab_count(model->queries) * td_vocab_count(model->candidates);
    double rows = 0.0;
    if (options->unobserved_weight > 0) return (double)options->unobserved_weight;
    for (uint32_t c = 0; c < td_vocab_count(model->candidates); c++) rows += (double)model->counts[c];
    return UNOBSERVED_RATIO * rows / pairs;
}

static td_status make_lists(td__ials *ials, const td_dataset *train, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = ials->context;
    td__ials_side *queries = &ials->sides[TD__IALS_QUERIES];
    td__ials_side *candidates = &ials->sides[TD__IALS_CANDIDATES];
    td_rows rows = td_dataset_rows(train);
    uint32_t *query = NULL, *candidate = NULL;
    TD_TRY(td__alloc(&query, context, rows.count, sizeof *query, err));
    TD_TRY(td__alloc(&candidate, context, rows.count, sizeof *candidate, err));
    TD_TRY(td__pairs_fill(query, candidate, ials->model, train, err));
    TD_TRY(td__ials_lists_init(&queries->lists, context, queries->rows, query, candidate,
                               rows.weight, rows.count, err));
    TD_TRY(td__ials_lists_init(&candidates->lists, context, candidates->rows, candidate, query,
                               rows.weight, rows.count, err));
done:
    td__free(context, query);
    td__free(context, candidate);
    return status;
}

static td_status make_scratch(td__ials *ials, td_error *err)
{
    td_status status = TD_OK;
    uint32_t dim = ials->model->options.dim;
    uint32_t block = ials->options.block < dim ? ials->options.block : dim;
    uint64_t longest = ials->sides[0].lists.longest;
    if (longest < ials->sides[1].lists.longest) longest = ials->sides[1].lists.longest;
    TD_TRY(td__alloc_zero(&ials->scratch, ials->context, ials->threads, sizeof *ials->scratch, err));
    for (uint32_t t = 0; t < ials->threads; t++) {
        TD_TRY(td__ials_scratch_init(&ials->scratch[t], ials->context, block, longest, err));
    }
done:
    return status;
}

static void take_table(td__ials_side *side, const td__parameter *parameter)
{
    side->table = parameter->weights;
    side->rows = (uint32_t)parameter->rows;
}

td_status td__ials_init(td__ials *ials, td_model *model, const td_dataset *train,
                        const td_ials_options *options, td_error *err)
{
    td_status status = TD_OK;
    uint64_t dim = model->options.dim;
    *ials = (td__ials){.context = model->context,
                       .model = model,
                       .options = *options,
                       .rows = td_dataset_rows(train).count,
                       .unobserved_weight = td__ials_unobserved_weight(model, options),
                       .threads = td__pool_threads(model->context->pool)};
    TD_TRY(td__ials_check_model(model, err));
    take_table(&ials->sides[TD__IALS_QUERIES], td__tower_parameter(&model->query_tower, 0));
    take_table(&ials->sides[TD__IALS_CANDIDATES], td__tower_parameter(&model->candidate_tower, 0));
    TD_TRY(make_lists(ials, train, err));
    TD_TRY(make_scratch(ials, err));
    TD_TRY(td__alloc(&ials->mean, ials->context, dim, sizeof *ials->mean, err));
    for (uint32_t s = 0; s < 2; s++) {
        TD_TRY(td__alloc(&ials->sides[s].gram, ials->context, dim * dim, sizeof(float), err));
    }
done:
    return status;
}

void td__ials_clear(td__ials *ials)
{
    td_context *context = ials->context;
    if (context == NULL) return;
    for (uint32_t s = 0; s < 2; s++) {
        td__ials_lists_clear(&ials->sides[s].lists);
        td__free(context, ials->sides[s].gram);
    }
    for (uint32_t t = 0; ials->scratch != NULL && t < ials->threads; t++) {
        td__ials_scratch_clear(&ials->scratch[t], context);
    }
    td__free(context, ials->scratch);
    td__free(context, ials->mean);
    *ials = (td__ials){0};
}

/* --- half an epoch */

static td__ials_problem problem_of(const td__ials *ials, td__ials_which which)
{
    const td__ials_side *other = &ials->sides[1 - which];
    return (td__ials_problem){.kernels = ials->context->kernels,
                              .table = other->table,
                              .gram = other->gram,
                              .dim = ials->model->options.dim,
                              .block = ials->options.block,
                              .others = (double)other->lists.filled,
                              .unobserved_weight = ials->unobserved_weight,
                              .regularization = (double)ials->options.regularization,
                              .exponent = (double)ials->options.exponent};
}

static td__ials_list list_of(const td__ials_side *side, uint64_t row)
{
    const td__ials_lists *lists = &side->lists;
    uint64_t start = lists->offsets[row];
    return (td__ials_list){.others = lists->others + start,
                           .weight = lists->weight == NULL ? NULL : lists->weight + start,
                           .count = td__ials_lists_count(lists, row)};
}

typedef struct side_job {
    const td__ials *ials;
    const td__ials_side *side;
    td__ials_problem problem;
    uint64_t first_block;
    uint64_t *failed; /* [threads] the first row without a solution, UINT64_MAX: none */
} side_job;

static void side_block(void *state, uint64_t block, uint32_t worker)
{
    const side_job *job = state;
    uint64_t first = (job->first_block + block) * BLOCK, end = first + BLOCK;
    if (end > job->side->rows) end = job->side->rows;
    for (uint64_t row = first; row < end; row++) {
        td__ials_list list = list_of(job->side, row);
        float *vector = job->side->table + row * job->problem.dim;
        bool solved = td__ials_solve(&job->problem, &job->ials->scratch[worker], &list, vector);
        if (!solved && row < job->failed[worker]) job->failed[worker] = row;
    }
}

static td_status check_failed(const side_job *job, td__ials_which which, td_error *err)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t t = 0; t < job->ials->threads; t++) {
        if (job->failed[t] < first) first = job->failed[t];
    }
    if (first == UINT64_MAX) return TD_OK;
    return td__fail(err, TD_ERR_NUMERIC,
                    "the equations of %s %llu have no solution in float32; a larger regularization "
                    "helps",
                    which == TD__IALS_QUERIES ? "query" : "candidate", (unsigned long long)first);
}

/* Tell the hook, not too often but always at the end of an epoch. CANCELLED if it says so. */
static td_status report_progress(const td__ials *ials, td__ials_progress *p, td_error *err)
{
    uint64_t total = (uint64_t)ials->sides[0].rows + ials->sides[1].rows;
    double now = td__seconds();
    if (p->hook == NULL || (p->done < total && now - p->reported < REPORT_SECONDS)) return TD_OK;
    p->reported = now;
    td_progress progress = {.stage = "train",
                            .done = p->done,
                            .total = total,
                            .unit = "vectors",
                            .epoch = p->epoch,
                            .epochs = p->epochs,
                            .loss = p->loss,
                            .seconds = now - p->started};
    if (p->hook->report(p->hook->user, &progress)) return TD_OK;
    return td__fail(err, TD_ERR_CANCELLED, "training stopped by the caller in epoch %u after %llu vectors",
                    p->epoch, (unsigned long long)p->done);
}

static td_status solve_slices(side_job *job, td__ials_which which, td__ials_progress *progress,
                              td_error *err)
{
    td_status status = TD_OK;
    uint64_t rows = job->side->rows, blocks = td__block_count(rows, BLOCK);
    uint64_t before = progress->done;
    for (job->first_block = 0; job->first_block < blocks; job->first_block += SLICE_BLOCKS) {
        uint64_t left = blocks - job->first_block;
        td__parallel_for(job->ials->context, left < SLICE_BLOCKS ? left : SLICE_BLOCKS, side_block,
                         job);
        TD_TRY(check_failed(job, which, err));
        uint64_t reached = (job->first_block + SLICE_BLOCKS) * BLOCK;
        progress->done = before + (reached < rows ? reached : rows);
        TD_TRY(report_progress(job->ials, progress, err));
    }
done:
    return status;
}

static td_status make_gram(td__ials *ials, td__ials_which which, td_error *err)
{
    td__ials_side *side = &ials->sides[which];
    return td__ials_gram(ials->context, side->table, side->rows, ials->model->options.dim,
                         side->gram, err);
}

td_status td__ials_solve_side(td__ials *ials, td__ials_which which, td__ials_progress *progress,
                              td_error *err)
{
    td_status status = TD_OK;
    side_job job = {.ials = ials, .side = &ials->sides[which], .problem = problem_of(ials, which)};
    TD_TRY(td__alloc(&job.failed, ials->context, ials->threads, sizeof *job.failed, err));
    memset(job.failed, 0xFF, ials->threads * sizeof *job.failed);
    TD_TRY(make_gram(ials, 1 - which, err));
    TD_TRY(solve_slices(&job, which, progress, err));
done:
    td__free(ials->context, job.failed);
    return status;
}

/* --- the loss */

typedef struct loss_job {
    const td__ials *ials;
    td__ials_which which;
    double *parts; /* [blocks] */
} loss_job;

static double norm2(const float *vector, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < dim; k++) sum += (double)vector[k] * (double)vector[k];
    return sum;
}

/* sum w (s - 1)^2 of one list. */
static double list_loss(const td__ials_problem *problem, const td__ials_list *list,
                        const float *vector)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < list->count; i++) {
        const float *other = problem->table + (size_t)list->others[i] * problem->dim;
        double error = (double)td__dot_wide(other, vector, problem->dim) - 1.0;
        sum += (list->weight == NULL ? 1.0 : (double)list->weight[i]) * error * error;
    }
    return sum;
}

/* The regularization of a side's vectors and, from the queries, what the rows add. */
static void loss_block(void *state, uint64_t block, uint32_t worker)
{
    const loss_job *job = state;
    const td__ials_side *side = &job->ials->sides[job->which];
    td__ials_problem problem = problem_of(job->ials, job->which);
    uint64_t first = block * BLOCK, end = first + BLOCK;
    double sum = 0.0;
    (void)worker;
    for (uint64_t row = first; row < end && row < side->rows; row++) {
        td__ials_list list = list_of(side, row);
        const float *vector = side->table + row * problem.dim;
        if (list.count == 0) continue;
        sum += td__ials_regularization(&problem, td__ials_weight(&list)) * norm2(vector, problem.dim);
        if (job->which == TD__IALS_QUERIES) sum += list_loss(&problem, &list, vector);
    }
    job->parts[block] = sum;
}

static td_status side_loss(const td__ials *ials, td__ials_which which, double *loss, td_error *err)
{
    uint64_t blocks = td__block_count(ials->sides[which].rows, BLOCK);
    loss_job job = {.ials = ials, .which = which};
    td_status status = td__alloc(&job.parts, ials->context, blocks, sizeof *job.parts, err);
    if (status != TD_OK) return status;
    td__parallel_for(ials->context, blocks, loss_block, &job);
    for (uint64_t b = 0; b < blocks; b++) *loss += job.parts[b];
    td__free(ials->context, job.parts);
    return TD_OK;
}

/* sum over all pairs of s^2: the inner product of both sums of outer products. */
td_status td__ials_loss(td__ials *ials, double *loss, td_error *err)
{
    td_status status = TD_OK;
    uint64_t dim = ials->model->options.dim;
    double pairs = 0.0;
    *loss = 0.0;
    TD_TRY(make_gram(ials, TD__IALS_QUERIES, err));
    TD_TRY(make_gram(ials, TD__IALS_CANDIDATES, err));
    for (uint64_t i = 0; i < dim * dim; i++) {
        pairs += (double)ials->sides[0].gram[i] * (double)ials->sides[1].gram[i];
    }
    TD_TRY(side_loss(ials, TD__IALS_QUERIES, loss, err));
    TD_TRY(side_loss(ials, TD__IALS_CANDIDATES, loss, err));
    *loss += ials->unobserved_weight * pairs;
done:
    return status;
}

/* --- rows that nothing was learned for */

static void set_unlearned(td__ials_side *side, const double *value, uint32_t dim)
{
    for (uint64_t row = 0; row < side->rows; row++) {
        if (td__ials_lists_count(&side->lists, row) > 0) continue;
        float *vector = side->table + row * dim;
        for (uint32_t k = 0; k < dim; k++) vector[k] = (float)value[k];
    }
}

void td__ials_empty_queries(td__ials *ials)
{
    uint32_t dim = ials->model->options.dim;
    memset(ials->mean, 0, dim * sizeof *ials->mean);
    set_unlearned(&ials->sides[TD__IALS_QUERIES], ials->mean, dim);
}

void td__ials_fill_queries(td__ials *ials)
{
    td__ials_side *side = &ials->sides[TD__IALS_QUERIES];
    uint32_t dim = ials->model->options.dim;
    double *mean = ials->mean;
    if (side->lists.filled == 0) return;
    memset(mean, 0, dim * sizeof *mean);
    for (uint64_t row = 0; row < side->rows; row++) {
        if (td__ials_lists_count(&side->lists, row) == 0) continue;
        for (uint32_t k = 0; k < dim; k++) mean[k] += (double)side->table[row * dim + k];
    }
    for (uint32_t k = 0; k < dim; k++) mean[k] /= side->lists.filled;
    set_unlearned(side, mean, dim);
}
