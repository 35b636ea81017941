/* quant_test.c -- every kernel set gives exactly what the specification says. */
#include "support/test.h"

#include "kernel/kernel.h"
#include "kernel/quant.h"
#include "kernel/topk.h"

enum { GROUPS = 5, BLOCKS_MAX = 2112, ROW_MAX = 2048 };

typedef struct coded {
    uint8_t *codes;  /* [GROUPS, blocks, 16] */
    uint8_t *tables; /* [blocks, 16] */
    uint32_t blocks;
} coded;

static void *aligned(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory == NULL) fail_msg("out of memory");
    return memory;
}

static coded make_coded(uint64_t seed, uint32_t blocks, uint8_t most)
{
    coded made = {aligned((size_t)GROUPS * blocks * 16), aligned((size_t)blocks * 16), blocks};
    for (uint32_t i = 0; i < GROUPS * blocks * 16; i++) {
        made.codes[i] = (uint8_t)test_uniform(&seed, 0, 256);
    }
    for (uint32_t i = 0; i < blocks * 16; i++) made.tables[i] = (uint8_t)test_uniform(&seed, 0, most + 1.0);
    return made;
}

static void free_coded(coded *one)
{
    free(one->codes);
    free(one->tables);
}

/* The code of vector i of a group in block b, by the text of quant.h. */
static uint32_t code_at(const coded *one, uint32_t group, uint32_t b, uint32_t i)
{
    uint8_t byte = one->codes[((size_t)group * one->blocks + b) * 16 + i % 16];
    return i < 16 ? byte & 15u : byte >> 4;
}

static uint32_t plain_sum(const coded *one, uint32_t group, uint32_t i)
{
    uint32_t sum = 0;
    for (uint32_t b = 0; b < one->blocks; b++) sum += one->tables[b * 16 + code_at(one, group, b, i)];
    return sum;
}

static void check_sums(const td__quant_kernels *kernels, const coded *one, uint32_t threshold)
{
    uint16_t sums[GROUPS * TD__GROUP];
    uint32_t masks[GROUPS];
    kernels->sum_codes(one->codes, GROUPS, one->tables, one->blocks, threshold, sums, masks);
    for (uint32_t i = 0; i < GROUPS * TD__GROUP; i++) {
        uint32_t expected = plain_sum(one, i / TD__GROUP, i % TD__GROUP);
        assert_int_equal(sums[i], expected);
        assert_int_equal(masks[i / TD__GROUP] >> i % TD__GROUP & 1, expected >= threshold);
    }
}

/* The keys of those that count, in order, by the text of quant.h. */
static uint64_t plain_keys(const coded *one, const td__code_scan *scan, uint64_t *keys)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < scan->groups * TD__GROUP; i++) {
        uint64_t sum = plain_sum(one, i / TD__GROUP, i % TD__GROUP);
        bool live = scan->live[i / TD__GROUP] >> i % TD__GROUP & 1;
        if (live && sum >= scan->least) keys[count++] = scan->first_key + (sum << 32) - i;
    }
    return count;
}

static void check_collected(const td__quant_kernels *kernels, const coded *one, uint32_t threshold)
{
    enum { ROOM = GROUPS * TD__GROUP + TD__KEYS_SPARE };
    const uint32_t live[GROUPS] = {UINT32_MAX, 0x80000001, 0, 0x0FF0F00F, 0x7FFFFFFE};
    uint64_t keys[ROOM + 1], expected[ROOM];
    for (uint32_t groups = 0; groups <= GROUPS; groups++) {
        td__code_scan scan = {.codes = one->codes,
                              .live = live,
                              .tables = one->tables,
                              .groups = groups,
                              .blocks = one->blocks,
                              .least = threshold,
                              .first_key = UINT64_C(0x1234567000000000) + ~UINT32_C(640)};
        uint64_t count = plain_keys(one, &scan, expected);
        keys[groups * TD__GROUP + TD__KEYS_SPARE] = 77;
        assert_int_equal(kernels->collect(&scan, keys), count);
        assert_memory_equal(keys, expected, count * sizeof *keys);
        assert_int_equal(keys[groups * TD__GROUP + TD__KEYS_SPARE], 77);
    }
}

static void for_each_set(void (*check)(const td__quant_kernels *kernels))
{
    const td__kernels *set;
    for (uint32_t i = 0; (set = td__kernels_at(i)) != NULL; i++) {
        if (set->available()) check(set->quant);
    }
}

static void check_all_sums(const td__quant_kernels *kernels)
{
    const uint32_t blocks[] = {4, 8, 12, 32, 64, 100, 256};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        coded one = make_coded(i + 1, blocks[i], TD__ENTRY_MAX);
        uint32_t middle = plain_sum(&one, 2, 17);
        const uint32_t thresholds[] = {0, 1, middle - 1, middle, middle + 1, 65535, 65536, UINT32_MAX};
        for (int t = 0; t < 8; t++) {
            check_sums(kernels, &one, thresholds[t]);
            check_collected(kernels, &one, thresholds[t]);
        }
        free_coded(&one);
    }
}

static void sums_are_those_of_the_entries(void **state)
{
    (void)state;
    for_each_set(check_all_sums);
}

/* 2112 * 31 = 65472. */
static void check_largest(const td__quant_kernels *kernels)
{
    coded one = make_coded(3, BLOCKS_MAX, TD__ENTRY_MAX);
    memset(one.tables, TD__ENTRY_MAX, BLOCKS_MAX * 16);
    check_sums(kernels, &one, 65472);
    check_sums(kernels, &one, 65473);
    check_collected(kernels, &one, 65472);
    check_collected(kernels, &one, 65473);
    free_coded(&one);
}

static void the_largest_sums_fit(void **state)
{
    (void)state;
    for_each_set(check_largest);
}

enum { ROWS = 23, TAKEN = 37 };

/* Numbers of rows, some twice, in no order. */
static void draw_numbers(uint32_t *numbers, uint64_t *seed)
{
    for (int i = 0; i < TAKEN; i++) numbers[i] = (uint32_t)test_uniform(seed, 0, ROWS);
}

static void check_products(const td__quant_kernels *kernels, uint32_t dim, const int16_t *query,
                           const int8_t *ints)
{
    uint32_t numbers[TAKEN];
    uint64_t seed = dim;
    float scales[ROWS];
    td__scaled_rows rows = {ints, scales, dim};
    draw_numbers(numbers, &seed);
    for (int r = 0; r < ROWS; r++) scales[r] = r == 3 ? 0.0f : (float)test_uniform(&seed, 0.001, 3);
    for (uint64_t count = 0; count <= TAKEN; count += count < 10 ? 1 : 9) {
        uint64_t keys[TAKEN + 1] = {0};
        keys[count] = 77;
        kernels->key_rows(query, &rows, (td__rows_by_number){numbers, count}, keys);
        for (uint64_t i = 0; i < count; i++) {
            uint32_t n = numbers[i];
            int64_t product = 0;
            for (uint32_t k = 0; k < dim; k++) product += (int64_t)query[k] * ints[(size_t)n * dim + k];
            assert_true(keys[i] == td__key_make((float)product * scales[n], n));
        }
        assert_int_equal(keys[count], 77);
    }
}

static void check_rows(const td__quant_kernels *kernels)
{
    int16_t *query = aligned(ROW_MAX * sizeof *query);
    int8_t *rows = aligned((size_t)ROWS * ROW_MAX);
    uint64_t seed = 9;
    for (uint32_t k = 0; k < ROW_MAX; k++) query[k] = (int16_t)test_uniform(&seed, -8000, 8000);
    for (uint32_t k = 0; k < ROWS * ROW_MAX; k++) rows[k] = (int8_t)test_uniform(&seed, -127.9, 127.9);
    for (uint32_t dim = TD__ROW_STEP; dim <= ROW_MAX; dim += dim < 512 ? TD__ROW_STEP : 512) {
        check_products(kernels, dim, query, rows);
    }
    for (uint32_t k = 0; k < 512; k++) {
        query[k] = k % 2 == 0 ? 32767 : -32767;
        for (int r = 0; r < ROWS; r++) rows[r * 512 + (int)k] = k % 2 == 0 ? 127 : -127;
    }
    check_products(kernels, 512, query, rows);
    free(query);
    free(rows);
}

/* Rows and query start anywhere. */
static void check_scores(const td__quant_kernels *kernels)
{
    float *memory = aligned((ROWS + 1) * (size_t)ROW_MAX * sizeof *memory);
    uint32_t numbers[TAKEN];
    uint64_t seed = 4;
    draw_numbers(numbers, &seed);
    for (uint32_t i = 0; i < (ROWS + 1) * ROW_MAX; i++) memory[i] = (float)test_uniform(&seed, -2, 2);
    const uint32_t dims[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 100, 128, 1000};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        const float *query = memory + 1, *rows = memory + dims[d] + 1;
        for (uint64_t count = 0; count <= TAKEN; count += count < 18 ? 1 : 19) {
            float scores[TAKEN + 1], expected[TAKEN + 1];
            td__rows_by_number which = {numbers, count};
            scores[count] = expected[count] = 5.0f;
            kernels->score_rows(query, rows, dims[d], which, scores);
            td__quant_ref.score_rows(query, rows, dims[d], which, expected);
            assert_memory_equal(scores, expected, (count + 1) * sizeof *scores);
        }
    }
    free(memory);
}

static void scores_of_rows_are_those_of_a_scan(void **state)
{
    const td__kernels *kernels = td__kernels_at(0);
    float rows[3 * 5], query[5], packed[5 * TD__PANEL] = {0}, scores[3], expected[TD__PANEL];
    const uint32_t numbers[] = {0, 1, 2};
    uint64_t seed = 6;
    (void)state;
    for_each_set(check_scores);
    for (int i = 0; i < 15; i++) rows[i] = (float)test_uniform(&seed, -2, 2);
    for (int i = 0; i < 5; i++) query[i] = (float)test_uniform(&seed, -2, 2);
    for (int i = 0; i < 15; i++) packed[i % 5 * TD__PANEL + i / 5] = rows[i];
    kernels->score_panel(query, 1, packed, 5, NULL, expected);
    kernels->quant->score_rows(query, rows, 5, (td__rows_by_number){numbers, 3}, scores);
    assert_memory_equal(scores, expected, sizeof scores);
}

/* Codewords in which equal entries, zeros of both signs and blocks without a range occur. */
static void fill_codewords(float *codewords, uint32_t blocks, uint32_t width, uint64_t seed)
{
    for (uint32_t i = 0; i < blocks * width * 16; i++) {
        uint32_t b = i / (width * 16);
        float value = (float)test_uniform(&seed, -1, 1);
        codewords[i] = b % 7 == 3 ? 0.25f : b % 7 == 5 && i % 2 == 0 ? -0.0f : value;
    }
}

static void check_tables_of(const td__quant_kernels *kernels, const td__codebook *book, const float *query,
                            float scale_max)
{
    size_t entries = (size_t)book->blocks * 17, bytes = (size_t)book->blocks_padded * 16;
    float *scratch = aligned(entries * sizeof *scratch);
    uint8_t *found = aligned(bytes), *expected = aligned(bytes);
    td__code_scale is = kernels->make_tables(book, query, scale_max, scratch, found);
    td__code_scale should = td__quant_ref.make_tables(book, query, scale_max, scratch, expected);
    assert_memory_equal(&is, &should, sizeof is);
    assert_memory_equal(found, expected, bytes);
    free(scratch);
    free(found);
    free(expected);
}

static void check_tables(const td__quant_kernels *kernels)
{
    enum { DIM_MAX = 300 };
    float codewords[(DIM_MAX + 3) * 16], query[DIM_MAX];
    const uint32_t dims[] = {1, 2, 7, 64, 99, DIM_MAX};
    for (int d = 0; d < 6; d++) {
        uint64_t seed = dims[d];
        for (uint32_t k = 0; k < dims[d]; k++) query[k] = k % 9 == 4 ? 0.0f : (float)test_uniform(&seed, -1, 1);
        for (uint32_t width = 1; width <= 4; width++) {
            uint32_t blocks = (dims[d] + width - 1) / width;
            td__codebook book = {codewords, dims[d], width, blocks, (blocks + 3) / 4 * 4};
            fill_codewords(codewords, blocks, width, seed);
            check_tables_of(kernels, &book, query, 1e30f);
            check_tables_of(kernels, &book, query, 3.0f);
        }
    }
    td__codebook book = {codewords, 64, 2, 32, 32};
    memset(query, 0, sizeof query);
    check_tables_of(kernels, &book, query, 1e30f);
}

static void tables_are_the_same_bits_everywhere(void **state)
{
    (void)state;
    for_each_set(check_tables);
}

static void products_of_rows_are_exact(void **state)
{
    (void)state;
    for_each_set(check_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_the_same_bits_everywhere),
        cmocka_unit_test(sums_are_those_of_the_entries),
        cmocka_unit_test(the_largest_sums_fit),
        cmocka_unit_test(products_of_rows_are_exact),
        cmocka_unit_test(scores_of_rows_are_those_of_a_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
