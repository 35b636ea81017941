/* graph_test.c -- tables smoothed over the graph: the sums of the definition in float64, gradients of the
 * latent vectors against finite differences of the step's own loss, any number of threads, refusals. */
#include <math.h>

#include "model/model.h"
#include "support/tiny_data.h"
#include "train/graph.h"
#include "train/snapshot.h"
#include "train/step.h"

enum { QUERIES = 30, CANDIDATES = 40, DIM = 8, LAYERS = 3 };

typedef struct fixture {
    test_memory memory;
    td_context *context;
    td_dataset *dataset;
    td_model *model;
    td_train_options options;
    td__batches *batches;
    td__step *step;
} fixture;

typedef struct variant {
    td_similarity similarity;
    uint32_t threads, layers;
    uint32_t dense; /* layers behind both tables */
} variant;

static void set_up(fixture *f, const variant *v)
{
    td_error err;
    *f = (fixture){.memory = {.fail_at = -1}};
    f->context = test_context_on(&f->memory, v->threads);
    tiny_shape shape = {.queries = QUERIES, .candidates = CANDIDATES, .groups = 4, .rows = 500, .seed = 3};
    f->dataset = tiny_dataset(f->context, &shape);
    td_model_options options;
    td_model_options_init(&options);
    options.dim = DIM;
    options.init_scale = 0.5f;
    options.oov_buckets = 2;
    options.similarity = v->similarity;
    for (uint32_t i = 0; i < v->dense; i++) {
        options.query_layers = options.candidate_layers = (td_u32_list){1, {DIM}};
    }
    assert_ok(td_model_create(&f->model, f->context, f->dataset, NULL, &options, &err));
    td_train_options_init(&f->options);
    f->options.group = TD_GROUP_QUERIES;
    f->options.batch_size = 12;
    f->options.negatives.kind = TD_NEGATIVES_ALL;
    f->options.loss.temperature = v->similarity == TD_SIMILARITY_COSINE ? 0.3f : 1.0f;
    f->options.optimizer.optimizer = TD_OPTIMIZER_SGD;
    f->options.graph_layers = v->layers;
}

static void start(fixture *f)
{
    td_error err;
    assert_ok(td__batches_create(&f->batches, f->model, f->dataset, &f->options, &err));
    td__batch_shape shape = td__batches_shape(f->batches);
    assert_ok(td__step_create(&f->step, f->model, &f->options, &shape, &err));
    assert_ok(td__step_smooth(f->step, f->model, f->dataset, f->options.graph_layers, &err));
    td__batches_start(f->batches, 0);
}

static void tear_down(fixture *f)
{
    td__step_free(f->step);
    td__batches_free(f->batches);
    td_model_free(f->model);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
    assert_int_equal(f->memory.blocks, 0);
}

static td__parameter *table_of(const fixture *f, int side)
{
    return td__tower_parameter(side == 0 ? &f->model->query_tower : &f->model->candidate_tower, 0);
}

static size_t table_bytes(const fixture *f, int side)
{
    const td__parameter *table = table_of(f, side);
    return table->rows * table->cols * sizeof *table->weights;
}

/* --- the definition */

/* One vector for each row of both tables, queries first. */
typedef struct oracle {
    uint64_t rows[2];
    double *now, *next, *sum;
    double *count; /* training rows */
} oracle;

static uint64_t place(const oracle *o, int side, uint64_t row)
{
    return side == 0 ? row : o->rows[0] + row;
}

static oracle make_oracle(const fixture *f)
{
    oracle o = {.rows = {table_of(f, 0)->rows, table_of(f, 1)->rows}};
    uint64_t all = o.rows[0] + o.rows[1];
    o.now = calloc(all * DIM, sizeof(double));
    o.next = calloc(all * DIM, sizeof(double));
    o.sum = calloc(all * DIM, sizeof(double));
    o.count = calloc(all, sizeof(double));
    assert_true(o.now != NULL && o.next != NULL && o.sum != NULL && o.count != NULL);
    for (int s = 0; s < 2; s++) {
        const float *weights = table_of(f, s)->weights;
        for (uint64_t i = 0; i < o.rows[s] * DIM; i++) {
            o.now[place(&o, s, 0) * DIM + i] = (double)weights[i];
        }
    }
    memcpy(o.sum, o.now, all * DIM * sizeof(double));
    return o;
}

static void free_oracle(oracle *o)
{
    free(o->now);
    free(o->next);
    free(o->sum);
    free(o->count);
}

/* next = A now, pair by pair. */
static void pull(oracle *o, const td_rows *rows)
{
    uint64_t all = o->rows[0] + o->rows[1];
    memset(o->next, 0, all * DIM * sizeof(double));
    for (uint64_t i = 0; i < rows->count; i++) {
        uint64_t q = place(o, 0, rows->query[i]), c = place(o, 1, rows->candidate[i]);
        double weight = 1.0 / sqrt(o->count[q] * o->count[c]);
        for (int k = 0; k < DIM; k++) {
            o->next[q * DIM + (uint64_t)k] += weight * o->now[c * DIM + (uint64_t)k];
            o->next[c * DIM + (uint64_t)k] += weight * o->now[q * DIM + (uint64_t)k];
        }
    }
    for (uint64_t i = 0; i < all * DIM; i++) o->sum[i] += o->next[i];
    memcpy(o->now, o->next, all * DIM * sizeof(double));
}

/* Ids of the training rows are rows of the tables: the model was made from the same dataset. */
static void tables_are_the_mean_over_the_steps_of_the_graph(void **state)
{
    (void)state;
    for (uint32_t layers = 1; layers <= 4; layers++) {
        fixture f;
        set_up(&f, &(variant){TD_SIMILARITY_DOT, 2, layers, 0});
        oracle o = make_oracle(&f);
        td_rows rows = td_dataset_rows(f.dataset);
        for (uint64_t i = 0; i < rows.count; i++) {
            o.count[place(&o, 0, rows.query[i])]++;
            o.count[place(&o, 1, rows.candidate[i])]++;
        }
        for (uint32_t l = 0; l < layers; l++) pull(&o, &rows);
        start(&f);
        for (int s = 0; s < 2; s++) {
            const float *weights = table_of(&f, s)->weights;
            for (uint64_t i = 0; i < o.rows[s] * DIM; i++) {
                double expected = o.sum[place(&o, s, 0) * DIM + i] / (layers + 1);
                assert_close((double)weights[i], expected, 1e-5, 1e-6);
            }
        }
        free_oracle(&o);
        tear_down(&f);
    }
}

/* Rows of unknown ids have no neighbours: a share of their own vector is all they get. */
static void rows_without_neighbours_only_shrink(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, &(variant){TD_SIMILARITY_DOT, 1, LAYERS, 0});
    uint64_t last = table_of(&f, 1)->rows - 1;
    float before[DIM];
    assert_true(last >= CANDIDATES);
    memcpy(before, table_of(&f, 1)->weights + last * DIM, sizeof before);
    start(&f);
    const float *after = table_of(&f, 1)->weights + last * DIM;
    for (int k = 0; k < DIM; k++) assert_close((double)after[k], (double)before[k] / (LAYERS + 1), 1e-6, 0);
    tear_down(&f);
}

/* --- gradients of a whole step */

/* A step of size zero smooths the tables anew, from the latent vectors as they are now. */
static double loss_of(const fixture *f, const td__batch *batch)
{
    td_error err;
    double loss;
    assert_ok(td__step_run(f->step, batch, 0.0, &loss, &err));
    assert_ok(td__step_run(f->step, batch, 0.0, &loss, &err));
    return loss;
}

static double slope_of(const fixture *f, const td__batch *batch, float *weight)
{
    const float before = *weight;
    *weight = before + 1.0f / 128;
    double above = loss_of(f, batch), high = (double)*weight;
    *weight = before - 1.0f / 128;
    double below = loss_of(f, batch), low = (double)*weight;
    *weight = before;
    return (above - below) / (high - low);
}

static float *copy_latent(const fixture *f, int side)
{
    float *copy = malloc(table_bytes(f, side));
    assert_non_null(copy);
    memcpy(copy, td__graph_latent(td__step_graph(f->step), (td__graph_side)side), table_bytes(f, side));
    return copy;
}

static void check_side(const fixture *f, const td__batch *batch, int side, const float *moves)
{
    float *latent = td__graph_latent(td__step_graph(f->step), (td__graph_side)side);
    size_t count = table_bytes(f, side) / sizeof(float), moved = 0, seen = 0;
    for (size_t i = 0; i < count; i += 3) {
        assert_close((double)moves[i], slope_of(f, batch, &latent[i]), 1e-2, 4e-3);
        moved += moves[i] != 0.0f;
        seen++;
    }
    assert_true(moved > seen / 2); /* of a batch that has less than half of the queries */
}

/* Plain SGD with rate r moves a latent number by -r times its gradient, whether or not its row is in the
 * batch. */
static void check_step(const fixture *f, const td__batch *batch)
{
    td_error err;
    const float rate = 1.0f / 1024;
    double loss;
    float *before[2], *after[2];
    td__snapshot *others; /* the weights of dense layers move too */
    (void)loss_of(f, batch);
    assert_ok(td__snapshot_create(&others, f->model, &err));
    for (int s = 0; s < 2; s++) before[s] = copy_latent(f, s);
    assert_ok(td__step_run(f->step, batch, (double)rate, &loss, &err));
    for (int s = 0; s < 2; s++) {
        after[s] = copy_latent(f, s);
        for (size_t i = 0; i < table_bytes(f, s) / sizeof(float); i++) {
            after[s][i] = (before[s][i] - after[s][i]) / rate;
        }
        memcpy(td__graph_latent(td__step_graph(f->step), (td__graph_side)s), before[s], table_bytes(f, s));
    }
    td__snapshot_restore(others, f->model);
    td__snapshot_free(others);
    for (int s = 0; s < 2; s++) {
        check_side(f, batch, s, after[s]);
        free(before[s]);
        free(after[s]);
    }
}

static void latent_vectors_move_by_their_gradients(void **state)
{
    (void)state;
    const variant variants[] = {{TD_SIMILARITY_DOT, 2, 1, 0},
                                {TD_SIMILARITY_COSINE, 2, LAYERS, 0},
                                {TD_SIMILARITY_COSINE, 1, 2, 1}};
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        fixture f;
        set_up(&f, &variants[i]);
        f.options.decoupled = i == 1;
        start(&f);
        check_step(&f, td__batches_next(f.batches));
        tear_down(&f);
    }
}

static void gradients_of_a_row_are_added(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, &(variant){TD_SIMILARITY_DOT, 1, 1, 0});
    start(&f);
    float twice[2 * DIM], once[DIM];
    for (int k = 0; k < DIM; k++) twice[k] = twice[DIM + k] = (float)(k + 1), once[k] = 2 * twice[k];
    const uint32_t rows[2] = {7, 7};
    td__graph *graph = td__step_graph(f.step);
    td_optimizer *const optimizers[2] = {td__step_optimizer(f.step, 0), td__step_optimizer(f.step, 1)};
    float *latent = td__graph_latent(graph, TD__GRAPH_QUERIES), first[DIM], second[DIM];
    memcpy(first, latent + 7 * DIM, sizeof first);
    td__graph_add(graph, TD__GRAPH_QUERIES, &(td__gradient){rows, 2, twice});
    assert_ok(td__graph_step(graph, optimizers, 0.125, &err));
    for (int k = 0; k < DIM; k++) second[k] = first[k] - latent[7 * DIM + k];
    memcpy(first, latent + 7 * DIM, sizeof first);
    td__graph_add(graph, TD__GRAPH_QUERIES, &(td__gradient){rows, 1, once});
    assert_ok(td__graph_step(graph, optimizers, 0.125, &err));
    for (int k = 0; k < DIM; k++) {
        assert_true(second[k] > 0.0f);
        assert_close((double)(first[k] - latent[7 * DIM + k]), (double)second[k], 1e-4, 1e-6);
    }
    tear_down(&f);
}

/* --- trainings */

static void train(fixture *f, const variant *v, td_train_report *report)
{
    td_error err;
    set_up(f, v);
    f->options.optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    f->options.optimizer.learning_rate = 0.02f;
    f->options.epochs = 12;
    assert_ok(td_model_train(f->model, f->dataset, NULL, &f->options, NULL, report, &err));
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    const uint32_t threads[] = {2, 7};
    fixture one, many;
    td_train_report report;
    train(&one, &(variant){TD_SIMILARITY_COSINE, 1, LAYERS, 0}, &report);
    assert_true(report.last_loss < report.first_loss);
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        train(&many, &(variant){TD_SIMILARITY_COSINE, threads[i], LAYERS, 0}, &report);
        for (int side = 0; side < 2; side++) {
            assert_memory_equal(table_of(&one, side)->weights, table_of(&many, side)->weights,
                                table_bytes(&one, side));
        }
        tear_down(&many);
    }
    tear_down(&one);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    const td__batch *batch;
    double loss;
    set_up(&f, &(variant){TD_SIMILARITY_COSINE, 2, LAYERS, 0});
    start(&f);
    int64_t before = f.memory.allocations;
    while ((batch = td__batches_next(f.batches)) != NULL) {
        assert_ok(td__step_run(f.step, batch, 0.1, &loss, &err));
    }
    assert_int_equal(f.memory.allocations, before);
    tear_down(&f);
}

/* The tables are then as they were. */
static void towers_without_a_vector_of_each_query_are_refused(void **state)
{
    (void)state;
    for (int history = 0; history < 2; history++) {
        td_error err;
        td_model *model;
        td_model_options options;
        fixture f;
        set_up(&f, &(variant){TD_SIMILARITY_DOT, 1, LAYERS, 0});
        options = *td_model_get_options(f.model);
        options.heads = history ? 1 : 2;
        if (history) options.query_tower = TD_QUERY_ID_HISTORY;
        assert_ok(td_model_create(&model, f.context, f.dataset, NULL, &options, &err));
        assert_fails(td_model_train(model, f.dataset, NULL, &f.options, NULL, NULL, &err), TD_ERR_ARGUMENT,
                     history ? "query-tower id" : "2 heads");
        td_model_free(model);
        tear_down(&f);
    }
}

static td_status create_and_run(void *state, td_context *context, td_error *err)
{
    const fixture *f = state;
    td_dataset *dataset;
    td_model *model = NULL;
    td_train_options options = f->options;
    tiny_shape shape = {.queries = 10, .candidates = 12, .groups = 2, .rows = 60, .seed = 3};
    td_status status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status != TD_OK) return status;
    options.epochs = 1;
    status = td_model_create(&model, context, dataset, NULL, td_model_get_options(f->model), err);
    if (status == TD_OK) status = td_model_train(model, dataset, NULL, &options, NULL, NULL, err);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, &(variant){TD_SIMILARITY_DOT, 1, LAYERS, 0});
    test_every_allocation(create_and_run, &f);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_the_mean_over_the_steps_of_the_graph),
        cmocka_unit_test(rows_without_neighbours_only_shrink),
        cmocka_unit_test(latent_vectors_move_by_their_gradients),
        cmocka_unit_test(gradients_of_a_row_are_added),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(towers_without_a_vector_of_each_query_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
