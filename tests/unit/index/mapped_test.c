/* mapped_test.c -- an index in a mapped file is the index that was loaded, in every respect, and damage
 * does as little harm. */
#include "support/clusters.h"
#include "support/fault.h"

#include <unistd.h>

#include "index/tree.h"
#include "index/update.h"

enum { ITEMS = 2500, DIM = 9, QUERIES = 10, K = 12, SHAPES = 4 };

typedef struct shape {
    td_index_kind kind;
    td_prefilter prefilter;
    td_distance_measure measure;
} shape;

static const shape shapes[SHAPES] = {
    {TD_INDEX_EXACT, TD_PREFILTER_NONE, TD_DOT_PRODUCT},
    {TD_INDEX_EXACT, TD_PREFILTER_INT8, TD_COSINE},
    {TD_INDEX_TREE, TD_PREFILTER_AUTO, TD_DOT_PRODUCT},
    {TD_INDEX_TREE, TD_PREFILTER_AUTO, TD_SQUARED_L2},
};

static td_vocab *make_ids(td_context *context, uint32_t count)
{
    td_error err = {0};
    td_vocab *ids;
    uint32_t position;
    assert_ok(td_vocab_create(&ids, context, &err));
    for (uint32_t i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof text, "item %u", i);
        assert_ok(td_vocab_add(ids, text, strlen(text), &position, &err));
    }
    return ids;
}

/* Calibrated, with ids, some items deleted and some replaced. */
static td_index *build(td_context *context, shape s, uint32_t count)
{
    td_error err = {0};
    td_index *index;
    td_index_options options;
    td_index_options_init(&options);
    options.kind = s.kind;
    options.prefilter = s.prefilter;
    options.distance_measure = s.measure;
    options.num_leaves = count / 100 + 2;
    float *rows = test_clusters(1, count, DIM, 20), *users = test_clusters(2, QUERIES, DIM, 20);
    td_vectors items = {.data = rows, .rows = count, .dim = DIM};
    td_vectors queries = {.data = users, .rows = QUERIES, .dim = DIM};
    td_vocab *ids = make_ids(context, count);
    const char *const gone[] = {"item 2", "item 7"};
    assert_ok(td_index_build_with(&index, context, &items, ids, &options, NULL, &err));
    assert_ok(td_index_calibrate(index, &queries, NULL, &err));
    assert_ok(td_index_delete(index, gone, 2, &err));
    td_vocab_free(ids);
    free(rows);
    free(users);
    return index;
}

/* The same hits for every kind of request. */
static void assert_same(const td_index *a, const td_index *b)
{
    float *users = test_clusters(3, QUERIES, DIM, 20);
    float *bias = test_normal_vectors(4, td_index_count(a), 1);
    uint64_t *allow = malloc((td_index_count(a) / 64 + 1) * sizeof *allow);
    td_vectors queries = {.data = users, .rows = QUERIES, .dim = DIM};
    for (uint64_t w = 0; w <= td_index_count(a) / 64; w++) allow[w] = UINT64_C(0x5555555555555555);
    const td_search requests[] = {
        {.k = K},
        {.k = K, .effort = {.target_recall = 1.0f}},
        {.k = K, .effort = {.num_leaves_to_search = 2, .reordering_num_neighbors = 30}},
        {.k = K, .allow = allow},
        {.k = K, .bias = bias},
    };
    assert_int_equal(td_index_count(a), td_index_count(b));
    for (int r = 0; r < 5; r++) {
        td_hit hits[2][QUERIES * K];
        uint32_t counts[2][QUERIES];
        test_search(a, &queries, &requests[r], hits[0], counts[0]);
        test_search(b, &queries, &requests[r], hits[1], counts[1]);
        assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
        assert_memory_equal(hits[0], hits[1], sizeof hits[0]);
    }
    free(users);
    free(bias);
    free(allow);
}

static void mapped_is_as_loaded(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    const char *path = test_path("mapped.tandem");
    for (int s = 0; s < SHAPES; s++) {
        td_error err = {0};
        td_index *index = build(context, shapes[s], ITEMS), *loaded, *mapped;
        td_index_info info, other;
        assert_ok(td_index_save(index, path, &err));
        assert_ok(td_index_load(&loaded, context, path, &err));
        assert_ok(td_index_load_mapped(&mapped, context, path, &err));
        assert_ok(td_index_check(mapped, &err));
        td_index_describe(loaded, &info);
        td_index_describe(mapped, &other);
        assert_int_equal(info.mapped, 0);
        assert_int_equal(other.bytes, info.bytes);
        assert_true(other.mapped <= other.bytes);
        bool stays = shapes[s].prefilter != TD_PREFILTER_NONE;
        assert_true(stays ? other.mapped >= ITEMS * DIM * sizeof(float) : other.mapped == 0);
        assert_same(index, mapped);
        assert_same(loaded, mapped);
        td_index_free(loaded);
        td_index_free(mapped);
        td_index_free(index);
    }
    td_context_free(context);
}

/* The large arrays are where the file is, and nothing else of them was made. */
static void nothing_large_is_copied(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const char *path = test_path("mapped.tandem");
    for (int s = 1; s < SHAPES; s++) {
        td_index *index = build(context, shapes[s], ITEMS), *mapped;
        assert_ok(td_index_save(index, path, &err));
        assert_ok(td_index_load_mapped(&mapped, context, path, &err));
        const td__tree *tree = mapped->tree;
        assert_true(td__container_holds(mapped->file, mapped->rows));
        assert_false(td__container_holds(mapped->file, mapped));
        if (tree != NULL) {
            assert_true(td__container_holds(mapped->file, tree->codes));
            assert_true(td__container_holds(mapped->file, tree->rows));
            assert_true(td__container_holds(mapped->file, tree->scales));
            assert_true(td__container_holds(mapped->file, tree->positions));
        }
        td_index_free(mapped);
        td_index_free(index);
    }
    td_context_free(context);
}

/* Everything an index does, on one that is loaded and one that is mapped; then files are the same. */
static void live(td_index *index)
{
    td_error err = {0};
    float *rows = test_clusters(9, 200, DIM, 20), *users = test_clusters(2, QUERIES, DIM, 20);
    td_vectors queries = {.data = users, .rows = QUERIES, .dim = DIM};
    for (uint32_t i = 0; i < 200; i++) {
        char text[16];
        const char *id = text;
        td_vectors one = {.data = rows + (size_t)i * DIM, .rows = 1, .dim = DIM};
        snprintf(text, sizeof text, "item %u", i * 13);
        assert_ok(td_index_upsert(index, &one, &id, NULL, &err));
    }
    const char *gone = "item 26";
    assert_ok(td_index_delete(index, &gone, 1, &err));
    assert_ok(td_index_calibrate(index, &queries, NULL, &err));
    assert_ok(td_index_check(index, &err));
    free(rows);
    free(users);
}

static void a_mapped_index_can_be_updated(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    const char *path = test_path("mapped.tandem");
    for (int s = 0; s < SHAPES; s++) {
        td_error err = {0};
        td_index *index = build(context, shapes[s], ITEMS), *loaded, *mapped;
        assert_ok(td_index_save(index, path, &err));
        assert_ok(td_index_load(&loaded, context, path, &err));
        assert_ok(td_index_load_mapped(&mapped, context, path, &err));
        live(loaded);
        live(mapped);
        assert_same(loaded, mapped);
        assert_ok(td_index_save(mapped, path, &err)); /* over the file that is mapped */
        assert_same(loaded, mapped);
        td_index_free(loaded);
        assert_ok(td_index_load_mapped(&loaded, context, path, &err));
        assert_same(loaded, mapped);
        assert_ok(td_index_rebuild(mapped, NULL, NULL, NULL, &err));
        assert_ok(td_index_check(mapped, &err));
        td_index_free(loaded);
        td_index_free(mapped);
        td_index_free(index);
    }
    td_context_free(context);
}

static void a_name_that_goes_leaves_the_index(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const char *path = test_path("mapped.tandem");
    td_index *index = build(context, shapes[2], ITEMS), *mapped;
    assert_ok(td_index_save(index, path, &err));
    assert_ok(td_index_load_mapped(&mapped, context, path, &err));
    assert_int_equal(unlink(path), 0);
    assert_same(index, mapped);
    td_index_free(mapped);
    td_index_free(index);
    td_context_free(context);
}

static void every_damaged_byte_is_seen(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    for (int s = 1; s < SHAPES - 1; s++) {
        td_error err = {0};
        td_index *index = build(context, shapes[s], 40), *mapped;
        const char *path = test_path("damaged.tandem");
        size_t size;
        assert_ok(td_index_save(index, path, &err));
        unsigned char *bytes = test_read(path, &size);
        for (size_t i = 0; i < size; i++) {
            bytes[i] ^= 0x40;
            const char *damaged = test_file("damaged.tandem", bytes, size);
            td_status status = td_index_load_mapped(&mapped, context, damaged, &err);
            assert_true(status == TD_ERR_CORRUPT || status == TD_ERR_VERSION);
            assert_null(mapped);
            bytes[i] ^= 0x40;
        }
        for (size_t end = 0; end < size; end += 97) {
            const char *damaged = test_file("damaged.tandem", bytes, end);
            assert_int_not_equal(td_index_load_mapped(&mapped, context, damaged, &err), TD_OK);
            assert_null(mapped);
        }
        free(bytes);
        td_index_free(index);
    }
    td_context_free(context);
}

/* Right checksums, and a position that is not there: a search must not be led out of its arrays. */
static void wrong_contents_are_refused(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *index = build(context, shapes[2], 300), *mapped;
    const char *path = test_path("wrong.tandem");
    assert_ok(td_index_merge(index, &err));
    td__tree *tree = td__state_now(index)->base->tree;
    uint32_t slot = 0;
    while (tree->positions[slot] == TD_NONE) slot++;
    tree->positions[slot] = 300;
    assert_ok(td_index_save(index, path, &err));
    assert_int_equal(td_index_load_mapped(&mapped, context, path, &err), TD_ERR_CORRUPT);
    assert_non_null(strstr(err.message, "holds item 300"));
    assert_null(mapped);
    td_index_free(index);
    assert_int_equal(td_index_load_mapped(&mapped, context, test_path("none"), &err), TD_ERR_NOT_FOUND);
    td_context_free(context);
}

static td_status load_and_free(void *state, td_context *context, td_error *err)
{
    td_index *mapped;
    td_status status = td_index_load_mapped(&mapped, context, state, err);
    td_index_free(mapped);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    for (int s = 0; s < SHAPES; s++) {
        td_error err = {0};
        td_index *index = build(context, shapes[s], 100);
        char *path = strdup(test_path("memory.tandem"));
        assert_ok(td_index_save(index, path, &err));
        test_every_allocation(load_and_free, path);
        free(path);
        td_index_free(index);
    }
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapped_is_as_loaded),
        cmocka_unit_test(nothing_large_is_copied),
        cmocka_unit_test(a_mapped_index_can_be_updated),
        cmocka_unit_test(a_name_that_goes_leaves_the_index),
        cmocka_unit_test(every_damaged_byte_is_seen),
        cmocka_unit_test(wrong_contents_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
