/* cholesky.h -- small symmetric positive definite systems.
 *
 * Serves: stage 5, iALS. */
#ifndef TD_TRAIN_CHOLESKY_H
#define TD_TRAIN_CHOLESKY_H

#include "kernel/kernel.h"

/* Solve A x = b. `matrix` [size, size]: the upper triangle counts, and becomes U with U'U = A,
 * while the lower one is overwritten; `vector` [size]: b becomes x. False if A is not positive definite as far as float32 can tell: both
 * are then of no use. Pure; any thread. */
bool td__cholesky_solve(const td__kernels *kernels, float *matrix, uint32_t size, float *vector);

/* <a, b> by 8 sums side by side: not the chain of the kernels, but the same bits everywhere too. */
float td__dot_wide(const float *a, const float *b, uint32_t count);

#endif
