/* layer_dense.c -- a matrix and a bias, with or without relu behind.
 *
 * Serves: stage 3. In: rows of `in` numbers. Out: relu(x W + b), `out` numbers each. First weights as
 * Keras' Dense: W uniform in +-sqrt(6 / (in + out)) (Glorot & Bengio, AISTATS 2010), b zero. The
 * products are those of kernel/gemm.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/pool.h"
#include "kernel/gemm.h"
#include "model/layer.h"
#include "base/poison.h"

enum { KERNEL, BIAS };

static td__affine map_of(const td__layer *layer)
{
    return (td__affine){.in = layer->width_in,
                        .out = layer->width_out,
                        .relu = layer->relu,
                        .weights = layer->parameters[KERNEL].weights,
                        .bias = layer->parameters[BIAS].weights};
}

/* Floats of both gradients, in whole cache lines: in front of the products' own scratch. */
static uint64_t gradient_floats(const td__layer *layer)
{
    const uint64_t line = TD__ALIGNMENT / sizeof(float);
    uint64_t floats = ((uint64_t)layer->width_in + 1) * layer->width_out;
    return td__block_count(floats, line) * line;
}

static uint64_t scratch(const td__layer *layer, uint32_t threads, bool training)
{
    td__affine map = map_of(layer);
    uint64_t bytes = td__affine_scratch(&map, threads, training);
    return training ? bytes + gradient_floats(layer) * sizeof(float) : bytes;
}

static void forward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    td__affine map = map_of(layer);
    td__affine_forward(context, &map, flow->input, flow->count, flow->output, flow->scratch);
}

static void backward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    td__affine map = map_of(layer);
    float *d_weights = flow->scratch;
    float *d_bias = d_weights + (size_t)map.in * map.out;
    td__affine_flow gradients = {.rows = flow->count,
                                 .x = flow->input,
                                 .y = flow->output,
                                 .d_y = flow->d_output,
                                 .d_x = flow->d_input,
                                 .d_weights = d_weights,
                                 .d_bias = d_bias};
    td__affine_backward(context, &map, &gradients, flow->scratch + gradient_floats(layer));
    flow->gradients[KERNEL] = (td__gradient){.count = map.in, .values = d_weights};
    flow->gradients[BIAS] = (td__gradient){.count = 1, .values = d_bias};
}

static void initialize(td__layer *layer, const td__initial *initial, uint32_t number)
{
    td__parameter *kernel = &layer->parameters[KERNEL];
    td__random numbers = td__random_stream(initial->seed, initial->stream, number);
    double limit = sqrt(6.0 / ((double)layer->width_in + (double)layer->width_out));
    for (uint64_t i = 0; i < kernel->rows * kernel->cols; i++) {
        kernel->weights[i] = (float)(limit * (2.0 * td__random_unit(numbers, i) - 1.0));
    }
    memset(layer->parameters[BIAS].weights, 0, layer->width_out * sizeof(float));
}

static const td__layer_kind dense = {
    .name = "dense",
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};

td_status td__dense_create(td__layer *out, td_context *context, const td__dense_shape *shape,
                           const td__initial *initial, td_error *err)
{
    td_status status = TD_OK;
    *out = (td__layer){.kind = &dense,
                       .width_in = shape->in,
                       .width_out = shape->out,
                       .dim = shape->out,
                       .relu = shape->relu,
                       .parameter_count = 2};
    td__parameter *kernel = &out->parameters[KERNEL], *bias = &out->parameters[BIAS];
    *kernel = (td__parameter){.rows = shape->in, .cols = shape->out};
    *bias = (td__parameter){.rows = 1, .cols = shape->out};
    snprintf(kernel->name, sizeof kernel->name, "dense_%u/kernel", shape->number);
    snprintf(bias->name, sizeof bias->name, "dense_%u/bias", shape->number);
    TD_TRY(td__alloc(&kernel->weights, context, shape->in, shape->out * sizeof(float), err));
    TD_TRY(td__alloc(&bias->weights, context, shape->out, sizeof(float), err));
    if (initial != NULL) initialize(out, initial, shape->number);
done:
    return status;
}
