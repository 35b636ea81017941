/* update_merge.c -- a base and its log become a new base.
 *
 * Serves: stage 7. In: the current state. Out: a new state whose log is empty.
 * Searches go on in the old state meanwhile; only updates wait. */
#include "index/update.h"

#include <string.h>

#include "base/memory.h"
#include "base/pool.h"

#include "base/poison.h"

enum { GATHER_ROWS = 4096 }; /* one piece of work */

td__merge td__merge_from(const td_index *index)
{
    const td__state *state = td__state_now(index);
    return (td__merge){.base = state->base, .log = &state->log, .count = td_index_count(index),
                       .where = index->updates->where, .updates = state->log.entries_count};
}

void td__merge_copy(const td__merge *from, uint32_t position, uint32_t dim, float *vector)
{
    const td_index *base = from->base;
    uint32_t where = from->where[position];
    if (where == TD__NOWHERE) {
        memset(vector, 0, dim * sizeof *vector);
    } else if (where == TD__IN_BASE) {
        td__index_copy(base, position, dim, vector);
    } else {
        memcpy(vector, from->log->rows + (size_t)where * base->dim, dim * sizeof *vector);
    }
}

void td__merge_vector(const td__merge *from, uint32_t position, float *vector)
{
    td__merge_copy(from, position, from->base->dim, vector);
}

td_status td__merge_create(td_index **out, const td__merge *from, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = from->base->context;
    td_index *index = NULL;
    *out = NULL;
    TD_TRY(td__alloc_zero(&index, context, 1, sizeof *index, err));
    index->kind = from->base->kind;
    index->context = context;
    index->count = from->count;
    index->dim = from->base->dim;
    for (uint64_t p = 0; p < from->count; p++) index->dead += from->where[p] == TD__NOWHERE;
    if (index->dead > 0) {
        TD_TRY(td__alloc_zero(&index->live, context, td__words(from->count), sizeof *index->live, err));
        for (uint64_t p = 0; p < from->count; p++) {
            if (from->where[p] != TD__NOWHERE) td__set_bit(index->live, p);
        }
    }
    *out = index;
    return TD_OK;
done:
    td_index_free(index);
    return status;
}

typedef struct gathering {
    const td__merge *from;
    float *rows;
} gathering;

static void gather_block(void *state, uint64_t block, uint32_t worker)
{
    const gathering *work = state;
    uint64_t first = block * GATHER_ROWS, end = first + GATHER_ROWS;
    (void)worker;
    if (end > work->from->count) end = work->from->count;
    for (uint64_t p = first; p < end; p++) {
        td__merge_vector(work->from, (uint32_t)p, work->rows + p * work->from->base->dim);
    }
}

td_status td__merge_rows(float **rows, const td__merge *from, td_error *err)
{
    const td_index *base = from->base;
    td_status status = td__alloc(rows, base->context, from->count * base->dim, sizeof **rows, err);
    gathering work = {.from = from, .rows = *rows};
    if (status != TD_OK) return status;
    td__parallel_for(base->context, td__block_count(from->count, GATHER_ROWS), gather_block, &work);
    return TD_OK;
}

td_status td__merge_make(td_index **out, const td__merge *from, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = NULL;
    float *rows = NULL;
    td_index_options options;
    td_index_options_init(&options);
    *out = NULL;
    TD_TRY(td__merge_create(&index, from, err));
    options.prefilter = from->base->int8 != NULL ? TD_PREFILTER_INT8 : TD_PREFILTER_NONE;
    index->drift = from->base->drift;
    index->drift.updates += from->updates;
    if (index->kind->merge != NULL) {
        TD_TRY(index->kind->merge(index, from, err));
    } else {
        TD_TRY(td__merge_rows(&rows, from, err));
        td_vectors items = {.data = rows, .rows = from->count, .dim = index->dim};
        TD_TRY(index->kind->build(index, &items, &options, NULL, err));
    }
    *out = index;
    index = NULL;
done:
    td__free(from->base->context, rows);
    td_index_free(index);
    return status;
}

td_status td__merge_now(td_index *index, uint64_t rows, td_error *err)
{
    td_status status = TD_OK;
    td__merge from = td__merge_from(index);
    td_index *base = NULL;
    td__state *fresh = NULL;
    TD_TRY(td__merge_make(&base, &from, err));
    TD_TRY(td__state_create(&fresh, base, err));
    base = NULL; /* the state's now */
    TD_TRY(td__log_create(&fresh->log, fresh->base, rows, err));
    td__update_settle(index, fresh->base);
    td__state_publish(index, fresh);
    return TD_OK;
done:
    td_index_free(base);
    td__state_free(fresh, index);
    return status;
}

td_status td_index_merge(td_index *index, td_error *err)
{
    td_status status = TD_OK;
    pthread_mutex_lock(&index->updates->changing);
    td__states_reclaim(index);
    if (td__state_now(index)->log.entries_count > 0) status = td__merge_now(index, 0, err);
    pthread_mutex_unlock(&index->updates->changing);
    return status;
}
