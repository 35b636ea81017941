/* epoch_order.c -- in which order the interactions of an epoch come, and where its batches end.
 *
 * Serves: stage 5. In: seed and epoch. Out: positions of interactions.
 * By queries, the interactions are first listed by query (a counting sort); an epoch then shuffles the
 * queries and copies their lists, or parts of them, in that order. */
#include "train/epoch_order.h"

#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/random.h"
#include "train/shuffle.h"
#include "base/poison.h"

/* The interactions of each query that has any. */
typedef struct query_groups {
    uint32_t count;
    uint32_t *offset; /* [count + 1] */
    uint32_t *rows;   /* [rows] interactions, those of query g from offset[g] on */
    uint32_t *order;  /* [count] of the queries in this epoch */
    uint32_t *dealt;  /* [rows] the same lists in the order of this epoch; `rows` if there is one part */
    uint32_t *end;    /* [batches] */
    uint32_t longest;
    uint32_t parts; /* of a query, at most */
    uint32_t units; /* parts of all queries */
} query_groups;

struct td__epoch_order {
    td_context *context;
    td_shuffle shuffle;
    bool by_query;
    uint64_t seed;
    uint32_t rows, size, batches;
    uint32_t *order; /* [rows] or NULL: as they are */
    query_groups groups;
};

/* --- life */

/* offset[g + 1] becomes the number of interactions of the g-th query that has any; `place` [table_rows]
 * the number of each query among those. */
static void count_groups(query_groups *g, const td__order_source *source, uint32_t *place)
{
    for (uint32_t i = 0; i < source->rows; i++) place[source->row_of[source->query[i]]]++;
    for (uint32_t row = 0; row < source->table_rows; row++) {
        uint32_t count = place[row];
        if (count == 0) continue;
        if (count > g->longest) g->longest = count;
        place[row] = g->count;
        g->offset[++g->count] = count;
    }
}

/* Interactions of a query keep the order of the dataset. */
static void fill_groups(query_groups *g, const td__order_source *source, const uint32_t *place)
{
    for (uint32_t i = 0; i < g->count; i++) g->offset[i + 1] += g->offset[i];
    for (uint32_t i = source->rows; i-- > 0;) {
        uint32_t group = place[source->row_of[source->query[i]]];
        g->rows[--g->offset[group + 1]] = i;
    }
    for (uint32_t i = 0; i < g->count; i++) g->offset[i] = g->offset[i + 1];
    g->offset[g->count] = source->rows;
}

static uint32_t length_of(const query_groups *g, uint32_t group)
{
    return g->offset[group + 1] - g->offset[group];
}

/* Parts of a query: no more than it has interactions. */
static uint32_t parts_of(const query_groups *g, uint32_t group)
{
    uint32_t length = length_of(g, group);
    return length < g->parts ? length : g->parts;
}

static td_status count_parts(td__epoch_order *o, uint32_t parts, td_error *err)
{
    td_status status = TD_OK;
    query_groups *g = &o->groups;
    g->parts = parts < g->longest ? parts : g->longest;
    for (uint32_t i = 0; i < g->count; i++) g->units += parts_of(g, i);
    g->dealt = g->rows;
    if (g->parts > 1) TD_TRY(td__alloc(&g->dealt, o->context, o->rows, sizeof *g->dealt, err));
done:
    return status;
}

static td_status create_groups(td__epoch_order *o, const td__order_source *source, td_error *err)
{
    td_status status = TD_OK;
    query_groups *g = &o->groups;
    uint32_t *place = NULL;
    TD_TRY(td__alloc_zero(&place, o->context, source->table_rows, sizeof *place, err));
    TD_TRY(td__alloc_zero(&g->offset, o->context, (uint64_t)source->table_rows + 1,
                          sizeof *g->offset, err));
    TD_TRY(td__alloc(&g->rows, o->context, o->rows, sizeof *g->rows, err));
    count_groups(g, source, place);
    fill_groups(g, source, place);
    TD_TRY(count_parts(o, source->parts, err));
    if (o->size > g->units) o->size = g->units;
    o->batches = (uint32_t)td__block_count(g->units, o->size);
    TD_TRY(td__alloc(&g->order, o->context, g->count, sizeof *g->order, err));
    TD_TRY(td__alloc(&g->end, o->context, o->batches, sizeof *g->end, err));
    TD_TRY(td__alloc(&o->order, o->context, o->rows, sizeof *o->order, err));
done:
    td__free(o->context, place);
    return status;
}

static void arrange(td__epoch_order *o, uint32_t epoch);

td_status td__epoch_order_create(td__epoch_order **out, td_context *context,
                                 const td__order_source *source, const td_train_options *options,
                                 td_error *err)
{
    td_status status = TD_OK;
    td__epoch_order *o = NULL;
    TD_TRY(td__alloc_zero(&o, context, 1, sizeof *o, err));
    *o = (td__epoch_order){.context = context,
                           .shuffle = options->shuffle,
                           .by_query = options->group == TD_GROUP_QUERIES,
                           .seed = options->seed,
                           .rows = source->rows,
                           .size = options->batch_size};
    if (o->by_query) {
        TD_TRY(create_groups(o, source, err));
    } else {
        if (o->size > o->rows) o->size = o->rows;
        o->batches = (uint32_t)td__block_count(o->rows, o->size);
        if (o->shuffle != TD_SHUFFLE_NONE) {
            TD_TRY(td__alloc(&o->order, context, o->rows, sizeof *o->order, err));
        }
    }
    if (o->order != NULL) arrange(o, 0);
    *out = o;
    return TD_OK;
done:
    td__epoch_order_free(o);
    *out = NULL;
    return status;
}

void td__epoch_order_free(td__epoch_order *o)
{
    if (o == NULL) return;
    td__free(o->context, o->groups.offset);
    if (o->groups.dealt != o->groups.rows) td__free(o->context, o->groups.dealt);
    td__free(o->context, o->groups.rows);
    td__free(o->context, o->groups.order);
    td__free(o->context, o->groups.end);
    td__free(o->context, o->order);
    td__free(o->context, o);
}

/* --- an epoch */

/* The interactions of each query in a new order: which of them make a part. */
static void deal(td__epoch_order *o, uint32_t epoch)
{
    query_groups *g = &o->groups;
    td__random numbers = td__random_stream(o->seed, TD__STREAM_PARTS, epoch);
    if (g->dealt == g->rows) return;
    memcpy(g->dealt, g->rows, o->rows * sizeof *g->dealt);
    if (o->shuffle == TD_SHUFFLE_NONE) return;
    for (uint32_t group = 0; group < g->count; group++) {
        uint32_t *list = g->dealt + g->offset[group];
        for (uint32_t i = length_of(g, group); i > 1; i--) {
            uint32_t other = (uint32_t)td__random_below(numbers, g->offset[group] + i, i);
            uint32_t held = list[i - 1];
            list[i - 1] = list[other];
            list[other] = held;
        }
    }
}

/* Part number `part` of a query goes to the epoch, from `place` on; returns the place behind it. */
static uint32_t copy_part(td__epoch_order *o, uint32_t group, uint32_t part, uint32_t place)
{
    const query_groups *g = &o->groups;
    uint64_t length = length_of(g, group), parts = parts_of(g, group);
    uint32_t first = g->offset[group] + (uint32_t)(length * part / parts);
    uint32_t count = (uint32_t)(length * (part + 1) / parts - length * part / parts);
    memcpy(o->order + place, g->dealt + first, count * sizeof *o->order);
    return place + count;
}

static void arrange_groups(td__epoch_order *o, uint32_t epoch)
{
    query_groups *g = &o->groups;
    bool mixed = o->shuffle != TD_SHUFFLE_NONE;
    uint32_t place = 0, unit = 0;
    deal(o, epoch);
    for (uint32_t part = 0; part < g->parts; part++) {
        if (mixed) td__shuffle(g->order, g->count, o->seed, (uint64_t)epoch * g->parts + part);
        for (uint32_t i = 0; i < g->count; i++) {
            uint32_t group = mixed ? g->order[i] : i;
            if (part >= parts_of(g, group)) continue;
            place = copy_part(o, group, part, place);
            g->end[unit++ / o->size] = place;
        }
    }
}

static void arrange(td__epoch_order *o, uint32_t epoch)
{
    if (o->by_query) arrange_groups(o, epoch);
    else td__shuffle(o->order, o->rows, o->seed, epoch);
}

void td__epoch_order_start(td__epoch_order *o, uint32_t epoch)
{
    if (o->shuffle == TD_SHUFFLE_EPOCH) arrange(o, epoch);
}

/* --- questions */

uint32_t td__epoch_order_batches(const td__epoch_order *o)
{
    return o->batches;
}

uint32_t td__epoch_order_rows_max(const td__epoch_order *o)
{
    const query_groups *g = &o->groups;
    uint64_t longest = o->by_query ? td__block_count(g->longest, g->parts) : 1;
    uint64_t most = o->size * longest;
    return most < o->rows ? (uint32_t)most : o->rows;
}

uint32_t td__epoch_order_queries_max(const td__epoch_order *o)
{
    return o->by_query && o->size > o->groups.count ? o->groups.count : o->size;
}

uint32_t td__epoch_order_end(const td__epoch_order *o, uint32_t batch)
{
    if (o->by_query) return o->groups.end[batch];
    uint64_t end = ((uint64_t)batch + 1) * o->size;
    return end < o->rows ? (uint32_t)end : o->rows;
}

uint32_t td__epoch_order_at(const td__epoch_order *o, uint32_t place)
{
    return o->order == NULL ? place : o->order[place];
}
