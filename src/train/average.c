/* average.c -- the moving average of a model's weights over the epochs of its training.
 *
 * Serves: stage 5. In: a model after each epoch. Out: the same model with averaged weights. */
#include "train/average.h"

#include <math.h>

#include "base/memory.h"
#include "model/model.h"
#include "base/poison.h"

struct td__average {
    td_context *context;
    float decay;
    bool directions; /* of the tables' vectors only the directions count */
    uint32_t dim, count;
    float **weights; /* [count] one block per parameter */
};

/* --- life */

static bool counts_directions(const td_model *model)
{
    const td_model_options *options = &model->options;
    return options->similarity == TD_SIMILARITY_COSINE && options->query_tower == TD_QUERY_ID
           && options->query_layers.count == 0 && options->candidate_layers.count == 0;
}

td_status td__average_create(td__average **out, const td_model *model, float decay, td_error *err)
{
    td_status status = TD_OK;
    td__average *average = NULL;
    td_context *context = model->context;
    TD_TRY(td__alloc_zero(&average, context, 1, sizeof *average, err));
    *average = (td__average){.context = context,
                             .decay = decay,
                             .directions = counts_directions(model),
                             .dim = model->options.dim,
                             .count = td__model_parameters(model)};
    TD_TRY(td__alloc_zero(&average->weights, context, average->count, sizeof *average->weights, err));
    for (uint32_t i = 0; i < average->count; i++) {
        const td__parameter *parameter = td__model_parameter(model, i, NULL);
        size_t row_bytes = parameter->cols * sizeof(float);
        TD_TRY(td__alloc_zero(&average->weights[i], context, parameter->rows, row_bytes, err));
    }
    *out = average;
    return TD_OK;
done:
    td__average_free(average);
    *out = NULL;
    return status;
}

void td__average_free(td__average *average)
{
    if (average == NULL) return;
    for (uint32_t i = 0; average->weights != NULL && i < average->count; i++) {
        td__free(average->context, average->weights[i]);
    }
    td__free(average->context, average->weights);
    td__free(average->context, average);
}

/* --- an epoch */

/* What a vector is multiplied with before it is averaged. */
static float scale_of(const td__average *average, const float *vector, uint32_t dim)
{
    double squares = 0.0;
    if (!average->directions) return 1.0f;
    for (uint32_t k = 0; k < dim; k++) squares += (double)vector[k] * (double)vector[k];
    return squares > 0.0 ? (float)(1.0 / sqrt(squares)) : 0.0f;
}

static void add_vector(float *restrict mean, const float *restrict vector, uint32_t dim, float scale,
                       float decay)
{
    float rest = (1.0f - decay) * scale;
    for (uint32_t k = 0; k < dim; k++) mean[k] = decay * mean[k] + rest * vector[k];
}

void td__average_add(td__average *average, const td_model *model, bool first)
{
    float decay = first ? 0.0f : average->decay;
    for (uint32_t i = 0; i < average->count; i++) {
        const td__parameter *parameter = td__model_parameter(model, i, NULL);
        uint32_t dim = average->directions ? average->dim : parameter->cols;
        uint64_t vectors = parameter->rows * parameter->cols / dim;
        for (uint64_t v = 0; v < vectors; v++) {
            const float *vector = parameter->weights + v * dim;
            float scale = scale_of(average, vector, dim);
            add_vector(average->weights[i] + v * dim, vector, dim, scale, decay);
        }
    }
}

void td__average_swap(td__average *average, td_model *model)
{
    for (uint32_t i = 0; i < average->count; i++) {
        const td__parameter *parameter = td__model_parameter(model, i, NULL);
        float *restrict mean = average->weights[i], *restrict weights = parameter->weights;
        for (uint64_t k = 0; k < parameter->rows * parameter->cols; k++) {
            float kept = weights[k];
            weights[k] = mean[k];
            mean[k] = kept;
        }
    }
}

float *td__average_weights(td__average *average, uint32_t index)
{
    return average->weights[index];
}
