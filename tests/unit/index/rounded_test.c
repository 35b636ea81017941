/* rounded_test.c -- vectors as integers of 8 bits: how far they are off, and that it happens only once. */
#include "support/test.h"

#include <float.h>
#include <math.h>

#include "base/random.h"
#include "index/rounded.h"

enum { DIM = 37, VECTORS = 2000 };

/* Numbers of any size, zeros among them. */
static void make_vector(uint64_t seed, float *vector)
{
    uint64_t bits = td__mix64(seed);
    int exponent = (int)(bits % 160) - 100;
    for (uint32_t k = 0; k < DIM; k++) {
        uint64_t one = td__mix64(bits + k);
        double unit = (double)(one >> 11) * 0x1p-53 - 0.5;
        vector[k] = one % 7 == 0 ? 0.0f : (float)ldexp(unit, exponent);
    }
}

static void numbers_are_half_a_step_off_at_most(void **state)
{
    (void)state;
    float vector[DIM];
    int8_t row[DIM];
    for (uint64_t seed = 1; seed <= VECTORS; seed++) {
        make_vector(seed, vector);
        double scale = (double)td__round_vector(vector, DIM, row), greatest = 0.0;
        for (uint32_t k = 0; k < DIM; k++) {
            double off = fabs((double)vector[k] - scale * row[k]);
            assert_true(off <= 0.5 * scale * (1.0 + 0x1p-14));
            greatest = fmax(greatest, fabs((double)vector[k]));
        }
        assert_true(scale * 127 >= greatest * (1 - 0x1p-23));
        assert_true(scale * 127 <= greatest * (1 + 0x1p-14)); /* 16 bits lose so little */
        assert_true(td__is_rounded(row, (float)scale, DIM));
    }
}

static void what_is_rounded_stays(void **state)
{
    (void)state;
    float vector[DIM], again[DIM];
    int8_t row[DIM], second[DIM];
    for (uint64_t seed = 1; seed <= VECTORS; seed++) {
        make_vector(seed, vector);
        float scale = td__round_vector(vector, DIM, row);
        td__round_in_place(vector, DIM);
        for (uint32_t k = 0; k < DIM; k++) {
            assert_true((double)vector[k] == (double)scale * row[k]); /* exactly */
        }
        memcpy(again, vector, sizeof again);
        td__round_in_place(again, DIM);
        assert_memory_equal(again, vector, sizeof again);
        assert_true(td__round_vector(vector, DIM, second) == scale);
        assert_memory_equal(second, row, sizeof row);
    }
}

static void the_smallest_and_the_largest(void **state)
{
    (void)state;
    float zeros[3] = {0.0f, -0.0f, 0.0f}, tiny[3] = {1e-37f, -1e-40f, 0}, large[3] = {-1e15f, 1, 4e14f};
    int8_t row[3];
    assert_true(td__round_vector(zeros, 3, row) == 0.0f && row[0] == 0 && row[1] == 0);
    assert_true(td__round_vector(tiny, 3, row) == 0.0f && row[0] == 0);
    td__round_in_place(tiny, 3);
    assert_true(tiny[0] == 0.0f && tiny[1] == 0.0f);
    float scale = td__round_vector(large, 3, row);
    assert_true(isfinite(scale) && row[0] == -127 && row[1] == 0 && row[2] == 51);
}

static void only_what_rounding_makes_is_rounded(void **state)
{
    (void)state;
    const int8_t full[] = {127, 0, -3}, short_one[] = {126, 0, -3}, low[] = {-128, 0, 1}, none[] = {0, 0, 0};
    assert_true(td__is_rounded(full, 1.0f, 3));
    assert_true(td__is_rounded(full, 1.0f + 0x1p-15f, 3));
    assert_false(td__is_rounded(full, 1.0f + 0x1p-16f, 3)); /* a bit too many */
    assert_false(td__is_rounded(full, -1.0f, 3));
    assert_false(td__is_rounded(full, NAN, 3));
    assert_false(td__is_rounded(full, INFINITY, 3));
    assert_false(td__is_rounded(full, FLT_MIN / 2, 3));
    assert_false(td__is_rounded(full, 0.0f, 3));
    assert_false(td__is_rounded(short_one, 1.0f, 3));
    assert_false(td__is_rounded(low, 1.0f, 3));
    assert_true(td__is_rounded(none, 0.0f, 3));
    assert_false(td__is_rounded(none, -0.0f, 3));
    assert_false(td__is_rounded(none, 1.0f, 3));
}

static void vectors_come_back(void **state)
{
    (void)state;
    const int8_t rows[2 * 32] = {[0] = 127, [1] = -5, [2] = 3, [32] = -127, [33] = 64, [34] = 1};
    const float scales[] = {0.5f, 2.0f}, query[] = {1.0f, 0.25f, -3.0f};
    uint32_t slots[] = {1, UINT32_MAX, 0};
    td__rounded rounded = {.stride = 32, .slots = slots, .rows = rows, .scales = scales};
    float vector[3], spread[6] = {0};
    td__rounded_copy(&rounded, 0, 3, vector);
    assert_true(vector[0] == -254.0f && vector[1] == 128.0f && vector[2] == 2.0f);
    assert_true(td__rounded_score(&rounded, 0, query, 3) == -254.0f + 32.0f - 6.0f);
    td__rounded_copy(&rounded, 2, 2, vector);
    assert_true(vector[0] == 63.5f && vector[1] == -2.5f && vector[2] == 2.0f);
    td__rounded_copy(&rounded, 1, 3, vector);
    assert_true(vector[0] == 0.0f && vector[1] == 0.0f && vector[2] == 0.0f);
    assert_true(td__rounded_score(&rounded, 1, query, 3) == 0.0f);
    td__rounded_spread(&rounded, 0, 3, spread, 2);
    assert_true(spread[0] == -254.0f && spread[1] == 0.0f && spread[2] == 128.0f && spread[4] == 2.0f);
    td__rounded_fetch(&rounded, 0);
    td__rounded_fetch(&rounded, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_half_a_step_off_at_most),
        cmocka_unit_test(what_is_rounded_stays),
        cmocka_unit_test(the_smallest_and_the_largest),
        cmocka_unit_test(only_what_rounding_makes_is_rounded),
        cmocka_unit_test(vectors_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
