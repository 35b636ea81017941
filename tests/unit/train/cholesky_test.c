/* cholesky_test.c -- small systems against double precision, in every kernel set. */
#include "support/test.h"

#include <math.h>

#include "train/cholesky.h"

static const uint32_t sizes[] = {1, 2, 3, 7, 8, 9, 16, 31, 48, 64, 100, 129};
enum { SIZES = sizeof sizes / sizeof *sizes, MOST = 129 };

/* M'M / size + shift I, upper triangle; NAN below: it must not be looked at. */
static void make_matrix(float *a, uint32_t size, double shift, uint64_t seed)
{
    float *m = test_normal_vectors(seed, size, size);
    for (uint32_t i = 0; i < size; i++) {
        for (uint32_t j = 0; j < size; j++) {
            double sum = i == j ? shift : 0;
            for (uint32_t k = 0; k < size; k++) {
                sum += (double)m[k * size + i] * (double)m[k * size + j] / size;
            }
            a[i * size + j] = i <= j ? (float)sum : NAN;
        }
    }
    free(m);
}

/* A x - b at row i, in double. */
static double residual(const float *a, const float *x, const float *b, uint32_t size, uint32_t i)
{
    double sum = -(double)b[i];
    for (uint32_t j = 0; j < size; j++) {
        sum += (double)(i <= j ? a[i * size + j] : a[j * size + i]) * (double)x[j];
    }
    return sum;
}

static void the_solution_satisfies_the_equations(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    static float a[MOST * MOST], matrix[MOST * MOST];
    for (uint32_t s = 0; s < SIZES; s++) {
        uint32_t size = sizes[s];
        float *b = test_normal_vectors(s + 1, 1, size), x[MOST];
        make_matrix(a, size, 0.1, s);
        memcpy(matrix, a, sizeof(float) * size * size);
        memcpy(x, b, sizeof(float) * size);
        assert_true(td__cholesky_solve(context->kernels, matrix, size, x));
        for (uint32_t i = 0; i < size; i++) assert_close(residual(a, x, b, size, i), 0, 0, 2e-5);
        free(b);
    }
    td_context_free(context);
}

static void the_matrix_becomes_its_factor(void **state)
{
    (void)state;
    enum { SIZE = 50 };
    td_context *context = test_context(1);
    static float a[SIZE * SIZE], u[SIZE * SIZE];
    float x[SIZE] = {0};
    make_matrix(a, SIZE, 0.1, 4);
    memcpy(u, a, sizeof u);
    assert_true(td__cholesky_solve(context->kernels, u, SIZE, x));
    for (uint32_t i = 0; i < SIZE; i++) {
        assert_true(u[i * SIZE + i] > 0 && x[i] == 0);
        for (uint32_t j = i; j < SIZE; j++) {
            double sum = 0;
            for (uint32_t k = 0; k <= i; k++) sum += (double)u[k * SIZE + i] * (double)u[k * SIZE + j];
            assert_close(sum, (double)a[i * SIZE + j], 1e-5, 1e-5);
        }
    }
    td_context_free(context);
}

static void all_kernel_sets_give_the_same_bits(void **state)
{
    (void)state;
    static float a[MOST * MOST], matrix[MOST * MOST];
    for (uint32_t s = 0; s < SIZES; s++) {
        uint32_t size = sizes[s];
        float *b = test_normal_vectors(s + 1, 1, size), first[MOST], x[MOST];
        make_matrix(a, size, 0.1, s);
        for (uint32_t k = 0; td__kernels_at(k) != NULL; k++) {
            if (!td__kernels_at(k)->available()) continue;
            memcpy(matrix, a, sizeof(float) * size * size);
            memcpy(x, b, sizeof(float) * size);
            assert_true(td__cholesky_solve(td__kernels_at(k), matrix, size, x));
            if (k == 0) memcpy(first, x, sizeof x);
            assert_memory_equal(first, x, sizeof(float) * size);
        }
        free(b);
    }
}

static void a_system_without_solution_is_refused(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    float x[2] = {1, 1};
    float rank_one[4] = {1, 2, 0, 4};
    assert_false(td__cholesky_solve(context->kernels, rank_one, 2, x));
    float indefinite[4] = {1, 3, 0, 4};
    assert_false(td__cholesky_solve(context->kernels, indefinite, 2, x));
    float zero[1] = {0};
    assert_false(td__cholesky_solve(context->kernels, zero, 1, x));
    float undefined[4] = {1, NAN, 0, 1};
    assert_false(td__cholesky_solve(context->kernels, undefined, 2, x));
    td_context_free(context);
}

/* Rows of very different size are no reason to refuse. */
static void scales_may_differ(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    float a[9] = {1e8f, 0, 0, 0, 1, 0, 0, 0, 1e-8f}, x[3] = {1e8f, 2, 3e-8f};
    assert_true(td__cholesky_solve(context->kernels, a, 3, x));
    for (uint32_t i = 0; i < 3; i++) assert_close((double)x[i], i + 1.0, 1e-6, 0);
    td_context_free(context);
}

static void the_wide_dot_product_is_right_for_every_length(void **state)
{
    (void)state;
    float *a = test_normal_vectors(1, 1, 100), *b = test_normal_vectors(2, 1, 100);
    double sum = 0, size = 0;
    for (uint32_t n = 0; n < 100; n++) {
        assert_close((double)td__dot_wide(a, b, n), sum, 0, 1e-6 * size);
        sum += (double)a[n] * (double)b[n];
        size += fabs((double)a[n] * (double)b[n]);
    }
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_solution_satisfies_the_equations),
        cmocka_unit_test(the_matrix_becomes_its_factor),
        cmocka_unit_test(all_kernel_sets_give_the_same_bits),
        cmocka_unit_test(a_system_without_solution_is_refused),
        cmocka_unit_test(scales_may_differ),
        cmocka_unit_test(the_wide_dot_product_is_right_for_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
