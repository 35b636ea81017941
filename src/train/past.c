/* past.c -- what the query tower takes in a step, if it adds histories.
 *
 * Serves: stage 5. In: a batch. Out: rows and histories of its distinct queries. */
#include "train/past.h"

#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/poison.h"

struct td__past {
    const td_model *model;
    td__bag *bag;
    float strangers; /* share of queries that are unknown in a step */
    uint64_t seed;
    uint32_t *rows;   /* [queries of the shape] of the id table */
    uint32_t *start;  /* [queries + 2] of the batch: where the targets of a query are */
    uint32_t *target; /* [interactions] rows of the candidate table, by query */
};

/* --- life */

/* A query has one history a batch, so all of them together are the most that can come. */
static uint64_t entries_max(const td_model *model, uint32_t queries)
{
    uint32_t known = td_vocab_count(model->queries);
    uint64_t longest = 0, all = model->history_offsets[known];
    for (uint32_t q = 0; q < known; q++) {
        uint64_t length = model->history_offsets[q + 1] - model->history_offsets[q];
        if (length > longest) longest = length;
    }
    return longest * queries < all ? longest * queries : all;
}

td_status td__past_create(td__past **out, const td_model *model, const td_train_options *options,
                          const td__batch_shape *shape, td_error *err)
{
    td_status status = TD_OK;
    td__past *past = NULL;
    td__bag_shape bag = {.lists = shape->queries,
                         .entries = entries_max(model, shape->queries),
                         .table_rows = td__tower_rows(&model->candidate_tower),
                         .dim = model->options.dim,
                         .pooling = model->options.history_pooling,
                         .training = true};
    bool own = model->options.query_tower == TD_QUERY_ID_HISTORY;
    TD_TRY(td__alloc_zero(&past, model->context, 1, sizeof *past, err));
    *past = (td__past){
        .model = model, .strangers = own ? options->id_dropout : 0.0f, .seed = options->seed};
    TD_TRY(td__bag_create(&past->bag, model->context, &bag, err));
    TD_TRY(td__alloc(&past->rows, model->context, shape->queries, sizeof *past->rows, err));
    TD_TRY(td__alloc(&past->start, model->context, (uint64_t)shape->queries + 2, sizeof *past->start,
                     err));
    TD_TRY(td__alloc(&past->target, model->context, shape->interactions, sizeof *past->target, err));
    *out = past;
    return TD_OK;
done:
    td__past_free(past);
    *out = NULL;
    return status;
}

void td__past_free(td__past *past)
{
    if (past == NULL) return;
    td_context *context = past->model->context;
    td__bag_free(past->bag, context);
    td__free(context, past->rows);
    td__free(context, past->start);
    td__free(context, past->target);
    td__free(context, past);
}

uint32_t td__past_candidates_max(const td__past *past)
{
    const td__bag_shape *shape = &past->bag->shape;
    return shape->entries < shape->table_rows ? (uint32_t)shape->entries : shape->table_rows;
}

const td__bag *td__past_bag(const td__past *past)
{
    return past->bag;
}

/* --- one batch */

/* Counting sort by query. */
static void sort_targets(td__past *past, const td__batch *batch)
{
    const uint32_t *query = batch->queries.of;
    uint32_t *start = past->start;
    memset(start, 0, ((size_t)batch->queries.count + 2) * sizeof *start);
    for (uint32_t i = 0; i < batch->count; i++) start[query[i] + 2]++;
    for (uint32_t q = 0; q < batch->queries.count; q++) start[q + 2] += start[q + 1];
    for (uint32_t i = 0; i < batch->count; i++) {
        past->target[start[query[i] + 1]++] = batch->candidates.rows[batch->candidates.of[i]];
    }
}

static void add_history(td__past *past, uint32_t place, uint32_t number)
{
    uint32_t count;
    const uint32_t *history = td__model_history(past->model, number, &count);
    td__bag_open(past->bag);
    for (uint32_t i = past->start[place]; i < past->start[place + 1]; i++) {
        td__bag_leave_out(past->bag, past->target[i]);
    }
    td__bag_add(past->bag, history, count, 0);
}

td__tower_input td__past_fill(td__past *past, const td__batch *batch, uint64_t step)
{
    const td__distinct *queries = &batch->queries;
    td__random numbers = td__random_stream(past->seed, TD__STREAM_STRANGERS, step);
    sort_targets(past, batch);
    td__bag_start(past->bag);
    for (uint32_t i = 0; i < queries->count; i++) {
        uint32_t number = queries->rows[i];
        bool stranger = td__random_unit(numbers, number) < (double)past->strangers;
        past->rows[i] = stranger ? past->model->query_tower.known
                                 : td__model_query_row(past->model, number);
        add_history(past, i, number);
    }
    td__bag_finish(past->bag);
    return (td__tower_input){.count = queries->count, .rows = past->rows, .bag = past->bag};
}
