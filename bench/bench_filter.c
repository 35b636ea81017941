/* bench_filter.c -- filtered search of a tree, next to exact search of the items that are allowed.
 *
 *   bench_filter [--items N] [--dim D] [--queries Q] [--k K] [--rounds R] [--target RECALL]
 *
 * Vectors come from two_tower.h. A share of the items is allowed, drawn without regard to anything. One
 * query a call, one thread, times of the processor, the best of some rounds in which the ways take
 * turns, each with all queries. "tree" is asked for the target, "exactly" is the same tree asked for all, "exact" an exact
 * index: its filter of 8-bit integers is at work. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "measure.h"
#include "two_tower.h"

typedef struct setup {
    two_tower shape;
    uint32_t k, rounds;
    float target;
} setup;

typedef struct way {
    const char *name;
    td_searcher *searcher;
    td_search_effort effort;
    td_hit *hits;     /* [queries, k] */
    uint32_t *counts; /* [queries] */
    double *times;    /* [queries]: the best */
} way;

enum { WAYS = 3, TREE = 0, EXACTLY = 1, EXACT = 2, WARM_UP = 4 };

static td_error err;

static void must(td_status status, const char *what)
{
    if (status == TD_OK) return;
    fprintf(stderr, "bench_filter: %s: %s\n", what, err.message);
    exit(td_status_exit_code(status));
}

static void *room(uint64_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL) exit(3);
    return memory;
}

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Allow about a share of the items; returns how many. */
static uint64_t allow_share(uint64_t *allow, uint64_t items, double share)
{
    uint64_t state = 88172645463325252u, allowed = 0;
    memset(allow, 0, (items / 64 + 1) * sizeof *allow);
    for (uint64_t i = 0; i < items; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if ((double)(state >> 11) * 0x1p-53 >= share) continue;
        allow[i / 64] |= UINT64_C(1) << i % 64;
        allowed++;
    }
    return allowed;
}

static double run_query(const setup *s, way *w, const td_vectors *users, const uint64_t *allow, uint64_t q)
{
    td_vectors one = {.data = users->data + q * users->dim, .rows = 1, .dim = users->dim};
    td_search search = {.k = s->k, .allow = allow, .effort = w->effort};
    double start = processor_seconds();
    must(td_searcher_search(w->searcher, &one, &search, w->hits + q * s->k, &w->counts[q], &err),
         w->name);
    return processor_seconds() - start;
}

/* All queries, after some for the caches, which have what another way left there. */
static void run_queries(const setup *s, way *w, const td_vectors *users, const uint64_t *allow, bool first)
{
    for (uint64_t q = 0; q < users->rows && q < WARM_UP; q++) (void)run_query(s, w, users, allow, q);
    for (uint64_t q = 0; q < users->rows; q++) {
        double seconds = run_query(s, w, users, allow, q);
        if (first || seconds < w->times[q]) w->times[q] = seconds;
    }
}

static double recall_of(const setup *s, const way *w, const way *truth, uint64_t queries)
{
    uint64_t found = 0, there = 0;
    for (uint64_t q = 0; q < queries; q++) {
        there += truth->counts[q];
        for (uint32_t i = 0; i < w->counts[q]; i++) {
            for (uint32_t j = 0; j < truth->counts[q]; j++) {
                found += w->hits[q * s->k + i].position == truth->hits[q * s->k + j].position;
            }
        }
    }
    return (double)found / (double)there;
}

/* Every hit is allowed, and there are k. */
static bool is_right(const setup *s, const way *w, uint64_t queries, const uint64_t *allow, uint64_t allowed)
{
    for (uint64_t q = 0; q < queries; q++) {
        if (w->counts[q] != (s->k < allowed ? s->k : allowed)) return false;
        for (uint32_t i = 0; i < w->counts[q]; i++) {
            uint32_t p = w->hits[q * s->k + i].position;
            if (allow != NULL && (allow[p / 64] >> p % 64 & 1) == 0) return false;
        }
    }
    return true;
}

static void measure(const setup *s, way *ways, const td_vectors *users, const uint64_t *allow,
                    uint64_t allowed)
{
    for (uint32_t turn = 0; turn < s->rounds * WAYS; turn++) {
        run_queries(s, &ways[turn % WAYS], users, allow, turn < WAYS);
    }
    printf("%9llu", (unsigned long long)allowed);
    for (int w = 0; w < WAYS; w++) {
        double total = 0.0;
        for (uint64_t q = 0; q < users->rows; q++) total += ways[w].times[q];
        printf("  %s %8.1f us", ways[w].name, 1e6 * total / (double)users->rows);
        if (!is_right(s, &ways[w], users->rows, allow, allowed)) printf(" WRONG");
    }
    printf("  recall %.4f\n", recall_of(s, &ways[TREE], &ways[EXACTLY], users->rows));
    fflush(stdout);
}

static void make_way(way *w, const setup *s, const td_index *index, const char *name, float target)
{
    must(td_searcher_create(&w->searcher, index, &err), "searcher");
    w->name = name;
    w->effort = (td_search_effort){.target_recall = target};
    w->hits = room(s->shape.users * s->k * sizeof *w->hits);
    w->counts = room(s->shape.users * sizeof *w->counts);
    w->times = room(s->shape.users * sizeof *w->times);
}

static void read_arguments(setup *s, int count, char **arguments)
{
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (strcmp(name, "--items") == 0) s->shape.items = strtoull(value, NULL, 10);
        else if (strcmp(name, "--dim") == 0) s->shape.dim = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--queries") == 0) s->shape.users = strtoull(value, NULL, 10);
        else if (strcmp(name, "--k") == 0) s->k = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--rounds") == 0) s->rounds = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--target") == 0) s->target = strtof(value, NULL);
        else exit(2);
    }
}

int main(int count, char **arguments)
{
    const double shares[] = {1, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.003, 0.001};
    setup s = {.shape = {.items = 200000, .users = 200, .dim = 64, .spread = 0.15, .gap = 0.3, .seed = 1},
               .k = 10, .rounds = 3, .target = 0.95f};
    td_context_options one = {.threads = 1};
    td_context *context;
    td_index *tree, *exact;
    td_index_options options;
    way ways[WAYS];
    read_arguments(&s, count, arguments);
    must(td_context_create(&context, &one, &err), "context");
    two_tower shape = s.shape;
    shape.users += 500; /* the last ones calibrate */
    float *items = room(shape.items * shape.dim * sizeof *items);
    float *users = room(shape.users * shape.dim * sizeof *users);
    if (!two_tower_make(&shape, context, items, users)) exit(3);
    td_vectors rows = {.data = items, .rows = shape.items, .dim = shape.dim};
    td_vectors asked = {.data = users, .rows = s.shape.users, .dim = shape.dim};
    td_vectors taught = {.data = users + s.shape.users * shape.dim, .rows = 500, .dim = shape.dim};
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    must(td_index_build_with(&tree, context, &rows, NULL, &options, NULL, &err), "tree");
    must(td_index_calibrate(tree, &taught, NULL, &err), "calibrate");
    must(td_index_build(&exact, context, &rows, NULL, &err), "exact index");
    free(items);
    make_way(&ways[TREE], &s, tree, "tree", s.target);
    make_way(&ways[EXACTLY], &s, tree, "exactly", 1.0f);
    make_way(&ways[EXACT], &s, exact, "exact", 0.0f);
    uint64_t *allow = room((shape.items / 64 + 1) * sizeof *allow);
    printf("%llu items, %u dimensions, k %u, target %g; kernels %s, load %.1f\n",
           (unsigned long long)shape.items, shape.dim, s.k, (double)s.target, td_context_kernel(context),
           bench_load());
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t allowed = allow_share(allow, shape.items, shares[i]);
        measure(&s, ways, &asked, shares[i] < 1.0 ? allow : NULL, allowed);
    }
    return 0;
}
