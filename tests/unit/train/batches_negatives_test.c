/* batches_negatives_test.c -- columns of batches with other negatives than their own rows, and batches of
 * whole queries. */
#include "model/model.h"
#include "support/tiny_data.h"
#include "train/batches.h"

typedef struct fixture {
    test_memory memory;
    td_context *context;
    td_dataset *dataset;
    td_model *model;
    td_train_options options;
} fixture;

static void set_up(fixture *f)
{
    td_error err;
    *f = (fixture){.memory = {.fail_at = -1}};
    f->context = test_context_on(&f->memory, 1);
    tiny_shape shape = {.queries = 40, .candidates = 60, .groups = 4, .rows = 500, .seed = 3};
    f->dataset = tiny_dataset(f->context, &shape);
    assert_ok(td_model_create(&f->model, f->context, f->dataset, NULL, NULL, &err));
    td_train_options_init(&f->options);
    f->options.batch_size = 16;
    f->options.negatives.count = 20;
}

static void tear_down(fixture *f)
{
    td_model_free(f->model);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
    assert_int_equal(f->memory.blocks, 0);
}

static td__batches *make_batches(fixture *f)
{
    td_error err;
    td__batches *batches;
    assert_ok(td__batches_create(&batches, f->model, f->dataset, &f->options, &err));
    return batches;
}

static uint32_t sum_of_copies(const td__batch *batch)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < batch->candidates.count; i++) sum += batch->copies[i];
    return sum;
}

static void assert_fits(const td__batch *batch, td__batch_shape shape)
{
    bool seen[64] = {false};
    assert_true(batch->count <= shape.interactions && batch->queries.count <= shape.queries);
    assert_true(batch->candidates.count <= shape.candidates);
    for (uint32_t i = 0; i < batch->candidates.count; i++) {
        assert_false(seen[batch->candidates.rows[i]]);
        seen[batch->candidates.rows[i]] = true;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        assert_int_equal(batch->candidates.rows[batch->candidates.of[i]], batch->candidate_id[i]);
    }
}

/* Each kind adds as many copies as it says, over two epochs; nothing is allocated on the way. */
static void copies_are_those_of_the_kind(void **state)
{
    (void)state;
    for (int kind = TD_NEGATIVES_BATCH; kind <= TD_NEGATIVES_ALL; kind++) {
        for (uint32_t memory = kind == TD_NEGATIVES_BATCH; memory < (kind == TD_NEGATIVES_ALL ? 1 : 3);
             memory++) {
            fixture f;
            set_up(&f);
            f.options.negatives.kind = (td_negatives)kind;
            f.options.negatives.memory = memory;
            td__batches *batches = make_batches(&f);
            int64_t allocations = f.memory.allocations;
            for (uint32_t epoch = 0; epoch < 2; epoch++) {
                const td__batch *batch;
                td__batches_start(batches, epoch);
                for (uint32_t b = 0; (batch = td__batches_next(batches)) != NULL; b++) {
                    uint32_t own = kind == TD_NEGATIVES_SAMPLED ? 0 : batch->count;
                    uint32_t expected = own + (kind == TD_NEGATIVES_BATCH ? 0 : 20)
                                        + 16 * (b < memory ? b : memory);
                    assert_fits(batch, td__batches_shape(batches));
                    if (kind == TD_NEGATIVES_ALL) expected = batch->candidates.count;
                    assert_int_equal(sum_of_copies(batch), expected);
                    assert_int_equal(batch->own_bias != NULL, kind == TD_NEGATIVES_SAMPLED);
                    assert_int_equal(batch->bias == NULL, kind == TD_NEGATIVES_ALL);
                }
            }
            assert_int_equal(f.memory.allocations, allocations);
            td__batches_free(batches);
            tear_down(&f);
        }
    }
}

static void all_are_the_columns_of_every_batch(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    f.options.negatives.kind = TD_NEGATIVES_ALL;
    f.options.group = TD_GROUP_QUERIES;
    td__batches *batches = make_batches(&f);
    uint32_t known = td_vocab_count(td_model_candidates(f.model)), rows = 0;
    const td__batch *batch;
    td__batches_start(batches, 3);
    while ((batch = td__batches_next(batches)) != NULL) {
        assert_int_equal(batch->candidates.count, known);
        for (uint32_t i = 0; i < known; i++) assert_int_equal(batch->candidates.rows[i], i);
        rows += batch->count;
    }
    assert_int_equal(rows, 500);
    td__batches_free(batches);
    tear_down(&f);
}

/* The rows of a query's only batch are all it has. */
static void batches_of_queries_hold_all_their_rows(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    f.options.group = TD_GROUP_QUERIES;
    f.options.batch_size = 7;
    td__batches *batches = make_batches(&f);
    td_rows rows = td_dataset_rows(f.dataset);
    uint32_t expected[40] = {0}, row_of[40];
    td__model_number_queries(f.model, td_dataset_queries(f.dataset), row_of);
    for (uint64_t i = 0; i < rows.count; i++) expected[row_of[rows.query[i]]]++;
    const td__batch *batch;
    td__batches_start(batches, 1);
    while ((batch = td__batches_next(batches)) != NULL) {
        uint32_t found[40] = {0};
        for (uint32_t i = 0; i < batch->count; i++) found[batch->queries.rows[batch->queries.of[i]]]++;
        for (uint32_t q = 0; q < batch->queries.count; q++) {
            assert_int_equal(found[batch->queries.rows[q]], expected[batch->queries.rows[q]]);
        }
        assert_true(batch->queries.count <= 7);
        assert_int_equal(td__batches_shape(batches).queries, 7);
    }
    td__batches_free(batches);
    tear_down(&f);
}

/* An epoch's draws do not depend on the epochs before: what a resumed training needs. */
static void an_epoch_draws_the_same_whenever_it_comes(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    f.options.negatives.kind = TD_NEGATIVES_MIXED;
    f.options.negatives.memory = 2;
    td__batches *there = make_batches(&f), *late = make_batches(&f);
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        td__batches_start(there, epoch);
        while (epoch < 2 && td__batches_next(there) != NULL) continue;
    }
    td__batches_start(late, 2);
    const td__batch *a, *b;
    while ((a = td__batches_next(there)) != NULL) {
        assert_non_null(b = td__batches_next(late));
        assert_int_equal(a->candidates.count, b->candidates.count);
        assert_memory_equal(a->candidates.rows, b->candidates.rows, a->candidates.count * sizeof(uint32_t));
        assert_memory_equal(a->copies, b->copies, a->candidates.count * sizeof(uint32_t));
        assert_memory_equal(a->bias, b->bias, a->candidates.count * sizeof(float));
    }
    td__batches_free(there);
    td__batches_free(late);
    tear_down(&f);
}

static td_status create_and_free(void *state, td_context *context, td_error *err)
{
    td_status status;
    td_dataset *dataset = NULL;
    td_model *model = NULL;
    td__batches *batches = NULL;
    tiny_shape shape = {.queries = 10, .candidates = 12, .groups = 2, .rows = 40, .seed = 3};
    status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status == TD_OK) status = td_model_create(&model, context, dataset, NULL, NULL, err);
    if (status == TD_OK) status = td__batches_create(&batches, model, dataset, state, err);
    td__batches_free(batches);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    td_train_options options;
    td_train_options_init(&options);
    options.group = TD_GROUP_QUERIES;
    options.negatives.kind = TD_NEGATIVES_SAMPLED;
    test_every_allocation(create_and_free, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_those_of_the_kind),
        cmocka_unit_test(all_are_the_columns_of_every_batch),
        cmocka_unit_test(batches_of_queries_hold_all_their_rows),
        cmocka_unit_test(an_epoch_draws_the_same_whenever_it_comes),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
