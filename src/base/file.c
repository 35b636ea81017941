/* file.c -- files that are read by mapping and written whole or not at all.
 *
 * Serves: every stage that keeps something. In: a path. Out: bytes in memory, or a file on disk.
 *
 * Writing follows the usual recipe: a temporary name in the same directory, write, fsync, close,
 * rename, fsync of the directory. Until the rename the old file is untouched; after it the new one
 * is complete on disk. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/poison.h"

enum {
    BUFFER_BYTES = 1 << 16,
    WRITE_MAX = 1 << 30, /* Linux writes at most 2 GiB in one call */
    NAME_TRIES = 100,
    SUFFIX_BYTES = sizeof ".tmp-XXXXXXXX"
};

struct td__writer {
    td_context *context;
    int file;  /* -1: closed */
    bool made; /* the temporary file is there */
    bool broken;
    mode_t mode;
    size_t used; /* of the buffer */
    char *path;
    char *temporary;
    unsigned char *buffer;
};

/* The system's reason in words. strerror is not safe with threads; strerror_r is, but glibc has
 * two. */
static td_status fail_system(td_error *err, const char *what, const char *path)
{
    int number = errno;
    char reason[128];
    if (strerror_r(number, reason, sizeof reason) != 0) {
        snprintf(reason, sizeof reason, "error %d", number);
    }
    return td__fail(err, number == ENOENT ? TD_ERR_NOT_FOUND : TD_ERR_IO, "%.200s: cannot %s: %s",
                    path, what, reason);
}

/* --- mapping */

static int open_to_read(const char *path)
{
    int file;
    /* O_NONBLOCK: a pipe shall be refused, not waited for. */
    do {
        file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (file < 0 && errno == EINTR);
    return file;
}

static td_status map(td__mapping *out, int file, const char *path, td_error *err)
{
    struct stat facts;
    if (fstat(file, &facts) != 0) return fail_system(err, "look at the file", path);
    if (!S_ISREG(facts.st_mode)) {
        return td__fail(err, TD_ERR_IO, "%.200s: is not a regular file", path);
    }
    if (facts.st_size == 0) return TD_OK;
    if ((uint64_t)facts.st_size > SIZE_MAX) {
        return td__fail(err, TD_ERR_LIMIT, "%.200s: is larger than the address space", path);
    }
    void *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED) return fail_system(err, "map the file", path);
    *out = (td__mapping){.bytes = bytes, .size = (uint64_t)facts.st_size};
    return TD_OK;
}

td_status td__mapping_open(td__mapping *out, const char *path, td_error *err)
{
    *out = (td__mapping){0};
    int file = open_to_read(path);
    if (file < 0) return fail_system(err, "open", path);
    td_status status = map(out, file, path, err);
    (void)close(file); /* read only: nothing can be lost */
    return status;
}

void td__mapping_close(td__mapping *mapping)
{
    if (mapping->bytes == NULL) return;
    (void)munmap((void *)(uintptr_t)mapping->bytes, (size_t)mapping->size);
    *mapping = (td__mapping){0};
}

/* --- writing */

/* What is at the path now decides whether it may be replaced, and the permissions. */
static td_status check_target(td__writer *writer, td_error *err)
{
    struct stat facts;
    writer->mode = 0;
    if (stat(writer->path, &facts) != 0) return TD_OK; /* new, or open will say why not */
    if (!S_ISREG(facts.st_mode)) {
        return td__fail(err, TD_ERR_IO, "%.200s: is there and is not a regular file", writer->path);
    }
    writer->mode = facts.st_mode & 07777;
    return TD_OK;
}

/* Names need only differ, not be secret: O_EXCL finds a name that is taken, and the next is tried.
 */
static uint64_t name_seed(const td__writer *writer)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t moment = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return td__mix64(moment ^ td__mix64((uint64_t)getpid() ^ (uint64_t)(uintptr_t)writer << 20));
}

static td_status make_temporary(td__writer *writer, td_error *err)
{
    td__random names = {.base = name_seed(writer)};
    size_t capacity = strlen(writer->path) + SUFFIX_BYTES;
    for (uint64_t i = 0; i < NAME_TRIES; i++) {
        snprintf(writer->temporary, capacity, "%s.tmp-%08x", writer->path,
                 (uint32_t)td__random_u64(names, i));
        writer->file = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->file >= 0) break;
        if (errno != EEXIST && errno != EINTR) break;
    }
    if (writer->file < 0) return fail_system(err, "make a file beside it", writer->path);
    writer->made = true;
    if (writer->mode != 0 && fchmod(writer->file, writer->mode) != 0) {
        return fail_system(err, "pass its permissions on", writer->path);
    }
    return TD_OK;
}

td_status td__writer_create(td__writer **out, td_context *context, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__writer *writer = NULL;
    size_t length = strlen(path);
    TD_TRY(td__alloc_zero(&writer, context, 1, sizeof *writer, err));
    writer->context = context;
    writer->file = -1;
    TD_TRY(td__copy_text(&writer->path, context, path, length, err));
    TD_TRY(td__alloc(&writer->temporary, context, (uint64_t)length + SUFFIX_BYTES, 1, err));
    TD_TRY(td__alloc(&writer->buffer, context, BUFFER_BYTES, 1, err));
    TD_TRY(check_target(writer, err));
    TD_TRY(make_temporary(writer, err));
    *out = writer;
    return TD_OK;
done:
    td__writer_abandon(writer);
    *out = NULL;
    return status;
}

static td_status write_through(td__writer *writer, const unsigned char *bytes, uint64_t count,
                               td_error *err)
{
    while (count > 0) {
        ssize_t done = write(writer->file, bytes, count < WRITE_MAX ? (size_t)count : WRITE_MAX);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            if (done == 0) errno = EIO; /* a regular file never takes nothing without a reason */
            writer->broken = true;
            return fail_system(err, "write", writer->path);
        }
        bytes += done;
        count -= (uint64_t)done;
    }
    return TD_OK;
}

static td_status flush(td__writer *writer, td_error *err)
{
    size_t used = writer->used;
    writer->used = 0;
    return write_through(writer, writer->buffer, used, err);
}

td_status td__writer_write(td__writer *writer, const void *bytes, uint64_t count, td_error *err)
{
    if (count > BUFFER_BYTES - writer->used) {
        td_status status = flush(writer, err);
        if (status != TD_OK) return status;
    }
    if (count > BUFFER_BYTES - writer->used) return write_through(writer, bytes, count, err);
    if (count > 0) memcpy(writer->buffer + writer->used, bytes, (size_t)count);
    writer->used += (size_t)count;
    return TD_OK;
}

/* A failing close may be the first to tell that bytes were lost (NFS). */
static td_status close_synced(td__writer *writer, td_error *err)
{
    if (fsync(writer->file) != 0) return fail_system(err, "sync", writer->path);
    int file = writer->file;
    writer->file = -1;
    return close(file) == 0 ? TD_OK : fail_system(err, "close", writer->path);
}

static void sync_directory(td__writer *writer)
{
    char *name = writer->temporary; /* no longer needed: room for the directory's name */
    char *slash = strrchr(writer->path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - writer->path) + 1;
    memcpy(name, slash == NULL ? "." : writer->path, slash == NULL ? 1 : length);
    name[slash == NULL ? 1 : length] = '\0';
    int directory = open(name, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (directory < 0) return;
    (void)fsync(directory);
    (void)close(directory);
}

td_status td__writer_commit(td__writer *writer, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(writer->broken, err, ERR_IO, "%.200s: an earlier write failed", writer->path);
    TD_TRY(flush(writer, err));
    TD_TRY(close_synced(writer, err));
    if (rename(writer->temporary, writer->path) != 0) {
        status = fail_system(err, "move the finished file into place", writer->path);
        goto done;
    }
    writer->made = false;
    sync_directory(writer);
done:
    td__writer_abandon(writer);
    return status;
}

void td__writer_abandon(td__writer *writer)
{
    if (writer == NULL) return;
    td_context *context = writer->context;
    if (writer->file >= 0) (void)close(writer->file);
    if (writer->made) (void)unlink(writer->temporary);
    td__free(context, writer->path);
    td__free(context, writer->temporary);
    td__free(context, writer->buffer);
    td__free(context, writer);
}
