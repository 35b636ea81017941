/* bench_search.c -- how fast the exact search is, as a share of what this machine can do.
 *
 * Serves: docs/speed.md. Measures the peaks of fused multiply-adds and of products of bytes, and the
 * speed of reading memory, then each case, in rounds: one sample of everything a round.
 *
 *     bench_search [--items N] [--dim D] [--spread S] [--k K] [--queries Q] [--vectors ITEMS USERS]
 *                  [--batches 1,64,256,512] [--threads N] [--kernel NAME] [--rounds N] [--json]
 *                  [--processor] [--count]
 *
 * Vectors come from two_tower.h or from files. A batch is one call; calls go through the queries in
 * turn. --processor: on a shared machine, seconds of the processor in place of those of the clock, for
 * one thread. --count: FactorizedTopK of all users instead, half of them with a positive that is among
 * their 100 best items, half with any item. "tile" is the micro-kernel alone, on items that stay in the cache. With --json, one line a
 * case: bytes are those of the format that is read, operations 2 N D a query whatever is skipped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "kernel/int8.h"
#include "kernel/kernel.h"
#include "measure.h"
#include "peak.h"
#include "two_tower.h"

enum { BATCHES_MAX = 16, READ_FLOATS = 1 << 25, TILE_ROWS = 192, TILE_REPEATS = 64 };

typedef struct setup {
    two_tower shape;
    td_context_options threads;
    uint32_t k, rounds, batches[BATCHES_MAX], batch_count;
    const char *item_file, *user_file;
    bool json, count;
    double (*now)(void);
} setup;

/* An index and the times of each batch. */
typedef struct format {
    const char *name;
    double bytes_per_number;
    td_index *index;
    td_searcher *searcher;
    bench_times times[BATCHES_MAX], tile;
} format;

enum { FP32, INT8, FORMATS };

typedef struct bench {
    setup what;
    td_context *context;
    td_vectors items, users;
    format formats[FORMATS];
    double fma, bytes, reading; /* best of the samples, a second */
    uint64_t next;              /* user of the next call */
    td_hit *hits[FORMATS];
    uint32_t *counts;
} bench;

static td_error err;

static void must(td_status status, const char *what)
{
    if (status == TD_OK) return;
    fprintf(stderr, "bench_search: %s: %s\n", what, err.message);
    exit(td_status_exit_code(status));
}

static void *room(td_context *context, uint64_t count, size_t size)
{
    void *block;
    must(td__alloc_zero(&block, context, count, size, &err), "memory");
    return block;
}

/* --- what to search */

static void make_vectors(bench *b)
{
    two_tower *shape = &b->what.shape;
    float *items = room(b->context, shape->items * shape->dim, sizeof *items);
    float *users = room(b->context, shape->users * shape->dim, sizeof *users);
    if (!two_tower_make(shape, b->context, items, users)) exit(3);
    b->items = (td_vectors){.data = items, .rows = shape->items, .dim = shape->dim};
    b->users = (td_vectors){.data = users, .rows = shape->users, .dim = shape->dim};
}

static void read_vectors(bench *b)
{
    td_matrix *items, *users;
    must(td_matrix_read(&items, b->context, b->what.item_file, &err), b->what.item_file);
    must(td_matrix_read(&users, b->context, b->what.user_file, &err), b->what.user_file);
    b->items = td_matrix_vectors(items);
    b->users = td_matrix_vectors(users);
}

static void build(bench *b, format *f, td_prefilter prefilter)
{
    td_index_options options;
    td_index_info info;
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    options.prefilter = prefilter;
    double start = bench_now();
    must(td_index_build_with(&f->index, b->context, &b->items, NULL, &options, NULL, &err), "build");
    double seconds = bench_now() - start;
    must(td_searcher_create(&f->searcher, f->index, &err), "searcher");
    td_index_describe(f->index, &info);
    if (b->what.json) {
        printf("{\"bench\":\"search\",\"case\":\"build\",\"format\":\"%s\",\"seconds\":%.4g,"
               "\"bytes\":%llu}\n", f->name, seconds, (unsigned long long)info.bytes);
    } else {
        printf("%s index: built in %.2f s, %.0f MB\n", f->name, seconds, (double)info.bytes / 1e6);
    }
}

/* --- one sample of everything */

static void sample_batch(bench *b, uint32_t n)
{
    uint32_t batch = b->what.batches[n];
    if (b->next + batch > b->users.rows) b->next = 0;
    td_vectors part = b->users;
    part.data += b->next * part.dim;
    part.rows = batch;
    td_search search = {.k = b->what.k};
    for (int i = 0; i < FORMATS; i++) {
        format *f = &b->formats[i];
        double start = b->what.now();
        must(td_searcher_search(f->searcher, &part, &search, b->hits[i], b->counts, &err), "search");
        bench_add(&f->times[n], b->what.now() - start);
    }
    b->next += batch;
    if (memcmp(b->hits[FP32], b->hits[INT8], batch * b->what.k * sizeof(td_hit)) != 0) {
        fprintf(stderr, "bench_search: the formats differ\n");
        exit(1);
    }
}

/* Operands of the micro-kernels; what they hold is of no matter, but no float is denormal. */
typedef struct tiles {
    float *rows, *panel, *scores;
    uint8_t *bytes;
    td__int8_rows int8_rows;
    int32_t *limits;
    uint64_t *masks;
} tiles;

static tiles make_tiles(const bench *b)
{
    td_context *context = b->context;
    uint32_t dim = (b->items.dim + TD__INT8_STEP - 1) / TD__INT8_STEP * TD__INT8_STEP;
    int32_t *limits = room(context, TILE_ROWS, sizeof *limits);
    for (int r = 0; r < TILE_ROWS; r++) limits[r] = INT32_MAX;
    tiles t = {.rows = room(context, (uint64_t)TILE_ROWS * dim, sizeof(float)),
               .panel = room(context, (uint64_t)TD__PANEL * dim, sizeof(float)),
               .scores = room(context, (uint64_t)TILE_ROWS * TD__PANEL, sizeof(float)),
               .bytes = room(context, (uint64_t)TD__PANEL * dim, 1),
               .limits = limits,
               .masks = room(context, TILE_ROWS, sizeof(uint64_t))};
    t.int8_rows = (td__int8_rows){
        .values = room(context, TILE_ROWS, dim),
        .starts = room(context, (uint64_t)TILE_ROWS * td__int8_words(dim), sizeof(int32_t)),
        .count = TILE_ROWS,
        .dim = dim};
    memset(t.bytes, TD__INT8_ZERO, (size_t)TD__PANEL * dim);
    return t;
}

/* The micro-kernels on one panel, one thread. */
static void sample_tiles(bench *b, const tiles *t)
{
    const td__kernels *kernels = b->context->kernels;
    double start = b->what.now();
    for (int i = 0; i < TILE_REPEATS; i++) {
        kernels->int8->above(&t->int8_rows, t->bytes, t->limits, t->masks);
    }
    bench_add(&b->formats[INT8].tile, b->what.now() - start);
    start = b->what.now();
    for (int i = 0; i < TILE_REPEATS; i++) {
        kernels->score_panel(t->rows, TILE_ROWS, t->panel, b->items.dim, NULL, t->scores);
    }
    bench_add(&b->formats[FP32].tile, b->what.now() - start);
}

/* --- counting */

/* Vectors of positives. */
static float *choose_positives(bench *b)
{
    enum { DEPTH = 100 };
    td_search search = {.k = DEPTH};
    uint64_t users = b->users.rows;
    td_hit *hits = room(b->context, users * DEPTH, sizeof *hits);
    uint32_t *counts = room(b->context, users, sizeof *counts);
    float *positives = room(b->context, users * b->items.dim, sizeof *positives);
    must(td_searcher_search(b->formats[INT8].searcher, &b->users, &search, hits, counts, &err), "search");
    for (uint64_t u = 0; u < users; u++) {
        uint64_t item = u % 2 == 0 ? hits[u * DEPTH + u / 2 % counts[u]].position
                                   : u * UINT64_C(2654435761) % b->items.rows;
        memcpy(positives + u * b->items.dim, b->items.data + item * b->items.dim,
               b->items.dim * sizeof *positives);
    }
    td__free(b->context, hits);
    td__free(b->context, counts);
    return positives;
}

static void run_counting(bench *b)
{
    static const td_u32_list ks = {.count = 3, .values = {1, 10, 100}};
    double result[FORMATS][TD_U32_LIST_MAX];
    td_vectors positives = b->users;
    positives.data = choose_positives(b);
    for (int i = 0; i < FORMATS; i++) {
        format *f = &b->formats[i];
        td_factorized_topk *metric;
        must(td_factorized_topk_create(&metric, b->context, f->index, &ks, &err), "metric");
        double start = b->what.now();
        must(td_factorized_topk_update(metric, &b->users, &positives, NULL, &err), "update");
        double seconds = b->what.now() - start;
        td_factorized_topk_result(metric, result[i]);
        printf(b->what.json
                   ? "{\"bench\":\"search\",\"case\":\"count\",\"format\":\"%s\",\"items\":%llu,"
                     "\"dim\":%u,\"queries\":%llu,\"threads\":%u,\"seconds\":%.4g,\"top100\":%.6f}\n"
                   : "count on %s: %llu items, dim %u, %llu users, %u threads: %.2f s; top 100: %.6f\n",
               f->name, (unsigned long long)b->items.rows, b->items.dim,
               (unsigned long long)b->users.rows, td_context_threads(b->context), seconds, result[i][2]);
        td_factorized_topk_free(metric);
    }
    if (memcmp(result[FP32], result[INT8], ks.count * sizeof(double)) != 0) {
        fprintf(stderr, "bench_search: the formats differ\n");
        exit(1);
    }
    td__free(b->context, (void *)positives.data);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void run(bench *b)
{
    uint64_t floats = READ_FLOATS * (uint64_t)td_context_threads(b->context);
    float *array = room(b->context, floats, sizeof *array);
    tiles t = make_tiles(b);
    for (uint32_t round = 0; round < b->what.rounds; round++) {
        b->fma = larger(b->fma, bench_fma_rate(b->context));
        b->bytes = larger(b->bytes, bench_int8_rate(b->context));
        b->reading = larger(b->reading, bench_read_rate(b->context, array, floats));
        sample_tiles(b, &t);
        for (uint32_t n = 0; n < b->what.batch_count; n++) sample_batch(b, n);
    }
    td__free(b->context, array);
}

/* --- reporting */

static double peak_of(const bench *b, int i)
{
    return i == FP32 ? b->fma : b->bytes;
}

static void print_tile(const bench *b, int i)
{
    const format *f = &b->formats[i];
    double operations = 2.0 * TILE_REPEATS * TILE_ROWS * TD__PANEL * b->items.dim;
    double rate = operations / bench_best(&f->tile);
    double share = rate / (peak_of(b, i) / td_context_threads(b->context));
    if (b->what.json) {
        printf("{\"bench\":\"search\",\"case\":\"tile\",\"format\":\"%s\",\"dim\":%u,"
               "\"gops\":%.4g,\"peak_share\":%.3f}\n", f->name, b->items.dim, rate / 1e9, share);
    } else {
        printf("tile %s: %.0f Gop/s, %.2f of the peak of one thread\n", f->name, rate / 1e9, share);
    }
}

static void print_batch(const bench *b, uint32_t n)
{
    uint32_t batch = b->what.batches[n];
    double fp32 = bench_best(&b->formats[FP32].times[n]);
    for (int i = 0; i < FORMATS; i++) {
        const format *f = &b->formats[i];
        double best = bench_best(&f->times[n]), median = bench_median(&f->times[n]);
        double numbers = (double)b->items.rows * b->items.dim;
        double share = 2 * numbers * batch / best / peak_of(b, i);
        double read = numbers * f->bytes_per_number / best / b->reading;
        if (b->what.json) {
            printf("{\"bench\":\"search\",\"case\":\"batch\",\"format\":\"%s\",\"items\":%llu,"
                   "\"dim\":%u,\"k\":%u,\"batch\":%u,\"threads\":%u,\"best_seconds\":%.6g,"
                   "\"median_seconds\":%.6g,\"queries_per_second\":%.6g,\"peak_share\":%.3f,"
                   "\"read_share\":%.3f}\n", f->name, (unsigned long long)b->items.rows, b->items.dim,
                   b->what.k, batch, td_context_threads(b->context), best, median, batch / best, share,
                   read);
        } else {
            printf("%s batch %4u: best %9.3f ms, median %9.3f ms, %8.0f queries/s, %.2f of the peak, "
                   "%.2f of reading", f->name, batch, 1e3 * best, 1e3 * median, batch / best, share, read);
            printf(i == FP32 ? "\n" : ", %.2f times fp32\n", fp32 / best);
        }
    }
}

static void report(const bench *b)
{
    if (b->what.json) {
        printf("{\"bench\":\"search\",\"case\":\"machine\",\"kernel\":\"%s\",\"threads\":%u,"
               "\"fma_gflops\":%.4g,\"int8_gops\":%.4g,\"read_gb_per_second\":%.4g,\"load\":%.2f}\n",
               td_context_kernel(b->context), td_context_threads(b->context), b->fma / 1e9,
               b->bytes / 1e9, b->reading / 1e9, bench_load());
    } else {
        printf("%s, %u threads: peak %.1f Gflop/s, %.1f Gop/s of int8, reading %.1f GB/s; load %.1f\n",
               td_context_kernel(b->context), td_context_threads(b->context), b->fma / 1e9,
               b->bytes / 1e9, b->reading / 1e9, bench_load());
    }
    for (int i = 0; i < FORMATS; i++) print_tile(b, i);
    for (uint32_t n = 0; n < b->what.batch_count; n++) print_batch(b, n);
}

/* --- arguments */

static void read_batches(setup *s, const char *text)
{
    s->batch_count = 0;
    for (char *end; *text != '\0' && s->batch_count < BATCHES_MAX; text = *end == ',' ? end + 1 : end) {
        s->batches[s->batch_count++] = (uint32_t)strtoul(text, &end, 10);
        if (end == text) break;
    }
}

static void read_arguments(setup *s, int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(name, "--json") == 0) {
            s->json = true;
            continue;
        }
        if (strcmp(name, "--count") == 0) {
            s->count = true;
            continue;
        }
        if (strcmp(name, "--processor") == 0) {
            s->now = bench_processor;
            s->threads.threads = 1;
            continue;
        }
        i++;
        if (strcmp(name, "--items") == 0) s->shape.items = strtoull(value, NULL, 10);
        else if (strcmp(name, "--dim") == 0) s->shape.dim = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--spread") == 0) s->shape.spread = strtod(value, NULL);
        else if (strcmp(name, "--queries") == 0) s->shape.users = strtoull(value, NULL, 10);
        else if (strcmp(name, "--k") == 0) s->k = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--rounds") == 0) s->rounds = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--threads") == 0) s->threads.threads = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--kernel") == 0) s->threads.kernel = value;
        else if (strcmp(name, "--batches") == 0) read_batches(s, value);
        else if (strcmp(name, "--vectors") == 0 && i + 1 < count) {
            s->item_file = value;
            s->user_file = arguments[++i];
        } else {
            fprintf(stderr, "bench_search: what is %s?\n", name);
            exit(2);
        }
    }
}

int main(int count, char **arguments)
{
    static bench b = {.what = {.shape = {.items = 1000000, .users = 2048, .dim = 128, .spread = 0.15,
                                         .gap = 0.3, .seed = 1},
                               .k = 10, .rounds = 5, .now = bench_now, .batches = {1, 64, 256, 512}, .batch_count = 4},
                      .formats = {{.name = "fp32", .bytes_per_number = 4},
                                  {.name = "int8", .bytes_per_number = 1}}};
    uint64_t largest = 1;
    read_arguments(&b.what, count, arguments);
    must(td_context_create(&b.context, &b.what.threads, &err), "context");
    if (b.what.item_file != NULL) read_vectors(&b);
    else make_vectors(&b);
    for (uint32_t n = 0; n < b.what.batch_count; n++) {
        if (b.what.batches[n] > largest) largest = b.what.batches[n];
    }
    if (largest > b.users.rows) {
        fprintf(stderr, "bench_search: too few queries\n");
        return 2;
    }
    for (int i = 0; i < FORMATS; i++) b.hits[i] = room(b.context, largest * b.what.k, sizeof(td_hit));
    b.counts = room(b.context, largest, sizeof *b.counts);
    build(&b, &b.formats[FP32], TD_PREFILTER_NONE);
    build(&b, &b.formats[INT8], TD_PREFILTER_INT8);
    if (b.what.count) {
        run_counting(&b);
        return 0;
    }
    run(&b);
    report(&b);
    return 0;
}
