/* tree_merge.c -- a tree and what came since become a tree, without learning anew.
 *
 * Serves: stage 7. In: the tree of a base, vectors of a log. Out: a tree in which they are in the leaves of
 * their nearest centres.
 *
 * A leaf keeps its groups as they are: what was replaced or deleted leaves its slots empty, and new items
 * fill empty slots, the longest first, or add groups. Four kinds of leaves are not kept, and their items
 * look for the nearest centre like new ones:
 *   split     more than four times the mean: two centres take the place of its own
 *   dissolved less than an eighth of the mean: its centre goes
 *   refilled  a quarter of its slots would be empty: its centre stays
 * Codewords stay. All is a function of the base and the log, whatever the number of threads. */
#include <math.h>

#include "base/memory.h"
#include "base/pool.h"
#include "index/tree.h"
#include "index/update.h"

#include "base/poison.h"

enum {
    SPLIT_ABOVE = 4,      /* times the mean */
    SPLIT_ITEMS_MIN = 64,
    DISSOLVE_BELOW = 8,   /* mean over that */
    MEAN_MIN = 8,         /* with fewer items a leaf all this is not worth its while */
    SPLIT_ROUNDS = 8,
    DRIFT_SAMPLE = 8192,  /* items that tell how far from its centre an item was */
    GATHER_ROWS = 1024
};

typedef enum leaf_fate { KEEP, REFILL, DISSOLVE, SPLIT } leaf_fate;

typedef struct merging {
    td_index *index; /* the new one */
    const td__merge *from;
    const td__tree *old;
    uint32_t changed;  /* how many of the movers are new or replaced: the first ones */
    uint32_t moving;
    uint32_t *movers;  /* [moving] positions that need a slot */
    uint32_t *leaf;    /* [moving] */
    float *vectors;    /* [moving, dim] */
    float *item;       /* [dim]: scratch */
    uint32_t *kept;    /* [old leaves]: items that stay in their slots */
    uint32_t *sizes;   /* [old leaves]: with those that come */
    uint8_t *fate;     /* [old leaves] */
    float *centers;    /* [leaves, dim] */
    uint32_t leaves;
    uint32_t *source;  /* [leaves]: old leaf whose groups stay, or TD_NONE */
    uint64_t *first;   /* [leaves + 1]: movers of leaf l are order[first[l]] and on */
    uint32_t *order;   /* [moving] */
    uint32_t workers;
    struct filler *fillers; /* [workers] */
} merging;

typedef struct filler {
    td__encoder encoder;
    uint32_t *positions; /* [most movers of a leaf] */
    uint64_t *keys;      /* [one more] */
    td_hit *members;
} filler;

/* --- who needs a slot */

static bool stays(const merging *work, uint32_t position)
{
    return position != TD_NONE && work->from->where[position] == TD__IN_BASE;
}

static uint32_t count_stays(const merging *work, uint32_t leaf)
{
    const td__tree *old = work->old;
    uint32_t count = 0;
    uint64_t end = (uint64_t)old->first[leaf + 1] * TD__GROUP;
    for (uint64_t slot = (uint64_t)old->first[leaf] * TD__GROUP; slot < end; slot++) {
        count += stays(work, old->positions[slot]);
    }
    return count;
}

static td_status find_changed(merging *work, td_error *err)
{
    td_status status = TD_OK;
    const td__merge *from = work->from;
    td_context *context = work->index->context;
    uint32_t leaves = work->old->centers.count;
    TD_TRY(td__alloc(&work->movers, context, from->count, sizeof *work->movers, err));
    TD_TRY(td__alloc(&work->kept, context, leaves, sizeof *work->kept, err));
    TD_TRY(td__alloc(&work->sizes, context, leaves, sizeof *work->sizes, err));
    TD_TRY(td__alloc_zero(&work->fate, context, leaves, sizeof *work->fate, err));
    for (uint64_t p = 0; p < from->count; p++) {
        uint32_t where = from->where[p];
        if (where != TD__IN_BASE && where != TD__NOWHERE) work->movers[work->moving++] = (uint32_t)p;
    }
    work->changed = work->moving;
    for (uint32_t l = 0; l < leaves; l++) work->kept[l] = count_stays(work, l);
done:
    return status;
}

static void gather_block(void *state, uint64_t block, uint32_t worker)
{
    const merging *work = state;
    uint64_t first = block * GATHER_ROWS, end = first + GATHER_ROWS;
    uint32_t dim = work->index->dim;
    (void)worker;
    if (end > work->moving) end = work->moving;
    for (uint64_t i = first; i < end; i++) {
        memcpy(work->vectors + i * dim, td__index_at(work->index, work->movers[i]),
               dim * sizeof *work->vectors);
    }
}

/* The nearest centre of every mover. */
static td_status assign(merging *work, const td__centers *centers, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    TD_TRY(td__grow(&work->vectors, context, (uint64_t)work->moving * work->index->dim,
                    sizeof *work->vectors, err));
    TD_TRY(td__grow(&work->leaf, context, work->moving, sizeof *work->leaf, err));
    td__parallel_for(context, td__block_count(work->moving, GATHER_ROWS), gather_block, work);
    td__centers_assign(centers, work->vectors, work->moving, work->leaf);
done:
    return status;
}

/* --- what becomes of the leaves */

static void add_members(merging *work, uint32_t leaf)
{
    const td__tree *old = work->old;
    uint64_t end = (uint64_t)old->first[leaf + 1] * TD__GROUP;
    for (uint64_t slot = (uint64_t)old->first[leaf] * TD__GROUP; slot < end; slot++) {
        if (stays(work, old->positions[slot])) work->movers[work->moving++] = old->positions[slot];
    }
}

static leaf_fate fate_of(const merging *work, uint32_t leaf, uint64_t size)
{
    const td__tree *old = work->old;
    uint64_t items = work->index->count - work->index->dead, leaves = old->centers.count;
    uint64_t slots = (uint64_t)(old->first[leaf + 1] - old->first[leaf]) * TD__GROUP;
    if (items >= MEAN_MIN * leaves) {
        if (size >= SPLIT_ITEMS_MIN && size * leaves > SPLIT_ABOVE * items) return SPLIT;
        if (size * DISSOLVE_BELOW * leaves < items) return DISSOLVE;
    }
    return slots > size + size / 4 + TD__GROUP ? REFILL : KEEP;
}

/* Returns whether the movers must look for their centres again. */
static bool decide(merging *work)
{
    uint32_t leaves = work->old->centers.count;
    bool again = false;
    memcpy(work->sizes, work->kept, leaves * sizeof *work->sizes);
    for (uint32_t i = 0; i < work->changed; i++) work->sizes[work->leaf[i]]++;
    for (uint32_t l = 0; l < leaves; l++) {
        work->fate[l] = (uint8_t)fate_of(work, l, work->sizes[l]);
        if (work->fate[l] == KEEP) continue;
        add_members(work, l);
        again = true;
    }
    return again;
}

/* Two centres for the items of a leaf, into `to` [2, dim]. */
static td_status split(const merging *work, uint32_t leaf, float *to, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    const td__tree *old = work->old;
    uint32_t dim = work->index->dim, count = 0;
    float *rows = NULL;
    td__centers two = {0};
    TD_TRY(td__alloc(&rows, context, (uint64_t)work->sizes[leaf] * dim, sizeof *rows, err));
    uint64_t end = (uint64_t)old->first[leaf + 1] * TD__GROUP;
    for (uint64_t slot = (uint64_t)old->first[leaf] * TD__GROUP; slot < end; slot++) {
        uint32_t position = old->positions[slot];
        if (!stays(work, position)) continue;
        memcpy(rows + (size_t)count++ * dim, td__index_at(work->index, position), dim * sizeof *rows);
    }
    for (uint32_t i = 0; i < work->changed; i++) {
        if (work->leaf[i] != leaf) continue;
        memcpy(rows + (size_t)count++ * dim, td__index_at(work->index, work->movers[i]),
               dim * sizeof *rows);
    }
    TD_TRY(td__centers_create(&two, context, 2, dim, err));
    TD_TRY(td__kmeans(&two, rows, count, SPLIT_ROUNDS, leaf, NULL, NULL, err));
    memcpy(to, two.rows, 2 * (size_t)dim * sizeof *to);
done:
    td__centers_clear(&two);
    td__free(context, rows);
    return status;
}

/* The centres of the new tree: those that stay in their order, then those of the splits. */
static td_status choose_centers(merging *work, td_error *err)
{
    td_status status = TD_OK;
    const td__centers *centers = &work->old->centers;
    uint32_t dim = centers->dim;
    work->leaves = 0;
    for (uint32_t l = 0; l < centers->count; l++) {
        if (work->fate[l] == SPLIT || work->fate[l] == DISSOLVE) continue;
        memcpy(work->centers + (size_t)work->leaves * dim, centers->rows + (size_t)l * dim,
               dim * sizeof *work->centers);
        work->source[work->leaves++] = work->fate[l] == KEEP ? l : TD_NONE;
    }
    for (uint32_t l = 0; l < centers->count; l++) {
        if (work->fate[l] != SPLIT) continue;
        TD_TRY(split(work, l, work->centers + (size_t)work->leaves * dim, err));
        work->source[work->leaves++] = TD_NONE;
        work->source[work->leaves++] = TD_NONE;
    }
done:
    return status;
}

/* --- the new tree */

/* What was learned goes over; leaves in proportion. */
static td_status inherit_calibration(td_index *index, const td__tree *old, td_error *err)
{
    td_status status = TD_OK;
    td__tree *tree = index->tree;
    float leaves = (float)tree->centers.count, ratio = leaves / (float)old->centers.count;
    TD_TRY(td__alloc(&tree->calibrated, index->context, old->calibrated_count, sizeof *tree->calibrated,
                     err));
    tree->calibrated_count = old->calibrated_count;
    tree->calibration_queries = old->calibration_queries;
    for (uint32_t i = 0; i < old->calibrated_count; i++) {
        tree->calibrated[i] = old->calibrated[i];
        tree->calibrated[i].leaves = fminf(tree->calibrated[i].leaves * ratio, leaves);
    }
done:
    return status;
}

static td_status make_tree(merging *work, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    const td__codec *codec = &work->old->codec;
    size_t codewords = (size_t)codec->blocks * codec->width * TD__CODE_VALUES;
    TD_TRY(td__tree_create(index, work->leaves, codec->width, codec->eta, err));
    td__tree *tree = index->tree;
    memcpy(tree->centers.rows, work->centers, (size_t)work->leaves * index->dim * sizeof(float));
    td__centers_pack(&tree->centers);
    memcpy(tree->codec.codewords, codec->codewords, codewords * sizeof(float));
    TD_TRY(inherit_calibration(index, work->old, err));
done:
    return status;
}

/* Groups that a leaf brings from the old tree. */
static uint32_t old_groups(const merging *work, uint32_t leaf)
{
    uint32_t source = work->source[leaf];
    return source == TD_NONE ? 0 : work->old->first[source + 1] - work->old->first[source];
}

static td_status lay_out(merging *work, uint64_t *largest, td_error *err)
{
    td_status status = TD_OK;
    td__tree *tree = work->index->tree;
    uint64_t groups = 0;
    *largest = 0;
    for (uint32_t l = 0; l < work->leaves; l++) {
        uint64_t movers = work->first[l + 1] - work->first[l];
        uint64_t stay = work->source[l] == TD_NONE ? 0 : work->kept[work->source[l]];
        uint64_t had = old_groups(work, l), need = td__block_count(stay + movers, TD__GROUP);
        *largest = movers > *largest ? movers : *largest;
        tree->first[l] = (uint32_t)groups;
        groups += had > need ? had : need;
        TD_FAIL_IF(groups * TD__GROUP >= TD_NONE, err, ERR_LIMIT, "%llu items are too many for a tree",
                   (unsigned long long)work->index->count);
    }
    tree->first[work->leaves] = (uint32_t)groups;
    TD_TRY(td__tree_room(work->index, (uint32_t)groups, err));
done:
    return status;
}

/* --- filling the leaves */

static void copy_groups(const merging *work, uint32_t leaf)
{
    const td__tree *old = work->old;
    td__tree *tree = work->index->tree;
    uint64_t groups = old_groups(work, leaf), to = tree->first[leaf];
    if (groups == 0) return;
    uint64_t from = old->first[work->source[leaf]], slots = groups * TD__GROUP;
    uint64_t group_bytes = (uint64_t)tree->codec.blocks_padded * 16;
    memcpy(tree->codes + to * group_bytes, old->codes + from * group_bytes, groups * group_bytes);
    memcpy(tree->rows + to * TD__GROUP * tree->stride, old->rows + from * TD__GROUP * tree->stride,
           slots * tree->stride);
    memcpy(tree->scales + to * TD__GROUP, old->scales + from * TD__GROUP, slots * sizeof *tree->scales);
    for (uint64_t i = 0; i < slots; i++) {
        uint32_t position = old->positions[from * TD__GROUP + i];
        tree->positions[to * TD__GROUP + i] = stays(work, position) ? position : TD_NONE;
    }
}

/* An encoder finds zeros. */
static void clear_codes(td__tree *tree, uint64_t slot)
{
    uint32_t column = slot % TD__GROUP;
    uint8_t *group = tree->codes + slot / TD__GROUP * tree->codec.blocks_padded * 16;
    uint8_t others = column < 16 ? 0xF0 : 0x0F;
    for (uint32_t b = 0; b < tree->codec.blocks; b++) group[b * 16 + column % 16] &= others;
}

static void fill_leaf(void *state, uint64_t block, uint32_t worker)
{
    const merging *work = state;
    td__tree *tree = work->index->tree;
    filler *own = &work->fillers[worker];
    uint32_t leaf = (uint32_t)block;
    uint64_t first = work->first[leaf], count = work->first[leaf + 1] - first;
    copy_groups(work, leaf);
    for (uint64_t i = 0; i < count; i++) own->positions[i] = work->movers[work->order[first + i]];
    td__tree_sort(work->index, own->positions, count, own->keys, own->members);
    uint64_t slot = (uint64_t)tree->first[leaf] * TD__GROUP;
    for (uint64_t i = 0; i < count; slot++) {
        if (tree->positions[slot] != TD_NONE) continue;
        clear_codes(tree, slot);
        td__tree_put(work->index, &own->encoder, leaf, slot, own->members[i++].position);
    }
}

static td_status make_fillers(merging *work, uint64_t largest, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    uint32_t threads = td_context_threads(context);
    TD_TRY(td__alloc_zero(&work->fillers, context, threads, sizeof *work->fillers, err));
    work->workers = threads;
    for (uint32_t w = 0; w < threads; w++) {
        filler *own = &work->fillers[w];
        TD_TRY(td__encoder_create(&own->encoder, work->index, err));
        TD_TRY(td__alloc(&own->positions, context, largest, sizeof *own->positions, err));
        TD_TRY(td__alloc(&own->keys, context, largest + 1, sizeof *own->keys, err));
        TD_TRY(td__alloc(&own->members, context, largest, sizeof *own->members, err));
    }
done:
    return status;
}

static td_status fill(merging *work, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    uint64_t largest;
    TD_TRY(td__alloc(&work->first, context, work->leaves + UINT64_C(1), sizeof *work->first, err));
    TD_TRY(td__alloc(&work->order, context, work->moving, sizeof *work->order, err));
    td__group_by_leaf(work->leaf, work->moving, work->leaves, work->first, work->order);
    TD_TRY(lay_out(work, &largest, err));
    TD_TRY(make_fillers(work, largest, err));
    td__parallel_for(context, work->leaves, fill_leaf, work);
    td__tree_mark_live(work->index->tree);
done:
    return status;
}

/* --- drift */

static double distance(const float *item, const float *center, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < dim; k++) {
        double gap = (double)item[k] - (double)center[k];
        sum += gap * gap;
    }
    return sum;
}

/* Mean squared distance to their centres of items spread over all slots; `item` [dim] is scratch. */
static double mean_distance(const td_index *index, float *item)
{
    const td__tree *tree = index->tree;
    uint64_t slots = (uint64_t)tree->groups * TD__GROUP, step = slots / DRIFT_SAMPLE + 1, seen = 0;
    double sum = 0.0;
    for (uint32_t l = 0; l < tree->centers.count; l++) {
        const float *center = tree->centers.rows + (size_t)l * index->dim;
        uint64_t end = (uint64_t)tree->first[l + 1] * TD__GROUP;
        for (uint64_t slot = (uint64_t)tree->first[l] * TD__GROUP; slot < end; slot++) {
            uint32_t position = tree->positions[slot];
            if (slot % step != 0 || position == TD_NONE) continue;
            td__index_copy(index, position, index->dim, item);
            sum += distance(item, center, index->dim);
            seen++;
        }
    }
    return seen > 0 ? sum / (double)seen : 0.0;
}

static void note_drift(const merging *work)
{
    td__drift *drift = &work->index->drift;
    const td_index *index = work->index;
    if (drift->merged == 0 && drift->built <= 0.0) drift->built = mean_distance(work->from->base, work->item);
    for (uint32_t i = 0; i < work->changed; i++) {
        drift->sum += distance(td__index_at(index, work->movers[i]),
                               index->tree->centers.rows + (size_t)work->leaf[i] * index->dim,
                               index->dim);
    }
    drift->merged += work->changed;
}

/* Largest absolute value: that of before, or of what came, unless it went with an item that had it. */
static float greatest_of(const merging *work)
{
    const td_index *index = work->index, *base = work->from->base;
    float greatest = base->greatest;
    for (uint64_t p = 0; p < base->count; p++) {
        if (work->from->where[p] == TD__IN_BASE || !td__index_has(base, (uint32_t)p)) continue;
        td__index_copy(base, (uint32_t)p, index->dim, work->item);
        if (td__greatest_of(work->item, index->dim) < greatest) continue;
        return td__greatest_of(index->rows, index->count * index->dim);
    }
    for (uint32_t i = 0; i < work->changed; i++) {
        float own = td__greatest_of(td__index_at(index, work->movers[i]), index->dim);
        greatest = own > greatest ? own : greatest;
    }
    return greatest;
}

/* --- the calls */

static td_status run(merging *work, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td_context *context = index->context;
    uint64_t most = 2 * (uint64_t)work->old->centers.count;
    TD_TRY(td__merge_rows(&index->rows, work->from, err));
    TD_TRY(find_changed(work, err));
    TD_TRY(td__alloc(&work->item, context, index->dim, sizeof *work->item, err));
    index->greatest = greatest_of(work);
    TD_TRY(td__alloc(&work->centers, context, most * index->dim, sizeof *work->centers, err));
    TD_TRY(td__alloc(&work->source, context, most, sizeof *work->source, err));
    TD_TRY(assign(work, &work->old->centers, err));
    bool again = decide(work);
    TD_TRY(choose_centers(work, err));
    TD_TRY(make_tree(work, err));
    if (again) TD_TRY(assign(work, &index->tree->centers, err));
    TD_TRY(fill(work, err));
    note_drift(work);
    if (work->from->base->rounded != NULL) TD_TRY(td__tree_keep_rounded(index, err));
done:
    return status;
}

static void clean_up(merging *work)
{
    td_context *context = work->index->context;
    td__free(context, work->movers);
    td__free(context, work->leaf);
    td__free(context, work->vectors);
    td__free(context, work->item);
    td__free(context, work->kept);
    td__free(context, work->sizes);
    td__free(context, work->fate);
    td__free(context, work->centers);
    td__free(context, work->source);
    td__free(context, work->first);
    td__free(context, work->order);
    for (uint32_t w = 0; w < work->workers; w++) {
        td__encoder_clear(&work->fillers[w].encoder, context);
        td__free(context, work->fillers[w].positions);
        td__free(context, work->fillers[w].keys);
        td__free(context, work->fillers[w].members);
    }
    td__free(context, work->fillers);
}

td_status td__tree_succeed(td_index *index, const td_index *before, const uint32_t *positions,
                           uint64_t count, td_error *err)
{
    td_status status = TD_OK;
    td__tree *tree = index->tree;
    float *rows = NULL;
    if (tree->calibrated_count == 0) TD_TRY(inherit_calibration(index, before->tree, err));
    for (uint64_t slot = 0; slot < (uint64_t)tree->groups * TD__GROUP; slot++) {
        if (tree->positions[slot] != TD_NONE) tree->positions[slot] = positions[tree->positions[slot]];
    }
    if (index->rounded != NULL) return td__tree_map_slots(index, count, err);
    TD_TRY(td__alloc_zero(&rows, index->context, count * index->dim, sizeof *rows, err));
    for (uint64_t i = 0; i < index->count; i++) {
        memcpy(rows + (size_t)positions[i] * index->dim, td__index_at(index, (uint32_t)i),
               index->dim * sizeof *rows);
    }
    td__free(index->context, index->rows);
    index->rows = rows;
done:
    return status;
}

/* A tree of no items has learned nothing: it is built of the first that come. */
static td_status build_first(td_index *index, const td__merge *from, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = index->context;
    uint64_t count = index->count, items = 0;
    uint32_t *positions = NULL;
    float *rows = NULL;
    td_index_options options;
    td_index_options_init(&options);
    options.dimensions_per_block = from->base->tree->codec.width;
    options.anisotropic_eta = from->base->tree->codec.eta;
    if (from->base->rounded != NULL) options.store = TD_STORE_INT8;
    TD_TRY(td__alloc(&positions, context, count, sizeof *positions, err));
    for (uint64_t p = 0; p < count; p++) {
        if (from->where[p] != TD__NOWHERE) positions[items++] = (uint32_t)p;
    }
    TD_TRY(td__alloc(&rows, context, items * index->dim, sizeof *rows, err));
    for (uint64_t i = 0; i < items; i++) td__merge_vector(from, positions[i], rows + i * index->dim);
    td_vectors vectors = {.data = rows, .rows = items, .dim = index->dim};
    index->count = items;
    TD_TRY(td__tree_build(index, &vectors, &options, NULL, err));
    TD_TRY(td__tree_succeed(index, from->base, positions, count, err));
    index->count = count;
done:
    td__free(context, positions);
    td__free(context, rows);
    return status;
}

td_status td__tree_merge(td_index *index, const td__merge *from, td_error *err)
{
    merging work = {.index = index, .from = from, .old = from->base->tree};
    if (work.old->groups == 0) return build_first(index, from, err);
    td_status status = run(&work, err);
    clean_up(&work);
    return status;
}
