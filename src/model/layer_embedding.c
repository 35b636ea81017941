/* layer_embedding.c -- a table with one row of weights per id.
 *
 * Serves: stage 3. In: rows of the table. Out: their weights.
 * The gradient of the table is the incoming gradient as it is, row for row. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "model/layer.h"
#include "base/poison.h"

enum {
    GATHER_BLOCK = 512, /* rows */
    INITIAL_BLOCK = 16384 /* weights */
};

typedef struct gather_job {
    const td__layer *layer;
    const td__flow *flow;
} gather_job;

static void gather_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const gather_job *job = state;
    const td__flow *flow = job->flow;
    size_t width = job->layer->width_out;
    const float *weights = job->layer->parameters[0].weights;
    uint64_t end = (block + 1) * GATHER_BLOCK < flow->count ? (block + 1) * GATHER_BLOCK : flow->count;
    for (uint64_t i = block * GATHER_BLOCK; i < end; i++) {
        memcpy(flow->output + i * width, weights + flow->rows[i] * width, width * sizeof *weights);
    }
}

static void forward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    gather_job job = {.layer = layer, .flow = flow};
    td__parallel_for(context, td__block_count(flow->count, GATHER_BLOCK), gather_block, &job);
}

static void backward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    (void)layer;
    (void)context;
    flow->gradients[0] = (td__gradient){
        .touched = flow->rows, .count = flow->count, .values = flow->d_output};
}

typedef struct initial_job {
    td__initial initial;
    td__random numbers;
    float *weights;
    uint64_t count;
} initial_job;

/* Box-Muller; weight i owns the numbers 2 i and 2 i + 1 of the stream. */
static double normal(td__random numbers, uint64_t index)
{
    double u = 1.0 - td__random_unit(numbers, 2 * index);
    double v = td__random_unit(numbers, 2 * index + 1);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

static void initial_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const initial_job *job = state;
    double scale = (double)job->initial.scale;
    uint64_t end = (block + 1) * INITIAL_BLOCK < job->count ? (block + 1) * INITIAL_BLOCK : job->count;
    for (uint64_t i = block * INITIAL_BLOCK; i < end; i++) {
        double unit = job->initial.kind == TD_INIT_UNIFORM
                          ? 2.0 * td__random_unit(job->numbers, i) - 1.0
                          : normal(job->numbers, i);
        job->weights[i] = (float)(scale * unit);
    }
}

static void initialize(td__parameter *table, td_context *context, const td__initial *initial)
{
    initial_job job = {.initial = *initial,
                       .numbers = td__random_stream(initial->seed, initial->stream, 0),
                       .weights = table->weights,
                       .count = table->rows * table->cols};
    td__parallel_for(context, td__block_count(job.count, INITIAL_BLOCK), initial_block, &job);
}

static const td__layer_kind embedding = {
    .name = "embedding",
    .forward = forward,
    .backward = backward,
};

td_status td__embedding_create(td__layer *out, td_context *context, uint64_t rows, uint32_t width,
                               const td__initial *initial, td_error *err)
{
    td_status status = TD_OK;
    *out = (td__layer){.kind = &embedding, .width_out = width, .dim = width, .parameter_count = 1};
    td__parameter *table = &out->parameters[0];
    *table = (td__parameter){.name = "embedding", .rows = rows, .cols = width};
    TD_TRY(td__alloc(&table->weights, context, rows, width * sizeof *table->weights, err));
    if (initial != NULL) initialize(table, context, initial);
done:
    return status;
}

void td__layer_clear(td__layer *layer, td_context *context)
{
    for (uint32_t i = 0; i < layer->parameter_count; i++) td__free(context, layer->parameters[i].weights);
    *layer = (td__layer){0};
}
