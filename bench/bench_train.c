/* bench_train.c -- how fast the softmax engine is, as a share of what this machine can do.
 *
 * Serves: docs/speed.md. Measures the peak of fused multiply-adds and the speed of reading memory, then
 * each case, in rounds: one sample of everything a round. The useful work of a batch without
 * duplicates is 6 U K d operations: three products.
 *
 *     bench_train [--json] [--rounds N] [--threads N] [--kernel NAME] [--only TEXT]
 *
 * --only: cases whose name contains TEXT. Cases named "duplicates" draw users and items of MovieLens
 * 100K's shape, so that their batch shrinks to its distinct rows and columns; cases named "memory" are
 * run once, for the memory and the seconds. "smoothing", "hard" and "heads" have label smoothing 0.1, the
 * 100 best negatives of each row, 4 vectors a row; their useful work is still said to be 6 U K d. "bf16" is
 * --precision bfloat16; its share is of the peak of float32 too. Where the kernel set has no instruction
 * for bfloat16, that is the time of widening its numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "bxb.h"
#include "kernel/softmax.h"
#include "measure.h"
#include "peak.h"

enum { READ_FLOATS = 1 << 25, READ_ROUNDS = 3, FMA_SAMPLES = 10 };

typedef struct bench_case {
    const char *name;
    uint32_t size, dim;      /* of the batch: B, d */
    uint32_t users, items;   /* 0: no duplicates */
    uint32_t every;          /* runs in every n-th round; 0: once */
    uint32_t heads, hard_negatives;
    double label_smoothing;
    td_precision precision;
} bench_case;

static const bench_case cases[] = {
    {.name = "B=1024 d=64", .size = 1024, .dim = 64, .every = 1},
    {.name = "B=8192 d=32", .size = 8192, .dim = 32, .every = 1},
    {.name = "B=8192 d=64", .size = 8192, .dim = 64, .every = 1},
    {.name = "B=8192 d=64 bf16", .size = 8192, .dim = 64, .every = 1, .precision = TD_PRECISION_BFLOAT16},
    {.name = "B=8192 d=128", .size = 8192, .dim = 128, .every = 2},
    {.name = "B=8192 d=32 duplicates", .size = 8192, .dim = 32, .users = 943, .items = 1682, .every = 1},
    {.name = "B=8192 d=64 smoothing", .size = 8192, .dim = 64, .every = 2, .label_smoothing = 0.1},
    {.name = "B=8192 d=64 hard", .size = 8192, .dim = 64, .every = 2, .hard_negatives = 100},
    {.name = "B=8192 d=64 heads", .size = 8192, .dim = 64, .every = 2, .heads = 4},
    {.name = "B=65536 d=128 memory", .size = 65536, .dim = 128},
    {.name = "B=65536 d=128 bf16 memory", .size = 65536, .dim = 128, .precision = TD_PRECISION_BFLOAT16},
};
enum { CASES = sizeof cases / sizeof cases[0] };

typedef struct arguments {
    bool json;
    uint32_t rounds, threads;
    const char *kernel, *only;
} arguments;

typedef struct running_case {
    const bench_case *what;
    td__softmax_shape shape; /* after removing duplicates */
    td__softmax *softmax;
    td__softmax_batch batch;
    td__softmax_result result;
    bxb *bxb;
    uint32_t *copies, *offset, *column;
    float *rows, *columns;
    bench_times ours, theirs;
} running_case;

static void must(td_status status, const td_error *err)
{
    if (status == TD_OK) return;
    fprintf(stderr, "bench_train: %s\n", err->message);
    exit(td_status_exit_code(status));
}

static void *array(td_context *context, uint64_t count, size_t size)
{
    td_error err;
    void *block;
    must(td__alloc_zero(&block, context, count, size, &err), &err);
    return block;
}

static float *random_vectors(td_context *context, uint64_t rows, uint32_t dim, uint64_t seed)
{
    float *vectors = array(context, rows * dim, sizeof(float));
    td__random random = td__random_stream(seed, TD__STREAM_INIT_QUERY, 0);
    for (uint64_t i = 0; i < rows * dim; i++) {
        vectors[i] = (float)(td__random_unit(random, i) - 0.5);
    }
    return vectors;
}

/* Popularity falls as in MovieLens: number x of n with density about 1 / sqrt(x). */
static uint32_t draw(td__random random, uint64_t index, uint32_t n)
{
    double u = td__random_unit(random, index);
    return (uint32_t)(u * u * (double)n);
}

/* Number the distinct values in order of first sight; `number` [B] becomes their numbers. */
static uint32_t renumber(td_context *context, uint32_t *number, uint32_t count, uint32_t limit)
{
    uint32_t *seen = array(context, limit, sizeof *seen), distinct = 0;
    for (uint32_t b = 0; b < count; b++) {
        if (seen[number[b]] == 0) seen[number[b]] = ++distinct;
        number[b] = seen[number[b]] - 1;
    }
    td__free(context, seen);
    return distinct;
}

/* Draw a batch of interactions and de-duplicate it. */
static void draw_batch(running_case *run, td_context *context)
{
    const bench_case *what = run->what;
    uint32_t size = what->size;
    td__random random = td__random_stream(1, TD__STREAM_NEGATIVES, 0);
    uint32_t *user = array(context, size, sizeof *user), *item = array(context, size, sizeof *item);
    for (uint32_t b = 0; b < size; b++) {
        user[b] = draw(random, 2 * (uint64_t)b, what->users);
        item[b] = draw(random, 2 * (uint64_t)b + 1, what->items);
    }
    run->shape.rows = renumber(context, user, size, what->users);
    run->shape.columns = renumber(context, item, size, what->items);
    run->copies = array(context, run->shape.columns, sizeof *run->copies);
    run->offset = array(context, (uint64_t)run->shape.rows + 2, sizeof *run->offset);
    run->column = array(context, size, sizeof *run->column);
    for (uint32_t b = 0; b < size; b++) {
        run->copies[item[b]]++;
        run->offset[user[b] + 2]++;
    }
    for (uint32_t r = 0; r < run->shape.rows; r++) run->offset[r + 2] += run->offset[r + 1];
    for (uint32_t b = 0; b < size; b++) run->column[run->offset[user[b] + 1]++] = item[b];
    td__free(context, user);
    td__free(context, item);
}

static void prepare(running_case *run, td_context *context)
{
    const bench_case *what = run->what;
    td_error err;
    run->shape = (td__softmax_shape){
        .rows = what->size, .columns = what->size, .entries = what->size, .dim = what->dim,
        .heads = what->heads, .hard_negatives = what->hard_negatives, .precision = what->precision};
    uint32_t heads = what->heads == 0 ? 1 : what->heads;
    bool plain = heads == 1 && what->hard_negatives == 0 && what->label_smoothing == 0.0;
    if (what->users > 0) draw_batch(run, context);
    run->rows = random_vectors(context, (uint64_t)run->shape.rows * heads, what->dim, 1);
    run->columns = random_vectors(context, run->shape.columns, what->dim, 2);
    run->result.d_rows = array(context, (uint64_t)run->shape.rows * heads * what->dim, sizeof(float));
    run->result.d_columns = array(context, (uint64_t)run->shape.columns * what->dim, sizeof(float));
    run->batch = (td__softmax_batch){
        .rows = {run->rows, NULL, run->shape.rows}, .columns = {run->columns, NULL, run->shape.columns},
        .temperature = 1.0f, .weight_scale = 1.0, .copies = run->copies, .entry_offset = run->offset,
        .entry_column = run->column, .heads = heads, .hard_negatives = what->hard_negatives,
        .label_smoothing = what->label_smoothing,
    };
    must(td__softmax_create(&run->softmax, context, &run->shape, &err), &err);
    if (what->users == 0 && what->every > 0 && plain) run->bxb = bxb_create(context, what->size, what->dim);
}

static void finish(running_case *run, td_context *context)
{
    td__softmax_free(run->softmax);
    bxb_free(run->bxb);
    td__free(context, run->copies);
    td__free(context, run->offset);
    td__free(context, run->column);
    td__free(context, run->rows);
    td__free(context, run->columns);
    td__free(context, run->result.d_rows);
    td__free(context, run->result.d_columns);
}

static void sample_ours(running_case *run)
{
    td_error err;
    double begin = bench_now();
    must(td__softmax_compute(run->softmax, &run->batch, &run->result, &err), &err);
    bench_add(&run->ours, bench_now() - begin);
}

static void sample_theirs(running_case *run)
{
    if (run->bxb == NULL) return;
    double begin = bench_now();
    (void)bxb_compute(run->bxb, run->rows, run->columns, run->result.d_rows, run->result.d_columns);
    bench_add(&run->theirs, bench_now() - begin);
}

typedef struct peaks {
    double fma, bf16, read; /* bf16 0: no instruction for it */
} peaks;

static void sample_peaks(peaks *best, td_context *context, const float *memory, uint32_t round)
{
    for (uint32_t i = 0; i < FMA_SAMPLES; i++) {
        double fma = bench_fma_rate(context);
        if (fma > best->fma) best->fma = fma;
        double bf16 = bench_bf16_rate(context);
        if (bf16 > best->bf16) best->bf16 = bf16;
    }
    if (round >= READ_ROUNDS) return;
    double reading = bench_read_rate(context, memory, READ_FLOATS);
    if (reading > best->read) best->read = reading;
}

static void report(const running_case *run, const peaks *best, const td_context *context,
                   const arguments *how)
{
    const td__softmax_shape *shape = &run->shape;
    double seconds = bench_best(&run->ours), theirs = bench_best(&run->theirs);
    double rate = 6.0 * shape->rows * shape->columns * shape->dim / seconds;
    double mb = (double)td__softmax_bytes(shape, td_context_threads(context)) * 1e-6;
    const char *format
        = how->json
              ? "{\"case\":\"%s\",\"rows\":%u,\"columns\":%u,\"best_ms\":%.3f,\"median_ms\":%.3f,"
                "\"gflops\":%.1f,\"share_of_peak\":%.3f,\"bxb_ms\":%.3f,\"bxb_ratio\":%.2f,"
                "\"workspace_mb\":%.1f}\n"
              : "%-26s %5u x %-5u %9.3f %9.3f %8.1f %6.3f %9.3f %6.2f %9.1f\n";
    printf(format, run->what->name, shape->rows, shape->columns, seconds * 1e3,
           bench_median(&run->ours) * 1e3, rate * 1e-9, rate / best->fma, theirs * 1e3,
           theirs / seconds, mb);
}

static void report_machine(const peaks *best, const td_context *context, const arguments *how)
{
    const char *format = how->json
                             ? "{\"kernel\":\"%s\",\"threads\":%u,\"fma_gflops\":%.1f,\"bf16_gflops\":%s,"
                               "\"read_gbytes\":%.1f,\"load\":%.2f,\"peak_memory_mb\":%.1f}\n"
                             : "kernel %s, %u threads: fma %.1f Gflop/s, bf16 %s, read %.1f GB/s; "
                               "load %.2f; memory of this process at most %.1f MB\n";
    char bf16[40];
    snprintf(bf16, sizeof bf16, how->json ? "%.1f" : "%.1f Gflop/s", best->bf16 * 1e-9);
    const char *none = how->json ? "null" : "not available on this CPU";
    printf(format, td_context_kernel(context), td_context_threads(context), best->fma * 1e-9,
           best->bf16 > 0.0 ? bf16 : none, best->read * 1e-9, bench_load(),
           (double)bench_peak_memory() * 1e-6);
    if (how->json) return;
    printf("%-26s %13s %9s %9s %8s %6s %9s %6s %9s\n", "case", "rows x columns", "best ms", "median",
           "Gflop/s", "share", "BxB ms", "ratio", "work MB");
}

static arguments read_arguments(int argc, char **argv)
{
    arguments how = {.rounds = 20};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0) {
            how.json = true;
            continue;
        }
        if (strcmp(argv[i], "--rounds") == 0) how.rounds = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0) how.threads = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--kernel") == 0) how.kernel = value;
        else if (strcmp(argv[i], "--only") == 0) how.only = value;
        else {
            fprintf(stderr, "usage: bench_train [--json] [--rounds N] [--threads N] [--kernel NAME]"
                            " [--only TEXT]\n");
            exit(2);
        }
        i++;
    }
    return how;
}

static bool wanted(const bench_case *what, const arguments *how)
{
    return how->only == NULL || strstr(what->name, how->only) != NULL;
}

/* Cases with `every` 0 take memory, so they are made, run and freed one by one. */
static void run_once(running_case *run, td_context *context)
{
    prepare(run, context);
    sample_ours(run);
    finish(run, context);
}

static bool is_due(const running_case *run, uint32_t round)
{
    return run->softmax != NULL && run->what->every != 0 && round % run->what->every == 0;
}

/* The peak first, long enough for the system to spread the threads; OpenBLAS last, whose threads spin
 * for a while after their work and would take a core from what is measured next. */
static void run_round(running_case *runs, uint32_t round, td_context *context, const float *memory,
                      peaks *best)
{
    sample_peaks(best, context, memory, round);
    for (uint32_t i = 0; i < CASES; i++) {
        if (is_due(&runs[i], round)) sample_ours(&runs[i]);
    }
    for (uint32_t i = 0; i < CASES; i++) {
        if (is_due(&runs[i], round)) sample_theirs(&runs[i]);
    }
    bench_pause(0.05);
}

int main(int argc, char **argv)
{
    static running_case runs[CASES];
    arguments how = read_arguments(argc, argv);
    td_context *context;
    td_error err;
    td_context_options options = {.threads = how.threads, .kernel = how.kernel};
    peaks best = {0};
    must(td_context_create(&context, &options, &err), &err);
    float *memory = array(context, READ_FLOATS, sizeof *memory);
    for (uint32_t i = 0; i < CASES; i++) {
        runs[i].what = &cases[i];
        if (!wanted(&cases[i], &how)) continue;
        if (cases[i].every == 0) run_once(&runs[i], context);
        else prepare(&runs[i], context);
    }
    for (uint32_t r = 0; r < how.rounds; r++) run_round(runs, r, context, memory, &best);
    report_machine(&best, context, &how);
    for (uint32_t i = 0; i < CASES; i++) {
        if (runs[i].ours.count > 0) report(&runs[i], &best, context, &how);
        if (cases[i].every > 0 && wanted(&cases[i], &how)) finish(&runs[i], context);
    }
    td__free(context, memory);
    td_context_free(context);
    return 0;
}
