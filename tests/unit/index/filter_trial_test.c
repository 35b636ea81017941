/* filter_trial_test.c -- the choice of a filter follows from the items, and from nothing else. */
#include "support/test.h"

#include "index/index.h"

enum { COUNT = 16384, DIM = 32 };

static td_prefilter chosen(td_context *context, const td_vectors *items)
{
    td_error err = {0};
    td_index *index;
    td_index_options options;
    td_index_info info;
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    assert_ok(td_index_build_with(&index, context, items, NULL, &options, NULL, &err));
    assert_ok(td_index_check(index, &err));
    td_index_describe(index, &info);
    td_index_free(index);
    return info.prefilter;
}

static void scattered_items_get_a_filter_and_equal_ones_do_not(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    float *scattered = test_normal_vectors(1, COUNT, DIM), *equal = test_normal_vectors(1, COUNT, DIM);
    for (uint32_t i = DIM; i < COUNT * DIM; i++) equal[i] = equal[i % DIM];
    for (int t = 0; t < 3; t++) {
        td_context *context = test_context(threads[t]);
        td_vectors items = {.data = scattered, .rows = COUNT, .dim = DIM};
        assert_int_equal(chosen(context, &items), TD_PREFILTER_INT8);
        items.data = equal;
        assert_int_equal(chosen(context, &items), TD_PREFILTER_NONE);
        td_context_free(context);
    }
    free(scattered);
    free(equal);
}

/* Within a hair of each other: integers cannot tell them apart, exact scores can. */
static void items_that_integers_cannot_tell_apart_get_none(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    float *values = test_normal_vectors(3, COUNT, DIM);
    for (uint32_t i = DIM; i < COUNT * DIM; i++) values[i] = values[i % DIM] + 1e-4f * values[i];
    td_vectors items = {.data = values, .rows = COUNT, .dim = DIM};
    assert_int_equal(chosen(context, &items), TD_PREFILTER_NONE);
    free(values);
    td_context_free(context);
}

static void small_ones_are_not_tried(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    float *values = test_normal_vectors(1, COUNT, DIM);
    td_vectors few = {.data = values, .rows = COUNT - 1, .dim = DIM};
    td_vectors narrow = {.data = values, .rows = COUNT, .dim = 15};
    assert_int_equal(chosen(context, &few), TD_PREFILTER_NONE);
    assert_int_equal(chosen(context, &narrow), TD_PREFILTER_NONE);
    free(values);
    td_context_free(context);
}

static td_status build_once(void *user, td_context *context, td_error *err)
{
    td_index *index;
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    td_status status = td_index_build_with(&index, context, user, NULL, &options, NULL, err);
    if (status == TD_OK) td_index_free(index);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    float *values = test_normal_vectors(1, COUNT, 16);
    td_vectors items = {.data = values, .rows = COUNT, .dim = 16};
    test_every_allocation(build_once, &items);
    for (uint32_t i = 16; i < COUNT * 16; i++) values[i] = values[i % 16];
    test_every_allocation(build_once, &items);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scattered_items_get_a_filter_and_equal_ones_do_not),
        cmocka_unit_test(items_that_integers_cannot_tell_apart_get_none),
        cmocka_unit_test(small_ones_are_not_tried),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
