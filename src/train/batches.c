/* batches.c -- a dataset cut into batches, as rows of the towers' tables.
 *
 * Serves: stage 5. In: interactions. Out: batches.
 * Distinct rows are found with a mark per table row that holds its place in the batch; the marks set
 * are taken back after each batch, so a batch costs its size and not that of the tables. */
#include "train/batches.h"

#include "base/memory.h"
#include "model/model.h"
#include "train/shuffle.h"
#include "base/poison.h"

typedef struct side {
    uint32_t *row_of; /* [ids of the dataset] row of the tower's table */
    uint32_t *mark;   /* [rows of the table] place in `rows` + 1, or 0 */
    uint32_t *rows;   /* [batch] */
    uint32_t *of;     /* [batch] */
    uint32_t count;
} side;

struct td__batches {
    td_context *context;
    td_rows interactions;
    td_shuffle shuffle;
    uint64_t seed;
    uint32_t rows, size;
    uint32_t *order; /* [rows] NULL: as they are */
    uint32_t next;   /* interaction of the epoch */
    side queries, candidates;
    uint64_t *candidate_id; /* [size] */
    float *weight;          /* [size] or NULL */
    float *probability;     /* [size] or NULL */
    float *share;           /* [candidate rows] TD_SAMPLING_COUNTS */
    td_frequency *frequency; /* TD_SAMPLING_STREAMING */
    td__batch batch;
};

/* --- creation */

static td_status create_side(side *s, td__batches *b, const td__tower *tower, const td_vocab *vocab,
                             td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__alloc(&s->row_of, b->context, td_vocab_count(vocab), sizeof *s->row_of, err));
    TD_TRY(td__alloc_zero(&s->mark, b->context, td__tower_rows(tower), sizeof *s->mark, err));
    TD_TRY(td__alloc(&s->rows, b->context, b->size, sizeof *s->rows, err));
    TD_TRY(td__alloc(&s->of, b->context, b->size, sizeof *s->of, err));
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

static td_status create_sides(td__batches *b, const td_model *model, const td_dataset *train,
                              td_error *err)
{
    td_status status = TD_OK;
    const td_vocab *queries = td_dataset_queries(train), *candidates = td_dataset_candidates(train);
    TD_TRY(create_side(&b->queries, b, &model->query_tower, queries, err));
    TD_TRY(create_side(&b->candidates, b, &model->candidate_tower, candidates, err));
    td__model_query_rows(model, queries, b->queries.row_of);
    td__model_candidate_rows(model, candidates, b->candidates.row_of);
done:
    return status;
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

/* Share of the training rows that each row of the candidate table has. */
static td_status create_shares(td__batches *b, const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    uint64_t *counts = NULL;
    uint32_t table_rows = td__tower_rows(&model->candidate_tower);
    TD_TRY(td__alloc_zero(&counts, b->context, table_rows, sizeof *counts, err));
    TD_TRY(td__alloc(&b->share, b->context, table_rows, sizeof *b->share, err));
    for (uint32_t i = 0; i < b->rows; i++) {
        counts[b->candidates.row_of[b->interactions.candidate[i]]]++;
    }
    td_sampling_from_counts(counts, table_rows, b->share);
done:
    td__free(b->context, counts);
    return status;
}

static td_status create_sampling(td__batches *b, const td_model *model,
                                 const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    if (options->sampling_correction == TD_SAMPLING_NONE) return TD_OK;
    TD_TRY(td__alloc(&b->probability, b->context, b->size, sizeof *b->probability, err));
    if (options->sampling_correction == TD_SAMPLING_COUNTS) {
        TD_TRY(create_shares(b, model, err));
    } else {
        TD_TRY(td_frequency_create(&b->frequency, b->context, &options->frequency, err));
    }
done:
    return status;
}

static td_status create_order(td__batches *b, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__alloc(&b->candidate_id, b->context, b->size, sizeof *b->candidate_id, err));
    if (b->interactions.weight != NULL) {
        TD_TRY(td__alloc(&b->weight, b->context, b->size, sizeof *b->weight, err));
    }
    if (b->shuffle == TD_SHUFFLE_NONE) return TD_OK;
    TD_TRY(td__alloc(&b->order, b->context, b->rows, sizeof *b->order, err));
    if (b->shuffle == TD_SHUFFLE_ONCE) td__shuffle(b->order, b->rows, b->seed, 0);
done:
    return status;
}

td_status td__batches_create(td__batches **out, const td_model *model, const td_dataset *train,
                             const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    td__batches *b = NULL;
    td_rows rows = td_dataset_rows(train);
    TD_FAIL_IF(rows.count == 0, err, ERR_ARGUMENT, "the training part has no rows");
    TD_FAIL_IF(rows.count >= UINT32_MAX, err, ERR_LIMIT, "%llu training rows; at most %u are allowed",
               (unsigned long long)rows.count, UINT32_MAX - 1);
    TD_TRY(td__alloc_zero(&b, model->context, 1, sizeof *b, err));
    b->context = model->context;
    b->interactions = rows;
    b->shuffle = options->shuffle;
    b->seed = options->seed;
    b->rows = (uint32_t)rows.count;
    b->size = options->batch_size < b->rows ? options->batch_size : b->rows;
    TD_TRY(create_sides(b, model, train, err));
    TD_TRY(check_known(b, model, err));
    TD_TRY(create_sampling(b, model, options, err));
    TD_TRY(create_order(b, err));
    *out = b;
    return TD_OK;
done:
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
    td__free(b->context, b->order);
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

uint32_t td__batches_size_max(const td__batches *b)
{
    return b->size;
}

uint32_t td__batches_count(const td__batches *b)
{
    return b->rows / b->size + (b->rows % b->size != 0);
}

/* --- one batch */

static void add_row(side *s, uint32_t row, uint32_t interaction)
{
    if (s->mark[row] == 0) {
        s->rows[s->count++] = row;
        s->mark[row] = s->count;
    }
    s->of[interaction] = s->mark[row] - 1;
}

static td__distinct finish_side(side *s)
{
    td__distinct distinct = {.count = s->count, .rows = s->rows, .of = s->of};
    for (uint32_t i = 0; i < s->count; i++) s->mark[s->rows[i]] = 0;
    s->count = 0;
    return distinct;
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

static void fill_rows(td__batches *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = b->order == NULL ? b->next + i : b->order[b->next + i];
        uint32_t candidate = b->candidates.row_of[b->interactions.candidate[at]];
        add_row(&b->queries, b->queries.row_of[b->interactions.query[at]], i);
        add_row(&b->candidates, candidate, i);
        b->candidate_id[i] = candidate;
        if (b->weight != NULL) b->weight[i] = b->interactions.weight[at];
    }
}

const td__batch *td__batches_next(td__batches *b)
{
    if (b->next >= b->rows) return NULL;
    uint32_t count = b->rows - b->next < b->size ? b->rows - b->next : b->size;
    fill_rows(b, count);
    fill_probability(b, count);
    b->next += count;
    b->batch = (td__batch){.count = count,
                           .queries = finish_side(&b->queries),
                           .candidates = finish_side(&b->candidates),
                           .candidate_id = b->candidate_id,
                           .weight = b->weight,
                           .probability = b->probability};
    return &b->batch;
}

void td__batches_start(td__batches *b, uint32_t epoch)
{
    if (b->shuffle == TD_SHUFFLE_EPOCH) td__shuffle(b->order, b->rows, b->seed, epoch);
    b->next = 0;
}

void td__batches_replay(td__batches *b, uint32_t epochs)
{
    if (b->frequency == NULL) return; /* nothing else remembers */
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        td__batches_start(b, epoch);
        while (td__batches_next(b) != NULL) continue;
    }
}
