/* tree_file_test.c -- a tree comes back from a file the same, and no damaged one is believed. */
#include "support/clusters.h"
#include "support/fault.h"

#include <math.h>

#include "index/tree.h"

enum { ITEMS = 3000, QUERIES = 40, DIM = 10, K = 10 };

static td_index *calibrated_tree(td_context *context, uint64_t count, uint32_t leaves)
{
    td_error err = {0};
    float *rows = test_clusters(1, count, DIM, 30), *users = test_clusters(2, QUERIES, DIM, 30);
    td_vectors items = {.data = rows, .rows = count, .dim = DIM};
    td_vectors queries = {.data = users, .rows = QUERIES, .dim = DIM};
    td_index *tree = test_tree(context, &items, leaves);
    assert_ok(td_index_calibrate(tree, &queries, NULL, &err));
    free(rows);
    free(users);
    return tree;
}

static void assert_same_search(const td_index *a, const td_index *b, float target)
{
    float *users = test_clusters(3, QUERIES, DIM, 30);
    td_vectors queries = {.data = users, .rows = QUERIES, .dim = DIM};
    td_search search = {.k = K, .effort = {.target_recall = target}};
    td_hit hits[2][QUERIES * K];
    uint32_t counts[2][QUERIES];
    test_search(a, &queries, &search, hits[0], counts[0]);
    test_search(b, &queries, &search, hits[1], counts[1]);
    assert_memory_equal(hits[0], hits[1], sizeof hits[0]);
    assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
    free(users);
}

static void comes_back_from_a_file_the_same(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    const uint64_t counts[] = {0, 1, 100, ITEMS};
    const char *path = test_path("tree.tandem");
    for (int i = 0; i < 4; i++) {
        td_index *tree = calibrated_tree(context, counts[i], 12), *loaded;
        td_index_info before, after;
        assert_ok(td_index_save(tree, path, &err));
        assert_ok(td_index_load(&loaded, context, path, &err));
        assert_ok(td_index_check(loaded, &err));
        td_index_describe(tree, &before);
        td_index_describe(loaded, &after);
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(after.calibration_queries, counts[i] >= 16 ? QUERIES : 0);
        assert_same_search(tree, loaded, 0.8f);
        assert_same_search(tree, loaded, 0.99f);
        td_index_free(tree);
        td_index_free(loaded);
    }
    td_context_free(context);
}

static void same_bytes_for_any_threads(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    unsigned char *first = NULL;
    size_t first_size = 0;
    for (int t = 0; t < 3; t++) {
        td_context *context = test_context(threads[t]);
        td_error err = {0};
        td_index *tree = calibrated_tree(context, ITEMS, 12);
        const char *path = test_path("threads.tandem");
        assert_ok(td_index_save(tree, path, &err));
        size_t size;
        unsigned char *bytes = test_read(path, &size);
        if (t == 0) {
            first = bytes;
            first_size = size;
        } else {
            assert_int_equal(size, first_size);
            assert_memory_equal(bytes, first, size);
            free(bytes);
        }
        td_index_free(tree);
        td_context_free(context);
    }
    free(first);
}

static void every_damaged_byte_is_seen(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *tree = calibrated_tree(context, 40, 2), *loaded;
    const char *path = test_path("damaged.tandem");
    assert_ok(td_index_save(tree, path, &err));
    size_t size;
    unsigned char *bytes = test_read(path, &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x20;
        const char *damaged = test_file("damaged.tandem", bytes, size);
        td_status status = td_index_load(&loaded, context, damaged, &err);
        assert_true(status == TD_ERR_CORRUPT || status == TD_ERR_VERSION);
        assert_null(loaded);
        bytes[i] ^= 0x20;
    }
    free(bytes);
    td_index_free(tree);
    td_context_free(context);
}

/* What the exact index's reader makes of it: the vectors and nothing else are needed. */
static void the_vectors_are_plain_rows(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *tree = calibrated_tree(context, 100, 3);
    const char *path = test_path("rows.tandem");
    td__container *file;
    const td__tensor *vectors;
    assert_ok(td_index_save(tree, path, &err));
    assert_ok(td__container_open(&file, context, path, "index", 1, &err));
    assert_ok(td__container_require(file, "vectors", TD__F32, 100, DIM, &vectors, &err));
    for (uint32_t i = 0; i < 100; i++) {
        float vector[DIM];
        td_index_vector(tree, i, vector);
        assert_memory_equal(vector, (const float *)vectors->data + i * DIM, sizeof vector);
    }
    assert_string_equal(td__container_get(file, "index.kind"), "tree");
    td__container_close(file);
    td_index_free(tree);
    td_context_free(context);
}

/* --- files with right checksums and wrong contents */

/* Break one thing in memory, save it, and read it: `part` of the message says what. */
#define assert_refused(breaking, part)                                                             \
    do {                                                                                           \
        td_index *broken_ = calibrated_tree(context, 400, 5), *loaded_;                            \
        td__tree *tree = broken_->tree;                                                            \
        breaking;                                                                                  \
        assert_ok(td_index_save(broken_, path, &err));                                             \
        assert_fails(td_index_load(&loaded_, context, path, &err), TD_ERR_CORRUPT, (part));        \
        assert_null(loaded_);                                                                      \
        td_index_free(broken_);                                                                    \
    } while (0)

static void refuses_trees_that_would_lead_astray(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const char *path = test_path("astray.tandem");
    assert_refused(tree->positions[0] = 400, "not there or twice");
    assert_refused(tree->positions[0] = tree->positions[1], "not there or twice");
    assert_refused(tree->positions[0] = TD_NONE, "399 items");
    assert_refused(tree->first[1] = tree->groups + 1, "before it starts");
    assert_refused(tree->first[0] = 1, "do not cover");
    assert_refused(tree->first[5]++, "do not cover");
    assert_refused(tree->centers.rows[3] = NAN, "out of range");
    assert_refused(tree->codec.codewords[3] = INFINITY, "out of range");
    assert_refused(tree->scales[3] = NAN, "out of range");
    assert_refused(tree->calibrated[2].leaves = 6.0f, "row 2 of the calibration");
    assert_refused(tree->calibrated[2].candidates = NAN, "row 2 of the calibration");
    assert_refused(tree->calibrated[2].target = 0.1f, "row 2 of the calibration");
    assert_refused(tree->calibration_queries = 0, "from 0 queries");
    assert_refused(tree->codec.eta = 0.0f, "settings");
    assert_refused((tree->codec.eta = 4.0f, broken_->rows[7] = 2e15f), "too large");
    td_context_free(context);
}

/* A reader that asks for other tensors than those that are there says which. */
static void refuses_settings_that_do_not_fit(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *tree = calibrated_tree(context, 100, 3), *loaded;
    const char *path = test_path("settings.tandem");
    tree->tree->codec.width = 64; /* save writes it; the shapes say 2 */
    tree->tree->codec.blocks = tree->tree->codec.blocks * 2 / 64;
    assert_ok(td_index_save(tree, path, &err));
    assert_fails(td_index_load(&loaded, context, path, &err), TD_ERR_CORRUPT, "tree.code");
    assert_null(loaded);
    td_index_free(tree);
    td_context_free(context);
}

static void check_finds_what_memory_lost(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *tree = calibrated_tree(context, 400, 5);
    tree->tree->live[0] ^= 1;
    assert_fails(td_index_check(tree, &err), TD_ERR_CORRUPT, "both empty and taken");
    tree->tree->live[0] ^= 1;
    assert_ok(td_index_check(tree, &err));
    tree->rows[9] += 100.0f;
    assert_fails(td_index_check(tree, &err), TD_ERR_CORRUPT, "not the one noted");
    td_index_free(tree);
    td_context_free(context);
}

/* --- failing writes and memory */

static td_status save_small(void *path, td_context *context, td_error *err)
{
    td_index *tree = calibrated_tree(context, 60, 3);
    td_status status = td_index_save(tree, path, err);
    td_index_free(tree);
    return status;
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("writes.tandem"));
    test_every_write(save_small, path, path);
}

static td_status load_small(void *path, td_context *context, td_error *err)
{
    td_index *loaded;
    td_status status = td_index_load(&loaded, context, path, err);
    td_index_free(loaded);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("memory.tandem"));
    assert_ok(save_small(path, context, &err));
    td_context_free(context);
    test_every_allocation(load_small, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_from_a_file_the_same),
        cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(every_damaged_byte_is_seen),
        cmocka_unit_test(the_vectors_are_plain_rows),
        cmocka_unit_test(refuses_trees_that_would_lead_astray),
        cmocka_unit_test(refuses_settings_that_do_not_fit),
        cmocka_unit_test(check_finds_what_memory_lost),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
