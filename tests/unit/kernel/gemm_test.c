/* gemm_test.c -- the products of a dense layer: against float64, and the same bits everywhere. */
#include <math.h>

#include "kernel/gemm.h"
#include "kernel/gemm_tiles.h"
#include "support/test.h"

enum { GUARD = 64 }; /* bytes behind the scratch that must stay as they are */

typedef struct size {
    uint32_t rows, in, out;
} size;

/* Around the sizes of tiles, strips, slices, chunks and groups; and those of towers. */
static const size sizes[] = {
    {1, 1, 1},    {5, 3, 2},     {6, 12, 16},   {7, 13, 17},  {12, 16, 32},   {23, 11, 15},
    {97, 24, 33}, {100, 31, 48}, {240, 12, 16}, {95, 65, 31}, {2000, 5, 19}, {1931, 64, 48},
};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

typedef struct layer {
    size size;
    td__affine map;
    float *weights, *bias, *x, *d_y;        /* in */
    float *y, *d_x, *d_weights, *d_bias;    /* out */
} layer;

static float *filled(uint64_t count)
{
    float *all = malloc((count + 1) * sizeof *all);
    assert_non_null(all);
    for (uint64_t i = 0; i <= count; i++) all[i] = 1e30f; /* all must be written, but for the last */
    return all;
}

static layer make_layer(const size *s, bool relu)
{
    layer l = {.size = *s};
    uint64_t rows = s->rows, in = s->in, out = s->out;
    l.weights = test_normal_vectors(1, in, s->out);
    l.bias = test_normal_vectors(2, 1, s->out);
    l.x = test_normal_vectors(3, rows, s->in);
    l.d_y = test_normal_vectors(4, rows, s->out);
    l.y = filled(rows * out);
    l.d_x = filled(rows * in);
    l.d_weights = filled(in * out);
    l.d_bias = filled(out);
    l.map = (td__affine){s->in, s->out, relu, l.weights, l.bias};
    return l;
}

static void clear_layer(layer *l)
{
    float *all[] = {l->weights, l->bias, l->x, l->d_y, l->y, l->d_x, l->d_weights, l->d_bias};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

/* Scratch of exactly the promised size, in front of a guard. */
static unsigned char *make_scratch(uint64_t bytes)
{
    unsigned char *scratch = aligned_alloc(64, (bytes + GUARD + 63) / 64 * 64);
    assert_non_null(scratch);
    memset(scratch, 0xA5, bytes + GUARD);
    return scratch;
}

static void check_guard(const unsigned char *scratch, uint64_t bytes)
{
    for (uint64_t i = bytes; i < bytes + GUARD; i++) assert_int_equal(scratch[i], 0xA5);
}

static void run_layer(layer *l, td_context *context)
{
    uint32_t threads = td_context_threads(context);
    uint64_t rows = l->size.rows;
    uint64_t little = td__affine_scratch(&l->map, threads, false);
    uint64_t much = td__affine_scratch(&l->map, threads, true);
    unsigned char *scratch = make_scratch(little);
    td__affine_forward(context, &l->map, l->x, rows, l->y, scratch);
    check_guard(scratch, little);
    free(scratch);
    scratch = make_scratch(much);
    td__affine_flow flow = {.rows = rows,
                            .x = l->x,
                            .y = l->y,
                            .d_y = l->d_y,
                            .d_x = l->d_x,
                            .d_weights = l->d_weights,
                            .d_bias = l->d_bias};
    td__affine_backward(context, &l->map, &flow, scratch);
    check_guard(scratch, much);
    free(scratch);
}

/* --- against float64 */

static double sum_forward(const layer *l, uint32_t i, uint32_t j)
{
    double sum = (double)l->bias[j];
    for (uint32_t k = 0; k < l->size.in; k++) {
        sum += (double)l->x[i * l->size.in + k] * (double)l->weights[k * l->size.out + j];
    }
    return sum;
}

/* d_y behind relu; which side of 0 a sum was is asked from the float32 result. */
static double passed(const layer *l, uint32_t i, uint32_t j)
{
    size_t at = (size_t)i * l->size.out + j;
    return l->map.relu && !(l->y[at] > 0.0f) ? 0.0 : (double)l->d_y[at];
}

static void check_forward(const layer *l)
{
    for (uint32_t i = 0; i < l->size.rows; i++) {
        for (uint32_t j = 0; j < l->size.out; j++) {
            double sum = sum_forward(l, i, j);
            if (l->map.relu && sum < 0.0) sum = 0.0;
            assert_close((double)l->y[i * l->size.out + j], sum, 1e-5, 2e-5);
        }
    }
}

static void check_input_gradient(const layer *l)
{
    for (uint32_t i = 0; i < l->size.rows; i++) {
        for (uint32_t k = 0; k < l->size.in; k++) {
            double sum = 0.0;
            for (uint32_t j = 0; j < l->size.out; j++) {
                sum += passed(l, i, j) * (double)l->weights[k * l->size.out + j];
            }
            assert_close((double)l->d_x[i * l->size.in + k], sum, 1e-5, 2e-5);
        }
    }
}

static void check_weight_gradients(const layer *l)
{
    for (uint32_t j = 0; j < l->size.out; j++) {
        double bias = 0.0;
        for (uint32_t i = 0; i < l->size.rows; i++) bias += passed(l, i, j);
        assert_close((double)l->d_bias[j], bias, 1e-5, 1e-4);
        for (uint32_t k = 0; k < l->size.in; k++) {
            double sum = 0.0;
            for (uint32_t i = 0; i < l->size.rows; i++) {
                sum += passed(l, i, j) * (double)l->x[i * l->size.in + k];
            }
            assert_close((double)l->d_weights[k * l->size.out + j], sum, 1e-5, 1e-4);
        }
    }
}

static void check_ends(const layer *l)
{
    uint64_t rows = l->size.rows, in = l->size.in, out = l->size.out;
    assert_true(l->y[rows * out] == 1e30f && l->d_x[rows * in] == 1e30f);
    assert_true(l->d_weights[in * out] == 1e30f && l->d_bias[out] == 1e30f);
}

static void all_results_agree_with_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (uint32_t s = 0; s < 2 * SIZES; s++) {
        layer l = make_layer(&sizes[s / 2], s % 2 == 1);
        run_layer(&l, context);
        check_forward(&l);
        check_input_gradient(&l);
        check_weight_gradients(&l);
        check_ends(&l);
        clear_layer(&l);
    }
    td_context_free(context);
}

/* --- the same bits */

static void assert_same(const layer *a, const layer *b)
{
    uint64_t rows = a->size.rows, in = a->size.in, out = a->size.out;
    assert_memory_equal(a->y, b->y, rows * out * sizeof(float));
    assert_memory_equal(a->d_x, b->d_x, rows * in * sizeof(float));
    assert_memory_equal(a->d_weights, b->d_weights, in * out * sizeof(float));
    assert_memory_equal(a->d_bias, b->d_bias, out * sizeof(float));
}

static void check_against(const layer *expected, const char *kernel, uint32_t threads)
{
    td_error err;
    td_context *context;
    td_context_options options = {.threads = threads, .kernel = kernel};
    assert_ok(td_context_create(&context, &options, &err));
    layer l = make_layer(&expected->size, expected->map.relu);
    run_layer(&l, context);
    assert_same(&l, expected);
    clear_layer(&l);
    td_context_free(context);
}

static void every_set_and_number_of_threads_gives_the_bits_of_plain_c(void **state)
{
    (void)state;
    td_error err;
    td_context *plain;
    td_context_options options = {.threads = 1, .kernel = "ref"};
    static const uint32_t threads[] = {1, 2, 7};
    assert_ok(td_context_create(&plain, &options, &err));
    for (uint32_t s = 0; s < 2 * SIZES; s++) {
        layer expected = make_layer(&sizes[s / 2], s % 2 == 1);
        run_layer(&expected, plain);
        const char *name;
        bool available;
        for (uint32_t k = 0; td_kernel_describe(k, &name, &available); k++) {
            for (uint32_t t = 0; available && t < 3; t++) check_against(&expected, name, threads[t]);
        }
        clear_layer(&expected);
    }
    td_context_free(plain);
}

/* --- the loop alone */

/* a [height, steps] packed as a strip, b one slice: what of out is written, and from where. */
static void run_product(const td__gemm_kernels *kernels, bool add, float *out)
{
    enum { HEIGHT = 7, STEPS = 3, WIDTH = 5, ROW = 9 };
    float a[STEPS * TD__GEMM_STRIP] = {0};
    static _Alignas(64) float b[STEPS * TD__GEMM_SLICE];
    for (int i = 0; i < STEPS * TD__GEMM_STRIP; i++) a[i] = (float)(i % 5);
    for (int i = 0; i < STEPS * TD__GEMM_SLICE; i++) b[i] = (float)(i % 7 - 3);
    for (int i = 0; i < HEIGHT * ROW; i++) out[i] = 100.0f;
    td__product p = {.height = HEIGHT, .width = WIDTH, .steps = STEPS, .a = a, .a_row = 1,
                     .a_step = TD__GEMM_STRIP, .b = b, .out = out, .out_row = ROW, .add = add};
    kernels->product(&p);
    for (int i = 0; i < HEIGHT; i++) {
        for (int j = 0; j < ROW; j++) {
            float sum = add ? 100.0f : 0.0f;
            for (int t = 0; t < STEPS; t++) {
                sum += a[t * TD__GEMM_STRIP + i] * b[t * TD__GEMM_SLICE + j];
            }
            assert_true(out[i * ROW + j] == (j < WIDTH ? sum : 100.0f));
        }
    }
}

static void products_write_their_columns_and_nothing_else(void **state)
{
    (void)state;
    float out[7 * 9];
    const td__kernels *set;
    for (uint32_t k = 0; (set = td__kernels_at(k)) != NULL; k++) {
        if (!set->available()) continue;
        run_product(set->gemm, false, out);
        run_product(set->gemm, true, out);
    }
}

/* --- special values */

static void relu_keeps_what_is_no_number_and_stops_the_gradient_at_zero(void **state)
{
    (void)state;
    const size one = {3, 1, 1};
    layer l = make_layer(&one, true);
    td_context *context = test_context(1);
    l.weights[0] = 1.0f;
    l.bias[0] = 0.0f;
    l.x[0] = NAN, l.x[1] = 0.0f, l.x[2] = -2.0f;
    run_layer(&l, context);
    assert_true(isnan(l.y[0]) && l.y[1] == 0.0f && l.y[2] == 0.0f);
    assert_true(l.d_x[1] == 0.0f && l.d_x[2] == 0.0f);
    clear_layer(&l);
    td_context_free(context);
}

static void no_rows_have_gradients_of_zero(void **state)
{
    (void)state;
    const size none = {0, 4, 20};
    layer l = make_layer(&none, false);
    td_context *context = test_context(2);
    run_layer(&l, context);
    for (int i = 0; i < 80; i++) assert_true(l.d_weights[i] == 0.0f);
    for (int i = 0; i < 20; i++) assert_true(l.d_bias[i] == 0.0f);
    clear_layer(&l);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_results_agree_with_float64),
        cmocka_unit_test(every_set_and_number_of_threads_gives_the_bits_of_plain_c),
        cmocka_unit_test(products_write_their_columns_and_nothing_else),
        cmocka_unit_test(relu_keeps_what_is_no_number_and_stops_the_gradient_at_zero),
        cmocka_unit_test(no_rows_have_gradients_of_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
