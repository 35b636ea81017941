/* tiny_data.c -- small datasets with a taste in them. */
#include "support/tiny_data.h"

typedef struct tiny_rows {
    char (*ids)[2][12];
    const char **query, **candidate;
    float *weight;
} tiny_rows;

static uint32_t below(uint64_t *state, uint32_t bound)
{
    uint32_t number = (uint32_t)test_uniform(state, 0.0, (double)bound);
    return number < bound ? number : bound - 1;
}

static void make_row(const tiny_shape *shape, uint64_t *state, uint32_t row, tiny_rows *rows)
{
    uint32_t query = below(state, shape->queries), candidate;
    if (below(state, 10) == 0) {
        candidate = below(state, shape->candidates);
    } else {
        uint32_t size = shape->candidates / shape->groups;
        uint32_t a = below(state, size), b = below(state, size); /* the lower of two: popularity */
        candidate = (a < b ? a : b) * shape->groups + query % shape->groups;
    }
    snprintf(rows->ids[row][0], sizeof rows->ids[row][0], "q%u", query);
    snprintf(rows->ids[row][1], sizeof rows->ids[row][1], "c%u", candidate);
    rows->query[row] = rows->ids[row][0];
    rows->candidate[row] = rows->ids[row][1];
    rows->weight[row] = (float[]){0.5f, 1.0f, 2.0f}[below(state, 3)];
}

td_status tiny_dataset_build(td_dataset **out, td_context *context, const tiny_shape *shape,
                             td_error *err)
{
    uint64_t state = shape->seed + 1;
    tiny_rows rows = {.ids = malloc(shape->rows * sizeof *rows.ids),
                      .query = malloc(shape->rows * sizeof *rows.query),
                      .candidate = malloc(shape->rows * sizeof *rows.candidate),
                      .weight = malloc(shape->rows * sizeof *rows.weight)};
    for (uint32_t i = 0; i < shape->rows; i++) make_row(shape, &state, i, &rows);
    td_interactions interactions = {.rows = shape->rows,
                                    .query_id = rows.query,
                                    .candidate_id = rows.candidate,
                                    .weight = shape->weighted ? rows.weight : NULL};
    td_status status = td_dataset_build(out, context, &interactions, err);
    free(rows.ids);
    free(rows.query);
    free(rows.candidate);
    free(rows.weight);
    return status;
}

td_dataset *tiny_dataset(td_context *context, const tiny_shape *shape)
{
    td_error err;
    td_dataset *dataset;
    assert_ok(tiny_dataset_build(&dataset, context, shape, &err));
    return dataset;
}

void tiny_split(td_dataset **kept, td_dataset **held_out, const td_dataset *dataset, double fraction)
{
    td_error err;
    td_split_options options;
    td_split_options_init(&options);
    options.kind = TD_SPLIT_RANDOM;
    options.fraction = fraction;
    assert_ok(td_dataset_split(kept, held_out, dataset, &options, &err));
}
