/* dense_golden_test.c -- dense layers and trainings of deep towers, against the real Keras and TFRS. */
#include "model/model.h"
#include "support/golden.h"

/* --- one layer */

static const float *must_have(const golden_case *one, const char *name, uint64_t count)
{
    uint64_t found;
    const float *values = golden_f32(one, name, &found);
    if (values == NULL || found != count) fail_msg("%s/%s is missing", one->name, name);
    return values;
}

static void fill(td__parameter *parameter, const float *values)
{
    memcpy(parameter->weights, values, parameter->rows * parameter->cols * sizeof *values);
}

static void check_layer(const golden_case *one)
{
    td_error err;
    td_context *context = test_context(2);
    uint64_t out, in_out, rows_in;
    (void)golden_f32(one, "bias", &out);
    (void)golden_f32(one, "kernel", &in_out);
    const float *input = golden_f32(one, "input", &rows_in);
    uint64_t in = in_out / out, rows = rows_in / in;
    td__layer layer;
    td__dense_shape shape = {.number = 1, .in = (uint32_t)in, .out = (uint32_t)out};
    shape.relu = strcmp(golden_text(one, "activation"), "relu") == 0;
    assert_ok(td__dense_create(&layer, context, &shape, NULL, &err));
    fill(&layer.parameters[0], must_have(one, "kernel", in_out));
    fill(&layer.parameters[1], must_have(one, "bias", out));
    float *y = malloc(rows * out * sizeof *y), *d_x = malloc(rows_in * sizeof *d_x);
    td__gradient gradients[2];
    td__flow flow = {.count = (uint32_t)rows,
                     .input = input,
                     .output = y,
                     .d_output = must_have(one, "d_output", rows * out),
                     .d_input = d_x,
                     .gradients = gradients};
    flow.scratch = aligned_alloc(64, (layer.kind->scratch(&layer, 2, true) + 63) / 64 * 64);
    layer.kind->forward(&layer, context, &flow);
    layer.kind->backward(&layer, context, &flow);
    assert_true(golden_error(y, must_have(one, "output", rows * out), rows * out) < 1e-6);
    assert_true(golden_error(d_x, must_have(one, "d_input", rows_in), rows_in) < 1e-6);
    assert_int_equal(gradients[0].count, in);
    assert_int_equal(gradients[1].count, 1);
    assert_true(golden_error(gradients[0].values, must_have(one, "d_kernel", in_out), in_out) < 1e-6);
    assert_true(golden_error(gradients[1].values, must_have(one, "d_bias", out), out) < 1e-6);
    free(flow.scratch);
    free(y);
    free(d_x);
    td__layer_clear(&layer, context);
    td_context_free(context);
}

/* --- a training */

static td_dataset *make_dataset(const golden_case *one, td_context *context)
{
    td_error err;
    td_dataset *dataset;
    uint64_t count;
    const int64_t *query = golden_i64(one, "query", &count);
    const int64_t *candidate = golden_i64(one, "candidate", NULL);
    char text[1000], *end = text;
    for (uint64_t i = 0; i < count; i++) {
        end += snprintf(end, (size_t)(text + sizeof text - end), "q%d,c%d\n", (int)query[i],
                        (int)candidate[i]);
    }
    const char *path = test_text_file("golden.csv", text);
    assert_ok(td_dataset_read(&dataset, context, &path, 1, NULL, NULL, NULL, &err));
    assert_int_equal(td_dataset_rows(dataset).count, count);
    return dataset;
}

static void set_option(const td_option_table *table, void *options, const char *name,
                       const char *text)
{
    td_error err;
    assert_ok(td_options_set(table, options, name, text, &err));
}

static td_model *make_model(const golden_case *one, td_context *context, const td_dataset *dataset)
{
    td_error err;
    td_model *model;
    td_model_options options;
    td_model_options_init(&options);
    options.dim = (uint32_t)golden_number(one, "dim", 0);
    options.similarity = TD_SIMILARITY_DOT;
    set_option(td_model_option_table(), &options, "query-layers", golden_text(one, "query_layers"));
    set_option(td_model_option_table(), &options, "candidate-layers",
               golden_text(one, "candidate_layers"));
    assert_ok(td_model_create(&model, context, dataset, NULL, &options, &err));
    td__parameter *parameter;
    for (uint32_t i = 0; (parameter = td__model_parameter(model, i, NULL)) != NULL; i++) {
        char name[32];
        snprintf(name, sizeof name, "initial/%u", i);
        fill(parameter, must_have(one, name, parameter->rows * parameter->cols));
    }
    return model;
}

static td_train_options options_of(const golden_case *one)
{
    td_train_options options;
    td_train_options_init(&options);
    options.epochs = (uint32_t)golden_number(one, "epochs", 0);
    options.batch_size = (uint32_t)golden_number(one, "batch", 0);
    options.shuffle = TD_SHUFFLE_NONE;
    options.sampling_correction = TD_SAMPLING_NONE;
    options.loss.remove_accidental_hits = false;
    options.loss.temperature = 1.0f;
    options.loss.reduction = TD_REDUCTION_SUM;
    options.optimizer.learning_rate = (float)golden_number(one, "learning_rate", 0);
    set_option(td_train_option_table(), &options, "optimizer", golden_text(one, "optimizer"));
    return options;
}

/* Steps of the last epoch are the last ones; the report has means over the rows. */
static void check_losses(const golden_case *one, const td_train_report *report, uint64_t rows)
{
    uint64_t steps;
    const float *loss = golden_f32(one, "loss", &steps);
    double first = 0.0, last = 0.0;
    for (uint64_t i = 0; i < steps / 2; i++) {
        first += (double)loss[i];
        last += (double)loss[steps / 2 + i];
    }
    assert_close(report->first_loss, first / (double)rows, 1e-6, 0);
    assert_close(report->last_loss, last / (double)rows, 1e-6, 0);
}

static void check_training(const golden_case *one)
{
    td_error err;
    td_context *context = test_context(2);
    td_dataset *dataset = make_dataset(one, context);
    td_model *model = make_model(one, context, dataset);
    td_train_options options = options_of(one);
    td_train_report report;
    assert_ok(td_model_train(model, dataset, NULL, &options, NULL, &report, &err));
    assert_int_equal(report.epochs, 2);
    check_losses(one, &report, td_dataset_rows(dataset).count);
    td__parameter *parameter;
    uint32_t count = 0;
    for (; (parameter = td__model_parameter(model, count, NULL)) != NULL; count++) {
        char name[32];
        uint64_t size = parameter->rows * parameter->cols;
        snprintf(name, sizeof name, "final/%u", count);
        double error = golden_error(parameter->weights, must_have(one, name, size), size);
        if (error > 2e-6) fail_msg("%s/%s differs by %g", one->name, name, error);
    }
    char beyond[32];
    snprintf(beyond, sizeof beyond, "final/%u", count);
    assert_null(golden_f32(one, beyond, NULL)); /* all weights were compared */
    td_model_free(model);
    td_dataset_free(dataset);
    td_context_free(context);
}

/* --- all cases */

static void run_cases(const char *kind, void (*check)(const golden_case *one))
{
    golden file = golden_open("dense");
    uint32_t checked = 0;
    for (size_t i = 0; i < golden_count(&file); i++) {
        golden_case one = golden_case_begin(&file, i);
        if (strncmp(one.name, kind, strlen(kind)) == 0) {
            check(&one);
            checked++;
        }
        golden_case_end(&one);
    }
    assert_int_equal(checked, 4);
    golden_close(&file);
}

static void layers_give_the_values_and_gradients_of_keras(void **state)
{
    (void)state;
    run_cases("layer_", check_layer);
}

static void deep_towers_train_as_in_tfrs(void **state)
{
    (void)state;
    run_cases("tower_", check_training);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_give_the_values_and_gradients_of_keras),
        cmocka_unit_test(deep_towers_train_as_in_tfrs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
