/* evaluation.h -- what every evaluation of rankings shares.
 *
 * Serves: stage 6. evaluation.c prepares the test items and walks through the queries in chunks;
 * for each chunk a ranker (evaluate_model.c, evaluate_scorer.c, evaluate_popularity.c) makes the
 * lists; measure.c turns lists and test items into numbers.
 *
 * Candidates have two numbers: their position in the dataset, and that in the ranker's order, which
 * is also the order of equal scores. `rank_of` leads from one to the other. */
#ifndef TD_EVAL_EVALUATION_H
#define TD_EVAL_EVALUATION_H

#include "base/context.h"
#include "base/status.h"

enum {
    /* Queries whose lists are in memory at one time. */
    TD__CHUNK_QUERIES = 1024,
    /* Queries of one piece of work when measuring. */
    TD__MEASURE_QUERIES = 32
};

/* The distinct test candidates of the queries that have any, in the order of their positions. */
typedef struct td__test_items {
    uint32_t queries;
    uint32_t *query;     /* [queries] position in the dataset */
    uint64_t *offsets;   /* [queries + 1] */
    uint32_t *candidate; /* [offsets[queries]] ascending within a query */
    uint32_t *rows;      /* [offsets[queries]] test rows of each */
    uint64_t row_count;
} td__test_items;

/* Lists of the queries now being looked at. */
typedef struct td__chunk {
    uint32_t first, count;     /* of td__test_items */
    td_hit *hits;              /* [count, k_max], in the ranker's order of candidates */
    uint32_t *hit_counts;      /* [count] */
    float *scores;             /* of each test item of the chunk; NaN: it cannot be ranked */
    uint64_t *exclude_offsets; /* [count + 1] */
    uint32_t *exclude;         /* seen candidates, in the ranker's order; empty if they stay */
} td__chunk;

typedef struct td__evaluation td__evaluation;

/* Fills hits, hit_counts and scores of a chunk. Seen candidates are left out of the hits, but have
 * scores. */
typedef td_status td__rank_fn(void *user, const td__evaluation *evaluation, td__chunk *chunk,
                              td_error *err);

struct td__evaluation {
    td_context *context;
    const td_evaluate_options *options;
    const td_progress_hook *hook;
    td__rank_fn *rank;
    void *user;
    const uint32_t *rank_of; /* [candidates] or NULL: the same; TD_NONE: not in the ranking */
    uint32_t rank_count;     /* candidates in the ranking */
    uint32_t k_max;          /* largest k, but at most rank_count */
    td_query_lists seen;     /* of the training part */
    uint64_t *popularity;    /* [rank_count] training rows of each */
    td__test_items test;
    uint64_t chunk_items_max; /* test items of the largest chunk */
};

/* Check options and datasets, and prepare. Set context, options, hook, rank, user before; rank_of
 * and rank_count may be set between this and the run. */
TD_MUST_CHECK td_status td__evaluation_prepare(td__evaluation *evaluation, const td_dataset *train,
                                               const td_dataset *test, td_error *err);

/* Rank and measure all. `metrics` is filled. */
TD_MUST_CHECK td_status td__evaluation_run(td__evaluation *evaluation, const td_dataset *train,
                                           td_metrics *metrics, td_error *err);
void td__evaluation_clear(td__evaluation *evaluation);

/* Position of a candidate in the ranker's order, or TD_NONE. */
static inline uint32_t td__rank_position(const td__evaluation *evaluation, uint32_t candidate)
{
    return evaluation->rank_of == NULL ? candidate : evaluation->rank_of[candidate];
}

/* Was the candidate in the query's training rows? Both by position in the dataset. */
bool td__was_seen(const td__evaluation *evaluation, uint32_t query, uint32_t candidate);

/* --- measuring */

typedef struct td__measure td__measure;

TD_MUST_CHECK td_status td__measure_create(td__measure **out, const td__evaluation *evaluation,
                                           td_error *err);
void td__measure_add(td__measure *measure, const td__chunk *chunk);
void td__measure_result(const td__measure *measure, td_metrics *metrics);
void td__measure_free(td__measure *measure);

/* --- failures in blocks that run in parallel: the first in block order counts */

typedef struct td__failure {
    td_status status;
    uint64_t block;
    td_error err;
} td__failure;

/* Each worker has one of `failures`; blocks come to it in ascending order. */
static inline void td__failure_note(td__failure *own, td_status status, uint64_t block,
                                    const td_error *err)
{
    if (status == TD_OK || own->status != TD_OK) return;
    *own = (td__failure){.status = status, .block = block, .err = *err};
}

td_status td__failure_first(const td__failure *failures, uint32_t workers, td_error *err);

#endif
