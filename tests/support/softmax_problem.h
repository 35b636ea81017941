/* softmax_problem.h -- batches for the softmax engine, with what float64 says about them.
 *
 * A problem is a batch of B interactions (query, candidate, weight) and some extra candidates. The
 * expected numbers come from the batch as it is, in double, all B x C scores; the engine gets it plain, or
 * with distinct rows, or with distinct rows and columns. */
#ifndef TEST_SUPPORT_SOFTMAX_PROBLEM_H
#define TEST_SUPPORT_SOFTMAX_PROBLEM_H

#include "support/test.h"

#include "kernel/softmax.h"

enum { SOFTMAX_LIMIT = 400, SOFTMAX_DIM_LIMIT = 130, SOFTMAX_CELLS = SOFTMAX_LIMIT * SOFTMAX_DIM_LIMIT };

/* Round in place to numbers of bfloat16. */
void softmax_make_exact(float *vectors, size_t count);

/* |a - b| / |b| in the 2-norm. */
double softmax_apart(const float *a, const float *b, size_t count);

typedef struct softmax_problem {
    uint32_t queries, items; /* distinct ids that may occur */
    uint32_t batch, extra;   /* interactions, and further columns */
    uint32_t dim;
    float temperature, size; /* of the vectors' elements */
    bool remove, weighted, biased;
    td_precision precision;
    bool exact; /* vectors are numbers of bfloat16 */
    uint64_t seed;
} softmax_problem;

/* A problem with its data, and what float64 says about it. */
typedef struct softmax_truth {
    softmax_problem p;
    uint32_t query[SOFTMAX_LIMIT];
    uint32_t item[2 * SOFTMAX_LIMIT]; /* ids of interactions; items also of extra columns */
    float weight[SOFTMAX_LIMIT], item_bias[SOFTMAX_LIMIT];
    float queries[SOFTMAX_CELLS], items[SOFTMAX_CELLS]; /* [id, dim] */
    double loss, d_temperature, entry_loss[SOFTMAX_LIMIT];
    double d_queries[SOFTMAX_CELLS], d_items[SOFTMAX_CELLS]; /* [id, dim] */
} softmax_truth;

/* A batch for the engine, its results, and which ids its rows and columns are. */
typedef struct softmax_form {
    td__softmax_shape shape;
    td__softmax_batch batch;
    td__softmax_result result;
    uint32_t row_id[SOFTMAX_LIMIT], column_id[2 * SOFTMAX_LIMIT];
    uint32_t copies[2 * SOFTMAX_LIMIT], ring[2 * SOFTMAX_LIMIT];
    uint32_t offset[SOFTMAX_LIMIT + 1], entry_column[SOFTMAX_LIMIT];
    uint32_t entry[SOFTMAX_LIMIT]; /* interaction of an entry */
    float rows[SOFTMAX_CELLS], columns[2 * SOFTMAX_CELLS];
    float bias[2 * SOFTMAX_LIMIT], weight[SOFTMAX_LIMIT];
    float entry_loss[SOFTMAX_LIMIT], d_rows[SOFTMAX_CELLS], d_columns[2 * SOFTMAX_CELLS];
} softmax_form;

/* Temperature at which rows are multiplied by log2(e) / temperature = 1: exact vectors stay exact, and
 * bfloat16 rounds nothing but weights. */
#define SOFTMAX_FACTOR_1 1.44269504f

softmax_problem softmax_usual(uint64_t seed);
void softmax_solve(softmax_truth *t, softmax_problem p);
void softmax_make_form(softmax_form *f, const softmax_truth *t, bool merge_rows, bool merge_columns);
void softmax_run(softmax_form *f, td_context *context);

/* The larger relative error of the gradients of rows and columns. */
double softmax_error(const softmax_form *f, const softmax_truth *t);

/* Loss, gradients, losses of entries and the slope of the temperature; fails the test where they differ. */
void softmax_check(const softmax_form *f, const softmax_truth *t, double tolerance);
void softmax_same_results(const softmax_form *a, const softmax_form *b, const char *what);

#endif
