/* index_test.c -- an index holds what it was given, and comes back from a file the same. */
#include "support/fault.h"
#include "support/forge.h"

#include <float.h>
#include <math.h>

#include "base/random.h"
#include "index/index.h"

static td_vocab *make_ids(td_context *context, uint32_t count)
{
    td_error err = {0};
    td_vocab *ids;
    assert_ok(td_vocab_create(&ids, context, &err));
    for (uint32_t i = 0; i < count; i++) {
        char id[32];
        uint32_t position;
        int bytes = snprintf(id, sizeof id, "film-%u", i);
        assert_ok(td_vocab_add(ids, id, (size_t)bytes, &position, &err));
    }
    return ids;
}

static void assert_holds(const td_index *index, const float *vectors, uint64_t count, uint32_t dim)
{
    td_error err = {0};
    float *vector = malloc(dim * sizeof *vector);
    assert_ok(td_index_check(index, &err));
    assert_int_equal(td_index_count(index), count);
    assert_int_equal(td_index_dim(index), dim);
    for (uint64_t i = 0; i < count; i++) {
        td_index_vector(index, (uint32_t)i, vector);
        assert_memory_equal(vector, vectors + i * dim, dim * sizeof *vector);
    }
    free(vector);
}

static void holds_what_it_was_given(void **state)
{
    (void)state;
    const uint64_t counts[] = {0, 1, 47, 48, 49, 96, 100, 7000};
    td_context *context = test_context(2);
    td_error err = {0};
    for (int i = 0; i < 8; i++) {
        td_index *index;
        float *vectors = test_normal_vectors(4, counts[i], 5);
        td_vectors items = {.data = vectors, .rows = counts[i], .dim = 5};
        assert_ok(td_index_build(&index, context, &items, NULL, &err));
        assert_holds(index, vectors, counts[i], 5);
        assert_null(td_index_ids(index));
        td_index_free(index);
        free(vectors);
    }
    td_context_free(context);
}

static void a_single_score_is_that_of_the_scan(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *index;
    td_searcher *searcher;
    enum { N = 60, DIM = 33 };
    float *vectors = test_normal_vectors(5, N, DIM), *query = test_normal_vectors(6, 1, DIM);
    td_vectors items = {.data = vectors, .rows = N, .dim = DIM},
               queries = {.data = query, .rows = 1, .dim = DIM};
    td_search search = {.k = N};
    td_hit hits[N];
    uint32_t count;
    assert_ok(td_index_build(&index, context, &items, NULL, &err));
    assert_ok(td_searcher_create(&searcher, index, &err));
    assert_ok(td_searcher_search(searcher, &queries, &search, hits, &count, &err));
    assert_int_equal(count, N);
    for (int i = 0; i < N; i++) {
        float score = td__index_score(index, query, hits[i].position);
        assert_memory_equal(&score, &hits[i].score, sizeof score);
    }
    td_searcher_free(searcher);
    td_index_free(index);
    td_context_free(context);
    free(vectors);
    free(query);
}

static void refuses_what_cannot_be_searched(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *index;
    float vectors[6] = {1, 2, 3, 4, 5, 6};
    td_vectors items = {.data = vectors, .rows = 2, .dim = 3};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        vectors[4] = bad[i];
        assert_fails(td_index_build(&index, context, &items, NULL, &err), TD_ERR_NUMERIC,
                     "column 1");
        assert_fails(td_index_build(&index, context, &items, NULL, &err), TD_ERR_NUMERIC, "item 1");
        assert_null(index);
    }
    vectors[4] = -FLT_MAX;
    td_vocab *ids = make_ids(context, 3);
    assert_fails(td_index_build(&index, context, &items, ids, &err), TD_ERR_ARGUMENT,
                 "2 items but 3 ids");
    td_vocab_free(ids);
    items.heads = 2;
    assert_fails(td_index_build(&index, context, &items, NULL, &err), TD_ERR_ARGUMENT,
                 "2 vectors each");
    items = (td_vectors){.data = vectors, .rows = 2, .dim = 0};
    assert_fails(td_index_build(&index, context, &items, NULL, &err), TD_ERR_LIMIT, "0 dimensions");
    items.dim = 65537;
    assert_fails(td_index_build(&index, context, &items, NULL, &err), TD_ERR_LIMIT, "65537");
    items = (td_vectors){.data = vectors, .rows = UINT32_MAX, .dim = 1};
    assert_fails(td_index_build(&index, context, &items, NULL, &err), TD_ERR_LIMIT, "4294967294");
    td_context_free(context);
}

static void check_finds_what_is_broken(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *index;
    float vectors[6] = {1, 2, 3, 4, 5, 6};
    td_vectors items = {.data = vectors, .rows = 2, .dim = 3};
    assert_ok(td_index_build(&index, context, &items, NULL, &err));
    index->panels[0] = NAN;
    assert_fails(td_index_check(index, &err), TD_ERR_NUMERIC, "not finite");
    index->panels[0] = 7.0f;
    assert_fails(td_index_check(index, &err), TD_ERR_CORRUPT, "largest");
    index->panels[0] = 1.0f;
    index->panels[TD__PANEL + 5] = 1.0f;
    assert_fails(td_index_check(index, &err), TD_ERR_CORRUPT, "unused");
    index->panels[TD__PANEL + 5] = 0.0f;
    assert_ok(td_index_check(index, &err));
    index->ids = make_ids(context, 1);
    assert_fails(td_index_check(index, &err), TD_ERR_CORRUPT, "1 ids");
    td_index_free(index);
    td_context_free(context);
}

/* --- files */

static td_index *small_index(td_context *context)
{
    td_error err = {0};
    static const float vectors[12] = {1, -2, 0.5f, 1e-42f, -0.0f, 6, FLT_MAX, 8, 9, 10, 11, 12};
    td_vectors items = {.data = vectors, .rows = 4, .dim = 3};
    td_vocab *ids = make_ids(context, 4);
    td_index *index;
    assert_ok(td_index_build(&index, context, &items, ids, &err));
    td_vocab_free(ids); /* the index keeps its own hold */
    return index;
}

static void comes_back_from_a_file_the_same(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    td_error err = {0};
    const uint64_t counts[] = {0, 1, 48, 9000};
    for (int i = 0; i < 4; i++) {
        for (int named = 0; named < 2; named++) {
            td_index *index, *loaded;
            const char *path = test_path("index.tandem");
            float *vectors = test_normal_vectors(8, counts[i], 7);
            td_vectors items = {.data = vectors, .rows = counts[i], .dim = 7};
            td_vocab *ids = named ? make_ids(context, (uint32_t)counts[i]) : NULL;
            assert_ok(td_index_build(&index, context, &items, ids, &err));
            td_vocab_free(ids);
            assert_ok(td_index_save(index, path, &err));
            td_index_free(index);
            assert_ok(td_index_load(&loaded, context, path, &err));
            assert_holds(loaded, vectors, counts[i], 7);
            assert_true((td_index_ids(loaded) != NULL) == named);
            if (named && counts[i] > 0)
                assert_string_equal(td_vocab_id(td_index_ids(loaded), 0), "film-0");
            td_index_free(loaded);
            free(vectors);
        }
    }
    td_context_free(context);
}

static void every_damaged_byte_is_seen(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *index = small_index(context), *loaded;
    const char *path = test_path("damaged.tandem");
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
    td_context_free(context);
}

/* A file with right checksums, but of something that is no index. */
static void refuses_sound_files_of_other_things(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td_index *loaded;
    static const struct {
        const char *rest, *message;
    } cases[] = {
        {",\"tandem.kind\":\"model\",\"tandem.version\":\"1\",\"tandem.library\":\"0\",\"tandem."
         "checksums\":"
         "\"%%%%%%%%%%%%%%%%\"},\"vectors\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,"
         "16]}}",
         "model"},
        {",\"tandem.kind\":\"index\",\"tandem.version\":\"1\",\"tandem.library\":\"0\",\"tandem."
         "checksums\":"
         "\"%%%%%%%%%%%%%%%%\"},\"others\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,"
         "16]}}",
         "missing"},
        {",\"tandem.kind\":\"index\",\"tandem.version\":\"1\",\"tandem.library\":\"0\",\"tandem."
         "checksums\":"
         "\"%%%%%%%%%%%%%%%%\"},\"vectors\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,"
         "16]}}",
         "0 dimensions"},
        {",\"tandem.kind\":\"index\",\"tandem.version\":\"1\",\"tandem.library\":\"0\",\"tandem."
         "checksums\":"
         "\"%%%%%%%%%%%%%%%%\"},\"vectors\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,"
         "16]}}",
         "item 1 has nan in column 0"},
    };
    const float data[4] = {1, 2, NAN, 4};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        forged file = forge_ours(cases[i].rest, data, sizeof data);
        const char *path = test_file("other.tandem", file.bytes, file.size);
        td_status expected = i == 0 ? TD_ERR_VERSION : TD_ERR_CORRUPT;
        assert_fails(td_index_load(&loaded, context, path, &err), expected, cases[i].message);
        assert_int_equal(err.status, expected);
        assert_null(loaded);
        free(file.bytes);
    }
    assert_fails(td_index_load(&loaded, context, test_path("none"), &err), TD_ERR_NOT_FOUND,
                 "none");
    td_context_free(context);
}

static td_status save_small(void *path, td_context *context, td_error *err)
{
    td_index *index = small_index(context);
    td_status status = td_index_save(index, path, err);
    td_index_free(index);
    return status;
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("writes.tandem"));
    test_every_write(save_small, path, path);
}

static td_status save_and_load(void *path, td_context *context, td_error *err)
{
    static const float vectors[4] = {1, 2, 3, 4};
    td_vectors items = {.data = vectors, .rows = 2, .dim = 2};
    td_vocab *ids = NULL;
    td_index *index = NULL, *loaded = NULL;
    uint32_t position;
    td_status status = td_vocab_create(&ids, context, err);
    if (status == TD_OK) status = td_vocab_add(ids, "a", 1, &position, err);
    if (status == TD_OK) status = td_vocab_add(ids, "b", 1, &position, err);
    if (status == TD_OK) status = td_index_build(&index, context, &items, ids, err);
    if (status == TD_OK) status = td_index_save(index, path, err);
    if (status == TD_OK) status = td_index_load(&loaded, context, path, err);
    td_vocab_free(ids);
    td_index_free(index);
    td_index_free(loaded);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("memory.tandem"));
    test_every_allocation(save_and_load, path);
}

static void bits_are_counted(void **state)
{
    (void)state;
    uint64_t words[4], ones[257] = {0};
    for (uint64_t w = 0; w < 4; w++) words[w] = td__mix64(w + 1) | td__mix64(w + 7);
    words[1] = UINT64_MAX;
    for (uint64_t i = 0; i < 256; i++) ones[i + 1] = ones[i] + td__bit(words, i);
    for (uint64_t count = 0; count <= 256; count++) {
        assert_int_equal(td__count_bits(words, count), ones[count]); /* what lies behind is of no matter */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_it_was_given),
        cmocka_unit_test(a_single_score_is_that_of_the_scan),
        cmocka_unit_test(refuses_what_cannot_be_searched),
        cmocka_unit_test(check_finds_what_is_broken),
        cmocka_unit_test(comes_back_from_a_file_the_same),
        cmocka_unit_test(every_damaged_byte_is_seen),
        cmocka_unit_test(refuses_sound_files_of_other_things),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(bits_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
