/* recommend.c -- settings of a training for data of which only the size is known.
 *
 * Serves: stage 5. In: numbers of rows, queries, candidates. Out: options.
 * The numbers are those that did best on validation parts of the data sets of docs/quality.md. */
#include "tandem/tandem.h"

#include "base/poison.h"

/* Scores of an epoch over the whole catalogue (queries * candidates) that take a second or so. */
static const double FEW_SCORES = 3e8;

enum {
    STEPS_OF_EPOCH = 32, /* at least, unless batches fall below BATCH_MIN */
    BATCH_MIN = 16,
    BATCH_MAX = 256, /* queries */
    DRAWN = 4096
};

static uint32_t batch_of(uint32_t queries)
{
    uint32_t size = queries / STEPS_OF_EPOCH;
    if (size < BATCH_MIN) return BATCH_MIN;
    return size < BATCH_MAX ? size : BATCH_MAX;
}

/* Where a query has taken a good part of the catalogue, its taste is broad: a higher temperature. */
static float temperature_of(const td_data_size *size)
{
    double pairs = (double)size->queries * (double)size->candidates;
    double density = pairs > 0.0 ? (double)size->rows / pairs : 0.0;
    return density > 0.005 ? 0.2f : 0.1f;
}

/* Options of the caller that work with the negatives of the batch alone. */
static bool needs_batch(const td_model_options *model, const td_train_options *options)
{
    return model->heads > 1 || options->loss.hard_negatives > 0 || options->loss.label_smoothing > 0.0f
           || options->sampling_correction == TD_SAMPLING_STREAMING;
}

static void choose_negatives(const td_data_size *size, td_train_options *options)
{
    bool few = (double)size->queries * (double)size->candidates <= FEW_SCORES;
    options->group = TD_GROUP_QUERIES;
    options->batch_size = batch_of(size->queries);
    options->negatives.kind = few ? TD_NEGATIVES_ALL : TD_NEGATIVES_MIXED;
    options->negatives.count = DRAWN;
    options->validate_every = few ? 1 : 4;
    options->patience = few ? 5 : 12;
}

void td_train_recommend(const td_data_size *size, td_model_options *model, td_train_options *options)
{
    model->similarity = TD_SIMILARITY_COSINE;
    model->initializer = TD_INIT_NORMAL;
    model->init_scale = 0.1f;
    options->kind = TD_LOSS_SOFTMAX;
    options->loss.temperature = temperature_of(size);
    options->loss.reduction = TD_REDUCTION_MEAN;
    options->optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    options->optimizer.learning_rate = 0.01f;
    options->epochs = 100;
    options->patience = 5;
    if (!needs_batch(model, options)) choose_negatives(size, options);
}
