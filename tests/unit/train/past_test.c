/* past_test.c -- a step of towers with a history: what a query's history lacks, who is a stranger, the
 * gradients of every weight against finite differences of the step's own loss, and what they move. */
#include <math.h>

#include "model/model.h"
#include "support/tiny_data.h"
#include "train/past.h"
#include "train/snapshot.h"
#include "train/step.h"

typedef struct fixture {
    test_memory memory;
    td_context *context;
    td_dataset *dataset;
    td_model *model;
    td_train_options options;
    td__batches *batches;
    td__step *step;
} fixture;

typedef struct variant {
    td_query_tower tower;
    td_pooling pooling;
    td_similarity similarity;
    td_group group;
    uint32_t threads;
    uint32_t layers; /* dense ones behind both tables */
    bool decoupled;
} variant;

static void set_up(fixture *f, const variant *v)
{
    td_error err;
    *f = (fixture){.memory = {.fail_at = -1}};
    f->context = test_context_on(&f->memory, v->threads);
    tiny_shape shape = {.queries = 30, .candidates = 40, .groups = 4, .rows = 500, .seed = 3};
    f->dataset = tiny_dataset(f->context, &shape);
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 8;
    options.init_scale = 0.5f;
    options.similarity = v->similarity;
    options.query_tower = v->tower;
    options.history_pooling = v->pooling;
    for (uint32_t i = 0; i < v->layers; i++) {
        options.query_layers = options.candidate_layers = (td_u32_list){1, {8}};
    }
    assert_ok(td_model_create(&f->model, f->context, f->dataset, NULL, &options, &err));
    td_train_options_init(&f->options);
    f->options.group = v->group;
    f->options.batch_size = v->group == TD_GROUP_ROWS ? 24 : 12;
    f->options.loss.temperature = v->similarity == TD_SIMILARITY_COSINE ? 0.3f : 1.0f;
    f->options.optimizer.optimizer = TD_OPTIMIZER_SGD;
    f->options.id_dropout = 0.25f;
    f->options.decoupled = v->decoupled;
}

static void start(fixture *f)
{
    td_error err;
    assert_ok(td__batches_create(&f->batches, f->model, f->dataset, &f->options, &err));
    td__batch_shape shape = td__batches_shape(f->batches);
    assert_ok(td__step_create(&f->step, f->model, &f->options, &shape, &err));
    td__batches_start(f->batches, 0);
}

static void tear_down(fixture *f)
{
    td__step_free(f->step);
    td__batches_free(f->batches);
    td_model_free(f->model);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
    assert_int_equal(f->memory.blocks, 0);
}

/* --- what goes in */

static bool is_target(const td__batch *batch, uint32_t place, uint32_t row)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->queries.of[i] != place) continue;
        if (batch->candidates.rows[batch->candidates.of[i]] == row) return true;
    }
    return false;
}

/* The whole history but for the batch's targets: nothing more, nothing less, nothing twice. */
static void check_list(const fixture *f, const td__batch *batch, const td__bag *bag, uint32_t place)
{
    uint32_t count, expected = 0;
    const uint32_t *history = td__model_history(f->model, batch->queries.rows[place], &count);
    for (uint32_t i = 0; i < count; i++) expected += !is_target(batch, place, history[i]);
    assert_int_equal(bag->offset[place + 1] - bag->offset[place], expected);
    for (uint32_t at = bag->offset[place]; at < bag->offset[place + 1]; at++) {
        uint32_t row = bag->rows[bag->item[at]], times = 0;
        assert_false(is_target(batch, place, row));
        for (uint32_t i = 0; i < count; i++) times += history[i] == row;
        assert_int_equal(times, 1);
    }
}

static void histories_lack_the_targets_of_the_batch(void **state)
{
    (void)state;
    for (int group = TD_GROUP_ROWS; group <= TD_GROUP_QUERIES; group++) {
        td_error err;
        fixture f;
        td__past *past;
        const td__batch *batch;
        uint32_t entries = 0, empty = 0;
        set_up(&f, &(variant){TD_QUERY_ID_HISTORY, .group = (td_group)group, .threads = 1});
        start(&f);
        td__batch_shape shape = td__batches_shape(f.batches);
        assert_ok(td__past_create(&past, f.model, &f.options, &shape, &err));
        while ((batch = td__batches_next(f.batches)) != NULL) {
            td__tower_input input = td__past_fill(past, batch, 0);
            assert_int_equal(input.count, batch->queries.count);
            for (uint32_t i = 0; i < input.count; i++) {
                check_list(&f, batch, input.bag, i);
                empty += input.bag->offset[i + 1] == input.bag->offset[i];
            }
            entries += input.bag->offset[input.count];
        }
        assert_true(entries > 300);
        assert_true(empty <= 6);
        td__past_free(past);
        tear_down(&f);
    }
}

static uint32_t strangers_of(const fixture *f, const td__tower_input *input, const td__batch *batch)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < input->count; i++) {
        bool stranger = input->rows[i] == f->model->query_tower.known;
        if (!stranger) assert_int_equal(input->rows[i], batch->queries.rows[i]);
        count += stranger;
    }
    return count;
}

static void strangers_are_a_share_and_a_function_of_the_step(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    td__past *past;
    uint32_t strangers = 0, all = 0;
    set_up(&f, &(variant){TD_QUERY_ID_HISTORY, .threads = 1});
    start(&f);
    td__batch_shape shape = td__batches_shape(f.batches);
    assert_ok(td__past_create(&past, f.model, &f.options, &shape, &err));
    const td__batch *batch = td__batches_next(f.batches);
    for (uint64_t step = 0; step < 200; step++) {
        td__tower_input first = td__past_fill(past, batch, step);
        uint32_t count = strangers_of(&f, &first, batch);
        td__tower_input second = td__past_fill(past, batch, step);
        assert_int_equal(strangers_of(&f, &second, batch), count);
        strangers += count;
        all += first.count;
    }
    assert_close((double)strangers / all, 0.25, 0.1, 0);
    td__past_free(past);
    tear_down(&f);
}

/* --- gradients of a whole step */

/* The loss as it is now: a step of size zero moves nothing, but it counts, so steps of this optimizer must
 * not depend on their number: strangers would, which the caller has none of. */
static double loss_of(const fixture *f, const td__batch *batch)
{
    td_error err;
    double loss;
    assert_ok(td__step_run(f->step, batch, 0.0, &loss, &err));
    return loss;
}

static double slope_of(const fixture *f, const td__batch *batch, float *weight)
{
    const float before = *weight;
    *weight = before + 1.0f / 256;
    double above = loss_of(f, batch), high = (double)*weight;
    *weight = before - 1.0f / 256;
    double below = loss_of(f, batch), low = (double)*weight;
    *weight = before;
    return (above - below) / (high - low);
}

/* Plain SGD with rate r moves a weight by -r times its gradient. */
static void check_step(fixture *f)
{
    td_error err;
    const float rate = 1.0f / 1024;
    td__snapshot *before;
    const td__batch *batch = td__batches_next(f->batches);
    double loss;
    assert_ok(td__snapshot_create(&before, f->model, &err));
    assert_ok(td__step_run(f->step, batch, (double)rate, &loss, &err));
    td__snapshot *after;
    assert_ok(td__snapshot_create(&after, f->model, &err));
    td__snapshot_restore(before, f->model);
    td__parameter *parameter;
    for (uint32_t p = 0; (parameter = td__model_parameter(f->model, p, NULL)) != NULL; p++) {
        uint32_t moved = 0;
        for (uint64_t at = 0; at < parameter->rows * parameter->cols; at++) {
            double was = (double)td__snapshot_weights(before, p)[at];
            double is = (double)td__snapshot_weights(after, p)[at];
            double slope = slope_of(f, batch, &parameter->weights[at]);
            assert_close((was - is) / (double)rate, slope, 1e-2, 4e-3);
            moved += was != is;
        }
        assert_true(moved > 0);
    }
    td__snapshot_free(before);
    td__snapshot_free(after);
}

static void all_weights_move_by_their_gradients(void **state)
{
    (void)state;
    const variant variants[] = {
        {TD_QUERY_HISTORY, TD_POOLING_MEAN, TD_SIMILARITY_DOT, TD_GROUP_ROWS, 2, 0, false},
        {TD_QUERY_ID_HISTORY, TD_POOLING_SQRT, TD_SIMILARITY_COSINE, TD_GROUP_QUERIES, 2, 0, false},
        {TD_QUERY_ID_HISTORY, TD_POOLING_ATTENTION, TD_SIMILARITY_DOT, TD_GROUP_ROWS, 1, 0, false},
        {TD_QUERY_ID_HISTORY, TD_POOLING_MEAN, TD_SIMILARITY_DOT, TD_GROUP_QUERIES, 2, 1, false},
        {TD_QUERY_ID_HISTORY, TD_POOLING_MEAN, TD_SIMILARITY_DOT, TD_GROUP_QUERIES, 2, 0, true},
        {TD_QUERY_HISTORY, TD_POOLING_MEAN, TD_SIMILARITY_COSINE, TD_GROUP_ROWS, 1, 0, true},
    };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        fixture f;
        set_up(&f, &variants[i]);
        f.options.id_dropout = 0.0f;
        start(&f);
        check_step(&f);
        tear_down(&f);
    }
}

/* --- memory and threads */

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        fixture f;
        set_up(&f, &(variant){i % 2 ? TD_QUERY_HISTORY : TD_QUERY_ID_HISTORY, (td_pooling)(i / 2),
                              .group = (td_group)(i % 2), .threads = 2});
        start(&f);
        int64_t before = f.memory.allocations;
        for (uint32_t epoch = 0; epoch < 2; epoch++) {
            const td__batch *batch;
            td__batches_start(f.batches, epoch);
            while ((batch = td__batches_next(f.batches)) != NULL) {
                td_error err;
                double loss;
                assert_ok(td__step_run(f.step, batch, 0.1, &loss, &err));
            }
        }
        assert_int_equal(f.memory.allocations, before);
        tear_down(&f);
    }
}

static void train_with(const variant *v, td__snapshot **weights, fixture *f)
{
    td_error err;
    set_up(f, v);
    f->options.optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    f->options.optimizer.l2 = 1e-3f;
    f->options.dropout = 0.1f;
    f->options.epochs = 3;
    assert_ok(td_model_train(f->model, f->dataset, NULL, &f->options, NULL, NULL, &err));
    assert_ok(td__snapshot_create(weights, f->model, &err));
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    for (int pooling = TD_POOLING_MEAN; pooling <= TD_POOLING_ATTENTION; pooling++) {
        const uint32_t threads[3] = {1, 2, 7};
        td__snapshot *weights[3];
        fixture f[3];
        for (int t = 0; t < 3; t++) {
            const variant v = {TD_QUERY_ID_HISTORY, (td_pooling)pooling, TD_SIMILARITY_COSINE,
                               TD_GROUP_QUERIES, threads[t], 0, true};
            train_with(&v, &weights[t], &f[t]);
        }
        const td__parameter *parameter;
        for (uint32_t p = 0; (parameter = td__model_parameter(f[0].model, p, NULL)) != NULL; p++) {
            size_t bytes = parameter->rows * parameter->cols * sizeof(float);
            for (int t = 1; t < 3; t++) {
                assert_memory_equal(td__snapshot_weights(weights[t], p),
                                    td__snapshot_weights(weights[0], p), bytes);
            }
        }
        for (int t = 0; t < 3; t++) {
            td__snapshot_free(weights[t]);
            tear_down(&f[t]);
        }
    }
}

/* A checkpoint has the optimizers of all weights, so the rest is the same to the bit. */
static void a_training_gone_on_with_gives_the_same_bits(void **state)
{
    (void)state;
    td_error err;
    fixture whole, parts;
    const variant v = {TD_QUERY_HISTORY, TD_POOLING_ATTENTION, TD_SIMILARITY_COSINE, TD_GROUP_QUERIES,
                       2, 0, false};
    set_up(&whole, &v);
    set_up(&parts, &v);
    whole.options.epochs = 4;
    assert_ok(td_model_train(whole.model, whole.dataset, NULL, &whole.options, NULL, NULL, &err));
    parts.options.checkpoint = test_path("past.checkpoint");
    parts.options.epochs = 2;
    assert_ok(td_model_train(parts.model, parts.dataset, NULL, &parts.options, NULL, NULL, &err));
    td_model_free(parts.model);
    assert_ok(td_model_create(&parts.model, parts.context, parts.dataset, NULL,
                              td_model_get_options(whole.model), &err));
    parts.options.resume = true;
    parts.options.epochs = 4;
    assert_ok(td_model_train(parts.model, parts.dataset, NULL, &parts.options, NULL, NULL, &err));
    for (uint32_t p = 0; p < td__model_parameters(whole.model); p++) {
        const td__parameter *a = td__model_parameter(whole.model, p, NULL);
        const td__parameter *b = td__model_parameter(parts.model, p, NULL);
        assert_memory_equal(a->weights, b->weights, a->rows * a->cols * sizeof(float));
    }
    assert_ok(td_file_check(parts.context, parts.options.checkpoint, &err));
    tear_down(&whole);
    tear_down(&parts);
}

static td_status create_and_run(void *state, td_context *context, td_error *err)
{
    fixture *f = state;
    td__batches *batches = NULL;
    td__step *step = NULL;
    double loss;
    td_model *model;
    td_dataset *dataset;
    tiny_shape shape = {.queries = 10, .candidates = 12, .groups = 2, .rows = 60, .seed = 3};
    td_status status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status != TD_OK) return status;
    status = td_model_create(&model, context, dataset, NULL, td_model_get_options(f->model), err);
    if (status == TD_OK) status = td__batches_create(&batches, model, dataset, &f->options, err);
    if (status == TD_OK) {
        td__batch_shape of_batches = td__batches_shape(batches);
        status = td__step_create(&step, model, &f->options, &of_batches, err);
    }
    if (status == TD_OK) {
        td__batches_start(batches, 0);
        status = td__step_run(step, td__batches_next(batches), 0.1, &loss, err);
    }
    td__step_free(step);
    td__batches_free(batches);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, &(variant){TD_QUERY_ID_HISTORY, TD_POOLING_ATTENTION, .group = TD_GROUP_QUERIES,
                          .threads = 1});
    test_every_allocation(create_and_run, &f);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_lack_the_targets_of_the_batch),
        cmocka_unit_test(strangers_are_a_share_and_a_function_of_the_step),
        cmocka_unit_test(all_weights_move_by_their_gradients),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(a_training_gone_on_with_gives_the_same_bits),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
