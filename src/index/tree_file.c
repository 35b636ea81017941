/* tree_file.c -- a tree in a file, its deep check, and the class of trees.
 *
 * Serves: stage 7. Out: tensors "tree.*" beside the vectors, and the metadata "tree.settings"; see
 * docs/format.md. Checksums say that a file is as it was written; what is read here is not believed
 * before td__tree_check agrees, so that no search can leave its arrays. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "index/tree.h"

#include "base/poison.h"

#define SETTINGS_KEY "tree.settings"

enum { WIDTH_MAX = 64, LEAVES_MAX = 1 << 20 };

/* Settings that are no tensors. */
typedef struct settings {
    json_int_t width, queries;
    double eta;
} settings;

/* --- out */

static td_status save_settings(const td__tree *tree, td__container_writer *writer, td_error *err)
{
    char text[160];
    int used = snprintf(text, sizeof text,
                        "{\"dimensions-per-block\":%u,\"anisotropic-eta\":%.9g,"
                        "\"calibration-queries\":%u}",
                        tree->codec.width, (double)tree->codec.eta, tree->calibration_queries);
    if (used < 0) return td__fail(err, TD_ERR_LIMIT, "settings of a tree cannot be written");
    return td__container_set(writer, SETTINGS_KEY, text, err);
}

static td_status save(const td_index *index, td__container_writer *writer, td_error *err)
{
    td_status status = TD_OK;
    const td__tree *tree = index->tree;
    const td__codec *codec = &tree->codec;
    uint64_t slots = (uint64_t)tree->groups * TD__GROUP;
    TD_TRY(save_settings(tree, writer, err));
    TD_TRY(td__container_add(writer, "tree.centers", TD__F32, tree->centers.count, index->dim,
                             tree->centers.rows, err));
    TD_TRY(td__container_add(writer, "tree.codewords", TD__F32, (uint64_t)codec->blocks * codec->width,
                             TD__CODE_VALUES, codec->codewords, err));
    TD_TRY(td__container_add(writer, "tree.first", TD__U32, tree->centers.count + UINT64_C(1), 0,
                             tree->first, err));
    TD_TRY(td__container_add(writer, "tree.positions", TD__U32, slots, 0, tree->positions, err));
    TD_TRY(td__container_add(writer, "tree.codes", TD__U8, tree->groups,
                             codec->blocks_padded * UINT64_C(16), tree->codes, err));
    TD_TRY(td__container_add(writer, "tree.rows", TD__U8, slots, tree->stride, tree->rows, err));
    TD_TRY(td__container_add(writer, "tree.scales", TD__F32, slots, 0, tree->scales, err));
    TD_TRY(td__container_add(writer, "tree.calibration", TD__F32, tree->calibrated_count,
                             TD__CALIBRATED_COLUMNS, tree->calibrated, err));
done:
    return status;
}

/* --- in */

static td_status load_settings(settings *out, const td__container *file, td_error *err)
{
    const char *text = td__container_get(file, SETTINGS_KEY);
    json_t *object = text == NULL ? NULL : json_loads(text, 0, NULL);
    bool good = object != NULL
                && json_unpack(object, "{s:I, s:F, s:I}", "dimensions-per-block", &out->width,
                               "anisotropic-eta", &out->eta, "calibration-queries", &out->queries) == 0;
    json_decref(object);
    if (good && out->width >= 1 && out->width <= WIDTH_MAX && out->eta > 0 && out->eta <= 1000
        && out->queries >= 0 && out->queries <= UINT32_MAX) {
        return TD_OK;
    }
    return td__fail(err, TD_ERR_CORRUPT, "the settings of the tree are missing or not allowed");
}

/* Copy a tensor of exactly this shape. */
static td_status take(void *to, const td__container *file, const char *name, td__dtype dtype,
                      uint64_t rows, uint64_t cols, td_error *err)
{
    const td__tensor *tensor;
    td_status status = td__container_require(file, name, dtype, rows, cols, &tensor, err);
    if (status == TD_OK && td__tensor_bytes(tensor) > 0) {
        memcpy(to, tensor->data, (size_t)td__tensor_bytes(tensor));
    }
    return status;
}

/* A large tensor of exactly this shape: where it lies, if the index keeps its file, or a copy. */
static td_status keep(void *to, const td_index *index, const td__container *file, const char *name,
                      const td__tensor *shape, td_error *err)
{
    td_status status = TD_OK;
    const td__tensor *tensor;
    void **array = to;
    TD_TRY(td__container_require(file, name, shape->dtype, shape->rows, shape->cols, &tensor, err));
    if (index->file != NULL) {
        *array = (void *)tensor->data; /* never written: what a file holds is a base's */
        return TD_OK;
    }
    uint64_t bytes = td__tensor_bytes(tensor);
    TD_TRY(td__alloc(array, index->context, bytes, 1, err));
    if (bytes > 0) memcpy(*array, tensor->data, (size_t)bytes);
done:
    return status;
}

static td_status load_calibration(td_index *index, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    td__tree *tree = index->tree;
    const td__tensor *tensor;
    TD_TRY(td__container_require(file, "tree.calibration", TD__F32, UINT64_MAX, TD__CALIBRATED_COLUMNS,
                                 &tensor, err));
    TD_FAIL_IF(tensor->rows > UINT16_MAX, err, ERR_CORRUPT, "a calibration of %llu rows",
               (unsigned long long)tensor->rows);
    tree->calibrated_count = (uint32_t)tensor->rows;
    TD_TRY(td__alloc(&tree->calibrated, index->context, tensor->rows, sizeof *tree->calibrated, err));
    TD_TRY(take(tree->calibrated, file, "tree.calibration", TD__F32, tensor->rows,
                TD__CALIBRATED_COLUMNS, err));
done:
    return status;
}

static td_status load_slots(td_index *index, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    td__tree *tree = index->tree;
    const td__tensor *positions;
    TD_TRY(td__container_require(file, "tree.positions", TD__U32, UINT64_MAX, 0, &positions, err));
    TD_FAIL_IF(positions->rows % TD__GROUP != 0 || positions->rows >= TD_NONE, err, ERR_CORRUPT,
               "a tree of %llu slots", (unsigned long long)positions->rows);
    uint64_t slots = positions->rows, groups = slots / TD__GROUP;
    td__tensor codes = {.dtype = TD__U8, .rows = groups, .cols = tree->codec.blocks_padded * UINT64_C(16)};
    td__tensor rows = {.dtype = TD__U8, .rows = slots, .cols = tree->stride};
    td__tensor scales = {.dtype = TD__F32, .rows = slots};
    tree->groups = (uint32_t)groups;
    TD_TRY(keep(&tree->positions, index, file, "tree.positions", positions, err));
    TD_TRY(keep(&tree->codes, index, file, "tree.codes", &codes, err));
    TD_TRY(keep(&tree->rows, index, file, "tree.rows", &rows, err));
    TD_TRY(keep(&tree->scales, index, file, "tree.scales", &scales, err));
    TD_TRY(td__alloc(&tree->live, index->context, groups, sizeof *tree->live, err));
    td__tree_mark_live(tree);
done:
    return status;
}

static td_status load_tree(td_index *index, const td__container *file, td_error *err)
{
    td_status status = TD_OK;
    settings from;
    const td__tensor *centers;
    TD_TRY(load_settings(&from, file, err));
    TD_TRY(td__container_require(file, "tree.centers", TD__F32, UINT64_MAX, index->dim, &centers, err));
    TD_FAIL_IF(centers->rows == 0 || centers->rows > LEAVES_MAX, err, ERR_CORRUPT,
               "a tree of %llu leaves", (unsigned long long)centers->rows);
    uint32_t leaves = (uint32_t)centers->rows;
    TD_TRY(td__tree_create(index, leaves, (uint32_t)from.width, (float)from.eta, err));
    td__tree *tree = index->tree;
    tree->calibration_queries = (uint32_t)from.queries;
    TD_TRY(take(tree->centers.rows, file, "tree.centers", TD__F32, leaves, index->dim, err));
    TD_TRY(take(tree->codec.codewords, file, "tree.codewords", TD__F32,
                (uint64_t)tree->codec.blocks * tree->codec.width, TD__CODE_VALUES, err));
    TD_TRY(take(tree->first, file, "tree.first", TD__U32, leaves + UINT64_C(1), 0, err));
    TD_TRY(load_slots(index, file, err));
    TD_TRY(load_calibration(index, file, err));
    td__centers_pack(&tree->centers);
done:
    return status;
}

/* --- is it sound? */

/* Of rounded items the largest integers are all the same, if they are sound. */
static float greatest_of(const td_index *index)
{
    const td__tree *tree = index->tree;
    if (index->rows != NULL) return td__greatest_of(index->rows, index->count * index->dim);
    return TD__ROUNDED_MAX * td__greatest_of(tree->scales, (uint64_t)tree->groups * TD__GROUP);
}

static td_status check_numbers(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    const td__tree *tree = index->tree;
    const td__codec *codec = &tree->codec;
    uint64_t codewords = (uint64_t)codec->blocks * codec->width * TD__CODE_VALUES;
    float greatest = greatest_of(index);
    TD_FAIL_IF(!(greatest <= TD__TREE_GREATEST), err, ERR_NUMERIC,
               "an item of the tree has a value that is not finite or too large");
    TD_FAIL_IF(greatest != index->greatest, err, ERR_CORRUPT,
               "the largest value of the index is not the one noted");
    TD_FAIL_IF(!(td__greatest_of(tree->centers.rows, (uint64_t)tree->centers.count * index->dim)
                 <= TD__TREE_GREATEST)
                   || !(td__greatest_of(codec->codewords, codewords) <= 4 * TD__TREE_GREATEST)
                   || !(td__greatest_of(tree->scales, (uint64_t)tree->groups * TD__GROUP)
                        <= TD__TREE_GREATEST),
               err, ERR_CORRUPT, "a centre, codeword or scale of the tree is out of range");
done:
    return status;
}

static td_status check_leaves(const td__tree *tree, td_error *err)
{
    td_status status = TD_OK;
    uint32_t leaves = tree->centers.count;
    TD_FAIL_IF(tree->first[0] != 0 || tree->first[leaves] != tree->groups, err, ERR_CORRUPT,
               "the leaves of the tree do not cover its groups");
    for (uint32_t l = 0; l < leaves; l++) {
        TD_FAIL_IF(tree->first[l] > tree->first[l + 1], err, ERR_CORRUPT,
                   "leaf %u of the tree ends before it starts", l);
    }
done:
    return status;
}

/* Every item in one slot. */
static td_status check_slots(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    const td__tree *tree = index->tree;
    uint64_t items = 0, *seen = NULL;
    TD_TRY(td__alloc_zero(&seen, index->context, index->count / 64 + 1, sizeof *seen, err));
    for (uint64_t slot = 0; slot < (uint64_t)tree->groups * TD__GROUP; slot++) {
        uint32_t position = tree->positions[slot];
        bool live = tree->live[slot / TD__GROUP] >> slot % TD__GROUP & 1;
        TD_FAIL_IF(live != (position != TD_NONE), err, ERR_CORRUPT, "slot %llu of the tree is both "
                   "empty and taken", (unsigned long long)slot);
        if (!live) continue;
        TD_FAIL_IF(position >= index->count || !td__index_has(index, position) || (seen[position / 64] >> position % 64 & 1) != 0, err,
                   ERR_CORRUPT, "slot %llu of the tree holds item %u, which is not there or twice",
                   (unsigned long long)slot, position);
        seen[position / 64] |= UINT64_C(1) << position % 64;
        items++;
    }
    TD_FAIL_IF(items != index->count - index->dead, err, ERR_CORRUPT,
               "%llu items in the leaves of a tree of %llu", (unsigned long long)items,
               (unsigned long long)(index->count - index->dead));
done:
    td__free(index->context, seen);
    return status;
}

/* Rounded items: their integers and scales, and where they are. */
static td_status check_rounded(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    const td__tree *tree = index->tree;
    float *item;
    TD_TRY(td__alloc(&item, index->context, index->dim, sizeof *item, err));
    for (uint64_t slot = 0; slot < (uint64_t)tree->groups * TD__GROUP; slot++) {
        uint32_t position = tree->positions[slot];
        float scale = tree->scales[slot];
        if (position == TD_NONE) continue;
        TD_FAIL_IF(index->rounded->slots[position] != slot, err, ERR_CORRUPT,
                   "item %u of the tree is not where it should be", position);
        TD_FAIL_IF(!td__is_rounded(tree->rows + slot * tree->stride, scale, index->dim), err, ERR_CORRUPT,
                   "the integers or the scale of item %u are not those of a rounded vector", position);
        td__index_copy(index, position, index->dim, item);
        TD_FAIL_IF(!td__distance_is_near(&index->distance, item, index->dim, 0.5 * (double)scale), err,
                   ERR_CORRUPT, "item %u is not in the form of an index by cosine", position);
    }
done:
    td__free(index->context, item);
    return status;
}

static td_status check_calibration(const td__tree *tree, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF((tree->calibrated_count > 0) != (tree->calibration_queries > 0), err, ERR_CORRUPT,
               "a calibration of %u rows from %u queries", tree->calibrated_count,
               tree->calibration_queries);
    for (uint32_t i = 0; i < tree->calibrated_count; i++) {
        const td__calibrated *row = &tree->calibrated[i];
        bool good = row->k >= 1 && row->k < 1e6f && row->target > 0 && row->target <= 1
                    && row->leaves >= 0 && row->leaves <= (float)tree->centers.count
                    && row->candidates >= 0 && row->candidates < 1e9f && row->reach > -1e9f
                    && row->reach <= 1e9f;
        bool ordered = i == 0 || row[-1].k < row->k
                       || (row[-1].k == row->k && row[-1].target < row->target);
        TD_FAIL_IF(!good || !ordered, err, ERR_CORRUPT, "row %u of the calibration is not allowed", i);
    }
done:
    return status;
}

static td_status check(const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_numbers(index, err));
    TD_TRY(check_leaves(index->tree, err));
    TD_TRY(check_slots(index, err));
    if (index->rounded != NULL) TD_TRY(check_rounded(index, err));
    TD_TRY(check_calibration(index->tree, err));
done:
    return status;
}

/* No more positions are believed in than have slots, and none that is out of range. */
static td_status load_rounded(td_index *index, td_error *err)
{
    td_status status = TD_OK;
    const td__tree *tree = index->tree;
    uint64_t slots = (uint64_t)tree->groups * TD__GROUP;
    TD_FAIL_IF(index->count - index->dead > slots, err, ERR_CORRUPT, "%llu items in a tree of %llu slots",
               (unsigned long long)(index->count - index->dead), (unsigned long long)slots);
    TD_TRY(check_slots(index, err));
    TD_TRY(td__tree_keep_rounded(index, err));
done:
    return status;
}

static td_status load(td_index *index, const td_vectors *items, const td__container *file,
                      td_error *err)
{
    td_status status = TD_OK;
    td__tensor vectors = {.dtype = TD__F32, .rows = items->rows, .cols = items->dim};
    if (items->data != NULL) TD_TRY(keep(&index->rows, index, file, "vectors", &vectors, err));
    TD_TRY(load_tree(index, file, err));
    if (items->data == NULL) TD_TRY(load_rounded(index, err));
    index->greatest = greatest_of(index);
    TD_TRY(check(index, err));
done:
    return status;
}

/* --- facts */

/* Targets beyond what rounded items can give get a row of their own, the last of each k. */
static float recall_most(const td__tree *tree)
{
    float most = 1.0f;
    for (uint32_t i = 1; i < tree->calibrated_count; i++) {
        const td__calibrated *row = &tree->calibrated[i];
        if (row->target == 1.0f && row[-1].k == row->k) most = fminf(most, row[-1].target);
    }
    return most;
}

static void describe(const td_index *index, td_index_info *info)
{
    const td__tree *tree = index->tree;
    uint64_t slots = (uint64_t)tree->groups * TD__GROUP;
    uint64_t centers = tree->centers.count + td__panel_count(tree->centers.count) * TD__PANEL;
    info->leaves = tree->centers.count;
    info->dimensions_per_block = tree->codec.width;
    info->anisotropic_eta = tree->codec.eta;
    info->calibration_queries = tree->calibration_queries;
    info->recall_most = recall_most(tree);
    uint64_t large = (index->rounded == NULL ? index->count * index->dim * sizeof(float) : 0)
                     + (uint64_t)tree->groups * tree->codec.blocks_padded * 16
                     + slots * (tree->stride + sizeof *tree->positions + sizeof *tree->scales);
    info->bytes = large + centers * index->dim * sizeof(float);
    if (index->rounded != NULL) info->bytes += index->count * sizeof *index->rounded->slots;
    info->mapped = index->file != NULL ? large : 0;
    for (uint32_t l = 0; l < tree->centers.count; l++) {
        uint32_t items = 0;
        for (uint32_t g = tree->first[l]; g < tree->first[l + 1]; g++) {
            items += (uint32_t)__builtin_popcount(tree->live[g]);
        }
        if (items > info->leaf_items_max) info->leaf_items_max = items;
    }
}

const td__index_class td__index_tree = {
    .kind = TD_INDEX_TREE,
    .name = "tree",
    .greatest = TD__TREE_GREATEST,
    .merge = td__tree_merge,
    .succeed = td__tree_succeed,
    .build = td__tree_build,
    .clear = td__tree_clear,
    .check = check,
    .describe = describe,
    .save = save,
    .load = load,
    .scratch_create = td__tree_scratch_create,
    .scratch_free = td__tree_scratch_free,
    .search = td__tree_search,
    .calibrate = td__tree_calibrate,
};
