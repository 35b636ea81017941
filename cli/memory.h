/* memory.h -- the memory of a training, told before it starts. */
#ifndef TANDEM_CLI_MEMORY_H
#define TANDEM_CLI_MEMORY_H

#include <jansson.h>

#include "data.h"
#include "metrics.h"
#include "training.h"

/* Member of the arguments of `train`. */
typedef struct cli_memory {
    uint64_t bytes_max; /* 0: what the machine has free */
    bool plan;          /* say it, and stop */
} cli_memory;

const td_option_table *cli_memory_option_table(void);

/* What is going to be trained and measured. */
typedef struct cli_memory_job {
    const cli_training *training;
    const td_model_options *rival; /* the largest of iALS, tried after the softmax; or NULL */
    const cli_parts *parts;
    const td_catalog *catalog; /* or NULL */
    const cli_beside *beside;
} cli_memory_job;

typedef struct cli_memory_report {
    td_memory_plan plan;
    uint64_t bytes_max; /* what may be taken */
} cli_memory_report;

/* Plan, say it on standard error unless --quiet (with --plan and without --json: on standard
 * output), and refuse with LIMIT what cannot fit. */
TD_MUST_CHECK td_status cli_memory_plan(cli_memory_report *report, const cli_memory *memory,
                                        const cli_call *call, const cli_memory_job *job,
                                        td_error *err);
json_t *cli_memory_json(const cli_memory_report *report);

#endif
