/* update_recall_test.c -- on trained vectors, a tree whose items were replaced one by one finds as much as
 * one that is built anew, or says that it will not.
 *
 * A model is trained on the bundled data. A tree is built of every other item; then half of its items
 * leave for items that it has never seen. Users' vectors are the queries. What a tree of so few items
 * finds in a few leaves depends on the seed of its partition more than on anything that is tested here,
 * so means over some seeds are compared. And the model is trained on: vectors that grew no longer suit
 * the tree, and its gauge says so. */
#include "support/clusters.h"

enum {
    EPOCHS = 4,
    USERS = 600,
    K = 10,
    DIM = 32,
    LEAVES = 48,
    SEEDS = 8,
    EFFORTS = 4,  /* three numbers of leaves, and a target */
    STRIDE = 1009 /* of the order in which items are replaced: those of a merge are of all kinds */
};

static const uint32_t efforts[EFFORTS] = {3, 5, 8, 0};

#define TARGET 0.95f

typedef struct vectors {
    uint32_t items;
    float *before, *after; /* [items, DIM] */
    float *users;          /* [USERS, DIM] */
} vectors;

static float *items_of(const td_model *model)
{
    td_error err = {0};
    float *out = malloc((size_t)td_vocab_count(td_model_candidates(model)) * DIM * sizeof *out);
    assert_ok(td_model_encode_candidates(model, out, &err));
    return out;
}

static vectors train(td_context *context)
{
    td_error err = {0};
    td_dataset *data;
    td_model *model;
    td_model_options shape;
    td_train_options options;
    vectors v;
    uint32_t rows[USERS];
    const char *path = test_bundled("ratings.csv");
    assert_ok(td_dataset_read(&data, context, &path, 1, NULL, NULL, NULL, &err));
    td_model_options_init(&shape);
    td_train_options_init(&options);
    shape.dim = DIM;
    options.epochs = EPOCHS;
    options.batch_size = 1024;
    assert_ok(td_model_create(&model, context, data, NULL, &shape, &err));
    assert_ok(td_model_train(model, data, NULL, &options, NULL, NULL, &err));
    v.items = td_vocab_count(td_model_candidates(model));
    v.before = items_of(model);
    options.seed++;
    options.epochs = 2;
    assert_ok(td_model_train(model, data, NULL, &options, NULL, NULL, &err));
    v.after = items_of(model);
    v.users = malloc((size_t)USERS * DIM * sizeof *v.users);
    for (uint32_t i = 0; i < USERS; i++) rows[i] = i;
    assert_ok(td_model_encode_query_rows(model, rows, USERS, v.users, &err));
    td_model_free(model);
    td_dataset_free(data);
    return v;
}

/* What an index finds: in so many leaves, or (0) with what it has learned that the target takes. */
static void find(const td_index *index, const vectors *v, uint32_t leaves, td_hit *hits)
{
    uint32_t counts[USERS];
    td_vectors users = {.data = v->users, .rows = USERS, .dim = DIM};
    td_search search = {.k = K, .effort = {.target_recall = TARGET}};
    if (leaves > 0) {
        search.effort = (td_search_effort){.num_leaves_to_search = leaves,
                                           .reordering_num_neighbors = 40};
    }
    test_search(index, &users, &search, hits, counts);
}

static void find_all(const td_index *index, const vectors *v, td_hit *hits)
{
    uint32_t counts[USERS];
    td_vectors users = {.data = v->users, .rows = USERS, .dim = DIM};
    td_search search = {.k = K, .effort = {.target_recall = 1.0f}};
    test_search(index, &users, &search, hits, counts);
}

/* Every second item of a tree is replaced, one by one; `order` receives which, in turn. */
static uint32_t replace_half(td_index *index, const float *rows, uint32_t *order)
{
    td_error err = {0};
    uint32_t count = (uint32_t)td_index_count(index), replaced = 0;
    for (uint32_t step = 0, i = 0; step < count; step++, i = (i + STRIDE) % count) {
        char text[16];
        const char *id = text;
        td_vectors one = {.data = rows + (size_t)i * DIM, .rows = 1, .dim = DIM};
        if (i % 2 != 0) continue;
        snprintf(text, sizeof text, "%u", i);
        assert_ok(td_index_upsert(index, &one, &id, NULL, &err));
        order[replaced++] = i;
    }
    return replaced;
}

/* Items in another order: those of even numbers first. */
static void part(vectors *v)
{
    float *rows = malloc((size_t)v->items * DIM * sizeof *rows);
    uint32_t half = (v->items + 1) / 2;
    for (uint32_t i = 0; i < v->items; i++) {
        uint32_t to = i % 2 == 0 ? i / 2 : half + i / 2;
        memcpy(rows + (size_t)to * DIM, v->before + (size_t)i * DIM, DIM * sizeof *rows);
    }
    free(v->before);
    v->before = rows;
}

/* Add the recall for each effort. */
static void measure(const td_index *index, const vectors *v, double *recall)
{
    size_t size = (size_t)USERS * K;
    td_hit *hits = malloc(2 * size * sizeof *hits), *truth = hits + size;
    find_all(index, v, truth);
    for (int i = 0; i < EFFORTS; i++) {
        uint32_t found = 0;
        find(index, v, efforts[i], hits);
        for (size_t q = 0; q < USERS; q++) found += test_common(hits + q * K, truth + q * K, K);
        recall[i] += (double)found / (double)size / SEEDS;
    }
    free(hits);
}

static void end(td_context *context, td_index *index, vectors *v)
{
    td_index_free(index);
    td_context_free(context);
    free(v->before);
    free(v->after);
    free(v->users);
}

static td_index *build(td_context *context, const vectors *v, const float *rows, uint64_t seed)
{
    td_error err = {0};
    td_index *index;
    td_index_options options;
    td_vectors items = {.data = rows, .rows = v->items / 2, .dim = DIM};
    td_vectors users = {.data = v->users, .rows = USERS, .dim = DIM};
    td_index_options_init(&options);
    options.kind = TD_INDEX_TREE;
    options.num_leaves = LEAVES;
    options.seed = seed;
    assert_ok(td_index_build_with(&index, context, &items, NULL, &options, NULL, &err));
    assert_ok(td_index_calibrate(index, &users, NULL, &err));
    return index;
}

/* One tree: half replaced with some rows pending, then merged, then rebuilt. */
static void replace_and_measure(td_index *index, const vectors *v, uint64_t seed,
                                double recall[3][EFFORTS])
{
    td_error err = {0};
    td_index_options options;
    td_index_info info;
    td_vectors users = {.data = v->users, .rows = USERS, .dim = DIM};
    uint32_t *order = malloc(v->items * sizeof *order);
    replace_half(index, v->before + (size_t)(v->items / 2) * DIM, order);
    td_index_describe(index, &info);
    assert_true(info.pending > 0);
    measure(index, v, recall[0]);
    assert_ok(td_index_merge(index, &err));
    measure(index, v, recall[1]);
    td_index_describe(index, &info);
    assert_true(info.drift > 0.8 && info.drift < 1.2);
    td_index_options_init(&options);
    options.num_leaves = LEAVES;
    options.seed = seed;
    assert_ok(td_index_rebuild(index, &options, &users, NULL, &err));
    measure(index, v, recall[2]);
    free(order);
}

static void half_replaced_finds_as_much_as_built_anew(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    vectors v = train(context);
    double recall[3][EFFORTS] = {{0}};
    part(&v);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        td_index *index = build(context, &v, v.before, seed);
        replace_and_measure(index, &v, seed, recall);
        td_index_free(index);
    }
    for (int i = 0; i < EFFORTS; i++) {
        print_message("%u leaves: recall with updates pending %.4f, merged %.4f, rebuilt %.4f\n",
                      efforts[i], recall[0][i], recall[1][i], recall[2][i]);
    }
    for (int i = 0; i < EFFORTS; i++) {
        assert_true(recall[2][i] > 0.8 && recall[2][i] < 0.9999);
        assert_true(recall[0][i] > recall[2][i] - 0.01);
        assert_true(recall[1][i] > recall[2][i] - 0.01);
    }
    end(context, NULL, &v);
}

static bool is_found(uint32_t position, const td_hit *hits)
{
    for (int i = 0; i < K; i++) {
        if (hits[i].position == position) return true;
    }
    return false;
}

static void what_is_pending_is_always_found(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    vectors v = train(context);
    part(&v);
    td_index *index = build(context, &v, v.before, 1);
    td_hit *hits = malloc(2 * (size_t)USERS * K * sizeof *hits), *truth = hits + (size_t)USERS * K;
    uint32_t *order = malloc(v.items * sizeof *order), pending_hits = 0;
    bool *pending = calloc(v.items, sizeof *pending);
    uint32_t replaced = replace_half(index, v.before + (size_t)(v.items / 2) * DIM, order);
    td_index_info info;
    td_index_describe(index, &info);
    for (uint64_t i = 0; i < info.pending; i++) pending[order[replaced - 1 - i]] = true;
    find_all(index, &v, truth);
    find(index, &v, 1, hits);
    for (size_t i = 0; i < (size_t)USERS * K; i++) {
        if (!pending[truth[i].position]) continue;
        pending_hits++;
        assert_true(is_found(truth[i].position, hits + i / K * K));
    }
    print_message("%u of the true best are pending\n", pending_hits);
    assert_true(pending_hits > 100);
    free(pending);
    free(order);
    free(hits);
    end(context, index, &v);
}

static void the_gauge_tells_that_vectors_grew(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(2);
    vectors v = train(context);
    td_vectors items = {.data = v.before, .rows = v.items, .dim = DIM};
    td_index *index = test_tree(context, &items, LEAVES);
    td_index_info info;
    uint32_t *order = malloc(v.items * sizeof *order);
    replace_half(index, v.after, order);
    free(order);
    assert_ok(td_index_merge(index, &err));
    td_index_describe(index, &info);
    assert_true(info.drift > 1.2);
    end(context, index, &v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_replaced_finds_as_much_as_built_anew),
        cmocka_unit_test(what_is_pending_is_always_found),
        cmocka_unit_test(the_gauge_tells_that_vectors_grew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
