/* evaluation.c -- all queries with test rows, chunk by chunk.
 *
 * Serves: stage 6. In: training and test rows, a ranker. Out: metrics.
 * Borders of chunks and blocks do not depend on the threads, and sums are added in their order: the
 * same bits for any number of threads. */
#include "eval/evaluation.h"

#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/poison.h"

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- test items */

/* Candidates of each query by counting, in the order of the rows: offsets [queries + 1]. */
static void group_rows(const td_rows *rows, uint32_t queries, uint64_t *offsets,
                       uint32_t *candidate)
{
    memset(offsets, 0, ((size_t)queries + 1) * sizeof *offsets);
    for (uint64_t i = 0; i < rows->count; i++) offsets[rows->query[i] + 1]++;
    for (uint32_t q = 0; q < queries; q++) offsets[q + 1] += offsets[q];
    for (uint64_t i = 0; i < rows->count; i++)
        candidate[offsets[rows->query[i]]++] = rows->candidate[i];
    memmove(offsets + 1, offsets, (size_t)queries * sizeof *offsets);
    offsets[0] = 0;
}

static void count_in_list(const uint32_t *list, uint64_t count, const uint32_t *found,
                          uint64_t found_count, uint32_t *rows)
{
    for (uint64_t i = 0; i < found_count; i++) {
        uint64_t low = 0, high = count;
        while (low < high) {
            uint64_t middle = low + (high - low) / 2;
            if (list[middle] < found[i])
                low = middle + 1;
            else
                high = middle;
        }
        rows[low]++;
    }
}

/* The dataset's lists are distinct and ascending; the rows say how often each is there. */
static td_status make_test_items(td__evaluation *evaluation, const td_dataset *test, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = evaluation->context;
    td__test_items *items = &evaluation->test;
    td_rows rows = td_dataset_rows(test);
    td_query_lists lists;
    uint64_t *starts = NULL, count = 0;
    uint32_t *candidate = NULL, queries = td_vocab_count(td_dataset_queries(test));
    TD_TRY(td_dataset_query_lists(test, &lists, err));
    TD_TRY(td__alloc(&starts, context, (uint64_t)queries + 1, sizeof *starts, err));
    TD_TRY(td__alloc(&candidate, context, rows.count, sizeof *candidate, err));
    TD_TRY(td__alloc(&items->query, context, queries, sizeof *items->query, err));
    TD_TRY(td__alloc_zero(&items->offsets, context, (uint64_t)queries + 1, sizeof *items->offsets,
                          err));
    TD_TRY(td__alloc(&items->candidate, context, lists.offsets[queries], sizeof *items->candidate,
                     err));
    TD_TRY(td__alloc_zero(&items->rows, context, lists.offsets[queries], sizeof *items->rows, err));
    group_rows(&rows, queries, starts, candidate);
    for (uint32_t q = 0; q < queries; q++) {
        const uint32_t *list = lists.candidates + lists.offsets[q];
        uint64_t distinct = lists.offsets[q + 1] - lists.offsets[q];
        if (distinct == 0) continue;
        memcpy(items->candidate + count, list, distinct * sizeof *list);
        count_in_list(list, distinct, candidate + starts[q], starts[q + 1] - starts[q],
                      items->rows + count);
        count += distinct;
        items->query[items->queries++] = q;
        items->offsets[items->queries] = count;
    }
    items->row_count = rows.count;
done:
    td__free(context, starts);
    td__free(context, candidate);
    return status;
}

static td_status check_input(const td__evaluation *evaluation, const td_dataset *train,
                             const td_dataset *test, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td_options_check(td_evaluate_option_table(), evaluation->options, err));
    TD_FAIL_IF(td_dataset_queries(train) != td_dataset_queries(test)
                   || td_dataset_candidates(train) != td_dataset_candidates(test),
               err, ERR_ARGUMENT,
               "training and test part number their ids differently; make them with "
               "td_dataset_split or td_dataset_align");
done:
    return status;
}

td_status td__evaluation_prepare(td__evaluation *evaluation, const td_dataset *train,
                                 const td_dataset *test, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_input(evaluation, train, test, err));
    evaluation->rank_count = td_vocab_count(td_dataset_candidates(train));
    TD_TRY(td_dataset_query_lists(train, &evaluation->seen, err));
    TD_TRY(make_test_items(evaluation, test, err));
done:
    return status;
}

void td__evaluation_clear(td__evaluation *evaluation)
{
    td_context *context = evaluation->context;
    td__free(context, evaluation->popularity);
    td__free(context, evaluation->test.query);
    td__free(context, evaluation->test.offsets);
    td__free(context, evaluation->test.candidate);
    td__free(context, evaluation->test.rows);
}

bool td__was_seen(const td__evaluation *evaluation, uint32_t query, uint32_t candidate)
{
    const td_query_lists *seen = &evaluation->seen;
    uint64_t low = seen->offsets[query], end = seen->offsets[query + 1], high = end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (seen->candidates[middle] < candidate)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && seen->candidates[low] == candidate;
}

/* --- chunks */

static td_status make_popularity(td__evaluation *evaluation, const td_dataset *train, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = evaluation->context;
    uint32_t candidates = td_vocab_count(td_dataset_candidates(train));
    uint64_t *counts = NULL;
    TD_TRY(td__alloc(&counts, context, candidates, sizeof *counts, err));
    TD_TRY(td__alloc_zero(&evaluation->popularity, context, evaluation->rank_count,
                          sizeof *evaluation->popularity, err));
    td_dataset_candidate_counts(train, counts);
    for (uint32_t c = 0; c < candidates; c++) {
        uint32_t position = td__rank_position(evaluation, c);
        if (position != TD_NONE) evaluation->popularity[position] = counts[c];
    }
done:
    td__free(context, counts);
    return status;
}

static void find_k_max(td__evaluation *evaluation)
{
    const td_u32_list *k = &evaluation->options->k;
    for (uint32_t i = 0; i < k->count; i++) {
        if (k->values[i] > evaluation->k_max) evaluation->k_max = k->values[i];
    }
    if (evaluation->k_max > evaluation->rank_count) evaluation->k_max = evaluation->rank_count;
}

/* Seen candidates of the chunk's queries, in the ranker's order of candidates. */
static void gather_seen(const td__evaluation *evaluation, td__chunk *chunk)
{
    const td_query_lists *seen = &evaluation->seen;
    uint64_t end = 0;
    chunk->exclude_offsets[0] = 0;
    for (uint32_t i = 0; i < chunk->count; i++) {
        uint32_t query = evaluation->test.query[chunk->first + i];
        uint64_t at = seen->offsets[query], stop = seen->offsets[query + 1];
        for (; evaluation->options->exclude_seen && at < stop; at++) {
            uint32_t position = td__rank_position(evaluation, seen->candidates[at]);
            if (position != TD_NONE) chunk->exclude[end++] = position;
        }
        chunk->exclude_offsets[i + 1] = end;
    }
}

static void chunk_begin(td__chunk *chunk, const td__evaluation *evaluation, uint32_t first)
{
    uint32_t left = evaluation->test.queries - first;
    chunk->first = first;
    chunk->count = left < TD__CHUNK_QUERIES ? left : TD__CHUNK_QUERIES;
}

/* Sizes of the largest chunk: its test items, its seen candidates. */
static void find_largest(const td__evaluation *evaluation, uint64_t *items, uint64_t *seen)
{
    const td__test_items *test = &evaluation->test;
    td__chunk chunk = {0};
    *items = *seen = 0;
    for (uint32_t first = 0; first < test->queries; first += chunk.count) {
        chunk_begin(&chunk, evaluation, first);
        uint64_t count = test->offsets[first + chunk.count] - test->offsets[first], listed = 0;
        for (uint32_t i = first; i < first + chunk.count; i++) {
            uint32_t q = test->query[i];
            listed += evaluation->seen.offsets[q + 1] - evaluation->seen.offsets[q];
        }
        if (count > *items) *items = count;
        if (listed > *seen) *seen = listed;
    }
}

static td_status chunk_init(td__chunk *chunk, td__evaluation *evaluation, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = evaluation->context;
    uint64_t seen;
    find_largest(evaluation, &evaluation->chunk_items_max, &seen);
    chunk_begin(chunk, evaluation, 0);
    TD_TRY(td__alloc(&chunk->hits, context, (uint64_t)chunk->count * evaluation->k_max,
                     sizeof *chunk->hits, err));
    TD_TRY(td__alloc(&chunk->hit_counts, context, chunk->count, sizeof *chunk->hit_counts, err));
    TD_TRY(td__alloc(&chunk->scores, context, evaluation->chunk_items_max, sizeof *chunk->scores,
                     err));
    TD_TRY(td__alloc(&chunk->exclude_offsets, context, (uint64_t)chunk->count + 1,
                     sizeof *chunk->exclude_offsets, err));
    TD_TRY(td__alloc(&chunk->exclude, context, seen, sizeof *chunk->exclude, err));
done:
    return status;
}

static void chunk_clear(td__chunk *chunk, td_context *context)
{
    td__free(context, chunk->hits);
    td__free(context, chunk->hit_counts);
    td__free(context, chunk->scores);
    td__free(context, chunk->exclude_offsets);
    td__free(context, chunk->exclude);
}

/* --- running */

/* At most 20 times a second, and at the end. */
static td_status report(const td__evaluation *evaluation, uint32_t done, double seconds,
                        double *reported, td_error *err)
{
    const td_progress_hook *hook = evaluation->hook;
    bool last = done == evaluation->test.queries;
    if (hook == NULL || hook->report == NULL || (!last && seconds - *reported < 0.05)) return TD_OK;
    *reported = seconds;
    td_progress progress = {.stage = "evaluate",
                            .done = done,
                            .total = evaluation->test.queries,
                            .unit = "users",
                            .seconds = seconds};
    if (hook->report(hook->user, &progress)) return TD_OK;
    return td__fail(err, TD_ERR_CANCELLED, "the evaluation was stopped");
}

td_status td__evaluation_run(td__evaluation *evaluation, const td_dataset *train,
                             td_metrics *metrics, td_error *err)
{
    td_status status = TD_OK;
    double start = seconds_now(), reported = 0;
    td__chunk chunk = {0};
    td__measure *measure = NULL;
    find_k_max(evaluation);
    TD_TRY(make_popularity(evaluation, train, err));
    TD_TRY(chunk_init(&chunk, evaluation, err));
    TD_TRY(td__measure_create(&measure, evaluation, err));
    for (uint32_t first = 0; first < evaluation->test.queries; first += chunk.count) {
        chunk_begin(&chunk, evaluation, first);
        gather_seen(evaluation, &chunk);
        TD_TRY(evaluation->rank(evaluation->user, evaluation, &chunk, err));
        td__measure_add(measure, &chunk);
        TD_TRY(report(evaluation, first + chunk.count, seconds_now() - start, &reported, err));
    }
    td__measure_result(measure, metrics);
    metrics->seconds = seconds_now() - start;
done:
    td__measure_free(measure);
    chunk_clear(&chunk, evaluation->context);
    return status;
}

td_status td__failure_first(const td__failure *failures, uint32_t workers, td_error *err)
{
    const td__failure *first = NULL;
    for (uint32_t w = 0; w < workers; w++) {
        if (failures[w].status == TD_OK) continue;
        if (first == NULL || failures[w].block < first->block) first = &failures[w];
    }
    if (first == NULL) return TD_OK;
    if (err != NULL) *err = first->err;
    return first->status;
}
