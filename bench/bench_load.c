/* bench_load.c -- an index loaded into memory, and one mapped: time, memory, searches.
 *
 *   bench_load [--items N] [--dim D] [--queries Q] [--file PATH]
 *
 * A tree over vectors of two_tower.h is saved; then processes of their own load it in turn, the file
 * being in the system's cache, search it and tell: seconds to load, memory of their own (RssAnon) and
 * shared with the file (RssFile), the first search, and the mean of all. The least of each over 5. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"
#include "two_tower.h"

enum { ROUNDS = 5, K = 10 };

typedef struct facts {
    double load, first, mean; /* seconds */
    double own, file;         /* MB */
} facts;

static td_error err;

static void must(td_status status, const char *what)
{
    if (status == TD_OK) return;
    fprintf(stderr, "bench_load: %s: %s\n", what, err.message);
    exit(td_status_exit_code(status));
}

static double resident(const char *name)
{
    char line[256];
    double kilobytes = 0.0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) kilobytes = strtod(line + strlen(name) + 1, NULL);
    }
    if (status != NULL) (void)fclose(status);
    return kilobytes / 1024.0;
}

static facts measure(const char *path, bool mapped, const td_vectors *users)
{
    facts out;
    td_context_options one = {.threads = 1};
    td_context *context;
    td_index *index;
    td_searcher *searcher;
    td_search search = {.k = K};
    td_hit hits[K];
    uint32_t count;
    must(td_context_create(&context, &one, &err), "context");
    double own = resident("RssAnon"), start = bench_now();
    must(mapped ? td_index_load_mapped(&index, context, path, &err)
                : td_index_load(&index, context, path, &err), "load");
    out.load = bench_now() - start;
    out.own = resident("RssAnon") - own;
    out.file = resident("RssFile");
    must(td_searcher_create(&searcher, index, &err), "searcher");
    start = bench_now();
    for (uint64_t q = 0; q < users->rows; q++) {
        td_vectors query = {.data = users->data + q * users->dim, .rows = 1, .dim = users->dim};
        must(td_searcher_search(searcher, &query, &search, hits, &count, &err), "search");
        if (q == 0) out.first = bench_now() - start;
    }
    out.mean = (bench_now() - start) / (double)users->rows;
    return out;
}

/* In a process of its own, which gives all memory back. */
static facts measure_apart(const char *path, bool mapped, const td_vectors *users)
{
    int ends[2];
    facts out = {0};
    if (pipe(ends) != 0) exit(3);
    pid_t child = fork();
    if (child == 0) {
        facts own = measure(path, mapped, users);
        _exit(write(ends[1], &own, sizeof own) == (ssize_t)sizeof own ? 0 : 3);
    }
    if (child < 0 || read(ends[0], &out, sizeof out) != (ssize_t)sizeof out) exit(3);
    (void)waitpid(child, NULL, 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return out;
}

static void keep_least(double *least, double value, int round)
{
    if (round == 0 || value < *least) *least = value;
}

static void make_file(const char *path, two_tower *shape, float *users)
{
    td_context *context;
    td_index *index;
    td_index_options options;
    float *items = malloc(shape->items * shape->dim * sizeof *items);
    must(td_context_create(&context, NULL, &err), "context");
    if (items == NULL || !two_tower_make(shape, context, items, users)) exit(3);
    td_vectors rows = {.data = items, .rows = shape->items, .dim = shape->dim};
    td_vectors queries = {.data = users, .rows = shape->users, .dim = shape->dim};
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    must(td_index_build_with(&index, context, &rows, NULL, &options, NULL, &err), "build");
    must(td_index_calibrate(index, &queries, NULL, &err), "calibrate");
    must(td_index_save(index, path, &err), path);
    td_index_free(index);
    td_context_free(context);
    free(items);
}

int main(int count, char **arguments)
{
    two_tower shape = {.items = 200000, .users = 1000, .dim = 64, .spread = 0.15, .gap = 0.3, .seed = 1};
    const char *path = "bench_load.index";
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (strcmp(name, "--items") == 0) shape.items = strtoull(value, NULL, 10);
        else if (strcmp(name, "--dim") == 0) shape.dim = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--queries") == 0) shape.users = strtoull(value, NULL, 10);
        else if (strcmp(name, "--file") == 0) path = value;
        else exit(2);
    }
    float *users = malloc(shape.users * shape.dim * sizeof *users);
    if (users == NULL) exit(3);
    make_file(path, &shape, users);
    td_vectors queries = {.data = users, .rows = shape.users, .dim = shape.dim};
    facts best[2];
    for (int round = 0; round < ROUNDS; round++) {
        for (int mapped = 0; mapped < 2; mapped++) {
            facts now = measure_apart(path, mapped, &queries);
            keep_least(&best[mapped].load, now.load, round);
            keep_least(&best[mapped].first, now.first, round);
            keep_least(&best[mapped].mean, now.mean, round);
            keep_least(&best[mapped].own, now.own, round);
            keep_least(&best[mapped].file, now.file, round);
        }
    }
    printf("%llu items of %u dimensions, load %.1f\n", (unsigned long long)shape.items, shape.dim,
           bench_load());
    for (int mapped = 0; mapped < 2; mapped++) {
        const facts *b = &best[mapped];
        printf("%-7s %7.3f s to load  %7.1f MB own  %7.1f MB of the file  first search %8.1f us  "
               "mean %7.1f us\n", mapped ? "mapped" : "loaded", b->load, b->own, b->file, 1e6 * b->first,
               1e6 * b->mean);
    }
    free(users);
    return unlink(path) == 0 ? 0 : 3;
}
