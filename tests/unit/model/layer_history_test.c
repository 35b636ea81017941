/* layer_history_test.c -- bags and the layer that pools them: values against float64, gradients of all
 * weights against finite differences, those of the shared table too; threads; failing memory. */
#include <math.h>

#include "model/tower.h"
#include "support/test.h"

enum { ITEMS = 12, DIM = 5, LISTS = 4, KNOWN = 3, ENTRIES = 24 };

/* Lists of rows of the shared table: with a double, empty, and with rows in common. */
static const uint32_t list_rows[LISTS][6] = {
    {3, 7, 3, 11, TD_NONE, 0}, {0}, {7}, {11, 2, 0, 7, 5, 9}};
static const uint32_t list_counts[LISTS] = {6, 0, 1, 6};
static const uint32_t id_rows[LISTS] = {1, 0, 1, 3}; /* one of them twice, one unknown */

typedef struct fixture {
    td_context *context;
    float *items; /* [ITEMS, DIM] */
    td__parameter shared;
    td__tower tower;
    td__bag *bag;
    td__pass *pass;
    float *direction; /* [LISTS, DIM]: the loss is <direction, output> */
} fixture;

static td__bag_shape shape_of(td_pooling pooling)
{
    return (td__bag_shape){.lists = LISTS,
                           .entries = ENTRIES,
                           .table_rows = ITEMS,
                           .dim = DIM,
                           .pooling = pooling,
                           .training = true};
}

static td_status create(fixture *f, td_context *context, td_pooling pooling, td_similarity similarity,
                        td_error *err)
{
    td__bag_shape bag = shape_of(pooling);
    td__initial initial = {
        .kind = TD_INIT_NORMAL, .scale = 1.0f, .seed = 5, .stream = TD__STREAM_INIT_QUERY};
    f->context = context;
    f->shared = (td__parameter){.rows = ITEMS, .cols = DIM, .weights = f->items};
    td__tower_shape shape = {.known = KNOWN,
                             .oov_buckets = 1,
                             .heads = 1,
                             .dim = DIM,
                             .similarity = similarity,
                             .shared = &f->shared,
                             .pooling = pooling};
    td_status status = td__tower_create(&f->tower, context, &shape, &initial, err);
    if (status == TD_OK) status = td__bag_create(&f->bag, context, &bag, err);
    if (status == TD_OK) status = td__pass_create(&f->pass, context, &f->tower, LISTS, true, err);
    return status;
}

static void clear(fixture *f)
{
    td__pass_free(f->pass, f->context);
    td__bag_free(f->bag, f->context);
    td__tower_clear(&f->tower, f->context);
}

static void set_up(fixture *f, uint32_t threads, td_pooling pooling, td_similarity similarity)
{
    td_error err;
    *f = (fixture){.items = test_normal_vectors(3, ITEMS, DIM),
                   .direction = test_normal_vectors(77, LISTS, DIM)};
    assert_ok(create(f, test_context(threads), pooling, similarity, &err));
    td__parameter *table = td__tower_parameter(&f->tower, 0);
    for (uint32_t k = 0; k < DIM; k++) table->weights[KNOWN * DIM + k] = 0.25f * (float)k;
}

static void tear_down(fixture *f)
{
    clear(f);
    free(f->items);
    free(f->direction);
    td_context_free(f->context);
}

static void fill(td__bag *bag)
{
    td__bag_start(bag);
    for (uint32_t i = 0; i < LISTS; i++) {
        td__bag_open(bag);
        td__bag_add(bag, list_rows[i], list_counts[i], 0);
    }
    td__bag_finish(bag);
}

static const float *run(const fixture *f)
{
    td__tower_input input = {.count = LISTS, .rows = id_rows, .bag = f->bag};
    fill(f->bag);
    return td__tower_forward(&f->tower, f->context, f->pass, &input);
}

/* --- values */

static uint32_t distinct_of(uint32_t list, uint32_t *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list_counts[list]; i++) {
        bool there = list_rows[list][i] == TD_NONE;
        for (uint32_t j = 0; j < count; j++) there = there || out[j] == list_rows[list][i];
        if (!there) out[count++] = list_rows[list][i];
    }
    return count;
}

/* <x, tanh(W e + b)> in double. */
static double score_of(fixture *f, const float *x, const float *e)
{
    const float *w = td__tower_parameter(&f->tower, 1)->weights;
    const float *b = td__tower_parameter(&f->tower, 2)->weights;
    double score = 0.0;
    for (uint32_t k = 0; k < DIM; k++) {
        double sum = (double)b[k];
        for (uint32_t i = 0; i < DIM; i++) sum += (double)e[i] * (double)w[i * DIM + k];
        score += (double)x[k] * tanh(sum);
    }
    return score;
}

static void check_list(fixture *f, td_pooling pooling, uint32_t list, const float *out)
{
    uint32_t rows[6], count = distinct_of(list, rows);
    const float *x = td__tower_parameter(&f->tower, 0)->weights + id_rows[list] * DIM;
    double weights[6], sum = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        bool attention = pooling == TD_POOLING_ATTENTION;
        weights[i] = attention ? exp(score_of(f, x, f->items + rows[i] * DIM)) : 1.0;
        sum += weights[i];
    }
    if (pooling == TD_POOLING_SQRT) sum = sqrt(sum);
    for (uint32_t k = 0; k < DIM; k++) {
        double y = (double)x[k];
        for (uint32_t i = 0; i < count; i++) y += weights[i] / sum * (double)f->items[rows[i] * DIM + k];
        assert_close((double)out[k], y, 1e-5, 1e-6);
    }
}

static void histories_are_pooled_as_in_float64(void **state)
{
    (void)state;
    for (int pooling = TD_POOLING_MEAN; pooling <= TD_POOLING_ATTENTION; pooling++) {
        fixture f;
        set_up(&f, 2, (td_pooling)pooling, TD_SIMILARITY_DOT);
        const float *out = run(&f);
        for (uint32_t i = 0; i < LISTS; i++) check_list(&f, (td_pooling)pooling, i, out + i * DIM);
        tear_down(&f);
    }
}

/* --- gradients */

static double loss_of(const fixture *f)
{
    const float *out = run(f);
    double loss = 0.0;
    for (uint32_t i = 0; i < LISTS * DIM; i++) loss += (double)out[i] * (double)f->direction[i];
    return loss;
}

/* The gradient of weight (row, col) as the backward pass gives it: the sum over all mentions of the row. */
static double given(const td__gradient *gradient, uint64_t row, uint32_t cols, uint32_t col)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < gradient->count; i++) {
        uint64_t touched = gradient->touched == NULL ? i : gradient->touched[i];
        if (touched == row) sum += (double)gradient->values[i * cols + col];
    }
    return sum;
}

static void check_parameter(const fixture *f, const td__parameter *parameter,
                            const td__gradient *gradient)
{
    for (uint64_t at = 0; at < parameter->rows * parameter->cols; at++) {
        float *weight = &parameter->weights[at], before = *weight;
        double found = given(gradient, at / parameter->cols, parameter->cols,
                             (uint32_t)(at % parameter->cols));
        *weight = before + 1.0f / 128;
        double above = loss_of(f), high = (double)*weight;
        *weight = before - 1.0f / 128;
        double below = loss_of(f), low = (double)*weight;
        *weight = before;
        assert_close(found, (above - below) / (high - low), 2e-3, 4e-4);
    }
}

static td__gradient copy_of(const td__gradient *from, uint32_t cols, float *values, uint32_t *touched)
{
    memcpy(values, from->values, from->count * cols * sizeof *values);
    if (from->touched != NULL) memcpy(touched, from->touched, from->count * sizeof *touched);
    return (td__gradient){.touched = from->touched == NULL ? NULL : touched,
                          .count = from->count,
                          .values = values};
}

/* Every weight of the tower, and every number of the table that the histories share. */
static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    for (int variant = 0; variant < 6; variant++) {
        fixture f;
        td_pooling pooling = (td_pooling)(variant / 2);
        float values[ITEMS * DIM];
        uint32_t touched[ITEMS], parameters = 0;
        set_up(&f, 2, pooling, (td_similarity)(variant % 2));
        td__parameter *parameter;
        for (; (parameter = td__tower_parameter(&f.tower, parameters)) != NULL; parameters++) {
            (void)run(&f);
            const td__gradient *all =
                td__tower_backward(&f.tower, f.context, f.pass, f.direction);
            td__gradient kept = copy_of(&all[parameters], parameter->cols, values, touched);
            check_parameter(&f, parameter, &kept);
        }
        assert_int_equal(parameters, pooling == TD_POOLING_ATTENTION ? 3 : 1);
        (void)run(&f);
        (void)td__tower_backward(&f.tower, f.context, f.pass, f.direction);
        td__gradient shared = td__bag_gradient(f.bag);
        assert_int_equal(shared.count, 7); /* rows 0, 2, 3, 5, 7, 9, 11 */
        td__gradient kept = copy_of(&shared, DIM, values, touched);
        check_parameter(&f, &f.shared, &kept);
        tear_down(&f);
    }
}

/* No history at all is no reason to stop. */
static void empty_bags_give_the_vectors_as_they_are(void **state)
{
    (void)state;
    for (int pooling = TD_POOLING_MEAN; pooling <= TD_POOLING_ATTENTION; pooling++) {
        fixture f;
        set_up(&f, 2, (td_pooling)pooling, TD_SIMILARITY_DOT);
        td__bag_start(f.bag);
        for (uint32_t i = 0; i < LISTS; i++) td__bag_open(f.bag);
        td__bag_finish(f.bag);
        td__tower_input input = {.count = LISTS, .rows = id_rows, .bag = f.bag};
        const float *out = td__tower_forward(&f.tower, f.context, f.pass, &input);
        const float *table = td__tower_parameter(&f.tower, 0)->weights;
        for (uint32_t i = 0; i < LISTS; i++) {
            assert_memory_equal(out + i * DIM, table + id_rows[i] * DIM, DIM * sizeof *out);
        }
        const td__gradient *gradients =
            td__tower_backward(&f.tower, f.context, f.pass, f.direction);
        assert_memory_equal(gradients[0].values, f.direction, LISTS * DIM * sizeof(float));
        assert_int_equal(td__bag_gradient(f.bag).count, 0);
        for (int i = 0; pooling == TD_POOLING_ATTENTION && i < DIM * DIM; i++) {
            assert_true(gradients[1].values[i] == 0.0f);
        }
        tear_down(&f);
    }
}

/* --- bags */

static void lists_lack_what_they_are_to_lack(void **state)
{
    (void)state;
    fixture f;
    const uint32_t rows[5] = {4, 8, 4, 6, 1};
    set_up(&f, 1, TD_POOLING_MEAN, TD_SIMILARITY_DOT);
    for (int again = 0; again < 2; again++) {
        td__bag_start(f.bag);
        td__bag_open(f.bag);
        td__bag_leave_out(f.bag, 6);
        td__bag_leave_out(f.bag, 10);
        td__bag_add(f.bag, rows, 5, 0);
        td__bag_open(f.bag); /* what the list before lacked is nothing to this one */
        td__bag_add(f.bag, rows, 5, 2);
        td__bag_finish(f.bag);
        assert_int_equal(f.bag->count, 2);
        assert_int_equal(f.bag->offset[1], 3);
        assert_int_equal(f.bag->offset[2], 5);
        const uint32_t expected[5] = {1, 4, 8, 1, 6}; /* from the end on */
        for (int i = 0; i < 5; i++) assert_int_equal(f.bag->rows[f.bag->item[i]], expected[i]);
        assert_int_equal(f.bag->distinct, 4);
        assert_int_equal(f.bag->list_of[f.bag->entry[f.bag->back[0] + 1]], 1);
    }
    tear_down(&f);
}

static void the_number_of_lists_may_pass_two_to_the_32(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, 1, TD_POOLING_MEAN, TD_SIMILARITY_DOT);
    f.bag->number = UINT32_MAX - 1;
    f.bag->taken[7] = 1; /* as of long ago */
    fill(f.bag);
    assert_int_equal(f.bag->offset[LISTS], 4 + 1 + 6);
    tear_down(&f);
}

static void too_many_entries_are_refused(void **state)
{
    (void)state;
    td_error err;
    td__bag *bag;
    td_context *context = test_context(1);
    td__bag_shape shape = shape_of(TD_POOLING_MEAN);
    shape.entries = TD_NONE;
    assert_fails(td__bag_create(&bag, context, &shape, &err), TD_ERR_LIMIT, "history-length");
    assert_null(bag);
    td_context_free(context);
}

static void the_bytes_of_a_bag_are_known_before(void **state)
{
    (void)state;
    for (int pooling = TD_POOLING_MEAN; pooling <= TD_POOLING_ATTENTION; pooling++) {
        td_error err;
        td__bag *bag;
        test_memory memory = {.fail_at = -1};
        td_context *context = test_context_on(&memory, 1);
        td__bag_shape shape = {.lists = 1000, .entries = 70000, .table_rows = 5000, .dim = 32,
                               .pooling = (td_pooling)pooling, .training = pooling != 1};
        int64_t before = memory.bytes;
        assert_ok(td__bag_create(&bag, context, &shape, &err));
        assert_close((double)(memory.bytes - before), (double)td__bag_bytes(&shape), 1e-2, 0);
        td__bag_free(bag, context);
        td_context_free(context);
    }
}

/* --- threads and memory */

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    enum { MANY = 150, LENGTH = 40, TABLE = 400, WIDE = 24 };
    const uint32_t threads[3] = {1, 2, 7};
    static float out[3][MANY * WIDE], gradients[3][TABLE * WIDE];
    static uint32_t rows[MANY];
    for (int pooling = TD_POOLING_MEAN; pooling <= TD_POOLING_ATTENTION; pooling++) {
        uint32_t distinct[3];
        for (int t = 0; t < 3; t++) {
            td_error err;
            fixture f = {.items = test_normal_vectors(3, TABLE, WIDE),
                         .context = test_context(threads[t])};
            uint64_t numbers = 8;
            td__initial initial = {.scale = 1.0f, .seed = 5, .stream = TD__STREAM_INIT_QUERY};
            td__bag_shape bag = {.lists = MANY, .entries = MANY * LENGTH, .table_rows = TABLE,
                                 .dim = WIDE, .pooling = (td_pooling)pooling, .training = true};
            f.shared = (td__parameter){.rows = TABLE, .cols = WIDE, .weights = f.items};
            td__tower_shape shape = {.known = MANY, .oov_buckets = 1, .heads = 1, .dim = WIDE,
                                     .shared = &f.shared, .pooling = (td_pooling)pooling};
            assert_ok(td__tower_create(&f.tower, f.context, &shape, &initial, &err));
            assert_ok(td__bag_create(&f.bag, f.context, &bag, &err));
            assert_ok(td__pass_create(&f.pass, f.context, &f.tower, MANY, true, &err));
            td__bag_start(f.bag);
            for (uint32_t i = 0; i < MANY; i++) {
                uint32_t list[LENGTH];
                rows[i] = i;
                for (uint32_t j = 0; j < LENGTH; j++) {
                    list[j] = (uint32_t)test_uniform(&numbers, 0, TABLE - 0.001);
                }
                td__bag_open(f.bag);
                td__bag_add(f.bag, list, i % LENGTH, 0);
            }
            td__bag_finish(f.bag);
            td__tower_input input = {.count = MANY, .rows = rows, .bag = f.bag};
            const float *y = td__tower_forward(&f.tower, f.context, f.pass, &input);
            memcpy(out[t], y, sizeof out[t]);
            (void)td__tower_backward(&f.tower, f.context, f.pass, out[t]);
            td__gradient shared = td__bag_gradient(f.bag);
            distinct[t] = (uint32_t)shared.count;
            memcpy(gradients[t], shared.values, shared.count * WIDE * sizeof(float));
            clear(&f);
            free(f.items);
            td_context_free(f.context);
        }
        for (int t = 1; t < 3; t++) {
            assert_int_equal(distinct[t], distinct[0]);
            assert_memory_equal(out[t], out[0], sizeof out[0]);
            assert_memory_equal(gradients[t], gradients[0], distinct[0] * WIDE * sizeof(float));
        }
    }
}

static td_status create_all(void *state, td_context *context, td_error *err)
{
    fixture *f = state;
    float *items = f->items;
    *f = (fixture){.items = items};
    td_status status = create(f, context, TD_POOLING_ATTENTION, TD_SIMILARITY_COSINE, err);
    if (status == TD_OK) (void)run(f);
    clear(f);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture f = {.items = test_normal_vectors(3, ITEMS, DIM)};
    test_every_allocation(create_all, &f);
    free(f.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_are_pooled_as_in_float64),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(empty_bags_give_the_vectors_as_they_are),
        cmocka_unit_test(lists_lack_what_they_are_to_lack),
        cmocka_unit_test(the_number_of_lists_may_pass_two_to_the_32),
        cmocka_unit_test(too_many_entries_are_refused),
        cmocka_unit_test(the_bytes_of_a_bag_are_known_before),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
