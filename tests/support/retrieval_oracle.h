/* retrieval_oracle.h -- the retrieval task a second time: float64, whole B x C matrices, no shared
 * code.
 *
 * And random batches to compare on. */
#ifndef TANDEM_TESTS_RETRIEVAL_ORACLE_H
#define TANDEM_TESTS_RETRIEVAL_ORACLE_H

#include "support/test.h"

/* Owned; free with oracle_free. */
typedef struct oracle {
    double loss, d_temperature;
    double *row_loss;    /* [B] */
    double *d_query;     /* [B, H, D] */
    double *d_candidate; /* [C, D] */
    double *score;       /* [B, C] after steps 1 to 7; -HUGE_VAL where a column left */
    double closest; /* smallest gap between two scores that a choice (head, negative) hung on */
} oracle;

/* By the text of tandem.h. The batch must be valid; heads at least 1. */
oracle oracle_retrieval(const td_retrieval_batch *batch, const td_retrieval_options *options);
void oracle_free(oracle *oracle);

/* A random batch and options. `with` switches things on, one bit each: */
enum {
    WITH_TEMPERATURE = 1,
    WITH_PROBABILITY = 2, /* some below 1e-6, some above 1 */
    WITH_HITS = 4,
    WITH_MASK = 8,
    WITH_HARD = 16,
    WITH_SMOOTHING = 32,
    WITH_WEIGHTS = 64, /* some 0 */
    WITH_HEADS = 128,
    WITH_POSITIVES = 256, /* shared by rows, fewer candidates than rows */
    WITH_EXTRA = 512,     /* more candidates than rows */
    WITH_MEAN = 1024,
    WITH_ALL = 2048, /* number of combinations */
    WITH_STEP = TEST_THREAD_SANITIZER ? 13 : 1 /* to the next that a test tries */
};

typedef struct random_batch {
    td_retrieval_batch batch; /* its arrays are those below */
    td_retrieval_options options;
    float *query, *candidate, *weight, *probability;
    uint32_t *positive;
    uint64_t *id;
    uint8_t *mask;
} random_batch;

random_batch random_batch_make(uint64_t seed, uint32_t rows, uint32_t dim, unsigned with);
void random_batch_free(random_batch *random);

/* Shape that fits the batch exactly. */
td_retrieval_shape shape_of(const td_retrieval_batch *batch);

/* A result with its arrays; free with result_free. */
td_retrieval_result result_make(const td_retrieval_batch *batch);
void result_free(td_retrieval_result *result);

/* Largest |a - b| over the largest |b|: the error of an array as a whole. */
double array_error(const float *a, const double *b, size_t count);

#endif
