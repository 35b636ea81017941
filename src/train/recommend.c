/* recommend.c -- settings of a training for data of which only the size is known.
 *
 * Serves: stage 5. In: numbers of rows, queries, candidates. Out: options.
 * The numbers are those that did best on validation parts of the data sets of docs/quality.md. */
#include "train/recommend.h"

#include "base/poison.h"

/* Pairs of a query and a candidate up to which a data set is small: the last that was tried has 2e7, the
 * next 1e9. */
static const double SMALL_PAIRS = 3e8;

/* Rows of a candidate from which on a small data set is dense: the last that was tried has 7, the next
 * 43. */
static const double DENSE_ROWS = 20.0;

/* Options of the caller that work with the negatives of the batch alone. */
static bool needs_batch(const td_model_options *model, const td_train_options *options)
{
    return model->heads > 1 || options->loss.hard_negatives > 0 || options->loss.label_smoothing > 0.0f
           || options->sampling_correction == TD_SAMPLING_STREAMING;
}

/* May positives of a query be left out of what they are measured against? */
static bool may_decouple(const td_train_options *options)
{
    return options->kind == TD_LOSS_SOFTMAX && !options->loss.symmetric;
}

/* Few ids with long lists: the length of a vector says how liked a candidate is, and the small sample that
 * a batch is keeps the model from learning by heart. */
static void recommend_small(td_model_options *model, td_train_options *options)
{
    model->similarity = TD_SIMILARITY_DOT;
    model->initializer = TD_INIT_UNIFORM;
    model->init_scale = 0.05f;
    options->loss.temperature = 1.0f;
    options->loss.reduction = TD_REDUCTION_SUM;
    options->optimizer.optimizer = TD_OPTIMIZER_ADAGRAD;
    options->optimizer.learning_rate = 0.05f;
    options->group = TD_GROUP_ROWS;
    options->batch_size = 1024;
    options->negatives.kind = TD_NEGATIVES_BATCH;
    options->epochs = 50;
    options->validate_every = 1;
    options->patience = 4;
}

/* Directions rather than lengths, compared sharply, for lists of a query taken as one: its positives are
 * not held against each other, and the others a little more than a softmax would (BSL). */
static void recommend_cosine(float temperature, float partition_power, td_model_options *model,
                             td_train_options *options)
{
    model->similarity = TD_SIMILARITY_COSINE;
    model->initializer = TD_INIT_NORMAL;
    model->init_scale = 0.1f;
    options->loss.temperature = temperature;
    options->loss.reduction = TD_REDUCTION_MEAN;
    options->optimizer.optimizer = TD_OPTIMIZER_ADAM_LAZY;
    options->optimizer.learning_rate = 0.01f;
    options->group = TD_GROUP_QUERIES;
    options->decoupled = may_decouple(options);
    if (options->decoupled) options->partition_power = partition_power;
    options->epochs = 100;
}

/* Enough rows for every candidate: against all candidates at once, which costs little. */
static void recommend_dense(const td_data_size *size, td_model_options *model,
                            td_train_options *options)
{
    uint32_t batch = size->queries / 32;
    recommend_cosine(0.2f, 1.1f, model, options);
    options->batch_size = batch < 16 ? 16 : batch > 128 ? 128 : batch;
    options->negatives.kind = TD_NEGATIVES_ALL;
    options->validate_every = 2;
    options->patience = 8;
}

/* Many candidates, of which a query has taken next to none: against as many negatives as time allows. Of
 * cosines only directions matter, so Adam's vectors grow and turn ever more slowly by themselves: a rate that
 * falls as well, or first vectors that are long, stop them too early. A query has a step an epoch, for which
 * Adam's usual memory of a thousand steps, and of ten for its direction, is too long. The mean over some
 * epochs is better than the last of them. */
static void recommend_large(td_model_options *model, td_train_options *options)
{
    recommend_cosine(0.1f, 1.22f, model, options);
    model->init_scale = 0.02f;
    options->batch_size = 256;
    options->negatives.kind = TD_NEGATIVES_MIXED;
    options->negatives.count = 4096;
    options->optimizer.learning_rate = 0.02f;
    options->optimizer.beta1 = 0.5f;
    options->optimizer.beta2 = 0.95f;
    options->average_decay = 0.8f;
    options->epochs = 80;
    options->validate_every = 5;
    options->patience = 20;
}

bool td__data_is_small(const td_data_size *size)
{
    return (double)size->queries * (double)size->candidates <= SMALL_PAIRS;
}

bool td__data_is_dense(const td_data_size *size)
{
    return (double)size->rows >= DENSE_ROWS * (double)size->candidates;
}

void td_train_recommend(const td_data_size *size, td_model_options *model, td_train_options *options)
{
    bool small = td__data_is_small(size);
    bool dense = td__data_is_dense(size);
    if (needs_batch(model, options) || (small && !dense)) recommend_small(model, options);
    else if (small) recommend_dense(size, model, options);
    else recommend_large(model, options);
    options->kind = TD_LOSS_SOFTMAX;
}
