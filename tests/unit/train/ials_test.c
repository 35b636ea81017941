/* ials_test.c -- iALS by its definition: the loss over all pairs in double, its gradient by finite
 * differences; halves of epochs, blocks, threads, rows without data, early stopping, failures. */
#include "support/option_table.h"

#include <math.h>

#include "train/ials.h"

enum { QUERIES = 40, CANDIDATES = 25, IDS = 64, ROWS_MAX = 2000 };

/* --- a small random dataset and a model for it */

typedef struct world {
    td_context *context;
    td_dataset *train;
    td_model *model;
} world;

static const char *id_of(uint32_t i)
{
    static char text[IDS][8];
    snprintf(text[i], sizeof text[i], "%u", i);
    return text[i];
}

/* Three groups of taste; some pairs come twice. */
static td_dataset *make_dataset(td_context *context, bool weighted)
{
    static const char *query[ROWS_MAX], *candidate[ROWS_MAX];
    static float weight[ROWS_MAX];
    td_error err;
    td_dataset *dataset;
    uint64_t rows = 0, seed = 3;
    for (uint32_t q = 0; q < QUERIES; q++) {
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            double chance = q % CANDIDATES == c ? 1 : q % 3 == c % 3 ? 0.6 : 0.1;
            if (test_uniform(&seed, 0, 1) >= chance) continue;
            uint32_t times = test_uniform(&seed, 0, 1) < 0.1 ? 2 : 1;
            for (; times > 0; times--, rows++) {
                query[rows] = id_of(q);
                candidate[rows] = id_of(c);
                weight[rows] = (float)test_uniform(&seed, 0.2, 2);
            }
        }
    }
    td_interactions interactions = {.rows = rows,
                                    .query_id = query,
                                    .candidate_id = candidate,
                                    .weight = weighted ? weight : NULL};
    assert_ok(td_dataset_build(&dataset, context, &interactions, &err));
    return dataset;
}

static td_model *make_model(td_context *context, const td_dataset *train, uint32_t dim)
{
    td_error err;
    td_model *model;
    td_model_options options;
    td_model_options_init(&options);
    options.dim = dim;
    options.init_scale = 0.3f;
    assert_ok(td_model_create(&model, context, train, NULL, &options, &err));
    return model;
}

static world make_world(uint32_t threads, uint32_t dim, bool weighted)
{
    world w = {.context = test_context(threads)};
    w.train = make_dataset(w.context, weighted);
    w.model = make_model(w.context, w.train, dim);
    return w;
}

static void clear_world(world *w)
{
    td_model_free(w->model);
    td_dataset_free(w->train);
    td_context_free(w->context);
}

static td_ials_options with(float alpha, float lambda, float exponent, uint32_t block)
{
    td_ials_options options;
    td_ials_options_init(&options);
    options.unobserved_weight = alpha;
    options.regularization = lambda;
    options.exponent = exponent;
    options.block = block;
    options.epochs = 4;
    return options;
}

static float *queries_of(const td_model *model)
{
    return td__model_parameter(model, 0, NULL)->weights;
}

static float *candidates_of(const td_model *model)
{
    return td__model_parameter(model, 1, NULL)->weights;
}

static void the_option_table_is_sound(void **state)
{
    (void)state;
    test_option_table(td_ials_option_table(), td_ials_options);
}

/* --- the loss, as tandem.h has it: rows, all pairs, norms; tables in double */

typedef struct tables {
    double query[QUERIES][64], candidate[CANDIDATES][64];
    uint32_t dim;
} tables;

static void load_tables(tables *t, const td_model *model)
{
    t->dim = td_model_get_options(model)->dim;
    for (uint32_t k = 0; k < t->dim; k++) {
        for (uint32_t q = 0; q < QUERIES; q++) {
            t->query[q][k] = (double)queries_of(model)[q * t->dim + k];
        }
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            t->candidate[c][k] = (double)candidates_of(model)[c * t->dim + k];
        }
    }
}

static double dot(const double *a, const double *b, uint32_t dim)
{
    double sum = 0;
    for (uint32_t k = 0; k < dim; k++) sum += a[k] * b[k];
    return sum;
}

static double brute_loss(const tables *t, const td_dataset *train, const td_ials_options *o)
{
    double alpha = (double)o->unobserved_weight, lambda = (double)o->regularization, loss = 0;
    double query_weight[QUERIES] = {0}, candidate_weight[CANDIDATES] = {0};
    td_rows rows = td_dataset_rows(train);
    for (uint64_t i = 0; i < rows.count; i++) {
        double w = rows.weight == NULL ? 1 : (double)rows.weight[i];
        double s = dot(t->query[rows.query[i]], t->candidate[rows.candidate[i]], t->dim);
        loss += w * (s - 1) * (s - 1);
        query_weight[rows.query[i]] += w;
        candidate_weight[rows.candidate[i]] += w;
    }
    for (uint32_t q = 0; q < QUERIES; q++) {
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            double s = dot(t->query[q], t->candidate[c], t->dim);
            loss += alpha * s * s;
        }
        loss += lambda * pow(query_weight[q] + alpha * CANDIDATES, (double)o->exponent)
                * dot(t->query[q], t->query[q], t->dim);
    }
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        loss += lambda * pow(candidate_weight[c] + alpha * QUERIES, (double)o->exponent)
                * dot(t->candidate[c], t->candidate[c], t->dim);
    }
    return loss;
}

static double model_loss(const world *w, const td_ials_options *options)
{
    tables t;
    load_tables(&t, w->model);
    return brute_loss(&t, w->train, options);
}

/* Derivative with respect to one number of a table, by central differences; the loss is a polynomial
 * of degree two in it, for which they are exact. */
static double slope(tables *t, double *number, const world *w, const td_ials_options *options)
{
    const double step = 1e-2;
    double before = *number;
    *number = before + step;
    double up = brute_loss(t, w->train, options);
    *number = before - step;
    double down = brute_loss(t, w->train, options);
    *number = before;
    return (up - down) / (2 * step);
}

static td__ials start(const world *w, const td_ials_options *options)
{
    td_error err;
    td__ials ials;
    assert_ok(td__ials_init(&ials, w->model, w->train, options, &err));
    td__ials_empty_queries(&ials); /* the out-of-vocabulary row: no part of the sums above */
    return ials;
}

static void solve(td__ials *ials, td__ials_which which)
{
    td_error err;
    td__ials_progress progress = {0};
    assert_ok(td__ials_solve_side(ials, which, &progress, &err));
}

static const td_ials_options *variant(uint32_t i)
{
    static td_ials_options options;
    switch (i) {
    case 0: options = with(0.1f, 0.03f, 1, 64); break;
    case 1: options = with(1.5f, 0.5f, 0, 64); break;
    case 2: options = with(0.01f, 0.1f, 0.5f, 4); break;
    case 3: options = with(0.3f, 0.01f, 1, 5); break;
    default: return NULL;
    }
    return &options;
}

static void the_loss_is_that_of_the_definition(void **state)
{
    (void)state;
    td_error err;
    for (uint32_t i = 0; variant(i) != NULL; i++) {
        world w = make_world(2, 12, i % 2 == 0);
        td__ials ials = start(&w, variant(i));
        for (uint32_t half = 0; half < 3; half++) {
            /* Before the first half the candidates' out-of-vocabulary row is still random. */
            solve(&ials, half % 2 == 0 ? TD__IALS_CANDIDATES : TD__IALS_QUERIES);
            double loss;
            assert_ok(td__ials_loss(&ials, &loss, &err));
            assert_close(loss, model_loss(&w, variant(i)), 1e-5, 0);
        }
        td__ials_clear(&ials);
        clear_world(&w);
    }
}

static void the_loss_falls_with_each_half_of_an_epoch(void **state)
{
    (void)state;
    for (uint32_t i = 0; variant(i) != NULL; i++) {
        world w = make_world(2, 12, true);
        td__ials ials = start(&w, variant(i));
        double before = model_loss(&w, variant(i)), first = before;
        for (uint32_t half = 0; half < 10; half++) {
            solve(&ials, half % 2 == 0 ? TD__IALS_CANDIDATES : TD__IALS_QUERIES);
            double loss = model_loss(&w, variant(i));
            assert_true(loss < before * (1 + 1e-6));
            before = loss;
        }
        assert_true(before < 0.8 * first);
        td__ials_clear(&ials);
        clear_world(&w);
    }
}

/* Whole vectors: the side just solved is where the gradient of the loss vanishes, the other is not. */
static void the_side_just_solved_is_at_the_minimum(void **state)
{
    (void)state;
    tables t;
    for (uint32_t i = 0; i < 2; i++) {
        world w = make_world(2, 12, i == 0);
        td__ials ials = start(&w, variant(i));
        double other = 0;
        solve(&ials, TD__IALS_CANDIDATES);
        load_tables(&t, w.model);
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            for (uint32_t k = 0; k < 12; k++) {
                assert_close(slope(&t, &t.candidate[c][k], &w, variant(i)), 0, 0, 1e-3);
            }
        }
        for (uint32_t k = 0; k < 12; k++) other += fabs(slope(&t, &t.query[5][k], &w, variant(i)));
        assert_true(other > 0.1);
        solve(&ials, TD__IALS_QUERIES);
        load_tables(&t, w.model);
        for (uint32_t q = 0; q < QUERIES; q++) {
            for (uint32_t k = 0; k < 12; k++) {
                assert_close(slope(&t, &t.query[q][k], &w, variant(i)), 0, 0, 1e-3);
            }
        }
        td__ials_clear(&ials);
        clear_world(&w);
    }
}

/* Of 12 numbers in blocks of 5: 0 .. 4, 5 .. 9, and 10 and 11, which were solved last. */
static void the_last_block_solved_is_at_the_minimum(void **state)
{
    (void)state;
    tables t;
    double before = 0;
    world w = make_world(2, 12, true);
    td__ials ials = start(&w, variant(3));
    solve(&ials, TD__IALS_CANDIDATES);
    load_tables(&t, w.model);
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        before += fabs(slope(&t, &t.candidate[c][0], &w, variant(3)));
        for (uint32_t k = 10; k < 12; k++) {
            assert_close(slope(&t, &t.candidate[c][k], &w, variant(3)), 0, 0, 1e-3);
        }
    }
    assert_true(before > 0.01);
    td__ials_clear(&ials);
    clear_world(&w);
}

/* One side again and again: blocks end where whole vectors are at once. */
static void blocks_approach_the_exact_solution(void **state)
{
    (void)state;
    td_ials_options exact = with(0.3f, 0.05f, 1, 12), blocks = with(0.3f, 0.05f, 1, 5);
    world a = make_world(1, 12, false), b = make_world(1, 12, false);
    td__ials first = start(&a, &exact), second = start(&b, &blocks);
    solve(&first, TD__IALS_CANDIDATES);
    for (uint32_t i = 0; i < 300; i++) solve(&second, TD__IALS_CANDIDATES);
    for (uint32_t i = 0; i < CANDIDATES * 12; i++) {
        assert_close((double)candidates_of(b.model)[i], (double)candidates_of(a.model)[i], 1e-3, 1e-3);
    }
    td__ials_clear(&first);
    td__ials_clear(&second);
    clear_world(&a);
    clear_world(&b);
}

static void whole_vectors_forget_what_they_were(void **state)
{
    (void)state;
    world w = make_world(1, 12, false);
    td__ials ials = start(&w, variant(0));
    float first[CANDIDATES * 12];
    solve(&ials, TD__IALS_CANDIDATES);
    memcpy(first, candidates_of(w.model), sizeof first);
    for (uint32_t i = 0; i < CANDIDATES * 12; i++) candidates_of(w.model)[i] = 7;
    solve(&ials, TD__IALS_CANDIDATES);
    assert_memory_equal(first, candidates_of(w.model), sizeof first);
    td__ials_clear(&ials);
    clear_world(&w);
}

/* A pair that comes twice weighs two. */
static void rows_of_the_same_pair_add_their_weights(void **state)
{
    (void)state;
    static const char *query[] = {"a", "a", "b", "a"}, *candidate[] = {"x", "y", "y", "x"};
    static const float weight[] = {2, 1, 1};
    td_error err;
    td_interactions twice = {.rows = 4, .query_id = query, .candidate_id = candidate};
    td_interactions heavy = {
        .rows = 3, .query_id = query, .candidate_id = candidate, .weight = weight};
    td_interactions *both[2] = {&twice, &heavy};
    float vectors[2][2 * 3];
    for (uint32_t i = 0; i < 2; i++) {
        world w = {.context = test_context(1)};
        assert_ok(td_dataset_build(&w.train, w.context, both[i], &err));
        w.model = make_model(w.context, w.train, 3);
        td_ials_options options = with(0.1f, 0.1f, 1, 64);
        assert_ok(td_model_train_ials(w.model, w.train, NULL, &options, NULL, NULL, &err));
        memcpy(vectors[i], queries_of(w.model), sizeof vectors[i]);
        clear_world(&w);
    }
    for (uint32_t i = 0; i < 6; i++) {
        assert_close((double)vectors[0][i], (double)vectors[1][i], 1e-4, 1e-5);
    }
}

/* --- whole trainings */

/* 8 times the rows over the pairs. */
static void the_weight_of_all_pairs_is_chosen_from_the_data(void **state)
{
    (void)state;
    td_error err;
    float chosen[QUERIES * 8];
    world w = make_world(1, 8, true);
    td_ials_options options = with(0, 0.03f, 1, 64);
    assert_ok(td_model_train_ials(w.model, w.train, NULL, &options, NULL, NULL, &err));
    memcpy(chosen, queries_of(w.model), sizeof chosen);
    double rows = (double)td_dataset_rows(w.train).count;
    options.unobserved_weight = (float)(8 * rows / (QUERIES * CANDIDATES));
    clear_world(&w);
    w = make_world(1, 8, true);
    assert_ok(td_model_train_ials(w.model, w.train, NULL, &options, NULL, NULL, &err));
    for (uint32_t i = 0; i < QUERIES * 8; i++) {
        assert_close((double)queries_of(w.model)[i], (double)chosen[i], 1e-4, 1e-5);
    }
    clear_world(&w);
}

static void threads_and_kernels_do_not_change_the_bits(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7, 2};
    for (uint32_t i = 0; variant(i) != NULL; i++) {
        float first[2][(QUERIES + 1) * 20];
        for (uint32_t t = 0; t < 4; t++) {
            td_error err;
            td_context_options options = {.threads = threads[t], .kernel = t < 3 ? "auto" : "ref"};
            world w = {0};
            assert_ok(td_context_create(&w.context, &options, &err));
            w.train = make_dataset(w.context, true);
            w.model = make_model(w.context, w.train, 20);
            assert_ok(td_model_train_ials(w.model, w.train, NULL, variant(i), NULL, NULL, &err));
            for (uint32_t p = 0; p < 2; p++) {
                const td__parameter *table = td__model_parameter(w.model, p, NULL);
                size_t bytes = table->rows * table->cols * sizeof(float);
                if (t == 0) memcpy(first[p], table->weights, bytes);
                assert_memory_equal(first[p], table->weights, bytes);
            }
            clear_world(&w);
        }
    }
}

static void the_report_says_what_was_done(void **state)
{
    (void)state;
    td_error err;
    td_train_report report;
    world w = make_world(2, 8, true);
    td_ials_options options = with(0.1f, 0.03f, 1, 64);
    assert_ok(td_model_train_ials(w.model, w.train, NULL, &options, NULL, &report, &err));
    assert_int_equal(report.epochs, 4);
    assert_int_equal(report.best_epoch, 0);
    assert_int_equal(report.steps, 4 * (QUERIES + CANDIDATES));
    assert_true(report.last_loss < report.first_loss && report.seconds > 0);
    double rows = (double)td_dataset_rows(w.train).count;
    assert_close(report.last_loss, model_loss(&w, &options) / rows, 1e-5, 0);
    clear_world(&w);
}

/* Query "new" and candidate "new" have no training rows: they are in the vocabulary `all`. */
static void rows_without_data_are_the_mean_query_or_zero(void **state)
{
    (void)state;
    static const char *query[] = {"a", "b", "new", "a"}, *candidate[] = {"x", "y", "new", "y"};
    td_error err;
    td_dataset *all, *train, *rest;
    td_model *model;
    td_model_options options;
    td_context *context = test_context(1);
    td_interactions interactions = {.rows = 3, .query_id = query, .candidate_id = candidate};
    td_interactions known = {.rows = 2, .query_id = query, .candidate_id = candidate};
    td_dataset *first, *second;
    assert_ok(td_dataset_build(&all, context, &interactions, &err));
    assert_ok(td_dataset_build(&rest, context, &known, &err));
    assert_ok(td_dataset_align(&first, &second, rest, all, &err));
    train = first;
    td_model_options_init(&options);
    options.dim = 5;
    options.vocabulary = TD_VOCABULARY_ALL;
    assert_ok(td_model_create(&model, context, train, NULL, &options, &err));
    assert_ok(td_model_train_ials(model, train, NULL, NULL, NULL, NULL, &err));
    const float *q = queries_of(model), *c = candidates_of(model);
    for (uint32_t k = 0; k < 5; k++) {
        assert_close((double)q[2 * 5 + k], ((double)q[k] + (double)q[5 + k]) / 2, 1e-6, 1e-9);
        assert_true(q[3 * 5 + k] == q[2 * 5 + k]); /* out of vocabulary */
        assert_true(c[2 * 5 + k] == 0 && c[3 * 5 + k] == 0);
    }
    td_model_free(model);
    td_dataset_free(first);
    td_dataset_free(second);
    td_dataset_free(rest);
    td_dataset_free(all);
    td_context_free(context);
}

/* --- validation */

typedef struct split_world {
    world w;
    td_dataset *validation;
} split_world;

static split_world make_split_world(void)
{
    td_error err;
    split_world s = {.w.context = test_context(2)};
    td_dataset *all = make_dataset(s.w.context, false);
    td_split_options options;
    td_split_options_init(&options);
    options.kind = TD_SPLIT_RANDOM;
    options.fraction = 0.3;
    assert_ok(td_dataset_split(&s.w.train, &s.validation, all, &options, &err));
    td_dataset_free(all);
    s.w.model = make_model(s.w.context, s.w.train, 16);
    return s;
}

static void clear_split_world(split_world *s)
{
    td_dataset_free(s->validation);
    clear_world(&s->w);
}

static double ndcg_of(const split_world *s, uint32_t k)
{
    td_error err;
    td_metrics metrics;
    td_evaluate_options options;
    td_evaluate_options_init(&options);
    options.k = (td_u32_list){.count = 1, .values = {k}};
    options.exclude_seen = true;
    assert_ok(td_evaluate_model(&metrics, s->w.model, s->w.train, s->validation, &options, NULL,
                                &err));
    return metrics.at[0].ndcg;
}

/* Hardly regularized, later epochs overfit: training stops, and the best epoch comes back. */
static void training_stops_early_and_ends_with_the_best_epoch(void **state)
{
    (void)state;
    td_error err;
    td_train_report report;
    split_world s = make_split_world();
    td_ials_options options = with(0.05f, 1e-4f, 1, 64);
    options.epochs = 200;
    options.patience = 2;
    options.monitor_k = 5;
    assert_ok(td_model_train_ials(s.w.model, s.w.train, s.validation, &options, NULL, &report, &err));
    assert_true(report.epochs < 200 && report.best_epoch > 0);
    assert_int_equal(report.epochs, report.best_epoch + 2);
    assert_true(report.best_monitor == ndcg_of(&s, 5));
    clear_split_world(&s);
}

static void the_last_epoch_stays_if_the_best_is_not_wanted(void **state)
{
    (void)state;
    td_error err;
    float last[QUERIES * 16];
    split_world s = make_split_world(), same = make_split_world();
    td_ials_options options = with(0.05f, 1e-4f, 1, 64);
    options.epochs = 6;
    options.patience = 0;
    options.restore_best = false;
    assert_ok(td_model_train_ials(s.w.model, s.w.train, s.validation, &options, NULL, NULL, &err));
    memcpy(last, queries_of(s.w.model), sizeof last);
    assert_ok(td_model_train_ials(same.w.model, same.w.train, NULL, &options, NULL, NULL, &err));
    assert_memory_equal(last, queries_of(same.w.model), sizeof last);
    clear_split_world(&s);
    clear_split_world(&same);
}

static void a_validation_part_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    td_error err;
    split_world s = make_split_world();
    td_dataset *other = make_dataset(s.w.context, false);
    assert_fails(td_model_train_ials(s.w.model, s.w.train, other, NULL, NULL, NULL, &err),
                 TD_ERR_ARGUMENT, "share their vocabularies");
    td_dataset_free(other);
    clear_split_world(&s);
}

/* --- what goes wrong */

static void models_without_a_dot_product_of_two_vectors_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_model *model;
    world w = make_world(1, 8, false);
    td_model_options options;
    td_model_options_init(&options);
    options.similarity = TD_SIMILARITY_COSINE;
    assert_ok(td_model_create(&model, w.context, w.train, NULL, &options, &err));
    assert_fails(td_model_train_ials(model, w.train, NULL, NULL, NULL, NULL, &err), TD_ERR_ARGUMENT,
                 "similarity dot");
    td_model_free(model);
    td_model_options_init(&options);
    options.heads = 2;
    assert_ok(td_model_create(&model, w.context, w.train, NULL, &options, &err));
    assert_fails(td_model_train_ials(model, w.train, NULL, NULL, NULL, NULL, &err), TD_ERR_ARGUMENT,
                 "2 heads");
    td_model_free(model);
    clear_world(&w);
}

static void options_out_of_bounds_are_refused(void **state)
{
    (void)state;
    td_error err;
    world w = make_world(1, 8, false);
    td_ials_options options = with(-1, 0.1f, 1, 64);
    assert_fails(td_model_train_ials(w.model, w.train, NULL, &options, NULL, NULL, &err),
                 TD_ERR_ARGUMENT, "unobserved-weight");
    options = with(0.1f, 0.1f, 1, 0);
    assert_fails(td_model_train_ials(w.model, w.train, NULL, &options, NULL, NULL, &err),
                 TD_ERR_ARGUMENT, "block");
    clear_world(&w);
}

/* More numbers than data to tell them apart, and next to no regularization. */
static void equations_without_solution_leave_the_last_good_epoch(void **state)
{
    (void)state;
    td_error err;
    td_train_report report;
    float before[QUERIES * 60], candidates_before[CANDIDATES * 60];
    world w = make_world(2, 60, false);
    td_ials_options options = with(1e-6f, 1e-9f, 0, 64);
    memcpy(before, queries_of(w.model), sizeof before);
    memcpy(candidates_before, candidates_of(w.model), sizeof candidates_before);
    assert_fails(td_model_train_ials(w.model, w.train, NULL, &options, NULL, &report, &err),
                 TD_ERR_NUMERIC, "iALS failed in epoch 1: the equations of candidate 0");
    assert_memory_equal(before, queries_of(w.model), sizeof before);
    assert_memory_equal(candidates_before, candidates_of(w.model), sizeof candidates_before);
    assert_int_equal(report.epochs, 0);
    clear_world(&w);
}

typedef struct watcher {
    uint32_t calls, epochs_ended;
    uint64_t done;
    uint32_t stop_in; /* epoch; 0: never */
} watcher;

static bool watch(void *user, const td_progress *progress)
{
    watcher *seen = user;
    assert_string_equal(progress->stage, "train");
    assert_string_equal(progress->unit, "vectors");
    assert_true(progress->done <= progress->total);
    seen->calls++;
    seen->epochs_ended += progress->done == progress->total;
    seen->done = progress->done;
    return progress->epoch != seen->stop_in;
}

static void the_hook_sees_each_epoch_end_and_can_stop_it(void **state)
{
    (void)state;
    td_error err;
    td_train_report report;
    world w = make_world(2, 8, false);
    td_ials_options options = with(0.1f, 0.1f, 1, 64);
    watcher seen = {0};
    td_progress_hook hook = {watch, &seen};
    assert_ok(td_model_train_ials(w.model, w.train, NULL, &options, &hook, NULL, &err));
    assert_int_equal(seen.epochs_ended, 4);
    assert_int_equal(seen.done, QUERIES + CANDIDATES + 2); /* with the out-of-vocabulary rows */
    seen = (watcher){.stop_in = 3};
    assert_fails(td_model_train_ials(w.model, w.train, NULL, &options, &hook, &report, &err),
                 TD_ERR_CANCELLED, "epoch 3");
    assert_int_equal(report.epochs, 2);
    assert_ok(td_model_check(w.model, &err));
    clear_world(&w);
}

static td_status train_body(void *state, td_context *context, td_error *err)
{
    static const char *query[] = {"a", "a", "b", "b", "c"}, *candidate[] = {"x", "y", "x", "z", "z"};
    static const float weight[] = {1, 2, 3, 4, 5};
    td_interactions interactions = {
        .rows = 5, .query_id = query, .candidate_id = candidate, .weight = weight};
    td_dataset *train = NULL;
    td_model *model = NULL;
    td_ials_options options = with(0.1f, 0.1f, 1, 4);
    options.epochs = 2;
    (void)state;
    td_status status = td_dataset_build(&train, context, &interactions, err);
    if (status == TD_OK) status = td_model_create(&model, context, train, NULL, NULL, err);
    if (status == TD_OK) status = td_model_train_ials(model, train, train, &options, NULL, NULL, err);
    td_model_free(model);
    td_dataset_free(train);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation(train_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_table_is_sound),
        cmocka_unit_test(the_loss_is_that_of_the_definition),
        cmocka_unit_test(the_loss_falls_with_each_half_of_an_epoch),
        cmocka_unit_test(the_side_just_solved_is_at_the_minimum),
        cmocka_unit_test(the_last_block_solved_is_at_the_minimum),
        cmocka_unit_test(blocks_approach_the_exact_solution),
        cmocka_unit_test(whole_vectors_forget_what_they_were),
        cmocka_unit_test(rows_of_the_same_pair_add_their_weights),
        cmocka_unit_test(the_weight_of_all_pairs_is_chosen_from_the_data),
        cmocka_unit_test(threads_and_kernels_do_not_change_the_bits),
        cmocka_unit_test(the_report_says_what_was_done),
        cmocka_unit_test(rows_without_data_are_the_mean_query_or_zero),
        cmocka_unit_test(training_stops_early_and_ends_with_the_best_epoch),
        cmocka_unit_test(the_last_epoch_stays_if_the_best_is_not_wanted),
        cmocka_unit_test(a_validation_part_that_does_not_fit_is_refused),
        cmocka_unit_test(models_without_a_dot_product_of_two_vectors_are_refused),
        cmocka_unit_test(options_out_of_bounds_are_refused),
        cmocka_unit_test(equations_without_solution_leave_the_last_good_epoch),
        cmocka_unit_test(the_hook_sees_each_epoch_end_and_can_stop_it),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
