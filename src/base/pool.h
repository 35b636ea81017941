/* pool.h -- a fixed set of threads with one operation: run blocks 0 .. count - 1.
 *
 * Serves: every stage that works in parallel.
 *
 * The rules that give the same bits for any number of threads:
 *   1. Work is cut into blocks whose borders do not depend on the number of threads.
 *   2. A block writes only what belongs to it, or a partial result of its own.
 *   3. Partial results are added in the order of the blocks, by one thread. */
#ifndef TD_BASE_POOL_H
#define TD_BASE_POOL_H

#include "base/context.h"
#include "base/status.h"

typedef struct td__pool td__pool;

/* `threads` counts the caller: 1 makes no thread at all. */
TD_MUST_CHECK td_status td__pool_create(td__pool **out, td_context *context, uint32_t threads,
                                        td_error *err);
void td__pool_free(td__pool *pool, td_context *context);
uint32_t td__pool_threads(const td__pool *pool);

/* Work on one block. `worker` is below td__pool_threads and belongs to one running thread at a time:
 * an index into per-thread scratch. */
typedef void td__block_fn(void *state, uint64_t block, uint32_t worker);

/* Run fn for blocks 0 .. count - 1 in no given order; returns when all are done. If the pool is at
 * work for another caller (or this is called from within a block), the caller runs all blocks alone,
 * as worker 0. So per-worker scratch must belong to the call, not to the pool. */
void td__parallel_for(td_context *context, uint64_t count, td__block_fn *fn, void *state);

/* Blocks of `size` that cover `total`. */
static inline uint64_t td__block_count(uint64_t total, uint64_t size)
{
    return total / size + (total % size != 0);
}

#endif
