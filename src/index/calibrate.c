/* calibrate.c -- learning what a target recall takes.
 *
 * Serves: stage 7. In: a tree, vectors of real queries. Out: for some k and targets the cheapest number
 * of leaves and candidates that reached the target on those queries, with one standard error to spare.
 *
 * One walk through all leaves per query tells everything: at some numbers of leaves it is noted which
 * rank each of the true best has among the codes. With R candidates those with a rank below R are found
 * (what the last two stages of a search lose is too little to show). So the recall of every pair
 * (leaves, candidates) follows from one log, and no search is run for it. */
#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/pool.h"
#include "index/tree.h"

#include "base/poison.h"

enum {
    QUERIES_MAX = 2000, /* more tell nothing new; they are taken evenly */
    STEPS = 32,         /* numbers of leaves tried: from 1 to all, about evenly in their logarithm */
    SIZES = 36,         /* numbers of candidates tried */
    CANDIDATES_MAX = 8192,
    K_MAX = 100,
    SLICE = 64 /* queries between two reports */
};

static const uint32_t ks[] = {1, 10, K_MAX};
static const float targets[] = {0.5f,  0.7f,  0.8f,  0.85f, 0.9f,   0.925f, 0.95f,
                                0.97f, 0.98f, 0.99f, 0.995f, 0.999f};

enum { KS = sizeof ks / sizeof ks[0], TARGETS = sizeof targets / sizeof targets[0] };

/* How many of the first k true ones are found, k by k. */
typedef struct counts {
    uint8_t found[STEPS][KS][SIZES];
} counts;

typedef struct calibration {
    td_index *index;
    td__scan scan;
    td_search search;
    uint64_t queries, spacing; /* query q is row q * spacing */
    uint32_t kinds;            /* of ks that the index has items for */
    uint64_t leaves[STEPS];
    uint64_t sizes[SIZES];
    td_hit *truth;      /* [queries, K_MAX] */
    uint32_t *truths;   /* number of them, [queries] */
    td__tree_scratch *scratch;
    td_hit *ranked;     /* [threads, CANDIDATES_MAX] */
    counts *log;        /* [queries] */
    uint64_t first;     /* query of this slice */
    uint64_t most;      /* candidates kept */
} calibration;

/* --- the log */

static void choose_grid(calibration *work)
{
    double all = (double)work->index->tree->centers.count;
    for (int i = 0; i < STEPS; i++) {
        double leaves = ceil(exp(log(all) * i / (STEPS - 1)) - 1e-9);
        work->leaves[i] = leaves > all ? (uint64_t)all : (uint64_t)leaves;
    }
    for (int i = 0; i < SIZES; i++) {
        double candidates = ceil(pow(CANDIDATES_MAX, (i + 8.0) / (SIZES + 7)) - 1e-9);
        work->sizes[i] = candidates > (double)work->most ? work->most : (uint64_t)candidates;
    }
}

/* The true ones of a query, to be found by position: open addressing, at most half full. */
enum { SLOTS = 256 };

typedef struct truth_table {
    uint32_t positions[SLOTS]; /* TD_NONE: empty */
    uint32_t ranks[SLOTS];
} truth_table;

static uint32_t slot_of(const truth_table *table, uint32_t position)
{
    uint32_t slot = (position * UINT32_C(2654435769)) >> 24;
    while (table->positions[slot] != TD_NONE && table->positions[slot] != position) {
        slot = (slot + 1) % SLOTS;
    }
    return slot;
}

static void fill_table(truth_table *table, const calibration *work, uint64_t query)
{
    const td_hit *truth = work->truth + query * work->search.k;
    memset(table->positions, 0xFF, sizeof table->positions);
    for (uint32_t j = 0; j < work->truths[query]; j++) {
        uint32_t slot = slot_of(table, truth[j].position);
        table->positions[slot] = truth[j].position;
        table->ranks[slot] = j;
    }
}

/* Rank of each true one among the candidates so far, if better than what another head had. */
static void note_ranks(const calibration *work, const truth_table *table, uint32_t worker,
                       uint32_t *ranks)
{
    const td__tree *tree = work->index->tree;
    td__tree_scratch *scratch = &work->scratch[worker];
    td_hit *ranked = work->ranked + (uint64_t)worker * CANDIDATES_MAX;
    td__topk copy = scratch->candidates;
    memcpy(scratch->few_keys, copy.keys, (size_t)copy.count * sizeof *copy.keys);
    copy.keys = scratch->few_keys;
    uint64_t count = td__topk_finish(&copy, ranked);
    for (uint64_t r = 0; r < count; r++) {
        uint32_t slot = slot_of(table, tree->positions[ranked[r].position]);
        if (table->positions[slot] == TD_NONE) continue;
        uint32_t j = table->ranks[slot];
        if (r < ranks[j]) ranks[j] = (uint32_t)r;
    }
}

static void count_found(const calibration *work, const uint32_t *ranks, uint64_t query, uint32_t step)
{
    for (uint32_t kind = 0; kind < work->kinds; kind++) {
        for (uint32_t s = 0; s < SIZES; s++) {
            uint32_t found = 0;
            for (uint32_t j = 0; j < ks[kind]; j++) found += ranks[j] < work->sizes[s];
            work->log[query].found[step][kind][s] = (uint8_t)found;
        }
    }
}

static void walk(void *state, uint64_t block, uint32_t worker)
{
    const calibration *work = state;
    const td_index *index = work->index;
    uint64_t query = work->first + block;
    td__tree_scratch *scratch = &work->scratch[worker];
    uint32_t ranks[STEPS][K_MAX], heads = work->scan.heads;
    truth_table table;
    fill_table(&table, work, query);
    memset(ranks, 0xFF, sizeof ranks);
    for (uint32_t h = 0; h < heads; h++) {
        const float *vector = work->scan.queries + (query * work->spacing * heads + h) * index->dim;
        uint64_t done = 0;
        td__topk_init(&scratch->candidates, scratch->keys, td__topk_capacity(work->most, UINT64_MAX),
                      work->most);
        td__tree_route(scratch, index, vector, index->tree->centers.count);
        for (uint32_t step = 0; step < STEPS; step++) {
            td__tree_scan(scratch, &work->scan, query, done, work->leaves[step]);
            done = work->leaves[step];
            note_ranks(work, &table, worker, ranks[step]);
        }
    }
    for (uint32_t step = 0; step < STEPS; step++) count_found(work, ranks[step], query, step);
}

/* --- the table */

/* Nanoseconds that a search takes, about: constants measured with AVX2, for comparing only. */
static double cost_of(const td_index *index, double leaves, double candidates)
{
    const td__tree *tree = index->tree;
    double leaf_slots = 16.0 + (double)index->count / tree->centers.count;
    double leaf = 20.0 + leaf_slots * 0.016 * tree->codec.blocks_padded;
    return leaves * leaf + candidates * (15.0 + 0.1 * index->dim);
}

/* Mean recall less one standard error. */
static double safe_recall(const calibration *work, uint32_t step, uint32_t kind, uint32_t size)
{
    double sum = 0.0, squares = 0.0, count = (double)work->queries;
    for (uint64_t q = 0; q < work->queries; q++) {
        double recall = work->log[q].found[step][kind][size] / (double)ks[kind];
        sum += recall;
        squares += recall * recall;
    }
    double mean = sum / count, variance = squares / count - mean * mean;
    return mean - sqrt(variance > 0.0 ? variance / count : 0.0);
}

/* The least number of leaves that reaches the target, between the steps on a straight line; 0: none. */
static double leaves_for(const calibration *work, const double *recalls, float target)
{
    for (uint32_t step = 0; step < STEPS; step++) {
        if (recalls[step] < (double)target) continue;
        if (step == 0) return (double)work->leaves[0];
        double low = recalls[step - 1], high = recalls[step];
        double from = (double)work->leaves[step - 1], to = (double)work->leaves[step];
        return from + (to - from) * ((double)target - low) / (high - low);
    }
    return 0.0;
}

/* Best of all sizes for each target, into rows [TARGETS]. */
static void fill_rows(const calibration *work, uint32_t kind, td__calibrated *rows)
{
    double least[TARGETS];
    for (uint32_t t = 0; t < TARGETS; t++) {
        rows[t] = (td__calibrated){.k = (float)ks[kind], .target = targets[t]};
        least[t] = HUGE_VAL;
    }
    for (uint32_t s = 0; s < SIZES; s++) {
        double recalls[STEPS];
        if (work->sizes[s] < ks[kind]) continue;
        for (uint32_t step = 0; step < STEPS; step++) recalls[step] = safe_recall(work, step, kind, s);
        for (uint32_t t = 0; t < TARGETS; t++) {
            double leaves = leaves_for(work, recalls, targets[t]);
            double cost = cost_of(work->index, leaves, (double)work->sizes[s]);
            if (leaves == 0.0 || cost >= least[t]) continue;
            least[t] = cost;
            rows[t].leaves = (float)leaves;
            rows[t].candidates = (float)work->sizes[s];
        }
    }
}

static td_status keep_table(const calibration *work, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    td__tree *tree = work->index->tree;
    td__calibrated *rows;
    TD_TRY(td__alloc(&rows, context, (uint64_t)work->kinds * TARGETS, sizeof *rows, err));
    for (uint32_t kind = 0; kind < work->kinds; kind++) fill_rows(work, kind, rows + kind * TARGETS);
    td__free(context, tree->calibrated);
    tree->calibrated = rows;
    tree->calibrated_count = work->kinds * TARGETS;
    tree->calibration_queries = (uint32_t)work->queries;
done:
    return status;
}

/* --- one calibration */

static td_status find_truth(calibration *work, const td_vectors *queries, td_error *err)
{
    td_status status = TD_OK;
    td_searcher *searcher = NULL;
    uint64_t width = (uint64_t)td__heads(queries) * queries->dim;
    TD_TRY(td_searcher_create(&searcher, work->index, err));
    for (uint64_t q = 0; q < work->queries; q++) {
        td_vectors one = *queries;
        one.data += q * work->spacing * width;
        one.rows = work->spacing == 1 ? work->queries : 1;
        TD_TRY(td_searcher_search(searcher, &one, &work->search, work->truth + q * work->search.k,
                                  work->truths + q, err));
        if (work->spacing == 1) break;
    }
done:
    td_searcher_free(searcher);
    return status;
}

static td_status walk_all(calibration *work, const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    double start = td__seconds();
    for (work->first = 0; work->first < work->queries; work->first += SLICE) {
        uint64_t left = work->queries - work->first;
        td_progress progress = {.stage = "calibrate", .unit = "queries", .done = work->first,
                                .total = work->queries, .seconds = td__seconds() - start};
        TD_FAIL_IF(hook != NULL && !hook->report(hook->user, &progress), err, ERR_CANCELLED,
                   "stopped after %llu of %llu queries", (unsigned long long)work->first,
                   (unsigned long long)work->queries);
        td__parallel_for(work->index->context, left < SLICE ? left : SLICE, walk, work);
    }
done:
    return status;
}

static td_status prepare(calibration *work, const td_vectors *queries, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td_context *context = index->context;
    void *scratch = NULL;
    work->spacing = td__block_count(queries->rows, QUERIES_MAX);
    work->queries = queries->rows / work->spacing;
    work->most = index->count < CANDIDATES_MAX ? index->count : CANDIDATES_MAX;
    while (work->kinds < KS && ks[work->kinds] <= index->count / 16) work->kinds++;
    work->search = (td_search){.k = K_MAX, .effort = {.target_recall = 1.0f}};
    work->scan = (td__scan){.index = index, .kernels = context->kernels, .queries = queries->data,
                            .heads = td__heads(queries), .search = &work->search};
    choose_grid(work);
    TD_TRY(td__alloc(&work->truth, context, work->queries * K_MAX, sizeof *work->truth, err));
    TD_TRY(td__alloc(&work->truths, context, work->queries, sizeof *work->truths, err));
    TD_TRY(td__alloc(&work->log, context, work->queries, sizeof *work->log, err));
    TD_TRY(td__alloc(&work->ranked, context, (uint64_t)td_context_threads(context) * CANDIDATES_MAX,
                     sizeof *work->ranked, err));
    status = td__tree_scratch_create(&scratch, index, err);
    work->scratch = scratch;
    TD_TRY(status);
    uint64_t room = td__topk_capacity(work->most, UINT64_MAX);
    TD_TRY(td__tree_scratch_grow(work->scratch, index, work->most, room, K_MAX, err));
done:
    return status;
}

td_status td__tree_calibrate(td_index *index, const td_vectors *queries, const td_progress_hook *hook,
                             td_error *err)
{
    td_status status = TD_OK;
    calibration work = {.index = index};
    TD_TRY(prepare(&work, queries, err));
    TD_TRY(find_truth(&work, queries, err));
    TD_TRY(walk_all(&work, hook, err));
    if (work.kinds > 0) TD_TRY(keep_table(&work, err)); /* with fewer items all searches are exact */
done:
    td__free(index->context, work.truth);
    td__free(index->context, work.truths);
    td__free(index->context, work.log);
    td__free(index->context, work.ranked);
    if (work.scratch != NULL) td__tree_scratch_free(work.scratch, index);
    return status;
}
