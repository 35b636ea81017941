/* bxb.c -- three calls of sgemm and a softmax in between.
 *
 * Serves: bench_train. */
#include "bxb.h"

#if defined(BENCH_OPENBLAS)

#include <cblas.h>
#include <math.h>

#include "base/memory.h"
#include "base/pool.h"

enum { ROWS_A_BLOCK = 64, LANES = 8 };

struct bxb {
    td_context *context;
    uint32_t size, dim;
    float *scores; /* [size, size] */
    double *losses; /* [size] */
};

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t whole __attribute__((vector_size(4 * LANES), aligned(4)));

bxb *bxb_create(td_context *context, uint32_t size, uint32_t dim)
{
    td_error err;
    bxb *task = NULL;
    if (td__alloc_zero(&task, context, 1, sizeof *task, &err) != TD_OK) return NULL;
    *task = (bxb){.context = context, .size = size, .dim = dim};
    if (td__alloc(&task->scores, context, (uint64_t)size * size, sizeof(float), &err) != TD_OK
        || td__alloc(&task->losses, context, size, sizeof(double), &err) != TD_OK) {
        bxb_free(task);
        return NULL;
    }
    openblas_set_num_threads((int)td_context_threads(context));
    return task;
}

void bxb_free(bxb *task)
{
    if (task == NULL) return;
    td__free(task->context, task->scores);
    td__free(task->context, task->losses);
    td__free(task->context, task);
}

#if defined(__x86_64__)
#define FAST __attribute__((target("avx2,fma")))
#else
#define FAST
#endif

/* e^x for x <= 0, to a few units in the last place. */
FAST static inline lanes exponential(lanes x)
{
    lanes y = x * 1.44269504f;
    y = (lanes)((whole)y & (y > -126.0f)) + (lanes)((whole)(y * 0.0f - 126.0f) & (y <= -126.0f));
    lanes shifted = y + 12582912.0f, f = y - (shifted - 12582912.0f);
    lanes p = f * 0.0013276472f + 0.0096755413f;
    p = p * f + 0.0555071327f;
    p = p * f + 0.240221197f;
    p = p * f + 0.693146967f;
    p = p * f + 1.00000007f;
    return (lanes)((whole)p + ((whole)shifted << 23));
}

FAST static double softmax_row(float *row, uint32_t size, uint32_t positive)
{
    float positive_score = row[positive], max = row[0];
    uint32_t whole_size = size / LANES * LANES;
    lanes top = {0}, sums = {0};
    top += row[0];
    for (uint32_t k = 0; k < whole_size; k += LANES) {
        lanes x = *(const lanes *)(const void *)(row + k);
        top = (lanes)(((whole)x & (x > top)) | ((whole)top & (x <= top)));
    }
    for (uint32_t l = 0; l < LANES; l++) max = top[l] > max ? top[l] : max;
    for (uint32_t k = 0; k < whole_size; k += LANES) {
        lanes *x = (lanes *)(void *)(row + k);
        *x = exponential(*x - max);
        sums += *x;
    }
    float sum = 0.0f;
    for (uint32_t l = 0; l < LANES; l++) sum += sums[l];
    lanes factor = sums * 0.0f + 1.0f / sum;
    for (uint32_t k = 0; k < whole_size; k += LANES) *(lanes *)(void *)(row + k) *= factor;
    row[positive] -= 1.0f;
    return log((double)sum) + (double)max - (double)positive_score;
}

static void softmax_block(void *state, uint64_t block, uint32_t worker)
{
    bxb *task = state;
    (void)worker;
    for (uint32_t i = (uint32_t)block * ROWS_A_BLOCK, n = 0; n < ROWS_A_BLOCK && i < task->size;
         i++, n++) {
        task->losses[i] = softmax_row(task->scores + (size_t)i * task->size, task->size, i);
    }
}

double bxb_compute(bxb *task, const float *rows, const float *columns, float *d_rows,
                   float *d_columns)
{
    int n = (int)task->size, d = (int)task->dim;
    double loss = 0.0;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, d, 1.0f, rows, d, columns, d, 0.0f,
                task->scores, n);
    td__parallel_for(task->context, td__block_count(task->size, ROWS_A_BLOCK), softmax_block, task);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, n, 1.0f, task->scores, n, columns, d,
                0.0f, d_rows, d);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, d, n, 1.0f, task->scores, n, rows, d, 0.0f,
                d_columns, d);
    for (uint32_t i = 0; i < task->size; i++) loss += task->losses[i];
    return loss;
}

#else

bxb *bxb_create(td_context *context, uint32_t size, uint32_t dim)
{
    (void)context;
    (void)size;
    (void)dim;
    return NULL;
}

void bxb_free(bxb *task)
{
    (void)task;
}

double bxb_compute(bxb *task, const float *rows, const float *columns, float *d_rows,
                   float *d_columns)
{
    (void)task;
    (void)rows;
    (void)columns;
    (void)d_rows;
    (void)d_columns;
    return 0.0;
}

#endif
