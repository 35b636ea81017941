/* ials_solve.c -- the best vector of one query (or candidate) while the other side stands still.
 *
 * Serves: stage 5. In: the list of the other side's vectors v_i to be near, their sum of outer products
 * G over all of that side. Out: the vector x that minimises
 *
 *     sum_i w_i (<v_i, x> - 1)^2 + alpha x'G x + r |x|^2
 *
 * or, one block of numbers of x after the other, with the rest of x held (Rendle et al., iALS++). For a
 * block B that is one Newton step: x_B -= A^-1 g, with half the second and first derivatives
 *
 *     A = sum_i w_i v_iB v_iB' + alpha G_BB + r I
 *     g = sum_i w_i (<v_i, x> - 1) v_iB + alpha G_B x + r x_B */
#include "train/ials_solve.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "train/cholesky.h"
#include "base/poison.h"

td_status td__ials_scratch_init(td__ials_scratch *out, td_context *context, uint32_t block,
                                uint64_t longest, td_error *err)
{
    td_status status = TD_OK;
    *out = (td__ials_scratch){0};
    TD_TRY(td__outer_init(&out->outer, context, block, err));
    TD_TRY(td__alloc(&out->matrix, context, (uint64_t)block * block, sizeof(float), err));
    TD_TRY(td__alloc(&out->gradient, context, block, sizeof(float), err));
    TD_TRY(td__alloc(&out->scores, context, longest, sizeof(float), err));
    return TD_OK;
done:
    td__ials_scratch_clear(out, context);
    return status;
}

void td__ials_scratch_clear(td__ials_scratch *scratch, td_context *context)
{
    td__outer_clear(&scratch->outer, context);
    td__free(context, scratch->matrix);
    td__free(context, scratch->gradient);
    td__free(context, scratch->scores);
    *scratch = (td__ials_scratch){0};
}

double td__ials_weight(const td__ials_list *list)
{
    double sum = 0.0;
    if (list->weight == NULL) return (double)list->count;
    for (uint64_t i = 0; i < list->count; i++) sum += (double)list->weight[i];
    return sum;
}

double td__ials_regularization(const td__ials_problem *problem, double weight)
{
    double size = weight + problem->unobserved_weight * problem->others;
    return problem->regularization * pow(size, problem->exponent);
}

/* --- one vector */

/* A vector being solved; the block is columns [column, column + width). */
typedef struct solution {
    const td__ials_problem *problem;
    const td__ials_list *list;
    td__ials_scratch *scratch;
    float *x;
    float regularization;
    uint32_t column, width;
} solution;

static const float *other_vector(const solution *s, uint64_t i)
{
    return s->problem->table + (size_t)s->list->others[i] * s->problem->dim;
}

static float weight_of(const solution *s, uint64_t i)
{
    return s->list->weight == NULL ? 1.0f : s->list->weight[i];
}

/* Row `i` of the block in G: [dim]. */
static const float *gram_row(const solution *s, uint32_t i)
{
    return s->problem->gram + (size_t)(s->column + i) * s->problem->dim;
}

static void make_matrix(const solution *s)
{
    td__outer *outer = &s->scratch->outer;
    td__outer_input input = {.table = s->problem->table,
                             .dim = s->problem->dim,
                             .column = s->column,
                             .positions = s->list->others,
                             .count = s->list->count,
                             .weight = s->list->weight};
    float alpha = (float)s->problem->unobserved_weight;
    td__outer_reset(outer, s->width);
    td__outer_add(outer, s->problem->kernels, &input);
    td__outer_get(outer, s->scratch->matrix);
    for (uint32_t i = 0; i < s->width; i++) {
        float *row = s->scratch->matrix + (size_t)i * s->width;
        const float *gram = gram_row(s, i) + s->column;
        for (uint32_t j = i; j < s->width; j++) row[j] += alpha * gram[j];
        row[i] += s->regularization;
    }
}

/* `started` false: x and all scores are zero, and most of it falls away. */
static void make_gradient(const solution *s, bool started)
{
    float *gradient = s->scratch->gradient;
    const td__kernels *kernels = s->problem->kernels;
    float alpha = (float)s->problem->unobserved_weight;
    memset(gradient, 0, s->width * sizeof *gradient);
    for (uint32_t i = 0; started && i < s->width; i++) {
        gradient[i] = alpha * td__dot_wide(gram_row(s, i), s->x, s->problem->dim)
                      + s->regularization * s->x[s->column + i];
    }
    for (uint64_t i = 0; i < s->list->count; i++) {
        float error = started ? s->scratch->scores[i] - 1.0f : -1.0f;
        kernels->axpy(weight_of(s, i) * error, other_vector(s, i) + s->column, gradient, s->width);
    }
}

static void move_scores(const solution *s, const float *step, uint32_t column, uint32_t width)
{
    for (uint64_t i = 0; i < s->list->count; i++) {
        s->scratch->scores[i] += td__dot_wide(other_vector(s, i) + column, step, width);
    }
}

static bool solve_block(const solution *s, bool started)
{
    float *step = s->scratch->gradient;
    make_matrix(s);
    make_gradient(s, started);
    if (!td__cholesky_solve(s->problem->kernels, s->scratch->matrix, s->width, step)) return false;
    for (uint32_t k = 0; k < s->width; k++) {
        step[k] = -step[k];
        s->x[s->column + k] += step[k];
    }
    return true;
}

bool td__ials_solve(const td__ials_problem *problem, td__ials_scratch *scratch,
                    const td__ials_list *list, float *vector)
{
    uint32_t dim = problem->dim;
    bool whole = problem->block >= dim;
    solution s = {.problem = problem, .list = list, .scratch = scratch, .x = vector};
    s.regularization = (float)td__ials_regularization(problem, td__ials_weight(list));
    if (whole || list->count == 0) memset(vector, 0, dim * sizeof *vector);
    if (list->count == 0) return true;
    if (!whole) {
        memset(scratch->scores, 0, list->count * sizeof *scratch->scores);
        move_scores(&s, vector, 0, dim);
    }
    for (uint32_t column = 0; column < dim; column += s.width) {
        s.column = column;
        s.width = dim - column < problem->block ? dim - column : problem->block;
        if (!solve_block(&s, !whole)) return false;
        if (column + s.width < dim) move_scores(&s, scratch->gradient, column, s.width);
    }
    return true;
}

/* --- the sum over a whole table */

typedef struct gram_job {
    td_context *context;
    const float *table;
    uint64_t rows;
    uint32_t dim;
    td__outer groups[TD__REDUCTION_GROUPS];
} gram_job;

static void gram_group(void *state, uint64_t group, uint32_t worker)
{
    gram_job *job = state;
    uint64_t start = job->rows * group / TD__REDUCTION_GROUPS;
    uint64_t end = job->rows * (group + 1) / TD__REDUCTION_GROUPS;
    td__outer_input input = {
        .table = job->table, .dim = job->dim, .first = start, .count = end - start};
    (void)worker;
    td__outer_add(&job->groups[group], job->context->kernels, &input);
}

/* One group after the other, in double. */
static void add_group(const td__outer *group, float *part, double *sum)
{
    uint64_t dim = group->width;
    td__outer_get(group, part);
    for (uint64_t i = 0; i < dim; i++) {
        for (uint64_t j = i; j < dim; j++) sum[i * dim + j] += (double)part[i * dim + j];
    }
}

static td_status add_groups(const gram_job *job, float *gram, td_error *err)
{
    uint64_t dim = job->dim;
    double *sum = NULL;
    td_status status = td__alloc_zero(&sum, job->context, dim * dim, sizeof *sum, err);
    if (status != TD_OK) return status;
    for (uint32_t g = 0; g < TD__REDUCTION_GROUPS; g++) add_group(&job->groups[g], gram, sum);
    for (uint64_t i = 0; i < dim; i++) {
        for (uint64_t j = i; j < dim; j++) gram[i * dim + j] = gram[j * dim + i] = (float)sum[i * dim + j];
    }
    td__free(job->context, sum);
    return TD_OK;
}

td_status td__ials_gram(td_context *context, const float *table, uint64_t rows, uint32_t dim,
                        float *gram, td_error *err)
{
    td_status status = TD_OK;
    gram_job job = {.context = context, .table = table, .rows = rows, .dim = dim};
    for (uint32_t g = 0; g < TD__REDUCTION_GROUPS; g++) {
        TD_TRY(td__outer_init(&job.groups[g], context, dim, err));
    }
    td__parallel_for(context, TD__REDUCTION_GROUPS, gram_group, &job);
    TD_TRY(add_groups(&job, gram, err));
done:
    for (uint32_t g = 0; g < TD__REDUCTION_GROUPS; g++) td__outer_clear(&job.groups[g], context);
    return status;
}
