/* average_test.c -- averaged weights: by the definition, with validation, in checkpoints, for any number of
 * threads. */
#include <math.h>
#include <unistd.h>

#include "model/model.h"
#include "support/fault.h"
#include "support/tiny_data.h"
#include "train/average.h"

static const tiny_shape shape = {
    .queries = 60, .candidates = 80, .groups = 4, .rows = 1500, .seed = 3, .weighted = true};

typedef struct fixture {
    td_context *context;
    td_dataset *dataset, *train, *validation;
    td_model_options model_options;
    td_train_options options;
} fixture;

static void set_up(fixture *f, uint32_t threads)
{
    f->context = test_context(threads);
    f->dataset = tiny_dataset(f->context, &shape);
    tiny_split(&f->train, &f->validation, f->dataset, 0.2);
    td_model_options_init(&f->model_options);
    f->model_options.dim = 8;
    td_train_options_init(&f->options);
    f->options.batch_size = 128;
    f->options.epochs = 6;
    f->options.patience = 0;
    f->options.optimizer.learning_rate = 0.3f;
    f->options.restore_best = false;
    f->options.average_decay = 0.6f;
}

static void tear_down(fixture *f)
{
    td_dataset_free(f->train);
    td_dataset_free(f->validation);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
}

static td_model *trained(const fixture *f, td_train_report *report)
{
    td_error err;
    td_model *model;
    assert_ok(td_model_create(&model, f->context, f->train, NULL, &f->model_options, &err));
    assert_ok(td_model_train(model, f->train, f->validation, &f->options, NULL, report, &err));
    return model;
}

/* After so many epochs, with this decay. */
static td_model *trained_with(fixture *f, uint32_t epochs, float decay)
{
    td_train_options kept = f->options;
    f->options.epochs = epochs;
    f->options.average_decay = decay;
    td_model *model = trained(f, NULL);
    f->options = kept;
    return model;
}

static bool same_weights(const td_model *a, const td_model *b)
{
    for (uint32_t i = 0; i < td__model_parameters(a); i++) {
        const td__parameter *p = td__model_parameter(a, i, NULL), *q = td__model_parameter(b, i, NULL);
        if (memcmp(p->weights, q->weights, p->rows * p->cols * sizeof(float)) != 0) return false;
    }
    return true;
}

/* --- by the definition */

static double length_of(const float *vector, uint32_t dim, bool directions)
{
    double squares = 0;
    for (uint32_t k = 0; k < dim; k++) squares += (double)vector[k] * (double)vector[k];
    return directions ? sqrt(squares) : 1.0;
}

/* The weights after each epoch are those of a training that ends there. */
static void check_definition(fixture *f, bool directions, uint32_t heads)
{
    enum { EPOCHS = 4 };
    td_model *after[EPOCHS], *average = trained_with(f, EPOCHS, 0.6f);
    uint32_t dim = f->model_options.dim;
    for (uint32_t e = 0; e < EPOCHS; e++) after[e] = trained_with(f, e + 1, 0.0f);
    for (uint32_t i = 0; i < td__model_parameters(average); i++) {
        const td__parameter *p = td__model_parameter(average, i, NULL);
        for (uint64_t k = 0; k < p->rows * p->cols; k++) {
            double mean = 0;
            uint64_t start = k - k % dim;
            for (uint32_t e = 0; e < EPOCHS; e++) {
                const float *w = td__model_parameter(after[e], i, NULL)->weights;
                double value = (double)w[k] / length_of(w + start, dim, directions);
                mean = e == 0 ? value : 0.6 * mean + 0.4 * value;
            }
            assert_close(p->weights[k], mean, 1e-5, 1e-6);
        }
    }
    assert_int_equal(td__model_parameter(average, 0, NULL)->cols, heads * dim);
    for (uint32_t e = 0; e < EPOCHS; e++) td_model_free(after[e]);
    td_model_free(average);
}

static void the_model_is_the_average_of_the_epochs(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 2);
    check_definition(&f, false, 1);
    f.model_options.heads = 3;
    check_definition(&f, false, 3);
    tear_down(&f);
}

static void cosines_average_directions(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 2);
    f.model_options.similarity = TD_SIMILARITY_COSINE;
    f.options.loss.temperature = 0.2f;
    check_definition(&f, true, 1);
    f.model_options.heads = 2;
    check_definition(&f, true, 2);
    tear_down(&f);
}

/* Weights of layers are no vectors to be compared. */
static void dense_layers_are_averaged_as_they_are(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    f.model_options.similarity = TD_SIMILARITY_COSINE;
    f.model_options.query_layers = (td_u32_list){.count = 1, .values = {8}};
    f.options.optimizer.learning_rate = 0.01f;
    f.options.loss.temperature = 0.2f;
    check_definition(&f, false, 1);
    tear_down(&f);
}

static void two_swaps_leave_everything_as_it_was(void **state)
{
    (void)state;
    fixture f;
    td_error err;
    td__average *average;
    set_up(&f, 1);
    td_model *model = trained_with(&f, 2, 0.0f), *same = trained_with(&f, 2, 0.0f);
    td_model *earlier = trained_with(&f, 1, 0.0f);
    assert_ok(td__average_create(&average, model, 0.5f, &err));
    td__average_add(average, earlier, true);
    td__average_swap(average, model);
    assert_true(same_weights(model, earlier));
    td__average_swap(average, model);
    assert_true(same_weights(model, same));
    td__average_free(average);
    td_model_free(model);
    td_model_free(same);
    td_model_free(earlier);
    tear_down(&f);
}

/* --- validation */

static double ndcg(const fixture *f, const td_model *model)
{
    td_error err;
    td_metrics metrics;
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    options.k = (td_u32_list){.count = 1, .values = {10}};
    options.exclude_seen = true;
    assert_ok(td_evaluate_model(&metrics, model, f->train, f->validation, &options, NULL, &err));
    return metrics.at[0].ndcg;
}

static void the_average_is_what_is_validated_and_kept(void **state)
{
    (void)state;
    fixture f;
    td_train_report report;
    set_up(&f, 1);
    f.options.epochs = 30;
    f.options.restore_best = true;
    td_model *best = trained(&f, &report);
    assert_close(report.best_monitor, ndcg(&f, best), 0, 0);
    td_model *until_then = trained_with(&f, report.best_epoch, 0.6f);
    assert_true(same_weights(best, until_then));
    f.options.patience = 3;
    td_train_report stopped;
    td_model *early = trained(&f, &stopped);
    assert_int_equal(stopped.epochs, stopped.best_epoch + 3);
    assert_close(stopped.best_monitor, ndcg(&f, early), 0, 0);
    td_model_free(best);
    td_model_free(until_then);
    td_model_free(early);
    tear_down(&f);
}

/* --- the same bits */

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7};
    fixture f[3];
    td_model *model[3];
    for (int i = 0; i < 3; i++) {
        set_up(&f[i], threads[i]);
        model[i] = trained(&f[i], NULL);
        assert_true(same_weights(model[i], model[0]));
    }
    for (int i = 0; i < 3; i++) {
        td_model_free(model[i]);
        tear_down(&f[i]);
    }
}

static bool stop_in_epoch(void *user, const td_progress *progress)
{
    const uint32_t *epoch = user;
    return strcmp(progress->stage, "train") != 0 || progress->epoch < *epoch;
}

/* Stopped in every epoch once, and gone on with. */
static void check_resume(fixture *f, const td_model *whole)
{
    for (uint32_t epoch = 2; epoch <= f->options.epochs; epoch++) {
        td_error err;
        td_model *model;
        td_progress_hook hook = {.report = stop_in_epoch, .user = &epoch};
        f->options.checkpoint = test_path("average.checkpoint");
        f->options.resume = false;
        unlink(f->options.checkpoint);
        assert_ok(td_model_create(&model, f->context, f->train, NULL, &f->model_options, &err));
        assert_fails(td_model_train(model, f->train, f->validation, &f->options, &hook, NULL, &err),
                     TD_ERR_CANCELLED, "stopped");
        td_model_free(model);
        f->options.resume = true;
        model = trained(f, NULL);
        assert_true(same_weights(model, whole));
        td_model_free(model);
        assert_ok(td_file_check(f->context, f->options.checkpoint, &err));
    }
}

static void a_resumed_training_has_the_bits_of_one_without_a_stop(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 2);
    for (int best = 0; best < 2; best++) {
        f.options.restore_best = best == 1;
        f.options.checkpoint = NULL;
        f.options.resume = false;
        td_model *whole = trained(&f, NULL);
        check_resume(&f, whole);
        td_model_free(whole);
    }
    tear_down(&f);
}

/* --- memory */

static td_status train_averaged(void *state, td_context *context, td_error *err)
{
    td_dataset *dataset = NULL;
    td_model *model = NULL;
    td_train_options options;
    (void)state;
    td_train_options_init(&options);
    options.epochs = 2;
    options.average_decay = 0.5f;
    td_status status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status == TD_OK) status = td_model_create(&model, context, dataset, NULL, NULL, err);
    if (status == TD_OK) status = td_model_train(model, dataset, NULL, &options, NULL, NULL, err);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(train_averaged, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_is_the_average_of_the_epochs),
        cmocka_unit_test(cosines_average_directions),
        cmocka_unit_test(dense_layers_are_averaged_as_they_are),
        cmocka_unit_test(two_swaps_leave_everything_as_it_was),
        cmocka_unit_test(the_average_is_what_is_validated_and_kept),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(a_resumed_training_has_the_bits_of_one_without_a_stop),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
