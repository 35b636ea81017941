/* context.c -- the life of a context.
 *
 * Serves: every stage. In: what the caller wishes. Out: allocator, threads and kernels to work with.
 * It lives here because the kernel layer is the lowest that knows all three. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/kernel.h"
#include "kernel/softmax_bf16.h"

#include "base/poison.h"

static uint32_t processors_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

static uint32_t threads_wanted(const td_context_options *options)
{
    uint32_t threads = options->threads == 0 ? processors_allowed() : options->threads;
    return threads > TD__THREADS_MAX && options->threads == 0 ? TD__THREADS_MAX : threads;
}

td_status td_context_create(td_context **out, const td_context_options *options, td_error *err)
{
    static const td_context_options defaults = {0};
    td_status status = TD_OK;
    td_context *context = NULL;
    if (options == NULL) options = &defaults;
    td_context start = {.allocator = options->allocator};
    if (start.allocator.resize == NULL) start.allocator = td__allocator_default();
    uint32_t threads = threads_wanted(options);
    TD_FAIL_IF(threads > TD__THREADS_MAX, err, ERR_LIMIT, "%u threads; at most %d are allowed", threads,
               TD__THREADS_MAX);
    TD_TRY(td__kernels_select(&start.kernels, options->kernel, err));
    TD_TRY(td__alloc_zero(&context, &start, 1, sizeof *context, err));
    *context = start;
    TD_TRY(td__pool_create(&context->pool, context, threads, err));
    *out = context;
    return TD_OK;
done:
    td_context_free(context);
    *out = NULL;
    return status;
}

void td_context_free(td_context *context)
{
    if (context == NULL) return;
    td_context last = *context; /* the block that holds the context is freed through it */
    td__pool_free(last.pool, context);
    td__free(&last, context);
}

uint32_t td_context_threads(const td_context *context)
{
    return td__pool_threads(context->pool);
}

const char *td_context_kernel(const td_context *context)
{
    return context->kernels->name;
}

bool td_context_bfloat16(const td_context *context)
{
    return context->kernels->bf16->native;
}
