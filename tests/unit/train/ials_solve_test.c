/* ials_solve_test.c -- lists, sums over tables and single solutions of iALS, each against its formula
 * in double. */
#include "support/test.h"

#include <math.h>

#include "train/ials_lists.h"
#include "train/ials_solve.h"

enum { ROWS = 90, DIM = 52, COUNT = 30 };

/* --- lists */

static void lists_keep_the_order_of_the_dataset(void **state)
{
    (void)state;
    static const uint32_t key[] = {2, 0, 2, 2, 4}, other[] = {7, 1, 3, 7, 9};
    static const float weight[] = {1, 2, 3, 4, 5};
    td_error err;
    td_context *context = test_context(1);
    td__ials_lists lists;
    assert_ok(td__ials_lists_init(&lists, context, 6, key, other, weight, 5, &err));
    static const uint64_t offsets[] = {0, 1, 1, 4, 4, 5, 5};
    static const uint32_t others[] = {1, 7, 3, 7, 9};
    static const float weights[] = {2, 1, 3, 4, 5};
    assert_memory_equal(lists.offsets, offsets, sizeof offsets);
    assert_memory_equal(lists.others, others, sizeof others);
    assert_memory_equal(lists.weight, weights, sizeof weights);
    assert_int_equal(lists.filled, 3);
    assert_int_equal(lists.longest, 3);
    assert_int_equal(td__ials_lists_count(&lists, 2), 3);
    assert_int_equal(td__ials_lists_count(&lists, 5), 0);
    td__ials_lists_clear(&lists);
    assert_ok(td__ials_lists_init(&lists, context, 6, key, other, NULL, 0, &err));
    assert_true(lists.weight == NULL && lists.filled == 0 && lists.longest == 0);
    td__ials_lists_clear(&lists);
    td__ials_lists_clear(&lists); /* twice is fine */
    td_context_free(context);
}

/* --- a table, its sum of outer products, a list */

typedef struct world {
    td_context *context;
    float *table, *gram;
    uint32_t others[COUNT];
    float weight[COUNT];
    td__ials_list list;
    td__ials_problem problem;
    td__ials_scratch scratch;
} world;

static void make_world(world *w, uint32_t threads, uint32_t block)
{
    td_error err;
    uint64_t seed = 4;
    w->context = test_context(threads);
    w->table = test_normal_vectors(6, ROWS, DIM);
    w->gram = malloc(sizeof(float) * DIM * DIM);
    for (uint32_t i = 0; i < COUNT; i++) {
        w->others[i] = (uint32_t)test_uniform(&seed, 0, ROWS);
        w->weight[i] = (float)test_uniform(&seed, 0, 2);
    }
    w->list = (td__ials_list){w->others, w->weight, COUNT};
    assert_ok(td__ials_gram(w->context, w->table, ROWS, DIM, w->gram, &err));
    assert_ok(td__ials_scratch_init(&w->scratch, w->context, block, COUNT, &err));
    w->problem = (td__ials_problem){.kernels = w->context->kernels,
                                    .table = w->table,
                                    .gram = w->gram,
                                    .dim = DIM,
                                    .block = block,
                                    .others = ROWS,
                                    .unobserved_weight = 0.2,
                                    .regularization = 0.1,
                                    .exponent = 1};
}

static void clear_world(world *w)
{
    td__ials_scratch_clear(&w->scratch, w->context);
    free(w->table);
    free(w->gram);
    td_context_free(w->context);
}

static double score(const world *w, uint32_t row, const float *x)
{
    double sum = 0;
    for (uint32_t k = 0; k < DIM; k++) sum += (double)w->table[row * DIM + k] * (double)x[k];
    return sum;
}

static void the_sum_over_a_table_is_symmetric_and_right(void **state)
{
    (void)state;
    world w;
    make_world(&w, 2, DIM);
    for (uint32_t i = 0; i < DIM; i++) {
        for (uint32_t j = 0; j < DIM; j++) {
            double sum = 0;
            for (uint32_t r = 0; r < ROWS; r++) {
                sum += (double)w.table[r * DIM + i] * (double)w.table[r * DIM + j];
            }
            assert_close((double)w.gram[i * DIM + j], sum, 1e-5, 1e-4);
            assert_true(w.gram[i * DIM + j] == w.gram[j * DIM + i]);
        }
    }
    clear_world(&w);
}

static void the_regularization_grows_as_the_exponent_says(void **state)
{
    (void)state;
    world w;
    double weight = 0;
    make_world(&w, 1, DIM);
    for (uint32_t i = 0; i < COUNT; i++) weight += (double)w.weight[i];
    assert_close(td__ials_weight(&w.list), weight, 1e-12, 0);
    w.list.weight = NULL;
    assert_true(td__ials_weight(&w.list) == COUNT);
    assert_close(td__ials_regularization(&w.problem, 12), 0.1 * (12 + 0.2 * ROWS), 1e-12, 0);
    w.problem.exponent = 0.5;
    assert_close(td__ials_regularization(&w.problem, 12), 0.1 * sqrt(12 + 0.2 * ROWS), 1e-12, 0);
    w.problem.exponent = 0;
    assert_close(td__ials_regularization(&w.problem, 12), 0.1, 1e-12, 0);
    clear_world(&w);
}

/* Half the derivative of the loss with respect to number k of x. */
static double gradient(const world *w, const float *x, uint32_t k)
{
    double sum = td__ials_regularization(&w->problem, td__ials_weight(&w->list)) * (double)x[k];
    for (uint32_t r = 0; r < ROWS; r++) sum += 0.2 * score(w, r, x) * (double)w->table[r * DIM + k];
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t row = w->others[i];
        sum += (double)w->weight[i] * (score(w, row, x) - 1) * (double)w->table[row * DIM + k];
    }
    return sum;
}

static void whole_vectors_end_where_the_gradient_vanishes(void **state)
{
    (void)state;
    world w;
    float x[DIM];
    make_world(&w, 1, DIM);
    for (uint32_t k = 0; k < DIM; k++) x[k] = NAN; /* what was before has no influence */
    assert_true(td__ials_solve(&w.problem, &w.scratch, &w.list, x));
    for (uint32_t k = 0; k < DIM; k++) assert_close(gradient(&w, x, k), 0, 0, 1e-4);
    clear_world(&w);
}

/* 52 numbers in blocks of 20: 0 .., 20 .. and 40 .. 51. Each sweep ends with the last at its minimum,
 * and many of them with all. */
static void blocks_end_at_the_minimum_of_the_last_and_then_of_all(void **state)
{
    (void)state;
    world w;
    float x[DIM] = {0};
    make_world(&w, 1, 20);
    assert_true(td__ials_solve(&w.problem, &w.scratch, &w.list, x));
    double rest = 0;
    for (uint32_t k = 0; k < 20; k++) rest += fabs(gradient(&w, x, k));
    assert_true(rest > 1e-2);
    for (uint32_t k = 40; k < DIM; k++) assert_close(gradient(&w, x, k), 0, 0, 1e-4);
    for (uint32_t i = 0; i < 500; i++) {
        assert_true(td__ials_solve(&w.problem, &w.scratch, &w.list, x));
    }
    for (uint32_t k = 0; k < DIM; k++) assert_close(gradient(&w, x, k), 0, 0, 1e-3);
    clear_world(&w);
}

static void an_empty_list_gives_zeros(void **state)
{
    (void)state;
    world w;
    for (uint32_t block = 20; block <= DIM; block += 32) {
        float *x = test_normal_vectors(1, 1, DIM);
        make_world(&w, 1, block);
        td__ials_list none = {0};
        assert_true(td__ials_solve(&w.problem, &w.scratch, &none, x));
        for (uint32_t k = 0; k < DIM; k++) assert_true(x[k] == 0);
        free(x);
        clear_world(&w);
    }
}

static td_status parts_body(void *state, td_context *context, td_error *err)
{
    static const uint32_t key[] = {0, 1}, other[] = {1, 0};
    static const float weight[] = {1, 2}, table[] = {1, 2, 3, 4};
    float gram[4];
    td__ials_lists lists = {0};
    td__ials_scratch scratch = {0};
    (void)state;
    td_status status = td__ials_lists_init(&lists, context, 2, key, other, weight, 2, err);
    if (status == TD_OK) status = td__ials_scratch_init(&scratch, context, 2, 5, err);
    if (status == TD_OK) status = td__ials_gram(context, table, 2, 2, gram, err);
    td__ials_scratch_clear(&scratch, context);
    td__ials_lists_clear(&lists);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation(parts_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_keep_the_order_of_the_dataset),
        cmocka_unit_test(the_sum_over_a_table_is_symmetric_and_right),
        cmocka_unit_test(the_regularization_grows_as_the_exponent_says),
        cmocka_unit_test(whole_vectors_end_where_the_gradient_vanishes),
        cmocka_unit_test(blocks_end_at_the_minimum_of_the_last_and_then_of_all),
        cmocka_unit_test(an_empty_list_gives_zeros),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
