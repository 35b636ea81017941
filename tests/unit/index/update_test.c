/* update_test.c -- after any updates, an index is as one that was built of what is there. */
#include "support/clusters.h"
#include "support/fault.h"

#include <math.h>

#include "index/tree.h"
#include "index/update.h"

enum { DIM = 12, MIDDLES = 30, QUERIES = 25, K = 12, ITEMS_MAX = 12000 };

/* The naive model: an array. */
typedef struct model {
    td_context *context;
    td_index *index;
    bool named;
    uint32_t count;
    float *rows;   /* [ITEMS_MAX, DIM] */
    bool *there;   /* [ITEMS_MAX] */
    uint64_t seed;
} model;

static td_prefilter prefilter = TD_PREFILTER_AUTO; /* of the next model */

static const char *id_of(uint32_t item)
{
    static char texts[8][24];
    static int turn;
    char *text = texts[turn++ % 8];
    snprintf(text, sizeof texts[0], "item %u", item);
    return text;
}

static const char *number_of(uint32_t item)
{
    static char texts[8][24];
    static int turn;
    char *text = texts[turn++ % 8];
    snprintf(text, sizeof texts[0], "%u", item);
    return text;
}

static const char *name_of(const model *m, uint32_t item)
{
    return m->named ? id_of(item) : number_of(item);
}

static td_vocab *make_ids(td_context *context, uint32_t count)
{
    td_error err = {0};
    td_vocab *ids;
    uint32_t position;
    assert_ok(td_vocab_create(&ids, context, &err));
    for (uint32_t i = 0; i < count; i++) {
        assert_ok(td_vocab_add(ids, id_of(i), strlen(id_of(i)), &position, &err));
    }
    return ids;
}

static model start(td_index_kind kind, uint32_t threads, uint32_t count, bool named)
{
    td_error err = {0};
    model m = {.context = test_context(threads), .named = named, .count = count, .seed = 77};
    m.rows = calloc((size_t)ITEMS_MAX * DIM, sizeof *m.rows);
    m.there = calloc(ITEMS_MAX, sizeof *m.there);
    float *first = test_clusters(1, count, DIM, MIDDLES);
    if (count > 0) memcpy(m.rows, first, (size_t)count * DIM * sizeof *first);
    for (uint32_t i = 0; i < count; i++) m.there[i] = true;
    td_vectors items = {.data = first, .rows = count, .dim = DIM};
    td_index_options options;
    td_index_options_init(&options);
    options.kind = kind;
    options.num_leaves = 20;
    options.prefilter = prefilter;
    td_vocab *ids = named ? make_ids(m.context, count) : NULL;
    assert_ok(td_index_build_with(&m.index, m.context, &items, ids, &options, NULL, &err));
    td_vocab_free(ids);
    free(first);
    return m;
}

static void end(model *m)
{
    td_index_free(m->index);
    td_context_free(m->context);
    free(m->rows);
    free(m->there);
}

/* --- updates of both */

static void put(model *m, uint32_t item, const float *vector)
{
    td_error err = {0};
    const char *id = name_of(m, item);
    uint32_t position;
    td_vectors one = {.data = vector, .rows = 1, .dim = DIM};
    assert_ok(td_index_upsert(m->index, &one, &id, &position, &err));
    assert_int_equal(position, item);
    memcpy(m->rows + (size_t)item * DIM, vector, DIM * sizeof *vector);
    m->there[item] = true;
    if (item == m->count) m->count++;
}

static void take(model *m, uint32_t item)
{
    td_error err = {0};
    const char *id = name_of(m, item);
    if (m->there[item]) {
        assert_ok(td_index_delete(m->index, &id, 1, &err));
    } else {
        assert_fails(td_index_delete(m->index, &id, 1, &err), TD_ERR_NOT_FOUND, id);
    }
    m->there[item] = false;
    memset(m->rows + (size_t)item * DIM, 0, DIM * sizeof *m->rows);
}

static uint32_t draw(model *m, uint32_t below)
{
    return (uint32_t)test_uniform(&m->seed, 0, below - 1e-9);
}

static void random_vector(model *m, float *vector)
{
    float *from = test_clusters(1000 + draw(m, 1u << 30), 1, DIM, MIDDLES);
    for (int k = 0; k < DIM; k++) vector[k] = from[k] * (float)test_uniform(&m->seed, 0.8, 1.3);
    free(from);
}

static void one_update(model *m)
{
    float vector[DIM];
    uint32_t kind = draw(m, 10);
    random_vector(m, vector);
    if (kind < 3 && m->count > 0) take(m, draw(m, m->count));
    else if (kind < 5 && m->count < ITEMS_MAX) put(m, m->count, vector);
    else if (m->count > 0) put(m, draw(m, m->count), vector);
}

/* --- what is found */

typedef struct found {
    td_hit hits[QUERIES * K];
    uint32_t counts[QUERIES];
} found;

static td_vectors some_queries(uint64_t seed)
{
    return (td_vectors){.data = test_clusters(seed, QUERIES, DIM, MIDDLES), .rows = QUERIES, .dim = DIM};
}

static uint64_t *bits_of(const bool *there, uint32_t count)
{
    uint64_t *bits = calloc(count / 64 + 1, sizeof *bits);
    for (uint32_t i = 0; i < count; i++) bits[i / 64] |= (uint64_t)there[i] << (i % 64);
    return bits;
}

/* Search a fresh index of all positions, of which only those that are there are allowed. */
static void naive_search(const model *m, const td_vectors *queries, const td_search *search, found *out)
{
    td_error err = {0};
    td_index *fresh;
    td_vectors items = {.data = m->rows, .rows = m->count, .dim = DIM};
    uint64_t *there = bits_of(m->there, m->count);
    td_search own = *search;
    for (uint32_t w = 0; search->allow != NULL && w < m->count / 64 + 1; w++) there[w] &= search->allow[w];
    own.allow = there;
    assert_ok(td_index_build(&fresh, m->context, &items, NULL, &err));
    test_search(fresh, queries, &own, out->hits, out->counts);
    td_index_free(fresh);
    free(there);
}

static void assert_as_naive(const model *m, td_searcher *searcher, const td_search *search)
{
    td_error err = {0};
    static found got, right;
    td_vectors queries = some_queries(5);
    assert_ok(td_searcher_search(searcher, &queries, search, got.hits, got.counts, &err));
    naive_search(m, &queries, search, &right);
    assert_memory_equal(got.counts, right.counts, sizeof got.counts);
    assert_memory_equal(got.hits, right.hits, sizeof(td_hit) * QUERIES * search->k);
    free((float *)queries.data);
}

static void assert_same_facts(const model *m)
{
    td_error err = {0};
    td_index_info info;
    uint32_t there = 0;
    for (uint32_t i = 0; i < m->count; i++) there += m->there[i];
    td_index_describe(m->index, &info);
    assert_int_equal(td_index_count(m->index), m->count);
    assert_int_equal(info.items, there);
    for (uint32_t i = 0; i < m->count; i += 1 + m->count / 50) {
        float vector[DIM];
        td_index_vector(m->index, i, vector);
        assert_memory_equal(vector, m->rows + (size_t)i * DIM, sizeof vector);
        if (m->named) assert_string_equal(td_vocab_id(td_index_ids(m->index), i), id_of(i));
    }
    assert_ok(td_index_check(m->index, &err));
}

/* Exclusions, a bitmap, a bias, as the case may be. */
static void assert_all_requests(model *m, td_searcher *searcher)
{
    static uint32_t exclude[QUERIES * 3];
    uint64_t offsets[QUERIES + 1] = {0};
    bool *some = calloc(ITEMS_MAX, sizeof *some);
    float *bias = calloc(ITEMS_MAX, sizeof *bias);
    for (uint32_t i = 0; i < m->count; i++) {
        some[i] = draw(m, 3) == 0;
        bias[i] = (float)test_uniform(&m->seed, -0.3, 0.3);
    }
    for (uint32_t q = 0; q < QUERIES && m->count > 0; q++) {
        for (int i = 0; i < 3; i++) exclude[q * 3 + (uint32_t)i] = draw(m, m->count);
        offsets[q + 1] = offsets[q] + 3;
    }
    uint64_t *allow = bits_of(some, ITEMS_MAX);
    td_search search = {.k = K, .effort = {.target_recall = 1.0f}};
    assert_as_naive(m, searcher, &search);
    search.allow = allow;
    assert_as_naive(m, searcher, &search);
    search.exclude_offsets = offsets;
    search.exclude = exclude;
    assert_as_naive(m, searcher, &search);
    search.bias = bias;
    assert_as_naive(m, searcher, &search);
    search = (td_search){.k = K, .bias = bias, .effort = {.target_recall = 1.0f}};
    assert_as_naive(m, searcher, &search);
    free(some);
    free(bias);
    free(allow);
}

static void run_sequence(td_index_kind kind, uint32_t threads, uint32_t count, bool named)
{
    td_error err = {0};
    model m = start(kind, threads, count, named);
    td_searcher *searcher;
    assert_ok(td_searcher_create(&searcher, m.index, &err));
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 150; i++) one_update(&m);
        if (round % 5 == 2) assert_ok(td_index_merge(m.index, &err));
        if (round % 5 == 4) assert_ok(td_index_rebuild(m.index, NULL, NULL, NULL, &err));
        assert_all_requests(&m, searcher);
        assert_same_facts(&m);
    }
    td_searcher_free(searcher);
    end(&m);
}

static void exact_indexes_are_as_built_anew(void **state)
{
    (void)state;
    run_sequence(TD_INDEX_EXACT, 1, 300, true);
    run_sequence(TD_INDEX_EXACT, 2, 0, true);
    run_sequence(TD_INDEX_EXACT, 7, 50, false);
}

/* A merge keeps the filter; here a rebuild chooses anew. */
static void filtered_indexes_are_as_well(void **state)
{
    (void)state;
    td_error err = {0};
    prefilter = TD_PREFILTER_INT8;
    run_sequence(TD_INDEX_EXACT, 1, 300, true);
    run_sequence(TD_INDEX_EXACT, 2, 0, false);
    model m = start(TD_INDEX_EXACT, 1, 200, true);
    prefilter = TD_PREFILTER_AUTO;
    td_index_info info;
    take(&m, 3);
    assert_ok(td_index_merge(m.index, &err));
    td_index_describe(m.index, &info);
    assert_int_equal(info.prefilter, TD_PREFILTER_INT8);
    end(&m);
}

static void trees_that_search_exactly_are_as_well(void **state)
{
    (void)state;
    run_sequence(TD_INDEX_TREE, 1, 300, true);
    run_sequence(TD_INDEX_TREE, 2, 0, true);
    run_sequence(TD_INDEX_TREE, 7, 2000, false);
}


/* --- trees that search as trees do */

/* Share of the true best that is found; every hit is there and has its exact score. */
static double recall_of(const model *m, const td_search *search)
{
    static found got, right;
    td_vectors queries = some_queries(6);
    double common = 0, wanted = 0;
    test_search(m->index, &queries, search, got.hits, got.counts);
    naive_search(m, &queries, search, &right);
    for (uint32_t q = 0; q < QUERIES; q++) {
        assert_int_equal(got.counts[q], right.counts[q]);
        for (uint32_t i = 0; i < got.counts[q]; i++) {
            td_hit hit = got.hits[q * search->k + i];
            const float *row = m->rows + (size_t)hit.position * DIM, *query = queries.data + q * DIM;
            float score = 0.0f;
            for (uint32_t k = 0; k < DIM; k++) score = fmaf(query[k], row[k], score);
            assert_true(m->there[hit.position] && hit.score == score);
        }
        common += test_common(got.hits + q * search->k, right.hits + q * search->k, got.counts[q]);
        wanted += got.counts[q];
    }
    free((float *)queries.data);
    return common / wanted;
}

static void a_tree_finds_what_came_since(void **state)
{
    (void)state;
    td_error err = {0};
    model m = start(TD_INDEX_TREE, 2, 4000, true);
    td_search search = {.k = K, .effort = {.num_leaves_to_search = 1 << 20,
                                           .reordering_num_neighbors = 400}};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1500; i++) one_update(&m);
        assert_true(recall_of(&m, &search) > 0.99);
        assert_ok(td_index_merge(m.index, &err));
        assert_true(recall_of(&m, &search) > 0.99);
    }
    td_search few = {.k = K, .effort = {.num_leaves_to_search = 1, .reordering_num_neighbors = K}};
    assert_true(recall_of(&m, &few) < 0.99); /* so it was the tree that searched */
    end(&m);
}

/* All items of one middle. */
static void crowd(model *m, uint32_t count)
{
    float vector[DIM], *middle = test_clusters(9, 1, DIM, 1);
    for (uint32_t i = 0; i < count; i++) {
        for (int k = 0; k < DIM; k++) vector[k] = middle[k] + (float)test_uniform(&m->seed, -0.1, 0.1);
        put(m, m->count, vector);
    }
    free(middle);
}

static void leaves_split_and_dissolve(void **state)
{
    (void)state;
    td_error err = {0};
    model m = start(TD_INDEX_TREE, 2, 2000, true);
    td_index_info before, grown, shrunk;
    td_index_describe(m.index, &before);
    for (int round = 0; round < 6; round++) {
        crowd(&m, 1000);
        assert_ok(td_index_merge(m.index, &err));
    }
    td_index_describe(m.index, &grown);
    assert_true(grown.leaves > before.leaves);
    assert_true(grown.leaf_items_max < 8 * grown.items / grown.leaves);
    for (uint32_t i = 0; i < 1900; i++) take(&m, i);
    assert_ok(td_index_merge(m.index, &err));
    td_index_describe(m.index, &shrunk);
    assert_true(shrunk.leaves < grown.leaves);
    assert_ok(td_index_check(m.index, &err));
    td_search search = {.k = K, .effort = {.num_leaves_to_search = 1 << 20,
                                           .reordering_num_neighbors = 1 << 20}};
    assert_true(recall_of(&m, &search) > 0.9);
    end(&m);
}

static void drift_tells_other_vectors_from_the_same(void **state)
{
    (void)state;
    td_error err = {0};
    model m = start(TD_INDEX_TREE, 1, 2000, true);
    td_index_info info;
    td_index_describe(m.index, &info);
    assert_true(info.drift == 0.0 && info.updates == 0 && info.pending == 0);
    for (uint32_t i = 0; i < 500; i++) {
        float vector[DIM];
        memcpy(vector, m.rows + (size_t)(i + 700) * DIM, sizeof vector);
        put(&m, i, vector);
    }
    td_index_describe(m.index, &info);
    assert_true(info.updates == 500 && info.pending == 500 && info.drift == 0.0);
    assert_ok(td_index_merge(m.index, &err));
    td_index_describe(m.index, &info);
    assert_true(info.updates == 500 && info.pending == 0);
    assert_true(info.drift > 0.9 && info.drift < 1.1);
    for (uint32_t i = 0; i < 1000; i++) {
        float vector[DIM];
        for (int k = 0; k < DIM; k++) vector[k] = (float)test_uniform(&m.seed, -9, 9);
        put(&m, i, vector);
    }
    assert_ok(td_index_merge(m.index, &err));
    td_index_describe(m.index, &info);
    assert_true(info.drift > 1.2);
    assert_ok(td_index_rebuild(m.index, NULL, NULL, NULL, &err));
    td_index_describe(m.index, &info);
    assert_true(info.drift == 0.0 && info.updates == 0 && info.items == 2000);
    end(&m);
}

static void calibration_stays(void **state)
{
    (void)state;
    td_error err = {0};
    model m = start(TD_INDEX_TREE, 1, 3000, true);
    td_vectors queries = some_queries(8);
    td_index_info info;
    take(&m, 5);
    assert_ok(td_index_calibrate(m.index, &queries, NULL, &err));
    take(&m, 6);
    for (int i = 0; i < 900; i++) one_update(&m);
    assert_ok(td_index_merge(m.index, &err));
    td_index_describe(m.index, &info);
    assert_int_equal(info.calibration_queries, QUERIES);
    assert_ok(td_index_rebuild(m.index, NULL, NULL, NULL, &err));
    td_index_describe(m.index, &info);
    assert_int_equal(info.calibration_queries, QUERIES);
    queries.rows = QUERIES - 1;
    assert_ok(td_index_rebuild(m.index, NULL, &queries, NULL, &err));
    td_index_describe(m.index, &info);
    assert_int_equal(info.calibration_queries, QUERIES - 1);
    assert_ok(td_index_check(m.index, &err));
    free((float *)queries.data);
    end(&m);
}

/* --- what is refused */

static void a_refused_call_changes_nothing(void **state)
{
    (void)state;
    td_error err = {0};
    for (int kind = TD_INDEX_EXACT; kind <= TD_INDEX_TREE; kind++) {
        model m = start((td_index_kind)kind, 1, 100, true);
        float rows[2 * DIM] = {1, 2, 3};
        const char *ids[2] = {"item 3", "new"};
        char longest[TD_ID_BYTES_MAX + 2];
        td_vectors two = {.data = rows, .rows = 2, .dim = DIM};
        memset(longest, 'x', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        rows[DIM + 4] = NAN;
        assert_fails(td_index_upsert(m.index, &two, ids, NULL, &err), TD_ERR_NUMERIC, "item 1");
        rows[DIM + 4] = 0;
        ids[1] = "";
        assert_fails(td_index_upsert(m.index, &two, ids, NULL, &err), TD_ERR_ARGUMENT, "empty");
        ids[1] = longest;
        assert_fails(td_index_upsert(m.index, &two, ids, NULL, &err), TD_ERR_LIMIT, "4097");
        ids[1] = "new";
        two.dim = DIM - 1;
        assert_fails(td_index_upsert(m.index, &two, ids, NULL, &err), TD_ERR_ARGUMENT, "dimensions");
        two.dim = DIM;
        two.heads = 2;
        assert_fails(td_index_upsert(m.index, &two, ids, NULL, &err), TD_ERR_ARGUMENT, "each");
        assert_fails(td_index_delete(m.index, ids, 2, &err), TD_ERR_NOT_FOUND, "\"new\"");
        td_index_options options;
        td_index_options_init(&options);
        options.kind = kind == TD_INDEX_EXACT ? TD_INDEX_TREE : TD_INDEX_EXACT;
        assert_fails(td_index_rebuild(m.index, &options, NULL, NULL, &err), TD_ERR_ARGUMENT, "kind");
        assert_same_facts(&m);
        assert_null(strstr(td_vocab_id(td_index_ids(m.index), 99), "new"));
        end(&m);
    }
    model m = start(TD_INDEX_TREE, 1, 100, false);
    float row[DIM] = {2e15f};
    const char *ids[] = {"100", "101", "0100", "-1", "1e2", "", "4294967295", "99999999999999999999"};
    td_vectors one = {.data = row, .rows = 1, .dim = DIM};
    assert_fails(td_index_upsert(m.index, &one, ids, NULL, &err), TD_ERR_NUMERIC, "a tree takes");
    row[0] = 1.0f;
    for (int i = 1; i < 8; i++) {
        assert_fails(td_index_upsert(m.index, &one, &ids[i], NULL, &err), TD_ERR_ARGUMENT, "is 100");
        assert_fails(td_index_delete(m.index, &ids[i], 1, &err), TD_ERR_NOT_FOUND, ids[i]);
    }
    assert_same_facts(&m);
    end(&m);
}

static void a_batch_may_name_an_item_twice(void **state)
{
    (void)state;
    td_error err = {0};
    for (int named = 0; named < 2; named++) {
        model m = start(TD_INDEX_EXACT, 1, 10, named);
        float rows[4 * DIM] = {0};
        for (int i = 0; i < 4; i++) rows[i * DIM] = (float)i + 1;
        const char *ids[4] = {name_of(&m, 10), name_of(&m, 3), name_of(&m, 10), name_of(&m, 11)};
        uint32_t positions[4];
        td_vectors four = {.data = rows, .rows = 4, .dim = DIM};
        assert_ok(td_index_upsert(m.index, &four, ids, positions, &err));
        assert_true(positions[0] == 10 && positions[1] == 3 && positions[2] == 10 && positions[3] == 11);
        float vector[DIM];
        td_index_vector(m.index, 10, vector);
        assert_true(vector[0] == 3.0f);
        assert_int_equal(td_index_count(m.index), 12);
        ids[1] = ids[0];
        assert_ok(td_index_delete(m.index, ids, 2, &err));
        td_index_info info;
        td_index_describe(m.index, &info);
        assert_int_equal(info.items, 11);
        assert_int_equal(info.pending, 2);
        end(&m);
    }
}

/* More rows than a log has room for come with a merge, and all at once. */
static void a_batch_may_be_of_any_size(void **state)
{
    (void)state;
    td_error err = {0};
    enum { ROWS = 5000 };
    for (int kind = TD_INDEX_EXACT; kind <= TD_INDEX_TREE; kind++) {
        model m = start((td_index_kind)kind, 2, 500, false);
        float *rows = test_clusters(4, ROWS, DIM, MIDDLES);
        static char names[ROWS][12];
        const char *ids[ROWS];
        for (uint32_t i = 0; i < ROWS; i++) {
            snprintf(names[i], sizeof names[i], "%u", 100 + i);
            ids[i] = names[i];
        }
        td_vectors items = {.data = rows, .rows = ROWS, .dim = DIM};
        take(&m, 120);
        assert_ok(td_index_upsert(m.index, &items, ids, NULL, &err));
        memcpy(m.rows + 100 * DIM, rows, ROWS * DIM * sizeof *rows);
        for (uint32_t i = 100; i < 100 + ROWS; i++) m.there[i] = true;
        m.count = 100 + ROWS;
        td_searcher *searcher;
        assert_ok(td_searcher_create(&searcher, m.index, &err));
        assert_all_requests(&m, searcher);
        assert_same_facts(&m);
        td_searcher_free(searcher);
        free(rows);
        end(&m);
    }
}

/* Arrays of the caller's may be shorter than an index that others add to. */
static void short_bitmaps_and_biases_hide_what_is_beyond(void **state)
{
    (void)state;
    td_error err = {0};
    model m = start(TD_INDEX_EXACT, 1, 200, true);
    for (int merged = 0; merged < 2; merged++) {
        crowd(&m, 30);
        if (merged == 1) assert_ok(td_index_merge(m.index, &err));
        const uint64_t covers[] = {1, 63, 64, 65, 150, 199, 200, 201, 215, m.count};
        for (int i = 0; i < 10; i++) {
            uint64_t *allow = malloc(td__words(covers[i]) * sizeof *allow);
            float *bias = calloc(covers[i], sizeof *bias);
            memset(allow, 0xFF, td__words(covers[i]) * sizeof *allow);
            bool *some = calloc(ITEMS_MAX, sizeof *some);
            for (uint64_t p = 0; p < covers[i]; p++) some[p] = true;
            uint64_t *full = bits_of(some, ITEMS_MAX);
            static found got[2], right;
            td_vectors queries = some_queries(5);
            td_search search = {.k = K, .allow = allow, .positions = covers[i]};
            test_search(m.index, &queries, &search, got[0].hits, got[0].counts);
            search.allow = NULL;
            search.bias = bias;
            test_search(m.index, &queries, &search, got[1].hits, got[1].counts);
            search = (td_search){.k = K, .allow = full};
            naive_search(&m, &queries, &search, &right);
            assert_memory_equal(&got[0], &right, sizeof right);
            assert_memory_equal(&got[1], &right, sizeof right);
            free((float *)queries.data);
            free(allow);
            free(bias);
            free(some);
            free(full);
        }
    }
    end(&m);
}

static void several_heads_and_k_per_query(void **state)
{
    (void)state;
    model m = start(TD_INDEX_EXACT, 2, 400, true);
    for (int i = 0; i < 300; i++) one_update(&m);
    static found got, right;
    uint32_t k_per_query[QUERIES];
    td_vectors queries = {.data = test_clusters(3, QUERIES * 3, DIM, MIDDLES), .rows = QUERIES, .dim = DIM,
                          .heads = 3};
    for (uint32_t q = 0; q < QUERIES; q++) k_per_query[q] = q % (K + 1);
    td_search search = {.k = K, .k_per_query = k_per_query};
    test_search(m.index, &queries, &search, got.hits, got.counts);
    naive_search(&m, &queries, &search, &right);
    assert_memory_equal(&got, &right, sizeof right);
    free((float *)queries.data);
    end(&m);
}

/* Scores that are equal stand by position, be they in the base or in the log, in whatever order. */
static void ties_stand_by_position(void **state)
{
    (void)state;
    model m = start(TD_INDEX_EXACT, 1, 300, true);
    float same[DIM] = {1, 1}, none[DIM] = {0};
    for (uint32_t i = 0; i < 300; i++) put(&m, i, i % 2 == 0 ? same : none);
    for (uint32_t i = 300; i-- > 0;) {
        if (i % 7 != 0) put(&m, i, same);
    }
    td_error err = {0};
    td_searcher *searcher;
    assert_ok(td_searcher_create(&searcher, m.index, &err));
    assert_all_requests(&m, searcher);
    td_searcher_free(searcher);
    end(&m);
}

static void metrics_want_an_index_as_built(void **state)
{
    (void)state;
    td_error err = {0};
    model m = start(TD_INDEX_EXACT, 1, 30, true);
    td_factorized_topk *metric;
    td_u32_list ks = {.count = 1, .values = {5}};
    assert_ok(td_factorized_topk_create(&metric, m.context, m.index, &ks, &err));
    td_factorized_topk_free(metric);
    take(&m, 3);
    assert_fails(td_factorized_topk_create(&metric, m.context, m.index, &ks, &err), TD_ERR_STATE,
                 "updated");
    assert_null(metric);
    end(&m);
}

/* --- the same for any number of threads */

static void same_file_for_any_threads(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    for (int kind = TD_INDEX_EXACT; kind <= TD_INDEX_TREE; kind++) {
        unsigned char *first = NULL;
        size_t first_size = 0;
        for (int t = 0; t < 3; t++) {
            td_error err = {0};
            model m = start((td_index_kind)kind, threads[t], 1500, true);
            for (int i = 0; i < 2500; i++) one_update(&m);
            const char *path = test_path("threads.tandem");
            assert_ok(td_index_save(m.index, path, &err));
            size_t size;
            unsigned char *bytes = test_read(path, &size);
            if (first == NULL) {
                first = bytes;
                first_size = size;
            } else {
                assert_int_equal(size, first_size);
                assert_memory_equal(bytes, first, size);
                free(bytes);
            }
            end(&m);
        }
        free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_indexes_are_as_built_anew),
        cmocka_unit_test(filtered_indexes_are_as_well),
        cmocka_unit_test(trees_that_search_exactly_are_as_well),
        cmocka_unit_test(a_tree_finds_what_came_since),
        cmocka_unit_test(leaves_split_and_dissolve),
        cmocka_unit_test(drift_tells_other_vectors_from_the_same),
        cmocka_unit_test(calibration_stays),
        cmocka_unit_test(a_refused_call_changes_nothing),
        cmocka_unit_test(a_batch_may_name_an_item_twice),
        cmocka_unit_test(a_batch_may_be_of_any_size),
        cmocka_unit_test(short_bitmaps_and_biases_hide_what_is_beyond),
        cmocka_unit_test(several_heads_and_k_per_query),
        cmocka_unit_test(ties_stand_by_position),
        cmocka_unit_test(metrics_want_an_index_as_built),
        cmocka_unit_test(same_file_for_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
