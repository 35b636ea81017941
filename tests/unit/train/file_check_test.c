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

/* A training of two epochs leaves a checkpoint at `path`. */
static void write_checkpoint(td_context *context, const char *path)
{
    td_error err = {0};
    td_dataset *dataset;
    td_model *model;
    td_train_options options;
    const char *queries[] = {"ann", "bob"}, *candidates[] = {"x", "y"};
    const td_interactions rows = {.rows = 2, .query_id = queries, .candidate_id = candidates};
    td_train_options_init(&options);
    options.epochs = 2;
    options.graph_layers = 1;
    options.checkpoint = path;
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    assert_ok(td_model_create(&model, context, dataset, NULL, NULL, &err));
    assert_ok(td_model_train(model, dataset, dataset, &options, NULL, NULL, &err));
    td_model_free(model);
    td_dataset_free(dataset);
}

/* What is changed in a checkpoint: the first number of a tensor, or a text (NULL: left out). */
typedef struct change {
    const char *tensor; /* to change, or NULL */
    const char *key;    /* metadata to change, or NULL */
    const char *text;
    const char *why;
} change;

static const char *write_changed(td_context *context, const char *path, const change *changed)
{
    td_error err = {0};
    td__container *file;
    td__container_writer *writer;
    static unsigned char bytes[1 << 16];
    static const char *const keys[] = {"model", "train", "data", "log"};
    const char *out = test_path("changed.checkpoint");
    assert_ok(td__container_open(&file, context, path, "checkpoint", 1, &err));
    assert_ok(td__container_writer_create(&writer, context, "checkpoint", 1, &err));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool here = changed->key != NULL && strcmp(changed->key, keys[i]) == 0;
        if (here && changed->text == NULL) continue;
        const char *text = here ? changed->text : td__container_get(file, keys[i]);
        assert_ok(td__container_set(writer, keys[i], text, &err));
    }
    for (uint32_t i = 0; i < td__container_count(file); i++) {
        const td__tensor *tensor = td__container_at(file, i);
        const void *data = tensor->data;
        if (changed->tensor != NULL && strcmp(changed->tensor, tensor->name) == 0) {
            assert_true(td__tensor_bytes(tensor) <= sizeof bytes);
            memcpy(bytes, data, td__tensor_bytes(tensor));
            memset(bytes, 0xFF, td__dtype_size(tensor->dtype)); /* NaN, or the largest */
            data = bytes;
        }
        assert_ok(td__container_add(writer, tensor->name, tensor->dtype, tensor->rows, tensor->cols,
                                    data, &err));
    }
    assert_ok(td__container_commit(writer, out, &err));
    td__container_writer_free(writer);
    td__container_close(file);
    return out;
}

static void checkpoints_are_checked_by_their_own_rules(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    char path[512];
    const change none = {NULL, NULL, NULL, NULL};
    const change changes[] = {
        {"weights/query_tower/embedding", NULL, NULL, "not finite"},
        {"best/candidate_tower/embedding", NULL, NULL, "not finite"},
        {"latent/query_tower/embedding", NULL, NULL, "not finite"},
        {"optimizer/query_tower/embedding.slots", NULL, NULL, "cannot be"},
        {"report/counts", NULL, NULL, "epochs"},
        {"report/figures", NULL, NULL, "figure 0"},
        {NULL, "data", "no digits", "fingerprint"},
        {NULL, "log", "{}\n", "1 lines for 2 epochs"},
        {NULL, "log", "{}\n{\n", "line 2"},
        {NULL, "log", NULL, "log is missing"},
        {NULL, "model", "{\"dim\":3}", "embedding"},
        {NULL, "train", "{\"epochs\":0}", "epochs"},
    };
    snprintf(path, sizeof path, "%s", test_path("sound.checkpoint"));
    write_checkpoint(context, path);
    assert_ok(td_file_check(context, path, &err));
    assert_ok(td_file_check(context, write_changed(context, path, &none), &err));
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_fails(td_file_check(context, write_changed(context, path, &changes[i]), &err),
                     TD_ERR_CORRUPT, changes[i].why);
    }
    assert_fails(td_file_check(context, write_file(context, "checkpoint", sound), &err),
                 TD_ERR_CORRUPT, "missing");
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

static void a_check_of_a_checkpoint_survives_every_failed_allocation(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    char path[512];
    snprintf(path, sizeof path, "%s", test_path("memory.checkpoint"));
    write_checkpoint(context, path);
    test_every_allocation(check_file, path);
    td_context_free(context);
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
        cmocka_unit_test(checkpoints_are_checked_by_their_own_rules),
        cmocka_unit_test(a_check_of_a_checkpoint_survives_every_failed_allocation),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(numbers_that_cannot_be_are_found),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
