/* describe_test.c -- a description says all that a file holds. */
#include "support/test.h"

#include <jansson.h>

#include "base/container.h"

static void write_file(td_context *context, const char *path)
{
    static const float matrix[6] = {0};
    td_error err = {0};
    td__container_writer *writer;
    assert_ok(td__container_writer_create(&writer, context, "model", 4, &err));
    assert_ok(td__container_add(writer, "m", TD__F32, 2, 3, matrix, &err));
    assert_ok(td__container_add(writer, "v", TD__U8, 5, 0, matrix, &err));
    assert_ok(td__container_set(writer, "options", "{\"dim\":3}", &err));
    assert_ok(td__container_commit(writer, path, &err));
    td__container_writer_free(writer);
}

static void the_description_is_json_with_all_parts(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const char *path = test_path("model.tandem");
    char *text, *dtype;
    write_file(context, path);
    assert_ok(td_file_describe(&text, context, path, &err));
    json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *kind, *library, *options;
    json_int_t version, rows, cols, bytes;
    assert_int_equal(json_unpack(all, "{s:s,s:I,s:s,s:{s:s!},s:[{s:s,s:[I,I!],s:I},{}!]!}", "kind",
                                 &kind, "version", &version, "library", &library, "metadata",
                                 "options", &options, "tensors", "dtype", &dtype, "shape", &rows,
                                 &cols, "bytes", &bytes),
                     0);
    assert_string_equal(kind, "model");
    assert_int_equal(version, 4);
    assert_string_equal(library, td_version());
    assert_string_equal(options, "{\"dim\":3}");
    assert_string_equal(dtype, "F32");
    assert_true(rows == 2 && cols == 3 && bytes == 24);
    json_decref(all);
    td_text_free(context, text);
    td_text_free(context, NULL);
    td_context_free(context);
}

static void other_files_have_none(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    char *text;
    assert_fails(td_file_describe(&text, context, test_text_file("t", "1,2\n"), &err),
                 TD_ERR_VERSION, "no container");
    assert_null(text);
    assert_fails(td_file_describe(&text, context, test_path("missing"), &err), TD_ERR_NOT_FOUND,
                 "missing");
    td_context_free(context);
}

static td_status describe_file(void *path, td_context *context, td_error *err)
{
    char *text;
    td_status status = td_file_describe(&text, context, path, err);
    td_text_free(context, text);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[256];
    td_context *context = test_context(1);
    snprintf(path, sizeof path, "%s", test_path("memory.tandem"));
    write_file(context, path);
    test_every_allocation(describe_file, path);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_description_is_json_with_all_parts),
        cmocka_unit_test(other_files_have_none),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
