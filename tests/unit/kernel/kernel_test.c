/* kernel_test.c -- every set of kernels this machine can run gives the bits of the plain C one. */
#include "support/test.h"

#include <float.h>
#include <math.h>

#include "kernel/kernel.h"

enum { ROWS = 14, DIMS = 257, SPARE = 16 };

/* Numbers of all sizes, some denormal, some zero of either sign. */
static void fill(uint64_t *seed, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double kind = test_uniform(seed, 0, 1);
        double value = test_uniform(seed, -1, 1);
        if (kind < 0.05)
            value = 0;
        else if (kind < 0.08)
            value = -0.0;
        else if (kind < 0.11)
            value *= 1e-40;
        else if (kind < 0.15)
            value *= 1e15;
        values[i] = (float)value;
    }
}

static void *aligned(size_t floats)
{
    size_t bytes = (floats * sizeof(float) + 63) / 64 * 64;
    void *block = aligned_alloc(64, bytes);
    assert_non_null(block);
    return block;
}

static void assert_same_bits(const float *a, const float *b, size_t count, const char *set,
                             const char *what, uint32_t dim, uint32_t rows)
{
    if (memcmp(a, b, count * sizeof *a) == 0) return;
    for (size_t i = 0; i < count; i++) {
        if (memcmp(a + i, b + i, sizeof *a) != 0) {
            fail_msg("%s %s, dim %u, %u rows: element %zu is %a, not %a", set, what, dim, rows, i,
                     (double)a[i], (double)b[i]);
        }
    }
}

/* The first set is the reference; `body` gets each other one that can run. */
static void for_each_set(void (*body)(const td__kernels *set))
{
    for (uint32_t i = 1;; i++) {
        const td__kernels *set = td__kernels_at(i);
        if (set == NULL) return;
        if (set->available())
            body(set);
        else
            print_message("SKIPPED: this machine cannot run %s\n", set->name);
    }
}

static void compare_panels(const td__kernels *set)
{
    uint64_t seed = 7;
    float *rows = aligned(ROWS * DIMS), *panel = aligned(DIMS * TD__PANEL),
          *start = aligned(TD__PANEL);
    float *expected = aligned(ROWS * TD__PANEL), *found = aligned((ROWS + 1) * TD__PANEL);
    for (uint32_t dim = 1; dim <= DIMS; dim++) {
        fill(&seed, rows, ROWS * dim);
        fill(&seed, panel, (size_t)dim * TD__PANEL);
        fill(&seed, start, TD__PANEL);
        for (uint32_t count = 0; count <= ROWS; count++) {
            const float *from = (count + dim) % 2 == 0 ? start : NULL;
            size_t size = (size_t)count * TD__PANEL;
            memset(found, 0x5A, (ROWS + 1) * TD__PANEL * sizeof *found);
            td__kernels_ref.score_panel(rows, count, panel, dim, from, expected);
            set->score_panel(rows, count, panel, dim, from, found);
            assert_same_bits(found, expected, size, set->name, "score_panel", dim, count);
            const unsigned char *after = (const unsigned char *)(found + size);
            for (size_t b = 0; b < TD__PANEL * sizeof *found; b++) assert_int_equal(after[b], 0x5A);
        }
    }
    free(rows);
    free(panel);
    free(start);
    free(expected);
    free(found);
}

static void panels_have_the_same_bits_for_all_shapes(void **state)
{
    (void)state;
    for_each_set(compare_panels);
}

/* Thresholds among the scores, and one of NaN, that lets all pass. */
static void choose_thresholds(uint64_t *seed, const float *scores, uint32_t count, float *thresholds)
{
    for (uint32_t r = 0; r < count; r++) {
        fill(seed, &thresholds[r], 1);
        uint32_t column = (r * 7 + count) % (2 * TD__PANEL);
        if (column < TD__PANEL) thresholds[r] = scores[(size_t)r * TD__PANEL + column];
        if (r % 5 == 4) thresholds[r] = r % 2 == 0 ? INFINITY : NAN;
    }
}

/* Masks are those of score_panel and above, and where a bit is set there is the score; what is fetched
 * ahead is of no matter, nor that nothing is. */
static void compare_scans(const td__kernels *set)
{
    uint64_t seed = 23, expected_masks[ROWS], masks[ROWS + 1];
    float *rows = aligned(ROWS * DIMS), *items = aligned(DIMS * TD__PANEL), *start = aligned(TD__PANEL);
    float *expected = aligned(ROWS * TD__PANEL), *found = aligned((ROWS + 1) * TD__PANEL), thresholds[ROWS];
    for (uint32_t dim = 1; dim <= DIMS; dim++) {
        fill(&seed, rows, ROWS * dim);
        fill(&seed, items, (size_t)dim * TD__PANEL);
        fill(&seed, start, TD__PANEL);
        if (dim % 9 == 8) items[dim] = NAN;
        for (uint32_t count = 0; count <= ROWS; count++) {
            td__scan_panel panel = {.items = items, .start = (count + dim) % 2 == 0 ? start : NULL,
                                    .next = (const char *)rows, .next_bytes = count % 3 * 1000, .dim = dim};
            memset(found, 0x5A, (ROWS + 1) * TD__PANEL * sizeof *found);
            masks[count] = UINT64_C(0x5A5A);
            td__kernels_ref.score_panel(rows, count, items, dim, panel.start, expected);
            choose_thresholds(&seed, expected, count, thresholds);
            td__kernels_ref.above(expected, count, thresholds, expected_masks);
            set->scan_panel(&panel, rows, count, thresholds, found, masks);
            assert_memory_equal(masks, expected_masks, count * sizeof *masks);
            assert_int_equal(masks[count], 0x5A5A);
            for (uint32_t i = 0; i < count * TD__PANEL; i++) {
                if ((masks[i / TD__PANEL] >> i % TD__PANEL & 1) == 0 || isnan(expected[i])) continue;
                assert_same_bits(&found[i], &expected[i], 1, set->name, "scan_panel", dim, count);
            }
            const unsigned char *after = (const unsigned char *)(found + count * TD__PANEL);
            for (size_t b = 0; b < TD__PANEL * sizeof *found; b++) assert_int_equal(after[b], 0x5A);
        }
    }
    free(rows);
    free(items);
    free(start);
    free(expected);
    free(found);
}

/* Two panels for one row: the same as one after the other. A mask lets pass what is not below. */
static void compare_pairs(const td__kernels *set)
{
    uint64_t seed = 29, expected_masks[2], masks[2];
    float *row = aligned(DIMS), *items = aligned(2 * DIMS * TD__PANEL);
    float *expected = aligned(2 * TD__PANEL), *found = aligned(2 * TD__PANEL), threshold;
    for (uint32_t dim = 1; dim <= DIMS && set->scan_two != NULL; dim++) {
        fill(&seed, row, dim);
        fill(&seed, items, 2 * (size_t)dim * TD__PANEL);
        if (dim % 9 == 8) items[dim] = NAN;
        for (uint32_t i = 0; i < 2; i++) {
            td__kernels_ref.score_panel(row, 1, items + (size_t)i * dim * TD__PANEL, dim, NULL,
                                        expected + i * TD__PANEL);
        }
        threshold = dim % 7 == 6 ? NAN : expected[dim * 5 % (2 * TD__PANEL)];
        for (uint32_t i = 0; i < 2; i++) {
            td__kernels_ref.above(expected + i * TD__PANEL, 1, &threshold, &expected_masks[i]);
        }
        set->scan_two(items, dim, row, threshold, found, masks);
        assert_memory_equal(masks, expected_masks, sizeof masks);
        for (uint32_t i = 0; i < 2 * TD__PANEL; i++) {
            if ((masks[i / TD__PANEL] >> i % TD__PANEL & 1) == 0 || isnan(expected[i])) continue;
            assert_same_bits(&found[i], &expected[i], 1, set->name, "scan_two", dim, i);
        }
    }
    free(row);
    free(items);
    free(expected);
    free(found);
}

static void scans_find_what_scores_and_comparisons_find(void **state)
{
    (void)state;
    for_each_set(compare_pairs);
    compare_scans(&td__kernels_ref);
    for_each_set(compare_scans);
}

static void compare_vectors(const td__kernels *set)
{
    uint64_t seed = 11;
    float a[DIMS + SPARE], b[DIMS + SPARE], y[DIMS + SPARE], z[DIMS + SPARE];
    for (uint32_t dim = 0; dim <= DIMS; dim++) {
        uint32_t shift = dim % SPARE; /* unaligned starts */
        fill(&seed, a, DIMS + SPARE);
        fill(&seed, b, DIMS + SPARE);
        memcpy(y, b, sizeof y);
        memcpy(z, b, sizeof z);
        float expected = td__kernels_ref.dot(a + shift, b, dim);
        float found = set->dot(a + shift, b, dim);
        assert_same_bits(&found, &expected, 1, set->name, "dot", dim, 1);
        td__kernels_ref.axpy(a[0], a + shift, y + shift, dim);
        set->axpy(a[0], a + shift, z + shift, dim);
        assert_same_bits(z, y, DIMS + SPARE, set->name, "axpy", dim, 1);
    }
}

/* Rows in any order and at any place, some twice. */
static void compare_rows(const td__kernels *set)
{
    uint64_t seed = 13;
    float vectors[TD__ROWS * DIMS + SPARE], query[DIMS], start[TD__ROWS];
    float expected[TD__ROWS], found[TD__ROWS];
    const float *rows[TD__ROWS];
    for (uint32_t dim = 0; dim <= DIMS; dim++) {
        fill(&seed, vectors, TD__ROWS * DIMS + SPARE);
        fill(&seed, query, DIMS);
        fill(&seed, start, TD__ROWS);
        const float *from = dim % 2 == 0 ? start : NULL;
        for (uint32_t i = 0; i < TD__ROWS; i++) {
            rows[i] = vectors + (i * 5 + dim) % TD__ROWS / 2 * dim + dim % SPARE;
        }
        td__kernels_ref.score_rows(query, rows, dim, from, expected);
        set->score_rows(query, rows, dim, from, found);
        assert_same_bits(found, expected, TD__ROWS, set->name, "score_rows", dim, TD__ROWS);
    }
}

static void rows_anywhere_have_the_same_bits_for_all_lengths(void **state)
{
    (void)state;
    for_each_set(compare_rows);
}

/* The plain one is the chain that `dot` is. */
static void a_score_of_rows_is_the_dot_product(void **state)
{
    (void)state;
    uint64_t seed = 17;
    float query[DIMS], row[DIMS], found[TD__ROWS];
    const float *rows[TD__ROWS];
    for (uint32_t i = 0; i < TD__ROWS; i++) rows[i] = row;
    for (uint32_t dim = 0; dim <= DIMS; dim += 31) {
        fill(&seed, query, DIMS);
        fill(&seed, row, DIMS);
        float expected = td__kernels_ref.dot(query, row, dim);
        td__kernels_ref.score_rows(query, rows, dim, NULL, found);
        for (uint32_t i = 0; i < TD__ROWS; i++) {
            assert_same_bits(&found[i], &expected, 1, "ref", "score_rows", dim, 1);
        }
    }
}

static void vectors_have_the_same_bits_for_all_lengths(void **state)
{
    (void)state;
    for_each_set(compare_vectors);
}

static void a_score_in_a_panel_is_the_dot_product(void **state)
{
    (void)state;
    enum { DIM = 37, COUNT = 50 };
    uint64_t seed = 3;
    float vectors[COUNT * DIM], query[DIM];
    float *panels = aligned(2 * DIM * TD__PANEL), *scores = aligned(TD__PANEL);
    fill(&seed, vectors, COUNT * DIM);
    fill(&seed, query, DIM);
    assert_int_equal(td__panel_count(0), 0);
    assert_int_equal(td__panel_count(48), 1);
    assert_int_equal(td__panel_count(COUNT), 2);
    td__pack_panels(vectors, COUNT, DIM, panels);
    const td__kernels *set = td__kernels_at(0);
    for (uint32_t i = 1; set != NULL; set = td__kernels_at(i++)) {
        if (!set->available()) continue;
        for (uint32_t p = 0; p < 2; p++) {
            set->score_panel(query, 1, panels + p * DIM * TD__PANEL, DIM, NULL, scores);
            for (uint32_t j = 0; j < TD__PANEL; j++) {
                uint32_t item = p * TD__PANEL + j;
                float own = item < COUNT ? set->dot(query, vectors + item * DIM, DIM) : 0.0f;
                assert_true(scores[j] == own);
            }
        }
    }
    free(panels);
    free(scores);
}

static const float odd[] = {0.0f,     -0.0f,  1.0f,     -1.0f,     FLT_MAX,
                            -FLT_MAX, 1e-42f, INFINITY, -INFINITY, NAN};
enum { ODD = sizeof odd / sizeof odd[0] };

static void compare_masks(const td__kernels *set)
{
    float *scores = aligned(ODD * TD__PANEL);
    uint64_t expected[ODD], found[ODD];
    for (uint32_t r = 0; r < ODD; r++) {
        for (uint32_t j = 0; j < TD__PANEL; j++) scores[r * TD__PANEL + j] = odd[(j * 7 + r) % ODD];
    }
    for (uint32_t count = 0; count <= ODD; count++) {
        td__kernels_ref.above(scores, count, odd, expected);
        set->above(scores, count, odd, found);
        for (uint32_t r = 0; r < count; r++) assert_true(found[r] == expected[r]);
    }
    free(scores);
}

static void masks_are_the_same_for_odd_numbers(void **state)
{
    (void)state;
    for_each_set(compare_masks);
}

static void masks_hold_what_is_not_below(void **state)
{
    (void)state;
    float *scores = aligned(2 * TD__PANEL);
    for (uint32_t j = 0; j < TD__PANEL; j++) scores[j] = scores[TD__PANEL + j] = (float)j;
    scores[3] = NAN;
    const float thresholds[2] = {45.0f, NAN};
    uint64_t masks[2];
    td__kernels_ref.above(scores, 2, thresholds, masks);
    assert_true(masks[0] == ((UINT64_C(1) << 46) | (UINT64_C(1) << 47) | 8));
    assert_true(masks[1] == (UINT64_C(1) << TD__PANEL) - 1);
    free(scores);
}

static void sets_are_chosen_by_name(void **state)
{
    (void)state;
    td_error err = {0};
    const td__kernels *set;
    const char *name, *best = NULL;
    bool available;
    for (uint32_t i = 0; td_kernel_describe(i, &name, &available); i++) {
        if (available) {
            assert_ok(td__kernels_select(&set, name, &err));
            assert_string_equal(set->name, name);
            best = name;
        } else {
            assert_fails(td__kernels_select(&set, name, &err), TD_ERR_UNSUPPORTED, name);
            assert_null(set);
        }
    }
    assert_ok(td__kernels_select(&set, NULL, &err));
    assert_string_equal(set->name, best);
    assert_ok(td__kernels_select(&set, "auto", &err));
    assert_string_equal(set->name, best);
    assert_fails(td__kernels_select(&set, "abacus", &err), TD_ERR_UNSUPPORTED, "ref");
}

/* Also of the sets that this machine cannot run: a gap is a crash on one that can. */
static void every_set_is_complete(void **state)
{
    (void)state;
    const td__kernels *set;
    for (uint32_t i = 0; (set = td__kernels_at(i)) != NULL; i++) {
        bool complete = set->name != NULL && set->available != NULL && set->dot != NULL
                        && set->axpy != NULL && set->score_panel != NULL && set->score_rows != NULL
                        && set->scan_panel != NULL && set->above != NULL && set->softmax != NULL && set->quant != NULL
                        && set->int8 != NULL && set->gemm != NULL;
        if (!complete) fail_msg("kernel set %u lacks a part", i);
    }
    assert_true(set == NULL && td__kernels_at(1) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panels_have_the_same_bits_for_all_shapes),
        cmocka_unit_test(scans_find_what_scores_and_comparisons_find),
        cmocka_unit_test(vectors_have_the_same_bits_for_all_lengths),
        cmocka_unit_test(rows_anywhere_have_the_same_bits_for_all_lengths),
        cmocka_unit_test(a_score_of_rows_is_the_dot_product),
        cmocka_unit_test(a_score_in_a_panel_is_the_dot_product),
        cmocka_unit_test(masks_are_the_same_for_odd_numbers),
        cmocka_unit_test(masks_hold_what_is_not_below),
        cmocka_unit_test(sets_are_chosen_by_name),
        cmocka_unit_test(every_set_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
