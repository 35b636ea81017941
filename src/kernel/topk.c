/* topk.c -- the k best of a stream of scored positions.
 *
 * Serves: stages 6 and 7. In: keys in any order. Out: the k largest, sorted.
 *
 * Both selecting and sorting halve the range of values, not the number of elements: the pivot is
 * the middle between the smallest and the largest key. So no order of the input is a bad one (at
 * most 64 halvings), and nothing is random. */
#include "kernel/topk.h"

#include <assert.h>

#include "base/poison.h"

enum { INSERTION_MAX = 16 };

void td__topk_init(td__topk *top, uint64_t *keys, uint64_t capacity, uint64_t k)
{
    *top = (td__topk){.keys = keys, .capacity = capacity, .k = k, .threshold = NAN};
    if (k == 0) {
        top->floor = UINT64_MAX;
        top->threshold = INFINITY;
    }
}

/* Move keys above `pivot` to the front, without branches; returns how many. */
static uint64_t partition(uint64_t *keys, uint64_t count, uint64_t pivot)
{
    uint64_t front = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = keys[i];
        keys[i] = keys[front];
        keys[front] = key;
        front += key > pivot;
    }
    return front;
}

typedef struct range {
    uint64_t low, high;
} range;

static range find_range(const uint64_t *keys, uint64_t count)
{
    range found = {.low = UINT64_MAX, .high = 0};
    for (uint64_t i = 0; i < count; i++) {
        found.low = keys[i] < found.low ? keys[i] : found.low;
        found.high = keys[i] > found.high ? keys[i] : found.high;
    }
    return found;
}

static uint64_t middle_of(range r)
{
    return r.low + (r.high - r.low) / 2;
}

/* Bring the largest keys to the front: at least k of them, at most `limit`. Returns how many; all
 * others are <= *floor, and none of these is.
 * Invariant: keys before `first` < k are in, those from `end` >= k on are out, those between lie in
 * `open`. It ends because `open` halves and all keys differ. */
static uint64_t select_largest(uint64_t *keys, uint64_t count, uint64_t k, uint64_t limit,
                               uint64_t *floor)
{
    uint64_t first = 0, end = count;
    range open = find_range(keys, count);
    *floor = open.low - 1;
    while (end > limit) {
        uint64_t pivot = middle_of(open);
        uint64_t middle = first + partition(keys + first, end - first, pivot);
        if (middle >= k) {
            end = middle;
            open.low = pivot + 1;
            *floor = pivot;
        } else {
            first = middle;
            open.high = pivot;
        }
    }
    return end;
}

/* An exact cut would take more passes than it saves: a quarter of the spare room may stay taken. */
void td__topk_shrink(td__topk *top)
{
    uint64_t limit = top->k + (top->capacity - top->k) / 4;
    if (top->count <= limit || top->k == 0) return;
    top->count = select_largest(top->keys, top->count, top->k, limit, &top->floor);
    top->threshold = td__key_score(top->floor);
}

void td__topk_cut(td__topk *top)
{
    if (top->count <= top->k) return;
    top->count = select_largest(top->keys, top->count, top->k, top->k, &top->floor);
    top->threshold = td__key_score(top->floor);
}

static void sort_few(uint64_t *keys, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        uint64_t key = keys[i], j = i;
        for (; j > 0 && keys[j - 1] < key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* Descending. The recursion is at most 64 deep, because each step halves the range of values. */
static void sort_keys(uint64_t *keys, uint64_t count)
{
    while (count > INSERTION_MAX) {
        uint64_t front = partition(keys, count, middle_of(find_range(keys, count)));
        sort_keys(keys, front);
        keys += front;
        count -= front;
    }
    sort_few(keys, count);
}

uint64_t td__topk_finish(td__topk *top, td_hit *hits)
{
    if (top->count > top->k + top->k / 8) td__topk_cut(top); /* a few too many are sorted sooner */
    sort_keys(top->keys, top->count);
    if (top->count > top->k) top->count = top->k;
    for (uint64_t i = 0; i < top->count; i++) {
        assert(i == 0 || top->keys[i] < top->keys[i - 1]);
        hits[i].position = td__key_position(top->keys[i]);
        hits[i].score = td__key_score(top->keys[i]);
    }
    return top->count;
}
