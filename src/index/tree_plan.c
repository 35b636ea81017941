/* tree_plan.c -- how much of a tree a request takes, or whether to search exactly.
 *
 * Serves: stage 7. In: a request. Out: leaves and candidates. */
#include <math.h>

#include "base/pool.h"
#include "index/tree.h"

#include "base/poison.h"

enum {
    /* A tree with k beyond this share of the allowed items would look at most of them. */
    K_SHARE = 16,
    /* Without calibration, whatever the target: a share of the leaves, and candidates per result. */
    DEFAULT_LEAVES = 4,
    DEFAULT_CANDIDATES = 20,
    DEFAULT_CANDIDATES_MIN = 200
};

#define DEFAULT_RECALL 0.95f

static uint64_t count_allowed(const td__scan *scan)
{
    const uint64_t *allow = scan->search->allow;
    if (!scan->filtered || allow == NULL) return scan->items;
    return td__count_bits(allow, scan->index->count);
}

/* --- calibrated */

/* Straight lines between what was measured. Leaves, candidates and reach bend upwards with the target, so
 * a line lies above the curve: on the safe side. */
static td__calibrated between(const td__calibrated *a, const td__calibrated *b, float at)
{
    if (a->leaves <= 0.0f || b->leaves <= 0.0f) return (td__calibrated){0};
    return (td__calibrated){.leaves = a->leaves + at * (b->leaves - a->leaves),
                            .candidates = a->candidates + at * (b->candidates - a->candidates),
                            .reach = a->reach + at * (b->reach - a->reach)};
}

/* Of the rows [count] of one k; leaves 0 for a target beyond them. */
static td__calibrated at_target(const td__calibrated *rows, uint32_t count, float target)
{
    uint32_t i = 0;
    while (i < count && rows[i].target < target) i++;
    if (i == count) return (td__calibrated){0};
    if (i == 0) return rows[0];
    float at = (target - rows[i - 1].target) / (rows[i].target - rows[i - 1].target);
    return between(&rows[i - 1], &rows[i], at);
}

/* The number of rows that share rows[0].k. */
static uint32_t same_k(const td__calibrated *rows, uint32_t count)
{
    uint32_t i = 1;
    while (i < count && rows[i].k == rows[0].k) i++;
    return i;
}

static td__calibrated look_up(const td__tree *tree, float k, float target)
{
    const td__calibrated *rows = tree->calibrated;
    uint32_t left = tree->calibrated_count, some = same_k(rows, left);
    td__calibrated low = at_target(rows, some, target), high = low;
    float low_k = rows->k, high_k = low_k;
    while (high_k < k && left > some) {
        rows += some;
        left -= some;
        some = same_k(rows, left);
        low = high;
        low_k = high_k;
        high = at_target(rows, some, target);
        high_k = rows->k;
    }
    if (k >= high_k) { /* beyond the table: as many candidates a result */
        high.candidates *= k / high_k;
        return high;
    }
    return k <= low_k ? low : between(&low, &high, (k - low_k) / (high_k - low_k));
}

static bool by_target(const td__scan *scan, td__effort *effort)
{
    const td__tree *tree = scan->index->tree;
    uint64_t k = scan->search->k;
    float target = scan->search->effort.target_recall;
    if (target == 0.0f) target = DEFAULT_RECALL;
    effort->leaves = td__block_count(tree->centers.count, DEFAULT_LEAVES);
    effort->candidates = DEFAULT_CANDIDATES * k > DEFAULT_CANDIDATES_MIN ? DEFAULT_CANDIDATES * k
                                                                        : DEFAULT_CANDIDATES_MIN;
    if (tree->calibrated_count == 0) return true;
    td__calibrated found = look_up(tree, (float)k, target);
    effort->leaves = tree->centers.count;
    effort->expected = (uint64_t)ceilf(1.5f * found.leaves);
    effort->candidates = (uint64_t)ceilf(found.candidates);
    effort->reach = found.reach;
    return effort->expected > 0;
}

/* --- the way that takes less work */

double td__tree_cost(const td_index *index, double leaves, double candidates)
{
    const td__tree *tree = index->tree;
    double leaf_slots = 16.0 + (double)index->count / tree->centers.count;
    double leaf = 20.0 + leaf_slots * 0.012 * tree->codec.blocks_padded;
    return leaves * leaf + candidates * (8.0 + 0.06 * index->dim);
}

/* Nanoseconds of a search among the allowed by either way, as of td__tree_cost: that of a row by itself
 * and of a group of 64 in the bitmap; that of a query on its way through a tree, and of a slot whose code
 * is good enough to ask whether it is allowed. */
#define ROW_COST(dim) (8.0 + 0.3 * (dim))
#define WORD_COST 5.0
#define QUERY_COST 20000.0
#define ASK_COST 2.0

/* What a tree takes is a guess, what an exact search takes is known: it must be so much less. */
#define DOUBT 2.0

/* Does an exact search of the allowed items take less than the tree? Their number decides, and not that of
 * the queries of a call, which must not change what is found. Of the slots that are looked at, about twice
 * `candidates` over the share of the allowed have codes above the threshold, which rises as they come. */
static bool exact_is_less(const td_index *index, const td__effort *effort, uint64_t allowed, double share)
{
    double all = (double)index->tree->groups * TD__GROUP, leaves = (double)effort->leaves;
    if (effort->expected > 0) leaves = fmin(leaves, (double)effort->expected / sqrt(share));
    double asked = fmin(all, 2.0 * (double)effort->candidates / share);
    double tree = QUERY_COST + ASK_COST * asked
                  + td__tree_cost(index, leaves, (double)effort->candidates);
    double exact = ROW_COST(index->dim) * (double)allowed + WORD_COST * (double)td__words(index->count);
    return exact < DOUBT * tree;
}

/* --- the plan */

/* With a share `a` of the items allowed, the best of them are spread over more leaves. */
static uint64_t leaves_for_share(uint64_t leaves, uint64_t all, double share)
{
    double more = (double)leaves * sqrt(1.0 / share);
    return more < (double)all ? (uint64_t)more : all;
}

/* What the request asks for in numbers overrules the rest. */
static void obey(const td_search_effort *wish, td__effort *effort)
{
    if (wish->num_leaves_to_search > 0) {
        effort->leaves = wish->num_leaves_to_search;
        effort->reach = INFINITY;
        effort->expected = 0;
    }
    if (wish->reordering_num_neighbors > 0) effort->candidates = wish->reordering_num_neighbors;
}

bool td__tree_plan(const td__scan *scan, td__effort *effort)
{
    const td_index *index = scan->index;
    const td_search_effort *wish = &scan->search->effort;
    uint64_t all = index->tree->centers.count, k = scan->search->k, allowed = count_allowed(scan);
    bool counted = wish->num_leaves_to_search > 0 && wish->reordering_num_neighbors > 0;
    double share = (double)allowed / (double)scan->items;
    *effort = (td__effort){.reach = INFINITY};
    if (scan->search->bias != NULL || k * K_SHARE > allowed) return false;
    if (!counted && (wish->target_recall == 1.0f || !by_target(scan, effort))) return false;
    if (!counted) effort->leaves = leaves_for_share(effort->leaves, all, share);
    obey(wish, effort);
    if (effort->leaves > all) effort->leaves = all;
    if (effort->candidates < k) effort->candidates = k;
    if (effort->candidates > index->count) effort->candidates = index->count;
    if (allowed < scan->items && exact_is_less(index, effort, allowed, share)) return false;
    if (effort->reach == INFINITY || effort->expected > all) effort->expected = effort->leaves;
    return true;
}
