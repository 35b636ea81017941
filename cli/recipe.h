/* recipe.h -- settings that tandem train chooses by itself.
 *
 * In: the size of the data and the flags that were given. Out: options for what was not given. */
#ifndef TANDEM_CLI_RECIPE_H
#define TANDEM_CLI_RECIPE_H

#include "data.h"

typedef enum cli_recipe_kind { CLI_RECIPE_AUTO, CLI_RECIPE_PLAIN } cli_recipe_kind;

typedef struct cli_recipe {
    cli_recipe_kind kind;
    double validation_fraction;
    bool refit;
} cli_recipe;

const td_option_table *cli_recipe_option_table(void);

/* Hold a validation part out, if one was asked for or the recipe wants one. */
TD_MUST_CHECK td_status cli_recipe_hold_out(const cli_recipe *recipe, const cli_call *call,
                                            const cli_data *data, cli_parts *parts, td_error *err);

td_data_size cli_recipe_size(const cli_parts *parts); /* of the rows to train on */

/* Is iALS worth a try too? On small data it often is the better one, and takes little time; but not
 * if flags say something that only the softmax knows, or nothing is held out to choose by. */
bool cli_recipe_tries_ials(const cli_recipe *recipe, const cli_call *call, const cli_parts *parts);

/* Set what no flag set, and say what was chosen and why. With `old`, the model to go on from,
 * settings are those that it was trained with; NULL: there is none. */
TD_MUST_CHECK td_status cli_recipe_choose(const cli_recipe *recipe, const cli_call *call,
                                          const cli_parts *parts, const td_model *old,
                                          td_model_options *model, td_train_options *train,
                                          td_error *err);

#endif
