/* softmax_cases.c -- tests of the softmax engine that are the same in each precision. */
#include "support/softmax_cases.h"

#include <math.h>

softmax_truth expected;
softmax_form found, again;

softmax_problem varied(td_precision precision)
{
    softmax_problem p = softmax_usual(21);
    p.precision = precision;
    p.batch = 390;
    p.queries = p.items = 200;
    p.dim = 40;
    p.remove = p.weighted = p.biased = true;
    return p;
}

void run_on(softmax_form *form, const char *kernel)
{
    td_context *context;
    td_error err;
    td_context_options options = {.threads = 1, .kernel = kernel};
    assert_ok(td_context_create(&context, &options, &err));
    softmax_make_form(form, &expected, false, false);
    softmax_run(form, context);
    td_context_free(context);
}

void check_forms(softmax_problem p, td_context *context, double tolerance)
{
    softmax_solve(&expected, p);
    for (int rows = 0; rows < 2; rows++) {
        for (int columns = 0; columns < 2; columns++) {
            if (p.remove && rows == 1 && columns == 0) continue; /* rings: one entry a row */
            softmax_make_form(&found, &expected, rows == 1, columns == 1);
            softmax_run(&found, context);
            softmax_check(&found, &expected, tolerance);
        }
    }
}

void check_ragged_shapes(softmax_problem (*usual)(uint64_t seed), double tolerance)
{
    td_context *context = test_context(2);
    uint64_t random = 11;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        softmax_problem p = usual(seed);
        p.batch = 1 + (uint32_t)test_uniform(&random, 0, 100);
        p.extra = (uint32_t)test_uniform(&random, 0, 60);
        p.dim = 1 + (uint32_t)test_uniform(&random, 0, 100);
        check_forms(p, context, tolerance);
    }
    td_context_free(context);
}

void check_same_bits_for_1_2_and_7_threads(softmax_problem p)
{
    static const uint32_t threads[] = {1, 2, 7};
    softmax_solve(&expected, p);
    for (uint32_t i = 0; i < 3; i++) {
        td_context *context = test_context(threads[i]);
        softmax_make_form(&again, &expected, true, true);
        softmax_run(&again, context);
        td_context_free(context);
        if (i == 0) memcpy(&found, &again, sizeof found);
        softmax_same_results(&found, &again, "threads");
    }
}

void check_bad_numbers(softmax_problem p, const float *bad, int count, double tolerance)
{
    td_error err;
    td_context *context = test_context(2);
    td__softmax *softmax;
    softmax_solve(&expected, p);
    softmax_make_form(&found, &expected, false, false);
    assert_ok(td__softmax_create(&softmax, context, &found.shape, &err));
    for (int i = 0; i < count; i++) {
        softmax_make_form(&found, &expected, false, false);
        found.rows[77 * found.shape.dim + 3] = bad[i];
        assert_fails(td__softmax_compute(softmax, &found.batch, &found.result, &err), TD_ERR_NUMERIC,
                     "row 77");
    }
    softmax_make_form(&found, &expected, false, false);
    found.columns[5] = NAN;
    assert_fails(td__softmax_compute(softmax, &found.batch, &found.result, &err), TD_ERR_NUMERIC,
                 "row 0");
    softmax_make_form(&found, &expected, false, false);
    assert_ok(td__softmax_compute(softmax, &found.batch, &found.result, &err));
    softmax_check(&found, &expected, tolerance);
    td__softmax_free(softmax);
    td_context_free(context);
}

void check_compute_allocates_nothing(softmax_problem p)
{
    td_error err;
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    td__softmax *softmax;
    softmax_solve(&expected, p);
    softmax_make_form(&found, &expected, true, true);
    assert_ok(td__softmax_create(&softmax, context, &found.shape, &err));
    int64_t before = memory.allocations;
    assert_ok(td__softmax_compute(softmax, &found.batch, &found.result, &err));
    assert_int_equal(memory.allocations, before);
    td__softmax_free(softmax);
    td_context_free(context);
    assert_int_equal(memory.blocks, 0);
}

static td_status create_and_free(void *state, td_context *context, td_error *err)
{
    td__softmax *softmax;
    const td__softmax_shape *shape = state;
    td_status status = td__softmax_create(&softmax, context, shape, err);
    td__softmax_free(softmax);
    return status;
}

void check_every_failed_allocation(td_precision precision)
{
    td__softmax_shape shape = {.rows = 10, .columns = 20, .entries = 10, .dim = 8,
                               .precision = precision};
    test_every_allocation(create_and_free, &shape);
}
