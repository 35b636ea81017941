/* inverse_test.c -- large symmetric inverses against double precision, threads, memory, limits. */
#include "support/test.h"

#include <math.h>

#include "eval/inverse.h"

/* A = M'M + shift I for a random M [rows, rows / 2 + 1]: eigenvalues from `shift` on. */
static float *make_matrix(uint64_t seed, uint32_t rows, double shift)
{
    uint32_t wide = rows / 2 + 1;
    float *m = test_normal_vectors(seed, rows, wide);
    float *a = malloc(((size_t)rows * rows + 1) * sizeof *a);
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t j = 0; j < rows; j++) {
            double sum = i == j ? shift : 0.0;
            for (uint32_t k = 0; k < wide; k++) {
                sum += (double)m[(size_t)i * wide + k] * (double)m[(size_t)j * wide + k];
            }
            a[(size_t)i * rows + j] = (float)sum;
        }
    }
    free(m);
    return a;
}

static td_status invert(td_context *context, float *matrix, uint32_t rows, td_error *err)
{
    td__inverse inverse;
    td_status status = td__inverse_init(&inverse, context, matrix, rows, err);
    while (status == TD_OK && inverse.done < rows) status = td__inverse_next(&inverse, err);
    td__inverse_clear(&inverse);
    if (status == TD_OK) td__mirror_lower(context, matrix, rows);
    return status;
}

/* The largest element of |A (-X) - I|. */
static double residual(const float *a, const float *x, uint32_t rows)
{
    double worst = 0;
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t j = 0; j < rows; j++) {
            double sum = i == j ? -1.0 : 0.0;
            for (uint32_t k = 0; k < rows; k++) {
                sum -= (double)a[(size_t)i * rows + k] * (double)x[(size_t)k * rows + j];
            }
            if (fabs(sum) > worst) worst = fabs(sum);
        }
    }
    return worst;
}

/* Sizes around the borders of panels (48), blocks (96) and pivots (144). */
static void the_product_with_the_matrix_is_one(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 5, 6, 47, 48, 49, 95, 96, 97, 143, 144, 145, 192, 287, 289, 300};
    td_error err;
    td_context *context = test_context(2);
    for (uint32_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t rows = sizes[s];
        float *a = make_matrix(rows, rows, 10.0), *x = malloc((size_t)rows * rows * sizeof *x);
        memcpy(x, a, (size_t)rows * rows * sizeof *x);
        assert_ok(invert(context, x, rows, &err));
        assert_close(residual(a, x, rows), 0, 0, 2e-5);
        free(a);
        free(x);
    }
    td_context_free(context);
}

static void a_matrix_of_two_rows_has_the_inverse_known_from_school(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    float a[4] = {4, NAN, 2, 3}; /* the upper triangle is not looked at */
    assert_ok(invert(context, a, 2, &err));
    assert_close((double)a[0], -3.0 / 8, 1e-6, 0);
    assert_close((double)a[1], 2.0 / 8, 1e-6, 0);
    assert_close((double)a[2], 2.0 / 8, 1e-6, 0);
    assert_close((double)a[3], -4.0 / 8, 1e-6, 0);
    td_context_free(context);
}

static void a_diagonal_is_divided_exactly(void **state)
{
    (void)state;
    enum { ROWS = 250 };
    td_error err;
    td_context *context = test_context(2);
    float *a = calloc((size_t)ROWS * ROWS, sizeof *a);
    for (uint32_t i = 0; i < ROWS; i++) a[i * ROWS + i] = (float)(i + 1);
    assert_ok(invert(context, a, ROWS, &err));
    for (uint32_t i = 0; i < ROWS; i++) {
        for (uint32_t j = 0; j < ROWS; j++) {
            float expected = i == j ? (float)(-1.0 / (i + 1.0)) : 0.0f;
            assert_true(a[i * ROWS + j] == expected);
        }
    }
    free(a);
    td_context_free(context);
}

static void threads_and_kernels_do_not_change_the_bits(void **state)
{
    (void)state;
    enum { ROWS = 331 };
    static const uint32_t threads[] = {1, 2, 7};
    td_error err;
    float *a = make_matrix(7, ROWS, 5.0), *first = malloc(sizeof(float) * ROWS * ROWS);
    float *x = malloc(sizeof(float) * ROWS * ROWS);
    for (uint32_t t = 0; t < 4; t++) {
        td_context *context;
        td_context_options options = {.threads = t < 3 ? threads[t] : 2,
                                      .kernel = t < 3 ? "auto" : "ref"};
        assert_ok(td_context_create(&context, &options, &err));
        memcpy(x, a, sizeof(float) * ROWS * ROWS);
        assert_ok(invert(context, x, ROWS, &err));
        if (t == 0) memcpy(first, x, sizeof(float) * ROWS * ROWS);
        assert_memory_equal(first, x, sizeof(float) * ROWS * ROWS);
        td_context_free(context);
    }
    free(a);
    free(first);
    free(x);
}

/* Rank 2 of 3; then rank one half: what is left of a row is rounding. */
static void a_matrix_without_inverse_is_refused(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    float small[9] = {1, 0, 0, 0, 1, 0, 1, 1, 2};
    assert_fails(invert(context, small, 3, &err), TD_ERR_NUMERIC, "row 2");
    float *large = make_matrix(3, 300, 0.0);
    assert_fails(invert(context, large, 300, &err), TD_ERR_NUMERIC, "regularization");
    large[0] = NAN;
    assert_fails(invert(context, large, 300, &err), TD_ERR_NUMERIC, "row 0");
    free(large);
    td_context_free(context);
}

static void no_rows_are_no_work(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    assert_ok(invert(context, NULL, 0, &err));
    td_context_free(context);
}

static td_status invert_body(void *state, td_context *context, td_error *err)
{
    float a[4] = {4, 2, 2, 3};
    (void)state;
    return invert(context, a, 2, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation(invert_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_product_with_the_matrix_is_one),
        cmocka_unit_test(a_matrix_of_two_rows_has_the_inverse_known_from_school),
        cmocka_unit_test(a_diagonal_is_divided_exactly),
        cmocka_unit_test(threads_and_kernels_do_not_change_the_bits),
        cmocka_unit_test(a_matrix_without_inverse_is_refused),
        cmocka_unit_test(no_rows_are_no_work),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
