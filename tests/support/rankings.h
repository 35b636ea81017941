/* rankings.h -- small data sets for evaluation, and metrics worked out the plain way. */
#ifndef TANDEM_TESTS_RANKINGS_H
#define TANDEM_TESTS_RANKINGS_H

#include "support/test.h"

/* Training and test part over one pair of vocabularies. Ids are "q0", "q1", ... and "c0", "c1",
 * ..., where position and number are the same. */
typedef struct ranking_data {
    td_dataset *train, *test;
} ranking_data;

typedef struct ranking_row {
    uint32_t query, candidate;
} ranking_row;

/* The vocabularies hold ids below `queries` and `candidates`, whether they have rows or not. */
ranking_data ranking_data_make(td_context *context, uint32_t queries, uint32_t candidates,
                               const ranking_row *train, uint64_t train_count,
                               const ranking_row *test, uint64_t test_count);
/* Rows at random; candidates with a small number more often; some rows twice. */
ranking_data ranking_data_random(td_context *context, uint32_t queries, uint32_t candidates,
                                 uint64_t train_count, uint64_t test_count, uint64_t seed);
void ranking_data_free(ranking_data *data);

/* Score of a candidate for a query; -INFINITY: not in the ranking. */
typedef float ranking_score(void *user, uint32_t query, uint32_t candidate);

/* The metrics by sorting all candidates of each query, one query and one k after the other.
 * `candidates_ranked` is what coverage is a share of. */
td_metrics ranking_metrics(const ranking_data *data, ranking_score *score, void *user,
                           uint32_t candidates_ranked, const td_evaluate_options *options);

/* Fails unless all metrics agree to 1e-12. */
void assert_metrics_equal(const td_metrics *found, const td_metrics *expected);

#endif
