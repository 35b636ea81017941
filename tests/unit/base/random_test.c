/* random_test.c -- numbers are a function of (seed, stream, index), and look random. */
#include "support/test.h"

#include <math.h>

#include "base/random.h"

/* Frozen: these values are part of what a seed means. */
static void values_never_change(void **state)
{
    (void)state;
    td__random r = td__random_stream(42, TD__STREAM_SHUFFLE, 0);
    uint64_t first = td__random_u64(r, 0);
    assert_int_equal(first, td__random_u64(td__random_stream(42, TD__STREAM_SHUFFLE, 0), 0));
    /* The generator is SplitMix64: from state 0 its first outputs are published. */
    td__random zero = {.base = 0};
    assert_true(td__random_u64(zero, 0) == UINT64_C(0xE220A8397B1DCDAF));
    assert_true(td__random_u64(zero, 1) == UINT64_C(0x6E789E6AA1B965F4));
    assert_true(td__random_u64(zero, 2) == UINT64_C(0x06C45D188009454F));
}

static void seeds_streams_and_subs_differ(void **state)
{
    (void)state;
    uint64_t seen[2 * 6 * 4];
    size_t count = 0;
    for (uint64_t seed = 0; seed < 2; seed++) {
        for (int stream = TD__STREAM_SPLIT; stream <= TD__STREAM_DROPOUT; stream++) {
            for (uint64_t sub = 0; sub < 4; sub++) {
                uint64_t value = td__random_u64(td__random_stream(seed, (td__stream)stream, sub), 0);
                for (size_t i = 0; i < count; i++) assert_true(seen[i] != value);
                seen[count++] = value;
            }
        }
    }
}

static void uniform_numbers_have_the_right_moments(void **state)
{
    (void)state;
    td__random r = td__random_stream(7, TD__STREAM_INIT_QUERY, 3);
    enum { COUNT = 200000 };
    double sum = 0, squares = 0, lag = 0, last = 0.5;
    for (uint64_t i = 0; i < COUNT; i++) {
        double u = td__random_unit(r, i);
        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
        squares += u * u;
        lag += (u - 0.5) * (last - 0.5);
        last = u;
    }
    /* Five standard deviations of each mean. */
    assert_close(sum / COUNT, 0.5, 0, 5 * sqrt(1.0 / 12 / COUNT));
    assert_close(squares / COUNT, 1.0 / 3, 0, 5 * sqrt(4.0 / 45 / COUNT));
    assert_close(lag / COUNT, 0.0, 0, 5 * (1.0 / 12) / sqrt(COUNT));
}

static void bounded_numbers_are_even(void **state)
{
    (void)state;
    enum { BOUND = 7, COUNT = 70000 };
    td__random r = td__random_stream(1, TD__STREAM_SPLIT, 0);
    int counts[BOUND] = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t value = td__random_below(r, i, BOUND);
        assert_true(value < BOUND);
        counts[value]++;
    }
    for (int i = 0; i < BOUND; i++) assert_close(counts[i], COUNT / BOUND, 0, 5 * sqrt(COUNT / BOUND));
    assert_int_equal(td__random_below(r, 9, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_never_change),
        cmocka_unit_test(seeds_streams_and_subs_differ),
        cmocka_unit_test(uniform_numbers_have_the_right_moments),
        cmocka_unit_test(bounded_numbers_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
