/* container_test.c -- what was written is what is read, by us and by others. */
#include "support/fault.h"

#include <jansson.h>

#include "base/container.h"

static const float matrix[6] = {1, -2, 3.5f, 0, 1e-30f, 7};
static const uint64_t wide[3] = {1, UINT64_MAX, 0};
static const uint8_t bytes[5] = {1, 2, 3, 4, 255};
static const double twice[1] = {0.1};

/* One of each: matrix, vectors whose sizes leave gaps, nothing at all. */
static td_status write_sample(void *path, td_context *context, td_error *err)
{
    td_status status;
    td__container_writer *writer;
    if ((status = td__container_writer_create(&writer, context, "model", 3, err)) != TD_OK) {
        return status;
    }
    bool added =
        (status = td__container_add(writer, "matrix", TD__F32, 2, 3, matrix, err)) == TD_OK
        && (status = td__container_add(writer, "none", TD__F32, 0, 3, NULL, err)) == TD_OK
        && (status = td__container_add(writer, "wide", TD__U64, 3, 0, wide, err)) == TD_OK
        && (status = td__container_add(writer, "bytes", TD__U8, 5, 0, bytes, err)) == TD_OK
        && (status = td__container_add(writer, "twice", TD__F64, 1, 1, twice, err)) == TD_OK
        && (status = td__container_set(writer, "title", "K\xc3\xb6ln \"\\\n", err)) == TD_OK;
    if (added) status = td__container_commit(writer, path, err);
    td__container_writer_free(writer);
    return status;
}

static const char *sample_path(td_context *context)
{
    td_error err = {0};
    const char *path = test_path("sample.tandem");
    assert_ok(write_sample((void *)(uintptr_t)path, context, &err));
    return path;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    td__container *container;
    assert_ok(td__container_open(&container, context, sample_path(context), "model", 3, &err));
    assert_string_equal(td__container_kind(container), "model");
    assert_int_equal(td__container_version(container), 3);
    assert_int_equal(td__container_count(container), 5);
    assert_string_equal(td__container_at(container, 3)->name, "bytes");
    assert_string_equal(td__container_get(container, "title"), "K\xc3\xb6ln \"\\\n");
    assert_null(td__container_get(container, "missing"));
    assert_null(td__container_find(container, "missing"));
    assert_null(td__container_find(container, "~pad.0"));
    const td__tensor *tensor;
    assert_ok(td__container_require(container, "matrix", TD__F32, 2, 3, &tensor, &err));
    assert_memory_equal(tensor->data, matrix, sizeof matrix);
    assert_ok(td__container_require(container, "wide", TD__U64, UINT64_MAX, 0, &tensor, &err));
    assert_memory_equal(tensor->data, wide, sizeof wide);
    assert_ok(td__container_require(container, "bytes", TD__U8, 5, 0, &tensor, &err));
    assert_memory_equal(tensor->data, bytes, sizeof bytes);
    assert_ok(td__container_require(container, "twice", TD__F64, 1, UINT64_MAX, &tensor, &err));
    assert_memory_equal(tensor->data, twice, sizeof twice);
    assert_ok(td__container_require(container, "none", TD__F32, 0, 3, &tensor, &err));
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal((uintptr_t)td__container_at(container, i)->data % 64, 0);
    }
    td__container_close(container);
    td_context_free(context);
}

static void require_says_what_is_different(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container *container;
    const td__tensor *tensor;
    assert_ok(td__container_open(&container, context, sample_path(context), NULL, 3, &err));
    assert_fails(td__container_require(container, "bias", TD__F32, 2, 3, &tensor, &err),
                 TD_ERR_CORRUPT, "\"bias\" is missing");
    assert_fails(td__container_require(container, "matrix", TD__F32, 2, 4, &tensor, &err),
                 TD_ERR_CORRUPT, "\"matrix\" is F32 [2, 3]; F32 [2, 4] is needed");
    assert_true(err.byte > 0);
    assert_fails(td__container_require(container, "matrix", TD__U32, UINT64_MAX, 3, &tensor, &err),
                 TD_ERR_CORRUPT, "U32 [any, 3]");
    assert_fails(td__container_require(container, "bytes", TD__U8, 4, 0, &tensor, &err),
                 TD_ERR_CORRUPT, "U8 [5]; U8 [4]");
    assert_null(tensor);
    td__container_close(container);
    td_context_free(context);
}

static void an_empty_container_is_fine(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container_writer *writer;
    td__container *container;
    const char *path = test_path("empty.tandem");
    assert_ok(td__container_writer_create(&writer, context, "index", 1, &err));
    assert_ok(td__container_commit(writer, path, &err));
    assert_ok(td__container_commit(writer, path, &err)); /* over itself */
    assert_ok(td__container_open(&container, context, path, "index", 1, &err));
    assert_int_equal(td__container_count(container), 0);
    td__container_close(container);
    td__container_writer_free(writer);
    td__container_writer_free(NULL);
    td__container_close(NULL);
    td_context_free(context);
}

static void the_same_input_gives_the_same_bytes(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    size_t first_size, second_size;
    unsigned char *first = test_read(sample_path(context), &first_size);
    unsigned char *second = test_read(sample_path(context), &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
    td_context_free(context);
}

static void kind_and_version_are_checked(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container *container;
    const char *path = sample_path(context);
    assert_fails(td__container_open(&container, context, path, "index", 3, &err), TD_ERR_VERSION,
                 "kind \"model\"; \"index\" is needed");
    assert_fails(td__container_open(&container, context, path, "model", 2, &err), TD_ERR_VERSION,
                 "version 3 of \"model\" files, written by Tandem " TD_VERSION_STRING);
    assert_non_null(strstr(err.message, path));
    assert_null(container);
    assert_ok(td__container_open(&container, context, path, NULL, 9, &err));
    td__container_close(container);
    td_context_free(context);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container *container;
    assert_fails(td__container_open(&container, context, test_path("missing"), NULL, 1, &err),
                 TD_ERR_NOT_FOUND, "No such file");
    assert_fails(td__container_open(&container, context, test_text_file("t", ""), NULL, 1, &err),
                 TD_ERR_VERSION, "no container");
    assert_fails(td__container_open(&container, context,
                                    test_text_file("t", "userId,movieId\n1,2\n"), NULL, 1, &err),
                 TD_ERR_VERSION, "no container");
    assert_fails(td__container_open(&container, context, test_golden("schedules.safetensors"), NULL,
                                    1, &err),
                 TD_ERR_VERSION, "no file of Tandem");
    assert_false(td__container_probe(test_text_file("t", "userId,movieId\n1,2\n")));
    assert_false(td__container_probe(test_text_file("t", "")));
    /* A text that has '{' where a header starts, and is long enough for one. */
    const char *braces = "user,it\n{1},{a film with a long name}\n{2},{another film}\n";
    assert_false(td__container_probe(test_text_file("t", braces)));
    assert_false(td__container_probe(test_path("missing")));
    assert_true(td__container_probe(sample_path(context)));
    td_context_free(context);
}

/* The golden files were written by the Python package safetensors. */
static void files_of_others_open_as_foreign(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container *container;
    const td__tensor *tensor;
    const char *path = test_golden("optimizers.safetensors");
    assert_ok(td__container_open_foreign(&container, context, path, &err));
    assert_string_equal(td__container_kind(container), "");
    assert_non_null(strstr(td__container_get(container, "versions"), "tensorflow"));
    /* [10, 6, 4] has its leading dimensions taken together. */
    assert_ok(
        td__container_require(container, "tfkeras_sgd_sparse/grad", TD__F32, 60, 4, &tensor, &err));
    assert_ok(
        td__container_require(container, "tfkeras_sgd_sparse/row", TD__I64, 10, 6, &tensor, &err));
    td__container_close(container);
    assert_ok(td__container_open_foreign(&container, context, sample_path(context), &err));
    assert_non_null(td__container_find(container, "~pad.0"));
    td__container_close(container);
    td_context_free(context);
}

static void bad_names_and_texts_are_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container_writer *w;
    char long_name[TD__NAME_MAX + 1] = {0};
    memset(long_name, 'n', TD__NAME_MAX);
    assert_ok(td__container_writer_create(&w, context, "index", 1, &err));
    assert_fails(td__container_add(w, "", TD__U8, 0, 0, NULL, &err), TD_ERR_ARGUMENT, "no name");
    assert_fails(td__container_add(w, "~x", TD__U8, 0, 0, NULL, &err), TD_ERR_ARGUMENT, "no name");
    assert_fails(td__container_add(w, long_name, TD__U8, 0, 0, NULL, &err), TD_ERR_ARGUMENT,
                 "no name");
    assert_fails(td__container_add(w, "__metadata__", TD__U8, 0, 0, NULL, &err), TD_ERR_ARGUMENT,
                 "cannot be called");
    assert_ok(td__container_add(w, long_name + 1, TD__U8, 0, 0, NULL, &err));
    assert_fails(td__container_add(w, long_name + 1, TD__U8, 0, 0, NULL, &err), TD_ERR_ARGUMENT,
                 "two tensors");
    assert_fails(td__container_add(w, "big", TD__F32, UINT64_MAX / 4, 2, NULL, &err), TD_ERR_LIMIT,
                 "too large");
    assert_fails(td__container_add(w, "big", TD__U8, UINT64_MAX, 0, NULL, &err), TD_ERR_LIMIT,
                 "big");
    assert_fails(td__container_set(w, "tandem.kind", "x", &err), TD_ERR_ARGUMENT, "ours");
    assert_fails(td__container_set(w, "x", "\xff", &err), TD_ERR_ARGUMENT, "UTF-8");
    assert_fails(td__container_set(w, "\xff", "x", &err), TD_ERR_ARGUMENT, "UTF-8");
    assert_fails(td__container_add(w, "\xff", TD__U8, 0, 0, NULL, &err), TD_ERR_ARGUMENT, "UTF-8");
    td__container_writer_free(w);
    td_context_free(context);
}

static void vocabularies_keep_their_order(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container_writer *writer;
    td__container *container;
    td_vocab *vocab, *empty, *read;
    uint32_t position;
    const char *path = test_path("vocab.tandem");
    assert_ok(td_vocab_create(&vocab, context, &err));
    assert_ok(td_vocab_create(&empty, context, &err));
    assert_ok(td_vocab_add(vocab, "b", 1, &position, &err));
    assert_ok(td_vocab_add(vocab, "a\xc3\xa4", 3, &position, &err));
    assert_ok(td__container_writer_create(&writer, context, "model", 1, &err));
    assert_ok(td__container_add_vocab(writer, "query", vocab, &err));
    assert_ok(td__container_add_vocab(writer, "none", empty, &err));
    assert_ok(td__container_add(writer, "odd.bytes", TD__U8, 5, 0, bytes, &err));
    assert_ok(td__container_add(writer, "odd.offsets", TD__U64, 3, 0, wide, &err));
    assert_ok(td__container_commit(writer, path, &err));
    assert_ok(td__container_open(&container, context, path, "model", 1, &err));
    assert_ok(td__container_load_vocab(container, "query", context, &read, &err));
    assert_int_equal(td_vocab_count(read), 2);
    assert_string_equal(td_vocab_id(read, 1), "a\xc3\xa4");
    td_vocab_free(read);
    assert_ok(td__container_load_vocab(container, "none", context, &read, &err));
    assert_int_equal(td_vocab_count(read), 0);
    td_vocab_free(read);
    assert_fails(td__container_load_vocab(container, "item", context, &read, &err), TD_ERR_CORRUPT,
                 "\"item.bytes\" is missing");
    assert_fails(td__container_load_vocab(container, "odd", context, &read, &err), TD_ERR_CORRUPT,
                 "odd: the table of ids");
    assert_null(read);
    td__container_close(container);
    td__container_writer_free(writer);
    td_vocab_free(vocab);
    td_vocab_free(empty);
    td_context_free(context);
}

static void writing_survives_every_failed_call(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("fault.tandem"));
    test_every_write(write_sample, path, path);
}

static td_status write_and_read(void *path, td_context *context, td_error *err)
{
    td__container *container;
    td_status status = write_sample(path, context, err);
    if (status != TD_OK) return status;
    status = td__container_open(&container, context, path, "model", 3, err);
    td__container_close(container);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("memory.tandem"));
    test_every_allocation(write_and_read, path);
}

/* jansson has an allocator of its own; `json_left` allocations succeed. */
static int64_t json_left;

static void *json_allocate(size_t size)
{
    return json_left-- > 0 ? malloc(size) : NULL;
}

typedef td_status json_body(void *path, td_context *context, td_error *err);

static void fail_every_json_allocation(json_body *body, const char *path)
{
    td_status status = TD_ERR_MEMORY;
    for (int64_t n = 0; status != TD_OK; n++) {
        test_memory memory = {.fail_at = -1};
        td_context *context = test_context_on(&memory, 1);
        td_error err = {0};
        int64_t blocks = memory.blocks;
        json_set_alloc_funcs(json_allocate, free);
        json_left = n;
        status = body((void *)(uintptr_t)path, context, &err);
        json_set_alloc_funcs(malloc, free);
        /* Where memory ends within a string, jansson says that the syntax is wrong. */
        bool excused = status == TD_ERR_CORRUPT
                       && strstr(err.message, "the header is no JSON") != NULL;
        if (status != TD_OK && status != TD_ERR_MEMORY && !excused) {
            fail_msg("allocation %d: %s: %s", (int)n, td_status_name(status), err.message);
        }
        assert_int_equal(memory.blocks, blocks);
        td_context_free(context);
    }
}

static td_status only_read(void *path, td_context *context, td_error *err)
{
    td__container *container;
    td_status status = td__container_open(&container, context, path, "model", 3, err);
    td__container_close(container);
    return status;
}

static td_status only_describe(void *path, td_context *context, td_error *err)
{
    char *text;
    td_status status = td_file_describe(&text, context, path, err);
    td_text_free(context, text);
    return status;
}

static void survives_every_failed_allocation_of_json(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("json.tandem"));
    fail_every_json_allocation(write_sample, path);
    fail_every_json_allocation(only_read, path);
    fail_every_json_allocation(only_describe, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(require_says_what_is_different),
        cmocka_unit_test(an_empty_container_is_fine),
        cmocka_unit_test(the_same_input_gives_the_same_bytes),
        cmocka_unit_test(kind_and_version_are_checked),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(files_of_others_open_as_foreign),
        cmocka_unit_test(bad_names_and_texts_are_refused),
        cmocka_unit_test(vocabularies_keep_their_order),
        cmocka_unit_test(writing_survives_every_failed_call),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(survives_every_failed_allocation_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
