/* update.c -- items come, change and go.
 *
 * Serves: stage 7. In: ids and vectors. Out: entries of the log of the current state.
 * An update has two parts. What can fail comes first and changes nothing that anyone sees: checks, room.
 * Then ids, rows and entries are filled in, which cannot fail, and published with one store. */
#include "index/update.h"

#include <string.h>

#include "base/memory.h"
#include "base/vocab.h"

#include "base/poison.h"

enum {
    /* Rows of a log: a share of the items, so that a search looks at few more, and a merge, which
     * touches all items, is rare. */
    ROWS_SHARE = 32,
    ROWS_MIN = 1024
};

/* --- room */

td_status td__log_create(td__log *log, const td_index *base, uint64_t rows, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = base->context;
    uint64_t most = (base->count - base->dead) / ROWS_SHARE;
    most = most < ROWS_MIN ? ROWS_MIN : most;
    most = td__panel_count(most < rows ? rows : most) * TD__PANEL;
    TD_FAIL_IF(most >= TD__IN_BASE, err, ERR_LIMIT, "%llu updates in one call are too many",
               (unsigned long long)rows);
    TD_TRY(td__alloc(&log->entries, context, base->count + 2 * most, sizeof *log->entries, err));
    TD_TRY(td__alloc(&log->rows, context, most * base->dim, sizeof *log->rows, err));
    TD_TRY(td__alloc(&log->panels, context, most * base->dim, sizeof *log->panels, err));
    TD_TRY(td__alloc(&log->positions, context, most, sizeof *log->positions, err));
    log->rows_max = (uint32_t)most;
done:
    return status;
}

void td__log_describe(const td_index *index, td_index_info *info)
{
    const td__updates *updates = index->updates;
    const td__log *log = &td__state_now(index)->log;
    info->items = updates->items;
    info->updates += log->entries_count;
    info->bytes += updates->where_room * sizeof *updates->where
                   + 2 * (uint64_t)log->rows_count * index->dim * sizeof *log->rows;
    for (uint32_t r = 0; r < log->rows_count; r++) {
        info->pending += updates->where[log->positions[r]] == r;
    }
}

/* Room for bits, the new ones 0. */
static td_status grow_bits(uint64_t **bits, td_context *context, uint64_t from, uint64_t to, td_error *err)
{
    td_status status = td__grow(bits, context, td__words(to), sizeof **bits, err);
    if (status != TD_OK) return status;
    memset(*bits + td__words(from), 0, (td__words(to) - td__words(from)) * sizeof **bits);
    return TD_OK;
}

td_status td__update_places(td_index *index, uint64_t more, td_error *err)
{
    td_status status = TD_OK;
    td__updates *updates = index->updates;
    uint64_t count = td_index_count(index), room = count + more, had = updates->where_room;
    bool first = updates->where == NULL;
    if (!first && room <= had) return TD_OK;
    room += room / 8 + 1;
    if (updates->rebuilding) TD_TRY(grow_bits(&updates->touched, index->context, had, room, err));
    TD_TRY(td__grow(&updates->where, index->context, room, sizeof *updates->where, err));
    updates->where_room = room;
    if (first) td__update_settle(index, td__state_now(index)->base);
done:
    return status;
}

void td__update_settle(td_index *index, const td_index *base)
{
    td__updates *updates = index->updates;
    for (uint64_t p = 0; p < base->count; p++) {
        updates->where[p] = td__index_has(base, (uint32_t)p) ? TD__IN_BASE : TD__NOWHERE;
    }
}

td_status td__update_room(td_index *index, uint64_t rows, td_error *err)
{
    td__log *log = &td__state_now(index)->log;
    if (log->rows_max == 0) return td__log_create(log, td__state_now(index)->base, rows, err);
    if (log->rows_max - log->rows_count >= rows) return TD_OK;
    return td__merge_now(index, rows, err);
}

/* --- the log */

static void fill_row(td__state *state, uint32_t row, const float *vector)
{
    td__log *log = &state->log;
    uint32_t panel = row / TD__PANEL, dim = state->base->dim;
    float *to = log->rows + (size_t)row * dim;
    memcpy(to, vector, dim * sizeof *vector);
    if (state->base->rounded != NULL) td__round_in_place(to, dim);
    if (row % TD__PANEL < TD__PANEL - 1) return;
    td__pack_panels(log->rows + (size_t)panel * TD__PANEL * dim, TD__PANEL, dim,
                    log->panels + (size_t)panel * TD__PANEL * dim);
}

void td__update_append(td_index *index, td__state *state, uint32_t position, const float *vector)
{
    td__updates *updates = index->updates;
    td__log *log = &state->log;
    td__entry entry = {.position = position, .now = TD__NOWHERE, .before = updates->where[position]};
    if (vector != NULL) {
        entry.now = log->rows_count++;
        log->positions[entry.now] = position;
        fill_row(state, entry.now, vector);
    }
    log->entries[log->entries_count++] = entry;
    updates->where[position] = entry.now;
    updates->items += (entry.now != TD__NOWHERE);
    updates->items -= (entry.before != TD__NOWHERE);
    if (updates->rebuilding) td__set_bit(updates->touched, position);
}

void td__update_publish(td__state *state)
{
    atomic_store_explicit(&state->log.length, state->log.entries_count, memory_order_release);
}

/* --- whose position? */

/* Of an index without ids: TD_NONE if the text is no number. */
static uint32_t parse_position(const char *text)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9' && value < TD_NONE; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    bool plain = i > 0 && text[i] == '\0' && (text[0] != '0' || i == 1);
    return plain && value < TD__IN_BASE ? (uint32_t)value : TD_NONE;
}

static uint32_t find(const td_index *index, const char *id)
{
    const td_vocab *ids = td_index_ids(index);
    return ids != NULL ? td_vocab_find(ids, id, strlen(id)) : parse_position(id);
}

/* What an upsert adds to the ids. */
typedef struct additions {
    uint64_t count, bytes; /* at most */
} additions;

static td_status check_new_id(const char *id, td_error *err)
{
    td_status status = TD_OK;
    size_t bytes = strlen(id);
    TD_FAIL_IF(bytes == 0, err, ERR_ARGUMENT, "an id is empty; ids have at least one byte");
    TD_FAIL_IF(bytes > TD_ID_BYTES_MAX, err, ERR_LIMIT, "an id has %zu bytes; at most %d are allowed",
               bytes, TD_ID_BYTES_MAX);
done:
    return status;
}

static td_status check_ids(const td_index *index, const char *const *ids, uint64_t rows, additions *more,
                           td_error *err)
{
    td_status status = TD_OK;
    uint64_t count = td_index_count(index);
    for (uint64_t i = 0; i < rows; i++) {
        uint32_t position = find(index, ids[i]);
        if (position < count + (td_index_ids(index) == NULL ? more->count : 0)) continue;
        TD_FAIL_IF(td_index_ids(index) == NULL && position != count + more->count, err, ERR_ARGUMENT,
                   "there is no item \"%.200s\"; an index without ids has numbers, and the next new one "
                   "is %llu", ids[i], (unsigned long long)(count + more->count));
        TD_TRY(check_new_id(ids[i], err));
        more->count++;
        more->bytes += strlen(ids[i]);
    }
    TD_FAIL_IF(count + more->count >= TD__IN_BASE, err, ERR_LIMIT, "%llu items; at most %u are allowed",
               (unsigned long long)(count + more->count), TD__IN_BASE - 1);
done:
    return status;
}

/* Ids of the index's own, with room. The vocabulary that it was built with may be in use elsewhere. */
static td_status make_ids(td_index *index, const additions *more, td_error *err)
{
    td_status status = TD_OK;
    td__updates *updates = index->updates;
    td_vocab *ids = atomic_load(&updates->ids);
    if (index->ids == NULL || more->count == 0) return TD_OK;
    if (ids == NULL) {
        TD_TRY(td__vocab_copy(&ids, index->ids, err));
        atomic_store(&updates->ids, ids);
    }
    TD_TRY(td__vocab_reserve(ids, more->count, more->bytes, err));
done:
    return status;
}

/* --- the calls */

static td_status check_vectors(const td_index *index, const td_vectors *items, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(items->dim != td_index_dim(index), err, ERR_ARGUMENT,
               "items have %u dimensions, the index has %u", items->dim, td_index_dim(index));
    TD_FAIL_IF(td__heads(items) != 1, err, ERR_ARGUMENT, "items have %u vectors each; only queries may "
               "have more than one", items->heads);
    TD_TRY(td__check_vectors(items, "item", err));
done:
    return status;
}

static td_status check_range(const td_index *index, const td_vectors *items, td_error *err)
{
    td_status status = TD_OK;
    float limit = index->kind->greatest;
    float greatest = td__greatest_of(items->data, items->rows * items->dim);
    TD_FAIL_IF(limit > 0.0f && greatest > limit, err, ERR_NUMERIC, "an item has a value of %g; a %s "
               "takes up to %g, an exact index takes all", (double)greatest, index->kind->name,
               (double)limit);
done:
    return status;
}

/* Position of an id that is there or, with all room made, of one more. */
static uint32_t place(td_index *index, const char *id, uint64_t *count)
{
    td_vocab *ids = atomic_load(&index->updates->ids);
    uint32_t position = find(index, id);
    if (position < *count) return position;
    if (ids != NULL) (void)!td_vocab_add(ids, id, strlen(id), &position, NULL);
    index->updates->where[position] = TD__NOWHERE;
    ++*count;
    return position;
}

static void put_all(td_index *index, const td_vectors *items, const char *const *ids,
                    uint32_t *positions)
{
    td__state *state = td__state_now(index);
    uint64_t count = td_index_count(index);
    for (uint64_t i = 0; i < items->rows; i++) {
        uint32_t position = place(index, ids[i], &count);
        td__update_append(index, state, position, items->data + i * items->dim);
        if (positions != NULL) positions[i] = position;
    }
    td__update_publish(state);
    atomic_store(&index->updates->count, count);
}

td_status td_index_upsert(td_index *index, const td_vectors *items, const char *const *ids,
                          uint32_t *positions, td_error *err)
{
    td_status status = TD_OK;
    additions more = {0};
    td_vectors inner;
    float *owned = NULL;
    pthread_mutex_lock(&index->updates->changing);
    td__states_reclaim(index);
    TD_TRY(check_vectors(index, items, err));
    TD_TRY(td__inner_items(&inner, &owned, index, items, err));
    TD_TRY(check_range(index, &inner, err));
    TD_TRY(check_ids(index, ids, items->rows, &more, err));
    TD_TRY(td__update_places(index, more.count, err));
    TD_TRY(make_ids(index, &more, err));
    TD_TRY(td__update_room(index, items->rows, err));
    put_all(index, &inner, ids, positions);
done:
    pthread_mutex_unlock(&index->updates->changing);
    td__free(index->context, owned);
    return status;
}

static bool is_there(const td_index *index, uint32_t position)
{
    return position < td_index_count(index) && index->updates->where[position] != TD__NOWHERE;
}

td_status td_index_delete(td_index *index, const char *const *ids, uint32_t count, td_error *err)
{
    td_status status = TD_OK;
    pthread_mutex_lock(&index->updates->changing);
    td__states_reclaim(index);
    TD_TRY(td__update_places(index, 0, err));
    for (uint32_t i = 0; i < count; i++) {
        TD_FAIL_IF(!is_there(index, find(index, ids[i])), err, ERR_NOT_FOUND,
                   "there is no item \"%.200s\" to delete", ids[i]);
    }
    TD_TRY(td__update_room(index, 0, err));
    td__state *state = td__state_now(index);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = find(index, ids[i]); /* an id may be there twice */
        if (is_there(index, position)) td__update_append(index, state, position, NULL);
    }
    td__update_publish(state);
done:
    pthread_mutex_unlock(&index->updates->changing);
    return status;
}
