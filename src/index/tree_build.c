/* tree_build.c -- making a tree index.
 *
 * Serves: stage 7. In: vectors. Out: centres, codewords, and every item in its leaf in three sizes.
 * All work is cut by rows, blocks or leaves, and random numbers depend on the seed alone, so the same
 * items and options give the same tree for any number of threads. */
#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/pool.h"
#include "index/tree.h"

#include "base/poison.h"

enum {
    SAMPLE_MIN = 100000,     /* items that k-means learns from, at least, if they are there */
    SAMPLE_PER_LEAF = 100,
    CODEC_SAMPLE = 32768,    /* residuals that the codewords are learned from */
    BLOCKS_MAX = 192,        /* of the default width: more make the tables coarse */
    ROUND_ROWS = 4096,       /* one piece of work */
    STAGES = 3               /* after k-means: assign, learn codes, fill */
};

/* --- the empty tree */

td_status td__tree_create(td_index *index, uint32_t leaves, uint32_t width, float eta, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__alloc_zero(&index->tree, index->context, 1, sizeof *index->tree, err));
    td__tree *tree = index->tree;
    tree->stride = (index->dim + TD__ROW_STEP - 1) / TD__ROW_STEP * TD__ROW_STEP;
    TD_TRY(td__centers_create(&tree->centers, index->context, leaves, index->dim, err));
    TD_TRY(td__codec_create(&tree->codec, index->context, index->dim, width, eta, err));
    TD_TRY(td__alloc_zero(&tree->first, index->context, leaves + UINT64_C(1), sizeof *tree->first, err));
done:
    return status;
}

td_status td__tree_room(td_index *index, uint32_t groups, td_error *err)
{
    td_status status = TD_OK;
    td__tree *tree = index->tree;
    td_context *context = index->context;
    uint64_t slots = (uint64_t)groups * TD__GROUP;
    tree->groups = groups;
    TD_TRY(td__alloc(&tree->positions, context, slots, sizeof *tree->positions, err));
    TD_TRY(td__alloc_zero(&tree->live, context, groups, sizeof *tree->live, err));
    TD_TRY(td__alloc_zero(&tree->codes, context, groups, (size_t)tree->codec.blocks_padded * 16, err));
    TD_TRY(td__alloc_zero(&tree->rows, context, slots, tree->stride, err));
    TD_TRY(td__alloc_zero(&tree->scales, context, slots, sizeof *tree->scales, err));
    for (uint64_t i = 0; i < slots; i++) tree->positions[i] = TD_NONE;
done:
    return status;
}

void td__tree_mark_live(td__tree *tree)
{
    for (uint32_t g = 0; g < tree->groups; g++) {
        const uint32_t *positions = tree->positions + (uint64_t)g * TD__GROUP;
        tree->live[g] = 0;
        for (uint32_t i = 0; i < TD__GROUP; i++) {
            tree->live[g] |= (uint32_t)(positions[i] != TD_NONE) << i;
        }
    }
}

void td__tree_clear(td_index *index)
{
    td_context *context = index->context;
    td__tree *tree = index->tree;
    td__index_drop(index, index->rows);
    if (index->rounded != NULL) td__free(context, index->rounded->slots);
    td__free(context, index->rounded);
    if (tree == NULL) return;
    td__centers_clear(&tree->centers);
    td__codec_clear(&tree->codec);
    td__free(context, tree->first);
    td__index_drop(index, tree->positions);
    td__free(context, tree->live);
    td__index_drop(index, tree->codes);
    td__index_drop(index, tree->rows);
    td__index_drop(index, tree->scales);
    td__free(context, tree->calibrated);
    td__free(context, tree);
}

/* --- items in 8 bits alone */

td_status td__tree_map_slots(td_index *index, uint64_t positions, td_error *err)
{
    td_status status = TD_OK;
    const td__tree *tree = index->tree;
    uint32_t *slots;
    TD_TRY(td__alloc(&slots, index->context, positions, sizeof *slots, err));
    for (uint64_t p = 0; p < positions; p++) slots[p] = TD_NONE;
    for (uint64_t slot = 0; slot < (uint64_t)tree->groups * TD__GROUP; slot++) {
        if (tree->positions[slot] != TD_NONE) slots[tree->positions[slot]] = (uint32_t)slot;
    }
    td__free(index->context, index->rounded->slots);
    index->rounded->slots = slots;
done:
    return status;
}

td_status td__tree_keep_rounded(td_index *index, td_error *err)
{
    td_status status = TD_OK;
    const td__tree *tree = index->tree;
    td__free(index->context, index->rows);
    index->rows = NULL;
    TD_TRY(td__alloc_zero(&index->rounded, index->context, 1, sizeof *index->rounded, err));
    index->rounded->stride = tree->stride;
    index->rounded->rows = tree->rows;
    index->rounded->scales = tree->scales;
    TD_TRY(td__tree_map_slots(index, index->count, err));
done:
    return status;
}

/* --- one build */

typedef struct filling {
    td__encoder one;
    uint64_t *keys;  /* [largest leaf + 1] */
    td_hit *members; /* [largest leaf] */
} filling;

typedef struct building {
    td_index *index;
    const td_index_options *options;
    const td_progress_hook *hook;
    double start;
    uint32_t *sample; /* rows that are learned from, ascending */
    uint64_t sampled;
    float *gathered;  /* [sampled, dim] */
    float *residuals; /* [CODEC_SAMPLE or fewer, dim] */
    uint32_t *leaf;   /* [N] */
    uint64_t *first;  /* [leaves + 1] */
    uint32_t *order;  /* [N] */
    uint32_t encoders_count;
    filling *encoders; /* [threads] */
} building;

static bool report(void *user, uint32_t stage)
{
    const building *work = user;
    td_progress progress = {
        .stage = "index",
        .unit = "rounds",
        .done = stage,
        .total = work->options->training_iterations + UINT64_C(1) * STAGES,
        .seconds = td__seconds() - work->start,
    };
    return work->hook == NULL || work->hook->report(work->hook->user, &progress);
}

/* N^(3/4): about 170 leaves for 10^5 items, 950 for 10^6. */
static uint32_t leaves_for(uint64_t count, const td_index_options *options)
{
    if (options->num_leaves > 0) return options->num_leaves;
    double root = sqrt((double)count), leaves = 0.03 * root * sqrt(root);
    return leaves < 16 ? 16 : (uint32_t)leaves / 16 * 16;
}

static uint32_t width_for(uint32_t dim, const td_index_options *options)
{
    if (options->dimensions_per_block > 0) return options->dimensions_per_block;
    return dim <= 256 ? 2 : (dim + BLOCKS_MAX - 1) / BLOCKS_MAX;
}

/* 4 up to 128 dimensions, 2 at 768, as ScaNN's best thresholds come to. */
static float eta_for(uint32_t dim, const td_index_options *options)
{
    if (options->anisotropic_eta > 0.0f) return options->anisotropic_eta;
    return dim <= 128 ? 4.0f : dim <= 384 ? 3.0f : 2.0f;
}

static td_status copy_items(td_index *index, const td_vectors *items, td_error *err)
{
    td_status status = TD_OK;
    uint64_t floats = items->rows * items->dim;
    TD_TRY(td__alloc(&index->rows, index->context, floats, sizeof *index->rows, err));
    if (floats > 0) memcpy(index->rows, items->data, (size_t)floats * sizeof *index->rows);
    index->greatest = td__greatest_of(index->rows, floats);
    TD_FAIL_IF(index->greatest > TD__TREE_GREATEST, err, ERR_NUMERIC, "an item has a value of %g; a "
               "tree takes up to %g, an exact index takes all", (double)index->greatest,
               (double)TD__TREE_GREATEST);
done:
    return status;
}

static void round_block(void *state, uint64_t block, uint32_t worker)
{
    td_index *index = state;
    uint64_t first = block * ROUND_ROWS, left = index->count - first;
    uint64_t end = left < ROUND_ROWS ? index->count : first + ROUND_ROWS;
    (void)worker;
    for (uint64_t i = first; i < end; i++) {
        td__round_in_place(index->rows + i * index->dim, index->dim);
    }
}

static void round_items(td_index *index)
{
    td__parallel_for(index->context, td__block_count(index->count, ROUND_ROWS), round_block, index);
    index->greatest = td__greatest_of(index->rows, index->count * index->dim);
}

static td_status gather_sample(building *work, td_error *err)
{
    td_status status = TD_OK;
    const td_index *index = work->index;
    uint64_t wanted = work->options->training_sample_size;
    if (wanted == 0) wanted = (uint64_t)SAMPLE_PER_LEAF * index->tree->centers.count;
    if (work->options->training_sample_size == 0 && wanted < SAMPLE_MIN) wanted = SAMPLE_MIN;
    work->sampled = wanted < index->count ? wanted : index->count;
    TD_TRY(td__alloc(&work->sample, index->context, work->sampled, sizeof *work->sample, err));
    td__draw_sample(work->sample, work->sampled, index->count, work->options->seed, 0);
    TD_TRY(td__alloc(&work->gathered, index->context, work->sampled * index->dim,
                     sizeof *work->gathered, err));
    for (uint64_t i = 0; i < work->sampled; i++) {
        memcpy(work->gathered + i * index->dim, td__index_at(index, work->sample[i]),
               index->dim * sizeof *work->gathered);
    }
done:
    return status;
}

static void residual_of(const td_index *index, uint32_t position, uint32_t leaf, float *residual)
{
    const float *item = td__index_at(index, position);
    const float *center = index->tree->centers.rows + (size_t)leaf * index->dim;
    for (uint32_t k = 0; k < index->dim; k++) residual[k] = item[k] - center[k];
}

/* Learn codewords from residuals spread evenly over the sample. */
static td_status learn_codes(building *work, td_error *err)
{
    td_status status = TD_OK;
    const td_index *index = work->index;
    uint64_t count = work->sampled < CODEC_SAMPLE ? work->sampled : CODEC_SAMPLE;
    TD_TRY(td__alloc(&work->residuals, index->context, count * index->dim, sizeof(float), err));
    for (uint64_t i = 0; i < count; i++) {
        uint32_t position = work->sample[i * work->sampled / count];
        residual_of(index, position, work->leaf[position], work->residuals + i * index->dim);
    }
    TD_TRY(td__codec_train(&index->tree->codec, work->residuals, count, work->options->seed, err));
done:
    return status;
}

/* --- filling the slots */

td_status td__encoder_create(td__encoder *encoder, const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    const td__codec *codec = &index->tree->codec;
    TD_TRY(td__alloc(&encoder->residual, index->context, codec->dim, sizeof *encoder->residual, err));
    TD_TRY(td__alloc(&encoder->scratch, index->context, td__codec_scratch(codec), sizeof(float), err));
    TD_TRY(td__alloc(&encoder->codes, index->context, codec->blocks, 1, err));
done:
    return status;
}

void td__encoder_clear(td__encoder *encoder, td_context *context)
{
    td__free(context, encoder->residual);
    td__free(context, encoder->scratch);
    td__free(context, encoder->codes);
}

static td_status make_encoders(building *work, uint64_t largest, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = work->index->context;
    uint32_t threads = td_context_threads(context);
    TD_TRY(td__alloc_zero(&work->encoders, context, threads, sizeof *work->encoders, err));
    work->encoders_count = threads;
    for (uint32_t w = 0; w < threads; w++) {
        filling *own = &work->encoders[w];
        TD_TRY(td__encoder_create(&own->one, work->index, err));
        TD_TRY(td__alloc(&own->keys, context, largest + 1, sizeof *own->keys, err));
        TD_TRY(td__alloc(&own->members, context, largest, sizeof *own->members, err));
    }
done:
    return status;
}

static void free_encoders(building *work)
{
    td_context *context = work->index->context;
    for (uint32_t w = 0; w < work->encoders_count; w++) {
        td__encoder_clear(&work->encoders[w].one, context);
        td__free(context, work->encoders[w].keys);
        td__free(context, work->encoders[w].members);
    }
    td__free(context, work->encoders);
}

static void put_row(td__tree *tree, uint64_t slot, const float *item, uint32_t dim)
{
    tree->scales[slot] = td__round_vector(item, dim, tree->rows + slot * tree->stride);
}

static void put_codes(td__tree *tree, uint64_t slot, const uint8_t *codes)
{
    uint32_t column = slot % TD__GROUP;
    uint8_t *group = tree->codes + slot / TD__GROUP * tree->codec.blocks_padded * 16;
    for (uint32_t b = 0; b < tree->codec.blocks; b++) {
        group[b * 16 + column % 16] |= (uint8_t)(codes[b] << (column / 16 * 4));
    }
}

void td__tree_put(const td_index *index, td__encoder *encoder, uint32_t leaf, uint64_t slot,
                  uint32_t position)
{
    td__tree *tree = index->tree;
    const float *item = td__index_at(index, position);
    residual_of(index, position, leaf, encoder->residual);
    td__codec_encode(&tree->codec, item, encoder->residual, encoder->scratch, encoder->codes);
    put_codes(tree, slot, encoder->codes);
    put_row(tree, slot, item, index->dim);
    tree->positions[slot] = position;
}

static float square_of(const float *item, uint32_t dim)
{
    float square = 0.0f;
    for (uint32_t k = 0; k < dim; k++) square += item[k] * item[k];
    return square;
}

void td__tree_sort(const td_index *index, const uint32_t *positions, uint64_t count, uint64_t *keys,
                   td_hit *members)
{
    td__topk sorted;
    td__topk_init(&sorted, keys, count + 1, count);
    for (uint64_t i = 0; i < count; i++) {
        float square = square_of(td__index_at(index, positions[i]), index->dim);
        td__topk_push(&sorted, td__key_make(square, positions[i]));
    }
    td__topk_finish(&sorted, members);
}

static void fill_leaf(void *state, uint64_t block, uint32_t worker)
{
    const building *work = state;
    const td_index *index = work->index;
    filling *own = &work->encoders[worker];
    uint64_t first = work->first[block], count = work->first[block + 1] - first;
    td__tree_sort(index, work->order + first, count, own->keys, own->members);
    uint64_t slot = (uint64_t)index->tree->first[block] * TD__GROUP;
    for (uint64_t i = 0; i < count; i++) {
        td__tree_put(index, &own->one, (uint32_t)block, slot + i, own->members[i].position);
    }
}

static td_status fill(building *work, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td__tree *tree = index->tree;
    uint32_t leaves = tree->centers.count;
    uint64_t largest = 0, groups = 0;
    for (uint32_t l = 0; l < leaves; l++) {
        uint64_t count = work->first[l + 1] - work->first[l];
        largest = count > largest ? count : largest;
        tree->first[l] = (uint32_t)groups;
        groups += td__block_count(count, TD__GROUP);
    }
    TD_FAIL_IF(groups * TD__GROUP >= TD_NONE, err, ERR_LIMIT, "%llu items are too many for a tree",
               (unsigned long long)index->count);
    tree->first[leaves] = (uint32_t)groups;
    TD_TRY(td__tree_room(index, (uint32_t)groups, err));
    TD_TRY(make_encoders(work, largest, err));
    td__parallel_for(index->context, leaves, fill_leaf, work);
    td__tree_mark_live(tree);
done:
    return status;
}

static td_status run(building *work, td_error *err)
{
    td_status status = TD_OK;
    td_index *index = work->index;
    td__centers *centers = &index->tree->centers;
    uint32_t rounds = work->options->training_iterations;
    TD_TRY(gather_sample(work, err));
    TD_TRY(td__kmeans(centers, work->gathered, work->sampled, rounds, work->options->seed, report, work,
                      err));
    TD_FAIL_IF(!report(work, rounds), err, ERR_CANCELLED, "stopped before the items were assigned");
    TD_TRY(td__alloc(&work->leaf, index->context, index->count, sizeof *work->leaf, err));
    TD_TRY(td__alloc(&work->order, index->context, index->count, sizeof *work->order, err));
    TD_TRY(td__alloc(&work->first, index->context, centers->count + UINT64_C(1), sizeof *work->first,
                     err));
    td__centers_assign(centers, index->rows, index->count, work->leaf);
    td__group_by_leaf(work->leaf, index->count, centers->count, work->first, work->order);
    TD_FAIL_IF(!report(work, rounds + 1), err, ERR_CANCELLED, "stopped before codes were learned");
    TD_TRY(learn_codes(work, err));
    TD_FAIL_IF(!report(work, rounds + 2), err, ERR_CANCELLED, "stopped before items were encoded");
    TD_TRY(fill(work, err));
    (void)report(work, rounds + 3); /* it is done: no stopping now */
done:
    return status;
}

td_status td__tree_build(td_index *index, const td_vectors *items, const td_index_options *options,
                         const td_progress_hook *hook, td_error *err)
{
    td_status status = TD_OK;
    building work = {.index = index, .options = options, .hook = hook, .start = td__seconds()};
    TD_TRY(copy_items(index, items, err));
    if (options->store == TD_STORE_INT8) round_items(index);
    TD_TRY(td__tree_create(index, leaves_for(items->rows, options), width_for(items->dim, options),
                           eta_for(items->dim, options), err));
    if (items->rows > 0) TD_TRY(run(&work, err));
    if (options->store == TD_STORE_INT8) TD_TRY(td__tree_keep_rounded(index, err));
done:
    td__free(index->context, work.sample);
    td__free(index->context, work.gathered);
    td__free(index->context, work.residuals);
    td__free(index->context, work.leaf);
    td__free(index->context, work.first);
    td__free(index->context, work.order);
    free_encoders(&work);
    return status;
}
