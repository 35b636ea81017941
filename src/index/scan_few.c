/* scan_few.c -- items of an exact search that are so few that each is scored by itself.
 *
 * Serves: stage 7. In: positions, ascending. Out: each query's best so far.
 * A score is one chain of sums, which takes its time; a kernel has eight chains under way at once. So
 * positions wait until there are many of them, and their rows come from memory meanwhile. */
#include "index/scan.h"

#include "base/poison.h"

/* The scores of some queries, no more than make a tile, and masks of those above the thresholds. */
static void score(td__scanner *scanner, const td__scan *scan, td__gathered from, uint64_t query,
                  uint32_t queries, const float *thresholds)
{
    uint32_t heads = scan->heads, dim = scan->index->dim, count = scanner->few_count;
    for (uint32_t v = 0; v < queries * heads; v++) {
        float *scores = scanner->scores + (size_t)v * TD__PANEL;
        scan->kernels->quant->score_rows(scan->queries + (query * heads + v) * dim, from.rows, dim,
                                         from.which, scores);
        for (uint32_t j = count; j < TD__PANEL; j++) scores[j] = 0.0f; /* whole panels are compared */
    }
    if (heads > 1) td__best_of_heads(scanner->scores, queries, heads);
    scan->kernels->above(scanner->scores, queries, thresholds, scanner->masks);
}

static void offer(td__scanner *scanner, const td__scan *scan, uint64_t query, uint32_t q, td__topk *top)
{
    const float *scores = scanner->scores + (size_t)q * TD__PANEL;
    uint64_t mask = scanner->masks[q] & ((UINT64_C(1) << scanner->few_count) - 1);
    for (; mask != 0; mask &= mask - 1) {
        uint32_t j = (uint32_t)__builtin_ctzll(mask), position = scanner->few[j];
        if (td__scan_excludes(scan, query, position)) continue;
        td__topk_push(top, td__key_make(scores[j], position));
    }
}

void td__few_score(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count)
{
    uint32_t tile = td__tile_queries(scan->heads);
    if (scanner->few_count == 0) return;
    td__gathered from = td__gather(scan->index, (td__rows_by_number){scanner->few, scanner->few_count},
                                   scanner->packed);
    for (uint32_t i = 0; i < count; i += tile) {
        uint32_t queries = count - i < tile ? count - i : tile;
        score(scanner, scan, from, first + i, queries, scanner->thresholds + i);
        for (uint32_t q = 0; q < queries; q++) {
            td__topk *top = &scanner->top[i + q];
            offer(scanner, scan, first + i + q, q, top);
            scanner->thresholds[i + q] = top->threshold;
        }
    }
    scanner->few_count = 0;
}

void td__few_add(td__scanner *scanner, const td__scan *scan, uint64_t first, uint32_t count,
                 uint64_t panel, uint64_t open)
{
    for (; open != 0; open &= open - 1) {
        uint64_t position = panel * TD__PANEL + (uint32_t)__builtin_ctzll(open);
        if (scanner->few_count == TD__PANEL) td__few_score(scanner, scan, first, count);
        scanner->few[scanner->few_count++] = (uint32_t)position;
        td__fetch_row(scan->index, position);
    }
}
