/* int8_items.c -- items and queries in small integers, with proved bounds of their exact scores.
 *
 * Serves: stages 6 and 7. In: vectors. Out: integers and bounds.
 * A scale must bring every number below its maximum and the length of every lane (kernel/int8.h) to 181
 * or less. Rounding adds at most half a unit a dimension, so at most 4 to the length of a lane's 64:
 * a scale with which no lane is longer than 177 will do. */
#include "index/int8_items.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "kernel/topk.h"

#include "base/poison.h"

#define LANE_MAX 177.0
#define SLACK (1.0 + 0x1p-30)
/* Smaller scales are not needed: their vectors become zeros, and their errors count in full. */
#define SCALE_MIN 0x1p-100
/* Added to a small number, it leaves no room for a fraction: the nearest integer, without a call. */
#define ROUND 0x1.8p52

/* --- one vector */

static double length_of(const float *vector, uint32_t dim)
{
    double sum = 0;
    for (uint32_t k = 0; k < dim; k++) sum += (double)vector[k] * (double)vector[k];
    return sqrt(sum) * SLACK;
}

/* Length of the longest lane. */
static double longest_lane(const float *vector, uint32_t dim)
{
    double longest = 0;
    for (uint32_t first = 0; first < dim; first += TD__INT8_CHUNK) {
        uint32_t left = dim - first, count = left < TD__INT8_CHUNK ? left : TD__INT8_CHUNK;
        double lanes[2] = {0, 0};
        for (uint32_t k = 0; k < count; k++) {
            double value = (double)vector[first + k];
            lanes[k / 2 % 2] += value * value;
        }
        longest = fmax(longest, fmax(lanes[0], lanes[1]));
    }
    return sqrt(longest) * SLACK;
}

/* The smallest scale that is good for a vector. */
static double scale_for(const float *vector, uint32_t dim, double most)
{
    double greatest = (double)td__greatest_of(vector, dim) * SLACK;
    return fmax(fmax(greatest / most, longest_lane(vector, dim) / LANE_MAX), SCALE_MIN);
}

/* Integers of a vector, `stride` bytes apart in groups of 4, and the length of what they leave out. */
static double round_vector(const float *vector, uint32_t dim, double scale, size_t stride, int8_t *out)
{
    double sum = 0, inverse = 1.0 / scale;
    for (uint32_t k = 0; k < dim; k++) {
        double number = (double)vector[k] * inverse + ROUND - ROUND;
        double left_out = (double)vector[k] - scale * number;
        assert(fabs(number) <= TD__INT8_ITEM_MAX);
        out[k / TD__INT8_STEP * stride + k % TD__INT8_STEP] = (int8_t)number;
        sum += left_out * left_out;
    }
    return sqrt(sum) * SLACK;
}

/* --- items */

typedef struct quantizing {
    td__int8 *int8;
    const td_vectors *items;
} quantizing;

static const float *item_of(const quantizing *work, uint64_t slot)
{
    return work->items->data + (uint64_t)work->int8->positions[slot] * work->items->dim;
}

/* Integers of a slot into its column of its panel; returns the error. */
static double fill_slot(const quantizing *work, uint64_t slot, double scale)
{
    td__int8 *int8 = work->int8;
    uint8_t *column = int8->panels + slot / TD__PANEL * int8->dim * TD__PANEL
                      + slot % TD__PANEL * TD__INT8_STEP;
    size_t stride = (size_t)TD__PANEL * TD__INT8_STEP;
    double error = round_vector(item_of(work, slot), work->items->dim, scale, stride, (int8_t *)column);
    for (uint32_t k = 0; k < work->items->dim; k++) {
        column[k / TD__INT8_STEP * stride + k % TD__INT8_STEP] ^= TD__INT8_ZERO;
    }
    return error;
}

static void quantize_block(void *state, uint64_t block, uint32_t worker)
{
    const quantizing *work = state;
    uint32_t dim = work->items->dim;
    uint64_t first = block * TD__INT8_BLOCK_ITEMS, left = work->items->rows - first;
    uint64_t end = first + (left < TD__INT8_BLOCK_ITEMS ? left : TD__INT8_BLOCK_ITEMS);
    uint64_t panels = td__panel_count(end) * TD__PANEL * work->int8->dim;
    double scale = SCALE_MIN, error = 0, length = 0;
    (void)worker;
    memset(work->int8->panels + first * work->int8->dim, TD__INT8_ZERO,
           (size_t)(panels - first * work->int8->dim));
    for (uint64_t slot = first; slot < end; slot++) {
        scale = fmax(scale, scale_for(item_of(work, slot), dim, TD__INT8_ITEM_MAX));
        length = fmax(length, length_of(item_of(work, slot), dim));
    }
    for (uint64_t slot = first; slot < end; slot++) {
        error = fmax(error, fill_slot(work, slot, scale));
    }
    work->int8->bounds[block] = (td__int8_block){
        .scale = scale,
        .inverse = 1 / scale,
        .error = error / scale * SLACK,
        .length = length / scale * SLACK,
    };
}

/* Positions by descending length. Lengths that a float cannot tell apart may stand in any order. */
static td_status sort_by_length(td__int8 *int8, td_context *context, const td_vectors *items,
                                td_error *err)
{
    td_status status = TD_OK;
    uint64_t count = items->rows, slots = td__panel_count(count) * TD__PANEL;
    uint64_t *keys = NULL;
    td_hit *sorted = NULL;
    td__topk top;
    TD_TRY(td__alloc(&keys, context, count + 1, sizeof *keys, err));
    TD_TRY(td__alloc(&sorted, context, count, sizeof *sorted, err));
    td__topk_init(&top, keys, count + 1, count);
    for (uint64_t i = 0; i < count; i++) {
        double length = length_of(items->data + i * items->dim, items->dim);
        td__topk_push(&top, td__key_make((float)fmin(length, (double)FLT_MAX), (uint32_t)i));
    }
    td__topk_finish(&top, sorted);
    for (uint64_t i = 0; i < slots; i++) {
        int8->positions[i] = i < count ? sorted[i].position : TD_NONE;
    }
done:
    td__free(context, keys);
    td__free(context, sorted);
    return status;
}

/* The order is by lengths rounded to float; make the bounds descend as they must for an early end. */
static void make_descending(td__int8 *int8)
{
    double longest = 0;
    for (uint64_t b = int8->blocks; b-- > 0;) {
        td__int8_block *block = &int8->bounds[b];
        longest = fmax(longest, block->length * block->scale);
        block->length = fmax(block->length, longest / block->scale * SLACK);
    }
}

td_status td__int8_create(td__int8 **out, td_context *context, const td_vectors *items, td_error *err)
{
    td_status status = TD_OK;
    td__int8 *int8 = NULL;
    uint64_t slots = td__panel_count(items->rows) * TD__PANEL;
    TD_TRY(td__alloc_zero(&int8, context, 1, sizeof *int8, err));
    int8->dim = td__int8_dim(items->dim);
    int8->blocks = td__block_count(items->rows, TD__INT8_BLOCK_ITEMS);
    TD_TRY(td__alloc(&int8->panels, context, slots * int8->dim, sizeof *int8->panels, err));
    TD_TRY(td__alloc(&int8->positions, context, slots, sizeof *int8->positions, err));
    TD_TRY(td__alloc(&int8->bounds, context, int8->blocks, sizeof *int8->bounds, err));
    TD_TRY(sort_by_length(int8, context, items, err));
    quantizing work = {.int8 = int8, .items = items};
    td__parallel_for(context, int8->blocks, quantize_block, &work);
    make_descending(int8);
    *out = int8;
    return TD_OK;
done:
    td__int8_free(int8, context);
    *out = NULL;
    return status;
}

void td__int8_free(td__int8 *int8, td_context *context)
{
    if (int8 == NULL) return;
    td__free(context, int8->panels);
    td__free(context, int8->positions);
    td__free(context, int8->bounds);
    td__free(context, int8);
}

/* --- deep check */

/* Length of what the integers of a slot leave out, and the square of its longest lane. */
static double slot_error(const td__int8 *int8, const td_index *index, uint64_t slot, int64_t *lane_max)
{
    const uint8_t *column = td__int8_panel(int8, slot / TD__PANEL)
                            + slot % TD__PANEL * TD__INT8_STEP;
    const float *row = td__index_at(index, int8->positions[slot]);
    double scale = int8->bounds[slot / TD__INT8_BLOCK_ITEMS].scale, sum = 0;
    int64_t lanes[2] = {0, 0};
    for (uint32_t k = 0; k < index->dim; k++) {
        if (k % TD__INT8_CHUNK == 0) lanes[0] = lanes[1] = 0;
        size_t at = (size_t)k / TD__INT8_STEP * TD__PANEL * TD__INT8_STEP + k % TD__INT8_STEP;
        int64_t number = column[at] - TD__INT8_ZERO, *lane = &lanes[k / 2 % 2];
        double left_out = (double)row[k] - scale * (double)number;
        *lane += number * number;
        *lane_max = *lane > *lane_max ? *lane : *lane_max;
        sum += left_out * left_out;
    }
    return sqrt(sum);
}

static td_status check_slot(const td__int8 *int8, const td_index *index, uint64_t slot, td_error *err)
{
    td_status status = TD_OK;
    const td__int8_block *block = &int8->bounds[slot / TD__INT8_BLOCK_ITEMS];
    int64_t lane_max = 0;
    double error = slot_error(int8, index, slot, &lane_max);
    double length = length_of(td__index_at(index, int8->positions[slot]), index->dim);
    TD_FAIL_IF(lane_max > TD__INT8_LENGTH_MAX * TD__INT8_LENGTH_MAX, err, ERR_CORRUPT,
               "the integers of item %u are too large", int8->positions[slot]);
    TD_FAIL_IF(error > block->error * block->scale || length > block->length * block->scale, err,
               ERR_CORRUPT, "item %u is beyond the bounds of its block", int8->positions[slot]);
done:
    return status;
}

td_status td__int8_check(const td__int8 *int8, const td_index *index, td_error *err)
{
    td_status status = TD_OK;
    uint64_t *seen = NULL;
    TD_TRY(td__alloc_zero(&seen, index->context, index->count / 64 + 1, sizeof *seen, err));
    for (uint64_t slot = 0; slot < index->count; slot++) {
        uint32_t position = int8->positions[slot];
        TD_FAIL_IF(position >= index->count || (seen[position / 64] >> position % 64 & 1) != 0, err,
                   ERR_CORRUPT, "slot %llu holds item %u, which is none or is elsewhere",
                   (unsigned long long)slot, position);
        seen[position / 64] |= UINT64_C(1) << position % 64;
        TD_TRY(check_slot(int8, index, slot, err));
    }
done:
    td__free(index->context, seen);
    return status;
}

uint64_t td__int8_bytes(const td__int8 *int8, uint64_t count)
{
    uint64_t slots = td__panel_count(count) * TD__PANEL;
    return slots * (int8->dim + sizeof *int8->positions) + int8->blocks * sizeof *int8->bounds;
}

/* --- queries */

static uint32_t low_half(int32_t number)
{
    return (uint32_t)number & UINT16_MAX;
}

static void make_starts(const int8_t *values, uint32_t dim, int32_t *starts)
{
    int32_t total = 0;
    for (uint32_t first = 0; first < dim; first += TD__INT8_CHUNK) {
        uint32_t left = dim - first, count = left < TD__INT8_CHUNK ? left : TD__INT8_CHUNK;
        int32_t lanes[2] = {0, 0};
        for (uint32_t k = 0; k < count; k++) lanes[k / 2 % 2] -= TD__INT8_ZERO * values[first + k];
        uint32_t word = low_half(lanes[0]) | low_half(lanes[1]) << 16;
        memcpy(starts++, &word, sizeof word);
        total += lanes[0] + lanes[1];
    }
    *starts = total;
}

td__int8_query td__int8_query_make(const td__int8 *int8, const float *query, uint32_t dim,
                                   double magnitude, int8_t *values, int32_t *starts)
{
    double scale = scale_for(query, dim, TD__INT8_QUERY_MAX), integers = 0;
    double length = length_of(query, dim), g = dim * 0x1p-24 / (1 - dim * 0x1p-24);
    memset(values, 0, int8->dim);
    double error = round_vector(query, dim, scale, TD__INT8_STEP, values);
    for (uint32_t k = 0; k < dim; k++) integers += values[k] * values[k];
    make_starts(values, int8->dim, starts);
    double longest = int8->blocks == 0 ? 0 : int8->bounds[0].length * int8->bounds[0].scale;
    return (td__int8_query){
        .inverse = 1 / scale,
        .integers = sqrt(integers) * SLACK,
        .error = (error + g * length) / scale * SLACK,
        .length = (1 + g) * length * SLACK,
        .rounding = g,
        .tiny = dim * 0x1p-149,
        .bounded = length * longest + magnitude < (double)FLT_MAX / 4,
    };
}

int32_t td__int8_limit(const td__int8_query *query, const td__int8_block *block, float threshold,
                       td__int8_bias bias)
{
    double per_unit = query->inverse * block->inverse;
    double room = (double)threshold - bias.highest - query->rounding * bias.magnitude - query->tiny;
    double margin = query->integers * block->error + query->error * block->length;
    double limit = room * per_unit - margin;
    /* For the roundings so far: of terms that may be larger than their sum. */
    limit -= 1 + 0x1p-40 * ((fabs((double)threshold) + bias.magnitude) * per_unit + margin);
    if (!query->bounded || !(limit > INT32_MIN + 1)) return INT32_MIN;
    if (limit >= INT32_MAX) return INT32_MAX;
    int32_t whole = (int32_t)limit; /* floor() would be a call: this is asked a million times */
    return whole - (whole > limit);
}

bool td__int8_ends(const td__int8_query *query, const td__int8_block *block, float threshold,
                   td__int8_bias bias)
{
    double product = query->length * block->length * block->scale;
    double most = product + bias.highest + query->rounding * bias.magnitude + query->tiny;
    most += 0x1p-40 * (product + bias.magnitude); /* for the roundings so far */
    return query->bounded && most < (double)threshold;
}
