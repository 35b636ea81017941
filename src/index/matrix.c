/* matrix.c -- vectors from files of others, by name of the file, and the two simplest formats.
 *
 * Serves: stage 7. In: a path. Out: a matrix in memory. All numbers in these files are
 * little-endian, as is every machine we run on. */
#include "index/matrix.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/poison.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vector files are read as little-endian"
#endif

td_status td__matrix_create(td_matrix **out, td_context *context, uint64_t rows, uint64_t heads,
                            uint64_t dim, td_error *err)
{
    td_status status = TD_OK;
    td_matrix *matrix = NULL;
    TD_FAIL_IF(dim == 0 || dim > TD__DIM_MAX, err, ERR_LIMIT,
               "vectors of %llu dimensions; 1 to %d are allowed", (unsigned long long)dim,
               TD__DIM_MAX);
    TD_FAIL_IF(heads == 0 || heads > TD__HEADS_MAX, err, ERR_LIMIT,
               "%llu vectors per row; 1 to %d are allowed", (unsigned long long)heads,
               TD__HEADS_MAX);
    TD_TRY(td__alloc_zero(&matrix, context, 1, sizeof *matrix, err));
    *matrix = (td_matrix){
        .context = context, .rows = rows, .dim = (uint32_t)dim, .heads = (uint32_t)heads};
    TD_TRY(
        td__alloc(&matrix->data, context, rows, (size_t)(heads * dim) * sizeof *matrix->data, err));
    *out = matrix;
    return TD_OK;
done:
    td_matrix_free(matrix);
    *out = NULL;
    return status;
}

void td_matrix_free(td_matrix *matrix)
{
    if (matrix == NULL) return;
    td__free(matrix->context, matrix->data);
    td__free(matrix->context, matrix);
}

td_vectors td_matrix_vectors(const td_matrix *matrix)
{
    return (td_vectors){
        .data = matrix->data, .rows = matrix->rows, .dim = matrix->dim, .heads = matrix->heads};
}

static uint32_t read_u32(const unsigned char *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

td_status td__matrix_from_fvecs(td_matrix **out, td_context *context, td__bytes file, td_error *err)
{
    td_status status = TD_OK;
    td_matrix *matrix = NULL;
    TD_FAIL_IF(file.size < sizeof(uint32_t), err, ERR_CORRUPT, "a .fvecs file of %llu bytes",
               (unsigned long long)file.size);
    uint32_t dim = read_u32(file.bytes);
    uint64_t row_bytes = ((uint64_t)dim + 1) * sizeof(float), rows = file.size / row_bytes;
    TD_FAIL_IF(file.size % row_bytes != 0, err, ERR_CORRUPT,
               "%llu bytes are not a whole number of vectors of %u dimensions",
               (unsigned long long)file.size, dim);
    TD_TRY(td__matrix_create(&matrix, context, rows, 1, dim, err));
    for (uint64_t row = 0; row < rows; row++) {
        const unsigned char *at = file.bytes + row * row_bytes;
        if (read_u32(at) != dim) {
            status = td__fail_at(err, TD_ERR_CORRUPT, 0, row * row_bytes,
                                 "vector %llu has %u dimensions, the first has %u",
                                 (unsigned long long)row, read_u32(at), dim);
            goto done;
        }
        memcpy(matrix->data + row * dim, at + sizeof dim, (size_t)dim * sizeof(float));
    }
    *out = matrix;
    return TD_OK;
done:
    td_matrix_free(matrix);
    *out = NULL;
    return status;
}

td_status td__matrix_from_fbin(td_matrix **out, td_context *context, td__bytes file, td_error *err)
{
    enum { HEADER = 2 * sizeof(uint32_t) };
    td_status status = TD_OK;
    *out = NULL;
    TD_FAIL_IF(file.size < HEADER, err, ERR_CORRUPT, "a .fbin file of %llu bytes",
               (unsigned long long)file.size);
    uint32_t rows = read_u32(file.bytes), dim = read_u32(file.bytes + sizeof rows);
    uint64_t floats = (uint64_t)rows * dim; /* below 2^64 */
    uint64_t found = (file.size - HEADER) / sizeof(float);
    TD_FAIL_IF(found != floats || file.size % sizeof(float) != 0, err, ERR_CORRUPT,
               "%u vectors of %u dimensions are announced, but %llu bytes follow", rows, dim,
               (unsigned long long)(file.size - HEADER));
    TD_TRY(td__matrix_create(out, context, rows, 1, dim, err));
    if (floats > 0) memcpy((*out)->data, file.bytes + HEADER, (size_t)floats * sizeof(float));
done:
    return status;
}

static bool ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcmp(path + length - tail, ending) == 0;
}

td_status td_matrix_read(td_matrix **out, td_context *context, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td__mapping mapping = {0};
    *out = NULL;
    TD_TRY(td__mapping_open(&mapping, path, err));
    td__bytes file = {.bytes = mapping.bytes, .size = mapping.size};
    if (ends_with(path, ".npy"))
        status = td__matrix_from_npy(out, context, file, err);
    else if (ends_with(path, ".fvecs"))
        status = td__matrix_from_fvecs(out, context, file, err);
    else if (ends_with(path, ".fbin"))
        status = td__matrix_from_fbin(out, context, file, err);
    else
        status = td__matrix_from_text(out, context, file, err);
    if (status != TD_OK) status = td__fail_within(err, status, path);
done:
    td__mapping_close(&mapping);
    return status;
}
