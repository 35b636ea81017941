/* rankings.c -- small data sets for evaluation, and metrics worked out the plain way. */
#include "support/rankings.h"

#include <math.h>

enum { ID_MAX = 16 };

/* --- data */

static td_dataset *build(td_context *context, const ranking_row *rows, uint64_t count)
{
    td_error err = {0};
    td_dataset *dataset;
    char(*query)[ID_MAX] = malloc((count + 1) * sizeof *query);
    char(*candidate)[ID_MAX] = malloc((count + 1) * sizeof *candidate);
    const char **query_id = malloc((count + 1) * sizeof *query_id);
    const char **candidate_id = malloc((count + 1) * sizeof *candidate_id);
    for (uint64_t i = 0; i < count; i++) {
        snprintf(query[i], ID_MAX, "q%u", rows[i].query);
        snprintf(candidate[i], ID_MAX, "c%u", rows[i].candidate);
        query_id[i] = query[i];
        candidate_id[i] = candidate[i];
    }
    td_interactions all = {.rows = count, .query_id = query_id, .candidate_id = candidate_id};
    assert_ok(td_dataset_build(&dataset, context, &all, &err));
    free(query);
    free(candidate);
    free(query_id);
    free(candidate_id);
    return dataset;
}

/* First come rows that bring all ids in order; they are cut off again by a split in time order. */
ranking_data ranking_data_make(td_context *context, uint32_t queries, uint32_t candidates,
                               const ranking_row *train, uint64_t train_count,
                               const ranking_row *test, uint64_t test_count)
{
    td_error err = {0};
    ranking_data data = {0};
    uint64_t ids = queries > candidates ? queries : candidates;
    ranking_row *all = calloc(ids + train_count + test_count + 1, sizeof *all);
    for (uint32_t i = 0; i < ids; i++) {
        all[i].query = i < queries ? i : queries - 1;
        all[i].candidate = i < candidates ? i : candidates - 1;
    }
    td_dataset *order = build(context, all, ids), *one = build(context, train, train_count);
    td_dataset *two = build(context, test, test_count), *first, *second, *again;
    assert_ok(td_dataset_align(&first, &data.train, order, one, &err));
    assert_ok(td_dataset_align(&again, &second, first, two, &err));
    /* `second` shares its vocabularies with `again`; the training part must do so too. */
    td_dataset_free(again);
    td_dataset_free(second);
    td_dataset *train_first = data.train;
    assert_ok(td_dataset_align(&data.train, &data.test, train_first, two, &err));
    td_dataset_free(train_first);
    td_dataset_free(first);
    td_dataset_free(order);
    td_dataset_free(one);
    td_dataset_free(two);
    free(all);
    assert_int_equal(td_vocab_count(td_dataset_candidates(data.train)), candidates);
    return data;
}

ranking_data ranking_data_random(td_context *context, uint32_t queries, uint32_t candidates,
                                 uint64_t train_count, uint64_t test_count, uint64_t seed)
{
    uint64_t count = train_count + test_count;
    ranking_row *rows = malloc((count + 1) * sizeof *rows);
    for (uint64_t i = 0; i < count; i++) {
        double u = test_uniform(&seed, 0, 1);
        rows[i].query = (uint32_t)test_uniform(&seed, 0, queries);
        rows[i].candidate = (uint32_t)(u * u * candidates);
        if (i > 0 && i % 7 == 0) rows[i] = rows[i - 1];
    }
    ranking_data data = ranking_data_make(context, queries, candidates, rows, train_count,
                                          rows + train_count, test_count);
    free(rows);
    return data;
}

void ranking_data_free(ranking_data *data)
{
    td_dataset_free(data->train);
    td_dataset_free(data->test);
}

/* --- the plain metrics */

typedef struct plain {
    const ranking_data *data;
    ranking_score *score;
    void *user;
    bool exclude_seen;
    uint32_t candidates;
    td_hit *ranking; /* [candidates] */
    bool *covered;   /* [candidates] */
    bool *listed;    /* [queries, candidates] */
} plain;

static uint64_t count_rows(const td_dataset *dataset, uint32_t query, uint32_t candidate)
{
    td_rows rows = td_dataset_rows(dataset);
    uint64_t count = 0;
    for (uint64_t i = 0; i < rows.count; i++) {
        count += rows.query[i] == query && rows.candidate[i] == candidate;
    }
    return count;
}

static bool can_be_ranked(const plain *p, uint32_t query, uint32_t candidate)
{
    if (p->score(p->user, query, candidate) == -INFINITY) return false;
    return !(p->exclude_seen && count_rows(p->data->train, query, candidate) > 0);
}

static int by_score_then_position(const void *a, const void *b)
{
    const td_hit *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->position < y->position ? -1 : 1;
}

static uint32_t rank_all(const plain *p, uint32_t query)
{
    uint32_t count = 0;
    for (uint32_t c = 0; c < p->candidates; c++) {
        if (!can_be_ranked(p, query, c)) continue;
        p->ranking[count++] = (td_hit){.position = c, .score = p->score(p->user, query, c)};
    }
    qsort(p->ranking, count, sizeof *p->ranking, by_score_then_position);
    return count;
}

static void measure_accuracy(const plain *p, uint32_t query, uint32_t ranked, td_metrics_at *into)
{
    for (uint32_t c = 0; c < p->candidates; c++) {
        uint64_t rows = count_rows(p->data->test, query, c);
        if (rows == 0 || !can_be_ranked(p, query, c)) continue;
        uint32_t higher = 0;
        for (uint32_t r = 0; r < ranked; r++) {
            higher += p->ranking[r].score > p->score(p->user, query, c);
        }
        if (higher < into->k) into->accuracy += (double)rows;
    }
}

static void measure_query(const plain *p, uint32_t query, td_metrics_at *into, double *recommended)
{
    uint32_t ranked = rank_all(p, query), hits = 0, items = 0;
    double dcg = 0, ideal = 0, precisions = 0, first = 0;
    for (uint32_t c = 0; c < p->candidates; c++) items += count_rows(p->data->test, query, c) > 0;
    if (items == 0) return;
    measure_accuracy(p, query, ranked, into);
    for (uint32_t r = 0; r < ranked && r < into->k; r++) {
        uint32_t candidate = p->ranking[r].position;
        *recommended += 1;
        p->covered[candidate] = true;
        p->listed[(size_t)query * p->candidates + candidate] = true;
        for (uint32_t q = 0; q < td_vocab_count(td_dataset_queries(p->data->train)); q++) {
            into->popularity += (double)count_rows(p->data->train, q, candidate);
        }
        if (count_rows(p->data->test, query, candidate) == 0) continue;
        hits++;
        dcg += 1 / log2(r + 2.0);
        precisions += hits / (r + 1.0);
        if (first == 0) first = 1 / (r + 1.0);
    }
    uint32_t possible = items < into->k ? items : into->k;
    for (uint32_t r = 0; r < possible; r++) ideal += 1 / log2(r + 2.0);
    into->recall += (double)hits / items;
    into->precision += (double)hits / into->k;
    into->hit_rate += hits > 0;
    into->ndcg += dcg / ideal;
    into->map += precisions / possible;
    into->mrr += first;
}

/* Of the items of all lists, how many stand in each of the other lists: pair by pair, item by item. */
static double measure_overlap(const plain *p, uint32_t queries, double recommended, double lists)
{
    uint64_t shared = 0;
    for (uint32_t a = 0; a < queries; a++) {
        for (uint32_t b = 0; b < queries; b++) {
            for (uint32_t c = 0; a != b && c < p->candidates; c++) {
                shared += p->listed[(size_t)a * p->candidates + c]
                          && p->listed[(size_t)b * p->candidates + c];
            }
        }
    }
    return shared == 0 ? 0 : (double)shared / (recommended * (lists - 1));
}

static td_metrics_at measure_at(const plain *p, uint32_t k, uint32_t candidates_ranked,
                                const td_metrics *totals)
{
    td_metrics_at at = {.k = k};
    double recommended = 0, queries = totals->queries == 0 ? 1 : totals->queries;
    uint32_t all = td_vocab_count(td_dataset_queries(p->data->train));
    memset(p->covered, 0, p->candidates * sizeof *p->covered);
    memset(p->listed, 0, (size_t)all * p->candidates * sizeof *p->listed);
    for (uint32_t q = 0; q < all; q++) measure_query(p, q, &at, &recommended);
    at.overlap = measure_overlap(p, all, recommended, totals->queries);
    for (uint32_t c = 0; c < p->candidates; c++) at.coverage += p->covered[c];
    at.accuracy /= totals->rows == 0 ? 1 : (double)totals->rows;
    at.recall /= queries;
    at.precision /= queries;
    at.hit_rate /= queries;
    at.ndcg /= queries;
    at.map /= queries;
    at.mrr /= queries;
    at.coverage /= candidates_ranked;
    at.popularity /= recommended == 0 ? 1 : recommended;
    return at;
}

static void count_totals(const plain *p, td_metrics *metrics)
{
    td_rows rows = td_dataset_rows(p->data->test);
    uint32_t queries = td_vocab_count(td_dataset_queries(p->data->test));
    bool *has_rows = calloc(queries + 1, sizeof *has_rows);
    metrics->rows = rows.count;
    for (uint64_t i = 0; i < rows.count; i++) {
        if (!has_rows[rows.query[i]]) metrics->queries++;
        has_rows[rows.query[i]] = true;
        metrics->rows_unknown += p->score(p->user, rows.query[i], rows.candidate[i]) == -INFINITY;
    }
    free(has_rows);
}

td_metrics ranking_metrics(const ranking_data *data, ranking_score *score, void *user,
                           uint32_t candidates_ranked, const td_evaluate_options *options)
{
    td_metrics metrics = {.count = options->k.count};
    plain p = {.data = data, .score = score, .user = user, .exclude_seen = options->exclude_seen};
    p.candidates = td_vocab_count(td_dataset_candidates(data->train));
    p.ranking = malloc((p.candidates + 1) * sizeof *p.ranking);
    p.covered = malloc((p.candidates + 1) * sizeof *p.covered);
    p.listed = malloc(((size_t)td_vocab_count(td_dataset_queries(data->train)) * p.candidates + 1)
                      * sizeof *p.listed);
    count_totals(&p, &metrics);
    for (uint32_t j = 0; j < options->k.count; j++) {
        metrics.at[j] = measure_at(&p, options->k.values[j], candidates_ranked, &metrics);
    }
    free(p.ranking);
    free(p.covered);
    free(p.listed);
    return metrics;
}

void assert_metrics_equal(const td_metrics *found, const td_metrics *expected)
{
    assert_int_equal(found->count, expected->count);
    assert_int_equal(found->queries, expected->queries);
    assert_int_equal(found->rows, expected->rows);
    assert_int_equal(found->rows_unknown, expected->rows_unknown);
    assert_true(found->seconds >= 0);
    for (uint32_t j = 0; j < found->count; j++) {
        const td_metrics_at *a = &found->at[j], *b = &expected->at[j];
        assert_int_equal(a->k, b->k);
        assert_close(a->accuracy, b->accuracy, 1e-12, 1e-15);
        assert_close(a->recall, b->recall, 1e-12, 1e-15);
        assert_close(a->precision, b->precision, 1e-12, 1e-15);
        assert_close(a->hit_rate, b->hit_rate, 1e-12, 1e-15);
        assert_close(a->ndcg, b->ndcg, 1e-12, 1e-15);
        assert_close(a->map, b->map, 1e-12, 1e-15);
        assert_close(a->mrr, b->mrr, 1e-12, 1e-15);
        assert_close(a->coverage, b->coverage, 1e-12, 1e-15);
        assert_close(a->popularity, b->popularity, 1e-12, 1e-15);
        assert_close(a->overlap, b->overlap, 1e-12, 1e-15);
    }
}
