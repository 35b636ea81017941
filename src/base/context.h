/* context.h -- what every object borrows: allocator, threads, kernels.
 *
 * Serves: every stage. Made in kernel/context.c, the lowest layer that knows all three. */
#ifndef TD_BASE_CONTEXT_H
#define TD_BASE_CONTEXT_H

#include "tandem/tandem.h"

struct td__pool;
struct td__kernels;

struct td_context {
    td_allocator allocator;
    struct td__pool *pool;             /* owned */
    const struct td__kernels *kernels; /* static; see kernel/kernel.h */
};

#endif
