/* vocab.c -- an ordered set of id strings.
 *
 * Serves: stages 1 to 7. In: ids. Out: their positions, and back.
 *
 * Open addressing with linear probing over a power-of-two table that is at most half full. A slot
 * holds a key and the length of the id. The key of an id of up to eight bytes, as most are, is the id
 * itself, so a look-up touches nothing but the slot; that of a longer one is its hash, so a look-up
 * touches the bytes of an id only when it is almost surely the one. The bytes lie in one growing
 * block, each id with a NUL behind.
 * Invariant: slots hold each position below `count` exactly once. */
#include "base/vocab.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/poison.h"

enum { FIRST_SLOTS = 64, SHORT_BYTES = 8 };

typedef struct vocab_slot {
    uint64_t key;
    uint32_t bytes;
    uint32_t position; /* TD_NONE: empty */
} vocab_slot;

struct td_vocab {
    td_context *context;
    atomic_uint_fast32_t owners;
    uint32_t count;
    char *bytes;
    uint64_t *offsets; /* [count + 1] */
    vocab_slot *slots; /* [slot_count] */
    uint64_t slot_count;
};

uint64_t td__vocab_hash(const char *id, size_t bytes)
{
    return XXH64(id, bytes, 0);
}

/* Up to eight bytes with zeros behind: different for different ids of one length. */
static uint64_t short_key(const char *id, size_t bytes)
{
    uint32_t low = 0, high = 0;
    if (bytes >= 4) {
        memcpy(&low, id, 4);
        memcpy(&high, id + bytes - 4, 4); /* overlaps the first four */
        return (uint64_t)high << 32 | low;
    }
    for (size_t i = 0; i < bytes; i++) low = low << 8 | (unsigned char)id[i];
    return low;
}

static uint64_t key_of(const char *id, size_t bytes)
{
    return bytes <= SHORT_BYTES ? short_key(id, bytes) : XXH3_64bits(id, bytes);
}

static td_status resize_slots(td_vocab *vocab, uint64_t slot_count, td_error *err)
{
    vocab_slot *slots;
    td_status status = td__alloc(&slots, vocab->context, slot_count, sizeof *slots, err);
    if (status != TD_OK) return status;
    memset(slots, 0xFF, slot_count * sizeof *slots);
    for (uint64_t i = 0; i < vocab->slot_count; i++) {
        if (vocab->slots[i].position == TD_NONE) continue;
        uint64_t at = td__mix64(vocab->slots[i].key) & (slot_count - 1);
        while (slots[at].position != TD_NONE) at = (at + 1) & (slot_count - 1);
        slots[at] = vocab->slots[i];
    }
    td__free(vocab->context, vocab->slots);
    vocab->slots = slots;
    vocab->slot_count = slot_count;
    return TD_OK;
}

/* Of the ids with this key and length, all there are if it is short. */
static bool same_id(const td_vocab *vocab, const vocab_slot *slot, const char *id)
{
    return slot->bytes <= SHORT_BYTES
           || memcmp(vocab->bytes + vocab->offsets[slot->position], id, slot->bytes) == 0;
}

/* The slot that holds the id, or the empty one where it belongs. */
static vocab_slot *find_slot(const td_vocab *vocab, uint64_t key, const char *id, size_t bytes)
{
    uint64_t mask = vocab->slot_count - 1;
    for (uint64_t at = td__mix64(key) & mask;; at = (at + 1) & mask) {
        vocab_slot *slot = &vocab->slots[at];
        if (slot->position == TD_NONE) return slot;
        if (slot->key == key && slot->bytes == bytes && same_id(vocab, slot, id)) return slot;
    }
}

td_status td_vocab_create(td_vocab **out, td_context *context, td_error *err)
{
    td_status status = TD_OK;
    td_vocab *vocab = NULL;
    TD_TRY(td__alloc_zero(&vocab, context, 1, sizeof *vocab, err));
    vocab->context = context;
    atomic_init(&vocab->owners, 1);
    TD_TRY(td__alloc_zero(&vocab->offsets, context, 1, sizeof *vocab->offsets, err));
    TD_TRY(resize_slots(vocab, FIRST_SLOTS, err));
    *out = vocab;
    return TD_OK;
done:
    td_vocab_free(vocab);
    *out = NULL;
    return status;
}

td_vocab *td__vocab_retain(td_vocab *vocab)
{
    atomic_fetch_add_explicit(&vocab->owners, 1, memory_order_relaxed);
    return vocab;
}

void td_vocab_free(td_vocab *vocab)
{
    if (vocab == NULL) return;
    if (atomic_fetch_sub_explicit(&vocab->owners, 1, memory_order_acq_rel) != 1) return;
    td__free(vocab->context, vocab->bytes);
    td__free(vocab->context, vocab->offsets);
    td__free(vocab->context, vocab->slots);
    td__free(vocab->context, vocab);
}

static td_status append(td_vocab *vocab, const char *id, size_t bytes, td_error *err)
{
    uint64_t start = vocab->offsets[vocab->count];
    td_status status = td__grow(&vocab->bytes, vocab->context, start + bytes + 1, 1, err);
    if (status != TD_OK) return status;
    status = td__grow(&vocab->offsets, vocab->context, (uint64_t)vocab->count + 2,
                      sizeof *vocab->offsets, err);
    if (status != TD_OK) return status;
    memcpy(vocab->bytes + start, id, bytes);
    vocab->bytes[start + bytes] = '\0';
    vocab->offsets[++vocab->count] = start + bytes + 1;
    return TD_OK;
}

td_status td_vocab_add(td_vocab *vocab, const char *id, size_t bytes, uint32_t *position,
                       td_error *err)
{
    td_status status = TD_OK;
    *position = TD_NONE;
    uint64_t key = key_of(id, bytes);
    vocab_slot *slot = find_slot(vocab, key, id, bytes);
    if (slot->position != TD_NONE) {
        *position = slot->position;
        return TD_OK;
    }
    TD_FAIL_IF(bytes == 0, err, ERR_ARGUMENT, "an id is empty; ids have at least one byte");
    TD_FAIL_IF(bytes > TD_ID_BYTES_MAX, err, ERR_LIMIT, "an id has %zu bytes; at most %d are allowed",
               bytes, TD_ID_BYTES_MAX);
    TD_FAIL_IF(memchr(id, '\0', bytes) != NULL, err, ERR_ARGUMENT, "an id holds a NUL byte");
    TD_FAIL_IF(vocab->count >= TD_NONE - 1, err, ERR_LIMIT, "more than %u different ids", TD_NONE - 1);
    if (((uint64_t)vocab->count + 1) * 2 > vocab->slot_count) {
        TD_TRY(resize_slots(vocab, vocab->slot_count * 2, err));
        slot = find_slot(vocab, key, id, bytes);
    }
    TD_TRY(append(vocab, id, bytes, err));
    *slot = (vocab_slot){.key = key, .bytes = (uint32_t)bytes, .position = vocab->count - 1};
    *position = slot->position;
done:
    return status;
}

uint32_t td_vocab_count(const td_vocab *vocab)
{
    return vocab->count;
}

uint32_t td_vocab_find(const td_vocab *vocab, const char *id, size_t bytes)
{
    return find_slot(vocab, key_of(id, bytes), id, bytes)->position;
}

const char *td_vocab_id(const td_vocab *vocab, uint32_t position)
{
    assert(position < vocab->count);
    return vocab->bytes + vocab->offsets[position];
}

const char *td__vocab_bytes(const td_vocab *vocab, const uint64_t **offsets)
{
    *offsets = vocab->offsets;
    return vocab->bytes;
}

static td_status check_saved(const char *bytes, uint64_t byte_count, const uint64_t *offsets,
                             uint64_t offset_count, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(offset_count == 0 || offsets[0] != 0 || offsets[offset_count - 1] != byte_count, err,
               ERR_CORRUPT, "the table of ids does not fit its %llu bytes",
               (unsigned long long)byte_count);
    for (uint64_t i = 0; i + 1 < offset_count; i++) {
        TD_FAIL_IF(offsets[i + 1] <= offsets[i] || offsets[i + 1] > byte_count
                       || bytes[offsets[i + 1] - 1] != '\0',
                   err, ERR_CORRUPT, "id %llu of the table has no proper end", (unsigned long long)i);
    }
done:
    return status;
}

td_status td__vocab_from_bytes(td_vocab **out, td_context *context, const char *bytes,
                               uint64_t byte_count, const uint64_t *offsets, uint64_t offset_count,
                               td_error *err)
{
    td_status status = TD_OK;
    td_vocab *vocab = NULL;
    TD_TRY(check_saved(bytes, byte_count, offsets, offset_count, err));
    TD_TRY(td_vocab_create(&vocab, context, err));
    for (uint64_t i = 0; i + 1 < offset_count; i++) {
        uint32_t position;
        status = td_vocab_add(vocab, bytes + offsets[i], (size_t)(offsets[i + 1] - offsets[i] - 1),
                              &position, err);
        if (status == TD_ERR_MEMORY) goto done;
        TD_FAIL_IF(status != TD_OK || position != i, err, ERR_CORRUPT,
                   "id %llu of the table is empty, too long or there twice", (unsigned long long)i);
    }
    *out = vocab;
    return TD_OK;
done:
    td_vocab_free(vocab);
    *out = NULL;
    return status;
}
