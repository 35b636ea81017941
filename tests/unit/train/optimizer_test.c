/* optimizer_test.c -- steps against float64, duplicates, threads, memory, checkpoints. */
#include "support/option_table.h"

#include <math.h>

#include "train/optimizer.h"

static const td_optimizer_kind kinds[] = {TD_OPTIMIZER_SGD, TD_OPTIMIZER_ADAGRAD,
                                          TD_OPTIMIZER_ADAGRAD_TORCH, TD_OPTIMIZER_ADAGRAD_ROWWISE,
                                          TD_OPTIMIZER_ADAM_LAZY};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static td_optimizer_options with(td_optimizer_kind kind, float momentum)
{
    td_optimizer_options options;
    td_optimizer_options_init(&options);
    options.optimizer = kind;
    options.momentum = momentum;
    return options;
}

static void the_option_table_is_sound(void **state)
{
    (void)state;
    test_option_table(td_optimizer_option_table(), td_optimizer_options);
}

/* --- the formulas again, in double, one row at a time */

typedef struct precise {
    double w[64], a[64], m[64];
    double row; /* the one accumulator of row-wise Adagrad */
} precise;

static void precise_adam(const td_optimizer_options *o, precise *p, const double *g, uint32_t dim,
                         uint32_t t, double lr)
{
    double b1 = (double)o->beta1, b2 = (double)o->beta2;
    for (uint32_t k = 0; k < dim; k++) {
        p->m[k] = b1 * p->m[k] + (1 - b1) * g[k];
        p->a[k] = b2 * p->a[k] + (1 - b2) * g[k] * g[k];
        double rate = lr * sqrt(1 - pow(b2, t)) / (1 - pow(b1, t));
        p->w[k] -= rate * p->m[k] / (sqrt(p->a[k]) + (double)o->epsilon);
    }
}

static void precise_step(const td_optimizer_options *o, precise *p, const double *g, uint32_t dim,
                         uint32_t t, double lr)
{
    double eps = (double)o->epsilon, squares = 0;
    if (o->optimizer == TD_OPTIMIZER_ADAM_LAZY) {
        precise_adam(o, p, g, dim, t, lr);
        return;
    }
    for (uint32_t k = 0; k < dim; k++) squares += g[k] * g[k];
    p->row += squares / dim;
    for (uint32_t k = 0; k < dim; k++) {
        p->a[k] += g[k] * g[k];
        p->m[k] = (double)o->momentum * p->m[k] - lr * g[k];
        switch (o->optimizer) {
        case TD_OPTIMIZER_SGD:
            p->w[k] += p->m[k];
            break;
        case TD_OPTIMIZER_ADAGRAD:
            p->w[k] -= lr * g[k] / sqrt(p->a[k] + eps);
            break;
        case TD_OPTIMIZER_ADAGRAD_TORCH:
            p->w[k] -= lr * g[k] / (sqrt(p->a[k]) + eps);
            break;
        default:
            p->w[k] -= lr * g[k] / (sqrt(p->row) + eps);
            break;
        }
    }
}

enum { ROWS = 13, STEPS = 25, COUNT = 20 };

/* One step in both; rows repeat, and some never occur. */
static void both_step(td_optimizer *optimizer, const td_optimizer_options *options, float *weights,
                      precise *reference, uint32_t dim, uint32_t t, uint64_t *seed)
{
    td_error err = {0};
    uint32_t touched[COUNT];
    float gradient[COUNT * 64];
    for (uint32_t i = 0; i < COUNT; i++) touched[i] = (uint32_t)test_uniform(seed, 0, ROWS - 2);
    for (uint32_t i = 0; i < COUNT * dim; i++) gradient[i] = (float)test_uniform(seed, -1, 1);
    double lr = 0.05 + 0.01 * t;
    assert_ok(td_optimizer_step(optimizer, weights, touched, COUNT, gradient, lr, &err));
    for (uint32_t row = 0; row < ROWS; row++) {
        double sum[64] = {0};
        bool seen = false;
        for (uint32_t i = 0; i < COUNT; i++) {
            for (uint32_t k = 0; k < dim && touched[i] == row; k++) {
                sum[k] += (double)gradient[i * dim + k];
                seen = true;
            }
        }
        if (seen) precise_step(options, &reference[row], sum, dim, t + 1, lr);
    }
}

static void compare_with_precise(td_context *context, const td_optimizer_options *options,
                                 uint32_t dim)
{
    td_error err = {0};
    td_optimizer *optimizer;
    float weights[ROWS * 64];
    static precise reference[ROWS];
    uint64_t seed = 11 + dim;
    memset(reference, 0, sizeof reference);
    bool adagrad = options->optimizer != TD_OPTIMIZER_SGD
                   && options->optimizer != TD_OPTIMIZER_ADAM_LAZY;
    for (uint32_t i = 0; i < ROWS * dim; i++) {
        weights[i] = (float)test_uniform(&seed, -1, 1);
        reference[i / dim].w[i % dim] = (double)weights[i];
        if (adagrad) reference[i / dim].a[i % dim] = (double)options->initial_accumulator;
        if (adagrad) reference[i / dim].row = (double)options->initial_accumulator;
    }
    assert_ok(td_optimizer_create(&optimizer, context, ROWS, dim, options, &err));
    for (uint32_t t = 0; t < STEPS; t++) {
        both_step(optimizer, options, weights, reference, dim, t, &seed);
    }
    for (uint32_t i = 0; i < ROWS * dim; i++) {
        assert_close((double)weights[i], reference[i / dim].w[i % dim], 1e-6, 1e-6);
    }
    td_optimizer_free(optimizer);
}

static void steps_are_within_1e_6_of_float64(void **state)
{
    static const uint32_t dims[] = {1, 3, 16, 17, 64};
    (void)state;
    td_context *context = test_context(2);
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        for (size_t i = 0; i < KINDS; i++) {
            td_optimizer_options options = with(kinds[i], 0);
            compare_with_precise(context, &options, dims[d]);
        }
        td_optimizer_options momentum = with(TD_OPTIMIZER_SGD, 0.8f);
        compare_with_precise(context, &momentum, dims[d]);
    }
    td_context_free(context);
}

/* --- threads, and the two ways to name all rows */

typedef struct big_run {
    uint32_t rows, dim, count;
    bool dense;
} big_run;

/* Weights after some steps, on so many threads; free with free. */
static float *run_big(const big_run *run, const td_optimizer_options *options, uint32_t threads)
{
    td_error err = {0};
    td_context *context = test_context(threads);
    td_optimizer *optimizer;
    float *weights = test_normal_vectors(1, run->rows, run->dim);
    uint32_t *touched = malloc(run->count * sizeof *touched);
    uint64_t seed = 3;
    assert_ok(td_optimizer_create(&optimizer, context, run->rows, run->dim, options, &err));
    for (uint64_t step = 0; step < 3; step++) {
        float *gradient = test_normal_vectors(100 + step, run->count, run->dim);
        for (uint32_t i = 0; i < run->count; i++) {
            touched[i] = run->dense ? i : (uint32_t)test_uniform(&seed, 0, run->rows);
        }
        assert_ok(td_optimizer_step(optimizer, weights, touched, run->count, gradient, 0.1, &err));
        free(gradient);
    }
    free(touched);
    td_optimizer_free(optimizer);
    td_context_free(context);
    return weights;
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    const big_run run = {.rows = 700, .dim = 33, .count = 2000};
    for (size_t i = 0; i < KINDS; i++) {
        td_optimizer_options options = with(kinds[i], 0.5f);
        float *one = run_big(&run, &options, 1);
        float *two = run_big(&run, &options, 2), *seven = run_big(&run, &options, 7);
        assert_memory_equal(one, two, run.rows * run.dim * sizeof *one);
        assert_memory_equal(one, seven, run.rows * run.dim * sizeof *one);
        free(one);
        free(two);
        free(seven);
    }
}

static void all_rows_by_name_or_by_null_are_the_same(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    const big_run run = {.rows = 700, .dim = 33, .count = 700, .dense = true};
    for (size_t i = 0; i < KINDS; i++) {
        td_optimizer_options options = with(kinds[i], 0.5f);
        float *named = run_big(&run, &options, 2),
              *weights = test_normal_vectors(1, run.rows, run.dim);
        td_optimizer *optimizer;
        assert_ok(td_optimizer_create(&optimizer, context, run.rows, run.dim, &options, &err));
        for (uint64_t step = 0; step < 3; step++) {
            float *gradient = test_normal_vectors(100 + step, run.rows, run.dim);
            assert_ok(td_optimizer_step(optimizer, weights, NULL, run.rows, gradient, 0.1, &err));
            free(gradient);
        }
        assert_memory_equal(named, weights, run.rows * run.dim * sizeof *named);
        td_optimizer_free(optimizer);
        free(named);
        free(weights);
    }
    td_context_free(context);
}

static void duplicates_are_summed_in_the_order_given(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_optimizer *optimizer;
    td_optimizer_options options = with(TD_OPTIMIZER_SGD, 0);
    /* (1e8 + 1) - 1e8 is 0 in float, 1e8 - 1e8 + 1 is 1. */
    const uint32_t touched[] = {1, 0, 1, 1};
    const float first[] = {1e8f, 5, 1, -1e8f}, second[] = {1e8f, 5, -1e8f, 1};
    float weights[2] = {0, 0};
    assert_ok(td_optimizer_create(&optimizer, context, 2, 1, &options, &err));
    assert_ok(td_optimizer_step(optimizer, weights, touched, 4, first, 1, &err));
    assert_true(weights[0] == -5 && weights[1] == 0);
    assert_ok(td_optimizer_step(optimizer, weights, touched, 4, second, 1, &err));
    assert_true(weights[0] == -10 && weights[1] == -1);
    td_optimizer_free(optimizer);
    td_context_free(context);
}

/* --- refusals */

/* Without a gradient SGD multiplies the rows that move with 1 - rate * l2, and no others. */
static void l2_draws_moved_rows_to_zero(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_optimizer_options options = with(TD_OPTIMIZER_SGD, 0.0f);
    td_optimizer *optimizer;
    float weights[8] = {1, -2, 3, -4, 5, -6, 7, -8};
    const float zeros[8] = {0};
    const uint32_t touched[] = {2, 0, 2};
    options.l2 = 0.5f;
    assert_ok(td_optimizer_create(&optimizer, context, 4, 2, &options, &err));
    assert_ok(td_optimizer_step(optimizer, weights, touched, 3, zeros, 0.1, &err));
    const double once[8] = {0.95, -1.9, 3, -4, 4.75, -5.7, 7, -8};
    for (uint32_t i = 0; i < 8; i++) assert_close((double)weights[i], once[i], 1e-6, 0);
    assert_ok(td_optimizer_step(optimizer, weights, NULL, 4, zeros, 0.1, &err));
    for (uint32_t i = 0; i < 8; i++) assert_close((double)weights[i], 0.95 * once[i], 1e-6, 0);
    td_optimizer_free(optimizer);
    td_context_free(context);
}

/* With a gradient it is the gradient plus l2 times the weight, for every kind. */
static void l2_is_added_to_the_gradient(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    for (uint32_t i = 0; i < KINDS; i++) {
        td_optimizer_options options = with(kinds[i], 0.0f);
        td_optimizer *with_l2, *without;
        float a[4] = {1, -2, 3, -4}, b[4] = {1, -2, 3, -4}, gradient[4] = {0.5f, 1, -1, 2}, sum[4];
        assert_ok(td_optimizer_create(&without, context, 2, 2, &options, &err));
        options.l2 = 0.25f;
        assert_ok(td_optimizer_create(&with_l2, context, 2, 2, &options, &err));
        for (uint32_t k = 0; k < 4; k++) sum[k] = gradient[k] + 0.25f * b[k];
        assert_ok(td_optimizer_step(with_l2, a, NULL, 2, gradient, 0.1, &err));
        assert_ok(td_optimizer_step(without, b, NULL, 2, sum, 0.1, &err));
        assert_memory_equal(a, b, sizeof a);
        td_optimizer_free(with_l2);
        td_optimizer_free(without);
    }
    td_context_free(context);
}

static void bad_steps_change_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_optimizer *optimizer;
    const uint32_t touched[] = {1, 0, 1, 3}, good[] = {0, 1};
    const float gradient[] = {1, 1, 1, 1};
    float weights[3] = {1, 2, 3}, before[3] = {1, 2, 3};
    td_optimizer_options options = with(TD_OPTIMIZER_SGD, 0);
    assert_ok(td_optimizer_create(&optimizer, context, 3, 1, &options, &err));
    assert_fails(td_optimizer_step(optimizer, weights, touched, 4, gradient, 1, &err),
                 TD_ERR_ARGUMENT, "gradient 3 belongs to row 3; there are 3 rows");
    assert_fails(td_optimizer_step(optimizer, weights, NULL, 2, gradient, 1, &err), TD_ERR_ARGUMENT,
                 "2 gradients for all of 3 rows");
    assert_fails(td_optimizer_step(optimizer, weights, NULL, 3, gradient, (double)NAN, &err),
                 TD_ERR_ARGUMENT, "learning rate");
    assert_fails(td_optimizer_step(optimizer, weights, NULL, 3, gradient, -1, &err),
                 TD_ERR_ARGUMENT, "learning rate");
    assert_fails(td_optimizer_step(optimizer, weights, touched, UINT32_MAX, gradient, 1, &err),
                 TD_ERR_LIMIT, "gradients in a step");
    assert_memory_equal(weights, before, sizeof weights);
    assert_int_equal(td__optimizer_steps(optimizer), 0);
    /* A refused step leaves no traces in the groups of the next. */
    assert_ok(td_optimizer_step(optimizer, weights, good, 2, gradient, 1, &err));
    assert_true(weights[0] == 0 && weights[1] == 1 && weights[2] == 3);
    assert_ok(td_optimizer_step(optimizer, weights, good, 0, NULL, 1, &err));
    td_optimizer_free(optimizer);
    td_context_free(context);
}

static void bad_shapes_and_options_are_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_optimizer *optimizer;
    td_optimizer_options options = with(TD_OPTIMIZER_ADAGRAD, 0);
    assert_fails(td_optimizer_create(&optimizer, context, 3, 0, NULL, &err), TD_ERR_ARGUMENT,
                 "dim is 0");
    assert_null(optimizer);
    assert_fails(td_optimizer_create(&optimizer, context, 3, 65537, NULL, &err), TD_ERR_ARGUMENT,
                 "dim");
    assert_fails(td_optimizer_create(&optimizer, context, UINT32_MAX, 1, NULL, &err), TD_ERR_LIMIT,
                 "rows");
    options.epsilon = 0;
    assert_fails(td_optimizer_create(&optimizer, context, 3, 1, &options, &err), TD_ERR_ARGUMENT,
                 "option epsilon");
    assert_ok(td_optimizer_create(&optimizer, context, 0, 4, NULL, &err));
    assert_ok(td_optimizer_step(optimizer, NULL, NULL, 0, NULL, 1, &err));
    td_optimizer_free(optimizer);
    td_optimizer_free(NULL);
    td_context_free(context);
}

/* --- memory */

static td_status create_and_step(void *state, td_context *context, td_error *err)
{
    static const uint32_t touched[] = {2, 2, 0};
    static const float gradient[9] = {1, 2, 3};
    float weights[9] = {0};
    td_optimizer *optimizer;
    td_optimizer_options options = with(*(td_optimizer_kind *)state, 0.5f);
    td_status status = td_optimizer_create(&optimizer, context, 3, 3, &options, err);
    if (status != TD_OK) return status;
    status = td_optimizer_step(optimizer, weights, touched, 3, gradient, 0.1, err);
    td_optimizer_free(optimizer);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        td_optimizer_kind kind = kinds[i];
        test_every_allocation(create_and_step, &kind);
    }
}

static void a_step_as_large_as_before_allocates_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    td_optimizer *optimizer;
    uint32_t touched[100] = {0};
    float gradient[200] = {0}, weights[6] = {0};
    assert_ok(td_optimizer_create(&optimizer, context, 3, 2, NULL, &err));
    assert_ok(td_optimizer_step(optimizer, weights, touched, 100, gradient, 0.1, &err));
    int64_t allocations = memory.allocations;
    for (uint64_t count = 0; count <= 100; count++) {
        for (uint64_t i = 0; i < count; i++) touched[i] = (uint32_t)(i % 3);
        assert_ok(td_optimizer_step(optimizer, weights, touched, count, gradient, 0.1, &err));
    }
    assert_ok(td_optimizer_step(optimizer, weights, NULL, 3, gradient, 0.1, &err));
    assert_int_equal(memory.allocations, allocations);
    td_optimizer_free(optimizer);
    td_context_free(context);
}

/* --- checkpoints */

static void step_some(td_optimizer *optimizer, float *weights, uint64_t seed)
{
    static const uint32_t touched[] = {4, 1, 4, 2};
    td_error err = {0};
    float *gradient = test_normal_vectors(seed, 4, 5);
    assert_ok(td_optimizer_step(optimizer, weights, touched, 4, gradient, 0.1, &err));
    free(gradient);
}

static td__container *saved(td_context *context, const td_optimizer *optimizer, const char *path)
{
    td_error err = {0};
    td__container_writer *writer;
    td__container *container;
    assert_ok(td__container_writer_create(&writer, context, "checkpoint", 1, &err));
    assert_ok(td__optimizer_save(optimizer, writer, "query", &err));
    assert_ok(td__container_commit(writer, path, &err));
    td__container_writer_free(writer);
    assert_ok(td__container_open(&container, context, path, "checkpoint", 1, &err));
    return container;
}

static void a_checkpoint_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    for (size_t i = 0; i < KINDS * 2; i++) {
        td_optimizer_options options = with(kinds[i / 2], i % 2 == 0 ? 0 : 0.5f);
        td_optimizer *through, *resumed;
        float weights[25] = {0}, copy[25];
        assert_ok(td_optimizer_create(&through, context, 5, 5, &options, &err));
        for (uint64_t step = 0; step < 4; step++) step_some(through, weights, step);
        td__container *file = saved(context, through, test_path("checkpoint"));
        memcpy(copy, weights, sizeof copy);
        assert_ok(td_optimizer_create(&resumed, context, 5, 5, &options, &err));
        assert_ok(td__optimizer_load(resumed, file, "query", &err));
        assert_int_equal(td__optimizer_steps(resumed), 4);
        for (uint64_t step = 4; step < 8; step++) step_some(through, weights, step);
        for (uint64_t step = 4; step < 8; step++) step_some(resumed, copy, step);
        assert_memory_equal(weights, copy, sizeof copy);
        td__container_close(file);
        td_optimizer_free(through);
        td_optimizer_free(resumed);
    }
    td_context_free(context);
}

static void checkpoints_of_other_optimizers_are_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_optimizer_options adam = with(TD_OPTIMIZER_ADAM_LAZY, 0);
    td_optimizer *optimizer, *other;
    uint32_t width;
    assert_ok(td_optimizer_create(&optimizer, context, 5, 5, NULL, &err));
    assert_ok(td_optimizer_create(&other, context, 5, 5, &adam, &err));
    td__container *file = saved(context, optimizer, test_path("other"));
    assert_fails(td__optimizer_load(other, file, "query", &err), TD_ERR_CORRUPT,
                 "F32 [5, 5]; F32 [5, 10]");
    assert_fails(td__optimizer_load(optimizer, file, "candidate", &err), TD_ERR_CORRUPT, "missing");
    td__container_close(file);
    float *slots = td__optimizer_slots(optimizer, &width);
    assert_int_equal(width, 5);
    slots[7] = -1;
    file = saved(context, optimizer, test_path("negative"));
    slots[7] = 0.25f;
    assert_fails(td__optimizer_load(optimizer, file, "query", &err), TD_ERR_CORRUPT,
                 "row 1, column 2: -1 cannot be");
    assert_true(slots[7] == 0.25f);
    td__container_close(file);
    slots = td__optimizer_slots(other, &width);
    slots[0] = -1; /* a first moment may be negative */
    file = saved(context, other, test_path("moment"));
    assert_ok(td__optimizer_load(other, file, "query", &err));
    td__container_close(file);
    slots[5] = NAN;
    file = saved(context, other, test_path("nan"));
    assert_fails(td__optimizer_load(other, file, "query", &err), TD_ERR_CORRUPT, "cannot be");
    td__container_close(file);
    td_optimizer_free(optimizer);
    td_optimizer_free(other);
    td_context_free(context);
}

/* --- two sides */

/* Rows that both sides have move once, by the sum: the bits of one call with all of them in order. */
static void two_sides_are_one_gradient(void **state)
{
    (void)state;
    enum { ROWS_OF_ALL = 9, FIRST = 4, SECOND = 5, WIDTH = 6 };
    const uint32_t touched[FIRST + SECOND] = {3, 8, 0, 5, 8, 2, 3, 1, 8};
    for (int kind = 0; kind < KINDS; kind++) {
        td_error err;
        td_context *context = test_context(2);
        td_optimizer_options options = with(kinds[kind], 0.5f);
        options.l2 = 0.01f;
        float *a = test_normal_vectors(1, ROWS_OF_ALL, WIDTH), *b = test_normal_vectors(1, ROWS_OF_ALL, WIDTH);
        float *g = test_normal_vectors(2, FIRST + SECOND, WIDTH);
        td_optimizer *one, *both;
        assert_ok(td_optimizer_create(&one, context, ROWS_OF_ALL, WIDTH, &options, &err));
        assert_ok(td_optimizer_create(&both, context, ROWS_OF_ALL, WIDTH, &options, &err));
        const td__sided_gradient sides[2] = {{touched, FIRST, g},
                                             {touched + FIRST, SECOND, g + FIRST * WIDTH}};
        for (int step = 0; step < 3; step++) {
            assert_ok(td_optimizer_step(one, a, touched, FIRST + SECOND, g, 0.1, &err));
            assert_ok(td__optimizer_step_both(both, b, sides, 0.1, &err));
        }
        assert_memory_equal(a, b, ROWS_OF_ALL * WIDTH * sizeof *a);
        const uint32_t wrong[1] = {ROWS_OF_ALL};
        const td__sided_gradient bad[2] = {{touched, FIRST, g}, {wrong, 1, g}};
        assert_fails(td__optimizer_step_both(both, b, bad, 0.1, &err), TD_ERR_ARGUMENT,
                     "gradient 4 belongs to row 9");
        assert_fails(td__optimizer_step_both(both, b, sides, (double)NAN, &err), TD_ERR_ARGUMENT, "learning rate");
        assert_memory_equal(a, b, ROWS_OF_ALL * WIDTH * sizeof *a);
        td_optimizer_free(one);
        td_optimizer_free(both);
        free(a);
        free(b);
        free(g);
        td_context_free(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_table_is_sound),
        cmocka_unit_test(steps_are_within_1e_6_of_float64),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(all_rows_by_name_or_by_null_are_the_same),
        cmocka_unit_test(duplicates_are_summed_in_the_order_given),
        cmocka_unit_test(l2_draws_moved_rows_to_zero),
        cmocka_unit_test(l2_is_added_to_the_gradient),
        cmocka_unit_test(bad_steps_change_nothing),
        cmocka_unit_test(bad_shapes_and_options_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(a_step_as_large_as_before_allocates_nothing),
        cmocka_unit_test(a_checkpoint_goes_on_with_the_same_bits),
        cmocka_unit_test(checkpoints_of_other_optimizers_are_refused),
        cmocka_unit_test(two_sides_are_one_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
