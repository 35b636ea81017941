/* file.h -- files that are read by mapping and written whole or not at all.
 *
 * Serves: every stage that keeps something. */
#ifndef TD_BASE_FILE_H
#define TD_BASE_FILE_H

#include "base/context.h"
#include "base/status.h"

/* A whole file, mapped read-only. An empty file has bytes NULL. The file must not change while it is
 * mapped. Files of Tandem do not: they are replaced, never rewritten. */
typedef struct td__mapping {
    const unsigned char *bytes;
    uint64_t size;
} td__mapping;

/* NOT_FOUND, IO (with the path and the system's reason). Directories and devices are refused. */
TD_MUST_CHECK td_status td__mapping_open(td__mapping *out, const char *path, td_error *err);
void td__mapping_close(td__mapping *mapping); /* twice is fine */

/* A file being written beside its final name. One thread at a time. */
typedef struct td__writer td__writer;

/* Makes "PATH.tmp-XXXXXXXX" in the same directory; PATH itself is untouched until the commit. A file
 * that is replaced passes its permissions on. IO, also if PATH is there and is no regular file. */
TD_MUST_CHECK td_status td__writer_create(td__writer **out, td_context *context, const char *path,
                                          td_error *err);
/* Buffered: small pieces are fine. After a failure only abandon (or a commit, which then fails). */
TD_MUST_CHECK td_status td__writer_write(td__writer *writer, const void *bytes, uint64_t count,
                                         td_error *err);
/* Flush, sync, rename over PATH, sync the directory. Frees the writer in every case; on failure the
 * temporary file is gone and PATH is as before. A directory that cannot be synced is no failure: the
 * new file is whole and in place, only a loss of power could bring the old one back. */
TD_MUST_CHECK td_status td__writer_commit(td__writer *writer, td_error *err);
/* Give up: remove the temporary file. NULL is fine. */
void td__writer_abandon(td__writer *writer);

#endif
