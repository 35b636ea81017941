/* graph.c -- both tables smoothed over the graph of who took what.
 *
 * Serves: stage 5. In: latent vectors, training rows. Out: the tables of a model; back, their gradients.
 *
 * A row of a layer is one chain of fused multiply-adds over its list, in the order of the training rows, by
 * one thread: so any number of threads, and any kernel, gives the same bits. Lists are long for few rows; blocks are small, so that threads even out. */
#include "train/graph.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/saturate.h"
#include "kernel/kernel.h"
#include "train/ials_lists.h"
#include "train/pairs.h"
#include "base/poison.h"

enum {
    ROW_BLOCK = 32,   /* rows of a block of work */
    AHEAD = 8,        /* vectors asked for before their turn: each lies somewhere else */
    LINE_FLOATS = 16
};

/* A vector for each row of both tables. */
typedef struct field {
    float *of[TD__GRAPH_SIDES]; /* [rows, dim] */
} field;

struct td__graph {
    td_context *context;
    td_model *model;
    uint32_t layers, dim;
    uint64_t rows[TD__GRAPH_SIDES];
    td__ials_lists lists[TD__GRAPH_SIDES]; /* of each row, those of the other side */
    float *scale[TD__GRAPH_SIDES];         /* [rows] 1 / sqrt(training rows), or 0 */
    field tables;                          /* borrowed from the model */
    field latent, gradient, sum, spare;    /* `gradient` is zero between steps */
};

/* --- one layer */

typedef struct layer_job {
    const td__graph *graph;
    int side;          /* that is computed */
    const float *from; /* [rows of the other side, dim] */
    float *to;         /* [rows, dim] this layer */
    const float *before; /* [rows, dim] sum of the layers before; may be `sum` */
    float *sum;        /* [rows, dim] of all layers, times `factor` */
    float factor;
} layer_job;

static void prefetch_vector(const float *x, uint32_t dim)
{
    for (uint32_t k = 0; k < dim; k += LINE_FLOATS) __builtin_prefetch(x + k);
}

/* y = scale * sum over the list of (their scale * their vector) */
static void pull_row(const layer_job *job, uint64_t row, float *y)
{
    const td__graph *graph = job->graph;
    const td__ials_lists *lists = &graph->lists[job->side];
    const float *scale = graph->scale[1 - job->side], own = graph->scale[job->side][row];
    const td__kernels *kernels = graph->context->kernels;
    uint32_t dim = graph->dim;
    uint64_t end = lists->offsets[row + 1];
    memset(y, 0, dim * sizeof *y);
    for (uint64_t at = lists->offsets[row]; at < end; at++) {
        size_t other = lists->others[at];
        if (at + AHEAD < end) prefetch_vector(job->from + (size_t)lists->others[at + AHEAD] * dim, dim);
        kernels->axpy(own * scale[other], job->from + other * dim, y, dim);
    }
}

static void layer_block(void *state, uint64_t block, uint32_t worker)
{
    const layer_job *job = state;
    uint32_t dim = job->graph->dim;
    uint64_t rows = job->graph->rows[job->side];
    uint64_t end = (block + 1) * ROW_BLOCK < rows ? (block + 1) * ROW_BLOCK : rows;
    (void)worker;
    for (uint64_t row = block * ROW_BLOCK; row < end; row++) {
        float *y = job->to + row * dim, *sum = job->sum + row * dim;
        const float *before = job->before + row * dim;
        pull_row(job, row, y);
        for (uint32_t k = 0; k < dim; k++) sum[k] = (before[k] + y[k]) * job->factor;
    }
}

/* to = 1 / (L + 1) sum of A^l from. Layers take turns in `spare`, so `from` may be spare[0], and is then
 * lost. */
static void smooth(td__graph *graph, const field *from, const field *to, const field spare[2])
{
    for (uint32_t l = 1; l <= graph->layers; l++) {
        const field *now = l == 1 ? from : &spare[(l - 1) % 2], *next = &spare[l % 2];
        for (int s = 0; s < TD__GRAPH_SIDES; s++) {
            layer_job job = {.graph = graph,
                             .side = s,
                             .from = now->of[1 - s],
                             .to = next->of[s],
                             .before = l == 1 ? from->of[s] : to->of[s],
                             .sum = to->of[s],
                             .factor = l == graph->layers ? 1.0f / (float)(l + 1) : 1.0f};
            td__parallel_for(graph->context, td__block_count(graph->rows[s], ROW_BLOCK), layer_block, &job);
        }
    }
}

static void smooth_tables(td__graph *graph)
{
    const field spare[2] = {graph->sum, graph->spare};
    smooth(graph, &graph->latent, &graph->tables, spare);
}

/* --- life */

static td_status check_model(const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(td__model_has_history(model), err, ERR_ARGUMENT,
               "graph-layers smooths the vectors of queries over what they took: query-tower id, which "
               "has no history beside it");
    TD_FAIL_IF(model->options.heads > 1, err, ERR_ARGUMENT,
               "graph-layers has one vector per query; the model has %u heads", model->options.heads);
done:
    return status;
}

static td_status create_lists(td__graph *graph, const td_dataset *train, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = graph->context;
    uint64_t count = td_dataset_rows(train).count;
    uint32_t *pairs[TD__GRAPH_SIDES] = {NULL, NULL};
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        TD_TRY(td__alloc(&pairs[s], context, count, sizeof *pairs[s], err));
    }
    TD_TRY(td__pairs_fill(pairs[TD__GRAPH_QUERIES], pairs[TD__GRAPH_CANDIDATES], graph->model, train, err));
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        TD_TRY(td__ials_lists_init(&graph->lists[s], context, (uint32_t)graph->rows[s], pairs[s],
                                   pairs[1 - s], NULL, count, err));
    }
done:
    for (int s = 0; s < TD__GRAPH_SIDES; s++) td__free(context, pairs[s]);
    return status;
}

static td_status create_field(field *out, const td__graph *graph, td_error *err)
{
    td_status status = TD_OK;
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        TD_TRY(td__alloc_zero(&out->of[s], graph->context, graph->rows[s], graph->dim * sizeof(float), err));
    }
done:
    return status;
}

static void free_field(td_context *context, field *f)
{
    for (int s = 0; s < TD__GRAPH_SIDES; s++) td__free(context, f->of[s]);
}

static td_status create_scales(td__graph *graph, td_error *err)
{
    td_status status = TD_OK;
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        TD_TRY(td__alloc(&graph->scale[s], graph->context, graph->rows[s], sizeof(float), err));
        for (uint64_t row = 0; row < graph->rows[s]; row++) {
            double count = (double)td__ials_lists_count(&graph->lists[s], row);
            graph->scale[s][row] = count > 0.0 ? (float)(1.0 / sqrt(count)) : 0.0f;
        }
    }
done:
    return status;
}

static void find_tables(td__graph *graph)
{
    td__tower *towers[TD__GRAPH_SIDES] = {&graph->model->query_tower, &graph->model->candidate_tower};
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        const td__parameter *table = td__tower_parameter(towers[s], 0);
        graph->tables.of[s] = table->weights;
        graph->rows[s] = table->rows;
        graph->dim = table->cols;
    }
}

static uint64_t field_bytes(const td__graph *graph, int side)
{
    return graph->rows[side] * graph->dim * sizeof(float);
}

td_status td__graph_create(td__graph **out, td_model *model, const td_dataset *train, uint32_t layers,
                           td_error *err)
{
    td_status status = TD_OK;
    td__graph *graph = NULL;
    TD_TRY(check_model(model, err));
    TD_TRY(td__alloc_zero(&graph, model->context, 1, sizeof *graph, err));
    *graph = (td__graph){.context = model->context, .model = model, .layers = layers};
    find_tables(graph);
    TD_TRY(create_lists(graph, train, err));
    TD_TRY(create_scales(graph, err));
    TD_TRY(create_field(&graph->latent, graph, err));
    TD_TRY(create_field(&graph->gradient, graph, err));
    TD_TRY(create_field(&graph->sum, graph, err));
    TD_TRY(create_field(&graph->spare, graph, err));
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        memcpy(graph->latent.of[s], graph->tables.of[s], field_bytes(graph, s));
    }
    smooth_tables(graph);
    *out = graph;
    return TD_OK;
done:
    td__graph_free(graph);
    *out = NULL;
    return status;
}

void td__graph_free(td__graph *graph)
{
    if (graph == NULL) return;
    td_context *context = graph->context;
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        td__ials_lists_clear(&graph->lists[s]);
        td__free(context, graph->scale[s]);
    }
    free_field(context, &graph->latent);
    free_field(context, &graph->gradient);
    free_field(context, &graph->sum);
    free_field(context, &graph->spare);
    td__free(context, graph);
}

float *td__graph_latent(td__graph *graph, td__graph_side side)
{
    return graph->latent.of[side];
}

uint64_t td__graph_bytes(uint64_t query_rows, uint64_t candidate_rows, uint32_t dim, uint64_t rows)
{
    uint64_t all = td__sat_add(query_rows, candidate_rows);
    uint64_t fields = td__sat_mul(4, td__sat_mul(all, dim * sizeof(float)));
    uint64_t lists = td__sat_mul(all, sizeof(uint64_t) + sizeof(float));
    lists = td__sat_add(lists, td__sat_mul(rows, 4 * sizeof(uint32_t))); /* half of it while they are made */
    return td__sat_add(fields, lists);
}

/* --- a step */

void td__graph_add(td__graph *graph, td__graph_side side, const td__gradient *gradient)
{
    uint32_t dim = graph->dim;
    for (uint64_t i = 0; i < gradient->count; i++) {
        uint64_t row = gradient->touched == NULL ? i : gradient->touched[i];
        graph->context->kernels->axpy(1.0f, gradient->values + i * dim,
                                      graph->gradient.of[side] + row * dim, dim);
    }
}

td_status td__graph_step(td__graph *graph, td_optimizer *const optimizers[TD__GRAPH_SIDES],
                         double learning_rate, td_error *err)
{
    td_status status = TD_OK;
    const field spare[2] = {graph->gradient, graph->spare};
    smooth(graph, &graph->gradient, &graph->sum, spare);
    for (int s = 0; s < TD__GRAPH_SIDES; s++) {
        TD_TRY(td_optimizer_step(optimizers[s], graph->latent.of[s], NULL, graph->rows[s],
                                 graph->sum.of[s], learning_rate, err));
        memset(graph->gradient.of[s], 0, field_bytes(graph, s));
    }
    smooth_tables(graph);
done:
    return status;
}
