/* history.c -- a user who was not there when the model was trained, known by what was taken.
 *
 * In: ids and titles of candidates. Out: a vector. */
#include "history.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "base/memory.h"
#include "output.h"

static const char *const flags[] = {"history", "history-title", "history-file"};

bool cli_history_given(const cli_call *call)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (cli_given_texts(call, flags[i], NULL, 0) > 0) return true;
    }
    return false;
}

static td_status add(cli_history *history, uint32_t candidate, td_error *err)
{
    for (uint32_t i = 0; i < history->count; i++) {
        if (history->candidates[i] == candidate) return TD_OK;
    }
    td_status status = td__grow(&history->candidates, history->context,
                                (uint64_t)history->count + 1, sizeof(uint32_t), err);
    if (status == TD_OK) history->candidates[history->count++] = candidate;
    return status;
}

static td_status add_ids(cli_history *history, const cli_call *call, const td_model *model,
                         td_error *err)
{
    td_status status = TD_OK;
    const td_vocab *vocab = td_model_candidates(model);
    for (uint32_t i = 0; i < history->ids.count; i++) {
        const char *id = history->ids.ids[i];
        uint32_t candidate = td_vocab_find(vocab, id, strlen(id));
        if (candidate != TD_NONE) {
            TD_TRY(add(history, candidate, err));
            continue;
        }
        history->unknown++;
        if (call->common->quiet) continue;
        fputs("the model does not know candidate ", stderr);
        cli_put(stderr, id);
        fputs("; it is passed over\n", stderr);
    }
done:
    return status;
}

static td_status add_titles(cli_history *history, const cli_call *call, const td_model *model,
                            td_error *err)
{
    td_status status = TD_OK;
    for (uint32_t i = 0; i < call->given_count; i++) {
        uint32_t candidate;
        if (strcmp(call->given[i].row->name, "history-title") != 0) continue;
        TD_TRY(cli_find_title(&candidate, model, call->given[i].text, err));
        TD_TRY(add(history, candidate, err));
    }
done:
    return status;
}

td_status cli_history_read(cli_history *history, const cli_call *call, const td_model *model,
                           const char *path, td_error *err)
{
    td_status status = TD_OK;
    *history = (cli_history){.context = call->context};
    TD_TRY(cli_ids_read_lists(&history->ids, call, "history", path, err));
    TD_TRY(add_ids(history, call, model, err));
    TD_TRY(add_titles(history, call, model, err));
    TD_FAIL_IF(history->count == 0, err, ERR_NOT_FOUND,
               "the model knows none of the candidates of the history; tandem export MODEL "
               "--what candidate-ids lists those it knows");
done:
    return status;
}

void cli_history_clear(cli_history *history)
{
    if (history->context == NULL) return;
    td__free(history->context, history->candidates);
    cli_ids_clear(&history->ids);
    *history = (cli_history){0};
}

/* Was the model trained by iALS? Models that nobody trained count as if. */
static bool is_ials(const td_model *model)
{
    const char *text = td_model_training(model);
    json_t *record = text == NULL ? NULL : json_loads(text, 0, NULL);
    const char *trainer = json_string_value(json_object_get(record, "trainer"));
    bool ials = trainer == NULL || strcmp(trainer, "ials") == 0;
    json_decref(record);
    return ials;
}

static td_status fold_in(float *vector, const td_histories *one, const td_model *model,
                         td_error *err)
{
    td_status status = TD_OK;
    td_fold_in *fold_in = NULL;
    TD_TRY(td_fold_in_create(&fold_in, model, NULL, err));
    TD_TRY(td_fold_in_solve(fold_in, one, vector, err));
done:
    td_fold_in_free(fold_in);
    return status;
}

static td_status fit(float *vector, const td_histories *one, const td_model *model, td_error *err)
{
    td_status status = TD_OK;
    td_fit *fit = NULL;
    TD_TRY(td_fit_create(&fit, model, NULL, err));
    TD_TRY(td_fit_solve(fit, one, vector, err));
done:
    td_fit_free(fit);
    return status;
}

td_status cli_history_vector(float *vector, const cli_history *history, const td_model *model,
                             td_error *err)
{
    td_status status = TD_OK;
    const uint64_t offsets[2] = {0, history->count};
    const td_histories one = {.count = 1, .offsets = offsets, .candidates = history->candidates};
    const td_model_options *options = td_model_get_options(model);
    if (options->query_tower != TD_QUERY_ID) {
        return td_model_encode_histories(model, &one, vector, err);
    }
    bool ials = options->similarity == TD_SIMILARITY_DOT && is_ials(model);
    TD_FAIL_IF(options->heads > 1, err, ERR_UNSUPPORTED,
               "--history needs a model with one vector a query; this one has %u", options->heads);
    TD_TRY(ials ? fold_in(vector, &one, model, err) : fit(vector, &one, model, err));
done:
    return status;
}
