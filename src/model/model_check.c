/* model_check.c -- what holds between the parts of a model, each rule with its reason when it breaks.
 *
 * Serves: stage 3. In: a model, most often just loaded. Out: the first rule that is broken. */
#include <math.h>
#include <stdlib.h>

#include "model/model.h"
#include "base/poison.h"

/* What a tower must be like for the ids and options of its model. */
typedef struct tower_rule {
    const char *name;
    uint32_t ids, heads, dim;
    const td_u32_list *layers;
} tower_rule;

static td_status check_tower(const td__tower *tower, const tower_rule *rule, td_error *err)
{
    td_status status = TD_OK;
    const td__parameter *table = &tower->layers[0].parameters[0];
    TD_FAIL_IF(tower->known != rule->ids, err, ERR_CORRUPT, "the %s tower has %u rows for %u ids",
               rule->name, tower->known, rule->ids);
    uint32_t width = rule->layers->count > 0 ? rule->dim : rule->heads * rule->dim;
    TD_FAIL_IF(table->rows != td__tower_rows(tower) || table->cols != width, err, ERR_CORRUPT,
               "the table of the %s tower is %llu x %u, not %u x %u", rule->name,
               (unsigned long long)table->rows, table->cols, td__tower_rows(tower), width);
done:
    return status;
}

static td_status check_finite(const td__parameter *parameter, const char *name, td_error *err)
{
    for (uint64_t i = 0; i < parameter->rows * parameter->cols; i++) {
        if (isfinite(parameter->weights[i])) continue;
        return td__fail(err, TD_ERR_NUMERIC, "%s: weight %llu of row %llu is not finite", name,
                        (unsigned long long)(i % parameter->cols),
                        (unsigned long long)(i / parameter->cols));
    }
    return TD_OK;
}

td_status td__model_check_finite(const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    char name[TD__PARAMETER_NAME_MAX];
    const td__parameter *parameter;
    for (uint32_t i = 0; (parameter = td__model_parameter(model, i, name)) != NULL; i++) {
        TD_TRY(check_finite(parameter, name, err));
    }
done:
    return status;
}

/* Candidates of one query: in range, ascending, and each counted at least once. */
static td_status check_seen_of(const td_model *model, uint32_t query, td_error *err)
{
    td_status status = TD_OK;
    uint32_t known = td_vocab_count(model->candidates);
    uint64_t start = model->seen_offsets[query];
    for (uint64_t i = start; i < model->seen_offsets[query + 1]; i++) {
        uint32_t candidate = model->seen[i];
        TD_FAIL_IF(candidate >= known, err, ERR_CORRUPT, "query %u has seen candidate %u of %u", query,
                   candidate, known);
        TD_FAIL_IF(i > start && candidate <= model->seen[i - 1], err, ERR_CORRUPT,
                   "the seen candidates of query %u do not ascend", query);
        TD_FAIL_IF(model->counts[candidate] == 0, err, ERR_CORRUPT,
                   "query %u has seen candidate %u, which has no training rows", query, candidate);
    }
done:
    return status;
}

/* Before anything is read through them: from 0 on, each at least `step` more than the last. */
static td_status check_offsets(const uint64_t *offsets, uint64_t count, uint64_t step,
                               const char *what, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(offsets[0] != 0, err, ERR_CORRUPT, "the %s do not start at 0", what);
    for (uint64_t i = 0; i < count; i++) {
        TD_FAIL_IF(offsets[i + 1] < offsets[i] || offsets[i + 1] - offsets[i] < step, err, ERR_CORRUPT,
                   "number %llu of the %s ends before it starts", (unsigned long long)i, what);
    }
done:
    return status;
}

static td_status check_seen(const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    uint32_t queries = td_vocab_count(model->queries);
    TD_TRY(check_offsets(model->seen_offsets, queries, 0, "seen lists", err));
    for (uint32_t query = 0; query < queries; query++) TD_TRY(check_seen_of(model, query, err));
done:
    return status;
}

static int by_value(const void *key, const void *element)
{
    uint32_t a = *(const uint32_t *)key, b = *(const uint32_t *)element;
    return (a > b) - (a < b);
}

/* Candidates of one query's history: as many as it may have, and seen. */
static td_status check_history_of(const td_model *model, uint32_t query, td_error *err)
{
    td_status status = TD_OK;
    uint32_t seen_count, most = model->options.history_length;
    const uint32_t *seen = td_model_seen(model, query, &seen_count);
    uint64_t start = model->history_offsets[query], end = model->history_offsets[query + 1];
    TD_FAIL_IF(most > 0 && end - start > most, err, ERR_CORRUPT,
               "the history of query %u has %llu candidates; history-length is %u", query,
               (unsigned long long)(end - start), most);
    TD_FAIL_IF(end - start > seen_count, err, ERR_CORRUPT,
               "the history of query %u has %llu candidates; it has seen %u", query,
               (unsigned long long)(end - start), seen_count);
    for (uint64_t i = start; i < end; i++) {
        const uint32_t *candidate = &model->history[i];
        TD_FAIL_IF(bsearch(candidate, seen, seen_count, sizeof *seen, by_value) == NULL, err,
                   ERR_CORRUPT, "the history of query %u has candidate %u, which it has not seen",
                   query, *candidate);
    }
done:
    return status;
}

static td_status check_history(const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    uint32_t queries = td_vocab_count(model->queries);
    if (!td__model_has_history(model)) return TD_OK;
    TD_TRY(check_offsets(model->history_offsets, queries, 0, "histories", err));
    for (uint32_t query = 0; query < queries; query++) TD_TRY(check_history_of(model, query, err));
done:
    return status;
}

static td_status check_titles(const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    const uint64_t *offsets = model->title_offsets;
    uint32_t candidates = td_vocab_count(model->candidates);
    if (offsets == NULL) return TD_OK;
    TD_TRY(check_offsets(offsets, candidates, 1, "titles", err));
    for (uint32_t i = 0; i < candidates; i++) {
        TD_FAIL_IF(model->title_bytes[offsets[i + 1] - 1] != '\0', err, ERR_CORRUPT,
                   "the title of candidate %u has no end", i);
    }
done:
    return status;
}

td_status td_model_check(const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    uint32_t queries = td_vocab_count(model->queries), candidates = td_vocab_count(model->candidates);
    TD_TRY(td_options_check(td_model_option_table(), &model->options, err));
    TD_FAIL_IF(queries == 0 || candidates == 0, err, ERR_CORRUPT,
               "the model knows %u queries and %u candidates; it needs one of each", queries, candidates);
    bool own = model->options.query_tower != TD_QUERY_HISTORY;
    tower_rule query = {"query", own ? queries : 0, model->options.heads, model->options.dim,
                        &model->options.query_layers};
    tower_rule candidate = {"candidate", candidates, 1, model->options.dim,
                            &model->options.candidate_layers};
    TD_TRY(check_tower(&model->query_tower, &query, err));
    TD_TRY(check_tower(&model->candidate_tower, &candidate, err));
    TD_TRY(check_seen(model, err));
    TD_TRY(check_history(model, err));
    TD_TRY(check_titles(model, err));
    TD_TRY(td__model_check_finite(model, err));
done:
    return status;
}
