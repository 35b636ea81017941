/* frequency.c -- how often an id appears in a stream of batches, without knowing the ids
 * beforehand.
 *
 * Serves: stages 4 and 5. In: the ids of each batch. Out: the probability that a batch holds an id.
 *
 * Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
 * RecSys 2019, algorithms 2 and 3. With hash functions h_i, at step t for each id y of the batch:
 *
 *     gap_i[h_i(y)]  = (1 - alpha) gap_i[h_i(y)] + alpha (t - last_i[h_i(y)])
 *     last_i[h_i(y)] = t
 *
 * and the estimate is 1 / max_i gap_i[h_i(y)]: ids that share a bucket make its gap too small. Gaps
 * start at `initial_gap`, sightings at step 0. A bucket counts once a step: an id that occurs twice
 * in a batch would else shrink its gap by a sample of 0. */
#include "base/memory.h"
#include "base/random.h"
#include "train/frequency_options.h"

#include "base/poison.h"

typedef struct gap_bucket {
    float gap;
    uint32_t last; /* step modulo 2^32: gaps are right up to that many steps */
} gap_bucket;

struct td_frequency {
    td_context *context;
    td_frequency_options options;
    uint32_t step;
    gap_bucket *buckets; /* [arrays, buckets] */
};

static const td_option rows[] = {
    TD__FREQUENCY_OPTION_ROWS(td_frequency_options, ),
};
static const td_option_table table = TD__OPTION_TABLE("frequency", td_frequency_options, rows);

const td_option_table *td_frequency_option_table(void)
{
    return &table;
}

void td_frequency_options_init(td_frequency_options *options)
{
    td_options_init(&table, options);
}

td_status td_frequency_create(td_frequency **out, td_context *context,
                              const td_frequency_options *options, td_error *err)
{
    td_status status = TD_OK;
    td_frequency *frequency = NULL;
    td_frequency_options chosen;
    td_frequency_options_init(&chosen);
    if (options != NULL) chosen = *options;
    TD_TRY(td_options_check(&table, &chosen, err));
    TD_TRY(td__alloc_zero(&frequency, context, 1, sizeof *frequency, err));
    frequency->context = context;
    frequency->options = chosen;
    uint64_t count = (uint64_t)chosen.buckets * chosen.arrays;
    TD_TRY(td__alloc(&frequency->buckets, context, count, sizeof *frequency->buckets, err));
    for (uint64_t i = 0; i < count; i++) {
        frequency->buckets[i] = (gap_bucket){.gap = chosen.initial_gap, .last = 0};
    }
    *out = frequency;
    return TD_OK;
done:
    td_frequency_free(frequency);
    *out = NULL;
    return status;
}

void td_frequency_free(td_frequency *frequency)
{
    if (frequency == NULL) return;
    td__free(frequency->context, frequency->buckets);
    td__free(frequency->context, frequency);
}

/* h_i(id): one fixed hash function for each array. */
static gap_bucket *bucket_of(const td_frequency *frequency, uint32_t array, uint64_t id)
{
    uint64_t hash = td__mix64(id ^ td__mix64(array + UINT64_C(0x9E3779B97F4A7C15)));
    uint64_t position = ((hash >> 32) * frequency->options.buckets) >> 32;
    return &frequency->buckets[(uint64_t)array * frequency->options.buckets + position];
}

void td_frequency_update(td_frequency *frequency, const uint64_t *ids, uint32_t count)
{
    float alpha = frequency->options.learning_rate;
    uint32_t step = ++frequency->step;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t a = 0; a < frequency->options.arrays; a++) {
            gap_bucket *bucket = bucket_of(frequency, a, ids[i]);
            if (bucket->last == step) continue;
            bucket->gap = (1.0f - alpha) * bucket->gap + alpha * (float)(step - bucket->last);
            bucket->last = step;
        }
    }
}

void td_frequency_probability(const td_frequency *frequency, const uint64_t *ids, uint32_t count,
                              float *probability)
{
    for (uint32_t i = 0; i < count; i++) {
        float gap = 1.0f; /* nothing occurs more often than in each step */
        for (uint32_t a = 0; a < frequency->options.arrays; a++) {
            const gap_bucket *bucket = bucket_of(frequency, a, ids[i]);
            if (bucket->gap > gap) gap = bucket->gap;
        }
        probability[i] = 1.0f / gap;
    }
}
