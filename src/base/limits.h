/* limits.h -- every maximum of the library, with the reason for its value.
 *
 * Serves: every stage. */
#ifndef TD_BASE_LIMITS_H
#define TD_BASE_LIMITS_H

enum {
    /* A cache line, and one AVX-512 register: every block of memory starts on such a boundary. */
    TD__ALIGNMENT = 64,

    /* More threads than this have never been tried; a larger number is most likely a mistake. */
    TD__THREADS_MAX = 256,

    /* Vectors wider than this are not embeddings; keeps rows * dim far from overflow. */
    TD__DIM_MAX = 65536,

    /* Vectors per query. The best-of-heads score is linear in it; TFRS users use 2 to 8. */
    TD__HEADS_MAX = 64,

    /* Names of tensors in files. */
    TD__NAME_MAX = 96,

    /* Header of a container file. safetensors readers refuse more than 100 MB. */
    TD__CONTAINER_HEADER_MAX = 100000000,

    /* Partial sums of a parallel reduction: work is cut into this many groups whatever the number of
     * threads, so the bits do not depend on it. Eight keeps eight cores busy at the cost of eight
     * copies of the smaller operand's gradient. */
    TD__REDUCTION_GROUPS = 8
};

#endif
