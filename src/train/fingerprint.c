/* fingerprint.c -- one number for all data that a training depends on.
 *
 * Serves: stage 5. In: model and datasets. Out: a hash; each part is hashed with the hash of those
 * before as seed. */
#include "train/fingerprint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/vocab.h"
#include "model/model.h"
#include "base/poison.h"

static uint64_t add_bytes(uint64_t hash, const void *bytes, uint64_t count, size_t size)
{
    hash = XXH64(&count, sizeof count, hash);
    return bytes == NULL ? hash : XXH64(bytes, count * size, hash);
}

static uint64_t add_vocab(uint64_t hash, const td_vocab *vocab)
{
    const uint64_t *offsets;
    const char *bytes = td__vocab_bytes(vocab, &offsets);
    return add_bytes(hash, bytes, offsets[td_vocab_count(vocab)], 1);
}

static uint64_t add_dataset(uint64_t hash, const td_dataset *dataset)
{
    td_rows rows = td_dataset_rows(dataset);
    hash = add_vocab(hash, td_dataset_queries(dataset));
    hash = add_vocab(hash, td_dataset_candidates(dataset));
    hash = add_bytes(hash, rows.query, rows.count, sizeof *rows.query);
    hash = add_bytes(hash, rows.candidate, rows.count, sizeof *rows.candidate);
    return add_bytes(hash, rows.weight, rows.count, sizeof *rows.weight);
}

static uint64_t add_history(uint64_t hash, const td_model *model)
{
    if (!td__model_has_history(model)) return hash;
    uint64_t queries = td_vocab_count(model->queries);
    hash = add_bytes(hash, model->history_offsets, queries + 1, sizeof *model->history_offsets);
    return add_bytes(hash, model->history, model->history_offsets[queries], sizeof *model->history);
}

uint64_t td__fingerprint(const td_model *model, const td_dataset *train, const td_dataset *validation)
{
    uint64_t hash = add_vocab(0, td_model_queries(model));
    hash = add_vocab(hash, td_model_candidates(model));
    hash = add_history(hash, model);
    hash = add_dataset(hash, train);
    return validation == NULL ? hash : add_dataset(hash, validation);
}
