/* update.h -- how an index changes while it is searched.
 *
 * Serves: stage 7.
 *
 * An index is a sequence of states. A state is a base, which is an index that never changes, and a log
 * of what came since. The log only grows, within room that is there from the start, and what is behind
 * its published length is never changed again; so the one word that readers and the writer share is
 * that length:
 *
 *   writer   fill in rows and entries; store the length (release)
 *   reader   load the length (acquire); apply the entries that are new to marks of its own (update_view.h)
 *
 * When a log is full, or for a rebuild, a new state takes the place of the old. A reader pins the state
 * it is in (a hazard pointer: M. Michael, IEEE TPDS 2004), and the old one is freed when nobody has it
 * pinned:
 *
 *   reader   load the state, store it as pinned, load the state again; until both are the same
 *   writer   store the new state; then look at all pins
 *
 * These four are sequentially consistent: if the writer's look at a pin comes before the reader's
 * store, the reader's second load comes after the writer's store, finds the new state, and tries again.
 * So the writer sees every pin of a reader that goes on.
 *
 * update.c fills logs, update_state.c keeps states and readers, update_merge.c makes new bases. */
#ifndef TD_INDEX_UPDATE_H
#define TD_INDEX_UPDATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "index/index.h"

/* Where the vector of a position is: a row of the log, or one of these. */
#define TD__NOWHERE TD_NONE        /* deleted, or never there */
#define TD__IN_BASE (TD_NONE - 1)

/* One update. */
typedef struct td__entry {
    uint32_t position;
    uint32_t now;    /* where its vector is from now on: a row, or nowhere */
    uint32_t before; /* where it was */
} td__entry;

typedef struct td__log {
    uint32_t rows_max;    /* 0: no room yet */
    uint32_t rows_count;  /* the writer's, as the next */
    uint64_t entries_count;
    td__entry *entries;   /* [base count + 2 rows_max]: an item can be deleted only once in a row */
    float *rows;          /* [rows_max, dim] */
    float *panels;        /* [rows_max / TD__PANEL, dim, TD__PANEL]: the same, when a panel is full */
    uint32_t *positions;  /* [rows_max]: whose row it is */
    atomic_uint_fast64_t length; /* entries published */
} td__log;

typedef struct td__state {
    td_index *base;    /* the index itself at first; later owned */
    uint64_t serial;   /* no two states of an index have the same */
    td__log log;
    struct td__state *next; /* of the retired */
} td__state;

/* One who looks at states. */
typedef struct td__reader {
    _Atomic(td__state *) pinned; /* NULL: looks at none */
    struct td__reader *next, *before;
} td__reader;

typedef struct td__updates {
    _Atomic(td__state *) state;
    atomic_uint_fast64_t count; /* positions */
    _Atomic(td_vocab *) ids;    /* a growing copy, once ids were added; else NULL */
    pthread_mutex_t registry;   /* held for moments: */
    td__reader *readers;
    pthread_mutex_t changing;   /* held while the index changes: */
    td__state *retired;
    uint64_t serial;            /* of the newest state */
    uint32_t *where;            /* [where_room or more]; NULL: all in the base as it is */
    uint64_t where_room;
    uint64_t items;             /* that are there */
    bool rebuilding;
    uint64_t *touched;          /* positions updated since the rebuild began; [where_room] bits */
} td__updates;

/* --- states (update_state.c) */

TD_MUST_CHECK td_status td__updates_create(td_index *index, td_error *err);
/* Frees all states, what the index itself holds included. */
void td__updates_free(td_index *index);

TD_MUST_CHECK td_status td__state_create(td__state **out, td_index *base, td_error *err);
void td__state_free(td__state *state, const td_index *index);
/* A new state takes the place of the current one. By the one who holds `changing`, as all that follows. */
void td__state_publish(td_index *index, td__state *fresh);
/* Free the retired states that nobody looks at. */
void td__states_reclaim(td_index *index);
td__state *td__state_now(const td_index *index);

void td__reader_join(td__reader *reader, const td_index *index);
void td__reader_part(td__reader *reader, const td_index *index);
/* The current state, which stays until the unpin. Never waits. */
td__state *td__reader_pin(td__reader *reader, const td_index *index);
void td__reader_unpin(td__reader *reader);

/* --- the log (update.c) */

/* Room to note where `more` more positions are. */
TD_MUST_CHECK td_status td__update_places(td_index *index, uint64_t more, td_error *err);
/* All is where a new base has it. */
void td__update_settle(td_index *index, const td_index *base);
/* Room for `rows` more rows in the current state: in its log, or by a merge. */
TD_MUST_CHECK td_status td__update_room(td_index *index, uint64_t rows, td_error *err);
/* What a log of this base holds, for at least `rows`. */
TD_MUST_CHECK td_status td__log_create(td__log *log, const td_index *base, uint64_t rows,
                                       td_error *err);
/* Add what the current log holds. */
void td__log_describe(const td_index *index, td_index_info *info);
/* Append an entry, with a vector or (NULL) as a deletion; visible after td__update_publish. */
void td__update_append(td_index *index, td__state *state, uint32_t position, const float *vector);
void td__update_publish(td__state *state);

/* --- new bases (update_merge.c, update_rebuild.c) */

/* A base and a log, as of some moment. */
typedef struct td__merge {
    const td_index *base;
    const td__log *log;
    uint64_t count;        /* positions */
    const uint32_t *where; /* [count] */
    uint64_t updates;      /* entries of the log */
} td__merge;

/* Copy of the vector at a position; zeros if it is not there. */
void td__merge_vector(const td__merge *from, uint32_t position, float *vector);
/* Of its first `dim` numbers. */
void td__merge_copy(const td__merge *from, uint32_t position, uint32_t dim, float *vector);

/* The current state as such. */
td__merge td__merge_from(const td_index *index);
/* An empty base for it: context, kind, sizes, and which items are there. */
TD_MUST_CHECK td_status td__merge_create(td_index **out, const td__merge *from, td_error *err);
/* All vectors [count, dim]. */
TD_MUST_CHECK td_status td__merge_rows(float **rows, const td__merge *from, td_error *err);
/* Merge into a new base. */
TD_MUST_CHECK td_status td__merge_make(td_index **out, const td__merge *from, td_error *err);
/* Merge the log of the current state; the new one has room for `rows`. */
TD_MUST_CHECK td_status td__merge_now(td_index *index, uint64_t rows, td_error *err);

#endif
