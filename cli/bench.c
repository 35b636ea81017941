/* bench.c -- an index and its exact twin, measured on the same queries.
 *
 * In: an index, queries. Out: recall by position, queries a second, latencies. Times are those of
 * the clock; of several rounds the best of each query counts, which is what the program takes when
 * nothing else runs. */
#include "bench.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"

td_status cli_bench_start(cli_trial *trial, uint32_t settings, td_error *err)
{
    td_status status = TD_OK;
    uint64_t queries = trial->queries.rows, hits = queries * trial->k_max;
    trial->total = queries * trial->rounds * settings;
    trial->start = td__seconds();
    TD_TRY(td__alloc(&trial->truth, trial->context, hits, sizeof *trial->truth, err));
    TD_TRY(td__alloc(&trial->hits, trial->context, hits, sizeof *trial->hits, err));
    TD_TRY(td__alloc(&trial->counts, trial->context, queries, sizeof *trial->counts, err));
    TD_TRY(td__alloc(&trial->positions, trial->context, 2 * (uint64_t)trial->k_max,
                     sizeof *trial->positions, err));
    TD_TRY(td__alloc(&trial->times, trial->context, queries, sizeof *trial->times, err));
done:
    return status;
}

void cli_bench_clear(cli_trial *trial)
{
    td__free(trial->context, trial->truth);
    td__free(trial->context, trial->hits);
    td__free(trial->context, trial->counts);
    td__free(trial->context, trial->positions);
    td__free(trial->context, trial->times);
}

/* --- times */

/* One more search; the bar moves 20 times a second. */
static td_status tick(cli_trial *trial, td_error *err)
{
    double now = td__seconds();
    trial->done++;
    if (now - trial->reported < 0.05 && trial->done < trial->total) return TD_OK;
    td_progress progress = {.stage = "measure", .unit = "queries", .done = trial->done,
                            .total = trial->total, .seconds = now - trial->start};
    trial->reported = now;
    if (trial->hook == NULL || trial->hook->report(trial->hook->user, &progress)) return TD_OK;
    return td__fail(err, TD_ERR_CANCELLED, "stopped after %llu of %llu searches",
                    (unsigned long long)trial->done, (unsigned long long)trial->total);
}

static void keep_best(double *best, double seconds, uint32_t round)
{
    if (round == 0 || seconds < *best) *best = seconds;
}

static td_status one_by_one(cli_trial *trial, td_searcher *searcher, const td_search *search,
                            uint32_t round, td_error *err)
{
    td_status status = TD_OK;
    td_vectors one = trial->queries;
    uint64_t width = (uint64_t)one.dim * (one.heads == 0 ? 1 : one.heads);
    one.rows = 1;
    for (uint64_t q = 0; q < trial->queries.rows; q++, one.data += width) {
        double start = td__seconds();
        TD_TRY(td_searcher_search(searcher, &one, search, trial->hits + q * search->k,
                                  &trial->counts[q], err));
        keep_best(&trial->times[q], td__seconds() - start, round);
        TD_TRY(tick(trial, err));
    }
done:
    return status;
}

static td_status take_times(cli_trial *trial, const td_index *index, const td_search *search,
                            double *all, td_error *err)
{
    td_status status = TD_OK;
    td_searcher *searcher = NULL;
    TD_TRY(td_searcher_create(&searcher, index, err));
    for (uint32_t round = 0; round < trial->rounds; round++) {
        TD_TRY(one_by_one(trial, searcher, search, round, err));
        double start = td__seconds();
        TD_TRY(td_searcher_search(searcher, &trial->queries, search, trial->hits, trial->counts,
                                  err));
        keep_best(all, td__seconds() - start, round);
    }
done:
    td_searcher_free(searcher);
    return status;
}

static int ascending_times(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A clock may be too coarse for the smallest index. */
static double rate(double count, double seconds)
{
    return seconds > 0.0 ? count / seconds : 0.0;
}

static void fill_row(cli_trial *trial, double all, cli_bench_row *row)
{
    uint64_t queries = trial->queries.rows;
    double sum = 0.0;
    for (uint64_t q = 0; q < queries; q++) sum += trial->times[q];
    qsort(trial->times, queries, sizeof *trial->times, ascending_times);
    row->one_rate = rate((double)queries, sum);
    row->all_rate = rate((double)queries, all);
    row->p50 = 1e6 * trial->times[queries / 2];
    row->p99 = 1e6 * trial->times[queries * 99 / 100];
}

/* --- recall */

static int ascending_positions(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static const uint32_t *sorted(uint32_t *out, const td_hit *hits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) out[i] = hits[i].position;
    qsort(out, count, sizeof *out, ascending_positions);
    return out;
}

static double mean_recall(const cli_trial *trial, uint32_t k)
{
    uint64_t found = 0, queries = trial->queries.rows;
    for (uint64_t q = 0; q < queries; q++) {
        uint32_t count = trial->counts[q];
        const uint32_t *a = sorted(trial->positions, trial->hits + q * k, count);
        const uint32_t *b = sorted(trial->positions + trial->k_max, trial->truth + q * k, k);
        for (uint32_t i = 0, j = 0; i < count && j < k;) {
            found += a[i] == b[j];
            if (a[i] <= b[j]) i++;
            else j++;
        }
    }
    return (double)found / ((double)queries * k);
}

td_status cli_bench_exact(cli_trial *trial, uint32_t k, cli_bench_row *row, td_error *err)
{
    td_status status = TD_OK;
    double all = 0.0;
    td_search search = {.k = k};
    TD_TRY(take_times(trial, trial->twin, &search, &all, err));
    *row = (cli_bench_row){.k = k, .recall = 1.0};
    fill_row(trial, all, row);
    td_hit *truth = trial->hits;
    trial->hits = trial->truth;
    trial->truth = truth;
done:
    return status;
}

td_status cli_bench_target(cli_trial *trial, uint32_t k, double target, cli_bench_row *row,
                           td_error *err)
{
    td_status status = TD_OK;
    double all = 0.0;
    td_search search = {.k = k, .effort = {.target_recall = (float)target}};
    TD_TRY(take_times(trial, trial->index, &search, &all, err));
    *row = (cli_bench_row){.k = k, .target = target, .recall = mean_recall(trial, k)};
    fill_row(trial, all, row);
done:
    return status;
}

bool cli_bench_kept(const cli_bench_row *row)
{
    double more = row->recall - row->target;
    return more >= -0.005 && more <= 0.02;
}
