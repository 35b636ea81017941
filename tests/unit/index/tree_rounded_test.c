/* tree_rounded_test.c -- a tree that keeps items in 8 bits alone is a tree of the rounded items, in
 * everything it does, and no damaged file of one is believed. */
#include "support/clusters.h"
#include "support/fault.h"

#include <math.h>

#include "index/tree.h"

enum { ITEMS = 3000, QUERIES = 40, DIM = 21, LEAVES = 12, K = 10 };

/* The tree, and an exact index of what rounding makes of the same items. */
typedef struct twins {
    td_context *context;
    td_distance_measure measure;
    uint64_t count;
    float *rows; /* [count, DIM], rounded */
    td_index *tree, *exact;
} twins;

static td_status build(td_index **out, td_context *context, const td_vectors *items,
                       const td_index_options *some, td_error *err)
{
    td_index_options options;
    td_index_options_init(&options);
    options.store = some->store;
    options.kind = some->kind;
    options.distance_measure = some->distance_measure;
    options.num_leaves = items->rows < 100 ? 2 : LEAVES;
    options.training_iterations = items->rows < 100 ? 1 : 10;
    return td_index_build_with(out, context, items, NULL, &options, NULL, err);
}

static void normalize(float *row)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < DIM; k++) sum += (double)row[k] * (double)row[k];
    for (uint32_t k = 0; k < DIM; k++) row[k] = (float)((double)row[k] * (1.0 / sqrt(sum)));
}

static td_index *exact_of(td_context *context, const float *rows, uint64_t count)
{
    td_error err = {0};
    td_index *exact;
    td_vectors items = {.data = rows, .rows = count, .dim = DIM};
    assert_ok(td_index_build(&exact, context, &items, NULL, &err));
    return exact;
}

static twins make_twins(uint32_t threads, uint64_t count, td_distance_measure measure)
{
    td_error err = {0};
    twins t = {.context = test_context(threads), .measure = measure, .count = count,
               .rows = test_clusters(1, count, DIM, 30)};
    td_vectors items = {.data = t.rows, .rows = count, .dim = DIM};
    td_index_options options = {.store = TD_STORE_INT8, .distance_measure = measure};
    assert_ok(build(&t.tree, t.context, &items, &options, &err));
    for (uint64_t i = 0; i < count; i++) {
        if (measure == TD_COSINE) normalize(t.rows + i * DIM);
        td__round_in_place(t.rows + i * DIM, DIM);
    }
    t.exact = exact_of(t.context, t.rows, count);
    return t;
}

static void end_twins(twins *t)
{
    td_index_free(t->tree);
    td_index_free(t->exact);
    td_context_free(t->context);
    free(t->rows);
}

static float score_of(const td_index *index, const float *user, uint32_t position)
{
    float vector[DIM], sum = 0.0f;
    td_index_vector(index, position, vector);
    for (uint32_t k = 0; k < DIM; k++) sum = fmaf(user[k], vector[k], sum);
    return sum;
}

/* The share of the exact index's hits that the tree finds. Scores are the same bits. */
static double compare(const twins *t, const td_search *search, uint32_t heads)
{
    float *users = test_clusters(2, (uint64_t)QUERIES * heads, DIM, 30);
    if (t->measure == TD_COSINE) {
        for (uint32_t q = 0; q < QUERIES * heads; q++) normalize(users + (size_t)q * DIM);
    }
    td_vectors queries = {.data = users, .rows = QUERIES, .dim = DIM, .heads = heads};
    td_hit found[QUERIES * K], right[QUERIES * K];
    uint32_t counts[2][QUERIES];
    double common = 0.0;
    test_search(t->tree, &queries, search, found, counts[0]);
    test_search(t->exact, &queries, search, right, counts[1]);
    assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
    for (uint32_t i = 0; i < QUERIES * K; i++) {
        if (found[i].position == TD_NONE) continue;
        float best = -INFINITY;
        for (uint32_t h = 0; h < heads; h++) {
            const float *user = users + ((size_t)(i / K) * heads + h) * DIM;
            best = fmaxf(best, score_of(t->exact, user, found[i].position));
        }
        if (search->bias == NULL) assert_true(found[i].score == best);
    }
    for (uint32_t q = 0; q < QUERIES; q++) common += test_common(found + q * K, right + q * K, K);
    if (search->effort.target_recall == 1.0f) assert_memory_equal(found, right, sizeof found);
    free(users);
    return common / (QUERIES * K);
}

/* --- searching */

static void holds_rounded_vectors(void **state)
{
    (void)state;
    twins t = make_twins(2, ITEMS, TD_DOT_PRODUCT);
    td_error err = {0};
    td_index_info info, exact;
    td_index_describe(t.tree, &info);
    td_index_describe(t.exact, &exact);
    assert_int_equal(info.kind, TD_INDEX_TREE);
    assert_int_equal(info.store, TD_STORE_INT8);
    assert_int_equal(exact.store, TD_STORE_FLOAT32);
    assert_ok(td_index_check(t.tree, &err));
    for (uint32_t i = 0; i < ITEMS; i++) {
        float vector[DIM];
        td_index_vector(t.tree, i, vector);
        assert_memory_equal(vector, t.rows + (size_t)i * DIM, sizeof vector);
    }
    end_twins(&t);
}

/* At 128 dimensions a quarter of what float32 takes, and of a plain file. */
static void takes_a_quarter(void **state)
{
    (void)state;
    enum { WIDE = 128, MANY = 4000 };
    td_context *context = test_context(2);
    td_error err = {0};
    float *rows = test_clusters(1, MANY, WIDE, 30);
    td_vectors items = {.data = rows, .rows = MANY, .dim = WIDE};
    td_index_info info[2];
    for (int i = 0; i < 2; i++) {
        td_index *index;
        td_index_options options = {.kind = TD_INDEX_TREE, .store = i == 0 ? TD_STORE_AUTO : TD_STORE_INT8};
        assert_ok(build(&index, context, &items, &options, &err));
        td_index_describe(index, &info[i]);
        assert_int_equal(info[i].store, i == 0 ? TD_STORE_FLOAT32 : TD_STORE_INT8);
        td_index_free(index);
    }
    assert_true(info[1].bytes * 10 < info[0].bytes * 3);
    free(rows);
    td_context_free(context);
}

static void searches_as_a_tree_of_these_would(void **state)
{
    (void)state;
    const td_search_effort all = {.num_leaves_to_search = LEAVES, .reordering_num_neighbors = ITEMS};
    const td_search_effort some = {.num_leaves_to_search = 6, .reordering_num_neighbors = 100};
    for (int m = 0; m < 2; m++) {
        twins t = make_twins(2, ITEMS, m == 0 ? TD_DOT_PRODUCT : TD_COSINE);
        for (uint32_t heads = 1; heads <= 3; heads += 2) {
            assert_true(compare(&t, &(td_search){.k = K, .effort = {.target_recall = 1.0f}}, heads) == 1.0);
            assert_true(compare(&t, &(td_search){.k = K, .effort = all}, heads) > 0.999);
            assert_true(compare(&t, &(td_search){.k = K, .effort = some}, heads) > 0.9);
        }
        end_twins(&t);
    }
}

static void filters_exclusions_and_biases_work(void **state)
{
    (void)state;
    const td_search_effort exactly = {.target_recall = 1.0f};
    uint32_t excluded[QUERIES * 40];
    uint64_t allow[ITEMS / 64 + 1] = {0}, few[ITEMS / 64 + 1] = {0}, offsets[QUERIES + 1];
    float *bias = test_normal_vectors(4, ITEMS, 1);
    twins t = make_twins(2, ITEMS, TD_DOT_PRODUCT);
    for (uint32_t i = 0; i < ITEMS; i += 2) td__set_bit(allow, i);
    for (uint32_t i = 0; i < ITEMS; i += 100) td__set_bit(few, i);
    for (uint32_t i = 0; i < QUERIES * 40; i++) excluded[i] = i % 40 * 30;
    for (uint32_t q = 0; q <= QUERIES; q++) offsets[q] = q * 40;
    assert_true(compare(&t, &(td_search){.k = K, .allow = allow}, 1) > 0.9);
    assert_true(compare(&t, &(td_search){.k = K, .allow = allow, .effort = exactly}, 1) == 1.0);
    assert_true(compare(&t, &(td_search){.k = K, .allow = few, .effort = exactly}, 1) == 1.0);
    assert_true(compare(&t, &(td_search){.k = K, .bias = bias, .effort = exactly}, 1) == 1.0);
    assert_true(compare(&t, &(td_search){.k = K, .exclude_offsets = offsets, .exclude = excluded}, 1) > 0.9);
    free(bias);
    end_twins(&t);
}

static void higher_targets_find_more_of_rounded_items(void **state)
{
    (void)state;
    twins t = make_twins(2, ITEMS, TD_DOT_PRODUCT);
    td_error err = {0};
    float *users = test_clusters(3, 200, DIM, 30);
    td_vectors queries = {.data = users, .rows = 200, .dim = DIM};
    assert_ok(td_index_calibrate(t.tree, &queries, NULL, &err));
    double low = compare(&t, &(td_search){.k = K, .effort = {.target_recall = 0.8f}}, 1);
    double high = compare(&t, &(td_search){.k = K, .effort = {.target_recall = 0.99f}}, 1);
    assert_true(low > 0.75 && low < high && high > 0.975);
    free(users);
    end_twins(&t);
}

static void same_bytes_for_any_threads(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    unsigned char *first = NULL;
    size_t sizes[2];
    for (int i = 0; i < 3; i++) {
        twins t = make_twins(threads[i], ITEMS, TD_DOT_PRODUCT);
        td_error err = {0};
        const char *path = test_path("threads.tandem");
        assert_ok(td_index_save(t.tree, path, &err));
        unsigned char *bytes = test_read(path, &sizes[i > 0]);
        if (i == 0) first = bytes;
        if (i > 0) {
            assert_int_equal(sizes[1], sizes[0]);
            assert_memory_equal(bytes, first, sizes[0]);
            free(bytes);
        }
        end_twins(&t);
    }
    free(first);
}

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *index;
    float rows[2 * DIM] = {1, 2, 3};
    td_vectors items = {.data = rows, .rows = 2, .dim = DIM};
    td_index_options exact = {.kind = TD_INDEX_EXACT, .store = TD_STORE_INT8};
    td_index_options squared = {.store = TD_STORE_INT8, .distance_measure = TD_SQUARED_L2};
    assert_fails(build(&index, context, &items, &exact, &err), TD_ERR_ARGUMENT, "take a tree");
    assert_null(index);
    assert_fails(build(&index, context, &items, &squared, &err), TD_ERR_ARGUMENT, "squared distances");
    assert_null(index);
    rows[3] = NAN;
    td_index_options tree = {.store = TD_STORE_INT8};
    assert_fails(build(&index, context, &items, &tree, &err), TD_ERR_NUMERIC, "item 0");
    td_context_free(context);
}

/* --- updates */

static const char *const ids[] = {"3", "700", "2999", "3000", "3001", "3", "12"};

enum { UPSERTS = sizeof ids / sizeof ids[0], NOW = ITEMS + 2 };

/* Some replaced, some new, the last deleted again; the exact twin has the same. */
static void update(twins *t)
{
    td_error err = {0};
    float *fresh = test_clusters(5, UPSERTS, DIM, 30);
    td_vectors items = {.data = fresh, .rows = UPSERTS, .dim = DIM};
    const char *gone = ids[UPSERTS - 1];
    assert_ok(td_index_upsert(t->tree, &items, ids, NULL, &err));
    assert_ok(td_index_delete(t->tree, &gone, 1, &err));
    for (uint32_t i = 0; i < UPSERTS; i++) {
        if (t->measure == TD_COSINE) normalize(fresh + (size_t)i * DIM);
        td__round_in_place(fresh + (size_t)i * DIM, DIM);
    }
    assert_ok(td_index_upsert(t->exact, &items, ids, NULL, &err));
    assert_ok(td_index_delete(t->exact, &gone, 1, &err));
    free(fresh);
}

static void check_updated(const twins *t)
{
    td_error err = {0};
    assert_ok(td_index_check(t->tree, &err));
    assert_int_equal(td_index_count(t->tree), NOW);
    for (uint32_t i = 0; i < NOW; i++) {
        float vector[DIM], right[DIM];
        td_index_vector(t->tree, i, vector);
        td_index_vector(t->exact, i, right);
        assert_memory_equal(vector, right, sizeof vector);
    }
    assert_true(compare(t, &(td_search){.k = K, .effort = {.target_recall = 1.0f}}, 1) == 1.0);
    assert_true(compare(t, &(td_search){.k = K}, 1) > 0.9);
}

/* Pending, merged, merged again after more of the same, rebuilt: always the same vectors, rounded once. */
static void updates_are_rounded_once(void **state)
{
    (void)state;
    twins t = make_twins(2, ITEMS, TD_DOT_PRODUCT);
    td_error err = {0};
    td_index_info info;
    update(&t);
    check_updated(&t);
    for (int i = 0; i < 2; i++) {
        assert_ok(td_index_merge(t.tree, &err));
        check_updated(&t);
        update(&t);
    }
    assert_ok(td_index_rebuild(t.tree, NULL, NULL, NULL, &err));
    check_updated(&t);
    td_index_describe(t.tree, &info);
    assert_int_equal(info.store, TD_STORE_INT8);
    end_twins(&t);
}

/* So many new ones that leaves are split, dissolved and refilled. */
static void leaves_change(void **state)
{
    (void)state;
    enum { MORE = 9000 };
    twins t = make_twins(2, ITEMS, TD_DOT_PRODUCT);
    td_error err = {0};
    float *rows = test_clusters(6, MORE, DIM, 2);
    char(*names)[8] = malloc(MORE * sizeof *names);
    const char **all = malloc(MORE * sizeof *all);
    for (uint32_t i = 0; i < MORE; i++) {
        snprintf(names[i], sizeof names[i], "%u", i + ITEMS / 2);
        all[i] = names[i];
    }
    td_vectors items = {.data = rows, .rows = MORE, .dim = DIM};
    assert_ok(td_index_upsert(t.tree, &items, all, NULL, &err));
    for (uint32_t i = 0; i < MORE; i++) td__round_in_place(rows + (size_t)i * DIM, DIM);
    assert_ok(td_index_upsert(t.exact, &items, all, NULL, &err));
    assert_ok(td_index_merge(t.tree, &err));
    assert_ok(td_index_check(t.tree, &err));
    assert_true(compare(&t, &(td_search){.k = K, .effort = {.target_recall = 1.0f}}, 1) == 1.0);
    assert_true(compare(&t, &(td_search){.k = K}, 1) > 0.8);
    free(all);
    free(names);
    free(rows);
    end_twins(&t);
}

static void a_tree_of_nothing_grows(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *tree, *loaded;
    td_index_info info;
    float rows[3 * DIM] = {1, 2, 3}, vector[DIM];
    const char *names[] = {"0", "1", "2"}, *path = test_path("nothing.tandem");
    td_vectors none = {.data = rows, .rows = 0, .dim = DIM}, three = {.data = rows, .rows = 3, .dim = DIM};
    td_index_options options = {.store = TD_STORE_INT8};
    assert_ok(build(&tree, context, &none, &options, &err));
    assert_ok(td_index_save(tree, path, &err));
    assert_ok(td_index_load(&loaded, context, path, &err));
    assert_ok(td_index_upsert(loaded, &three, names, NULL, &err));
    assert_ok(td_index_merge(loaded, &err));
    assert_ok(td_index_check(loaded, &err));
    td_index_describe(loaded, &info);
    assert_int_equal(info.store, TD_STORE_INT8);
    assert_int_equal(info.items, 3);
    td_index_vector(loaded, 0, vector);
    td__round_in_place(rows, DIM);
    assert_memory_equal(vector, rows, sizeof vector);
    td_index_free(tree);
    td_index_free(loaded);
    td_context_free(context);
}

static void a_rebuild_keeps_the_store(void **state)
{
    (void)state;
    td_error err = {0};
    td_index_options options;
    twins t = make_twins(1, 200, TD_DOT_PRODUCT);
    td_index_options_init(&options);
    options.store = TD_STORE_FLOAT32;
    assert_fails(td_index_rebuild(t.tree, &options, NULL, NULL, &err), TD_ERR_ARGUMENT, "keeps what");
    options.store = TD_STORE_INT8;
    assert_ok(td_index_rebuild(t.tree, &options, NULL, NULL, &err));
    assert_fails(td_index_rebuild(t.exact, &options, NULL, NULL, &err), TD_ERR_ARGUMENT, "float32");
    end_twins(&t);
}

/* --- files */

static void comes_back_from_a_file_the_same(void **state)
{
    (void)state;
    const char *path = test_path("rounded.tandem"), *second = test_path("again.tandem");
    for (int i = 0; i < 4; i++) {
        twins t = make_twins(2, ITEMS, i < 2 ? TD_DOT_PRODUCT : TD_COSINE);
        td_error err = {0};
        td_index *loaded;
        size_t sizes[2];
        update(&t);
        assert_ok(td_index_save(t.tree, path, &err));
        if (i % 2 == 0) assert_ok(td_index_load(&loaded, t.context, path, &err));
        else assert_ok(td_index_load_mapped(&loaded, t.context, path, &err));
        td_index_free(t.tree);
        t.tree = loaded;
        check_updated(&t);
        assert_ok(td_index_save(loaded, second, &err));
        unsigned char *a = test_read(path, &sizes[0]), *b = test_read(second, &sizes[1]);
        assert_int_equal(sizes[0], sizes[1]);
        assert_memory_equal(a, b, sizes[0]);
        update(&t);
        assert_ok(td_index_merge(t.tree, &err));
        check_updated(&t);
        free(a);
        free(b);
        end_twins(&t);
    }
}

static void older_readers_would_refuse(void **state)
{
    (void)state;
    twins t = make_twins(1, 100, TD_DOT_PRODUCT);
    td_error err = {0};
    td__container *file;
    const char *path = test_path("version.tandem");
    assert_ok(td_index_save(t.tree, path, &err));
    assert_fails(td__container_open(&file, t.context, path, "index", 3, &err), TD_ERR_VERSION, "4");
    assert_ok(td__container_open(&file, t.context, path, "index", 4, &err));
    assert_null(td__container_find(file, "vectors"));
    assert_string_equal(td__container_get(file, "index.rounded"), "{\"items\":100,\"dim\":21}");
    td__container_close(file);
    end_twins(&t);
}

/* Of the many bytes every fifth: which tensor a byte is of makes no difference to the checksums. */
static void damaged_bytes_are_seen(void **state)
{
    (void)state;
    twins t = make_twins(1, 40, TD_DOT_PRODUCT);
    td_error err = {0};
    td_index *loaded;
    size_t size;
    const char *path = test_path("damaged.tandem");
    assert_ok(td_index_save(t.tree, path, &err));
    unsigned char *bytes = test_read(path, &size);
    for (size_t i = 0; i < size; i += 5) {
        bytes[i] ^= 0x20;
        const char *damaged = test_file("damaged.tandem", bytes, size);
        td_status status = td_index_load(&loaded, t.context, damaged, &err);
        assert_true(status == TD_ERR_CORRUPT || status == TD_ERR_VERSION);
        assert_null(loaded);
        bytes[i] ^= 0x20;
    }
    free(bytes);
    end_twins(&t);
}

/* Break one thing in memory, save it, and read it in both ways: `part` of the message says what. */
#define assert_refused(way, breaking, part)                                                        \
    do {                                                                                           \
        twins broken_ = make_twins(1, 400, (way));                                                 \
        td_index *index = broken_.tree, *loaded_;                                                  \
        td__tree *tree = index->tree;                                                              \
        breaking;                                                                                  \
        (void)tree;                                                                                \
        assert_ok(td_index_save(index, path, &err));                                               \
        assert_fails(td_index_load(&loaded_, broken_.context, path, &err), TD_ERR_CORRUPT, part);  \
        assert_null(loaded_);                                                                      \
        assert_fails(td_index_load_mapped(&loaded_, broken_.context, path, &err), TD_ERR_CORRUPT,  \
                     part);                                                                        \
        assert_null(loaded_);                                                                      \
        end_twins(&broken_);                                                                       \
    } while (0)

static void refuses_items_that_are_not_rounded(void **state)
{
    (void)state;
    td_error err = {0};
    const char *path = test_path("astray.tandem");
    assert_refused(TD_DOT_PRODUCT, tree->rows[0] = -128, "not those of a rounded vector");
    assert_refused(TD_DOT_PRODUCT, memset(tree->rows, 0, DIM), "not those of a rounded vector");
    assert_refused(TD_DOT_PRODUCT, tree->scales[0] *= 1.0f + 0x1p-20f, "not those of a rounded vector");
    assert_refused(TD_DOT_PRODUCT, tree->scales[0] = 0.0f, "not those of a rounded vector");
    assert_refused(TD_DOT_PRODUCT, tree->scales[0] *= -1.0f, "not those of a rounded vector");
    assert_refused(TD_DOT_PRODUCT, tree->scales[0] = NAN, "too large");
    assert_refused(TD_DOT_PRODUCT, tree->scales[0] = 0x1p50f, "too large");
    assert_refused(TD_DOT_PRODUCT, tree->positions[0] = 400, "not there or twice");
    assert_refused(TD_DOT_PRODUCT, tree->positions[0] = tree->positions[1], "not there or twice");
    assert_refused(TD_DOT_PRODUCT, tree->positions[0] = TD_NONE, "399 items");
    assert_refused(TD_DOT_PRODUCT, index->count = 4000000, "4000000 items in a tree");
    assert_refused(TD_DOT_PRODUCT, index->count = 401, "400 items");
    assert_refused(TD_DOT_PRODUCT, index->count = 399, "not there or twice");
    assert_refused(TD_DOT_PRODUCT, index->count = TD_NONE, "record of rounded items");
    assert_refused(TD_DOT_PRODUCT, index->dim = 0, "record of rounded items");
    assert_refused(TD_DOT_PRODUCT, index->distance.measure = TD_SQUARED_L2, "squared distances");
    assert_refused(TD_COSINE, tree->scales[0] *= 2.0f, "index by cosine");
}

static void check_finds_what_memory_lost(void **state)
{
    (void)state;
    twins t = make_twins(1, 400, TD_DOT_PRODUCT);
    td_error err = {0};
    t.tree->rounded->slots[3] ^= 1;
    assert_fails(td_index_check(t.tree, &err), TD_ERR_CORRUPT, "not where it should be");
    t.tree->rounded->slots[3] ^= 1;
    assert_ok(td_index_check(t.tree, &err));
    t.tree->tree->scales[t.tree->rounded->slots[3]] = 1024.0f;
    assert_fails(td_index_check(t.tree, &err), TD_ERR_CORRUPT, "not the one noted");
    end_twins(&t);
}

/* --- memory that fails */

static td_status whole_life(void *state, td_context *context, td_error *err)
{
    const char *path = state, *id = "7";
    td_index *tree = NULL, *loaded = NULL;
    td_searcher *searcher = NULL;
    td_hit hits[3];
    uint32_t counts[2];
    float *rows = test_clusters(1, 60, DIM, 4);
    td_vectors items = {.data = rows, .rows = 60, .dim = DIM}, two = {.data = rows, .rows = 1, .dim = DIM};
    td_search search = {.k = 3, .effort = {.num_leaves_to_search = 2, .reordering_num_neighbors = 9}};
    td_index_options options = {.store = TD_STORE_INT8};
    td_status status = build(&tree, context, &items, &options, err);
    if (status == TD_OK) status = td_index_upsert(tree, &two, &id, NULL, err);
    if (status == TD_OK) status = td_index_merge(tree, err);
    if (status == TD_OK) status = td_index_rebuild(tree, NULL, NULL, NULL, err);
    if (status == TD_OK) status = td_index_save(tree, path, err);
    if (status == TD_OK) status = td_index_load(&loaded, context, path, err);
    if (status == TD_OK) status = td_searcher_create(&searcher, loaded, err);
    if (status == TD_OK) status = td_searcher_search(searcher, &two, &search, hits, counts, err);
    search.effort.target_recall = 1.0f;
    if (status == TD_OK) status = td_searcher_search(searcher, &two, &search, hits, counts, err);
    td_searcher_free(searcher);
    td_index_free(loaded);
    td_index_free(tree);
    free(rows);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("memory.tandem"));
    test_every_allocation(whole_life, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_rounded_vectors),
        cmocka_unit_test(takes_a_quarter),
        cmocka_unit_test(searches_as_a_tree_of_these_would),
        cmocka_unit_test(filters_exclusions_and_biases_work),
        cmocka_unit_test(higher_targets_find_more_of_rounded_items),
        cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(updates_are_rounded_once),
        cmocka_unit_test(leaves_change),
        cmocka_unit_test(a_tree_of_nothing_grows),
        cmocka_unit_test(a_rebuild_keeps_the_store),
        cmocka_unit_test(comes_back_from_a_file_the_same),
        cmocka_unit_test(older_readers_would_refuse),
        cmocka_unit_test(damaged_bytes_are_seen),
        cmocka_unit_test(refuses_items_that_are_not_rounded),
        cmocka_unit_test(check_finds_what_memory_lost),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
