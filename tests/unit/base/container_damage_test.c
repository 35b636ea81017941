/* container_damage_test.c -- no damage to a container goes unnoticed, and none does harm. */
#include "support/forge.h"

#include "base/container.h"

/* A small file of ours in memory. */
static forged small_file(td_context *context)
{
    static const float matrix[6] = {1, 2, 3, 4, 5, 6};
    td_error err = {0};
    td__container_writer *writer;
    const char *path = test_path("small.tandem");
    assert_ok(td__container_writer_create(&writer, context, "index", 1, &err));
    assert_ok(td__container_add(writer, "a", TD__F32, 2, 3, matrix, &err));
    assert_ok(td__container_add(writer, "b", TD__U8, 7, 0, "seven!!", &err));
    assert_ok(td__container_add(writer, "c", TD__F32, 6, 0, matrix, &err));
    assert_ok(td__container_set(writer, "k", "v", &err));
    assert_ok(td__container_commit(writer, path, &err));
    td__container_writer_free(writer);
    size_t size;
    unsigned char *read = test_read(path, &size);
    forged file = {.size = size};
    void *aligned = NULL;
    if (posix_memalign(&aligned, 64, size + 64) != 0) fail_msg("out of memory");
    file.bytes = aligned;
    memcpy(file.bytes, read, size);
    free(read);
    return file;
}

static td_status open_file(td_context *context, const forged *file, td_error *err)
{
    td__container *container;
    td_status status = td__container_open_bytes(&container, context, file->bytes, file->size,
                                                "index", 1, err);
    assert_true((container != NULL) == (status == TD_OK));
    td__container_close(container);
    return status;
}

static void assert_damage_seen(td_context *context, const forged *file, const char *what, size_t at)
{
    td_error err = {0};
    td_status status = open_file(context, file, &err);
    if (status == TD_ERR_CORRUPT || status == TD_ERR_VERSION) {
        assert_true(err.message[0] != '\0' && err.byte <= file->size);
        return;
    }
    fail_msg("%s at byte %zu: %s", what, at, td_status_name(status));
}

static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    forged file = small_file(context);
    td_error err = {0};
    assert_ok(open_file(context, &file, &err));
    for (size_t i = 0; i < file.size; i++) {
        for (int bit = 0; bit < 9; bit++) {
            unsigned char mask = (unsigned char)(bit < 8 ? 1 << bit : 0xFF);
            file.bytes[i] ^= mask;
            assert_damage_seen(context, &file, "flip", i);
            file.bytes[i] ^= mask;
        }
    }
    free(file.bytes);
    td_context_free(context);
}

static void every_cut_is_seen(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    forged file = small_file(context);
    for (size_t size = 0; size < file.size; size++) {
        forged cut = {.bytes = file.bytes, .size = size};
        assert_damage_seen(context, &cut, "cut", size);
    }
    for (size_t more = 1; more <= 64; more++) {
        forged longer = {.bytes = file.bytes, .size = file.size + more};
        memset(file.bytes + file.size, 0, more);
        assert_damage_seen(context, &longer, "extension", longer.size);
    }
    free(file.bytes);
    td_context_free(context);
}

static void the_sentence_says_where(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    forged file = small_file(context);
    td_error err = {0};
    file.bytes[file.size - 1] ^= 1; /* in "c" */
    assert_fails(open_file(context, &file, &err), TD_ERR_CORRUPT,
                 "tensor \"c\" (24 bytes) is damaged");
    assert_int_equal(err.byte, file.size - 24);
    file.bytes[file.size - 1] ^= 1;
    file.bytes[file.size - 24 - 1] ^= 1; /* in the padding before it */
    assert_fails(open_file(context, &file, &err), TD_ERR_CORRUPT, "padding is not zero");
    assert_int_equal(err.byte, file.size - 25);
    file.bytes[file.size - 24 - 1] ^= 1;
    file.bytes[100] ^= 1;
    assert_fails(open_file(context, &file, &err), TD_ERR_CORRUPT, "byte 42: the header is damaged");
    free(file.bytes);
    td_context_free(context);
}

typedef struct bad_header {
    const char *header;
    td_status status;
    const char *part; /* of the sentence */
} bad_header;

#define ONE_F32 "\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"

static void malformed_headers_of_others_are_refused(void **state)
{
    /* Each with eight bytes of data. */
    static const bad_header rows[] = {
        {"{\"a\":{" ONE_F32 "}", TD_ERR_CORRUPT, "no JSON"},
        {"{\"a\":{" ONE_F32 "},\"a\":{" ONE_F32 "}}", TD_ERR_CORRUPT, "duplicate"},
        {"{} x", TD_ERR_CORRUPT, "no JSON"},
        {"{}", TD_ERR_CORRUPT, "8 bytes at the end belong to no tensor"},
        {"{\"a\":{" ONE_F32 "}}", TD_ERR_CORRUPT, "4 bytes at the end"},
        {"{\"a\":7}", TD_ERR_CORRUPT, "no dtype"},
        {"{\"a\":{}}", TD_ERR_CORRUPT, "no dtype"},
        {"{\"\":{" ONE_F32 "}}", TD_ERR_CORRUPT, "1 to 95 bytes"},
        {"{\"a\":{" ONE_F32 ",\"x\":1}}", TD_ERR_CORRUPT, "malformed"},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}", TD_ERR_UNSUPPORTED,
         "BF16"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", TD_ERR_CORRUPT,
         "malformed"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", TD_ERR_CORRUPT,
         "malformed"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", TD_ERR_CORRUPT,
         "malformed"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", TD_ERR_CORRUPT,
         "malformed"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", TD_ERR_CORRUPT,
         "malformed"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", TD_ERR_CORRUPT,
         "agree"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", TD_ERR_CORRUPT,
         "agree"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", TD_ERR_CORRUPT,
         "beyond"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", TD_ERR_CORRUPT, "gap"},
        {"{\"a\":{" ONE_F32 "},\"b\":{" ONE_F32 "}}", TD_ERR_CORRUPT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905,1],\"data_offsets\":[0,4]}}",
         TD_ERR_CORRUPT, "agree"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}",
         TD_ERR_CORRUPT, "malformed"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}",
         TD_ERR_CORRUPT, "no JSON"},
        {"{\"__metadata__\":[]}", TD_ERR_CORRUPT, "no JSON object"},
        {"{\"__metadata__\":{\"a\":1}}", TD_ERR_CORRUPT, "no text"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[1,8]},"
         "\"c\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[1,1]}}",
         TD_ERR_UNSUPPORTED, "aligned"},
    };
    (void)state;
    td_context *context = test_context(1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        td_error err = {0};
        td__container *container;
        char padded[512]; /* to a multiple of 8, as the Python package does */
        snprintf(padded, sizeof padded, "%-*s", (int)((strlen(rows[i].header) + 7) / 8 * 8),
                 rows[i].header);
        forged file = forge_foreign(padded, "datadata", 8);
        assert_fails(
            td__container_open_foreign_bytes(&container, context, file.bytes, file.size, &err),
            rows[i].status, rows[i].part);
        assert_null(container);
        free(file.bytes);
    }
    td_context_free(context);
}

static void deep_json_is_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container *container;
    enum { DEPTH = 100000 };
    char *header = malloc(DEPTH + 8);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    header[DEPTH + 5] = '\0';
    forged file = forge_foreign(header, "", 0);
    assert_fails(td__container_open_foreign_bytes(&container, context, file.bytes, file.size, &err),
                 TD_ERR_CORRUPT, "depth");
    free(header);
    free(file.bytes);
    td_context_free(context);
}

static void sizes_of_headers_are_not_believed(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 3, 100000000, 100000001, UINT64_MAX, UINT64_MAX - 7};
    td_context *context = test_context(1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        td_error err = {0};
        td__container *container;
        forged file = forge_foreign("{}", "", 0);
        memcpy(file.bytes, &sizes[i], sizeof sizes[i]);
        td_status status = td__container_open_foreign_bytes(&container, context, file.bytes,
                                                            file.size, &err);
        assert_int_equal(status, TD_ERR_CORRUPT);
        free(file.bytes);
    }
    td_context_free(context);
}

#define KIND   ",\"tandem.kind\":\"index\",\"tandem.version\":\"1\""
#define SUM    ",\"tandem.checksums\":\"%0123456789abcde\"}"
#define TENSOR ",\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"

/* Headers whose own checksum is right. */
static void malformed_headers_of_ours_are_refused(void **state)
{
    static const bad_header rows[] = {
        {KIND SUM TENSOR, TD_OK, ""},
        {SUM TENSOR, TD_ERR_CORRUPT, "lacks a kind"},
        {",\"tandem.kind\":\"index\",\"tandem.version\":\"1x\"" SUM TENSOR, TD_ERR_CORRUPT,
         "version"},
        {",\"tandem.kind\":\"index\",\"tandem.version\":\"\"" SUM TENSOR, TD_ERR_CORRUPT,
         "version"},
        {",\"tandem.kind\":\"index\",\"tandem.version\":\"9999999999\"" SUM TENSOR, TD_ERR_CORRUPT,
         "version"},
        {",\"tandem.kind\":\"index\",\"tandem.version\":\"2\"" SUM TENSOR, TD_ERR_VERSION,
         "(unknown)"},
        {",\"tandem.kind\":\"cake\",\"tandem.version\":\"1\"" SUM TENSOR, TD_ERR_VERSION, "cake"},
        {KIND "}" TENSOR, TD_ERR_CORRUPT, "lacks checksums of 1"},
        {KIND ",\"tandem.checksums\":\"\"}" TENSOR, TD_ERR_CORRUPT, "lacks checksums of 1"},
        {KIND ",\"tandem.checksums\":\"0123456789abcdef\"}" TENSOR, TD_ERR_CORRUPT,
         "\"a\" (8 bytes)"},
        {KIND SUM ",\"~pad.0\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
         TD_ERR_CORRUPT, "padding is not zero"},
        {KIND SUM ",\"~pad.0\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         TD_ERR_CORRUPT, "no padding"},
        {KIND SUM ",\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                  "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         TD_ERR_CORRUPT, "multiple of 64"},
        {KIND SUM ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
                  "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         TD_ERR_CORRUPT, "gap"},
    };
    (void)state;
    td_context *context = test_context(1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        td_error err = {0};
        forged file = forge_ours(rows[i].header, "datadata", 8);
        assert_fails(open_file(context, &file, &err), rows[i].status, rows[i].part);
        free(file.bytes);
    }
    td_context_free(context);
}

static void a_header_that_is_not_padded_is_refused(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    forged file = forge_ours(KIND SUM TENSOR, "datadata", 8);
    uint64_t size;
    memcpy(&size, file.bytes, 8);
    size -= 8; /* eight blanks fewer */
    memcpy(file.bytes, &size, 8);
    forge_header_checksum(file.bytes, file.size);
    assert_fails(open_file(context, &file, &err), TD_ERR_CORRUPT, "cannot be");
    free(file.bytes);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(every_cut_is_seen),
        cmocka_unit_test(the_sentence_says_where),
        cmocka_unit_test(malformed_headers_of_others_are_refused),
        cmocka_unit_test(deep_json_is_refused),
        cmocka_unit_test(sizes_of_headers_are_not_believed),
        cmocka_unit_test(malformed_headers_of_ours_are_refused),
        cmocka_unit_test(a_header_that_is_not_padded_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
