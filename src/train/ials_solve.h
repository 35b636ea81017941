/* ials_solve.h -- the best vector of one query (or candidate) while the other side stands still.
 *
 * Serves: stage 5: ials.c, which does it for whole tables, and fold_in.c. */
#ifndef TD_TRAIN_IALS_SOLVE_H
#define TD_TRAIN_IALS_SOLVE_H

#include "train/outer.h"

/* What all solutions of one side have in common. Immutable: any number of threads. */
typedef struct td__ials_problem {
    const td__kernels *kernels;
    const float *table; /* [., dim] vectors of the other side */
    const float *gram;  /* [dim, dim] sum of v v' over that table */
    uint32_t dim, block;
    double others;      /* N, see tandem.h: vectors of the other side that stand for something */
    double unobserved_weight, regularization, exponent;
} td__ials_problem;

/* What one vector is to explain. */
typedef struct td__ials_list {
    const uint32_t *others; /* [count] rows of the other table */
    const float *weight;    /* [count] or NULL: 1 */
    uint64_t count;
} td__ials_list;

/* Scratch of one thread. */
typedef struct td__ials_scratch {
    td__outer outer;
    float *matrix, *gradient; /* [block, block], [block] */
    float *scores;            /* [longest list] */
} td__ials_scratch;

/* For blocks of `block` numbers and lists of at most `longest`. */
TD_MUST_CHECK td_status td__ials_scratch_init(td__ials_scratch *out, td_context *context,
                                              uint32_t block, uint64_t longest, td_error *err);
void td__ials_scratch_clear(td__ials_scratch *scratch, td_context *context); /* zeroed is fine */

/* The weight of |vector|^2 in the loss, for a list whose weights sum to `weight`. */
double td__ials_regularization(const td__ials_problem *problem, double weight);
double td__ials_weight(const td__ials_list *list); /* that sum */

/* Improve `vector` [dim], block after block; if one block is all of it, what it was before has no
 * influence. False if a system has no solution in float32. */
bool td__ials_solve(const td__ials_problem *problem, td__ials_scratch *scratch,
                    const td__ials_list *list, float *vector);

/* The sum of v v' over all `rows` of a table, into `gram` [dim, dim]. */
TD_MUST_CHECK td_status td__ials_gram(td_context *context, const float *table, uint64_t rows,
                                      uint32_t dim, float *gram, td_error *err);

#endif
