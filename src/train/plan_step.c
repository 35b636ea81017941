/* plan_step.c -- how much memory training works with, beside the model and its copies.
 *
 * Serves: stage 5. In: sizes and options. Out: bytes. Every figure follows the allocations of the file it
 * names; tests/unit/train/plan_test.c holds the two together. */
#include "train/plan.h"

#include "base/limits.h"
#include "base/pool.h"
#include "kernel/gemm.h"
#include "kernel/softmax.h"
#include "train/graph.h"
#include "train/known.h"
#include "train/negatives.h"
#include "train/optimizer_rows.h"
#include "base/poison.h"

enum { FLOAT = sizeof(float), INDEX = sizeof(uint32_t), OFFSET = sizeof(uint64_t) };

/* --- a batch */

/* epoch_order.c, batches.c, negatives.c: distinct rows of the largest batch. */
td__plan_batch td__plan_batch_of(const td__plan_input *in, const td_train_options *options)
{
    const td_negative_options *negatives = &options->negatives;
    bool by_query = options->group == TD_GROUP_QUERIES;
    uint64_t rows = in->data->size.rows;
    uint64_t longest = by_query ? td__plan_longest(in, true) : 1;
    uint64_t parts = in->model->query_tower == TD_QUERY_ID ? 1 : options->history_parts;
    parts = td__sat_max(td__sat_min(parts, longest), 1);
    uint64_t all = by_query ? td__sat_mul(in->query_rows, parts) : rows;
    uint64_t units = td__sat_min(options->batch_size, all);
    uint64_t interactions = td__sat_mul(units, td__block_count(longest, parts));
    td__plan_batch batch = {.interactions = td__sat_min(interactions, rows),
                            .queries = by_query ? td__sat_min(units, in->query_rows) : units};
    uint64_t others = td__sat_mul(negatives->memory, batch.interactions);
    if (negatives->kind == TD_NEGATIVES_SAMPLED || negatives->kind == TD_NEGATIVES_MIXED) {
        others = td__sat_add(others, negatives->count);
    }
    if (negatives->kind == TD_NEGATIVES_ALL) others = in->candidate_rows;
    batch.candidates = td__sat_min(td__sat_add(batch.interactions, others), in->candidate_rows);
    return batch;
}

static uint64_t order_bytes(const td__plan_input *in, const td_train_options *options)
{
    uint64_t order = td__sat_mul(in->data->size.rows, INDEX);
    if (options->group == TD_GROUP_ROWS) return options->shuffle == TD_SHUFFLE_NONE ? 0 : order;
    uint64_t dealt = in->model->query_tower == TD_QUERY_ID ? 0 : order;
    return td__sat_add(2 * order + dealt, td__sat_mul(in->query_rows + 1, 4 * INDEX));
}

static uint64_t negatives_bytes(const td__plan_input *in, const td_train_options *options,
                                const td__plan_batch *batch)
{
    const td_negative_options *negatives = &options->negatives;
    uint64_t remembered = td__sat_mul(negatives->memory, td__sat_mul(batch->interactions, INDEX));
    if (!td__negatives_needed(options)) return 0;
    uint64_t table = in->candidate_rows * (INDEX + sizeof(double) + FLOAT);
    uint64_t drawn = td__sat_add(remembered, (uint64_t)negatives->count * INDEX);
    return td__sat_add(table, td__sat_add(remembered, drawn)) + batch->candidates * 3 * FLOAT;
}

static uint64_t sampling_bytes(const td__plan_input *in, const td_train_options *options,
                               const td__plan_batch *batch)
{
    if (td__negatives_needed(options) || options->sampling_correction == TD_SAMPLING_NONE) return 0;
    uint64_t table = options->sampling_correction == TD_SAMPLING_COUNTS
                         ? in->candidate_rows * FLOAT
                         : (uint64_t)options->frequency.buckets * options->frequency.arrays * 8;
    return batch->interactions * FLOAT + table;
}

/* known.c: the rows by query, and the largest batch's share of them. */
static uint64_t known_bytes(const td__plan_input *in, const td_train_options *options,
                            const td__plan_batch *batch)
{
    uint64_t rows = in->data->size.rows;
    if (!td__known_needed(in->model, options)) return 0;
    uint64_t columns = td__sat_min(td__sat_mul(td__plan_longest(in, true), batch->queries), rows);
    uint64_t lists = td__sat_mul(rows, INDEX) + (in->query_rows + 2) * INDEX;
    return td__sat_add(lists, td__sat_mul(columns + batch->queries + 1, INDEX));
}

static uint64_t batches_bytes(const td__plan_input *in, const td_train_options *options,
                              const td__plan_batch *batch)
{
    const td_data_size *size = &in->data->size;
    uint64_t maps = ((uint64_t)size->queries + size->candidates) * INDEX;
    uint64_t marks = (in->query_rows + in->candidate_rows) * INDEX;
    uint64_t counts = in->candidate_rows * OFFSET; /* while they are made */
    uint64_t rooms = (batch->queries + batch->candidates) * INDEX
                     + batch->interactions * (2 * INDEX + OFFSET + FLOAT);
    uint64_t sum = td__sat_add(order_bytes(in, options), maps + marks + counts + rooms);
    sum = td__sat_add(sum, sampling_bytes(in, options, batch));
    sum = td__sat_add(sum, known_bytes(in, options, batch));
    return td__sat_add(sum, negatives_bytes(in, options, batch));
}

/* --- a step */

/* tower.c: outputs and gradients of each layer, and what dense layers ask for. */
static uint64_t pass_bytes(const td__plan_input *in, bool query, uint64_t rows)
{
    td__plan_tower tower = td__plan_tower_of(in, query);
    uint64_t row = 2 * (uint64_t)tower.table + 2 * (uint64_t)tower.width, scratch = 0;
    if (tower.history) row += 2 * (uint64_t)tower.table;
    if (tower.attention) {
        td__affine map = {.in = tower.table, .out = tower.table};
        scratch += td__affine_scratch(&map, in->threads, true)
                   + (((uint64_t)map.in + 1) * map.out + 16) * FLOAT;
    }
    if (in->model->similarity == TD_SIMILARITY_COSINE) row += 2 * (uint64_t)tower.width;
    for (uint32_t i = 0; i < tower.layers->count; i++) {
        td__affine map = {0};
        td__plan_dense(&tower, i, &map.in, &map.out);
        row += 2 * (uint64_t)map.out;
        scratch += td__affine_scratch(&map, in->threads, true)
                   + (((uint64_t)map.in + 1) * map.out + 16) * FLOAT;
    }
    return td__sat_add(td__sat_mul(rows, row * FLOAT), scratch);
}

/* A query has one history a batch; rare ones that share a row have none. */
td__bag_shape td__plan_bag(const td__plan_input *in, uint64_t queries, bool training)
{
    uint64_t longest = in->data->query_rows_max, rows = in->data->size.rows;
    uint32_t most = in->model->history_length;
    if (most > 0) longest = td__sat_min(longest, most);
    return (td__bag_shape){.lists = (uint32_t)td__sat_min(queries, UINT32_MAX),
                           .entries = td__sat_min(td__sat_mul(longest, queries), rows),
                           .table_rows = (uint32_t)td__sat_min(in->candidate_rows, UINT32_MAX),
                           .dim = in->model->dim,
                           .pooling = in->model->history_pooling,
                           .training = training};
}

/* past.c */
static uint64_t past_bytes(const td__plan_input *in, const td__plan_batch *batch)
{
    if (in->model->query_tower == TD_QUERY_ID) return 0;
    td__bag_shape bag = td__plan_bag(in, batch->queries, true);
    return td__sat_add(td__bag_bytes(&bag), INDEX * (2 * batch->queries + 2 + batch->interactions));
}

/* Distinct candidates in the histories of a batch: gradients of the table beside those of the batch. */
static uint64_t shared_rows(const td__plan_input *in, const td__plan_batch *batch)
{
    if (in->model->query_tower == TD_QUERY_ID) return 0;
    td__bag_shape bag = td__plan_bag(in, batch->queries, true);
    return td__sat_min(bag.entries, bag.table_rows);
}

/* step_loss.c, and the engine. */
static uint64_t loss_bytes(const td__plan_input *in, const td_train_options *options,
                           const td__plan_batch *batch)
{
    td__softmax_shape shape = {.rows = (uint32_t)batch->queries,
                               .columns = (uint32_t)batch->candidates,
                               .entries = (uint32_t)batch->interactions,
                               .dim = in->model->dim,
                               .heads = in->model->heads,
                               .hard_negatives = options->loss.hard_negatives,
                               .precision = options->loss.precision};
    if (options->loss.symmetric && shape.columns < shape.rows) shape.columns = shape.rows;
    uint64_t bytes = td__softmax_bytes(&shape, in->threads);
    if (options->loss.symmetric) {
        bytes += (batch->queries + batch->candidates) * (in->model->dim * FLOAT + INDEX);
        bytes += 2 * FLOAT * batch->interactions;
    }
    if (options->kind != TD_LOSS_SOFTMAX) bytes += 32 * batch->interactions;
    bytes += INDEX * (batch->queries + 2) + 2 * FLOAT * batch->interactions;
    return bytes + 2 * FLOAT * batch->candidates;
}

static uint64_t graph_bytes(const td__plan_input *in, const td_train_options *options)
{
    if (options->graph_layers == 0) return 0;
    return td__graph_bytes(in->query_rows, in->candidate_rows, in->model->dim, in->data->size.rows);
}

/* Larger ones are refused when they are to be made. */
static bool is_possible(const td__plan_batch *batch)
{
    return batch->interactions < UINT32_MAX && batch->candidates < UINT32_MAX;
}

uint64_t td__plan_workspace(const td__plan_input *in, const td_train_options *options)
{
    td__plan_batch batch = td__plan_batch_of(in, options);
    uint64_t query_width = (uint64_t)in->model->heads * in->model->dim;
    if (!is_possible(&batch)) return UINT64_MAX;
    uint64_t sum = td__sat_add(batches_bytes(in, options, &batch), loss_bytes(in, options, &batch));
    sum = td__sat_add(sum, past_bytes(in, &batch));
    sum = td__sat_add(sum, graph_bytes(in, options));
    sum = td__sat_add(sum, pass_bytes(in, true, batch.queries));
    sum = td__sat_add(sum, pass_bytes(in, false, batch.candidates));
    return options->dropout > 0.0f ? td__sat_add(sum, batch.queries * query_width * FLOAT) : sum;
}

/* --- the optimizer */

static uint64_t optimizer_of(const td__plan_input *in, const td_optimizer_options *options,
                             uint64_t rows, uint32_t cols)
{
    uint64_t state = td__sat_mul(rows, (uint64_t)td__row_slots_of(options, cols) * FLOAT);
    uint64_t scratch = ((uint64_t)cols + 16) * FLOAT * in->threads;
    return td__sat_add(state, rows * INDEX + scratch);
}

/* optimizer.c: its state, and the groups of the rows of a step, for each table and matrix. */
uint64_t td__plan_optimizer(const td__plan_input *in, const td_train_options *options)
{
    td__plan_batch batch = td__plan_batch_of(in, options);
    uint64_t most = td__sat_max(batch.queries, batch.candidates) + shared_rows(in, &batch), bytes = 0;
    for (int query = 0; query < 2; query++) {
        td__plan_tower tower = td__plan_tower_of(in, query == 1);
        uint64_t parameters = 1 + 2 * (uint64_t)tower.layers->count + (tower.attention ? 2 : 0);
        bytes = td__sat_add(bytes, parameters * td__sat_mul(most, 4 * INDEX));
        bytes = td__sat_add(bytes, optimizer_of(in, &options->optimizer, tower.rows, tower.table));
        uint64_t square = tower.attention ? (uint64_t)tower.table + 1 : 0;
        bytes = td__sat_add(bytes, optimizer_of(in, &options->optimizer, square, tower.table));
        for (uint32_t i = 0; i < tower.layers->count; i++) {
            uint32_t from, to;
            td__plan_dense(&tower, i, &from, &to);
            bytes = td__sat_add(bytes, optimizer_of(in, &options->optimizer, (uint64_t)from + 1, to));
        }
    }
    return bytes;
}

/* --- iALS */

/* ials_sides.c, ials_lists.c, ials_solve.c. */
uint64_t td__plan_ials_workspace(const td__plan_input *in, const td_ials_options *options)
{
    uint64_t rows = in->data->size.rows, dim = in->model->dim;
    uint64_t block = td__sat_min(options->block, dim);
    uint64_t longest = td__sat_max(td__plan_longest(in, true), td__plan_longest(in, false));
    uint64_t list = in->data->weighted ? INDEX + FLOAT : INDEX;
    uint64_t lists = td__sat_mul(rows, 2 * list + 2 * INDEX);
    uint64_t offsets = (in->query_rows + in->candidate_rows + 2) * OFFSET;
    uint64_t ids = td__sat_max(in->query_rows, in->candidate_rows) * INDEX;
    uint64_t scratch = td__sat_mul(in->threads, (block * block + block + longest) * FLOAT);
    uint64_t gram = dim * dim * (2 * FLOAT + (TD__REDUCTION_GROUPS + 1) * sizeof(double));
    return td__sat_add(td__sat_add(lists, offsets + ids), td__sat_add(scratch, gram));
}
