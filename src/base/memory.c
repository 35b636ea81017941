/* memory.c -- blocks that know their size, on top of a one-function allocator.
 *
 * Serves: every stage. In: a count and a size. Out: an aligned block.
 * Layout: TD__ALIGNMENT bytes of header, the first eight of which hold the size asked of the
 * allocator; then the caller's bytes. Invariant: a pointer handed out is never the block's start. */
#define TD_NO_POISON
#include "base/memory.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_FROM = 4 << 20, HUGE_PAGE = 2 << 20 };

static void *default_new(size_t size)
{
    void *block = NULL;
    size_t alignment = size >= HUGE_FROM ? HUGE_PAGE : TD__ALIGNMENT;
    if (posix_memalign(&block, alignment, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    /* Advice only: on a system without huge pages the block is as good, only slower to touch. */
    if (size >= HUGE_FROM) (void)madvise(block, size, MADV_HUGEPAGE);
#endif
    return block;
}

static void *default_resize(void *user, void *block, size_t old_size, size_t new_size)
{
    (void)user;
    if (new_size == 0) {
        free(block);
        return NULL;
    }
    void *moved = default_new(new_size);
    if (moved == NULL || block == NULL) return moved;
    memcpy(moved, block, old_size < new_size ? old_size : new_size);
    free(block);
    return moved;
}

td_allocator td__allocator_default(void)
{
    return (td_allocator){.resize = default_resize, .user = NULL};
}

static unsigned char *block_of(void *pointer)
{
    return (unsigned char *)pointer - TD__ALIGNMENT;
}

static size_t block_size(void *pointer)
{
    size_t size;
    memcpy(&size, block_of(pointer), sizeof size);
    return size;
}

/* Bytes to ask for: header, payload, and the payload rounded up so that vector loads of the last
 * elements stay inside the block. */
static bool total_size(uint64_t count, size_t size, size_t *total)
{
    size_t payload;
    if (count > SIZE_MAX) return false;
    if (!td__mul_size((size_t)count, size, &payload)) return false;
    return td__add_size(payload, (size_t)(2 * TD__ALIGNMENT - 1), total)
           && (*total &= ~(size_t)(TD__ALIGNMENT - 1), true);
}

static td_status resize(void *out, td_context *context, void *old, size_t total, td_error *err)
{
    td_allocator *allocator = &context->allocator;
    void *block = allocator->resize(allocator->user, old == NULL ? NULL : block_of(old),
                                    old == NULL ? 0 : block_size(old), total);
    if (block == NULL) {
        return td__fail(err, TD_ERR_MEMORY, "out of memory: %zu bytes could not be had", total);
    }
    memcpy(block, &total, sizeof total);
    void *pointer = (unsigned char *)block + TD__ALIGNMENT;
    memcpy(out, &pointer, sizeof pointer);
    return TD_OK;
}

td_status td__alloc(void *out, td_context *context, uint64_t count, size_t size, td_error *err)
{
    void *none = NULL;
    memcpy(out, &none, sizeof none);
    if (count == 0 || size == 0) return TD_OK;
    size_t total;
    if (!total_size(count, size, &total)) {
        return td__fail(err, TD_ERR_LIMIT, "%llu elements of %zu bytes are more than memory can hold",
                        (unsigned long long)count, size);
    }
    return resize(out, context, NULL, total, err);
}

td_status td__alloc_zero(void *out, td_context *context, uint64_t count, size_t size, td_error *err)
{
    td_status status = td__alloc(out, context, count, size, err);
    void *pointer;
    memcpy(&pointer, out, sizeof pointer);
    if (status == TD_OK && pointer != NULL) memset(pointer, 0, (size_t)count * size);
    return status;
}

td_status td__grow(void *block, td_context *context, uint64_t count, size_t size, td_error *err)
{
    void *old;
    memcpy(&old, block, sizeof old);
    size_t total, have = old == NULL ? 0 : block_size(old);
    if (!total_size(count, size, &total)) {
        return td__fail(err, TD_ERR_LIMIT, "%llu elements of %zu bytes are more than memory can hold",
                        (unsigned long long)count, size);
    }
    if (total <= have || count == 0) return TD_OK;
    size_t roomy = (have + have / 2) & ~(size_t)(TD__ALIGNMENT - 1);
    return resize(block, context, old, total > roomy ? total : roomy, err);
}

void td__free(td_context *context, void *block)
{
    if (block == NULL) return;
    td_allocator *allocator = &context->allocator;
    (void)allocator->resize(allocator->user, block_of(block), block_size(block), 0);
}

td_status td__copy_text(char **out, td_context *context, const char *text, size_t bytes,
                        td_error *err)
{
    td_status status = td__alloc(out, context, (uint64_t)bytes + 1, 1, err);
    if (status != TD_OK) return status;
    if (bytes > 0) memcpy(*out, text, bytes);
    (*out)[bytes] = '\0';
    return TD_OK;
}

const char *td__amount(char text[TD__AMOUNT_MAX], uint64_t bytes)
{
    const double size = (double)bytes;
    if (bytes == UINT64_MAX) snprintf(text, TD__AMOUNT_MAX, "more than 16 EB");
    else if (size >= 1e10) snprintf(text, TD__AMOUNT_MAX, "%.0f GB", size / 1e9);
    else if (size >= 1e9) snprintf(text, TD__AMOUNT_MAX, "%.1f GB", size / 1e9);
    else if (size >= 1e7) snprintf(text, TD__AMOUNT_MAX, "%.0f MB", size / 1e6);
    else snprintf(text, TD__AMOUNT_MAX, "%.1f MB", size / 1e6);
    return text;
}
