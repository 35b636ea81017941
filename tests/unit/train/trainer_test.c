/* trainer_test.c -- the training loop: learning, stopping, going on, giving up. */
#include <jansson.h>
#include <math.h>
#include <unistd.h>

#include "base/container.h"
#include "model/model.h"
#include "support/fault.h"
#include "support/option_table.h"
#include "support/tiny_data.h"

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
    f->options.frequency.buckets = 4096;
}

static void tear_down(fixture *f)
{
    td_dataset_free(f->train);
    td_dataset_free(f->validation);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
}

static td_model *new_model(const fixture *f)
{
    td_error err;
    td_model *model;
    assert_ok(td_model_create(&model, f->context, f->train, NULL, &f->model_options, &err));
    return model;
}

/* Train a new model, with validation. */
static td_model *trained(const fixture *f, td_train_report *report)
{
    td_error err;
    td_model *model = new_model(f);
    assert_ok(td_model_train(model, f->train, f->validation, &f->options, NULL, report, &err));
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

static void every_option_has_a_row(void **state)
{
    (void)state;
    test_option_table(td_train_option_table(), td_train_options);
}

static void options_of_the_parts_are_those_of_their_own_tables(void **state)
{
    (void)state;
    const td_option_table *parts[] = {td_retrieval_option_table(), td_frequency_option_table(),
                                      td_optimizer_option_table()};
    for (int p = 0; p < 3; p++) {
        for (uint32_t i = 0; i < parts[p]->count; i++) {
            const td_option *row = &parts[p]->rows[i];
            const td_option *here = td_option_find(td_train_option_table(), row->name);
            assert_non_null(here);
            assert_string_equal(row->help, here->help);
            assert_int_equal(row->type, here->type);
        }
    }
}

/* --- learning */

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

static void training_learns_what_is_there(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 2);
    for (int sampling = TD_SAMPLING_NONE; sampling <= TD_SAMPLING_STREAMING; sampling++) {
        td_train_report report;
        f.options.sampling_correction = (td_sampling)sampling;
        f.options.epochs = 12;
        td_model *before = new_model(&f), *after = trained(&f, &report);
        double untrained = ndcg(&f, before), best = ndcg(&f, after);
        assert_int_equal(report.epochs, 12);
        assert_int_equal(report.steps, 12 * 10);
        assert_true(report.last_loss < report.first_loss - 0.5);
        assert_true(best > 0.2 && best > 4 * untrained);
        assert_close(report.best_monitor, best, 0, 0); /* restore_best */
        td_model_free(before);
        td_model_free(after);
    }
    tear_down(&f);
}

static void bfloat16_learns_as_float32(void **state)
{
    (void)state;
    fixture f;
    td_train_report report[2];
    td_model *model[2];
    set_up(&f, 2);
    f.options.epochs = 12;
    for (int i = 0; i < 2; i++) {
        f.options.loss.precision = i == 0 ? TD_PRECISION_FLOAT32 : TD_PRECISION_BFLOAT16;
        model[i] = trained(&f, &report[i]);
    }
    assert_false(same_weights(model[0], model[1]));
    assert_non_null(strstr(td_model_training(model[1]), "bfloat16"));
    assert_close(report[1].first_loss, report[0].first_loss, 1e-3, 0.0);
    assert_close(report[1].last_loss, report[0].last_loss, 1e-3, 0.0);
    assert_close(report[1].best_monitor, report[0].best_monitor, 0.0, 0.02);
    for (int i = 0; i < 2; i++) td_model_free(model[i]);
    tear_down(&f);
}

static void check_threads(td_precision precision)
{
    td_model *first = NULL;
    fixture f, kept;
    static const uint32_t threads[] = {1, 2, 7};
    for (int i = 0; i < 3; i++) {
        td_train_report report;
        set_up(&f, threads[i]);
        f.model_options.heads = 2;
        f.model_options.similarity = TD_SIMILARITY_COSINE;
        f.options.loss.temperature = 0.1f;
        f.options.loss.precision = precision;
        td_model *model = trained(&f, &report);
        if (first == NULL) {
            first = model;
            kept = f;
            continue;
        }
        assert_true(same_weights(first, model));
        td_model_free(model);
        tear_down(&f);
    }
    td_model_free(first);
    tear_down(&kept);
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    check_threads(TD_PRECISION_FLOAT32);
    check_threads(TD_PRECISION_BFLOAT16);
}

static void the_seed_decides_the_order(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report report;
    td_model *one = trained(&f, &report), *again = trained(&f, &report);
    f.options.seed++;
    td_model *other = trained(&f, &report);
    assert_true(same_weights(one, again));
    assert_false(same_weights(one, other));
    td_model_free(one);
    td_model_free(again);
    td_model_free(other);
    tear_down(&f);
}

/* --- stopping */

static void stops_when_nothing_is_gained_and_restores_the_best(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report report, single;
    f.options.epochs = 50;
    f.options.patience = 4;
    td_model *model = trained(&f, &report);
    assert_true(report.epochs < 50);
    assert_int_equal(report.epochs, report.best_epoch + 4);
    f.options.epochs = report.best_epoch;
    f.options.patience = 0;
    td_model *best = trained(&f, &single);
    assert_true(same_weights(model, best));
    assert_close(report.best_monitor, single.best_monitor, 0, 0);
    td_model_free(model);
    td_model_free(best);
    tear_down(&f);
}

static void without_restore_the_last_epoch_stays(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report report;
    f.options.epochs = 30;
    td_model *best = trained(&f, &report);
    f.options.restore_best = false;
    td_model *last = trained(&f, &report);
    assert_true(report.best_epoch < 30);
    assert_false(same_weights(best, last));
    td_error err;
    td_model *plain = new_model(&f); /* validation changes nothing else */
    assert_ok(td_model_train(plain, f.train, NULL, &f.options, NULL, &report, &err));
    assert_true(same_weights(last, plain));
    assert_int_equal(report.best_epoch, 0);
    td_model_free(best);
    td_model_free(last);
    td_model_free(plain);
    tear_down(&f);
}

typedef struct watcher {
    uint32_t calls, last_epoch;
    uint64_t last_done;
    uint32_t stop_in_epoch; /* 0: never */
    bool sane;
} watcher;

static bool watch(void *user, const td_progress *progress)
{
    watcher *w = user;
    if (strcmp(progress->stage, "train") != 0) return true;
    w->calls++;
    if (progress->epoch != w->last_epoch) w->last_done = 0;
    if (progress->done < w->last_done || progress->done > progress->total || progress->epochs != 6
        || !isfinite(progress->loss) || strcmp(progress->unit, "rows") != 0) {
        w->sane = false;
    }
    w->last_epoch = progress->epoch;
    w->last_done = progress->done;
    return w->stop_in_epoch == 0 || progress->epoch < w->stop_in_epoch;
}

static void the_hook_sees_every_epoch(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1);
    watcher w = {.sane = true};
    td_progress_hook hook = {.report = watch, .user = &w};
    td_model *model = new_model(&f);
    assert_ok(td_model_train(model, f.train, f.validation, &f.options, &hook, NULL, &err));
    assert_true(w.sane);
    assert_true(w.calls >= 6);
    assert_int_equal(w.last_epoch, 6);
    assert_int_equal(w.last_done, td_dataset_rows(f.train).count);
    td_model_free(model);
    tear_down(&f);
}

static void a_cancelled_training_is_as_after_the_last_step(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1);
    watcher w = {.sane = true, .stop_in_epoch = 3};
    td_progress_hook hook = {.report = watch, .user = &w};
    td_train_report report;
    td_model *model = new_model(&f);
    assert_fails(td_model_train(model, f.train, NULL, &f.options, &hook, &report, &err),
                 TD_ERR_CANCELLED, "epoch 3");
    assert_int_equal(report.epochs, 2);
    assert_true(report.steps > 20 && report.steps <= 30);
    f.options.epochs = (uint32_t)report.steps / 10; /* whole epochs, if it stopped at the end of one */
    td_model *other = new_model(&f);
    assert_ok(td_model_train(other, f.train, NULL, &f.options, NULL, NULL, &err));
    assert_int_equal(same_weights(model, other), report.steps % 10 == 0);
    td_model_free(other);
    td_model_free(model);
    tear_down(&f);
}

/* --- going on */

/* Stop after three epochs, or in the middle of the fourth, and go on: the same as without. */
static void check_resume(fixture *f, bool in_the_middle)
{
    td_error err;
    td_train_report whole_report, report;
    const char *whole_path = test_path("whole.tandem"), *resumed_path = test_path("resumed.tandem");
    f->options.checkpoint = NULL;
    f->options.resume = false;
    f->options.epochs = 6;
    td_model *whole = trained(f, &whole_report);
    f->options.checkpoint = test_path("training.checkpoint");
    unlink(f->options.checkpoint);
    td_model *model = new_model(f);
    if (in_the_middle) {
        watcher w = {.stop_in_epoch = 4};
        td_progress_hook hook = {.report = watch, .user = &w};
        td_status stopped =
            td_model_train(model, f->train, f->validation, &f->options, &hook, NULL, &err);
        assert_int_equal(stopped, TD_ERR_CANCELLED);
    } else {
        f->options.epochs = 3;
        assert_ok(td_model_train(model, f->train, f->validation, &f->options, NULL, NULL, &err));
        f->options.epochs = 6;
    }
    td_model_free(model);
    f->options.resume = true;
    model = trained(f, &report);
    assert_true(same_weights(whole, model));
    assert_int_equal(report.epochs, 6);
    assert_int_equal(report.steps, whole_report.steps);
    assert_int_equal(report.best_epoch, whole_report.best_epoch);
    assert_close(report.best_monitor, whole_report.best_monitor, 0, 0);
    assert_close(report.first_loss, whole_report.first_loss, 0, 0);
    assert_close(report.last_loss, whole_report.last_loss, 0, 0);
    assert_ok(td_model_save(whole, whole_path, &err));
    assert_ok(td_model_save(model, resumed_path, &err));
    size_t a_size, b_size;
    unsigned char *a = test_read(whole_path, &a_size), *b = test_read(resumed_path, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(a);
    free(b);
    td_model_free(whole);
    td_model_free(model);
}

static void a_resumed_training_has_the_bits_of_one_without_a_stop(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 2);
    for (int optimizer = TD_OPTIMIZER_SGD; optimizer <= TD_OPTIMIZER_ADAM_LAZY; optimizer++) {
        f.options.optimizer.optimizer = (td_optimizer_kind)optimizer;
        f.options.optimizer.momentum = optimizer == TD_OPTIMIZER_SGD ? 0.5f : 0.0f;
        f.options.optimizer.learning_rate = optimizer == TD_OPTIMIZER_SGD ? 0.01f : 0.1f;
        f.options.sampling_correction = (td_sampling)(optimizer % 3);
        check_resume(&f, false);
        check_resume(&f, true);
    }
    tear_down(&f);
}

/* Draws, whole queries, dropout and the temperature go on where they were. */
static void negatives_dropout_and_temperature_resume(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 2);
    f.options.optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    f.options.optimizer.learning_rate = 0.01f;
    f.options.loss.temperature = 0.5f;
    f.options.temperature.learned = true;
    f.options.dropout = 0.2f;
    f.options.negatives.count = 30;
    for (int kind = TD_NEGATIVES_BATCH; kind <= TD_NEGATIVES_ALL; kind++) {
        f.options.negatives.kind = (td_negatives)kind;
        f.options.negatives.memory = kind == TD_NEGATIVES_ALL ? 0 : 2;
        f.options.group = kind % 2 == 0 ? TD_GROUP_ROWS : TD_GROUP_QUERIES;
        f.options.batch_size = f.options.group == TD_GROUP_QUERIES ? 8 : 64;
        check_resume(&f, false);
    }
    f.options.kind = TD_LOSS_CCL;
    check_resume(&f, false);
    tear_down(&f);
}

/* What is learned stands behind the tables. */
static void smoothed_tables_resume(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 2);
    f.options.optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    f.options.optimizer.learning_rate = 0.01f;
    f.options.negatives.kind = TD_NEGATIVES_ALL;
    f.options.group = TD_GROUP_QUERIES;
    f.options.batch_size = 8;
    f.options.graph_layers = 2;
    check_resume(&f, false);
    check_resume(&f, true);
    tear_down(&f);
}

/* A checkpoint from before the temperature could be learned has none: `out` is such a copy. */
static void copy_without_temperature(td_context *context, const char *path, const char *out)
{
    td_error err;
    td__container *file;
    td__container_writer *writer;
    static const char *const keys[] = {"model", "train", "data", "log"};
    assert_ok(td__container_open(&file, context, path, "checkpoint", 1, &err));
    assert_ok(td__container_writer_create(&writer, context, "checkpoint", 1, &err));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = td__container_get(file, keys[i]);
        if (text != NULL) assert_ok(td__container_set(writer, keys[i], text, &err));
    }
    for (uint32_t i = 0; i < td__container_count(file); i++) {
        const td__tensor *t = td__container_at(file, i);
        if (strcmp(t->name, "temperature") == 0) continue;
        assert_ok(td__container_add(writer, t->name, t->dtype, t->rows, t->cols, t->data, &err));
    }
    assert_ok(td__container_commit(writer, out, &err));
    td__container_writer_free(writer);
    td__container_close(file);
}

static void older_checkpoints_are_gone_on_from(void **state)
{
    (void)state;
    fixture f;
    td_train_report report;
    char path[1024];
    set_up(&f, 1);
    f.options.loss.temperature = 0.5f;
    f.options.epochs = 4;
    td_model *whole = trained(&f, &report);
    f.options.epochs = 2;
    f.options.checkpoint = test_path("new.checkpoint");
    snprintf(path, sizeof path, "%s", f.options.checkpoint);
    unlink(path);
    td_model_free(trained(&f, &report));
    f.options.checkpoint = test_path("old.checkpoint");
    copy_without_temperature(f.context, path, f.options.checkpoint);
    f.options.resume = true;
    f.options.epochs = 4;
    td_model *model = trained(&f, &report);
    assert_true(same_weights(model, whole));
    td_model_free(model);
    td_model_free(whole);
    tear_down(&f);
}

static void a_finished_training_resumes_to_its_end(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report first, second;
    f.options.epochs = 40;
    f.options.patience = 3;
    f.options.checkpoint = test_path("finished.checkpoint");
    f.options.resume = true; /* no file yet: starts anew */
    td_model *model = trained(&f, &first), *again = trained(&f, &second);
    assert_true(first.epochs < 40);
    assert_int_equal(first.epochs, second.epochs);
    assert_true(same_weights(model, again));
    td_model_free(model);
    td_model_free(again);
    tear_down(&f);
}

static void check_refusal(fixture *f, const char *part)
{
    td_error err;
    td_model *model = new_model(f), *before = new_model(f);
    assert_fails(td_model_train(model, f->train, f->validation, &f->options, NULL, NULL, &err),
                 TD_ERR_STATE, part);
    assert_true(same_weights(model, before));
    td_model_free(model);
    td_model_free(before);
}

static void a_checkpoint_of_another_training_is_refused(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report report;
    f.options.epochs = 2;
    f.options.checkpoint = test_path("other.checkpoint");
    unlink(f.options.checkpoint);
    td_model_free(trained(&f, &report));
    f.options.resume = true;
    f.options.batch_size = 64;
    check_refusal(&f, "batch-size 128, not 64");
    f.options.batch_size = 128;
    f.options.loss.temperature = 0.5f;
    check_refusal(&f, "temperature 1, not 0.5");
    f.options.loss.temperature = 1.0f;
    f.model_options.seed = 7;
    check_refusal(&f, "seed 42, not 7");
    f.model_options.seed = 42;
    td_dataset *validation = f.validation;
    f.validation = f.train;
    check_refusal(&f, "other training or validation data");
    f.validation = validation;
    f.options.epochs = 3;
    td_model_free(trained(&f, &report)); /* more epochs are fine */
    assert_int_equal(report.epochs, 3);
    tear_down(&f);
}

static void the_planned_length_counts_if_the_learning_rate_follows_it(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report report;
    f.options.epochs = 2;
    f.options.optimizer.schedule = TD_SCHEDULE_COSINE;
    f.options.checkpoint = test_path("cosine.checkpoint");
    unlink(f.options.checkpoint);
    td_model_free(trained(&f, &report));
    f.options.resume = true;
    f.options.epochs = 3;
    check_refusal(&f, "epochs 2, not 3");
    tear_down(&f);
}

static void every_flipped_byte_of_a_checkpoint_is_found(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1);
    td_train_report report;
    f.model_options.dim = 1;
    f.options.epochs = 1;
    f.options.checkpoint = test_path("flip.checkpoint");
    td_model_free(trained(&f, &report));
    f.options.resume = true;
    size_t size;
    unsigned char *bytes = test_read(f.options.checkpoint, &size);
    td_model *model = new_model(&f);
    for (size_t i = 0; i < size; i += 1 + i / 64 % 5) {
        bytes[i] ^= 0x10;
        test_file("flip.checkpoint", bytes, size);
        td_status status =
            td_model_train(model, f.train, f.validation, &f.options, NULL, NULL, &err);
        if (status == TD_OK) fail_msg("byte %zu flipped, and nobody saw it", i);
        assert_true(status == TD_ERR_CORRUPT || status == TD_ERR_VERSION);
        bytes[i] ^= 0x10;
    }
    free(bytes);
    td_model_free(model);
    tear_down(&f);
}

/* --- giving up */

/* A learning rate that overflows: the weights are those of the last good epoch. */
static void a_training_that_diverges_goes_back_to_the_last_good_epoch(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1);
    f.options.optimizer.optimizer = TD_OPTIMIZER_SGD;
    f.options.optimizer.learning_rate = 1e5f;
    f.options.optimizer.schedule = TD_SCHEDULE_CONSTANT;
    f.options.optimizer.warmup_steps = 1000; /* good at first */
    f.options.epochs = 60;
    td_train_report report;
    td_model *model = new_model(&f);
    assert_fails(td_model_train(model, f.train, NULL, &f.options, NULL, &report, &err), TD_ERR_NUMERIC,
                 "diverged in epoch");
    assert_ok(td_model_check(model, &err));
    f.options.epochs = report.epochs;
    td_model *good = new_model(&f);
    if (report.epochs > 0) {
        assert_ok(td_model_train(good, f.train, NULL, &f.options, NULL, &report, &err));
    }
    assert_true(same_weights(model, good));
    td_model_free(model);
    td_model_free(good);
    tear_down(&f);
}

static void impossible_arguments_are_refused(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1);
    td_model *model = new_model(&f);
    td_dataset *stranger = tiny_dataset(f.context, &shape);
    f.options.resume = true;
    assert_fails(td_model_train(model, f.train, NULL, &f.options, NULL, NULL, &err), TD_ERR_ARGUMENT,
                 "checkpoint");
    f.options.resume = false;
    assert_fails(td_model_train(model, f.train, stranger, &f.options, NULL, NULL, &err),
                 TD_ERR_ARGUMENT, "share their vocabularies");
    f.options.epochs = 0;
    assert_fails(td_model_train(model, f.train, NULL, &f.options, NULL, NULL, &err), TD_ERR_ARGUMENT,
                 "epochs");
    td_dataset_free(stranger);
    td_model_free(model);
    tear_down(&f);
}

/* --- log */

static void the_log_has_one_json_line_an_epoch(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report report;
    f.options.log = test_path("training.jsonl");
    td_model_free(trained(&f, &report));
    size_t size;
    unsigned char *text = test_read(f.options.log, &size);
    char *line = (char *)text;
    double best = 0.0;
    for (uint32_t epoch = 1; epoch <= 6; epoch++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        json_t *object = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_non_null(object);
        assert_int_equal(json_integer_value(json_object_get(object, "epoch")), epoch);
        assert_int_equal(json_integer_value(json_object_get(object, "steps")), epoch * 10);
        assert_true(json_real_value(json_object_get(object, "loss")) > 0.0);
        assert_true(json_real_value(json_object_get(object, "rows_per_second")) > 0.0);
        assert_close(json_real_value(json_object_get(object, "learning_rate")), 0.3, 1e-6, 0);
        double monitor = json_real_value(json_object_get(object, "monitor"));
        assert_int_equal(json_is_true(json_object_get(object, "best")), monitor > best);
        if (monitor > best) best = monitor;
        json_decref(object);
        line = end + 1;
    }
    assert_int_equal(*line, '\0');
    assert_close(best, report.best_monitor, 1e-6, 0);
    free(text);
    tear_down(&f);
}

static void a_resumed_training_goes_on_with_the_log(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    td_train_report report;
    f.options.log = test_path("resumed.jsonl");
    f.options.checkpoint = test_path("resumed.checkpoint");
    f.options.epochs = 2;
    td_model_free(trained(&f, &report));
    f.options.epochs = 5;
    f.options.resume = true;
    td_model_free(trained(&f, &report));
    size_t size, lines = 0;
    unsigned char *text = test_read(f.options.log, &size);
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    assert_int_equal(lines, 5);
    free(text);
    tear_down(&f);
}

/* --- memory */

static td_status train_with_everything(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_dataset *dataset = NULL, *train = NULL, *validation = NULL;
    td_model *model = NULL;
    tiny_shape small = {.queries = 6, .candidates = 8, .groups = 2, .rows = 60, .seed = 3};
    td_split_options split;
    td_train_options options;
    td_split_options_init(&split);
    td_train_options_init(&options);
    options.epochs = 2;
    options.batch_size = 16;
    options.sampling_correction = TD_SAMPLING_STREAMING;
    options.frequency.buckets = 64;
    options.checkpoint = test_path("memory.checkpoint");
    options.log = test_path("memory.jsonl");
    td_status status = tiny_dataset_build(&dataset, context, &small, err);
    if (status == TD_OK) status = td_dataset_split(&train, &validation, dataset, &split, err);
    if (status == TD_OK) status = td_model_create(&model, context, train, NULL, NULL, err);
    if (status == TD_OK) status = td_model_train(model, train, validation, &options, NULL, NULL, err);
    options.resume = true;
    options.epochs = 3;
    if (status == TD_OK) status = td_model_train(model, train, validation, &options, NULL, NULL, err);
    td_model_free(model);
    td_dataset_free(train);
    td_dataset_free(validation);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(train_with_everything, NULL);
}

/* One epoch, so that the file under test is written once. */
static td_status train_and_write(td_context *context, const char *checkpoint, const char *log,
                                 td_error *err)
{
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model *model = NULL;
    td_train_options options;
    td_train_options_init(&options);
    options.epochs = 1;
    options.checkpoint = checkpoint;
    options.log = log;
    td_status status = td_model_create(&model, context, dataset, NULL, NULL, err);
    if (status == TD_OK) status = td_model_train(model, dataset, NULL, &options, NULL, NULL, err);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static td_status write_checkpoint(void *state, td_context *context, td_error *err)
{
    return train_and_write(context, state, NULL, err);
}

static td_status write_log(void *state, td_context *context, td_error *err)
{
    return train_and_write(context, NULL, state, err);
}

static void survives_every_failed_write(void **state)
{
    (void)state;
    static char checkpoint[1024], log[1024];
    snprintf(checkpoint, sizeof checkpoint, "%s", test_path("written.checkpoint"));
    snprintf(log, sizeof log, "%s", test_path("written.jsonl"));
    test_every_write(write_checkpoint, checkpoint, checkpoint);
    test_every_write(write_log, log, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_has_a_row),
        cmocka_unit_test(options_of_the_parts_are_those_of_their_own_tables),
        cmocka_unit_test(training_learns_what_is_there),
        cmocka_unit_test(bfloat16_learns_as_float32),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(the_seed_decides_the_order),
        cmocka_unit_test(stops_when_nothing_is_gained_and_restores_the_best),
        cmocka_unit_test(without_restore_the_last_epoch_stays),
        cmocka_unit_test(the_hook_sees_every_epoch),
        cmocka_unit_test(a_cancelled_training_is_as_after_the_last_step),
        cmocka_unit_test(a_resumed_training_has_the_bits_of_one_without_a_stop),
        cmocka_unit_test(negatives_dropout_and_temperature_resume),
        cmocka_unit_test(smoothed_tables_resume),
        cmocka_unit_test(older_checkpoints_are_gone_on_from),
        cmocka_unit_test(a_finished_training_resumes_to_its_end),
        cmocka_unit_test(a_checkpoint_of_another_training_is_refused),
        cmocka_unit_test(the_planned_length_counts_if_the_learning_rate_follows_it),
        cmocka_unit_test(every_flipped_byte_of_a_checkpoint_is_found),
        cmocka_unit_test(a_training_that_diverges_goes_back_to_the_last_good_epoch),
        cmocka_unit_test(impossible_arguments_are_refused),
        cmocka_unit_test(the_log_has_one_json_line_an_epoch),
        cmocka_unit_test(a_resumed_training_goes_on_with_the_log),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(survives_every_failed_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
