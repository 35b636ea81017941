/* quant_tables_plain.h -- a block's table in plain C.
 *
 * Serves: stage 7. For quant_*.c, before quant_tables_body.h; compilers make vector code of it. */
#ifndef TD_KERNEL_QUANT_TABLES_PLAIN_H
#define TD_KERNEL_QUANT_TABLES_PLAIN_H

#include "kernel/quant.h"

/* Smallest and largest of 16 numbers; halving keeps the compiler from a chain of 16 comparisons. */
static inline void td__range_of(const float *values, float *low, float *high)
{
    float l[TD__CODE_VALUES], h[TD__CODE_VALUES];
    for (int v = 0; v < TD__CODE_VALUES; v++) l[v] = h[v] = values[v];
    for (int half = TD__CODE_VALUES / 2; half > 0; half /= 2) {
        for (int v = 0; v < half; v++) {
            l[v] = l[v + half] < l[v] ? l[v + half] : l[v];
            h[v] = h[v + half] > h[v] ? h[v + half] : h[v];
        }
    }
    *low = l[0];
    *high = h[0];
}

/* entries[v] = <query block, codeword v> less the smallest, which is returned; their range in `range`. */
static inline float td__block_entries(const float *codewords, const float *query, uint32_t width,
                                      float *entries, float *range)
{
    float sums[TD__CODE_VALUES] = {0}, low, high;
    for (uint32_t j = 0; j < width; j++) {
        for (uint32_t v = 0; v < TD__CODE_VALUES; v++) {
            sums[v] += query[j] * codewords[j * TD__CODE_VALUES + v];
        }
    }
    td__range_of(sums, &low, &high);
    for (int v = 0; v < TD__CODE_VALUES; v++) entries[v] = sums[v] - low;
    *range = high - low;
    return low;
}

/* A block's table in whole steps; its sum, and that of its squares. */
static inline void td__block_table(const float *entries, float scale, float most, uint8_t *table,
                                   uint32_t *sum, uint32_t *squares)
{
    *sum = *squares = 0;
    for (int v = 0; v < TD__CODE_VALUES; v++) {
        float steps = entries[v] * scale + 0.5f;
        table[v] = (uint8_t)(int32_t)(steps < most ? steps : most);
    }
    for (int v = 0; v < TD__CODE_VALUES; v++) {
        *sum += table[v];
        *squares += (uint32_t)table[v] * table[v];
    }
}

#endif
