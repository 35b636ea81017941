/* update_file_test.c -- an updated index comes back from a file, no damaged one is believed, and a failed
 * allocation or write changes nothing. */
#include "support/clusters.h"
#include "support/fault.h"

#include <math.h>

#include "index/tree.h"
#include "index/update.h"

enum { ITEMS = 200, DIM = 6, QUERIES = 10, K = 8 };

static const char *const some_ids[] = {"7", "12", "100", "200", "201"};

enum { IDS = sizeof some_ids / sizeof some_ids[0], DELETED = 2 }; /* the first two are deleted */

static td_index *plain_index(td_context *context, td_index_kind kind, uint64_t count)
{
    td_error err = {0};
    td_index *index;
    float *rows = test_clusters(1, count, DIM, 9);
    td_vectors items = {.data = rows, .rows = count, .dim = DIM};
    td_index_options options;
    td_index_options_init(&options);
    options.kind = kind;
    options.num_leaves = 4;
    assert_ok(td_index_build_with(&index, context, &items, NULL, &options, NULL, &err));
    free(rows);
    return index;
}

static td_status update(td_index *index, td_error *err)
{
    float *rows = test_clusters(2, IDS, DIM, 9);
    td_vectors items = {.data = rows, .rows = IDS, .dim = DIM};
    td_status status = td_index_upsert(index, &items, some_ids, NULL, err);
    if (status == TD_OK) status = td_index_delete(index, some_ids, DELETED, err);
    free(rows);
    return status;
}

static td_index *updated_index(td_context *context, td_index_kind kind, bool merged)
{
    td_error err = {0};
    td_index *index = plain_index(context, kind, ITEMS);
    assert_ok(update(index, &err));
    if (merged) assert_ok(td_index_merge(index, &err));
    return index;
}

typedef struct found {
    td_hit hits[QUERIES * K];
    uint32_t counts[QUERIES];
    uint64_t positions;
    td_index_info info;
} found;

static found look(const td_index *index)
{
    found out;
    memset(&out, 0, sizeof out);
    float *users = test_clusters(3, QUERIES, DIM, 9);
    td_vectors queries = {.data = users, .rows = QUERIES, .dim = DIM};
    td_search search = {.k = K, .effort = {.target_recall = 1.0f}};
    test_search(index, &queries, &search, out.hits, out.counts);
    out.positions = td_index_count(index);
    td_index_info info;
    td_index_describe(index, &info);
    out.info.items = info.items;
    out.info.updates = info.updates;
    free(users);
    return out;
}

static void assert_same(const found *a, const found *b)
{
    assert_memory_equal(a->hits, b->hits, sizeof a->hits);
    assert_memory_equal(a->counts, b->counts, sizeof a->counts);
    assert_true(a->positions == b->positions && a->info.items == b->info.items);
    assert_true(a->info.updates == b->info.updates);
}

/* --- files */

static void comes_back_from_a_file_the_same(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    const char *path = test_path("updated.tandem");
    for (int kind = TD_INDEX_EXACT; kind <= TD_INDEX_TREE; kind++) {
        for (int merged = 0; merged < 2; merged++) {
            td_index *index = updated_index(context, (td_index_kind)kind, merged == 1), *loaded;
            found before = look(index), after;
            assert_ok(td_index_save(index, path, &err));
            assert_ok(td_index_load(&loaded, context, path, &err));
            assert_ok(td_index_check(loaded, &err));
            after = look(loaded);
            assert_same(&before, &after);
            assert_int_equal(after.info.items, ITEMS + 2 - DELETED);
            assert_fails(td_index_delete(loaded, some_ids, 1, &err), TD_ERR_NOT_FOUND, "\"7\"");
            assert_ok(update(loaded, &err)); /* and goes on */
            assert_ok(td_index_merge(loaded, &err));
            assert_ok(td_index_check(loaded, &err));
            td_index_free(index);
            td_index_free(loaded);
        }
    }
    td_context_free(context);
}

static void everything_may_be_deleted_and_come_back(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const char *path = test_path("empty.tandem");
    for (int kind = TD_INDEX_EXACT; kind <= TD_INDEX_TREE; kind++) {
        td_index *index = plain_index(context, (td_index_kind)kind, 70), *loaded;
        const char *ids[70];
        char names[70][4];
        for (int i = 0; i < 70; i++) {
            snprintf(names[i], sizeof names[i], "%d", i);
            ids[i] = names[i];
        }
        assert_ok(td_index_delete(index, ids, 70, &err));
        assert_ok(td_index_save(index, path, &err));
        assert_ok(td_index_load(&loaded, context, path, &err));
        found now = look(loaded);
        assert_true(now.counts[0] == 0 && now.hits[0].position == TD_NONE && now.positions == 70);
        float *rows = test_clusters(1, 70, DIM, 9);
        td_vectors items = {.data = rows, .rows = 70, .dim = DIM};
        assert_ok(td_index_upsert(loaded, &items, ids, NULL, &err));
        assert_ok(td_index_merge(loaded, &err));
        assert_ok(td_index_check(loaded, &err));
        td_index *fresh = plain_index(context, (td_index_kind)kind, 70);
        found right = look(fresh), got = look(loaded);
        assert_memory_equal(got.hits, right.hits, sizeof got.hits);
        free(rows);
        td_index_free(fresh);
        td_index_free(loaded);
        td_index_free(index);
    }
    td_context_free(context);
}

/* A file without deletions is as old readers know it; with some it is not for them. */
static void versions_say_whether_items_were_deleted(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td__container *file;
    const char *path = test_path("version.tandem");
    td_index *index = plain_index(context, TD_INDEX_EXACT, ITEMS);
    assert_ok(td_index_save(index, path, &err));
    assert_ok(td__container_open(&file, context, path, "index", 1, &err));
    assert_null(td__container_find(file, "live"));
    assert_null(td__container_get(file, "index.updates"));
    td__container_close(file);
    assert_ok(update(index, &err));
    assert_ok(td_index_save(index, path, &err));
    assert_fails(td__container_open(&file, context, path, "index", 1, &err), TD_ERR_VERSION, "version");
    td_index_free(index);
    td_context_free(context);
}

static void every_damaged_byte_is_seen(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    for (int kind = TD_INDEX_EXACT; kind <= TD_INDEX_TREE; kind++) {
        td_index *index = plain_index(context, (td_index_kind)kind, 20), *loaded;
        const char *path = test_path("damaged.tandem");
        assert_ok(td_index_delete(index, some_ids, 2, &err));
        assert_ok(td_index_save(index, path, &err));
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
        td_index_free(index);
    }
    td_context_free(context);
}

/* Right checksums, wrong contents: break the merged base in memory, save it, read it. */
#define assert_refused(kind, breaking, part)                                                       \
    do {                                                                                           \
        td_index *broken_ = updated_index(context, (kind), true), *loaded_;                        \
        td_index *base = td__state_now(broken_)->base;                                             \
        breaking;                                                                                  \
        assert_ok(td_index_save(broken_, path, &err));                                             \
        assert_fails(td_index_load(&loaded_, context, path, &err), TD_ERR_CORRUPT, (part));        \
        assert_null(loaded_);                                                                      \
        td_index_free(broken_);                                                                    \
    } while (0)

static void refuses_marks_that_would_lead_astray(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    const char *path = test_path("astray.tandem");
    assert_refused(TD_INDEX_EXACT, base->live[3] |= UINT64_C(1) << 63, "behind the last");
    assert_refused(TD_INDEX_EXACT, base->drift.built = (double)NAN, "record of updates");
    assert_refused(TD_INDEX_EXACT, base->drift.sum = -1.0, "record of updates");
    assert_refused(TD_INDEX_EXACT, base->drift.updates = UINT64_MAX, "record of updates");
    assert_refused(TD_INDEX_TREE, td__set_bit(base->live, 7), "200 items");
    assert_refused(TD_INDEX_TREE, td__clear_bit(base->live, 8), "not there or twice");
    td_context_free(context);
}

/* --- failing memory and writes */

enum { UPSERT, DELETE, MERGE, REBUILD, SAVE, WHATS };

static td_status run(td_index *index, int what, td_error *err)
{
    static const char *const ids[] = {"9", "202", "203"};
    float rows[3 * DIM] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    td_vectors three = {.data = rows, .rows = 3, .dim = DIM};
    switch (what) {
    case UPSERT: return td_index_upsert(index, &three, ids, NULL, err);
    case DELETE: return td_index_delete(index, ids, 1, err);
    case MERGE: return td_index_merge(index, err);
    case REBUILD: return td_index_rebuild(index, NULL, NULL, NULL, err);
    default: return td_index_save(index, test_path("memory.tandem"), err);
    }
}

/* Let the first, second, ... allocation of a call fail until none does; after each the index is as it was. */
static void fail_each_allocation(td_index_kind kind, int what, bool updated)
{
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 1);
    td_error err = {0};
    td_index *index = updated ? updated_index(context, kind, false) : plain_index(context, kind, ITEMS + 2);
    found before = look(index);
    for (int64_t n = 0;; n++) {
        memory.fail_at = n;
        td_status status = run(index, what, &err);
        memory.fail_at = -1;
        if (status == TD_OK) break;
        assert_int_equal(status, TD_ERR_MEMORY);
        found after = look(index);
        assert_same(&before, &after);
        assert_ok(td_index_check(index, &err));
        assert_true(n < 1000);
    }
    assert_ok(td_index_check(index, &err));
    td_index_free(index);
    td_context_free(context);
    assert_int_equal(memory.blocks, 0);
}

static void a_failed_allocation_changes_nothing(void **state)
{
    (void)state;
    for (int kind = TD_INDEX_EXACT; kind <= TD_INDEX_TREE; kind++) {
        for (int what = 0; what < WHATS; what++) {
            fail_each_allocation((td_index_kind)kind, what, true);
            fail_each_allocation((td_index_kind)kind, what, false);
        }
    }
}

/* All of a life: ids that grow, a searcher that follows. */
static td_status whole_life(void *state, td_context *context, td_error *err)
{
    td_index_kind kind = *(const td_index_kind *)state;
    td_index *index = NULL;
    td_vocab *ids = NULL;
    td_searcher *searcher = NULL;
    td_hit hits[3];
    uint32_t counts[1], position;
    float rows[4 * DIM] = {1, 2, 3, 4, 5};
    td_vectors items = {.data = rows, .rows = 4, .dim = DIM}, one = {.data = rows, .rows = 1, .dim = DIM};
    td_search search = {.k = 3};
    td_index_options options;
    td_index_options_init(&options);
    options.kind = kind;
    td_status status = td_vocab_create(&ids, context, err);
    for (int i = 0; i < 4 && status == TD_OK; i++) {
        status = td_vocab_add(ids, &"abcd"[i], 1, &position, err);
    }
    if (status == TD_OK) status = td_index_build_with(&index, context, &items, ids, &options, NULL, err);
    if (status == TD_OK) status = td_searcher_create(&searcher, index, err);
    for (int i = 0; i < 3 && status == TD_OK; i++) {
        const char *id = (const char *const[]){"new", "a", "other"}[i];
        status = td_index_upsert(index, &one, &id, NULL, err);
        if (status == TD_OK) status = td_searcher_search(searcher, &one, &search, hits, counts, err);
        if (status == TD_OK && i == 1) status = td_index_delete(index, &id, 1, err);
        if (status == TD_OK && i == 1) status = td_index_merge(index, err);
        if (status == TD_OK) status = td_searcher_search(searcher, &one, &search, hits, counts, err);
    }
    if (status == TD_OK) status = td_index_rebuild(index, NULL, NULL, NULL, err);
    if (status == TD_OK) status = td_searcher_search(searcher, &one, &search, hits, counts, err);
    td_searcher_free(searcher);
    td_index_free(index);
    td_vocab_free(ids);
    return status;
}

static void nothing_leaks_when_memory_fails(void **state)
{
    (void)state;
    td_index_kind kinds[] = {TD_INDEX_EXACT, TD_INDEX_TREE};
    for (int i = 0; i < 2; i++) test_every_allocation(whole_life, &kinds[i]);
}

static td_status save_updated(void *path, td_context *context, td_error *err)
{
    td_index *index = updated_index(context, TD_INDEX_TREE, false);
    td_status status = td_index_save(index, path, err);
    td_index_free(index);
    return status;
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("writes.tandem"));
    test_every_write(save_updated, path, path);
}

static td_status load_updated(void *path, td_context *context, td_error *err)
{
    td_index *loaded;
    td_status status = td_index_load(&loaded, context, path, err);
    td_index_free(loaded);
    return status;
}

static void loading_survives_every_failed_allocation(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("load.tandem"));
    assert_ok(save_updated(path, context, &err));
    td_context_free(context);
    test_every_allocation(load_updated, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_from_a_file_the_same),
        cmocka_unit_test(everything_may_be_deleted_and_come_back),
        cmocka_unit_test(versions_say_whether_items_were_deleted),
        cmocka_unit_test(every_damaged_byte_is_seen),
        cmocka_unit_test(refuses_marks_that_would_lead_astray),
        cmocka_unit_test(a_failed_allocation_changes_nothing),
        cmocka_unit_test(nothing_leaks_when_memory_fails),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(loading_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
