/* vocab.h -- sharing of vocabularies inside the library. The rest of the interface is public.
 *
 * Serves: stages 1 to 7. */
#ifndef TD_BASE_VOCAB_H
#define TD_BASE_VOCAB_H

#include "base/status.h"

/* One more owner of an immutable vocabulary; undo with td_vocab_free. Any thread. */
td_vocab *td__vocab_retain(td_vocab *vocab);

/* Stable 64-bit hash of an id, the same in every version and on every machine (XXH64, seed 0). Picks
 * out-of-vocabulary rows, so it is part of what a model file means. */
uint64_t td__vocab_hash(const char *id, size_t bytes);

/* The raw parts, for saving: all ids one behind the other, each with its NUL, and where each starts.
 * offsets [count + 1]. Borrowed. */
const char *td__vocab_bytes(const td_vocab *vocab, const uint64_t **offsets);

/* A copy made from saved parts. CORRUPT, naming the position, if an id is empty, too long, holds a NUL
 * or occurs twice, or if offsets do not fit. */
TD_MUST_CHECK td_status td__vocab_from_bytes(td_vocab **out, td_context *context, const char *bytes,
                                             uint64_t byte_count, const uint64_t *offsets,
                                             uint64_t offset_count, td_error *err);

/* --- growing copies: one thread adds, any number of threads read, without waiting for each other */

/* A copy of `from`, which may be one itself. Every position, and every pointer that was handed out,
 * stays good as long as the copy. */
TD_MUST_CHECK td_status td__vocab_copy(td_vocab **out, const td_vocab *from, td_error *err);

/* Room in a growing copy for `ids` more ids of `bytes` bytes together: adding those cannot fail for
 * want of memory. */
TD_MUST_CHECK td_status td__vocab_reserve(td_vocab *vocab, uint64_t ids, uint64_t bytes, td_error *err);

#endif
