/* batches_test.c -- batches: every row once, distinct rows, probabilities, replay, memory. */
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

static const tiny_shape shape = {
    .queries = 40, .candidates = 60, .groups = 4, .rows = 500, .seed = 3, .weighted = true};

static void set_up_on(fixture *f, uint32_t min_count, uint32_t threads)
{
    td_error err;
    *f = (fixture){.memory = {.fail_at = -1}};
    f->context = test_context_on(&f->memory, threads);
    f->dataset = tiny_dataset(f->context, &shape);
    td_model_options model_options;
    td_model_options_init(&model_options);
    model_options.min_count = min_count;
    model_options.oov_buckets = 2;
    assert_ok(td_model_create(&f->model, f->context, f->dataset, NULL, &model_options, &err));
    td_train_options_init(&f->options);
    f->options.batch_size = 64;
    f->options.frequency.buckets = 4096;
}

static void set_up(fixture *f, uint32_t min_count)
{
    set_up_on(f, min_count, 1);
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

static void check_distinct(const td__distinct *distinct, uint32_t count)
{
    for (uint32_t i = 0; i < distinct->count; i++) {
        for (uint32_t j = 0; j < i; j++) assert_int_not_equal(distinct->rows[i], distinct->rows[j]);
    }
    uint32_t next = 0; /* in order of first occurrence: each `of` is old, or the next new one */
    for (uint32_t i = 0; i < count; i++) {
        assert_true(distinct->of[i] <= next);
        next += distinct->of[i] == next;
    }
    assert_int_equal(next, distinct->count);
}

/* Sums over an epoch of a hash of (query row, candidate row, weight): the same for the same rows. */
static uint64_t sum_of_epoch(td__batches *batches, uint32_t epoch)
{
    uint64_t sum = 0;
    uint32_t rows = 0, count = 0;
    const td__batch *batch;
    td__batches_start(batches, epoch);
    while ((batch = td__batches_next(batches)) != NULL) {
        check_distinct(&batch->queries, batch->count);
        check_distinct(&batch->candidates, batch->count);
        for (uint32_t i = 0; i < batch->count; i++) {
            uint64_t query = batch->queries.rows[batch->queries.of[i]];
            uint64_t candidate = batch->candidates.rows[batch->candidates.of[i]];
            assert_int_equal(batch->candidate_id[i], candidate);
            uint64_t weight = (uint64_t)(batch->weight[i] * 2.0f);
            sum += td__mix64(query << 40 | candidate << 8 | weight);
        }
        rows += batch->count;
        count++;
    }
    assert_int_equal(rows, td__batches_rows(batches));
    assert_int_equal(count, td__batches_count(batches));
    return sum;
}

static uint64_t sum_of_dataset(const fixture *f)
{
    td_rows rows = td_dataset_rows(f->dataset);
    uint32_t query_rows[64], candidate_rows[64];
    td__model_number_queries(f->model, td_dataset_queries(f->dataset), query_rows);
    td__model_candidate_rows(f->model, td_dataset_candidates(f->dataset), candidate_rows);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < rows.count; i++) {
        uint64_t query = query_rows[rows.query[i]], candidate = candidate_rows[rows.candidate[i]];
        sum += td__mix64(query << 40 | candidate << 8 | (uint64_t)(rows.weight[i] * 2.0f));
    }
    return sum;
}

static void every_row_comes_once_an_epoch_in_every_order(void **state)
{
    (void)state;
    for (uint32_t min_count = 1; min_count <= 6; min_count += 5) {
        fixture f;
        set_up(&f, min_count);
        uint64_t expected = sum_of_dataset(&f);
        for (int shuffle = TD_SHUFFLE_EPOCH; shuffle <= TD_SHUFFLE_NONE; shuffle++) {
            f.options.shuffle = (td_shuffle)shuffle;
            td__batches *batches = make_batches(&f);
            assert_int_equal(sum_of_epoch(batches, 0), expected);
            assert_int_equal(sum_of_epoch(batches, 7), expected);
            td__batches_free(batches);
        }
        tear_down(&f);
    }
}

/* One number for all rows of two epochs, their order and their places. */
static uint64_t hash_of_epochs(td__batches *batches)
{
    uint64_t hash = 0;
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        const td__batch *batch;
        td__batches_start(batches, epoch);
        while ((batch = td__batches_next(batches)) != NULL) {
            hash = td__mix64(hash ^ batch->queries.count ^ (uint64_t)batch->candidates.count << 32);
            for (uint32_t i = 0; i < batch->count; i++) {
                uint64_t query = batch->queries.of[i], candidate = batch->candidates.of[i];
                hash = td__mix64(hash ^ query ^ candidate << 32);
                hash = td__mix64(hash ^ batch->candidate_id[i] ^ (uint64_t)(batch->weight[i] * 2.0f) << 32);
            }
        }
    }
    return hash;
}

static void batches_are_the_same_for_1_2_and_7_threads(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7};
    uint64_t hash[3];
    for (int i = 0; i < 3; i++) {
        fixture f;
        set_up_on(&f, 2, threads[i]);
        td__batches *batches = make_batches(&f);
        hash[i] = hash_of_epochs(batches);
        td__batches_free(batches);
        tear_down(&f);
    }
    assert_true(hash[0] == hash[1] && hash[0] == hash[2]);
}

static uint32_t first_query(td__batches *batches, uint32_t epoch)
{
    td__batches_start(batches, epoch);
    const td__batch *batch = td__batches_next(batches);
    uint32_t mixed = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        mixed = mixed * 31 + batch->queries.rows[batch->queries.of[i]];
    }
    return mixed;
}

static void orders_change_when_they_should(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    for (int shuffle = TD_SHUFFLE_EPOCH; shuffle <= TD_SHUFFLE_NONE; shuffle++) {
        f.options.shuffle = (td_shuffle)shuffle;
        td__batches *batches = make_batches(&f);
        uint32_t zero = first_query(batches, 0), one = first_query(batches, 1);
        assert_int_equal(zero, first_query(batches, 0));
        if (shuffle == TD_SHUFFLE_EPOCH) assert_int_not_equal(zero, one);
        else assert_int_equal(zero, one);
        td__batches_free(batches);
    }
    tear_down(&f);
}

static void probabilities_are_shares_of_the_training_rows(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 6); /* some candidates share the out-of-vocabulary rows */
    f.options.sampling_correction = TD_SAMPLING_COUNTS;
    td__batches *batches = make_batches(&f);
    uint32_t table_rows = td__tower_rows(&f.model->candidate_tower);
    uint32_t *counts = calloc(table_rows, sizeof *counts), candidate_rows[64];
    td__model_candidate_rows(f.model, td_dataset_candidates(f.dataset), candidate_rows);
    td_rows rows = td_dataset_rows(f.dataset);
    for (uint64_t i = 0; i < rows.count; i++) counts[candidate_rows[rows.candidate[i]]]++;
    bool unknown = false;
    td__batches_start(batches, 0);
    for (const td__batch *batch; (batch = td__batches_next(batches)) != NULL;) {
        for (uint32_t i = 0; i < batch->count; i++) {
            double share = (double)counts[batch->candidate_id[i]] / 500.0;
            assert_close((double)batch->probability[i], share, 1e-6, 0);
            if (batch->candidate_id[i] >= f.model->candidate_tower.known) unknown = true;
        }
    }
    assert_true(unknown);
    free(counts);
    td__batches_free(batches);
    tear_down(&f);
}

static void no_correction_means_no_probabilities(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    f.options.sampling_correction = TD_SAMPLING_NONE;
    td__batches *batches = make_batches(&f);
    td__batches_start(batches, 0);
    assert_null(td__batches_next(batches)->probability);
    td__batches_free(batches);
    tear_down(&f);
}

static void replayed_streaming_estimates_are_those_of_one_who_was_there(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    f.options.sampling_correction = TD_SAMPLING_STREAMING;
    td__batches *there = make_batches(&f), *late = make_batches(&f), *never = make_batches(&f);
    for (uint32_t epoch = 0; epoch < 3; epoch++) sum_of_epoch(there, epoch);
    td__batches_replay(late, 3);
    td__batches_start(there, 3);
    td__batches_start(late, 3);
    td__batches_start(never, 3);
    const td__batch *a = td__batches_next(there), *b = td__batches_next(late);
    const td__batch *c = td__batches_next(never);
    assert_memory_equal(a->probability, b->probability, a->count * sizeof(float));
    assert_memory_not_equal(a->probability, c->probability, a->count * sizeof(float));
    td__batches_free(there);
    td__batches_free(late);
    td__batches_free(never);
    tear_down(&f);
}

static void a_batch_allocates_nothing(void **state)
{
    (void)state;
    for (int sampling = TD_SAMPLING_NONE; sampling <= TD_SAMPLING_STREAMING; sampling++) {
        fixture f;
        set_up(&f, 1);
        f.options.sampling_correction = (td_sampling)sampling;
        td__batches *batches = make_batches(&f);
        int64_t before = f.memory.allocations;
        td__batches_start(batches, 0);
        while (td__batches_next(batches) != NULL) continue;
        assert_int_equal(f.memory.allocations, before);
        td__batches_free(batches);
        tear_down(&f);
    }
}

static void a_batch_may_be_larger_than_the_data(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1);
    f.options.batch_size = 16777216;
    td__batches *batches = make_batches(&f);
    assert_int_equal(td__batches_shape(batches).interactions, 500);
    assert_int_equal(td__batches_count(batches), 1);
    assert_int_equal(sum_of_epoch(batches, 0), sum_of_dataset(&f));
    td__batches_free(batches);
    tear_down(&f);
}

static void data_without_rows_or_known_ids_is_refused(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, 1);
    td__batches *batches;
    td_dataset *none, *strange;
    const char *query[] = {"q1"}, *candidate[] = {"somebody else's"};
    td_interactions rows = {.rows = 1, .query_id = query, .candidate_id = candidate};
    assert_ok(td_dataset_build(&strange, f.context, &rows, &err));
    rows.rows = 0;
    assert_ok(td_dataset_build(&none, f.context, &rows, &err));
    assert_fails(td__batches_create(&batches, f.model, none, &f.options, &err), TD_ERR_ARGUMENT,
                 "no rows");
    assert_fails(td__batches_create(&batches, f.model, strange, &f.options, &err), TD_ERR_ARGUMENT,
                 "none of the candidates");
    assert_null(batches);
    td_dataset_free(none);
    td_dataset_free(strange);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_comes_once_an_epoch_in_every_order),
        cmocka_unit_test(batches_are_the_same_for_1_2_and_7_threads),
        cmocka_unit_test(orders_change_when_they_should),
        cmocka_unit_test(probabilities_are_shares_of_the_training_rows),
        cmocka_unit_test(no_correction_means_no_probabilities),
        cmocka_unit_test(replayed_streaming_estimates_are_those_of_one_who_was_there),
        cmocka_unit_test(a_batch_allocates_nothing),
        cmocka_unit_test(a_batch_may_be_larger_than_the_data),
        cmocka_unit_test(data_without_rows_or_known_ids_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
