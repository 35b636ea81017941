/* tower_test.c -- layers and towers: values, gradients, first weights, threads. */
#include <math.h>

#include "base/vocab.h"
#include "model/tower.h"
#include "support/test.h"

enum { KNOWN = 9, OOV = 3, DIM = 5, ROWS = 6 };

static const uint32_t rows_used[ROWS] = {3, 0, 11, 8, 9, 5};

static td__tower make_deep_tower(td_context *context, uint32_t heads, td_similarity similarity,
                                 td_u32_list layers)
{
    td_error err;
    td__tower tower;
    td__tower_shape shape = {.known = KNOWN,
                             .oov_buckets = OOV,
                             .heads = heads,
                             .dim = DIM,
                             .similarity = similarity,
                             .layers = layers};
    td__initial initial = {
        .kind = TD_INIT_NORMAL, .scale = 1.0f, .seed = 5, .stream = TD__STREAM_INIT_QUERY};
    assert_ok(td__tower_create(&tower, context, &shape, &initial, &err));
    return tower;
}

static td__tower make_tower(td_context *context, uint32_t heads, td_similarity similarity)
{
    return make_deep_tower(context, heads, similarity, (td_u32_list){0});
}

/* --- gradients */

typedef struct probe {
    td_context *context;
    td__tower tower;
    td__pass *pass;
    float *direction; /* [ROWS, width]: the loss is <direction, output> */
    float step;       /* of the differences */
    double tolerance;
} probe;

static double loss_of(const probe *p)
{
    td__tower_input input = {.count = ROWS, .rows = rows_used};
    const float *out = td__tower_forward(&p->tower, p->context, p->pass, &input);
    double loss = 0.0;
    for (size_t i = 0; i < (size_t)ROWS * td__tower_width(&p->tower); i++) {
        loss += (double)out[i] * (double)p->direction[i];
    }
    return loss;
}

/* The gradient of weight (row, col) of a parameter as the backward pass gives it. */
static double given(const td__gradient *gradient, uint64_t row, uint32_t cols, uint32_t col)
{
    for (uint64_t i = 0; i < gradient->count; i++) {
        uint64_t touched = gradient->touched == NULL ? i : gradient->touched[i];
        if (touched == row) return (double)gradient->values[i * cols + col];
    }
    return 0.0;
}

static void check_weight(const probe *p, td__parameter *parameter, const td__gradient *gradient,
                         uint64_t at)
{
    const float step = p->step;
    double found = given(gradient, at / parameter->cols, parameter->cols,
                         (uint32_t)(at % parameter->cols));
    float *weight = &parameter->weights[at], before = *weight;
    *weight = before + step;
    double above = loss_of(p), high = (double)*weight;
    *weight = before - step;
    double below = loss_of(p), low = (double)*weight;
    *weight = before;
    double expected = (above - below) / (high - low);
    assert_close(found, expected, 2e-3, p->tolerance);
}

/* Walks the table of parameters, so no layer with weights can be forgotten. */
static void check_tower_gradients(uint32_t heads, td_similarity similarity, td_u32_list layers)
{
    td_error err;
    probe p = {.context = test_context(2), .step = 1.0f / 128, .tolerance = 2e-4};
    if (layers.count > 1) p.step = 1.0f / 2048, p.tolerance = 5e-3; /* do not step over a relu's edge */
    p.tower = make_deep_tower(p.context, heads, similarity, layers);
    p.direction = test_normal_vectors(77, ROWS, td__tower_width(&p.tower));
    assert_ok(td__pass_create(&p.pass, p.context, &p.tower, ROWS, true, &err));
    td__parameter *parameter;
    uint32_t parameters = 0;
    for (; (parameter = td__tower_parameter(&p.tower, parameters)) != NULL; parameters++) {
        for (uint64_t at = 0; at < parameter->rows * parameter->cols; at++) {
            loss_of(&p);
            const td__gradient *gradients =
                td__tower_backward(&p.tower, p.context, p.pass, p.direction);
            check_weight(&p, parameter, &gradients[parameters], at);
        }
    }
    assert_int_equal(parameters, 1 + 2 * layers.count);
    free(p.direction);
    td__pass_free(p.pass, p.context);
    td__tower_clear(&p.tower, p.context);
    td_context_free(p.context);
}

static void gradients_of_all_weights_agree_with_finite_differences(void **state)
{
    (void)state;
    for (uint32_t heads = 1; heads <= 3; heads += 2) {
        check_tower_gradients(heads, TD_SIMILARITY_DOT, (td_u32_list){0});
        check_tower_gradients(heads, TD_SIMILARITY_COSINE, (td_u32_list){0});
    }
}

static void gradients_of_deep_towers_agree_with_finite_differences(void **state)
{
    (void)state;
    const td_u32_list one = {1, {DIM}}, three = {3, {7, 4, DIM}};
    for (uint32_t heads = 1; heads <= 3; heads += 2) {
        check_tower_gradients(heads, TD_SIMILARITY_DOT, one);
        check_tower_gradients(heads, TD_SIMILARITY_COSINE, one);
        check_tower_gradients(heads, TD_SIMILARITY_DOT, three);
    }
}

/* --- normalisation */

static void normalize(const float *x, float *y, const float *d_y, float *d_x, uint32_t dim)
{
    td_context *context = test_context(1);
    td__layer layer;
    td__normalize_create(&layer, dim, dim);
    td__flow flow = {.count = 1, .input = x, .output = y, .d_output = d_y, .d_input = d_x};
    layer.kind->forward(&layer, context, &flow);
    layer.kind->backward(&layer, context, &flow);
    td__layer_clear(&layer, context);
    td_context_free(context);
}

static void normalized_vectors_have_length_one_and_gradients_across(void **state)
{
    (void)state;
    const float x[3] = {3.0f, 0.0f, 4.0f}, d_y[3] = {1.0f, 2.0f, -1.0f};
    float y[3], d_x[3];
    normalize(x, y, d_y, d_x, 3);
    assert_close((double)y[0], 0.6, 1e-7, 0);
    assert_close((double)y[2], 0.8, 1e-7, 0);
    /* <y, d_y> = -0.2; (d_y + 0.2 y) / 5 */
    assert_close((double)d_x[0], 0.224, 1e-6, 0);
    assert_close((double)d_x[1], 0.4, 1e-6, 0);
    assert_close((double)d_x[2], -0.168, 1e-6, 0);
}

static void zero_and_extreme_vectors_are_safe(void **state)
{
    (void)state;
    const float zero[2] = {0.0f, 0.0f}, tiny[2] = {1e-20f, 0.0f}, huge[2] = {3e38f, 3e38f};
    const float d_y[2] = {1.0f, 1.0f};
    float y[2], d_x[2];
    normalize(zero, y, d_y, d_x, 2);
    assert_true(y[0] == 0.0f && y[1] == 0.0f && d_x[0] == 0.0f && d_x[1] == 0.0f);
    normalize(tiny, y, d_y, d_x, 2);
    assert_true(y[0] == 0.0f && d_x[1] == 0.0f);
    normalize(huge, y, d_y, d_x, 2);
    assert_close((double)y[0], sqrt(0.5), 1e-6, 0);
    assert_true(isfinite(d_x[0]) && isfinite(d_x[1]));
}

/* --- the table */

static void first_weights_follow_their_distribution(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(2);
    for (int kind = TD_INIT_UNIFORM; kind <= TD_INIT_NORMAL; kind++) {
        td__layer layer;
        td__initial initial = {
            .kind = (td_initializer)kind, .scale = 0.5f, .seed = 1, .stream = TD__STREAM_INIT_CANDIDATE};
        assert_ok(td__embedding_create(&layer, context, 4000, 25, &initial, &err));
        double sum = 0.0, squares = 0.0, largest = 0.0;
        for (int i = 0; i < 100000; i++) {
            double w = (double)layer.parameters[0].weights[i];
            sum += w;
            squares += w * w;
            if (fabs(w) > largest) largest = fabs(w);
        }
        double variance = kind == TD_INIT_UNIFORM ? 0.25 / 3 : 0.25;
        assert_close(sum / 1e5, 0.0, 0, 5.0 * sqrt(variance / 1e5));
        assert_close(squares / 1e5, variance, 0.02, 0);
        if (kind == TD_INIT_UNIFORM) assert_true(largest <= 0.5 && largest > 0.499);
        if (kind == TD_INIT_NORMAL) assert_true(largest > 1.5 && largest < 3.5);
        td__layer_clear(&layer, context);
    }
    td_context_free(context);
}

static void streams_and_seeds_give_different_tables(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td__initial initial = {.kind = TD_INIT_UNIFORM, .scale = 1, .stream = TD__STREAM_INIT_QUERY};
    td__layer layers[4];
    for (int i = 0; i < 4; i++) {
        initial.seed = i == 1 ? 9 : 3;
        initial.stream = i == 2 ? TD__STREAM_INIT_CANDIDATE : TD__STREAM_INIT_QUERY;
        assert_ok(td__embedding_create(&layers[i], context, 10, 4, &initial, &err));
    }
    const float *first = layers[0].parameters[0].weights;
    assert_memory_not_equal(first, layers[1].parameters[0].weights, 160);
    assert_memory_not_equal(first, layers[2].parameters[0].weights, 160);
    assert_memory_equal(first, layers[3].parameters[0].weights, 160);
    for (int i = 0; i < 4; i++) td__layer_clear(&layers[i], context);
    td_context_free(context);
}

static void rows_of_unknown_ids_lie_behind_the_known_ones(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td__tower tower = make_tower(context, 1, TD_SIMILARITY_DOT);
    td_vocab *vocab;
    assert_ok(td_vocab_create(&vocab, context, &err));
    for (uint32_t i = 0; i < KNOWN; i++) {
        char id[2] = {(char)('a' + i), '\0'};
        uint32_t position;
        assert_ok(td_vocab_add(vocab, id, 1, &position, &err));
        assert_int_equal(td__tower_row(&tower, vocab, id), i);
    }
    bool used[OOV] = {false};
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "new-%d", i);
        uint32_t row = td__tower_row(&tower, vocab, id);
        assert_int_equal(row, KNOWN + td__vocab_hash(id, strlen(id)) % OOV);
        used[row - KNOWN] = true;
    }
    for (int i = 0; i < OOV; i++) assert_true(used[i]);
    td_vocab_free(vocab);
    td__tower_clear(&tower, context);
    td_context_free(context);
}

/* --- threads, limits, memory */

enum { MANY = 3000 };

static float *forward_with_threads(uint32_t threads)
{
    td_error err;
    td_context *context = test_context(threads);
    td__tower tower;
    td__tower_shape shape = {.known = MANY,
                             .oov_buckets = 1,
                             .heads = 2,
                             .dim = 16,
                             .similarity = TD_SIMILARITY_COSINE};
    td__initial initial = {.kind = TD_INIT_NORMAL, .scale = 1, .stream = TD__STREAM_INIT_QUERY};
    assert_ok(td__tower_create(&tower, context, &shape, &initial, &err));
    td__pass *pass;
    assert_ok(td__pass_create(&pass, context, &tower, MANY, true, &err));
    static uint32_t rows[MANY];
    for (uint32_t i = 0; i < MANY; i++) rows[i] = MANY - i;
    size_t width = td__tower_width(&tower);
    float *both = malloc(2 * MANY * width * sizeof *both);
    td__tower_input input = {.count = MANY, .rows = rows};
    memcpy(both, td__tower_forward(&tower, context, pass, &input), MANY * width * sizeof *both);
    const td__gradient *gradients = td__tower_backward(&tower, context, pass, both);
    memcpy(both + MANY * width, gradients[0].values, MANY * width * sizeof *both);
    td__pass_free(pass, context);
    td__tower_clear(&tower, context);
    td_context_free(context);
    return both;
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    float *one = forward_with_threads(1), *two = forward_with_threads(2);
    float *seven = forward_with_threads(7);
    assert_memory_equal(one, two, 2 * MANY * 32 * sizeof *one);
    assert_memory_equal(one, seven, 2 * MANY * 32 * sizeof *one);
    free(one);
    free(two);
    free(seven);
}

static void towers_that_are_too_large_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td__tower tower;
    td__tower_shape many = {.known = UINT32_MAX - 2, .oov_buckets = 2, .heads = 1, .dim = 1};
    assert_fails(td__tower_create(&tower, context, &many, NULL, &err), TD_ERR_LIMIT, "4294967295 rows");
    td__tower_shape wide = {.known = 1, .oov_buckets = 1, .heads = 64, .dim = 65536};
    assert_fails(td__tower_create(&tower, context, &wide, NULL, &err), TD_ERR_LIMIT, "64 heads");
    td_context_free(context);
}

static td_status create_and_pass(void *state, td_context *context, td_error *err)
{
    (void)state;
    td__tower tower;
    td__pass *pass = NULL;
    td__tower_shape shape = {
        .known = 4, .oov_buckets = 1, .heads = 1, .dim = 3, .similarity = TD_SIMILARITY_COSINE};
    td_status status = td__tower_create(&tower, context, &shape, NULL, err);
    if (status == TD_OK) status = td__pass_create(&pass, context, &tower, 4, true, err);
    td__pass_free(pass, context);
    td__tower_clear(&tower, context);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(create_and_pass, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_all_weights_agree_with_finite_differences),
        cmocka_unit_test(gradients_of_deep_towers_agree_with_finite_differences),
        cmocka_unit_test(normalized_vectors_have_length_one_and_gradients_across),
        cmocka_unit_test(zero_and_extreme_vectors_are_safe),
        cmocka_unit_test(first_weights_follow_their_distribution),
        cmocka_unit_test(streams_and_seeds_give_different_tables),
        cmocka_unit_test(rows_of_unknown_ids_lie_behind_the_known_ones),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(towers_that_are_too_large_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
