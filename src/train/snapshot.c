/* snapshot.c -- a copy of all weights of a model, to come back to.
 *
 * Serves: stage 5. In: a model. Out: the same weights, later. */
#include "train/snapshot.h"

#include <string.h>

#include "base/memory.h"
#include "model/model.h"
#include "base/poison.h"

struct td__snapshot {
    td_context *context;
    uint32_t count;
    float **weights; /* [count] one block per parameter */
};

static size_t parameter_bytes(const td__parameter *parameter)
{
    return parameter->rows * parameter->cols * sizeof *parameter->weights;
}

td_status td__snapshot_create(td__snapshot **out, const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    td__snapshot *snapshot = NULL;
    TD_TRY(td__alloc_zero(&snapshot, model->context, 1, sizeof *snapshot, err));
    snapshot->context = model->context;
    snapshot->count = td__model_parameters(model);
    TD_TRY(td__alloc_zero(&snapshot->weights, model->context, snapshot->count,
                          sizeof *snapshot->weights, err));
    for (uint32_t i = 0; i < snapshot->count; i++) {
        const td__parameter *parameter = td__model_parameter(model, i, NULL);
        TD_TRY(td__alloc(&snapshot->weights[i], model->context, parameter_bytes(parameter), 1, err));
    }
    td__snapshot_take(snapshot, model);
    *out = snapshot;
    return TD_OK;
done:
    td__snapshot_free(snapshot);
    *out = NULL;
    return status;
}

void td__snapshot_free(td__snapshot *snapshot)
{
    if (snapshot == NULL) return;
    for (uint32_t i = 0; snapshot->weights != NULL && i < snapshot->count; i++) {
        td__free(snapshot->context, snapshot->weights[i]);
    }
    td__free(snapshot->context, snapshot->weights);
    td__free(snapshot->context, snapshot);
}

void td__snapshot_take(td__snapshot *snapshot, const td_model *model)
{
    for (uint32_t i = 0; i < snapshot->count; i++) {
        const td__parameter *parameter = td__model_parameter(model, i, NULL);
        memcpy(snapshot->weights[i], parameter->weights, parameter_bytes(parameter));
    }
}

void td__snapshot_restore(const td__snapshot *snapshot, td_model *model)
{
    for (uint32_t i = 0; i < snapshot->count; i++) {
        td__parameter *parameter = td__model_parameter(model, i, NULL);
        memcpy(parameter->weights, snapshot->weights[i], parameter_bytes(parameter));
    }
}

float *td__snapshot_weights(td__snapshot *snapshot, uint32_t index)
{
    return snapshot->weights[index];
}
