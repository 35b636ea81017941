/* topk.c -- the k best of a stream of scored positions.
 *
 * Serves: stages 6 and 7. In: keys in any order. Out: the k largest, sorted.
 *
 * Both selecting and sorting halve the range of values, not the number of elements: the pivot is the
 * middle between the smallest and the largest key. So no order of the input is a bad one (at most 64
 * halvings), and nothing is random. */
#include "kernel/topk.h"

#include <assert.h>

#include "base/poison.h"

enum { INSERTION_MAX = 16 };

void td__topk_init(td__topk *top, uint64_t *keys, uint64_t capacity, uint64_t k)
{
    *top = (td__topk){.keys = keys, .capacity = capacity, .k = k, .threshold = NAN};
    if (k == 0) *top = (td__topk){.keys = keys, .floor = UINT64_MAX, .threshold = INFINITY};
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

static void find_range(const uint64_t *keys, uint64_t count, uint64_t *low, uint64_t *high)
{
    *low = UINT64_MAX;
    *high = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (keys[i] < *low) *low = keys[i];
        if (keys[i] > *high) *high = keys[i];
    }
}

/* The k largest to the front. Invariant: keys before `first` are in, those from `end` on are out, and
 * those between lie in [low, high]. */
static void select_largest(uint64_t *keys, uint64_t count, uint64_t k)
{
    uint64_t first = 0, end = count, low, high;
    find_range(keys, count, &low, &high);
    while (first < k && k < end) {
        uint64_t pivot = low + (high - low) / 2;
        uint64_t middle = first + partition(keys + first, end - first, pivot);
        if (middle > k) {
            end = middle;
            low = pivot + 1;
        } else {
            first = middle;
            high = pivot;
        }
    }
}

void td__topk_shrink(td__topk *top)
{
    uint64_t low, high;
    if (top->count < top->k || top->k == 0) return;
    select_largest(top->keys, top->count, top->k);
    top->count = top->k;
    find_range(top->keys, top->count, &low, &high);
    top->floor = low;
    top->threshold = td__key_score(low);
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
        uint64_t low, high;
        find_range(keys, count, &low, &high);
        uint64_t front = partition(keys, count, low + (high - low) / 2);
        sort_keys(keys, front);
        keys += front;
        count -= front;
    }
    sort_few(keys, count);
}

uint64_t td__topk_finish(td__topk *top, td_hit *hits)
{
    if (top->count > top->k) td__topk_shrink(top);
    sort_keys(top->keys, top->count);
    for (uint64_t i = 0; i < top->count; i++) {
        assert(i == 0 || top->keys[i] < top->keys[i - 1]);
        hits[i].position = td__key_position(top->keys[i]);
        hits[i].score = td__key_score(top->keys[i]);
    }
    return top->count;
}
