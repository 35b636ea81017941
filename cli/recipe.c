/* recipe.c -- settings that tandem train chooses by itself.
 *
 * In: the size of the data and the flags that were given. Out: options for what was not given. */
#include "recipe.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "args.h"
#include "base/options.h"
#include "output.h"

static const double VALIDATION_FRACTION = 0.1;
enum { VALIDATION_ROWS = 1000 }; /* fewer training rows leave no validation part worth the name */

static const td_option rows[] = {
    TD__OPTION_CHOICE(cli_recipe, kind, "recipe", "auto", "auto|plain",
                      "auto: settings by the size of the data where no flag is given, and on small "
                      "data iALS too, with some settings, if it is better on the validation part; "
                      "plain: the defaults as listed here"),
    TD__OPTION_F64(cli_recipe, validation_fraction, "validation-fraction", "0", 0, 0.9, "SHARE",
                   "share of the training part to watch; training then can stop early and keep the "
                   "best epoch (recipe auto: 0.1)"),
    TD__OPTION_BOOL(cli_recipe, refit, "refit", "true",
                    "recipe auto: train anew on training and validation part together, for as many "
                    "epochs as were best (iALS: as were made); not with --checkpoint"),
};

const td_option_table *cli_recipe_option_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("recipe", cli_recipe, rows);
    return &table;
}

static bool is_given(const cli_call *call, const char *name)
{
    return cli_given_texts(call, name, NULL, 0) > 0;
}

td_status cli_recipe_hold_out(const cli_recipe *recipe, const cli_call *call, const cli_data *data,
                              cli_parts *parts, td_error *err)
{
    double fraction = recipe->validation_fraction;
    bool enough = td_dataset_rows(parts->train).count >= VALIDATION_ROWS;
    bool wanted = recipe->kind == CLI_RECIPE_AUTO && !is_given(call, "validation-fraction");
    if (wanted && enough) fraction = VALIDATION_FRACTION;
    return fraction > 0.0 ? cli_parts_hold_validation(parts, call, data, fraction, err) : TD_OK;
}

/* Take from `chosen` what no flag has set. */
static td_status take(const cli_call *call, const td_option_table *table, const void *chosen,
                      void *options, td_error *err)
{
    td_status status = TD_OK;
    char text[256];
    for (uint32_t i = 0; i < table->count; i++) {
        const td_option *row = &table->rows[i];
        if (row->type == TD_OPTION_TEXT || is_given(call, row->name)) continue;
        TD_TRY(td_options_get(table, chosen, row->name, text, sizeof text, err));
        TD_TRY(td_options_set(table, options, row->name, text, err));
    }
done:
    return status;
}

static const char *negatives_of(const td_train_options *train)
{
    switch (train->negatives.kind) {
    case TD_NEGATIVES_BATCH:
        return "the rest of the batch";
    case TD_NEGATIVES_SAMPLED:
        return "drawn candidates";
    case TD_NEGATIVES_MIXED:
        return "the rest of the batch and drawn candidates";
    case TD_NEGATIVES_ALL:
        return "every candidate";
    }
    return "";
}

static void print_choice(const td_data_size *size, const td_model_options *model,
                         const td_train_options *train)
{
    double rows_each = (double)size->rows / (double)size->candidates;
    fprintf(stderr, "recipe auto: %s queries, ", cli_count(size->queries));
    fprintf(stderr, "%s candidates with %.*f rows each: %s, temperature %g, measured against %s, "
                    "up to %u epochs\n",
            cli_count(size->candidates), rows_each < 10.0 ? 1 : 0, rows_each,
            model->similarity == TD_SIMILARITY_COSINE ? "cosine" : "dot product",
            (double)train->loss.temperature, negatives_of(train), train->epochs);
}

/* A batch size was given in rows, unless it was said that it is in queries. */
static void respect_batch_size(const cli_call *call, td_train_options *chosen)
{
    if (is_given(call, "batch-size") && !is_given(call, "group")) chosen->group = TD_GROUP_ROWS;
}

td_data_size cli_recipe_size(const cli_parts *parts)
{
    return (td_data_size){.rows = td_dataset_rows(parts->train).count,
                          .queries = td_vocab_count(td_dataset_queries(parts->train)),
                          .candidates = td_vocab_count(td_dataset_candidates(parts->train))};
}

/* Flags of the towers that iALS has no use for. */
static bool wants_other_towers(const cli_call *call)
{
    static const char *const names[] = {"heads", "query-layers", "candidate-layers", "similarity",
                                        "query-tower"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is_given(call, names[i])) return true;
    }
    return false;
}

/* Flags of the softmax that iALS has nothing like. What it has too holds for both; the seed is
 * everybody's; the log, and when to look at the validation part, change nothing. */
static bool wants_softmax(const cli_call *call)
{
    static const char *const neutral[] = {"seed", "log", "validate-every"};
    const td_option_table *table = td_train_option_table();
    for (uint32_t i = 0; i < table->count; i++) {
        const char *name = table->rows[i].name;
        bool spared = td_option_find(td_ials_option_table(), name) != NULL;
        for (size_t n = 0; n < sizeof neutral / sizeof neutral[0]; n++) {
            spared = spared || strcmp(name, neutral[n]) == 0;
        }
        if (!spared && is_given(call, name)) return true;
    }
    return false;
}

bool cli_recipe_tries_ials(const cli_recipe *recipe, const cli_call *call, const cli_parts *parts)
{
    td_data_size size = cli_recipe_size(parts);
    td_model_options model;
    td_ials_options ials;
    return recipe->kind == CLI_RECIPE_AUTO && parts->validation != NULL
           && td_ials_recommend(&size, UINT32_MAX, &model, &ials) > 0 && !is_given(call, "trainer")
           && !wants_other_towers(call) && !wants_softmax(call);
}

/* As `old` was trained, if it was by the softmax, and on the towers that it has. */
static td_status choose_as_before(const td_model *old, td_model_options *model,
                                  td_train_options *train, td_error *err)
{
    td_status status = TD_OK;
    const char *text = td_model_training(old);
    json_t *record = text == NULL ? NULL : json_loads(text, 0, NULL);
    const char *trainer = json_string_value(json_object_get(record, "trainer"));
    *model = *td_model_get_options(old);
    if (trainer != NULL && strcmp(trainer, "softmax") == 0) {
        TD_TRY(td__options_from_json(td_train_option_table(), train,
                                     json_object_get(record, "options"), err));
    }
    train->checkpoint = train->log = NULL; /* they were the record's */
done:
    json_decref(record);
    return status;
}

td_status cli_recipe_choose(const cli_recipe *recipe, const cli_call *call, const cli_parts *parts,
                            const td_model *old, td_model_options *model, td_train_options *train,
                            td_error *err)
{
    td_status status = TD_OK;
    td_data_size size = cli_recipe_size(parts);
    td_model_options chosen_model = *model;
    td_train_options chosen_train = *train;
    if (recipe->kind != CLI_RECIPE_AUTO) return TD_OK;
    if (old != NULL) TD_TRY(choose_as_before(old, &chosen_model, &chosen_train, err));
    else td_train_recommend(&size, &chosen_model, &chosen_train);
    respect_batch_size(call, &chosen_train);
    TD_TRY(take(call, td_model_option_table(), &chosen_model, model, err));
    TD_TRY(take(call, td_train_option_table(), &chosen_train, train, err));
    if (!call->common->quiet && old == NULL) print_choice(&size, model, train);
done:
    return status;
}
