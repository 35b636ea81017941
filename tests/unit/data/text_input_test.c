/* text_input_test.c -- a window over a plain or packed file shows all of its bytes once, or says
 * why not. */
#define _GNU_SOURCE
#include "support/test.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/text_input.h"

/* Bytes that do not repeat soon, so that a lost or doubled block shows. */
static char *make_text(size_t count)
{
    char *text = malloc(count + 1);
    assert_non_null(text);
    for (size_t i = 0, n = 0; i < count; n++) {
        char line[32];
        int length = snprintf(line, sizeof line, "%zu,%zu\n", n, n * 2654435761u % 1000003);
        for (int k = 0; k < length && i < count; k++) text[i++] = line[k];
    }
    text[count] = '\0';
    return text;
}

static const char *gzip_file(const char *name, const char *text, size_t count, const char *mode)
{
    const char *path = test_path(name);
    gzFile file = gzopen(path, mode);
    assert_non_null(file);
    if (count > 0) assert_int_equal(gzwrite(file, text, (unsigned)count), count);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

/* Read it all, letting go of a third of each window, and compare. */
static void shows_text(const char *path, const char *text, size_t count)
{
    td_error err = {0};
    td_context *context = test_context(1);
    td__text_input *input;
    td__text_window window = {0};
    assert_ok(td__text_input_open(&input, context, path, &err));
    size_t used = 0, at = 0;
    do {
        assert_ok(td__text_input_slide(input, used, &window, &err));
        assert_int_equal(window.offset, at);
        assert_true(window.count <= count - at);
        assert_memory_equal(window.bytes, text + at, window.count);
        used = window.last ? window.count : window.count / 3;
        at += used;
    } while (!window.last);
    assert_int_equal(at, count);
    td__text_input_close(input);
    td_context_free(context);
}

static void plain_and_packed_show_the_same(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,    2,      3,      7,      4095,
                                   4096, 4097, 262143, 262144, 262145, 1500000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *text = make_text(sizes[i]);
        shows_text(test_file("plain", text, sizes[i]), text, sizes[i]);
        shows_text(gzip_file("packed", text, sizes[i], "wb6"), text, sizes[i]);
        free(text);
    }
}

static void members_follow_each_other(void **state)
{
    (void)state;
    char *text = make_text(300000);
    gzip_file("members", text, 100000, "wb");
    gzip_file("members", text + 100000, 0, "ab");
    const char *path = gzip_file("members", text + 100000, 200000, "ab");
    shows_text(path, text, 300000);
    FILE *file = fopen(path, "ab");
    static const char zeros[1000];
    assert_int_equal(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    fclose(file);
    shows_text(path, text, 300000);
    free(text);
}

static td_status read_all(const char *path, td_context *context, td_error *err)
{
    td__text_input *input;
    td__text_window window = {0};
    td_status status = td__text_input_open(&input, context, path, err);
    while (status == TD_OK && !window.last) {
        status = td__text_input_slide(input, window.count, &window, err);
    }
    td__text_input_close(input);
    return status;
}

static void a_packed_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    char *text = make_text(3000);
    size_t count;
    unsigned char *packed = test_read(gzip_file("whole", text, 3000, "wb"), &count);
    for (size_t cut = 2; cut < count; cut++) {
        assert_fails(read_all(test_file("cut", packed, cut), context, &err), TD_ERR_CORRUPT,
                     "too early");
    }
    free(packed);
    free(text);
    td_context_free(context);
}

/* Behind the ten bytes of the header every byte is covered by the checksum and the length. */
static void a_flipped_byte_of_packed_data_is_found(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    char *text = make_text(3000);
    size_t count;
    unsigned char *packed = test_read(gzip_file("whole", text, 3000, "wb"), &count);
    for (size_t i = 10; i < count; i++) {
        packed[i] ^= 0x5A;
        assert_int_equal(read_all(test_file("bad", packed, count), context, &err), TD_ERR_CORRUPT);
        packed[i] ^= 0x5A;
    }
    FILE *file = fopen(test_file("garbage", packed, count), "ab");
    fputs("garbage", file);
    fclose(file);
    assert_fails(read_all(test_path("garbage"), context, &err), TD_ERR_CORRUPT, "damaged");
    free(packed);
    free(text);
    td_context_free(context);
}

static void says_what_is_no_text_file(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    assert_fails(read_all(test_path("none"), context, &err), TD_ERR_NOT_FOUND, "none");
    assert_fails(read_all(test_directory(), context, &err), TD_ERR_IO, "directory");
    assert_fails(read_all(test_file("a.zip", "PK\003\004....", 8), context, &err),
                 TD_ERR_UNSUPPORTED, "zip");
    assert_fails(read_all(test_file("a.txt", "\xFF\xFEu\0", 4), context, &err), TD_ERR_UNSUPPORTED,
                 "UTF-16");
    assert_fails(read_all(test_file("a.zst", "\x28\xB5\x2F\xFD....", 8), context, &err),
                 TD_ERR_UNSUPPORTED, "zstd");
    td_context_free(context);
}

static void *write_slowly(void *argument)
{
    FILE *file = fopen(argument, "wb");
    for (int i = 0; i < 20; i++) {
        fprintf(file, "%d,%d\n", i, i);
        fflush(file);
        usleep(1000);
    }
    fclose(file);
    return NULL;
}

static void a_pipe_may_give_bytes_in_drops(void **state)
{
    (void)state;
    char path[1024], text[256];
    size_t count = 0;
    for (int i = 0; i < 20; i++) {
        count += (size_t)snprintf(text + count, sizeof text - count, "%d,%d\n", i, i);
    }
    (void)snprintf(path, sizeof path, "%s", test_path("pipe"));
    assert_int_equal(mkfifo(path, 0600), 0);
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, path), 0);
    shows_text(path, text, count);
    pthread_join(writer, NULL);
}

static td_status read_packed(void *path, td_context *context, td_error *err)
{
    return read_all(path, context, err);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char *text = make_text(30000), path[1024];
    (void)snprintf(path, sizeof path, "%s", gzip_file("packed", text, 30000, "wb"));
    test_every_allocation(read_packed, path);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_packed_show_the_same),
        cmocka_unit_test(members_follow_each_other),
        cmocka_unit_test(a_packed_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_flipped_byte_of_packed_data_is_found),
        cmocka_unit_test(says_what_is_no_text_file),
        cmocka_unit_test(a_pipe_may_give_bytes_in_drops),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
