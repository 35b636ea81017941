/* vocab.c -- an ordered set of id strings.
 *
 * Serves: stages 1 to 7. In: ids. Out: their positions, and back.
 *
 * Open addressing with linear probing over a power-of-two table that is at most half full. A slot
 * holds a key and the length of the id. The key of an id of up to eight bytes, as most are, is the id
 * itself, so a look-up touches nothing but the slot; that of a longer one is its hash, so a look-up
 * touches the bytes of an id only when it is almost surely the one. The bytes lie in one growing
 * block, each id with a NUL behind.
 * Invariant: slots hold each position below `count` exactly once.
 *
 * A growing copy may be read while one thread adds to it. Nothing that a reader may hold is moved or
 * changed: a block that is too small is copied to a larger one, whose address is stored last, and stays
 * until the end. An id is added from the inside out, each step a release: its bytes, its offset, its
 * slot's position, the count. A reader takes each with acquire, from the outside in, so whatever led it
 * to a position, what it then reads of it is there. */
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
    _Atomic uint32_t position; /* TD_NONE: empty */
} vocab_slot;

typedef struct vocab_table {
    uint64_t count;                  /* a power of two */
    _Alignas(16) vocab_slot slots[]; /* [count]; none across two cache lines */
} vocab_table;

/* Each block at least doubles when it moves: 32 moves take any of the three beyond all limits. */
enum { OLD_BLOCKS_MAX = 3 * 32 };

/* What only a growing copy has. */
typedef struct vocab_growth {
    uint64_t bytes_room, offsets_room;
    uint32_t old_count;
    void *old[OLD_BLOCKS_MAX]; /* blocks that readers may still be in */
} vocab_growth;

struct td_vocab {
    td_context *context;
    atomic_uint_fast32_t owners;
    _Atomic uint32_t count;
    _Atomic(char *) bytes;
    _Atomic(uint64_t *) offsets; /* [count + 1] */
    _Atomic(vocab_table *) table;
    vocab_growth *growth; /* NULL: readers and the one who adds take turns */
};

static uint32_t count_of(const td_vocab *vocab)
{
    return atomic_load_explicit(&vocab->count, memory_order_acquire);
}

static char *bytes_of(const td_vocab *vocab)
{
    return atomic_load_explicit(&vocab->bytes, memory_order_acquire);
}

static uint64_t *offsets_of(const td_vocab *vocab)
{
    return atomic_load_explicit(&vocab->offsets, memory_order_acquire);
}

static uint32_t position_of(const vocab_slot *slot)
{
    return atomic_load_explicit(&slot->position, memory_order_acquire);
}

/* A block that a new one has taken the place of. */
static void let_go(td_vocab *vocab, void *block)
{
    vocab_growth *growth = vocab->growth;
    if (growth == NULL) {
        td__free(vocab->context, block);
        return;
    }
    assert(growth->old_count < OLD_BLOCKS_MAX);
    growth->old[growth->old_count++] = block;
}

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

static void put(vocab_table *table, uint64_t key, uint32_t bytes, uint32_t position)
{
    uint64_t at = td__mix64(key) & (table->count - 1);
    while (position_of(&table->slots[at]) != TD_NONE) at = (at + 1) & (table->count - 1);
    table->slots[at].key = key;
    table->slots[at].bytes = bytes;
    atomic_store_explicit(&table->slots[at].position, position, memory_order_release);
}

static td_status resize_table(td_vocab *vocab, uint64_t count, td_error *err)
{
    vocab_table *table, *old = atomic_load_explicit(&vocab->table, memory_order_relaxed);
    td_status status = td__alloc(&table, vocab->context, sizeof *table + count * sizeof *table->slots, 1,
                                 err);
    if (status != TD_OK) return status;
    memset(table->slots, 0xFF, count * sizeof *table->slots);
    table->count = count;
    for (uint64_t i = 0; old != NULL && i < old->count; i++) {
        uint32_t position = position_of(&old->slots[i]);
        if (position != TD_NONE) put(table, old->slots[i].key, old->slots[i].bytes, position);
    }
    atomic_store_explicit(&vocab->table, table, memory_order_release);
    if (old != NULL) let_go(vocab, old);
    return TD_OK;
}

/* Position of an id, or TD_NONE. Of the ids with a key and a length, all there are if it is short. */
static uint32_t find(const td_vocab *vocab, uint64_t key, const char *id, size_t bytes)
{
    const vocab_table *table = atomic_load_explicit(&vocab->table, memory_order_acquire);
    uint64_t mask = table->count - 1;
    for (uint64_t at = td__mix64(key) & mask;; at = (at + 1) & mask) {
        const vocab_slot *slot = &table->slots[at];
        uint32_t position = position_of(slot);
        if (position == TD_NONE) return TD_NONE;
        if (slot->key != key || slot->bytes != bytes) continue;
        if (bytes <= SHORT_BYTES) return position;
        if (memcmp(bytes_of(vocab) + offsets_of(vocab)[position], id, bytes) == 0) return position;
    }
}

td_status td_vocab_create(td_vocab **out, td_context *context, td_error *err)
{
    td_status status = TD_OK;
    td_vocab *vocab = NULL;
    TD_TRY(td__alloc_zero(&vocab, context, 1, sizeof *vocab, err));
    vocab->context = context;
    atomic_init(&vocab->owners, 1);
    TD_TRY(td__alloc_zero(&vocab->offsets, context, 1, sizeof(uint64_t), err));
    TD_TRY(resize_table(vocab, FIRST_SLOTS, err));
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
    td__free(vocab->context, bytes_of(vocab));
    td__free(vocab->context, offsets_of(vocab));
    td__free(vocab->context, atomic_load(&vocab->table));
    for (uint32_t i = 0; vocab->growth != NULL && i < vocab->growth->old_count; i++) {
        td__free(vocab->context, vocab->growth->old[i]);
    }
    td__free(vocab->context, vocab->growth);
    td__free(vocab->context, vocab);
}

/* Room for one more id, where nobody reads meanwhile. */
static td_status make_room(td_vocab *vocab, uint64_t start, size_t bytes, td_error *err)
{
    char *block = bytes_of(vocab);
    uint64_t *offsets = offsets_of(vocab);
    td_status status = td__grow(&block, vocab->context, start + bytes + 1, 1, err);
    if (status != TD_OK) return status;
    atomic_store_explicit(&vocab->bytes, block, memory_order_relaxed);
    status = td__grow(&offsets, vocab->context, (uint64_t)count_of(vocab) + 2, sizeof *offsets, err);
    if (status == TD_OK) atomic_store_explicit(&vocab->offsets, offsets, memory_order_relaxed);
    return status;
}

static td_status append(td_vocab *vocab, const char *id, size_t bytes, td_error *err)
{
    uint32_t count = count_of(vocab);
    uint64_t start = offsets_of(vocab)[count];
    if (vocab->growth == NULL) {
        td_status status = make_room(vocab, start, bytes, err);
        if (status != TD_OK) return status;
    }
    memcpy(bytes_of(vocab) + start, id, bytes);
    bytes_of(vocab)[start + bytes] = '\0';
    offsets_of(vocab)[count + 1] = start + bytes + 1;
    return TD_OK;
}

static td_status check_id(const char *id, size_t bytes, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(bytes == 0, err, ERR_ARGUMENT, "an id is empty; ids have at least one byte");
    TD_FAIL_IF(bytes > TD_ID_BYTES_MAX, err, ERR_LIMIT, "an id has %zu bytes; at most %d are allowed",
               bytes, TD_ID_BYTES_MAX);
    TD_FAIL_IF(memchr(id, '\0', bytes) != NULL, err, ERR_ARGUMENT, "an id holds a NUL byte");
done:
    return status;
}

td_status td_vocab_add(td_vocab *vocab, const char *id, size_t bytes, uint32_t *position,
                       td_error *err)
{
    td_status status = TD_OK;
    uint64_t key = key_of(id, bytes);
    uint32_t count = count_of(vocab);
    *position = find(vocab, key, id, bytes);
    if (*position != TD_NONE) return TD_OK;
    TD_TRY(check_id(id, bytes, err));
    TD_FAIL_IF(count >= TD_NONE - 1, err, ERR_LIMIT, "more than %u different ids", TD_NONE - 1);
    if (vocab->growth != NULL) TD_TRY(td__vocab_reserve(vocab, 1, bytes, err));
    vocab_table *table = atomic_load_explicit(&vocab->table, memory_order_relaxed);
    if (((uint64_t)count + 1) * 2 > table->count) {
        TD_TRY(resize_table(vocab, table->count * 2, err));
        table = atomic_load_explicit(&vocab->table, memory_order_relaxed);
    }
    TD_TRY(append(vocab, id, bytes, err));
    put(table, key, (uint32_t)bytes, count);
    atomic_store_explicit(&vocab->count, count + 1, memory_order_release);
    *position = count;
done:
    return status;
}

uint32_t td_vocab_count(const td_vocab *vocab)
{
    return count_of(vocab);
}

uint32_t td_vocab_find(const td_vocab *vocab, const char *id, size_t bytes)
{
    return find(vocab, key_of(id, bytes), id, bytes);
}

const char *td_vocab_id(const td_vocab *vocab, uint32_t position)
{
    assert(position < count_of(vocab));
    return bytes_of(vocab) + offsets_of(vocab)[position];
}

const char *td__vocab_bytes(const td_vocab *vocab, const uint64_t **offsets)
{
    *offsets = offsets_of(vocab);
    return bytes_of(vocab);
}

/* --- growing copies */

td_status td__vocab_copy(td_vocab **out, const td_vocab *from, td_error *err)
{
    td_status status = TD_OK;
    td_vocab *vocab = NULL;
    const vocab_table *table = atomic_load_explicit(&from->table, memory_order_acquire);
    uint32_t count = count_of(from);
    uint64_t bytes = offsets_of(from)[count];
    TD_TRY(td_vocab_create(&vocab, from->context, err));
    TD_TRY(td__alloc_zero(&vocab->growth, from->context, 1, sizeof *vocab->growth, err));
    TD_TRY(td__vocab_reserve(vocab, count, bytes, err));
    if (bytes > 0) memcpy(bytes_of(vocab), bytes_of(from), (size_t)bytes);
    memcpy(offsets_of(vocab), offsets_of(from), ((size_t)count + 1) * sizeof(uint64_t));
    vocab_table *to = atomic_load_explicit(&vocab->table, memory_order_relaxed);
    for (uint64_t i = 0; i < table->count; i++) {
        uint32_t position = position_of(&table->slots[i]);
        if (position < count) put(to, table->slots[i].key, table->slots[i].bytes, position);
    }
    atomic_store_explicit(&vocab->count, count, memory_order_release);
    *out = vocab;
    return TD_OK;
done:
    td_vocab_free(vocab);
    *out = NULL;
    return status;
}

/* What a block of `room` is to grow to. */
static uint64_t roomier(uint64_t room, uint64_t wanted)
{
    return wanted > 2 * room ? wanted : 2 * room;
}

td_status td__vocab_reserve(td_vocab *vocab, uint64_t ids, uint64_t bytes, td_error *err)
{
    td_status status = TD_OK;
    vocab_growth *growth = vocab->growth;
    uint64_t count = count_of(vocab), used = offsets_of(vocab)[count];
    uint64_t offsets_wanted = count + ids + 1, bytes_wanted = used + bytes + ids, slots = FIRST_SLOTS;
    if (bytes_wanted > growth->bytes_room) {
        uint64_t room = roomier(growth->bytes_room, bytes_wanted);
        char *block, *old = bytes_of(vocab);
        TD_TRY(td__alloc(&block, vocab->context, room, 1, err));
        if (used > 0) memcpy(block, old, (size_t)used);
        atomic_store_explicit(&vocab->bytes, block, memory_order_release);
        growth->bytes_room = room;
        if (old != NULL) let_go(vocab, old);
    }
    if (offsets_wanted > growth->offsets_room) {
        uint64_t room = roomier(growth->offsets_room, offsets_wanted), *block,
                 *old = offsets_of(vocab);
        TD_TRY(td__alloc(&block, vocab->context, room, sizeof *block, err));
        memcpy(block, old, ((size_t)count + 1) * sizeof *block);
        atomic_store_explicit(&vocab->offsets, block, memory_order_release);
        growth->offsets_room = room;
        let_go(vocab, old);
    }
    while (slots < (count + ids) * 2) slots *= 2;
    if (slots > atomic_load_explicit(&vocab->table, memory_order_relaxed)->count) {
        TD_TRY(resize_table(vocab, slots, err));
    }
done:
    return status;
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
