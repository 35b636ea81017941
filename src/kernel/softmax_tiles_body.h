/* softmax_tiles_body.h -- the loops of the softmax over registers, for both precisions; included through
 * softmax_f32_body.h or softmax_bf16_body.h, once by each set's file.
 *
 * Serves: softmax.c. A set's file defines
 *     vec, LANES            a register, and its floats (4, 8 or 16)
 *     SCORE_ROWS            rows of a score block, of 3 registers a row: 4 or 8
 *     GROUP, GROUP_TAIL     rows of a gradient block, of 2 registers a row; GROUP divides TD__PANEL,
 *                           GROUP_TAIL divides what a multiple of 8 leaves over
 *     load store all zero add sub fma larger smaller scale
 * and the precision what the factors of the products are:
 *     tile_type             the arguments of score
 *     term, TERM            an element of the factors: a float, or a pair of smaller numbers; its numbers
 *     terms, HALVES         a register of them; how many times it is taken up until all its numbers are
 *                           multiplied: 1, or 2 for pairs of which each half is multiplied on its own
 *     load_terms(at, half) all_terms(term, half) add_products(a, b, sum)
 * The results of a block live in registers: 12 of AVX2's 16, 24 of AVX-512's and NEON's 32, enough
 * to hide the latency of a fused multiply-add, with few enough loads for each. All loops over a block
 * have constant length and vanish. */
#include "kernel/softmax_tiles.h"

#define BLOCK static inline __attribute__((always_inline))

/* In front of loops of constant length that the compiler would otherwise keep. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
    SCORE_WIDTH = 3,
    PARTS = TD__SLICE / LANES, /* registers that hold the partial sums of a row */
    SLICES = TD__PANEL / (SCORE_WIDTH * LANES),
    STEPS = TD__PANEL / TERM, /* of a panel's columns */
    GROUP_WIDTH = 2
};

BLOCK vec exp2_of(vec y)
{
    y = larger(all(TD__EXP2_MIN), smaller(all(TD__EXP2_MAX), y));
    vec shifted = add(y, all(TD__EXP2_MAGIC));
    vec f = sub(y, sub(shifted, all(TD__EXP2_MAGIC)));
    vec p = fma(all(TD__EXP2_C6), f, all(TD__EXP2_C5));
    p = fma(p, f, all(TD__EXP2_C4));
    p = fma(p, f, all(TD__EXP2_C3));
    p = fma(p, f, all(TD__EXP2_C2));
    p = fma(p, f, all(TD__EXP2_C1));
    p = fma(p, f, all(1.0f));
    return scale(p, shifted);
}

/* Exponents to weights of one row. The registers' columns are column, column + LANES, ...; the partial sum
 * that a column belongs to is its number modulo 16. */
BLOCK void weigh_row(float *weights, float *sums, uint32_t column, const vec y[SCORE_WIDTH])
{
    vec weight[SCORE_WIDTH], sum[PARTS];
    for (uint32_t w = 0; w < SCORE_WIDTH; w++) weight[w] = exp2_of(y[w]);
    for (uint32_t p = 0; p < PARTS; p++) sum[p] = load(sums + p * LANES);
    for (uint32_t w = 0; w < SCORE_WIDTH; w++) {
        uint32_t part = (column / LANES + w) % PARTS;
        store(weights + column + w * LANES, weight[w]);
        sum[part] = add(sum[part], weight[w]);
    }
    for (uint32_t p = 0; p < PARTS; p++) store(sums + p * LANES, sum[p]);
}

/* y += the products of a block of rows and columns. */
BLOCK void multiply_block(const tile_type *tile, uint32_t row, uint32_t column,
                          vec y[SCORE_ROWS][SCORE_WIDTH])
{
    uint32_t steps = tile->dim / TERM;
    const term *rows = tile->rows + (size_t)row * steps, *panel = tile->panel + column;
    for (uint32_t k = 0; k < steps; k++, panel += TD__PANEL) {
        UNROLL for (uint32_t half = HALVES; half-- > 0;) {
            terms columns[SCORE_WIDTH];
            for (uint32_t w = 0; w < SCORE_WIDTH; w++) columns[w] = load_terms(panel + w * LANES, half);
            for (uint32_t i = 0; i < SCORE_ROWS; i++) {
                terms factor = all_terms(rows[(size_t)i * steps + k], half);
                for (uint32_t w = 0; w < SCORE_WIDTH; w++) {
                    y[i][w] = add_products(factor, columns[w], y[i][w]);
                }
            }
        }
    }
}

BLOCK void score_block(const tile_type *tile, uint32_t row, uint32_t column)
{
    vec y[SCORE_ROWS][SCORE_WIDTH];
    for (uint32_t i = 0; i < SCORE_ROWS; i++) {
        vec anchor = all(tile->anchor[row + i]);
        for (uint32_t w = 0; w < SCORE_WIDTH; w++) {
            y[i][w] = sub(load(tile->bias + column + w * LANES), anchor);
        }
    }
    multiply_block(tile, row, column, y);
    UNROLL for (uint32_t i = 0; i < SCORE_ROWS; i++) {
        weigh_row(tile->weights + (size_t)(row + i) * TD__PANEL,
                  tile->sums + (size_t)(row + i) * TD__SLICE, column, y[i]);
    }
}

static void score(const tile_type *tile)
{
    for (uint32_t row = 0; row < tile->height; row += SCORE_ROWS) {
        UNROLL for (uint32_t slice = 0; slice < SLICES; slice++) {
            score_block(tile, row, slice * SCORE_WIDTH * LANES);
        }
    }
}

/* Where register w of a sliced vector lies: slice after slice. */
BLOCK size_t place(uint32_t w, size_t slice)
{
    return w * LANES / TD__SLICE * slice + w * LANES % TD__SLICE;
}

/* One factor of a product: element (i, t) is at[i * row + t * step]. */
typedef struct factor {
    const term *at;
    size_t row, step;
} factor;

/* Sliced vectors: vector t begins at[t * TD__SLICE], its next slice `slice` elements behind. */
typedef struct sliced {
    const term *at;
    size_t slice;
} sliced;

/* out[i] (=, +=) sum over t < steps of a(i, t) b[t] for `height` vectors i and `width` registers. */
BLOCK void product_block(uint32_t height, uint32_t width, factor a, uint32_t steps, sliced b,
                         bool first, float *out, size_t out_slice)
{
    vec sum[GROUP][GROUP_WIDTH];
    for (uint32_t i = 0; i < height; i++) {
        for (uint32_t w = 0; w < width; w++) {
            sum[i][w] = first ? zero() : load(out + i * TD__SLICE + place(w, out_slice));
        }
    }
    for (uint32_t t = 0; t < steps; t++, b.at += TD__SLICE, a.at += a.step) {
        UNROLL for (uint32_t half = HALVES; half-- > 0;) {
            terms vectors[GROUP_WIDTH];
            for (uint32_t w = 0; w < width; w++) {
                vectors[w] = load_terms(b.at + place(w, b.slice), half);
            }
            for (uint32_t i = 0; i < height; i++) {
                terms weight = all_terms(a.at[i * a.row], half);
                for (uint32_t w = 0; w < width; w++) {
                    sum[i][w] = add_products(weight, vectors[w], sum[i][w]);
                }
            }
        }
    }
    for (uint32_t i = 0; i < height; i++) {
        for (uint32_t w = 0; w < width; w++) {
            store(out + i * TD__SLICE + place(w, out_slice), sum[i][w]);
        }
    }
}

/* `width` registers of the gradients of all rows of the strip, from dimension k on. */
BLOCK void rows_slice(uint32_t width, const term *weights, uint32_t height, const term *columns,
                      uint32_t k, float *d_rows)
{
    const size_t slice = STEPS * TD__SLICE;
    sliced b = {.at = columns + place(k / LANES, slice), .slice = slice};
    factor a = {.at = weights, .row = STEPS, .step = 1};
    size_t out_slice = (size_t)height * TD__SLICE;
    float *out = d_rows + place(k / LANES, out_slice);
    uint32_t r = 0;
    for (; r + GROUP <= height; r += GROUP, a.at += GROUP * STEPS, out += GROUP * TD__SLICE) {
        product_block(GROUP, width, a, STEPS, b, false, out, out_slice);
    }
    for (; r < height; r += GROUP_TAIL, a.at += GROUP_TAIL * STEPS, out += GROUP_TAIL * TD__SLICE) {
        product_block(GROUP_TAIL, width, a, STEPS, b, false, out, out_slice);
    }
}

/* Slices of the dimensions are the outer loop: then a slice of the columns stays in the nearest cache. */
static void rows_gradient(const term *weights, uint32_t height, const term *columns, uint32_t dim,
                          float *d_rows)
{
    uint32_t k = 0;
    for (; k + GROUP_WIDTH * LANES <= dim; k += GROUP_WIDTH * LANES) {
        rows_slice(GROUP_WIDTH, weights, height, columns, k, d_rows);
    }
    for (; k < dim; k += LANES) rows_slice(1, weights, height, columns, k, d_rows);
}

/* The same for the columns. */
BLOCK void columns_slice(uint32_t width, const term *weights, uint32_t height, const term *rows,
                         uint32_t k, bool first, float *d_columns)
{
    uint32_t steps = height / TERM;
    size_t slice = (size_t)steps * TD__SLICE;
    sliced b = {.at = rows + place(k / LANES, slice), .slice = slice};
    float *out = d_columns + place(k / LANES, TD__PANEL * TD__SLICE);
    for (uint32_t j = 0; j < TD__PANEL; j += GROUP) {
        factor a = {.at = weights + j, .row = 1, .step = TD__PANEL};
        product_block(GROUP, width, a, steps, b, first, out + j * TD__SLICE, TD__PANEL * TD__SLICE);
    }
}

static void columns_gradient(const term *weights, uint32_t height, const term *rows, uint32_t dim,
                             bool first, float *d_columns)
{
    uint32_t k = 0;
    for (; k + GROUP_WIDTH * LANES <= dim; k += GROUP_WIDTH * LANES) {
        columns_slice(GROUP_WIDTH, weights, height, rows, k, first, d_columns);
    }
    for (; k < dim; k += LANES) columns_slice(1, weights, height, rows, k, first, d_columns);
}
