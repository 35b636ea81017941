/* model.c -- two towers and what they know: life and questions. model_encode.c has the vectors.
 *
 * Serves: stage 3. In: options, positions. Out: titles, seen lists, weights. */
#include "model/model.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/poison.h"

static const td_option option_rows[] = {
    TD__OPTION_U32(td_model_options, dim, "dim", "64", 1, TD__DIM_MAX, "N",
                   "numbers in a vector"),
    TD__OPTION_U32(td_model_options, heads, "heads", "1", 1, TD__HEADS_MAX, "N",
                   "vectors per query; a candidate is scored by the best of them"),
    TD__OPTION_U32_LIST(td_model_options, query_layers, "query-layers", "", 1, TD__DIM_MAX, "N,...",
                        "widths of dense layers behind the query table, relu between them; the last "
                        "is the dim"),
    TD__OPTION_U32_LIST(td_model_options, candidate_layers, "candidate-layers", "", 1, TD__DIM_MAX,
                        "N,...", "the same behind the candidate table"),
    TD__OPTION_CHOICE(td_model_options, similarity, "similarity", "dot", "dot|cosine",
                      "score of a query and a candidate; cosine wants a temperature of 0.05 to 0.2"),
    TD__OPTION_CHOICE(td_model_options, initializer, "initializer", "uniform", "uniform|normal",
                      "distribution of the first weights"),
    TD__OPTION_F32(td_model_options, init_scale, "init-scale", "0.05", 0, 1e3, "SCALE",
                   "first weights are U(-SCALE, SCALE) or N(0, SCALE)"),
    TD__OPTION_CHOICE(td_model_options, vocabulary, "vocabulary", "train", "train|all",
                      "ids that get a vector of their own: those of the training part, or all"),
    TD__OPTION_U32(td_model_options, min_count, "min-count", "1", 1, TD__U32_MAX, "N",
                   "ids with fewer training rows share the out-of-vocabulary vectors"),
    TD__OPTION_U32(td_model_options, oov_buckets, "oov-buckets", "1", 1, 16777216, "N",
                   "vectors for unknown ids, chosen by a hash of the id"),
    TD__OPTION_U64(td_model_options, seed, "seed", "42", 0, TD__U64_MAX, "SEED",
                   "the first weights are a function of it"),
    TD__OPTION_CHOICE(td_model_options, query_tower, "query-tower", "id", "id|history|id+history",
                      "what a query is known by: a vector of its own, the candidates that it had, or "
                      "both; with these, new users get recommendations from a list"),
    TD__OPTION_CHOICE(td_model_options, history_pooling, "history-pooling", "mean",
                      "mean|sqrt|attention",
                      "how the vectors of n candidates become one: sum / n, sum / sqrt(n), or weights "
                      "that are learned"),
    TD__OPTION_U32(td_model_options, history_length, "history-length", "0", 0, TD__U32_MAX, "N",
                   "candidates of a query that count: the most recent by the column of timestamps, or "
                   "without one those that the seed chooses; 0: all"),
};

static const td_option_table option_table = TD__OPTION_TABLE("model", td_model_options, option_rows);

const td_option_table *td_model_option_table(void)
{
    return &option_table;
}

void td_model_options_init(td_model_options *options)
{
    td_options_init(&option_table, options);
}

/* --- life */

/* Both towers end in vectors of `dim` numbers, so that they can be compared. */
static td_status check_layers(const char *name, const td_u32_list *layers, uint32_t dim, td_error *err)
{
    td_status status = TD_OK;
    if (layers->count == 0) return TD_OK;
    uint32_t last = layers->values[layers->count - 1];
    TD_FAIL_IF(last != dim, err, ERR_ARGUMENT,
               "%s ends with %u, but vectors have %u numbers (dim); the last width must be %u", name,
               last, dim, dim);
done:
    return status;
}

/* A history is as wide as a candidate, so it cannot be added to the vectors of several heads. */
static td_status check_history(const td_model_options *options, td_error *err)
{
    td_status status = TD_OK;
    if (options->query_tower == TD_QUERY_ID) return TD_OK;
    TD_FAIL_IF(options->heads > 1 && options->query_layers.count == 0, err, ERR_ARGUMENT,
               "a query-tower with a history has one vector a query; for %u heads it needs query-layers",
               options->heads);
done:
    return status;
}

static td_status check_options(const td_model_options *options, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td_options_check(&option_table, options, err));
    TD_FAIL_IF(options->vocabulary == TD_VOCABULARY_ALL && options->min_count > 1, err, ERR_ARGUMENT,
               "min-count %u has no meaning with vocabulary all, which knows every id; "
               "use vocabulary train",
               options->min_count);
    TD_TRY(check_layers("query-layers", &options->query_layers, options->dim, err));
    TD_TRY(check_layers("candidate-layers", &options->candidate_layers, options->dim, err));
    TD_TRY(check_history(options, err));
done:
    return status;
}

td_status td__model_create_empty(td_model **out, td_context *context,
                                 const td_model_options *options, td_error *err)
{
    td_status status = TD_OK;
    td_model *model = NULL;
    td_model_options defaults;
    if (options == NULL) {
        td_model_options_init(&defaults);
        options = &defaults;
    }
    TD_TRY(check_options(options, err));
    TD_TRY(td__alloc_zero(&model, context, 1, sizeof *model, err));
    model->context = context;
    model->options = *options;
done:
    *out = model;
    return status;
}

/* Without vectors of their own, all queries are alike: they share the one row of the table. */
static td__tower_shape query_shape(const td_model *model)
{
    const td_model_options *options = &model->options;
    bool own = options->query_tower != TD_QUERY_HISTORY;
    td__tower_shape shape = {.known = own ? td_vocab_count(model->queries) : 0,
                             .oov_buckets = own ? options->oov_buckets : 1,
                             .heads = options->heads,
                             .dim = options->dim,
                             .similarity = options->similarity,
                             .layers = options->query_layers,
                             .pooling = options->history_pooling};
    if (td__model_has_history(model)) shape.shared = &model->candidate_tower.layers[0].parameters[0];
    return shape;
}

td_status td__model_create_towers(td_model *model, bool random_weights, td_error *err)
{
    td_status status = TD_OK;
    const td_model_options *options = &model->options;
    td__initial initial = {.kind = options->initializer,
                           .scale = options->init_scale,
                           .seed = options->seed,
                           .stream = TD__STREAM_INIT_QUERY};
    td__tower_shape query = query_shape(model);
    td__tower_shape candidate = {.known = td_vocab_count(model->candidates),
                                 .oov_buckets = options->oov_buckets,
                                 .heads = 1,
                                 .dim = options->dim,
                                 .similarity = options->similarity,
                                 .layers = options->candidate_layers};
    TD_TRY(td__tower_create(&model->query_tower, model->context, &query,
                            random_weights ? &initial : NULL, err));
    initial.stream = TD__STREAM_INIT_CANDIDATE;
    TD_TRY(td__tower_create(&model->candidate_tower, model->context, &candidate,
                            random_weights ? &initial : NULL, err));
done:
    return status;
}

void td_model_free(td_model *model)
{
    if (model == NULL) return;
    td_context *context = model->context;
    td_vocab_free(model->queries);
    td_vocab_free(model->candidates);
    td__tower_clear(&model->query_tower, context);
    td__tower_clear(&model->candidate_tower, context);
    td__free(context, model->counts);
    td__free(context, model->seen_offsets);
    td__free(context, model->seen);
    td__free(context, model->history_offsets);
    td__free(context, model->history);
    td__free(context, model->title_offsets);
    td__free(context, model->title_bytes);
    td__free(context, model->training);
    td__free(context, model);
}

/* --- questions */

const td_model_options *td_model_get_options(const td_model *model)
{
    return &model->options;
}

const td_vocab *td_model_queries(const td_model *model)
{
    return model->queries;
}

const td_vocab *td_model_candidates(const td_model *model)
{
    return model->candidates;
}

const char *td_model_title(const td_model *model, uint32_t candidate)
{
    assert(candidate < td_vocab_count(model->candidates));
    if (model->title_offsets == NULL) return NULL;
    const char *title = model->title_bytes + model->title_offsets[candidate];
    return title[0] == '\0' ? NULL : title;
}

uint64_t td_model_candidate_count(const td_model *model, uint32_t candidate)
{
    assert(candidate < td_vocab_count(model->candidates));
    return model->counts[candidate];
}

const uint32_t *td_model_seen(const td_model *model, uint32_t query, uint32_t *count)
{
    assert(query < td_vocab_count(model->queries));
    uint64_t start = model->seen_offsets[query];
    *count = (uint32_t)(model->seen_offsets[query + 1] - start);
    return model->seen + start;
}

bool td__model_has_history(const td_model *model)
{
    return model->options.query_tower != TD_QUERY_ID;
}

const uint32_t *td__model_history(const td_model *model, uint32_t number, uint32_t *count)
{
    *count = 0;
    if (number >= td_vocab_count(model->queries)) return NULL;
    uint64_t start = model->history_offsets[number];
    *count = (uint32_t)(model->history_offsets[number + 1] - start);
    return model->history + start;
}

/* --- weights */

td__parameter *td__model_parameter(const td_model *model, uint32_t index, char *name)
{
    td_model *own = (td_model *)model; /* the towers are part of it; const is the caller's promise */
    const char *tower = "query_tower";
    uint32_t in_tower = index;
    td__parameter *parameter = td__tower_parameter(&own->query_tower, in_tower);
    if (parameter == NULL) {
        while (td__tower_parameter(&own->query_tower, index - in_tower) != NULL) in_tower--;
        tower = "candidate_tower";
        parameter = td__tower_parameter(&own->candidate_tower, in_tower);
    }
    if (parameter != NULL && name != NULL) {
        snprintf(name, TD__PARAMETER_NAME_MAX, "%s/%s", tower, parameter->name);
    }
    return parameter;
}

uint32_t td__model_parameters(const td_model *model)
{
    uint32_t count = 0;
    while (td__model_parameter(model, count, NULL) != NULL) count++;
    return count;
}

uint64_t td_model_parameter_count(const td_model *model)
{
    uint64_t count = 0;
    const td__parameter *parameter;
    for (uint32_t i = 0; (parameter = td__model_parameter(model, i, NULL)) != NULL; i++) {
        count += parameter->rows * parameter->cols;
    }
    return count;
}
