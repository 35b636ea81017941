/* model_history.c -- which candidates a query had, for towers that make its vector of them.
 *
 * Serves: stage 3. In: the rows of a dataset. Out: for each query a list, oldest first, each candidate
 * once, where it came last; of longer lists the end. Without timestamps the order is a random one, a
 * function of the model's seed. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model.h"
#include "base/poison.h"

/* A row of the dataset. */
typedef struct event {
    uint64_t when; /* ascends with time */
    uint64_t row;  /* decides between equals: file order */
    uint32_t candidate;
} event;

typedef struct builder {
    td_model *model;
    const td__history_source *source;
    td_rows rows;
    uint64_t *start; /* [queries + 1] events of each query */
    event *events;   /* [start[queries]] by query */
    uint32_t *mark;  /* [candidates] last query that took it + 1 */
} builder;

static int by_time(const void *a, const void *b)
{
    const event *x = a, *y = b;
    if (x->when != y->when) return x->when < y->when ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

/* Both known, or it is no event of the model. */
static bool is_known(const builder *b, uint64_t row)
{
    return b->source->query[b->rows.query[row]] != TD_NONE
           && b->source->candidate[b->rows.candidate[row]] != TD_NONE;
}

static event event_of(const builder *b, uint64_t row)
{
    td__random numbers = td__random_stream(b->model->options.seed, TD__STREAM_HISTORY, 0);
    bool timed = b->rows.timestamp != NULL;
    return (event){.when = timed ? (uint64_t)b->rows.timestamp[row] ^ (UINT64_C(1) << 63)
                                 : td__random_u64(numbers, row),
                   .row = row,
                   .candidate = b->source->candidate[b->rows.candidate[row]]};
}

/* Counting sort by query, then each by time. */
static td_status sort_events(builder *b, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = b->model->context;
    uint32_t queries = td_vocab_count(b->model->queries);
    TD_TRY(td__alloc_zero(&b->start, context, (uint64_t)queries + 2, sizeof *b->start, err));
    for (uint64_t i = 0; i < b->rows.count; i++) {
        if (is_known(b, i)) b->start[b->source->query[b->rows.query[i]] + 2]++;
    }
    for (uint32_t q = 0; q < queries; q++) b->start[q + 2] += b->start[q + 1];
    TD_TRY(td__alloc(&b->events, context, b->start[queries + 1], sizeof *b->events, err));
    for (uint64_t i = 0; i < b->rows.count; i++) {
        if (!is_known(b, i)) continue;
        b->events[b->start[b->source->query[b->rows.query[i]] + 1]++] = event_of(b, i);
    }
    for (uint32_t q = 0; q < queries; q++) {
        uint64_t count = b->start[q + 1] - b->start[q];
        if (count > 1) qsort(b->events + b->start[q], count, sizeof *b->events, by_time);
    }
done:
    return status;
}

/* One more of a query's, unless there are enough or it is there; `list` grows from the newest on. */
static uint32_t take(builder *b, uint32_t query, uint32_t candidate, uint32_t *list, uint32_t count)
{
    uint32_t most = b->model->options.history_length;
    if ((most > 0 && count >= most) || b->mark[candidate] == query + 1) return count;
    b->mark[candidate] = query + 1;
    list[count] = candidate;
    return count + 1;
}

static void reverse(uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        uint32_t held = list[i];
        list[i] = list[count - 1 - i];
        list[count - 1 - i] = held;
    }
}

/* From the newest event backwards, then what the query had before; returns the length. */
static uint32_t fill_list(builder *b, uint32_t query, uint32_t *list)
{
    uint32_t count = 0, before = 0;
    for (uint64_t i = b->start[query + 1]; i-- > b->start[query];) {
        count = take(b, query, b->events[i].candidate, list, count);
    }
    const td_model *old = b->source->old;
    const uint32_t *own = old == NULL ? NULL : td__model_history(old, query, &before);
    while (before-- > 0) count = take(b, query, own[before], list, count);
    reverse(list, count);
    return count;
}

static td_status fill_lists(builder *b, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = b->model;
    const td_model *old = b->source->old;
    uint32_t queries = td_vocab_count(model->queries);
    uint64_t most = b->start[queries], *offsets;
    if (old != NULL) most += old->history_offsets[td_vocab_count(old->queries)];
    TD_TRY(td__alloc_zero(&b->mark, model->context, td_vocab_count(model->candidates), sizeof *b->mark,
                          err));
    TD_TRY(td__alloc_zero(&offsets, model->context, (uint64_t)queries + 1, sizeof *offsets, err));
    model->history_offsets = offsets;
    TD_TRY(td__alloc(&model->history, model->context, most, sizeof *model->history, err));
    for (uint32_t q = 0; q < queries; q++) {
        offsets[q + 1] = offsets[q] + fill_list(b, q, model->history + offsets[q]);
    }
done:
    return status;
}

td_status td__model_build_history(td_model *model, const td__history_source *source, td_error *err)
{
    td_status status = TD_OK;
    builder b = {.model = model, .source = source, .rows = td_dataset_rows(source->dataset)};
    if (!td__model_has_history(model)) return TD_OK;
    TD_TRY(sort_events(&b, err));
    TD_TRY(fill_lists(&b, err));
done:
    td__free(model->context, b.start);
    td__free(model->context, b.events);
    td__free(model->context, b.mark);
    return status;
}
