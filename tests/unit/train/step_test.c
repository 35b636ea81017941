/* step_test.c -- one step: nothing is allocated, only touched rows move, the loss is that of the rows. */
#include <math.h>

#include "model/model.h"
#include "support/tiny_data.h"
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

static void set_up(fixture *f, uint32_t threads, uint32_t heads, td_similarity similarity)
{
    td_error err;
    *f = (fixture){.memory = {.fail_at = -1}};
    f->context = test_context_on(&f->memory, threads);
    tiny_shape shape = {.queries = 50, .candidates = 80, .groups = 4, .rows = 700, .seed = 3};
    f->dataset = tiny_dataset(f->context, &shape);
    td_model_options options;
    td_model_options_init(&options);
    options.heads = heads;
    options.dim = 32;
    options.similarity = similarity;
    assert_ok(td_model_create(&f->model, f->context, f->dataset, NULL, &options, &err));
    td_train_options_init(&f->options);
    f->options.batch_size = 32;
    assert_ok(td__batches_create(&f->batches, f->model, f->dataset, &f->options, &err));
    td__batch_shape shape_of_batches = td__batches_shape(f->batches);
    assert_ok(td__step_create(&f->step, f->model, &f->options, &shape_of_batches, &err));
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

/* From the first on, whatever the optimizer and the tower. */
static void a_step_allocates_nothing(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        td_error err;
        fixture f;
        set_up(&f, 2, 1 + (uint32_t)variant % 2, (td_similarity)(variant / 2));
        int64_t before = f.memory.allocations;
        for (uint32_t epoch = 0; epoch < 2; epoch++) {
            const td__batch *batch;
            td__batches_start(f.batches, epoch);
            while ((batch = td__batches_next(f.batches)) != NULL) {
                double loss;
                assert_ok(td__step_run(f.step, batch, 0.1, &loss, &err));
            }
        }
        assert_int_equal(f.memory.allocations, before);
        tear_down(&f);
    }
}

static bool is_in(const td__distinct *distinct, uint64_t row)
{
    for (uint32_t i = 0; i < distinct->count; i++) {
        if (distinct->rows[i] == row) return true;
    }
    return false;
}

static void only_rows_of_the_batch_move(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1, 1, TD_SIMILARITY_DOT);
    td__snapshot *before;
    assert_ok(td__snapshot_create(&before, f.model, &err));
    td__batches_start(f.batches, 0);
    const td__batch *batch = td__batches_next(f.batches);
    double loss;
    assert_ok(td__step_run(f.step, batch, 0.1, &loss, &err));
    for (uint32_t i = 0; i < 2; i++) {
        const td__parameter *table = td__model_parameter(f.model, i, NULL);
        const float *old = td__snapshot_weights(before, i);
        for (uint64_t row = 0; row < table->rows; row++) {
            bool moved = memcmp(old + row * table->cols, table->weights + row * table->cols,
                                table->cols * sizeof *old) != 0;
            assert_int_equal(moved, is_in(i == 0 ? &batch->queries : &batch->candidates, row));
        }
    }
    td__snapshot_restore(before, f.model);
    assert_memory_equal(td__model_parameter(f.model, 0, NULL)->weights, td__snapshot_weights(before, 0),
                        50 * 32 * sizeof(float));
    td__snapshot_free(before);
    tear_down(&f);
}

/* With weights near zero every one of B candidates is as likely: the loss is B ln B without correction,
 * whatever the reduction. */
static void the_loss_is_the_sum_over_the_rows(void **state)
{
    (void)state;
    for (int reduction = TD_REDUCTION_SUM; reduction <= TD_REDUCTION_NONE; reduction++) {
        td_error err;
        fixture f;
        set_up(&f, 1, 1, TD_SIMILARITY_DOT);
        td__step_free(f.step);
        f.options.loss.reduction = (td_reduction)reduction;
        f.options.loss.remove_accidental_hits = false;
        assert_ok(td__step_create(&f.step, f.model, &f.options, &(td__batch_shape){32, 32, 32}, &err));
        td__batches_start(f.batches, 0);
        td__batch batch = *td__batches_next(f.batches);
        batch.probability = NULL;
        double loss;
        assert_ok(td__step_run(f.step, &batch, 0.1, &loss, &err));
        assert_close(loss, 32 * log(32.0), 0.01, 0);
        tear_down(&f);
    }
}

static void a_loss_that_is_no_number_changes_nothing(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1, 1, TD_SIMILARITY_DOT);
    td__batches_start(f.batches, 0);
    const td__batch *batch = td__batches_next(f.batches);
    const td__parameter *candidates = td__model_parameter(f.model, 1, NULL);
    float *first = candidates->weights + (size_t)batch->candidates.rows[0] * candidates->cols;
    *first = INFINITY;
    td__snapshot *before;
    double loss;
    assert_ok(td__snapshot_create(&before, f.model, &err));
    assert_fails(td__step_run(f.step, batch, 0.1, &loss, &err), TD_ERR_NUMERIC, "");
    for (uint32_t i = 0; i < 2; i++) {
        const td__parameter *table = td__model_parameter(f.model, i, NULL);
        assert_memory_equal(table->weights, td__snapshot_weights(before, i),
                            table->rows * table->cols * sizeof(float));
    }
    td__snapshot_free(before);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(only_rows_of_the_batch_move),
        cmocka_unit_test(the_loss_is_the_sum_over_the_rows),
        cmocka_unit_test(a_loss_that_is_no_number_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
