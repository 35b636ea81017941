/* kmeans_test.c -- rows go to their nearest centre, and centres to the middle of their rows. */
#include "support/test.h"

#include <math.h>

#include "index/kmeans.h"

enum { ROWS = 1500, DIM = 9, LEAVES = 50 };

static double distance(const float *a, const float *b, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < dim; k++) sum += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
    return sum;
}

static double nearest(const td__centers *centers, const float *row)
{
    double least = HUGE_VAL;
    for (uint32_t l = 0; l < centers->count; l++) {
        least = fmin(least, distance(row, centers->rows + (size_t)l * centers->dim, centers->dim));
    }
    return least;
}

static double total_error(const td__centers *centers, const float *rows, uint64_t count)
{
    double total = 0.0;
    for (uint64_t i = 0; i < count; i++) total += nearest(centers, rows + i * centers->dim);
    return total;
}

static void each_row_goes_to_its_nearest_centre(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    float *rows = test_normal_vectors(1, ROWS, DIM), *middles = test_normal_vectors(2, LEAVES, DIM);
    uint32_t leaf[ROWS];
    td__centers centers;
    assert_ok(td__centers_create(&centers, context, LEAVES, DIM, &err));
    memcpy(centers.rows, middles, LEAVES * DIM * sizeof *middles);
    td__centers_pack(&centers);
    td__centers_assign(&centers, rows, ROWS, leaf);
    for (int i = 0; i < ROWS; i++) {
        double found = distance(rows + i * DIM, centers.rows + leaf[i] * DIM, DIM);
        assert_true(found <= nearest(&centers, rows + i * DIM) * 1.00001);
    }
    td__centers_clear(&centers);
    td_context_free(context);
    free(rows);
    free(middles);
}

static void of_equal_centres_the_first_wins(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    float *rows = test_normal_vectors(1, 100, DIM);
    uint32_t leaf[100];
    td__centers centers;
    assert_ok(td__centers_create(&centers, context, LEAVES, DIM, &err));
    td__centers_pack(&centers);
    memset(leaf, 0xFF, sizeof leaf);
    td__centers_assign(&centers, rows, 100, leaf);
    for (int i = 0; i < 100; i++) assert_int_equal(leaf[i], 0);
    td__centers_clear(&centers);
    td_context_free(context);
    free(rows);
}

static void groups_hold_all_rows_in_order(void **state)
{
    (void)state;
    const uint32_t leaf[8] = {2, 0, 2, 4, 0, 0, 4, 2};
    const uint32_t expected[8] = {1, 4, 5, 0, 2, 7, 3, 6};
    const uint64_t borders[6] = {0, 3, 3, 6, 6, 8};
    uint64_t first[6];
    uint32_t order[8];
    td__group_by_leaf(leaf, 8, 5, first, order);
    assert_memory_equal(order, expected, sizeof order);
    assert_memory_equal(first, borders, sizeof first);
}

/* Far clusters: more rounds find them, and each round lowers the error or leaves it. */
static void rounds_lower_the_error(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    float *rows = test_normal_vectors(5, ROWS, DIM);
    for (int i = 0; i < ROWS; i++) rows[i * DIM] += 30.0f * (float)(i % 7);
    double before = HUGE_VAL;
    for (uint32_t rounds = 1; rounds <= 6; rounds++) {
        td__centers centers;
        assert_ok(td__centers_create(&centers, context, 30, DIM, &err));
        assert_ok(td__kmeans(&centers, rows, ROWS, rounds, 3, NULL, NULL, &err));
        double error = total_error(&centers, rows, ROWS);
        assert_true(error <= before * 1.0001);
        before = error;
        td__centers_clear(&centers);
    }
    assert_true(before < ROWS * 2.0 * DIM); /* no cluster of 30s is left split over the others */
    td_context_free(context);
    free(rows);
}

static void same_bits_for_any_threads(void **state)
{
    (void)state;
    float *rows = test_normal_vectors(6, ROWS, DIM), first[LEAVES * DIM];
    const uint32_t threads[] = {1, 2, 7};
    for (int t = 0; t < 3; t++) {
        td_context *context = test_context(threads[t]);
        td_error err = {0};
        td__centers centers;
        assert_ok(td__centers_create(&centers, context, LEAVES, DIM, &err));
        assert_ok(td__kmeans(&centers, rows, ROWS, 5, 3, NULL, NULL, &err));
        if (t == 0) memcpy(first, centers.rows, sizeof first);
        assert_memory_equal(first, centers.rows, sizeof first);
        td__centers_clear(&centers);
        td_context_free(context);
    }
    free(rows);
}

static void another_seed_is_another_partition(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    float *rows = test_normal_vectors(6, ROWS, DIM);
    td__centers a, b;
    assert_ok(td__centers_create(&a, context, LEAVES, DIM, &err));
    assert_ok(td__centers_create(&b, context, LEAVES, DIM, &err));
    assert_ok(td__kmeans(&a, rows, ROWS, 2, 3, NULL, NULL, &err));
    assert_ok(td__kmeans(&b, rows, ROWS, 2, 4, NULL, NULL, &err));
    assert_true(memcmp(a.rows, b.rows, LEAVES * DIM * sizeof *rows) != 0);
    td__centers_clear(&a);
    td__centers_clear(&b);
    td_context_free(context);
    free(rows);
}

/* One row and many centres; rows that are all equal. */
static void few_and_equal_rows_do_no_harm(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    float rows[20 * DIM];
    for (int i = 0; i < 20 * DIM; i++) rows[i] = (float)(i % DIM);
    for (uint64_t count = 1; count <= 20; count += 19) {
        td__centers centers;
        assert_ok(td__centers_create(&centers, context, LEAVES, DIM, &err));
        assert_ok(td__kmeans(&centers, rows, count, 3, 1, NULL, NULL, &err));
        assert_true(total_error(&centers, rows, count) < 1e-6);
        for (uint32_t i = 0; i < LEAVES * DIM; i++) assert_true(isfinite(centers.rows[i]));
        td__centers_clear(&centers);
    }
    td_context_free(context);
}

static bool stop_at(void *user, uint32_t round)
{
    uint32_t *rounds = user;
    assert_int_equal(round, *rounds);
    ++*rounds;
    return round < 2;
}

static void stops_when_told(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    float *rows = test_normal_vectors(6, 100, DIM);
    td__centers centers;
    uint32_t rounds = 0;
    assert_ok(td__centers_create(&centers, context, 10, DIM, &err));
    assert_fails(td__kmeans(&centers, rows, 100, 5, 3, stop_at, &rounds, &err), TD_ERR_CANCELLED, "round 2");
    assert_int_equal(rounds, 3);
    td__centers_clear(&centers);
    td_context_free(context);
    free(rows);
}

static void samples_are_ascending_and_even(void **state)
{
    (void)state;
    uint32_t chosen[100], halves = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        td__draw_sample(chosen, 100, 1000, seed, 0);
        for (int i = 0; i < 100; i++) {
            assert_true(chosen[i] < 1000 && (i == 0 || chosen[i] > chosen[i - 1]));
            halves += chosen[i] < 500;
        }
    }
    assert_in_range(halves, 2350, 2650); /* 2500, sigma 33 */
    td__draw_sample(chosen, 100, 100, 1, 0);
    for (uint32_t i = 0; i < 100; i++) assert_int_equal(chosen[i], i);
    td__draw_sample(chosen, 0, 0, 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_goes_to_its_nearest_centre),
        cmocka_unit_test(of_equal_centres_the_first_wins),
        cmocka_unit_test(groups_hold_all_rows_in_order),
        cmocka_unit_test(rounds_lower_the_error),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(another_seed_is_another_partition),
        cmocka_unit_test(few_and_equal_rows_do_no_harm),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(samples_are_ascending_and_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
