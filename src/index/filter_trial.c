/* filter_trial.c -- does the filter pay on these items?
 *
 * Serves: stage 7. In: an exact index with int8 items, just built. Out: yes or no.
 * Queries are not known yet, so items stand for them. What makes a filter fail is seen with these too:
 * items so much alike that all pass, or of so few dimensions that their sums of integers are as much work
 * as scores. What makes it shine as well: lengths so different that queries end early. */
#include "index/filter_trial.h"

#include "base/memory.h"
#include "index/filter.h"

#include "base/poison.h"

enum { SAMPLES = 32, BEST = 10 };

/* One worker without a searcher. */
typedef struct trial {
    td__scanner *scanner;
    td__filter *filter;
    float *queries; /* [SAMPLES, dim] */
} trial;

static void clear(trial *t, const td_index *index)
{
    td__filters_free(t->filter, index);
    if (t->scanner != NULL) {
        td__free(index->context, t->scanner->keys);
        td__free(index->context, t->scanner->packed);
    }
    td__free(index->context, t->scanner);
    td__free(index->context, t->queries);
}

static td_status init(trial *t, const td_index *index, uint64_t capacity, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = index->context;
    uint64_t floats = (uint64_t)index->dim * TD__PANEL;
    TD_TRY(td__alloc_zero(&t->scanner, context, 1, sizeof *t->scanner, err));
    TD_TRY(td__alloc(&t->scanner->keys, context, SAMPLES * capacity, sizeof(uint64_t), err));
    TD_TRY(td__alloc_zero(&t->scanner->packed, context, floats, sizeof(float), err));
    TD_TRY(td__alloc(&t->queries, context, (uint64_t)SAMPLES * index->dim, sizeof(float), err));
    TD_TRY(td__filters_create(&t->filter, index, t->scanner, 1, err));
    for (uint64_t i = 0; i < SAMPLES; i++) {
        td__index_copy(index, (uint32_t)(i * index->count / SAMPLES), index->dim,
                       t->queries + i * index->dim);
    }
done:
    return status;
}

td_status td__filter_pays(bool *pays, const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    trial t = {0};
    td_search search = {.k = BEST};
    uint64_t capacity = td__topk_capacity(BEST, index->count);
    TD_TRY(init(&t, index, capacity, err));
    td__scan scan = {.index = index, .kernels = index->context->kernels, .queries = t.queries,
                     .heads = 1, .search = &search, .items = index->count};
    td__scanner_start(t.scanner, &scan, 0, SAMPLES, capacity);
    td__filter_start(t.filter, &scan, 0, SAMPLES);
    td__filter_run(t.filter, &scan, 0, SAMPLES, 0, td__panel_count(index->count));
    *pays = t.filter->work < td__scan_work((double)index->count, index->dim, SAMPLES);
done:
    clear(&t, index);
    return status;
}
