/* candidates.c -- the best of a stream of slots with integer scores, and a threshold that follows close
 * behind.
 *
 * Serves: stage 7, the tree. In: scores of codes. Out: the slots worth a second look. */
#include "index/candidates.h"

#include <string.h>

#include "kernel/topk.h"

#include "base/poison.h"

static void set_least(td__candidates *all)
{
    all->least = all->edge == TD__BINS - 1
                     ? TD__NO_LEAST
                     : all->top - ((int64_t)(all->edge + 1) << all->shift) + 1;
}

void td__candidates_start(td__candidates *all, uint64_t wanted, int64_t top, int64_t span)
{
    all->count = all->above = 0;
    all->wanted = wanted;
    all->top = top;
    all->shift = 0;
    while (span >> all->shift >= TD__BINS - 1) all->shift++;
    all->edge = TD__BINS - 1;
    memset(all->bins, 0, sizeof all->bins);
    set_least(all);
}

enum { BLOCK = 16 };

/* Of bins edge - BLOCK + 1 to edge. */
static uint32_t sum_bins(const uint32_t *bins, uint32_t edge)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < BLOCK; i++) sum += bins[edge - i];
    return sum;
}

/* Most bins are empty, so the edge moves in large steps as long as it can. */
static void settle(td__candidates *all)
{
    uint32_t edge = all->edge;
    uint64_t above = all->above;
    if (above - all->bins[edge] < all->wanted) return;
    for (uint32_t sum; edge >= BLOCK && above - (sum = sum_bins(all->bins, edge)) >= all->wanted;) {
        above -= sum;
        edge -= BLOCK;
    }
    while (above - all->bins[edge] >= all->wanted) above -= all->bins[edge--];
    all->edge = edge;
    all->above = above;
    int64_t before = all->least;
    set_least(all);
    if (all->least < before) all->least = before;
}

void td__candidates_add(td__candidates *all, uint64_t added)
{
    td__key_bins bins = {td__candidate_key(all->top, 0) >> 32, all->shift, TD__BINS - 1, all->bins};
    all->above += all->kernels->count(all->keys + all->count, added, &bins, all->edge);
    all->count += added;
    settle(all);
}

static void drop_lower(td__candidates *all)
{
    if (all->least == TD__NO_LEAST) return;
    uint64_t least = td__candidate_key(all->least, UINT32_MAX);
    all->count = all->kernels->part(all->keys, all->count, least - 1);
}

/* Bring the keys above the edge to the front; returns how many. */
static uint64_t part_at_edge(td__candidates *all)
{
    int64_t highest = all->top - ((int64_t)all->edge << all->shift); /* of the edge */
    return all->kernels->part(all->keys, all->count, td__candidate_key(highest, 0));
}

void td__candidates_cut(td__candidates *all)
{
    drop_lower(all);
    if (all->count <= all->wanted) return;
    uint64_t front = part_at_edge(all);
    td__topk edge;
    td__topk_init(&edge, all->keys + front, all->count - front, all->wanted - front);
    edge.kernels = all->kernels;
    edge.count = all->count - front;
    td__topk_cut(&edge);
    all->count = front + edge.count;
}

/* So many in the edge: cut it, and count anew. */
static void cut_edge(td__candidates *all)
{
    td__candidates_cut(all);
    memset(all->bins, 0, sizeof all->bins);
    int64_t lowest = INT64_MAX;
    for (uint64_t i = 0; i < all->count; i++) {
        int64_t score = td__candidate_score(all->keys[i]);
        all->bins[td__candidate_bin(all, score)]++;
        lowest = score < lowest ? score : lowest;
    }
    all->above = all->count;
    if (all->count == all->wanted) all->least = lowest;
}

void td__candidates_make_room(td__candidates *all, uint64_t more)
{
    if (all->count + more <= all->capacity) return;
    drop_lower(all);
    if (all->count + more > all->capacity - all->capacity / 4) cut_edge(all);
}
