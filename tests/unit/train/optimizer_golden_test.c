/* optimizer_golden_test.c -- ten steps give the weights that tf-keras and torch give. */
#include "support/test.h"

#include <jansson.h>
#include <math.h>

#include "base/container.h"
#include "train/optimizer.h"

/* The cases we have; those of the files that are not here are optimizers that we do not have:
 * Nesterov momentum, ClippyAdagrad, AdamW, and dense moments for sparse gradients (new Keras' SGD
 * with momentum and both Keras' Adams, which move rows that were not touched). */
typedef struct golden_case {
    const char *name;
    td_optimizer_kind kind;
} golden_case;

static const golden_case keras_cases[] = {
    {"tfkeras_sgd_dense", TD_OPTIMIZER_SGD},
    {"tfkeras_sgd_sparse", TD_OPTIMIZER_SGD},
    {"tfkeras_sgd_momentum_dense", TD_OPTIMIZER_SGD},
    {"tfkeras_legacy_sgd_dense", TD_OPTIMIZER_SGD},
    {"tfkeras_legacy_sgd_sparse", TD_OPTIMIZER_SGD},
    {"tfkeras_legacy_sgd_momentum_dense", TD_OPTIMIZER_SGD},
    {"tfkeras_legacy_sgd_momentum_sparse", TD_OPTIMIZER_SGD},
    {"tfkeras_sgd_scheduled_dense", TD_OPTIMIZER_SGD},
    {"tfkeras_adagrad_dense", TD_OPTIMIZER_ADAGRAD},
    {"tfkeras_adagrad_sparse", TD_OPTIMIZER_ADAGRAD},
    {"tfkeras_adagrad_epsilon_dense", TD_OPTIMIZER_ADAGRAD},
    {"tfkeras_adagrad_epsilon_sparse", TD_OPTIMIZER_ADAGRAD},
    {"tfkeras_legacy_adagrad_dense", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"tfkeras_legacy_adagrad_sparse", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"tfkeras_legacy_adagrad_epsilon_dense", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"tfkeras_legacy_adagrad_epsilon_sparse", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"tfkeras_adam_dense", TD_OPTIMIZER_ADAM_LAZY},
    {"tfkeras_adam_epsilon_dense", TD_OPTIMIZER_ADAM_LAZY},
    {"tfkeras_legacy_adam_dense", TD_OPTIMIZER_ADAM_LAZY},
    {"tfkeras_legacy_adam_epsilon_dense", TD_OPTIMIZER_ADAM_LAZY},
};

static const golden_case torch_cases[] = {
    {"torch_sgd_dense", TD_OPTIMIZER_SGD},
    {"torch_sgd_sparse", TD_OPTIMIZER_SGD},
    {"torch_sgd_momentum_dense", TD_OPTIMIZER_SGD},
    {"torch_adagrad_dense", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"torch_adagrad_sparse", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"torch_adagrad_accumulator_dense", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"torch_adagrad_accumulator_sparse", TD_OPTIMIZER_ADAGRAD_TORCH},
    {"torch_sparse_adam_sparse", TD_OPTIMIZER_ADAM_LAZY},
    {"torch_sparse_adam_epsilon_sparse", TD_OPTIMIZER_ADAM_LAZY},
};

/* tf-keras takes 1 - beta2^t in float32, which at t = 7 has an error of 1e-5 that every later step
 * keeps; optimizer_test.c shows that our own steps are within 1e-6 of float64. */
static double absolute_error(const char *name)
{
    return strstr(name, "keras") != NULL && strstr(name, "adam") != NULL ? 5e-6 : 1e-6;
}

/* Set *field if the case has the option. */
static void take(const json_t *options, const char *key, float *field)
{
    const json_t *value = json_object_get(options, key);
    if (value != NULL) *field = (float)json_number_value(value);
}

static td_optimizer_options options_of(const json_t *json, td_optimizer_kind kind)
{
    td_optimizer_options options;
    td_optimizer_options_init(&options);
    options.optimizer = kind;
    take(json, "learning_rate", &options.learning_rate);
    take(json, "initial_learning_rate", &options.learning_rate);
    take(json, "initial_accumulator_value", &options.initial_accumulator);
    take(json, "epsilon", &options.epsilon);
    take(json, "momentum", &options.momentum);
    take(json, "beta_1", &options.beta1);
    take(json, "beta_2", &options.beta2);
    if (json_object_get(json, "schedule") != NULL) {
        options.schedule = TD_SCHEDULE_EXPONENTIAL;
        options.decay_steps = (uint64_t)json_integer_value(json_object_get(json, "decay_steps"));
        take(json, "decay_rate", &options.decay_rate);
    }
    float lr_decay = 0; /* torch's name for decay in inverse time, of one step */
    take(json, "lr_decay", &lr_decay);
    if (lr_decay > 0) {
        options.schedule = TD_SCHEDULE_INVERSE_TIME;
        options.decay_steps = 1;
        options.decay_rate = lr_decay;
    }
    return options;
}

static const td__tensor *tensor_of(const td__container *file, const char *name, const char *part)
{
    char full[96];
    snprintf(full, sizeof full, "%s/%s", name, part);
    return td__container_find(file, full);
}

enum { STEPS = 10 };

typedef struct golden_run {
    const td__tensor *initial, *gradient, *row, *expected;
    td_optimizer_options options;
    const char *name;
    double absolute;
} golden_run;

static void compare(const golden_run *run, uint64_t step, const float *weights, uint64_t count)
{
    const float *expected = (const float *)run->expected->data + step * count;
    for (uint64_t i = 0; i < count; i++) {
        double allowed = run->absolute + 1e-5 * fabs((double)expected[i]);
        double error = (double)weights[i] - (double)expected[i];
        if (error > -allowed && error < allowed) continue;
        fail_msg("%s, step %u, weight %u: %.9g, expected %.9g", run->name, (unsigned)step,
                 (unsigned)i, (double)weights[i], (double)expected[i]);
    }
}

static void run_steps(td_context *context, const golden_run *run)
{
    td_error err = {0};
    td_optimizer *optimizer;
    const uint32_t dim = (uint32_t)run->initial->cols;
    uint64_t rows = run->initial->rows, count = run->gradient->rows / STEPS;
    float weights[64];
    assert_true(rows * dim <= 64 && run->expected->rows == STEPS * rows);
    memcpy(weights, run->initial->data, td__tensor_bytes(run->initial));
    assert_ok(td_optimizer_create(&optimizer, context, rows, dim, &run->options, &err));
    for (uint64_t step = 0; step < STEPS; step++) {
        uint32_t touched[64];
        const float *gradient = (const float *)run->gradient->data + step * count * dim;
        for (uint64_t i = 0; i < count && run->row != NULL; i++) {
            touched[i] = (uint32_t)((const int64_t *)run->row->data)[step * count + i];
        }
        assert_ok(td_optimizer_step(optimizer, weights, run->row != NULL ? touched : NULL, count,
                                    gradient, td_learning_rate(&run->options, step, STEPS), &err));
        compare(run, step, weights, rows * dim);
    }
    td_optimizer_free(optimizer);
}

static void run_cases(const char *file_name, const golden_case *cases, size_t count)
{
    td_error err = {0};
    td_context *context = test_context(2);
    td__container *file;
    assert_ok(td__container_open_foreign(&file, context, test_golden(file_name), &err));
    for (size_t i = 0; i < count; i++) {
        const char *name = cases[i].name;
        json_t *json = json_loads(td__container_get(file, name), 0, NULL);
        golden_run run = {.name = name,
                          .initial = tensor_of(file, name, "initial"),
                          .gradient = tensor_of(file, name, "grad"),
                          .row = tensor_of(file, name, "row"),
                          .expected = tensor_of(file, name, "param"),
                          .options = options_of(json, cases[i].kind),
                          .absolute = absolute_error(name)};
        assert_true(json_is_true(json_object_get(json, "sparse")) == (run.row != NULL));
        run_steps(context, &run);
        json_decref(json);
    }
    td__container_close(file);
    td_context_free(context);
}

static void steps_are_those_of_tf_keras(void **state)
{
    (void)state;
    run_cases("optimizers.safetensors", keras_cases, sizeof keras_cases / sizeof keras_cases[0]);
}

static void steps_are_those_of_torch(void **state)
{
    (void)state;
    run_cases("optimizers_torch.safetensors", torch_cases,
              sizeof torch_cases / sizeof torch_cases[0]);
}

/* --- schedules */

typedef struct schedule_case {
    const char *name;
    td_schedule_kind kind;
    float base, rate;
    uint64_t warmup, decay;
} schedule_case;

static void rates_are_those_of_tf_keras(void **state)
{
    static const schedule_case cases[] = {
        {"exponential", TD_SCHEDULE_EXPONENTIAL, 0.5f, 0.7f, 0, 4},
        {"inverse_time", TD_SCHEDULE_INVERSE_TIME, 0.5f, 0.7f, 0, 4},
        {"polynomial_linear", TD_SCHEDULE_LINEAR, 0.5f, 0.1f, 0, 8},
        {"cosine", TD_SCHEDULE_COSINE, 0.5f, 0, 0, 12},
        {"cosine_alpha", TD_SCHEDULE_COSINE, 0.5f, 0.1f, 0, 12},
        {"cosine_warmup_from_zero", TD_SCHEDULE_COSINE, 0.5f, 0, 5, 10},
    };
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td__container *file;
    assert_ok(
        td__container_open_foreign(&file, context, test_golden("schedules.safetensors"), &err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const schedule_case *c = &cases[i];
        td_optimizer_options options;
        td_optimizer_options_init(&options);
        options.schedule = c->kind;
        options.learning_rate = c->base;
        options.decay_rate = c->rate;
        options.warmup_steps = c->warmup;
        options.decay_steps = c->decay;
        const td__tensor *rate = tensor_of(file, c->name, "learning_rate");
        const td__tensor *step = tensor_of(file, c->name, "step");
        assert_true(rate != NULL && rate->rows == 21);
        for (uint64_t k = 0; k < rate->rows; k++) {
            uint64_t at = (uint64_t)((const int64_t *)step->data)[k];
            assert_close(td_learning_rate(&options, at, 1000),
                         (double)((const float *)rate->data)[k], 1e-6, 2e-8);
        }
    }
    td__container_close(file);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_tf_keras),
        cmocka_unit_test(steps_are_those_of_torch),
        cmocka_unit_test(rates_are_those_of_tf_keras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
