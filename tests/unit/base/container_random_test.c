/* container_random_test.c -- any tensors and texts go into a file and come out the same. */
#include "support/test.h"

#include "base/container.h"
#include "base/random.h"

enum { TENSORS_MAX = 12, BYTES_MAX = 4096, FILES = 60 };

/* A tensor to be written, and its bytes. */
typedef struct sample {
    char name[TD__NAME_MAX];
    td__dtype dtype;
    uint64_t rows, cols;
    _Alignas(64) unsigned char bytes[BYTES_MAX];
} sample;

typedef struct samples {
    td__random random;
    uint64_t drawn;
    uint32_t count;
    sample all[TENSORS_MAX];
} samples;

static uint64_t below(samples *s, uint64_t bound)
{
    return td__random_below(s->random, s->drawn++, bound);
}

/* Unique by the number in front; the rest is what a name may be. */
static void draw_name(samples *s, uint32_t number, char *name)
{
    static const char *const pieces[] = {".", "/", " ", "\"", "\\", "\xc3\xa9", "\xe6\x97\xa5",
                                         "\xf0\x9f\x98\x80", "a", "~", "\x01", "\x7f"};
    size_t length = (size_t)snprintf(name, TD__NAME_MAX, "%u", number);
    for (uint64_t more = below(s, 6); more > 0; more--) {
        const char *piece = pieces[below(s, sizeof pieces / sizeof pieces[0])];
        size_t bytes = strlen(piece);
        if (length + bytes >= TD__NAME_MAX) return;
        memcpy(name + length, piece, bytes + 1);
        length += bytes;
    }
}

/* Any type, vectors and matrices, nothing among them, any bit pattern (NaNs too). */
static void draw_sample(samples *s, uint32_t number)
{
    sample *one = &s->all[number];
    draw_name(s, number, one->name);
    one->dtype = (td__dtype)below(s, 6);
    uint64_t elements = BYTES_MAX / td__dtype_size(one->dtype);
    one->cols = below(s, 3) == 0 ? 0 : 1 + below(s, 40);
    uint64_t most = elements / (one->cols == 0 ? 1 : one->cols);
    one->rows = below(s, 6) == 0 ? 0 : below(s, most + 1);
    for (size_t i = 0; i < BYTES_MAX; i++) one->bytes[i] = (unsigned char)below(s, 256);
}

static void draw_all(samples *s, uint64_t seed)
{
    s->random = td__random_stream(seed, TD__STREAM_SPLIT, 0);
    s->drawn = 0;
    s->count = (uint32_t)below(s, TENSORS_MAX + 1);
    for (uint32_t i = 0; i < s->count; i++) draw_sample(s, i);
}

static void write_all(const samples *s, td_context *context, const char *path)
{
    td_error err = {0};
    td__container_writer *writer;
    assert_ok(td__container_writer_create(&writer, context, "dataset", 7, &err));
    for (uint32_t i = 0; i < s->count; i++) {
        const sample *one = &s->all[i];
        assert_ok(td__container_add(writer, one->name, one->dtype, one->rows, one->cols,
                                    one->bytes, &err));
        assert_ok(td__container_set(writer, one->name, one->name, &err));
    }
    assert_ok(td__container_commit(writer, path, &err));
    td__container_writer_free(writer);
}

static void compare(const td__container *container, const sample *one)
{
    td_error err = {0};
    const td__tensor *tensor;
    assert_ok(td__container_require(container, one->name, one->dtype, one->rows, one->cols, &tensor,
                                    &err));
    assert_int_equal((uintptr_t)tensor->data % 64, 0);
    uint64_t bytes = one->rows * (one->cols == 0 ? 1 : one->cols) * td__dtype_size(one->dtype);
    assert_int_equal(td__tensor_bytes(tensor), bytes);
    if (bytes > 0) assert_memory_equal(tensor->data, one->bytes, bytes);
    assert_string_equal(td__container_get(container, one->name), one->name);
}

static void any_tensors_round_trip(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    samples *s = calloc(1, sizeof *s);
    assert_non_null(s);
    const char *path = test_path("random.tandem");
    for (uint64_t seed = 1; seed <= FILES; seed++) {
        td__container *container;
        draw_all(s, seed);
        write_all(s, context, path);
        assert_true(td__container_probe(path));
        assert_ok(td__container_open(&container, context, path, "dataset", 7, &err));
        assert_int_equal(td__container_count(container), s->count);
        for (uint32_t i = 0; i < s->count; i++) compare(container, &s->all[i]);
        td__container_close(container);
    }
    free(s);
    td_context_free(context);
}

/* Cut anywhere, a file is refused; nothing of it is believed. */
static void a_shorter_file_is_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    samples *s = calloc(1, sizeof *s);
    assert_non_null(s);
    const char *path = test_path("whole.tandem");
    draw_all(s, 3);
    write_all(s, context, path);
    size_t size;
    unsigned char *bytes = test_read(path, &size);
    td__random random = td__random_stream(4, TD__STREAM_SPLIT, 0);
    for (uint64_t i = 0; i < 200; i++) {
        td__container *container;
        size_t count = td__random_below(random, i, size);
        const char *cut = test_file("cut.tandem", bytes, count);
        td_status status = td__container_open(&container, context, cut, "dataset", 7, &err);
        if (status == TD_OK) fail_msg("%zu of %zu bytes were believed", count, size);
        assert_null(container);
        assert_true(strlen(err.message) > 0);
    }
    free(bytes);
    free(s);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_tensors_round_trip),
        cmocka_unit_test(a_shorter_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
