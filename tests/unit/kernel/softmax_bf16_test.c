/* softmax_bf16_test.c -- the softmax engine in bfloat16 against float64.
 *
 * Two kinds of problems. Exact ones have vectors that rounding leaves as they are, so that scores and
 * losses must be those of float64, and only the rounded weights show in gradients. The others show what
 * training gets. */
#include "support/bf16_by_hand.h"
#include "support/softmax_cases.h"

#include <math.h>

#include "kernel/bf16.h"
#include "kernel/kernel.h"
#include "kernel/softmax_bf16.h"

static softmax_problem exact(uint64_t seed)
{
    softmax_problem p = softmax_usual(seed);
    p.precision = TD_PRECISION_BFLOAT16;
    p.exact = true;
    p.temperature = SOFTMAX_FACTOR_1;
    return p;
}

static softmax_problem rounded(uint64_t seed)
{
    softmax_problem p = softmax_usual(seed);
    p.precision = TD_PRECISION_BFLOAT16;
    return p;
}

/* --- numbers */

static void test_rounding_is_to_nearest_even(void **state)
{
    (void)state;
    const struct {
        float from;
        uint32_t to;
    } known[] = {
        {0.0f, 0x0000},          {-0.0f, 0x8000},         {1.0f, 0x3F80},
        {-2.5f, 0xC020},         {0x1.01p0f, 0x3F80},     {0x1.010002p0f, 0x3F81},
        {0x1.03p0f, 0x3F82},     {0x1.02fffep0f, 0x3F81}, {0x1.fep127f, 0x7F7F},
        {0x1.fefffep127f, 0x7F7F}, {0x1.ffp127f, 0x7F80}, {-0x1.fffffep127f, 0xFF80},
        {INFINITY, 0x7F80},      {-INFINITY, 0xFF80},     {0x1p-126f, 0x0080},
        {0x1.fffffcp-127f, 0},   {-0x1p-149f, 0x8000},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (td__bf16_of(known[i].from) != known[i].to) {
            fail_msg("%a becomes %#x", (double)known[i].from, td__bf16_of(known[i].from));
        }
    }
    assert_true(isnan(td__bf16_value(td__bf16_of(NAN))));
    uint32_t signaling = 0x7F800001;
    float number;
    memcpy(&number, &signaling, sizeof number);
    assert_int_equal(td__bf16_of(number), 0x7FC0); /* its last bits alone would leave infinity */
}

static void test_rounding_is_never_off_by_more_than_half_a_step(void **state)
{
    (void)state;
    uint64_t random = 5;
    for (int i = 0; i < 100000; i++) {
        double number = ldexp(test_uniform(&random, 0.5, 1), (int)test_uniform(&random, -125, 127));
        double back = (double)td__bf16_value(td__bf16_of((float)number));
        assert_true(fabs(back - number) <= 0x1.0001p-8 * number);
    }
}

/* --- exact vectors: all but the weights of negatives is float32's */

static void test_exact_vectors_have_the_losses_of_float64(void **state)
{
    (void)state;
    check_ragged_shapes(exact, 3e-3); /* some have few negatives */
}

static void test_options_with_exact_vectors(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (uint64_t mix = 0; mix < 8; mix++) {
        softmax_problem p = exact(100 + mix);
        p.remove = (mix & 1) != 0;
        p.weighted = (mix & 2) != 0;
        p.biased = (mix & 4) != 0;
        check_forms(p, context, 2e-3);
    }
    td_context_free(context);
}

/* Three candidates of many copies: weights of a third, and gradients that nearly cancel. */
static void test_many_copies_of_few_items(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    softmax_problem p = exact(5);
    p.items = 3;
    p.batch = 300;
    p.queries = 10;
    p.remove = true;
    check_forms(p, context, 1e-2);
    td_context_free(context);
}

/* Scores up to +-2400: exponentials are relative to the largest, nothing overflows, and as the vectors are
 * exact the losses are too. */
static void test_logits_of_a_thousand_do_not_overflow(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    softmax_problem p = exact(31);
    p.size = 12.0f;
    check_forms(p, context, 2e-3);
    assert_true(found.result.repeated > 0);
    assert_true(found.result.loss > 1000.0);
    td_context_free(context);
}

/* --- what training gets */

/* The goal of the engine: 1e-3 of the length of the gradients, at scores that spread by 0.7 or so. */
static void test_gradients_are_within_a_thousandth_of_float64(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    double worst = 0.0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        softmax_problem p = rounded(seed);
        p.queries = p.items = p.batch = 350;
        p.dim = 64;
        p.size = 0.5f; /* 64 products of variance 1/144: scores of 0.67 */
        p.remove = p.weighted = p.biased = seed % 2 == 0;
        softmax_solve(&expected, p);
        for (int merge = 0; merge < 2; merge++) {
            softmax_make_form(&found, &expected, merge == 1, merge == 1);
            softmax_run(&found, context);
            worst = fmax(worst, softmax_error(&found, &expected));
            assert_close(found.result.loss, expected.loss, 1e-4, 0.0);
        }
    }
    if (!(worst <= 1e-3)) fail_msg("gradients off by %.3g of their length", worst);
    td_context_free(context);
}

/* Rounding moves a score by some 2^-9 of itself, and a gradient by as much as the score moves. */
static void test_error_grows_with_the_scores(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    double error[2];
    for (int i = 0; i < 2; i++) {
        softmax_problem p = rounded(7);
        p.queries = p.items = p.batch = 350;
        p.dim = 64;
        p.size = i == 0 ? 0.5f : 1.5f; /* scores of 0.67 and 6 */
        softmax_solve(&expected, p);
        softmax_make_form(&found, &expected, true, true);
        softmax_run(&found, context);
        error[i] = softmax_error(&found, &expected);
    }
    assert_true(error[1] > error[0] && error[1] <= 1e-2);
    td_context_free(context);
}

static void test_temperature_gradient_is_the_slope_of_the_loss(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    softmax_problem p = softmax_usual(41);
    p.remove = p.weighted = p.biased = true;
    p.temperature = 0.8f;
    p.precision = TD_PRECISION_BFLOAT16;
    softmax_solve(&expected, p);
    softmax_make_form(&found, &expected, true, true);
    softmax_run(&found, context);
    assert_close(found.result.d_temperature, expected.d_temperature, 5e-3, 0.0);
    td_context_free(context);
}

/* --- same bits */

static void test_same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    check_same_bits_for_1_2_and_7_threads(varied(TD_PRECISION_BFLOAT16));
}

static void test_sets_that_widen_give_the_bits_of_plain_c(void **state)
{
    (void)state;
    softmax_solve(&expected, varied(TD_PRECISION_BFLOAT16));
    run_on(&found, "ref");
    for (uint32_t set = 1; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->available() || kernels->bf16->native) continue;
        run_on(&again, kernels->name);
        softmax_same_results(&found, &again, kernels->name);
    }
}

/* Their instructions round sums in ways of their own; 4e-6 is 2^-18. */
static void compare_with_plain_c(const char *name)
{
    double right = softmax_error(&found, &expected);
    assert_close(again.result.loss, found.result.loss, 4e-6, 0.0);
    for (uint32_t i = 0; i < found.shape.rows * found.shape.dim; i++) {
        assert_close((double)again.d_rows[i], (double)found.d_rows[i], 1e-2, 1e-3);
    }
    for (uint32_t i = 0; i < found.shape.columns * found.shape.dim; i++) {
        assert_close((double)again.d_columns[i], (double)found.d_columns[i], 1e-2, 1e-3);
    }
    if (!(softmax_error(&again, &expected) <= 1.05 * right)) fail_msg("%s is worse than plain C", name);
}

static void test_sets_with_an_instruction_agree_with_plain_c(void **state)
{
    (void)state;
    softmax_solve(&expected, varied(TD_PRECISION_BFLOAT16));
    run_on(&found, "ref");
    for (uint32_t set = 1; td__kernels_at(set) != NULL; set++) {
        const td__kernels *kernels = td__kernels_at(set);
        if (!kernels->bf16->native) continue;
        if (!kernels->available()) {
            print_message("SKIPPED: this machine cannot run %s\n", kernels->name);
            continue;
        }
        run_on(&again, kernels->name);
        compare_with_plain_c(kernels->name);
    }
}

/* The engine on AVX512_BF16's own source, its two instructions done in plain C. */
static void test_instructions_done_by_hand_give_the_bits_of_plain_c(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (bf16_by_hand_available()) {
        softmax_solve(&expected, varied(TD_PRECISION_BFLOAT16));
        run_on(&found, "ref");
        td_context *context = test_context(1);
        td__kernels by_hand = *context->kernels;
        by_hand.bf16 = &bf16_by_hand;
        context->kernels = &by_hand;
        softmax_make_form(&again, &expected, false, false);
        softmax_run(&again, context);
        softmax_same_results(&found, &again, "by hand");
        td_context_free(context);
        return;
    }
#endif
    print_message("SKIPPED: this machine has no AVX-512 to go with the instructions done by hand\n");
}

/* --- what is not a number */

static void test_numbers_that_are_not_finite_name_the_row(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 0x1.fffp127f}; /* the last when rounded */
    check_bad_numbers(exact(61), bad, 4, 2e-3);
}

/* Vectors below 2^-126 are zeros: the loss of equal scores, gradients of what is left. */
static void test_numbers_below_the_normal_ones_count_as_zero(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    float rows[2] = {0x1p-130f, -0x1p-140f}, columns[2] = {0x1p-127f, 0x1p-149f};
    float d_rows[2], d_columns[2];
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 2, .columns = 2, .entries = 2, .dim = 1,
                               .precision = TD_PRECISION_BFLOAT16};
    td__softmax_batch batch = {.rows = {rows, NULL, 2}, .columns = {columns, NULL, 2},
                               .temperature = 1.0f, .weight_scale = 1.0};
    td__softmax_result result = {.d_rows = d_rows, .d_columns = d_columns};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    assert_ok(td__softmax_compute(softmax, &batch, &result, &err));
    assert_close(result.loss, 2.0 * log(2.0), 1e-6, 0.0);
    for (int i = 0; i < 2; i++) assert_true(fabsf(d_rows[i]) <= 0x1p-127f);
    td__softmax_free(softmax);
    td_context_free(context);
}

/* --- memory */

static void test_compute_allocates_nothing(void **state)
{
    (void)state;
    check_compute_allocates_nothing(varied(TD_PRECISION_BFLOAT16));
}

static void test_workspace_is_what_the_header_says(void **state)
{
    (void)state;
    td_error err;
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 3);
    int64_t before = memory.bytes;
    td__softmax *softmax;
    td__softmax_shape shape = {.rows = 5000, .columns = 3000, .entries = 7000, .dim = 48,
                               .precision = TD_PRECISION_BFLOAT16};
    assert_ok(td__softmax_create(&softmax, context, &shape, &err));
    double stated = (double)td__softmax_bytes(&shape, 3);
    assert_close((double)(memory.bytes - before), stated, 0.0, 4096.0);
    assert_close(stated, 36.0 * 3000 * 48 + 512.0 * 3000 * 3 + 12.0 * 7000, 0.1, 0.0);
    shape = (td__softmax_shape){.rows = 65536, .columns = 65536, .entries = 65536, .dim = 128,
                                .precision = TD_PRECISION_BFLOAT16};
    assert_true(td__softmax_bytes(&shape, 2) < 400000000); /* a matrix of scores: 17 GB */
    td__softmax_free(softmax);
    td_context_free(context);
}

static void test_every_failed_allocation_is_reported(void **state)
{
    (void)state;
    check_every_failed_allocation(TD_PRECISION_BFLOAT16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding_is_to_nearest_even),
        cmocka_unit_test(test_rounding_is_never_off_by_more_than_half_a_step),
        cmocka_unit_test(test_exact_vectors_have_the_losses_of_float64),
        cmocka_unit_test(test_options_with_exact_vectors),
        cmocka_unit_test(test_many_copies_of_few_items),
        cmocka_unit_test(test_logits_of_a_thousand_do_not_overflow),
        cmocka_unit_test(test_gradients_are_within_a_thousandth_of_float64),
        cmocka_unit_test(test_error_grows_with_the_scores),
        cmocka_unit_test(test_temperature_gradient_is_the_slope_of_the_loss),
        cmocka_unit_test(test_same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(test_sets_that_widen_give_the_bits_of_plain_c),
        cmocka_unit_test(test_sets_with_an_instruction_agree_with_plain_c),
        cmocka_unit_test(test_instructions_done_by_hand_give_the_bits_of_plain_c),
        cmocka_unit_test(test_numbers_that_are_not_finite_name_the_row),
        cmocka_unit_test(test_numbers_below_the_normal_ones_count_as_zero),
        cmocka_unit_test(test_compute_allocates_nothing),
        cmocka_unit_test(test_workspace_is_what_the_header_says),
        cmocka_unit_test(test_every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
