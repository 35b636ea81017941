/* calibrate.c -- learning what a target recall takes.
 *
 * Serves: stage 7. In: a tree, vectors of real queries. Out: for some k and targets the cheapest reach
 * and number of candidates that kept the target on those queries, with two standard errors to spare: one is
 * lost because the cheapest of many pairs is taken, which has been lucky.
 *
 * One walk through all leaves per query tells everything. Wherever a search may stop it is noted how
 * many scores are above those of the true best: with R candidates the true ones with fewer than R above
 * are found (what the last two stages of a search lose is too little to show), and of those found the
 * first k are the hits. The counts in bins that
 * the candidates keep (candidates.h) tell that for every R at once, and also the threshold that a search
 * for R candidates has there, and so whether it stops. So the recall of every pair (reach, candidates)
 * follows from one walk, and no search is run for it. */
#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/pool.h"
#include "index/calibrate_truth.h"
#include "index/tree.h"

#include "base/poison.h"

enum {
    QUERIES_MAX = 2000, /* more tell nothing new; they are taken evenly */
    STEPS_MAX = 128,    /* places where a search of 2^20 leaves asks whether it may stop */
    REACHES = 32,
    SIZES = 36, /* numbers of candidates tried */
    CANDIDATES_MAX = 8192,
    SLICE = 64 /* queries between two reports */
};

static const float targets[] = {0.5f,  0.7f,  0.8f,  0.85f, 0.9f,   0.925f, 0.95f,
                                0.97f, 0.98f, 0.99f, 0.995f, 0.999f};

/* Of rounded items the most that all leaves find costs all leaves; so much less costs a few of them. */
#define NEARLY 0.001

enum { KS = TD__TRUTH_KS, TARGETS = sizeof targets / sizeof targets[0], ROWS = TARGETS + 1 };

/* What a query would find and take, for every reach and number of candidates. */
typedef struct outcome {
    uint8_t found[REACHES][KS][SIZES]; /* of the best k */
    float leaves[REACHES][SIZES];
} outcome;

/* One of the index's own best for a query. */
typedef struct wanted {
    uint32_t rank; /* of its leaf */
    int64_t score; /* of its code */
} wanted;

/* What one thread needs besides scratch for searching. */
typedef struct walker {
    uint32_t *ranks; /* [leaves]: the rank of each */
    wanted wanted[TD__TRUTH_MAX];
    uint32_t count; /* of these */
    uint32_t above[STEPS_MAX][TD__TRUTH_MAX];
    float distances[STEPS_MAX][SIZES]; /* of the next leaf */
    td__ranks seen[REACHES][SIZES];    /* those that a head has found */
} walker;

typedef struct calibration {
    td_index *index;
    td__scan scan;
    td_search search;
    td_vectors sample; /* of the queries, evenly */
    float *rows;       /* its copy, if it is not all */
    td__truths truths;
    uint32_t kinds; /* of k that the index has items for */
    uint32_t steps;
    uint64_t leaves[STEPS_MAX];
    uint64_t sizes[SIZES];
    uint32_t *slots;    /* [N]: of each position */
    td__tree_scratch *scratch;
    walker *walkers;    /* [threads] */
    uint32_t walkers_count;
    outcome *log;       /* [queries] */
    uint64_t first;     /* query of this slice */
    uint64_t most;      /* candidates kept */
} calibration;

static float reach_at(uint32_t i)
{
    return i == REACHES - 1 ? 1e9f : -1.0f + 0.2f * (float)i;
}

/* --- the log */

static void choose_grid(calibration *work)
{
    uint64_t all = work->index->tree->centers.count;
    for (uint64_t leaves = 0; leaves < all; work->steps++) {
        leaves = td__tree_next(leaves);
        if (leaves > all) leaves = all;
        work->leaves[work->steps] = leaves;
    }
    for (int i = 0; i < SIZES; i++) {
        double candidates = ceil(pow(CANDIDATES_MAX, (i + 8.0) / (SIZES + 7)) - 1e-9);
        work->sizes[i] = candidates > (double)work->most ? work->most : (uint64_t)candidates;
    }
}

static uint32_t leaf_of(const td__tree *tree, uint32_t slot)
{
    uint32_t group = slot / TD__GROUP, low = 0, high = tree->centers.count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (tree->first[middle] <= group) low = middle;
        else high = middle - 1;
    }
    return low;
}

static int64_t score_of(const calibration *work, const td__tree_scratch *scratch, uint32_t rank,
                        uint32_t slot)
{
    const td__tree *tree = work->index->tree;
    uint32_t blocks = tree->codec.blocks_padded, mask;
    uint16_t sums[TD__GROUP];
    const uint8_t *codes = tree->codes + (uint64_t)(slot / TD__GROUP) * blocks * 16;
    work->scan.kernels->quant->sum_codes(codes, 1, scratch->tables, blocks, 0, sums, &mask);
    return td__tree_base(scratch, rank) + sums[slot % TD__GROUP];
}

static void find_wanted(const calibration *work, walker *one, const td__tree_scratch *scratch,
                        uint64_t query)
{
    const td__tree *tree = work->index->tree;
    const td_hit *hits = work->truths.hits + query * work->truths.width;
    for (uint32_t r = 0; r < tree->centers.count; r++) one->ranks[scratch->leaves[r].position] = r;
    one->count = work->truths.counts[query];
    for (uint32_t j = 0; j < one->count; j++) {
        uint32_t slot = work->slots[hits[j].position], rank = one->ranks[leaf_of(tree, slot)];
        one->wanted[j] = (wanted){rank, score_of(work, scratch, rank, slot)};
    }
}

/* After some leaves: how many scores are above each wanted one's, and how far the next leaf is from the
 * threshold of each number of candidates. */
static void note_step(const calibration *work, walker *one, const td__tree_scratch *scratch,
                      uint32_t step)
{
    const td__candidates *all = &scratch->candidates;
    uint32_t above[TD__BINS + 1] = {0}, edge = 0;
    for (uint32_t b = 0; b < TD__BINS; b++) above[b + 1] = above[b] + all->bins[b];
    for (uint32_t j = 0; j < one->count; j++) {
        uint32_t bin = td__candidate_bin(all, one->wanted[j].score);
        bool scanned = one->wanted[j].rank < work->leaves[step];
        bool kept = scanned && one->wanted[j].score >= all->least;
        one->above[step][j] = kept ? above[bin] + all->bins[bin] / 2 : UINT32_MAX;
    }
    for (uint32_t s = 0; s < SIZES; s++) {
        while (edge < TD__BINS - 1 && above[edge + 1] < work->sizes[s]) edge++;
        bool open = edge == TD__BINS - 1 || work->leaves[step] >= work->index->tree->centers.count;
        int64_t least = all->top - ((int64_t)(edge + 1) << all->shift) + 1;
        one->distances[step][s] =
            open ? -INFINITY : td__tree_distance(scratch, least, work->leaves[step]);
    }
}

/* Where a search stops. */
static uint32_t last_step(const calibration *work, const walker *one, float reach, uint32_t size)
{
    uint32_t step = 0;
    while (step + 1 < work->steps && !(one->distances[step][size] > reach)) step++;
    return step;
}

static void note_outcome(const calibration *work, walker *one, outcome *out, uint32_t r, uint32_t s)
{
    uint32_t step = last_step(work, one, reach_at(r), s);
    out->leaves[r][s] += (float)work->leaves[step];
    for (uint32_t j = 0; j < one->count; j++) {
        one->seen[r][s].bits[j / 64] |= (uint64_t)(one->above[step][j] < work->sizes[s]) << j % 64;
    }
}

static void walk_head(const calibration *work, walker *one, td__tree_scratch *scratch, uint64_t query,
                      uint32_t head)
{
    const td_index *index = work->index;
    uint64_t row = query * work->scan.heads + head, done = 0;
    td__tree_near(scratch, index, work->scan.queries + row * index->dim, 1);
    td__tree_route(scratch, index, 0, index->tree->centers.count);
    td__tree_scan_start(scratch, work->most);
    find_wanted(work, one, scratch, query);
    for (uint32_t step = 0; step < work->steps; step++) {
        td__tree_scan(scratch, &work->scan, query, done, work->leaves[step]);
        done = work->leaves[step];
        note_step(work, one, scratch, step);
    }
}

static void walk(void *state, uint64_t block, uint32_t worker)
{
    const calibration *work = state;
    uint64_t query = work->first + block;
    walker *one = &work->walkers[worker];
    outcome *out = &work->log[query];
    memset(one->seen, 0, sizeof one->seen);
    memset(out, 0, sizeof *out);
    for (uint32_t h = 0; h < work->scan.heads; h++) {
        walk_head(work, one, &work->scratch[worker], query, h);
        for (uint32_t i = 0; i < REACHES * SIZES; i++) {
            note_outcome(work, one, out, i / SIZES, i % SIZES);
        }
    }
    for (uint32_t i = 0; i < REACHES * SIZES; i++) {
        for (uint32_t kind = 0; kind < work->kinds; kind++) {
            out->found[i / SIZES][kind][i % SIZES] =
                td__truths_count(&work->truths, query, kind, &one->seen[i / SIZES][i % SIZES]);
        }
    }
}

/* --- the table */

/* Standard errors that a recall has to spare. A target that is not reached with them is taken without, before a
 * search for it becomes an exact one. */
#define SPARE 2.0

/* Mean recall less so many standard errors. */
static double safe_recall(const calibration *work, uint32_t reach, uint32_t kind, uint32_t size,
                          double spare)
{
    double sum = 0.0, squares = 0.0, count = (double)work->sample.rows;
    for (uint64_t q = 0; q < work->sample.rows; q++) {
        double recall = work->log[q].found[reach][kind][size] / (double)td__truth_ks[kind];
        sum += recall;
        squares += recall * recall;
    }
    double mean = sum / count, variance = squares / count - mean * mean;
    return mean - spare * sqrt(variance > 0.0 ? variance / count : 0.0);
}

static double mean_leaves(const calibration *work, uint32_t reach, uint32_t size)
{
    double sum = 0.0;
    for (uint64_t q = 0; q < work->sample.rows; q++) sum += (double)work->log[q].leaves[reach][size];
    return sum / (double)work->sample.rows;
}

/* One number of candidates: what each reach finds and takes. */
typedef struct curve {
    double recalls[REACHES], leaves[REACHES];
} curve;

/* The least reach that keeps the target, between those tried on a straight line; leaves 0: none. */
static td__calibrated at_target(const curve *tried, float target, double most_leaves)
{
    for (uint32_t r = 0; r < REACHES; r++) {
        if (tried->recalls[r] < (double)target) continue;
        td__calibrated out = {.reach = reach_at(r), .leaves = (float)tried->leaves[r]};
        if (r > 0 && r < REACHES - 1) {
            double low = tried->recalls[r - 1], high = tried->recalls[r];
            float at = (float)(((double)target - low) / (high - low));
            out.reach = reach_at(r - 1) + at * (reach_at(r) - reach_at(r - 1));
            out.leaves = (float)(tried->leaves[r - 1] + (double)at * (tried->leaves[r] - tried->leaves[r - 1]));
        }
        if ((double)out.leaves > most_leaves) out.leaves = (float)most_leaves;
        return out;
    }
    return (td__calibrated){0};
}

/* The targets of a table, ascending. Of rounded items some may be out of reach: then the last is what comes
 * near to the most there is. */
static uint32_t choose_targets(const calibration *work, uint32_t kind, float *chosen)
{
    double most = 0.0;
    uint32_t count = 0;
    memcpy(chosen, targets, sizeof targets);
    if (work->index->rounded == NULL) return TARGETS;
    for (uint32_t s = 0; s < SIZES; s++) most = fmax(most, safe_recall(work, REACHES - 1, kind, s, SPARE));
    float last = fmaxf((float)(most - NEARLY), 0.01f);
    while (count < TARGETS && targets[count] < last) count++;
    if (count == TARGETS) return TARGETS;
    chosen[count] = last;
    return count + 1;
}

static curve try_reaches(const calibration *work, uint32_t kind, uint32_t size, double spare)
{
    curve tried;
    for (uint32_t r = 0; r < REACHES; r++) {
        tried.recalls[r] = safe_recall(work, r, kind, size, spare);
        tried.leaves[r] = mean_leaves(work, r, size) / work->scan.heads;
    }
    return tried;
}

/* Of one number of candidates, where that is the cheapest yet for a target from row `first` on. */
static void improve_rows(const calibration *work, uint32_t size, const curve *with, td__calibrated *rows,
                         uint32_t first, uint32_t count)
{
    for (uint32_t t = first; t < count; t++) {
        const td__calibrated *best = &rows[t];
        td__calibrated row = at_target(with, best->target, work->index->tree->centers.count);
        double cost = td__tree_cost(work->index, (double)row.leaves, (double)work->sizes[size]);
        double least = td__tree_cost(work->index, (double)best->leaves, (double)best->candidates);
        if (row.leaves <= 0.0f || (best->leaves > 0.0f && cost >= least)) continue;
        row.k = best->k;
        row.target = best->target;
        row.candidates = (float)work->sizes[size];
        rows[t] = row;
    }
}

/* Best of all sizes for each target, into rows [ROWS]; returns how many. */
static uint32_t fill_rows(const calibration *work, uint32_t kind, td__calibrated *rows)
{
    float chosen[TARGETS], k = (float)td__truth_ks[kind];
    uint32_t count = choose_targets(work, kind, chosen);
    for (uint32_t t = 0; t < count; t++) rows[t] = (td__calibrated){.k = k, .target = chosen[t]};
    for (double spare = SPARE; spare >= 0.0; spare -= SPARE) {
        uint32_t first = 0; /* of those not reached yet; all behind it are greater */
        while (first < count && rows[first].leaves > 0.0f) first++;
        for (uint32_t s = 0; s < SIZES && first < count; s++) {
            if (work->sizes[s] < td__truth_ks[kind]) continue;
            curve tried = try_reaches(work, kind, s, spare);
            improve_rows(work, s, &tried, rows, first, count);
        }
    }
    if (chosen[count - 1] == targets[TARGETS - 1]) return count;
    rows[count] = rows[count - 1]; /* for all that is out of reach */
    rows[count].target = 1.0f;
    return count + 1;
}

static td_status keep_table(const calibration *work, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    td__tree *tree = work->index->tree;
    td__calibrated *rows;
    uint32_t count = 0;
    TD_TRY(td__alloc(&rows, context, (uint64_t)work->kinds * ROWS, sizeof *rows, err));
    for (uint32_t kind = 0; kind < work->kinds; kind++) count += fill_rows(work, kind, rows + count);
    td__free(context, tree->calibrated);
    tree->calibrated = rows;
    tree->calibrated_count = count;
    tree->calibration_queries = (uint32_t)work->sample.rows;
done:
    return status;
}

/* --- one calibration */

static td_status walk_all(calibration *work, const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    double start = td__seconds();
    for (work->first = 0; work->first < work->sample.rows; work->first += SLICE) {
        uint64_t left = work->sample.rows - work->first;
        td_progress progress = {.stage = "calibrate", .unit = "queries", .done = work->first,
                                .total = work->sample.rows, .seconds = td__seconds() - start};
        TD_FAIL_IF(hook != NULL && !hook->report(hook->user, &progress), err, ERR_CANCELLED,
                   "stopped after %llu of %llu queries", (unsigned long long)work->first,
                   (unsigned long long)work->sample.rows);
        td__parallel_for(work->index->context, left < SLICE ? left : SLICE, walk, work);
    }
done:
    return status;
}

static void find_slots(calibration *work)
{
    const td__tree *tree = work->index->tree;
    for (uint64_t slot = 0; slot < (uint64_t)tree->groups * TD__GROUP; slot++) {
        if (tree->positions[slot] != TD_NONE) work->slots[tree->positions[slot]] = (uint32_t)slot;
    }
}

static td_status make_walkers(calibration *work, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    uint32_t threads = td_context_threads(context);
    void *scratch = NULL;
    TD_TRY(td__alloc_zero(&work->walkers, context, threads, sizeof *work->walkers, err));
    work->walkers_count = threads;
    for (uint32_t w = 0; w < threads; w++) {
        TD_TRY(td__alloc(&work->walkers[w].ranks, context, work->index->tree->centers.count,
                         sizeof(uint32_t), err));
    }
    status = td__tree_scratch_create(&scratch, work->index, err);
    work->scratch = scratch;
    TD_TRY(status);
    TD_TRY(td__tree_scratch_grow(work->scratch, work->index, work->most, 1, TD__TRUTH_MAX, err));
done:
    return status;
}

static td_status take_sample(calibration *work, const td_vectors *queries, td_error *err)
{
    td_status status = TD_OK;
    uint64_t spacing = td__block_count(queries->rows, QUERIES_MAX);
    uint64_t width = (uint64_t)td__heads(queries) * queries->dim;
    work->sample = *queries;
    if (spacing == 1) return TD_OK;
    work->sample.rows = queries->rows / spacing;
    TD_TRY(td__alloc(&work->rows, work->index->context, work->sample.rows * width, sizeof *work->rows,
                     err));
    for (uint64_t q = 0; q < work->sample.rows; q++) {
        memcpy(work->rows + q * width, queries->data + q * spacing * width, width * sizeof *work->rows);
    }
    work->sample.data = work->rows;
done:
    return status;
}

static td_status prepare(calibration *work, const td_vectors *queries, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td_context *context = index->context;
    TD_TRY(take_sample(work, queries, err));
    work->most = index->count < CANDIDATES_MAX ? index->count : CANDIDATES_MAX;
    while (work->kinds < KS && td__truth_ks[work->kinds] <= index->count / 16) work->kinds++;
    work->search = (td_search){.k = TD__TRUTH_MAX, .allow = index->live};
    work->scan = (td__scan){.index = index, .kernels = context->kernels,
                            .queries = work->sample.data, .heads = td__heads(queries),
                            .search = &work->search};
    choose_grid(work);
    TD_TRY(td__alloc(&work->log, context, work->sample.rows, sizeof *work->log, err));
    TD_TRY(td__alloc(&work->slots, context, index->count, sizeof *work->slots, err));
    TD_TRY(make_walkers(work, err));
    find_slots(work);
done:
    return status;
}

static void clear(calibration *work)
{
    td_context *context = work->index->context;
    td__truths_clear(&work->truths, context);
    td__free(context, work->rows);
    td__free(context, work->log);
    td__free(context, work->slots);
    for (uint32_t w = 0; w < work->walkers_count; w++) td__free(context, work->walkers[w].ranks);
    td__free(context, work->walkers);
    if (work->scratch != NULL) td__tree_scratch_free(work->scratch, work->index);
}

td_status td__tree_calibrate(td_index *index, const td_vectors *queries, const td_progress_hook *hook,
                             td_error *err)
{
    td_status status = TD_OK;
    calibration work = {.index = index};
    TD_TRY(prepare(&work, queries, err));
    if (work.kinds == 0) goto done; /* so few items: all searches are exact */
    TD_TRY(td__truths_make(&work.truths, index, &work.sample, err));
    TD_TRY(walk_all(&work, hook, err));
    TD_TRY(keep_table(&work, err));
done:
    clear(&work);
    return status;
}
