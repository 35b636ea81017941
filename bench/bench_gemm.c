/* bench_gemm.c -- how fast the products of a dense layer are, next to OpenBLAS and to the peak.
 *
 * Serves: docs/speed.md. Shapes are those of towers: rows of a batch, inputs, outputs. Forward is one
 * product with bias and relu, backward two products, relu's and the bias' gradients. OpenBLAS does the
 * products (cblas_sgemm); bias and relu are loops that the compiler vectorises, on one thread. "sgemm"
 * are its products alone.
 *
 *     bench_gemm [ROUNDS [THREADS]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef BENCH_OPENBLAS
#include <cblas.h>
#endif

#include "base/memory.h"
#include "base/random.h"
#include "kernel/gemm.h"
#include "measure.h"
#include "peak.h"

enum { FMA_SAMPLES = 10 };

typedef struct shape {
    uint32_t rows, in, out;
} shape;

static const shape shapes[] = {
    {8192, 64, 256}, {8192, 256, 64}, {8192, 64, 64}, {8192, 512, 512}, {1024, 128, 128},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

typedef struct layer {
    shape shape;
    td__affine map;
    td__affine_flow flow;
    float *weights, *bias, *x, *y, *d_y;
    void *scratch;
    float *d_rows; /* [rows, out] of OpenBLAS' version: d_y behind relu */
    bench_times forward, backward;
    bench_times their_forward, their_backward;   /* with bias and relu */
    bench_times forward_products, backward_products; /* sgemm alone */
} layer;

static void must(td_status status, const td_error *err)
{
    if (status == TD_OK) return;
    fprintf(stderr, "bench_gemm: %s\n", err->message);
    exit(td_status_exit_code(status));
}

static float *numbers(td_context *context, uint64_t count, uint64_t seed)
{
    td_error err;
    float *all;
    td__random random = td__random_stream(seed, TD__STREAM_INIT_QUERY, 0);
    must(td__alloc(&all, context, count, sizeof *all, &err), &err);
    for (uint64_t i = 0; i < count; i++) all[i] = (float)(td__random_unit(random, i) - 0.5);
    return all;
}

static void prepare(layer *l, td_context *context, const shape *s)
{
    td_error err;
    uint64_t in = s->in, out = s->out, rows = s->rows;
    l->shape = *s;
    l->weights = numbers(context, in * out, 1);
    l->bias = numbers(context, out, 2);
    l->x = numbers(context, rows * in, 3);
    l->y = numbers(context, rows * out, 4);
    l->d_y = numbers(context, rows * out, 5);
    l->d_rows = numbers(context, rows * out, 6);
    l->map = (td__affine){s->in, s->out, true, l->weights, l->bias};
    l->flow = (td__affine_flow){.rows = rows, .x = l->x, .y = l->y, .d_y = l->d_y};
    l->flow.d_x = numbers(context, rows * in, 7);
    l->flow.d_weights = numbers(context, in * out, 8);
    l->flow.d_bias = numbers(context, out, 9);
    uint64_t bytes = td__affine_scratch(&l->map, td_context_threads(context), true);
    must(td__alloc_zero(&l->scratch, context, bytes, 1, &err), &err);
}

static void finish(layer *l, td_context *context)
{
    float *all[] = {l->weights, l->bias, l->x, l->y, l->d_y, l->d_rows, l->flow.d_x,
                    l->flow.d_weights, l->flow.d_bias};
    for (uint32_t i = 0; i < sizeof all / sizeof all[0]; i++) td__free(context, all[i]);
    td__free(context, l->scratch);
}

static void sample_ours(layer *l, td_context *context)
{
    double begin = bench_now();
    td__affine_forward(context, &l->map, l->x, l->shape.rows, l->y, l->scratch);
    double middle = bench_now();
    td__affine_backward(context, &l->map, &l->flow, l->scratch);
    bench_add(&l->forward, middle - begin);
    bench_add(&l->backward, bench_now() - middle);
}

#ifdef BENCH_OPENBLAS

#if defined(__x86_64__)
#define FAST __attribute__((target("avx2")))
#else
#define FAST
#endif

FAST static void their_forward(layer *l)
{
    double begin = bench_now();
    int rows = (int)l->shape.rows, in = (int)l->shape.in, out = (int)l->shape.out;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, out, in, 1.0f, l->x, in, l->weights,
                out, 0.0f, l->y, out);
    bench_add(&l->forward_products, bench_now() - begin);
    const float *restrict bias = l->bias;
    for (size_t i = 0; i < l->shape.rows; i++) {
        float *restrict y = l->y + i * l->shape.out;
        for (uint32_t j = 0; j < l->shape.out; j++) {
            float value = y[j] + bias[j];
            y[j] = value > 0.0f ? value : 0.0f;
        }
    }
}

FAST static void their_backward(layer *l)
{
    int rows = (int)l->shape.rows, in = (int)l->shape.in, out = (int)l->shape.out;
    float *restrict sum = l->flow.d_bias;
    memset(sum, 0, l->shape.out * sizeof *sum);
    for (size_t i = 0; i < l->shape.rows; i++) {
        const float *restrict y = l->y + i * l->shape.out, *restrict d_y = l->d_y + i * l->shape.out;
        float *restrict d = l->d_rows + i * l->shape.out;
        for (uint32_t j = 0; j < l->shape.out; j++) {
            d[j] = y[j] > 0.0f ? d_y[j] : 0.0f;
            sum[j] += d[j];
        }
    }
    double begin = bench_now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, in, out, 1.0f, l->d_rows, out,
                l->weights, out, 0.0f, l->flow.d_x, in);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, rows, 1.0f, l->x, in, l->d_rows,
                out, 0.0f, l->flow.d_weights, out);
    bench_add(&l->backward_products, bench_now() - begin);
}

static void sample_theirs(layer *l)
{
    double begin = bench_now();
    their_forward(l);
    double middle = bench_now();
    their_backward(l);
    bench_add(&l->their_forward, middle - begin);
    bench_add(&l->their_backward, bench_now() - middle);
}

#else

static void sample_theirs(layer *l)
{
    (void)l;
}

#endif

/* One direction of one layer. */
typedef struct line {
    const char *what;
    const bench_times *ours, *theirs, *products;
    double work; /* seconds at the peak */
} line;

static void report(const layer *l, const line *of)
{
    double best = bench_best(of->ours), theirs = bench_best(of->theirs);
    double products = bench_best(of->products);
    printf("%5u x %3u x %-3u %-8s %8.3f %8.3f %6.3f %9.3f %6.2f %9.3f %6.2f\n", l->shape.rows,
           l->shape.in, l->shape.out, of->what, best * 1e3, bench_median(of->ours) * 1e3,
           of->work / best, theirs * 1e3, theirs / best, products * 1e3, products / best);
}

static double sample_peak(td_context *context)
{
    double best = 0.0;
    for (uint32_t i = 0; i < FMA_SAMPLES; i++) {
        double rate = bench_fma_rate(context);
        if (rate > best) best = rate;
    }
    return best;
}

int main(int argc, char **argv)
{
    static layer layers[SHAPES];
    td_context *context;
    td_error err;
    td_context_options options = {.threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0};
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20;
    double peak = 0.0;
    must(td_context_create(&context, &options, &err), &err);
#ifdef BENCH_OPENBLAS
    openblas_set_num_threads((int)td_context_threads(context));
#endif
    for (uint32_t i = 0; i < SHAPES; i++) prepare(&layers[i], context, &shapes[i]);
    for (uint32_t r = 0; r < rounds; r++) {
        double now = sample_peak(context);
        if (now > peak) peak = now;
        for (uint32_t i = 0; i < SHAPES; i++) sample_ours(&layers[i], context);
        for (uint32_t i = 0; i < SHAPES; i++) sample_theirs(&layers[i]);
        bench_pause(0.05); /* OpenBLAS' threads spin on for a while */
    }
    printf("kernel %s, %u threads: fma %.1f Gflop/s; load %.2f\n", td_context_kernel(context),
           td_context_threads(context), peak * 1e-9, bench_load());
    printf("%-15s  %-8s %8s %8s %6s %9s %6s %9s %6s\n", "rows x in x out", "", "best ms", "median",
           "share", "OpenBLAS", "ratio", "sgemm", "ratio");
    for (uint32_t i = 0; i < SHAPES; i++) {
        const layer *l = &layers[i];
        double work = 2.0 * l->shape.rows * l->shape.in * l->shape.out / peak;
        report(l, &(line){"forward", &l->forward, &l->their_forward, &l->forward_products, work});
        report(l, &(line){"backward", &l->backward, &l->their_backward, &l->backward_products,
                          2.0 * work});
        finish(&layers[i], context);
    }
    td_context_free(context);
    return 0;
}
