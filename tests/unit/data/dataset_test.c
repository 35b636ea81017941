/* dataset_test.c -- rows in memory, their lists and counts, two datasets made one, and files that
 * come back as they were or are refused. */
#include "support/fault.h"
#include "support/test.h"

#include <math.h>
#include <pthread.h>

#include "data/dataset.h"

static td_context *context;
static td_error err;

static int make_context(void **state)
{
    (void)state;
    context = test_context(2);
    return 0;
}

static int free_context(void **state)
{
    (void)state;
    td_context_free(context);
    return 0;
}

static const char *const some_queries[] = {"b", "a", "b", "b", "c"};
static const char *const some_candidates[] = {"y", "x", "x", "y", "z"};
static const float some_weights[] = {1, 0.5f, 0, 2, 3};
static const int64_t some_times[] = {5, 4, -3, INT64_MAX, INT64_MIN};

static td_interactions some_rows(void)
{
    return (td_interactions){5, some_queries, some_candidates, some_weights, some_times};
}

static td_dataset *some_dataset(void)
{
    td_dataset *dataset;
    td_interactions rows = some_rows();
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    return dataset;
}

static void rows_in_memory(void **state)
{
    (void)state;
    static const uint32_t queries[] = {0, 1, 0, 0, 2}, candidates[] = {0, 1, 1, 0, 2};
    td_dataset *dataset = some_dataset();
    td_rows rows = td_dataset_rows(dataset);
    assert_int_equal(rows.count, 5);
    assert_memory_equal(rows.query, queries, sizeof queries);
    assert_memory_equal(rows.candidate, candidates, sizeof candidates);
    assert_memory_equal(rows.weight, some_weights, sizeof some_weights);
    assert_memory_equal(rows.timestamp, some_times, sizeof some_times);
    uint64_t counts[3];
    td_dataset_candidate_counts(dataset, counts);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 2);
    assert_int_equal(counts[2], 1);
    td_dataset_free(dataset);
}

static void refuses_rows_that_are_none(void **state)
{
    (void)state;
    td_dataset *dataset;
    const char *with_null[] = {"a", NULL, "a", "a", "a"}, *with_empty[] = {"a", "a", "", "a", "a"};
    float weights[] = {1, 1, 1, -1, 1};
    td_interactions rows = some_rows();
    rows.query_id = with_null;
    assert_fails(td_dataset_build(&dataset, context, &rows, &err), TD_ERR_ARGUMENT,
                 "row 1: an id is NULL");
    rows.query_id = with_empty;
    assert_fails(td_dataset_build(&dataset, context, &rows, &err), TD_ERR_ARGUMENT, "row 2");
    rows.query_id = some_queries;
    rows.weight = weights;
    assert_fails(td_dataset_build(&dataset, context, &rows, &err), TD_ERR_ARGUMENT, "row 3");
    weights[3] = NAN;
    assert_fails(td_dataset_build(&dataset, context, &rows, &err), TD_ERR_NUMERIC, "row 3");
    assert_null(dataset);
}

/* Random rows; the lists are checked against a table of what was seen. */
static void lists_are_distinct_and_ascending(void **state)
{
    (void)state;
    enum { QUERIES = 40, CANDIDATES = 30, ROWS = 900 };
    static bool seen[QUERIES][CANDIDATES];
    td_dataset *dataset;
    uint64_t seed = 11;
    assert_ok(td__dataset_create(&dataset, context, NULL, NULL, &err));
    for (uint32_t i = 0, position; i < QUERIES; i++) {
        char id[8];
        int bytes = snprintf(id, sizeof id, "%u", i);
        assert_ok(td_vocab_add(dataset->queries, id, (size_t)bytes, &position, &err));
        if (i >= CANDIDATES) continue;
        assert_ok(td_vocab_add(dataset->candidates, id, (size_t)bytes, &position, &err));
    }
    for (int i = 0; i < ROWS; i++) {
        double u = test_uniform(&seed, 0, 1);
        td__row row = {.query = (uint32_t)(u * u * (QUERIES - 2)),
                       .candidate = (uint32_t)test_uniform(&seed, 0, CANDIDATES)};
        seen[row.query][row.candidate] = true;
        assert_ok(td__dataset_append(dataset, &row, &err));
    }
    td_query_lists lists, again;
    assert_ok(td_dataset_query_lists(dataset, &lists, &err));
    assert_int_equal(lists.queries, QUERIES);
    uint64_t at = 0;
    for (uint32_t q = 0; q < QUERIES; q++) {
        assert_int_equal(lists.offsets[q], at);
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            if (seen[q][c]) assert_int_equal(lists.candidates[at++], c);
        }
    }
    assert_int_equal(lists.offsets[QUERIES], at);
    assert_ok(td_dataset_query_lists(dataset, &again, &err));
    assert_ptr_equal(again.candidates, lists.candidates);
    td_dataset_free(dataset);
}

static void *ask_for_lists(void *dataset)
{
    td_query_lists lists;
    return td_dataset_query_lists(dataset, &lists, NULL) == TD_OK
               ? (void *)(uintptr_t)lists.candidates
               : NULL;
}

static void lists_are_made_once_for_all_threads(void **state)
{
    (void)state;
    td_dataset *dataset = some_dataset();
    pthread_t threads[4];
    void *results[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, ask_for_lists, dataset);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], &results[i]);
    for (int i = 0; i < 4; i++) {
        assert_non_null(results[i]);
        assert_ptr_equal(results[i], results[0]);
    }
    td_dataset_free(dataset);
}

static void aligned_datasets_share_their_ids(void **state)
{
    (void)state;
    static const char *const queries[] = {"new", "a"}, *const candidates[] = {"z", "fresh"};
    td_interactions more = {2, queries, candidates, NULL, some_times};
    td_dataset *first = some_dataset(), *second, *a, *b;
    assert_ok(td_dataset_build(&second, context, &more, &err));
    assert_ok(td_dataset_align(&a, &b, first, second, &err));
    assert_ptr_equal(td_dataset_queries(a), td_dataset_queries(b));
    assert_ptr_equal(td_dataset_candidates(a), td_dataset_candidates(b));
    assert_int_equal(td_vocab_count(td_dataset_queries(a)), 4);
    assert_int_equal(td_vocab_count(td_dataset_candidates(a)), 4);
    td_rows whole = td_dataset_rows(first), rows = td_dataset_rows(a);
    assert_memory_equal(rows.query, whole.query, 5 * sizeof *rows.query);
    assert_memory_equal(rows.weight, whole.weight, 5 * sizeof *rows.weight);
    td_dataset_free(first);
    td_dataset_free(second);
    rows = td_dataset_rows(b);
    assert_null(rows.weight);
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(td_vocab_id(td_dataset_queries(b), rows.query[i]), queries[i]);
        assert_string_equal(td_vocab_id(td_dataset_candidates(b), rows.candidate[i]),
                            candidates[i]);
        assert_int_equal(rows.timestamp[i], some_times[i]);
    }
    td_dataset_free(a);
    td_dataset_free(b);
}

/* --- files */

static td_status open_saved(td_dataset **out, const char *path)
{
    return td_dataset_read(out, context, &path, 1, NULL, NULL, NULL, &err);
}

static bool same_vocab(const td_vocab *a, const td_vocab *b)
{
    if (td_vocab_count(a) != td_vocab_count(b)) return false;
    for (uint32_t i = 0; i < td_vocab_count(a); i++) {
        if (strcmp(td_vocab_id(a, i), td_vocab_id(b, i)) != 0) return false;
    }
    return true;
}

static void same_rows(const td_dataset *a, const td_dataset *b)
{
    td_rows left = td_dataset_rows(a), right = td_dataset_rows(b);
    assert_int_equal(left.count, right.count);
    assert_true(same_vocab(td_dataset_queries(a), td_dataset_queries(b)));
    assert_true(same_vocab(td_dataset_candidates(a), td_dataset_candidates(b)));
    assert_int_equal(left.weight == NULL, right.weight == NULL);
    assert_int_equal(left.timestamp == NULL, right.timestamp == NULL);
    for (uint64_t i = 0; i < left.count; i++) {
        td__row x = td__dataset_row(a, i), y = td__dataset_row(b, i);
        assert_int_equal(x.query, y.query);
        assert_int_equal(x.candidate, y.candidate);
        assert_int_equal(x.timestamp, y.timestamp);
        assert_memory_equal(&x.weight, &y.weight, sizeof x.weight);
    }
}

static void saved_datasets_come_back(void **state)
{
    (void)state;
    td_interactions rows = some_rows();
    for (int kind = 0; kind < 5; kind++) {
        td_dataset *dataset, *back;
        rows.rows = kind == 4 ? 0 : 5;
        rows.weight = (kind & 1) != 0 ? some_weights : NULL;
        rows.timestamp = (kind & 2) != 0 ? some_times : NULL;
        const char *path = test_path("dataset");
        assert_ok(td_dataset_build(&dataset, context, &rows, &err));
        assert_ok(td_dataset_save(dataset, path, &err));
        assert_ok(open_saved(&back, path));
        same_rows(dataset, back);
        td_query_lists lists;
        td_dataset *kept, *held_out;
        td_split_options split = {.kind = TD_SPLIT_LAST, .count = 1};
        assert_ok(td_dataset_query_lists(back, &lists, &err));
        assert_ok(td_dataset_split(&kept, &held_out, back, &split, &err));
        assert_int_equal(held_out->rows, kind == 4 ? 0 : 1);
        td_dataset_free(kept);
        td_dataset_free(held_out);
        td_dataset_free(dataset);
        td_dataset_free(back);
    }
}

/* A changed byte is refused, or (in padding the format ignores, say) changes nothing. */
static void every_byte_flipped(void **state)
{
    (void)state;
    td_dataset *dataset = some_dataset(), *back;
    const char *path = test_path("dataset");
    assert_ok(td_dataset_save(dataset, path, &err));
    size_t count;
    unsigned char *bytes = test_read(path, &count);
    for (size_t i = 0; i < count; i++) {
        bytes[i] ^= 0x41;
        const char *bad = test_file("flipped", bytes, count);
        td_status status = open_saved(&back, bad);
        if (status == TD_OK)
            same_rows(dataset, back);
        else
            assert_null(back);
        td_dataset_free(back);
        bytes[i] ^= 0x41;
    }
    for (size_t cut = 9; cut < count; cut++) {
        assert_int_not_equal(open_saved(&back, test_file("cut", bytes, cut)), TD_OK);
    }
    free(bytes);
    td_dataset_free(dataset);
}

/* Checksums that are right do not make rows that are wrong good. */
static void rows_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    td_dataset *dataset = some_dataset(), *back;
    const char *path = test_path("dataset");
    dataset->query[3] = 3;
    assert_fails(td_dataset_check(dataset, &err), TD_ERR_CORRUPT,
                 "row 3: query 3, but there are 3");
    assert_ok(td_dataset_save(dataset, path, &err));
    assert_fails(open_saved(&back, path), TD_ERR_CORRUPT, "dataset: row 3");
    dataset->query[3] = 0;
    dataset->candidate[4] = TD_NONE;
    assert_ok(td_dataset_save(dataset, path, &err));
    assert_fails(open_saved(&back, path), TD_ERR_CORRUPT, "row 4");
    dataset->candidate[4] = 0;
    dataset->weight[1] = NAN;
    assert_ok(td_dataset_save(dataset, path, &err));
    assert_fails(open_saved(&back, path), TD_ERR_CORRUPT, "row 1: a weight");
    dataset->weight[1] = 1;
    assert_ok(td_dataset_check(dataset, &err));
    td_dataset_free(dataset);
}

static td_status save_and_open(void *path, td_context *on, td_error *error)
{
    td_dataset *dataset, *back = NULL;
    const char *paths[] = {path};
    td_interactions rows = some_rows();
    td_status status = td_dataset_build(&dataset, on, &rows, error);
    if (status == TD_OK) status = td_dataset_save(dataset, path, error);
    if (status == TD_OK) status = td_dataset_read(&back, on, paths, 1, NULL, NULL, NULL, error);
    td_dataset_free(dataset);
    td_dataset_free(back);
    return status;
}

static td_status only_save(void *path, td_context *on, td_error *error)
{
    td_dataset *dataset;
    td_interactions rows = some_rows();
    td_status status = td_dataset_build(&dataset, on, &rows, error);
    if (status == TD_OK) status = td_dataset_save(dataset, path, error);
    td_dataset_free(dataset);
    return status;
}

static td_status build_and_align(void *state, td_context *on, td_error *error)
{
    (void)state;
    td_dataset *first, *second = NULL, *a = NULL, *b = NULL;
    td_interactions rows = some_rows();
    td_status status = td_dataset_build(&first, on, &rows, error);
    if (status == TD_OK) status = td_dataset_build(&second, on, &rows, error);
    if (status == TD_OK) status = td_dataset_align(&a, &b, first, second, error);
    td_dataset_free(first);
    td_dataset_free(second);
    td_dataset_free(a);
    td_dataset_free(b);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", test_path("saved"));
    test_every_allocation(build_and_align, NULL);
    test_every_allocation(save_and_open, path);
}

static int remove_files(void **state)
{
    (void)state;
    static const char *const names[] = {"saved", "dataset", "flipped", "cut"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) remove(test_path(names[i]));
    return 0;
}

static void survives_every_failed_write(void **state)
{
    (void)state;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", test_path("written"));
    test_every_write(only_save, path, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_in_memory),
        cmocka_unit_test(refuses_rows_that_are_none),
        cmocka_unit_test(lists_are_distinct_and_ascending),
        cmocka_unit_test(lists_are_made_once_for_all_threads),
        cmocka_unit_test(aligned_datasets_share_their_ids),
        cmocka_unit_test(saved_datasets_come_back),
        cmocka_unit_test(every_byte_flipped),
        cmocka_unit_test(rows_that_do_not_fit_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test_setup(survives_every_failed_write, remove_files),
    };
    return cmocka_run_group_tests(tests, make_context, free_context);
}
