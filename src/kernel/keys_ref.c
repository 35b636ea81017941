/* keys_ref.c -- choosing and sorting keys in plain C: the specification.
 *
 * Serves: stages 6 and 7. */
#include "kernel/keys.h"

#include "kernel/topk.h"

#include "base/poison.h"

/* Without branches: which key is above cannot be foreseen. */
static uint64_t part(uint64_t *keys, uint64_t count, uint64_t pivot)
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

static td__key_range range(const uint64_t *keys, uint64_t count)
{
    td__key_range found = {.low = UINT64_MAX, .high = 0};
    for (uint64_t i = 0; i < count; i++) {
        found.low = keys[i] < found.low ? keys[i] : found.low;
        found.high = keys[i] > found.high ? keys[i] : found.high;
    }
    return found;
}

static void sort_few(uint64_t *keys, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        uint64_t key = keys[i], j = i;
        for (; j > 0 && keys[j - 1] < key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

static void make(const float *scores, uint32_t count, uint64_t *keys)
{
    for (uint32_t i = 0; i < count; i++) keys[i] = td__key_make(scores[i], i);
}

static uint64_t count_bins(const uint64_t *keys, uint64_t count, const td__key_bins *bins, uint32_t edge)
{
    uint64_t above = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bin = (bins->top - (keys[i] >> 32)) >> bins->shift;
        bin = bin < bins->last ? bin : bins->last;
        bins->counts[bin]++;
        above += bin <= edge;
    }
    return above;
}

const td__key_kernels td__keys_ref = {
    .few = 16,
    .part = part,
    .range = range,
    .sort_few = sort_few,
    .make = make,
    .count = count_bins,
};
