/* index.c -- the life of an index of any kind.
 *
 * Serves: stage 7. In: vectors and their ids. Out: something that can be searched. What the kinds do
 * in their own ways is behind td__index_class; here is what they share: the checks before anything is
 * built, the ids, single vectors and scores. */
#include "index/index.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/vocab.h"
#include "index/update.h"
#include "base/poison.h"

/* From here on a tree is worth its build: below, the exact scan takes about a third of a millisecond. */
enum { TREE_ITEMS_MIN = 20000 };

static const td__index_class *const classes[] = {&td__index_exact, &td__index_tree};

enum { CLASS_COUNT = sizeof classes / sizeof classes[0] };

/* --- options */

static const td_option option_rows[] = {
    TD__OPTION_CHOICE(td_index_options, kind, "kind", "auto", "auto|exact|tree",
                      "exact looks at every item; tree at the most likely ones; auto: exact for "
                      "fewer than 20000 items"),
    TD__OPTION_CHOICE(td_index_options, distance_measure, "distance-measure", "dot_product",
                      "dot_product|cosine|squared_l2",
                      "what a score is; squared_l2 is minus the squared distance"),
    TD__OPTION_CHOICE(td_index_options, store, "store", "auto", "auto|float32|int8",
                      "int8: a tree keeps its items rounded to 8 bits a number and nothing else, "
                      "which takes a quarter of the memory; auto: float32"),
    TD__OPTION_CHOICE(td_index_options, prefilter, "prefilter", "auto", "auto|none|int8",
                      "int8: an exact index looks at integers of 8 bits first, the answer stays the "
                      "same; auto: by number and width of the items"),
    TD__OPTION_U32(td_index_options, num_leaves, "num-leaves", "0", 0, 1 << 20, "N",
                   "parts of a tree; 0: by the number of items"),
    TD__OPTION_U32(td_index_options, dimensions_per_block, "dimensions-per-block", "0", 0, 64, "N",
                   "numbers of a vector that share one code of 4 bits; 0: by the width"),
    TD__OPTION_F32(td_index_options, anisotropic_eta, "anisotropic-eta", "0", 0, 1000, "WEIGHT",
                   "weight of a code's error along its item against that across it; 0: by the "
                   "width, 1: none"),
    TD__OPTION_U64(td_index_options, training_sample_size, "training-sample-size", "0", 0,
                   TD__U64_MAX, "N", "items that the partition is learned from; 0: by their number"),
    TD__OPTION_U32(td_index_options, training_iterations, "training-iterations", "10", 1, 1000, "N",
                   "rounds of k-means"),
    TD__OPTION_U64(td_index_options, seed, "seed", "42", 0, TD__U64_MAX, "N",
                   "seed of the partition"),
};
static const td_option_table option_table = TD__OPTION_TABLE("index", td_index_options, option_rows);

const td_option_table *td_index_option_table(void)
{
    return &option_table;
}

void td_index_options_init(td_index_options *options)
{
    td_options_init(&option_table, options);
}

static const td__index_class *class_of(td_index_kind kind)
{
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        if (classes[i]->kind == kind) return classes[i];
    }
    return NULL;
}

const td__index_class *td__index_class_find(const char *name)
{
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        if (strcmp(classes[i]->name, name) == 0) return classes[i];
    }
    return NULL;
}

const char *td_store_name(td_store store)
{
    static const char *const names[] = {"auto", "float32", "int8"};
    return (size_t)store < sizeof names / sizeof names[0] ? names[store] : "unknown";
}

const char *td_index_kind_name(td_index_kind kind)
{
    const td__index_class *found = class_of(kind);
    return found != NULL ? found->name : kind == TD_INDEX_AUTO ? "auto" : "unknown";
}

/* --- checks */

/* Largest absolute value. Without their signs, floats are ordered as their bits are: infinity behind
 * all numbers, then NaN. */
float td__greatest_of(const float *values, uint64_t count)
{
    uint32_t greatest = 0;
    float result;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bits &= UINT32_MAX >> 1;
        greatest = bits > greatest ? bits : greatest;
    }
    memcpy(&result, &greatest, sizeof result);
    return result;
}

td_status td__check_vectors(const td_vectors *vectors, const char *what, td_error *err)
{
    uint64_t width = (uint64_t)td__heads(vectors) * vectors->dim;
    for (uint64_t row = 0; row < vectors->rows; row++) {
        const float *values = vectors->data + row * width;
        if (isfinite(td__greatest_of(values, width))) continue;
        uint64_t column = 0;
        while (isfinite(values[column])) column++;
        return td__fail(err, TD_ERR_NUMERIC, "%s %llu has %f in column %llu; all values must be finite",
                        what, (unsigned long long)row, (double)values[column],
                        (unsigned long long)column);
    }
    return TD_OK;
}

static td_status check_items(const td_vectors *items, const td_vocab *ids, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(items->dim == 0 || items->dim > TD__DIM_MAX, err, ERR_LIMIT,
               "items have %u dimensions; 1 to %d are allowed", items->dim, TD__DIM_MAX);
    TD_FAIL_IF(td__heads(items) != 1, err, ERR_ARGUMENT, "items have %u vectors each; only queries may "
               "have more than one", items->heads);
    TD_FAIL_IF(items->rows >= TD_NONE, err, ERR_LIMIT, "%llu items; at most %u are allowed",
               (unsigned long long)items->rows, TD_NONE - 1);
    TD_FAIL_IF(ids != NULL && td_vocab_count(ids) != items->rows, err, ERR_ARGUMENT,
               "%llu items but %u ids", (unsigned long long)items->rows, td_vocab_count(ids));
done:
    return status;
}

/* --- vectors as an index has them inside */

typedef td_status inner_form(const td__distance *distance, const td_vectors *vectors, float *to,
                             td_error *err);

static td_status make_inner(td_vectors *inner, float **owned, const td_index *index, inner_form *make,
                            td_error *err)
{
    td_status status = TD_OK;
    const td__distance *distance = &index->distance;
    td_vectors from = *inner;
    *owned = NULL;
    if (distance->measure == TD_DOT_PRODUCT) return TD_OK;
    inner->dim += td__distance_columns(distance);
    TD_TRY(td__alloc(owned, index->context, inner->rows * td__heads(inner) * inner->dim, sizeof **owned,
                     err));
    TD_TRY(make(distance, &from, *owned, err));
    inner->data = *owned;
done:
    return status;
}

td_status td__inner_items(td_vectors *inner, float **owned, const td_index *index,
                          const td_vectors *items, td_error *err)
{
    *inner = *items;
    return make_inner(inner, owned, index, td__distance_items, err);
}

td_status td__inner_queries(td_vectors *inner, float **owned, const td_index *index,
                            const td_vectors *queries, td_error *err)
{
    *inner = *queries;
    return make_inner(inner, owned, index, td__distance_queries, err);
}

/* --- life */

td_status td__index_create(td_index **out, td_context *context, const td__index_class *kind,
                           const td_vectors *items, const td_vocab *ids, td_error *err)
{
    td_status status = TD_OK;
    td_index *index;
    *out = NULL;
    TD_TRY(check_items(items, ids, err));
    TD_TRY(td__alloc_zero(&index, context, 1, sizeof *index, err));
    index->kind = kind;
    index->context = context;
    index->count = items->rows;
    index->dim = items->dim;
    /* Shared, not copied: a vocabulary does not change once it is in use. */
    if (ids != NULL) index->ids = td__vocab_retain((td_vocab *)ids);
    *out = index;
done:
    return status;
}

/* The index of a measure: its items as it has them inside. */
static td_status build_measured(td_index *index, const td_vectors *items,
                                const td_index_options *options, const td_progress_hook *hook,
                                td_error *err)
{
    td_status status = TD_OK;
    td_vectors inner;
    float *owned = NULL;
    index->distance.measure = options->distance_measure;
    TD_FAIL_IF(items->dim + td__distance_columns(&index->distance) > TD__DIM_MAX, err, ERR_LIMIT,
               "items have %u dimensions; by squared distances at most %d are allowed", items->dim,
               TD__DIM_MAX - 2);
    td__distance_choose(&index->distance, items);
    TD_TRY(td__inner_items(&inner, &owned, index, items, err));
    index->dim = inner.dim;
    TD_TRY(index->kind->build(index, &inner, options, hook, err));
done:
    td__free(index->context, owned);
    return status;
}

static td_status check_store(const td_index_options *options, td_error *err)
{
    td_status status = TD_OK;
    if (options->store != TD_STORE_INT8) return TD_OK;
    TD_FAIL_IF(options->kind == TD_INDEX_EXACT, err, ERR_ARGUMENT,
               "an exact index stores float32; for int8, take a tree");
    TD_FAIL_IF(options->distance_measure == TD_SQUARED_L2, err, ERR_ARGUMENT,
               "squared distances need items in float32: rounded, they would be of other points");
done:
    return status;
}

static td_index_kind choose_kind(const td_index_options *options, uint64_t items)
{
    if (options->store == TD_STORE_INT8) return TD_INDEX_TREE;
    return items < TREE_ITEMS_MIN ? TD_INDEX_EXACT : TD_INDEX_TREE;
}

td_status td_index_build_with(td_index **out, td_context *context, const td_vectors *items,
                              const td_vocab *ids, const td_index_options *options,
                              const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = NULL;
    td_index_options defaults;
    td_index_options_init(&defaults);
    if (options == NULL) options = &defaults;
    TD_TRY(td_options_check(&option_table, options, err));
    td_index_kind kind = options->kind;
    TD_TRY(check_store(options, err));
    if (kind == TD_INDEX_AUTO) kind = choose_kind(options, items->rows);
    TD_TRY(td__index_create(&index, context, class_of(kind), items, ids, err));
    TD_TRY(td__check_vectors(items, "item", err));
    TD_TRY(build_measured(index, items, options, hook, err));
    TD_TRY(td__updates_create(index, err));
    *out = index;
    return TD_OK;
done:
    td_index_free(index);
    *out = NULL;
    return status;
}

td_status td_index_build(td_index **out, td_context *context, const td_vectors *items,
                         const td_vocab *ids, td_error *err)
{
    td_index_options options;
    td_index_options_init(&options);
    options.kind = TD_INDEX_EXACT;
    return td_index_build_with(out, context, items, ids, &options, NULL, err);
}

void td__index_drop(const td_index *index, void *array)
{
    bool owned = index->file == NULL || !td__container_holds(index->file, array);
    if (owned) td__free(index->context, array);
}

void td__index_clear(td_index *index)
{
    index->kind->clear(index);
    td__free(index->context, index->live);
    td__container_close(index->file);
    index->file = NULL;
    index->panels = index->rows = NULL;
    index->rounded = NULL;
    index->int8 = NULL;
    index->tree = NULL;
    index->live = NULL;
}

void td_index_free(td_index *index)
{
    if (index == NULL) return;
    if (index->updates != NULL) td__updates_free(index);
    else td__index_clear(index);
    td_vocab_free(index->ids);
    td__free(index->context, index);
}

/* --- questions about the current state, which wait for an update that is at work */

static const td_index *hold(const td_index *index)
{
    if (index->updates == NULL) return index;
    pthread_mutex_lock(&index->updates->changing);
    return td__state_now(index)->base;
}

static void let_go(const td_index *index)
{
    if (index->updates != NULL) pthread_mutex_unlock(&index->updates->changing);
}

/* Baseline x86-64 has no instruction for it, and the compiler's function takes several times as long. */
static uint64_t count_ones(uint64_t word)
{
    const uint64_t twos = UINT64_C(0x5555555555555555), fours = UINT64_C(0x3333333333333333);
    word -= word >> 1 & twos;
    word = (word & fours) + (word >> 2 & fours);
    word = (word + (word >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return word * UINT64_C(0x0101010101010101) >> 56;
}

uint64_t td__count_bits(const uint64_t *bits, uint64_t count)
{
    uint64_t ones = 0;
    for (uint64_t w = 0; w < count / 64; w++) ones += count_ones(bits[w]);
    if (count % 64 == 0) return ones;
    return ones + count_ones(bits[count / 64] & ((UINT64_C(1) << count % 64) - 1));
}

static td_status check_base(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(index->dim == 0 || index->dim > TD__DIM_MAX || index->count >= TD_NONE, err, ERR_CORRUPT,
               "an index of %llu items with %u dimensions", (unsigned long long)index->count, index->dim);
    uint64_t there = index->live == NULL ? index->count : td__count_bits(index->live, index->count);
    TD_FAIL_IF(index->live != NULL && there + index->dead != index->count, err, ERR_CORRUPT,
               "%llu of %llu items are there, and %llu are not", (unsigned long long)there,
               (unsigned long long)index->count, (unsigned long long)index->dead);
    TD_TRY(index->kind->check(index, err));
done:
    return status;
}

td_status td_index_check(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    const td_index *base = hold(index);
    const td_vocab *ids = td_index_ids(index);
    TD_FAIL_IF(ids != NULL && td_vocab_count(ids) != td_index_count(index), err, ERR_CORRUPT,
               "%llu items but %u ids", (unsigned long long)td_index_count(index), td_vocab_count(ids));
    TD_TRY(check_base(base, err));
done:
    let_go(index);
    return status;
}

td_status td_index_calibrate(td_index *index, const td_vectors *queries, const td_progress_hook *hook,
                             td_error *err)
{
    td_status status = TD_OK;
    td_vectors inner;
    float *owned = NULL;
    TD_FAIL_IF(queries->rows == 0, err, ERR_ARGUMENT, "no queries to calibrate with");
    TD_TRY(td__check_queries(index, queries, err));
    if (index->kind->calibrate == NULL) return TD_OK;
    TD_TRY(td_index_merge(index, err));
    TD_TRY(td__inner_queries(&inner, &owned, index, queries, err));
    TD_TRY(index->kind->calibrate(td__state_now(index)->base, &inner, hook, err));
done:
    td__free(index->context, owned);
    return status;
}

/* --- facts */

uint64_t td_index_count(const td_index *index)
{
    return index->updates == NULL ? index->count : atomic_load(&index->updates->count);
}

uint32_t td_index_dim(const td_index *index)
{
    return index->dim - td__distance_columns(&index->distance);
}

const td_vocab *td_index_ids(const td_index *index)
{
    td_vocab *grown = index->updates == NULL ? NULL : atomic_load(&index->updates->ids);
    return grown != NULL ? grown : index->ids;
}

static double drift_of(const td__drift *drift)
{
    if (drift->merged == 0 || drift->built <= 0) return 0.0;
    return drift->sum / (double)drift->merged / drift->built;
}

void td_index_describe(const td_index *index, td_index_info *info)
{
    const td_index *base = hold(index);
    *info = (td_index_info){.kind = base->kind->kind, .items = base->count - base->dead, .recall_most = 1};
    info->store = base->rounded != NULL ? TD_STORE_INT8 : TD_STORE_FLOAT32;
    info->distance_measure = index->distance.measure;
    base->kind->describe(base, info);
    info->updates = base->drift.updates;
    info->drift = drift_of(&base->drift);
    if (index->updates != NULL) td__log_describe(index, info);
    let_go(index);
}

void td_index_vector(const td_index *index, uint32_t position, float *vector)
{
    assert(position < td_index_count(index));
    const td_index *base = hold(index);
    if (index->updates != NULL && index->updates->where != NULL) {
        td__merge from = td__merge_from(index);
        td__merge_copy(&from, position, td_index_dim(index), vector);
    } else {
        td__index_copy(base, position, td_index_dim(index), vector);
    }
    let_go(index);
}

float td__index_score(const td_index *index, const float *query, uint32_t position)
{
    assert(position < index->count);
    float sum = 0.0f;
    if (index->rounded != NULL) return td__rounded_score(index->rounded, position, query, index->dim);
    const float *from = td__index_at(index, position);
    size_t step = td__index_step(index);
    for (uint32_t k = 0; k < index->dim; k++) sum = fmaf(query[k], from[k * step], sum);
    return sum;
}
