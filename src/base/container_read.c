/* container_read.c -- open a container and believe nothing that was not checked.
 *
 * Serves: stages 2, 3, 5 and 7. In: a file or bytes. Out: an open container, or what is wrong
 * where.
 *
 * The order of the checks: the size of the header against that of the file; the header's own
 * checksum before it is parsed; its structure, kind and version; that the tensors cover the rest of
 * the file without gap or overlap; padding; checksums of the tensors. */
#include "base/container_format.h"

#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/poison.h"

/* A tensor as the header has it. */
typedef struct header_entry {
    td__tensor tensor;
    uint64_t start, end; /* from data_at */
} header_entry;

typedef struct open_reader {
    td__container *container;
    bool foreign;
    header_entry *entries; /* [count] with padding */
    uint32_t count;
} open_reader;

static td_status fail_at(td_error *err, uint64_t byte, const char *format, ...) TD__PRINTF(3, 4);

/* CORRUPT, with the byte in the sentence too. */
static td_status fail_at(td_error *err, uint64_t byte, const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return td__fail_at(err, TD_ERR_CORRUPT, 0, byte, "byte %llu: %s", (unsigned long long)byte,
                       reason);
}

/* --- the header as bytes */

static const char *header_text(const td__container *container)
{
    return (const char *)container->bytes + TD__SIZE_BYTES;
}

static td_status check_start(const td__container *container, bool foreign, td_error *err)
{
    const size_t start = TD__DIGITS_AT + TD__DIGITS;
    if (container->size <= TD__SIZE_BYTES || header_text(container)[0] != '{') {
        return td__fail(err, TD_ERR_VERSION, "this is no container file");
    }
    if (foreign) return TD_OK;
    if (container->size < TD__SIZE_BYTES + start
        || memcmp(header_text(container), TD__HEADER_START, TD__DIGITS_AT) != 0) {
        return td__fail(err, TD_ERR_VERSION, "this is no file of Tandem");
    }
    return TD_OK;
}

static td_status check_header_size(td__container *container, bool foreign, td_error *err)
{
    uint64_t size;
    memcpy(&size, container->bytes, sizeof size);
    if (size > TD__CONTAINER_HEADER_MAX) {
        return fail_at(err, 0, "the header would have %llu bytes; %d are allowed",
                       (unsigned long long)size, TD__CONTAINER_HEADER_MAX);
    }
    if (size > container->size - TD__SIZE_BYTES) {
        return fail_at(err, 0, "the header would have %llu bytes, the file has only %llu",
                       (unsigned long long)size, (unsigned long long)container->size);
    }
    container->data_at = TD__SIZE_BYTES + size;
    bool aligned = container->data_at % TD__ALIGNMENT == 0;
    if (!foreign && (!aligned || size < TD__DIGITS_AT + TD__DIGITS)) {
        return fail_at(err, 0, "the header has %llu bytes, which cannot be",
                       (unsigned long long)size);
    }
    return TD_OK;
}

static td_status check_header_sum(const td__container *container, td_error *err)
{
    const char *text = header_text(container);
    td__digits digits = td__header_checksum(text, container->data_at - TD__SIZE_BYTES);
    if (memcmp(text + TD__DIGITS_AT, digits.text, TD__DIGITS) == 0) return TD_OK;
    return fail_at(err, TD__SIZE_BYTES + TD__DIGITS_AT,
                   "the header is damaged: its checksum should be %s", digits.text);
}

/* --- the header as JSON */

static td_status parse_header(td__container *container, td_error *err)
{
    json_error_t error = {0}; /* jansson leaves it alone if memory runs out early */
    size_t size = (size_t)(container->data_at - TD__SIZE_BYTES);
    container->header = json_loadb(header_text(container), size, JSON_REJECT_DUPLICATES, &error);
    if (container->header == NULL) {
        /* jansson has a code for a lack of memory, but often gives no reason at all instead, and
         * sometimes that of a syntax error, which cannot be told apart. */
        if (json_error_code(&error) == json_error_out_of_memory || error.text[0] == '\0') {
            return td__fail(err, TD_ERR_MEMORY, "out of memory for the header");
        }
        uint64_t at = error.position > 0 ? (uint64_t)error.position : 0;
        return fail_at(err, TD__SIZE_BYTES + at, "the header is no JSON: %s", error.text);
    }
    if (!json_is_object(container->header)) {
        return fail_at(err, TD__SIZE_BYTES, "the header is no JSON object");
    }
    return TD_OK;
}

static td_status read_metadata(td__container *container, td_error *err)
{
    const char *key;
    json_t *value;
    container->kind = "";
    container->metadata = json_object_get(container->header, "__metadata__");
    if (container->metadata == NULL) return TD_OK;
    if (!json_is_object(container->metadata)) {
        return fail_at(err, TD__SIZE_BYTES, "__metadata__ is no JSON object");
    }
    json_object_foreach(container->metadata, key, value)
    {
        if (json_is_string(value)) continue;
        return fail_at(err, TD__SIZE_BYTES, "metadata \"%.100s\" is no text", key);
    }
    return TD_OK;
}

static bool parse_version(const char *text, uint32_t *version)
{
    size_t length = strlen(text);
    if (length == 0 || length > 9 || strspn(text, "0123456789") != length) return false;
    *version = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

static td_status check_kind(td__container *container, const char *kind, uint32_t version_max,
                            td_error *err)
{
    const char *found = td__container_get(container, TD__KEY_KIND);
    const char *version = td__container_get(container, TD__KEY_VERSION);
    const char *library = td__container_get(container, TD__KEY_LIBRARY);
    if (found == NULL || version == NULL || !parse_version(version, &container->version)) {
        return fail_at(err, TD__SIZE_BYTES, "the header lacks a kind or a version");
    }
    container->kind = found;
    if (kind != NULL && strcmp(kind, found) != 0) {
        return td__fail(err, TD_ERR_VERSION,
                        "this is a file of kind \"%.40s\"; \"%.40s\" is needed", found, kind);
    }
    if (container->version > version_max) {
        return td__fail(
            err, TD_ERR_VERSION,
            "version %u of \"%.40s\" files, written by Tandem %.40s; this is Tandem %s, "
            "which reads them up to version %u",
            container->version, found, library != NULL ? library : "(unknown)", TD_VERSION_STRING,
            version_max);
    }
    return TD_OK;
}

/* --- tensors */

static bool to_count(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* Shape to rows and cols; false if it is no list of counts or their product wraps. */
static bool read_shape(const json_t *shape, td__tensor *tensor)
{
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape)) return false;
    tensor->rows = 1;
    tensor->cols = 0;
    for (size_t i = 0; i < rank; i++) {
        uint64_t extent;
        if (!to_count(json_array_get(shape, i), &extent)) return false;
        if (rank > 1 && i + 1 == rank)
            tensor->cols = extent;
        else if (__builtin_mul_overflow(tensor->rows, extent, &tensor->rows))
            return false;
    }
    /* [n, 0] has no elements, but cols 0 would make it a vector of n. */
    if (rank > 1 && tensor->cols == 0) tensor->rows = 0;
    return true;
}

static bool bytes_match(const header_entry *entry)
{
    uint64_t bytes;
    const td__tensor *tensor = &entry->tensor;
    uint64_t cols = tensor->cols == 0 ? 1 : tensor->cols;
    if (__builtin_mul_overflow(tensor->rows, cols, &bytes)) return false;
    if (__builtin_mul_overflow(bytes, (uint64_t)td__dtype_size(tensor->dtype), &bytes))
        return false;
    return entry->start <= entry->end && entry->end - entry->start == bytes;
}

static td_status read_dtype(const json_t *value, td__tensor *tensor, td_error *err)
{
    const char *name = json_string_value(value);
    if (name == NULL) {
        return fail_at(err, TD__SIZE_BYTES, "tensor \"%s\" has no dtype", tensor->name);
    }
    if (td__dtype_find(name, &tensor->dtype)) return TD_OK;
    return td__fail(err, TD_ERR_UNSUPPORTED,
                    "tensor \"%s\" has elements of type %.20s; known are U8, "
                    "U32, U64, I64, F32 and F64",
                    tensor->name, name);
}

static td_status read_entry(const td__container *container, const char *name, const json_t *value,
                            header_entry *entry, td_error *err)
{
    td__tensor *tensor = &entry->tensor;
    const json_t *offsets = json_object_get(value, "data_offsets");
    if (name[0] == '\0' || strlen(name) >= TD__NAME_MAX) {
        return fail_at(err, TD__SIZE_BYTES, "the name \"%.100s\" does not have 1 to %d bytes", name,
                       TD__NAME_MAX - 1);
    }
    memcpy(tensor->name, name, strlen(name) + 1);
    td_status status = read_dtype(json_object_get(value, "dtype"), tensor, err);
    if (status != TD_OK) return status;
    if (json_object_size(value) != 3 || !read_shape(json_object_get(value, "shape"), tensor)
        || json_array_size(offsets) != 2 || !to_count(json_array_get(offsets, 0), &entry->start)
        || !to_count(json_array_get(offsets, 1), &entry->end)) {
        return fail_at(err, TD__SIZE_BYTES, "the header's entry for \"%s\" is malformed", name);
    }
    uint64_t at = container->data_at + (entry->start <= container->size ? entry->start : 0);
    if (!bytes_match(entry)) {
        return fail_at(err, at, "tensor \"%s\": shape and offsets do not agree", name);
    }
    if (entry->end > container->size - container->data_at) {
        return fail_at(err, at, "tensor \"%s\" ends beyond the file", name);
    }
    tensor->data = container->bytes + container->data_at + entry->start;
    return TD_OK;
}

static td_status read_entries(open_reader *reader, td_error *err)
{
    td_status status = TD_OK;
    td__container *container = reader->container;
    const char *name;
    json_t *value;
    size_t keys = json_object_size(container->header);
    TD_TRY(
        td__alloc_zero(&reader->entries, container->context, keys, sizeof *reader->entries, err));
    json_object_foreach(container->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) continue;
        TD_TRY(read_entry(container, name, value, &reader->entries[reader->count], err));
        reader->count++;
    }
done:
    return status;
}

static int compare_entries(const void *left, const void *right)
{
    const header_entry *a = left, *b = right;
    if (a->start != b->start) return a->start < b->start ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

/* One behind the other from the first byte to the last. Ours are listed in that order. */
static td_status check_cover(const open_reader *reader, td_error *err)
{
    const td__container *container = reader->container;
    uint64_t offset = 0;
    if (reader->foreign && reader->count > 0) {
        qsort(reader->entries, reader->count, sizeof *reader->entries, compare_entries);
    }
    for (uint32_t i = 0; i < reader->count; i++) {
        const header_entry *entry = &reader->entries[i];
        if (entry->start != offset) {
            return fail_at(err, container->data_at + entry->start,
                           "tensor \"%s\" %s; it should start at byte %llu", entry->tensor.name,
                           entry->start < offset ? "overlaps another" : "leaves a gap before it",
                           (unsigned long long)(container->data_at + offset));
        }
        offset = entry->end;
    }
    uint64_t rest = container->size - container->data_at - offset;
    if (rest == 0) return TD_OK;
    return fail_at(err, container->data_at + offset, "%llu bytes at the end belong to no tensor",
                   (unsigned long long)rest);
}

static bool is_padding(const header_entry *entry)
{
    return strncmp(entry->tensor.name, TD__PAD_NAME, strlen(TD__PAD_NAME)) == 0;
}

static td_status check_padding(const td__container *container, const header_entry *entry,
                               td_error *err)
{
    const unsigned char *bytes = entry->tensor.data;
    uint64_t at = container->data_at + entry->start, count = entry->end - entry->start;
    if (entry->tensor.dtype != TD__U8 || count >= TD__ALIGNMENT) {
        return fail_at(err, at, "padding \"%s\" is no padding", entry->tensor.name);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (bytes[i] != 0) return fail_at(err, at + i, "padding is not zero");
    }
    return TD_OK;
}

static td_status check_alignment(const open_reader *reader, const header_entry *entry,
                                 td_error *err)
{
    const td__tensor *tensor = &entry->tensor;
    uint64_t at = reader->container->data_at + entry->start;
    if (!reader->foreign && entry->start % TD__ALIGNMENT != 0) {
        return fail_at(err, at, "tensor \"%s\" does not start on a multiple of %d bytes",
                       tensor->name, TD__ALIGNMENT);
    }
    if ((uintptr_t)tensor->data % td__dtype_size(tensor->dtype) != 0) {
        return td__fail_at(err, TD_ERR_UNSUPPORTED, 0, at,
                           "byte %llu: tensor \"%s\" is not aligned to its elements",
                           (unsigned long long)at, tensor->name);
    }
    return TD_OK;
}

/* The entries without padding become the container's tensors. */
static td_status keep_tensors(const open_reader *reader, td_error *err)
{
    td_status status = TD_OK;
    td__container *container = reader->container;
    TD_TRY(td__alloc(&container->tensors, container->context, reader->count,
                     sizeof *container->tensors, err));
    for (uint32_t i = 0; i < reader->count; i++) {
        const header_entry *entry = &reader->entries[i];
        if (!reader->foreign && is_padding(entry)) {
            TD_TRY(check_padding(container, entry, err));
            continue;
        }
        TD_TRY(check_alignment(reader, entry, err));
        container->tensors[container->count++] = entry->tensor;
    }
done:
    return status;
}

/* --- checksums of the tensors, in parallel: reading a file from disk is one page fault after
 * another */

typedef struct tensor_sums {
    const td__tensor *tensors;
    td__digits *digits;
} tensor_sums;

static void sum_tensor(void *state, uint64_t block, uint32_t worker)
{
    tensor_sums *sums = state;
    const td__tensor *tensor = &sums->tensors[block];
    (void)worker;
    sums->digits[block] = td__checksum(tensor->data, td__tensor_bytes(tensor));
}

static td_status compare_sums(const td__container *container, const char *text,
                              const td__digits *digits, td_error *err)
{
    size_t expected = container->count == 0 ? 0 : (size_t)container->count * (TD__DIGITS + 1) - 1;
    if (text == NULL || strlen(text) != expected) {
        return fail_at(err, TD__SIZE_BYTES, "the header lacks checksums of %u tensors",
                       container->count);
    }
    for (uint32_t i = 0; i < container->count; i++) {
        const td__tensor *tensor = &container->tensors[i];
        if (memcmp(text + (size_t)i * (TD__DIGITS + 1), digits[i].text, TD__DIGITS) == 0) continue;
        uint64_t at = (uint64_t)((const unsigned char *)tensor->data - container->bytes);
        return fail_at(err, at, "tensor \"%s\" (%llu bytes) is damaged: its checksum is wrong",
                       tensor->name, (unsigned long long)td__tensor_bytes(tensor));
    }
    return TD_OK;
}

static td_status check_sums(const td__container *container, td_error *err)
{
    td_status status = TD_OK;
    tensor_sums sums = {.tensors = container->tensors};
    TD_TRY(td__alloc(&sums.digits, container->context, container->count, sizeof *sums.digits, err));
    td__parallel_for(container->context, container->count, sum_tensor, &sums);
    TD_TRY(
        compare_sums(container, td__container_get(container, TD__KEY_CHECKSUMS), sums.digits, err));
done:
    td__free(container->context, sums.digits);
    return status;
}

/* --- opening */

typedef struct open_wish {
    const char *kind;
    uint32_t version_max;
    bool foreign;
} open_wish;

static td_status read_header(td__container *container, const open_wish *wish, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_start(container, wish->foreign, err));
    TD_TRY(check_header_size(container, wish->foreign, err));
    if (!wish->foreign) TD_TRY(check_header_sum(container, err));
    TD_TRY(parse_header(container, err));
    TD_TRY(read_metadata(container, err));
    if (!wish->foreign) TD_TRY(check_kind(container, wish->kind, wish->version_max, err));
done:
    return status;
}

static td_status read_tensors(td__container *container, bool foreign, td_error *err)
{
    td_status status = TD_OK;
    open_reader reader = {.container = container, .foreign = foreign};
    TD_TRY(read_entries(&reader, err));
    TD_TRY(check_cover(&reader, err));
    TD_TRY(keep_tensors(&reader, err));
    if (!foreign) TD_TRY(check_sums(container, err));
done:
    td__free(container->context, reader.entries);
    return status;
}

/* Takes over the mapping in every case. */
static td_status open_mapping(td__container **out, td_context *context, td__mapping mapping,
                              bool owned, const open_wish *wish, td_error *err)
{
    td_status status = TD_OK;
    td__container *container = NULL;
    *out = NULL;
    status = td__alloc_zero(&container, context, 1, sizeof *container, err);
    if (status != TD_OK) {
        if (owned) td__mapping_close(&mapping);
        return status;
    }
    container->context = context;
    container->bytes = mapping.bytes;
    container->size = mapping.size;
    if (owned) container->mapping = mapping;
    TD_TRY(read_header(container, wish, err));
    TD_TRY(read_tensors(container, wish->foreign, err));
    *out = container;
    return TD_OK;
done:
    td__container_close(container);
    return status;
}

static td_status open_path(td__container **out, td_context *context, const char *path,
                           const open_wish *wish, td_error *err)
{
    td__mapping mapping;
    *out = NULL;
    td_status status = td__mapping_open(&mapping, path, err);
    if (status != TD_OK) return status;
    status = open_mapping(out, context, mapping, true, wish, err);
    return status == TD_OK ? TD_OK : td__fail_within(err, status, path);
}

td_status td__container_open(td__container **out, td_context *context, const char *path,
                             const char *kind, uint32_t version_max, td_error *err)
{
    open_wish wish = {.kind = kind, .version_max = version_max};
    return open_path(out, context, path, &wish, err);
}

td_status td__container_open_foreign(td__container **out, td_context *context, const char *path,
                                     td_error *err)
{
    open_wish wish = {.foreign = true};
    return open_path(out, context, path, &wish, err);
}

td_status td__container_open_bytes(td__container **out, td_context *context, const void *bytes,
                                   uint64_t size, const char *kind, uint32_t version_max,
                                   td_error *err)
{
    open_wish wish = {.kind = kind, .version_max = version_max};
    td__mapping mapping = {.bytes = bytes, .size = size};
    assert((uintptr_t)bytes % TD__ALIGNMENT == 0);
    return open_mapping(out, context, mapping, false, &wish, err);
}

td_status td__container_open_foreign_bytes(td__container **out, td_context *context,
                                           const void *bytes, uint64_t size, td_error *err)
{
    open_wish wish = {.foreign = true};
    td__mapping mapping = {.bytes = bytes, .size = size};
    return open_mapping(out, context, mapping, false, &wish, err);
}

void td__container_close(td__container *container)
{
    if (container == NULL) return;
    td__mapping_close(&container->mapping);
    json_decref(container->header);
    td__free(container->context, container->tensors);
    td__free(container->context, container);
}
