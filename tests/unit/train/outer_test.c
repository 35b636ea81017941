/* outer_test.c -- sums of outer products against double precision: widths, lengths, parts, weights. */
#include "support/test.h"

#include <math.h>

#include "train/outer.h"

enum { ROWS = 400, DIM = 160 };

typedef struct world {
    td_context *context;
    float *table; /* [ROWS, DIM] */
    float weight[ROWS];
    uint32_t positions[ROWS]; /* some rows twice, some never */
} world;

static world make_world(void)
{
    world w = {.context = test_context(1), .table = test_normal_vectors(3, ROWS, DIM)};
    uint64_t seed = 8;
    for (uint32_t i = 0; i < ROWS; i++) {
        w.weight[i] = (float)test_uniform(&seed, 0, 3);
        w.positions[i] = (uint32_t)test_uniform(&seed, 0, ROWS);
    }
    return w;
}

static void clear_world(world *w)
{
    free(w->table);
    td_context_free(w->context);
}

static double expected_at(const td__outer_input *in, uint32_t i, uint32_t j)
{
    double sum = 0;
    for (uint64_t n = 0; n < in->count; n++) {
        uint64_t row = in->positions == NULL ? in->first + n : in->positions[n];
        const float *v = in->table + row * in->dim + in->column;
        sum += (in->weight == NULL ? 1.0 : (double)in->weight[n]) * (double)v[i] * (double)v[j];
    }
    return sum;
}

/* The upper triangle is the sum, and nothing below it was touched. */
static void check(const td__outer *outer, const td__outer_input *in)
{
    static float matrix[DIM * DIM];
    uint32_t width = outer->width;
    for (uint32_t i = 0; i < width * width; i++) matrix[i] = -77;
    td__outer_get(outer, matrix);
    for (uint32_t i = 0; i < width; i++) {
        for (uint32_t j = 0; j < width; j++) {
            double value = (double)matrix[i * width + j];
            if (j < i) assert_true(value == -77);
            else assert_close(value, expected_at(in, i, j), 1e-5, 2e-4);
        }
    }
}

/* Around the borders of panels (48) and of the kernels' tiles (6, 8, 16). */
static void every_width_gives_the_upper_triangle(void **state)
{
    (void)state;
    static const uint32_t widths[] = {1, 2, 7, 16, 47, 48, 49, 64, 95, 96, 97, 160};
    td_error err;
    world w = make_world();
    for (uint32_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        td__outer outer;
        td__outer_input in = {
            .table = w.table, .dim = DIM, .positions = w.positions, .count = 50, .weight = w.weight};
        assert_ok(td__outer_init(&outer, w.context, widths[i], &err));
        td__outer_add(&outer, w.context->kernels, &in);
        check(&outer, &in);
        td__outer_clear(&outer, w.context);
    }
    clear_world(&w);
}

/* Around the border of chunks (128). */
static void every_length_is_summed(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 5, 127, 128, 129, 256, 400};
    td_error err;
    world w = make_world();
    td__outer outer;
    assert_ok(td__outer_init(&outer, w.context, 20, &err));
    for (uint32_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (uint32_t weighted = 0; weighted < 2; weighted++) {
            td__outer_input in = {.table = w.table,
                                  .dim = DIM,
                                  .positions = weighted ? w.positions : NULL,
                                  .count = counts[i],
                                  .weight = weighted ? w.weight : NULL};
            td__outer_reset(&outer, 20);
            td__outer_add(&outer, w.context->kernels, &in);
            check(&outer, &in);
        }
    }
    td__outer_clear(&outer, w.context);
    clear_world(&w);
}

static void parts_of_vectors_and_runs_of_rows_can_be_summed(void **state)
{
    (void)state;
    td_error err;
    world w = make_world();
    td__outer outer;
    td__outer_input in = {.table = w.table, .dim = DIM, .column = 61, .first = 300, .count = 100};
    assert_ok(td__outer_init(&outer, w.context, DIM - 61, &err));
    td__outer_add(&outer, w.context->kernels, &in);
    check(&outer, &in);
    td__outer_clear(&outer, w.context);
    clear_world(&w);
}

static void sums_go_on_until_they_are_reset(void **state)
{
    (void)state;
    td_error err;
    world w = make_world();
    td__outer outer;
    td__outer_input first = {.table = w.table, .dim = DIM, .first = 0, .count = 150};
    td__outer_input second = {.table = w.table, .dim = DIM, .first = 150, .count = 30};
    td__outer_input both = {.table = w.table, .dim = DIM, .first = 0, .count = 180};
    assert_ok(td__outer_init(&outer, w.context, 70, &err));
    td__outer_add(&outer, w.context->kernels, &first);
    td__outer_add(&outer, w.context->kernels, &second);
    check(&outer, &both);
    /* A narrower sum in the same room: what the wide one left behind has no effect. */
    td__outer_reset(&outer, 33);
    td__outer_add(&outer, w.context->kernels, &second);
    check(&outer, &second);
    td__outer_clear(&outer, w.context);
    clear_world(&w);
}

static void all_kernel_sets_give_the_same_bits(void **state)
{
    (void)state;
    td_error err;
    world w = make_world();
    static float first[64 * 64], matrix[64 * 64];
    for (uint32_t k = 0; td__kernels_at(k) != NULL; k++) {
        if (!td__kernels_at(k)->available()) continue;
        td__outer outer;
        td__outer_input in = {
            .table = w.table, .dim = DIM, .positions = w.positions, .count = 333, .weight = w.weight};
        assert_ok(td__outer_init(&outer, w.context, 64, &err));
        td__outer_add(&outer, td__kernels_at(k), &in);
        td__outer_get(&outer, matrix);
        if (k == 0) memcpy(first, matrix, sizeof matrix);
        assert_memory_equal(first, matrix, sizeof matrix);
        td__outer_clear(&outer, w.context);
    }
    clear_world(&w);
}

static td_status init_body(void *state, td_context *context, td_error *err)
{
    td__outer outer;
    (void)state;
    td_status status = td__outer_init(&outer, context, 50, err);
    td__outer_clear(&outer, context);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation(init_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_gives_the_upper_triangle),
        cmocka_unit_test(every_length_is_summed),
        cmocka_unit_test(parts_of_vectors_and_runs_of_rows_can_be_summed),
        cmocka_unit_test(sums_go_on_until_they_are_reset),
        cmocka_unit_test(all_kernel_sets_give_the_same_bits),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
