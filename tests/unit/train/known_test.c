/* known_test.c -- which columns of a batch its queries are known to have, against a search through all
 * training rows; and when batches say so. */
#include "model/model.h"
#include "support/tiny_data.h"
#include "train/batches.h"
#include "train/known.h"

enum { QUERIES = 40, CANDIDATES = 60 };

typedef struct fixture {
    test_memory memory;
    td_context *context;
    td_dataset *dataset;
    td_model *model;
    td_train_options options;
    td__batches *batches;
    bool has[QUERIES + 8][CANDIDATES + 8]; /* by rows of the tables */
} fixture;

typedef struct variant {
    td_query_tower tower;
    uint32_t min_count; /* above 1: rare ids share rows */
    td_group group;
    td_negatives negatives;
    uint32_t parts;
} variant;

static void look_up(fixture *f)
{
    uint32_t query[QUERIES], candidate[CANDIDATES];
    td_rows rows = td_dataset_rows(f->dataset);
    td__model_number_queries(f->model, td_dataset_queries(f->dataset), query);
    td__model_candidate_rows(f->model, td_dataset_candidates(f->dataset), candidate);
    for (uint64_t i = 0; i < rows.count; i++) {
        f->has[query[rows.query[i]]][candidate[rows.candidate[i]]] = true;
    }
}

static void set_up(fixture *f, const variant *v)
{
    td_error err;
    td_model_options model;
    tiny_shape shape = {.queries = QUERIES, .candidates = CANDIDATES, .groups = 4, .rows = 500, .seed = 3};
    *f = (fixture){.memory = {.fail_at = -1}};
    f->context = test_context_on(&f->memory, 1);
    f->dataset = tiny_dataset(f->context, &shape);
    td_model_options_init(&model);
    model.query_tower = v->tower;
    model.min_count = v->min_count;
    assert_ok(td_model_create(&f->model, f->context, f->dataset, NULL, &model, &err));
    td_train_options_init(&f->options);
    f->options.decoupled = true;
    f->options.group = v->group;
    f->options.negatives.kind = v->negatives;
    f->options.negatives.count = 20;
    f->options.history_parts = v->parts;
    f->options.batch_size = 16;
    look_up(f);
    assert_ok(td__batches_create(&f->batches, f->model, f->dataset, &f->options, &err));
}

static void tear_down(fixture *f)
{
    td__batches_free(f->batches);
    td_model_free(f->model);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
    assert_int_equal(f->memory.blocks, 0);
}

/* Every column of the batch is named where the query has it, and nowhere else. Returns those that the
 * batch itself does not ask the query for. */
static uint32_t check_query(const fixture *f, const td__batch *batch, uint32_t place)
{
    bool named[CANDIDATES + 8] = {false}, asked[CANDIDATES + 8] = {false};
    uint32_t beyond = 0;
    for (uint32_t i = batch->known_offset[place]; i < batch->known_offset[place + 1]; i++) {
        assert_true(batch->known_column[i] < batch->candidates.count);
        named[batch->known_column[i]] = true;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->queries.of[i] == place) asked[batch->candidates.of[i]] = true;
    }
    for (uint32_t k = 0; k < batch->candidates.count; k++) {
        assert_int_equal(named[k], f->has[batch->queries.rows[place]][batch->candidates.rows[k]]);
        beyond += named[k] && !asked[k];
    }
    return beyond;
}

static void columns_that_a_query_has_are_named(void **state)
{
    (void)state;
    const variant variants[] = {
        {TD_QUERY_ID, 1, TD_GROUP_ROWS, TD_NEGATIVES_BATCH, 1},
        {TD_QUERY_ID, 14, TD_GROUP_ROWS, TD_NEGATIVES_SAMPLED, 1},
        {TD_QUERY_ID, 1, TD_GROUP_ROWS, TD_NEGATIVES_ALL, 1},
        {TD_QUERY_HISTORY, 1, TD_GROUP_QUERIES, TD_NEGATIVES_MIXED, 4},
        {TD_QUERY_ID_HISTORY, 10, TD_GROUP_QUERIES, TD_NEGATIVES_MIXED, 2},
    };
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
        fixture f;
        const td__batch *batch;
        uint32_t beyond = 0;
        set_up(&f, &variants[v]);
        int64_t allocations = f.memory.allocations;
        for (uint32_t epoch = 0; epoch < 2; epoch++) {
            td__batches_start(f.batches, epoch);
            while ((batch = td__batches_next(f.batches)) != NULL) {
                for (uint32_t q = 0; q < batch->queries.count; q++) beyond += check_query(&f, batch, q);
            }
        }
        assert_true(beyond > 100);
        assert_int_equal(f.memory.allocations, allocations);
        tear_down(&f);
    }
}

/* Batches of whole queries name all of a query's positives by their rows. */
static void batches_of_whole_queries_name_nothing_more(void **state)
{
    (void)state;
    const variant variants[] = {
        {TD_QUERY_ID, 1, TD_GROUP_QUERIES, TD_NEGATIVES_MIXED, 4},
        {TD_QUERY_HISTORY, 1, TD_GROUP_QUERIES, TD_NEGATIVES_MIXED, 1},
    };
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
        fixture f;
        set_up(&f, &variants[v]);
        td__batches_start(f.batches, 0);
        assert_null(td__batches_next(f.batches)->known_offset);
        tear_down(&f);
    }
}

static void losses_that_are_not_decoupled_name_nothing(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, &(variant){TD_QUERY_ID, 1, TD_GROUP_ROWS, TD_NEGATIVES_BATCH, 1});
    td__batches_free(f.batches);
    f.options.decoupled = false;
    assert_ok(td__batches_create(&f.batches, f.model, f.dataset, &f.options, &err));
    td__batches_start(f.batches, 0);
    assert_null(td__batches_next(f.batches)->known_offset);
    tear_down(&f);
}

static td_status create_and_free(void *state, td_context *context, td_error *err)
{
    td__known *known;
    const uint32_t query[] = {0, 1, 1, 0}, candidate[] = {0, 1, 2, 2}, row[] = {0, 1, 2};
    td__known_source source = {.rows = {.count = 4, .query = query, .candidate = candidate},
                               .query_row = row,
                               .candidate_row = row,
                               .table_rows = 2,
                               .shape = {.interactions = 2, .queries = 2, .candidates = 3}};
    (void)state;
    td_status status = td__known_create(&known, context, &source, err);
    td__known_free(known, context);
    return status;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    test_every_allocation(create_and_free, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_that_a_query_has_are_named),
        cmocka_unit_test(batches_of_whole_queries_name_nothing_more),
        cmocka_unit_test(losses_that_are_not_decoupled_name_nothing),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
