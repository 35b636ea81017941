/* candidates_test.c -- exactly the best remain, whatever comes, and the threshold never errs. */
#include "support/test.h"

#include "index/candidates.h"
#include "kernel/kernel.h"

enum { MOST = 20000 };

typedef struct stream {
    int64_t scores[MOST];
    uint32_t count;
} stream;

static int descending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

static void check_best(uint64_t *found, uint64_t count, const stream *from, uint64_t wanted)
{
    uint64_t *all = malloc(MOST * sizeof *all);
    for (uint32_t i = 0; i < from->count; i++) all[i] = td__candidate_key(from->scores[i], i);
    qsort(all, from->count, sizeof *all, descending);
    qsort(found, count, sizeof *found, descending);
    assert_int_equal(count, wanted < from->count ? wanted : from->count);
    assert_memory_equal(found, all, count * sizeof *found);
    free(all);
}

/* Written down `every` at a time, as a search does with the groups of a chunk. */
static void run(const td__key_kernels *kernels, const stream *from, uint64_t wanted, int64_t top,
                int64_t span, uint32_t every)
{
    td__candidates all = {.kernels = kernels, .capacity = 2 * wanted + 4 * every};
    all.keys = malloc(all.capacity * sizeof *all.keys);
    td__candidates_start(&all, wanted, top, span);
    for (uint32_t i = 0; i < from->count; i += every) {
        uint64_t added = 0;
        td__candidates_make_room(&all, every);
        assert_true(all.count + every <= all.capacity);
        for (uint32_t j = i; j < i + every && j < from->count; j++) {
            uint64_t key = td__candidate_key(from->scores[j], j);
            if (from->scores[j] >= all.least) all.keys[all.count + added++] = key;
        }
        td__candidates_add(&all, added);
    }
    td__candidates_cut(&all);
    check_best(all.keys, all.count, from, wanted);
    free(all.keys);
}

static void run_all(const stream *from, int64_t top, int64_t span)
{
    const uint64_t wanted[] = {1, 2, 10, 100, 3000, MOST};
    const td__kernels *set;
    for (uint32_t i = 0; (set = td__kernels_at(i)) != NULL; i++) {
        if (!set->available()) continue;
        for (int w = 0; w < 6; w++) {
            run(set->keys, from, wanted[w], top, span, 1);
            run(set->keys, from, wanted[w], top, span, 33);
            run(set->keys, from, wanted[w], top, span, MOST);
        }
    }
}

static void the_best_of_random_scores_remain(void **state)
{
    static stream from;
    (void)state;
    const uint32_t counts[] = {0, 1, 2, 33, 1000, MOST};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        for (int c = 0; c < 6; c++) {
            uint64_t draws = seed;
            from.count = counts[c];
            for (uint32_t i = 0; i < from.count; i++) {
                from.scores[i] = (int64_t)test_uniform(&draws, 0, 1000) - i / 100;
            }
            run_all(&from, 1500, 3000);
        }
    }
}

static void few_different_scores_are_cut_by_slot(void **state)
{
    static stream from;
    (void)state;
    from.count = MOST;
    for (uint32_t i = 0; i < MOST; i++) from.scores[i] = (i * 7) % 3;
    run_all(&from, 2, 4);
    run_all(&from, 100000, 200000); /* all in one bin */
    memset(from.scores, 0, sizeof from.scores);
    run_all(&from, 0, 0);
}

static void any_order_is_good(void **state)
{
    static stream from;
    (void)state;
    from.count = MOST;
    for (uint32_t i = 0; i < MOST; i++) from.scores[i] = i;
    run_all(&from, MOST, 2 * MOST);
    for (uint32_t i = 0; i < MOST; i++) from.scores[i] = -(int64_t)i;
    run_all(&from, 0, 2 * MOST);
}

static void scores_far_below_the_bins_count(void **state)
{
    static stream from;
    uint64_t seed = 5;
    (void)state;
    from.count = MOST;
    for (uint32_t i = 0; i < MOST; i++) from.scores[i] = (int64_t)test_uniform(&seed, -1e9, 1e9);
    run_all(&from, 1000000000, 1000);
    run_all(&from, 1000000000, 2000000000);
}

static void keys_tell_score_and_slot(void **state)
{
    (void)state;
    const int64_t scores[] = {0, 1, -1, 123456, -(INT64_C(1) << 30), INT64_C(1) << 30};
    for (int i = 0; i < 6; i++) {
        uint64_t key = td__candidate_key(scores[i], 77);
        assert_true(td__candidate_score(key) == scores[i]);
        assert_int_equal(td__candidate_slot(key), 77);
        assert_true(td__candidate_key(scores[i] + 1, 90) > key);
        assert_true(td__candidate_key(scores[i], 76) > key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_random_scores_remain),
        cmocka_unit_test(few_different_scores_are_cut_by_slot),
        cmocka_unit_test(any_order_is_good),
        cmocka_unit_test(scores_far_below_the_bins_count),
        cmocka_unit_test(keys_tell_score_and_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
