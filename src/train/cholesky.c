/* cholesky.c -- small symmetric positive definite systems.
 *
 * Serves: stage 5, iALS. In: A and b. Out: x.
 *
 * Row by row of U: all inner loops run along rows of U, as axpy of a kernel set, so that the bits are
 * those of the plain C set. */
#include "train/cholesky.h"

#include <math.h>

#include "base/poison.h"

enum { WIDTH = 8 };

/* A pivot that shrank to this share of its diagonal has lost all digits of float32. */
static const float PIVOT_MIN = 1e-6f;

float td__dot_wide(const float *a, const float *b, uint32_t count)
{
    float sums[WIDTH] = {0};
    uint32_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        for (uint32_t k = 0; k < WIDTH; k++) sums[k] += a[i + k] * b[i + k];
    }
    for (uint32_t k = 0; i < count; i++, k++) sums[k] += a[i] * b[i];
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

/* Row k of U from what the rows before it left of A; then take it from the rows behind it. The b of
 * the system is treated as one more column: U'y = b. */
static bool eliminate(const td__kernels *kernels, float *matrix, uint32_t size, uint32_t k,
                      float *vector)
{
    float *row = matrix + (size_t)k * size;
    if (!(row[k] > PIVOT_MIN * row[0])) return false;
    float inverse = 1.0f / sqrtf(row[k]);
    for (uint32_t j = k; j < size; j++) row[j] *= inverse;
    vector[k] *= inverse;
    for (uint32_t i = k + 1; i < size; i++) {
        kernels->axpy(-row[i], row + i, matrix + (size_t)i * size + i, size - i);
    }
    kernels->axpy(-vector[k], row + k + 1, vector + k + 1, size - k - 1);
    return true;
}

bool td__cholesky_solve(const td__kernels *kernels, float *matrix, uint32_t size, float *vector)
{
    /* The first column has no other use: it keeps the diagonal as it was. */
    for (uint32_t k = 1; k < size; k++) matrix[(size_t)k * size] = matrix[(size_t)k * size + k];
    for (uint32_t k = 0; k < size; k++) {
        if (!eliminate(kernels, matrix, size, k, vector)) return false;
    }
    for (uint32_t k = size; k-- > 0;) {
        const float *row = matrix + (size_t)k * size;
        vector[k] -= td__dot_wide(row + k + 1, vector + k + 1, size - k - 1);
        vector[k] /= row[k];
    }
    return true;
}
