/* tower.c -- a stack of layers.
 *
 * Serves: stages 3 and 5. In: rows of the id table. Out: vectors; back: gradients of all weights. */
#include "model/tower.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/vocab.h"
#include "base/poison.h"

/* The dense layers: widths as listed, the last one for all heads and without relu. */
static td_status create_dense(td__tower *tower, td_context *context, const td_u32_list *layers,
                              const td__initial *initial, td_error *err)
{
    td_status status = TD_OK;
    for (uint32_t i = 0; i < layers->count; i++) {
        bool last = i + 1 == layers->count;
        td__dense_shape shape = {.number = i + 1,
                                 .in = tower->layers[tower->layer_count - 1].width_out,
                                 .out = last ? td__tower_width(tower) : layers->values[i],
                                 .relu = !last};
        TD_TRY(td__dense_create(&tower->layers[tower->layer_count++], context, &shape, initial, err));
    }
done:
    return status;
}

/* The history, added to the vectors of the table. What is not known of a query then counts nothing, until
 * training says otherwise. */
static td_status create_history(td__tower *tower, td_context *context, const td__tower_shape *shape,
                                const td__initial *initial, td_error *err)
{
    const td__parameter *table = &tower->layers[0].parameters[0];
    td__history_shape history = {
        .dim = table->cols, .pooling = shape->pooling, .shared = shape->shared};
    if (shape->shared == NULL) return TD_OK;
    if (initial != NULL) {
        memset(table->weights + (size_t)shape->known * table->cols, 0,
               (size_t)shape->oov_buckets * table->cols * sizeof *table->weights);
    }
    return td__history_create(&tower->layers[tower->layer_count++], context, &history, initial, err);
}

td_status td__tower_create(td__tower *out, td_context *context, const td__tower_shape *shape,
                           const td__initial *initial, td_error *err)
{
    td_status status = TD_OK;
    *out = (td__tower){.known = shape->known,
                       .oov_buckets = shape->oov_buckets,
                       .heads = shape->heads,
                       .dim = shape->dim};
    uint64_t rows = (uint64_t)shape->known + shape->oov_buckets;
    uint64_t width = (uint64_t)shape->heads * shape->dim;
    TD_FAIL_IF(rows >= TD_NONE, err, ERR_LIMIT, "%llu rows of embeddings; at most %u are allowed",
               (unsigned long long)rows, TD_NONE - 1);
    TD_FAIL_IF(width > TD__DIM_MAX, err, ERR_LIMIT, "%u heads of %u dimensions; at most %d together",
               shape->heads, shape->dim, TD__DIM_MAX);
    uint32_t table = shape->layers.count > 0 ? shape->dim : (uint32_t)width;
    TD_TRY(td__embedding_create(&out->layers[out->layer_count++], context, rows, table, initial, err));
    TD_TRY(create_history(out, context, shape, initial, err));
    TD_TRY(create_dense(out, context, &shape->layers, initial, err));
    if (shape->similarity == TD_SIMILARITY_COSINE) {
        td__normalize_create(&out->layers[out->layer_count++], (uint32_t)width, shape->dim);
    }
    return TD_OK;
done:
    td__tower_clear(out, context);
    return status;
}

void td__tower_clear(td__tower *tower, td_context *context)
{
    for (uint32_t i = 0; i < tower->layer_count; i++) td__layer_clear(&tower->layers[i], context);
    *tower = (td__tower){0};
}

uint32_t td__tower_rows(const td__tower *tower)
{
    return tower->known + tower->oov_buckets;
}

uint32_t td__tower_width(const td__tower *tower)
{
    return tower->heads * tower->dim;
}

uint32_t td__tower_row(const td__tower *tower, const td_vocab *vocab, const char *id)
{
    size_t bytes = strlen(id);
    uint32_t position = td_vocab_find(vocab, id, bytes);
    if (position != TD_NONE) return position;
    return tower->known + (uint32_t)(td__vocab_hash(id, bytes) % tower->oov_buckets);
}

td__parameter *td__tower_parameter(td__tower *tower, uint32_t index)
{
    for (uint32_t i = 0; i < tower->layer_count; i++) {
        td__layer *layer = &tower->layers[i];
        if (index < layer->parameter_count) return &layer->parameters[index];
        index -= layer->parameter_count;
    }
    return NULL;
}

/* --- one batch */

struct td__pass {
    uint32_t rows_max;
    uint32_t count;                     /* of the last forward */
    const uint32_t *rows;               /* of the last forward */
    td__bag *bag;                       /* likewise */
    float *outputs[TD__TOWER_LAYERS];   /* [rows_max, width_out] each */
    float *d_outputs[TD__TOWER_LAYERS]; /* of all layers but the last, whose gradient comes from above */
    float *scratch[TD__TOWER_LAYERS];   /* what the layers asked for */
    td__gradient gradients[TD__TOWER_LAYERS * TD__LAYER_PARAMETERS];
};

static uint64_t scratch_bytes(const td__layer *layer, td_context *context, bool training)
{
    if (layer->kind->scratch == NULL) return 0;
    return layer->kind->scratch(layer, td__pool_threads(context->pool), training);
}

td_status td__pass_create(td__pass **out, td_context *context, const td__tower *tower,
                          uint32_t rows_max, bool training, td_error *err)
{
    td_status status = TD_OK;
    td__pass *pass = NULL;
    TD_TRY(td__alloc_zero(&pass, context, 1, sizeof *pass, err));
    pass->rows_max = rows_max;
    for (uint32_t i = 0; i < tower->layer_count; i++) {
        size_t row_bytes = tower->layers[i].width_out * sizeof(float);
        TD_TRY(td__alloc(&pass->outputs[i], context, rows_max, row_bytes, err));
        TD_TRY(td__alloc(&pass->scratch[i], context,
                         scratch_bytes(&tower->layers[i], context, training), 1, err));
        if (!training || i + 1 == tower->layer_count) continue;
        TD_TRY(td__alloc(&pass->d_outputs[i], context, rows_max, row_bytes, err));
    }
    *out = pass;
    return TD_OK;
done:
    td__pass_free(pass, context);
    *out = NULL;
    return status;
}

void td__pass_free(td__pass *pass, td_context *context)
{
    if (pass == NULL) return;
    for (uint32_t i = 0; i < TD__TOWER_LAYERS; i++) {
        td__free(context, pass->outputs[i]);
        td__free(context, pass->d_outputs[i]);
        td__free(context, pass->scratch[i]);
    }
    td__free(context, pass);
}

static td__flow flow_through(const td__pass *pass, uint32_t layer)
{
    return (td__flow){.count = pass->count,
                      .rows = layer == 0 ? pass->rows : NULL,
                      .bag = pass->bag,
                      .input = layer == 0 ? NULL : pass->outputs[layer - 1],
                      .output = pass->outputs[layer],
                      .scratch = pass->scratch[layer]};
}

const float *td__tower_forward(const td__tower *tower, td_context *context, td__pass *pass,
                               const td__tower_input *input)
{
    assert(input->count <= pass->rows_max);
    assert(input->bag == NULL || input->bag->count == input->count);
    pass->rows = input->rows;
    pass->count = input->count;
    pass->bag = input->bag;
    for (uint32_t i = 0; i < tower->layer_count; i++) {
        td__flow flow = flow_through(pass, i);
        tower->layers[i].kind->forward(&tower->layers[i], context, &flow);
    }
    return pass->outputs[tower->layer_count - 1];
}

const td__gradient *td__tower_backward(const td__tower *tower, td_context *context, td__pass *pass,
                                       const float *d_output)
{
    td__gradient *behind = pass->gradients; /* of the layers not yet reached */
    for (uint32_t i = 0; i < tower->layer_count; i++) behind += tower->layers[i].parameter_count;
    for (uint32_t i = tower->layer_count; i-- > 0;) {
        td__flow flow = flow_through(pass, i);
        flow.gradients = behind -= tower->layers[i].parameter_count;
        flow.d_output = i + 1 == tower->layer_count ? d_output : pass->d_outputs[i];
        flow.d_input = i == 0 ? NULL : pass->d_outputs[i - 1];
        tower->layers[i].kind->backward(&tower->layers[i], context, &flow);
    }
    return pass->gradients;
}
