/* memory.h -- memory through the context's allocator, and size arithmetic that cannot wrap.
 *
 * Serves: every stage. Blocks are aligned to TD__ALIGNMENT and remember their size. */
#ifndef TD_BASE_MEMORY_H
#define TD_BASE_MEMORY_H

#include "base/context.h"
#include "base/limits.h"
#include "base/status.h"

/* The allocator used when the caller gives none: aligned blocks of the C library, in huge pages from
 * 4 MiB on where the system has them (a first touch of 4 KiB pages costs up to 14 us each). */
td_allocator td__allocator_default(void);

/* count * size bytes into *out, not initialised / zeroed. count or size 0 gives NULL and TD_OK.
 * MEMORY says how much was asked for; LIMIT if the product overflows. */
TD_MUST_CHECK td_status td__alloc(void *out, td_context *context, uint64_t count, size_t size,
                                  td_error *err);
TD_MUST_CHECK td_status td__alloc_zero(void *out, td_context *context, uint64_t count, size_t size,
                                       td_error *err);

/* Make *block (a pointer from td__alloc, or NULL) at least count * size bytes, contents kept;
 * grows by at least half, so repeated growth is linear. */
TD_MUST_CHECK td_status td__grow(void *block, td_context *context, uint64_t count, size_t size,
                                 td_error *err);

/* Free what td__alloc or td__grow made; NULL is fine. */
void td__free(td_context *context, void *block);

/* A copy of `bytes` bytes of text with a NUL behind. */
TD_MUST_CHECK td_status td__copy_text(char **out, td_context *context, const char *text,
                                      size_t bytes, td_error *err);

/* "12 GB", "1.5 GB", "61 MB": a number of bytes for people. Returns `text`. */
enum { TD__AMOUNT_MAX = 32 };
const char *td__amount(char text[TD__AMOUNT_MAX], uint64_t bytes);

/* *out = a * b or a + b; false if it does not fit. */
static inline bool td__mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool td__add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

#endif
