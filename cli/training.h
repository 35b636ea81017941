/* training.h -- how a model is trained: by which trainer, with which options. */
#ifndef TANDEM_CLI_TRAINING_H
#define TANDEM_CLI_TRAINING_H

#include "data.h"

typedef enum cli_trainer { CLI_TRAINER_SOFTMAX, CLI_TRAINER_IALS } cli_trainer;

/* Member of the arguments of `train`. */
typedef struct cli_training {
    int trainer; /* cli_trainer */
    td_model_options model;
    td_train_options softmax;
    td_ials_options ials;
} cli_training;

/* Table of cli_training's own fields. */
const td_option_table *cli_training_option_table(void);

/* Groups for the options of `cli_training training` in arguments struct `type`. */
#define CLI_TRAINING_GROUPS(type)                                                                  \
    {"Which trainer", cli_training_option_table, offsetof(type, training)},                        \
    {"The two towers", td_model_option_table, offsetof(type, training.model)},                     \
    {"Training by softmax (the default)", td_train_option_table,                                   \
     offsetof(type, training.softmax)},                                                            \
    {"Training by iALS (--trainer ials)", td_ials_option_table, offsetof(type, training.ials)}

/* ARGUMENT for a flag that only the other trainer knows. Sets what iALS needs of the towers, if
 * nothing else was asked for. Call it first. */
TD_MUST_CHECK td_status cli_training_check(cli_training *training, const cli_call *call,
                                           td_error *err);

/* Read the item file, if there is one: else NULL. */
TD_MUST_CHECK td_status cli_training_catalog(td_catalog **out, const cli_call *call,
                                             const char *path, const td_catalog_options *options,
                                             td_error *err);

/* Train `model`, with progress. */
TD_MUST_CHECK td_status cli_training_run(const cli_training *training, const cli_call *call,
                                         td_model *model, const cli_parts *parts,
                                         td_train_report *report, td_error *err);

#endif
