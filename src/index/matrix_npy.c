/* matrix_npy.c -- NumPy's .npy files.
 *
 * Serves: stage 7. In: the bytes of a file, or vectors. Out: a matrix, or a file.
 *
 * A file is "\x93NUMPY", two bytes of version, the size of the header (2 bytes in version 1, else
 * 4), the header, the data. The header is a Python dictionary with the keys descr, fortran_order
 * and shape. Of Python we read what NumPy writes, with blanks anywhere: quoted words without
 * escapes, True and False, and tuples of whole numbers. */
#include "index/matrix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/poison.h"

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

enum { DIMENSIONS_MAX = 4, WORD_MAX = 16, KEY_COUNT = 3 };

typedef struct npy_header {
    char descr[WORD_MAX];
    bool fortran;
    uint64_t shape[DIMENSIONS_MAX];
    uint32_t dimensions;
    bool seen[KEY_COUNT];
    uint64_t data_at;
} npy_header;

/* Where we are in the header. */
typedef struct cursor {
    const unsigned char *at, *end;
} cursor;

static void skip_blanks(cursor *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\t')) in->at++;
}

/* The next character after blanks, if it is this one. */
static bool take(cursor *in, char expected)
{
    skip_blanks(in);
    if (in->at == in->end || *in->at != (unsigned char)expected) return false;
    in->at++;
    return true;
}

/* 'text' or "text", shorter than WORD_MAX. */
static bool take_quoted(cursor *in, char word[WORD_MAX])
{
    size_t length = 0;
    char quote = take(in, '\'') ? '\'' : '"';
    if (quote == '"' && !take(in, '"')) return false;
    while (in->at < in->end && *in->at != (unsigned char)quote) {
        if (length + 1 == WORD_MAX || *in->at == '\\') return false;
        word[length++] = (char)*in->at++;
    }
    word[length] = '\0';
    return take(in, quote);
}

static bool take_bare(cursor *in, const char *word)
{
    size_t length = strlen(word);
    skip_blanks(in);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, word, length) != 0) return false;
    in->at += length;
    return true;
}

static bool take_bool(cursor *in, bool *value)
{
    *value = take_bare(in, "True");
    return *value || take_bare(in, "False");
}

static bool take_number(cursor *in, uint64_t *value)
{
    skip_blanks(in);
    const unsigned char *start = in->at;
    for (*value = 0; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        if (__builtin_mul_overflow(*value, UINT64_C(10), value)
            || __builtin_add_overflow(*value, (uint64_t)(*in->at - '0'), value)) {
            return false;
        }
    }
    return in->at > start;
}

static bool take_shape(cursor *in, npy_header *header)
{
    if (!take(in, '(')) return false;
    for (header->dimensions = 0; !take(in, ')'); header->dimensions++) {
        if (header->dimensions == DIMENSIONS_MAX) return false;
        if (!take_number(in, &header->shape[header->dimensions])) return false;
        if (!take(in, ',')) {
            header->dimensions++;
            return take(in, ')');
        }
    }
    return true;
}

static bool take_entry(cursor *in, npy_header *header)
{
    static const char *const keys[KEY_COUNT] = {"descr", "fortran_order", "shape"};
    char key[WORD_MAX];
    if (!take_quoted(in, key) || !take(in, ':')) return false;
    int which = 0;
    while (which < KEY_COUNT && strcmp(key, keys[which]) != 0) which++;
    if (which == KEY_COUNT || header->seen[which]) return false;
    header->seen[which] = true;
    if (which == 0) return take_quoted(in, header->descr);
    if (which == 1) return take_bool(in, &header->fortran);
    return take_shape(in, header);
}

static bool take_dictionary(cursor *in, npy_header *header)
{
    if (!take(in, '{')) return false;
    while (!take(in, '}')) {
        if (!take_entry(in, header)) return false;
        if (take(in, ',')) continue;
        if (!take(in, '}')) return false;
        break;
    }
    skip_blanks(in);
    return in->at == in->end && header->seen[0] && header->seen[1] && header->seen[2];
}

/* Find the header's text and read it. */
static td_status read_header(td__bytes file, npy_header *header, td_error *err)
{
    td_status status = TD_OK;
    const uint64_t version_at = sizeof magic, size_at = version_at + 2;
    TD_FAIL_IF(file.size < size_at + 4 || memcmp(file.bytes, magic, sizeof magic) != 0, err,
               ERR_CORRUPT, "this is no .npy file");
    unsigned version = file.bytes[version_at];
    TD_FAIL_IF(version < 1 || version > 3, err, ERR_VERSION, ".npy version %u; 1 to 3 can be read",
               version);
    uint32_t size = 0;
    size_t size_bytes = version == 1 ? 2 : 4;
    memcpy(&size, file.bytes + size_at, size_bytes);
    header->data_at = size_at + size_bytes + size;
    TD_FAIL_IF(header->data_at > file.size, err, ERR_CORRUPT,
               "the header has %u bytes, but the file ends after %llu", size,
               (unsigned long long)file.size);
    cursor in = {.at = file.bytes + size_at + size_bytes, .end = file.bytes + header->data_at};
    if (!take_dictionary(&in, header)) {
        uint64_t at = (uint64_t)(in.at - file.bytes);
        status = td__fail_at(err, TD_ERR_CORRUPT, 0, at,
                             "the header cannot be understood at byte %llu",
                             (unsigned long long)at);
    }
done:
    return status;
}

/* One element of the file, 4 or 8 bytes. */
static td_status copy_elements(td_matrix *matrix, const unsigned char *data, uint64_t count,
                               bool doubles, td_error *err)
{
    if (!doubles) {
        if (count > 0) memcpy(matrix->data, data, (size_t)count * sizeof(float));
        return TD_OK;
    }
    uint64_t width = (uint64_t)matrix->heads * matrix->dim;
    for (uint64_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        if (isfinite(value) && fabs(value) >= 0x1.ffffffp127) { /* rounds to infinity */
            return td__fail(
                err, TD_ERR_NUMERIC, "row %llu has %g in column %llu, too large for float32",
                (unsigned long long)(i / width), value, (unsigned long long)(i % width));
        }
        matrix->data[i] = (float)value;
    }
    return TD_OK;
}

static td_status check_header(const npy_header *header, td_error *err)
{
    td_status status = TD_OK;
    const char *type = header->descr;
    TD_FAIL_IF(strcmp(type, "<f4") != 0 && strcmp(type, "<f8") != 0, err, ERR_UNSUPPORTED,
               "elements are \"%s\"; \"<f4\" (float32) and \"<f8\" (float64) can be read", type);
    TD_FAIL_IF(header->fortran, err, ERR_UNSUPPORTED,
               "the array is in Fortran order; save numpy.ascontiguousarray(array)");
    TD_FAIL_IF(header->dimensions != 2 && header->dimensions != 3, err, ERR_UNSUPPORTED,
               "the array has %u dimensions; 2, [rows, dim], or 3, [rows, heads, dim], are needed",
               header->dimensions);
done:
    return status;
}

td_status td__matrix_from_npy(td_matrix **out, td_context *context, td__bytes file, td_error *err)
{
    td_status status = TD_OK;
    td_matrix *matrix = NULL;
    npy_header header = {0};
    TD_TRY(read_header(file, &header, err));
    TD_TRY(check_header(&header, err));
    bool doubles = header.descr[2] == '8', three = header.dimensions == 3;
    uint64_t rows = header.shape[0], heads = three ? header.shape[1] : 1;
    uint64_t dim = header.shape[three ? 2 : 1], count = 0, bytes = 0;
    bool fits = !__builtin_mul_overflow(rows, heads, &count)
                && !__builtin_mul_overflow(count, dim, &count)
                && !__builtin_mul_overflow(count, doubles ? UINT64_C(8) : UINT64_C(4), &bytes);
    TD_FAIL_IF(!fits || bytes != file.size - header.data_at, err, ERR_CORRUPT,
               "the shape needs %llu bytes of data, the file has %llu",
               (unsigned long long)(fits ? bytes : UINT64_MAX),
               (unsigned long long)(file.size - header.data_at));
    TD_TRY(td__matrix_create(&matrix, context, rows, heads, dim, err));
    TD_TRY(copy_elements(matrix, file.bytes + header.data_at, count, doubles, err));
    *out = matrix;
    return TD_OK;
done:
    td_matrix_free(matrix);
    *out = NULL;
    return status;
}

/* --- writing */

/* Version 1: the data starts on a multiple of 64 bytes, blanks and a newline end the header. */
static size_t make_header(const td_vectors *vectors, char text[192])
{
    char shape[80], *end = text + sizeof magic + 4;
    if (vectors->heads > 1) {
        snprintf(shape, sizeof shape, "%llu, %u, %u", (unsigned long long)vectors->rows,
                 vectors->heads, vectors->dim);
    } else {
        snprintf(shape, sizeof shape, "%llu, %u", (unsigned long long)vectors->rows, vectors->dim);
    }
    memset(text, ' ', 192);
    int length = snprintf(end, 160, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }",
                          shape);
    end[length] = ' ';
    size_t size = ((size_t)(end - text) + (size_t)length + 1 + 63) & ~(size_t)63;
    memcpy(text, magic, sizeof magic);
    const uint16_t header_size = (uint16_t)(size - sizeof magic - 4);
    memcpy(text + sizeof magic, "\x01\x00", 2);
    memcpy(text + sizeof magic + 2, &header_size, sizeof header_size);
    text[size - 1] = '\n';
    return size;
}

td_status td_vectors_write_npy(const td_vectors *vectors, td_context *context, const char *path,
                               td_error *err)
{
    td_status status = TD_OK;
    td__writer *writer = NULL;
    char header[192];
    uint64_t heads = vectors->heads == 0 ? 1 : vectors->heads;
    size_t header_size = make_header(vectors, header);
    TD_TRY(td__writer_create(&writer, context, path, err));
    TD_TRY(td__writer_write(writer, header, header_size, err));
    TD_TRY(td__writer_write(writer, vectors->data,
                            vectors->rows * heads * vectors->dim * sizeof(float), err));
    status = td__writer_commit(writer, err);
    return status;
done:
    td__writer_abandon(writer);
    return status;
}
