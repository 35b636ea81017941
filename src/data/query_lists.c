/* query_lists.c -- the distinct candidates of each query.
 *
 * Serves: stages 2, 6 and 7. In: the rows. Out: lists in ascending order, one behind the other.
 *
 * No sorting: the rows are put in the order of their candidates by counting, then dealt out to
 * their queries in that order. So each list fills up in ascending order, and a candidate that comes
 * twice finds itself at the end of the list. Time O(rows + ids). */
#include <string.h>

#include "base/memory.h"
#include "data/dataset.h"
#include "base/poison.h"

/* offsets [groups + 1]: where each group starts if the rows stand in the order of their keys. */
static void count_offsets(uint64_t *offsets, uint32_t groups, const uint32_t *key, uint64_t rows)
{
    memset(offsets, 0, ((size_t)groups + 1) * sizeof *offsets);
    for (uint64_t i = 0; i < rows; i++) offsets[key[i] + 1]++;
    for (uint32_t g = 0; g < groups; g++) offsets[g + 1] += offsets[g];
}

/* `by_candidate` [rows]: the queries of candidate 0, then of candidate 1, ... `next` moves on. */
static void order_by_candidate(uint32_t *by_candidate, uint64_t *next, const td_dataset *dataset)
{
    for (uint64_t i = 0; i < dataset->rows; i++) {
        by_candidate[next[dataset->candidate[i]]++] = dataset->query[i];
    }
}

/* `ends` [queries] starts as the start of each list and becomes its end. `candidate_end`
 * [candidates] are the ends of the groups of `by_candidate`. */
static void deal_out(uint32_t *lists, uint64_t *ends, const uint64_t *starts,
                     const uint32_t *by_candidate, const uint64_t *candidate_end,
                     uint32_t candidates)
{
    uint64_t row = 0;
    for (uint32_t c = 0; c < candidates; c++) {
        for (; row < candidate_end[c]; row++) {
            uint32_t q = by_candidate[row];
            bool there = ends[q] > starts[q] && lists[ends[q] - 1] == c;
            if (!there) lists[ends[q]++] = c;
        }
    }
}

/* Close the gaps that double rows left: starts [queries + 1] become those of the packed lists. */
static void pack(uint32_t *lists, uint64_t *starts, const uint64_t *ends, uint32_t queries)
{
    uint64_t to = 0;
    for (uint32_t q = 0; q < queries; q++) {
        uint64_t from = starts[q], count = ends[q] - from;
        if (to != from) memmove(lists + to, lists + from, count * sizeof *lists);
        starts[q] = to;
        to += count;
    }
    starts[queries] = to;
}

static td_status make_lists(td_dataset *dataset, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = dataset->context;
    uint32_t queries = td_vocab_count(dataset->queries);
    uint32_t candidates = td_vocab_count(dataset->candidates);
    uint64_t *starts = NULL, *ends = NULL, *next = NULL;
    uint32_t *lists = NULL, *by_candidate = NULL;
    TD_TRY(td__alloc(&starts, context, (uint64_t)queries + 1, sizeof *starts, err));
    TD_TRY(td__alloc(&ends, context, (uint64_t)queries + 1, sizeof *ends, err));
    TD_TRY(td__alloc(&next, context, (uint64_t)candidates + 1, sizeof *next, err));
    TD_TRY(td__alloc(&by_candidate, context, dataset->rows, sizeof *by_candidate, err));
    TD_TRY(td__alloc(&lists, context, dataset->rows, sizeof *lists, err));
    count_offsets(next, candidates, dataset->candidate, dataset->rows);
    order_by_candidate(by_candidate, next, dataset);
    count_offsets(starts, queries, dataset->query, dataset->rows);
    memcpy(ends, starts, ((size_t)queries + 1) * sizeof *ends);
    deal_out(lists, ends, starts, by_candidate, next, candidates);
    pack(lists, starts, ends, queries);
    dataset->list_offsets = starts;
    dataset->list_candidates = lists;
    starts = NULL;
    lists = NULL;
done:
    td__free(context, starts);
    td__free(context, ends);
    td__free(context, next);
    td__free(context, by_candidate);
    td__free(context, lists);
    return status;
}

td_status td_dataset_query_lists(const td_dataset *dataset, td_query_lists *lists, td_error *err)
{
    /* The lists are a cache: making them does not change what the dataset is. */
    td_dataset *owner = (td_dataset *)(uintptr_t)dataset;
    *lists = (td_query_lists){0};
    td_status status = TD_OK;
    (void)pthread_mutex_lock(&owner->lock);
    if (!owner->has_lists) {
        status = make_lists(owner, err);
        owner->has_lists = status == TD_OK;
    }
    (void)pthread_mutex_unlock(&owner->lock);
    if (status != TD_OK) return status;
    *lists = (td_query_lists){td_vocab_count(dataset->queries), owner->list_offsets,
                              owner->list_candidates};
    return TD_OK;
}
