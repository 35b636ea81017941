/* fold_in_test.c -- queries from lists of candidates: what training would have made of them. */
#include "support/test.h"

#include <math.h>

#include "model/model.h"

enum { QUERIES = 30, CANDIDATES = 20, DIM = 10, ROWS_MAX = QUERIES * CANDIDATES };

typedef struct world {
    td_context *context;
    td_dataset *train;
    td_model *model;
    td_fold_in *fold_in;
    td_ials_options options;
} world;

static const char *id_of(uint32_t i)
{
    static char text[64][8];
    snprintf(text[i], sizeof text[i], "%u", i);
    return text[i];
}

/* Each pair at most once, a query's rows in ascending order: lists are those of the dataset. */
static td_dataset *make_dataset(td_context *context, bool weighted)
{
    static const char *query[ROWS_MAX], *candidate[ROWS_MAX];
    static float weight[ROWS_MAX];
    td_error err;
    td_dataset *dataset;
    uint64_t rows = 0, seed = 3;
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        for (uint32_t q = 0; q < QUERIES; q++) {
            if (c > 0 && test_uniform(&seed, 0, 1) > (q % 3 == c % 3 ? 0.6 : 0.15)) continue;
            query[rows] = id_of(q);
            candidate[rows] = id_of(c);
            weight[rows++] = (float)test_uniform(&seed, 0.5, 2);
        }
    }
    td_interactions interactions = {.rows = rows,
                                    .query_id = query,
                                    .candidate_id = candidate,
                                    .weight = weighted ? weight : NULL};
    assert_ok(td_dataset_build(&dataset, context, &interactions, &err));
    return dataset;
}

static world make_world(uint32_t threads, bool weighted)
{
    td_error err;
    world w = {.context = test_context(threads)};
    td_model_options options;
    td_model_options_init(&options);
    options.dim = DIM;
    w.train = make_dataset(w.context, weighted);
    assert_ok(td_model_create(&w.model, w.context, w.train, NULL, &options, &err));
    td_ials_options_init(&w.options);
    w.options.unobserved_weight = 0.1f;
    w.options.epochs = 3;
    assert_ok(td_model_train_ials(w.model, w.train, NULL, &w.options, NULL, NULL, &err));
    assert_ok(td_fold_in_create(&w.fold_in, w.model, &w.options, &err));
    return w;
}

static void clear_world(world *w)
{
    td_fold_in_free(w->fold_in);
    td_model_free(w->model);
    td_dataset_free(w->train);
    td_context_free(w->context);
}

/* The training rows again, as lists with weights. */
typedef struct lists {
    uint64_t offsets[QUERIES + 1];
    uint32_t candidates[ROWS_MAX];
    float weight[ROWS_MAX];
    td_histories histories;
} lists;

static void make_lists(lists *out, const td_dataset *train)
{
    td_rows rows = td_dataset_rows(train);
    uint64_t end = 0;
    for (uint32_t q = 0; q < QUERIES; q++) {
        out->offsets[q] = end;
        for (uint64_t i = 0; i < rows.count; i++) {
            if (rows.query[i] != q) continue;
            out->weight[end] = rows.weight == NULL ? 1 : rows.weight[i];
            out->candidates[end++] = rows.candidate[i];
        }
    }
    out->offsets[QUERIES] = end;
    out->histories = (td_histories){.count = QUERIES,
                                    .offsets = out->offsets,
                                    .candidates = out->candidates,
                                    .weight = rows.weight == NULL ? NULL : out->weight};
}

static const float *trained_queries(const world *w)
{
    return td__model_parameter(w->model, 0, NULL)->weights;
}

/* To the bit, for any number of threads. */
static void a_training_list_gives_the_vector_that_training_ended_with(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7};
    static lists l;
    td_error err;
    float vectors[QUERIES * DIM];
    for (uint32_t i = 0; i < 6; i++) {
        world w = make_world(threads[i % 3], i >= 3);
        make_lists(&l, w.train);
        assert_ok(td_fold_in_solve(w.fold_in, &l.histories, vectors, &err));
        assert_memory_equal(vectors, trained_queries(&w), sizeof vectors);
        clear_world(&w);
    }
}

/* The gradient, in double: sum w (s - 1) v + alpha G x + lambda (sum w + alpha N)^nu x. */
static double gradient_at(const world *w, const td_histories *h, const float *x, uint32_t k)
{
    const float *v = td__model_parameter(w->model, 1, NULL)->weights;
    double alpha = (double)w->options.unobserved_weight, weights = 0, sum = 0;
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        double s = 0;
        for (uint32_t j = 0; j < DIM; j++) s += (double)v[c * DIM + j] * (double)x[j];
        sum += alpha * s * (double)v[c * DIM + k];
        for (uint64_t i = 0; i < h->offsets[1]; i++) {
            if (h->candidates[i] != c) continue;
            double weight = h->weight == NULL ? 1 : (double)h->weight[i];
            weights += weight;
            sum += weight * (s - 1) * (double)v[c * DIM + k];
        }
    }
    double size = pow(weights + alpha * CANDIDATES, (double)w->options.exponent);
    return sum + (double)w->options.regularization * size * (double)x[k];
}

static void a_new_list_gives_the_minimum_of_its_loss(void **state)
{
    (void)state;
    td_error err;
    static const uint32_t candidates[] = {3, 17, 4, 3, TD_NONE, 9};
    static const float weight[] = {1, 0.25f, 2, 1, 5, 0};
    const uint64_t offsets[] = {0, 6};
    float x[DIM];
    world w = make_world(2, false);
    for (uint32_t weighted = 0; weighted < 2; weighted++) {
        td_histories h = {1, offsets, candidates, weighted ? weight : NULL};
        assert_ok(td_fold_in_solve(w.fold_in, &h, x, &err));
        for (uint32_t k = 0; k < DIM; k++) assert_close(gradient_at(&w, &h, x, k), 0, 0, 1e-4);
        assert_true(fabsf(x[0]) + fabsf(x[1]) > 1e-3f);
    }
    clear_world(&w);
}

static void unknown_candidates_and_empty_lists_say_nothing(void **state)
{
    (void)state;
    td_error err;
    static const uint32_t candidates[] = {3, TD_NONE, 5, 3, 5, TD_NONE};
    const uint64_t offsets[] = {0, 3, 5, 6, 6};
    float x[4 * DIM];
    world w = make_world(2, false);
    td_histories h = {4, offsets, candidates, NULL};
    assert_ok(td_fold_in_solve(w.fold_in, &h, x, &err));
    assert_memory_equal(x, x + DIM, DIM * sizeof *x);
    for (uint32_t k = 2 * DIM; k < 4 * DIM; k++) assert_true(x[k] == 0);
    h.count = 0;
    assert_ok(td_fold_in_solve(w.fold_in, &h, NULL, &err));
    clear_world(&w);
}

/* Lists may be a part of longer arrays. */
static void offsets_need_not_start_at_zero(void **state)
{
    (void)state;
    td_error err;
    static const uint32_t candidates[] = {99, 99, 3, 5};
    const uint64_t late[] = {2, 4}, early[] = {0, 2};
    float a[DIM], b[DIM];
    world w = make_world(1, false);
    td_histories first = {1, late, candidates, NULL}, second = {1, early, candidates + 2, NULL};
    assert_ok(td_fold_in_solve(w.fold_in, &first, a, &err));
    assert_ok(td_fold_in_solve(w.fold_in, &second, b, &err));
    assert_memory_equal(a, b, sizeof a);
    clear_world(&w);
}

static void bad_lists_are_refused(void **state)
{
    (void)state;
    td_error err;
    uint32_t candidates[] = {3, CANDIDATES};
    float weight[] = {1, 1}, x[2 * DIM];
    uint64_t offsets[] = {0, 1, 2};
    world w = make_world(1, false);
    td_histories h = {2, offsets, candidates, weight};
    assert_fails(td_fold_in_solve(w.fold_in, &h, x, &err), TD_ERR_ARGUMENT,
                 "query 1: candidate 20 is not there; the model has 20");
    candidates[1] = 2;
    weight[0] = -1;
    assert_fails(td_fold_in_solve(w.fold_in, &h, x, &err), TD_ERR_ARGUMENT, "query 0: the weight -1");
    weight[0] = NAN;
    assert_fails(td_fold_in_solve(w.fold_in, &h, x, &err), TD_ERR_ARGUMENT, "query 0: the weight");
    weight[0] = 1;
    offsets[1] = 3;
    assert_fails(td_fold_in_solve(w.fold_in, &h, x, &err), TD_ERR_ARGUMENT, "ends before it starts");
    clear_world(&w);
}

static void models_that_do_not_score_by_dot_product_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_model *model;
    td_fold_in *fold_in = (td_fold_in *)&err;
    world w = make_world(1, false);
    td_model_options options;
    td_model_options_init(&options);
    options.similarity = TD_SIMILARITY_COSINE;
    assert_ok(td_model_create(&model, w.context, w.train, NULL, &options, &err));
    assert_fails(td_fold_in_create(&fold_in, model, NULL, &err), TD_ERR_ARGUMENT, "similarity dot");
    assert_null(fold_in);
    td_model_free(model);
    td_fold_in_free(NULL);
    clear_world(&w);
}

/* One candidate cannot tell 60 numbers apart without regularization. */
static void equations_without_solution_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_model *model;
    td_fold_in *fold_in;
    world w = make_world(1, false);
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 60;
    td_ials_options hardly = w.options;
    hardly.regularization = 1e-9f;
    hardly.unobserved_weight = 1e-6f;
    hardly.exponent = 0;
    const uint64_t offsets[] = {0, 1};
    const uint32_t candidates[] = {2};
    float x[60];
    td_histories h = {1, offsets, candidates, NULL};
    assert_ok(td_model_create(&model, w.context, w.train, NULL, &options, &err));
    assert_ok(td_fold_in_create(&fold_in, model, &hardly, &err));
    assert_fails(td_fold_in_solve(fold_in, &h, x, &err), TD_ERR_NUMERIC, "larger regularization");
    td_fold_in_free(fold_in);
    td_model_free(model);
    clear_world(&w);
}

static td_status fold_body(void *state, td_context *context, td_error *err)
{
    static const char *query[] = {"a", "b"}, *candidate[] = {"x", "y"};
    static const uint32_t candidates[] = {0, 1};
    static const float weight[] = {1, 2};
    const uint64_t offsets[] = {0, 2};
    td_interactions interactions = {.rows = 2, .query_id = query, .candidate_id = candidate};
    td_histories histories = {1, offsets, candidates, weight};
    td_dataset *train = NULL;
    td_model *model = NULL;
    td_fold_in *fold_in = NULL;
    float x[DIM];
    td_model_options options;
    td_model_options_init(&options);
    options.dim = DIM;
    (void)state;
    td_status status = td_dataset_build(&train, context, &interactions, err);
    if (status == TD_OK) status = td_model_create(&model, context, train, NULL, &options, err);
    if (status == TD_OK) status = td_fold_in_create(&fold_in, model, NULL, err);
    if (status == TD_OK) status = td_fold_in_solve(fold_in, &histories, x, err);
    td_fold_in_free(fold_in);
    td_model_free(model);
    td_dataset_free(train);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation(fold_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_training_list_gives_the_vector_that_training_ended_with),
        cmocka_unit_test(a_new_list_gives_the_minimum_of_its_loss),
        cmocka_unit_test(unknown_candidates_and_empty_lists_say_nothing),
        cmocka_unit_test(offsets_need_not_start_at_zero),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(models_that_do_not_score_by_dot_product_are_refused),
        cmocka_unit_test(equations_without_solution_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
