/* topk_test.c -- the k best are kept and sorted, whatever comes in whatever order. */
#include "support/test.h"

#include <float.h>

#include "kernel/topk.h"

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Push all keys, and compare with sorting them. */
static void check_best(const uint64_t *keys, uint64_t count, uint64_t k)
{
    uint64_t capacity = td__topk_capacity(k < count ? k : count, count);
    uint64_t *sorted = malloc(count * sizeof *sorted + 1),
             *room = malloc(capacity * sizeof *room + 1);
    td_hit *hits = malloc((k + 1) * sizeof *hits);
    td__topk top;
    memcpy(sorted, keys, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, descending);
    td__topk_init(&top, room, capacity, k);
    for (uint64_t i = 0; i < count; i++) {
        td__topk_push(&top, keys[i]);
        assert_true(top.count <= capacity);
        if (top.floor != 0) assert_true(td__key_score(top.floor) == top.threshold);
    }
    uint64_t found = td__topk_finish(&top, hits);
    assert_int_equal(found, k < count ? k : count);
    for (uint64_t i = 0; i < found; i++) {
        assert_int_equal(hits[i].position, td__key_position(sorted[i]));
        assert_true(hits[i].score == td__key_score(sorted[i]));
    }
    free(sorted);
    free(room);
    free(hits);
}

static void check_many_k(const uint64_t *keys, uint64_t count)
{
    const uint64_t ks[] = {1, 2, 3, 10, 63, 64, 65, 100, count - 1, count, count + 1, 2 * count};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) check_best(keys, count, ks[i]);
}

enum { COUNT = 1500 };

static void a_few_more_than_wanted(void **state)
{
    (void)state;
    uint64_t seed = 6, keys[140];
    for (uint32_t count = 1; count <= 140; count++) {
        for (uint32_t i = 0; i < count; i++) {
            keys[i] = td__key_make((float)test_uniform(&seed, -1, 1), i);
        }
        for (uint64_t k = count <= 20 ? 1 : count - 20; k <= count; k++) check_best(keys, count, k);
    }
}

static void best_of_random_scores(void **state)
{
    (void)state;
    uint64_t seed = 5, keys[COUNT];
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            keys[i] = td__key_make((float)test_uniform(&seed, -1, 1), i);
        }
        check_many_k(keys, COUNT);
    }
}

static void best_of_sorted_equal_and_spiky_scores(void **state)
{
    (void)state;
    uint64_t rising[COUNT], falling[COUNT], equal[COUNT], few[COUNT], spiky[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        rising[i] = td__key_make((float)i, i);
        falling[i] = td__key_make(-(float)i, i);
        equal[i] = td__key_make(0.5f, i);
        few[i] = td__key_make((float)(i * 7 % 3), i);
        spiky[i] = td__key_make(i % 100 == 0 ? FLT_MAX / (float)(i + 1) : (float)i * 1e-44f, i);
    }
    check_many_k(rising, COUNT);
    check_many_k(falling, COUNT);
    check_many_k(equal, COUNT);
    check_many_k(few, COUNT);
    check_many_k(spiky, COUNT);
}

static void a_cut_leaves_exactly_the_best(void **state)
{
    (void)state;
    uint64_t seed = 5, keys[COUNT], room[COUNT], sorted[COUNT];
    for (uint64_t k = 1; k < COUNT; k += 97) {
        td__topk top;
        for (uint32_t i = 0; i < COUNT; i++) keys[i] = td__key_make((float)test_uniform(&seed, -1, 1), i);
        td__topk_init(&top, room, td__topk_capacity(k, COUNT), k);
        for (uint32_t i = 0; i < COUNT; i++) td__topk_push(&top, keys[i]);
        td__topk_cut(&top);
        assert_int_equal(top.count, k);
        memcpy(sorted, keys, sizeof keys);
        qsort(sorted, COUNT, sizeof *sorted, descending);
        qsort(room, k, sizeof *room, descending);
        assert_memory_equal(room, sorted, k * sizeof *room);
        assert_true(top.floor >= sorted[k] && top.floor < sorted[k - 1]);
    }
}

static void keys_order_by_score_then_position(void **state)
{
    (void)state;
    const float ascending[] = {-INFINITY, -FLT_MAX, -1.0f,   -1e-42f, 0.0f,
                               1e-42f,    1.0f,     FLT_MAX, INFINITY};
    enum { VALUES = sizeof ascending / sizeof ascending[0] };
    for (uint32_t i = 0; i < VALUES; i++) {
        uint64_t key = td__key_make(ascending[i], 7);
        assert_true(td__key_score(key) == ascending[i]);
        assert_int_equal(td__key_position(key), 7);
        assert_true(key > td__key_make(ascending[i], 8));
        if (i > 0) assert_true(key > td__key_make(ascending[i - 1], 0));
    }
    assert_true(td__key_make(-0.0f, 3) == td__key_make(0.0f, 3));
    assert_true(td__key_make(NAN, 3) == td__key_make(-INFINITY, 3));
    assert_true(td__key_make(-NAN, 3) == td__key_make(-INFINITY, 3));
    assert_true(td__key_make(-INFINITY, TD_NONE - 1) > 0);
}

static void zero_k_takes_nothing(void **state)
{
    (void)state;
    td__topk top;
    td_hit hits[1];
    uint64_t room[1];
    assert_int_equal(td__topk_capacity(0, 0), 1);
    td__topk_init(&top, room, 1, 0);
    td__topk_push(&top, td__key_make(INFINITY, 0));
    assert_int_equal(td__topk_finish(&top, hits), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_more_than_wanted),
        cmocka_unit_test(best_of_random_scores),
        cmocka_unit_test(best_of_sorted_equal_and_spiky_scores),
        cmocka_unit_test(a_cut_leaves_exactly_the_best),
        cmocka_unit_test(keys_order_by_score_then_position),
        cmocka_unit_test(zero_k_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
