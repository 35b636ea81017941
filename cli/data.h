/* data.h -- interactions for training and for measuring, from the same flags in every verb. */
#ifndef TANDEM_CLI_DATA_H
#define TANDEM_CLI_DATA_H

#include "progress.h"
#include "verb.h"

/* Where the parts come from. Member of the arguments of `train` and `evaluate`. */
typedef struct cli_data {
    const char *test; /* file with the part that is held out, or NULL */
    td_read_options read;
    td_split_options split; /* used when one of its flags is given */
} cli_data;

/* Table of cli_data's own fields. */
const td_option_table *cli_data_option_table(void);

/* Groups for the options of `cli_data data` in arguments struct `type`. */
#define CLI_DATA_GROUPS(type)                                                                      \
    {"Reading interactions", td_read_option_table, offsetof(type, data.read)},               \
    {"Holding a part out", cli_data_option_table, offsetof(type, data)},                     \
    {"How the part is chosen (any of these flags holds one out)", td_split_option_table,           \
     offsetof(type, data.split)}

typedef struct cli_parts {
    td_dataset *train;
    td_dataset *validation; /* NULL: none */
    td_dataset *whole;      /* training and validation part together; NULL without validation */
    td_dataset *test;       /* NULL: none held out */
    td_read_report report;  /* of the training files */
} cli_parts;

/* Read files [count] and cut them. `split_serves`: the flags of the split are wanted, for a
 * validation part if not for this. Undo with cli_parts_free, also after a failure. */
TD_MUST_CHECK td_status cli_parts_read(cli_parts *parts, const cli_call *call,
                                       const cli_data *data, const char *const *files,
                                       uint32_t count, bool split_serves, td_error *err);

/* `fraction` of the training part goes to validation, in the manner of the split. */
TD_MUST_CHECK td_status cli_parts_hold_validation(cli_parts *parts, const cli_call *call,
                                                  const cli_data *data, double fraction,
                                                  td_error *err);
void cli_parts_free(cli_parts *parts);

/* What was read, on standard error, unless --quiet. */
void cli_parts_print(const cli_parts *parts, const cli_call *call);

#endif
