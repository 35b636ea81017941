/* plan_test.c -- the plan of a training's memory against the memory that it takes, byte by byte of a
 * counting allocator; tables of 100 million rows; refusals. */
#include "support/tiny_data.h"

#include "base/context.h"
#include "model/layer.h"

enum {
    THREADS = 3,
    PART = TEST_THREAD_SANITIZER ? 8 : 1 /* of the data: one in so many */
};

/* A plan may say so much more than is taken: what td__grow, rare sorts of data and small things leave. */
static const double SLACK = 1.5;
static const int64_t SLACK_BYTES = 3 << 20;

/* --- the plan, and what is taken */

typedef struct world {
    test_memory memory;
    td_context *context;
    td_dataset *train, *validation, *test;
    td_plan_data data;
    td_model_options model;
    td_train_options options;
    td_ials_options ials;
} world;

static void make_parts(world *w, bool weighted)
{
    td_dataset *all, *rest;
    tiny_shape shape = {.queries = 4000 / PART, .candidates = 3000 / PART, .groups = 30,
                        .rows = 60000 / PART, .seed = 5, .weighted = weighted};
    all = tiny_dataset(w->context, &shape);
    tiny_split(&rest, &w->test, all, 0.1);
    tiny_split(&w->train, &w->validation, rest, 0.1);
    td_dataset_free(all);
    td_dataset_free(rest);
}

static world *make_world(bool weighted)
{
    td_error err;
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->memory.fail_at = -1;
    w->context = test_context_on(&w->memory, THREADS);
    make_parts(w, weighted);
    assert_ok(td_plan_data_of(&w->data, w->train, w->validation, w->test, &err));
    w->data.threads = THREADS;
    td_model_options_init(&w->model);
    td_train_options_init(&w->options);
    td_ials_options_init(&w->ials);
    w->model.dim = 48;
    w->options.epochs = w->ials.epochs = 1;
    return w;
}

static void free_world(world *w)
{
    td_dataset_free(w->train);
    td_dataset_free(w->validation);
    td_dataset_free(w->test);
    td_context_free(w->context);
    assert_int_equal(w->memory.blocks, 0);
    free(w);
}

static void check_bound(const char *what, int64_t taken, uint64_t planned)
{
    if (taken > (int64_t)planned) {
        fail_msg("%s takes %lld bytes, and %llu were planned", what, (long long)taken,
                 (unsigned long long)planned);
    }
    if ((double)planned > SLACK * (double)taken + (double)SLACK_BYTES) {
        fail_msg("%s takes %lld bytes only, and %llu were planned", what, (long long)taken,
                 (unsigned long long)planned);
    }
}

static void measure_baseline(const world *w, td_baseline_kind kind)
{
    td_error err;
    td_metrics metrics;
    td_baseline *baseline;
    td_baseline_options options;
    td_baseline_options_init(&options);
    options.kind = kind;
    assert_ok(td_baseline_build(&baseline, w->context, w->train, &options, NULL, &err));
    td_scorer scorer = td_baseline_scorer(baseline);
    assert_ok(td_evaluate(&metrics, w->context, &scorer, w->train, w->test, NULL, NULL, &err));
    td_baseline_free(baseline);
}

/* Train with a validation part: the plan without a test part bounds that. Then measure. */
static void check_training(const char *what, world *w, bool ials)
{
    td_error err;
    td_model *model;
    td_metrics metrics;
    td_memory_plan plan, whole;
    td_plan_data data = w->data;
    data.test_rows = 0;
    if (ials) assert_ok(td_ials_plan(&plan, &data, &w->model, &w->ials, &err));
    else assert_ok(td_train_plan(&plan, &data, &w->model, &w->options, &err));
    assert_ok(td_train_plan(&whole, &w->data, &w->model, &w->options, &err));
    int64_t before = w->memory.peak = w->memory.bytes;
    assert_ok(td_model_create(&model, w->context, w->train, NULL, &w->model, &err));
    if (ials) {
        assert_ok(td_model_train_ials(model, w->train, w->validation, &w->ials, NULL, NULL, &err));
    } else {
        assert_ok(td_model_train(model, w->train, w->validation, &w->options, NULL, NULL, &err));
    }
    check_bound(what, w->memory.peak - before, plan.needed);
    w->memory.peak = w->memory.bytes;
    assert_ok(td_evaluate_model(&metrics, model, w->train, w->test, NULL, NULL, &err));
    check_bound("and then measuring", w->memory.peak - before, whole.model + whole.evaluation);
    td_model_free(model);
}

static void training_takes_what_was_planned(void **state)
{
    (void)state;
    world *w = make_world(false);
    check_training("training", w, false);
    w->options.batch_size = 8192;
    w->options.optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    check_training("training with a large batch", w, false);
    w->options.loss.precision = TD_PRECISION_BFLOAT16;
    check_training("training in bfloat16", w, false);
    w->options.loss.precision = TD_PRECISION_FLOAT32;
    w->options.loss.symmetric = true;
    check_training("training both ways", w, false);
    w->options.loss.symmetric = false;
    w->options.dropout = 0.1f;
    w->options.shuffle = TD_SHUFFLE_NONE;
    w->options.kind = TD_LOSS_BPR;
    w->model.similarity = TD_SIMILARITY_COSINE;
    check_training("training with another loss", w, false);
    free_world(w);
}

static void all_sorts_of_negatives_are_planned(void **state)
{
    (void)state;
    world *w = make_world(true);
    w->options.negatives.kind = TD_NEGATIVES_MIXED;
    w->options.negatives.memory = 3;
    check_training("mixed negatives", w, false);
    w->options.negatives.kind = TD_NEGATIVES_SAMPLED;
    w->options.negatives.memory = 0;
    check_training("sampled negatives", w, false);
    w->options.negatives.kind = TD_NEGATIVES_ALL;
    w->options.group = TD_GROUP_QUERIES;
    w->options.batch_size = 128;
    check_training("all candidates, whole queries", w, false);
    w->options.graph_layers = 3;
    check_training("smoothed over the graph", w, false);
    free_world(w);
}

static void towers_and_heads_are_planned(void **state)
{
    (void)state;
    world *w = make_world(false);
    w->model.heads = 3;
    w->model.query_layers = (td_u32_list){.count = 2, .values = {100, 48}};
    w->model.candidate_layers = (td_u32_list){.count = 1, .values = {48}};
    w->options.loss.hard_negatives = 20;
    check_training("towers with layers and heads", w, false);
    w->options.sampling_correction = TD_SAMPLING_STREAMING;
    check_training("streaming estimates", w, false);
    free_world(w);
}

static void histories_are_planned(void **state)
{
    (void)state;
    world *w = make_world(false);
    w->model.query_tower = TD_QUERY_HISTORY;
    check_training("training on histories", w, false);
    w->model.query_tower = TD_QUERY_ID_HISTORY;
    w->model.history_pooling = TD_POOLING_ATTENTION;
    w->options.optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    w->options.batch_size = 8192;
    check_training("training on histories with attention", w, false);
    w->model.history_length = 5;
    w->options.group = TD_GROUP_QUERIES;
    w->options.batch_size = 3000;
    check_training("training on parts of whole queries", w, false);
    w->options.decoupled = true;
    check_training("training on parts, decoupled", w, false);
    free_world(w);
}

static void rare_ids_share_a_row(void **state)
{
    (void)state;
    world *w = make_world(false);
    w->model.min_count = 12;
    w->options.group = TD_GROUP_QUERIES;
    w->options.batch_size = 16;
    td_error err;
    td_model *model;
    td_memory_plan plan;
    assert_ok(td_train_plan(&plan, &w->data, &w->model, &w->options, &err));
    int64_t before = w->memory.peak = w->memory.bytes;
    assert_ok(td_model_create(&model, w->context, w->train, NULL, &w->model, &err));
    assert_ok(td_model_train(model, w->train, w->validation, &w->options, NULL, NULL, &err));
    assert_true(w->memory.peak - before <= (int64_t)plan.needed);
    td_model_free(model);
    free_world(w);
}

static void ials_takes_what_was_planned(void **state)
{
    (void)state;
    for (int weighted = 0; weighted < 2; weighted++) {
        world *w = make_world(weighted == 1);
        check_training("iALS", w, true);
        free_world(w);
    }
}

static void baselines_take_what_was_planned(void **state)
{
    (void)state;
    world *w = make_world(false);
    for (td_baseline_kind kind = TD_BASELINE_POPULARITY; kind <= TD_BASELINE_EASE; kind++) {
        td_error err;
        td_memory_plan plan;
        w->data.baselines = 1u << kind;
        assert_ok(td_train_plan(&plan, &w->data, &w->model, &w->options, &err));
        int64_t before = w->memory.peak = w->memory.bytes;
        measure_baseline(w, kind);
        check_bound("a baseline", w->memory.peak - before, plan.baselines);
    }
    free_world(w);
}

/* --- the facts that a plan is made from */

static void facts_are_those_of_the_data(void **state)
{
    (void)state;
    static const char *queries[] = {"a", "bb", "a", "a"}, *candidates[] = {"x", "x", "y", "zzz"};
    td_error err;
    td_dataset *dataset;
    td_plan_data data;
    td_context *context = test_context(1);
    td_interactions rows = {.rows = 4, .query_id = queries, .candidate_id = candidates};
    assert_ok(td_dataset_build(&dataset, context, &rows, &err));
    assert_ok(td_plan_data_of(&data, dataset, NULL, dataset, &err));
    assert_int_equal(data.size.rows, 4);
    assert_int_equal(data.size.queries, 2);
    assert_int_equal(data.size.candidates, 3);
    assert_int_equal(data.query_rows_max, 3);
    assert_int_equal(data.candidate_rows_max, 2);
    assert_int_equal(data.id_bytes, 2 + 3 + 2 + 2 + 4); /* each with its NUL */
    assert_int_equal(data.validation_rows, 0);
    assert_int_equal(data.test_rows, 4);
    assert_false(data.weighted || data.timed);
    td_dataset_free(dataset);
    td_context_free(context);
}

static td_status ask(void *state, td_context *context, td_error *err)
{
    td_dataset *dataset = NULL;
    td_plan_data data;
    tiny_shape shape = {.queries = 5, .candidates = 4, .groups = 2, .rows = 30, .seed = 1};
    (void)state;
    td_status status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status == TD_OK) status = td_plan_data_of(&data, dataset, NULL, NULL, err);
    td_dataset_free(dataset);
    return status;
}

static void no_allocation_is_trusted(void **state)
{
    (void)state;
    test_every_allocation(ask, NULL);
}

/* --- large tables */

static td_plan_data large_data(uint32_t ids)
{
    return (td_plan_data){.size = {.rows = 2000000000, .queries = ids, .candidates = ids},
                          .query_rows_max = 100000,
                          .candidate_rows_max = 10000000,
                          .id_bytes = UINT64_C(20) * ids,
                          .test_rows = 1000000,
                          .threads = 8};
}

static void a_hundred_million_rows_are_planned_right(void **state)
{
    (void)state;
    td_error err;
    td_memory_plan plan;
    td_model_options model;
    td_train_options train;
    td_plan_data data = large_data(100000000);
    const uint64_t ids = data.size.queries;
    td_model_options_init(&model);
    td_train_options_init(&train);
    model.dim = 64;
    assert_ok(td_train_plan(&plan, &data, &model, &train, &err));
    uint64_t weights = (2 * (ids + model.oov_buckets)) * 64 * sizeof(float);
    assert_true(plan.copies == weights);
    assert_true(plan.model > weights + data.id_bytes && plan.model < weights + 40000000000);
    assert_true(plan.optimizer > weights + 2 * 4 * ids && plan.optimizer < weights + 900000000);
    assert_true(plan.workspace > 4 * data.size.rows && plan.workspace < 12000000000);
    assert_true(plan.needed > 3 * weights && plan.needed < 4 * weights);
    assert_fails(td_memory_plan_check(&plan, UINT64_C(24) << 30, &err), TD_ERR_LIMIT,
                 "this takes 199 GB of memory beside the data, and 26 GB may be taken");
    train.average_decay = 0.5f;
    td_memory_plan averaged;
    assert_ok(td_train_plan(&averaged, &data, &model, &train, &err));
    assert_true(averaged.copies == 2 * weights && averaged.needed == plan.needed + weights);
    train.average_decay = 0.0f;
    model.dim = 16;
    train.optimizer.optimizer = TD_OPTIMIZER_ADAGRAD_ROWWISE;
    td_memory_plan less;
    assert_ok(td_train_plan(&less, &data, &model, &train, &err));
    assert_true(less.copies < plan.copies / 3 && less.optimizer < plan.optimizer / 20);
}

static void what_no_machine_has_stays_too_much(void **state)
{
    (void)state;
    td_error err;
    td_memory_plan plan;
    td_model_options model;
    td_train_options train;
    td_plan_data data = large_data(UINT32_MAX - 1);
    td_model_options_init(&model);
    td_train_options_init(&train);
    model.dim = 65536;
    data.baselines = 1u << TD_BASELINE_EASE;
    assert_ok(td_train_plan(&plan, &data, &model, &train, &err));
    assert_true(plan.baselines > UINT64_C(1) << 62);
    assert_true(plan.needed >= plan.baselines);
    assert_fails(td_memory_plan_check(&plan, UINT64_MAX - 1, &err), TD_ERR_LIMIT, "16 EB");
    data.size.rows = UINT64_MAX / 2;
    train.batch_size = 16777216;
    train.group = TD_GROUP_QUERIES;
    data.query_rows_max = UINT64_MAX / 2;
    assert_ok(td_train_plan(&plan, &data, &model, &train, &err));
    assert_true(plan.workspace == UINT64_MAX && plan.needed == UINT64_MAX);
}

/* 100 million rows are more floats than an int counts, and more bytes than 32 bits do. */
static void the_last_of_a_hundred_million_rows_moves(void **state)
{
    (void)state;
    enum { ROWS = 100000000, WIDTH = 24 };
    td_error err;
    td__layer layer = {0};
    td_optimizer *optimizer = NULL;
    td_optimizer_options options;
    td_context *context = test_context(2);
    td_optimizer_options_init(&options);
    options.optimizer = TD_OPTIMIZER_SGD;
    if (td__embedding_create(&layer, context, ROWS, WIDTH, NULL, &err) != TD_OK
        || td_optimizer_create(&optimizer, context, ROWS, WIDTH, &options, &err) != TD_OK) {
        td__layer_clear(&layer, context);
        td_context_free(context);
        print_message("SKIPPED: no memory for a table of %d rows\n", ROWS);
        skip();
    }
    uint32_t rows[2] = {ROWS - 1, 7};
    float gradient[2 * WIDTH], out[2 * WIDTH], *table = layer.parameters[0].weights;
    for (uint32_t k = 0; k < 2 * WIDTH; k++) gradient[k] = (float)k;
    for (uint32_t k = 0; k < WIDTH; k++) {
        table[(uint64_t)rows[0] * WIDTH + k] = 1.0f;
        table[(uint64_t)rows[1] * WIDTH + k] = 2.0f;
    }
    assert_ok(td_optimizer_step(optimizer, table, rows, 2, gradient, 0.5, &err));
    td__flow flow = {.count = 2, .rows = rows, .output = out};
    layer.kind->forward(&layer, context, &flow);
    for (uint32_t k = 0; k < WIDTH; k++) {
        assert_true(out[k] == 1.0f - 0.5f * (float)k);
        assert_true(out[WIDTH + k] == 2.0f - 0.5f * (float)(WIDTH + k));
    }
    td_optimizer_free(optimizer);
    td__layer_clear(&layer, context);
    td_context_free(context);
}

/* --- refusals */

static void a_refusal_says_what_would_help(void **state)
{
    (void)state;
    td_error err;
    td_memory_plan plan = {.model = 300000000, .workspace = 5200000000, .needed = 5500000000};
    assert_ok(td_memory_plan_check(&plan, 5500000000, &err));
    assert_fails(td_memory_plan_check(&plan, 5499999999, &err), TD_ERR_LIMIT,
                 "this takes 5.5 GB of memory beside the data, and 5.5 GB may be taken; most of it, 5.2 "
                 "GB, is for the workspace of a step: a smaller batch-size, or fewer negatives would "
                 "make it less");
    plan = (td_memory_plan){.model = 20000000, .optimizer = 41000000, .needed = 61000000};
    assert_fails(td_memory_plan_check(&plan, 1000000, &err), TD_ERR_LIMIT,
                 "61 MB of memory beside the data, and 1.0 MB may be taken; most of it, 41 MB, is for the "
                 "optimizer's state");
}

static void options_are_checked(void **state)
{
    (void)state;
    td_error err;
    td_memory_plan plan;
    td_model_options model;
    td_train_options train;
    td_ials_options ials;
    td_plan_data data = large_data(10);
    td_model_options_init(&model);
    td_train_options_init(&train);
    td_ials_options_init(&ials);
    train.batch_size = 0;
    assert_fails(td_train_plan(&plan, &data, &model, &train, &err), TD_ERR_ARGUMENT, "batch-size");
    assert_int_equal(plan.needed, 0);
    ials.block = 0;
    assert_fails(td_ials_plan(&plan, &data, &model, &ials, &err), TD_ERR_ARGUMENT, "block");
    td_train_options_init(&train);
    model.dim = 0;
    assert_fails(td_train_plan(&plan, &data, &model, &train, &err), TD_ERR_ARGUMENT, "dim");
    td_model_options_init(&model);
    data.threads = 1000;
    assert_fails(td_train_plan(&plan, &data, &model, &train, &err), TD_ERR_LIMIT, "1000 threads");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_takes_what_was_planned),
        cmocka_unit_test(all_sorts_of_negatives_are_planned),
        cmocka_unit_test(towers_and_heads_are_planned),
        cmocka_unit_test(histories_are_planned),
        cmocka_unit_test(rare_ids_share_a_row),
        cmocka_unit_test(ials_takes_what_was_planned),
        cmocka_unit_test(baselines_take_what_was_planned),
        cmocka_unit_test(facts_are_those_of_the_data),
        cmocka_unit_test(no_allocation_is_trusted),
        cmocka_unit_test(a_hundred_million_rows_are_planned_right),
        cmocka_unit_test(what_no_machine_has_stays_too_much),
        cmocka_unit_test(the_last_of_a_hundred_million_rows_moves),
        cmocka_unit_test(a_refusal_says_what_would_help),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
