/* distance_test.c -- every measure of nearness, in every kind of index, against float64. */
#include "support/clusters.h"

#include <math.h>

#include "base/container.h"
#include "index/index.h"
#include "index/scan.h"

enum { ITEMS = 3000, DIM = 10, QUERIES = 12, K = 15, LEAVES = 12, SHAPES = 3, MEASURES = 3 };

/* How an index is made. */
typedef struct shape {
    td_index_kind kind;
    td_prefilter prefilter;
} shape;

static const shape shapes[SHAPES] = {
    {TD_INDEX_EXACT, TD_PREFILTER_NONE},
    {TD_INDEX_EXACT, TD_PREFILTER_INT8},
    {TD_INDEX_TREE, TD_PREFILTER_AUTO},
};

typedef struct world {
    td_context *context;
    float *items; /* [ITEMS, DIM] */
    float *users; /* [QUERIES, DIM] */
} world;

static world start(uint32_t threads)
{
    world w = {.context = test_context(threads)};
    w.items = test_clusters(1, ITEMS, DIM, 20);
    w.users = test_clusters(2, QUERIES, DIM, 20);
    memset(w.items + 7 * DIM, 0, DIM * sizeof *w.items); /* zeros among both */
    memset(w.users + 3 * DIM, 0, DIM * sizeof *w.users);
    return w;
}

static void end(world *w)
{
    td_context_free(w->context);
    free(w->items);
    free(w->users);
}

static td_index_options options_of(shape s, td_distance_measure measure)
{
    td_index_options options;
    td_index_options_init(&options);
    options.kind = s.kind;
    options.prefilter = s.prefilter;
    options.num_leaves = LEAVES;
    options.distance_measure = measure;
    return options;
}

static td_index *build(const world *w, shape s, td_distance_measure measure, uint32_t count)
{
    td_error err = {0};
    td_index *index;
    td_index_options options = options_of(s, measure);
    td_vectors items = {.data = w->items, .rows = count, .dim = DIM};
    assert_ok(td_index_build_with(&index, w->context, &items, NULL, &options, NULL, &err));
    assert_ok(td_index_check(index, &err));
    assert_int_equal(td_index_dim(index), DIM);
    return index;
}

/* The definitions, in double precision. */
static double score_of(td_distance_measure measure, const float *q, const float *x)
{
    double dot = 0.0, qq = 0.0, xx = 0.0, gap = 0.0;
    for (int k = 0; k < DIM; k++) {
        dot += (double)q[k] * (double)x[k];
        qq += (double)q[k] * (double)q[k];
        xx += (double)x[k] * (double)x[k];
        gap += ((double)q[k] - (double)x[k]) * ((double)q[k] - (double)x[k]);
    }
    if (measure == TD_DOT_PRODUCT) return dot;
    if (measure == TD_SQUARED_L2) return -gap;
    return qq > 0.0 && xx > 0.0 ? dot / sqrt(qq * xx) : 0.0;
}

static bool is_wanted(const td_search *search, uint32_t query, uint32_t i)
{
    if (search->allow != NULL && !td__bit(search->allow, i)) return false;
    if (search->exclude_offsets == NULL) return true;
    for (uint64_t e = search->exclude_offsets[query]; e < search->exclude_offsets[query + 1]; e++) {
        if (search->exclude[e] == i) return false;
    }
    return true;
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Hits [k] of one query with `heads` vectors are the best of the first `count` items. */
static void check_hits(const world *w, td_distance_measure measure, const td_search *search,
                       uint32_t query, uint32_t heads, uint32_t count, const td_hit *hits)
{
    static double scores[ITEMS], sorted[ITEMS];
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < count; i++) {
        scores[i] = -(double)INFINITY;
        for (uint32_t h = 0; h < heads; h++) {
            const float *user = w->users + (size_t)(query * heads + h) * DIM;
            scores[i] = fmax(scores[i], score_of(measure, user, w->items + (size_t)i * DIM));
        }
        if (search->bias != NULL) scores[i] += (double)search->bias[i];
        if (is_wanted(search, query, i)) sorted[wanted++] = scores[i];
    }
    qsort(sorted, wanted, sizeof *sorted, descending);
    for (uint32_t i = 0; i < search->k; i++) {
        assert_true(hits[i].position < count && is_wanted(search, query, hits[i].position));
        assert_true(fabs((double)hits[i].score - scores[hits[i].position]) < 2e-4);
        assert_true(fabs((double)hits[i].score - sorted[i]) < 2e-4);
        if (i > 0) assert_true(hits[i].score <= hits[i - 1].score);
    }
}

static void search_and_check(const world *w, const td_index *index, td_distance_measure measure,
                             td_search search, uint32_t heads, uint32_t count)
{
    td_vectors users = {.data = w->users, .rows = QUERIES / heads, .dim = DIM, .heads = heads};
    td_hit hits[QUERIES * K];
    uint32_t counts[QUERIES];
    search.k = K;
    if (search.effort.num_leaves_to_search == 0) search.effort.target_recall = 1.0f;
    test_search(index, &users, &search, hits, counts);
    for (uint32_t q = 0; q < users.rows; q++) {
        assert_int_equal(counts[q], K);
        check_hits(w, measure, &search, q, heads, count, hits + (size_t)q * K);
    }
}

static const td_search_effort everything = {.num_leaves_to_search = LEAVES,
                                            .reordering_num_neighbors = ITEMS};

static void the_best_by_every_measure(void **state)
{
    (void)state;
    world w = start(2);
    for (int m = 0; m < MEASURES; m++) {
        for (int s = 0; s < SHAPES; s++) {
            td_index *index = build(&w, shapes[s], (td_distance_measure)m, ITEMS);
            td_index_info info;
            td_index_describe(index, &info);
            assert_int_equal(info.distance_measure, m);
            search_and_check(&w, index, (td_distance_measure)m, (td_search){0}, 1, ITEMS);
            search_and_check(&w, index, (td_distance_measure)m, (td_search){.effort = everything},
                             1, ITEMS);
            search_and_check(&w, index, (td_distance_measure)m, (td_search){0}, 3, ITEMS);
            search_and_check(&w, index, (td_distance_measure)m, (td_search){.effort = everything},
                             3, ITEMS);
            td_index_free(index);
        }
    }
    end(&w);
}

static void filters_exclusions_and_biases(void **state)
{
    (void)state;
    world w = start(2);
    uint64_t allow[ITEMS / 64 + 1] = {0}, offsets[QUERIES + 1];
    uint32_t exclude[QUERIES * 40];
    float *bias = test_normal_vectors(5, ITEMS, 1);
    for (uint32_t i = 0; i < ITEMS; i += 2) td__set_bit(allow, i);
    for (uint32_t i = 0; i < QUERIES * 40; i++) exclude[i] = (i * 131) % ITEMS;
    for (uint32_t q = 0; q <= QUERIES; q++) offsets[q] = q * UINT64_C(40);
    const td_search requests[] = {
        {.allow = allow},
        {.exclude_offsets = offsets, .exclude = exclude},
        {.bias = bias},
        {.allow = allow, .exclude_offsets = offsets, .exclude = exclude, .bias = bias},
    };
    for (int m = 0; m < MEASURES; m++) {
        for (int s = 0; s < SHAPES; s++) {
            td_index *index = build(&w, shapes[s], (td_distance_measure)m, ITEMS);
            for (int r = 0; r < 4; r++) {
                td_search all = requests[r];
                search_and_check(&w, index, (td_distance_measure)m, requests[r], 1, ITEMS);
                all.effort = everything;
                search_and_check(&w, index, (td_distance_measure)m, all, 1, ITEMS);
            }
            td_index_free(index);
        }
    }
    free(bias);
    end(&w);
}

/* --- updates */

static void upsert(td_index *index, const float *rows, uint32_t first, uint32_t count)
{
    td_error err = {0};
    for (uint32_t i = first; i < first + count; i++) {
        char text[16];
        const char *id = text;
        td_vectors one = {.data = rows + (size_t)i * DIM, .rows = 1, .dim = DIM};
        snprintf(text, sizeof text, "%u", i);
        assert_ok(td_index_upsert(index, &one, &id, NULL, &err));
    }
}

/* Exactly, by two indexes: the same hits and bits. */
static void assert_same(const world *w, const td_index *a, const td_index *b)
{
    td_vectors users = {.data = w->users, .rows = QUERIES, .dim = DIM};
    td_search search = {.k = K, .effort = {.target_recall = 1.0f}};
    td_hit hits[2][QUERIES * K];
    uint32_t counts[QUERIES];
    test_search(a, &users, &search, hits[0], counts);
    test_search(b, &users, &search, hits[1], counts);
    assert_memory_equal(hits[0], hits[1], sizeof hits[0]);
}

static void updated_is_as_built_anew(void **state)
{
    (void)state;
    world w = start(2);
    for (int m = 0; m < MEASURES; m++) {
        for (int s = 0; s < SHAPES; s++) {
            td_error err = {0};
            td_distance_measure measure = (td_distance_measure)m;
            td_index *index = build(&w, shapes[s], measure, ITEMS / 3);
            td_index *anew = build(&w, shapes[s], measure, ITEMS);
            upsert(index, w.items, ITEMS / 3, ITEMS / 3);
            search_and_check(&w, index, measure, (td_search){.effort = everything}, 1,
                             ITEMS / 3 * 2);
            upsert(index, w.items, ITEMS / 3 * 2, ITEMS / 3);
            assert_same(&w, index, anew);
            assert_ok(td_index_merge(index, &err));
            assert_same(&w, index, anew);
            search_and_check(&w, index, measure, (td_search){.effort = everything}, 1, ITEMS);
            assert_ok(td_index_rebuild(index, NULL, NULL, NULL, &err));
            assert_ok(td_index_check(index, &err));
            assert_same(&w, index, anew);
            td_index_free(index);
            td_index_free(anew);
        }
    }
    end(&w);
}

static void vectors_come_back(void **state)
{
    (void)state;
    world w = start(1);
    for (int m = 0; m < MEASURES; m++) {
        for (int s = 0; s < SHAPES; s++) {
            td_index *index = build(&w, shapes[s], (td_distance_measure)m, 100);
            upsert(index, w.items, 50, 51);
            for (uint32_t i = 0; i < 101; i++) {
                float vector[DIM + 1];
                const float *item = w.items + (size_t)i * DIM;
                double length = sqrt(score_of(TD_DOT_PRODUCT, item, item));
                if (m != TD_COSINE || length <= 0.0) length = 1.0;
                vector[DIM] = 77.0f;
                td_index_vector(index, i, vector);
                for (int k = 0; k < DIM; k++) {
                    assert_true(fabs((double)vector[k] - (double)item[k] / length) < 1e-6);
                }
                assert_true(vector[DIM] == 77.0f);
            }
            td_index_free(index);
        }
    }
    end(&w);
}

/* --- files */

static void files_keep_the_measure(void **state)
{
    (void)state;
    world w = start(2);
    const char *path = test_path("measure.tandem");
    for (int m = 0; m < MEASURES; m++) {
        for (int s = 0; s < SHAPES; s++) {
            td_error err = {0};
            td_index *index = build(&w, shapes[s], (td_distance_measure)m, ITEMS / 2), *loaded;
            const char *gone = "4";
            upsert(index, w.items, ITEMS / 2, ITEMS / 2);
            assert_ok(td_index_delete(index, &gone, 1, &err));
            assert_ok(td_index_save(index, path, &err));
            assert_ok(td_index_load(&loaded, w.context, path, &err));
            assert_ok(td_index_check(loaded, &err));
            assert_int_equal(td_index_dim(loaded), DIM);
            assert_same(&w, index, loaded);
            upsert(loaded, w.items, 4, 1);
            search_and_check(&w, loaded, (td_distance_measure)m, (td_search){.effort = everything},
                             1, ITEMS);
            td_index_free(loaded);
            td_index_free(index);
        }
    }
    end(&w);
}

static void every_damaged_byte_is_seen(void **state)
{
    (void)state;
    world w = start(1);
    td_error err = {0};
    td_index *index = build(&w, shapes[0], TD_SQUARED_L2, 20), *loaded;
    const char *path = test_path("damaged.tandem");
    size_t size;
    assert_ok(td_index_save(index, path, &err));
    unsigned char *bytes = test_read(path, &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        td_status status = td_index_load(&loaded, w.context,
                                         test_file("damaged.tandem", bytes, size), &err);
        assert_true(status == TD_ERR_CORRUPT || status == TD_ERR_VERSION);
        assert_null(loaded);
        bytes[i] ^= 0x10;
    }
    free(bytes);
    td_index_free(index);
    end(&w);
}

/* Right checksums around a measure and rows that do not fit. */
static void assert_refused(const world *w, const char *measure, const float *rows, uint32_t dim,
                           const char *part)
{
    td_error err = {0};
    td__container_writer *writer;
    td_index *loaded;
    const char *path = test_path("wrong.tandem");
    assert_ok(td__container_writer_create(&writer, w->context, "index", 3, &err));
    assert_ok(td__container_set(writer, "index.kind", "exact", &err));
    assert_ok(td__container_set(writer, "index.distance", measure, &err));
    assert_ok(td__container_add(writer, "vectors", TD__F32, 1, dim, rows, &err));
    assert_ok(td__container_commit(writer, path, &err));
    td__container_writer_free(writer);
    assert_int_equal(td_index_load(&loaded, w->context, path, &err), TD_ERR_CORRUPT);
    assert_non_null(strstr(err.message, part));
    assert_null(loaded);
}

static void wrong_contents_are_refused(void **state)
{
    (void)state;
    world w = start(1);
    const float row[4] = {3, 4, 25, 1};
    const char *l2 = "{\"measure\":\"squared_l2\",\"square\":0,\"one\":0}";
    assert_refused(&w, "{\"measure\":\"hamming\",\"square\":0,\"one\":0}", row, 4, "not known");
    assert_refused(&w, "{\"measure\":\"dot_product\",\"square\":0,\"one\":0}", row, 4,
                   "not allowed");
    assert_refused(&w, "{\"measure\":\"squared_l2\",\"square\":1000,\"one\":0}", row, 4,
                   "not allowed");
    assert_refused(&w, "{\"measure\":\"squared_l2\"}", row, 4, "not allowed");
    assert_refused(&w, "squared_l2", row, 4, "not allowed");
    assert_refused(&w, l2, row, 2, "too narrow");
    assert_refused(&w, l2, row, 3, "item 0 is not in the form");
    assert_refused(&w, "{\"measure\":\"squared_l2\",\"square\":1,\"one\":0}", row, 4, "item 0");
    assert_refused(&w, "{\"measure\":\"squared_l2\",\"square\":0,\"one\":1}", row, 4, "item 0");
    assert_refused(&w, "{\"measure\":\"cosine\",\"square\":0,\"one\":0}", row, 2, "by cosine");
    end(&w);
}

/* --- edges */

static void lengths_of_any_size(void **state)
{
    (void)state;
    world w = start(1);
    const float sizes[] = {1e-15f, 1e-6f, 1e3f, 1e12f};
    for (int z = 0; z < 4; z++) {
        for (int s = 0; s < SHAPES; s++) {
            td_index_options options = options_of(shapes[s], TD_SQUARED_L2);
            td_error err = {0};
            float rows[50 * 2], query[2];
            td_index *index;
            td_hit hits[3];
            uint32_t count;
            for (int i = 0; i < 50; i++) {
                rows[2 * i] = sizes[z] * (float)i;
                rows[2 * i + 1] = sizes[z];
            }
            options.num_leaves = 2;
            td_vectors items = {.data = rows, .rows = 50, .dim = 2};
            assert_ok(td_index_build_with(&index, w.context, &items, NULL, &options, NULL, &err));
            memcpy(query, rows + 2 * 31, sizeof query);
            td_vectors one = {.data = query, .rows = 1, .dim = 2};
            td_search search = {.k = 3};
            test_search(index, &one, &search, hits, &count);
            assert_int_equal(hits[0].position, 31);
            double square = (double)sizes[z] * (double)sizes[z];
            assert_true(fabs((double)hits[0].score) <= 1e-3 * square);
            assert_true(fabs((double)hits[1].score + square) <= 1e-3 * square);
            td_index_free(index);
        }
    }
    end(&w);
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    world w = start(1);
    td_error err = {0};
    td_index *index;
    float far[2] = {3e38f, 3e38f}, near[2] = {1, 2};
    td_index_options options = options_of(shapes[0], TD_SQUARED_L2);
    td_vectors items = {.data = near, .rows = 1, .dim = 2},
               query = {.data = far, .rows = 1, .dim = 2};
    td_search search = {.k = 1};
    td_searcher *searcher;
    td_hit hit;
    uint32_t count;
    const char *id = "1";
    assert_ok(td_index_build_with(&index, w.context, &items, NULL, &options, NULL, &err));
    assert_ok(td_searcher_create(&searcher, index, &err));
    assert_int_equal(td_searcher_search(searcher, &query, &search, &hit, &count, &err),
                     TD_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "too long"));
    assert_int_equal(td_index_upsert(index, &query, &id, NULL, &err), TD_ERR_NUMERIC);
    query.dim = 4; /* what it has inside is nobody's business */
    assert_int_equal(td_searcher_search(searcher, &query, &search, &hit, &count, &err),
                     TD_ERR_ARGUMENT);
    td_searcher_free(searcher);
    td_index_free(index);
    end(&w);
}

static void an_empty_index_takes_the_measure(void **state)
{
    (void)state;
    world w = start(2);
    for (int m = 0; m < MEASURES; m++) {
        for (int s = 0; s < SHAPES; s++) {
            td_error err = {0};
            td_index *index = build(&w, shapes[s], (td_distance_measure)m, 0);
            td_index *anew = build(&w, shapes[s], (td_distance_measure)m, 500);
            upsert(index, w.items, 0, 500);
            assert_ok(td_index_merge(index, &err));
            assert_same(&w, index, anew);
            td_index_free(index);
            td_index_free(anew);
        }
    }
    end(&w);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(td_distance_measure_name(TD_DOT_PRODUCT), "dot_product");
    assert_string_equal(td_distance_measure_name(TD_COSINE), "cosine");
    assert_string_equal(td_distance_measure_name(TD_SQUARED_L2), "squared_l2");
    assert_string_equal(td_distance_measure_name((td_distance_measure)3), "unknown");
}

/* --- a tree finds what its target says; memory that fails */

static void a_target_holds_by_every_measure(void **state)
{
    (void)state;
    enum { MANY = 12000, WIDE = 24, SOME = 400 };
    td_context *context = test_context(2);
    float *rows = test_clusters(3, MANY, WIDE, 200), *learn = test_clusters(4, SOME, WIDE, 200);
    float *ask = test_clusters(5, SOME, WIDE, 200);
    td_vectors items = {.data = rows, .rows = MANY, .dim = WIDE};
    td_vectors taught = {.data = learn, .rows = SOME, .dim = WIDE};
    td_vectors asked = {.data = ask, .rows = SOME, .dim = WIDE};
    static td_hit hits[SOME * 10], truth[SOME * 10];
    static uint32_t counts[SOME];
    td_search search = {.k = 10, .effort = {.target_recall = 0.9f}};
    td_search all = {.k = 10, .effort = {.target_recall = 1.0f}};
    for (int m = 0; m < MEASURES; m++) {
        td_error err = {0};
        td_index *index;
        uint32_t found = 0;
        td_index_options options = options_of(shapes[2], (td_distance_measure)m);
        options.num_leaves = 100;
        assert_ok(td_index_build_with(&index, context, &items, NULL, &options, NULL, &err));
        assert_ok(td_index_calibrate(index, &taught, NULL, &err));
        test_search(index, &asked, &search, hits, counts);
        test_search(index, &asked, &all, truth, counts);
        for (int q = 0; q < SOME; q++) found += test_common(hits + q * 10, truth + q * 10, 10);
        print_message("%s: recall %.4f\n", td_distance_measure_name((td_distance_measure)m),
                      found / (SOME * 10.0));
        assert_true(found > 0.88 * SOME * 10 && found < SOME * 10);
        td_index_free(index);
    }
    free(rows);
    free(learn);
    free(ask);
    td_context_free(context);
}

static td_status all_of_it(void *state, td_context *context, td_error *err)
{
    td_status status = TD_OK;
    const world *w = state;
    td_index *index = NULL, *loaded = NULL;
    td_searcher *searcher = NULL;
    td_index_options options = options_of(shapes[2], TD_SQUARED_L2);
    td_vectors items = {.data = w->items, .rows = 60, .dim = DIM};
    td_vectors users = {.data = w->users, .rows = 2, .dim = DIM};
    td_search search = {.k = 2};
    td_hit hits[4];
    uint32_t counts[2];
    const char *id = "60", *path = test_path("memory.tandem");
    options.num_leaves = 2;
    options.training_iterations = 2;
    if ((status = td_index_build_with(&index, context, &items, NULL, &options, NULL, err)) != TD_OK)
        goto done;
    if ((status = td_index_calibrate(index, &users, NULL, err)) != TD_OK) goto done;
    items.rows = 1;
    if ((status = td_index_upsert(index, &items, &id, NULL, err)) != TD_OK) goto done;
    if ((status = td_searcher_create(&searcher, index, err)) != TD_OK) goto done;
    if ((status = td_searcher_search(searcher, &users, &search, hits, counts, err)) != TD_OK)
        goto done;
    if ((status = td_index_rebuild(index, NULL, &users, NULL, err)) != TD_OK) goto done;
    if ((status = td_index_save(index, path, err)) != TD_OK) goto done;
    status = td_index_load(&loaded, context, path, err);
done:
    td_searcher_free(searcher);
    td_index_free(index);
    td_index_free(loaded);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    world w = start(1);
    test_every_allocation(all_of_it, &w);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_by_every_measure),
        cmocka_unit_test(filters_exclusions_and_biases),
        cmocka_unit_test(updated_is_as_built_anew),
        cmocka_unit_test(vectors_come_back),
        cmocka_unit_test(files_keep_the_measure),
        cmocka_unit_test(every_damaged_byte_is_seen),
        cmocka_unit_test(wrong_contents_are_refused),
        cmocka_unit_test(lengths_of_any_size),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(an_empty_index_takes_the_measure),
        cmocka_unit_test(names),
        cmocka_unit_test(a_target_holds_by_every_measure),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
