/* layer_dense_test.c -- dense layers: first weights, names, towers of them, threads, memory. */
#include <math.h>

#include "model/model.h"
#include "support/test.h"
#include "support/tiny_data.h"

static td__layer make_layer(td_context *context, uint32_t in, uint32_t out, uint64_t seed)
{
    td_error err;
    td__layer layer;
    td__dense_shape shape = {.number = 2, .in = in, .out = out, .relu = true};
    td__initial initial = {.kind = TD_INIT_NORMAL, .scale = 9, .seed = seed,
                           .stream = TD__STREAM_INIT_QUERY};
    assert_ok(td__dense_create(&layer, context, &shape, &initial, &err));
    return layer;
}

static void first_weights_are_glorot_uniform_and_biases_zero(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td__layer layer = make_layer(context, 300, 100, 1);
    double limit = sqrt(6.0 / 400), largest = 0.0, squares = 0.0;
    for (int i = 0; i < 30000; i++) {
        double w = (double)layer.parameters[0].weights[i];
        if (fabs(w) > largest) largest = fabs(w);
        squares += w * w;
    }
    assert_true(largest <= limit && largest > 0.999 * limit);
    assert_close(squares / 30000, limit * limit / 3, 0.03, 0);
    for (int i = 0; i < 100; i++) assert_true(layer.parameters[1].weights[i] == 0.0f);
    td__layer other = make_layer(context, 300, 100, 2);
    assert_memory_not_equal(layer.parameters[0].weights, other.parameters[0].weights, 30000);
    td__layer_clear(&layer, context);
    td__layer_clear(&other, context);
    td_context_free(context);
}

static void a_layer_multiplies_adds_and_cuts_off_below_zero(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td__layer layer = make_layer(context, 2, 3, 1);
    static const float weights[6] = {1, 2, -1, 0.5f, -2, -1}, bias[3] = {0.25f, 1, 1};
    const float x[2] = {2, 4}, d_y[3] = {1, 10, 100};
    float y[3], d_x[2];
    td__gradient gradients[2];
    memcpy(layer.parameters[0].weights, weights, sizeof weights);
    memcpy(layer.parameters[1].weights, bias, sizeof bias);
    td__flow flow = {.count = 1, .input = x, .output = y, .d_output = d_y, .d_input = d_x,
                     .gradients = gradients};
    flow.scratch = aligned_alloc(64, (layer.kind->scratch(&layer, 1, true) + 63) / 64 * 64);
    layer.kind->forward(&layer, context, &flow);
    layer.kind->backward(&layer, context, &flow);
    assert_true(y[0] == 4.25f && y[1] == 0.0f && y[2] == 0.0f); /* 4.25, 1 + 4 - 8, 1 - 2 - 4 */
    assert_true(d_x[0] == 1.0f && d_x[1] == 0.5f);
    assert_true(gradients[0].values[0] == 2.0f && gradients[0].values[3] == 4.0f);
    assert_true(gradients[0].values[1] == 0.0f && gradients[1].values[0] == 1.0f);
    free(flow.scratch);
    td__layer_clear(&layer, context);
    td_context_free(context);
}

/* --- towers in a model */

static const tiny_shape tiny = {.queries = 40, .candidates = 30, .groups = 3, .rows = 900, .seed = 5};

static td_model_options deep_options(void)
{
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 8;
    options.query_layers = (td_u32_list){.count = 2, .values = {20, 8}};
    options.candidate_layers = (td_u32_list){.count = 3, .values = {13, 11, 8}};
    return options;
}

static td_model *trained(uint32_t threads, const char *kernel, const td_model_options *options)
{
    td_error err;
    td_context *context;
    td_context_options choice = {.threads = threads, .kernel = kernel};
    assert_ok(td_context_create(&context, &choice, &err));
    td_dataset *dataset = tiny_dataset(context, &tiny);
    td_model *model;
    td_train_options training;
    td_train_report report;
    td_train_options_init(&training);
    training.epochs = 4;
    training.batch_size = 100;
    assert_ok(td_model_create(&model, context, dataset, NULL, options, &err));
    assert_ok(td_model_train(model, dataset, NULL, &training, NULL, &report, &err));
    assert_true(report.last_loss < report.first_loss);
    td_dataset_free(dataset);
    return model;
}

static void discard(td_model *model)
{
    td_context *context = model->context;
    td_model_free(model);
    td_context_free(context);
}

static void assert_same_weights(const td_model *a, const td_model *b)
{
    const td__parameter *one, *two;
    for (uint32_t i = 0; (one = td__model_parameter(a, i, NULL)) != NULL; i++) {
        two = td__model_parameter(b, i, NULL);
        assert_memory_equal(one->weights, two->weights, one->rows * one->cols * sizeof(float));
    }
}

static void training_gives_the_same_bits_for_any_threads_and_kernels(void **state)
{
    (void)state;
    td_model_options options = deep_options();
    td_model *one = trained(1, "ref", &options);
    static const uint32_t threads[] = {1, 2, 7};
    for (int t = 0; t < 3; t++) {
        td_model *other = trained(threads[t], NULL, &options);
        assert_same_weights(one, other);
        discard(other);
    }
    discard(one);
}

static void weights_have_names_and_survive_a_file(void **state)
{
    (void)state;
    td_error err;
    td_model_options options = deep_options();
    td_model *model = trained(2, NULL, &options), *loaded;
    static const char *const names[] = {
        "query_tower/embedding", "query_tower/dense_1/kernel", "query_tower/dense_1/bias",
        "query_tower/dense_2/kernel", "query_tower/dense_2/bias", "candidate_tower/embedding",
        "candidate_tower/dense_1/kernel"};
    char name[TD__PARAMETER_NAME_MAX];
    for (uint32_t i = 0; i < 7; i++) {
        assert_non_null(td__model_parameter(model, i, name));
        assert_string_equal(name, names[i]);
    }
    assert_int_equal(td__model_parameters(model), 12);
    const char *path = test_path("deep.tandem");
    assert_ok(td_model_save(model, path, &err));
    assert_ok(td_file_check(model->context, path, &err));
    assert_ok(td_model_load(&loaded, model->context, path, &err));
    assert_int_equal(td_model_get_options(loaded)->candidate_layers.count, 3);
    assert_same_weights(model, loaded);
    float before[30 * 8], after[30 * 8];
    assert_ok(td_model_encode_candidates(model, before, &err));
    assert_ok(td_model_encode_candidates(loaded, after, &err));
    assert_memory_equal(before, after, sizeof before);
    td_model_free(loaded);
    discard(model);
}

static void several_heads_come_from_the_last_layer(void **state)
{
    (void)state;
    td_model_options options = deep_options();
    options.heads = 3;
    options.similarity = TD_SIMILARITY_COSINE;
    td_model *model = trained(2, NULL, &options);
    assert_int_equal(td__model_parameter(model, 0, NULL)->cols, 8);
    assert_int_equal(td__model_parameter(model, 3, NULL)->cols, 24);
    discard(model);
}

static void layers_that_do_not_end_in_dim_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &tiny);
    td_model *model;
    td_model_options options = deep_options();
    options.query_layers.values[1] = 9;
    assert_fails(td_model_create(&model, context, dataset, NULL, &options, &err), TD_ERR_ARGUMENT,
                 "query-layers ends with 9, but vectors have 8");
    options = deep_options();
    options.candidate_layers.count = 1;
    assert_fails(td_model_create(&model, context, dataset, NULL, &options, &err), TD_ERR_ARGUMENT,
                 "candidate-layers ends with 13");
    td_dataset_free(dataset);
    td_context_free(context);
}

static void ials_refuses_deep_towers(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_dataset *dataset = tiny_dataset(context, &tiny);
    td_model *model;
    td_model_options options = deep_options();
    assert_ok(td_model_create(&model, context, dataset, NULL, &options, &err));
    assert_fails(td_model_train_ials(model, dataset, NULL, NULL, NULL, NULL, &err), TD_ERR_ARGUMENT,
                 "dense layers");
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

/* --- interrupted and gone on with */

static td_model *train_in_parts(uint32_t first, uint32_t all, const char *checkpoint)
{
    td_error err;
    td_context *context = test_context(2);
    td_dataset *dataset = tiny_dataset(context, &tiny);
    td_model *model = NULL;
    td_model_options options = deep_options();
    td_train_options training;
    td_train_options_init(&training);
    training.batch_size = 100;
    training.optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    training.optimizer.learning_rate = 0.01f;
    training.checkpoint = checkpoint;
    training.resume = true;
    for (uint32_t epochs = first; epochs <= all; epochs += all - first) {
        td_model_free(model);
        training.epochs = epochs;
        assert_ok(td_model_create(&model, context, dataset, NULL, &options, &err));
        assert_ok(td_model_train(model, dataset, NULL, &training, NULL, NULL, &err));
        if (first == all) break;
    }
    td_dataset_free(dataset);
    return model;
}

static void a_resumed_training_has_the_bits_of_an_uninterrupted_one(void **state)
{
    (void)state;
    td_model *whole = train_in_parts(3, 3, test_path("whole.checkpoint"));
    td_model *parts = train_in_parts(1, 3, test_path("parts.checkpoint"));
    assert_same_weights(whole, parts);
    discard(whole);
    discard(parts);
}

/* --- memory */

static td_status create_and_encode(void *state, td_context *context, td_error *err)
{
    td_status status;
    td_model *model = NULL;
    td_dataset *dataset = NULL;
    td_model_options options = deep_options();
    td_train_options training;
    td_train_options_init(&training);
    training.epochs = 1;
    (void)state;
    status = tiny_dataset_build(&dataset, context, &tiny, err);
    if (status == TD_OK) status = td_model_create(&model, context, dataset, NULL, &options, err);
    if (status == TD_OK) status = td_model_train(model, dataset, NULL, &training, NULL, NULL, err);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(create_and_encode, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_weights_are_glorot_uniform_and_biases_zero),
        cmocka_unit_test(a_layer_multiplies_adds_and_cuts_off_below_zero),
        cmocka_unit_test(training_gives_the_same_bits_for_any_threads_and_kernels),
        cmocka_unit_test(weights_have_names_and_survive_a_file),
        cmocka_unit_test(several_heads_come_from_the_last_layer),
        cmocka_unit_test(layers_that_do_not_end_in_dim_are_refused),
        cmocka_unit_test(ials_refuses_deep_towers),
        cmocka_unit_test(a_resumed_training_has_the_bits_of_an_uninterrupted_one),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
