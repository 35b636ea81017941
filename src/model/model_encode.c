/* model_encode.c -- vectors of queries and candidates.
 *
 * Serves: stages 3 and 6. In: ids, positions, histories. Out: vectors. */
#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "base/vocab.h"
#include "model/model.h"
#include "base/poison.h"

/* --- numbers and rows */

uint32_t td__model_query_number(const td_model *model, const char *id)
{
    size_t bytes = strlen(id);
    uint32_t position = td_vocab_find(model->queries, id, bytes);
    if (position != TD_NONE) return position;
    uint64_t hash = td__vocab_hash(id, bytes);
    return td_vocab_count(model->queries) + (uint32_t)(hash % model->query_tower.oov_buckets);
}

uint32_t td__model_query_numbers(const td_model *model)
{
    return td_vocab_count(model->queries) + model->query_tower.oov_buckets;
}

uint32_t td__model_query_row(const td_model *model, uint32_t number)
{
    return model->options.query_tower == TD_QUERY_HISTORY ? 0 : number;
}

void td__model_number_queries(const td_model *model, const td_vocab *vocab, uint32_t *numbers)
{
    for (uint32_t i = 0; i < td_vocab_count(vocab); i++) {
        numbers[i] = td__model_query_number(model, td_vocab_id(vocab, i));
    }
}

void td__model_candidate_rows(const td_model *model, const td_vocab *vocab, uint32_t *rows)
{
    for (uint32_t i = 0; i < td_vocab_count(vocab); i++) {
        rows[i] = td__tower_row(&model->candidate_tower, model->candidates, td_vocab_id(vocab, i));
    }
}

/* --- vectors */

enum { ENCODE_ROWS = 4096 }; /* at a time, so that room for the layers stays small */

/* `out` [count, width] from `rows` [count] of the candidate tower's table. */
static td_status encode_candidates(const td_model *model, const uint32_t *rows, uint32_t count,
                                   float *out, td_error *err)
{
    td__pass *pass;
    const td__tower *tower = &model->candidate_tower;
    size_t width = td__tower_width(tower);
    uint32_t rows_max = count < ENCODE_ROWS ? count : ENCODE_ROWS;
    td_status status = td__pass_create(&pass, model->context, tower, rows_max, false, err);
    for (uint32_t done = 0; status == TD_OK && done < count; done += rows_max) {
        td__tower_input input = {.count = count - done < rows_max ? count - done : rows_max,
                                 .rows = rows + done};
        const float *vectors = td__tower_forward(tower, model->context, pass, &input);
        memcpy(out + done * width, vectors, input.count * width * sizeof *out);
    }
    td__pass_free(pass, model->context);
    return status;
}

/* Queries on their way through their tower, a chunk at a time. */
typedef struct encoding {
    const td_model *model;
    const uint32_t *numbers;       /* [count] of queries, or NULL: */
    const td_histories *histories; /* of queries that were not there */
    td__pass *pass;
    td__bag *bag;   /* or NULL */
    uint32_t *rows; /* [chunk] of the id table */
    uint32_t chunk; /* queries at a time */
} encoding;

/* The history of one of the queries: what counts of it. */
static const uint32_t *history_of(const encoding *e, uint32_t query, uint64_t *count)
{
    const td_histories *lists = e->histories;
    uint32_t length = 0;
    if (lists == NULL) {
        const uint32_t *own = td__model_history(e->model, e->numbers[query], &length);
        *count = length;
        return own;
    }
    *count = lists->offsets[query + 1] - lists->offsets[query];
    return *count == 0 ? NULL : lists->candidates + lists->offsets[query];
}

static void fill_bag(encoding *e, uint32_t first, uint32_t count)
{
    td__bag_start(e->bag);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t length;
        const uint32_t *list = history_of(e, first + i, &length);
        td__bag_open(e->bag);
        td__bag_add(e->bag, list, length, e->model->options.history_length);
    }
    td__bag_finish(e->bag);
}

/* Most entries of any chunk. */
static uint64_t entries_max(const encoding *e, uint32_t count)
{
    uint64_t most = 0, sum = 0, length;
    for (uint32_t i = 0; i < count; i++) {
        if (i % e->chunk == 0) sum = 0;
        (void)history_of(e, i, &length);
        sum += length;
        if (sum > most) most = sum;
    }
    return most;
}

static td_status prepare(encoding *e, uint32_t count, td_error *err)
{
    td_status status = TD_OK;
    const td_model *model = e->model;
    e->chunk = count < ENCODE_ROWS ? count : ENCODE_ROWS;
    TD_TRY(td__pass_create(&e->pass, model->context, &model->query_tower, e->chunk, false, err));
    TD_TRY(td__alloc(&e->rows, model->context, e->chunk, sizeof *e->rows, err));
    if (td__model_has_history(model)) {
        td__bag_shape shape = {.lists = e->chunk,
                               .entries = entries_max(e, count),
                               .table_rows = td__tower_rows(&model->candidate_tower),
                               .dim = model->options.dim,
                               .pooling = model->options.history_pooling};
        TD_TRY(td__bag_create(&e->bag, model->context, &shape, err));
    }
done:
    return status;
}

static td_status encode_queries(encoding *e, uint32_t count, float *out, td_error *err)
{
    const td_model *model = e->model;
    const td__tower *tower = &model->query_tower;
    size_t width = td__tower_width(tower);
    td_status status = prepare(e, count, err);
    for (uint32_t done = 0; status == TD_OK && done < count; done += e->chunk) {
        uint32_t now = count - done < e->chunk ? count - done : e->chunk;
        for (uint32_t i = 0; i < now; i++) {
            e->rows[i] = e->numbers == NULL ? tower->known
                                            : td__model_query_row(model, e->numbers[done + i]);
        }
        if (e->bag != NULL) fill_bag(e, done, now);
        td__tower_input input = {.count = now, .rows = e->rows, .bag = e->bag};
        const float *vectors = td__tower_forward(tower, model->context, e->pass, &input);
        memcpy(out + done * width, vectors, now * width * sizeof *out);
    }
    td__pass_free(e->pass, model->context);
    td__bag_free(e->bag, model->context);
    td__free(model->context, e->rows);
    return status;
}

td_status td_model_encode_queries(const td_model *model, const char *const *ids, uint32_t count,
                                  float *out, td_error *err)
{
    td_status status = TD_OK;
    uint32_t *numbers;
    encoding e = {.model = model};
    TD_TRY(td__alloc(&numbers, model->context, count, sizeof *numbers, err));
    for (uint32_t i = 0; i < count; i++) numbers[i] = td__model_query_number(model, ids[i]);
    e.numbers = numbers;
    TD_TRY(encode_queries(&e, count, out, err));
done:
    td__free(model->context, numbers);
    return status;
}

td_status td_model_encode_query_rows(const td_model *model, const uint32_t *rows, uint32_t count,
                                     float *out, td_error *err)
{
    td_status status = TD_OK;
    uint32_t known = td_vocab_count(model->queries);
    encoding e = {.model = model, .numbers = rows};
    for (uint32_t i = 0; i < count; i++) {
        TD_FAIL_IF(rows[i] >= known, err, ERR_ARGUMENT, "row %u is no query: the model has %u of them",
                   rows[i], known);
    }
    TD_TRY(encode_queries(&e, count, out, err));
done:
    return status;
}

static td_status check_histories(const td_model *model, const td_histories *histories, td_error *err)
{
    td_status status = TD_OK;
    uint32_t known = td_vocab_count(model->candidates);
    TD_FAIL_IF(!td__model_has_history(model), err, ERR_UNSUPPORTED,
               "the model knows queries by their ids alone (query-tower id), not by a history");
    TD_FAIL_IF(histories->weight != NULL, err, ERR_ARGUMENT,
               "histories have weights, which a query tower does not take");
    for (uint64_t i = 0; histories->count > 0 && i < histories->offsets[histories->count]; i++) {
        uint32_t candidate = histories->candidates[i];
        TD_FAIL_IF(candidate >= known && candidate != TD_NONE, err, ERR_ARGUMENT,
                   "element %llu of the histories is candidate %u; the model has %u",
                   (unsigned long long)i, candidate, known);
    }
done:
    return status;
}

td_status td_model_encode_histories(const td_model *model, const td_histories *histories, float *out,
                                    td_error *err)
{
    td_status status = TD_OK;
    encoding e = {.model = model, .histories = histories};
    TD_TRY(check_histories(model, histories, err));
    TD_TRY(encode_queries(&e, histories->count, out, err));
done:
    return status;
}

td_status td_model_encode_candidates(const td_model *model, float *out, td_error *err)
{
    td_status status = TD_OK;
    uint32_t count = td_vocab_count(model->candidates);
    uint32_t *rows;
    TD_TRY(td__alloc(&rows, model->context, count, sizeof *rows, err));
    for (uint32_t i = 0; i < count; i++) rows[i] = i;
    TD_TRY(encode_candidates(model, rows, count, out, err));
done:
    td__free(model->context, rows);
    return status;
}
