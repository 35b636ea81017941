/* file_test.c -- files are mapped whole, and written whole or not at all. */
#include "support/fault.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static void maps_what_is_there(void **state)
{
    (void)state;
    td_error err = {0};
    td__mapping mapping;
    assert_ok(td__mapping_open(&mapping, test_text_file("map", "hello"), &err));
    assert_int_equal(mapping.size, 5);
    assert_memory_equal(mapping.bytes, "hello", 5);
    td__mapping_close(&mapping);
    td__mapping_close(&mapping);
    assert_ok(td__mapping_open(&mapping, test_text_file("empty", ""), &err));
    assert_null(mapping.bytes);
    assert_int_equal(mapping.size, 0);
    td__mapping_close(&mapping);
}

static void refuses_to_map_what_is_no_file(void **state)
{
    (void)state;
    td_error err = {0};
    td__mapping mapping;
    assert_fails(td__mapping_open(&mapping, test_path("missing"), &err), TD_ERR_NOT_FOUND,
                 "No such file");
    assert_fails(td__mapping_open(&mapping, test_directory(), &err), TD_ERR_IO, "regular");
    assert_fails(td__mapping_open(&mapping, "/dev/null", &err), TD_ERR_IO, "regular");
    const char *pipe = test_path("pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_fails(td__mapping_open(&mapping, pipe, &err), TD_ERR_IO, "regular"); /* and at once */
    assert_null(mapping.bytes);
}

static void write_pieces(td_context *context, const char *path, size_t piece, size_t total)
{
    td_error err = {0};
    td__writer *writer;
    unsigned char *bytes = malloc(total + 1);
    for (size_t i = 0; i < total; i++) bytes[i] = (unsigned char)(i * 31 + i / 251);
    assert_ok(td__writer_create(&writer, context, path, &err));
    for (size_t at = 0; at < total; at += piece) {
        assert_ok(td__writer_write(writer, bytes + at, total - at < piece ? total - at : piece, &err));
    }
    assert_ok(td__writer_commit(writer, &err));
    size_t count;
    unsigned char *read = test_read(path, &count);
    assert_int_equal(count, total);
    assert_memory_equal(read, bytes, total);
    free(read);
    free(bytes);
}

static void pieces_of_any_size_arrive_in_order(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 4096, 65535, 65536, 65537, 200000};
    td_context *context = test_context(1);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        write_pieces(context, test_path("pieces"), pieces[i], 200003);
    }
    write_pieces(context, test_path("pieces"), 1, 0);
    td_context_free(context);
}

static void the_old_file_stays_until_the_commit(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const char *path = test_text_file("kept", "old");
    td__writer *writer;
    size_t count;
    assert_ok(td__writer_create(&writer, context, path, &err));
    assert_ok(td__writer_write(writer, "new!", 4, &err));
    unsigned char *bytes = test_read(path, &count);
    assert_string_equal((char *)bytes, "old");
    free(bytes);
    td__writer_abandon(writer);
    bytes = test_read(path, &count);
    assert_string_equal((char *)bytes, "old");
    free(bytes);
    td__writer_abandon(NULL);
    td_context_free(context);
}

static mode_t mode_of(const char *path)
{
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    return facts.st_mode & 07777;
}

static void permissions_are_passed_on(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const char *path = test_path("secret");
    mode_t mask = umask(022);
    write_pieces(context, path, 10, 20);
    assert_int_equal(mode_of(path), 0644);
    assert_int_equal(chmod(path, 0600), 0);
    write_pieces(context, path, 10, 20);
    assert_int_equal(mode_of(path), 0600);
    umask(mask);
    td_context_free(context);
}

static void refuses_to_replace_what_is_no_file(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__writer *writer;
    assert_fails(td__writer_create(&writer, context, "/dev/null", &err), TD_ERR_IO, "regular");
    assert_null(writer);
    assert_fails(td__writer_create(&writer, context, test_directory(), &err), TD_ERR_IO, "regular");
    assert_fails(td__writer_create(&writer, context, test_path("no/such/place"), &err),
                 TD_ERR_NOT_FOUND, "beside it");
    td_context_free(context);
}

static void a_name_without_a_directory_is_fine(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    char *before = getcwd(NULL, 0);
    assert_int_equal(chdir(test_directory()), 0);
    write_pieces(context, "plain", 10, 20);
    assert_int_equal(chdir(before), 0);
    free(before);
    td_context_free(context);
}

static td_status write_big(void *state, td_context *context, td_error *err)
{
    static const char bytes[70000];
    td__writer *writer;
    td_status status = td__writer_create(&writer, context, state, err);
    if (status != TD_OK) return status;
    for (int i = 0; i < 3 && status == TD_OK; i++) {
        status = td__writer_write(writer, i == 1 ? bytes : "line\n", i == 1 ? sizeof bytes : 5, err);
    }
    if (status == TD_OK) return td__writer_commit(writer, err);
    td__writer_abandon(writer);
    return status;
}

static void survives_every_failed_call(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("fault"));
    uint64_t before = test_fault_calls();
    test_every_write(write_big, path, path);
    assert_true(test_fault_calls() > before + 50);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("memory"));
    test_every_allocation(write_big, path);
}

/* Even a caller that ignores the failed write cannot commit half a file. */
static td_status write_carelessly(void *state, td_context *context, td_error *err)
{
    static const char bytes[70000];
    td__writer *writer;
    td_status status = td__writer_create(&writer, context, state, err);
    if (status != TD_OK) return status;
    status = td__writer_write(writer, bytes, sizeof bytes, err);
    return td__writer_commit(writer, err);
}

static void a_failed_write_fails_the_commit(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("careless"));
    test_every_write(write_carelessly, path, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_what_is_there),
        cmocka_unit_test(refuses_to_map_what_is_no_file),
        cmocka_unit_test(pieces_of_any_size_arrive_in_order),
        cmocka_unit_test(the_old_file_stays_until_the_commit),
        cmocka_unit_test(permissions_are_passed_on),
        cmocka_unit_test(refuses_to_replace_what_is_no_file),
        cmocka_unit_test(a_name_without_a_directory_is_fine),
        cmocka_unit_test(survives_every_failed_call),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(a_failed_write_fails_the_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
