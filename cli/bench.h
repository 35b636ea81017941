/* bench.h -- an index and its exact twin, measured on the same queries. */
#ifndef TANDEM_CLI_BENCH_H
#define TANDEM_CLI_BENCH_H

#include "progress.h"
#include "verb.h"

/* Who is measured, and on what. */
typedef struct cli_trial {
    td_context *context;
    const td_index *index; /* any kind */
    const td_index *twin;  /* an exact one of the same items */
    td_vectors queries;    /* at least one */
    uint32_t k_max;        /* <= items */
    uint32_t rounds;       /* each query is searched so often; its best time counts */
    const td_progress_hook *hook;
    /* from here on its own: */
    td_hit *truth, *hits;  /* [queries, k_max] */
    uint32_t *counts;      /* [queries] */
    uint32_t *positions;   /* [2, k_max] */
    double *times;         /* [queries] */
    uint64_t done, total;  /* searches */
    double start, reported;
} cli_trial;

/* What searching took and found. */
typedef struct cli_bench_row {
    uint32_t k;
    double target; /* 0: the exact twin */
    double recall;
    double one_rate, all_rate; /* queries a second: one a call, all in one call */
    double p50, p99;           /* microseconds of a call with one query */
} cli_bench_row;

/* Make room, with all up to `hook` filled in. `settings` is how many rows will be measured, for the
 * progress. Undo with cli_bench_clear, also after a failure. */
TD_MUST_CHECK td_status cli_bench_start(cli_trial *trial, uint32_t settings, td_error *err);
void cli_bench_clear(cli_trial *trial);

/* Measure the twin, whose results are the truth from then on, for this k. */
TD_MUST_CHECK td_status cli_bench_exact(cli_trial *trial, uint32_t k, cli_bench_row *row,
                                        td_error *err);
/* Measure the index at a target recall, for the k of the last truth. */
TD_MUST_CHECK td_status cli_bench_target(cli_trial *trial, uint32_t k, double target,
                                         cli_bench_row *row, td_error *err);

/* Is the recall delivered that was asked for: at most .005 less, and at most .02 more? */
bool cli_bench_kept(const cli_bench_row *row);

#endif
