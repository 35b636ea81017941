/* train_reference_test.c -- whole trainings against the same in float64, written down once more.
 *
 * The reference knows nothing of batches, distinct rows or sparse updates: dense tables, dense
 * gradients, the formulas of tandem.h. */
#include <math.h>

#include "model/model.h"
#include "support/tiny_data.h"

enum { BATCH = 16, STEPS = 10, ROWS = BATCH * STEPS, DIM = 5, HEADS_MAX = 3 };

/* A table of vectors with its gradient and Adagrad's sums. */
typedef struct table {
    uint32_t rows, width, dim;
    bool normalized;
    double *w, *g, *a; /* [rows, width] */
} table;

static table make_table(const td__parameter *parameter, const td_model_options *options, double a)
{
    table t = {.rows = (uint32_t)parameter->rows,
               .width = parameter->cols,
               .dim = options->dim,
               .normalized = options->similarity == TD_SIMILARITY_COSINE};
    size_t count = (size_t)t.rows * t.width;
    t.w = malloc(count * sizeof *t.w);
    t.g = malloc(count * sizeof *t.g);
    t.a = malloc(count * sizeof *t.a);
    for (size_t i = 0; i < count; i++) {
        t.w[i] = (double)parameter->weights[i];
        t.a[i] = a;
    }
    return t;
}

static void free_table(table *t)
{
    free(t->w);
    free(t->g);
    free(t->a);
}

static double dot(const double *a, const double *b, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < dim; k++) sum += a[k] * b[k];
    return sum;
}

/* Vector h of a row as it leaves the tower. */
static void read_vector(const table *t, uint32_t row, uint32_t h, double *out)
{
    const double *x = t->w + (size_t)row * t->width + (size_t)h * t->dim;
    double norm = t->normalized ? sqrt(dot(x, x, t->dim)) : 1.0;
    for (uint32_t k = 0; k < t->dim; k++) out[k] = x[k] / norm;
}

/* Add the gradient of that vector to the gradient of the table. */
static void add_gradient(table *t, uint32_t row, uint32_t h, const double *d_out, double scale)
{
    size_t at = (size_t)row * t->width + (size_t)h * t->dim;
    double out[DIM], along = 0.0, norm = 1.0;
    if (t->normalized) {
        read_vector(t, row, h, out);
        along = dot(out, d_out, t->dim);
        norm = sqrt(dot(t->w + at, t->w + at, t->dim));
    }
    for (uint32_t k = 0; k < t->dim; k++) {
        double across = t->normalized ? d_out[k] - out[k] * along : d_out[k];
        t->g[at + k] += scale * across / norm;
    }
}

/* One interaction as rows of the tables. */
typedef struct sample {
    uint32_t query, candidate;
    double weight, probability;
} sample;

typedef struct reference {
    table queries, candidates;
    const td_train_options *options;
} reference;

static double score(const reference *r, const sample *row, const sample *column, uint32_t *head)
{
    double q[DIM], c[DIM], best = -HUGE_VAL;
    read_vector(&r->candidates, column->candidate, 0, c);
    for (uint32_t h = 0; h < r->queries.width / r->queries.dim; h++) {
        read_vector(&r->queries, row->query, h, q);
        double s = dot(q, c, DIM);
        if (s <= best) continue;
        best = s;
        *head = h;
    }
    return best;
}

/* The loss of row b; gradients are added. */
static double train_row(reference *r, const sample *batch, uint32_t b)
{
    double s[BATCH], q[DIM], c[DIM], sum = 0.0;
    double temperature = (double)r->options->loss.temperature;
    uint32_t head[BATCH];
    for (uint32_t j = 0; j < BATCH; j++) {
        s[j] = score(r, &batch[b], &batch[j], &head[j]) / temperature;
        if (r->options->sampling_correction == TD_SAMPLING_COUNTS) s[j] -= log(batch[j].probability);
        bool hit = j != b && batch[j].candidate == batch[b].candidate;
        if (r->options->loss.remove_accidental_hits && hit) s[j] = -HUGE_VAL;
        sum += exp(s[j]);
    }
    double scale = batch[b].weight / (r->options->loss.reduction == TD_REDUCTION_MEAN ? BATCH : 1);
    for (uint32_t j = 0; j < BATCH; j++) {
        double d_score = scale * (exp(s[j]) / sum - (j == b)) / temperature;
        read_vector(&r->queries, batch[b].query, head[j], q);
        read_vector(&r->candidates, batch[j].candidate, 0, c);
        add_gradient(&r->queries, batch[b].query, head[j], c, d_score);
        add_gradient(&r->candidates, batch[j].candidate, 0, q, d_score);
    }
    return batch[b].weight * (log(sum) - s[b]);
}

static void adagrad(table *t, double rate, double epsilon)
{
    for (size_t i = 0; i < (size_t)t->rows * t->width; i++) {
        t->a[i] += t->g[i] * t->g[i];
        t->w[i] -= rate * t->g[i] / sqrt(t->a[i] + epsilon);
    }
}

static double train_batch(reference *r, const sample *batch)
{
    double loss = 0.0;
    memset(r->queries.g, 0, (size_t)r->queries.rows * r->queries.width * sizeof(double));
    memset(r->candidates.g, 0, (size_t)r->candidates.rows * r->candidates.width * sizeof(double));
    for (uint32_t b = 0; b < BATCH; b++) loss += train_row(r, batch, b);
    const td_optimizer_options *o = &r->options->optimizer;
    adagrad(&r->queries, (double)o->learning_rate, (double)o->epsilon);
    adagrad(&r->candidates, (double)o->learning_rate, (double)o->epsilon);
    return loss;
}

static void make_samples(sample *samples, const td_model *model, const td_dataset *train)
{
    td_rows rows = td_dataset_rows(train);
    uint32_t queries[64], candidates[64], counts[64] = {0};
    td__model_number_queries(model, td_dataset_queries(train), queries);
    td__model_candidate_rows(model, td_dataset_candidates(train), candidates);
    for (uint32_t i = 0; i < ROWS; i++) counts[candidates[rows.candidate[i]]]++;
    for (uint32_t i = 0; i < ROWS; i++) {
        samples[i] = (sample){.query = queries[rows.query[i]],
                              .candidate = candidates[rows.candidate[i]],
                              .weight = rows.weight == NULL ? 1.0 : (double)rows.weight[i]};
        samples[i].probability = (double)counts[samples[i].candidate] / ROWS;
    }
}

static void compare(const td__parameter *ours, const table *theirs)
{
    double error = 0.0, moved = 0.0, size = 0.0;
    for (size_t i = 0; i < (size_t)theirs->rows * theirs->width; i++) {
        double off = (double)ours->weights[i] - theirs->w[i];
        error += off * off;
        size += theirs->w[i] * theirs->w[i];
        moved += theirs->a[i] - 0.1;
    }
    assert_true(moved > 1e-3); /* something was learnt */
    assert_close(sqrt(error / size), 0.0, 0.0, 3e-6);
}

/* One epoch of ten steps, in file order; then the tables must agree. */
static void check_training(const td_model_options *model_options, const td_train_options *options,
                           bool weighted)
{
    td_error err;
    td_context *context = test_context(2);
    tiny_shape shape = {.queries = 20,
                        .candidates = 24,
                        .groups = 3,
                        .rows = ROWS,
                        .seed = 9,
                        .weighted = weighted};
    td_dataset *train = tiny_dataset(context, &shape);
    td_model *model;
    td_train_report report;
    sample samples[ROWS];
    assert_ok(td_model_create(&model, context, train, NULL, model_options, &err));
    make_samples(samples, model, train);
    reference r = {.queries = make_table(td__model_parameter(model, 0, NULL), model_options, 0.1),
                   .candidates = make_table(td__model_parameter(model, 1, NULL), model_options, 0.1),
                   .options = options};
    double loss = 0.0;
    for (int step = 0; step < STEPS; step++) loss += train_batch(&r, samples + step * BATCH);
    assert_ok(td_model_train(model, train, NULL, options, NULL, &report, &err));
    assert_int_equal(report.steps, STEPS);
    assert_close(report.first_loss, loss / ROWS, 1e-6, 0);
    compare(td__model_parameter(model, 0, NULL), &r.queries);
    compare(td__model_parameter(model, 1, NULL), &r.candidates);
    free_table(&r.queries);
    free_table(&r.candidates);
    td_model_free(model);
    td_dataset_free(train);
    td_context_free(context);
}

static void set_options(td_model_options *model, td_train_options *train)
{
    td_model_options_init(model);
    model->dim = DIM;
    model->init_scale = 0.5f;
    td_train_options_init(train);
    train->epochs = 1;
    train->batch_size = BATCH;
    train->shuffle = TD_SHUFFLE_NONE;
    train->optimizer.optimizer = TD_OPTIMIZER_ADAGRAD;
    train->optimizer.initial_accumulator = 0.1f;
    train->optimizer.learning_rate = 0.1f;
    train->optimizer.epsilon = 1e-7f;
    train->optimizer.schedule = TD_SCHEDULE_CONSTANT;
    train->sampling_correction = TD_SAMPLING_NONE;
    train->loss.remove_accidental_hits = false;
    train->loss.temperature = 1.0f;
}

static void the_plain_retrieval_task(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    set_options(&model, &train);
    check_training(&model, &train, false);
    train.loss.reduction = TD_REDUCTION_MEAN;
    check_training(&model, &train, false);
}

static void corrections_weights_and_temperature(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    set_options(&model, &train);
    train.sampling_correction = TD_SAMPLING_COUNTS;
    train.loss.remove_accidental_hits = true;
    train.loss.temperature = 0.5f;
    check_training(&model, &train, true);
}

static void cosine_and_several_heads(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    set_options(&model, &train);
    model.similarity = TD_SIMILARITY_COSINE;
    train.loss.temperature = 0.2f;
    train.loss.remove_accidental_hits = true;
    check_training(&model, &train, false);
    model.heads = HEADS_MAX;
    check_training(&model, &train, true);
}

/* Rows of ids that the model does not know train the out-of-vocabulary rows. */
static void unknown_ids_train_their_shared_rows(void **state)
{
    (void)state;
    td_model_options model;
    td_train_options train;
    set_options(&model, &train);
    model.min_count = 8;
    model.oov_buckets = 2;
    train.loss.remove_accidental_hits = true;
    train.sampling_correction = TD_SAMPLING_COUNTS;
    check_training(&model, &train, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_retrieval_task),
        cmocka_unit_test(corrections_weights_and_temperature),
        cmocka_unit_test(cosine_and_several_heads),
        cmocka_unit_test(unknown_ids_train_their_shared_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
