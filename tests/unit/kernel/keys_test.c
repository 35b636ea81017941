/* keys_test.c -- every kernel set chooses and sorts as the specification says. */
#include "support/test.h"

#include "kernel/kernel.h"
#include "kernel/keys.h"
#include "kernel/topk.h"

enum { MOST = 1700 };

static void for_each_set(void (*check)(const td__key_kernels *kernels))
{
    const td__kernels *set;
    for (uint32_t i = 0; (set = td__kernels_at(i)) != NULL; i++) {
        if (set->available()) check(set->keys);
    }
}

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* All different, over the whole range: the position is in the lower half. */
static void draw(uint64_t *keys, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t high = (uint64_t)test_uniform(&seed, 0, 4294967296.0);
        keys[i] = high << 32 | (uint32_t)~i;
    }
}

static void check_part_at(const td__key_kernels *kernels, const uint64_t *from, uint64_t count,
                          uint64_t pivot)
{
    uint64_t keys[MOST + 1], sorted[MOST], above = 0;
    memcpy(keys, from, count * sizeof *keys);
    keys[count] = 77;
    for (uint64_t i = 0; i < count; i++) above += from[i] > pivot;
    assert_int_equal(kernels->part(keys, count, pivot), above);
    for (uint64_t i = 0; i < count; i++) assert_true((keys[i] > pivot) == (i < above));
    assert_int_equal(keys[count], 77);
    memcpy(sorted, from, count * sizeof *keys);
    qsort(sorted, count, sizeof *keys, descending);
    qsort(keys, count, sizeof *keys, descending);
    assert_memory_equal(keys, sorted, count * sizeof *keys); /* none lost, none twice */
}

static void check_part(const td__key_kernels *kernels)
{
    uint64_t keys[MOST];
    for (uint64_t count = 0; count <= MOST; count += count < 40 ? 1 : count < 500 ? 23 : 101) {
        draw(keys, count, count + 1);
        const uint64_t pivots[] = {0, UINT64_MAX, UINT64_C(1) << 63, UINT64_C(1) << 60,
                                   UINT64_C(15) << 60, count > 0 ? keys[count / 2] : 5};
        for (int p = 0; p < 6; p++) check_part_at(kernels, keys, count, pivots[p]);
    }
}

static void a_part_has_the_keys_above_the_pivot(void **state)
{
    (void)state;
    for_each_set(check_part);
}

static void check_range(const td__key_kernels *kernels)
{
    uint64_t keys[200] = {0};
    td__key_range none = kernels->range(keys, 0);
    assert_true(none.low == UINT64_MAX && none.high == 0);
    for (uint64_t count = 1; count <= 200; count++) {
        draw(keys, count, count);
        td__key_range found = kernels->range(keys, count);
        qsort(keys, count, sizeof *keys, descending);
        assert_true(found.high == keys[0] && found.low == keys[count - 1]);
    }
}

static void a_range_has_both_ends(void **state)
{
    (void)state;
    for_each_set(check_range);
}

static void check_sorting(const td__key_kernels *kernels)
{
    uint64_t keys[TD__KEYS_FEW + 1], sorted[TD__KEYS_FEW];
    assert_in_range(kernels->few, 1, TD__KEYS_FEW);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (uint64_t count = 0; count <= kernels->few; count++) {
            draw(keys, count, seed);
            keys[count] = 77;
            memcpy(sorted, keys, count * sizeof *keys);
            qsort(sorted, count, sizeof *keys, descending);
            kernels->sort_few(keys, count);
            assert_memory_equal(keys, sorted, count * sizeof *keys);
            assert_int_equal(keys[count], 77);
        }
    }
}

static void few_keys_are_sorted(void **state)
{
    (void)state;
    for_each_set(check_sorting);
}

static void check_making(const td__key_kernels *kernels)
{
    const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 1e-44f, -1e-44f, 3e38f, -3e38f};
    float scores[100];
    uint64_t keys[101], seed = 3;
    for (int i = 0; i < 100; i++) scores[i] = i % 3 == 0 ? odd[i / 3 % 10] : (float)test_uniform(&seed, -2, 2);
    for (uint32_t count = 0; count <= 100; count++) {
        keys[count] = 77;
        kernels->make(scores, count, keys);
        for (uint32_t i = 0; i < count; i++) assert_true(keys[i] == td__key_make(scores[i], i));
        assert_int_equal(keys[count], 77);
    }
}

static void keys_are_made_of_any_scores(void **state)
{
    (void)state;
    for_each_set(check_making);
}

static void check_counting(const td__key_kernels *kernels)
{
    enum { LAST = 99, TOP = 5000 };
    uint64_t keys[200], seed = 8;
    for (int i = 0; i < 200; i++) {
        keys[i] = (uint64_t)test_uniform(&seed, 0, TOP + 1.0) << 32 | (uint32_t)~(uint32_t)i;
    }
    keys[7] = (uint64_t)TOP << 32 | UINT32_MAX;
    keys[9] = 3;
    for (uint32_t shift = 0; shift <= 7; shift++) {
        for (uint64_t count = 0; count <= 200; count++) {
            uint32_t found[LAST + 1] = {1}, expected[LAST + 1] = {1}, edge = (uint32_t)count % (LAST + 1);
            uint64_t above = 0;
            for (uint64_t i = 0; i < count; i++) {
                uint64_t bin = (TOP - (keys[i] >> 32)) >> shift;
                expected[bin < LAST ? bin : LAST]++;
                above += bin <= edge || edge == LAST;
            }
            td__key_bins bins = {TOP, shift, LAST, found};
            assert_int_equal(kernels->count(keys, count, &bins, edge), above);
            assert_memory_equal(found, expected, sizeof found);
        }
    }
}

static void keys_are_counted_in_their_bins(void **state)
{
    (void)state;
    for_each_set(check_counting);
}

/* What topk.h promises does not depend on the set. */
static void check_best(const td__key_kernels *kernels)
{
    uint64_t keys[MOST], sorted[MOST];
    td_hit hits[MOST];
    const uint64_t ks[] = {1, 2, 10, 31, 32, 33, 100, 600, MOST - 1, MOST, MOST + 1};
    draw(sorted, MOST, 9);
    qsort(sorted, MOST, sizeof *sorted, descending);
    for (int i = 0; i < 11; i++) {
        td__topk top;
        draw(keys, MOST, 9);
        td__topk_init(&top, keys, MOST + 1, ks[i]);
        top.kernels = kernels;
        top.count = MOST;
        td__topk_cut(&top);
        uint64_t count = td__topk_finish(&top, hits);
        assert_int_equal(count, ks[i] < MOST ? ks[i] : MOST);
        for (uint64_t j = 0; j < count; j++) {
            assert_int_equal(hits[j].position, td__key_position(sorted[j]));
        }
    }
}

static void the_best_are_the_same(void **state)
{
    (void)state;
    for_each_set(check_best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_has_the_keys_above_the_pivot),
        cmocka_unit_test(a_range_has_both_ends),
        cmocka_unit_test(few_keys_are_sorted),
        cmocka_unit_test(keys_are_made_of_any_scores),
        cmocka_unit_test(keys_are_counted_in_their_bins),
        cmocka_unit_test(the_best_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
