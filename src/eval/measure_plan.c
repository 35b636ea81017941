/* measure_plan.c -- how much memory it takes to measure a model, and what it is measured beside.
 *
 * Serves: stage 6. In: sizes. Out: bytes. Every figure follows the allocations of
 * the files it names, of src/eval and src/index; tests/unit/train/plan_test.c holds them together. */
#include "eval/measure_plan.h"

#include "base/saturate.h"
#include "eval/evaluation.h"
#include "index/scan.h"
#include "kernel/kernel.h"
#include "kernel/topk.h"
#include "base/poison.h"

enum { FLOAT = sizeof(float), INDEX = sizeof(uint32_t), OFFSET = sizeof(uint64_t) };

/* What default options look at: the largest k, and how many there are. */
static uint32_t default_k(uint32_t *count)
{
    td_evaluate_options options;
    uint32_t most = 0;
    td_evaluate_options_init(&options);
    *count = options.k.count;
    for (uint32_t i = 0; i < options.k.count; i++) {
        if (options.k.values[i] > most) most = options.k.values[i];
    }
    return most;
}

/* evaluation.c, measure.c: what every evaluation has, of a part of `rows`. */
static uint64_t shared_bytes(const td__measure_plan *in, uint64_t rows)
{
    const td_data_size *size = &in->size;
    uint32_t k_count, k = default_k(&k_count);
    uint64_t queries = size->queries, candidates = size->candidates;
    uint64_t lists = td__sat_mul(rows, 5 * INDEX) + (queries + 1) * 4 * OFFSET;
    uint64_t seen = td__sat_min(size->rows, TD__CHUNK_QUERIES * in->query_rows_max) * INDEX;
    uint64_t chunk = TD__CHUNK_QUERIES * (k * sizeof(td_hit) + 3 * OFFSET);
    uint64_t counts = candidates * (2 * OFFSET + (uint64_t)k_count * INDEX);
    uint64_t ideal = td__sat_min(rows, candidates) * sizeof(double);
    return td__sat_add(lists, seen + chunk + counts + ideal + (uint64_t)k * in->threads);
}

/* searcher.c, filter.c: a block of queries for each thread. */
static uint64_t searcher_bytes(const td__measure_plan *in)
{
    uint32_t k_count, k = default_k(&k_count);
    uint64_t dim = in->dim, keys = td__topk_capacity(k, in->size.candidates);
    uint64_t worker = sizeof(td__scanner) + TD__QUERY_BLOCK * (keys * OFFSET + 128 + 2 * dim);
    return in->threads * (worker + dim * TD__PANEL * FLOAT);
}

uint64_t td__measure_plan_model(const td__measure_plan *in, uint64_t rows)
{
    uint64_t candidates = in->size.candidates, dim = in->dim;
    if (rows == 0) return 0;
    uint64_t vectors = td__sat_mul(candidates + TD__PANEL, 2 * dim * FLOAT);
    uint64_t filter = td__sat_mul(candidates + TD__PANEL, dim + 2 * TD__PANEL);
    uint64_t queries = TD__CHUNK_QUERIES * (4 * (uint64_t)in->heads * dim * FLOAT + OFFSET);
    uint64_t sum = td__sat_add(shared_bytes(in, rows), td__sat_add(vectors, filter));
    return td__sat_add(sum, queries + searcher_bytes(in));
}

/* --- baselines: none but its own is there at a time */

/* baseline_knn.c */
static uint64_t knn_bytes(const td__measure_plan *in, const td_baseline_options *options)
{
    uint64_t candidates = in->size.candidates;
    uint64_t keep = td__sat_min(options->neighbors, candidates);
    uint64_t hits = td__sat_mul(td__sat_mul(candidates, keep), sizeof(td_hit) + 2 * INDEX);
    uint64_t worker = candidates * 2 * INDEX + td__topk_capacity(keep, candidates) * OFFSET;
    return td__sat_add(hits, in->threads * worker + (2 * candidates + 2) * OFFSET);
}

/* baseline_ease.c, inverse.c */
static uint64_t ease_bytes(const td__measure_plan *in)
{
    uint64_t candidates = in->size.candidates, pivot = 4 * TD__PANEL;
    uint64_t matrix = td__sat_mul(td__sat_mul(candidates, candidates), FLOAT);
    uint64_t work = td__sat_mul(candidates + TD__PANEL, (3 * pivot + 2) * FLOAT);
    return td__sat_add(matrix, td__sat_add(work, 2 * pivot * (pivot + TD__PANEL) * FLOAT));
}

/* cooccurrence.c, and evaluate_scorer.c with the scores of some queries a thread. */
static uint64_t scorer_bytes(const td__measure_plan *in)
{
    uint64_t candidates = in->size.candidates;
    uint64_t pairs = td__sat_add(in->size.rows * INDEX, (candidates + 1) * OFFSET);
    uint64_t scores = in->threads * (candidates * (FLOAT + OFFSET) + 65536 * FLOAT);
    return td__sat_add(pairs, scores);
}

uint64_t td__measure_plan_baselines(const td__measure_plan *in, uint64_t rows)
{
    td_baseline_options options;
    uint64_t most = 0, candidates = in->size.candidates;
    if (rows == 0) return 0;
    td_baseline_options_init(&options);
    if (in->baselines & 1u << TD_BASELINE_POPULARITY) most = candidates * (3 * OFFSET + FLOAT);
    if (in->baselines & 1u << TD_BASELINE_ITEM_KNN) most = td__sat_max(most, knn_bytes(in, &options));
    if (in->baselines & 1u << TD_BASELINE_EASE) most = td__sat_max(most, ease_bytes(in));
    if (most == 0) return 0;
    return td__sat_add(most, td__sat_add(scorer_bytes(in), shared_bytes(in, rows)));
}
