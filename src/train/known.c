/* known.c -- which columns of a batch its queries are known to have.
 *
 * Serves: stage 5. In: the training rows; a batch. Out: columns. */
#include "train/known.h"

#include "base/memory.h"
#include "base/poison.h"

struct td__known {
    uint32_t *start;     /* [rows of the queries' table + 2] where the list of each begins */
    uint32_t *candidate; /* [training rows] rows of the candidates' table, by query */
    uint32_t *offset;    /* [queries of the shape + 1] of a batch */
    uint32_t *column;    /* [columns_max] */
};

bool td__known_needed(const td_model_options *model, const td_train_options *options)
{
    bool parts = model->query_tower != TD_QUERY_ID && options->history_parts > 1;
    return options->decoupled && (options->group == TD_GROUP_ROWS || parts);
}

/* Counting sort by query. */
static void sort_rows(td__known *known, const td__known_source *source)
{
    const td_rows *rows = &source->rows;
    uint32_t *start = known->start;
    for (uint64_t i = 0; i < rows->count; i++) start[source->query_row[rows->query[i]] + 2]++;
    for (uint32_t q = 0; q < source->table_rows; q++) start[q + 2] += start[q + 1];
    for (uint64_t i = 0; i < rows->count; i++) {
        uint32_t query = source->query_row[rows->query[i]];
        known->candidate[start[query + 1]++] = source->candidate_row[rows->candidate[i]];
    }
}

/* A query is in a batch once. */
static uint64_t columns_max(const td__known *known, const td__known_source *source)
{
    uint64_t longest = 0;
    for (uint32_t q = 0; q < source->table_rows; q++) {
        uint64_t length = known->start[q + 1] - known->start[q];
        if (length > longest) longest = length;
    }
    uint64_t all = longest * source->shape.queries;
    return all < source->rows.count ? all : source->rows.count;
}

td_status td__known_create(td__known **out, td_context *context, const td__known_source *source,
                           td_error *err)
{
    td_status status = TD_OK;
    td__known *known = NULL;
    TD_TRY(td__alloc_zero(&known, context, 1, sizeof *known, err));
    TD_TRY(td__alloc_zero(&known->start, context, (uint64_t)source->table_rows + 2,
                          sizeof *known->start, err));
    TD_TRY(td__alloc(&known->candidate, context, source->rows.count, sizeof *known->candidate, err));
    sort_rows(known, source);
    TD_TRY(td__alloc(&known->offset, context, (uint64_t)source->shape.queries + 1,
                     sizeof *known->offset, err));
    TD_TRY(td__alloc(&known->column, context, columns_max(known, source), sizeof *known->column, err));
    *out = known;
    return TD_OK;
done:
    td__known_free(known, context);
    *out = NULL;
    return status;
}

void td__known_free(td__known *known, td_context *context)
{
    if (known == NULL) return;
    td__free(context, known->start);
    td__free(context, known->candidate);
    td__free(context, known->offset);
    td__free(context, known->column);
    td__free(context, known);
}

td__known_columns td__known_find(td__known *known, const td__distinct *queries, const uint32_t *place)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < queries->count; i++) {
        uint32_t query = queries->rows[i];
        known->offset[i] = count;
        for (uint32_t at = known->start[query]; at < known->start[query + 1]; at++) {
            uint32_t found = place[known->candidate[at]];
            if (found > 0) known->column[count++] = found - 1;
        }
    }
    known->offset[queries->count] = count;
    return (td__known_columns){.offset = known->offset, .column = known->column};
}
