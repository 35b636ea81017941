/* layer_history.c -- the history of a query, pooled and added to its vector.
 *
 * Serves: stages 3 and 5. In: vectors x, and for each a list of rows e of the candidate tower's table.
 * Out: y = x + sum of a e, with the weights a of td_pooling. Back: dx, and de for the rows of the lists:
 *
 *     mean, sqrt    dx = dy                     de = sum over its entries of a dy
 *     attention     s = <x, k>, k = tanh(W e + b), a = softmax(s)
 *                   ds = a (<dy, e> - sum of a <dy, e>)
 *                   dx = dy + sum of ds k       de = the same, and W' of sum of ds x (1 - k^2)
 *
 * Lists are shared among the threads forward, rows backward: each sum belongs to one of them and has one
 * order. The attention is that of SimpleX (Mao et al., CIKM 2021, section 4.3). */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/gemm.h"
#include "model/bag.h"
#include "base/poison.h"

enum { KERNEL, BIAS };

enum {
    LIST_BLOCK = 16, /* lists */
    ROW_BLOCK = 128  /* rows of the table */
};

typedef struct history_job {
    const td__layer *layer;
    const td__flow *flow;
    td__bag *bag;
    const float *table; /* [table rows, dim] */
} history_job;

static bool has_attention(const td__layer *layer)
{
    return layer->parameter_count > 0;
}

static td__affine map_of(const td__layer *layer)
{
    return (td__affine){.in = layer->dim,
                        .out = layer->dim,
                        .weights = layer->parameters[KERNEL].weights,
                        .bias = layer->parameters[BIAS].weights};
}

/* Floats of the gradients of W and b, in whole cache lines: in front of the products' own scratch. */
static uint64_t gradient_floats(const td__layer *layer)
{
    const uint64_t line = TD__ALIGNMENT / sizeof(float);
    return td__block_count(((uint64_t)layer->dim + 1) * layer->dim, line) * line;
}

static uint64_t scratch(const td__layer *layer, uint32_t threads, bool training)
{
    if (!has_attention(layer)) return 0;
    td__affine map = map_of(layer);
    uint64_t bytes = td__affine_scratch(&map, threads, training);
    return training ? bytes + gradient_floats(layer) * sizeof(float) : bytes;
}

static double dot(const float *a, const float *b, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < dim; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

/* y += a x */
static void add_scaled(float *restrict y, float a, const float *restrict x, uint32_t dim)
{
    for (uint32_t k = 0; k < dim; k++) y[k] += a * x[k];
}

static uint64_t block_end(uint64_t block, uint64_t size, uint64_t count)
{
    return (block + 1) * size < count ? (block + 1) * size : count;
}

/* --- forward */

/* The weights of a list's entries from their scores, which stand in their place. */
static void softmax(float *a, uint32_t count)
{
    double sum = 0.0;
    float top = -INFINITY; /* by comparing: gcc 12 for arm64 fails on fmax in a loop */
    for (uint32_t i = 0; i < count; i++) top = a[i] > top ? a[i] : top;
    double most = (double)top;
    for (uint32_t i = 0; i < count; i++) {
        a[i] = (float)exp((double)a[i] - most);
        sum += (double)a[i];
    }
    for (uint32_t i = 0; i < count; i++) a[i] = (float)((double)a[i] / sum);
}

static void weigh(const history_job *job, uint32_t list)
{
    const td__bag *bag = job->bag;
    uint32_t dim = job->layer->dim, first = bag->offset[list];
    uint32_t count = bag->offset[list + 1] - first;
    float *weight = bag->weight + first;
    const float *x = job->flow->input + (size_t)list * dim;
    if (has_attention(job->layer)) {
        for (uint32_t i = 0; i < count; i++) {
            weight[i] = (float)dot(x, bag->keys + (size_t)bag->item[first + i] * dim, dim);
        }
        softmax(weight, count);
        return;
    }
    double n = (double)count;
    float each = (float)(1.0 / (bag->shape.pooling == TD_POOLING_SQRT ? sqrt(n) : n));
    for (uint32_t i = 0; i < count; i++) weight[i] = each;
}

static void pool_list(const history_job *job, uint32_t list)
{
    const td__bag *bag = job->bag;
    uint32_t dim = job->layer->dim;
    float *y = job->flow->output + (size_t)list * dim;
    memcpy(y, job->flow->input + (size_t)list * dim, dim * sizeof *y);
    weigh(job, list);
    for (uint32_t at = bag->offset[list]; at < bag->offset[list + 1]; at++) {
        add_scaled(y, bag->weight[at], job->table + (size_t)bag->rows[bag->item[at]] * dim, dim);
    }
}

static void pool_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const history_job *job = state;
    uint64_t end = block_end(block, LIST_BLOCK, job->flow->count);
    for (uint64_t i = block * LIST_BLOCK; i < end; i++) pool_list(job, (uint32_t)i);
}

static void gather_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const history_job *job = state;
    const td__bag *bag = job->bag;
    size_t dim = job->layer->dim;
    uint64_t end = block_end(block, ROW_BLOCK, bag->distinct);
    for (uint64_t i = block * ROW_BLOCK; i < end; i++) {
        memcpy(bag->vectors + i * dim, job->table + bag->rows[i] * dim, dim * sizeof(float));
    }
}

static void tanh_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const history_job *job = state;
    const td__bag *bag = job->bag;
    uint64_t dim = job->layer->dim, end = block_end(block, ROW_BLOCK, bag->distinct);
    for (uint64_t i = block * ROW_BLOCK * dim; i < end * dim; i++) bag->keys[i] = tanhf(bag->keys[i]);
}

static void make_keys(history_job *job, td_context *context)
{
    td__bag *bag = job->bag;
    td__affine map = map_of(job->layer);
    uint64_t blocks = td__block_count(bag->distinct, ROW_BLOCK);
    td__parallel_for(context, blocks, gather_block, job);
    td__affine_forward(context, &map, bag->vectors, bag->distinct, bag->keys, job->flow->scratch);
    td__parallel_for(context, blocks, tanh_block, job);
}

static history_job job_of(const td__layer *layer, const td__flow *flow)
{
    return (history_job){
        .layer = layer, .flow = flow, .bag = flow->bag, .table = layer->shared->weights};
}

static void forward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    history_job job = job_of(layer, flow);
    if (has_attention(layer)) make_keys(&job, context);
    td__parallel_for(context, td__block_count(flow->count, LIST_BLOCK), pool_block, &job);
}

/* --- backward */

static void attend_back(const history_job *job, uint32_t list)
{
    const td__bag *bag = job->bag;
    uint32_t dim = job->layer->dim, first = bag->offset[list], end = bag->offset[list + 1];
    const float *d_y = job->flow->d_output + (size_t)list * dim;
    float *d_x = job->flow->d_input + (size_t)list * dim;
    double mean = 0.0;
    for (uint32_t at = first; at < end; at++) {
        double slope = dot(d_y, bag->vectors + (size_t)bag->item[at] * dim, dim);
        bag->d_score[at] = (float)slope;
        mean += (double)bag->weight[at] * slope;
    }
    for (uint32_t at = first; at < end; at++) {
        bag->d_score[at] = (float)((double)bag->weight[at] * ((double)bag->d_score[at] - mean));
        add_scaled(d_x, bag->d_score[at], bag->keys + (size_t)bag->item[at] * dim, dim);
    }
}

static void lists_back_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const history_job *job = state;
    const td__flow *flow = job->flow;
    size_t dim = job->layer->dim;
    uint64_t end = block_end(block, LIST_BLOCK, flow->count);
    for (uint64_t i = block * LIST_BLOCK; i < end; i++) {
        memcpy(flow->d_input + i * dim, flow->d_output + i * dim, dim * sizeof(float));
        if (has_attention(job->layer)) attend_back(job, (uint32_t)i);
    }
}

/* Gradients of one row of the table, and of its key before the tanh. */
static void row_back(const history_job *job, uint32_t row)
{
    const td__bag *bag = job->bag;
    uint32_t dim = job->layer->dim;
    bool attention = has_attention(job->layer);
    float *d_vector = bag->d_vectors + (size_t)row * dim;
    float *d_key = attention ? bag->d_keys + (size_t)row * dim : NULL;
    memset(d_vector, 0, dim * sizeof *d_vector);
    if (attention) memset(d_key, 0, dim * sizeof *d_key);
    for (uint32_t i = bag->back[row]; i < bag->back[row + 1]; i++) {
        uint32_t at = bag->entry[i];
        size_t list = (size_t)bag->list_of[at] * dim;
        add_scaled(d_vector, bag->weight[at], job->flow->d_output + list, dim);
        if (attention) add_scaled(d_key, bag->d_score[at], job->flow->input + list, dim);
    }
    if (!attention) return;
    const float *key = bag->keys + (size_t)row * dim;
    for (uint32_t k = 0; k < dim; k++) d_key[k] *= 1.0f - key[k] * key[k];
}

static void rows_back_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const history_job *job = state;
    uint64_t end = block_end(block, ROW_BLOCK, job->bag->distinct);
    for (uint64_t i = block * ROW_BLOCK; i < end; i++) row_back(job, (uint32_t)i);
}

static void add_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const history_job *job = state;
    const td__bag *bag = job->bag;
    uint64_t dim = job->layer->dim, end = block_end(block, ROW_BLOCK, bag->distinct);
    for (uint64_t i = block * ROW_BLOCK * dim; i < end * dim; i++) bag->d_vectors[i] += bag->d_through[i];
}

/* Through W and b, to both and to the rows. */
static void keys_back(history_job *job, td_context *context)
{
    td__bag *bag = job->bag;
    const td__flow *flow = job->flow;
    td__affine map = map_of(job->layer);
    float *d_weights = flow->scratch, *d_bias = d_weights + (size_t)map.in * map.out;
    td__affine_flow gradients = {.rows = bag->distinct,
                                 .x = bag->vectors,
                                 .y = bag->keys,
                                 .d_y = bag->d_keys,
                                 .d_x = bag->d_through,
                                 .d_weights = d_weights,
                                 .d_bias = d_bias};
    td__affine_backward(context, &map, &gradients, flow->scratch + gradient_floats(job->layer));
    td__parallel_for(context, td__block_count(bag->distinct, ROW_BLOCK), add_block, job);
    flow->gradients[KERNEL] = (td__gradient){.count = map.in, .values = d_weights};
    flow->gradients[BIAS] = (td__gradient){.count = 1, .values = d_bias};
}

static void backward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    history_job job = job_of(layer, flow);
    uint64_t rows = td__block_count(job.bag->distinct, ROW_BLOCK);
    td__parallel_for(context, td__block_count(flow->count, LIST_BLOCK), lists_back_block, &job);
    td__parallel_for(context, rows, rows_back_block, &job);
    if (has_attention(layer)) keys_back(&job, context);
}

/* --- life */

static const td__layer_kind history = {
    .name = "history",
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};

/* As Keras' Dense: W uniform in +-sqrt(6 / (in + out)), b zero. */
static void initialize(td__layer *layer, const td__initial *initial)
{
    td__parameter *kernel = &layer->parameters[KERNEL];
    td__random numbers = td__random_stream(initial->seed, TD__STREAM_INIT_HISTORY, 0);
    double limit = sqrt(3.0 / (double)layer->dim);
    for (uint64_t i = 0; i < kernel->rows * kernel->cols; i++) {
        kernel->weights[i] = (float)(limit * (2.0 * td__random_unit(numbers, i) - 1.0));
    }
    memset(layer->parameters[BIAS].weights, 0, layer->dim * sizeof(float));
}

td_status td__history_create(td__layer *out, td_context *context, const td__history_shape *shape,
                             const td__initial *initial, td_error *err)
{
    td_status status = TD_OK;
    *out = (td__layer){.kind = &history,
                       .width_in = shape->dim,
                       .width_out = shape->dim,
                       .dim = shape->dim,
                       .shared = shape->shared};
    if (shape->pooling != TD_POOLING_ATTENTION) return TD_OK;
    td__parameter *kernel = &out->parameters[KERNEL], *bias = &out->parameters[BIAS];
    out->parameter_count = 2;
    *kernel = (td__parameter){.name = "history/kernel", .rows = shape->dim, .cols = shape->dim};
    *bias = (td__parameter){.name = "history/bias", .rows = 1, .cols = shape->dim};
    TD_TRY(td__alloc(&kernel->weights, context, shape->dim, shape->dim * sizeof(float), err));
    TD_TRY(td__alloc(&bias->weights, context, shape->dim, sizeof(float), err));
    if (initial != NULL) initialize(out, initial);
done:
    return status;
}
