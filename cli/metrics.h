/* metrics.h -- a model measured beside the baselines that it must beat. */
#ifndef TANDEM_CLI_METRICS_H
#define TANDEM_CLI_METRICS_H

#include <jansson.h>

#include "verb.h"

/* With which baselines. Member of the arguments of `train` and `evaluate`. */
typedef struct cli_beside {
    const char *baselines; /* "auto", "none", or names with commas between them */
} cli_beside;

const td_option_table *cli_beside_option_table(void);

enum {
    CLI_SYSTEMS_MAX = 4,          /* the model and three baselines */
    CLI_EASE_CANDIDATES = 5000   /* "auto" takes EASE up to so many: its time is their cube */
};

/* One that ranks. */
typedef struct cli_system {
    const char *name; /* "model", "popularity", ...; static */
    td_metrics metrics;
    double seconds; /* to learn and to rank; the model: to rank */
} cli_system;

/* The model stands first. */
typedef struct cli_comparison {
    uint32_t count;
    cli_system systems[CLI_SYSTEMS_MAX];
    uint32_t candidates; /* of the training part */
    bool ease_left_out;  /* "auto" found too many of them */
    bool exclude_seen;
} cli_comparison;

/* Is the list of baselines one that can be understood? */
TD_MUST_CHECK td_status cli_beside_check(const cli_beside *beside, td_error *err);
/* Which they are for so many candidates: bits 1 << td_baseline_kind. */
TD_MUST_CHECK td_status cli_beside_kinds(uint32_t *kinds, const cli_beside *beside,
                                         uint32_t candidates, td_error *err);
TD_MUST_CHECK td_status cli_compare(cli_comparison *comparison, const cli_call *call,
                                    const td_model *model, const td_dataset *train,
                                    const td_dataset *test, const cli_beside *beside,
                                    const td_evaluate_options *options, td_error *err);

/* Tables on standard output, one for each k that was asked for with --k, else for 10 and 100; the
 * warnings follow on standard error, unless --quiet. */
void cli_comparison_print(const cli_comparison *comparison, const cli_call *call);
/* {"model": METRICS, "popularity": METRICS, ..., "warnings": [...]}; NULL without memory. */
json_t *cli_comparison_json(const cli_comparison *comparison);

/* --- verdict.c: what a user should be warned of */

enum { CLI_WARNINGS_MAX = 3, CLI_WARNING_BYTES = 320 };

typedef struct cli_warnings {
    uint32_t count;
    char text[CLI_WARNINGS_MAX][CLI_WARNING_BYTES];
} cli_warnings;

/* The k of a comparison that is nearest to 10, by its place among them. */
uint32_t cli_judged_at(const td_metrics *metrics);
void cli_judge(cli_warnings *warnings, const cli_comparison *comparison);

#endif
