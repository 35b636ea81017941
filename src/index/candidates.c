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

void td__candidates_settle(td__candidates *all)
{
    if (all->above - all->bins[all->edge] < all->wanted) return;
    while (all->above - all->bins[all->edge] >= all->wanted) all->above -= all->bins[all->edge--];
    int64_t before = all->least;
    set_least(all);
    if (all->least < before) all->least = before;
}

/* Drop keys below `least`, without branches. */
static void drop_lower(td__candidates *all)
{
    uint64_t kept = 0, least = 0;
    if (all->least != TD__NO_LEAST) least = td__candidate_key(all->least, UINT32_MAX);
    for (uint64_t i = 0; i < all->count; i++) {
        all->keys[kept] = all->keys[i];
        kept += all->keys[i] >= least;
    }
    all->count = kept;
}

/* Bring the keys above the edge to the front; returns how many. */
static uint64_t part_at_edge(td__candidates *all)
{
    uint64_t front = 0;
    for (uint64_t i = 0; i < all->count; i++) {
        uint64_t key = all->keys[i];
        all->keys[i] = all->keys[front];
        all->keys[front] = key;
        front += td__candidate_bin(all, td__candidate_score(key)) < all->edge;
    }
    return front;
}

void td__candidates_cut(td__candidates *all)
{
    td__candidates_settle(all);
    drop_lower(all);
    if (all->count <= all->wanted) return;
    uint64_t front = part_at_edge(all);
    td__topk edge;
    td__topk_init(&edge, all->keys + front, all->count - front, all->wanted - front);
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

void td__candidates_make_room(td__candidates *all)
{
    td__candidates_settle(all);
    drop_lower(all);
    if (all->count > all->capacity - all->capacity / 4) cut_edge(all);
}
