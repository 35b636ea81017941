/* baseline_test.c -- popularity, item-kNN and EASE against brute force in double, and by what defines
 * them; threads, memory, limits, cancelling. */
#include "support/option_table.h"

#include <math.h>

enum { QUERIES = 60, CANDIDATES = 37, IDS = 64 };

/* --- a small random dataset, with its matrix */

typedef struct world {
    td_context *context;
    td_dataset *train;
    double taken[QUERIES][CANDIDATES]; /* 1 or 0, by position */
    double rows[CANDIDATES];           /* training rows of each */
} world;

static char id_text[IDS][8];

static const char *id_of(uint32_t i)
{
    snprintf(id_text[i], sizeof id_text[i], "%u", i);
    return id_text[i];
}

/* Some candidates are popular, each in its own group of queries; one pair in ten comes twice. */
static td_dataset *make_dataset(td_context *context, uint64_t seed)
{
    enum { MOST = 2 * QUERIES * CANDIDATES };
    static const char *query[MOST], *candidate[MOST];
    td_error err;
    td_dataset *dataset;
    uint64_t rows = 0;
    for (uint32_t q = 0; q < QUERIES; q++) {
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            double chance = c == q % CANDIDATES ? 1 : (c % 4 == q % 4 ? 0.5 : 0.1) * (c % 7) / 6;
            if (test_uniform(&seed, 0, 1) >= chance) continue;
            uint32_t times = test_uniform(&seed, 0, 1) < 0.1 ? 2 : 1;
            for (; times > 0; times--, rows++) {
                query[rows] = id_of(q);
                candidate[rows] = id_of(c);
            }
        }
    }
    td_interactions interactions = {.rows = rows, .query_id = query, .candidate_id = candidate};
    assert_ok(td_dataset_build(&dataset, context, &interactions, &err));
    return dataset;
}

static world make_world(uint32_t threads)
{
    world w = {.context = test_context(threads)};
    w.train = make_dataset(w.context, 5);
    td_rows rows = td_dataset_rows(w.train);
    assert_int_equal(td_vocab_count(td_dataset_queries(w.train)), QUERIES);
    assert_int_equal(td_vocab_count(td_dataset_candidates(w.train)), CANDIDATES);
    for (uint64_t i = 0; i < rows.count; i++) {
        w.taken[rows.query[i]][rows.candidate[i]] = 1;
        w.rows[rows.candidate[i]]++;
    }
    return w;
}

static void clear_world(world *w)
{
    td_dataset_free(w->train);
    td_context_free(w->context);
}

static td_baseline_options with(td_baseline_kind kind)
{
    td_baseline_options options;
    td_baseline_options_init(&options);
    options.kind = kind;
    return options;
}

/* Scores of all queries: [QUERIES, CANDIDATES], free with free. */
static float *all_scores(const world *w, const td_baseline_options *options)
{
    td_error err;
    td_baseline *baseline;
    uint32_t queries[QUERIES];
    float *scores = malloc(sizeof(float) * QUERIES * CANDIDATES);
    for (uint32_t q = 0; q < QUERIES; q++) queries[q] = q;
    assert_ok(td_baseline_build(&baseline, w->context, w->train, options, NULL, &err));
    td_scorer scorer = td_baseline_scorer(baseline);
    assert_ok(scorer.score(scorer.user, queries, QUERIES, scores, &err));
    td_baseline_free(baseline);
    return scores;
}

/* X'X */
static double common(const world *w, uint32_t a, uint32_t b)
{
    double sum = 0;
    for (uint32_t q = 0; q < QUERIES; q++) sum += w->taken[q][a] * w->taken[q][b];
    return sum;
}

static void the_option_table_is_sound(void **state)
{
    (void)state;
    test_option_table(td_baseline_option_table(), td_baseline_options);
}

/* --- popularity */

static void popularity_scores_are_row_counts_for_everyone(void **state)
{
    (void)state;
    world w = make_world(2);
    float *scores = all_scores(&w, NULL);
    for (uint32_t q = 0; q < QUERIES; q++) {
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            assert_true((double)scores[q * CANDIDATES + c] == w.rows[c]);
        }
    }
    free(scores);
    clear_world(&w);
}

/* --- item-kNN */

static double similarity(const world *w, uint32_t a, uint32_t b, double shrinkage)
{
    return common(w, a, b) / (sqrt(common(w, a, a) * common(w, b, b)) + shrinkage);
}

/* Is `other` among the `neighbors` most similar of `target`? Fewer than that many are before it: more
 * similar (in float32, as kept), or as similar and at a lower position. */
static bool is_neighbor(const world *w, uint32_t target, uint32_t other, uint32_t neighbors,
                        double shrinkage)
{
    float own = (float)similarity(w, target, other, shrinkage);
    uint32_t before = 0;
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        float like = (float)similarity(w, target, c, shrinkage);
        if (c != target && (like > own || (like == own && c < other))) before++;
    }
    return other != target && before < neighbors;
}

static double knn_score(const world *w, uint32_t q, uint32_t target,
                        const td_baseline_options *options)
{
    double sum = 0, shrinkage = (double)options->shrinkage;
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        if (w->taken[q][c] == 0) continue;
        if (!is_neighbor(w, target, c, options->neighbors, shrinkage)) continue;
        sum += similarity(w, target, c, shrinkage);
    }
    return sum;
}

static void item_knn_is_brute_force(void **state)
{
    (void)state;
    static const uint32_t neighbors[] = {1, 3, CANDIDATES - 1, 1000};
    static const float shrinkage[] = {0, 10, 2.5f, 100};
    world w = make_world(2);
    for (uint32_t i = 0; i < 4; i++) {
        td_baseline_options options = with(TD_BASELINE_ITEM_KNN);
        options.neighbors = neighbors[i];
        options.shrinkage = shrinkage[i];
        float *scores = all_scores(&w, &options);
        for (uint32_t q = 0; q < QUERIES; q++) {
            for (uint32_t c = 0; c < CANDIDATES; c++) {
                assert_close((double)scores[q * CANDIDATES + c], knn_score(&w, q, c, &options), 1e-5,
                             1e-7);
            }
        }
        free(scores);
    }
    clear_world(&w);
}

/* --- EASE */

/* Inverse by Gauss-Jordan with pivoting, in double. a, inverse [n, n]. */
static void invert(double *a, double *inverse, uint32_t n)
{
    for (uint32_t i = 0; i < n * n; i++) inverse[i] = i / n == i % n ? 1 : 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t best = k;
        for (uint32_t i = k; i < n; i++) {
            if (fabs(a[i * n + k]) > fabs(a[best * n + k])) best = i;
        }
        for (uint32_t j = 0; j < n; j++) {
            double t = a[k * n + j], u = inverse[k * n + j];
            a[k * n + j] = a[best * n + j], a[best * n + j] = t;
            inverse[k * n + j] = inverse[best * n + j], inverse[best * n + j] = u;
        }
        double pivot = a[k * n + k];
        for (uint32_t j = 0; j < n; j++) a[k * n + j] /= pivot, inverse[k * n + j] /= pivot;
        for (uint32_t i = 0; i < n; i++) {
            double factor = i == k ? 0 : a[i * n + k];
            for (uint32_t j = 0; j < n; j++) {
                a[i * n + j] -= factor * a[k * n + j];
                inverse[i * n + j] -= factor * inverse[k * n + j];
            }
        }
    }
}

/* B by its closed form. */
static void ease_weights(const world *w, double lambda, double *b)
{
    static double gram[CANDIDATES * CANDIDATES], p[CANDIDATES * CANDIDATES];
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        for (uint32_t j = 0; j < CANDIDATES; j++) {
            gram[i * CANDIDATES + j] = common(w, i, j) + (i == j ? lambda : 0);
        }
    }
    invert(gram, p, CANDIDATES);
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        for (uint32_t j = 0; j < CANDIDATES; j++) {
            double value = -p[i * CANDIDATES + j] / p[j * CANDIDATES + j];
            b[i * CANDIDATES + j] = i == j ? 0 : value;
        }
    }
}

static void ease_is_the_closed_form_in_double(void **state)
{
    (void)state;
    static const float lambdas[] = {0.5f, 10, 300};
    static double b[CANDIDATES * CANDIDATES];
    world w = make_world(2);
    for (uint32_t l = 0; l < 3; l++) {
        td_baseline_options options = with(TD_BASELINE_EASE);
        options.regularization = lambdas[l];
        float *scores = all_scores(&w, &options);
        ease_weights(&w, (double)lambdas[l], b);
        for (uint32_t q = 0; q < QUERIES; q++) {
            for (uint32_t c = 0; c < CANDIDATES; c++) {
                double sum = 0;
                for (uint32_t i = 0; i < CANDIDATES; i++) sum += w.taken[q][i] * b[i * CANDIDATES + c];
                assert_close((double)scores[q * CANDIDATES + c], sum, 1e-4, 1e-5);
            }
        }
        free(scores);
    }
    clear_world(&w);
}

/* B, from a world of units (below): the scores of a query with one candidate are its row of B. */
static double *weights_of(const world *w, const td_baseline_options *options)
{
    td_error err;
    td_baseline *baseline;
    assert_ok(td_baseline_build(&baseline, w->context, w->train, options, NULL, &err));
    td_scorer scorer = td_baseline_scorer(baseline);
    double *b = calloc(CANDIDATES * CANDIDATES, sizeof *b);
    float scores[CANDIDATES];
    for (uint32_t q = 0; q < CANDIDATES; q++) {
        uint32_t only = TD_NONE;
        for (uint32_t c = 0; c < CANDIDATES; c++) only = w->taken[q][c] == 1 ? c : only;
        assert_ok(scorer.score(scorer.user, &q, 1, scores, &err));
        for (uint32_t c = 0; c < CANDIDATES; c++) b[only * CANDIDATES + c] = (double)scores[c];
    }
    td_baseline_free(baseline);
    return b;
}

/* Queries 0 .. CANDIDATES - 1 take one candidate each; CANDIDATES .. take many. */
static world make_world_of_units(void)
{
    enum { MOST = QUERIES * CANDIDATES };
    static const char *query[MOST], *candidate[MOST];
    world w = {.context = test_context(1)};
    td_error err;
    uint64_t rows = 0, seed = 9;
    for (uint32_t q = 0; q < QUERIES; q++) {
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            bool takes = q < CANDIDATES ? q == c : test_uniform(&seed, 0, 1) < 0.3;
            if (!takes) continue;
            query[rows] = id_of(q);
            candidate[rows++] = id_of(c);
            w.taken[q][c] = 1;
        }
    }
    td_interactions interactions = {.rows = rows, .query_id = query, .candidate_id = candidate};
    assert_ok(td_dataset_build(&w.train, w.context, &interactions, &err));
    return w;
}

/* What defines B: its diagonal is zero, and elsewhere the gradient of the ridge loss,
 * X'X B - X'X + lambda B, is. */
static void ease_minimises_the_ridge_loss_under_a_zero_diagonal(void **state)
{
    (void)state;
    const double lambda = 2.5;
    world w = make_world_of_units();
    td_baseline_options options = with(TD_BASELINE_EASE);
    options.regularization = (float)lambda;
    double *b = weights_of(&w, &options);
    double largest = 0;
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        assert_true(b[i * CANDIDATES + i] == 0);
        for (uint32_t j = 0; j < CANDIDATES; j++) {
            double gradient = lambda * b[i * CANDIDATES + j] - common(&w, i, j);
            for (uint32_t k = 0; k < CANDIDATES; k++) {
                gradient += common(&w, i, k) * b[k * CANDIDATES + j];
            }
            if (i != j) assert_close(gradient, 0, 0, 1e-4);
            if (fabs(b[i * CANDIDATES + j]) > largest) largest = fabs(b[i * CANDIDATES + j]);
        }
    }
    assert_true(largest > 0.05);
    free(b);
    clear_world(&w);
}

static void ease_says_how_many_candidates_the_memory_allows(void **state)
{
    (void)state;
    td_error err;
    td_baseline *baseline = (td_baseline *)&err;
    world w = make_world(1);
    td_baseline_options options = with(TD_BASELINE_EASE);
    options.memory_max = CANDIDATES * CANDIDATES * sizeof(float);
    free(all_scores(&w, &options));
    options.memory_max--;
    assert_fails(td_baseline_build(&baseline, w.context, w.train, &options, NULL, &err),
                 TD_ERR_LIMIT, "enough for 36");
    assert_null(baseline);
    clear_world(&w);
}

/* --- all kinds */

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 7};
    for (uint32_t kind = 0; kind < 3; kind++) {
        td_baseline_options options = with((td_baseline_kind)kind);
        float *scores[3];
        for (uint32_t t = 0; t < 3; t++) {
            world w = make_world(threads[t]);
            scores[t] = all_scores(&w, &options);
            clear_world(&w);
            assert_memory_equal(scores[0], scores[t], sizeof(float) * QUERIES * CANDIDATES);
        }
        for (uint32_t t = 0; t < 3; t++) free(scores[t]);
    }
}

static void a_query_that_is_not_there_is_refused(void **state)
{
    (void)state;
    td_error err;
    td_baseline *baseline;
    world w = make_world(1);
    float scores[2 * CANDIDATES];
    uint32_t queries[2] = {0, QUERIES};
    assert_ok(td_baseline_build(&baseline, w.context, w.train, NULL, NULL, &err));
    td_scorer scorer = td_baseline_scorer(baseline);
    assert_fails(scorer.score(scorer.user, queries, 2, scores, &err), TD_ERR_ARGUMENT, "query 60");
    td_baseline_free(baseline);
    clear_world(&w);
}

static void options_out_of_bounds_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_baseline *baseline;
    world w = make_world(1);
    td_baseline_options options = with(TD_BASELINE_ITEM_KNN);
    options.neighbors = 0;
    assert_fails(td_baseline_build(&baseline, w.context, w.train, &options, NULL, &err),
                 TD_ERR_ARGUMENT, "neighbors");
    options = with(TD_BASELINE_EASE);
    options.regularization = 0;
    assert_fails(td_baseline_build(&baseline, w.context, w.train, &options, NULL, &err),
                 TD_ERR_ARGUMENT, "regularization");
    assert_null(baseline);
    td_baseline_free(NULL);
    clear_world(&w);
}

static void a_dataset_without_rows_gives_baselines_without_scores(void **state)
{
    (void)state;
    td_error err;
    td_interactions none = {0};
    world w = {.context = test_context(2)};
    assert_ok(td_dataset_build(&w.train, w.context, &none, &err));
    for (uint32_t kind = 0; kind < 3; kind++) {
        td_baseline *baseline;
        td_baseline_options options = with((td_baseline_kind)kind);
        assert_ok(td_baseline_build(&baseline, w.context, w.train, &options, NULL, &err));
        td_scorer scorer = td_baseline_scorer(baseline);
        assert_ok(scorer.score(scorer.user, NULL, 0, NULL, &err));
        td_baseline_free(baseline);
    }
    clear_world(&w);
}

typedef struct watcher {
    uint32_t calls;
    uint64_t done, total;
    bool go_on;
} watcher;

static bool watch(void *user, const td_progress *progress)
{
    watcher *seen = user;
    assert_string_equal(progress->stage, "baseline");
    assert_true(progress->done >= seen->done);
    seen->calls++;
    seen->done = progress->done;
    seen->total = progress->total;
    return seen->go_on;
}

static void the_hook_sees_the_end_and_can_stop_it(void **state)
{
    (void)state;
    td_error err;
    world w = make_world(2);
    for (uint32_t kind = 0; kind < 3; kind++) {
        td_baseline *baseline;
        watcher seen = {.go_on = true};
        td_progress_hook hook = {watch, &seen};
        td_baseline_options options = with((td_baseline_kind)kind);
        assert_ok(td_baseline_build(&baseline, w.context, w.train, &options, &hook, &err));
        assert_true(seen.calls > 0 && seen.done == CANDIDATES && seen.total == CANDIDATES);
        td_baseline_free(baseline);
        seen = (watcher){.go_on = false};
        assert_fails(td_baseline_build(&baseline, w.context, w.train, &options, &hook, &err),
                     TD_ERR_CANCELLED, "stopped");
        assert_null(baseline);
    }
    clear_world(&w);
}

static td_status build_body(void *state, td_context *context, td_error *err)
{
    static const char *query[] = {"a", "a", "b", "b", "b", "c"};
    static const char *candidate[] = {"x", "y", "x", "y", "z", "z"};
    td_interactions interactions = {.rows = 6, .query_id = query, .candidate_id = candidate};
    td_dataset *train = NULL;
    td_baseline *baseline = NULL;
    td_status status = td_dataset_build(&train, context, &interactions, err);
    if (status == TD_OK) status = td_baseline_build(&baseline, context, train, state, NULL, err);
    td_baseline_free(baseline);
    td_dataset_free(train);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 3; kind++) {
        td_baseline_options options = with((td_baseline_kind)kind);
        test_every_allocation(build_body, &options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_table_is_sound),
        cmocka_unit_test(popularity_scores_are_row_counts_for_everyone),
        cmocka_unit_test(item_knn_is_brute_force),
        cmocka_unit_test(ease_is_the_closed_form_in_double),
        cmocka_unit_test(ease_minimises_the_ridge_loss_under_a_zero_diagonal),
        cmocka_unit_test(ease_says_how_many_candidates_the_memory_allows),
        cmocka_unit_test(threads_do_not_change_the_bits),
        cmocka_unit_test(a_query_that_is_not_there_is_refused),
        cmocka_unit_test(options_out_of_bounds_are_refused),
        cmocka_unit_test(a_dataset_without_rows_gives_baselines_without_scores),
        cmocka_unit_test(the_hook_sees_the_end_and_can_stop_it),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
