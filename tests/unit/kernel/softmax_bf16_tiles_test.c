/* softmax_bf16_tiles_test.c -- the loops of the softmax in bfloat16: plain C against float64, other sets
 * against it. */
#include "support/bf16_by_hand.h"
#include "support/test.h"

#include <math.h>

enum { HEIGHT_MAX = 128, DIM_MAX = 160, HALF = TD__PANEL / 2 };

/* Results first, then what they are made of. */
typedef struct tiles {
    float weights[HEIGHT_MAX * TD__PANEL], kept[HEIGHT_MAX * TD__PANEL], sums[HEIGHT_MAX * TD__SLICE];
    float d_rows[HEIGHT_MAX * DIM_MAX], d_columns[TD__PANEL * DIM_MAX];
    td__pair along[HEIGHT_MAX * HALF], across[HEIGHT_MAX / 2 * TD__PANEL];
    td__pair rows[HEIGHT_MAX * DIM_MAX / 2], panel[DIM_MAX / 2 * TD__PANEL];
    float anchor[HEIGHT_MAX], bias[TD__PANEL], raw[HEIGHT_MAX * TD__PANEL];
} tiles;

static _Alignas(64) tiles reference, other;

static void fill(float *array, size_t count, double range, uint64_t *random)
{
    for (size_t i = 0; i < count; i++) array[i] = (float)test_uniform(random, -range, range);
}

static void fill_pairs(td__pair *array, size_t count, double range, uint64_t *random)
{
    for (size_t i = 0; i < count; i++) {
        float first = (float)test_uniform(random, -range, range);
        array[i] = td__pair_of(first, (float)test_uniform(random, -range, range));
    }
}

static void fill_all(tiles *t, double range, uint64_t seed)
{
    uint64_t random = seed;
    fill(t->sums, HEIGHT_MAX * TD__SLICE, 1.0, &random);
    fill(t->d_rows, HEIGHT_MAX * DIM_MAX, 1.0, &random);
    fill(t->d_columns, TD__PANEL * DIM_MAX, 1.0, &random);
    fill_pairs(t->rows, HEIGHT_MAX * DIM_MAX / 2, range, &random);
    fill_pairs(t->panel, DIM_MAX / 2 * TD__PANEL, 1.0, &random);
    fill(t->anchor, HEIGHT_MAX, 10.0, &random);
    fill(t->bias, TD__PANEL, 10.0, &random);
    fill(t->raw, HEIGHT_MAX * TD__PANEL, 1.0, &random);
    memset(t->weights, 0, sizeof t->weights);
    memset(t->kept, 0, sizeof t->kept);
    memset(t->along, 0, sizeof t->along);
    memset(t->across, 0, sizeof t->across);
}

static td__bf16_tile tile_of(tiles *t, uint32_t height, uint32_t dim)
{
    return (td__bf16_tile){.height = height, .dim = dim, .rows = t->rows, .panel = t->panel,
                           .anchor = t->anchor, .bias = t->bias, .weights = t->weights, .sums = t->sums};
}

static void run_all(const td__bf16_kernels *kernels, tiles *t, uint32_t height, uint32_t dim)
{
    td__bf16_tile tile = tile_of(t, height, dim), keep = tile;
    keep.weights = t->kept;
    kernels->score(&tile);
    kernels->keep(&keep);
    kernels->round(t->raw, height, t->along, t->across);
    kernels->rows_gradient(t->along, height, t->panel, dim, t->d_rows);
    kernels->columns_gradient(t->across, height, t->rows, dim, height % 16 == 0, t->d_columns);
}

/* Dimension k of vector i of a sliced array of `count` vectors. */
static size_t place(uint32_t k, uint32_t i, uint32_t count)
{
    return ((size_t)(k / TD__SLICE) * count + i) * TD__SLICE + k % TD__SLICE;
}

static double number_of(td__pair pair, uint32_t which)
{
    return (double)td__bf16_value(pair >> (16 * which) & 0xFFFF);
}

/* --- plain C against float64 */

static void test_plain_score_is_the_formula(void **state)
{
    (void)state;
    tiles *t = &reference;
    uint32_t height = 16, dim = 48;
    fill_all(t, 1.0, 5);
    memcpy(&other, t, sizeof other);
    td__bf16_tile tile = tile_of(t, height, dim), keep = tile;
    keep.weights = t->kept;
    td__bf16_ref.score(&tile);
    td__bf16_ref.keep(&keep);
    for (uint32_t r = 0; r < height; r++) {
        double sum = 0.0, change = 0.0;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            double y = (double)t->bias[j], anchor = (double)t->anchor[r];
            for (uint32_t k = 0; k < dim; k++) {
                td__pair column = t->panel[(size_t)(k / 2) * TD__PANEL + j];
                y += number_of(t->rows[(r * dim + k) / 2], k % 2) * number_of(column, k % 2);
            }
            assert_close((double)t->kept[r * TD__PANEL + j], y, 0.0, 2e-5);
            assert_close((double)t->weights[r * TD__PANEL + j], exp2(y - anchor), 2e-5, 0.0);
            sum += exp2(y - anchor);
        }
        for (uint32_t l = 0; l < TD__SLICE; l++) {
            change += (double)t->sums[r * TD__SLICE + l] - (double)other.sums[r * TD__SLICE + l];
        }
        assert_close(change, sum, 2e-5, 2e-5);
    }
}

static void test_rounded_weights_lie_in_both_orders(void **state)
{
    (void)state;
    tiles *t = &reference;
    fill_all(t, 1.0, 9);
    td__bf16_ref.round(t->raw, HEIGHT_MAX, t->along, t->across);
    for (uint32_t r = 0; r < HEIGHT_MAX; r++) {
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            double rounded = (double)td__bf16_value(td__bf16_of(t->raw[r * TD__PANEL + j]));
            assert_true(number_of(t->along[r * HALF + j / 2], j % 2) == rounded);
            assert_true(number_of(t->across[(size_t)(r / 2) * TD__PANEL + j], r % 2) == rounded);
        }
    }
}

static void test_plain_gradients_are_the_formula(void **state)
{
    (void)state;
    tiles *t = &reference;
    uint32_t height = 24, dim = 32;
    fill_all(t, 1.0, 6);
    td__bf16_ref.round(t->raw, height, t->along, t->across);
    memcpy(&other, t, sizeof other);
    td__bf16_ref.rows_gradient(t->along, height, t->panel, dim, t->d_rows);
    td__bf16_ref.columns_gradient(t->across, height, t->rows, dim, false, t->d_columns);
    for (uint32_t k = 0; k < dim; k++) {
        for (uint32_t r = 0; r < height; r++) {
            double sum = (double)other.d_rows[place(k, r, height)];
            for (uint32_t j = 0; j < TD__PANEL; j++) {
                sum += number_of(t->along[r * HALF + j / 2], j % 2)
                       * number_of(t->panel[place(k, j / 2, HALF)], j % 2);
            }
            assert_close((double)t->d_rows[place(k, r, height)], sum, 1e-5, 1e-5);
        }
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            double sum = (double)other.d_columns[place(k, j, TD__PANEL)];
            for (uint32_t r = 0; r < height; r++) {
                sum += number_of(t->across[(size_t)(r / 2) * TD__PANEL + j], r % 2)
                       * number_of(t->rows[place(k, r / 2, height / 2)], r % 2);
            }
            assert_close((double)t->d_columns[place(k, j, TD__PANEL)], sum, 1e-5, 1e-5);
        }
    }
}

/* --- other sets against it */

static void same_bits(const td__bf16_kernels *kernels, const char *name, uint32_t height, uint32_t dim,
                      double range)
{
    fill_all(&reference, range, height * 1000 + dim);
    memcpy(&other, &reference, sizeof other);
    run_all(&td__bf16_ref, &reference, height, dim);
    run_all(kernels, &other, height, dim);
    if (memcmp(&reference, &other, sizeof other) != 0) {
        fail_msg("%s differs from plain C at height %u, dim %u", name, height, dim);
    }
}

/* All heights and dims that occur: every tail of every block, nothing written beside the results. */
static void same_bits_everywhere(const td__bf16_kernels *kernels, const char *name)
{
    for (uint32_t height = 8; height <= HEIGHT_MAX; height += 8) {
        same_bits(kernels, name, height, 16, 1.0);
        same_bits(kernels, name, height, 48, 1.0);
    }
    for (uint32_t dim = 16; dim <= DIM_MAX; dim += 16) same_bits(kernels, name, 32, dim, 1.0);
    same_bits(kernels, name, 128, 64, 1000.0);
}

static void test_sets_that_widen_give_the_bits_of_plain_c(void **state)
{
    (void)state;
    for (uint32_t set = 1; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (kernels->bf16->native) continue;
        if (!kernels->available()) {
            print_message("SKIPPED: this machine cannot run %s\n", kernels->name);
            continue;
        }
        same_bits_everywhere(kernels->bf16, kernels->name);
    }
}

/* AVX512_BF16's own source. Sums of these numbers never come near 2^-126, below which it has zeros. */
static void test_instructions_done_by_hand_give_the_bits_of_plain_c(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (bf16_by_hand_available()) {
        same_bits_everywhere(&bf16_by_hand, "by hand");
        return;
    }
#endif
    print_message("SKIPPED: this machine has no AVX-512 to go with the instructions done by hand\n");
}

/* |a - b| <= relative * |b| + absolute for all. */
static void close_floats(const float *a, const float *b, size_t count, double relative, double absolute,
                         const char *name)
{
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)a[i] - (double)b[i]);
        if (!(error <= relative * fabs((double)b[i]) + absolute)) {
            fail_msg("%s: element %zu is %.9g, plain C has %.9g", name, i, (double)a[i], (double)b[i]);
        }
    }
}

/* A chain of n sums, each off by 2^-23 of what it reached: 128 for rows, 160 for scores, at most 40 high. */
static void close_everywhere(const td__bf16_kernels *kernels, const char *name)
{
    for (uint32_t height = 8; height <= HEIGHT_MAX; height += 24) {
        for (uint32_t dim = 16; dim <= DIM_MAX; dim += 48) {
            fill_all(&reference, 1.0, height * 1000 + dim);
            memcpy(&other, &reference, sizeof other);
            run_all(&td__bf16_ref, &reference, height, dim);
            run_all(kernels, &other, height, dim);
            close_floats(other.kept, reference.kept, HEIGHT_MAX * TD__PANEL, 0.0, 1e-4, name);
            close_floats(other.weights, reference.weights, HEIGHT_MAX * TD__PANEL, 1e-4, 0.0, name);
            close_floats(other.sums, reference.sums, HEIGHT_MAX * TD__SLICE, 1e-4, 1e-4, name);
            close_floats(other.d_rows, reference.d_rows, HEIGHT_MAX * DIM_MAX, 0.0, 1e-4, name);
            close_floats(other.d_columns, reference.d_columns, TD__PANEL * DIM_MAX, 0.0, 1e-4, name);
            assert_memory_equal(other.along, reference.along, sizeof other.along);
            assert_memory_equal(other.across, reference.across, sizeof other.across);
        }
    }
}

static void test_sets_with_an_instruction_are_close_to_plain_c(void **state)
{
    (void)state;
    for (uint32_t set = 1; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->bf16->native) continue;
        if (!kernels->available()) {
            print_message("SKIPPED: this machine cannot run %s\n", kernels->name);
            continue;
        }
        close_everywhere(kernels->bf16, kernels->name);
    }
}

/* --- what is out of the ordinary */

/* All sets round all kinds of numbers alike; but BFCVTN leaves what is below 2^-126 to BFDOT. */
static void test_all_sets_round_alike(void **state)
{
    (void)state;
    static const float odd[] = {0.0f,     -0.0f,     NAN,          INFINITY,        -INFINITY,
                                0x1p126f, 0x1p-126f, 0x1.01p0f,    -0x1.03p5f,      0x1.fffffep127f,
                                0x1p-100f, 1e-30f,   0x1.02fffep0f, -0x1.010002p-9f};
    fill_all(&reference, 1.0, 3);
    for (uint32_t i = 0; i < HEIGHT_MAX * TD__PANEL; i++) {
        reference.raw[i] = odd[(i * 7 + i / TD__PANEL) % (sizeof odd / sizeof *odd)];
    }
    memcpy(&other, &reference, sizeof other);
    td__bf16_ref.round(reference.raw, HEIGHT_MAX, reference.along, reference.across);
    for (uint32_t set = 0; td__kernels_at(set) != NULL; set++) {
        if (!td__kernels_at(set)->available()) continue;
        td__kernels_at(set)->bf16->round(other.raw, HEIGHT_MAX, other.along, other.across);
        assert_memory_equal(other.along, reference.along, sizeof other.along);
        assert_memory_equal(other.across, reference.across, sizeof other.across);
    }
}

/* Numbers below 2^-126 in products give nothing that could be seen, in no set. */
static void test_tiny_weights_add_nothing(void **state)
{
    (void)state;
    for (uint32_t set = 0; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->available()) continue;
        fill_all(&reference, 1.0, 4);
        for (uint32_t i = 0; i < HEIGHT_MAX * TD__PANEL; i++) reference.raw[i] = 0x1p-130f;
        memcpy(&other, &reference, sizeof other);
        kernels->bf16->round(other.raw, 16, other.along, other.across);
        kernels->bf16->rows_gradient(other.along, 16, other.panel, 32, other.d_rows);
        close_floats(other.d_rows, reference.d_rows, HEIGHT_MAX * DIM_MAX, 0.0, 0.0, kernels->name);
    }
}

/* What is not a number stays so on its way through scores and gradients. */
static void test_nan_passes_through(void **state)
{
    (void)state;
    for (uint32_t set = 0; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->available()) continue;
        fill_all(&reference, 1.0, 4);
        reference.rows[3 * 16 / 2] = td__pair_of(1.0f, NAN);
        td__bf16_tile tile = tile_of(&reference, 8, 16);
        kernels->bf16->score(&tile);
        assert_true(isnan(reference.weights[3 * TD__PANEL + 40]));
        assert_true(isnan(reference.sums[3 * TD__SLICE]));
        assert_true(!isnan(reference.weights[4 * TD__PANEL]));
        reference.raw[5 * TD__PANEL + 7] = NAN;
        kernels->bf16->round(reference.raw, 8, reference.along, reference.across);
        kernels->bf16->rows_gradient(reference.along, 8, reference.panel, 16, reference.d_rows);
        assert_true(isnan(reference.d_rows[5 * TD__SLICE]));
        assert_true(!isnan(reference.d_rows[4 * TD__SLICE]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_score_is_the_formula),
        cmocka_unit_test(test_rounded_weights_lie_in_both_orders),
        cmocka_unit_test(test_plain_gradients_are_the_formula),
        cmocka_unit_test(test_sets_that_widen_give_the_bits_of_plain_c),
        cmocka_unit_test(test_instructions_done_by_hand_give_the_bits_of_plain_c),
        cmocka_unit_test(test_sets_with_an_instruction_are_close_to_plain_c),
        cmocka_unit_test(test_all_sets_round_alike),
        cmocka_unit_test(test_tiny_weights_add_nothing),
        cmocka_unit_test(test_nan_passes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
