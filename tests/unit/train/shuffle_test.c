/* shuffle_test.c -- orders: permutations, repeatable, fair. */
#include "support/test.h"
#include "train/shuffle.h"

static void orders_are_permutations(void **state)
{
    (void)state;
    static uint32_t order[1000];
    static bool used[1000];
    for (uint32_t count = 0; count <= 1000; count += 125) {
        td__shuffle(order, count, 7, 3);
        memset(used, 0, sizeof used);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(order[i] < count && !used[order[i]]);
            used[order[i]] = true;
        }
    }
}

static void an_order_is_a_function_of_seed_and_epoch(void **state)
{
    (void)state;
    uint32_t first[100], again[100], other_epoch[100], other_seed[100];
    td__shuffle(first, 100, 1, 5);
    td__shuffle(other_epoch, 100, 1, 6);
    td__shuffle(other_seed, 100, 2, 5);
    td__shuffle(again, 100, 1, 5);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other_epoch, sizeof first);
    assert_memory_not_equal(first, other_seed, sizeof first);
}

/* All 24 orders of 4, over 24,000 epochs: chi-squared of 23 degrees is below 60 but once in 30,000. */
static void every_order_is_as_likely(void **state)
{
    (void)state;
    uint32_t seen[256] = {0}, order[4];
    for (uint64_t epoch = 0; epoch < 24000; epoch++) {
        td__shuffle(order, 4, 11, epoch);
        seen[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]]++;
    }
    double chi = 0.0;
    int orders = 0;
    for (int i = 0; i < 256; i++) {
        if (seen[i] == 0) continue;
        double off = (double)seen[i] - 1000.0;
        chi += off * off / 1000.0;
        orders++;
    }
    assert_int_equal(orders, 24);
    assert_true(chi < 60.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_are_permutations),
        cmocka_unit_test(an_order_is_a_function_of_seed_and_epoch),
        cmocka_unit_test(every_order_is_as_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
