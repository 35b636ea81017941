/* step_loss_test.c -- the loss on distinct rows is the loss of the batch with all its repetitions. */
#include "support/test.h"

#include <math.h>

#include "train/step_loss.h"

enum { COUNT = 200, QUERIES = 30, CANDIDATES = 40, DIM = 12, HEADS_MAX = 2 };

/* A batch of interactions among few distinct rows, and its vectors. */
typedef struct drawn {
    uint32_t query_of[COUNT], candidate_of[COUNT], rows[CANDIDATES];
    uint64_t candidate_id[COUNT], query_id[COUNT];
    float weight[COUNT], probability[COUNT];
    float query[QUERIES * HEADS_MAX * DIM], candidate[CANDIDATES * DIM];
    float d_query[QUERIES * HEADS_MAX * DIM], d_candidate[CANDIDATES * DIM];
    td__batch batch;
    td__step_vectors vectors;
    uint32_t heads;
    td_train_options options; /* those of the loss matter */
} drawn;

/* What to switch on, one bit each. */
enum {
    REMOVE = 1,
    WEIGHTS = 2,
    PROBABILITIES = 4,
    MEAN = 8,
    TEMPERATURE = 16,
    HEADS = 32,
    SMOOTHING = 64,
    HARD = 128,
    SYMMETRIC = 256,
    ALL = 512
};

static void draw_numbers(drawn *d, uint64_t seed)
{
    for (uint32_t i = 0; i < QUERIES * HEADS_MAX * DIM; i++) {
        d->query[i] = (float)test_uniform(&seed, -1, 1);
    }
    for (uint32_t i = 0; i < CANDIDATES * DIM; i++) d->candidate[i] = (float)test_uniform(&seed, -1, 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        double skew = test_uniform(&seed, 0, 1); /* some candidates occur often */
        d->query_of[i] = i < QUERIES ? i : (uint32_t)test_uniform(&seed, 0, QUERIES);
        d->candidate_of[i] = i < CANDIDATES ? i : (uint32_t)(skew * skew * CANDIDATES);
        d->candidate_id[i] = 1000 + 7 * (uint64_t)d->candidate_of[i];
        d->query_id[i] = 5 + 3 * (uint64_t)d->query_of[i];
        d->weight[i] = i % 9 == 0 ? 0.0f : (float)test_uniform(&seed, 0, 2);
        d->probability[i] = 0.01f + 0.001f * (float)d->candidate_of[i];
    }
    for (uint32_t i = 0; i < CANDIDATES; i++) d->rows[i] = i;
}

static void draw(drawn *d, uint64_t seed, unsigned with)
{
    memset(d, 0, sizeof *d);
    draw_numbers(d, seed);
    d->heads = (with & HEADS) != 0 ? 2 : 1;
    td_train_options_init(&d->options);
    d->options.loss.remove_accidental_hits = (with & REMOVE) != 0;
    d->options.loss.symmetric = (with & SYMMETRIC) != 0;
    d->options.loss.reduction = (with & MEAN) != 0 ? TD_REDUCTION_MEAN : TD_REDUCTION_SUM;
    if ((with & TEMPERATURE) != 0) d->options.loss.temperature = 0.4f;
    if ((with & SMOOTHING) != 0) d->options.loss.label_smoothing = 0.1f;
    if ((with & HARD) != 0) d->options.loss.hard_negatives = 20;
    d->batch = (td__batch){.count = COUNT,
                           .queries = {QUERIES, d->rows, d->query_of},
                           .candidates = {CANDIDATES, d->rows, d->candidate_of},
                           .candidate_id = d->candidate_id,
                           .weight = (with & WEIGHTS) != 0 ? d->weight : NULL,
                           .probability = (with & PROBABILITIES) != 0 ? d->probability : NULL};
    d->vectors = (td__step_vectors){.query = d->query, .candidate = d->candidate,
                                    .d_query = d->d_query, .d_candidate = d->d_candidate};
}

static td__step_loss_shape shape_of_step(const drawn *d)
{
    return (td__step_loss_shape){
        .batch = {COUNT, COUNT, COUNT}, .heads = d->heads, .dim = DIM};
}

static td_retrieval_shape shape_of_task(const drawn *d)
{
    return (td_retrieval_shape){
        .queries_max = COUNT, .candidates_max = COUNT, .heads = d->heads, .dim = DIM};
}

static td_status run(drawn *d, td_context *context, double *sum, td_error *err)
{
    td__step_loss *loss;
    td__step_loss_shape shape = shape_of_step(d);
    td_status status = td__step_loss_create(&loss, context, &shape, &d->options, err);
    if (status == TD_OK) status = td__step_loss_compute(loss, &d->batch, &d->vectors, sum, err);
    td__step_loss_free(loss);
    return status;
}

/* --- the same by the task, on a vector for every interaction */

static float wide_query[COUNT * HEADS_MAX * DIM], wide_candidate[COUNT * DIM];
static float d_wide_query[COUNT * HEADS_MAX * DIM], d_wide_candidate[COUNT * DIM];

static double task_loss(const drawn *d, td_context *context)
{
    td_error err;
    td_retrieval *task;
    td_retrieval_shape shape = shape_of_task(d);
    uint32_t width = d->heads * DIM;
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(wide_query + i * width, d->query + d->query_of[i] * width, width * sizeof(float));
        memcpy(wide_candidate + i * DIM, d->candidate + d->candidate_of[i] * DIM, DIM * sizeof(float));
    }
    td_retrieval_batch batch = {.queries = COUNT, .candidates = COUNT, .heads = d->heads, .dim = DIM,
                                .query = wide_query, .candidate = wide_candidate,
                                .sample_weight = d->batch.weight,
                                .sampling_probability = d->batch.probability,
                                .candidate_id = d->candidate_id,
                                .query_id = d->query_id};
    td_retrieval_result result = {.d_query = d_wide_query, .d_candidate = d_wide_candidate};
    assert_ok(td_retrieval_create(&task, context, &shape, &d->options.loss, &err));
    assert_ok(td_retrieval_compute(task, &batch, &result, &err));
    td_retrieval_free(task);
    return d->options.loss.reduction == TD_REDUCTION_MEAN ? result.loss * COUNT : result.loss;
}

/* Are the gradients of the distinct rows the sums of those of the interactions? */
static void assert_summed(const float *distinct, uint32_t count, const float *wide, const uint32_t *of,
                          uint32_t width, const char *what)
{
    double difference = 0.0, norm = 0.0;
    for (uint32_t r = 0; r < count; r++) {
        for (uint32_t k = 0; k < width; k++) {
            double sum = 0.0;
            for (uint32_t i = 0; i < COUNT; i++) {
                if (of[i] == r) sum += (double)wide[i * width + k];
            }
            double gap = (double)distinct[r * width + k] - sum;
            difference += gap * gap;
            norm += sum * sum;
        }
    }
    if (!(difference <= 4e-12 * norm)) fail_msg("%s: off by %.3g", what, sqrt(difference / norm));
}

static void distinct_rows_give_the_sums_of_their_interactions(void **state)
{
    (void)state;
    static drawn d;
    td_context *context = test_context(2);
    for (unsigned with = 0; with < ALL; with++) {
        td_error err;
        double sum;
        if ((with & SYMMETRIC) != 0 && (with & HEADS) != 0) continue;
        draw(&d, with + 1, with);
        assert_ok(run(&d, context, &sum, &err));
        assert_close(sum, task_loss(&d, context), 1e-6, 0);
        assert_summed(d.d_query, QUERIES, d_wide_query, d.query_of, d.heads * DIM, "queries");
        assert_summed(d.d_candidate, CANDIDATES, d_wide_candidate, d.candidate_of, DIM, "candidates");
    }
    td_context_free(context);
}

static void same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    static drawn first, again;
    static const uint32_t threads[] = {1, 2, 7};
    double loss = 0.0;
    for (int i = 0; i < 3; i++) {
        td_error err;
        double sum;
        td_context *context = test_context(threads[i]);
        draw(&again, 5, REMOVE | WEIGHTS | PROBABILITIES | SYMMETRIC);
        assert_ok(run(&again, context, &sum, &err));
        td_context_free(context);
        if (i == 0) {
            first = again;
            loss = sum;
        }
        assert_true(sum == loss);
        assert_memory_equal(first.d_query, again.d_query, sizeof first.d_query);
        assert_memory_equal(first.d_candidate, again.d_candidate, sizeof first.d_candidate);
    }
}

static void compute_allocates_nothing(void **state)
{
    (void)state;
    static drawn d;
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    static const unsigned some[] = {0, HEADS, SYMMETRIC};
    for (int i = 0; i < 3; i++) {
        unsigned with = some[i];
        td_error err;
        td__step_loss *loss;
        double sum;
        draw(&d, 3, with);
        td__step_loss_shape shape = shape_of_step(&d);
        assert_ok(td__step_loss_create(&loss, context, &shape, &d.options, &err));
        int64_t before = memory.allocations;
        assert_ok(td__step_loss_compute(loss, &d.batch, &d.vectors, &sum, &err));
        assert_int_equal(memory.allocations, before);
        td__step_loss_free(loss);
    }
    td_context_free(context);
    assert_int_equal(memory.blocks, 0);
}

static void symmetric_needs_the_softmax_and_one_head(void **state)
{
    (void)state;
    static drawn d;
    td_error err;
    double sum;
    td_context *context = test_context(1);
    draw(&d, 3, SYMMETRIC | HEADS);
    assert_fails(run(&d, context, &sum, &err), TD_ERR_ARGUMENT, "one vector a query; heads is 2");
    draw(&d, 3, SYMMETRIC);
    d.options.kind = TD_LOSS_CCL;
    assert_fails(run(&d, context, &sum, &err), TD_ERR_ARGUMENT, "works with loss softmax");
    td_context_free(context);
}

/* ln of the sum over what a query neither asks for nor is known to have, each with its copies, minus the
 * score: over the repeated interactions, by the words of the headers. */
static double decoupled_loss(const drawn *d, bool has[QUERIES][CANDIDATES])
{
    double sum = 0.0;
    for (uint32_t i = 0; i < COUNT; i++) {
        double others = 0.0, own = 0.0;
        const float *query = d->query + d->query_of[i] * DIM;
        for (uint32_t j = 0; j < COUNT; j++) {
            double score = 0.0;
            for (uint32_t k = 0; k < DIM; k++) {
                score += (double)query[k] * (double)d->candidate[d->candidate_of[j] * DIM + k];
            }
            if (j == i) own = score;
            if (!has[d->query_of[i]][d->candidate_of[j]]) others += exp(score);
        }
        sum += log(others) - own;
    }
    return sum;
}

static void what_a_query_is_known_to_have_is_no_negative(void **state)
{
    (void)state;
    static drawn d;
    static bool has[QUERIES][CANDIDATES];
    uint32_t offset[QUERIES + 1], column[QUERIES * 3];
    td_error err;
    double sum;
    td_context *context = test_context(1);
    draw(&d, 6, 0);
    d.options.decoupled = true;
    for (uint32_t i = 0; i < COUNT; i++) has[d.query_of[i]][d.candidate_of[i]] = true;
    assert_ok(run(&d, context, &sum, &err));
    assert_close(sum, decoupled_loss(&d, has), 1e-5, 0);
    for (uint32_t q = 0; q <= QUERIES; q++) offset[q] = 3 * q;
    for (uint32_t i = 0; i < 3 * QUERIES; i++) {
        column[i] = (7 * i + i / 3) % CANDIDATES;
        has[i / 3][column[i]] = true;
    }
    d.batch.known_offset = offset;
    d.batch.known_column = column;
    double before = sum;
    assert_ok(run(&d, context, &sum, &err));
    assert_close(sum, decoupled_loss(&d, has), 1e-5, 0);
    assert_true(sum < before - 1.0);
    td_context_free(context);
}

static void decoupled_is_for_the_plain_softmax(void **state)
{
    (void)state;
    static drawn d;
    td_context *context = test_context(1);
    double with, without;
    td_error err;
    draw(&d, 3, WEIGHTS);
    assert_ok(run(&d, context, &with, &err));
    d.options.decoupled = true;
    assert_ok(run(&d, context, &without, &err));
    assert_true(without < with);
    for (int i = 0; i < 4; i++) {
        draw(&d, 3, i == 0 ? HARD : i == 1 ? SMOOTHING : i == 2 ? SYMMETRIC : 0);
        d.options.decoupled = true;
        if (i == 3) d.options.kind = TD_LOSS_BPR;
        assert_fails(run(&d, context, &with, &err), TD_ERR_ARGUMENT, "decoupled works with loss softmax");
    }
    td_context_free(context);
}

static void losses_that_are_no_number_are_refused(void **state)
{
    (void)state;
    static drawn d;
    td_context *context = test_context(1);
    for (unsigned with = 0; with <= HEADS; with += HEADS) {
        td_error err;
        double sum;
        draw(&d, 3, with);
        d.query[5] = NAN;
        assert_fails(run(&d, context, &sum, &err), TD_ERR_NUMERIC, "row");
        draw(&d, 3, with | WEIGHTS);
        d.weight[7] = INFINITY;
        assert_fails(run(&d, context, &sum, &err), TD_ERR_NUMERIC, "");
    }
    td_context_free(context);
}

static td_status run_anew(void *state, td_context *context, td_error *err)
{
    double sum;
    return run(state, context, &sum, err);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    static drawn d;
    draw(&d, 3, 0);
    test_every_allocation(run_anew, &d);
    draw(&d, 3, HEADS | REMOVE);
    test_every_allocation(run_anew, &d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distinct_rows_give_the_sums_of_their_interactions),
        cmocka_unit_test(same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(compute_allocates_nothing),
        cmocka_unit_test(symmetric_needs_the_softmax_and_one_head),
        cmocka_unit_test(what_a_query_is_known_to_have_is_no_negative),
        cmocka_unit_test(decoupled_is_for_the_plain_softmax),
        cmocka_unit_test(losses_that_are_no_number_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
