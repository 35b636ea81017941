/* quant_test.c -- every kernel set gives exactly what the specification says. */
#include "support/test.h"

#include "kernel/kernel.h"
#include "kernel/quant.h"

enum { GROUPS = 5, BLOCKS_MAX = 260, ROW_MAX = 2048 };

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
        coded one = make_coded(i + 1, blocks[i], 255);
        uint32_t middle = plain_sum(&one, 2, 17);
        const uint32_t thresholds[] = {0, 1, middle - 1, middle, middle + 1, 65535, 65536, UINT32_MAX};
        for (int t = 0; t < 8; t++) check_sums(kernels, &one, thresholds[t]);
        free_coded(&one);
    }
}

static void sums_are_those_of_the_entries(void **state)
{
    (void)state;
    for_each_set(check_all_sums);
}

/* 257 * 255 = 65535; 260 blocks with entries up to 252. */
static void check_largest(const td__quant_kernels *kernels)
{
    coded one = make_coded(3, BLOCKS_MAX, 252);
    memset(one.tables, 252, BLOCKS_MAX * 16);
    check_sums(kernels, &one, 65520);
    check_sums(kernels, &one, 65521);
    free_coded(&one);
    one = make_coded(4, 256, 255);
    memset(one.tables, 255, 256 * 16);
    check_sums(kernels, &one, 65280);
    free_coded(&one);
}

static void the_largest_sums_fit(void **state)
{
    (void)state;
    for_each_set(check_largest);
}

static void check_rows(const td__quant_kernels *kernels)
{
    int16_t *query = aligned(ROW_MAX * sizeof *query);
    int8_t *row = aligned(ROW_MAX);
    uint64_t seed = 9;
    for (uint32_t dim = TD__ROW_STEP; dim <= ROW_MAX; dim += dim < 512 ? TD__ROW_STEP : 512) {
        int64_t expected = 0;
        for (uint32_t k = 0; k < dim; k++) {
            query[k] = (int16_t)test_uniform(&seed, -8000, 8000);
            row[k] = (int8_t)test_uniform(&seed, -127.9, 127.9);
            expected += (int64_t)query[k] * row[k];
        }
        assert_int_equal(kernels->dot_row(query, row, dim), expected);
    }
    for (uint32_t k = 0; k < 512; k++) {
        query[k] = k % 2 == 0 ? 32767 : -32767;
        row[k] = k % 2 == 0 ? 127 : -127;
    }
    assert_int_equal(kernels->dot_row(query, row, 512), 512 * 32767 * 127);
    free(query);
    free(row);
}

static void products_of_rows_are_exact(void **state)
{
    (void)state;
    for_each_set(check_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_the_entries),
        cmocka_unit_test(the_largest_sums_fit),
        cmocka_unit_test(products_of_rows_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
