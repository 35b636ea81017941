/* keys.h -- what is done with many keys at once: choosing the largest, sorting, making them of scores.
 *
 * Serves: stages 6 and 7. A key is a score and its position in one integer (topk.h, index/candidates.h); all
 * keys of an array differ. keys_ref.c is plain C and the specification: all sets leave the same keys in the
 * same parts of an array, though not in the same order within a part. */
#ifndef TD_KERNEL_KEYS_H
#define TD_KERNEL_KEYS_H

#include <stdint.h>

enum { TD__KEYS_FEW = 32 };

typedef struct td__key_range {
    uint64_t low, high; /* smallest and largest; UINT64_MAX and 0 of none */
} td__key_range;

/* Bins of the upper halves of keys, from `top` down, each 1 << shift wide; the last one has no end. */
typedef struct td__key_bins {
    uint64_t top; /* no upper half is larger */
    uint32_t shift, last;
    uint32_t *counts; /* [last + 1] */
} td__key_bins;

typedef struct td__key_kernels {
    /* So few are sorted rather than parted; at most TD__KEYS_FEW. */
    uint32_t few;

    /* Move keys above `pivot` to the front of keys [count]; returns how many. */
    uint64_t (*part)(uint64_t *keys, uint64_t count, uint64_t pivot);

    td__key_range (*range)(const uint64_t *keys, uint64_t count);

    /* Sort keys [count], count <= few, the largest first. */
    void (*sort_few)(uint64_t *keys, uint64_t count);

    /* keys[i] = td__key_make(scores[i], i) for i < count. */
    void (*make)(const float *scores, uint32_t count, uint64_t *keys);

    /* Count keys [count] in their bins; returns how many are in bin `edge` or above. */
    uint64_t (*count)(const uint64_t *keys, uint64_t count, const td__key_bins *bins, uint32_t edge);
} td__key_kernels;

extern const td__key_kernels td__keys_ref;
#if defined(__x86_64__)
extern const td__key_kernels td__keys_avx512;
#endif

#endif
