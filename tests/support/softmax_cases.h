/* softmax_cases.h -- tests of the softmax engine that are the same in each precision. */
#ifndef TEST_SUPPORT_SOFTMAX_CASES_H
#define TEST_SUPPORT_SOFTMAX_CASES_H

#include "support/softmax_problem.h"

/* What a test works on: a problem, and what the engine says of it, once and again. Too large for a
 * stack. */
extern softmax_truth expected;
extern softmax_form found, again;

/* A problem with all options, of several groups and panels. */
softmax_problem varied(td_precision precision);

/* `expected` in the form of its batch, on one thread of the named kernel set. */
void run_on(softmax_form *form, const char *kernel);

/* The problem in all its forms against float64; the last is left in `found`. */
void check_forms(softmax_problem p, td_context *context, double tolerance);

/* Small problems of `usual` (a function of the seed), of all sizes and dimensions. */
void check_ragged_shapes(softmax_problem (*usual)(uint64_t seed), double tolerance);

void check_same_bits_for_1_2_and_7_threads(softmax_problem p);

/* Each of the bad numbers in row 77, and then in a column, is an error that names a row; after that the
 * same handle gives `expected` again. */
void check_bad_numbers(softmax_problem p, const float *bad, int count, double tolerance);

void check_compute_allocates_nothing(softmax_problem p);
void check_every_failed_allocation(td_precision precision);

#endif
