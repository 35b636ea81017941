/* split_test.c -- each kind of split holds out the rows its definition says, found again here by
 * plain sorting. */
#include "support/test.h"

#include <math.h>

#include "data/dataset.h"

enum { ROWS = 400, QUERIES = 23 };

static td_context *context;
static td_error err;

static int make_context(void **state)
{
    (void)state;
    context = test_context(1);
    return 0;
}

static int free_context(void **state)
{
    (void)state;
    td_context_free(context);
    return 0;
}

/* Row i is (random query, i, weight i, random time with many ties): the candidate names the row. */
static td_dataset *random_dataset(uint64_t seed, uint32_t count, bool timed)
{
    td_dataset *dataset;
    assert_ok(td__dataset_create(&dataset, context, NULL, NULL, &err));
    dataset->has_weight = true;
    dataset->has_timestamp = timed;
    uint32_t position;
    for (uint32_t i = 0; i < QUERIES; i++) {
        assert_ok(
            td_vocab_add(dataset->queries, &"abcdefghijklmnopqrstuvwxyz"[i], 1, &position, &err));
    }
    for (uint32_t i = 0; i < count; i++) {
        char id[16];
        int bytes = snprintf(id, sizeof id, "%u", i);
        double u = test_uniform(&seed, 0, 1);
        td__row row = {.query = (uint32_t)(u * u * (QUERIES - 1)), .weight = (float)i};
        row.timestamp = (int64_t)test_uniform(&seed, -5, 30) * (i % 5 == 0 ? INT64_C(1) << 40 : 1);
        assert_ok(td_vocab_add(dataset->candidates, id, (size_t)bytes, &row.candidate, &err));
        assert_ok(td__dataset_append(dataset, &row, &err));
    }
    return dataset;
}

/* How many rows of `among` (the query's, or all if it is TD_NONE) are newer than this row. */
static uint64_t newer_rows(const td_dataset *dataset, uint64_t row, uint32_t among)
{
    uint64_t newer = 0;
    for (uint64_t i = 0; i < dataset->rows; i++) {
        if (among != TD_NONE && dataset->query[i] != among) continue;
        int64_t a = dataset->has_timestamp ? dataset->timestamp[i] : 0;
        int64_t b = dataset->has_timestamp ? dataset->timestamp[row] : 0;
        newer += a > b || (a == b && i > row);
    }
    return newer;
}

static uint64_t rows_of(const td_dataset *dataset, uint32_t query)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < dataset->rows; i++) count += dataset->query[i] == query;
    return count;
}

/* By the definition: is the row held out? Not for RANDOM. */
static bool expected(const td_dataset *dataset, const td_split_options *options, uint64_t row)
{
    uint32_t query = dataset->query[row];
    uint64_t of_query = rows_of(dataset, query);
    if (options->kind == TD_SPLIT_TIME) {
        uint64_t n = options->count > 0
                         ? options->count
                         : (uint64_t)round(options->fraction * (double)dataset->rows);
        return newer_rows(dataset, row, TD_NONE) < n;
    }
    if (options->kind == TD_SPLIT_TIME_QUERY) {
        return newer_rows(dataset, row, query)
               < (uint64_t)round(options->fraction * (double)of_query);
    }
    uint64_t n = options->count < of_query ? options->count : of_query - 1;
    return newer_rows(dataset, row, query) < n;
}

/* Both parts hold rows of the whole, whole and in order, and together all of them. `held` [rows] is
 * filled. */
static uint64_t parts_make_the_whole(const td_dataset *whole, const td_dataset *kept,
                                     const td_dataset *held_out, bool *held)
{
    uint64_t at[2] = {0, 0};
    const td_dataset *parts[2] = {kept, held_out};
    assert_ptr_equal(kept->queries, whole->queries);
    assert_ptr_equal(held_out->candidates, whole->candidates);
    for (uint64_t i = 0; i < whole->rows; i++) {
        int part = at[1] < held_out->rows && held_out->candidate[at[1]] == whole->candidate[i];
        assert_true(at[part] < parts[part]->rows);
        td__row a = td__dataset_row(whole, i), b = td__dataset_row(parts[part], at[part]++);
        assert_int_equal(a.query, b.query);
        assert_int_equal(a.candidate, b.candidate);
        assert_int_equal(a.timestamp, b.timestamp);
        assert_true(a.weight >= b.weight && a.weight <= b.weight);
        held[i] = part == 1;
    }
    assert_int_equal(at[0], kept->rows);
    assert_int_equal(at[1], held_out->rows);
    return at[1];
}

static void by_definition(const td_dataset *dataset, const td_split_options *options)
{
    td_dataset *kept, *held_out;
    bool held[ROWS];
    assert_ok(td_dataset_split(&kept, &held_out, dataset, options, &err));
    parts_make_the_whole(dataset, kept, held_out, held);
    for (uint64_t i = 0; i < dataset->rows; i++) {
        if (held[i] != expected(dataset, options, i))
            fail_msg("row %d of kind %d", (int)i, options->kind);
    }
    td_dataset_free(kept);
    td_dataset_free(held_out);
}

static void splits_by_time_hold_out_the_newest(void **state)
{
    (void)state;
    static const double fractions[] = {0, 0.004, 0.1, 0.2, 0.5, 0.77, 1};
    for (uint64_t seed = 1; seed < 6; seed++) {
        td_dataset *dataset = random_dataset(seed, seed == 1 ? 3 : ROWS, true);
        for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
            td_split_options options = {.kind = TD_SPLIT_TIME, .fraction = fractions[i]};
            by_definition(dataset, &options);
            options.kind = TD_SPLIT_TIME_QUERY;
            by_definition(dataset, &options);
        }
        for (uint64_t count = 1; count <= dataset->rows; count += 13) {
            by_definition(dataset, &(td_split_options){.kind = TD_SPLIT_TIME, .count = count});
        }
        td_dataset_free(dataset);
    }
}

static void the_last_rows_of_each_query(void **state)
{
    (void)state;
    for (int timed = 0; timed < 2; timed++) {
        td_dataset *dataset = random_dataset(9, ROWS, timed != 0);
        for (uint64_t count = 1; count < 60; count += 7) {
            td_split_options options = {.kind = TD_SPLIT_LAST, .count = count};
            by_definition(dataset, &options);
            td_dataset *kept, *held_out;
            assert_ok(td_dataset_split(&kept, &held_out, dataset, &options, &err));
            for (uint32_t q = 0; q < QUERIES; q++) {
                assert_true(rows_of(kept, q) >= (rows_of(dataset, q) > 0));
            }
            td_dataset_free(kept);
            td_dataset_free(held_out);
        }
        td_dataset_free(dataset);
    }
}

static uint64_t held_out_at_random(const td_dataset *dataset, const td_split_options *options,
                                   bool *held)
{
    td_dataset *kept, *held_out;
    assert_ok(td_dataset_split(&kept, &held_out, dataset, options, &err));
    uint64_t count = parts_make_the_whole(dataset, kept, held_out, held);
    td_dataset_free(kept);
    td_dataset_free(held_out);
    return count;
}

static void a_random_split_is_exact_and_repeats(void **state)
{
    (void)state;
    td_dataset *dataset = random_dataset(2, 333, false);
    bool held[ROWS], again[ROWS];
    for (int percent = 0; percent <= 100; percent++) {
        td_split_options options = {
            .kind = TD_SPLIT_RANDOM, .fraction = percent / 100.0, .seed = 5};
        uint64_t count = held_out_at_random(dataset, &options, held);
        assert_int_equal(count, (uint64_t)round(percent / 100.0 * 333));
        held_out_at_random(dataset, &options, again);
        assert_memory_equal(held, again, 333 * sizeof *held);
        if (percent != 50) continue;
        options.seed = 6;
        held_out_at_random(dataset, &options, again);
        assert_memory_not_equal(held, again, 333 * sizeof *held);
    }
    td_split_options exact = {.kind = TD_SPLIT_RANDOM, .fraction = 0.9, .count = 17};
    assert_int_equal(held_out_at_random(dataset, &exact, held), 17);
    td_dataset_free(dataset);
}

enum { FAIR_SEEDS = 2000, FAIR_ROWS = 50 };

/* How often each of the first rows is held out, over many seeds. */
static void count_held_out(const td_dataset *dataset, td_split_kind kind, double fraction, uint32_t *times)
{
    bool held[ROWS];
    memset(times, 0, FAIR_ROWS * sizeof *times);
    for (uint64_t seed = 0; seed < FAIR_SEEDS; seed++) {
        td_split_options options = {.kind = kind, .fraction = fraction, .seed = seed};
        held_out_at_random(dataset, &options, held);
        for (int i = 0; i < FAIR_ROWS; i++) times[i] += held[i];
    }
}

/* As often as its share says: 5 standard deviations. */
static void check_share(uint32_t times, double share)
{
    assert_close(times, share * FAIR_SEEDS, 0, 5 * sqrt(share * (1 - share) * FAIR_SEEDS));
}

static void a_random_split_is_fair(void **state)
{
    (void)state;
    td_dataset *dataset = random_dataset(3, FAIR_ROWS, false);
    uint32_t times[FAIR_ROWS];
    count_held_out(dataset, TD_SPLIT_RANDOM, 0.2, times);
    for (int i = 0; i < FAIR_ROWS; i++) check_share(times[i], 0.2);
    td_dataset_free(dataset);
}

/* Of each query its share, as near as whole rows allow, but never its last row. */
static void a_split_of_each_query_takes_its_share(void **state)
{
    (void)state;
    td_dataset *dataset = random_dataset(7, ROWS, false), *kept, *held_out;
    bool held[ROWS], again[ROWS];
    for (int percent = 0; percent <= 100; percent += 5) {
        td_split_options options = {.kind = TD_SPLIT_QUERY, .fraction = percent / 100.0, .seed = 5};
        assert_ok(td_dataset_split(&kept, &held_out, dataset, &options, &err));
        for (uint32_t q = 0; q < QUERIES; q++) {
            uint64_t rows = rows_of(dataset, q);
            uint64_t share = (uint64_t)round(percent / 100.0 * (double)rows);
            if (rows > 0 && share == rows) share--;
            assert_int_equal(rows_of(held_out, q), share);
        }
        td_dataset_free(kept);
        td_dataset_free(held_out);
        held_out_at_random(dataset, &options, held);
        held_out_at_random(dataset, &options, again);
        assert_memory_equal(held, again, sizeof held);
        options.seed = 6;
        held_out_at_random(dataset, &options, again);
        if (percent == 50) assert_memory_not_equal(held, again, sizeof held);
    }
    td_dataset_free(dataset);
}

/* What is held out of a query does not depend on the other queries' rows. */
static void a_query_is_cut_by_itself(void **state)
{
    (void)state;
    td_dataset *dataset = random_dataset(8, 60, false), *longer = random_dataset(8, 60, false);
    bool held[ROWS], again[ROWS];
    td_split_options options = {.kind = TD_SPLIT_QUERY, .fraction = 0.4, .seed = 1};
    for (uint32_t i = 0; i < 30; i++) {
        td__row row = {.query = QUERIES - 1, .candidate = i};
        assert_ok(td__dataset_append(longer, &row, &err));
    }
    for (uint32_t i = 0; i < 60; i++) assert_true(dataset->query[i] < QUERIES - 1);
    td_dataset *kept, *held_out;
    held_out_at_random(dataset, &options, held);
    assert_ok(td_dataset_split(&kept, &held_out, longer, &options, &err));
    memset(again, 0, sizeof again);
    for (uint64_t i = 0; i < held_out->rows; i++) {
        if (held_out->query[i] < QUERIES - 1) again[held_out->candidate[i]] = true;
    }
    assert_memory_equal(held, again, 60 * sizeof *held);
    td_dataset_free(kept);
    td_dataset_free(held_out);
    td_dataset_free(dataset);
    td_dataset_free(longer);
}

static void a_split_of_each_query_is_fair(void **state)
{
    (void)state;
    td_dataset *dataset = random_dataset(3, FAIR_ROWS, false);
    uint32_t times[FAIR_ROWS];
    count_held_out(dataset, TD_SPLIT_QUERY, 0.4, times);
    for (int i = 0; i < FAIR_ROWS; i++) {
        double rows = (double)rows_of(dataset, dataset->query[i]);
        check_share(times[i], rows < 2 ? 0 : round(0.4 * rows) / rows);
    }
    td_dataset_free(dataset);
}

static void refuses_what_cannot_be_split(void **state)
{
    (void)state;
    td_dataset *dataset = random_dataset(4, 10, false), *kept, *held_out;
    td_split_options options = {.kind = TD_SPLIT_TIME, .fraction = 0.2};
    assert_fails(td_dataset_split(&kept, &held_out, dataset, &options, &err), TD_ERR_ARGUMENT,
                 "timestamp column");
    options.kind = TD_SPLIT_TIME_QUERY;
    assert_fails(td_dataset_split(&kept, &held_out, dataset, &options, &err), TD_ERR_ARGUMENT,
                 "times");
    options.kind = TD_SPLIT_LAST;
    assert_fails(td_dataset_split(&kept, &held_out, dataset, &options, &err), TD_ERR_ARGUMENT,
                 "at least 1");
    options = (td_split_options){.kind = TD_SPLIT_RANDOM, .count = 11};
    assert_fails(td_dataset_split(&kept, &held_out, dataset, &options, &err), TD_ERR_ARGUMENT,
                 "11 rows");
    options = (td_split_options){.kind = TD_SPLIT_RANDOM, .fraction = 1.5};
    assert_fails(td_dataset_split(&kept, &held_out, dataset, &options, &err), TD_ERR_ARGUMENT,
                 "split-fraction");
    assert_null(kept);
    assert_null(held_out);
    td_dataset_free(dataset);
}

static void an_empty_dataset_splits_into_two(void **state)
{
    (void)state;
    td_dataset *dataset = random_dataset(4, 0, true), *kept, *held_out;
    for (int kind = TD_SPLIT_RANDOM; kind <= TD_SPLIT_QUERY; kind++) {
        td_split_options options = {.kind = (td_split_kind)kind, .fraction = 0.5};
        if (kind == TD_SPLIT_LAST) options.count = 2;
        assert_ok(td_dataset_split(&kept, &held_out, dataset, &options, &err));
        assert_int_equal(kept->rows + held_out->rows, 0);
        td_dataset_free(kept);
        td_dataset_free(held_out);
    }
    td_dataset_free(dataset);
}

static td_status build_and_split(void *state, td_context *on, td_error *error)
{
    static const char *const queries[] = {"a", "b", "a"}, *const candidates[] = {"x", "x", "y"};
    static const int64_t times[] = {3, 2, 1};
    td_dataset *dataset, *kept = NULL, *held_out = NULL;
    td_interactions rows = {3, queries, candidates, NULL, times};
    td_status status = td_dataset_build(&dataset, on, &rows, error);
    if (status == TD_OK) status = td_dataset_split(&kept, &held_out, dataset, state, error);
    td_dataset_free(dataset);
    td_dataset_free(kept);
    td_dataset_free(held_out);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    td_split_options options = {.kind = TD_SPLIT_TIME, .fraction = 0.5};
    test_every_allocation(build_and_split, &options);
    options.kind = TD_SPLIT_TIME_QUERY;
    test_every_allocation(build_and_split, &options);
    options.kind = TD_SPLIT_QUERY;
    test_every_allocation(build_and_split, &options);
    options.kind = TD_SPLIT_RANDOM;
    test_every_allocation(build_and_split, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_by_time_hold_out_the_newest),
        cmocka_unit_test(the_last_rows_of_each_query),
        cmocka_unit_test(a_random_split_is_exact_and_repeats),
        cmocka_unit_test(a_random_split_is_fair),
        cmocka_unit_test(a_split_of_each_query_takes_its_share),
        cmocka_unit_test(a_query_is_cut_by_itself),
        cmocka_unit_test(a_split_of_each_query_is_fair),
        cmocka_unit_test(refuses_what_cannot_be_split),
        cmocka_unit_test(an_empty_dataset_splits_into_two),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
