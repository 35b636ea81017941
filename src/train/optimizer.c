/* optimizer.c -- gradients move the weights.
 *
 * Serves: stage 5. In: weights and the gradients of some or all of their rows. Out: weights.
 *
 * A step with named rows first gathers the gradients of each row (row_groups.c); then blocks of
 * rows are worked on in parallel. A row belongs to one block and its gradients are added in the
 * order given, so the bits do not depend on the number of threads. */
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "train/optimizer_rows.h"
#include "train/optimizer_struct.h"
#include "base/poison.h"

enum {
    BLOCK_FLOATS = 8192, /* of weights: some microseconds of work */
    PREFETCH_ROWS = 8,   /* a row from memory takes as long as some rows of arithmetic */
    LINE_FLOATS = 16
};

static const td_option rows[] = {TD__OPTIMIZER_OPTION_ROWS(td_optimizer_options, , "0.1")};
static const td_option_table table = TD__OPTION_TABLE("optimizer", td_optimizer_options, rows);

const td_option_table *td_optimizer_option_table(void)
{
    return &table;
}

void td_optimizer_options_init(td_optimizer_options *options)
{
    td_options_init(&table, options);
}

/* --- life */

static uint64_t rows_per_block(uint32_t dim)
{
    return dim < BLOCK_FLOATS ? BLOCK_FLOATS / dim : 1;
}

/* A thread's own sum, on its own cache lines. */
static uint64_t scratch_stride(uint32_t dim)
{
    return (dim + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

static bool is_adagrad(td_optimizer_kind kind)
{
    return kind == TD_OPTIMIZER_ADAGRAD || kind == TD_OPTIMIZER_ADAGRAD_TORCH
           || kind == TD_OPTIMIZER_ADAGRAD_ROWWISE;
}

/* By blocks of the same rows as the steps, so that the threads touch the pages first. */
static void fill_block(void *state, uint64_t block, uint32_t worker)
{
    td_optimizer *optimizer = state;
    const td_optimizer_options *options = &optimizer->options;
    uint64_t per_block = rows_per_block(optimizer->dim) * optimizer->width;
    uint64_t end = optimizer->rows * optimizer->width;
    float value = is_adagrad(options->optimizer) ? options->initial_accumulator : 0;
    (void)worker;
    if (end > (block + 1) * per_block) end = (block + 1) * per_block;
    for (uint64_t i = block * per_block; i < end; i++) optimizer->slots[i] = value;
}

static td_status check_shape(uint64_t row_count, uint32_t dim, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(dim < 1 || dim > TD__DIM_MAX, err, ERR_ARGUMENT, "dim is %u; 1 to %d are allowed",
               dim, TD__DIM_MAX);
    TD_FAIL_IF(row_count >= TD_NONE, err, ERR_LIMIT, "%llu rows; at most %u are allowed",
               (unsigned long long)row_count, TD_NONE - 1);
done:
    return status;
}

td_status td_optimizer_create(td_optimizer **out, td_context *context, uint64_t row_count,
                              uint32_t dim, const td_optimizer_options *options, td_error *err)
{
    td_status status = TD_OK;
    td_optimizer *optimizer = NULL;
    td_optimizer_options defaults;
    td_optimizer_options_init(&defaults);
    if (options == NULL) options = &defaults;
    TD_TRY(td_options_check(&table, options, err));
    TD_TRY(check_shape(row_count, dim, err));
    TD_TRY(td__alloc_zero(&optimizer, context, 1, sizeof *optimizer, err));
    *optimizer = (td_optimizer){.context = context,
                                .options = *options,
                                .rows = row_count,
                                .dim = dim,
                                .width = td__row_slots_of(options, dim)};
    TD_TRY(td__row_groups_init(&optimizer->groups, context, row_count, err));
    TD_TRY(td__alloc(&optimizer->scratch, context,
                     scratch_stride(dim) * td__pool_threads(context->pool), sizeof(float), err));
    TD_TRY(td__alloc(&optimizer->slots, context, row_count * optimizer->width, sizeof(float), err));
    td__parallel_for(context, td__block_count(row_count, rows_per_block(dim)), fill_block,
                     optimizer);
    *out = optimizer;
    return TD_OK;
done:
    td_optimizer_free(optimizer);
    *out = NULL;
    return status;
}

void td_optimizer_free(td_optimizer *optimizer)
{
    if (optimizer == NULL) return;
    td_context *context = optimizer->context;
    if (optimizer->groups.context != NULL) td__row_groups_clear(&optimizer->groups);
    td__free(context, optimizer->scratch);
    td__free(context, optimizer->slots);
    td__free(context, optimizer);
}

td_status td__optimizer_reserve(td_optimizer *optimizer, uint64_t count, td_error *err)
{
    return td__row_groups_reserve(&optimizer->groups, count, err);
}

/* --- a step */

typedef struct step_job {
    td_optimizer *optimizer;
    td__row_update *update;
    td__row_rule rule;
    float *weights;
    td__sided_gradient sides[2]; /* of which the second may be empty */
    bool all;       /* gradient i belongs to row i; else to the groups */
    uint64_t count; /* of rows to move */
} step_job;

static td__row_rule make_rule(const td_optimizer *optimizer, double learning_rate)
{
    const td_optimizer_options *options = &optimizer->options;
    double beta1 = (double)options->beta1, beta2 = (double)options->beta2;
    double t = (double)optimizer->steps;
    if (options->optimizer == TD_OPTIMIZER_ADAM_LAZY) {
        learning_rate *= sqrt(1 - pow(beta2, t)) / (1 - pow(beta1, t));
    }
    return (td__row_rule){.dim = optimizer->dim,
                          .rate = (float)learning_rate,
                          .epsilon = options->epsilon,
                          .momentum = options->momentum,
                          .beta1_rest = (float)(1 - beta1),
                          .beta2_rest = (float)(1 - beta2)};
}

static float *slots_of(const td_optimizer *optimizer, uint64_t row)
{
    return optimizer->width == 0 ? NULL : optimizer->slots + row * optimizer->width;
}

static void prefetch_row(const step_job *job, uint64_t row)
{
    const td_optimizer *optimizer = job->optimizer;
    const float *w = job->weights + row * optimizer->dim;
    const float *slots = slots_of(optimizer, row);
    for (uint32_t k = 0; k < optimizer->dim; k += LINE_FLOATS) __builtin_prefetch(w + k, 1);
    for (uint32_t k = 0; k < optimizer->width; k += LINE_FLOATS) __builtin_prefetch(slots + k, 1);
}

static const float *gradient_at(const step_job *job, uint64_t at)
{
    const td__sided_gradient *sides = job->sides;
    bool second = at >= sides[0].count;
    return second ? sides[1].values + (at - sides[0].count) * job->optimizer->dim
                  : sides[0].values + at * job->optimizer->dim;
}

/* The gradient of a group: the only one, or the sum of all in `sum`. */
static const float *group_gradient(const step_job *job, uint64_t g, float *sum)
{
    const td__row_groups *groups = &job->optimizer->groups;
    const uint32_t dim = job->optimizer->dim;
    uint32_t at = groups->first[g];
    const float *first = gradient_at(job, at);
    if (groups->next[at] == TD_NONE) return first;
    memcpy(sum, first, dim * sizeof *sum);
    while ((at = groups->next[at]) != TD_NONE) {
        const float *more = gradient_at(job, at);
        for (uint32_t k = 0; k < dim; k++) sum[k] += more[k];
    }
    return sum;
}

static void move_row(const step_job *job, uint64_t row, const float *gradient)
{
    const td_optimizer *optimizer = job->optimizer;
    job->update(&job->rule, job->weights + row * optimizer->dim, slots_of(optimizer, row),
                gradient);
}

/* The gradient of 1/2 l2 |w|^2 on top, in `sum`. */
static const float *with_l2(const step_job *job, uint64_t row, const float *gradient, float *sum)
{
    const td_optimizer *optimizer = job->optimizer;
    const float l2 = optimizer->options.l2, *w = job->weights + row * optimizer->dim;
    if (l2 == 0.0f) return gradient;
    for (uint32_t k = 0; k < optimizer->dim; k++) sum[k] = gradient[k] + l2 * w[k];
    return sum;
}

static void step_block(void *state, uint64_t block, uint32_t worker)
{
    const step_job *job = state;
    const td_optimizer *optimizer = job->optimizer;
    const td__row_groups *groups = &optimizer->groups;
    uint64_t per_block = rows_per_block(optimizer->dim);
    uint64_t start = block * per_block, end = start + per_block;
    float *sum = optimizer->scratch + worker * scratch_stride(optimizer->dim);
    if (end > job->count) end = job->count;
    for (uint64_t i = start; i < end; i++) {
        if (job->all) {
            move_row(job, i, with_l2(job, i, gradient_at(job, i), sum));
            continue;
        }
        if (i + PREFETCH_ROWS < end) prefetch_row(job, groups->row[i + PREFETCH_ROWS]);
        const float *gradient = group_gradient(job, i, sum);
        move_row(job, groups->row[i], with_l2(job, groups->row[i], gradient, sum));
    }
}

static td_status check_rate(double learning_rate, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(!isfinite(learning_rate) || learning_rate < 0, err, ERR_ARGUMENT,
               "the learning rate is %g; it must be finite and not negative", learning_rate);
done:
    return status;
}

static void move_rows(step_job *job, double learning_rate)
{
    td_optimizer *optimizer = job->optimizer;
    optimizer->steps++;
    job->rule = make_rule(optimizer, learning_rate);
    job->update = td__row_update_of(&optimizer->options);
    td__parallel_for(optimizer->context, td__block_count(job->count, rows_per_block(optimizer->dim)),
                     step_block, job);
}

td_status td__optimizer_step_both(td_optimizer *optimizer, float *weights,
                                  const td__sided_gradient sides[2], double learning_rate, td_error *err)
{
    td_status status = TD_OK;
    const td__row_list lists[2] = {{sides[0].touched, sides[0].count},
                                   {sides[1].touched, sides[1].count}};
    step_job job = {.optimizer = optimizer, .weights = weights, .sides = {sides[0], sides[1]}};
    TD_TRY(check_rate(learning_rate, err));
    TD_TRY(td__row_groups_make(&optimizer->groups, lists, 2, err));
    job.count = optimizer->groups.count;
    move_rows(&job, learning_rate);
done:
    return status;
}

td_status td_optimizer_step(td_optimizer *optimizer, float *weights, const uint32_t *touched,
                            uint64_t count, const float *gradient, double learning_rate,
                            td_error *err)
{
    td_status status = TD_OK;
    td__sided_gradient sides[2] = {{touched, count, gradient}, {0}};
    step_job job = {.optimizer = optimizer, .weights = weights, .sides = {sides[0]}, .all = true};
    if (touched != NULL) return td__optimizer_step_both(optimizer, weights, sides, learning_rate, err);
    TD_TRY(check_rate(learning_rate, err));
    TD_FAIL_IF(count != optimizer->rows, err, ERR_ARGUMENT, "%llu gradients for all of %llu rows",
               (unsigned long long)count, (unsigned long long)optimizer->rows);
    job.count = count;
    move_rows(&job, learning_rate);
done:
    return status;
}
