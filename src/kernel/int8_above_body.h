/* int8_above_body.h -- all rows of a call, 8, 4 or 1 at a time; included by the sets whose tiles take
 * as many.
 *
 * Serves: stages 6 and 7. The set defines tile(height, rows, row, panel, limits, masks), which is
 * inlined with each height as a constant. */

static void above(const td__int8_rows *rows, const uint8_t *panel, const int32_t *limits,
                  uint64_t *masks)
{
    uint32_t r = 0;
    for (; r + 8 <= rows->count; r += 8) tile(8, rows, r, panel, limits, masks);
    for (; r + 4 <= rows->count; r += 4) tile(4, rows, r, panel, limits, masks);
    for (; r < rows->count; r++) tile(1, rows, r, panel, limits, masks);
}
