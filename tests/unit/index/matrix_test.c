/* matrix_test.c -- vector files of others are read right, or refused with a reason. */
#include "support/fault.h"
#include "support/test.h"

#include <float.h>
#include <locale.h>
#include <math.h>

/* --- files made by hand */

/* A .npy file of version 1 with this header. Returns its path. */
static const char *npy_file(const char *name, const char *header, const void *data, size_t size)
{
    static unsigned char bytes[4096];
    size_t length = strlen(header);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = (unsigned char)(length % 256);
    bytes[9] = (unsigned char)(length / 256);
    memcpy(bytes + 10, header, length);
    if (size > 0) memcpy(bytes + 10 + length, data, size);
    return test_file(name, bytes, 10 + length + size);
}

static void assert_reads(td_context *context, const char *path, const float *values, uint64_t rows,
                         uint32_t heads, uint32_t dim)
{
    td_error err = {0};
    td_matrix *matrix;
    assert_ok(td_matrix_read(&matrix, context, path, &err));
    td_vectors vectors = td_matrix_vectors(matrix);
    assert_int_equal(vectors.rows, rows);
    assert_int_equal(vectors.heads, heads);
    assert_int_equal(vectors.dim, dim);
    if (rows > 0) assert_memory_equal(vectors.data, values, rows * heads * dim * sizeof(float));
    td_matrix_free(matrix);
}

static void assert_refuses(td_context *context, const char *path, td_status expected,
                           const char *part)
{
    td_error err = {0};
    td_matrix *matrix;
    assert_fails(td_matrix_read(&matrix, context, path, &err), expected, part);
    if (strstr(err.message, path) == NULL) fail_msg("\"%s\" does not name %s", err.message, path);
    assert_null(matrix);
}

/* --- .npy */

static void reads_npy_as_numpy_writes_it(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const float f4[6] = {1, -2, 0.5f, NAN, 1e-42f, FLT_MAX};
    const double f8[6] = {1, -2, 0.5, 1.0 / 3, 1e-42, 0x1.fffffefffffffp127};
    const float narrowed[6] = {1, -2, 0.5f, 1.0f / 3, 1e-42f, FLT_MAX};
    const char *head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }         \n";
    assert_reads(context, npy_file("a.npy", head, f4, sizeof f4), f4, 2, 1, 3);
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n";
    assert_reads(context, npy_file("b.npy", head, f8, sizeof f8), narrowed, 3, 1, 2);
    head = "{\"shape\":(1,3,2),\"fortran_order\":False,\"descr\":\"<f4\"}";
    assert_reads(context, npy_file("c.npy", head, f4, sizeof f4), f4, 1, 3, 2);
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7)}";
    assert_reads(context, npy_file("d.npy", head, NULL, 0), NULL, 0, 1, 7);
    td_context_free(context);
}

static void reads_npy_version_2(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const char header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}";
    const float value = 3.5f;
    unsigned char bytes[128] = "\x93NUMPY\x02\x00";
    bytes[8] = sizeof header - 1;
    memcpy(bytes + 12, header, sizeof header - 1);
    memcpy(bytes + 12 + sizeof header - 1, &value, sizeof value);
    const char *path = test_file("v2.npy", bytes, 12 + sizeof header - 1 + sizeof value);
    assert_reads(context, path, &value, 1, 1, 1);
    bytes[6] = 4;
    path = test_file("v4.npy", bytes, 12 + sizeof header - 1 + sizeof value);
    assert_refuses(context, path, TD_ERR_VERSION, "version 4");
    td_context_free(context);
}

static void refuses_npy_that_we_cannot_use(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        td_status status;
        const char *part;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", TD_ERR_UNSUPPORTED, "Fortran"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}", TD_ERR_UNSUPPORTED, ">f4"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}", TD_ERR_UNSUPPORTED, "<i4"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", TD_ERR_UNSUPPORTED, "1 dim"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", TD_ERR_UNSUPPORTED, "0 dim"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 2, 3)}", TD_ERR_UNSUPPORTED,
         "4 dim"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4)}", TD_ERR_CORRUPT, "32 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", TD_ERR_CORRUPT, "16 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
         TD_ERR_CORRUPT, "needs"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 1)}",
         TD_ERR_CORRUPT, "needs"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616, 1)}",
         TD_ERR_CORRUPT, "understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1)}", TD_ERR_CORRUPT,
         "understood"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}", TD_ERR_CORRUPT, "understood"},
        {"{'descr': '<f4', 'fortran_order': False}", TD_ERR_CORRUPT, "understood"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
         TD_ERR_CORRUPT, "understood"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}", TD_ERR_CORRUPT,
         "understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x", TD_ERR_CORRUPT,
         "understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", TD_ERR_CORRUPT,
         "understood"},
        {"{'a_key_that_is_too_long': '<f4'}", TD_ERR_CORRUPT, "understood"},
        {"{'descr': '<f4", TD_ERR_CORRUPT, "understood"},
        {"", TD_ERR_CORRUPT, "understood"},
    };
    td_context *context = test_context(1);
    const float data[6] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = npy_file("bad.npy", cases[i].header, data, sizeof data);
        assert_refuses(context, path, cases[i].status, cases[i].part);
    }
    const char *head = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 65537)}";
    assert_refuses(context, npy_file("wide.npy", head, NULL, 0), TD_ERR_LIMIT, "65537");
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 65, 2)}";
    assert_refuses(context, npy_file("heads.npy", head, NULL, 0), TD_ERR_LIMIT, "65");
    const double huge[2] = {0, 1e39};
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2)}";
    assert_refuses(context, npy_file("huge.npy", head, huge, sizeof huge), TD_ERR_NUMERIC, "1e+39");
    td_context_free(context);
}

static void refuses_every_cut_npy(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const float data[2] = {1, 2};
    const char *path = npy_file(
        "cut.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}", data, sizeof data);
    size_t size;
    unsigned char *bytes = test_read(path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        assert_refuses(context, test_file("cut.npy", bytes, cut), TD_ERR_CORRUPT, "");
    }
    free(bytes);
    td_context_free(context);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const uint64_t rows[] = {0, 1, 1000};
    const uint32_t heads[] = {0, 1, 3};
    for (int r = 0; r < 3; r++) {
        for (int h = 0; h < 3; h++) {
            uint32_t count = heads[h] == 0 ? 1 : heads[h];
            float *values = test_normal_vectors(1, rows[r] * count, 5);
            td_vectors vectors = {.data = values, .rows = rows[r], .dim = 5, .heads = heads[h]};
            const char *path = test_path("written.npy");
            assert_ok(td_vectors_write_npy(&vectors, context, path, &err));
            assert_reads(context, path, values, rows[r], count, 5);
            size_t size;
            unsigned char *bytes = test_read(path, &size);
            assert_int_equal((size - rows[r] * count * 5 * sizeof(float)) % 64, 0);
            free(bytes);
            free(values);
        }
    }
    td_context_free(context);
}

/* The bytes that numpy.save writes for float32 [[1, 2]]. */
static void writes_the_bytes_of_numpy(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const float values[2] = {1, 2};
    td_vectors vectors = {.data = values, .rows = 1, .dim = 2};
    const char *path = test_path("numpy.npy");
    assert_ok(td_vectors_write_npy(&vectors, context, path, &err));
    unsigned char expected[136];
    memset(expected, ' ', sizeof expected);
    memcpy(expected, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(expected + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", 59);
    expected[127] = '\n';
    memcpy(expected + 128, values, sizeof values);
    size_t size;
    unsigned char *bytes = test_read(path, &size);
    assert_int_equal(size, sizeof expected);
    assert_memory_equal(bytes, expected, size);
    free(bytes);
    td_context_free(context);
}

static td_status write_vectors(void *path, td_context *context, td_error *err)
{
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    td_vectors vectors = {.data = values, .rows = 3, .dim = 2};
    return td_vectors_write_npy(&vectors, context, path, err);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("fault.npy"));
    test_every_write(write_vectors, path, path);
}

/* --- .fvecs and .fbin */

static void reads_fvecs(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const float values[4] = {1, 2, 3, 4};
    const uint32_t two = 2, three = 3, none = 0;
    unsigned char bytes[24];
    for (int row = 0; row < 2; row++) {
        memcpy(bytes + 12 * row, &two, 4);
        memcpy(bytes + 12 * row + 4, values + 2 * row, 8);
    }
    assert_reads(context, test_file("a.fvecs", bytes, 24), values, 2, 1, 2);
    assert_refuses(context, test_file("b.fvecs", bytes, 23), TD_ERR_CORRUPT, "whole number");
    assert_refuses(context, test_file("c.fvecs", bytes, 3), TD_ERR_CORRUPT, "3 bytes");
    assert_refuses(context, test_file("d.fvecs", "", 0), TD_ERR_CORRUPT, "0 bytes");
    memcpy(bytes + 12, &three, 4);
    assert_refuses(context, test_file("e.fvecs", bytes, 24), TD_ERR_CORRUPT, "vector 1 has 3");
    memcpy(bytes, &none, 4);
    assert_refuses(context, test_file("f.fvecs", bytes, 24), TD_ERR_LIMIT, "0 dimensions");
    memset(bytes, 0xFF, 4);
    assert_refuses(context, test_file("g.fvecs", bytes, 24), TD_ERR_CORRUPT, "4294967295");
    td_context_free(context);
}

static void reads_fbin(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const float values[6] = {1, 2, 3, 4, 5, 6};
    uint32_t shape[2] = {2, 3};
    unsigned char bytes[8 + sizeof values];
    memcpy(bytes, shape, 8);
    memcpy(bytes + 8, values, sizeof values);
    assert_reads(context, test_file("a.fbin", bytes, sizeof bytes), values, 2, 1, 3);
    assert_refuses(context, test_file("b.fbin", bytes, sizeof bytes - 1), TD_ERR_CORRUPT,
                   "announced");
    assert_refuses(context, test_file("c.fbin", bytes, sizeof bytes - 4), TD_ERR_CORRUPT,
                   "announced");
    assert_refuses(context, test_file("d.fbin", bytes, 7), TD_ERR_CORRUPT, "7 bytes");
    shape[0] = shape[1] = UINT32_MAX;
    memcpy(bytes, shape, 8);
    assert_refuses(context, test_file("e.fbin", bytes, sizeof bytes), TD_ERR_CORRUPT, "announced");
    shape[0] = 0;
    shape[1] = 4;
    memcpy(bytes, shape, 8);
    assert_reads(context, test_file("f.fbin", bytes, 8), NULL, 0, 1, 4);
    td_context_free(context);
}

/* --- text */

static void reads_text_with_any_separator(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "1,2.5,-3e2\n4,5,6\n",
        "1 2.5 -3e2\n4 5 6",
        "1\t2.5\t-3e2\r\n4\t5\t6\r\n",
        "1; 2.5; -3e2\n4; 5; 6\n\n",
        "\n  1 ,2.5   -300.0\n\n4 , 5 , 6  \n",
    };
    const float values[6] = {1, 2.5f, -300, 4, 5, 6};
    td_context *context = test_context(1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_reads(context, test_text_file("v.csv", texts[i]), values, 2, 1, 3);
    }
    const float one = 0.1f;
    assert_reads(context, test_text_file("one.txt", "0.1"), &one, 1, 1, 1);
    td_context_free(context);
}

static void refuses_bad_text_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        uint64_t line;
    } cases[] = {
        {"1,2\n3,x\n", "line 2: number 2, \"x\"", 2},
        {"1,2\n\n3\n", "line 3 has 1 numbers, the first vector has 2", 3},
        {"1,2\n3,4,5\n", "line 2 has 3", 2},
        {"1,,2\n", "number 2 is missing", 1},
        {",1,2\n", "number 1 is missing", 1},
        {"1,2,\n", "number 3 is missing", 1},
        {",\n", "number 1 is missing", 1},
        {"1,nan\n", "finite", 1},
        {"inf 1\n", "finite", 1},
        {"1e40\n", "finite", 1},
        {"0x10\n", "0x10", 1},
        {"1 2-3\n", "2-3", 1},
        {"- 1\n", "\"-\"", 1},
        {"1\n11111111111111111111111111111111111111111111111111111111111111111111\n", "line 2", 2},
        {"", "no vector", 0},
        {"\n \n", "no vector", 0},
    };
    td_context *context = test_context(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        td_error err = {0};
        td_matrix *matrix;
        const char *path = test_text_file("bad.csv", cases[i].text);
        assert_refuses(context, path, TD_ERR_PARSE, cases[i].part);
        assert_int_equal(td_matrix_read(&matrix, context, path, &err), TD_ERR_PARSE);
        assert_int_equal(err.line, cases[i].line);
    }
    assert_refuses(context, test_path("nowhere.csv"), TD_ERR_NOT_FOUND, "nowhere");
    td_context_free(context);
}

/* --- all of them */

static td_status read_all(void *paths, td_context *context, td_error *err)
{
    td_status status = TD_OK;
    for (char **path = paths; *path != NULL && status == TD_OK; path++) {
        td_matrix *matrix;
        status = td_matrix_read(&matrix, context, *path, err);
        td_matrix_free(matrix);
    }
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    const uint32_t binary[4] = {1, 1, 0, 0};
    const float data[2] = {1, 2};
    char paths[4][256];
    char *list[5] = {paths[0], paths[1], paths[2], paths[3], NULL};
    snprintf(
        paths[0], 256, "%s",
        npy_file("m.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}", data, 8));
    snprintf(paths[1], 256, "%s", test_file("m.fvecs", binary, 8));
    snprintf(paths[2], 256, "%s", test_file("m.fbin", binary, 12));
    snprintf(paths[3], 256, "%s", test_text_file("m.txt", "1 2\n3 4\n"));
    test_every_allocation(read_all, list);
}

/* A program in a locale with a decimal comma reads the same. */
static void the_locale_of_the_program_does_not_matter(void **state)
{
    (void)state;
    td_error err = {0};
    td_matrix *matrix;
    td_context *context = test_context(1);
    const char *path = test_text_file("decimal.csv", "1.5,-2.25e1\n");
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) {
        print_message("SKIPPED: no locale with a decimal comma here\n");
        td_context_free(context);
        skip();
    }
    td_status status = td_matrix_read(&matrix, context, path, &err);
    setlocale(LC_NUMERIC, "C");
    assert_ok(status);
    assert_true(td_matrix_vectors(matrix).data[0] == 1.5f);
    assert_true(td_matrix_vectors(matrix).data[1] == -22.5f);
    td_matrix_free(matrix);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_npy_as_numpy_writes_it),
        cmocka_unit_test(reads_npy_version_2),
        cmocka_unit_test(refuses_npy_that_we_cannot_use),
        cmocka_unit_test(refuses_every_cut_npy),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(writes_the_bytes_of_numpy),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(reads_fvecs),
        cmocka_unit_test(reads_fbin),
        cmocka_unit_test(reads_text_with_any_separator),
        cmocka_unit_test(refuses_bad_text_with_its_line),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(the_locale_of_the_program_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
