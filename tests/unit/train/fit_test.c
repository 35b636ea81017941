/* fit_test.c -- vectors of lists: they are likelier than the mean, at a minimum, of the taste of the list. */
#include "support/tiny_data.h"

#include <math.h>

enum { QUERIES = 60, CANDIDATES = 80, DIM = 16, LISTS = 3 };

typedef struct fixture {
    td_context *context;
    td_dataset *dataset;
    td_model *model;
    td_fit_options options;
    float *candidates; /* [CANDIDATES, DIM] */
} fixture;

static void set_up(fixture *f, uint32_t threads, td_similarity similarity)
{
    td_error err;
    *f = (fixture){.context = test_context(threads)};
    tiny_shape shape = {
        .queries = QUERIES, .candidates = CANDIDATES, .groups = 4, .rows = 1500, .seed = 4};
    f->dataset = tiny_dataset(f->context, &shape);
    td_model_options options;
    td_model_options_init(&options);
    options.dim = DIM;
    options.similarity = similarity;
    assert_ok(td_model_create(&f->model, f->context, f->dataset, NULL, &options, &err));
    td_train_options train;
    td_train_options_init(&train);
    train.loss.temperature = similarity == TD_SIMILARITY_COSINE ? 0.2f : 1.0f;
    train.epochs = 30;
    train.batch_size = 64;
    assert_ok(td_model_train(f->model, f->dataset, NULL, &train, NULL, NULL, &err));
    td_fit_options_init(&f->options);
    f->options.temperature = train.loss.temperature;
    f->candidates = malloc(sizeof(float) * DIM * td_vocab_count(td_model_candidates(f->model)));
    assert_ok(td_model_encode_candidates(f->model, f->candidates, &err));
}

static void tear_down(fixture *f)
{
    free(f->candidates);
    td_model_free(f->model);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
}

/* Lists: some of group 1, one of group 2, nothing; with an unknown candidate among them. */
static uint32_t listed[6];
static const uint64_t offsets[LISTS + 1] = {0, 5, 6, 6};
static const td_histories lists = {.count = LISTS, .offsets = offsets, .candidates = listed};

static uint32_t position(const fixture *f, const char *id)
{
    return td_vocab_find(td_model_candidates(f->model), id, strlen(id));
}

static void name_lists(const fixture *f)
{
    const char *ids[] = {"c1", "c5", "nobody", "c9", "c13", "c2"};
    for (uint32_t i = 0; i < 6; i++) listed[i] = position(f, ids[i]);
    assert_int_equal(listed[2], TD_NONE);
}

static void solve(fixture *f, float *vectors)
{
    td_error err;
    td_fit *fit;
    name_lists(f);
    assert_ok(td_fit_create(&fit, f->model, &f->options, &err));
    assert_ok(td_fit_solve(fit, &lists, vectors, &err));
    td_fit_free(fit);
}

static double score(const fixture *f, const float *vector, uint32_t candidate)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < DIM; k++) {
        sum += (double)vector[k] * (double)f->candidates[candidate * DIM + k];
    }
    return sum;
}

/* Mean over list q of ln Z - score, and what the length costs. */
static double loss_of(const fixture *f, const float *vector, uint32_t q)
{
    bool cosine = td_model_get_options(f->model)->similarity == TD_SIMILARITY_COSINE;
    double sum = 0.0, loss = 0.0, count = 0.0, squares = 0.0, t = (double)f->options.temperature;
    for (uint32_t k = 0; k < DIM; k++) squares += (double)vector[k] * (double)vector[k];
    double scale = cosine ? 1.0 / sqrt(squares) : 1.0;
    uint32_t known = td_vocab_count(td_model_candidates(f->model));
    for (uint32_t c = 0; c < known; c++) sum += exp(score(f, vector, c) * scale / t);
    for (uint64_t i = offsets[q]; i < offsets[q + 1]; i++) {
        if (listed[i] == TD_NONE) continue;
        loss += log(sum) - score(f, vector, listed[i]) * scale / t;
        count += 1.0;
    }
    return loss / count + (cosine ? 0.0 : 0.5 * (double)f->options.regularization * squares);
}

static void results_are_likelier_than_the_mean(void **state)
{
    (void)state;
    for (int similarity = TD_SIMILARITY_DOT; similarity <= TD_SIMILARITY_COSINE; similarity++) {
        fixture f;
        float mean[LISTS * DIM], fitted[LISTS * DIM];
        set_up(&f, 1, (td_similarity)similarity);
        f.options.steps = 0;
        solve(&f, mean);
        f.options.steps = 20;
        solve(&f, fitted);
        for (uint32_t q = 0; q < 2; q++) {
            assert_true(loss_of(&f, fitted + q * DIM, q) < loss_of(&f, mean + q * DIM, q));
        }
        for (uint32_t k = 0; k < DIM; k++) assert_true(fitted[2 * DIM + k] == 0.0f);
        tear_down(&f);
    }
}

/* After many steps no direction lowers the loss. */
static void many_steps_end_at_a_minimum(void **state)
{
    (void)state;
    for (int similarity = TD_SIMILARITY_DOT; similarity <= TD_SIMILARITY_COSINE; similarity++) {
        fixture f;
        float fitted[LISTS * DIM];
        set_up(&f, 1, (td_similarity)similarity);
        f.options.steps = 2000;
        solve(&f, fitted);
        for (uint32_t k = 0; k < DIM; k++) {
            float *number = &fitted[k], held = *number;
            *number = held + 1e-3f;
            double up = loss_of(&f, fitted, 0);
            *number = held - 1e-3f;
            double down = loss_of(&f, fitted, 0);
            *number = held;
            assert_close((up - down) / 2e-3, 0.0, 0, 0.02);
        }
        tear_down(&f);
    }
}

/* The best candidates beside the list are of its group. */
static void lists_get_more_of_their_taste(void **state)
{
    (void)state;
    for (int similarity = TD_SIMILARITY_DOT; similarity <= TD_SIMILARITY_COSINE; similarity++) {
        fixture f;
        float fitted[LISTS * DIM];
        set_up(&f, 1, (td_similarity)similarity);
        solve(&f, fitted);
        for (uint32_t q = 0; q < 2; q++) {
            double own = 0.0, others = 0.0;
            uint32_t known = td_vocab_count(td_model_candidates(f.model));
            for (uint32_t c = 0; c < known; c++) {
                uint32_t number = (uint32_t)strtoul(td_vocab_id(td_model_candidates(f.model), c) + 1, NULL, 10);
                double s = score(&f, fitted + q * DIM, c);
                if (number % 4 == q + 1) own += s / 20;
                else others += s / 60;
            }
            assert_true(own > others + 0.2);
        }
        tear_down(&f);
    }
}

static void same_bits_for_1_2_and_7_threads(void **state)
{
    (void)state;
    float first[LISTS * DIM], other[LISTS * DIM];
    for (uint32_t threads = 1; threads <= 7; threads += threads == 1 ? 1 : 5) {
        fixture f;
        set_up(&f, threads, TD_SIMILARITY_COSINE);
        solve(&f, threads == 1 ? first : other);
        if (threads > 1) assert_memory_equal(first, other, sizeof first);
        tear_down(&f);
    }
}

/* A list counts the same among many: more lists than are worked on at once, and long ones. */
static void many_lists_are_as_each_alone(void **state)
{
    (void)state;
    enum { MANY = 700, LONG = 20 };
    td_error err;
    fixture f;
    set_up(&f, 2, TD_SIMILARITY_COSINE);
    uint64_t *many_offsets = malloc((MANY + 1) * sizeof *many_offsets);
    uint32_t *many = malloc(MANY * LONG * sizeof *many);
    float *vectors = malloc(MANY * DIM * sizeof *vectors), alone[DIM];
    for (uint32_t i = 0; i < MANY * LONG; i++) many[i] = (i * 7 + i / LONG) % 60;
    for (uint32_t q = 0; q <= MANY; q++) many_offsets[q] = (uint64_t)q * LONG;
    td_histories all = {.count = MANY, .offsets = many_offsets, .candidates = many};
    td_fit *fit;
    assert_ok(td_fit_create(&fit, f.model, &f.options, &err));
    assert_ok(td_fit_solve(fit, &all, vectors, &err));
    for (uint32_t q = 0; q < MANY; q += 233) {
        uint64_t one_offsets[2] = {0, LONG};
        td_histories one = {.count = 1, .offsets = one_offsets, .candidates = many + q * LONG};
        assert_ok(td_fit_solve(fit, &one, alone, &err));
        for (uint32_t k = 0; k < DIM; k++) {
            assert_close((double)alone[k], (double)vectors[q * DIM + k], 1e-4, 1e-4);
        }
    }
    td_fit_free(fit);
    free(many_offsets);
    free(many);
    free(vectors);
    tear_down(&f);
}

/* Without options the temperature is that of the training. */
static void the_temperature_is_that_of_the_training(void **state)
{
    (void)state;
    fixture f;
    td_error err;
    float given[LISTS * DIM], found[LISTS * DIM];
    td_fit *fit;
    set_up(&f, 1, TD_SIMILARITY_COSINE);
    solve(&f, given);
    assert_ok(td_fit_create(&fit, f.model, NULL, &err));
    assert_ok(td_fit_solve(fit, &lists, found, &err));
    assert_memory_equal(given, found, sizeof given);
    td_fit_free(fit);
    f.options.temperature = 0.7f;
    solve(&f, given);
    assert_memory_not_equal(given, found, sizeof given);
    tear_down(&f);
}

static void lists_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    td_fit *fit;
    set_up(&f, 1, TD_SIMILARITY_COSINE);
    float out[DIM], weight[] = {-1.0f};
    uint32_t strange[] = {CANDIDATES + 5}, first[] = {0};
    uint64_t one[] = {0, 1}, backwards[] = {1, 0};
    assert_ok(td_fit_create(&fit, f.model, &f.options, &err));
    td_histories h = {.count = 1, .offsets = one, .candidates = strange};
    assert_fails(td_fit_solve(fit, &h, out, &err), TD_ERR_ARGUMENT, "is not there");
    h = (td_histories){.count = 1, .offsets = one, .candidates = first, .weight = weight};
    assert_fails(td_fit_solve(fit, &h, out, &err), TD_ERR_ARGUMENT, "weight -1");
    h = (td_histories){.count = 1, .offsets = backwards, .candidates = first};
    assert_fails(td_fit_solve(fit, &h, out, &err), TD_ERR_ARGUMENT, "ends before it starts");
    td_fit_free(fit);
    f.options.temperature = 0.0f;
    assert_fails(td_fit_create(&fit, f.model, &f.options, &err), TD_ERR_ARGUMENT, "fit-temperature");
    assert_null(fit);
    tear_down(&f);
}

typedef struct tried {
    fixture *f;
} tried;

static td_status fit_in(void *state, td_context *context, td_error *err)
{
    const tried *t = state;
    td_dataset *dataset = NULL;
    td_model *model = NULL;
    td_fit *fit = NULL;
    float out[64];
    uint32_t candidates[] = {0, 1, 2};
    uint64_t one[] = {0, 3};
    td_histories h = {.count = 1, .offsets = one, .candidates = candidates};
    tiny_shape shape = {.queries = 10, .candidates = 12, .groups = 2, .rows = 60, .seed = 3};
    td_status status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status == TD_OK) status = td_model_create(&model, context, dataset, NULL, NULL, err);
    if (status == TD_OK) status = td_fit_create(&fit, model, &t->f->options, err);
    if (status == TD_OK) status = td_fit_solve(fit, &h, out, err);
    td_fit_free(fit);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    fixture f;
    tried t = {&f};
    td_fit_options_init(&f.options);
    test_every_allocation(fit_in, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_likelier_than_the_mean),
        cmocka_unit_test(many_steps_end_at_a_minimum),
        cmocka_unit_test(lists_get_more_of_their_taste),
        cmocka_unit_test(same_bits_for_1_2_and_7_threads),
        cmocka_unit_test(many_lists_are_as_each_alone),
        cmocka_unit_test(the_temperature_is_that_of_the_training),
        cmocka_unit_test(lists_that_make_no_sense_are_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
