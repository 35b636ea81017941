/* softmax_ref.c -- the loops of the softmax in plain C: the specification of the others.
 *
 * Serves: softmax.c. In: a strip of rows and a panel of columns. Out: weights, sums, gradients. */
#include <math.h>
#include <string.h>

#include "kernel/softmax_tiles.h"

#include "base/poison.h"

static float exp2_of(float y)
{
    if (y > TD__EXP2_MAX) y = TD__EXP2_MAX;
    if (y < TD__EXP2_MIN) y = TD__EXP2_MIN; /* what is not a number passes both */
    float shifted = y + TD__EXP2_MAGIC;
    float f = y - (shifted - TD__EXP2_MAGIC);
    float p = fmaf(TD__EXP2_C6, f, TD__EXP2_C5);
    p = fmaf(p, f, TD__EXP2_C4);
    p = fmaf(p, f, TD__EXP2_C3);
    p = fmaf(p, f, TD__EXP2_C2);
    p = fmaf(p, f, TD__EXP2_C1);
    p = fmaf(p, f, 1.0f);
    uint32_t bits, n;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&n, &shifted, sizeof n);
    bits += n << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

static void score(const td__softmax_tile *tile)
{
    for (uint32_t r = 0; r < tile->height; r++) {
        const float *row = tile->rows + (size_t)r * tile->dim;
        float *sums = tile->sums + (size_t)r * TD__SLICE;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            uint32_t lane = j % TD__SLICE;
            float y = tile->bias[j] - tile->anchor[r];
            for (uint32_t k = 0; k < tile->dim; k++) {
                y = fmaf(row[k], tile->panel[(size_t)k * TD__PANEL + j], y);
            }
            float weight = exp2_of(y);
            tile->weights[(size_t)r * TD__PANEL + j] = weight;
            sums[lane] += weight;
        }
    }
}

static void weigh(float *scores, float anchor, float *sums)
{
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        scores[j] = exp2_of(scores[j] - anchor);
        sums[j % TD__SLICE] += scores[j];
    }
}

/* Dimension k of vector i of a sliced array of `count` vectors. */
static size_t place(uint32_t k, uint32_t i, uint32_t count)
{
    return ((size_t)(k / TD__SLICE) * count + i) * TD__SLICE + k % TD__SLICE;
}

static void rows_gradient(const float *weights, uint32_t height, const float *columns, uint32_t dim,
                          float *d_rows)
{
    for (uint32_t r = 0; r < height; r++, weights += TD__PANEL) {
        for (uint32_t k = 0; k < dim; k++) {
            float *sum = d_rows + place(k, r, height);
            for (uint32_t j = 0; j < TD__PANEL; j++) {
                *sum = fmaf(weights[j], columns[place(k, j, TD__PANEL)], *sum);
            }
        }
    }
}

static void columns_gradient(const float *weights, uint32_t height, const float *rows, uint32_t dim,
                             bool first, float *d_columns)
{
    if (first) memset(d_columns, 0, (size_t)TD__PANEL * dim * sizeof *d_columns);
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        for (uint32_t k = 0; k < dim; k++) {
            float *sum = d_columns + place(k, j, TD__PANEL);
            for (uint32_t r = 0; r < height; r++) {
                *sum = fmaf(weights[(size_t)r * TD__PANEL + j], rows[place(k, r, height)], *sum);
            }
        }
    }
}

const td__softmax_kernels td__softmax_ref = {
    .score = score,
    .weigh = weigh,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};
