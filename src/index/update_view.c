/* update_view.c -- what one searcher sees of an index that changes.
 *
 * Serves: stage 7. In: the log of the current state. Out: marks, and a request for the base. */
#include "index/update_view.h"

#include "base/memory.h"
#include "base/pool.h"

#include "base/poison.h"

void td__view_join(td__view *view, const td_index *index)
{
    view->index = index;
    if (index->updates != NULL) td__reader_join(&view->reader, index);
}

void td__view_part(td__view *view)
{
    if (view->index == NULL) return;
    td_context *context = view->index->context;
    if (view->index->updates != NULL) td__reader_part(&view->reader, view->index);
    td__free(context, view->base_live);
    td__free(context, view->row_live);
    td__free(context, view->allow);
    td__free(context, view->bias);
    td__free(context, view->tail);
    td__free(context, view->keys);
    td__free(context, view->found);
}

/* --- marks */

static td_status copy_marks(td__view *view, td_error *err)
{
    td_status status = TD_OK;
    uint64_t words = td__words(view->base->count);
    TD_TRY(td__grow(&view->base_live, view->index->context, words, sizeof *view->base_live, err));
    if (view->base->live != NULL) {
        memcpy(view->base_live, view->base->live, (size_t)words * sizeof *view->base_live);
    } else if (words > 0) {
        memset(view->base_live, 0xFF, (size_t)words * sizeof *view->base_live);
    }
    view->base_room = words;
done:
    return status;
}

/* Everything that a new state needs. */
static td_status enter(td__view *view, td_error *err)
{
    td_status status = TD_OK;
    const td_index *base = view->base;
    view->serial = 0;
    view->applied = view->rows = view->rows_live = 0;
    view->count = base->count;
    view->base_items = base->count - base->dead;
    view->base_room = 0;
    if (base->live != NULL) TD_TRY(copy_marks(view, err));
    view->serial = view->state != NULL ? view->state->serial : 1;
done:
    return status;
}

static void apply(td__view *view, const td__entry *entry)
{
    if (entry->before == TD__IN_BASE) {
        td__clear_bit(view->base_live, entry->position);
        view->base_items--;
    } else if (entry->before != TD__NOWHERE) {
        td__clear_bit(view->row_live, entry->before);
        view->rows_live--;
    }
    if (entry->now != TD__NOWHERE) {
        td__set_bit(view->row_live, entry->now);
        view->rows_live++;
        view->rows = entry->now + 1;
    }
    if (entry->position >= view->count) view->count = entry->position + UINT64_C(1);
}

/* Only what is published is read, and what is published stays as it is. */
static td_status follow(td__view *view, td_error *err)
{
    td_status status = TD_OK;
    const td__log *log = &view->state->log;
    td_context *context = view->index->context;
    uint64_t length = atomic_load_explicit(&log->length, memory_order_acquire);
    if (length == view->applied) return TD_OK;
    if (view->base_room == 0) TD_TRY(copy_marks(view, err));
    if (view->applied == 0) {
        uint64_t words = td__words(log->rows_max);
        TD_TRY(td__grow(&view->row_live, context, words, sizeof *view->row_live, err));
        memset(view->row_live, 0, (size_t)words * sizeof *view->row_live);
    }
    while (view->applied < length) apply(view, &log->entries[view->applied++]);
done:
    return status;
}

td_status td__view_begin(td__view *view, td_error *err)
{
    td_status status = TD_OK;
    bool changes = view->index->updates != NULL;
    view->state = changes ? td__reader_pin(&view->reader, view->index) : NULL;
    view->base = changes ? view->state->base : view->index;
    if (view->serial != (changes ? view->state->serial : 1)) TD_TRY(enter(view, err));
    if (changes) TD_TRY(follow(view, err));
done:
    return status;
}

void td__view_end(td__view *view)
{
    if (view->index->updates != NULL) td__reader_unpin(&view->reader);
    view->state = NULL;
}

/* --- the request */

/* The caller's bitmap as far as it goes, without what is not there. */
static td_status make_allow(td__view *view, const td_search *search, td_error *err)
{
    td_status status = TD_OK;
    uint64_t count = view->base->count, words = td__words(count);
    uint64_t covered = td__view_covered(view, search);
    bool all_there = view->base_items == count;
    TD_TRY(td__grow(&view->allow, view->index->context, words, sizeof *view->allow, err));
    for (uint64_t w = 0; w < words; w++) {
        uint64_t bits = all_there ? UINT64_MAX : view->base_live[w];
        if (w * 64 >= covered) bits = 0;
        else if (search->allow != NULL) bits &= search->allow[w];
        if (covered < (w + 1) * 64 && bits != 0) bits &= (UINT64_C(1) << covered % 64) - 1;
        view->allow[w] = bits;
    }
    view->search.allow = view->allow;
done:
    return status;
}

static td_status make_bias(td__view *view, const td_search *search, td_error *err)
{
    td_status status = TD_OK;
    uint64_t count = view->base->count, covered = td__view_covered(view, search);
    TD_TRY(td__grow(&view->bias, view->index->context, count, sizeof *view->bias, err));
    memcpy(view->bias, search->bias, (size_t)covered * sizeof *view->bias);
    memset(view->bias + covered, 0, (size_t)(count - covered) * sizeof *view->bias);
    view->search.bias = view->bias;
done:
    return status;
}

td_status td__view_ask(td__view *view, const td_search *search, td_error *err)
{
    td_status status = TD_OK;
    bool arrays = search->allow != NULL || search->bias != NULL;
    bool partly = arrays && td__view_covered(view, search) < view->base->count;
    bool all_there = view->base_items == view->base->count;
    view->search = *search;
    if (!all_there && !partly && search->allow == NULL) {
        view->search.allow = view->base_live;
    } else if (partly || (search->allow != NULL && !all_there)) {
        TD_TRY(make_allow(view, search, err));
    }
    if (search->bias != NULL && partly) TD_TRY(make_bias(view, search, err));
done:
    return status;
}
