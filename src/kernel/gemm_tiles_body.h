/* gemm_tiles_body.h -- rows times a packed matrix over registers; included once by each set's file.
 *
 * Serves: gemm.c. The file that includes it defines
 *     vec, LANES        a register, and its floats (4, 8 or 16)
 *     GROUP, SLICES     rows and slices of a tile; GROUP divides TD__GEMM_STRIP
 *     load store        of unaligned memory
 *     all fma larger    larger(a, b): a > b ? a : b
 * The results of a tile live in registers: 12 of AVX2's 16, 24 of AVX-512's and NEON's 32. All loops
 * over a tile have constant length and vanish. */
#include <string.h>

#include "kernel/gemm_tiles.h"

#define BLOCK static inline __attribute__((always_inline))

enum {
    PARTS = TD__GEMM_SLICE / LANES, /* registers of a slice */
    WIDTH = SLICES * PARTS          /* of a row of a tile */
};

/* What a tile starts from and becomes: rows of a result, or of a buffer where the result ends. */
typedef struct target {
    float *at;
    size_t row;
    const float *bias;
} target;

BLOCK vec start_of(const td__product *p, const target *to, uint32_t i, uint32_t w)
{
    if (to->bias != NULL) return load(to->bias + w * LANES);
    return p->add ? load(to->at + i * to->row + w * LANES) : all(0.0f);
}

/* `height` rows from a on, `width` registers from slice b on. */
BLOCK void tile(const td__product *p, uint32_t height, uint32_t width, const float *a,
                const float *b, const target *to)
{
    vec sum[GROUP][WIDTH];
    size_t slice = (size_t)p->steps * TD__GEMM_SLICE, a_row = p->a_row, a_step = p->a_step;
    for (uint32_t i = 0; i < height; i++) {
        for (uint32_t w = 0; w < width; w++) sum[i][w] = start_of(p, to, i, w);
    }
    for (uint32_t t = 0; t < p->steps; t++, a += a_step, b += TD__GEMM_SLICE) {
        vec terms[WIDTH];
        for (uint32_t w = 0; w < width; w++) {
            terms[w] = load(b + w / PARTS * slice + w % PARTS * LANES);
        }
        for (uint32_t i = 0; i < height; i++) {
            vec factor = all(a[i * a_row]);
            for (uint32_t w = 0; w < width; w++) sum[i][w] = fma(factor, terms[w], sum[i][w]);
        }
    }
    for (uint32_t i = 0; i < height; i++) {
        for (uint32_t w = 0; w < width; w++) {
            vec value = p->relu ? larger(all(0.0f), sum[i][w]) : sum[i][w];
            store(to->at + i * to->row + w * LANES, value);
        }
    }
}

/* The next rows of p in groups of `count`, as many as there are. */
BLOCK void groups(const td__product *p, uint32_t count, uint32_t width, const float *b,
                  uint32_t *row, target *to)
{
    for (; *row + count <= p->height; *row += count, to->at += count * to->row) {
        tile(p, count, width, p->a + *row * p->a_row, b, to);
    }
}

/* All rows of some slices. What whole groups leave over goes by powers of two: single rows would wait
 * for their own sums. */
BLOCK void slices(const td__product *p, uint32_t width, const float *b, target to)
{
    uint32_t row = 0;
    groups(p, GROUP, width, b, &row, &to);
    if (GROUP > 8) groups(p, 8, width, b, &row, &to);
    groups(p, 4, width, b, &row, &to);
    groups(p, 2, width, b, &row, &to);
    groups(p, 1, width, b, &row, &to);
}

/* Columns of the last slice that are fewer than a slice: each row through a buffer. */
static void narrow(const td__product *p, const float *b, uint32_t column)
{
    uint32_t count = p->width - column;
    float row[TD__GEMM_SLICE] = {0}, bias[TD__GEMM_SLICE] = {0};
    if (p->bias != NULL) memcpy(bias, p->bias + column, count * sizeof *bias);
    target to = {.at = row, .bias = p->bias == NULL ? NULL : bias};
    for (uint32_t i = 0; i < p->height; i++) {
        float *out = p->out + i * p->out_row + column;
        if (p->add) memcpy(row, out, count * sizeof *row);
        tile(p, 1, PARTS, p->a + i * p->a_row, b, &to);
        memcpy(out, row, count * sizeof *row);
    }
}

/* Slices are the outer loop: then a slice stays in the nearest cache. */
static void product(const td__product *p)
{
    uint32_t column = 0;
    const float *b = p->b;
    size_t slice = (size_t)p->steps * TD__GEMM_SLICE;
    target to = {.at = p->out, .row = p->out_row, .bias = p->bias};
    while (column + TD__GEMM_SLICE <= p->width) {
        bool whole = column + SLICES * TD__GEMM_SLICE <= p->width;
        uint32_t step = whole ? SLICES : 1;
        if (whole) slices(p, WIDTH, b, to);
        else slices(p, PARTS, b, to);
        b += step * slice;
        column += step * TD__GEMM_SLICE;
        to.at += step * TD__GEMM_SLICE;
        if (to.bias != NULL) to.bias += step * TD__GEMM_SLICE;
    }
    if (column < p->width) narrow(p, b, column);
}
