/* quant_collect_body.h -- the keys of codes that score well, for sets that cannot write several at once.
 *
 * Serves: stage 7. For quant_*.c, which have sum_codes. */

static void sum_codes(const uint8_t *codes, uint32_t groups, const uint8_t *tables, uint32_t blocks,
                      uint32_t threshold, uint16_t *sums, uint32_t *masks);

enum { COLLECT_GROUPS = 16 };

static uint64_t *collect_group(const uint16_t *sums, uint32_t mask, uint64_t first_key, uint64_t *keys)
{
    for (; mask != 0; mask &= mask - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(mask);
        *keys++ = first_key + ((uint64_t)sums[i] << 32) - i;
    }
    return keys;
}

static uint64_t collect(const td__code_scan *scan, uint64_t *keys)
{
    _Alignas(64) uint16_t sums[COLLECT_GROUPS * TD__GROUP];
    uint32_t masks[COLLECT_GROUPS], count;
    uint64_t *end = keys;
    for (uint32_t g = 0; g < scan->groups; g += count) {
        count = scan->groups - g < COLLECT_GROUPS ? scan->groups - g : COLLECT_GROUPS;
        sum_codes(scan->codes + (uint64_t)g * scan->blocks * 16, count, scan->tables, scan->blocks,
                  scan->least, sums, masks);
        for (uint32_t i = 0; i < count; i++) {
            end = collect_group(sums + i * TD__GROUP, masks[i] & scan->live[g + i],
                                scan->first_key - (uint64_t)(g + i) * TD__GROUP, end);
        }
    }
    return (uint64_t)(end - keys);
}
