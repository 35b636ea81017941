/* measure.c -- from lists and test items to numbers.
 *
 * Serves: stage 6. In: each query's list of hits and its test items with their scores. Out: sums,
 * and from them the metrics.
 *
 * A test item has rank r if r hits stand before it. All metrics follow from the ranks, for all k at
 * once; only `accuracy` asks instead whether fewer than k hits score strictly higher, so that an
 * item which ties with the k-th hit counts as one. */
#include "eval/evaluation.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/poison.h"

/* Over queries, of one k. */
typedef struct sums_at {
    uint64_t accuracy; /* test rows */
    uint64_t hit;      /* queries */
    uint64_t recommended, popularity;
    double recall, precision, ndcg, map, mrr;
} sums_at;

typedef struct sums {
    sums_at at[TD_U32_LIST_MAX];
    uint64_t rows_unknown;
} sums;

struct td__measure {
    const td__evaluation *evaluation;
    const td__chunk *chunk; /* now being measured */
    double *discount;       /* [k_max] 1 / log2(rank + 2) */
    double *ideal;          /* [most test items of a query + 1] sum of the first discounts */
    uint8_t *relevant;      /* [threads, k_max] is the hit of this rank a test item? */
    uint32_t *times;        /* [count of k, rank_count] lists that a candidate stands in */
    sums *blocks;           /* [blocks of a chunk] */
    sums total;
};

static uint64_t most_items(const td__test_items *test)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < test->queries; i++) {
        uint64_t items = test->offsets[i + 1] - test->offsets[i];
        if (items > most) most = items;
    }
    return most;
}

static double discount(uint64_t rank)
{
    return 1.0 / log2((double)rank + 2.0);
}

td_status td__measure_create(td__measure **out, const td__evaluation *evaluation, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = evaluation->context;
    td__measure *measure = NULL;
    uint64_t k_max = evaluation->k_max, threads = td_context_threads(context);
    uint64_t most = most_items(&evaluation->test);
    TD_TRY(td__alloc_zero(&measure, context, 1, sizeof *measure, err));
    measure->evaluation = evaluation;
    TD_TRY(td__alloc(&measure->discount, context, k_max, sizeof *measure->discount, err));
    TD_TRY(td__alloc(&measure->ideal, context, most + 1, sizeof *measure->ideal, err));
    TD_TRY(td__alloc(&measure->relevant, context, threads * k_max, sizeof *measure->relevant, err));
    TD_TRY(td__alloc_zero(&measure->times, context,
                          (uint64_t)evaluation->options->k.count * evaluation->rank_count,
                          sizeof *measure->times, err));
    TD_TRY(td__alloc(&measure->blocks, context,
                     td__block_count(TD__CHUNK_QUERIES, TD__MEASURE_QUERIES),
                     sizeof *measure->blocks, err));
    measure->ideal[0] = 0;
    for (uint64_t r = 0; r < most; r++) measure->ideal[r + 1] = measure->ideal[r] + discount(r);
    for (uint64_t r = 0; r < k_max; r++) measure->discount[r] = discount(r);
    *out = measure;
    return TD_OK;
done:
    td__measure_free(measure);
    *out = NULL;
    return status;
}

void td__measure_free(td__measure *measure)
{
    if (measure == NULL) return;
    td_context *context = measure->evaluation->context;
    td__free(context, measure->discount);
    td__free(context, measure->ideal);
    td__free(context, measure->relevant);
    td__free(context, measure->times);
    td__free(context, measure->blocks);
    td__free(context, measure);
}

/* --- one query */

/* A query's list and test items. */
typedef struct query_view {
    const td_hit *hits;
    uint32_t count;
    uint64_t items, first_item;
    uint32_t query;      /* position in the dataset */
    const float *scores; /* [items] */
    uint8_t *relevant;   /* [count] */
} query_view;

static query_view view_query(const td__measure *measure, uint32_t i, uint32_t worker)
{
    const td__evaluation *evaluation = measure->evaluation;
    const td__chunk *chunk = measure->chunk;
    const uint64_t *offsets = evaluation->test.offsets + chunk->first;
    return (query_view){
        .hits = chunk->hits + (size_t)i * evaluation->k_max,
        .count = chunk->hit_counts[i],
        .first_item = offsets[i],
        .items = offsets[i + 1] - offsets[i],
        .query = evaluation->test.query[chunk->first + i],
        .scores = chunk->scores + (offsets[i] - offsets[0]),
        .relevant = measure->relevant + (size_t)worker * evaluation->k_max,
    };
}

/* Rank of the item at this position with this score, or the number of hits if it is not among them.
 */
static uint32_t find_rank(const query_view *view, float score, uint32_t position)
{
    uint32_t low = 0, high = view->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const td_hit *hit = &view->hits[middle];
        bool before = hit->score > score || (hit->score == score && hit->position < position);
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low < view->count && view->hits[low].position == position ? low : view->count;
}

/* Fewer than k hits score strictly higher. */
static bool is_accurate(const query_view *view, float score, uint32_t k)
{
    return view->count < k || score >= view->hits[k - 1].score;
}

/* Mark the ranks of the test items, and count what is asked of rows. */
static void look_at_items(const td__measure *measure, const query_view *view, sums *into)
{
    const td__evaluation *evaluation = measure->evaluation;
    const td_u32_list *k = &evaluation->options->k;
    memset(view->relevant, 0, view->count);
    for (uint64_t i = 0; i < view->items; i++) {
        uint32_t candidate = evaluation->test.candidate[view->first_item + i];
        uint32_t rows = evaluation->test.rows[view->first_item + i];
        float score = view->scores[i];
        if (isnan(score)) {
            into->rows_unknown += rows;
            continue;
        }
        if (evaluation->options->exclude_seen && td__was_seen(evaluation, view->query, candidate)) {
            continue;
        }
        uint32_t rank = find_rank(view, score, td__rank_position(evaluation, candidate));
        if (rank < view->count) view->relevant[rank] = 1;
        for (uint32_t j = 0; j < k->count; j++) {
            if (is_accurate(view, score, k->values[j])) into->at[j].accuracy += rows;
        }
    }
}

static void add_ranking(const td__measure *measure, const query_view *view, uint32_t k,
                        sums_at *into)
{
    const uint64_t *popularity = measure->evaluation->popularity;
    uint32_t depth = view->count < k ? view->count : k, hits = 0, best = TD_NONE;
    uint64_t possible = view->items < k ? view->items : k;
    double gain = 0, precisions = 0;
    for (uint32_t r = 0; r < depth; r++) {
        into->popularity += popularity[view->hits[r].position];
        if (!view->relevant[r]) continue;
        if (best == TD_NONE) best = r;
        gain += measure->discount[r];
        precisions += (double)++hits / ((double)r + 1);
    }
    into->recommended += depth;
    if (hits == 0) return;
    into->hit++;
    into->recall += (double)hits / (double)view->items;
    into->precision += (double)hits / (double)k;
    into->ndcg += gain / measure->ideal[possible];
    into->map += precisions / (double)possible;
    into->mrr += 1.0 / ((double)best + 1);
}

/* --- all of a chunk */

static void measure_block(void *state, uint64_t block, uint32_t worker)
{
    td__measure *measure = state;
    const td_u32_list *k = &measure->evaluation->options->k;
    uint32_t first = (uint32_t)block * TD__MEASURE_QUERIES, left = measure->chunk->count - first;
    uint32_t end = left < TD__MEASURE_QUERIES ? measure->chunk->count : first + TD__MEASURE_QUERIES;
    sums *into = &measure->blocks[block];
    memset(into, 0, sizeof *into);
    for (uint32_t i = first; i < end; i++) {
        query_view view = view_query(measure, i, worker);
        look_at_items(measure, &view, into);
        for (uint32_t j = 0; j < k->count; j++)
            add_ranking(measure, &view, k->values[j], &into->at[j]);
    }
}

static void add_sums(sums *total, const sums *more)
{
    total->rows_unknown += more->rows_unknown;
    for (uint32_t j = 0; j < TD_U32_LIST_MAX; j++) {
        sums_at *to = &total->at[j];
        const sums_at *from = &more->at[j];
        to->accuracy += from->accuracy;
        to->hit += from->hit;
        to->recommended += from->recommended;
        to->popularity += from->popularity;
        to->recall += from->recall;
        to->precision += from->precision;
        to->ndcg += from->ndcg;
        to->map += from->map;
        to->mrr += from->mrr;
    }
}

static void count_list(td__measure *measure, const td_hit *hits, uint32_t count)
{
    const td_u32_list *k = &measure->evaluation->options->k;
    for (uint32_t j = 0; j < k->count; j++) {
        uint32_t *times = measure->times + (size_t)j * measure->evaluation->rank_count;
        uint32_t depth = count < k->values[j] ? count : k->values[j];
        for (uint32_t r = 0; r < depth; r++) times[hits[r].position]++;
    }
}

static void count_lists(td__measure *measure)
{
    const td__chunk *chunk = measure->chunk;
    for (uint32_t i = 0; i < chunk->count; i++) {
        const td_hit *hits = chunk->hits + (size_t)i * measure->evaluation->k_max;
        count_list(measure, hits, chunk->hit_counts[i]);
    }
}

void td__measure_add(td__measure *measure, const td__chunk *chunk)
{
    uint64_t blocks = td__block_count(chunk->count, TD__MEASURE_QUERIES);
    measure->chunk = chunk;
    td__parallel_for(measure->evaluation->context, blocks, measure_block, measure);
    for (uint64_t b = 0; b < blocks; b++) add_sums(&measure->total, &measure->blocks[b]);
    count_lists(measure);
}

/* Share of the candidates that stand in some list. */
static double coverage(const td__measure *measure, uint32_t j)
{
    uint32_t covered = 0, count = measure->evaluation->rank_count;
    const uint32_t *times = measure->times + (size_t)j * count;
    for (uint32_t c = 0; c < count; c++) covered += times[c] > 0;
    return count == 0 ? 0 : (double)covered / (double)count;
}

/* A candidate that stands in n lists is found n (n - 1) times when each list is held against each
 * other one: so all pairs of lists are compared in one pass over the candidates. */
static double overlap(const td__measure *measure, uint32_t j)
{
    uint64_t shared = 0;
    uint32_t count = measure->evaluation->rank_count, lists = measure->evaluation->test.queries;
    const uint32_t *times = measure->times + (size_t)j * count;
    for (uint32_t c = 0; c < count; c++) {
        if (times[c] > 0) shared += (uint64_t)times[c] * (times[c] - 1);
    }
    double all = (double)measure->total.at[j].recommended * ((double)lists - 1);
    return lists < 2 || all <= 0 ? 0 : (double)shared / all;
}

void td__measure_result(const td__measure *measure, td_metrics *metrics)
{
    const td__evaluation *evaluation = measure->evaluation;
    const td_u32_list *k = &evaluation->options->k;
    /* With nothing to divide by, the sums are 0 and so are the means. */
    double queries = evaluation->test.queries == 0 ? 1 : (double)evaluation->test.queries;
    double rows = evaluation->test.row_count == 0 ? 1 : (double)evaluation->test.row_count;
    memset(metrics, 0, sizeof *metrics);
    metrics->count = k->count;
    metrics->queries = evaluation->test.queries;
    metrics->rows = evaluation->test.row_count;
    metrics->rows_unknown = measure->total.rows_unknown;
    for (uint32_t j = 0; j < k->count; j++) {
        const sums_at *total = &measure->total.at[j];
        double recommended = total->recommended == 0 ? 1 : (double)total->recommended;
        metrics->at[j] = (td_metrics_at){
            .k = k->values[j],
            .accuracy = (double)total->accuracy / rows,
            .recall = total->recall / queries,
            .precision = total->precision / queries,
            .hit_rate = (double)total->hit / queries,
            .ndcg = total->ndcg / queries,
            .map = total->map / queries,
            .mrr = total->mrr / queries,
            .coverage = coverage(measure, j),
            .overlap = overlap(measure, j),
            .popularity = (double)total->popularity / recommended,
        };
    }
}
