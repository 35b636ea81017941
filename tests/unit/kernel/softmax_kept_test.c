/* softmax_kept_test.c -- several heads, hard negatives, smoothed labels and weights of any sign: the engine
 * against float64 on the batch with all its copies, written out.
 *
 * Every column is expanded into its copies. Of each entry the columns that stay are found by sorting,
 * and loss and gradients by the words of softmax.h. */
#include "support/softmax_problem.h"

#include <math.h>

#include "kernel/kernel.h"

enum { ROWS = 21, COLUMNS = 110, ENTRIES = 3 * ROWS, DIM = 7, HEADS = 3, EXPANDED = 4 * COLUMNS };

/* What to switch on, one bit each. */
enum {
    HEADED = 1,
    HARD = 2,
    SMOOTHED = 4,
    SIGNED = 8, /* weights of both signs in a row */
    COPIES = 16,
    REMOVED = 32, /* needs no OWN */
    OWN = 64,
    POWER = 128,
    MASKED = 256,
    ALL = 512,
    BFLOAT16 = 512 /* with vectors that rounding leaves as they are, so that choices are float64's */
};

/* Row r has entries 3 r .. 3 r + 2. */
typedef struct problem {
    float rows[ROWS * HEADS * DIM], columns[COLUMNS * DIM], bias[COLUMNS], own_bias[COLUMNS];
    float weight[ENTRIES];
    uint8_t mask[ROWS * COLUMNS];
    uint32_t copies[COLUMNS], offset[ROWS + 1], column[ENTRIES];
    float d_rows[ROWS * HEADS * DIM], d_columns[COLUMNS * DIM], entry_loss[ENTRIES];
    uint32_t heads;
    td_precision precision;
    td__softmax_batch batch;
    td__softmax_result result;
    /* by float64 */
    double loss, d_temperature, right_loss[ENTRIES];
    double right_rows[ROWS * HEADS * DIM], right_columns[COLUMNS * DIM];
    double closest; /* gap of scores that a choice hung on */
} problem;

static problem found, other;

static void draw_numbers(problem *p, uint64_t seed)
{
    for (uint32_t i = 0; i < ROWS * HEADS * DIM; i++) p->rows[i] = (float)test_uniform(&seed, -1, 1);
    for (uint32_t i = 0; i < COLUMNS * DIM; i++) p->columns[i] = (float)test_uniform(&seed, -1, 1);
    for (uint32_t k = 0; k < COLUMNS; k++) {
        p->bias[k] = (float)test_uniform(&seed, -1, 1);
        p->own_bias[k] = (float)test_uniform(&seed, -1, 1);
        p->copies[k] = (uint32_t)test_uniform(&seed, 0, 3.99);
    }
    for (uint32_t b = 0; b < ENTRIES; b++) {
        p->column[b] = (uint32_t)test_uniform(&seed, 0, COLUMNS);
        p->weight[b] = (float)test_uniform(&seed, 0, 2);
    }
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++) p->mask[i] = test_uniform(&seed, 0, 1) < 0.7;
    for (uint32_t b = 0; b < ENTRIES; b++) p->mask[b / 3 * COLUMNS + p->column[b]] = 1;
    for (uint32_t r = 0; r <= ROWS; r++) p->offset[r] = 3 * r;
}

static void draw(problem *p, uint64_t seed, unsigned with)
{
    memset(p, 0, sizeof *p);
    draw_numbers(p, seed);
    p->heads = with & HEADED ? HEADS : 1;
    p->batch = (td__softmax_batch){.rows = {p->rows, NULL, ROWS},
                                   .columns = {p->columns, NULL, COLUMNS},
                                   .temperature = 0.7f,
                                   .bias = p->bias,
                                   .entry_offset = p->offset,
                                   .entry_column = p->column,
                                   .entry_weight = p->weight,
                                   .weight_scale = 0.5,
                                   .heads = p->heads,
                                   .hard_negatives = with & HARD ? 5 + (uint32_t)seed % 20 : 0,
                                   .label_smoothing = with & SMOOTHED ? 0.3 : 0.0};
    if (with & OWN) p->batch.own_bias = p->own_bias;
    if (with & COPIES) p->batch.copies = p->copies;
    if (with & REMOVED) p->batch.remove_copies = true;
    if (with & POWER) p->batch.partition_power = 1.2;
    if (with & MASKED) p->batch.mask = p->mask;
    for (uint32_t k = 0; k < COLUMNS && !(with & OWN); k++) p->copies[k] += p->copies[k] == 0;
    for (uint32_t b = 0; with & SIGNED && b < ENTRIES; b += 3) {
        p->weight[b + 1] = -p->weight[b]; /* these two cancel but for their sums */
        p->weight[b + 2] *= b % 2 == 0 ? 0.0f : -0.5f;
    }
    if (with & BFLOAT16) {
        p->precision = TD_PRECISION_BFLOAT16;
        p->batch.temperature = SOFTMAX_FACTOR_1;
        softmax_make_exact(p->rows, ROWS * HEADS * DIM);
        softmax_make_exact(p->columns, COLUMNS * DIM);
    }
    p->result = (td__softmax_result){
        .entry_loss = p->entry_loss, .d_rows = p->d_rows, .d_columns = p->d_columns};
    p->closest = (double)INFINITY;
}

/* --- float64 */

/* One copy of a column, as an entry sees it. */
typedef struct candidate {
    uint32_t column, head;
    double score;
    bool own; /* the entry's positive */
} candidate;

static candidate best_head(problem *p, uint32_t row, uint32_t column)
{
    candidate best = {.column = column, .score = -(double)INFINITY};
    for (uint32_t h = 0; h < p->heads; h++) {
        const float *q = p->rows + (row * p->heads + h) * DIM, *k = p->columns + column * DIM;
        double sum = 0.0;
        for (uint32_t d = 0; d < DIM; d++) sum += (double)q[d] * (double)k[d];
        p->closest = fmin(p->closest, fabs(sum - best.score));
        if (sum <= best.score) continue;
        best.score = sum;
        best.head = h;
    }
    best.score /= (double)p->batch.temperature;
    return best;
}

static int best_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->own != y->own) return x->own ? -1 : 1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

/* The positive, then the negatives that stay. */
static uint32_t expand(problem *p, uint32_t entry, candidate *all)
{
    const td__softmax_batch *batch = &p->batch;
    uint32_t row = entry / 3, own = p->column[entry], count = 0;
    bool once = batch->own_bias != NULL || batch->remove_copies;
    for (uint32_t k = 0; k < COLUMNS; k++) {
        uint32_t copies = batch->copies != NULL ? batch->copies[k] : 1;
        candidate one = best_head(p, row, k);
        double score = one.score;
        if (batch->mask != NULL && batch->mask[row * COLUMNS + k] == 0) continue;
        one.score = score + (double)p->bias[k];
        if (k == own) {
            all[count] = one;
            all[count].own = true;
            if (batch->own_bias != NULL) all[count].score = score + (double)p->own_bias[k];
            count++;
            copies = once ? 0 : copies - 1;
        }
        for (uint32_t i = 0; i < copies; i++) all[count++] = one;
    }
    qsort(all, count, sizeof *all, best_first);
    uint32_t most = batch->hard_negatives + 1;
    if (batch->hard_negatives == 0 || most >= count) return count;
    double gap = all[most - 1].score - all[most].score;
    if (all[most - 1].column != all[most].column) p->closest = fmin(p->closest, gap);
    return most;
}

static void add_gradient(problem *p, uint32_t row, const candidate *c, double g)
{
    double t = (double)p->batch.temperature, raw = 0.0;
    size_t q = (row * p->heads + c->head) * DIM, k = c->column * DIM;
    for (uint32_t d = 0; d < DIM; d++) {
        p->right_rows[q + d] += g / t * (double)p->columns[k + d];
        p->right_columns[k + d] += g / t * (double)p->rows[q + d];
        raw += (double)p->rows[q + d] * (double)p->columns[k + d];
    }
    p->d_temperature -= g * raw / (t * t);
}

static void solve_entry(problem *p, uint32_t b)
{
    static candidate all[EXPANDED];
    const td__softmax_batch *batch = &p->batch;
    uint32_t count = expand(p, b, all);
    double power = batch->partition_power == 0.0 ? 1.0 : batch->partition_power;
    double e = batch->label_smoothing, sum = 0.0, mean = 0.0, top = all[0].score;
    for (uint32_t i = 0; i < count; i++) top = fmax(top, all[i].score);
    for (uint32_t i = 0; i < count; i++) sum += exp(all[i].score - top);
    for (uint32_t i = 0; i < count; i++) mean += all[i].score / count;
    double loss = power * (log(sum) + top) - (1.0 - e) * all[0].score - e * mean;
    double weight = (double)p->weight[b] * batch->weight_scale;
    p->right_loss[b] = (double)p->weight[b] * loss;
    p->loss += weight * loss;
    for (uint32_t i = 0; i < count; i++) {
        double label = (i == 0 ? 1.0 - e : 0.0) + e / count;
        add_gradient(p, b / 3, &all[i], weight * (power * exp(all[i].score - top) / sum - label));
    }
}

/* --- comparison */

static void compute(problem *p, td_context *context)
{
    td_error err;
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = ROWS, .columns = COLUMNS, .entries = ENTRIES, .dim = DIM,
                               .heads = p->heads, .hard_negatives = p->batch.hard_negatives,
                               .precision = p->precision};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &p->batch, &p->result, &err));
    td__softmax_free(softmax);
}

static double apart(const float *a, const double *right, uint32_t count)
{
    double difference = 0.0, norm = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        difference += ((double)a[i] - right[i]) * ((double)a[i] - right[i]);
        norm += right[i] * right[i];
    }
    return sqrt(difference / norm);
}

static void check(problem *p, unsigned with, td_context *context)
{
    for (uint32_t b = 0; b < ENTRIES; b++) solve_entry(p, b);
    if (p->closest < 1e-6) return; /* rounding decides */
    compute(p, context);
    double rows = apart(p->d_rows, p->right_rows, ROWS * p->heads * DIM);
    double columns = apart(p->d_columns, p->right_columns, COLUMNS * DIM);
    double tolerance = p->precision == TD_PRECISION_BFLOAT16 ? 2e-3 : 2e-6;
    if (!(rows <= tolerance) || !(columns <= tolerance)) {
        fail_msg("options %#x: rows off by %.3g, columns by %.3g", with, rows, columns);
    }
    assert_close(p->result.loss, p->loss, 1e-6, 1e-5);
    assert_close(p->result.d_temperature, p->d_temperature, 5 * tolerance, 5 * tolerance);
    for (uint32_t b = 0; b < ENTRIES; b++) {
        assert_close((double)p->entry_loss[b], p->right_loss[b], 2e-6, 2e-6);
    }
}

static void every_combination_matches_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (unsigned with = 0; with < ALL; with++) {
        if ((with & OWN) != 0 && (with & REMOVED) != 0) continue;
        if ((with & COPIES) == 0 && (with & REMOVED) != 0) continue;
        draw(&found, with + 1, with);
        check(&found, with, context);
    }
    td_context_free(context);
}

static void every_combination_in_bfloat16(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (unsigned with = 0; with < ALL; with++) {
        if ((with & OWN) != 0 && (with & REMOVED) != 0) continue;
        if ((with & COPIES) == 0 && (with & REMOVED) != 0) continue;
        draw(&found, with + 1, with | BFLOAT16);
        check(&found, with, context);
    }
    td_context_free(context);
}

/* Weights that cancel exactly: alpha is 0, the positives' part is not. */
static void weights_that_cancel_still_pull(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    draw(&found, 9, 0);
    for (uint32_t b = 0; b < ENTRIES; b += 3) {
        found.weight[b] = 1.0f;
        found.weight[b + 1] = -1.0f;
        found.weight[b + 2] = 0.0f;
    }
    check(&found, 0, context);
    assert_true(fabs((double)found.d_rows[0]) > 0.01);
    td_context_free(context);
}

static void more_hard_negatives_than_there_are_keep_all(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    draw(&found, 3, COPIES);
    compute(&found, context);
    draw(&other, 3, COPIES | HARD);
    other.batch.hard_negatives = 4 * COLUMNS;
    compute(&other, context);
    assert_close(other.result.loss, found.result.loss, 1e-6, 0);
    for (uint32_t i = 0; i < ROWS * DIM; i++) {
        assert_close((double)other.d_rows[i], (double)found.d_rows[i], 1e-5, 1e-5);
    }
    td_context_free(context);
}

static void assert_same_bits(const problem *a, const problem *b)
{
    assert_memory_equal(a->d_rows, b->d_rows, sizeof a->d_rows);
    assert_memory_equal(a->d_columns, b->d_columns, sizeof a->d_columns);
    assert_memory_equal(a->entry_loss, b->entry_loss, sizeof a->entry_loss);
    assert_true(a->result.loss == b->result.loss);
    assert_true(a->result.d_temperature == b->result.d_temperature);
}

static void same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    for (unsigned with = 0; with < ALL; with += 37) {
        for (uint32_t threads = 1; threads <= 7; threads += threads == 1 ? 1 : 5) {
            td_context *context = test_context(threads);
            problem *p = threads == 1 ? &found : &other;
            draw(p, 7, (with & ~(unsigned)REMOVED) | (with % 2 == 1 ? BFLOAT16 : 0));
            compute(p, context);
            assert_same_bits(threads == 1 ? &found : p, &found);
            td_context_free(context);
        }
    }
}

static void same_bits_for_all_kernel_sets(void **state)
{
    (void)state;
    for (unsigned with = HEADED; with <= (HEADED | HARD | SMOOTHED); with++) {
        for (uint32_t set = 0; td__kernels_at(set) != NULL; set++) {
            const td__kernels *kernels = td__kernels_at(set);
            td_context *context;
            td_error err;
            td_context_options options = {.threads = 1, .kernel = kernels->name};
            if (!kernels->available()) continue;
            assert_ok(td_context_create(&context, &options, &err));
            problem *p = set == 0 ? &found : &other;
            draw(p, 8, with | COPIES);
            compute(p, context);
            assert_same_bits(p, &found);
            td_context_free(context);
        }
    }
}

static void logits_of_a_thousand_do_not_overflow(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    for (unsigned with = HEADED; with <= (HEADED | HARD | SMOOTHED); with++) {
        draw(&found, 11, with);
        for (uint32_t i = 0; i < ROWS * HEADS * DIM; i++) found.rows[i] *= 600.0f;
        for (uint32_t b = 0; b < ENTRIES; b++) solve_entry(&found, b);
        assert_true(found.loss > 10000.0);
        compute(&found, context);
        assert_close(found.result.loss, found.loss, 1e-6, 0);
        double columns = apart(found.d_columns, found.right_columns, COLUMNS * DIM);
        if (!(columns < 1e-3)) fail_msg("options %#x: off by %.3g, closest %g", with, columns, found.closest);
    }
    td_context_free(context);
}

static void scores_that_are_not_finite_name_the_row(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (unsigned with = HEADED; with <= (HEADED | HARD | SMOOTHED); with++) {
        td_error err;
        td__softmax *softmax;
        draw(&found, 12, with);
        found.rows[(17 * found.heads) * DIM] = 3e38f;
        found.columns[5] = 3e38f;
        td__softmax_shape shape = {.rows = ROWS, .columns = COLUMNS, .entries = ENTRIES, .dim = DIM,
                                   .heads = found.heads, .hard_negatives = 25};
        assert_ok(td__softmax_create(&softmax, context, &shape, &err));
        found.columns[0] = 3e38f;
        assert_fails(td__softmax_compute(softmax, &found.batch, &found.result, &err), TD_ERR_NUMERIC,
                     "row ");
        td__softmax_free(softmax);
    }
    td_context_free(context);
}

static void workspace_is_what_the_header_says(void **state)
{
    (void)state;
    td_error err;
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 3);
    int64_t before = memory.bytes;
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 500, .columns = 3000, .entries = 700, .dim = 48, .heads = 4,
                               .hard_negatives = 100};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_close((double)(memory.bytes - before), (double)td__softmax_bytes(&shape, 3), 0.0, 4096.0);
    td__softmax_free(softmax);
    before = memory.bytes;
    shape.precision = TD_PRECISION_BFLOAT16;
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_close((double)(memory.bytes - before), (double)td__softmax_bytes(&shape, 3), 0.0, 4096.0);
    td__softmax_free(softmax);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_matches_float64),
        cmocka_unit_test(every_combination_in_bfloat16),
        cmocka_unit_test(weights_that_cancel_still_pull),
        cmocka_unit_test(more_hard_negatives_than_there_are_keep_all),
        cmocka_unit_test(same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(same_bits_for_all_kernel_sets),
        cmocka_unit_test(logits_of_a_thousand_do_not_overflow),
        cmocka_unit_test(scores_that_are_not_finite_name_the_row),
        cmocka_unit_test(workspace_is_what_the_header_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
