/* softmax_own_test.c -- positives with a bias of their own, columns that are no negatives, and powers of
 * the partition function: the engine against float64 and its finite differences. */
#include "support/softmax_problem.h"

#include <math.h>

#include "kernel/kernel.h"

enum { ROWS = 19, COLUMNS = 130, ENTRIES = 3 * ROWS, ABSENT = 6 * ROWS, DIM = 5 };

/* Row r has entries 3 r .. 3 r + 2. */
typedef struct problem {
    float rows[ROWS * DIM], columns[COLUMNS * DIM], bias[COLUMNS], own_bias[COLUMNS], weight[ENTRIES];
    uint32_t copies[COLUMNS], offset[ROWS + 1], column[ENTRIES];
    uint32_t absent_offset[ROWS + 1], absent[ABSENT]; /* up to 6 a row; used where a test says so */
    float d_rows[ROWS * DIM], d_columns[COLUMNS * DIM], entry_loss[ENTRIES];
    td_precision precision;
    td__softmax_batch batch;
    td__softmax_result result;
} problem;

static void draw(problem *p, uint64_t seed, double size)
{
    for (uint32_t i = 0; i < ROWS * DIM; i++) p->rows[i] = (float)test_uniform(&seed, -size, size);
    for (uint32_t i = 0; i < COLUMNS * DIM; i++) p->columns[i] = (float)test_uniform(&seed, -size, size);
    for (uint32_t k = 0; k < COLUMNS; k++) {
        p->bias[k] = (float)test_uniform(&seed, -2, 2);
        p->own_bias[k] = (float)test_uniform(&seed, -2, 2);
        p->copies[k] = (uint32_t)test_uniform(&seed, 0, 3.99);
    }
    for (uint32_t b = 0; b < ENTRIES; b++) {
        p->column[b] = (uint32_t)test_uniform(&seed, 0, COLUMNS);
        p->weight[b] = (float)test_uniform(&seed, 0, 2);
    }
    for (uint32_t r = 0; r <= ROWS; r++) p->offset[r] = 3 * r;
    p->batch = (td__softmax_batch){.rows = {p->rows, NULL, ROWS},
                                   .columns = {p->columns, NULL, COLUMNS},
                                   .temperature = 0.7f,
                                   .bias = p->bias,
                                   .own_bias = p->own_bias,
                                   .copies = p->copies,
                                   .entry_offset = p->offset,
                                   .entry_column = p->column,
                                   .entry_weight = p->weight,
                                   .weight_scale = 0.5,
                                   .partition_power = 1.0};
    p->result = (td__softmax_result){
        .entry_loss = p->entry_loss, .d_rows = p->d_rows, .d_columns = p->d_columns};
}

/* Row r lacks r % 7 columns more; of 5 or 6, one is an entry's and one comes twice. */
static void draw_absent(problem *p, uint64_t seed)
{
    uint32_t count = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        p->absent_offset[r] = count;
        for (uint32_t i = 0; i < r % 7; i++) {
            p->absent[count] = (uint32_t)test_uniform(&seed, 0, COLUMNS);
            if (i == 3) p->absent[count] = p->column[3 * r + 1];
            if (i == 4) p->absent[count] = p->absent[count - 2];
            count++;
        }
    }
    p->absent_offset[ROWS] = count;
    p->batch.absent_offset = p->absent_offset;
    p->batch.absent_column = p->absent;
}

static double score(const problem *p, uint32_t row, uint32_t column)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < DIM; k++) {
        sum += (double)p->rows[row * DIM + k] * (double)p->columns[column * DIM + k];
    }
    return sum / (double)p->batch.temperature;
}

static bool is_entry_of(const problem *p, uint32_t row, uint32_t column)
{
    for (uint32_t b = 3 * row; b < 3 * row + 3; b++) {
        if (p->column[b] == column) return true;
    }
    return false;
}

/* Is the column no part of a decoupled row? */
static bool is_out(const problem *p, uint32_t row, uint32_t column)
{
    if (is_entry_of(p, row, column)) return true;
    if (p->batch.absent_offset == NULL) return false;
    for (uint32_t a = p->absent_offset[row]; a < p->absent_offset[row + 1]; a++) {
        if (p->absent[a] == column) return true;
    }
    return false;
}

/* weight * (p ln Z - a), by the words of the header. */
static double entry_loss(const problem *p, uint32_t b)
{
    uint32_t row = b / 3, own = p->column[b];
    const float *own_bias = p->batch.own_bias;
    double a = score(p, row, own) + (double)(own_bias == NULL ? p->bias : own_bias)[own];
    double sum = own_bias == NULL ? (double)p->copies[own] * exp(a) : exp(a);
    if (p->batch.decoupled) sum = 0.0;
    for (uint32_t k = 0; k < COLUMNS; k++) {
        if (k == own || (p->batch.decoupled && is_out(p, row, k))) continue;
        sum += (double)p->copies[k] * exp(score(p, row, k) + (double)p->bias[k]);
    }
    return (double)p->weight[b] * (p->batch.partition_power * log(sum) - a);
}

static double loss(const problem *p)
{
    double sum = 0.0;
    for (uint32_t b = 0; b < ENTRIES; b++) sum += entry_loss(p, b);
    return sum * p->batch.weight_scale;
}

static void compute(problem *p, td_context *context)
{
    td_error err;
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = ROWS, .columns = COLUMNS, .entries = ENTRIES, .dim = DIM,
                               .precision = p->precision};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &p->batch, &p->result, &err));
    td__softmax_free(softmax);
}

/* The slope of the loss in one number, by central differences. */
static double slope(problem *p, float *number)
{
    const float step = 1e-2f;
    float held = *number;
    *number = held + step;
    double above = (double)*number, up = loss(p);
    *number = held - step;
    double below = (double)*number, down = loss(p);
    *number = held;
    return (up - down) / (above - below);
}

static void check(problem *p, td_context *context)
{
    compute(p, context);
    assert_close(p->result.loss, loss(p), 1e-5, 1e-5);
    for (uint32_t b = 0; b < ENTRIES; b++) {
        assert_close((double)p->entry_loss[b], entry_loss(p, b), 1e-5, 1e-5);
    }
    for (uint32_t i = 0; i < ROWS * DIM; i++) {
        assert_close((double)p->d_rows[i], slope(p, &p->rows[i]), 1e-3, 1e-3);
    }
    for (uint32_t i = 0; i < COLUMNS * DIM; i++) {
        assert_close((double)p->d_columns[i], slope(p, &p->columns[i]), 1e-3, 1e-3);
    }
    assert_close(p->result.d_temperature, slope(p, &p->batch.temperature), 1e-3, 1e-3);
}

static problem found, other;

static void positives_apart_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    draw(&found, 1, 1.0);
    check(&found, context);
    td_context_free(context);
}

static void powers_of_the_partition_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    for (int apart = 0; apart < 2; apart++) {
        draw(&found, 2 + (uint64_t)apart, 1.0);
        found.batch.partition_power = apart == 0 ? 1.3 : 0.8;
        if (apart == 0) {
            found.batch.own_bias = NULL;
            for (uint32_t k = 0; k < COLUMNS; k++) found.copies[k] += found.copies[k] == 0;
            /* without own biases the loss takes one copy's score: that of the column with its bias */
        }
        check(&found, context);
    }
    td_context_free(context);
}

static void positives_out_of_their_partition_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (int with = 0; with < 4; with++) {
        int apart = with % 2;
        draw(&found, 12 + (uint64_t)with, 1.0);
        found.batch.decoupled = true;
        if (with >= 2) draw_absent(&found, 30);
        found.batch.partition_power = apart == 0 ? 1.0 : 1.2;
        if (apart == 0) {
            found.batch.own_bias = NULL;
            for (uint32_t k = 0; k < COLUMNS; k++) found.copies[k] += found.copies[k] == 0;
        }
        check(&found, context);
    }
    td_context_free(context);
}

/* As if the columns were not there: the gradients of a batch that never had them. */
static void absent_columns_get_no_gradient(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    draw(&found, 16, 1.0);
    found.batch.decoupled = true;
    for (uint32_t r = 0; r < ROWS; r++) {
        found.absent_offset[r] = r * 6;
        for (uint32_t i = 0; i < 6; i++) found.absent[r * 6 + i] = 20 * i;
    }
    found.absent_offset[ROWS] = ABSENT;
    found.batch.absent_offset = found.absent_offset;
    found.batch.absent_column = found.absent;
    for (uint32_t b = 0; b < ENTRIES; b++) found.column[b] += found.column[b] % 20 == 0;
    compute(&found, context);
    for (uint32_t i = 0; i < 6; i++) {
        for (uint32_t k = 0; k < DIM; k++) assert_true(found.d_columns[20 * i * DIM + k] == 0.0f);
    }
    assert_true(found.d_columns[DIM] != 0.0f);
    td_context_free(context);
}

/* All but the entries are absent, one after the other: there is nothing left to be measured against. */
static void with_all_others_absent_nothing_moves(void **state)
{
    (void)state;
    static uint32_t all[ROWS * COLUMNS];
    td_context *context = test_context(1);
    draw(&found, 17, 4.0);
    found.batch.decoupled = true;
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++) all[i] = i % COLUMNS;
    for (uint32_t r = 0; r <= ROWS; r++) found.absent_offset[r] = r * COLUMNS;
    found.batch.absent_offset = found.absent_offset;
    found.batch.absent_column = all;
    compute(&found, context);
    assert_true(found.result.loss == 0.0);
    for (uint32_t i = 0; i < COLUMNS * DIM; i++) assert_true(found.d_columns[i] == 0.0f);
    td_context_free(context);
}

/* A positive far above all others still pulls with all of its weight; the softmax lets go. */
static void a_decoupled_positive_never_lets_go(void **state)
{
    (void)state;
    double pull[2];
    td_context *context = test_context(1);
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        draw(&found, 14, 0.1);
        for (uint32_t k = 0; k < COLUMNS; k++) found.own_bias[k] = 30.0f;
        found.batch.decoupled = decoupled == 1;
        compute(&found, context);
        pull[decoupled] = 0.0;
        for (uint32_t i = 0; i < ROWS * DIM; i++) pull[decoupled] += fabs((double)found.d_rows[i]);
    }
    assert_true(pull[0] < 1e-6 * pull[1]);
    td_context_free(context);
}

static void decoupled_without_negatives_nothing_moves(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    draw(&found, 5, 1.0);
    found.batch.decoupled = true;
    memset(found.copies, 0, sizeof found.copies);
    compute(&found, context);
    assert_true(found.result.loss == 0.0);
    for (uint32_t i = 0; i < COLUMNS * DIM; i++) assert_true(found.d_columns[i] == 0.0f);
    td_context_free(context);
}

/* Columns nobody drew: only the positives remain, so the loss is the cross-entropy of nothing. */
static void without_negatives_nothing_is_lost(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    draw(&found, 5, 1.0);
    memset(found.copies, 0, sizeof found.copies);
    compute(&found, context);
    assert_close(found.result.loss, 0.0, 0, 1e-5);
    for (uint32_t i = 0; i < COLUMNS * DIM; i++) assert_close((double)found.d_columns[i], 0.0, 0, 1e-5);
    td_context_free(context);
}

/* Scores up to +-60: anchors at positives are far below others, and the strip is scored again. */
static void large_scores_stay_right(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    draw(&found, 6, 4.0);
    compute(&found, context);
    assert_true(found.result.repeated > 0);
    assert_close(found.result.loss, loss(&found), 1e-5, 1e-4);
    for (uint32_t b = 0; b < ENTRIES; b++) {
        assert_close((double)found.entry_loss[b], entry_loss(&found, b), 1e-4, 1e-4);
    }
    td_context_free(context);
}

/* Vectors that rounding leaves as they are: float32's losses, and its gradients but for rounded weights. */
static void bfloat16_agrees_with_float32(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (int with = 0; with < 8; with++) {
        draw(&found, 20 + (uint64_t)with, 1.0);
        softmax_make_exact(found.rows, ROWS * DIM);
        softmax_make_exact(found.columns, COLUMNS * DIM);
        found.batch.temperature = SOFTMAX_FACTOR_1;
        if ((with & 1) != 0) found.batch.decoupled = true;
        if ((with & 1) != 0) draw_absent(&found, 31);
        if ((with & 2) != 0) found.batch.own_bias = NULL;
        if ((with & 4) != 0) found.batch.partition_power = 1.2;
        for (uint32_t k = 0; k < COLUMNS && (with & 2) != 0; k++) found.copies[k] += found.copies[k] == 0;
        compute(&found, context);
        float d_rows[ROWS * DIM], d_columns[COLUMNS * DIM];
        memcpy(d_rows, found.d_rows, sizeof d_rows);
        memcpy(d_columns, found.d_columns, sizeof d_columns);
        double right = found.result.loss;
        found.precision = TD_PRECISION_BFLOAT16;
        compute(&found, context);
        found.precision = TD_PRECISION_FLOAT32;
        assert_close(found.result.loss, right, 1e-6, 0.0);
        double rows = softmax_apart(found.d_rows, d_rows, ROWS * DIM);
        double columns = softmax_apart(found.d_columns, d_columns, COLUMNS * DIM);
        if (!(rows <= 2e-3 && columns <= 2e-3)) fail_msg("%d: %.3g and %.3g apart", with, rows, columns);
        if (rows == 0.0) fail_msg("nothing was rounded");
    }
    td_context_free(context);
}

static void same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 7; threads += threads == 1 ? 1 : 5) {
        td_context *context = test_context(threads);
        problem *p = threads == 1 ? &found : &other;
        draw(p, 7, 1.0);
        p->batch.partition_power = 1.1;
        compute(p, context);
        assert_memory_equal(p->d_rows, found.d_rows, sizeof found.d_rows);
        assert_memory_equal(p->d_columns, found.d_columns, sizeof found.d_columns);
        assert_true(p->result.loss == found.result.loss);
        td_context_free(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positives_apart_match_float64),
        cmocka_unit_test(powers_of_the_partition_match_float64),
        cmocka_unit_test(positives_out_of_their_partition_match_float64),
        cmocka_unit_test(absent_columns_get_no_gradient),
        cmocka_unit_test(with_all_others_absent_nothing_moves),
        cmocka_unit_test(a_decoupled_positive_never_lets_go),
        cmocka_unit_test(decoupled_without_negatives_nothing_moves),
        cmocka_unit_test(without_negatives_nothing_is_lost),
        cmocka_unit_test(large_scores_stay_right),
        cmocka_unit_test(bfloat16_agrees_with_float32),
        cmocka_unit_test(same_bits_for_1_2_and_7_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
