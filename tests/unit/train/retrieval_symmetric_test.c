/* retrieval_symmetric_test.c -- the symmetric loss: both ways by float64, gradients by finite
 * differences, PyTorch's numbers, refusals. */
#include "support/retrieval_oracle.h"

#include <math.h>

/* --- PyTorch's numbers */

enum { ROWS = 5, DIM = 3 };

/* With S = query candidate^T / 0.25 in float64, PyTorch 2.13.0:
 * (cross_entropy(S, arange(5)) + cross_entropy(S.T, arange(5))) / 2, and its gradients. */
static const double TORCH_LOSS = 4.7223520544299475, TORCH_D_TEMPERATURE = -16.55416378089471;
static const double TORCH_D_QUERY[6] = {-0.5473033904260279, 0.2093964842244628, 0.6593299920327326,
                                        1.0863945184455202,  -0.4700382430944946, -1.3378638388337518};
static const double TORCH_D_CANDIDATE[6] = {-0.26885181879581266, -0.7876954656100416,
                                            -0.9360736216207142,  -0.40775153916871787,
                                            0.3007613129388253,   0.86782141705979};
static const double TORCH_SQUARES[2] = {9.576662280775075, 6.451332538351459};

static void the_loss_is_that_of_clip(void **state)
{
    (void)state;
    td_error err;
    td_retrieval *task;
    float query[ROWS * DIM], candidate[ROWS * DIM], d_query[ROWS * DIM], d_candidate[ROWS * DIM];
    for (int i = 0; i < ROWS * DIM; i++) {
        query[i] = (float)sin(0.7 * (i + 1));
        candidate[i] = (float)sin(1.3 * (i + 1));
    }
    td_context *context = test_context(2);
    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.symmetric = true;
    options.temperature = 0.25f;
    options.reduction = TD_REDUCTION_MEAN;
    td_retrieval_batch batch = {.queries = ROWS, .candidates = ROWS, .dim = DIM, .query = query,
                                .candidate = candidate};
    td_retrieval_shape shape = shape_of(&batch);
    td_retrieval_result result = {.d_query = d_query, .d_candidate = d_candidate};
    assert_ok(td_retrieval_create(&task, context, &shape, &options, &err));
    assert_ok(td_retrieval_compute(task, &batch, &result, &err));
    assert_close(result.loss, TORCH_LOSS, 1e-6, 0);
    assert_close(result.d_temperature, TORCH_D_TEMPERATURE, 1e-5, 0);
    double squares[2] = {0, 0};
    for (int i = 0; i < ROWS * DIM; i++) {
        if (i < 6) assert_close((double)d_query[i], TORCH_D_QUERY[i], 1e-5, 1e-6);
        if (i < 6) assert_close((double)d_candidate[i], TORCH_D_CANDIDATE[i], 1e-5, 1e-6);
        squares[0] += (double)d_query[i] * (double)d_query[i];
        squares[1] += (double)d_candidate[i] * (double)d_candidate[i];
    }
    assert_close(squares[0], TORCH_SQUARES[0], 1e-5, 0);
    assert_close(squares[1], TORCH_SQUARES[1], 1e-5, 0);
    td_retrieval_free(task);
    td_context_free(context);
}

/* --- both ways by float64 */

/* A symmetric batch, and the other way round as a batch of its own. */
typedef struct both_ways {
    random_batch forth;
    td_retrieval_batch back;
    float *positive; /* [B, D] */
    uint64_t *query_id;
} both_ways;

static uint32_t positive_of(const td_retrieval_batch *batch, uint32_t b)
{
    return batch->positive == NULL ? b : batch->positive[b];
}

static both_ways make_both(uint64_t seed, uint32_t rows, uint32_t dim, unsigned with)
{
    both_ways both = {.forth = random_batch_make(seed, rows, dim, with)};
    td_retrieval_batch *forth = &both.forth.batch;
    both.positive = malloc((size_t)rows * dim * sizeof(float));
    both.query_id = malloc(rows * sizeof(uint64_t));
    assert_true(both.positive != NULL && both.query_id != NULL);
    for (uint32_t b = 0; b < rows; b++) {
        memcpy(both.positive + (size_t)b * dim,
               forth->candidate + (size_t)positive_of(forth, b) * dim, dim * sizeof(float));
        both.query_id[b] = (uint64_t)test_uniform(&seed, 0, 0.6 * rows);
    }
    both.forth.options.symmetric = true;
    forth->query_id = both.query_id;
    both.back = (td_retrieval_batch){.queries = rows, .candidates = rows, .heads = 1, .dim = dim,
                                     .query = both.positive, .candidate = forth->query,
                                     .sample_weight = forth->sample_weight,
                                     .candidate_id = both.query_id};
    return both;
}

static void free_both(both_ways *both)
{
    free(both->positive);
    free(both->query_id);
    random_batch_free(&both->forth);
}

/* The mean of both ways. */
static oracle mean_of(const both_ways *both)
{
    const td_retrieval_batch *batch = &both->forth.batch;
    const size_t dim = batch->dim;
    oracle sum = oracle_retrieval(batch, &both->forth.options);
    oracle back = oracle_retrieval(&both->back, &both->forth.options);
    sum.loss = 0.5 * (sum.loss + back.loss);
    sum.d_temperature = 0.5 * (sum.d_temperature + back.d_temperature);
    sum.closest = fmin(sum.closest, back.closest);
    for (size_t i = 0; i < batch->candidates * dim; i++) sum.d_candidate[i] *= 0.5;
    for (uint32_t b = 0; b < batch->queries; b++) {
        sum.row_loss[b] = 0.5 * (sum.row_loss[b] + back.row_loss[b]);
        for (size_t k = 0; k < dim; k++) {
            double *query = &sum.d_query[b * dim + k];
            *query = 0.5 * (*query + back.d_candidate[b * dim + k]);
            sum.d_candidate[positive_of(batch, b) * dim + k] += 0.5 * back.d_query[b * dim + k];
        }
    }
    oracle_free(&back);
    return sum;
}

static void compute(td_context *context, const both_ways *both, td_retrieval_result *result)
{
    td_error err;
    td_retrieval *task;
    td_retrieval_shape shape = shape_of(&both->forth.batch);
    assert_ok(td_retrieval_create(&task, context, &shape, &both->forth.options, &err));
    assert_ok(td_retrieval_compute(task, &both->forth.batch, result, &err));
    td_retrieval_free(task);
}

static void assert_is_mean(td_context *context, const both_ways *both, const oracle *exact)
{
    const td_retrieval_batch *batch = &both->forth.batch;
    td_retrieval_result result = result_make(batch);
    size_t dim = batch->dim;
    compute(context, both, &result);
    assert_close(result.loss, exact->loss, 2e-6, 2e-6);
    assert_close(result.d_temperature, exact->d_temperature, 2e-5, 2e-5);
    assert_true(array_error(result.row_loss, exact->row_loss, batch->queries) < 1e-5);
    assert_true(array_error(result.d_query, exact->d_query, batch->queries * dim) < 2e-5);
    assert_true(array_error(result.d_candidate, exact->d_candidate, batch->candidates * dim) < 2e-5);
    result_free(&result);
}

/* All that goes together; heads and masks do not. */
static const unsigned LEFT_OUT = WITH_HEADS | WITH_MASK;

static void both_ways_match_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    uint64_t seed = 11;
    uint32_t compared = 0;
    for (unsigned with = 0; with < WITH_ALL; with += WITH_STEP) {
        if ((with & LEFT_OUT) != 0) continue;
        uint32_t rows = 1 + (uint32_t)test_uniform(&seed, 0, 90);
        uint32_t dim = 1 + (uint32_t)test_uniform(&seed, 0, 40);
        both_ways both = make_both(with + 1, rows, dim, with);
        oracle exact = mean_of(&both);
        /* Hard negatives that are equal to rounding may be chosen the other way. */
        if (exact.closest > 1e-5) {
            assert_is_mean(context, &both, &exact);
            compared++;
        }
        oracle_free(&exact);
        free_both(&both);
    }
    assert_true(compared > 400 / WITH_STEP);
    td_context_free(context);
}

static void gradients_match_finite_differences(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    both_ways both = make_both(3, 17, 6, WITH_TEMPERATURE | WITH_HITS | WITH_WEIGHTS | WITH_EXTRA);
    const td_retrieval_batch *batch = &both.forth.batch;
    td_retrieval_result result = result_make(batch), moved = result_make(batch);
    compute(context, &both, &result);
    float *arrays[2] = {both.forth.query, both.forth.candidate};
    const float *gradients[2] = {result.d_query, result.d_candidate};
    const uint32_t counts[2] = {batch->queries * batch->dim, batch->candidates * batch->dim};
    for (int a = 0; a < 2; a++) {
        for (uint32_t i = 0; i < counts[a]; i++) {
            float was = arrays[a][i], step = 1e-2f;
            arrays[a][i] = was + step;
            compute(context, &both, &moved);
            double high = moved.loss;
            arrays[a][i] = was - step;
            compute(context, &both, &moved);
            double slope = (high - moved.loss) / (2 * (double)step);
            arrays[a][i] = was;
            assert_close((double)gradients[a][i], slope, 5e-3, 2e-3);
        }
    }
    result_free(&result);
    result_free(&moved);
    free_both(&both);
    td_context_free(context);
}

static void same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7};
    both_ways both = make_both(9, 300, 24, WITH_POSITIVES | WITH_HITS | WITH_WEIGHTS);
    size_t bytes = (size_t)both.forth.batch.candidates * 24 * sizeof(float);
    td_retrieval_result first = result_make(&both.forth.batch);
    for (int i = 0; i < 3; i++) {
        td_retrieval_result again = result_make(&both.forth.batch);
        td_context *context = test_context(threads[i]);
        compute(context, &both, i == 0 ? &first : &again);
        td_context_free(context);
        if (i > 0) {
            assert_true(first.loss == again.loss && first.d_temperature == again.d_temperature);
            assert_memory_equal(first.d_candidate, again.d_candidate, bytes);
            assert_memory_equal(first.d_query, again.d_query, 300 * 24 * sizeof(float));
        }
        result_free(&again);
    }
    result_free(&first);
    free_both(&both);
}

/* --- what does not go together, and memory */

static void what_does_not_go_together_is_refused(void **state)
{
    (void)state;
    td_error err;
    td_retrieval *task;
    td_context *context = test_context(1);
    both_ways both = make_both(2, 8, 4, WITH_HITS | WITH_MASK);
    td_retrieval_options *options = &both.forth.options;
    td_retrieval_batch *batch = &both.forth.batch;
    td_retrieval_shape shape = shape_of(batch);
    td_retrieval_result result = {0};
    shape.heads = 2;
    assert_fails(td_retrieval_create(&task, context, &shape, options, &err), TD_ERR_ARGUMENT,
                 "one head; there are 2");
    assert_null(task);
    shape.heads = 1;
    assert_ok(td_retrieval_create(&task, context, &shape, options, &err));
    assert_fails(td_retrieval_compute(task, batch, &result, &err), TD_ERR_ARGUMENT, "score_mask");
    batch->score_mask = NULL;
    batch->query_id = NULL;
    assert_fails(td_retrieval_compute(task, batch, &result, &err), TD_ERR_ARGUMENT, "query_id");
    batch->query_id = both.query_id;
    assert_ok(td_retrieval_compute(task, batch, &result, &err));
    td_retrieval_free(task);
    free_both(&both);
    td_context_free(context);
}

static td_status create_and_compute(void *state, td_context *context, td_error *err)
{
    const both_ways *both = state;
    td_retrieval *task;
    td_retrieval_result result = {0};
    td_retrieval_shape shape = shape_of(&both->forth.batch);
    td_status status = td_retrieval_create(&task, context, &shape, &both->forth.options, err);
    if (status == TD_OK) status = td_retrieval_compute(task, &both->forth.batch, &result, err);
    td_retrieval_free(task);
    return status;
}

static void no_allocation_is_trusted(void **state)
{
    (void)state;
    both_ways both = make_both(4, 20, 5, WITH_HITS);
    test_every_allocation(create_and_compute, &both);
    free_both(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_is_that_of_clip),
        cmocka_unit_test(both_ways_match_float64),
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(no_allocation_is_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
