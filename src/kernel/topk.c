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

void td__topk_init(td__topk *top, uint64_t *keys, uint64_t capacity, uint64_t k)
{
    *top = (td__topk){.keys = keys, .capacity = capacity, .k = k,
                      .kernels = &td__keys_ref, .threshold = NAN};
    if (k == 0) {
        top->floor = UINT64_MAX;
        top->threshold = INFINITY;
    }
}

static uint64_t middle_of(td__key_range r)
{
    return r.low + (r.high - r.low) / 2;
}

enum { SAMPLE = 16, MANY = 256 };

/* About the key that `wanted` of `count` keys are above, a little lower. */
static uint64_t guess_pivot(const td__topk *top, const uint64_t *keys, uint64_t count, uint64_t wanted)
{
    uint64_t sample[SAMPLE];
    for (uint64_t i = 0; i < SAMPLE; i++) sample[i] = keys[i * (count / SAMPLE)];
    top->kernels->sort_few(sample, SAMPLE);
    uint64_t above = wanted * SAMPLE / count + 1;
    return sample[above < SAMPLE ? above : SAMPLE - 1];
}

/* Bring the largest keys to the front: at least k of them, at most `limit`. Returns how many; all
 * others are <= top->floor, and none of these is.
 * Invariant: keys before `first` < k are in, those from `end` >= k on are out, those between lie in
 * `open` once that is known. Many are first cut at guesses, so long as these cut off half of them; then it
 * ends because `open` halves and all keys differ. */
static uint64_t select_largest(td__topk *top, uint64_t limit)
{
    uint64_t first = 0, end = top->count, k = top->k;
    td__key_range open = {.low = UINT64_MAX, .high = 0};
    bool guess = true;
    while (end > limit) {
        uint64_t *keys = top->keys + first, count = end - first;
        if (count <= top->kernels->few) {
            top->kernels->sort_few(keys, count);
            top->floor = top->keys[k];
            return k;
        }
        guess = guess && count >= MANY;
        if (!guess && open.low > open.high) open = top->kernels->range(keys, count);
        uint64_t pivot = guess ? guess_pivot(top, keys, count, k - first) : middle_of(open);
        uint64_t middle = first + top->kernels->part(keys, count, pivot);
        if (middle >= k) {
            end = middle;
            open.low = pivot + 1;
            top->floor = pivot;
        } else {
            first = middle;
            open.high = pivot;
        }
        if (guess) {
            open = (td__key_range){.low = UINT64_MAX, .high = 0};
            guess = end - first <= count / 2;
        }
    }
    return end;
}

/* An exact cut would take more passes than it saves: a quarter of the spare room may stay taken. */
void td__topk_shrink(td__topk *top)
{
    uint64_t limit = top->k + (top->capacity - top->k) / 4;
    if (top->count <= limit || top->k == 0) return;
    top->count = select_largest(top, limit);
    top->threshold = td__key_score(top->floor);
}

void td__topk_cut(td__topk *top)
{
    if (top->count <= top->k) return;
    top->count = select_largest(top, top->k);
    top->threshold = td__key_score(top->floor);
}

/* Descending. The recursion is at most 64 deep, because each step halves the range of values. */
static void sort_keys(const td__key_kernels *kernels, uint64_t *keys, uint64_t count)
{
    while (count > kernels->few) {
        uint64_t front = kernels->part(keys, count, middle_of(kernels->range(keys, count)));
        sort_keys(kernels, keys, front);
        keys += front;
        count -= front;
    }
    kernels->sort_few(keys, count);
}

uint64_t td__topk_finish(td__topk *top, td_hit *hits)
{
    if (top->count > top->k + top->k / 8) td__topk_cut(top); /* a few too many are sorted sooner */
    sort_keys(top->kernels, top->keys, top->count);
    if (top->count > top->k) top->count = top->k;
    for (uint64_t i = 0; i < top->count; i++) {
        assert(i == 0 || top->keys[i] < top->keys[i - 1]);
        hits[i].position = td__key_position(top->keys[i]);
        hits[i].score = td__key_score(top->keys[i]);
    }
    return top->count;
}
