/* softmax_pairs.c -- the softmax in bfloat16: the steps of a strip that differ from float32.
 *
 * Serves: softmax.c. In: vectors, weights and scaled rows in float32. Out: scores and gradients.
 *
 * Rounded to bfloat16 are the factors of the three products: the vectors of rows and columns, the weights,
 * and the rows times alpha. Sums, exponentials, weights as such, Z, losses and alpha stay as in float32.
 * Scores of entries are of the rounded vectors too: a row's own column weighs in Z what its loss says.
 *
 * The gradients of the entries themselves are not rounded. An entry's weight carries its label: half of
 * the length of a gradient or more, in one product, where nothing evens rounding out. So it is taken out of
 * the weights, and its products are added in float32 with the vectors as they came: O(entries). What is
 * left, the sum over the negatives, has the errors of many small numbers, which cancel. */
#include "kernel/softmax_pairs.h"

#include "kernel/softmax_bf16.h"

#include "base/poison.h"

/* Dimension k of vector i of a sliced array of `count` vectors. */
static size_t place(uint32_t k, uint32_t i, uint32_t count)
{
    return ((size_t)(k / TD__SLICE) * count + i) * TD__SLICE + k % TD__SLICE;
}

/* --- rounding */

static void put(td__pair *pair, bool second, uint32_t bf16)
{
    *pair = second ? *pair | bf16 << 16 : bf16;
}

void td__pairs_pack_column(const td__softmax_call *c, uint32_t column, const float *vector, uint32_t dim)
{
    const td__softmax *softmax = c->softmax;
    uint32_t stride = softmax->stride, j = column % TD__PANEL;
    size_t panel = (size_t)(column - j) * (stride / 2);
    td__pair *slices = softmax->pair_columns + panel, *transposed = softmax->pair_panels + panel;
    for (uint32_t k = 0; k < stride; k += 2) {
        uint32_t first = k < dim ? td__bf16_of(vector[k]) : 0;
        uint32_t second = k + 1 < dim ? td__bf16_of(vector[k + 1]) : 0;
        transposed[(size_t)(k / 2) * TD__PANEL + j] = first | second << 16;
        put(slices + place(k, j / 2, TD__PANEL / 2), j % 2 == 1, first);
        put(slices + place(k + 1, j / 2, TD__PANEL / 2), j % 2 == 1, second);
    }
}

void td__pairs_load_rows(const td__softmax_call *c, td__strip *s)
{
    size_t count = (size_t)s->height * c->softmax->stride / 2;
    for (size_t i = 0; i < count; i++) s->pair_rows[i] = td__pair_of(s->rows[2 * i], s->rows[2 * i + 1]);
}

/* Two rows to pairs. */
static void pack_scaled(const td__softmax_call *c, td__strip *s)
{
    uint32_t stride = c->softmax->stride, pairs = s->height / 2;
    for (uint32_t slice = 0; slice < stride / TD__SLICE; slice++) {
        for (uint32_t t = 0; t < pairs; t++) {
            size_t at = ((size_t)slice * pairs + t) * TD__SLICE;
            const float *first = s->scaled + 2 * at, *second = first + TD__SLICE;
            for (uint32_t l = 0; l < TD__SLICE; l++) {
                s->pair_scaled[at + l] = td__pair_of(first[l], second[l]);
            }
        }
    }
}

/* --- scores */

float td__pairs_dot(const td__softmax_call *c, const td__strip *s, uint32_t r, uint32_t column)
{
    uint32_t dim = c->softmax->shape.dim;
    const td__pair *row = s->pair_rows + (size_t)r * (c->softmax->stride / 2);
    const float *vector = td__vector_of(&c->batch->columns, column, dim);
    float sums[TD__SLICE] = {0};
    for (uint32_t k = 0; k < dim; k++) {
        float factor = td__bf16_value(row[k / 2] >> (k % 2 * 16));
        sums[k % TD__SLICE] += factor * td__bf16_value(td__bf16_of(vector[k]));
    }
    return td__sum_lanes(sums);
}

static td__bf16_tile tile_of(const td__softmax_call *c, const td__strip *s, uint32_t p)
{
    const td__softmax *softmax = c->softmax;
    return (td__bf16_tile){
        .height = s->height,
        .dim = softmax->stride,
        .rows = s->pair_rows,
        .panel = softmax->pair_panels + (size_t)p * TD__PANEL * (softmax->stride / 2),
        .anchor = s->anchor,
        .bias = softmax->bias + (size_t)p * TD__PANEL,
        .sums = s->sums,
    };
}

void td__pairs_score(const td__softmax_call *c, td__strip *s, uint32_t p)
{
    td__bf16_tile tile = tile_of(c, s, p);
    tile.weights = s->weights + p * s->step;
    c->kernels->bf16->score(&tile);
}

void td__pairs_keep(const td__softmax_call *c, const td__strip *s, uint32_t p, float *out)
{
    td__bf16_tile tile = tile_of(c, s, p);
    tile.weights = out;
    c->kernels->bf16->keep(&tile);
}

/* --- gradients */

/* The score row that an entry's weight is in. */
static uint32_t score_row(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column)
{
    return i * s->heads + (s->heads > 1 ? *td__winner_of(c, s, i, column) : 0);
}

/* Entries' weights out of the strip. An entry that is there again finds none left. */
static void take_entries(const td__softmax_call *c, td__strip *s, uint32_t i)
{
    uint32_t row = s->begin + i, end = td__first_entry(c->batch, row + 1);
    for (uint32_t b = td__first_entry(c->batch, row); b < end; b++) {
        uint32_t column = td__entry_column(c->batch, b), r = score_row(c, s, i, column);
        float *weight = td__cell(s, i, column) + (size_t)(r - i * s->heads) * TD__PANEL;
        c->softmax->share[b] = (double)*weight;
        *weight = 0.0f;
    }
}

static void add_scaled(td__sliced to, float factor, td__sliced from, uint32_t dim)
{
    for (uint32_t k = 0; k < dim; k += TD__SLICE, to.at += to.step, from.at += from.step) {
        uint32_t count = dim - k < TD__SLICE ? dim - k : TD__SLICE;
        for (uint32_t l = 0; l < count; l++) to.at[l] += factor * from.at[l];
    }
}

/* The gradients of an entry's product. */
static void add_entry(const td__softmax_call *c, td__strip *s, uint32_t i, uint32_t entry, float *partial)
{
    uint32_t dim = c->softmax->shape.dim, stride = c->softmax->stride;
    uint32_t column = td__entry_column(c->batch, entry), r = score_row(c, s, i, column);
    float weight = (float)c->softmax->share[entry];
    const float *vector = td__vector_of(&c->batch->columns, column, dim);
    add_scaled(td__sliced_vector(s->d_rows, r, s->height), weight,
               (td__sliced){.at = (float *)vector, .step = TD__SLICE}, dim);
    if (c->result->d_columns == NULL) return;
    add_scaled(td__column_vector(partial, column, stride), weight,
               td__sliced_vector(s->scaled, r, s->height), dim);
}

void td__pairs_gradients(const td__softmax_call *c, td__strip *s, float *partial, bool first)
{
    const td__bf16_kernels *kernels = c->kernels->bf16;
    uint32_t stride = c->softmax->stride;
    pack_scaled(c, s);
    for (uint32_t i = 0; i < s->count; i++) take_entries(c, s, i);
    for (uint32_t p = 0; p < c->panels; p++) {
        size_t panel = (size_t)p * TD__PANEL * stride;
        kernels->round(s->weights + p * s->step, s->height, s->along, s->across);
        kernels->rows_gradient(s->along, s->height, c->softmax->pair_columns + panel / 2, stride, s->d_rows);
        if (c->result->d_columns == NULL) continue;
        kernels->columns_gradient(s->across, s->height, s->pair_scaled, stride, first, partial + panel);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t row = s->begin + i, end = td__first_entry(c->batch, row + 1);
        for (uint32_t b = td__first_entry(c->batch, row); b < end; b++) add_entry(c, s, i, b, partial);
    }
}
