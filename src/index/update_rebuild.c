/* update_rebuild.c -- an index is built anew while it is searched and updated.
 *
 * Serves: stage 7. In: the items that are there. Out: a new state that takes the place of the old.
 * The items are those of the moment the rebuild begins. Positions that are updated meanwhile are noted,
 * and brought up to date in the log of the new state before it is published. */
#include "index/update.h"

#include <string.h>

#include "base/memory.h"

#include "base/poison.h"

typedef struct rebuilding {
    td_index *index;
    td__reader reader; /* holds the state that `from` is of */
    td__merge from;
    uint32_t *where;     /* from.where: a copy */
    uint32_t *positions; /* of the items that are there */
    float *rows;         /* [number of them, dim] */
    float *queries;      /* in the index's own form, if that is another than the caller's */
    td_index *base;      /* the new one */
    td__state *fresh;
    uint32_t *places;    /* what will be updates->where */
} rebuilding;

/* --- begin */

static td_status begin(rebuilding *work, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td__updates *updates = index->updates;
    uint64_t count = td_index_count(index);
    TD_FAIL_IF(updates->rebuilding, err, ERR_STATE, "the index is being rebuilt already");
    TD_TRY(td__update_places(index, 0, err));
    TD_TRY(td__alloc(&work->where, index->context, count, sizeof *work->where, err));
    TD_TRY(td__alloc_zero(&updates->touched, index->context, td__words(updates->where_room),
                          sizeof *updates->touched, err));
    if (count > 0) memcpy(work->where, updates->where, count * sizeof *work->where);
    work->from = td__merge_from(index);
    work->from.where = work->where;
    (void)td__reader_pin(&work->reader, index);
    updates->rebuilding = true;
done:
    return status;
}

/* --- build */

static td_status gather(rebuilding *work, uint64_t *count, td_error *err)
{
    td_status status = TD_OK;
    const td__merge *from = &work->from;
    td_context *context = from->base->context;
    uint64_t items = 0;
    TD_TRY(td__alloc(&work->positions, context, from->count, sizeof *work->positions, err));
    for (uint64_t p = 0; p < from->count; p++) {
        if (from->where[p] != TD__NOWHERE) work->positions[items++] = (uint32_t)p;
    }
    TD_TRY(td__alloc(&work->rows, context, items * from->base->dim, sizeof *work->rows, err));
    for (uint64_t i = 0; i < items; i++) {
        td__merge_vector(from, work->positions[i], work->rows + i * from->base->dim);
    }
    *count = items;
done:
    return status;
}

/* Of a kind that takes the items that are there, and then puts them in their places. */
static td_status build_of_items(rebuilding *work, const td_index_options *options,
                                const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    td_index *base = work->base;
    uint64_t count = base->count, items;
    TD_TRY(gather(work, &items, err));
    td_vectors vectors = {.data = work->rows, .rows = items, .dim = base->dim};
    base->count = items;
    TD_TRY(base->kind->build(base, &vectors, options, hook, err));
    TD_TRY(base->kind->succeed(base, work->from.base, work->positions, count, err));
    base->count = count;
done:
    return status;
}

/* Float32 cannot come back, and should not go unasked. */
static td_status keep_store(td_index_options *options, const td_index *base, td_error *err)
{
    td_store store = base->rounded != NULL ? TD_STORE_INT8 : TD_STORE_FLOAT32;
    td_store asked = options->store;
    options->store = store;
    if (asked == TD_STORE_AUTO || asked == store) return TD_OK;
    return td__fail(err, TD_ERR_ARGUMENT, "a rebuild keeps what an index stores of its items, %s; leave "
                    "the store to auto, or build another index",
                    td_store_name(store));
}

static td_status build(rebuilding *work, const td_index_options *options, const td_vectors *queries,
                       const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    td_index_options kept = *options;
    TD_TRY(keep_store(&kept, work->from.base, err));
    TD_TRY(td__merge_create(&work->base, &work->from, err));
    if (work->base->kind->succeed != NULL) {
        TD_TRY(build_of_items(work, &kept, hook, err));
    } else {
        TD_TRY(td__merge_rows(&work->rows, &work->from, err));
        td_vectors items = {.data = work->rows, .rows = work->from.count, .dim = work->base->dim};
        TD_TRY(work->base->kind->build(work->base, &items, &kept, hook, err));
    }
    if (queries != NULL && work->base->kind->calibrate != NULL) {
        td_vectors inner;
        TD_TRY(td__inner_queries(&inner, &work->queries, work->index, queries, err));
        TD_TRY(work->base->kind->calibrate(work->base, &inner, hook, err));
    }
done:
    return status;
}

/* --- end */

static uint64_t count_touched(const td__updates *updates, uint64_t count)
{
    uint64_t touched = 0;
    for (uint64_t w = 0; w < td__words(count); w++) {
        touched += (uint64_t)__builtin_popcountll(updates->touched[w]);
    }
    return touched;
}

static td_status make_room(rebuilding *work, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td__updates *updates = index->updates;
    TD_TRY(td__state_create(&work->fresh, work->base, err));
    work->base = NULL; /* the state's now */
    TD_TRY(td__log_create(&work->fresh->log, work->fresh->base,
                          count_touched(updates, td_index_count(index)), err));
    TD_TRY(td__alloc(&work->places, index->context, updates->where_room, sizeof *work->places, err));
done:
    return status;
}

/* What was touched comes as it is now; all else is in the new base as it was. */
static td_status catch_up(rebuilding *work, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td__updates *updates = index->updates;
    td__merge now = td__merge_from(index);
    float *vector = NULL;
    TD_TRY(td__alloc(&vector, index->context, index->dim, sizeof *vector, err));
    uint32_t *was = updates->where;
    updates->where = work->places;
    work->places = was;
    td__update_settle(index, work->fresh->base);
    updates->items = work->fresh->base->count - work->fresh->base->dead;
    for (uint64_t p = work->from.count; p < now.count; p++) updates->where[p] = TD__NOWHERE;
    for (uint64_t p = 0; p < now.count; p++) {
        if (!td__bit(updates->touched, p)) continue;
        bool gone = was[p] == TD__NOWHERE;
        if (gone && updates->where[p] == TD__NOWHERE) continue;
        td__merge_vector(&now, (uint32_t)p, vector);
        td__update_append(index, work->fresh, (uint32_t)p, gone ? NULL : vector);
    }
    td__update_publish(work->fresh);
done:
    td__free(index->context, vector);
    return status;
}

static td_status end(rebuilding *work, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(make_room(work, err));
    TD_TRY(catch_up(work, err));
    td__state_publish(work->index, work->fresh);
    work->fresh = NULL;
done:
    return status;
}

static void clean_up(rebuilding *work)
{
    td_context *context = work->index->context;
    td__free(context, work->where);
    td__free(context, work->positions);
    td__free(context, work->rows);
    td__free(context, work->queries);
    td__free(context, work->places);
    td_index_free(work->base);
    td__state_free(work->fresh, work->index);
}

/* --- the call */

static td_status check(const td_index *index, const td_index_options *options, const td_vectors *queries,
                       td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td_options_check(td_index_option_table(), options, err));
    TD_FAIL_IF(options->kind != TD_INDEX_AUTO && options->kind != index->kind->kind, err, ERR_ARGUMENT,
               "a rebuild keeps the kind of an index; this one is of kind %s", index->kind->name);
    if (queries == NULL) return TD_OK;
    TD_FAIL_IF(queries->rows == 0, err, ERR_ARGUMENT, "no queries to calibrate with");
    TD_TRY(td__check_queries(index, queries, err));
done:
    return status;
}

td_status td_index_rebuild(td_index *index, const td_index_options *options, const td_vectors *queries,
                           const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    rebuilding work = {.index = index};
    td__updates *updates = index->updates;
    td_index_options defaults;
    td_index_options_init(&defaults);
    if (options == NULL) options = &defaults;
    td__reader_join(&work.reader, index);
    TD_TRY(check(index, options, queries, err));
    pthread_mutex_lock(&updates->changing);
    status = begin(&work, err);
    pthread_mutex_unlock(&updates->changing);
    TD_TRY(status);
    status = build(&work, options, queries, hook, err);
    td__reader_unpin(&work.reader);
    pthread_mutex_lock(&updates->changing);
    updates->rebuilding = false;
    if (status == TD_OK) status = end(&work, err);
    td__free(index->context, updates->touched);
    updates->touched = NULL;
    td__states_reclaim(index);
    pthread_mutex_unlock(&updates->changing);
done:
    td__reader_part(&work.reader, index);
    clean_up(&work);
    return status;
}
