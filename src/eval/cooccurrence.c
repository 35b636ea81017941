/* cooccurrence.c -- how many queries took both of two candidates.
 *
 * Serves: stage 6, the baselines. In: a dataset. Out: rows of X'X, X being the matrix with a 1 where a
 * query took a candidate. A row is made when asked for: the whole may be too large to keep. */
#include "eval/cooccurrence.h"

#include <string.h>

#include "base/memory.h"
#include "base/poison.h"

static void count_queries(td__cooccurrence *pairs)
{
    const td_query_lists *lists = &pairs->lists;
    uint64_t total = lists->offsets[lists->queries];
    for (uint64_t i = 0; i < total; i++) pairs->offsets[lists->candidates[i] + 1]++;
    for (uint32_t c = 0; c < pairs->candidates; c++) pairs->offsets[c + 1] += pairs->offsets[c];
}

/* Offsets move on while the lists fill, and are then those of the next candidate: put them back. */
static void list_queries(td__cooccurrence *pairs)
{
    const td_query_lists *lists = &pairs->lists;
    uint64_t *offsets = pairs->offsets;
    for (uint32_t q = 0; q < lists->queries; q++) {
        for (uint64_t i = lists->offsets[q]; i < lists->offsets[q + 1]; i++) {
            pairs->queries[offsets[lists->candidates[i]]++] = q;
        }
    }
    memmove(offsets + 1, offsets, pairs->candidates * sizeof *offsets);
    offsets[0] = 0;
}

td_status td__cooccurrence_init(td__cooccurrence *out, td_context *context,
                                const td_dataset *dataset, td_error *err)
{
    td_status status = TD_OK;
    *out = (td__cooccurrence){.context = context,
                              .candidates = td_vocab_count(td_dataset_candidates(dataset))};
    TD_TRY(td_dataset_query_lists(dataset, &out->lists, err));
    TD_TRY(td__alloc_zero(&out->offsets, context, (uint64_t)out->candidates + 1,
                          sizeof *out->offsets, err));
    TD_TRY(td__alloc(&out->queries, context, out->lists.offsets[out->lists.queries],
                     sizeof *out->queries, err));
    count_queries(out);
    list_queries(out);
    return TD_OK;
done:
    td__cooccurrence_clear(out);
    return status;
}

void td__cooccurrence_clear(td__cooccurrence *pairs)
{
    if (pairs->context == NULL) return;
    td__free(pairs->context, pairs->offsets);
    td__free(pairs->context, pairs->queries);
    *pairs = (td__cooccurrence){0};
}

uint32_t td__cooccurrence_row(const td__cooccurrence *pairs, uint32_t c, uint32_t *counts,
                              uint32_t *touched)
{
    const td_query_lists *lists = &pairs->lists;
    uint32_t found = 0;
    for (uint64_t t = pairs->offsets[c]; t < pairs->offsets[c + 1]; t++) {
        uint32_t q = pairs->queries[t];
        for (uint64_t i = lists->offsets[q]; i < lists->offsets[q + 1]; i++) {
            uint32_t other = lists->candidates[i];
            if (counts[other]++ == 0) touched[found++] = other;
        }
    }
    return found;
}
