/* index.h -- what an index is inside, for those who scan it, and what a kind of index is.
 *
 * Serves: stages 6 and 7. The interface for users is public.
 *
 * A kind is one td__index_class in a file of its own and a line in index.c. Whatever the kind, the
 * vectors themselves are there, so every index can be searched exactly (scan.h). */
#ifndef TD_INDEX_INDEX_H
#define TD_INDEX_INDEX_H

#include "base/container.h"
#include "kernel/kernel.h"

typedef struct td__index_class td__index_class;
struct td__tree; /* tree.h */
struct td__int8; /* int8_items.h */

struct td_index {
    const td__index_class *kind;
    td_context *context;
    uint64_t count;        /* N */
    uint32_t dim;
    td_vocab *ids;         /* shared, or NULL */
    float greatest;        /* largest absolute value of an element */
    /* The vectors, in one of two ways. Columns past N are zeros. */
    float *panels;         /* exact: [td__panel_count(N), dim, TD__PANEL] */
    float *rows;           /* tree, and exact with int8: [N, dim] */
    struct td__int8 *int8; /* exact: filters items before they are scored; or NULL */
    struct td__tree *tree; /* tree: the rest of it */
};

struct td__scan; /* scan.h: one call of td_searcher_search, checked */

/* How one kind does what all do. `index` has its context, count and dim; functions that fill it may
 * fail half way: `clear` then frees what is there. */
struct td__index_class {
    td_index_kind kind;
    const char *name; /* in options and files */
    td_status (*build)(td_index *index, const td_vectors *items, const td_index_options *options,
                       const td_progress_hook *hook, td_error *err);
    void (*clear)(td_index *index);
    td_status (*check)(const td_index *index, td_error *err);
    void (*describe)(const td_index *index, td_index_info *info);
    /* Add to a file what is there besides the vectors (NULL: nothing), and make it all from them. */
    td_status (*save)(const td_index *index, td__container_writer *writer, td_error *err);
    td_status (*load)(td_index *index, const td_vectors *items, const td__container *file,
                      td_error *err);
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

/* Element 0 of a vector; element k is k * td__index_step behind it. */
static inline const float *td__index_at(const td_index *index, uint32_t position)
{
    if (index->rows != NULL) return index->rows + (size_t)position * index->dim;
    return td__index_panel(index, position / TD__PANEL) + position % TD__PANEL;
}

static inline size_t td__index_step(const td_index *index)
{
    return index->rows != NULL ? 1 : TD__PANEL;
}

/* Score of the item at `position` for one query vector [dim]: the same bits as in a scan. */
float td__index_score(const td_index *index, const float *query, uint32_t position);

/* An empty index of a kind, the items and ids checked: what comes before build or load. */
TD_MUST_CHECK td_status td__index_create(td_index **out, td_context *context,
                                         const td__index_class *kind, const td_vectors *items,
                                         const td_vocab *ids, td_error *err);

/* The class of a name in a file, or NULL. */
const td__index_class *td__index_class_find(const char *name);

/* NUMERIC, naming row and column, if an element is not finite; `what` is "item", "query". */
TD_MUST_CHECK td_status td__check_vectors(const td_vectors *vectors, const char *what, td_error *err);

/* ARGUMENT, LIMIT or NUMERIC if these are no queries for this index. */
TD_MUST_CHECK td_status td__check_queries(const td_index *index, const td_vectors *queries,
                                          td_error *err);

/* Largest absolute value: infinity behind all numbers, then NaN. */
float td__greatest_of(const float *values, uint64_t count);

static inline uint32_t td__heads(const td_vectors *vectors)
{
    return vectors->heads == 0 ? 1 : vectors->heads;
}

#endif
