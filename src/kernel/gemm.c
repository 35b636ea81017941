/* gemm.c -- the products of a dense layer: packing, blocks, threads.
 *
 * Serves: stages 3 and 5. In: rows and weights. Out: rows, or gradients.
 *
 * Forward: the weights are packed into slices of 16 outputs once, then blocks of rows go through them.
 * Backward: one pass over the rows. A chunk of them is read into the nearest caches, where it serves
 * three times: its gradient behind relu, its own d_x, and its part of d_W and d_b, which go to the sum
 * of the chunk's group. */
#include "kernel/gemm.h"

#include <string.h>

#include "base/limits.h"
#include "base/pool.h"
#include "kernel/gemm_tiles.h"

#include "base/poison.h"

enum {
    FORWARD_ROWS = 96, /* a block of a forward; with 256 inputs they fit in the second cache */
    CHUNK = 240,       /* rows of a backward at a time: whole strips; slices of them fit in L1 */
    LINE = 16          /* floats of a cache line */
};

/* --- packing */

static uint64_t round_up(uint64_t count, uint64_t unit)
{
    return td__block_count(count, unit) * unit;
}

/* Rows [steps, width] with `stride` floats each, into slices [ceil(width / unit), steps, unit]; the
 * rest of the last one zeros. Inlined for the two units, so that the copies are of constant length. */
static inline __attribute__((always_inline)) void pack(const float *rows, uint32_t steps,
                                                       uint32_t width, uint32_t unit, float *out)
{
    uint32_t column = 0;
    for (; column + unit <= width; column += unit, out += (size_t)steps * unit) {
        for (uint32_t t = 0; t < steps; t++) {
            memcpy(out + (size_t)t * unit, rows + (size_t)t * width + column, unit * sizeof *out);
        }
    }
    if (column == width) return;
    memset(out, 0, (size_t)steps * unit * sizeof *out);
    for (uint32_t t = 0; t < steps; t++) {
        memcpy(out + (size_t)t * unit, rows + (size_t)t * width + column,
               (width - column) * sizeof *out);
    }
}

static void pack_slices(const float *rows, uint32_t steps, uint32_t width, float *out)
{
    pack(rows, steps, width, TD__GEMM_SLICE, out);
}

static void pack_strips(const float *rows, uint32_t steps, uint32_t width, float *out)
{
    pack(rows, steps, width, TD__GEMM_STRIP, out);
}

/* The transpose of rows [width, steps], into the same slices. */
static void pack_transposed(const float *rows, uint32_t steps, uint32_t width, float *out)
{
    for (uint32_t column = 0; column < width; column += TD__GEMM_SLICE) {
        for (uint32_t t = 0; t < steps; t++, out += TD__GEMM_SLICE) {
            for (uint32_t j = 0; j < TD__GEMM_SLICE; j++) {
                out[j] = column + j < width ? rows[(size_t)(column + j) * steps + t] : 0.0f;
            }
        }
    }
}

/* --- scratch */

/* Floats of each part. */
typedef struct plan {
    uint64_t packed; /* weights, or their transpose */
    uint64_t group;  /* sums of one group: d_W [in, out], d_b [out] */
    uint64_t d_rows, d_slices, x_strips; /* a thread's chunk: d_y behind relu, twice, and x */
} plan;

static plan plan_of(const td__affine *map)
{
    uint64_t in = map->in, out = map->out;
    uint64_t forward = in * round_up(out, TD__GEMM_SLICE);
    uint64_t backward = out * round_up(in, TD__GEMM_SLICE);
    return (plan){.packed = round_up(forward > backward ? forward : backward, LINE),
                  .group = round_up((in + 1) * out, LINE),
                  .d_rows = round_up(CHUNK * out, LINE),
                  .d_slices = CHUNK * round_up(out, TD__GEMM_SLICE),
                  .x_strips = round_up(CHUNK * round_up(in, TD__GEMM_STRIP), LINE)};
}

static uint64_t worker_floats(const plan *p)
{
    return p->d_rows + p->d_slices + p->x_strips;
}

uint64_t td__affine_scratch(const td__affine *map, uint32_t threads, bool gradients)
{
    plan p = plan_of(map);
    uint64_t floats = p.packed;
    if (gradients) floats += TD__REDUCTION_GROUPS * p.group + threads * worker_floats(&p);
    return floats * sizeof(float);
}

/* --- forward */

typedef struct forward_job {
    const td__affine *map;
    const td__gemm_kernels *kernels;
    const float *x, *packed;
    float *y;
    uint64_t rows;
} forward_job;

static void forward_block(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    const forward_job *job = state;
    const td__affine *map = job->map;
    uint64_t first = block * FORWARD_ROWS, left = job->rows - first;
    td__product product = {
        .height = left < FORWARD_ROWS ? (uint32_t)left : FORWARD_ROWS,
        .width = map->out,
        .steps = map->in,
        .a = job->x + first * map->in,
        .a_row = map->in,
        .a_step = 1,
        .b = job->packed,
        .out = job->y + first * map->out,
        .out_row = map->out,
        .bias = map->bias,
        .relu = map->relu,
    };
    job->kernels->product(&product);
}

void td__affine_forward(td_context *context, const td__affine *map, const float *x, uint64_t rows,
                        float *y, void *scratch)
{
    forward_job job = {.map = map,
                       .kernels = context->kernels->gemm,
                       .x = x,
                       .packed = scratch,
                       .y = y,
                       .rows = rows};
    pack_slices(map->weights, map->in, map->out, scratch);
    td__parallel_for(context, td__block_count(rows, FORWARD_ROWS), forward_block, &job);
}

/* --- backward */

typedef struct backward_job {
    const td__affine *map;
    const td__affine_flow *flow;
    const td__gemm_kernels *kernels;
    plan plan;
    uint64_t group_rows;
    const float *transposed; /* weights, packed */
    float *groups;           /* [groups, plan.group] */
    float *workers;          /* [threads, worker_floats] */
} backward_job;

/* Some rows of a group. */
typedef struct chunk {
    uint64_t first;
    uint32_t rows;
    bool starts; /* its group */
    float *d_rows, *d_slices, *x_strips;
    float *d_weights, *d_bias; /* sums of the group */
} chunk;

/* One row of d_y behind relu, and its part of d_b. */
static void row_through_relu(const float *restrict y, const float *restrict d_y, uint32_t out,
                             float *restrict d, float *restrict sum)
{
    for (uint32_t j = 0; j < out; j++) {
        float value = d_y[j]; /* read in any case: then this is a vector instruction, not a branch */
        d[j] = y[j] > 0.0f ? value : 0.0f;
        sum[j] += d[j];
    }
}

static void row_as_it_is(const float *restrict d_y, uint32_t out, float *restrict d,
                         float *restrict sum)
{
    for (uint32_t j = 0; j < out; j++) {
        d[j] = d_y[j];
        sum[j] += d[j];
    }
}

static void through_relu(const backward_job *job, const chunk *c)
{
    uint32_t out = job->map->out;
    const float *y = job->flow->y + c->first * out, *d_y = job->flow->d_y + c->first * out;
    float *d = c->d_rows, *sum = c->d_bias;
    if (c->starts) memset(sum, 0, out * sizeof *sum);
    for (uint32_t i = 0; i < c->rows; i++, y += out, d_y += out, d += out) {
        if (job->map->relu) row_through_relu(y, d_y, out, d, sum);
        else row_as_it_is(d_y, out, d, sum);
    }
}

static void input_gradient(const backward_job *job, const chunk *c)
{
    uint32_t in = job->map->in, out = job->map->out;
    td__product product = {
        .height = c->rows,
        .width = in,
        .steps = out,
        .a = c->d_rows,
        .a_row = out,
        .a_step = 1,
        .b = job->transposed,
        .out = job->flow->d_x + c->first * in,
        .out_row = in,
    };
    job->kernels->product(&product);
}

static void weights_gradient(const backward_job *job, const chunk *c)
{
    uint32_t in = job->map->in, out = job->map->out;
    pack_slices(c->d_rows, c->rows, out, c->d_slices);
    pack_strips(job->flow->x + c->first * in, c->rows, in, c->x_strips);
    td__product product = {
        .width = out,
        .steps = c->rows,
        .a_row = 1,
        .a_step = TD__GEMM_STRIP,
        .b = c->d_slices,
        .out_row = out,
        .add = !c->starts,
    };
    for (uint32_t i = 0; i < in; i += TD__GEMM_STRIP) {
        product.height = in - i < TD__GEMM_STRIP ? in - i : TD__GEMM_STRIP;
        product.a = c->x_strips + (size_t)i * c->rows;
        product.out = c->d_weights + (size_t)i * out;
        job->kernels->product(&product);
    }
}

static void backward_group(void *state, uint64_t group, uint32_t worker)
{
    const backward_job *job = state;
    const plan *p = &job->plan;
    uint64_t rows = job->flow->rows, end = (group + 1) * job->group_rows;
    chunk c = {.first = group * job->group_rows, .starts = true};
    if (end > rows) end = rows;
    c.d_rows = job->workers + worker * worker_floats(p);
    c.d_slices = c.d_rows + p->d_rows;
    c.x_strips = c.d_slices + p->d_slices;
    c.d_weights = job->groups + group * p->group;
    c.d_bias = c.d_weights + (size_t)job->map->in * job->map->out;
    for (; c.first < end; c.first += CHUNK, c.starts = false) {
        c.rows = end - c.first < CHUNK ? (uint32_t)(end - c.first) : CHUNK;
        through_relu(job, &c);
        input_gradient(job, &c);
        weights_gradient(job, &c);
    }
}

/* to [count] = sum over the groups in order. */
static void add_groups(const float *groups, uint64_t count, uint64_t stride, uint64_t size, float *to)
{
    memset(to, 0, size * sizeof *to);
    for (uint64_t g = 0; g < count; g++) {
        for (uint64_t i = 0; i < size; i++) to[i] += groups[g * stride + i];
    }
}

void td__affine_backward(td_context *context, const td__affine *map, const td__affine_flow *flow,
                         void *scratch)
{
    plan p = plan_of(map);
    float *packed = scratch, *groups = packed + p.packed;
    backward_job job = {.map = map,
                        .flow = flow,
                        .kernels = context->kernels->gemm,
                        .plan = p,
                        .transposed = packed,
                        .groups = groups,
                        .workers = groups + TD__REDUCTION_GROUPS * p.group};
    uint64_t strips = td__block_count(flow->rows, TD__GEMM_STRIP);
    job.group_rows = td__block_count(strips, TD__REDUCTION_GROUPS) * TD__GEMM_STRIP;
    uint64_t count = flow->rows == 0 ? 0 : td__block_count(flow->rows, job.group_rows);
    uint64_t weights = (uint64_t)map->in * map->out;
    pack_transposed(map->weights, map->out, map->in, packed);
    td__parallel_for(context, count, backward_group, &job);
    add_groups(groups, count, p.group, weights, flow->d_weights);
    add_groups(groups + weights, count, p.group, map->out, flow->d_bias);
}
