/* dataset.c -- rows over two vocabularies: making, looking at, letting go.
 *
 * Serves: stage 2. In: rows. Out: arrays of rows, counts, and the candidates of each query.
 * Invariant: positions of rows are below the counts of their vocabularies, weights finite and >= 0.
 */
#include "data/dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "base/vocab.h"
#include "base/poison.h"

static td_status share_vocab(td_vocab **out, td_context *context, td_vocab *vocab, td_error *err)
{
    if (vocab == NULL) return td_vocab_create(out, context, err);
    *out = td__vocab_retain(vocab);
    return TD_OK;
}

td_status td__dataset_create(td_dataset **out, td_context *context, td_vocab *queries,
                             td_vocab *candidates, td_error *err)
{
    td_dataset *dataset;
    *out = NULL;
    td_status status = td__alloc_zero(&dataset, context, 1, sizeof *dataset, err);
    if (status != TD_OK) return status;
    dataset->context = context;
    (void)pthread_mutex_init(&dataset->lock, NULL);
    TD_TRY(share_vocab(&dataset->queries, context, queries, err));
    TD_TRY(share_vocab(&dataset->candidates, context, candidates, err));
    *out = dataset;
    return TD_OK;
done:
    td_dataset_free(dataset);
    return status;
}

void td_dataset_free(td_dataset *dataset)
{
    if (dataset == NULL) return;
    td_context *context = dataset->context;
    if (dataset->container == NULL) {
        td__free(context, dataset->query);
        td__free(context, dataset->candidate);
        td__free(context, dataset->weight);
        td__free(context, dataset->timestamp);
    }
    td__container_close(dataset->container);
    td__free(context, dataset->list_offsets);
    td__free(context, dataset->list_candidates);
    td_vocab_free(dataset->queries);
    td_vocab_free(dataset->candidates);
    (void)pthread_mutex_destroy(&dataset->lock);
    td__free(context, dataset);
}

td_status td__dataset_reserve(td_dataset *dataset, uint64_t rows, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = dataset->context;
    if (rows <= dataset->capacity) return TD_OK;
    TD_TRY(td__grow(&dataset->query, context, rows, sizeof *dataset->query, err));
    TD_TRY(td__grow(&dataset->candidate, context, rows, sizeof *dataset->candidate, err));
    if (dataset->has_weight) {
        TD_TRY(td__grow(&dataset->weight, context, rows, sizeof *dataset->weight, err));
    }
    if (dataset->has_timestamp) {
        TD_TRY(td__grow(&dataset->timestamp, context, rows, sizeof *dataset->timestamp, err));
    }
    dataset->capacity = rows;
done:
    return status;
}

td_status td__dataset_append(td_dataset *dataset, const td__row *row, td_error *err)
{
    uint64_t at = dataset->rows;
    if (at == dataset->capacity) {
        td_status status = td__dataset_reserve(dataset, at + at / 2 + 1024, err);
        if (status != TD_OK) return status;
    }
    dataset->query[at] = row->query;
    dataset->candidate[at] = row->candidate;
    if (dataset->has_weight) dataset->weight[at] = row->weight;
    if (dataset->has_timestamp) dataset->timestamp[at] = row->timestamp;
    dataset->rows++;
    return TD_OK;
}

td__row td__dataset_row(const td_dataset *dataset, uint64_t index)
{
    return (td__row){
        .query = dataset->query[index],
        .candidate = dataset->candidate[index],
        .weight = dataset->has_weight ? dataset->weight[index] : 1.0f,
        .timestamp = dataset->has_timestamp ? dataset->timestamp[index] : 0,
    };
}

/* --- rows in memory */

static td_status add_id(td_vocab *vocab, const char *id, uint32_t *position, td_error *err)
{
    if (id == NULL) return td__fail(err, TD_ERR_ARGUMENT, "an id is NULL");
    return td_vocab_add(vocab, id, strlen(id), position, err);
}

static td_status build_row(td_dataset *dataset, const td_interactions *from, uint64_t index,
                           td_error *err)
{
    td_status status = TD_OK;
    td__row row;
    row.weight = from->weight == NULL ? 1.0f : from->weight[index];
    row.timestamp = from->timestamp == NULL ? 0 : from->timestamp[index];
    TD_FAIL_IF(!isfinite(row.weight), err, ERR_NUMERIC, "its weight is not finite");
    TD_FAIL_IF(row.weight < 0, err, ERR_ARGUMENT, "its weight is %g; weights are at least 0",
               (double)row.weight);
    TD_TRY(add_id(dataset->queries, from->query_id[index], &row.query, err));
    TD_TRY(add_id(dataset->candidates, from->candidate_id[index], &row.candidate, err));
    TD_TRY(td__dataset_append(dataset, &row, err));
done:
    return status;
}

td_status td_dataset_build(td_dataset **out, td_context *context,
                           const td_interactions *interactions, td_error *err)
{
    td_status status = TD_OK;
    td_dataset *dataset;
    *out = NULL;
    TD_TRY(td__dataset_create(&dataset, context, NULL, NULL, err));
    dataset->has_weight = interactions->weight != NULL;
    dataset->has_timestamp = interactions->timestamp != NULL;
    TD_TRY(td__dataset_reserve(dataset, interactions->rows, err));
    for (uint64_t i = 0; i < interactions->rows; i++) {
        status = build_row(dataset, interactions, i, err);
        if (status == TD_OK) continue;
        char row[32];
        (void)snprintf(row, sizeof row, "row %llu", (unsigned long long)i);
        status = td__fail_within(err, status, row);
        goto done;
    }
    *out = dataset;
    return TD_OK;
done:
    td_dataset_free(dataset);
    return status;
}

/* --- looking at it */

td_rows td_dataset_rows(const td_dataset *dataset)
{
    return (td_rows){dataset->rows, dataset->query, dataset->candidate, dataset->weight,
                     dataset->timestamp};
}

const td_vocab *td_dataset_queries(const td_dataset *dataset)
{
    return dataset->queries;
}

const td_vocab *td_dataset_candidates(const td_dataset *dataset)
{
    return dataset->candidates;
}

void td_dataset_candidate_counts(const td_dataset *dataset, uint64_t *counts)
{
    uint32_t candidates = td_vocab_count(dataset->candidates);
    if (candidates > 0) memset(counts, 0, candidates * sizeof *counts);
    for (uint64_t i = 0; i < dataset->rows; i++) counts[dataset->candidate[i]]++;
}

td_status td_dataset_check(const td_dataset *dataset, td_error *err)
{
    td_status status = TD_OK;
    uint32_t queries = td_vocab_count(dataset->queries);
    uint32_t candidates = td_vocab_count(dataset->candidates);
    for (uint64_t i = 0; i < dataset->rows; i++) {
        TD_FAIL_IF(dataset->query[i] >= queries, err, ERR_CORRUPT,
                   "row %llu: query %u, but there are %u", (unsigned long long)i, dataset->query[i],
                   queries);
        TD_FAIL_IF(dataset->candidate[i] >= candidates, err, ERR_CORRUPT,
                   "row %llu: candidate %u, but there are %u", (unsigned long long)i,
                   dataset->candidate[i], candidates);
        TD_FAIL_IF(dataset->has_weight
                       && !(dataset->weight[i] >= 0 && isfinite(dataset->weight[i])),
                   err, ERR_CORRUPT, "row %llu: a weight that is not finite and at least 0",
                   (unsigned long long)i);
    }
done:
    return status;
}
