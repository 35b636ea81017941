/* batches.c -- a dataset cut into batches, as rows of the towers' tables.
 *
 * Serves: stage 5. In: interactions. Out: batches.
 * Distinct rows are found with a mark per table row that holds its place in the batch; the marks set
 * are taken back after each batch, so a batch costs its size and not that of the tables. */
#include "train/batches.h"

#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "model/model.h"
#include "train/epoch_order.h"
#include "train/known.h"
#include "train/negatives.h"
#include "base/poison.h"

typedef struct side {
    uint32_t *row_of; /* [ids of the dataset] row of the tower's table */
    uint32_t *mark;   /* [rows of the table] place in `rows` + 1, or 0 */
    uint32_t *rows;   /* [distinct rows of the shape] */
    uint32_t *of;     /* [interactions of the shape] */
    uint32_t count;
    bool fixed; /* always the same rows: marks stay */
} side;

struct td__batches {
    td_context *context;
    td_rows interactions;
    td__epoch_order *order;
    td__batch_shape shape;
    uint32_t rows;
    uint32_t epoch, next; /* batch of the epoch */
    side queries, candidates;
    uint64_t *candidate_id; /* [size] */
    float *weight;          /* [size] or NULL */
    float *probability;     /* [size] or NULL */
    float *share;           /* [candidate rows] TD_SAMPLING_COUNTS */
    td_frequency *frequency; /* TD_SAMPLING_STREAMING */
    td__negatives *negatives; /* NULL: the batch's own candidates are all there are */
    uint32_t *copies;         /* [candidates of the shape] */
    float *bias, *own_bias;   /* [candidates of the shape] or NULL */
    td__known *known;         /* decoupled, batches without all rows of their queries; or NULL */
    td__batch batch;
};

/* --- creation */

/* Which row of the table each id of the dataset uses. */
static td_status create_rows_of(td__batches *b, const td_model *model, const td_dataset *train,
                                td_error *err)
{
    td_status status = TD_OK;
    const td_vocab *queries = td_dataset_queries(train), *candidates = td_dataset_candidates(train);
    uint32_t **query = &b->queries.row_of, **candidate = &b->candidates.row_of;
    TD_TRY(td__alloc(query, b->context, td_vocab_count(queries), sizeof **query, err));
    TD_TRY(td__alloc(candidate, b->context, td_vocab_count(candidates), sizeof **candidate, err));
    td__model_number_queries(model, queries, *query);
    td__model_candidate_rows(model, candidates, *candidate);
done:
    return status;
}

static td_status create_side(side *s, td__batches *b, uint32_t table_rows, uint32_t distinct,
                             td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__alloc_zero(&s->mark, b->context, table_rows, sizeof *s->mark, err));
    TD_TRY(td__alloc(&s->rows, b->context, distinct, sizeof *s->rows, err));
    TD_TRY(td__alloc(&s->of, b->context, b->shape.interactions, sizeof *s->of, err));
done:
    return status;
}

static void clear_side(side *s, td_context *context)
{
    td__free(context, s->row_of);
    td__free(context, s->mark);
    td__free(context, s->rows);
    td__free(context, s->of);
}

static td_status check_known(const td__batches *b, const td_model *model, td_error *err)
{
    for (uint32_t i = 0; i < b->rows; i++) {
        if (b->candidates.row_of[b->interactions.candidate[i]] < model->candidate_tower.known) {
            return TD_OK;
        }
    }
    return td__fail(err, TD_ERR_ARGUMENT,
                    "the model knows none of the candidates of the %u training rows", b->rows);
}

/* Training rows of each row of the candidate table. */
static td_status count_candidates(uint64_t **out, const td__batches *b, const td_model *model,
                                  td_error *err)
{
    td_status status = TD_OK;
    uint64_t *counts = NULL;
    TD_TRY(td__alloc_zero(&counts, b->context, td__tower_rows(&model->candidate_tower), sizeof *counts,
                          err));
    for (uint32_t i = 0; i < b->rows; i++) {
        counts[b->candidates.row_of[b->interactions.candidate[i]]]++;
    }
done:
    *out = counts;
    return status;
}

/* The batch's own candidates as negatives, as TFRS has it. */
static td_status create_sampling(td__batches *b, const uint64_t *counts, uint32_t table_rows,
                                 const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    if (options->sampling_correction == TD_SAMPLING_NONE) return TD_OK;
    TD_TRY(td__alloc(&b->probability, b->context, b->shape.interactions, sizeof *b->probability, err));
    if (options->sampling_correction == TD_SAMPLING_COUNTS) {
        TD_TRY(td__alloc(&b->share, b->context, table_rows, sizeof *b->share, err));
        td_sampling_from_counts(counts, table_rows, b->share);
    } else {
        TD_TRY(td_frequency_create(&b->frequency, b->context, &options->frequency, err));
    }
done:
    return status;
}

static td_status create_negatives(td__batches *b, const uint64_t *counts, const td_model *model,
                                  const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    td__negatives_source source = {
        .counts = counts,
        .table_rows = td__tower_rows(&model->candidate_tower),
        .known = model->candidate_tower.known,
        .rows_max = b->shape.interactions,
        .rows_mean = (double)b->rows / td__epoch_order_batches(b->order)};
    TD_TRY(td__negatives_create(&b->negatives, b->context, &source, options, err));
    uint64_t distinct = (uint64_t)b->shape.candidates + td__negatives_columns_max(b->negatives);
    b->shape.candidates = distinct < source.table_rows ? (uint32_t)distinct : source.table_rows;
    distinct = b->shape.candidates;
    TD_TRY(td__alloc(&b->copies, b->context, distinct, sizeof *b->copies, err));
    if (td__negatives_bias(b->negatives) != NULL) {
        TD_TRY(td__alloc(&b->bias, b->context, distinct, sizeof *b->bias, err));
    }
    if (td__negatives_separate(b->negatives)) {
        TD_TRY(td__alloc_zero(&b->own_bias, b->context, distinct, sizeof *b->own_bias, err));
    }
done:
    return status;
}

/* All candidates are the columns of every batch: put them there once. */
static void fix_candidates(td__batches *b)
{
    td__drawn all = td__negatives_draw(b->negatives, 0, 0);
    side *s = &b->candidates;
    for (uint32_t i = 0; i < all.count; i++) {
        s->rows[i] = all.rows[i];
        s->mark[all.rows[i]] = i + 1;
        b->copies[i] = 1;
    }
    s->count = all.count;
    s->fixed = true;
}

static td_status create_order(td__batches *b, const td_model *model, const td_train_options *options,
                              td_error *err)
{
    td_status status = TD_OK;
    td__order_source source = {.rows = b->rows,
                               .query = b->interactions.query,
                               .row_of = b->queries.row_of,
                               .table_rows = td__model_query_numbers(model),
                               .parts = td__model_has_history(model) ? options->history_parts : 1};
    uint32_t candidates = td__tower_rows(&model->candidate_tower);
    TD_TRY(td__epoch_order_create(&b->order, b->context, &source, options, err));
    b->shape.interactions = td__epoch_order_rows_max(b->order);
    b->shape.queries = td__epoch_order_queries_max(b->order);
    b->shape.candidates = b->shape.interactions < candidates ? b->shape.interactions : candidates;
done:
    return status;
}

/* Room for a batch. */
static td_status create_batch(td__batches *b, const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    uint32_t rows = b->shape.interactions;
    TD_TRY(create_side(&b->queries, b, td__model_query_numbers(model), b->shape.queries, err));
    TD_TRY(create_side(&b->candidates, b, td__tower_rows(&model->candidate_tower),
                       b->shape.candidates, err));
    TD_TRY(td__alloc(&b->candidate_id, b->context, rows, sizeof *b->candidate_id, err));
    if (b->interactions.weight != NULL) {
        TD_TRY(td__alloc(&b->weight, b->context, rows, sizeof *b->weight, err));
    }
    if (b->negatives != NULL && td__negatives_are_all(b->negatives)) fix_candidates(b);
done:
    return status;
}

static td_status create_known(td__batches *b, const td_model *model, td_error *err)
{
    td__known_source source = {.rows = b->interactions,
                               .query_row = b->queries.row_of,
                               .candidate_row = b->candidates.row_of,
                               .table_rows = td__model_query_numbers(model),
                               .shape = b->shape};
    return td__known_create(&b->known, b->context, &source, err);
}

/* Everything that depends on data and options; `counts` receives memory to be freed. */
static td_status prepare(td__batches *b, const td_model *model, const td_train_options *options,
                         uint64_t **counts, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(check_known(b, model, err));
    TD_TRY(create_order(b, model, options, err));
    TD_TRY(count_candidates(counts, b, model, err));
    if (td__negatives_needed(options)) {
        TD_TRY(create_negatives(b, *counts, model, options, err));
    } else {
        uint32_t table_rows = td__tower_rows(&model->candidate_tower);
        TD_TRY(create_sampling(b, *counts, table_rows, options, err));
    }
    TD_TRY(create_batch(b, model, err));
    if (td__known_needed(td_model_get_options(model), options)) TD_TRY(create_known(b, model, err));
done:
    return status;
}

td_status td__batches_create(td__batches **out, const td_model *model, const td_dataset *train,
                             const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    td__batches *b = NULL;
    uint64_t *counts = NULL;
    td_rows rows = td_dataset_rows(train);
    TD_FAIL_IF(rows.count == 0, err, ERR_ARGUMENT, "the training part has no rows");
    TD_FAIL_IF(rows.count >= UINT32_MAX, err, ERR_LIMIT, "%llu training rows; at most %u are allowed",
               (unsigned long long)rows.count, UINT32_MAX - 1);
    TD_TRY(td__alloc_zero(&b, model->context, 1, sizeof *b, err));
    b->context = model->context;
    b->interactions = rows;
    b->rows = (uint32_t)rows.count;
    TD_TRY(create_rows_of(b, model, train, err));
    TD_TRY(prepare(b, model, options, &counts, err));
    td__free(model->context, counts);
    *out = b;
    return TD_OK;
done:
    td__free(model->context, counts);
    td__batches_free(b);
    *out = NULL;
    return status;
}

void td__batches_free(td__batches *b)
{
    if (b == NULL) return;
    clear_side(&b->queries, b->context);
    clear_side(&b->candidates, b->context);
    td_frequency_free(b->frequency);
    td__epoch_order_free(b->order);
    td__negatives_free(b->negatives);
    td__known_free(b->known, b->context);
    td__free(b->context, b->copies);
    td__free(b->context, b->bias);
    td__free(b->context, b->own_bias);
    td__free(b->context, b->candidate_id);
    td__free(b->context, b->weight);
    td__free(b->context, b->probability);
    td__free(b->context, b->share);
    td__free(b->context, b);
}

uint32_t td__batches_rows(const td__batches *b)
{
    return b->rows;
}

uint32_t td__batches_count(const td__batches *b)
{
    return td__epoch_order_batches(b->order);
}

td__batch_shape td__batches_shape(const td__batches *b)
{
    return b->shape;
}

/* --- one batch */

/* The place of a row among the distinct ones. */
static uint32_t place_of(side *s, uint32_t row)
{
    if (s->mark[row] == 0) {
        s->rows[s->count++] = row;
        s->mark[row] = s->count;
    }
    return s->mark[row] - 1;
}

static td__distinct distinct_of(const side *s)
{
    return (td__distinct){.count = s->count, .rows = s->rows, .of = s->of};
}

static void clear_marks(side *s)
{
    if (s->fixed) return;
    for (uint32_t i = 0; i < s->count; i++) s->mark[s->rows[i]] = 0;
    s->count = 0;
}

/* Streaming estimates count a batch before they are asked about it: an id has been seen once. */
static void fill_probability(td__batches *b, uint32_t count)
{
    if (b->frequency != NULL) {
        td_frequency_update(b->frequency, b->candidate_id, count);
        td_frequency_probability(b->frequency, b->candidate_id, count, b->probability);
    }
    if (b->share == NULL) return;
    for (uint32_t i = 0; i < count; i++) b->probability[i] = b->share[b->candidate_id[i]];
}

/* The interactions of a batch. */
typedef struct fill_job {
    td__batches *batches;
    uint32_t first, count;
} fill_job;

/* The rows of one side's table that the batch asks for: nothing that the next load would wait for. */
static void look_up(const fill_job *job, side *s, const uint32_t *ids)
{
    const td__epoch_order *order = job->batches->order;
    for (uint32_t i = 0; i < job->count; i++) {
        s->of[i] = s->row_of[ids[td__epoch_order_at(order, job->first + i)]];
    }
}

/* Rows become their places among the distinct ones. */
static void find_distinct(side *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) s->of[i] = place_of(s, s->of[i]);
}

static void fill_block(void *state, uint64_t block, uint32_t worker)
{
    const fill_job *job = state;
    td__batches *b = job->batches;
    bool queries = block == 0;
    side *s = queries ? &b->queries : &b->candidates;
    (void)worker;
    look_up(job, s, queries ? b->interactions.query : b->interactions.candidate);
    for (uint32_t i = 0; !queries && i < job->count; i++) b->candidate_id[i] = s->of[i];
    find_distinct(s, job->count);
}

/* Both sides at once. */
static void fill_rows(td__batches *b, uint32_t first, uint32_t count)
{
    fill_job job = {b, first, count};
    td__parallel_for(b->context, 2, fill_block, &job);
    for (uint32_t i = 0; b->weight != NULL && i < count; i++) {
        b->weight[i] = b->interactions.weight[td__epoch_order_at(b->order, first + i)];
    }
}

/* Other negatives than the batch's own, and how each column counts. */
static void fill_negatives(td__batches *b, uint32_t count)
{
    side *s = &b->candidates;
    if (b->negatives == NULL || s->fixed) return;
    td__drawn drawn = td__negatives_draw(b->negatives, b->epoch, b->next);
    uint32_t own = td__negatives_own(b->negatives) ? count : 0, first = s->count;
    memset(b->copies, 0, first * sizeof *b->copies);
    for (uint32_t i = 0; i < own; i++) b->copies[s->of[i]]++;
    for (uint32_t i = 0; i < drawn.count; i++) {
        uint32_t column = place_of(s, drawn.rows[i]);
        if (column == first) b->copies[first++] = 0;
        b->copies[column]++;
    }
    for (uint32_t i = 0; b->bias != NULL && i < s->count; i++) {
        b->bias[i] = td__negatives_bias(b->negatives)[s->rows[i]];
    }
    td__negatives_remember(b->negatives, b->candidate_id, count);
}

const td__batch *td__batches_next(td__batches *b)
{
    if (b->next >= td__batches_count(b)) return NULL;
    uint32_t first = b->next == 0 ? 0 : td__epoch_order_end(b->order, b->next - 1);
    uint32_t count = td__epoch_order_end(b->order, b->next) - first;
    fill_rows(b, first, count);
    fill_probability(b, count);
    fill_negatives(b, count);
    b->next++;
    b->batch = (td__batch){.count = count,
                           .queries = distinct_of(&b->queries),
                           .candidates = distinct_of(&b->candidates),
                           .candidate_id = b->candidate_id,
                           .weight = b->weight,
                           .probability = b->probability,
                           .copies = b->copies,
                           .bias = b->bias,
                           .own_bias = b->own_bias};
    if (b->known != NULL) {
        td__known_columns columns = td__known_find(b->known, &b->batch.queries, b->candidates.mark);
        b->batch.known_offset = columns.offset;
        b->batch.known_column = columns.column;
    }
    clear_marks(&b->queries);
    clear_marks(&b->candidates);
    return &b->batch;
}

void td__batches_start(td__batches *b, uint32_t epoch)
{
    td__epoch_order_start(b->order, epoch);
    b->epoch = epoch;
    b->next = 0;
}

void td__batches_replay(td__batches *b, uint32_t epochs)
{
    if (b->frequency == NULL) return; /* nothing else remembers beyond an epoch */
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        td__batches_start(b, epoch);
        while (td__batches_next(b) != NULL) continue;
    }
}
