/* index.h -- what an index is inside, for those who scan it, and what a kind of index is.
 *
 * Serves: stages 6 and 7. The interface for users is public.
 *
 * A kind is one td__index_class in a file of its own and a line in index.c. Whatever the kind, the
 * vectors themselves are there, so every index can be searched exactly (scan.h). An index of rounded
 * vectors is an index of these: nobody asks any more what they were. */
#ifndef TD_INDEX_INDEX_H
#define TD_INDEX_INDEX_H

#include <assert.h>
#include <string.h>

#include "base/container.h"
#include "index/distance.h"
#include "index/rounded.h"
#include "kernel/kernel.h"

typedef struct td__index_class td__index_class;
struct td__tree;    /* tree.h */
struct td__int8;    /* int8_items.h */
struct td__updates; /* update.h */
struct td__merge;   /* update.h */

/* How far an index has come from what it was built for. */
typedef struct td__drift {
    uint64_t updates; /* merged since */
    double built;     /* tree: mean squared distance to the centre when built; 0: not known yet */
    double sum;       /* tree: of the squared distances of what was merged since */
    uint64_t merged;  /* tree: how many those are */
} td__drift;

struct td_index {
    const td__index_class *kind;
    td_context *context;
    uint64_t count;        /* N */
    uint32_t dim;          /* with the columns of the distance measure */
    td__distance distance; /* of the index as the user has it; bases know dot products only */
    td_vocab *ids;         /* shared, or NULL */
    float greatest;        /* largest absolute value of an element */
    /* The vectors, in one of three ways. Columns past N are zeros. */
    float *panels;         /* exact: [td__panel_count(N), dim, TD__PANEL] */
    float *rows;           /* tree, and exact with int8: [N, dim] */
    td__rounded *rounded;  /* tree */
    struct td__int8 *int8; /* exact: filters items before they are scored; or NULL */
    struct td__tree *tree; /* tree: the rest of it */
    td__container *file;   /* large arrays may lie in it, never to be written; or NULL */
    uint64_t *live;        /* bitmap of the items that are there; NULL: all */
    uint64_t dead;         /* how many are not */
    td__drift drift;
    struct td__updates *updates; /* NULL: an index inside another, which never changes */
};

struct td__scan; /* scan.h: one call of td_searcher_search, checked */

/* How one kind does what all do. `index` has its context, count and dim; functions that fill it may
 * fail half way: `clear` then frees what is there. */
struct td__index_class {
    td_index_kind kind;
    const char *name; /* in options and files */
    float greatest;   /* elements beyond this are refused; 0: none */
    td_status (*build)(td_index *index, const td_vectors *items, const td_index_options *options,
                       const td_progress_hook *hook, td_error *err);
    void (*clear)(td_index *index);
    td_status (*check)(const td_index *index, td_error *err);
    void (*describe)(const td_index *index, td_index_info *info);
    /* Add to a file what is there besides the vectors (NULL: nothing), and make it all from them. */
    td_status (*save)(const td_index *index, td__container_writer *writer, td_error *err);
    td_status (*load)(td_index *index, const td_vectors *items, const td__container *file,
                      td_error *err);
    /* Make `index` (count, live and dead are set) of what another was and what came since. NULL: build
     * it of the vectors. */
    td_status (*merge)(td_index *index, const struct td__merge *from, td_error *err);
    /* `index` was built of the items that are there, number i being positions[i]: put all in their
     * places, and keep what `before` had learned from queries. With `merge`, or NULL. */
    td_status (*succeed)(td_index *index, const td_index *before, const uint32_t *positions,
                         uint64_t count, td_error *err);
    /* Scratch of one searcher. NULL: needs none. */
    td_status (*scratch_create)(void **scratch, const td_index *index, td_error *err);
    void (*scratch_free)(void *scratch, const td_index *index);
    /* Search in the kind's own way, or set `*exactly` and leave it to the exact scan. NULL: always. */
    td_status (*search)(void *scratch, const struct td__scan *scan, uint64_t queries, td_hit *hits,
                        uint32_t *counts, bool *exactly, td_error *err);
    td_status (*calibrate)(td_index *index, const td_vectors *queries, const td_progress_hook *hook,
                           td_error *err);
};

extern const td__index_class td__index_exact;
extern const td__index_class td__index_tree;

/* Panel of an exact index. */
static inline const float *td__index_panel(const td_index *index, uint64_t panel)
{
    return index->panels + panel * index->dim * TD__PANEL;
}

/* Does it keep its items packed as they are scanned? */
static inline bool td__index_is_packed(const td_index *index)
{
    return index->rows == NULL && index->rounded == NULL;
}

/* Element 0 of a vector, which is not rounded; element k is k * td__index_step behind it. */
static inline const float *td__index_at(const td_index *index, uint32_t position)
{
    assert(index->rounded == NULL);
    if (index->rows != NULL) return index->rows + (size_t)position * index->dim;
    return td__index_panel(index, position / TD__PANEL) + position % TD__PANEL;
}

static inline size_t td__index_step(const td_index *index)
{
    return index->rows != NULL ? 1 : TD__PANEL;
}

/* Copy of the first `dim` numbers of a vector of an index that does not change. */
static inline void td__index_copy(const td_index *index, uint32_t position, uint32_t dim, float *vector)
{
    if (index->rounded != NULL) {
        td__rounded_copy(index->rounded, position, dim, vector);
        return;
    }
    const float *from = td__index_at(index, position);
    size_t step = td__index_step(index);
    if (step == 1) memcpy(vector, from, dim * sizeof *vector);
    else for (uint32_t k = 0; k < dim; k++) vector[k] = from[k * step];
}

/* Score of the item at `position` for one query vector [dim]: the same bits as in a scan. */
float td__index_score(const td_index *index, const float *query, uint32_t position);

/* An empty index of a kind, the items and ids checked: what comes before build or load. */
TD_MUST_CHECK td_status td__index_create(td_index **out, td_context *context,
                                         const td__index_class *kind, const td_vectors *items,
                                         const td_vocab *ids, td_error *err);

/* The class of a name in a file, or NULL. */
const td__index_class *td__index_class_find(const char *name);

/* Vectors as the index has them inside: the caller's own, or `*owned`, to be freed with td__free. */
TD_MUST_CHECK td_status td__inner_items(td_vectors *inner, float **owned, const td_index *index,
                                        const td_vectors *items, td_error *err);
TD_MUST_CHECK td_status td__inner_queries(td_vectors *inner, float **owned, const td_index *index,
                                          const td_vectors *queries, td_error *err);

/* NUMERIC, naming row and column, if an element is not finite; `what` is "item", "query". */
TD_MUST_CHECK td_status td__check_vectors(const td_vectors *vectors, const char *what, td_error *err);

/* ARGUMENT, LIMIT or NUMERIC if these are no queries for this index. */
TD_MUST_CHECK td_status td__check_queries(const td_index *index, const td_vectors *queries,
                                          td_error *err);

/* Largest absolute value: infinity behind all numbers, then NaN. */
float td__greatest_of(const float *values, uint64_t count);

/* --- which items are there */

static inline uint64_t td__words(uint64_t bits)
{
    return bits / 64 + (bits % 64 != 0);
}

static inline bool td__bit(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> i % 64 & 1) != 0;
}

/* How many of the first `count` bits are set. */
uint64_t td__count_bits(const uint64_t *bits, uint64_t count);

static inline void td__set_bit(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= UINT64_C(1) << i % 64;
}

static inline void td__clear_bit(uint64_t *bits, uint64_t i)
{
    bits[i / 64] &= ~(UINT64_C(1) << i % 64);
}

static inline bool td__index_has(const td_index *index, uint32_t position)
{
    return index->live == NULL || td__bit(index->live, position);
}

/* Was it never updated? Then its vectors may be used directly. */
bool td__index_is_as_built(const td_index *index);

/* Free an array of a base, if it does not lie in the base's file. */
void td__index_drop(const td_index *index, void *array);

/* Free what the kind has made, and the marks. */
void td__index_clear(td_index *index);

static inline uint32_t td__heads(const td_vectors *vectors)
{
    return vectors->heads == 0 ? 1 : vectors->heads;
}

#endif
