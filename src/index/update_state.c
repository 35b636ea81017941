/* update_state.c -- the states of an index, and those who look at them.
 *
 * Serves: stage 7. In: new states. Out: old ones freed, not before their last reader has gone on. */
#include "index/update.h"

#include "base/memory.h"
#include "base/vocab.h"

#include "base/poison.h"

/* --- states */

td_status td__state_create(td__state **out, td_index *base, td_error *err)
{
    td_status status = td__alloc_zero(out, base->context, 1, sizeof **out, err);
    if (status != TD_OK) return status;
    (*out)->base = base;
    atomic_init(&(*out)->log.length, 0);
    return TD_OK;
}

static void free_log(td__log *log, td_context *context)
{
    td__free(context, log->entries);
    td__free(context, log->rows);
    td__free(context, log->panels);
    td__free(context, log->positions);
}

void td__state_free(td__state *state, const td_index *index)
{
    if (state == NULL) return;
    free_log(&state->log, index->context);
    if (state->base == index) td__index_clear(state->base);
    else td_index_free(state->base);
    td__free(index->context, state);
}

td__state *td__state_now(const td_index *index)
{
    return atomic_load(&index->updates->state);
}

void td__state_publish(td_index *index, td__state *fresh)
{
    td__updates *updates = index->updates;
    td__state *old = td__state_now(index);
    fresh->serial = ++updates->serial;
    atomic_store(&updates->state, fresh);
    if (old == NULL) return;
    old->next = updates->retired;
    updates->retired = old;
    td__states_reclaim(index);
}

bool td__index_is_as_built(const td_index *index)
{
    if (index->updates == NULL) return true;
    const td__state *state = td__state_now(index);
    return state->base == index && state->log.rows_max == 0 && index->dead == 0;
}

static bool is_pinned(const td__updates *updates, const td__state *state)
{
    for (td__reader *reader = updates->readers; reader != NULL; reader = reader->next) {
        if (atomic_load(&reader->pinned) == state) return true;
    }
    return false;
}

void td__states_reclaim(td_index *index)
{
    td__updates *updates = index->updates;
    td__state *idle = NULL;
    if (updates->retired == NULL) return;
    pthread_mutex_lock(&updates->registry);
    for (td__state **at = &updates->retired; *at != NULL;) {
        td__state *state = *at;
        if (is_pinned(updates, state)) {
            at = &state->next;
            continue;
        }
        *at = state->next;
        state->next = idle;
        idle = state;
    }
    pthread_mutex_unlock(&updates->registry);
    while (idle != NULL) {
        td__state *next = idle->next;
        td__state_free(idle, index);
        idle = next;
    }
}

/* --- readers */

void td__reader_join(td__reader *reader, const td_index *index)
{
    td__updates *updates = index->updates;
    atomic_init(&reader->pinned, NULL);
    pthread_mutex_lock(&updates->registry);
    *reader = (td__reader){.next = updates->readers};
    if (reader->next != NULL) reader->next->before = reader;
    updates->readers = reader;
    pthread_mutex_unlock(&updates->registry);
}

void td__reader_part(td__reader *reader, const td_index *index)
{
    td__updates *updates = index->updates;
    pthread_mutex_lock(&updates->registry);
    if (reader->next != NULL) reader->next->before = reader->before;
    if (reader->before != NULL) reader->before->next = reader->next;
    else updates->readers = reader->next;
    pthread_mutex_unlock(&updates->registry);
}

td__state *td__reader_pin(td__reader *reader, const td_index *index)
{
    td__state *state = atomic_load(&index->updates->state), *again;
    for (;; state = again) {
        atomic_store(&reader->pinned, state);
        again = atomic_load(&index->updates->state);
        if (again == state) return state;
    }
}

void td__reader_unpin(td__reader *reader)
{
    atomic_store_explicit(&reader->pinned, NULL, memory_order_release);
}

/* --- life */

td_status td__updates_create(td_index *index, td_error *err)
{
    td_status status = TD_OK;
    td__updates *updates;
    td__state *first;
    TD_TRY(td__alloc_zero(&updates, index->context, 1, sizeof *updates, err));
    status = td__state_create(&first, index, err);
    if (status != TD_OK) {
        td__free(index->context, updates);
        return status;
    }
    pthread_mutex_init(&updates->registry, NULL);
    pthread_mutex_init(&updates->changing, NULL);
    atomic_init(&updates->state, first);
    atomic_init(&updates->count, index->count);
    atomic_init(&updates->ids, NULL);
    first->serial = updates->serial = 1;
    updates->items = index->count - index->dead;
    index->updates = updates;
done:
    return status;
}

void td__updates_free(td_index *index)
{
    td__updates *updates = index->updates;
    td_context *context = index->context;
    while (updates->retired != NULL) {
        td__state *state = updates->retired;
        updates->retired = state->next;
        td__state_free(state, index);
    }
    td__state_free(td__state_now(index), index);
    td_vocab_free(atomic_load(&updates->ids));
    pthread_mutex_destroy(&updates->registry);
    pthread_mutex_destroy(&updates->changing);
    td__free(context, updates->where);
    td__free(context, updates->touched);
    td__free(context, updates);
}
