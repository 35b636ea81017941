/* align.c -- two datasets over one pair of vocabularies.
 *
 * Serves: stage 2. In: two datasets read apart, as the files of a given split are. Out: the same
 * rows, numbered alike: the first one's ids keep their positions, new ones of the second follow. */
#include <string.h>

#include "base/memory.h"
#include "base/vocab.h"
#include "data/dataset.h"
#include "base/poison.h"

static td_status add_to(td_vocab *vocab, const td_vocab *from, uint32_t position, uint32_t *added,
                        td_error *err)
{
    const uint64_t *offsets;
    const char *bytes = td__vocab_bytes(from, &offsets);
    return td_vocab_add(vocab, bytes + offsets[position],
                        (size_t)(offsets[position + 1] - offsets[position] - 1), added, err);
}

/* `map` [ids of second] -> position in the union; owned. */
static td_status unite(td_vocab **out, uint32_t **map, td_context *context, const td_vocab *first,
                       const td_vocab *second, td_error *err)
{
    td_status status = TD_OK;
    uint32_t position;
    TD_TRY(td_vocab_create(out, context, err));
    for (uint32_t i = 0; i < td_vocab_count(first); i++) {
        TD_TRY(add_to(*out, first, i, &position, err));
    }
    TD_TRY(td__alloc(map, context, td_vocab_count(second), sizeof **map, err));
    for (uint32_t i = 0; i < td_vocab_count(second); i++) {
        TD_TRY(add_to(*out, second, i, &(*map)[i], err));
    }
done:
    return status;
}

typedef struct alignment {
    td_vocab *queries, *candidates;
    uint32_t *query_map, *candidate_map;
} alignment;

/* The rows of `from` over the united vocabularies; `mapped` if they are numbered as the second's.
 */
static td_status renumber(td_dataset **out, const alignment *a, const td_dataset *from, bool mapped,
                          td_error *err)
{
    td_status status = TD_OK;
    td_dataset *dataset;
    TD_TRY(td__dataset_create(&dataset, from->context, a->queries, a->candidates, err));
    dataset->has_weight = from->has_weight;
    dataset->has_timestamp = from->has_timestamp;
    TD_TRY(td__dataset_reserve(dataset, from->rows, err));
    for (uint64_t i = 0; i < from->rows; i++) {
        td__row row = td__dataset_row(from, i);
        if (mapped) {
            row.query = a->query_map[row.query];
            row.candidate = a->candidate_map[row.candidate];
        }
        TD_TRY(td__dataset_append(dataset, &row, err));
    }
    *out = dataset;
    return TD_OK;
done:
    td_dataset_free(dataset);
    return status;
}

td_status td_dataset_align(td_dataset **first_out, td_dataset **second_out, const td_dataset *first,
                           const td_dataset *second, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = first->context;
    alignment a = {0};
    *first_out = *second_out = NULL;
    TD_TRY(unite(&a.queries, &a.query_map, context, first->queries, second->queries, err));
    TD_TRY(unite(&a.candidates, &a.candidate_map, context, first->candidates, second->candidates,
                 err));
    TD_TRY(renumber(first_out, &a, first, false, err));
    TD_TRY(renumber(second_out, &a, second, true, err));
done:
    td_vocab_free(a.queries);
    td_vocab_free(a.candidates);
    td__free(context, a.query_map);
    td__free(context, a.candidate_map);
    if (status != TD_OK) {
        td_dataset_free(*first_out);
        *first_out = NULL;
    }
    return status;
}
