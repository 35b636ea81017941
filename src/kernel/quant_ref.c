/* quant_ref.c -- scores of compressed vectors in plain C: the specification.
 *
 * Serves: stage 7. */
#include "kernel/quant.h"

#include <math.h>
#include <string.h>

#include "kernel/quant_collect_body.h"
#include "kernel/quant_tables_body.h"
#include "kernel/quant_tables_plain.h"
#include "kernel/topk.h"

#include "base/poison.h"

static void sum_group(const uint8_t *codes, const uint8_t *tables, uint32_t blocks, uint16_t *sums)
{
    uint32_t totals[TD__GROUP] = {0};
    for (uint32_t b = 0; b < blocks; b++, codes += TD__GROUP / 2, tables += TD__CODE_VALUES) {
        for (uint32_t i = 0; i < TD__GROUP / 2; i++) {
            totals[i] += tables[codes[i] & 15];
            totals[i + TD__GROUP / 2] += tables[codes[i] >> 4];
        }
    }
    for (uint32_t i = 0; i < TD__GROUP; i++) sums[i] = (uint16_t)totals[i];
}

static void sum_codes(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks)
{
    for (uint32_t g = 0; g < groups; g++, sums += TD__GROUP) {
        sum_group(codes + (uint64_t)g * blocks * (TD__GROUP / 2), tables, blocks, sums);
        masks[g] = 0;
        for (uint32_t i = 0; i < TD__GROUP; i++) masks[g] |= (uint32_t)(sums[i] >= threshold) << i;
    }
}

static void key_rows(const int16_t *query, const td__scaled_rows *rows, td__rows_by_number which,
                     uint64_t *keys)
{
    for (uint64_t i = 0; i < which.count; i++) {
        uint32_t n = which.numbers[i];
        const int8_t *row = rows->rows + (uint64_t)n * rows->dim;
        int32_t product = 0;
        for (uint32_t k = 0; k < rows->dim; k++) product += query[k] * row[k];
        keys[i] = td__key_make((float)product * rows->scales[n], n);
    }
}

static void score_rows(const float *query, const float *rows, uint32_t dim, td__rows_by_number which,
                       float *scores)
{
    for (uint64_t i = 0; i < which.count; i++) {
        const float *row = rows + (uint64_t)which.numbers[i] * dim;
        scores[i] = 0.0f;
        for (uint32_t k = 0; k < dim; k++) scores[i] = fmaf(query[k], row[k], scores[i]);
    }
}

const td__quant_kernels td__quant_ref = {
    .make_tables = make_tables,
    .sum_codes = sum_codes,
    .collect = collect,
    .key_rows = key_rows,
    .score_rows = score_rows,
};
