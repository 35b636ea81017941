/* int8_test.c -- every set finds the products of integers above a limit that plain C finds. */
#include "support/test.h"
#include "support/vnni_by_hand.h"

#include <math.h>

#include "kernel/int8.h"
#include "kernel/kernel.h"

enum { ROWS = 19, DIM_MAX = 516, GUARD = 1 };

typedef struct problem {
    int8_t *values;
    int32_t *starts, *limits;
    uint8_t *panel;
    td__int8_rows rows;
} problem;

static void *aligned(size_t bytes)
{
    void *block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(block);
    return block;
}

static problem make_problem(uint32_t dim)
{
    problem p = {.values = aligned((size_t)ROWS * dim),
                 .starts = aligned(ROWS * td__int8_words(dim) * sizeof(int32_t)),
                 .limits = aligned(ROWS * sizeof(int32_t)),
                 .panel = aligned((size_t)dim * TD__PANEL)};
    p.rows = (td__int8_rows){.values = p.values, .starts = p.starts, .count = ROWS, .dim = dim};
    return p;
}

static void free_problem(problem *p)
{
    free(p->values);
    free(p->starts);
    free(p->limits);
    free(p->panel);
}

/* With all 64 numbers of a lane this large, its length is 176: then row and column of equal signs make
 * the largest sum. */
enum { EVEN = 22 };

/* A number of at most `most`, if the lane's sum of squares has room for it; the sum grows. */
static int take(uint64_t *seed, int most, bool extreme, int *squares)
{
    int number = (int)lround(test_uniform(seed, -most, most));
    if (extreme) number = number < 0 ? -EVEN : EVEN;
    int room = TD__INT8_LENGTH_MAX * TD__INT8_LENGTH_MAX - *squares;
    while (number * number > room) number /= 2;
    *squares += number * number;
    return number;
}

/* Row numbers and what makes up for the 128 of the items, as int8.h defines it. */
static void fill_row(problem *p, uint32_t r, uint64_t *seed, bool extreme)
{
    uint32_t dim = p->rows.dim, words = td__int8_words(dim);
    int8_t *values = p->values + (size_t)r * dim;
    int32_t *starts = p->starts + (size_t)r * words, all = 0;
    for (uint32_t first = 0, c = 0; first < dim; first += TD__INT8_CHUNK, c++) {
        int squares[2] = {0, 0}, sums[2] = {0, 0};
        for (uint32_t k = first; k < dim && k < first + TD__INT8_CHUNK; k++) {
            int lane = k % 4 < 2 ? 0 : 1;
            values[k] = (int8_t)take(seed, TD__INT8_QUERY_MAX, extreme, &squares[lane]);
            sums[lane] -= 128 * values[k];
        }
        uint32_t word = ((uint32_t)sums[0] & 0xFFFF) | (uint32_t)sums[1] << 16;
        memcpy(&starts[c], &word, sizeof word);
        all += sums[0] + sums[1];
    }
    starts[words - 1] = all;
}

/* Extreme columns repeat a row's signs, so that its sums are as large as they can be. */
static void fill_column(problem *p, uint32_t j, uint64_t *seed, bool extreme)
{
    int squares[2] = {0, 0};
    for (uint32_t k = 0; k < p->rows.dim; k++) {
        if (k % TD__INT8_CHUNK == 0) squares[0] = squares[1] = 0;
        int number = take(seed, TD__INT8_ITEM_MAX, extreme, &squares[k % 4 < 2 ? 0 : 1]);
        int8_t row = p->values[(size_t)(j % ROWS) * p->rows.dim + k];
        if (extreme && (row < 0) != (number < 0)) number = -number;
        if (extreme && j % 2 == 1) number = -number;
        p->panel[((size_t)k / 4 * TD__PANEL + j) * 4 + k % 4] = (uint8_t)(number + TD__INT8_ZERO);
    }
}

static int32_t product(const problem *p, uint32_t r, uint32_t j)
{
    int64_t sum = 0;
    for (uint32_t k = 0; k < p->rows.dim; k++) {
        int u = p->panel[((size_t)k / 4 * TD__PANEL + j) * 4 + k % 4] - TD__INT8_ZERO;
        sum += p->values[(size_t)r * p->rows.dim + k] * u;
    }
    return (int32_t)sum;
}

static problem random_problem(uint32_t dim, uint64_t *seed, bool extreme)
{
    problem p = make_problem(dim);
    for (uint32_t r = 0; r < ROWS; r++) fill_row(&p, r, seed, extreme);
    for (uint32_t j = 0; j < TD__PANEL; j++) fill_column(&p, j, seed, extreme);
    return p;
}

/* The specification itself: a limit one below a product lets it pass, the product itself does not. */
static void plain_kernel_compares_products_with_limits(void **state)
{
    (void)state;
    uint64_t seed = 3, masks[ROWS];
    for (uint32_t dim = 4; dim <= 260; dim += 64) {
        problem p = random_problem(dim, &seed, dim % 8 == 0);
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            for (uint32_t r = 0; r < ROWS; r++) p.limits[r] = product(&p, r, j) - (int)(r % 2);
            td__int8_ref.above(&p.rows, p.panel, p.limits, masks);
            for (uint32_t r = 0; r < ROWS; r++) assert_int_equal(masks[r] >> j & 1, r % 2);
        }
        free_problem(&p);
    }
}

static void compare_with_plain(const td__kernels *set, problem *p, uint64_t *seed)
{
    uint64_t expected[ROWS + GUARD], found[ROWS + GUARD];
    for (int round = 0; round < 4; round++) {
        for (uint32_t r = 0; r < ROWS; r++) {
            /* often exactly a product, sometimes nothing or everything passes */
            p->limits[r] = product(p, r, (uint32_t)test_uniform(seed, 0, TD__PANEL)) - round % 2;
            if (round == 3) p->limits[r] = r % 3 == 0 ? INT32_MIN : INT32_MAX - (int)(r % 3);
        }
        for (uint32_t count = 0; count <= ROWS; count++) {
            p->rows.count = count;
            memset(found, 0x5A, sizeof found);
            td__int8_ref.above(&p->rows, p->panel, p->limits, expected);
            set->int8->above(&p->rows, p->panel, p->limits, found);
            for (uint32_t r = 0; r < count; r++) {
                if (found[r] == expected[r]) continue;
                fail_msg("%s, dim %u, row %u of %u: %llx, not %llx", set->name, p->rows.dim, r, count,
                         (unsigned long long)found[r], (unsigned long long)expected[r]);
            }
            assert_int_equal(found[count], UINT64_C(0x5A5A5A5A5A5A5A5A));
        }
    }
}

/* One row against two panels, those of two problems. */
static void compare_two_panels(const td__kernels *set, problem *p, const problem *other, uint64_t *seed)
{
    for (uint32_t r = 0; r < ROWS && set->int8->above_two != NULL; r++) {
        const uint8_t *panels[2] = {p->panel, other->panel};
        td__int8_rows row = {.values = p->rows.values + (size_t)r * p->rows.dim,
                             .starts = p->rows.starts + (size_t)r * td__int8_words(p->rows.dim),
                             .count = 1, .dim = p->rows.dim};
        int32_t limit = product(p, r, (uint32_t)test_uniform(seed, 0, TD__PANEL)) - (int)(r % 2);
        if (r == 0) limit = INT32_MIN;
        uint64_t expected[2], found[2] = {UINT64_MAX, UINT64_MAX};
        for (int i = 0; i < 2; i++) td__int8_ref.above(&row, panels[i], &limit, &expected[i]);
        set->int8->above_two(&row, panels, limit, found);
        if (found[0] == expected[0] && found[1] == expected[1]) continue;
        fail_msg("%s, two panels, dim %u, row %u", set->name, row.dim, r);
    }
}

static void compare_all_shapes(const td__kernels *set)
{
    uint64_t seed = 5;
    for (uint32_t dim = 4; dim <= DIM_MAX; dim += dim < 140 ? 4 : 124) {
        for (int extreme = 0; extreme < 2; extreme++) {
            problem p = random_problem(dim, &seed, extreme != 0);
            problem other = random_problem(dim, &seed, extreme != 0);
            compare_with_plain(set, &p, &seed);
            compare_two_panels(set, &p, &other, &seed);
            free_problem(&other);
            free_problem(&p);
        }
    }
}

/* What the instructions of VNNI do is done in plain C: what is around them is the kernel's own. */
static void the_vnni_kernel_is_right_on_any_machine(void **state)
{
    (void)state;
#if defined(__x86_64__)
    const td__kernels by_hand = {.name = "avx512vnni by hand", .int8 = &vnni_by_hand};
    compare_all_shapes(&by_hand);
#else
    skip();
#endif
}

static void every_set_finds_what_plain_c_finds(void **state)
{
    (void)state;
    for (uint32_t i = 1; td__kernels_at(i) != NULL; i++) {
        const td__kernels *set = td__kernels_at(i);
        if (!set->available()) {
            print_message("SKIPPED: this machine cannot run %s\n", set->name);
            continue;
        }
        compare_all_shapes(set);
    }
}

/* Or nearly: 2 lanes of 64 times 22 squared, of both signs. */
static void extreme_problems_fill_the_lanes(void **state)
{
    (void)state;
    uint64_t seed = 9;
    problem p = random_problem(TD__INT8_CHUNK, &seed, true);
    assert_int_equal(product(&p, 0, 0), 2 * 64 * EVEN * EVEN);
    assert_int_equal(product(&p, 1, 1), -2 * 64 * EVEN * EVEN);
    free_problem(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_kernel_compares_products_with_limits),
        cmocka_unit_test(every_set_finds_what_plain_c_finds),
        cmocka_unit_test(the_vnni_kernel_is_right_on_any_machine),
        cmocka_unit_test(extreme_problems_fill_the_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
