/* softmax_problem.c -- batches for the softmax engine, with what float64 says about them. */
#include "support/softmax_problem.h"

#include <math.h>

#include "kernel/bf16.h"

static float uniform(uint64_t *random, double low, double high)
{
    return (float)test_uniform(random, low, high);
}

void softmax_make_exact(float *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) vectors[i] = td__bf16_value(td__bf16_of(vectors[i]));
}

double softmax_apart(const float *a, const float *b, size_t count)
{
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / norm);
}

static void draw_vectors(const softmax_problem *p, float *vectors, uint32_t count, uint64_t *random)
{
    for (uint32_t i = 0; i < count * p->dim; i++) {
        vectors[i] = uniform(random, -(double)p->size, (double)p->size);
    }
    if (p->exact) softmax_make_exact(vectors, (size_t)count * p->dim);
}

static void draw_data(softmax_truth *t)
{
    const softmax_problem *p = &t->p;
    uint64_t random = p->seed * 7919 + 1;
    draw_vectors(p, t->queries, p->queries, &random);
    draw_vectors(p, t->items, p->items, &random);
    for (uint32_t i = 0; i < p->items; i++) {
        t->item_bias[i] = p->biased ? uniform(&random, 0.0, 12.0) : 0.0f;
    }
    for (uint32_t b = 0; b < p->batch; b++) {
        t->query[b] = (uint32_t)test_uniform(&random, 0, p->queries);
        t->weight[b] = p->weighted ? uniform(&random, 0.0, 3.0) : 1.0f;
    }
    for (uint32_t c = 0; c < p->batch + p->extra; c++) {
        t->item[c] = (uint32_t)test_uniform(&random, 0, p->items);
    }
}

static double score(const softmax_truth *t, uint32_t b, uint32_t c)
{
    const float *query = t->queries + t->query[b] * t->p.dim, *item = t->items + t->item[c] * t->p.dim;
    double sum = 0.0;
    for (uint32_t k = 0; k < t->p.dim; k++) sum += (double)query[k] * (double)item[k];
    return sum;
}

/* Loss of interaction b, and its part of the gradients, over all columns of the batch. */
static void add_row(softmax_truth *t, uint32_t b)
{
    const softmax_problem *p = &t->p;
    double tau = (double)p->temperature, logit[2 * SOFTMAX_LIMIT] = {0}, max = -(double)INFINITY, sum = 0.0;
    for (uint32_t c = 0; c < p->batch + p->extra; c++) {
        bool leaves = p->remove && c != b && t->item[c] == t->item[b];
        logit[c] = leaves ? -(double)INFINITY : score(t, b, c) / tau + (double)t->item_bias[t->item[c]];
        if (logit[c] > max) max = logit[c];
    }
    for (uint32_t c = 0; c < p->batch + p->extra; c++) sum += exp(logit[c] - max);
    t->entry_loss[b] = (double)t->weight[b] * (log(sum) + max - logit[b]);
    t->loss += t->entry_loss[b];
    for (uint32_t c = 0; c < p->batch + p->extra; c++) {
        double g = (double)t->weight[b] * (exp(logit[c] - max) / sum - (c == b ? 1.0 : 0.0)) / tau;
        size_t query = (size_t)t->query[b] * p->dim, item = (size_t)t->item[c] * p->dim;
        t->d_temperature -= g * score(t, b, c) / tau;
        for (uint32_t k = 0; k < p->dim; k++) {
            t->d_queries[query + k] += g * (double)t->items[item + k];
            t->d_items[item + k] += g * (double)t->queries[query + k];
        }
    }
}

void softmax_solve(softmax_truth *t, softmax_problem p)
{
    memset(t, 0, sizeof *t);
    t->p = p;
    assert_true(p.batch <= SOFTMAX_LIMIT && p.extra <= SOFTMAX_LIMIT);
    assert_true(p.queries <= SOFTMAX_LIMIT && p.items <= SOFTMAX_LIMIT);
    draw_data(t);
    for (uint32_t b = 0; b < p.batch; b++) add_row(t, b);
}

/* --- forms */

static uint32_t distinct(const uint32_t *ids, uint32_t count, bool merge, uint32_t *out,
                         uint32_t *number)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (merge && k < used && out[k] != ids[i]) k++;
        if (!merge) k = used;
        if (k == used) out[used++] = ids[i];
        number[i] = k;
    }
    return used;
}

static void fill_rows(softmax_form *f, const softmax_truth *t, bool merge)
{
    uint32_t number[SOFTMAX_LIMIT];
    uint32_t count = distinct(t->query, t->p.batch, merge, f->row_id, number), entry = 0;
    for (uint32_t r = 0; r < count; r++) {
        f->offset[r] = entry;
        memcpy(f->rows + r * t->p.dim, t->queries + f->row_id[r] * t->p.dim, t->p.dim * sizeof(float));
        for (uint32_t b = 0; b < t->p.batch; b++) {
            if (number[b] == r) f->entry[entry++] = b;
        }
    }
    f->offset[count] = entry;
    f->batch.rows = (td__softmax_side){f->rows, NULL, count};
    f->shape.rows = count;
}

static void fill_columns(softmax_form *f, const softmax_truth *t, bool merge)
{
    uint32_t number[2 * SOFTMAX_LIMIT], last[SOFTMAX_LIMIT], all = t->p.batch + t->p.extra;
    uint32_t count = distinct(t->item, all, merge, f->column_id, number);
    memset(f->copies, 0, sizeof f->copies);
    for (uint32_t c = 0; c < all; c++) f->copies[number[c]]++;
    for (uint32_t i = 0; i < SOFTMAX_LIMIT; i++) last[i] = TD_NONE;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t id = f->column_id[k];
        memcpy(f->columns + k * t->p.dim, t->items + id * t->p.dim, t->p.dim * sizeof(float));
        f->bias[k] = t->item_bias[id];
        f->ring[k] = last[id] == TD_NONE ? k : f->ring[last[id]];
        if (last[id] != TD_NONE) f->ring[last[id]] = k;
        last[id] = k;
    }
    for (uint32_t e = 0; e < t->p.batch; e++) f->entry_column[e] = number[f->entry[e]];
    f->batch.columns = (td__softmax_side){f->columns, NULL, count};
    f->shape.columns = count;
}

void softmax_make_form(softmax_form *f, const softmax_truth *t, bool merge_rows, bool merge_columns)
{
    memset(f, 0xAB, sizeof *f);
    f->batch = (td__softmax_batch){.temperature = t->p.temperature, .weight_scale = 1.0,
                                   .bias = f->bias, .entry_offset = f->offset,
                                   .entry_column = f->entry_column, .entry_weight = f->weight};
    fill_rows(f, t, merge_rows);
    fill_columns(f, t, merge_columns);
    f->shape.precision = t->p.precision;
    f->shape.entries = t->p.batch;
    f->shape.dim = t->p.dim;
    for (uint32_t e = 0; e < t->p.batch; e++) f->weight[e] = t->weight[f->entry[e]];
    if (merge_columns) f->batch.copies = f->copies;
    if (t->p.remove && merge_columns) f->batch.remove_copies = true;
    if (t->p.remove && !merge_columns) f->batch.ring_next = f->ring;
    f->result = (td__softmax_result){.entry_loss = f->entry_loss, .d_rows = f->d_rows,
                                     .d_columns = f->d_columns};
}

void softmax_run(softmax_form *f, td_context *context)
{
    td_error err;
    td__softmax *softmax;
    assert_ok(td__softmax_create(&softmax, context, &f->shape, &err));
    assert_ok(td__softmax_compute(softmax, &f->batch, &f->result, &err));
    td__softmax_free(softmax);
}

/* --- comparison */

/* |found - expected| / |expected| in the 2-norm, gradients summed by id. */
static double distance(const float *gradient, const uint32_t *id, uint32_t count, const double *right,
                       uint32_t ids, uint32_t dim)
{
    static double sums[SOFTMAX_CELLS];
    double difference = 0.0, norm = 0.0;
    memset(sums, 0, sizeof sums);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < dim; k++) sums[id[i] * dim + k] += (double)gradient[i * dim + k];
    }
    for (uint32_t i = 0; i < ids * dim; i++) {
        difference += (sums[i] - right[i]) * (sums[i] - right[i]);
        norm += right[i] * right[i];
    }
    return norm == 0.0 ? sqrt(difference) : sqrt(difference / norm);
}

static double error_of_rows(const softmax_form *f, const softmax_truth *t)
{
    return distance(f->d_rows, f->row_id, f->shape.rows, t->d_queries, t->p.queries, t->p.dim);
}

static double error_of_columns(const softmax_form *f, const softmax_truth *t)
{
    return distance(f->d_columns, f->column_id, f->shape.columns, t->d_items, t->p.items, t->p.dim);
}

double softmax_error(const softmax_form *f, const softmax_truth *t)
{
    return fmax(error_of_rows(f, t), error_of_columns(f, t));
}

void softmax_check(const softmax_form *f, const softmax_truth *t, double tolerance)
{
    const softmax_problem *p = &t->p;
    const char *what = f->batch.copies != NULL ? "distinct columns" : "plain columns";
    double rows = error_of_rows(f, t), columns = error_of_columns(f, t);
    if (!(rows <= tolerance) || !(columns <= tolerance)) {
        fail_msg("%s, batch %u + %u, dim %u, seed %llu: rows off by %.3g, columns by %.3g", what,
                 p->batch, p->extra, p->dim, (unsigned long long)p->seed, rows, columns);
    }
    double rounding = 2e-7 * (double)(p->size * p->size / p->temperature) * p->dim;
    assert_close(f->result.loss, t->loss, 1e-6, 1e-6);
    double slope = p->precision == TD_PRECISION_BFLOAT16 ? tolerance * t->loss : 1e-4;
    assert_close(f->result.d_temperature, t->d_temperature, 1e-5, slope);
    for (uint32_t e = 0; e < p->batch; e++) {
        assert_close((double)f->entry_loss[e], t->entry_loss[f->entry[e]], 2e-6, 5e-6 + rounding);
    }
}

softmax_problem softmax_usual(uint64_t seed)
{
    return (softmax_problem){.queries = 40, .items = 30, .batch = 100, .extra = 20, .dim = 24,
                             .temperature = 1.0f, .size = 0.5f, .seed = seed};
}

void softmax_same_results(const softmax_form *a, const softmax_form *b, const char *what)
{
    bool same = memcmp(&a->result.loss, &b->result.loss, sizeof(double)) == 0
                && memcmp(&a->result.d_temperature, &b->result.d_temperature, sizeof(double)) == 0
                && memcmp(a->d_rows, b->d_rows, sizeof a->d_rows) == 0
                && memcmp(a->d_columns, b->d_columns, sizeof a->d_columns) == 0
                && memcmp(a->entry_loss, b->entry_loss, sizeof a->entry_loss) == 0;
    if (!same) fail_msg("%s: not the same bits", what);
}
