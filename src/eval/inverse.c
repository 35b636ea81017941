/* inverse.c -- the inverse of a large symmetric positive definite matrix, in place.
 *
 * Serves: stage 6, EASE. In: the lower triangle of A, float32. Out: that of -A^-1.
 *
 * The sweep operator (Goodnight 1979), a block K of rows at a time. With P = A[K][K]^-1, for all rows
 * I, J that are not in K:
 *
 *     A[I][J] -= A[I][K] P A[K][J]      A[I][K] = A[I][K] P      A[K][K] = -P
 *
 * and when every block was swept once, A is minus its inverse. Nearly all of the rows^3 multiply-adds
 * are in the first formula, which is the product of a column of A and packed panels: the same kernel
 * as for scores does it, so the threads and the bits are ours (an outside LAPACK has threads of its
 * own, and bits that depend on their number). P is found in double precision, its lower triangle alone,
 * by one thread. */
#include "eval/inverse.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/kernel.h"
#include "base/poison.h"

enum {
    PIVOT = 3 * TD__PANEL, /* rows of K: a panel stays in L1; 288 operations for each 8 bytes of A moved */
    ROWS = 2 * TD__PANEL   /* rows of a block of work: whole panels, a multiple of the kernels' 6 */
};

/* A pivot that shrank to this share of its diagonal has lost all digits of float32. */
static const double PIVOT_MIN = 1e-6;

/* The block K that is being swept. */
typedef struct sweep {
    td__inverse *inverse;
    uint64_t first; /* row of K */
    uint32_t size;  /* of K */
} sweep;

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- life */

td_status td__inverse_init(td__inverse *out, td_context *context, float *matrix, uint64_t rows,
                           td_error *err)
{
    td_status status = TD_OK;
    *out = (td__inverse){.context = context, .matrix = matrix, .rows = rows};
    uint64_t size = smaller(rows, PIVOT);
    uint64_t whole = td__panel_count(rows) * TD__PANEL;
    uint64_t panel_floats = td__panel_count(size) * TD__PANEL * size;
    TD_TRY(td__alloc(&out->pivot, context, size * size, sizeof *out->pivot, err));
    TD_TRY(td__alloc(&out->diagonal, context, rows, sizeof *out->diagonal, err));
    TD_TRY(td__alloc(&out->column, context, rows * size, sizeof *out->column, err));
    TD_TRY(td__alloc(&out->product, context, rows * size, sizeof *out->product, err));
    TD_TRY(td__alloc(&out->panels, context, whole * size, sizeof *out->panels, err));
    TD_TRY(td__alloc(&out->inverse_panels, context, panel_floats, sizeof(float), err));
    for (uint64_t i = 0; i < rows; i++) out->diagonal[i] = matrix[i * rows + i];
    return TD_OK;
done:
    td__inverse_clear(out);
    return status;
}

void td__inverse_clear(td__inverse *inverse)
{
    td_context *context = inverse->context;
    if (context == NULL) return;
    td__free(context, inverse->pivot);
    td__free(context, inverse->diagonal);
    td__free(context, inverse->column);
    td__free(context, inverse->product);
    td__free(context, inverse->panels);
    td__free(context, inverse->inverse_panels);
    *inverse = (td__inverse){0};
}

/* --- P, in double */

static void load_pivot(const sweep *s)
{
    const td__inverse *inverse = s->inverse;
    for (uint32_t i = 0; i < s->size; i++) {
        const float *row = inverse->matrix + (s->first + i) * inverse->rows + s->first;
        for (uint32_t j = 0; j <= i; j++) inverse->pivot[i * s->size + j] = (double)row[j];
    }
}

/* Where the lower triangle has the number of row i and column k, or of row k and column i. */
static double *lower(double *pivot, uint32_t size, uint32_t i, uint32_t k)
{
    return i < k ? pivot + (size_t)k * size + i : pivot + (size_t)i * size + k;
}

/* The sweep of one row k within P. */
static void sweep_pivot_row(double *pivot, uint32_t size, uint32_t k)
{
    double column[PIVOT], inverse = 1.0 / *lower(pivot, size, k, k);
    for (uint32_t i = 0; i < size; i++) column[i] = *lower(pivot, size, i, k);
    for (uint32_t i = 0; i < size; i++) {
        double *row = pivot + (size_t)i * size, factor = column[i] * inverse;
        if (i == k) continue;
        for (uint32_t j = 0; j <= i; j++) row[j] -= factor * column[j];
        *lower(pivot, size, i, k) = factor;
    }
    *lower(pivot, size, k, k) = -inverse;
}

/* `pivot` becomes -P. */
static td_status invert_pivot(const sweep *s, td_error *err)
{
    const td__inverse *inverse = s->inverse;
    for (uint32_t k = 0; k < s->size; k++) {
        double value = inverse->pivot[(size_t)k * s->size + k];
        double least = PIVOT_MIN * (double)inverse->diagonal[s->first + k];
        if (!(value > least)) {
            return td__fail(err, TD_ERR_NUMERIC,
                            "row %llu of the matrix depends on those before it: %g is left of %g; "
                            "a larger regularization helps",
                            (unsigned long long)(s->first + k), value,
                            (double)inverse->diagonal[s->first + k]);
        }
        sweep_pivot_row(inverse->pivot, s->size, k);
    }
    return TD_OK;
}

static void store_pivot(const sweep *s)
{
    const td__inverse *inverse = s->inverse;
    for (uint32_t i = 0; i < s->size; i++) {
        float *row = inverse->matrix + (s->first + i) * inverse->rows + s->first;
        for (uint32_t j = 0; j <= i; j++) row[j] = (float)inverse->pivot[i * s->size + j];
    }
}

/* Panels of P, by way of rows in `product`, which is not in use yet. */
static void pack_pivot(const sweep *s)
{
    float *rows = s->inverse->product;
    for (uint32_t i = 0; i < s->size; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            rows[i * s->size + j] = rows[j * s->size + i] = (float)-s->inverse->pivot[i * s->size + j];
        }
    }
    td__pack_panels(rows, s->size, s->size, s->inverse->inverse_panels);
}

/* --- A[I][K] and A[I][K] P */

/* Row i of A[.][K], wherever the lower triangle has it; zeros for the rows of K themselves. */
static void load_column_row(const sweep *s, uint64_t i, float *out)
{
    const td__inverse *inverse = s->inverse;
    if (i >= s->first + s->size) {
        memcpy(out, inverse->matrix + i * inverse->rows + s->first, s->size * sizeof *out);
    } else if (i >= s->first) {
        memset(out, 0, s->size * sizeof *out);
    } else {
        const float *at = inverse->matrix + s->first * inverse->rows + i;
        for (uint32_t k = 0; k < s->size; k++) out[k] = at[k * inverse->rows];
    }
}

static void store_column_row(const sweep *s, uint64_t i, const float *in)
{
    const td__inverse *inverse = s->inverse;
    if (i >= s->first + s->size) {
        memcpy(inverse->matrix + i * inverse->rows + s->first, in, s->size * sizeof *in);
    } else if (i < s->first) {
        float *at = inverse->matrix + s->first * inverse->rows + i;
        for (uint32_t k = 0; k < s->size; k++) at[k * inverse->rows] = in[k];
    }
}

static void multiply_by_pivot(const sweep *s, uint64_t first, uint32_t count)
{
    _Alignas(TD__ALIGNMENT) float tile[ROWS * TD__PANEL];
    const td__inverse *inverse = s->inverse;
    const float *column = inverse->column + first * s->size;
    for (uint32_t p = 0; p < td__panel_count(s->size); p++) {
        const float *panel = inverse->inverse_panels + (size_t)p * s->size * TD__PANEL;
        uint64_t width = smaller(TD__PANEL, s->size - p * TD__PANEL);
        inverse->context->kernels->score_panel(column, count, panel, s->size, NULL, tile);
        for (uint32_t r = 0; r < count; r++) {
            memcpy(inverse->product + (first + r) * s->size + p * TD__PANEL,
                   tile + (size_t)r * TD__PANEL, width * sizeof *tile);
        }
    }
}

static void column_block(void *state, uint64_t block, uint32_t worker)
{
    const sweep *s = state;
    const td__inverse *inverse = s->inverse;
    uint64_t first = block * ROWS;
    uint32_t count = (uint32_t)smaller(ROWS, inverse->rows - first);
    (void)worker;
    for (uint64_t i = first; i < first + count; i++) {
        load_column_row(s, i, inverse->column + i * s->size);
    }
    multiply_by_pivot(s, first, count);
    td__pack_panels(inverse->product + first * s->size, count, s->size,
                    inverse->panels + first * s->size);
}

/* --- A[I][J] -= A[I][K] P A[K][J] */

/* Rows of a block against one panel of columns: what is left of the diagonal and on it. */
static void subtract_tile(const sweep *s, const float *tile, uint64_t first, uint32_t count,
                          uint64_t panel)
{
    const td__inverse *inverse = s->inverse;
    uint64_t left = panel * TD__PANEL;
    for (uint32_t r = 0; r < count; r++) {
        uint64_t i = first + r;
        if (i < left) continue;
        float *row = inverse->matrix + i * inverse->rows + left;
        uint64_t width = smaller(TD__PANEL, i - left + 1);
        for (uint64_t j = 0; j < width; j++) row[j] -= tile[(size_t)r * TD__PANEL + j];
    }
}

static void update_block(void *state, uint64_t block, uint32_t worker)
{
    _Alignas(TD__ALIGNMENT) float tile[ROWS * TD__PANEL];
    const sweep *s = state;
    const td__inverse *inverse = s->inverse;
    uint64_t first = block * ROWS;
    uint32_t count = (uint32_t)smaller(ROWS, inverse->rows - first);
    (void)worker;
    for (uint64_t p = 0; p < td__panel_count(first + count); p++) {
        inverse->context->kernels->score_panel(inverse->column + first * s->size, count,
                                               inverse->panels + p * s->size * TD__PANEL, s->size,
                                               NULL, tile);
        subtract_tile(s, tile, first, count, p);
    }
}

static void store_block(void *state, uint64_t block, uint32_t worker)
{
    const sweep *s = state;
    const td__inverse *inverse = s->inverse;
    uint64_t end = smaller(inverse->rows, (block + 1) * ROWS);
    (void)worker;
    for (uint64_t i = block * ROWS; i < end; i++) {
        store_column_row(s, i, inverse->product + i * s->size);
    }
}

td_status td__inverse_next(td__inverse *inverse, td_error *err)
{
    sweep s = {.inverse = inverse,
               .first = inverse->done,
               .size = (uint32_t)smaller(PIVOT, inverse->rows - inverse->done)};
    uint64_t blocks = td__block_count(inverse->rows, ROWS);
    load_pivot(&s);
    td_status status = invert_pivot(&s, err);
    if (status != TD_OK) return status;
    pack_pivot(&s);
    td__parallel_for(inverse->context, blocks, column_block, &s);
    td__parallel_for(inverse->context, blocks, update_block, &s);
    td__parallel_for(inverse->context, blocks, store_block, &s);
    store_pivot(&s);
    inverse->done += s.size;
    return TD_OK;
}

/* --- the upper triangle */

typedef struct mirror_job {
    float *matrix;
    uint64_t rows;
} mirror_job;

/* Rows of the upper triangle, in squares so that neither side leaves the cache. */
static void mirror_block(void *state, uint64_t block, uint32_t worker)
{
    const mirror_job *job = state;
    uint64_t first = block * ROWS, end = smaller(job->rows, first + ROWS);
    (void)worker;
    for (uint64_t left = first; left < job->rows; left += ROWS) {
        uint64_t right = smaller(job->rows, left + ROWS);
        for (uint64_t i = first; i < end; i++) {
            for (uint64_t j = left > i ? left : i + 1; j < right; j++) {
                job->matrix[i * job->rows + j] = job->matrix[j * job->rows + i];
            }
        }
    }
}

void td__mirror_lower(td_context *context, float *matrix, uint64_t rows)
{
    mirror_job job = {matrix, rows};
    td__parallel_for(context, td__block_count(rows, ROWS), mirror_block, &job);
}
