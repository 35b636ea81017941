/* options.c -- the option table of evaluation.
 *
 * Serves: stage 6. */
#include "base/options.h"

#include "base/poison.h"

static const td_option evaluate_rows[] = {
    TD__OPTION_U32_LIST(td_evaluate_options, k, "k", "1,5,10,50,100", 1, TD__U32_MAX, "N,N,...",
                        "lengths of the lists that are measured"),
    TD__OPTION_BOOL(td_evaluate_options, exclude_seen, "exclude-seen", "true",
                    "leave what a query was trained on out of its ranking"),
};

const td_option_table *td_evaluate_option_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("evaluate", td_evaluate_options,
                                                          evaluate_rows);
    return &table;
}

void td_evaluate_options_init(td_evaluate_options *options)
{
    td_options_init(td_evaluate_option_table(), options);
}
