/* quant_tables_body.h -- the tables of a query, around what the sets do block by block.
 *
 * Serves: stage 7. For quant_*.c, which have td__block_entries and td__block_table, behind <math.h> and
 * <string.h>. */
static inline float td__block_entries(const float *codewords, const float *query, uint32_t width,
                                      float *entries, float *range);
static inline void td__block_table(const float *entries, float scale, float most, uint8_t *table,
                                   uint32_t *sum, uint32_t *squares);

enum { SUM_MAX = 65535 /* of table entries: a 16-bit number */ };

/* The largest entry of a block becomes `most` steps at best, and no sum is too large. */
static float most_steps(const td__codebook *book)
{
    uint32_t most = SUM_MAX / book->blocks_padded;
    return (float)(most < TD__ENTRY_MAX ? most : TD__ENTRY_MAX);
}

static td__code_scale make_tables(const td__codebook *book, const float *query, float scale_max,
                                  float *entries, uint8_t *tables)
{
    td__code_scale out = {0};
    const uint32_t blocks = book->blocks, values = TD__CODE_VALUES;
    float widest = 0.0f, most = most_steps(book), *ranges = entries + (size_t)blocks * values;
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t at = b * book->width, left = book->dim - at;
        out.offset += td__block_entries(book->codewords + (size_t)at * values, query + at,
                                        left < book->width ? left : book->width,
                                        entries + (size_t)b * values, &ranges[b]);
        widest = ranges[b] > widest ? ranges[b] : widest;
    }
    if (widest > 0.0f) out.scale = fminf(most / widest, scale_max);
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t sum, squares;
        td__block_table(entries + (size_t)b * values, out.scale, most, tables + (size_t)b * values, &sum,
                        &squares);
        float mean = (float)sum / (float)values, steps = ranges[b] * out.scale + 0.5f;
        out.most += (uint32_t)(int32_t)(steps < most ? steps : most);
        out.mean += mean;
        out.deviation += (float)squares / (float)values - mean * mean;
    }
    memset(tables + (size_t)blocks * values, 0, (book->blocks_padded - blocks) * (size_t)values);
    out.deviation = sqrtf(out.deviation);
    return out;
}
