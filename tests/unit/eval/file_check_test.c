/* file_check_test.c -- a check finds damage, and numbers that no file of the kind can have. */
#include "support/test.h"

#include <math.h>

#include "base/container.h"

/* A file of this kind with one tensor [2, 2] called "vectors". */
static const char *write_file(td_context *context, const char *kind, const float *vectors)
{
    td_error err = {0};
    td__container_writer *writer;
    const char *path = test_path("checked.tandem");
    assert_ok(td__container_writer_create(&writer, context, kind, 1, &err));
    assert_ok(td__container_add(writer, "vectors", TD__F32, 2, 2, vectors, &err));
    assert_ok(td__container_commit(writer, path, &err));
    td__container_writer_free(writer);
    return path;
}

static const float sound[4] = {1, 2, 3, 4};

static void sound_files_pass(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    assert_ok(td_file_check(context, write_file(context, "index", sound), &err));
    assert_ok(td_file_check(context, write_file(context, "checkpoint", sound), &err));
    td_context_free(context);
}

static void datasets_are_checked_by_their_own_rules(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_dataset *dataset;
    const char *queries[] = {"ann", "bob"}, *candidates[] = {"x", "x"};
    const td_interactions rows = {.rows = 2, .query_id = queries, .candidate_id = candidates};
    const char *path = test_path("rows.tandem");
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    assert_ok(td_dataset_save(dataset, path, &err));
    assert_ok(td_file_check(context, path, &err));
    td_dataset_free(dataset);
    assert_fails(td_file_check(context, write_file(context, "dataset", sound), &err),
                 TD_ERR_CORRUPT, "missing");
    td_context_free(context);
}

static void models_are_checked_by_their_own_rules(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_dataset *dataset;
    td_model *model;
    const char *queries[] = {"ann", "bob"}, *candidates[] = {"x", "y"};
    const td_interactions rows = {.rows = 2, .query_id = queries, .candidate_id = candidates};
    const char *path = test_path("model.tandem");
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    assert_ok(td_model_create(&model, context, dataset, NULL, NULL, &err));
    assert_ok(td_model_save(model, path, &err));
    assert_ok(td_file_check(context, path, &err));
    td_model_free(model);
    td_dataset_free(dataset);
    if (td_file_check(context, write_file(context, "model", sound), &err) != TD_ERR_CORRUPT) {
        fail_msg("a model without towers passes");
    }
    td_context_free(context);
}

static void damage_is_found(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    size_t size;
    unsigned char *bytes = test_read(write_file(context, "index", sound), &size);
    bytes[size - 1] ^= 4;
    assert_fails(td_file_check(context, test_file("damaged", bytes, size), &err), TD_ERR_CORRUPT,
                 "\"vectors\" (16 bytes) is damaged");
    free(bytes);
    td_context_free(context);
}

/* The checksums are right, the meaning is not. */
static void numbers_that_cannot_be_are_found(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    const float bad[4] = {1, 2, NAN, 4};
    assert_fails(td_file_check(context, write_file(context, "index", bad), &err), TD_ERR_CORRUPT,
                 "checked.tandem");
    td_context_free(context);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    assert_fails(td_file_check(context, write_file(context, "cake", sound), &err), TD_ERR_VERSION,
                 "kind \"cake\"");
    assert_fails(td_file_check(context, test_text_file("t", "1,2\n"), &err), TD_ERR_VERSION,
                 "container");
    assert_fails(td_file_check(context, test_path("missing"), &err), TD_ERR_NOT_FOUND, "missing");
    td_context_free(context);
}

static td_status check_file(void *path, td_context *context, td_error *err)
{
    return td_file_check(context, path, err);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    char path[256];
    snprintf(path, sizeof path, "%s", write_file(context, "index", sound));
    test_every_allocation(check_file, path);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files_pass),
        cmocka_unit_test(datasets_are_checked_by_their_own_rules),
        cmocka_unit_test(models_are_checked_by_their_own_rules),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(numbers_that_cannot_be_are_found),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
