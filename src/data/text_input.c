/* text_input.c -- the bytes of a text file, plain or gzip, as a window that slides over them.
 *
 * Serves: stage 1. In: a path. Out: windows.
 *
 * One buffer holds the window: a slide moves what is left to its front and fills the room behind. A
 * block is small enough to stay in the second-level cache between its reading and its parsing. */
#include "data/text_input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/poison.h"

enum { BLOCK = 256 << 10, FIRST_BYTES = 4096 };

struct td__text_input {
    td_context *context;
    char *path;
    int file;
    uint64_t position; /* in the file */
    char *buffer;
    size_t capacity, start, count;
    uint64_t offset; /* of the window's first byte in the text */
    bool ended;
    bool gzip;
    bool between; /* gzip: a member has ended, another may follow */
    z_stream stream;
    unsigned char *packed; /* gzip: [BLOCK] bytes of the file */
};

typedef struct file_kind {
    const char *magic;
    size_t bytes;
    const char *advice;
} file_kind;

/* What is no text but is given as such now and then. */
static const file_kind other_kinds[] = {
    {"PK\003\004", 4, "a zip archive; unpack it first"},
    {"\xFD\x37zXZ", 5, "xz data; unpack it first"},
    {"\x28\xB5\x2F\xFD", 4, "zstd data; unpack it first"},
    {"BZh9", 4, "bzip2 data; unpack it first"},
    {"PAR1\x15", 5, "a Parquet file; write it as CSV first"},
    {"\xFF\xFE", 2, "UTF-16 text; convert it to UTF-8 first"},
    {"\xFE\xFF", 2, "UTF-16 text; convert it to UTF-8 first"},
};

static voidpf inflate_alloc(voidpf opaque, uInt items, uInt size)
{
    void *block = NULL;
    if (td__alloc(&block, opaque, items, size, NULL) != TD_OK) return Z_NULL;
    return block;
}

static void inflate_free(voidpf opaque, voidpf block)
{
    td__free(opaque, block);
}

/* Up to `capacity` bytes of the file; 0 at its end. */
static td_status read_file(td__text_input *input, void *bytes, size_t capacity, size_t *got,
                           td_error *err)
{
    ssize_t count;
    do count = read(input->file, bytes, capacity);
    while (count < 0 && errno == EINTR);
    *got = count < 0 ? 0 : (size_t)count;
    if (count < 0) {
        return td__fail(err, TD_ERR_IO, "%s: cannot be read: %s", input->path, strerror(errno));
    }
    input->position += *got;
    return TD_OK;
}

static td_status refill_packed(td__text_input *input, td_error *err)
{
    size_t got;
    td_status status = read_file(input, input->packed, BLOCK, &got, err);
    input->stream.next_in = input->packed;
    input->stream.avail_in = (uInt)got;
    return status;
}

/* A gzip file is a row of members. Zeros behind the last one are padding, as gzip(1) has it. */
static td_status start_member(td__text_input *input, td_error *err)
{
    while (input->stream.avail_in > 0 && *input->stream.next_in == 0) {
        input->stream.next_in++;
        input->stream.avail_in--;
    }
    if (input->stream.avail_in == 0) return TD_OK;
    input->between = false;
    if (inflateReset(&input->stream) == Z_OK) return TD_OK;
    return td__fail(err, TD_ERR_CORRUPT, "%s: gzip data cannot be read on", input->path);
}

static td_status inflate_step(td__text_input *input, char *bytes, size_t capacity, size_t *got,
                              td_error *err)
{
    input->stream.next_out = (unsigned char *)bytes;
    input->stream.avail_out = (uInt)(capacity < BLOCK ? capacity : BLOCK);
    int result = inflate(&input->stream, Z_NO_FLUSH);
    *got = (size_t)((char *)input->stream.next_out - bytes);
    input->between = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) return TD_OK;
    if (result == Z_MEM_ERROR) {
        return td__fail(err, TD_ERR_MEMORY, "%s: out of memory for decompression", input->path);
    }
    return td__fail(err, TD_ERR_CORRUPT, "%s: gzip data is damaged before byte %llu: %s",
                    input->path, (unsigned long long)input->position,
                    input->stream.msg == NULL ? "bad data" : input->stream.msg);
}

static td_status read_gzip(td__text_input *input, char *bytes, size_t capacity, size_t *got,
                           td_error *err)
{
    td_status status = TD_OK;
    *got = 0;
    while (*got == 0) {
        if (input->stream.avail_in == 0) TD_TRY(refill_packed(input, err));
        bool at_end = input->stream.avail_in == 0;
        TD_FAIL_IF(at_end && !input->between, err, ERR_CORRUPT,
                   "%s: gzip data ends too early, after %llu bytes; the file is not complete",
                   input->path, (unsigned long long)input->position);
        if (at_end) break;
        if (input->between) TD_TRY(start_member(input, err));
        if (!input->between) TD_TRY(inflate_step(input, bytes, capacity, got, err));
    }
done:
    return status;
}

static td_status open_file(td__text_input *input, td_error *err)
{
    td_status status = TD_OK;
    struct stat info;
    input->file = open(input->path, O_RDONLY | O_CLOEXEC);
    TD_FAIL_IF(input->file < 0 && (errno == ENOENT || errno == ENOTDIR), err, ERR_NOT_FOUND,
               "%s: there is no such file", input->path);
    TD_FAIL_IF(input->file < 0 || fstat(input->file, &info) != 0, err, ERR_IO,
               "%s: cannot be opened: %s", input->path, strerror(errno));
    TD_FAIL_IF(S_ISDIR(info.st_mode), err, ERR_IO, "%s: is a directory, not a file", input->path);
#ifdef POSIX_FADV_SEQUENTIAL
    (void)posix_fadvise(input->file, 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
done:
    return status;
}

/* The first bytes are in the buffer; they move to `packed` if they are gzip. */
static td_status start_gzip(td__text_input *input, td_error *err)
{
    td_status status = TD_OK;
    input->stream = (z_stream){
        .zalloc = inflate_alloc, .zfree = inflate_free, .opaque = input->context};
    TD_FAIL_IF(inflateInit2(&input->stream, 16 + MAX_WBITS) != Z_OK, err, ERR_MEMORY,
               "%s: out of memory for decompression", input->path);
    input->gzip = true;
    TD_TRY(td__alloc(&input->packed, input->context, BLOCK, 1, err));
    memcpy(input->packed, input->buffer, input->count);
    input->stream.next_in = input->packed;
    input->stream.avail_in = (uInt)input->count;
    input->count = 0;
done:
    return status;
}

/* A pipe may give its first bytes one by one. */
static td_status read_first(td__text_input *input, td_error *err)
{
    td_status status = TD_OK;
    while (input->count < 8 && !input->ended) {
        size_t got;
        TD_TRY(read_file(input, input->buffer + input->count, FIRST_BYTES, &got, err));
        input->count += got;
        input->ended = got == 0;
    }
done:
    return status;
}

static td_status start(td__text_input *input, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(read_first(input, err));
    if (input->count >= 2 && memcmp(input->buffer, "\x1F\x8B", 2) == 0) {
        TD_TRY(start_gzip(input, err));
        input->ended = false;
    }
    for (size_t i = 0; i < sizeof other_kinds / sizeof other_kinds[0]; i++) {
        const file_kind *kind = &other_kinds[i];
        TD_FAIL_IF(input->count >= kind->bytes
                       && memcmp(input->buffer, kind->magic, kind->bytes) == 0,
                   err, ERR_UNSUPPORTED, "%s: is %s", input->path, kind->advice);
    }
done:
    return status;
}

td_status td__text_input_open(td__text_input **out, td_context *context, const char *path,
                              td_error *err)
{
    td_status status = TD_OK;
    td__text_input *input = NULL;
    TD_TRY(td__alloc_zero(&input, context, 1, sizeof *input, err));
    input->context = context;
    input->file = -1;
    TD_TRY(td__copy_text(&input->path, context, path, strlen(path), err));
    TD_TRY(open_file(input, err));
    TD_TRY(td__alloc(&input->buffer, context, BLOCK, 1, err));
    input->capacity = BLOCK;
    TD_TRY(start(input, err));
    *out = input;
    return TD_OK;
done:
    td__text_input_close(input);
    *out = NULL;
    return status;
}

void td__text_input_close(td__text_input *input)
{
    if (input == NULL) return;
    td_context *context = input->context;
    if (input->gzip) (void)inflateEnd(&input->stream);
    if (input->file >= 0) (void)close(input->file);
    td__free(context, input->packed);
    td__free(context, input->buffer);
    td__free(context, input->path);
    td__free(context, input);
}

/* Room behind the window: move it to the front, and double the buffer if it is still full. */
static td_status make_room(td__text_input *input, td_error *err)
{
    if (input->start > 0) memmove(input->buffer, input->buffer + input->start, input->count);
    input->start = 0;
    if (input->count < input->capacity) return TD_OK;
    td_status status = td__grow(&input->buffer, input->context, (uint64_t)input->capacity * 2, 1,
                                err);
    if (status == TD_OK) input->capacity *= 2;
    return status;
}

td_status td__text_input_slide(td__text_input *input, size_t used, td__text_window *window,
                               td_error *err)
{
    td_status status = TD_OK;
    input->start += used;
    input->count -= used;
    input->offset += used;
    if (!input->ended) TD_TRY(make_room(input, err));
    while (!input->ended && input->count < input->capacity) {
        char *room = input->buffer + input->count;
        size_t got, capacity = input->capacity - input->count;
        if (input->gzip) TD_TRY(read_gzip(input, room, capacity, &got, err));
        else TD_TRY(read_file(input, room, capacity, &got, err));
        input->count += got;
        input->ended = got == 0;
    }
    *window = (td__text_window){input->buffer + input->start, input->count, input->offset,
                                input->ended};
done:
    return status;
}

uint64_t td__text_input_position(const td__text_input *input)
{
    return input->position;
}
