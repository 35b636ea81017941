/* matrix_fuzz.c -- any bytes are read as vectors, or refused, without harm.
 *
 * In all four formats. A matrix must have as many numbers as it says. */
#include "support/test.h"

#include "index/matrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static td_context *the_context;

static void free_context(void)
{
    td_context_free(the_context);
}

static void check(td_status status, td_matrix *matrix, const td_error *err)
{
    static volatile float sink;
    if ((status == TD_OK) != (matrix != NULL)) abort();
    if (status != TD_OK && (err->status != status || err->message[0] == '\0')) abort();
    if (matrix == NULL) return;
    td_vectors vectors = td_matrix_vectors(matrix);
    uint64_t count = vectors.rows * vectors.heads * vectors.dim;
    float sum = 0.0f;
    for (uint64_t i = 0; i < count; i++) sum += vectors.data[i];
    sink = sum;
    (void)sink;
    td_matrix_free(matrix);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    td_error err = {0};
    td_matrix *matrix;
    td__bytes file = {.bytes = data, .size = size};
    if (the_context == NULL) {
        the_context = test_context(1);
        atexit(free_context);
    }
    td_status status = td__matrix_from_npy(&matrix, the_context, file, &err);
    check(status, matrix, &err);
    status = td__matrix_from_fvecs(&matrix, the_context, file, &err);
    check(status, matrix, &err);
    status = td__matrix_from_fbin(&matrix, the_context, file, &err);
    check(status, matrix, &err);
    status = td__matrix_from_text(&matrix, the_context, file, &err);
    check(status, matrix, &err);
    return 0;
}
