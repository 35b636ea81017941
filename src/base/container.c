/* container.c -- asking an open container, and what its writer and reader share.
 *
 * Serves: stages 2, 3, 5 and 7. In: an open container and a name. Out: a tensor, a text, a
 * vocabulary. */
#include "base/container_format.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/vocab.h"
#include "base/poison.h"

typedef struct dtype_row {
    const char *name;
    size_t size;
} dtype_row;

static const dtype_row dtypes[] = {
    [TD__U8] = {"U8", 1},   [TD__U32] = {"U32", 4}, [TD__U64] = {"U64", 8},
    [TD__I64] = {"I64", 8}, [TD__F32] = {"F32", 4}, [TD__F64] = {"F64", 8},
};

size_t td__dtype_size(td__dtype dtype)
{
    return dtypes[dtype].size;
}

const char *td__dtype_name(td__dtype dtype)
{
    return dtypes[dtype].name;
}

bool td__dtype_find(const char *name, td__dtype *dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(name, dtypes[i].name) != 0) continue;
        *dtype = (td__dtype)i;
        return true;
    }
    return false;
}

uint64_t td__tensor_bytes(const td__tensor *tensor)
{
    return tensor->rows * (tensor->cols == 0 ? 1 : tensor->cols) * td__dtype_size(tensor->dtype);
}

/* --- checksums */

static td__digits digits_of(uint64_t hash)
{
    td__digits digits;
    snprintf(digits.text, sizeof digits.text, "%016llx", (unsigned long long)hash);
    return digits;
}

td__digits td__checksum(const void *bytes, uint64_t size)
{
    return digits_of(size == 0 ? XXH64("", 0, 0) : XXH64(bytes, (size_t)size, 0));
}

td__digits td__header_checksum(const char *header, uint64_t size)
{
    static const char zeros[] = "0000000000000000";
    XXH64_state_t state;
    assert(size >= TD__DIGITS_AT + TD__DIGITS);
    XXH64_reset(&state, 0);
    XXH64_update(&state, header, TD__DIGITS_AT);
    XXH64_update(&state, zeros, TD__DIGITS);
    XXH64_update(&state, header + TD__DIGITS_AT + TD__DIGITS,
                 (size_t)size - TD__DIGITS_AT - TD__DIGITS);
    return digits_of(XXH64_digest(&state));
}

/* --- asking */

bool td__container_holds(const td__container *container, const void *address)
{
    uintptr_t start = (uintptr_t)container->bytes, at = (uintptr_t)address;
    return at >= start && at - start <= container->size;
}

const char *td__container_kind(const td__container *container)
{
    return container->kind;
}

uint32_t td__container_version(const td__container *container)
{
    return container->version;
}

uint32_t td__container_count(const td__container *container)
{
    return container->count;
}

const td__tensor *td__container_at(const td__container *container, uint32_t index)
{
    assert(index < container->count);
    return &container->tensors[index];
}

const td__tensor *td__container_find(const td__container *container, const char *name)
{
    for (uint32_t i = 0; i < container->count; i++) {
        if (strcmp(container->tensors[i].name, name) == 0) return &container->tensors[i];
    }
    return NULL;
}

const char *td__container_get(const td__container *container, const char *key)
{
    return json_string_value(json_object_get(container->metadata, key));
}

const json_t *td__container_metadata(const td__container *container)
{
    return container->metadata;
}

/* "[3, any]"; cols 0 makes a vector. */
static void print_shape(char *text, size_t capacity, uint64_t rows, uint64_t cols)
{
    char row[24] = "any", col[24] = "any";
    if (rows != UINT64_MAX) snprintf(row, sizeof row, "%llu", (unsigned long long)rows);
    if (cols != UINT64_MAX) snprintf(col, sizeof col, "%llu", (unsigned long long)cols);
    snprintf(text, capacity, cols == 0 ? "[%s]" : "[%s, %s]", row, col);
}

td_status td__container_require(const td__container *container, const char *name, td__dtype dtype,
                                uint64_t rows, uint64_t cols, const td__tensor **out, td_error *err)
{
    const td__tensor *tensor = td__container_find(container, name);
    char found[64], expected[64];
    *out = NULL;
    if (tensor == NULL) {
        return td__fail(err, TD_ERR_CORRUPT, "tensor \"%s\" is missing", name);
    }
    bool fits = tensor->dtype == dtype && (rows == UINT64_MAX || rows == tensor->rows)
                && (cols == UINT64_MAX || cols == tensor->cols);
    if (fits) {
        *out = tensor;
        return TD_OK;
    }
    print_shape(found, sizeof found, tensor->rows, tensor->cols);
    print_shape(expected, sizeof expected, rows, cols);
    uint64_t at = (uint64_t)((const unsigned char *)tensor->data - container->bytes);
    return td__fail_at(err, TD_ERR_CORRUPT, 0, at, "tensor \"%s\" is %s %s; %s %s is needed", name,
                       td__dtype_name(tensor->dtype), found, td__dtype_name(dtype), expected);
}

/* The first bytes of a text, taken as a size, are more than any file has. */
static bool starts_like_ours(const td__mapping *mapping)
{
    uint64_t header_size;
    const unsigned char *header = mapping->bytes + TD__SIZE_BYTES;
    memcpy(&header_size, mapping->bytes, sizeof header_size);
    if (memcmp(header, TD__HEADER_START, TD__DIGITS_AT) == 0) return true;
    return header[0] == '{' && header_size <= mapping->size - TD__SIZE_BYTES;
}

bool td__container_probe(const char *path)
{
    td__mapping mapping;
    if (td__mapping_open(&mapping, path, NULL) != TD_OK) return false;
    bool like = mapping.size > TD__SIZE_BYTES + TD__DIGITS_AT && starts_like_ours(&mapping);
    td__mapping_close(&mapping);
    return like;
}

/* --- vocabularies */

static td_status part_name(char *out, const char *name, const char *part, td_error *err)
{
    int length = snprintf(out, TD__NAME_MAX, "%s.%s", name, part);
    if (length > 0 && length < TD__NAME_MAX) return TD_OK;
    return td__fail(err, TD_ERR_ARGUMENT, "name \"%.100s\" is too long", name);
}

td_status td__container_add_vocab(td__container_writer *writer, const char *name,
                                  const td_vocab *vocab, td_error *err)
{
    td_status status = TD_OK;
    char bytes_name[TD__NAME_MAX], offsets_name[TD__NAME_MAX];
    const uint64_t *offsets;
    const char *bytes = td__vocab_bytes(vocab, &offsets);
    uint64_t count = td_vocab_count(vocab);
    TD_TRY(part_name(bytes_name, name, "bytes", err));
    TD_TRY(part_name(offsets_name, name, "offsets", err));
    TD_TRY(td__container_add(writer, bytes_name, TD__U8, offsets[count], 0, bytes, err));
    TD_TRY(td__container_add(writer, offsets_name, TD__U64, count + 1, 0, offsets, err));
done:
    return status;
}

td_status td__container_load_vocab(const td__container *container, const char *name,
                                   td_context *context, td_vocab **out, td_error *err)
{
    td_status status = TD_OK;
    char part[TD__NAME_MAX];
    const td__tensor *bytes, *offsets;
    *out = NULL;
    TD_TRY(part_name(part, name, "bytes", err));
    TD_TRY(td__container_require(container, part, TD__U8, UINT64_MAX, 0, &bytes, err));
    TD_TRY(part_name(part, name, "offsets", err));
    TD_TRY(td__container_require(container, part, TD__U64, UINT64_MAX, 0, &offsets, err));
    status = td__vocab_from_bytes(out, context, bytes->data, bytes->rows, offsets->data,
                                  offsets->rows, err);
    if (status != TD_OK) (void)td__fail_within(err, status, name);
done:
    return status;
}
