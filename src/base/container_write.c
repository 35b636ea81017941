/* container_write.c -- tensors and metadata into one file.
 *
 * Serves: stages 2, 3, 5 and 7. In: borrowed tensors. Out: a container file, in one piece.
 *
 * Everything is known before the first byte is written: offsets count from the end of the header,
 * which is itself padded to a multiple of 64 bytes, so the header's size does not move them. */
#include "base/container_format.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

/* jansson's dump is a block of the C library's. */
static void free_dump(char *text)
{
    free(text);
}
#include "base/poison.h"

struct td__container_writer {
    td_context *context;
    const char *kind; /* borrowed: a literal */
    uint32_t version;
    uint32_t count;
    td__tensor *tensors; /* [count], in the order of the file */
    json_t *metadata;    /* what td__container_set has set */
};

td_status td__container_writer_create(td__container_writer **out, td_context *context,
                                      const char *kind, uint32_t version, td_error *err)
{
    td_status status = TD_OK;
    td__container_writer *writer = NULL;
    TD_TRY(td__alloc_zero(&writer, context, 1, sizeof *writer, err));
    writer->context = context;
    writer->kind = kind;
    writer->version = version;
    writer->metadata = json_object();
    TD_FAIL_IF(writer->metadata == NULL, err, ERR_MEMORY, "out of memory for metadata");
    *out = writer;
    return TD_OK;
done:
    td__container_writer_free(writer);
    *out = NULL;
    return status;
}

void td__container_writer_free(td__container_writer *writer)
{
    if (writer == NULL) return;
    json_decref(writer->metadata);
    td__free(writer->context, writer->tensors);
    td__free(writer->context, writer);
}

static td_status check_new_name(const td__container_writer *writer, const char *name, td_error *err)
{
    td_status status = TD_OK;
    size_t length = strlen(name);
    TD_FAIL_IF(length == 0 || length >= TD__NAME_MAX || name[0] == '~', err, ERR_ARGUMENT,
               "\"%.100s\" is no name of a tensor: 1 to %d bytes, no '~' in front", name,
               TD__NAME_MAX - 1);
    TD_FAIL_IF(strcmp(name, "__metadata__") == 0, err, ERR_ARGUMENT,
               "a tensor cannot be called \"__metadata__\"");
    TD_FAIL_IF(!td__is_utf8(name), err, ERR_ARGUMENT, "\"%.100s\" is no name: it is not UTF-8",
               name);
    for (uint32_t i = 0; i < writer->count; i++) {
        TD_FAIL_IF(strcmp(writer->tensors[i].name, name) == 0, err, ERR_ARGUMENT,
                   "there are two tensors called \"%s\"", name);
    }
done:
    return status;
}

/* rows * cols * size fits well below 2^63, so that sums of offsets cannot wrap. */
static bool size_fits(td__dtype dtype, uint64_t rows, uint64_t cols)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(rows, cols == 0 ? 1 : cols, &bytes)) return false;
    if (__builtin_mul_overflow(bytes, (uint64_t)td__dtype_size(dtype), &bytes)) return false;
    return bytes <= INT64_MAX / 1024;
}

td_status td__container_add(td__container_writer *writer, const char *name, td__dtype dtype,
                            uint64_t rows, uint64_t cols, const void *data, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_new_name(writer, name, err));
    TD_FAIL_IF(!size_fits(dtype, rows, cols), err, ERR_LIMIT, "tensor \"%s\" is too large", name);
    TD_TRY(td__grow(&writer->tensors, writer->context, (uint64_t)writer->count + 1,
                    sizeof *writer->tensors, err));
    td__tensor *tensor = &writer->tensors[writer->count];
    *tensor = (td__tensor){.dtype = dtype, .rows = rows, .cols = cols, .data = data};
    memcpy(tensor->name, name, strlen(name) + 1);
    writer->count++;
done:
    return status;
}

td_status td__container_set(td__container_writer *writer, const char *key, const char *text,
                            td_error *err)
{
    if (strncmp(key, "tandem.", 7) == 0) {
        return td__fail(err, TD_ERR_ARGUMENT, "metadata \"%.100s\": keys of ours cannot be set",
                        key);
    }
    if (!td__is_utf8(key) || !td__is_utf8(text)) {
        return td__fail(err, TD_ERR_ARGUMENT, "metadata \"%.100s\" is not UTF-8 text", key);
    }
    if (json_object_set_new(writer->metadata, key, json_string(text)) == 0) return TD_OK;
    return td__fail(err, TD_ERR_MEMORY, "out of memory for metadata");
}

/* --- the header. All texts are UTF-8, so jansson fails for lack of memory only. */

static bool set_text(json_t *object, const char *key, const char *text)
{
    return json_object_set_new(object, key, json_string(text)) == 0;
}

/* All checksums with blanks between. */
static td_status add_checksums(const td__container_writer *writer, json_t *metadata, td_error *err)
{
    td_status status = TD_OK;
    char *text = NULL;
    enum { STEP = TD__DIGITS + 1 };
    TD_TRY(td__alloc_zero(&text, writer->context, (uint64_t)writer->count + 1, STEP, err));
    for (uint32_t i = 0; i < writer->count; i++) {
        const td__tensor *tensor = &writer->tensors[i];
        td__digits digits = td__checksum(tensor->data, td__tensor_bytes(tensor));
        if (i > 0) text[(size_t)i * STEP - 1] = ' ';
        memcpy(text + (size_t)i * STEP, digits.text, TD__DIGITS);
    }
    TD_FAIL_IF(!set_text(metadata, TD__KEY_CHECKSUMS, text), err, ERR_MEMORY,
               "out of memory for checksums");
done:
    td__free(writer->context, text);
    return status;
}

static td_status add_metadata(const td__container_writer *writer, json_t *header, td_error *err)
{
    td_status status = TD_OK;
    char version[16];
    json_t *metadata = json_object();
    snprintf(version, sizeof version, "%u", writer->version);
    TD_FAIL_IF(json_object_set_new(header, "__metadata__", metadata) != 0, err, ERR_MEMORY,
               "out of memory for metadata");
    TD_FAIL_IF(!set_text(metadata, TD__KEY_HEADER, "0000000000000000")
                   || !set_text(metadata, TD__KEY_KIND, writer->kind)
                   || !set_text(metadata, TD__KEY_VERSION, version)
                   || !set_text(metadata, TD__KEY_LIBRARY, TD_VERSION_STRING),
               err, ERR_MEMORY, "out of memory for metadata");
    TD_TRY(add_checksums(writer, metadata, err));
    TD_FAIL_IF(json_object_update(metadata, writer->metadata) != 0, err, ERR_MEMORY,
               "out of memory for metadata");
done:
    return status;
}

/* {"dtype":"F32","shape":[rows,cols],"data_offsets":[start,end]} */
static bool add_entry(json_t *header, const char *name, const td__tensor *tensor, uint64_t start,
                      uint64_t end)
{
    json_t *shape = tensor->cols == 0
                        ? json_pack("[I]", (json_int_t)tensor->rows)
                        : json_pack("[I,I]", (json_int_t)tensor->rows, (json_int_t)tensor->cols);
    json_t *entry = json_pack("{s:s,s:o,s:[I,I]}", "dtype", td__dtype_name(tensor->dtype), "shape",
                              shape, "data_offsets", (json_int_t)start, (json_int_t)end);
    return json_object_set_new(header, name, entry) == 0;
}

static bool add_padding(json_t *header, uint32_t number, uint64_t start, uint64_t end)
{
    char name[TD__NAME_MAX];
    td__tensor padding = {.dtype = TD__U8, .rows = end - start};
    snprintf(name, sizeof name, TD__PAD_NAME "%u", number);
    return add_entry(header, name, &padding, start, end);
}

static td_status add_tensors(const td__container_writer *writer, json_t *header, td_error *err)
{
    uint64_t offset = 0;
    uint32_t paddings = 0;
    for (uint32_t i = 0; i < writer->count; i++) {
        const td__tensor *tensor = &writer->tensors[i];
        uint64_t start = td__aligned(offset), end = start + td__tensor_bytes(tensor);
        bool added = start == offset || add_padding(header, paddings++, offset, start);
        if (!added || !add_entry(header, tensor->name, tensor, start, end)) {
            return td__fail(err, TD_ERR_MEMORY, "out of memory for the header");
        }
        offset = end;
    }
    return TD_OK;
}

/* The dump with blanks behind, up to a multiple of 64 bytes with the size in front, and its
 * checksum in its place. */
static td_status finish_header(const td__container_writer *writer, const char *dump, char **out,
                               uint64_t *size, td_error *err)
{
    td_status status = TD_OK;
    char *text = NULL;
    uint64_t length = strlen(dump);
    *size = td__aligned(TD__SIZE_BYTES + length) - TD__SIZE_BYTES;
    TD_FAIL_IF(*size > TD__CONTAINER_HEADER_MAX, err, ERR_LIMIT,
               "names and metadata take %llu bytes; %d are allowed", (unsigned long long)*size,
               TD__CONTAINER_HEADER_MAX);
    TD_TRY(td__alloc(&text, writer->context, *size, 1, err));
    memcpy(text, dump, (size_t)length);
    memset(text + length, ' ', (size_t)(*size - length));
    td__digits digits = td__header_checksum(text, *size);
    memcpy(text + TD__DIGITS_AT, digits.text, TD__DIGITS);
done:
    *out = text;
    return status;
}

static td_status make_header(const td__container_writer *writer, char **out, uint64_t *size,
                             td_error *err)
{
    td_status status = TD_OK;
    char *dump = NULL;
    json_t *header = json_object();
    *out = NULL;
    TD_FAIL_IF(header == NULL, err, ERR_MEMORY, "out of memory for the header");
    TD_TRY(add_metadata(writer, header, err));
    TD_TRY(add_tensors(writer, header, err));
    dump = json_dumps(header, JSON_COMPACT);
    TD_FAIL_IF(dump == NULL, err, ERR_MEMORY, "out of memory for the header");
    TD_TRY(finish_header(writer, dump, out, size, err));
done:
    free_dump(dump);
    json_decref(header);
    return status;
}

/* --- the file */

static td_status write_tensors(const td__container_writer *writer, td__writer *file, td_error *err)
{
    static const char zeros[TD__ALIGNMENT];
    td_status status = TD_OK;
    uint64_t offset = 0;
    for (uint32_t i = 0; i < writer->count; i++) {
        const td__tensor *tensor = &writer->tensors[i];
        uint64_t bytes = td__tensor_bytes(tensor);
        TD_TRY(td__writer_write(file, zeros, td__aligned(offset) - offset, err));
        TD_TRY(td__writer_write(file, tensor->data, bytes, err));
        offset = td__aligned(offset) + bytes;
    }
done:
    return status;
}

td_status td__container_commit(td__container_writer *writer, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__writer *file = NULL;
    char *header = NULL;
    uint64_t size;
    TD_TRY(make_header(writer, &header, &size, err));
    TD_TRY(td__writer_create(&file, writer->context, path, err));
    TD_TRY(td__writer_write(file, &size, sizeof size, err));
    TD_TRY(td__writer_write(file, header, size, err));
    TD_TRY(write_tensors(writer, file, err));
    status = td__writer_commit(file, err);
    file = NULL;
done:
    td__writer_abandon(file);
    td__free(writer->context, header);
    return status;
}
