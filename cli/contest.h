/* contest.h -- the two trainers of recipe auto against each other. */
#ifndef TANDEM_CLI_CONTEST_H
#define TANDEM_CLI_CONTEST_H

#include "training.h"

/* What was trained, and what takes its place if iALS is better. */
typedef struct cli_contest {
    const cli_call *call;
    const cli_parts *parts;    /* with a validation part */
    const td_catalog *catalog; /* or NULL */
    cli_training *training;
    td_model **model;
    td_train_report *report;
} cli_contest;

/* The largest model that cli_contest_run makes. */
td_model_options cli_contest_largest(const cli_call *call, const td_model_options *towers,
                                     const td_data_size *size);

/* Train `towers` by iALS on the same parts with each of the settings that td_ials_recommend has
 * for data of this size (but of the dimension that --dim gives, if it is there), and keep what
 * is best on the validation part. Says what each reached. */
TD_MUST_CHECK td_status cli_contest_run(const cli_contest *contest, const td_model_options *towers,
                                        const td_data_size *size, td_error *err);

#endif
