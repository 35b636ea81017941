/* model.c -- two towers and what they know: life, questions, vectors.
 *
 * Serves: stage 3. In: ids or positions. Out: vectors, titles, seen lists. */
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

td_status td__model_create_towers(td_model *model, bool random_weights, td_error *err)
{
    td_status status = TD_OK;
    const td_model_options *options = &model->options;
    td__initial initial = {.kind = options->initializer,
                           .scale = options->init_scale,
                           .seed = options->seed,
                           .stream = TD__STREAM_INIT_QUERY};
    td__tower_shape shape = {.known = td_vocab_count(model->queries),
                             .oov_buckets = options->oov_buckets,
                             .heads = options->heads,
                             .dim = options->dim,
                             .similarity = options->similarity,
                             .layers = options->query_layers};
    TD_TRY(td__tower_create(&model->query_tower, model->context, &shape,
                            random_weights ? &initial : NULL, err));
    initial.stream = TD__STREAM_INIT_CANDIDATE;
    shape.known = td_vocab_count(model->candidates);
    shape.heads = 1;
    shape.layers = options->candidate_layers;
    TD_TRY(td__tower_create(&model->candidate_tower, model->context, &shape,
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

/* --- vectors */

static void map_ids(const td__tower *tower, const td_vocab *own, const td_vocab *vocab, uint32_t *rows)
{
    for (uint32_t i = 0; i < td_vocab_count(vocab); i++) {
        rows[i] = td__tower_row(tower, own, td_vocab_id(vocab, i));
    }
}

void td__model_query_rows(const td_model *model, const td_vocab *vocab, uint32_t *rows)
{
    map_ids(&model->query_tower, model->queries, vocab, rows);
}

void td__model_candidate_rows(const td_model *model, const td_vocab *vocab, uint32_t *rows)
{
    map_ids(&model->candidate_tower, model->candidates, vocab, rows);
}

enum { ENCODE_ROWS = 4096 }; /* at a time, so that room for the layers stays small */

/* `out` [count, width] from `rows` [count] of a tower's table. */
static td_status encode(const td_model *model, const td__tower *tower, const uint32_t *rows,
                        uint32_t count, float *out, td_error *err)
{
    td__pass *pass;
    size_t width = td__tower_width(tower);
    uint32_t rows_max = count < ENCODE_ROWS ? count : ENCODE_ROWS;
    td_status status = td__pass_create(&pass, model->context, tower, rows_max, false, err);
    for (uint32_t done = 0; status == TD_OK && done < count; done += rows_max) {
        uint32_t now = count - done < rows_max ? count - done : rows_max;
        const float *vectors = td__tower_forward(tower, model->context, pass, rows + done, now);
        memcpy(out + done * width, vectors, now * width * sizeof *out);
    }
    td__pass_free(pass, model->context);
    return status;
}

td_status td_model_encode_queries(const td_model *model, const char *const *ids, uint32_t count,
                                  float *out, td_error *err)
{
    td_status status = TD_OK;
    uint32_t *rows;
    TD_TRY(td__alloc(&rows, model->context, count, sizeof *rows, err));
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = td__tower_row(&model->query_tower, model->queries, ids[i]);
    }
    TD_TRY(encode(model, &model->query_tower, rows, count, out, err));
done:
    td__free(model->context, rows);
    return status;
}

td_status td_model_encode_query_rows(const td_model *model, const uint32_t *rows, uint32_t count,
                                     float *out, td_error *err)
{
    td_status status = TD_OK;
    uint32_t known = td_vocab_count(model->queries);
    for (uint32_t i = 0; i < count; i++) {
        TD_FAIL_IF(rows[i] >= known, err, ERR_ARGUMENT, "row %u is no query: the model has %u of them",
                   rows[i], known);
    }
    TD_TRY(encode(model, &model->query_tower, rows, count, out, err));
done:
    return status;
}

td_status td_model_encode_candidates(const td_model *model, float *out, td_error *err)
{
    td_status status = TD_OK;
    uint32_t count = td_vocab_count(model->candidates);
    uint32_t *rows;
    TD_TRY(td__alloc(&rows, model->context, count, sizeof *rows, err));
    for (uint32_t i = 0; i < count; i++) rows[i] = i;
    TD_TRY(encode(model, &model->candidate_tower, rows, count, out, err));
done:
    td__free(model->context, rows);
    return status;
}
