/* searcher.c -- top-k search of one or many queries, and the exact way to do it.
 *
 * Serves: stages 6 and 7. In: queries. Out: each one's best items, in order.
 *
 * A kind of index may have a way of its own, and may leave a request to the exact scan.
 * How the threads share the work: many queries are cut into blocks, and a worker carries a block
 * through all items. Few queries go through the items together: a worker takes spans of panels, and
 * each query's finds are merged. The k best are one and the same set however they are found
 * (kernel/topk.h), so both ways give the same bits. */
#include "index/filter.h"
#include "index/scan.h"
#include "index/update_view.h"

#include "base/memory.h"
#include "base/options.h"
#include "base/pool.h"
#include "base/poison.h"

enum {
    /* Keys that one worker may hold (8 MiB): a large k makes the blocks of queries smaller. */
    KEYS_MAX = 1 << 20,
    /* Multiplications in a span of panels: some tens of microseconds, well above the cost of handing
     * out a piece of work. */
    SPAN_WORK = 1 << 20
};

struct td_searcher {
    td__view view;
    const td_index *index; /* the base that is searched now */
    uint64_t serial;       /* of the state that `scratch` is for */
    td_context *context;
    td__scanner *scanners; /* [threads] */
    td__filter *filters;   /* [threads], for an index with int8 items */
    uint64_t *keys;        /* [threads, block, capacity] */
    float *packed;         /* [threads, dim, TD__PANEL], for an index that keeps no panels */
    uint32_t *exclude;     /* sorted copies, if the caller's were not sorted */
    float *queries;        /* in the index's own form, if that is another than the caller's */
    void *scratch;         /* of the index's kind */
};

/* One call. */
typedef struct search_call {
    td__scan scan;
    td__scanner *scanners;
    td__filter *filters; /* or NULL: no filter */
    uint64_t queries;
    uint32_t block;    /* queries of a block */
    uint64_t capacity; /* keys of a query */
    td_hit *hits;
    uint32_t *counts;
    /* few queries only: */
    uint64_t first;
    uint32_t count;
    uint64_t span; /* panels */
} search_call;

static void free_scratch(td_searcher *searcher)
{
    const td_index *index = searcher->view.index;
    td__filters_free(searcher->filters, index);
    td__free(searcher->context, searcher->scanners);
    td__free(searcher->context, searcher->packed);
    if (searcher->scratch != NULL) index->kind->scratch_free(searcher->scratch, index);
    searcher->filters = NULL;
    searcher->scanners = NULL;
    searcher->packed = NULL;
    searcher->scratch = NULL;
    searcher->serial = 0;
}

/* Scratch for the base that is seen now, if it is another than before. */
static td_status settle(td_searcher *searcher, td_error *err)
{
    td_status status = TD_OK;
    const td_index *index = searcher->view.base;
    uint32_t threads = td_context_threads(searcher->context);
    uint64_t floats = (uint64_t)index->dim * TD__PANEL;
    searcher->index = index;
    if (searcher->serial == searcher->view.serial) return TD_OK;
    free_scratch(searcher);
    TD_TRY(td__alloc_zero(&searcher->scanners, searcher->context, threads, sizeof *searcher->scanners,
                          err));
    if (!td__index_is_packed(index)) {
        TD_TRY(td__alloc_zero(&searcher->packed, searcher->context, threads * floats,
                              sizeof *searcher->packed, err));
        for (uint32_t w = 0; w < threads; w++) {
            searcher->scanners[w].packed = searcher->packed + w * floats;
        }
    }
    if (index->int8 != NULL) {
        TD_TRY(td__filters_create(&searcher->filters, index, searcher->scanners, threads, err));
    }
    if (index->kind->scratch_create != NULL) {
        TD_TRY(index->kind->scratch_create(&searcher->scratch, index, err));
    }
    searcher->serial = searcher->view.serial;
done:
    return status;
}

td_status td_searcher_create(td_searcher **out, const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    td_searcher *searcher = NULL;
    TD_TRY(td__alloc_zero(&searcher, index->context, 1, sizeof *searcher, err));
    searcher->context = index->context;
    td__view_join(&searcher->view, index);
    TD_TRY(td__view_begin(&searcher->view, err));
    TD_TRY(settle(searcher, err));
    td__view_end(&searcher->view);
    *out = searcher;
    return TD_OK;
done:
    td_searcher_free(searcher);
    *out = NULL;
    return status;
}

void td_searcher_free(td_searcher *searcher)
{
    if (searcher == NULL) return;
    if (searcher->view.index != NULL) free_scratch(searcher);
    td__free(searcher->context, searcher->keys);
    td__free(searcher->context, searcher->exclude);
    td__free(searcher->context, searcher->queries);
    td__view_part(&searcher->view);
    td__free(searcher->context, searcher);
}

const td_index *td__searcher_index(const td_searcher *searcher)
{
    return searcher->index;
}

td__scanner *td__searcher_scanners(td_searcher *searcher)
{
    return searcher->scanners;
}

/* --- is the request sound? */

static const td_option effort_rows[] = {
    TD__OPTION_F32(td_search_effort, target_recall, "target-recall", "0.95", 0, 1, "SHARE",
                   "mean share of the true best that a tree finds; 1: exact"),
    TD__OPTION_U32(td_search_effort, num_leaves_to_search, "num-leaves-to-search", "0", 0,
                   TD__U32_MAX, "N", "leaves of a tree that a query looks at; 0: by target-recall"),
    TD__OPTION_U32(td_search_effort, reordering_num_neighbors, "reordering-num-neighbors", "0", 0,
                   TD__U32_MAX, "N",
                   "candidates of a query that a tree scores a second time; 0: by target-recall"),
};
static const td_option_table effort_table =
    TD__OPTION_TABLE("search", td_search_effort, effort_rows);

const td_option_table *td_search_effort_option_table(void)
{
    return &effort_table;
}

void td_search_effort_init(td_search_effort *effort)
{
    td_options_init(&effort_table, effort);
}

static td_status check_bias(const td__view *view, const td_search *search, td_error *err)
{
    const float *bias = search->bias;
    for (uint64_t i = 0; bias != NULL && i < td__view_covered(view, search); i++) {
        if (isfinite(bias[i])) continue;
        return td__fail(err, TD_ERR_NUMERIC, "the bias of item %llu is %f; all must be finite",
                        (unsigned long long)i, (double)bias[i]);
    }
    return TD_OK;
}

static td_status check_k(const td_search *search, uint64_t queries, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(search->k == 0, err, ERR_ARGUMENT, "k is 0; ask for at least 1 result");
    for (uint64_t q = 0; search->k_per_query != NULL && q < queries; q++) {
        TD_FAIL_IF(search->k_per_query[q] > search->k, err, ERR_ARGUMENT,
                   "k of query %llu is %u; at most k, %u, is allowed", (unsigned long long)q,
                   search->k_per_query[q], search->k);
    }
done:
    return status;
}

/* Also tells whether each query's exclusions are ascending. */
static td_status check_exclusions(const td__view *view, const td_search *search, uint64_t queries,
                                  bool *sorted, td_error *err)
{
    td_status status = TD_OK;
    const uint64_t *offsets = search->exclude_offsets;
    *sorted = true;
    for (uint64_t q = 0; offsets != NULL && q < queries; q++) {
        TD_FAIL_IF(offsets[q] > offsets[q + 1], err, ERR_ARGUMENT,
                   "exclusions of query %llu start at %llu and end at %llu", (unsigned long long)q,
                   (unsigned long long)offsets[q], (unsigned long long)offsets[q + 1]);
        for (uint64_t i = offsets[q]; i < offsets[q + 1]; i++) {
            TD_FAIL_IF(search->exclude[i] >= view->count, err, ERR_ARGUMENT,
                       "query %llu excludes position %u; the index has %llu items",
                       (unsigned long long)q, search->exclude[i], (unsigned long long)view->count);
            if (i > offsets[q] && search->exclude[i] < search->exclude[i - 1]) *sorted = false;
        }
    }
done:
    return status;
}

td_status td__check_queries(const td_index *index, const td_vectors *queries, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(queries->dim != td_index_dim(index), err, ERR_ARGUMENT,
               "queries have %u dimensions, the index has %u", queries->dim, td_index_dim(index));
    TD_FAIL_IF(td__heads(queries) > TD__HEADS_MAX, err, ERR_LIMIT,
               "%u vectors per query; at most %d are allowed", queries->heads, TD__HEADS_MAX);
    TD_TRY(td__check_vectors(queries, "query", err));
done:
    return status;
}

/* --- exclusions in order */

static td_status sort_exclusions(td_searcher *searcher, td__scan *scan, uint64_t queries,
                                 td_error *err)
{
    td_status status = TD_OK;
    const uint64_t *offsets = scan->search->exclude_offsets;
    uint64_t total = offsets[queries];
    TD_TRY(td__grow(&searcher->exclude, searcher->context, total, sizeof *searcher->exclude, err));
    memcpy(searcher->exclude, scan->search->exclude, (size_t)total * sizeof *searcher->exclude);
    for (uint64_t q = 0; q < queries; q++) {
        td__sort_positions(searcher->exclude + offsets[q], offsets[q + 1] - offsets[q]);
    }
    scan->exclude = searcher->exclude;
done:
    return status;
}

/* --- the search itself */

static uint32_t block_size(const search_call *call, uint64_t first)
{
    uint64_t left = call->queries - first;
    return left < call->block ? (uint32_t)left : call->block;
}

/* One worker's share: some queries, all or some of the items. */

static void start(search_call *call, uint32_t worker, uint64_t first, uint32_t count)
{
    td__scanner_start(&call->scanners[worker], &call->scan, first, count, call->capacity);
    if (call->filters != NULL) td__filter_start(&call->filters[worker], &call->scan, first, count);
}

static void run(search_call *call, uint32_t worker, uint64_t first, uint32_t count, uint64_t panel,
                uint64_t panel_end)
{
    const td__scan *scan = &call->scan;
    if (call->filters == NULL) {
        td__scanner_run(&call->scanners[worker], scan, first, count, panel, panel_end);
    } else {
        td__filter_run(&call->filters[worker], scan, first, count, panel, panel_end);
    }
}

static void end(search_call *call, uint32_t worker, uint64_t first, uint32_t count)
{
    if (call->filters != NULL) td__filter_end(&call->filters[worker], &call->scan, first, count);
}

static void search_block(void *state, uint64_t block, uint32_t worker)
{
    search_call *call = state;
    td__scanner *scanner = &call->scanners[worker];
    uint64_t first = block * call->block;
    uint32_t count = block_size(call, first);
    start(call, worker, first, count);
    run(call, worker, first, count, 0, td__panel_count(call->scan.index->count));
    end(call, worker, first, count);
    for (uint32_t i = 0; i < count; i++) {
        td__scan_finish(&call->scan, &scanner->top[i], first + i, call->hits, call->counts);
    }
}

static void search_span(void *state, uint64_t block, uint32_t worker)
{
    search_call *call = state;
    uint64_t panels = td__panel_count(call->scan.index->count), panel = block * call->span;
    uint64_t panel_end = panels - panel < call->span ? panels : panel + call->span;
    run(call, worker, call->first, call->count, panel, panel_end);
}

static void merge(search_call *call, uint32_t workers)
{
    for (uint32_t i = 0; i < call->count; i++) {
        td__topk *top = &call->scanners[0].top[i];
        for (uint32_t w = 1; w < workers; w++) {
            const td__topk *other = &call->scanners[w].top[i];
            for (uint64_t j = 0; j < other->count; j++) td__topk_push(top, other->keys[j]);
        }
        td__scan_finish(&call->scan, top, call->first + i, call->hits, call->counts);
    }
}

/* All threads on one block of queries. */
static void search_few(search_call *call, td_context *context, uint32_t workers)
{
    uint64_t panels = td__panel_count(call->scan.index->count);
    uint64_t panel_work = (uint64_t)call->count * call->scan.heads * call->scan.index->dim * TD__PANEL;
    call->span = td__block_count(SPAN_WORK / panel_work + 1, TD__INT8_BLOCK) * TD__INT8_BLOCK;
    for (uint32_t w = 0; w < workers; w++) start(call, w, call->first, call->count);
    td__parallel_for(context, td__block_count(panels, call->span), search_span, call);
    for (uint32_t w = 0; w < workers; w++) end(call, w, call->first, call->count);
    merge(call, workers);
}

static void search_all(search_call *call, td_context *context)
{
    uint32_t threads = td_context_threads(context);
    uint64_t blocks = td__block_count(call->queries, call->block);
    if (blocks >= 2 * (uint64_t)threads || threads == 1) {
        td__parallel_for(context, blocks, search_block, call);
        return;
    }
    for (call->first = 0; call->first < call->queries; call->first += call->count) {
        call->count = block_size(call, call->first);
        search_few(call, context, threads);
    }
}

/* Sizes of the call, and scratch for it. */
static td_status prepare(td_searcher *searcher, search_call *call, td_error *err)
{
    td_status status = TD_OK;
    const td_index *index = searcher->index;
    uint32_t threads = td_context_threads(searcher->context);
    uint64_t k = call->scan.search->k < index->count ? call->scan.search->k : index->count;
    call->capacity = td__topk_capacity(k, index->count);
    uint64_t fit = KEYS_MAX / call->capacity;
    uint32_t most = call->filters == NULL ? TD__QUERY_BLOCK : td__filter_queries(call->scan.heads);
    call->block = fit >= most ? most : fit == 0 ? 1 : (uint32_t)fit;
    uint64_t blocks = td__block_count(call->queries, call->block); /* all of about one size */
    if (blocks > 0) call->block = (uint32_t)td__block_count(call->queries, blocks);
    uint64_t keys = call->block * call->capacity;
    TD_TRY(td__grow(&searcher->keys, searcher->context, threads * keys, sizeof *searcher->keys, err));
    for (uint32_t w = 0; w < threads; w++) searcher->scanners[w].keys = searcher->keys + w * keys;
done:
    return status;
}

static td_status search_base(td_searcher *searcher, search_call *call, td_error *err)
{
    td_status status = TD_OK;
    const td_index *index = searcher->index;
    bool exactly = true;
    if (index->kind->search != NULL) {
        TD_TRY(index->kind->search(searcher->scratch, &call->scan, call->queries, call->hits,
                                   call->counts, &exactly, err));
    }
    if (!exactly) return TD_OK;
    TD_TRY(prepare(searcher, call, err));
    search_all(call, searcher->context);
done:
    return status;
}

/* The request is sound: look at the base and the log. */
static td_status search_view(td_searcher *searcher, search_call *call, const td_search *search,
                             bool sorted, td_error *err)
{
    td_status status = TD_OK;
    td__view *view = &searcher->view;
    TD_TRY(settle(searcher, err));
    TD_TRY(td__view_ask(view, search, err));
    call->scanners = searcher->scanners;
    call->filters = searcher->filters;
    call->scan.index = view->base;
    call->scan.search = &view->search;
    call->scan.items = view->base_items;
    call->scan.filtered = search->allow != NULL;
    if (!sorted) TD_TRY(sort_exclusions(searcher, &call->scan, call->queries, err));
    TD_TRY(search_base(searcher, call, err));
    TD_TRY(td__view_add(view, &call->scan, search, call->queries, call->hits, call->counts, err));
done:
    return status;
}

td_status td__searcher_search(td_searcher *searcher, const td_vectors *queries,
                              const td_search *search, td_hit *hits, uint32_t *counts, td_error *err)
{
    td_status status = TD_OK;
    td__view *view = &searcher->view;
    bool sorted;
    search_call call = {
        .scan = {.kernels = searcher->context->kernels, .queries = queries->data,
                 .heads = td__heads(queries), .exclude = search->exclude},
        .queries = queries->rows,
        .hits = hits,
        .counts = counts,
    };
    TD_TRY(td__view_begin(view, err));
    TD_TRY(check_k(search, queries->rows, err));
    TD_TRY(td_options_check(td_search_effort_option_table(), &search->effort, err));
    TD_TRY(check_bias(view, search, err));
    TD_TRY(check_exclusions(view, search, queries->rows, &sorted, err));
    TD_TRY(search_view(searcher, &call, search, sorted, err));
done:
    td__view_end(view);
    return status;
}

td_status td_searcher_search(td_searcher *searcher, const td_vectors *queries,
                             const td_search *search, td_hit *hits, uint32_t *counts, td_error *err)
{
    td_status status = TD_OK;
    const td_index *index = searcher->view.index;
    td_vectors inner = *queries;
    TD_TRY(td__check_queries(index, queries, err));
    if (index->distance.measure != TD_DOT_PRODUCT) {
        inner.dim = index->dim;
        TD_TRY(td__grow(&searcher->queries, searcher->context, inner.rows * td__heads(&inner) * inner.dim,
                        sizeof *searcher->queries, err));
        TD_TRY(td__distance_queries(&index->distance, queries, searcher->queries, err));
        inner.data = searcher->queries;
    }
    TD_TRY(td__searcher_search(searcher, &inner, search, hits, counts, err));
done:
    return status;
}
