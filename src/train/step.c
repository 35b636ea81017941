/* step.c -- one step of training: gather, loss, backward, update.
 *
 * Serves: stage 5. In: a batch. Out: changed weights and the loss. */
#include "train/step.h"

#include "base/memory.h"
#include "model/model.h"
#include "train/dropout.h"
#include "train/graph.h"
#include "train/optimizer.h"
#include "train/past.h"
#include "train/step_loss.h"
#include "base/poison.h"

/* One tower and its room for a batch. */
typedef struct step_side {
    td__tower *tower;
    td__pass *pass;
    float *d_vectors; /* [rows_max, width] gradients of the distinct rows */
    td_optimizer **optimizers; /* one per parameter of the tower; points into those of the step */
} step_side;

struct td__step {
    td_context *context;
    step_side query, candidate;
    td__past *past;   /* NULL: no history in the query tower */
    td__graph *graph; /* NULL: the tables are what is learned */
    td__step_loss *loss;
    td__temperature temperature;
    td__dropout dropout;
    float *dropped; /* [queries of the shape, width] vectors with zeros, or NULL: no dropout */
    uint32_t optimizer_count;
    td_optimizer **optimizers; /* [optimizer_count] in the order of td__model_parameter */
};

/* --- creation */

static td_status create_side(step_side *side, td_context *context, td__tower *tower,
                             uint32_t rows_max, td_error *err)
{
    td_status status = TD_OK;
    side->tower = tower;
    size_t row_bytes = td__tower_width(tower) * sizeof(float);
    TD_TRY(td__pass_create(&side->pass, context, tower, rows_max, true, err));
    TD_TRY(td__alloc(&side->d_vectors, context, rows_max, row_bytes, err));
done:
    return status;
}

static void clear_side(step_side *side, td_context *context)
{
    td__pass_free(side->pass, context);
    td__free(context, side->d_vectors);
}

static td_status create_optimizers(td__step *step, td_model *model,
                                   const td_optimizer_options *options, uint64_t rows_max,
                                   td_error *err)
{
    td_status status = TD_OK;
    step->optimizer_count = td__model_parameters(model);
    TD_TRY(td__alloc_zero(&step->optimizers, step->context, step->optimizer_count,
                          sizeof *step->optimizers, err));
    for (uint32_t i = 0; i < step->optimizer_count; i++) {
        const td__parameter *parameter = td__model_parameter(model, i, NULL);
        TD_TRY(td_optimizer_create(&step->optimizers[i], step->context, parameter->rows,
                                   parameter->cols, options, err));
        TD_TRY(td__optimizer_reserve(step->optimizers[i], rows_max, err));
    }
    step->query.optimizers = step->optimizers;
    step->candidate.optimizers = step->optimizers;
    while (td__tower_parameter(step->query.tower,
                               (uint32_t)(step->candidate.optimizers - step->optimizers)) != NULL) {
        step->candidate.optimizers++;
    }
done:
    return status;
}

td_status td__step_create(td__step **out, td_model *model, const td_train_options *options,
                          const td__batch_shape *shape, td_error *err)
{
    td_status status = TD_OK;
    td__step *step = NULL;
    td__step_loss_shape loss = {
        .batch = *shape, .heads = model->query_tower.heads, .dim = model->query_tower.dim};
    uint64_t rows_max = shape->queries > shape->candidates ? shape->queries : shape->candidates;
    TD_TRY(td__alloc_zero(&step, model->context, 1, sizeof *step, err));
    step->context = model->context;
    TD_TRY(td__temperature_check(options->loss.temperature, &options->temperature, err));
    td__temperature_init(&step->temperature, options->loss.temperature, &options->temperature);
    step->dropout = (td__dropout){.rate = options->dropout, .seed = options->seed};
    if (options->dropout > 0.0f) {
        TD_TRY(td__alloc(&step->dropped, step->context, shape->queries,
                         td__tower_width(&model->query_tower) * sizeof(float), err));
    }
    TD_TRY(create_side(&step->query, step->context, &model->query_tower, shape->queries, err));
    TD_TRY(create_side(&step->candidate, step->context, &model->candidate_tower, shape->candidates,
                       err));
    if (td__model_has_history(model)) {
        TD_TRY(td__past_create(&step->past, model, options, shape, err));
        rows_max += td__past_candidates_max(step->past);
    }
    TD_TRY(td__step_loss_create(&step->loss, step->context, &loss, options, err));
    TD_TRY(create_optimizers(step, model, &options->optimizer, rows_max, err));
    *out = step;
    return TD_OK;
done:
    td__step_free(step);
    *out = NULL;
    return status;
}

void td__step_free(td__step *step)
{
    if (step == NULL) return;
    for (uint32_t i = 0; step->optimizers != NULL && i < step->optimizer_count; i++) {
        td_optimizer_free(step->optimizers[i]);
    }
    td__free(step->context, step->optimizers);
    td__step_loss_free(step->loss);
    td__past_free(step->past);
    td__graph_free(step->graph);
    td__free(step->context, step->dropped);
    clear_side(&step->query, step->context);
    clear_side(&step->candidate, step->context);
    td__free(step->context, step);
}

td_status td__step_smooth(td__step *step, td_model *model, const td_dataset *train, uint32_t layers,
                          td_error *err)
{
    return layers == 0 ? TD_OK : td__graph_create(&step->graph, model, train, layers, err);
}

td__graph *td__step_graph(td__step *step)
{
    return step->graph;
}

td_optimizer *td__step_optimizer(td__step *step, uint32_t index)
{
    return step->optimizers[index];
}

/* --- one batch */

/* The table of the candidates has a second gradient, if histories share it. */
static td_status move_shared(const td__step *step, step_side *side, const td__gradient *gradient,
                             double learning_rate, td_error *err)
{
    const td__bag *bag = td__past_bag(step->past);
    td__gradient more = td__bag_gradient(bag);
    const td__sided_gradient sides[2] = {{gradient->touched, gradient->count, gradient->values},
                                         {more.touched, more.count, more.values}};
    float *weights = td__tower_parameter(side->tower, 0)->weights;
    return td__optimizer_step_both(side->optimizers[0], weights, sides, learning_rate, err);
}

static td_status move_weights(const step_side *side, uint32_t index, const td__gradient *gradient,
                              double learning_rate, td_error *err)
{
    float *weights = td__tower_parameter(side->tower, index)->weights;
    return td_optimizer_step(side->optimizers[index], weights, gradient->touched, gradient->count,
                             gradient->values, learning_rate, err);
}

static td_status move_table(td__step *step, step_side *side, const td__gradient *gradient,
                            double learning_rate, td_error *err)
{
    bool candidates = side == &step->candidate;
    if (step->graph != NULL) {
        td__graph_add(step->graph, candidates ? TD__GRAPH_CANDIDATES : TD__GRAPH_QUERIES, gradient);
        return TD_OK;
    }
    if (step->past != NULL && candidates) return move_shared(step, side, gradient, learning_rate, err);
    return move_weights(side, 0, gradient, learning_rate, err);
}

static td_status update(td__step *step, step_side *side, double learning_rate, td_error *err)
{
    td_status status = TD_OK;
    const td__gradient *gradient =
        td__tower_backward(side->tower, step->context, side->pass, side->d_vectors);
    TD_TRY(move_table(step, side, gradient, learning_rate, err));
    for (uint32_t i = 1; td__tower_parameter(side->tower, i) != NULL; i++) {
        TD_TRY(move_weights(side, i, &gradient[i], learning_rate, err));
    }
done:
    return status;
}

/* The graph knows the gradients of both sides. */
static td_status update_graph(const td__step *step, double learning_rate, td_error *err)
{
    td_optimizer *const optimizers[TD__GRAPH_SIDES] = {step->query.optimizers[0],
                                                       step->candidate.optimizers[0]};
    return step->graph == NULL ? TD_OK : td__graph_step(step->graph, optimizers, learning_rate, err);
}

static td__tower_input input_of(const td__distinct *distinct)
{
    return (td__tower_input){.count = distinct->count, .rows = distinct->rows};
}

static const float *forward(const td__step *step, step_side *side, td__tower_input input)
{
    return td__tower_forward(side->tower, step->context, side->pass, &input);
}

td__temperature *td__step_temperature(td__step *step)
{
    return &step->temperature;
}

/* The loss, with the queries' vectors as they are or with zeros in them. */
static td_status compute_loss(td__step *step, const td__batch *batch, td__step_vectors *vectors,
                              double *loss, td_error *err)
{
    td_status status = TD_OK;
    uint64_t number = td__optimizer_steps(step->optimizers[0]);
    uint32_t width = td__tower_width(step->query.tower);
    float *d_query = vectors->d_query;
    if (step->dropped != NULL) {
        td__dropout_apply(&step->dropout, number, &batch->queries, width, vectors->query, step->dropped);
        vectors->query = step->dropped;
    }
    td__step_loss_set_temperature(step->loss, td__temperature_value(&step->temperature));
    TD_TRY(td__step_loss_compute(step->loss, batch, vectors, loss, err));
    if (step->dropped != NULL) {
        td__dropout_apply(&step->dropout, number, &batch->queries, width, d_query, d_query);
    }
    td__temperature_step(&step->temperature, td__step_loss_d_temperature(step->loss));
done:
    return status;
}

td_status td__step_run(td__step *step, const td__batch *batch, double learning_rate, double *loss,
                       td_error *err)
{
    td_status status = TD_OK;
    uint64_t number = td__optimizer_steps(step->optimizers[0]);
    td__tower_input queries = step->past == NULL ? input_of(&batch->queries)
                                                 : td__past_fill(step->past, batch, number);
    td__step_vectors vectors = {.query = forward(step, &step->query, queries),
                                .candidate = forward(step, &step->candidate,
                                                     input_of(&batch->candidates)),
                                .d_query = step->query.d_vectors,
                                .d_candidate = step->candidate.d_vectors};
    TD_TRY(compute_loss(step, batch, &vectors, loss, err));
    TD_TRY(update(step, &step->query, learning_rate, err));
    TD_TRY(update(step, &step->candidate, learning_rate, err));
    TD_TRY(update_graph(step, learning_rate, err));
done:
    return status;
}
