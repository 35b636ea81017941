/* container.h -- named tensors and metadata in one checked file.
 *
 * Serves: stages 2, 3, 5 and 7. The format is safetensors (github.com/huggingface/safetensors, README):
 * 8 bytes little-endian header size, a JSON header, the tensors one behind the other without gaps.
 * On top of that, see docs/format.md:
 *   - every tensor starts on a multiple of 64 bytes; U8 tensors named "~pad.N" of zeros fill the gaps
 *   - __metadata__ starts with "tandem.header" (XXH64 of the header with these 16 digits as zeros) and
 *     holds "tandem.kind", "tandem.version", "tandem.library" and "tandem.checksums" (XXH64 of each
 *     tensor but the padding, in order)
 * so that any safetensors reader can read the tensors, and we can map them and trust them.
 * Writing is container_write.c, reading and checking container_read.c, asking container.c. */
#ifndef TD_BASE_CONTAINER_H
#define TD_BASE_CONTAINER_H

#include "base/context.h"
#include "base/limits.h"
#include "base/status.h"

struct json_t;

typedef enum td__dtype { TD__U8, TD__U32, TD__U64, TD__I64, TD__F32, TD__F64 } td__dtype;

/* A tensor: rows x cols elements; cols 0 for a vector (shape [rows]). `data` is borrowed. In a foreign
 * file of more dimensions, rows is the product of all but the last; a scalar is a vector of one. */
typedef struct td__tensor {
    char name[TD__NAME_MAX];
    td__dtype dtype;
    uint64_t rows;
    uint64_t cols;
    const void *data;
} td__tensor;

size_t td__dtype_size(td__dtype dtype);
const char *td__dtype_name(td__dtype dtype); /* "F32" */
uint64_t td__tensor_bytes(const td__tensor *tensor);

/* --- writing */

typedef struct td__container_writer td__container_writer;

/* `kind` is "dataset", "model", "index" or "checkpoint"; `version` that of the kind. */
TD_MUST_CHECK td_status td__container_writer_create(td__container_writer **out, td_context *context,
                                                    const char *kind, uint32_t version,
                                                    td_error *err);
/* The data is borrowed until the commit. Names are UTF-8, unique, of 1 to TD__NAME_MAX - 1 bytes, without
 * '~' in front; ARGUMENT if not. */
TD_MUST_CHECK td_status td__container_add(td__container_writer *writer, const char *name,
                                          td__dtype dtype, uint64_t rows, uint64_t cols,
                                          const void *data, td_error *err);
/* Metadata: UTF-8 text, copied; replaces what the key had. Keys do not start with "tandem.". */
TD_MUST_CHECK td_status td__container_set(td__container_writer *writer, const char *key,
                                          const char *text, td_error *err);
/* Write the whole file (aside, synced, renamed). Does not free the writer. */
TD_MUST_CHECK td_status td__container_commit(td__container_writer *writer, const char *path,
                                             td_error *err);
void td__container_writer_free(td__container_writer *writer);

/* --- reading */

typedef struct td__container td__container;

/* Map and verify: structure, kind, version <= version_max, every checksum. `kind` NULL accepts any
 * kind of ours. NOT_FOUND, IO, VERSION, CORRUPT (with the byte), MEMORY. Immutable: any number of
 * threads. */
TD_MUST_CHECK td_status td__container_open(td__container **out, td_context *context,
                                           const char *path, const char *kind, uint32_t version_max,
                                           td_error *err);
/* The same for bytes in memory, aligned to 64 and borrowed until the close. */
TD_MUST_CHECK td_status td__container_open_bytes(td__container **out, td_context *context,
                                                 const void *bytes, uint64_t size, const char *kind,
                                                 uint32_t version_max, td_error *err);
/* The same for a plain safetensors file of anyone: structure only, no checksums (tests, imports).
 * UNSUPPORTED for types of elements that we do not have, and tensors that are not aligned to theirs. */
TD_MUST_CHECK td_status td__container_open_foreign(td__container **out, td_context *context,
                                                   const char *path, td_error *err);
TD_MUST_CHECK td_status td__container_open_foreign_bytes(td__container **out, td_context *context,
                                                         const void *bytes, uint64_t size,
                                                         td_error *err);
void td__container_close(td__container *container);

/* Does an address lie in the container's bytes? */
bool td__container_holds(const td__container *container, const void *address);

const char *td__container_kind(const td__container *container); /* "" if foreign */
uint32_t td__container_version(const td__container *container);
uint32_t td__container_count(const td__container *container); /* tensors, without padding */
const td__tensor *td__container_at(const td__container *container, uint32_t index);
/* NULL if it is not there. Data is mapped: borrowed until the close. */
const td__tensor *td__container_find(const td__container *container, const char *name);
/* Metadata text, or NULL. Borrowed. */
const char *td__container_get(const td__container *container, const char *key);
/* All of it as a JSON object of strings. Borrowed, not to be changed. */
const struct json_t *td__container_metadata(const td__container *container);

/* Find a tensor that must be there with this type and shape (rows or cols UINT64_MAX: any).
 * CORRUPT says what is missing or different. */
TD_MUST_CHECK td_status td__container_require(const td__container *container, const char *name,
                                              td__dtype dtype, uint64_t rows, uint64_t cols,
                                              const td__tensor **out, td_error *err);

/* Does the file start like a container: with the size of a header that fits, then that header? One of
 * the two suffices, so that a damaged file is told from a text. Never fails: false if unreadable. */
bool td__container_probe(const char *path);

/* Save and load a vocabulary as two tensors, NAME.bytes and NAME.offsets. */
TD_MUST_CHECK td_status td__container_add_vocab(td__container_writer *writer, const char *name,
                                                const td_vocab *vocab, td_error *err);
TD_MUST_CHECK td_status td__container_load_vocab(const td__container *container, const char *name,
                                                 td_context *context, td_vocab **out,
                                                 td_error *err);

#endif
