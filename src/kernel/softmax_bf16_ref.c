/* softmax_bf16_ref.c -- the loops of the softmax in bfloat16 in plain C: the specification of the others.
 *
 * Serves: softmax_pairs.c. In: pairs of rounded numbers. Out: weights, sums, gradients in float32. */
#include <math.h>

#include "kernel/softmax_bf16.h"

#include "base/poison.h"

static float add_products(td__pair a, td__pair b, float sum)
{
    sum = fmaf(td__bf16_value(a >> 16), td__bf16_value(b >> 16), sum);
    return fmaf(td__bf16_value(a & 0xFFFF), td__bf16_value(b & 0xFFFF), sum);
}

static void score_row(const td__bf16_tile *tile, uint32_t r, float anchor)
{
    const td__pair *row = tile->rows + (size_t)r * (tile->dim / 2);
    float *scores = tile->weights + (size_t)r * TD__PANEL;
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        float y = tile->bias[j] - anchor;
        for (uint32_t k = 0; k < tile->dim / 2; k++) {
            y = add_products(row[k], tile->panel[(size_t)k * TD__PANEL + j], y);
        }
        scores[j] = y;
    }
}

static void keep(const td__bf16_tile *tile)
{
    for (uint32_t r = 0; r < tile->height; r++) score_row(tile, r, 0.0f);
}

static void score(const td__bf16_tile *tile)
{
    for (uint32_t r = 0; r < tile->height; r++) {
        score_row(tile, r, tile->anchor[r]);
        td__softmax_ref.weigh(tile->weights + (size_t)r * TD__PANEL, 0.0f,
                              tile->sums + (size_t)r * TD__SLICE);
    }
}

static void round_weights(const float *weights, uint32_t height, td__pair *along, td__pair *across)
{
    for (uint32_t r = 0; r < height; r++) {
        const float *row = weights + (size_t)r * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j += 2) *along++ = td__pair_of(row[j], row[j + 1]);
    }
    for (uint32_t r = 0; r < height; r += 2) {
        const float *row = weights + (size_t)r * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j++) *across++ = td__pair_of(row[j], row[j + TD__PANEL]);
    }
}

/* Dimension k of vector i of a sliced array of `count` vectors. */
static size_t place(uint32_t k, uint32_t i, uint32_t count)
{
    return ((size_t)(k / TD__SLICE) * count + i) * TD__SLICE + k % TD__SLICE;
}

static void rows_gradient(const td__pair *along, uint32_t height, const td__pair *columns, uint32_t dim,
                          float *d_rows)
{
    for (uint32_t r = 0; r < height; r++, along += TD__PANEL / 2) {
        for (uint32_t k = 0; k < dim; k++) {
            float *sum = d_rows + place(k, r, height);
            for (uint32_t t = 0; t < TD__PANEL / 2; t++) {
                *sum = add_products(along[t], columns[place(k, t, TD__PANEL / 2)], *sum);
            }
        }
    }
}

static void columns_gradient(const td__pair *across, uint32_t height, const td__pair *rows, uint32_t dim,
                             bool first, float *d_columns)
{
    if (first) memset(d_columns, 0, (size_t)TD__PANEL * dim * sizeof *d_columns);
    for (uint32_t j = 0; j < TD__PANEL; j++) {
        for (uint32_t k = 0; k < dim; k++) {
            float *sum = d_columns + place(k, j, TD__PANEL);
            for (uint32_t t = 0; t < height / 2; t++) {
                *sum = add_products(across[(size_t)t * TD__PANEL + j], rows[place(k, t, height / 2)], *sum);
            }
        }
    }
}

const td__bf16_kernels td__bf16_ref = {
    .score = score,
    .keep = keep,
    .round = round_weights,
    .rows_gradient = rows_gradient,
    .columns_gradient = columns_gradient,
};
