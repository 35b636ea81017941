/* tutorial_test.c -- the TFRS basic retrieval tutorial on MovieLens 100K, from options alone.
 *
 * https://www.tensorflow.org/recommenders/examples/basic_retrieval: 80,000 rows to train on, 20,000 to
 * test, d = 32, Adagrad 0.1, batches of 8192 shuffled once, 3 epochs. It prints top-100 categorical
 * accuracy .2325 (seen movies stay in the ranking); its rules written down in numpy give .2328 with a
 * standard deviation of .0025 to .006 over splits and seeds, and .392 with sampling correction. */
#include "support/test.h"

enum { SEEDS = 4 };
static const uint64_t seeds[SEEDS] = {42, 1, 2, 3};

typedef struct tutorial {
    td_context *context;
    td_dataset *train, *test;
    td_model_options model;
    td_train_options options;
} tutorial;

/* `seed` decides the split, the first weights and the order of rows. */
static void set_up(tutorial *t, const char *path, uint64_t seed)
{
    td_error err;
    td_dataset *all;
    td_split_options split;
    t->context = test_context(0);
    assert_ok(td_dataset_read(&all, t->context, &path, 1, NULL, NULL, NULL, &err));
    td_split_options_init(&split);
    split.kind = TD_SPLIT_RANDOM;
    split.count = 20000;
    split.seed = seed;
    assert_ok(td_dataset_split(&t->train, &t->test, all, &split, &err));
    assert_int_equal(td_dataset_rows(t->train).count, 80000);
    td_dataset_free(all);
    td_model_options_init(&t->model);
    t->model.dim = 32;
    t->model.seed = seed;
    t->model.vocabulary = TD_VOCABULARY_ALL;
    t->model.initializer = TD_INIT_UNIFORM;
    t->model.init_scale = 0.05f; /* Keras' "uniform" */
    td_train_options_init(&t->options);
    t->options.epochs = 3;
    t->options.seed = seed;
    t->options.batch_size = 8192;
    t->options.shuffle = TD_SHUFFLE_ONCE;
    t->options.sampling_correction = TD_SAMPLING_NONE;
    t->options.loss.remove_accidental_hits = false;
    t->options.loss.temperature = 1.0f;
    t->options.loss.reduction = TD_REDUCTION_SUM;
    t->options.optimizer.optimizer = TD_OPTIMIZER_ADAGRAD;
    t->options.optimizer.learning_rate = 0.1f;
    t->options.optimizer.initial_accumulator = 0.1f;
    t->options.optimizer.schedule = TD_SCHEDULE_CONSTANT;
}

static void tear_down(tutorial *t)
{
    td_dataset_free(t->train);
    td_dataset_free(t->test);
    td_context_free(t->context);
}

/* Top-100 categorical accuracy on the test rows. */
static double accuracy(const tutorial *t, td_train_report *report)
{
    td_error err;
    td_model *model;
    td_metrics metrics;
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    options.k = (td_u32_list){.count = 1, .values = {100}};
    options.exclude_seen = false;
    assert_ok(td_model_create(&model, t->context, t->train, NULL, &t->model, &err));
    assert_ok(td_model_train(model, t->train, NULL, &t->options, NULL, report, &err));
    assert_ok(td_evaluate_model(&metrics, model, t->train, t->test, &options, NULL, &err));
    td_model_free(model);
    return metrics.at[0].accuracy;
}

/* Mean over the seeds, each of which must be within two deviations of a split. */
static double mean_accuracy(const char *path, td_sampling correction, double expected)
{
    double sum = 0;
    for (size_t i = 0; i < SEEDS; i++) {
        tutorial t;
        td_train_report report;
        set_up(&t, path, seeds[i]);
        t.options.sampling_correction = correction;
        double reached = accuracy(&t, &report);
        print_message("seed %u: top-100 categorical accuracy %.4f, loss per row %.4f, then %.4f\n",
                      (unsigned)seeds[i], reached, report.first_loss, report.last_loss);
        assert_int_equal(report.steps, 30);
        assert_close(reached, expected, 0, 0.012);
        if (correction == TD_SAMPLING_NONE) {
            assert_close(report.first_loss, 8.939, 0.005, 0); /* 71,511 a batch of 8000 rows */
            assert_close(report.last_loss, 8.4745, 0.005, 0);
        }
        sum += reached;
        tear_down(&t);
    }
    return sum / SEEDS;
}

static void the_tutorial_reaches_what_tfrs_reaches(void **state)
{
    (void)state;
    TEST_DATA(path, "ml-100k/u.data");
    assert_close(mean_accuracy(path, TD_SAMPLING_NONE, 0.2325), 0.2325, 0, 0.006);
}

static void sampling_correction_alone_lifts_it_far_above_popularity(void **state)
{
    (void)state;
    TEST_DATA(path, "ml-100k/u.data");
    assert_close(mean_accuracy(path, TD_SAMPLING_COUNTS, 0.392), 0.392, 0, 0.006);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tutorial_reaches_what_tfrs_reaches),
        cmocka_unit_test(sampling_correction_alone_lifts_it_far_above_popularity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
