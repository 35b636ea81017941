/* evaluate_model_test.c -- a model is measured by the same rules as a scorer that knows its
 * vectors. */
#include "support/rankings.h"

#include <math.h>

/* What the plain metrics need to score like the model. */
typedef struct model_view {
    const td_model *model;
    const ranking_data *data;
    uint32_t dim, heads;
    float *candidates; /* [model's candidates, dim] */
    float *queries;    /* [data's queries, heads, dim] */
} model_view;

static uint32_t position_in_model(const model_view *view, uint32_t candidate)
{
    const char *id = td_vocab_id(td_dataset_candidates(view->data->train), candidate);
    return td_vocab_find(td_model_candidates(view->model), id, strlen(id));
}

static float model_score(void *user, uint32_t query, uint32_t candidate)
{
    const model_view *view = user;
    uint32_t position = position_in_model(view, candidate);
    float best = -INFINITY;
    if (position == TD_NONE) return -INFINITY;
    for (uint32_t h = 0; h < view->heads; h++) {
        const float *q = view->queries + ((size_t)query * view->heads + h) * view->dim;
        const float *c = view->candidates + (size_t)position * view->dim;
        float sum = 0.0f;
        for (uint32_t k = 0; k < view->dim; k++) sum = fmaf(q[k], c[k], sum);
        if (sum > best) best = sum;
    }
    return best;
}

static model_view view_model(const td_model *model, const ranking_data *data)
{
    td_error err = {0};
    const td_model_options *options = td_model_get_options(model);
    model_view view = {.model = model, .data = data, .dim = options->dim, .heads = options->heads};
    const td_vocab *queries = td_dataset_queries(data->train);
    size_t count = td_vocab_count(queries), known = td_vocab_count(td_model_candidates(model));
    view.candidates = malloc((known * view.dim + 1) * sizeof(float));
    view.queries = malloc((count * view.heads * view.dim + 1) * sizeof(float));
    assert_ok(td_model_encode_candidates(model, view.candidates, &err));
    for (uint32_t q = 0; q < count; q++) {
        const char *id = td_vocab_id(queries, q);
        float *vector = view.queries + (size_t)q * view.heads * view.dim;
        assert_ok(td_model_encode_queries(model, &id, 1, vector, &err));
    }
    return view;
}

static td_model *make_model(td_context *context, const td_dataset *train, uint32_t heads,
                            td_vocabulary vocabulary)
{
    td_error err = {0};
    td_model *model;
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 7;
    options.heads = heads;
    options.vocabulary = vocabulary;
    assert_ok(td_model_create(&model, context, train, NULL, &options, &err));
    return model;
}

static const td_evaluate_options some_k = {.k = {.count = 5, .values = {10, 1, 3, 50, 4000}}};

static void compare(td_context *context, const ranking_data *data, const td_model *model,
                    bool exclude)
{
    td_error err = {0};
    td_metrics found;
    td_evaluate_options options = some_k;
    (void)context;
    options.exclude_seen = exclude;
    model_view view = view_model(model, data);
    uint32_t known = td_vocab_count(td_model_candidates(model));
    assert_ok(td_evaluate_model(&found, model, data->train, data->test, &options, NULL, &err));
    td_metrics expected = ranking_metrics(data, model_score, &view, known, &options);
    assert_metrics_equal(&found, &expected);
    free(view.candidates);
    free(view.queries);
}

static void agrees_with_sorting_everything(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (uint32_t heads = 1; heads <= 3; heads += 2) {
        for (int all = 0; all < 2; all++) {
            ranking_data data = ranking_data_random(context, 30, 70, 160, 90, heads);
            td_model *model = make_model(context, data.train, heads,
                                         all ? TD_VOCABULARY_ALL : TD_VOCABULARY_TRAIN);
            compare(context, &data, model, true);
            compare(context, &data, model, false);
            td_model_free(model);
            ranking_data_free(&data);
        }
    }
    td_context_free(context);
}

/* Candidates in the model stand in another order than in the data. */
static void ids_lead_from_the_data_to_the_model(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    const ranking_row backwards[] = {{3, 9}, {2, 8}, {1, 7}, {0, 6},
                                     {3, 5}, {2, 4}, {1, 3}, {0, 0}};
    ranking_data data = ranking_data_random(context, 10, 12, 30, 20, 5);
    td_error err = {0};
    const char *query[8], *candidate[8];
    char names[16][8];
    for (int i = 0; i < 8; i++) {
        snprintf(names[i], sizeof names[i], "q%u", backwards[i].query);
        snprintf(names[8 + i], sizeof names[i], "c%u", backwards[i].candidate);
        query[i] = names[i];
        candidate[i] = names[8 + i];
    }
    td_interactions rows = {.rows = 8, .query_id = query, .candidate_id = candidate};
    td_dataset *other;
    assert_ok(td_dataset_build(&other, context, &rows, &err));
    td_model *model = make_model(context, other, 1, TD_VOCABULARY_ALL);
    model_view view = view_model(model, &data);
    assert_int_equal(position_in_model(&view, 9), 0);
    assert_int_equal(position_in_model(&view, 11), TD_NONE);
    free(view.candidates);
    free(view.queries);
    compare(context, &data, model, true);
    td_model_free(model);
    td_dataset_free(other);
    ranking_data_free(&data);
    td_context_free(context);
}

static void same_bits_for_any_threads_and_kernels(void **state)
{
    (void)state;
    const uint32_t threads[] = {1, 2, 7};
    td_metrics first = {0};
    bool have_first = false, available;
    const char *kernel;
    for (uint32_t s = 0; td_kernel_describe(s, &kernel, &available); s++) {
        for (int t = 0; available && t < 3; t++) {
            td_error err = {0};
            td_context *context;
            td_context_options options = {.threads = threads[t], .kernel = kernel};
            assert_ok(td_context_create(&context, &options, &err));
            ranking_data data = ranking_data_random(context, 2500, 300, 20000, 8000, 2);
            td_model *model = make_model(context, data.train, 1, TD_VOCABULARY_TRAIN);
            td_metrics found;
            assert_ok(td_evaluate_model(&found, model, data.train, data.test, NULL, NULL, &err));
            found.seconds = 0;
            if (!have_first) first = found;
            have_first = true;
            assert_memory_equal(&found, &first, sizeof found);
            td_model_free(model);
            ranking_data_free(&data);
            td_context_free(context);
        }
    }
}

static td_status evaluate_once(void *state, td_context *context, td_error *err)
{
    static const char *const query[] = {"a", "a", "b", "b", "a", "b"};
    static const char *const candidate[] = {"x", "y", "z", "x", "z", "y"};
    td_interactions rows = {.rows = 6, .query_id = query, .candidate_id = candidate};
    td_split_options split = {.kind = TD_SPLIT_LAST, .count = 1};
    td_model_options options;
    td_dataset *all = NULL, *train = NULL, *test = NULL;
    td_model *model = NULL;
    td_metrics metrics;
    (void)state;
    td_model_options_init(&options);
    options.dim = 4;
    td_status status = td_dataset_build(&all, context, &rows, err);
    if (status == TD_OK) status = td_dataset_split(&train, &test, all, &split, err);
    if (status == TD_OK) status = td_model_create(&model, context, train, NULL, &options, err);
    if (status == TD_OK) status = td_evaluate_model(&metrics, model, train, test, NULL, NULL, err);
    td_model_free(model);
    td_dataset_free(all);
    td_dataset_free(train);
    td_dataset_free(test);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(evaluate_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_sorting_everything),
        cmocka_unit_test(ids_lead_from_the_data_to_the_model),
        cmocka_unit_test(same_bits_for_any_threads_and_kernels),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
