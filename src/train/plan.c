/* plan.c -- how much memory a training and its measuring will take.
 *
 * Serves: stages 5 and 6. In: sizes and options. Out: bytes, before anything is allocated. */
#include "train/plan.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/vocab.h"
#include "data/dataset.h"
#include "eval/evaluation.h"
#include "eval/measure_plan.h"
#include "base/poison.h"

/* Handles, names, options: all that does not grow with the data. */
static const uint64_t SMALL = 1 << 20;

/* --- what is known of the data */

static uint64_t most_of(const uint32_t *rows, uint64_t count, uint32_t *counts, uint32_t ids)
{
    uint64_t most = 0;
    memset(counts, 0, ids * sizeof *counts);
    for (uint64_t i = 0; i < count; i++) {
        if (++counts[rows[i]] > most) most = counts[rows[i]];
    }
    return most;
}

static uint64_t bytes_of(const td_vocab *vocab)
{
    const uint64_t *offsets;
    (void)td__vocab_bytes(vocab, &offsets);
    return offsets[td_vocab_count(vocab)];
}

static uint64_t rows_of(const td_dataset *dataset)
{
    return dataset == NULL ? 0 : td_dataset_rows(dataset).count;
}

td_status td_plan_data_of(td_plan_data *data, const td_dataset *train, const td_dataset *validation,
                          const td_dataset *test, td_error *err)
{
    td_status status = TD_OK;
    td_rows rows = td_dataset_rows(train);
    const td_vocab *queries = td_dataset_queries(train), *candidates = td_dataset_candidates(train);
    td_context *context = train->context;
    uint32_t query_count = td_vocab_count(queries), candidate_count = td_vocab_count(candidates);
    uint32_t *counts = NULL, more = query_count > candidate_count ? query_count : candidate_count;
    *data = (td_plan_data){0};
    TD_TRY(td__alloc(&counts, context, more, sizeof *counts, err));
    *data = (td_plan_data){
        .size = {.rows = rows.count, .queries = query_count, .candidates = candidate_count},
        .query_rows_max = most_of(rows.query, rows.count, counts, query_count),
        .candidate_rows_max = most_of(rows.candidate, rows.count, counts, candidate_count),
        .id_bytes = bytes_of(queries) + bytes_of(candidates),
        .validation_rows = rows_of(validation),
        .test_rows = rows_of(test),
        .weighted = rows.weight != NULL,
        .timed = rows.timestamp != NULL};
done:
    td__free(context, counts);
    return status;
}

/* --- the model */

td__plan_tower td__plan_tower_of(const td__plan_input *in, bool query)
{
    const td_model_options *model = in->model;
    const td_u32_list *layers = query ? &model->query_layers : &model->candidate_layers;
    uint32_t width = query ? model->heads * model->dim : model->dim;
    bool history = query && model->query_tower != TD_QUERY_ID;
    uint64_t rows = query ? in->query_rows : in->candidate_rows;
    return (td__plan_tower){.rows = query && model->query_tower == TD_QUERY_HISTORY ? 1 : rows,
                            .table = layers->count > 0 ? model->dim : width,
                            .width = width,
                            .history = history,
                            .attention = history && model->history_pooling == TD_POOLING_ATTENTION,
                            .layers = layers};
}

void td__plan_dense(const td__plan_tower *tower, uint32_t index, uint32_t *in, uint32_t *out)
{
    *in = index == 0 ? tower->table : tower->layers->values[index - 1];
    *out = index + 1 == tower->layers->count ? tower->width : tower->layers->values[index];
}

uint64_t td__plan_longest(const td__plan_input *in, bool query)
{
    const td_plan_data *data = in->data;
    uint64_t ids = query ? data->size.queries : data->size.candidates;
    uint64_t longest = query ? data->query_rows_max : data->candidate_rows_max;
    bool shared = in->model->vocabulary == TD_VOCABULARY_TRAIN && in->model->min_count > 1;
    uint64_t rare = shared ? td__sat_mul(ids, in->model->min_count - 1) : 0;
    return td__sat_min(td__sat_max(longest, rare), data->size.rows);
}

uint64_t td__plan_floats(const td__plan_tower *tower)
{
    uint64_t floats = td__sat_mul(tower->rows, tower->table);
    if (tower->attention) floats = td__sat_add(floats, ((uint64_t)tower->table + 1) * tower->table);
    for (uint32_t i = 0; i < tower->layers->count; i++) {
        uint32_t from, to;
        td__plan_dense(tower, i, &from, &to);
        floats = td__sat_add(floats, ((uint64_t)from + 1) * to);
    }
    return floats;
}

static uint64_t weights_of(const td__plan_input *in)
{
    td__plan_tower query = td__plan_tower_of(in, true), candidate = td__plan_tower_of(in, false);
    uint64_t floats = td__sat_add(td__plan_floats(&query), td__plan_floats(&candidate));
    return td__sat_mul(floats, sizeof(float));
}

/* vocab.c: the ids' bytes, where each begins, and a table of 16 bytes a slot, at most half full. */
static uint64_t vocab_of(uint64_t ids)
{
    uint64_t slots = 64;
    while (slots < 2 * ids) slots *= 2;
    return td__sat_grown(8 * (ids + 2)) + 16 * slots;
}

/* model_history.c: the lists, and the rows of the dataset while they are sorted. */
static uint64_t history_of(const td__plan_input *in)
{
    const td_data_size *size = &in->data->size;
    if (in->model->query_tower == TD_QUERY_ID) return 0;
    uint64_t lists = td__sat_mul(size->rows, sizeof(uint32_t) + 3 * sizeof(uint64_t));
    return td__sat_add(lists, 16 * ((uint64_t)size->queries + 2) + 4 * (uint64_t)size->candidates);
}

/* model_build.c, and the lists of the training part that it asks for. */
static uint64_t model_of(const td__plan_input *in)
{
    const td_data_size *size = &in->data->size;
    uint64_t ids = td__sat_add(vocab_of(size->queries), vocab_of(size->candidates));
    uint64_t text = td__sat_add(td__sat_grown(in->data->id_bytes), in->data->title_bytes);
    uint64_t known = 8 * (3 * (uint64_t)size->candidates + 2 * (uint64_t)size->queries + 4);
    uint64_t lists = td__sat_mul(size->rows, 2 * sizeof(uint32_t));
    uint64_t sum = td__sat_add(weights_of(in), td__sat_add(ids, text));
    sum = td__sat_add(sum, history_of(in));
    return td__sat_add(SMALL, td__sat_add(sum, td__sat_add(known, lists)));
}

/* Rows as they lie in a dataset, and its vocabularies. */
static uint64_t data_of(const td_plan_data *data)
{
    uint64_t rows = td__sat_add(data->size.rows, td__sat_add(data->validation_rows, data->test_rows));
    uint64_t bytes = 8u + (data->weighted ? 4u : 0u) + (data->timed ? 8u : 0u);
    uint64_t ids = td__sat_add(vocab_of(data->size.queries), vocab_of(data->size.candidates));
    return td__sat_add(td__sat_mul(rows, bytes), td__sat_add(ids, data->id_bytes));
}

/* --- the whole */

static td_status make_input(td__plan_input *in, const td_plan_data *data,
                            const td_model_options *model, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td_options_check(td_model_option_table(), model, err));
    TD_FAIL_IF(data->threads > TD__THREADS_MAX, err, ERR_LIMIT, "%u threads; at most %d are allowed",
               data->threads, TD__THREADS_MAX);
    *in = (td__plan_input){.data = data,
                           .model = model,
                           .query_rows = (uint64_t)data->size.queries + model->oov_buckets,
                           .candidate_rows = (uint64_t)data->size.candidates + model->oov_buckets,
                           .threads = data->threads == 0 ? 1 : data->threads};
done:
    return status;
}

static void plan_common(td_memory_plan *plan, const td__plan_input *in, bool restore_best)
{
    uint64_t copies = in->data->validation_rows > 0 && restore_best ? 2 : 1;
    *plan = (td_memory_plan){.data = data_of(in->data),
                             .model = model_of(in),
                             .copies = td__sat_mul(copies, weights_of(in))};
}

/* With the histories of a chunk of queries. */
static uint64_t measuring(const td__plan_input *in, const td__measure_plan *measure, uint64_t rows)
{
    uint64_t bytes = td__measure_plan_model(measure, rows);
    if (bytes == 0 || in->model->query_tower == TD_QUERY_ID) return bytes;
    td__bag_shape bag = td__plan_bag(in, TD__CHUNK_QUERIES, false);
    return td__sat_add(bytes, td__bag_bytes(&bag));
}

/* Validation happens while all of training is there; the test part comes when it is gone. */
static void plan_whole(td_memory_plan *plan, const td__plan_input *in)
{
    const td__measure_plan measure = {.size = in->data->size,
                                      .query_rows_max = td__plan_longest(in, true),
                                      .heads = in->model->heads,
                                      .dim = in->model->dim,
                                      .threads = in->threads,
                                      .baselines = in->data->baselines};
    uint64_t validation = measuring(in, &measure, in->data->validation_rows);
    uint64_t test = measuring(in, &measure, in->data->test_rows);
    plan->evaluation = td__sat_max(validation, test);
    plan->baselines = td__measure_plan_baselines(&measure, in->data->test_rows);
    uint64_t training = td__sat_add(plan->copies, td__sat_add(plan->optimizer, plan->workspace));
    training = td__sat_add(training, validation);
    uint64_t after = td__sat_add(test, plan->baselines);
    plan->needed = td__sat_add(plan->model, td__sat_max(training, after));
}

td_status td_train_plan(td_memory_plan *plan, const td_plan_data *data, const td_model_options *model,
                        const td_train_options *train, td_error *err)
{
    td_status status = TD_OK;
    td__plan_input in;
    *plan = (td_memory_plan){0};
    TD_TRY(make_input(&in, data, model, err));
    TD_TRY(td_options_check(td_train_option_table(), train, err));
    plan_common(plan, &in, train->restore_best);
    if (train->average_decay > 0.0f) plan->copies = td__sat_add(plan->copies, weights_of(&in));
    plan->optimizer = td__plan_optimizer(&in, train);
    plan->workspace = td__plan_workspace(&in, train);
    plan_whole(plan, &in);
done:
    return status;
}

td_status td_ials_plan(td_memory_plan *plan, const td_plan_data *data, const td_model_options *model,
                       const td_ials_options *ials, td_error *err)
{
    td_status status = TD_OK;
    td__plan_input in;
    *plan = (td_memory_plan){0};
    TD_TRY(make_input(&in, data, model, err));
    TD_TRY(td_options_check(td_ials_option_table(), ials, err));
    plan_common(plan, &in, ials->restore_best);
    plan->workspace = td__plan_ials_workspace(&in, ials);
    plan_whole(plan, &in);
done:
    return status;
}

/* --- does it fit? */

typedef struct part {
    uint64_t bytes;
    const char *what, *remedy;
} part;

td_status td_memory_plan_check(const td_memory_plan *plan, uint64_t bytes_max, td_error *err)
{
    const part parts[] = {
        {plan->model, "the model's weights and ids", "a smaller dim, or a larger min-count"},
        {plan->copies, "copies of the weights", "a smaller dim, or no restore-best"},
        {plan->optimizer, "the optimizer's state", "optimizer adagrad-rowwise or a smaller dim"},
        {plan->workspace, "the workspace of a step", "a smaller batch-size, or fewer negatives"},
        {plan->evaluation, "measuring the model", "a smaller dim, or a smaller held-out part"},
        {plan->baselines, "a baseline", "fewer baselines: popularity takes the least"},
    };
    const part *most = &parts[0];
    char needed[TD__AMOUNT_MAX], limit[TD__AMOUNT_MAX], largest[TD__AMOUNT_MAX];
    if (plan->needed <= bytes_max) return TD_OK;
    for (size_t i = 1; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].bytes > most->bytes) most = &parts[i];
    }
    return td__fail(err, TD_ERR_LIMIT,
                    "this takes %s of memory beside the data, and %s may be taken; most of it, %s, is "
                    "for %s: %s would make it less",
                    td__amount(needed, plan->needed), td__amount(limit, bytes_max),
                    td__amount(largest, most->bytes), most->what, most->remedy);
}
