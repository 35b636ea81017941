/* layer_normalize.c -- division by the L2 norm, so that a dot product of two outputs is a cosine.
 *
 * Serves: stage 3. In: vectors x. Out: y = x / |x|; back: dx = (dy - y <y, dy>) / |x|.
 * Sums are in double: no finite vector overflows, and the result does not depend on the kernels. */
#include <math.h>

#include "base/pool.h"
#include "model/layer.h"
#include "base/poison.h"

enum { VECTOR_BLOCK = 512 };

/* Shorter vectors have no direction worth the name, and a gradient near the end of float. */
static const double LENGTH_MIN = 1e-12;

typedef struct normalize_job {
    const td__flow *flow;
    uint64_t vectors;
    uint32_t dim;
} normalize_job;

static double dot(const float *a, const float *b, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < dim; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

/* 1 / |x|, or 0 for a vector too short to have a direction. */
static double inverse_norm(const float *x, uint32_t dim)
{
    double norm = sqrt(dot(x, x, dim));
    return norm < LENGTH_MIN ? 0.0 : 1.0 / norm;
}

static void forward_vector(const float *x, float *y, uint32_t dim)
{
    double inverse = inverse_norm(x, dim);
    for (uint32_t k = 0; k < dim; k++) y[k] = (float)((double)x[k] * inverse);
}

static void backward_vector(const float *x, const float *d_y, float *d_x, uint32_t dim)
{
    double inverse = inverse_norm(x, dim);
    double along = dot(x, d_y, dim) * inverse * inverse;
    for (uint32_t k = 0; k < dim; k++) {
        d_x[k] = (float)(((double)d_y[k] - (double)x[k] * along) * inverse);
    }
}

static uint64_t block_end(const normalize_job *job, uint64_t block)
{
    uint64_t end = (block + 1) * VECTOR_BLOCK;
    return end < job->vectors ? end : job->vectors;
}

static void forward_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const normalize_job *job = state;
    for (uint64_t i = block * VECTOR_BLOCK; i < block_end(job, block); i++) {
        forward_vector(job->flow->input + i * job->dim, job->flow->output + i * job->dim, job->dim);
    }
}

static void backward_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const normalize_job *job = state;
    const td__flow *flow = job->flow;
    for (uint64_t i = block * VECTOR_BLOCK; i < block_end(job, block); i++) {
        uint64_t at = i * job->dim;
        backward_vector(flow->input + at, flow->d_output + at, flow->d_input + at, job->dim);
    }
}

static void run(const td__layer *layer, td_context *context, const td__flow *flow, td__block_fn *fn)
{
    normalize_job job = {.flow = flow,
                         .vectors = (uint64_t)flow->count * (layer->width_out / layer->dim),
                         .dim = layer->dim};
    td__parallel_for(context, td__block_count(job.vectors, VECTOR_BLOCK), fn, &job);
}

static void forward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    run(layer, context, flow, forward_block);
}

static void backward(const td__layer *layer, td_context *context, const td__flow *flow)
{
    run(layer, context, flow, backward_block);
}

static const td__layer_kind normalize = {
    .name = "normalize",
    .forward = forward,
    .backward = backward,
};

void td__normalize_create(td__layer *out, uint32_t width, uint32_t dim)
{
    *out = (td__layer){.kind = &normalize, .width_in = width, .width_out = width, .dim = dim};
}
