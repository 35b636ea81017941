/* rounded.c -- vectors as integers of 8 bits times a scale.
 *
 * Serves: stage 7, the tree. In: vectors. Out: integers, and vectors again. */
#include "index/rounded.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "index/index.h"

#include "base/poison.h"

enum { SCALE_SPARE = (1 << 8) - 1 }; /* bits of a float32 that a scale has not */

static uint32_t bits_of(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static float scale_of(const float *vector, uint32_t dim)
{
    float scale = td__greatest_of(vector, dim) / TD__ROUNDED_MAX;
    uint32_t bits = (bits_of(scale) + SCALE_SPARE) & ~(uint32_t)SCALE_SPARE;
    memcpy(&scale, &bits, sizeof scale);
    return scale < FLT_MIN ? 0.0f : scale;
}

float td__round_vector(const float *vector, uint32_t dim, int8_t *row)
{
    float scale = scale_of(vector, dim), inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (uint32_t k = 0; k < dim; k++) row[k] = (int8_t)floorf(vector[k] * inverse + 0.5f);
    return scale;
}

void td__round_in_place(float *vector, uint32_t dim)
{
    float scale = scale_of(vector, dim), inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (uint32_t k = 0; k < dim; k++) vector[k] = floorf(vector[k] * inverse + 0.5f) * scale;
}

bool td__is_rounded(const int8_t *row, float scale, uint32_t dim)
{
    int greatest = 0;
    for (uint32_t k = 0; k < dim; k++) {
        int size = row[k] < 0 ? -row[k] : row[k];
        greatest = size > greatest ? size : greatest;
    }
    if (scale == 0.0f) return greatest == 0 && !signbit(scale);
    return isfinite(scale) && scale >= FLT_MIN && (bits_of(scale) & SCALE_SPARE) == 0
           && greatest == TD__ROUNDED_MAX;
}

void td__rounded_spread(const td__rounded *rounded, uint32_t position, uint32_t dim, float *vector,
                        size_t step)
{
    uint32_t slot = rounded->slots[position];
    bool there = slot != TD_NONE;
    const int8_t *row = rounded->rows + (there ? (size_t)slot * rounded->stride : 0);
    float scale = there ? rounded->scales[slot] : 0.0f;
    for (uint32_t k = 0; k < dim; k++) vector[k * step] = there ? scale * (float)row[k] : 0.0f;
}

void td__rounded_copy(const td__rounded *rounded, uint32_t position, uint32_t dim, float *vector)
{
    uint32_t slot = rounded->slots[position];
    if (slot == TD_NONE) {
        memset(vector, 0, dim * sizeof *vector);
        return;
    }
    const int8_t *row = rounded->rows + (size_t)slot * rounded->stride;
    float scale = rounded->scales[slot];
    for (uint32_t k = 0; k < dim; k++) vector[k] = scale * (float)row[k];
}

float td__rounded_score(const td__rounded *rounded, uint32_t position, const float *query, uint32_t dim)
{
    uint32_t slot = rounded->slots[position];
    float sum = 0.0f;
    if (slot == TD_NONE) return sum;
    const int8_t *row = rounded->rows + (size_t)slot * rounded->stride;
    for (uint32_t k = 0; k < dim; k++) sum = fmaf(query[k], rounded->scales[slot] * (float)row[k], sum);
    return sum;
}

void td__rounded_fetch(const td__rounded *rounded, uint32_t position)
{
    uint32_t slot = rounded->slots[position];
    if (slot == TD_NONE) return;
    const char *row = (const char *)(rounded->rows + (size_t)slot * rounded->stride);
    __builtin_prefetch(rounded->scales + slot);
    for (size_t at = 0; at < rounded->stride; at += TD__ALIGNMENT) __builtin_prefetch(row + at);
}
