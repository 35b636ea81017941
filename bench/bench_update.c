/* bench_update.c -- what updates of an index cost, and what they do to its searches.
 *
 *   bench_update [--items N] [--dim D] [--share S] [--k K] [--queries Q] [--target R] [--threads T]
 *                [--kind exact|tree]
 *
 * Items come from two_tower.h. A share of them is replaced one by one by others of the same making, a
 * twentieth deleted; recall is that of users that calibration has not seen, against an exact index of
 * what is there, and next to a tree that is built anew. Times are those of the clock: run it alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "two_tower.h"

typedef struct bench_setup {
    two_tower shape;
    double share;
    uint32_t k, threads;
    float target;
    td_index_options options;
} bench_setup;

typedef struct bench_data {
    td_context *context;
    td_vectors items, others, users, calibration;
    uint32_t *replaced; /* [replacements] positions */
    uint64_t replacements, deletions;
    td_index *index;
} bench_data;

static td_error err;

static void must(td_status status, const char *what)
{
    if (status == TD_OK) return;
    fprintf(stderr, "bench_update: %s: %s\n", what, err.message);
    exit(td_status_exit_code(status));
}

static void *room(uint64_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL) exit(3);
    return memory;
}

/* Positions in an order without pattern: steps of a number that shares no factor with theirs. */
static void make_data(const bench_setup *setup, bench_data *data)
{
    two_tower shape = setup->shape;
    uint64_t items = shape.items, users = shape.users, step = 7919 % items == 0 ? 1 : 7919;
    data->replacements = (uint64_t)((double)items * setup->share);
    data->deletions = items / 20;
    shape.items += data->replacements;
    shape.users *= 2;
    float *rows = room(shape.items * shape.dim * sizeof *rows);
    float *user_rows = room(shape.users * shape.dim * sizeof *user_rows);
    if (!two_tower_make(&shape, data->context, rows, user_rows)) exit(3);
    data->items = (td_vectors){.data = rows, .rows = items, .dim = shape.dim};
    data->others = (td_vectors){.data = rows + items * shape.dim, .rows = data->replacements,
                                .dim = shape.dim};
    data->users = (td_vectors){.data = user_rows, .rows = users, .dim = shape.dim};
    data->calibration = data->users;
    data->calibration.data += users * shape.dim;
    data->replaced = room(data->replacements * sizeof *data->replaced);
    for (uint64_t i = 0; i < data->replacements; i++) {
        data->replaced[i] = (uint32_t)(i * step % items);
    }
}

/* --- searches */

static td_hit *search(const bench_setup *setup, const bench_data *data, const td_index *index, float target,
                      int rounds, double *per_second)
{
    uint64_t queries = data->users.rows;
    td_hit *hits = room(queries * setup->k * sizeof *hits);
    uint32_t *counts = room(queries * sizeof *counts);
    td_search wish = {.k = setup->k, .effort = {.target_recall = target}};
    td_searcher *searcher;
    must(td_searcher_create(&searcher, index, &err), "searcher");
    *per_second = 0.0;
    for (int round = 0; round < rounds; round++) {
        double start = bench_now();
        for (uint64_t q = 0; q < queries; q++) {
            td_vectors one = data->users;
            one.data += q * one.dim;
            one.rows = 1;
            must(td_searcher_search(searcher, &one, &wish, hits + q * setup->k, counts + q, &err),
                 "search");
        }
        double now = (double)queries / (bench_now() - start);
        *per_second = now > *per_second ? now : *per_second;
    }
    td_searcher_free(searcher);
    free(counts);
    return hits;
}

static void print_search(const bench_setup *setup, const bench_data *data, const td_index *index,
                         const char *name)
{
    uint64_t total = data->users.rows * setup->k, found = 0;
    double speed, exact_speed;
    td_hit *hits = search(setup, data, index, setup->target, 3, &speed);
    td_hit *truth = search(setup, data, index, 1.0f, 1, &exact_speed);
    for (uint64_t i = 0; i < total; i++) {
        const td_hit *own = truth + i / setup->k * setup->k;
        for (uint32_t j = 0; j < setup->k; j++) found += hits[i].position == own[j].position;
    }
    printf("%-22s recall %.4f  %8.0f queries/s  (exactly %6.0f)\n", name, (double)found / (double)total,
           speed, exact_speed);
    fflush(stdout);
    free(hits);
    free(truth);
}

/* --- updates */

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_times(const char *name, double *times, uint64_t count)
{
    double total = 0.0;
    for (uint64_t i = 0; i < count; i++) total += times[i];
    qsort(times, count, sizeof *times, ascending);
    printf("%-8s %7llu: mean %7.2f us, p50 %6.2f us, p99 %6.2f us, p99.9 %6.2f us, most %7.1f ms\n", name,
           (unsigned long long)count, 1e6 * total / (double)count, 1e6 * times[count / 2],
           1e6 * times[count * 99 / 100], 1e6 * times[count * 999 / 1000], 1e3 * times[count - 1]);
    fflush(stdout);
}

static void replace_all(bench_data *data)
{
    double *times = room(data->replacements * sizeof *times);
    for (uint64_t i = 0; i < data->replacements; i++) {
        char text[16];
        const char *id = text;
        td_vectors one = data->others;
        snprintf(text, sizeof text, "%u", data->replaced[i]);
        one.data += i * one.dim;
        one.rows = 1;
        double start = bench_now();
        must(td_index_upsert(data->index, &one, &id, NULL, &err), "upsert");
        times[i] = bench_now() - start;
    }
    print_times("upserts", times, data->replacements);
    free(times);
}

static void delete_some(bench_data *data)
{
    double *times = room(data->deletions * sizeof *times);
    for (uint64_t i = 0; i < data->deletions; i++) {
        char text[16];
        const char *id = text;
        snprintf(text, sizeof text, "%llu", (unsigned long long)(i * 20));
        double start = bench_now();
        must(td_index_delete(data->index, &id, 1, &err), "delete");
        times[i] = bench_now() - start;
    }
    print_times("deletes", times, data->deletions);
    free(times);
}

static void print_info(const bench_data *data)
{
    td_index_info info;
    td_index_describe(data->index, &info);
    printf("%llu items, %llu pending, %llu updates, drift %.3f, %u leaves of at most %u, %.1f MB\n",
           (unsigned long long)info.items, (unsigned long long)info.pending,
           (unsigned long long)info.updates, info.drift, info.leaves, info.leaf_items_max,
           (double)info.bytes / 1e6);
}

static void run(const bench_setup *setup, bench_data *data)
{
    double start = bench_now();
    must(td_index_build_with(&data->index, data->context, &data->items, NULL, &setup->options, NULL,
                             &err), "build");
    printf("built in %.2f s\n", bench_now() - start);
    must(td_index_calibrate(data->index, &data->calibration, NULL, &err), "calibrate");
    print_search(setup, data, data->index, "as built");
    replace_all(data);
    print_search(setup, data, data->index, "updated");
    delete_some(data);
    print_info(data);
    print_search(setup, data, data->index, "updated and deleted");
    start = bench_now();
    must(td_index_merge(data->index, &err), "merge");
    printf("merged in %.1f ms\n", 1e3 * (bench_now() - start));
    print_search(setup, data, data->index, "merged");
    start = bench_now();
    must(td_index_rebuild(data->index, &setup->options, &data->calibration, NULL, &err), "rebuild");
    printf("rebuilt and calibrated in %.2f s\n", bench_now() - start);
    print_info(data);
    print_search(setup, data, data->index, "rebuilt");
}

static void read_arguments(bench_setup *setup, int count, char **arguments)
{
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (strcmp(name, "--items") == 0) setup->shape.items = strtoull(value, NULL, 10);
        else if (strcmp(name, "--dim") == 0) setup->shape.dim = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--share") == 0) setup->share = strtod(value, NULL);
        else if (strcmp(name, "--queries") == 0) setup->shape.users = strtoull(value, NULL, 10);
        else if (strcmp(name, "--k") == 0) setup->k = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--target") == 0) setup->target = strtof(value, NULL);
        else if (strcmp(name, "--threads") == 0) setup->threads = (uint32_t)strtoul(value, NULL, 10);
        else {
            must(td_options_set(td_index_option_table(), &setup->options,
                                name + (strncmp(name, "--", 2) == 0 ? 2 : 0), value, &err), name);
        }
    }
}

int main(int count, char **arguments)
{
    bench_setup setup = {.shape = {.items = 200000, .users = 1000, .dim = 64, .spread = 0.15, .gap = 0.3,
                             .seed = 1},
                   .share = 0.5, .k = 10, .threads = 1, .target = 0.95f};
    bench_data data = {0};
    td_index_options_init(&setup.options);
    setup.options.kind = TD_INDEX_TREE;
    read_arguments(&setup, count, arguments);
    td_context_options options = {.threads = setup.threads};
    must(td_context_create(&data.context, &options, &err), "context");
    make_data(&setup, &data);
    printf("%llu items, %u dimensions, k %u, %llu users, target %g; kernels %s, %u threads, load %.1f\n",
           (unsigned long long)data.items.rows, data.items.dim, setup.k,
           (unsigned long long)data.users.rows, (double)setup.target, td_context_kernel(data.context),
           setup.threads, bench_load());
    run(&setup, &data);
    td_index_free(data.index);
    td_context_free(data.context);
    return 0;
}
