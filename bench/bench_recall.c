/* bench_recall.c -- recall, speed, memory and build time of a tree, next to its exact twin.
 *
 *   bench_recall [--items N] [--dim D] [--spread S] [--k K] [--queries Q] [--vectors ITEMS USERS]
 *                [--num-leaves N] [--dimensions-per-block N] [--anisotropic-eta W] [--rounds R]
 *                [--sweep]
 *
 * Vectors come from files (users calibrate and are measured in turn) or from two_tower.h. One
 * query a call, one thread. Times are those of the processor, not of the clock: the machine may be
 * shared. Each query is searched in several rounds and its best time counts. Recall is by position, of
 * users that calibration has not seen. --sweep prints a grid of leaves and candidates instead of
 * targets. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "measure.h"
#include "two_tower.h"

typedef struct bench_setup {
    two_tower shape;
    uint32_t k, rounds;
    td_index_options options;
    const char *item_file, *user_file;
    bool sweep;
} bench_setup;

typedef struct bench_data {
    td_context *context;
    td_vectors items, calibration, users;
    td_hit *truth; /* [users, k] */
    td_index *exact, *tree;
} bench_data;

static td_error err;

static void must(td_status status, const char *what)
{
    if (status == TD_OK) return;
    fprintf(stderr, "bench_recall: %s: %s\n", what, err.message);
    exit(td_status_exit_code(status));
}

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *room(uint64_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL) {
        fprintf(stderr, "bench_recall: no memory for %llu bytes\n", (unsigned long long)bytes);
        exit(3);
    }
    return memory;
}

/* --- what to measure on */

static void make_vectors(const bench_setup *setup, bench_data *data)
{
    two_tower shape = setup->shape;
    uint64_t measured = shape.users;
    shape.users *= 2;
    float *items = room(shape.items * shape.dim * sizeof *items);
    float *users = room(shape.users * shape.dim * sizeof *users);
    if (!two_tower_make(&shape, data->context, items, users)) exit(3);
    data->items = (td_vectors){.data = items, .rows = shape.items, .dim = shape.dim};
    data->users = (td_vectors){.data = users, .rows = measured, .dim = shape.dim};
    data->calibration = data->users;
    data->calibration.data += measured * shape.dim;
}

/* Users in turn to measure and to calibrate with: files are seldom in an order without meaning. */
static void deal_users(bench_data *data)
{
    td_vectors all = data->users;
    uint64_t measured = (all.rows + 1) / 2, width = all.dim * sizeof(float);
    float *dealt = room(all.rows * width);
    for (uint64_t u = 0; u < all.rows; u++) {
        uint64_t to = u % 2 == 0 ? u / 2 : measured + u / 2;
        memcpy(dealt + to * all.dim, all.data + u * all.dim, width);
    }
    data->users = (td_vectors){.data = dealt, .rows = measured, .dim = all.dim};
    data->calibration = (td_vectors){.data = dealt + measured * all.dim, .rows = all.rows - measured,
                                     .dim = all.dim};
}

/* At most `count` of them, in place. */
static void keep_evenly(td_vectors *users, uint64_t count)
{
    if (users->rows <= count) return;
    float *rows = (float *)users->data; /* ours: deal_users made it */
    for (uint64_t i = 0; i < count; i++) {
        uint64_t from = i * users->rows / count;
        memmove(rows + i * users->dim, rows + from * users->dim, users->dim * sizeof *rows);
    }
    users->rows = count;
}

static void read_vectors(const bench_setup *setup, bench_data *data)
{
    td_matrix *items, *users;
    must(td_matrix_read(&items, data->context, setup->item_file, &err), setup->item_file);
    must(td_matrix_read(&users, data->context, setup->user_file, &err), setup->user_file);
    data->items = td_matrix_vectors(items);
    data->users = td_matrix_vectors(users);
    deal_users(data);
    keep_evenly(&data->users, setup->shape.users);
}

/* --- measuring */

typedef struct result {
    double recall, queries_per_second, p50, p99; /* microseconds */
} result;

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static uint32_t common(const td_hit *a, const td_hit *b, uint32_t count)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < count; j++) found += a[i].position == b[j].position;
    }
    return found;
}

static result measure(const bench_setup *setup, bench_data *data, const td_index *index, td_search_effort effort,
                      td_hit *hits)
{
    uint64_t queries = data->users.rows;
    double *times = room(queries * sizeof *times), total = 0.0, found = 0.0;
    td_search search = {.k = setup->k, .effort = effort};
    td_searcher *searcher;
    must(td_searcher_create(&searcher, index, &err), "searcher");
    for (uint32_t round = 0; round < setup->rounds; round++) {
        for (uint64_t q = 0; q < queries; q++) {
            td_vectors one = data->users;
            one.data += q * one.dim;
            one.rows = 1;
            uint32_t count;
            double start = processor_seconds();
            must(td_searcher_search(searcher, &one, &search, hits + q * setup->k, &count, &err),
                 "search");
            double seconds = processor_seconds() - start;
            if (round == 0 || seconds < times[q]) times[q] = seconds;
        }
    }
    for (uint64_t q = 0; q < queries; q++) {
        total += times[q];
        found += common(hits + q * setup->k, data->truth + q * setup->k, setup->k);
    }
    qsort(times, queries, sizeof *times, ascending);
    result out = {.recall = found / (double)(queries * setup->k),
                  .queries_per_second = (double)queries / total,
                  .p50 = 1e6 * times[queries / 2],
                  .p99 = 1e6 * times[queries * 99 / 100]};
    td_searcher_free(searcher);
    free(times);
    return out;
}

static void print_result(const char *name, double value, result r)
{
    printf("%-10s %6.4g  recall %.4f  %9.0f queries/s  p50 %8.1f us  p99 %8.1f us\n", name, value,
           r.recall, r.queries_per_second, r.p50, r.p99);
    fflush(stdout);
}

static void print_targets(const bench_setup *setup, bench_data *data, td_hit *hits)
{
    const float targets[] = {0.8f, 0.9f, 0.95f, 0.98f, 0.99f, 0.995f, 0.999f};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        td_search_effort effort = {.target_recall = targets[i]};
        print_result("target", (double)targets[i], measure(setup, data, data->tree, effort, hits));
    }
}

static void print_sweep(const bench_setup *setup, bench_data *data, td_hit *hits)
{
    td_index_info info;
    td_index_describe(data->tree, &info);
    for (uint32_t leaves = 2; leaves < info.leaves; leaves *= 2) {
        for (uint32_t candidates = 4 * setup->k; candidates <= 64 * setup->k; candidates *= 4) {
            td_search_effort effort = {.num_leaves_to_search = leaves,
                                       .reordering_num_neighbors = candidates};
            printf("leaves %5u  ", leaves);
            print_result("candidates", candidates, measure(setup, data, data->tree, effort, hits));
        }
    }
}

/* --- the indexes */

static void build(const bench_setup *setup, bench_data *data)
{
    double start = bench_now(), used = processor_seconds();
    must(td_index_build_with(&data->tree, data->context, &data->items, NULL, &setup->options, NULL,
                             &err), "build");
    double built = bench_now(), processor = processor_seconds() - used;
    used = processor_seconds();
    must(td_index_calibrate(data->tree, &data->calibration, NULL, &err), "calibrate");
    double calibrated = processor_seconds() - used;
    td_index_info info;
    td_index_describe(data->tree, &info);
    printf("tree of %u leaves, %u numbers a code, eta %g: built in %.1f s (%.1f s of the processor), "
           "calibrated on %u users in %.1f s; %.1f MB, %.1f bytes an item\n",
           info.leaves, info.dimensions_per_block, (double)info.anisotropic_eta, built - start,
           processor, info.calibration_queries, calibrated, (double)info.bytes / 1e6,
           (double)info.bytes / (double)data->items.rows);
}

static void read_arguments(bench_setup *setup, int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(name, "--sweep") == 0) {
            setup->sweep = true;
            continue;
        }
        i++;
        if (strcmp(name, "--items") == 0) setup->shape.items = strtoull(value, NULL, 10);
        else if (strcmp(name, "--dim") == 0) setup->shape.dim = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--spread") == 0) setup->shape.spread = strtod(value, NULL);
        else if (strcmp(name, "--queries") == 0) setup->shape.users = strtoull(value, NULL, 10);
        else if (strcmp(name, "--k") == 0) setup->k = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--rounds") == 0) setup->rounds = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--vectors") == 0 && i + 1 < count) {
            setup->item_file = value;
            setup->user_file = arguments[++i];
        } else {
            must(td_options_set(td_index_option_table(), &setup->options,
                                name + (strncmp(name, "--", 2) == 0 ? 2 : 0), value, &err), name);
        }
    }
}

int main(int count, char **arguments)
{
    bench_setup setup = {.shape = {.items = 100000, .users = 1000, .dim = 64, .spread = 0.15, .gap = 0.3,
                             .seed = 1},
                   .k = 10, .rounds = 3};
    bench_data data = {0};
    td_context_options one = {.threads = 1};
    td_index_options_init(&setup.options);
    setup.options.kind = TD_INDEX_TREE;
    read_arguments(&setup, count, arguments);
    must(td_context_create(&data.context, &one, &err), "context");
    if (setup.item_file != NULL) read_vectors(&setup, &data);
    else make_vectors(&setup, &data);
    printf("%llu items, %u dimensions, k %u, %llu users; kernels %s, load %.1f\n",
           (unsigned long long)data.items.rows, data.items.dim, setup.k,
           (unsigned long long)data.users.rows, td_context_kernel(data.context), bench_load());
    must(td_index_build(&data.exact, data.context, &data.items, NULL, &err), "exact index");
    data.truth = room(data.users.rows * setup.k * sizeof *data.truth);
    td_hit *hits = room(data.users.rows * setup.k * sizeof *hits);
    uint32_t rounds = setup.rounds;
    setup.rounds = 1;
    result exact = measure(&setup, &data, data.exact, (td_search_effort){0}, data.truth);
    exact.recall = 1.0;
    print_result("exact", 1.0, exact);
    setup.rounds = rounds;
    build(&setup, &data);
    if (setup.sweep) print_sweep(&setup, &data, hits);
    else print_targets(&setup, &data, hits);
    return 0;
}
