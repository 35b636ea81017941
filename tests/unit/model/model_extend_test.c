/* model_extend_test.c -- a model learns of new ids and interactions, and forgets nothing. */
#include "support/test.h"

#include "model/model.h"

static td_dataset *make_rows(td_context *context, const char *const *queries,
                             const char *const *candidates, uint64_t count)
{
    td_error err = {0};
    td_dataset *dataset;
    const td_interactions rows = {.rows = count, .query_id = queries, .candidate_id = candidates};
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    return dataset;
}

static const char *const old_queries[] = {"ann", "bob", "ann"};
static const char *const old_candidates[] = {"x", "y", "z"};
static const char *const new_queries[] = {"cid", "ann", "ann", "cid", "ann"};
static const char *const new_candidates[] = {"x", "new", "x", "new", "y"};

/* Options with several heads and out-of-vocabulary rows. */
static td_model_options unusual(void)
{
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 5;
    options.heads = 2;
    options.oov_buckets = 3;
    return options;
}

typedef struct fixture {
    td_context *context;
    td_model *old, *extended;
    td_dataset *more;
} fixture;

static fixture make(const td_model_options *options)
{
    td_error err = {0};
    fixture f = {.context = test_context(1)};
    td_dataset *first = make_rows(f.context, old_queries, old_candidates, 3);
    f.more = make_rows(f.context, new_queries, new_candidates, 5);
    assert_ok(td_model_create(&f.old, f.context, first, NULL, options, &err));
    assert_ok(td_model_extend(&f.extended, f.old, f.more, NULL, &err));
    td_dataset_free(first);
    return f;
}

static void clear(fixture *f)
{
    td_model_free(f->old);
    td_model_free(f->extended);
    td_dataset_free(f->more);
    td_context_free(f->context);
}

static void old_ids_keep_their_places_and_new_ones_follow(void **state)
{
    (void)state;
    td_error err = {0};
    fixture f = make(NULL);
    const td_vocab *queries = td_model_queries(f.extended);
    const td_vocab *candidates = td_model_candidates(f.extended);
    const char *q[] = {"ann", "bob", "cid"}, *c[] = {"x", "y", "z", "new"};
    assert_int_equal(td_vocab_count(queries), 3);
    assert_int_equal(td_vocab_count(candidates), 4);
    for (uint32_t i = 0; i < 3; i++) assert_string_equal(td_vocab_id(queries, i), q[i]);
    for (uint32_t i = 0; i < 4; i++) assert_string_equal(td_vocab_id(candidates, i), c[i]);
    assert_ok(td_model_check(f.extended, &err));
    clear(&f);
}

static void counts_and_seen_lists_are_merged(void **state)
{
    (void)state;
    fixture f = make(NULL);
    const uint64_t counts[] = {3, 2, 1, 2}; /* x y z new */
    for (uint32_t c = 0; c < 4; c++) {
        assert_int_equal(td_model_candidate_count(f.extended, c), counts[c]);
    }
    const uint32_t ann[] = {0, 1, 2, 3}, bob[] = {1}, cid[] = {0, 3};
    const uint32_t *lists[] = {ann, bob, cid}, lengths[] = {4, 1, 2};
    for (uint32_t q = 0; q < 3; q++) {
        uint32_t count;
        const uint32_t *seen = td_model_seen(f.extended, q, &count);
        assert_int_equal(count, lengths[q]);
        assert_memory_equal(seen, lists[q], count * sizeof *seen);
    }
    clear(&f);
}

/* Nothing that the model says changes: old ids, new ids and unknown ones have the same vectors. */
static void every_vector_is_the_same_to_the_bit(void **state)
{
    (void)state;
    td_error err = {0};
    td_model_options options = unusual();
    fixture f = make(&options);
    const char *ids[] = {"ann", "bob", "cid", "nobody", "someone", "else"};
    float before[6 * 10], after[6 * 10], old[3 * 5], all[4 * 5];
    assert_ok(td_model_encode_queries(f.old, ids, 6, before, &err));
    assert_ok(td_model_encode_queries(f.extended, ids, 6, after, &err));
    assert_memory_equal(before, after, sizeof before);
    assert_ok(td_model_encode_candidates(f.old, old, &err));
    assert_ok(td_model_encode_candidates(f.extended, all, &err));
    assert_memory_equal(old, all, sizeof old);
    /* The new candidate has the vector that an unknown one of its name had. */
    uint32_t row = td__tower_row(&f.old->candidate_tower, f.old->candidates, "new");
    assert_memory_equal(all + 3 * 5, f.old->candidate_tower.layers[0].parameters[0].weights + row * 5,
                        5 * sizeof(float));
    clear(&f);
}

static void min_count_holds_for_new_ids_too(void **state)
{
    (void)state;
    td_model_options options;
    td_model_options_init(&options);
    options.min_count = 3;
    td_error err = {0};
    td_context *context = test_context(1);
    const char *queries[] = {"ann", "ann", "ann"}, *candidates[] = {"x", "x", "x"};
    td_dataset *first = make_rows(context, queries, candidates, 3);
    td_dataset *more = make_rows(context, new_queries, new_candidates, 5);
    td_model *model, *extended;
    assert_ok(td_model_create(&model, context, first, NULL, &options, &err));
    assert_ok(td_model_extend(&extended, model, more, NULL, &err));
    assert_int_equal(td_vocab_count(td_model_queries(extended)), 1); /* cid has 2 rows */
    assert_int_equal(td_vocab_count(td_model_candidates(extended)), 1);
    assert_int_equal(td_model_candidate_count(extended, 0), 5);
    td_model_free(extended);
    td_model_free(model);
    td_dataset_free(more);
    td_dataset_free(first);
    td_context_free(context);
}

static void titles_are_kept_and_new_ones_come_from_the_item_file(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_dataset *first = make_rows(context, old_queries, old_candidates, 3);
    td_dataset *more = make_rows(context, new_queries, new_candidates, 5);
    td_catalog *one, *two;
    td_model *model, *extended, *without;
    const char *path = test_text_file("one.csv", "id,title\nx,Ex\ny,Why\n");
    assert_ok(td_catalog_read(&one, context, path, NULL, NULL, &err));
    path = test_text_file("two.csv", "id,title\ny,Why not\nnew,News\n");
    assert_ok(td_catalog_read(&two, context, path, NULL, NULL, &err));
    assert_ok(td_model_create(&model, context, first, one, NULL, &err));
    assert_ok(td_model_extend(&extended, model, more, two, &err));
    assert_string_equal(td_model_title(extended, 0), "Ex");
    assert_string_equal(td_model_title(extended, 1), "Why not");
    assert_null(td_model_title(extended, 2));
    assert_string_equal(td_model_title(extended, 3), "News");
    assert_ok(td_model_extend(&without, model, more, NULL, &err));
    assert_string_equal(td_model_title(without, 1), "Why");
    assert_null(td_model_title(without, 3));
    td_model_free(without);
    td_model_free(extended);
    td_model_free(model);
    td_catalog_free(one);
    td_catalog_free(two);
    td_dataset_free(more);
    td_dataset_free(first);
    td_context_free(context);
}

/* With nothing new it is the same file; and one with news goes through a file unchanged. */
static void extended_models_go_through_files(void **state)
{
    (void)state;
    td_error err = {0};
    td_model_options options = unusual();
    fixture f = make(&options);
    td_dataset *nothing = make_rows(f.context, NULL, NULL, 0);
    td_model *same, *again;
    size_t a_size, b_size;
    assert_ok(td_model_extend(&same, f.old, nothing, NULL, &err));
    assert_ok(td_model_save(f.old, test_path("a"), &err));
    assert_ok(td_model_save(same, test_path("b"), &err));
    unsigned char *a = test_read(test_path("a"), &a_size), *b = test_read(test_path("b"), &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(a);
    free(b);
    assert_ok(td_model_save(f.extended, test_path("a"), &err));
    assert_ok(td_model_load(&again, f.context, test_path("a"), &err));
    assert_ok(td_model_save(again, test_path("b"), &err));
    a = test_read(test_path("a"), &a_size);
    b = test_read(test_path("b"), &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(a);
    free(b);
    td_model_free(again);
    td_model_free(same);
    td_dataset_free(nothing);
    clear(&f);
}

static td_status extend(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_dataset *first = NULL, *more = NULL;
    td_model *model = NULL, *extended = NULL;
    const td_interactions a = {3, old_queries, old_candidates, NULL, NULL};
    const td_interactions b = {5, new_queries, new_candidates, NULL, NULL};
    td_status status = td_dataset_build(&first, context, &a, err);
    if (status == TD_OK) status = td_dataset_build(&more, context, &b, err);
    if (status == TD_OK) status = td_model_create(&model, context, first, NULL, NULL, err);
    if (status == TD_OK) status = td_model_extend(&extended, model, more, NULL, err);
    td_model_free(extended);
    td_model_free(model);
    td_dataset_free(more);
    td_dataset_free(first);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(extend, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_ids_keep_their_places_and_new_ones_follow),
        cmocka_unit_test(counts_and_seen_lists_are_merged),
        cmocka_unit_test(every_vector_is_the_same_to_the_bit),
        cmocka_unit_test(min_count_holds_for_new_ids_too),
        cmocka_unit_test(titles_are_kept_and_new_ones_come_from_the_item_file),
        cmocka_unit_test(extended_models_go_through_files),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
