/* row_groups.c -- which gradients of a step belong to the same row of weights.
 *
 * Serves: stage 5. In: the rows touched by a step, with duplicates. Out: each once, with a list of
 * its gradients.
 *
 * A table as long as the weights has the group of each row; only the entries of touched rows are
 * written, and taken back before the end, so a step costs O(count) whatever the number of rows. */
#include "train/row_groups.h"

#include <string.h>

#include "base/memory.h"
#include "base/poison.h"

td_status td__row_groups_init(td__row_groups *groups, td_context *context, uint64_t rows,
                              td_error *err)
{
    *groups = (td__row_groups){.context = context, .rows = rows};
    td_status status = td__alloc(&groups->group, context, rows, sizeof *groups->group, err);
    if (status == TD_OK && rows > 0) {
        memset(groups->group, 0xFF, (size_t)rows * sizeof *groups->group); /* TD_NONE */
    }
    return status;
}

void td__row_groups_clear(td__row_groups *groups)
{
    td__free(groups->context, groups->group);
    td__free(groups->context, groups->row);
    td__free(groups->context, groups->first);
    td__free(groups->context, groups->last);
    td__free(groups->context, groups->next);
    *groups = (td__row_groups){0};
}

td_status td__row_groups_reserve(td__row_groups *groups, uint64_t count, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = groups->context;
    TD_FAIL_IF(count >= TD_NONE, err, ERR_LIMIT, "%llu gradients in a step; at most %u are allowed",
               (unsigned long long)count, TD_NONE - 1);
    TD_TRY(td__grow(&groups->row, context, count, sizeof *groups->row, err));
    TD_TRY(td__grow(&groups->first, context, count, sizeof *groups->first, err));
    TD_TRY(td__grow(&groups->last, context, count, sizeof *groups->last, err));
    TD_TRY(td__grow(&groups->next, context, count, sizeof *groups->next, err));
done:
    return status;
}

static void add(td__row_groups *groups, uint32_t row, uint32_t position)
{
    uint32_t group = groups->group[row];
    groups->next[position] = TD_NONE;
    if (group == TD_NONE) {
        group = groups->count++;
        groups->group[row] = group;
        groups->row[group] = row;
        groups->first[group] = position;
    } else {
        groups->next[groups->last[group]] = position;
    }
    groups->last[group] = position;
}

static td_status add_list(td__row_groups *groups, const td__row_list *list, uint32_t first, td_error *err)
{
    td_status status = TD_OK;
    for (uint32_t i = 0; i < list->count; i++) {
        TD_FAIL_IF(list->rows[i] >= groups->rows, err, ERR_ARGUMENT,
                   "gradient %u belongs to row %u; there are %llu rows", first + i, list->rows[i],
                   (unsigned long long)groups->rows);
        add(groups, list->rows[i], first + i);
    }
done:
    return status;
}

td_status td__row_groups_make(td__row_groups *groups, const td__row_list *lists, uint32_t list_count,
                              td_error *err)
{
    td_status status = TD_OK;
    uint64_t all = 0;
    uint32_t first = 0;
    groups->count = 0;
    for (uint32_t i = 0; i < list_count; i++) all += lists[i].count;
    TD_TRY(td__row_groups_reserve(groups, all, err));
    for (uint32_t i = 0; i < list_count; i++) {
        TD_TRY(add_list(groups, &lists[i], first, err));
        first += (uint32_t)lists[i].count;
    }
done:
    for (uint32_t g = 0; g < groups->count; g++) groups->group[groups->row[g]] = TD_NONE;
    return status;
}
