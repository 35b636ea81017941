/* recall.c -- how much of the true best do searches find, while they are served?
 *
 * Serves: stage 7. In: some searches and what they found. Out: the mean recall and how sure it is.
 *
 * A query is searched a second time if a random number of its own says so, whatever its results: the
 * sample is fair, and the same for any grouping of queries into calls. */
#include <math.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "index/scan.h"

#include "base/poison.h"

/* One query that was searched a second time. */
typedef struct sample {
    uint32_t found;
    uint32_t best; /* true best that there are */
} sample;

struct td_recall_sampler {
    const td_index *index;
    td_context *context;
    td_recall_options options;
    td_searcher *searcher;
    sample *latest; /* [window], used as a ring */
    uint64_t queries, sampled;
    td_hit *truth;       /* [capacity] */
    uint32_t *positions; /* [2, capacity] */
    uint64_t capacity;   /* k so far */
};

static const td_option recall_rows[] = {
    TD__OPTION_F32(td_recall_options, share, "share", "0.001", 0, 1, "SHARE",
                   "share of the queries that are searched a second time, exactly"),
    TD__OPTION_U32(td_recall_options, window, "window", "10000", 1, 100000000, "N",
                   "estimate from the latest N queries that were"),
    TD__OPTION_U64(td_recall_options, seed, "seed", "1", 0, TD__U64_MAX, "SEED",
                   "which queries these are is a function of it"),
};
static const td_option_table recall_table =
    TD__OPTION_TABLE("recall", td_recall_options, recall_rows);

const td_option_table *td_recall_option_table(void)
{
    return &recall_table;
}

void td_recall_options_init(td_recall_options *options)
{
    td_options_init(&recall_table, options);
}

td_status td_recall_sampler_create(td_recall_sampler **out, const td_index *index,
                                   const td_recall_options *options, td_error *err)
{
    td_status status = TD_OK;
    td_recall_sampler *sampler = NULL;
    td_recall_options defaults;
    td_recall_options_init(&defaults);
    if (options == NULL) options = &defaults;
    TD_TRY(td_options_check(&recall_table, options, err));
    TD_TRY(td__alloc_zero(&sampler, index->context, 1, sizeof *sampler, err));
    sampler->index = index;
    sampler->context = index->context;
    sampler->options = *options;
    TD_TRY(td__alloc(&sampler->latest, index->context, options->window, sizeof *sampler->latest,
                     err));
    TD_TRY(td_searcher_create(&sampler->searcher, index, err));
    *out = sampler;
    return TD_OK;
done:
    td_recall_sampler_free(sampler);
    *out = NULL;
    return status;
}

void td_recall_sampler_free(td_recall_sampler *sampler)
{
    if (sampler == NULL) return;
    td_searcher_free(sampler->searcher);
    td__free(sampler->context, sampler->latest);
    td__free(sampler->context, sampler->truth);
    td__free(sampler->context, sampler->positions);
    td__free(sampler->context, sampler);
}

/* --- one query */

static td_status grow(td_recall_sampler *sampler, uint64_t k, td_error *err)
{
    td_status status = TD_OK;
    if (k <= sampler->capacity) return TD_OK;
    TD_TRY(td__grow(&sampler->truth, sampler->context, k, sizeof *sampler->truth, err));
    TD_TRY(td__grow(&sampler->positions, sampler->context, 2 * k, sizeof *sampler->positions, err));
    sampler->capacity = k;
done:
    return status;
}

/* How many positions are in both lists. */
static uint32_t common(td_recall_sampler *sampler, const td_hit *hits, uint32_t count, uint32_t best)
{
    uint32_t *found = sampler->positions, *right = found + sampler->capacity, both = 0;
    for (uint32_t i = 0; i < count; i++) found[i] = hits[i].position;
    for (uint32_t i = 0; i < best; i++) right[i] = sampler->truth[i].position;
    td__sort_positions(found, count);
    td__sort_positions(right, best);
    for (uint32_t i = 0, j = 0; i < count && j < best;) {
        both += found[i] == right[j];
        if (found[i] <= right[j]) i++;
        else j++;
    }
    return both;
}

/* The part of a request that is about one query, to be answered exactly. */
static td_search request_of(const td_search *search, uint64_t query, uint64_t offsets[2])
{
    td_search one = *search;
    if (search->k_per_query != NULL) one.k_per_query = search->k_per_query + query;
    if (search->exclude_offsets != NULL) {
        offsets[0] = 0;
        offsets[1] = search->exclude_offsets[query + 1] - search->exclude_offsets[query];
        one.exclude_offsets = offsets;
        one.exclude = search->exclude + search->exclude_offsets[query];
    }
    one.effort = (td_search_effort){.target_recall = 1.0f};
    return one;
}

static td_status search_again(td_recall_sampler *sampler, const td_vectors *queries, uint64_t query,
                              const td_search *search, const td_hit *hits, uint32_t count,
                              td_error *err)
{
    td_status status = TD_OK;
    uint64_t offsets[2];
    uint32_t best;
    td_vectors one = *queries;
    td_search request = request_of(search, query, offsets);
    one.data += query * td__heads(queries) * queries->dim;
    one.rows = 1;
    TD_TRY(grow(sampler, search->k, err));
    TD_TRY(td_searcher_search(sampler->searcher, &one, &request, sampler->truth, &best, err));
    sampler->latest[sampler->sampled++ % sampler->options.window] =
        (sample){.found = common(sampler, hits, count, best), .best = best};
done:
    return status;
}

/* All of a share of 1: no double below 1 is as great. */
static bool wanted(const td_recall_sampler *sampler, uint64_t query)
{
    td__random draws = td__random_stream(sampler->options.seed, TD__STREAM_RECALL, 0);
    return td__random_unit(draws, query) < (double)sampler->options.share;
}

td_status td_recall_sampler_add(td_recall_sampler *sampler, const td_vectors *queries,
                                const td_search *search, const td_hit *hits,
                                const uint32_t *counts, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__check_queries(sampler->index, queries, err));
    for (uint64_t q = 0; q < queries->rows; q++) {
        if (wanted(sampler, sampler->queries)) {
            TD_TRY(search_again(sampler, queries, q, search, hits + q * search->k, counts[q], err));
        }
        sampler->queries++;
    }
done:
    return status;
}

/* --- the estimate */

/* Sums over the window. A query without anything to find counts as one that found all. */
typedef struct sums {
    double count, recalls, squares, trials;
} sums;

static sums sum_up(const td_recall_sampler *sampler)
{
    uint64_t window = sampler->options.window;
    sums out = {.count = (double)(sampler->sampled < window ? sampler->sampled : window)};
    for (uint64_t i = 0; i < (uint64_t)out.count; i++) {
        const sample *one = &sampler->latest[i];
        double recall = one->best > 0 ? one->found / (double)one->best : 1.0;
        out.recalls += recall;
        out.squares += recall * recall;
        out.trials += one->best > 0 ? one->best : 1.0;
    }
    return out;
}

/* Independent trials with the same variance of their mean: p (1 - p) / n = variance / count. */
static double independent_trials(const sums *sum, double mean)
{
    double variance = sum->squares / sum->count - mean * mean;
    double trials = sum->count * mean * (1.0 - mean);
    trials = variance * sum->trials > trials ? trials / variance : sum->trials;
    return trials > sum->count ? trials : sum->count;
}

void td_recall_sampler_estimate(const td_recall_sampler *sampler, td_recall_estimate *estimate)
{
    sums sum = sum_up(sampler);
    *estimate = (td_recall_estimate){.queries = sampler->queries, .sampled = sampler->sampled,
                                     .window = (uint64_t)sum.count, .high = 1.0};
    if (sum.count == 0.0) return;
    const double z = 1.959964; /* 95 % of a normal distribution are within as many deviations */
    double mean = sum.recalls / sum.count, trials = independent_trials(&sum, mean);
    double middle = (mean + z * z / (2.0 * trials)) / (1.0 + z * z / trials);
    double spread = mean * (1.0 - mean) / trials + z * z / (4.0 * trials * trials);
    double half = z * sqrt(spread > 0.0 ? spread : 0.0) / (1.0 + z * z / trials);
    estimate->recall = mean;
    estimate->low = middle - half > 0.0 ? middle - half : 0.0;
    estimate->high = middle + half < 1.0 ? middle + half : 1.0;
}
