/* bag.c -- the histories of a batch of queries.
 *
 * Serves: stages 3 and 5. In: lists of rows of the candidate table. Out: entries, distinct rows, and the
 * way back. Filling is serial: it costs a few operations an entry, where pooling costs `dim` of them. */
#include "model/bag.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "base/saturate.h"
#include "base/poison.h"

static uint64_t distinct_max(const td__bag_shape *shape)
{
    return shape->entries < shape->table_rows ? shape->entries : shape->table_rows;
}

/* --- life */

/* One array of a bag: where it goes, and how large it is. Both sums of sizes and allocations walk them. */
typedef struct room {
    size_t field; /* of a pointer in td__bag */
    uint64_t count;
} room;

enum { ROOMS = 14 };

/* All arrays for a shape, those that it does not need with count 0. Elements are all of four bytes. */
static void plan_rooms(room rooms[ROOMS], const td__bag_shape *shape)
{
    bool attention = shape->pooling == TD_POOLING_ATTENTION, back = shape->training;
    uint64_t entries = shape->entries, distinct = distinct_max(shape);
    uint64_t floats = td__sat_mul(distinct, shape->dim);
    const room all[ROOMS] = {
        {offsetof(td__bag, offset), (uint64_t)shape->lists + 1},
        {offsetof(td__bag, item), entries},
        {offsetof(td__bag, rows), distinct},
        {offsetof(td__bag, back), back ? distinct + 2 : 0},
        {offsetof(td__bag, entry), back ? entries : 0},
        {offsetof(td__bag, list_of), back ? entries : 0},
        {offsetof(td__bag, weight), entries},
        {offsetof(td__bag, d_score), back && attention ? entries : 0},
        {offsetof(td__bag, vectors), attention ? floats : 0},
        {offsetof(td__bag, keys), attention ? floats : 0},
        {offsetof(td__bag, d_keys), back && attention ? floats : 0},
        {offsetof(td__bag, d_vectors), back ? floats : 0},
        {offsetof(td__bag, d_through), back && attention ? floats : 0},
        {offsetof(td__bag, mark), 2 * (uint64_t)shape->table_rows},
    };
    memcpy(rooms, all, sizeof all);
}

uint64_t td__bag_bytes(const td__bag_shape *shape)
{
    room rooms[ROOMS];
    uint64_t sum = sizeof(td__bag);
    plan_rooms(rooms, shape);
    for (int i = 0; i < ROOMS; i++) {
        sum = td__sat_add(sum, td__sat_mul(rooms[i].count, sizeof(uint32_t)));
    }
    return sum;
}

td_status td__bag_create(td__bag **out, td_context *context, const td__bag_shape *shape, td_error *err)
{
    td_status status = TD_OK;
    td__bag *bag = NULL;
    room rooms[ROOMS];
    TD_FAIL_IF(shape->entries >= TD_NONE, err, ERR_LIMIT,
               "the histories of a batch have up to %llu candidates; at most %u are allowed: a smaller "
               "history-length or batch-size makes them fewer",
               (unsigned long long)shape->entries, TD_NONE - 1);
    TD_TRY(td__alloc_zero(&bag, context, 1, sizeof *bag, err));
    bag->shape = *shape;
    plan_rooms(rooms, shape);
    for (int i = 0; i < ROOMS; i++) {
        if (rooms[i].count == 0) continue;
        TD_TRY(td__alloc_zero((char *)bag + rooms[i].field, context, rooms[i].count, sizeof(uint32_t),
                              err));
    }
    bag->taken = bag->mark + shape->table_rows;
    *out = bag;
    return TD_OK;
done:
    td__bag_free(bag, context);
    *out = NULL;
    return status;
}

void td__bag_free(td__bag *bag, td_context *context)
{
    if (bag == NULL) return;
    room rooms[ROOMS];
    plan_rooms(rooms, &bag->shape);
    for (int i = 0; i < ROOMS; i++) {
        void *block;
        memcpy(&block, (char *)bag + rooms[i].field, sizeof block);
        td__free(context, block);
    }
    td__free(context, bag);
}

/* --- filling */

void td__bag_start(td__bag *bag)
{
    for (uint32_t i = 0; i < bag->distinct; i++) bag->mark[bag->rows[i]] = 0;
    bag->distinct = 0;
    bag->count = 0;
    bag->offset[0] = 0;
}

void td__bag_open(td__bag *bag)
{
    assert(bag->count < bag->shape.lists);
    if (++bag->number == 0) { /* after 2^32 lists */
        memset(bag->taken, 0, (size_t)bag->shape.table_rows * sizeof *bag->taken);
        bag->number = 1;
    }
    bag->count++;
    bag->offset[bag->count] = bag->offset[bag->count - 1];
}

void td__bag_leave_out(td__bag *bag, uint32_t row)
{
    bag->taken[row] = bag->number;
}

static void add_entry(td__bag *bag, uint32_t row)
{
    uint32_t at = bag->offset[bag->count]++;
    assert(at < bag->shape.entries);
    if (bag->mark[row] == 0) {
        bag->rows[bag->distinct] = row;
        bag->mark[row] = ++bag->distinct;
    }
    bag->item[at] = bag->mark[row] - 1;
    if (bag->list_of != NULL) bag->list_of[at] = bag->count - 1;
}

void td__bag_add(td__bag *bag, const uint32_t *rows, uint64_t count, uint32_t most)
{
    uint32_t end = most == 0 || most > TD_NONE - bag->offset[bag->count] ? TD_NONE : bag->offset[bag->count] + most;
    while (count-- > 0 && bag->offset[bag->count] < end) {
        uint32_t row = rows[count];
        if (row == TD_NONE || bag->taken[row] == bag->number) continue;
        bag->taken[row] = bag->number;
        add_entry(bag, row);
    }
}

/* Counting sort of the entries by their row. */
void td__bag_finish(td__bag *bag)
{
    uint32_t entries = bag->offset[bag->count];
    if (!bag->shape.training) return;
    memset(bag->back, 0, ((size_t)bag->distinct + 2) * sizeof *bag->back);
    for (uint32_t at = 0; at < entries; at++) bag->back[bag->item[at] + 2]++;
    for (uint32_t i = 0; i < bag->distinct; i++) bag->back[i + 2] += bag->back[i + 1];
    for (uint32_t at = 0; at < entries; at++) bag->entry[bag->back[bag->item[at] + 1]++] = at;
}

td__gradient td__bag_gradient(const td__bag *bag)
{
    return (td__gradient){.touched = bag->rows, .count = bag->distinct, .values = bag->d_vectors};
}
