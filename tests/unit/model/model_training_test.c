/* model_training_test.c -- how a model was trained is kept, in memory and in files. */
#include "support/test.h"
#include "support/option_table.h"

#include "base/container.h"
#include "model/model.h"

static td_model *make_model(td_context *context)
{
    td_error err = {0};
    td_dataset *dataset;
    td_model *model;
    const char *queries[] = {"ann", "bob"}, *candidates[] = {"x", "y"};
    const td_interactions rows = {.rows = 2, .query_id = queries, .candidate_id = candidates};
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    assert_ok(td_model_create(&model, context, dataset, NULL, NULL, &err));
    td_dataset_free(dataset);
    return model;
}

static td_ials_options unusual(void)
{
    td_ials_options options;
    td_ials_options_init(&options);
    options.unobserved_weight = 0.1f;
    options.regularization = 3e-7f;
    options.epochs = 5;
    return options;
}

static void a_new_model_was_not_trained(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_model *model = make_model(context);
    td_ials_options found, defaults;
    td_ials_options_init(&defaults);
    assert_null(td_model_training(model));
    assert_ok(td__model_get_training(model, "ials", td_ials_option_table(), &found, &err));
    assert_int_equal(found.epochs, defaults.epochs);
    td_model_free(model);
    td_context_free(context);
}

static void options_come_back_from_a_file_to_the_bit(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_model *model = make_model(context), *again;
    td_ials_options given = unusual(), found;
    const char *path = test_path("m.tandem");
    assert_ok(td__model_set_training(model, "ials", td_ials_option_table(), &given, &err));
    assert_ok(td_model_save(model, path, &err));
    assert_ok(td_model_load(&again, context, path, &err));
    assert_string_equal(td_model_training(again), td_model_training(model));
    assert_ok(td__model_get_training(again, "ials", td_ials_option_table(), &found, &err));
    assert_true(found.unobserved_weight == given.unobserved_weight);
    assert_true(found.regularization == given.regularization);
    assert_int_equal(found.epochs, 5);
    td_model_free(again);
    td_model_free(model);
    td_context_free(context);
}

static void another_trainer_has_its_defaults(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_model *model = make_model(context);
    td_ials_options given = unusual();
    td_train_options found, defaults;
    td_train_options_init(&defaults);
    assert_ok(td__model_set_training(model, "ials", td_ials_option_table(), &given, &err));
    assert_ok(td__model_get_training(model, "softmax", td_train_option_table(), &found, &err));
    assert_int_equal(found.epochs, defaults.epochs);
    td_model_free(model);
    td_context_free(context);
}

static void the_last_training_counts(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_model *model = make_model(context);
    td_ials_options ials = unusual();
    td_train_options softmax;
    td_train_options_init(&softmax);
    assert_ok(td__model_set_training(model, "ials", td_ials_option_table(), &ials, &err));
    assert_ok(td__model_set_training(model, "softmax", td_train_option_table(), &softmax, &err));
    assert_non_null(strstr(td_model_training(model), "\"trainer\":\"softmax\""));
    assert_null(strstr(td_model_training(model), "ials"));
    td_model_free(model);
    td_context_free(context);
}

static void text_that_is_no_record_is_refused(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_model *model = make_model(context);
    const char *bad[] = {"", "{", "[]", "{}", "{\"trainer\":\"ials\"}",
                         "{\"trainer\":1,\"options\":{}}", "{\"trainer\":\"x\",\"options\":[]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(td__model_load_training(model, bad[i], &err), TD_ERR_CORRUPT, "trained is no");
        assert_null(td_model_training(model));
    }
    td_ials_options found;
    assert_ok(td__model_load_training(model, "{\"trainer\":\"ials\",\"options\":{\"epochs\":0}}",
                                      &err));
    assert_fails(td__model_get_training(model, "ials", td_ials_option_table(), &found, &err),
                 TD_ERR_ARGUMENT, "epochs");
    td_model_free(model);
    td_context_free(context);
}

static td_status set_and_get(void *model, td_context *context, td_error *err)
{
    (void)model;
    td_dataset *dataset = NULL;
    td_model *own = NULL;
    td_ials_options given = unusual(), found;
    const char *queries[] = {"ann"}, *candidates[] = {"x"};
    const td_interactions rows = {.rows = 1, .query_id = queries, .candidate_id = candidates};
    td_status status = td_dataset_build(&dataset, context, &rows, err);
    if (status == TD_OK) status = td_model_create(&own, context, dataset, NULL, NULL, err);
    if (status == TD_OK) {
        status = td__model_set_training(own, "ials", td_ials_option_table(), &given, err);
    }
    if (status == TD_OK) {
        status = td__model_get_training(own, "ials", td_ials_option_table(), &found, err);
    }
    td_model_free(own);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(set_and_get, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_model_was_not_trained),
        cmocka_unit_test(options_come_back_from_a_file_to_the_bit),
        cmocka_unit_test(another_trainer_has_its_defaults),
        cmocka_unit_test(the_last_training_counts),
        cmocka_unit_test(text_that_is_no_record_is_refused),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
