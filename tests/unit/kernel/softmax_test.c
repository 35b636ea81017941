/* softmax_test.c -- the softmax engine against float64, in all the forms a batch can take.
 *
 * The problem of every test is a batch of B interactions (query, candidate, weight) and some extra
 * candidates. The expected numbers come from the batch as it is, in double, all B x C scores; the
 * engine gets it plain, or with distinct rows, or with distinct rows and columns. */
#include "support/test.h"

#include <math.h>

#include "kernel/kernel.h"
#include "kernel/softmax.h"

enum { LIMIT = 400, DIM_LIMIT = 130 };

typedef struct problem {
    uint32_t queries, items; /* distinct ids that may occur */
    uint32_t batch, extra;   /* interactions, and further columns */
    uint32_t dim;
    float temperature, size; /* of the vectors' elements */
    bool remove, weighted, biased;
    uint64_t seed;
} problem;

/* A problem with its data, and what float64 says about it. */
typedef struct truth {
    problem p;
    uint32_t query[LIMIT], item[2 * LIMIT]; /* ids of interactions; items also of extra columns */
    float weight[LIMIT], item_bias[LIMIT];
    float queries[LIMIT * DIM_LIMIT], items[LIMIT * DIM_LIMIT]; /* [id, dim] */
    double loss, d_temperature, entry_loss[LIMIT];
    double d_queries[LIMIT * DIM_LIMIT], d_items[LIMIT * DIM_LIMIT]; /* [id, dim] */
} truth;

/* A batch for the engine, its results, and which ids its rows and columns are. */
typedef struct form {
    td__softmax_shape shape;
    td__softmax_batch batch;
    td__softmax_result result;
    uint32_t row_id[LIMIT], column_id[2 * LIMIT], copies[2 * LIMIT], ring[2 * LIMIT];
    uint32_t offset[LIMIT + 1], entry_column[LIMIT], entry[LIMIT]; /* entry: interaction of an entry */
    float rows[LIMIT * DIM_LIMIT], columns[2 * LIMIT * DIM_LIMIT], bias[2 * LIMIT], weight[LIMIT];
    float entry_loss[LIMIT], d_rows[LIMIT * DIM_LIMIT], d_columns[2 * LIMIT * DIM_LIMIT];
} form;

static truth expected;
static form found, again;

static float uniform(uint64_t *random, double low, double high)
{
    return (float)test_uniform(random, low, high);
}

static void draw_data(truth *t)
{
    const problem *p = &t->p;
    uint64_t random = p->seed * 7919 + 1;
    for (uint32_t i = 0; i < p->queries * p->dim; i++) {
        t->queries[i] = uniform(&random, -(double)p->size, (double)p->size);
    }
    for (uint32_t i = 0; i < p->items * p->dim; i++) {
        t->items[i] = uniform(&random, -(double)p->size, (double)p->size);
    }
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

static double score(const truth *t, uint32_t b, uint32_t c)
{
    const float *query = t->queries + t->query[b] * t->p.dim, *item = t->items + t->item[c] * t->p.dim;
    double sum = 0.0;
    for (uint32_t k = 0; k < t->p.dim; k++) sum += (double)query[k] * (double)item[k];
    return sum;
}

/* Loss of interaction b, and its part of the gradients, over all columns of the batch. */
static void add_row(truth *t, uint32_t b)
{
    const problem *p = &t->p;
    double tau = (double)p->temperature, logit[2 * LIMIT] = {0}, max = -(double)INFINITY, sum = 0.0;
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

static void solve(truth *t, problem p)
{
    memset(t, 0, sizeof *t);
    t->p = p;
    assert_true(p.batch <= LIMIT && p.extra <= LIMIT && p.queries <= LIMIT && p.items <= LIMIT);
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

static void fill_rows(form *f, const truth *t, bool merge)
{
    uint32_t number[LIMIT];
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

static void fill_columns(form *f, const truth *t, bool merge)
{
    uint32_t number[2 * LIMIT], last[LIMIT], all = t->p.batch + t->p.extra;
    uint32_t count = distinct(t->item, all, merge, f->column_id, number);
    memset(f->copies, 0, sizeof f->copies);
    for (uint32_t c = 0; c < all; c++) f->copies[number[c]]++;
    for (uint32_t i = 0; i < LIMIT; i++) last[i] = TD_NONE;
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

static void make_form(form *f, const truth *t, bool merge_rows, bool merge_columns)
{
    memset(f, 0xAB, sizeof *f);
    f->batch = (td__softmax_batch){.temperature = t->p.temperature, .weight_scale = 1.0,
                                   .bias = f->bias, .entry_offset = f->offset,
                                   .entry_column = f->entry_column, .entry_weight = f->weight};
    fill_rows(f, t, merge_rows);
    fill_columns(f, t, merge_columns);
    f->shape.entries = t->p.batch;
    f->shape.dim = t->p.dim;
    for (uint32_t e = 0; e < t->p.batch; e++) f->weight[e] = t->weight[f->entry[e]];
    if (merge_columns) f->batch.copies = f->copies;
    if (t->p.remove && merge_columns) f->batch.remove_copies = true;
    if (t->p.remove && !merge_columns) f->batch.ring_next = f->ring;
    f->result = (td__softmax_result){.entry_loss = f->entry_loss, .d_rows = f->d_rows,
                                     .d_columns = f->d_columns};
}

static void run(form *f, td_context *context)
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
    static double sums[LIMIT * DIM_LIMIT];
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

static void check(const form *f, const truth *t, double tolerance)
{
    const problem *p = &t->p;
    const char *what = f->batch.copies != NULL ? "distinct columns" : "plain columns";
    double rows = distance(f->d_rows, f->row_id, f->shape.rows, t->d_queries, p->queries, p->dim);
    double columns = distance(f->d_columns, f->column_id, f->shape.columns, t->d_items, p->items,
                              p->dim);
    if (!(rows <= tolerance) || !(columns <= tolerance)) {
        fail_msg("%s, batch %u + %u, dim %u, seed %llu: rows off by %.3g, columns by %.3g", what,
                 p->batch, p->extra, p->dim, (unsigned long long)p->seed, rows, columns);
    }
    double rounding = 2e-7 * (double)(p->size * p->size / p->temperature) * p->dim;
    assert_close(f->result.loss, t->loss, 1e-6, 1e-6);
    assert_close(f->result.d_temperature, t->d_temperature, 1e-5, 1e-4);
    for (uint32_t e = 0; e < p->batch; e++) {
        assert_close((double)f->entry_loss[e], t->entry_loss[f->entry[e]], 2e-6, 5e-6 + rounding);
    }
}

/* All four forms of a problem. */
static void check_forms(problem p, td_context *context, double tolerance)
{
    solve(&expected, p);
    for (int rows = 0; rows < 2; rows++) {
        for (int columns = 0; columns < 2; columns++) {
            /* rings are for rows with one entry each */
            if (p.remove && rows == 1 && columns == 0) continue;
            make_form(&found, &expected, rows == 1, columns == 1);
            run(&found, context);
            check(&found, &expected, tolerance);
        }
    }
}

static problem usual(uint64_t seed)
{
    return (problem){.queries = 40, .items = 30, .batch = 100, .extra = 20, .dim = 24,
                     .temperature = 1.0f, .size = 0.5f, .seed = seed};
}

/* --- tests */

static void test_ragged_shapes_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    uint64_t random = 11;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        problem p = usual(seed);
        p.batch = 1 + (uint32_t)test_uniform(&random, 0, 100);
        p.extra = (uint32_t)test_uniform(&random, 0, 60);
        p.dim = 1 + (uint32_t)test_uniform(&random, 0, 100);
        check_forms(p, context, 2e-6);
    }
    td_context_free(context);
}

static void test_options_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (uint64_t mix = 0; mix < 16; mix++) {
        problem p = usual(100 + mix);
        p.remove = (mix & 1) != 0;
        p.weighted = (mix & 2) != 0;
        p.biased = (mix & 4) != 0;
        p.temperature = (mix & 8) != 0 ? 0.1f : 1.7f;
        check_forms(p, context, 2e-6);
    }
    td_context_free(context);
}

static void test_many_copies_of_few_items(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    problem p = usual(5);
    p.items = 3;
    p.batch = 300;
    p.queries = 10;
    p.remove = true;
    p.size = 1.5f;
    check_forms(p, context, 4e-6);
    td_context_free(context);
}

static void test_several_strips_and_groups(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    problem p = usual(6);
    p.queries = p.items = 380;
    p.batch = 400;
    p.extra = 300;
    p.dim = 64;
    check_forms(p, context, 2e-6);
    td_context_free(context);
}

/* Rows of one group that need more than one strip: groups are an eighth of the rows. */
static void test_second_strip_of_a_group_adds_to_the_first(void **state)
{
    (void)state;
    enum { ROWS = 1100, DIM = 3 };
    static float rows[ROWS * DIM], columns[DIM], d_columns[DIM], d_both[2 * DIM];
    td_error err;
    td_context *context = test_context(1);
    uint64_t random = 1;
    double sum[DIM] = {0};
    float both[2 * DIM] = {0.5f, -0.25f, 0.0f, -0.5f, 0.125f, 1.0f};
    static uint32_t zero[ROWS];
    for (uint32_t i = 0; i < ROWS * DIM; i++) rows[i] = uniform(&random, -1, 1);
    memcpy(columns, both, sizeof columns);
    for (uint32_t r = 0; r < ROWS; r++) {
        double gap = 0.0;
        for (uint32_t k = 0; k < DIM; k++) {
            gap += (double)rows[r * DIM + k] * ((double)both[DIM + k] - (double)both[k]);
        }
        for (uint32_t k = 0; k < DIM; k++) {
            sum[k] += (double)rows[r * DIM + k] / (1.0 + exp(-gap));
        }
    }
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = ROWS, .columns = 2, .entries = ROWS, .dim = DIM};
    td__softmax_batch batch = {.rows = {rows, NULL, ROWS}, .columns = {both, NULL, 2},
                               .temperature = 1.0f, .weight_scale = 1.0, .entry_column = zero};
    td__softmax_result result = {.d_columns = d_both};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    for (uint32_t k = 0; k < DIM; k++) {
        assert_close((double)d_both[DIM + k], sum[k], 1e-5, 1e-5);
        assert_close((double)d_both[k], -sum[k], 1e-5, 1e-5);
    }
    batch.columns.count = 1; /* one column: no loss, no gradient */
    result.d_columns = d_columns;
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    assert_close(result.loss, 0.0, 0.0, 1e-4);
    for (uint32_t k = 0; k < DIM; k++) assert_close((double)d_columns[k], 0.0, 0.0, 1e-4);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void assert_same_results(const form *a, const form *b, const char *what)
{
    bool same = memcmp(&a->result.loss, &b->result.loss, sizeof(double)) == 0
                && memcmp(&a->result.d_temperature, &b->result.d_temperature, sizeof(double)) == 0
                && memcmp(a->d_rows, b->d_rows, sizeof a->d_rows) == 0
                && memcmp(a->d_columns, b->d_columns, sizeof a->d_columns) == 0
                && memcmp(a->entry_loss, b->entry_loss, sizeof a->entry_loss) == 0;
    if (!same) fail_msg("%s: not the same bits", what);
}

static problem varied(void)
{
    problem p = usual(21);
    p.batch = 390;
    p.queries = p.items = 200;
    p.dim = 40;
    p.remove = p.weighted = p.biased = true;
    return p;
}

static void test_same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7};
    solve(&expected, varied());
    for (uint32_t i = 0; i < 3; i++) {
        td_context *context = test_context(threads[i]);
        make_form(&again, &expected, true, true);
        run(&again, context);
        td_context_free(context);
        if (i == 0) memcpy(&found, &again, sizeof found);
        assert_same_results(&found, &again, "threads");
    }
}

static void test_same_bits_for_all_kernel_sets(void **state)
{
    (void)state;
    solve(&expected, varied());
    for (uint32_t set = 0; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->available()) continue;
        td_context *context;
        td_error err;
        td_context_options options = {.threads = 1, .kernel = kernels->name};
        assert_ok(td_context_create(&context, &options, &err));
        make_form(&again, &expected, false, false);
        run(&again, context);
        td_context_free(context);
        if (set == 0) memcpy(&found, &again, sizeof found);
        assert_same_results(&found, &again, kernels->name);
    }
}

static uint64_t hash(uint64_t h, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) h = (h ^ at[i]) * UINT64_C(0x100000001B3); /* FNV-1a */
    return h;
}

/* One number for x86-64 and arm64, found with gcc on both: the arithmetic is IEEE 754's alone. */
static void test_same_bits_on_all_processors(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    solve(&expected, varied());
    make_form(&found, &expected, true, true);
    run(&found, context);
    td_context_free(context);
    size_t row_bytes = sizeof(float) * found.shape.rows * found.shape.dim;
    size_t column_bytes = sizeof(float) * found.shape.columns * found.shape.dim;
    uint64_t h = hash(UINT64_C(0xCBF29CE484222325), &found.result.loss, sizeof(double));
    h = hash(h, &found.result.d_temperature, sizeof(double));
    h = hash(h, found.d_rows, row_bytes);
    h = hash(h, found.d_columns, column_bytes);
    if (h != UINT64_C(0x7FA7A629FD5737D1)) fail_msg("the bits have changed: %#llx", (unsigned long long)h);
}

static void test_logits_of_a_thousand_are_scored_again(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    problem p = usual(31);
    p.size = 10.0f; /* 24 dimensions: logits up to +-2400 */
    check_forms(p, context, 2e-4);
    assert_true(found.result.repeated > 0);
    assert_true(found.result.loss > 1000.0);
    td_context_free(context);
}

static void test_moderate_logits_are_scored_once(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    check_forms(usual(32), context, 2e-6);
    assert_int_equal(found.result.repeated, 0);
    td_context_free(context);
}

/* The second entry of a row lies so far below the first that its weight is cut off; its loss is not. */
static void test_loss_of_an_entry_far_below_the_anchor(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    float row[1] = {1.0f}, columns[2] = {0.0f, -300.0f}, losses[2], d_row[1];
    uint32_t offset[2] = {0, 2}, column[2] = {0, 1};
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 1, .columns = 2, .entries = 2, .dim = 1};
    td__softmax_batch batch = {.rows = {row, NULL, 1}, .columns = {columns, NULL, 2},
                               .temperature = 1.0f, .weight_scale = 0.5, .entry_offset = offset,
                               .entry_column = column};
    td__softmax_result result = {.entry_loss = losses, .d_rows = d_row};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    assert_close((double)losses[1], 300.0, 1e-6, 0.0);
    assert_close(result.loss, 150.0, 1e-6, 0.0);
    assert_close((double)d_row[0], 150.0, 1e-6, 0.0);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_temperature_gradient_is_the_slope_of_the_loss(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    problem p = usual(41);
    p.remove = p.weighted = p.biased = true;
    double loss[2], step = 1e-2;
    for (int side = 0; side < 2; side++) {
        p.temperature = (float)(0.8 + (side == 0 ? -step : step));
        solve(&expected, p);
        make_form(&found, &expected, true, true);
        run(&found, context);
        loss[side] = found.result.loss;
    }
    p.temperature = 0.8f;
    solve(&expected, p);
    make_form(&found, &expected, true, true);
    run(&found, context);
    assert_close(found.result.d_temperature, (loss[1] - loss[0]) / (2 * step), 2e-3, 1e-3);
    td_context_free(context);
}

/* Vectors found through an index, no entry lists, no outputs: the same loss. */
static void test_optional_arguments(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    uint32_t index[LIMIT];
    problem p = usual(51);
    p.extra = 0;
    solve(&expected, p);
    make_form(&found, &expected, false, false);
    run(&found, context);
    make_form(&again, &expected, false, false);
    for (uint32_t b = 0; b < p.batch; b++) index[b] = expected.query[b];
    again.batch.rows = (td__softmax_side){expected.queries, index, p.batch};
    again.batch.columns = (td__softmax_side){expected.items, expected.item, p.batch};
    again.batch.entry_offset = again.batch.entry_column = NULL;
    again.batch.entry_weight = again.batch.bias = NULL;
    run(&again, context);
    assert_same_results(&found, &again, "index");
    td__softmax *softmax;
    assert_ok(td__softmax_create(&softmax, context, &again.shape, &err));
    td__softmax_result bare = {0};
    assert_ok(td__softmax_compute(softmax, &again.batch, &bare, &err));
    assert_true(bare.loss == found.result.loss);
    assert_true(bare.d_temperature == found.result.d_temperature);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_weight_scale_scales_everything(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    solve(&expected, usual(52));
    make_form(&found, &expected, true, true);
    run(&found, context);
    make_form(&again, &expected, true, true);
    again.batch.weight_scale = 0.25;
    run(&again, context);
    assert_close(again.result.loss, found.result.loss / 4, 1e-12, 0.0);
    for (uint32_t i = 0; i < again.shape.rows * again.shape.dim; i++) {
        assert_close((double)again.d_rows[i], (double)found.d_rows[i] / 4, 1e-6, 1e-7);
    }
    td_context_free(context);
}

/* A row without entries, or with weight 0, moves nothing, whatever its vector. */
static void test_rows_without_weight_move_nothing(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    float rows[6] = {500.0f, 0.0f, 0.3f, 0.2f, 0.0f, 700.0f};
    float columns[4] = {1.0f, 2.0f, -1.0f, 3.0f};
    float weight[2] = {1.0f, 0.0f}, d_rows[6], d_columns[4];
    uint32_t offset[4] = {0, 0, 1, 2}, column[2] = {0, 1};
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 3, .columns = 2, .entries = 2, .dim = 2};
    td__softmax_batch batch = {.rows = {rows, NULL, 3}, .columns = {columns, NULL, 2},
                               .temperature = 1.0f, .weight_scale = 1.0, .entry_offset = offset,
                               .entry_column = column, .entry_weight = weight};
    td__softmax_result result = {.d_rows = d_rows, .d_columns = d_columns};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    double p = 1.0 / (1.0 + exp(0.7 - (-0.3 + 0.6)));
    assert_close(result.loss, -log(1.0 - p), 1e-6, 0.0);
    for (uint32_t k = 0; k < 2; k++) {
        assert_true(d_rows[k] == 0.0f && d_rows[4 + k] == 0.0f);
        assert_close((double)d_columns[2 + k], p * (double)rows[2 + k], 1e-6, 0.0);
        assert_close((double)d_columns[k], -p * (double)rows[2 + k], 1e-6, 0.0);
    }
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_nothing_in_gives_zeros(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    float columns[3] = {1, 2, 3}, d_columns[3] = {7, 7, 7};
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 0, .columns = 3, .entries = 0, .dim = 1};
    td__softmax_batch batch = {.columns = {columns, NULL, 3}, .temperature = 1.0f};
    td__softmax_result result = {.d_columns = d_columns, .loss = 5.0};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    assert_true(result.loss == 0.0 && result.d_temperature == 0.0);
    for (int k = 0; k < 3; k++) assert_true(d_columns[k] == 0.0f);
    batch.columns.count = 0;
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_numbers_that_are_not_finite_name_the_row(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    td_error err;
    td_context *context = test_context(2);
    td__softmax *softmax;
    solve(&expected, usual(61));
    make_form(&found, &expected, false, false);
    assert_ok(td__softmax_create(&softmax, context, &found.shape, &err));
    for (int i = 0; i < 3; i++) {
        make_form(&found, &expected, false, false);
        found.rows[77 * found.shape.dim + 3] = bad[i];
        assert_fails(td__softmax_compute(softmax, &found.batch, &found.result, &err), TD_ERR_NUMERIC,
                     "row 77");
    }
    make_form(&found, &expected, false, false);
    found.columns[5] = NAN;
    assert_fails(td__softmax_compute(softmax, &found.batch, &found.result, &err), TD_ERR_NUMERIC,
                 "row 0");
    make_form(&found, &expected, false, false);
    assert_ok(td__softmax_compute(softmax, &found.batch, &found.result, &err));
    check(&found, &expected, 2e-6);
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_compute_allocates_nothing(void **state)
{
    (void)state;
    td_error err;
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    td__softmax *softmax;
    solve(&expected, varied());
    make_form(&found, &expected, true, true);
    assert_ok(td__softmax_create(&softmax, context, &found.shape, &err));
    int64_t before = memory.allocations;
    assert_ok(td__softmax_compute(softmax, &found.batch, &found.result, &err));
    assert_int_equal(memory.allocations, before);
    td__softmax_free(softmax);
    td_context_free(context);
    assert_int_equal(memory.blocks, 0);
}

static void test_workspace_is_what_the_header_says(void **state)
{
    (void)state;
    td_error err;
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 3);
    int64_t before = memory.bytes;
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 5000, .columns = 3000, .entries = 7000, .dim = 48};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    double stated = (double)td__softmax_bytes(&shape, 3);
    assert_close((double)(memory.bytes - before), stated, 0.0, 4096.0);
    double formula = 40.0 * 3000 * 48 + 512.0 * 3000 * 3 + 12.0 * 7000;
    assert_close(stated, formula, 0.1, 0.0);
    shape.rows = 50000000;
    assert_true((double)td__softmax_bytes(&shape, 3) == stated);
    td__softmax_free(softmax);
    td_context_free(context);
}

static td_status create_and_free(void *state, td_context *context, td_error *err)
{
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 10, .columns = 20, .entries = 10, .dim = 8};
    (void)state;
    td_status status = td__softmax_create(&softmax, context, &shape, err);
    td__softmax_free(softmax);
    return status;
}

static void test_every_failed_allocation_is_reported(void **state)
{
    (void)state;
    test_every_allocation(create_and_free, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ragged_shapes_match_float64),
        cmocka_unit_test(test_options_match_float64),
        cmocka_unit_test(test_many_copies_of_few_items),
        cmocka_unit_test(test_several_strips_and_groups),
        cmocka_unit_test(test_second_strip_of_a_group_adds_to_the_first),
        cmocka_unit_test(test_same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(test_same_bits_for_all_kernel_sets),
        cmocka_unit_test(test_same_bits_on_all_processors),
        cmocka_unit_test(test_logits_of_a_thousand_are_scored_again),
        cmocka_unit_test(test_moderate_logits_are_scored_once),
        cmocka_unit_test(test_loss_of_an_entry_far_below_the_anchor),
        cmocka_unit_test(test_temperature_gradient_is_the_slope_of_the_loss),
        cmocka_unit_test(test_optional_arguments),
        cmocka_unit_test(test_weight_scale_scales_everything),
        cmocka_unit_test(test_rows_without_weight_move_nothing),
        cmocka_unit_test(test_nothing_in_gives_zeros),
        cmocka_unit_test(test_numbers_that_are_not_finite_name_the_row),
        cmocka_unit_test(test_compute_allocates_nothing),
        cmocka_unit_test(test_workspace_is_what_the_header_says),
        cmocka_unit_test(test_every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
