/* cmd_bench.c -- tandem bench: what does an index deliver, and what does it cost?
 *
 * In: an index, vectors or a model, and queries. Out: recall, speed, memory and build time beside
 * the exact twin. Half of the queries calibrate, the others are measured. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/memory.h"
#include "bench.h"
#include "output.h"
#include "ranking.h"

enum { TARGETS_MAX = 16 };

typedef struct bench_own {
    const char *queries;
    const char *model;
    uint32_t query_count;
    td_u32_list k;
    const char *targets;
    bool normalize;
    bool keep_calibration;
    uint32_t rounds;
} bench_own;

typedef struct bench_arguments {
    cli_common common;
    bench_own own;
    td_index_options index;
} bench_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(bench_own, queries, "queries", NULL, "FILE",
                    "query vectors: .npy, .fvecs, .fbin, or text with one vector a line"),
    TD__OPTION_TEXT(bench_own, model, "model", NULL, "FILE",
                    "model whose users are the queries; a model that is measured brings its own"),
    TD__OPTION_U32(bench_own, query_count, "query-count", "2000", 2, 1000000, "N",
                   "queries to take, evenly from all: half calibrate, half are measured"),
    TD__OPTION_U32_LIST(bench_own, k, "k", "10,100", 1, 100000, "N,N,...", "results per query"),
    TD__OPTION_TEXT(bench_own, targets, "targets", "0.8,0.9,0.95,0.98,0.99", "SHARE,SHARE,...",
                    "target recalls to measure"),
    TD__OPTION_BOOL(bench_own, normalize, "normalize", "false",
                    "divide each item vector by its length, so that scores are cosines"),
    TD__OPTION_BOOL(bench_own, keep_calibration, "keep-calibration", "false",
                    "leave an index file as it was calibrated, and measure on all queries"),
    TD__OPTION_U32(bench_own, rounds, "rounds", "3", 1, 1000, "N",
                   "searches of each query; the best time counts"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("bench-own", bench_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Queries and targets", own_table, offsetof(bench_arguments, own)},
    {"Index to build, unless it is a file", td_index_option_table,
     offsetof(bench_arguments, index)},
    {"Everywhere", cli_common_option_table, offsetof(bench_arguments, common)},
};

/* All of one run. */
typedef struct bench_run {
    const cli_call *call;
    const td_progress_hook *hook;
    double targets[TARGETS_MAX];
    uint32_t target_count;
    td_model *model;
    td_index *index, *twin;
    float *calibrating, *measured; /* query vectors */
    uint64_t calibrating_count, measured_count;
    uint32_t dim, heads;
    double build_seconds, calibrate_seconds, twin_seconds; /* build: negative if it was a file */
    cli_bench_row *rows;
    uint32_t row_count;
} bench_run;

static const bench_own *own_of(const bench_run *run)
{
    return &((const bench_arguments *)run->call->arguments)->own;
}

static void clear(bench_run *run)
{
    td_context *context = run->call->context;
    td__free(context, run->rows);
    td__free(context, run->calibrating);
    td__free(context, run->measured);
    td_index_free(run->twin);
    td_index_free(run->index);
    td_model_free(run->model);
}

static td_status parse_targets(bench_run *run, td_error *err)
{
    td_status status = TD_OK;
    const char *at = own_of(run)->targets;
    while (at != NULL && *at != '\0') {
        char *end;
        double target = strtod(at, &end);
        TD_FAIL_IF(end == at || (*end != ',' && *end != '\0') || !(target > 0 && target <= 1),
                   err, ERR_ARGUMENT, "--targets: \"%.40s\" does not start with a share above 0, "
                   "up to 1", at);
        TD_FAIL_IF(run->target_count == TARGETS_MAX, err, ERR_ARGUMENT,
                   "--targets: more than %d of them", TARGETS_MAX);
        run->targets[run->target_count++] = target;
        at = *end == ',' ? end + 1 : end;
    }
    TD_FAIL_IF(run->target_count == 0, err, ERR_ARGUMENT, "--targets names none");
done:
    return status;
}

/* --- the index */

static td_status build_from_vectors(bench_run *run, const char *path, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = run->call->context;
    const bench_arguments *arguments = run->call->arguments;
    td_matrix *matrix = NULL;
    float *copy = NULL;
    TD_TRY(td_matrix_read(&matrix, context, path, err));
    td_vectors items = td_matrix_vectors(matrix);
    if (own_of(run)->normalize && items.rows > 0) {
        TD_TRY(td__alloc(&copy, context, items.rows * items.dim, sizeof *copy, err));
        memcpy(copy, items.data, items.rows * items.dim * sizeof *copy);
        cli_normalize(copy, items.rows, items.dim);
        items.data = copy;
    }
    double start = td__seconds();
    TD_TRY(td_index_build_with(&run->index, context, &items, NULL, &arguments->index, run->hook,
                               err));
    run->build_seconds = td__seconds() - start;
done:
    td__free(context, copy);
    td_matrix_free(matrix);
    return status;
}

static td_status build_from_model(bench_run *run, const char *path, td_error *err)
{
    td_status status = TD_OK;
    const bench_arguments *arguments = run->call->arguments;
    cli_engine engine;
    double start = td__seconds();
    status = cli_engine_load_with(&engine, run->call->context, path, own_of(run)->normalize,
                                  &arguments->index, run->hook, err);
    run->index = engine.index;
    run->model = engine.model;
    run->build_seconds = td__seconds() - start;
    return status;
}

/* An index file, a model, or vectors. */
static td_status make_index(bench_run *run, td_error *err)
{
    td_status status = TD_OK;
    const char *path = run->call->operands[1];
    if (!td__container_probe(path)) return build_from_vectors(run, path, err);
    status = td_index_load(&run->index, run->call->context, path, err);
    run->build_seconds = -1.0;
    if (status == TD_ERR_VERSION) status = build_from_model(run, path, err);
    return status;
}

static td_status make_twin(bench_run *run, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = run->call->context;
    uint64_t count = td_index_count(run->index);
    uint32_t dim = td_index_dim(run->index);
    float *vectors = NULL;
    TD_TRY(td__alloc(&vectors, context, count * dim, sizeof *vectors, err));
    for (uint64_t i = 0; i < count; i++) {
        td_index_vector(run->index, (uint32_t)i, vectors + i * dim);
    }
    td_vectors items = {.data = vectors, .rows = count, .dim = dim};
    double start = td__seconds();
    TD_TRY(td_index_build(&run->twin, context, &items, NULL, err));
    run->twin_seconds = td__seconds() - start;
done:
    td__free(context, vectors);
    return status;
}

/* --- the queries */

/* Take some rows evenly from all; every second one calibrates, unless all are to be measured. */
static td_status share_out(bench_run *run, const td_vectors *all, bool measure_all, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = run->call->context;
    uint64_t limit = own_of(run)->query_count, count = all->rows < limit ? all->rows : limit;
    uint64_t width = (uint64_t)all->dim * (all->heads == 0 ? 1 : all->heads);
    TD_FAIL_IF(count < 2, err, ERR_ARGUMENT,
               "too few queries (%llu): half calibrate, half are measured",
               (unsigned long long)all->rows);
    TD_TRY(td__alloc(&run->measured, context, count * width, sizeof *run->measured, err));
    TD_TRY(td__alloc(&run->calibrating, context, count * width, sizeof *run->calibrating, err));
    run->dim = all->dim;
    run->heads = all->heads;
    for (uint64_t i = 0; i < count; i++) {
        bool measured = measure_all || i % 2 == 1;
        float *to = measured ? run->measured + run->measured_count++ * width
                             : run->calibrating + run->calibrating_count++ * width;
        memcpy(to, all->data + i * all->rows / count * width, width * sizeof *to);
    }
done:
    return status;
}

/* Only the users that will be taken are encoded. */
static td_status take_users(bench_run *run, bool measure_all, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = run->call->context;
    const td_model_options *shape = td_model_get_options(run->model);
    uint32_t users = td_vocab_count(td_model_queries(run->model)), *rows = NULL;
    uint32_t count = users < own_of(run)->query_count ? users : own_of(run)->query_count;
    uint32_t heads = shape->heads == 0 ? 1 : shape->heads;
    float *vectors = NULL;
    TD_TRY(td__alloc(&rows, context, count, sizeof *rows, err));
    for (uint32_t i = 0; i < count; i++) rows[i] = (uint32_t)((uint64_t)i * users / count);
    TD_TRY(td__alloc(&vectors, context, (uint64_t)count * heads * shape->dim, sizeof *vectors,
                     err));
    if (count > 0) TD_TRY(td_model_encode_query_rows(run->model, rows, count, vectors, err));
    td_vectors all = {vectors, count, shape->dim, heads};
    TD_TRY(share_out(run, &all, measure_all, err));
done:
    td__free(context, rows);
    td__free(context, vectors);
    return status;
}

static td_status take_vectors(bench_run *run, bool measure_all, td_error *err)
{
    td_status status = TD_OK;
    td_matrix *matrix = NULL;
    TD_TRY(td_matrix_read(&matrix, run->call->context, own_of(run)->queries, err));
    td_vectors all = td_matrix_vectors(matrix);
    TD_TRY(share_out(run, &all, measure_all, err));
done:
    td_matrix_free(matrix);
    return status;
}

static td_status take_queries(bench_run *run, td_error *err)
{
    td_status status = TD_OK;
    const bench_own *own = own_of(run);
    td_index_info info;
    td_index_describe(run->index, &info);
    bool measure_all = own->keep_calibration || info.kind == TD_INDEX_EXACT;
    TD_FAIL_IF(own->keep_calibration && run->build_seconds >= 0.0, err, ERR_ARGUMENT,
               "--keep-calibration is for index files; this one was just built");
    TD_FAIL_IF((own->queries != NULL) == (run->model != NULL), err, ERR_ARGUMENT,
               "measure on what? give either --queries FILE or --model FILE");
    if (own->queries != NULL) TD_TRY(take_vectors(run, measure_all, err));
    else TD_TRY(take_users(run, measure_all, err));
    TD_FAIL_IF(run->dim != td_index_dim(run->index), err, ERR_ARGUMENT,
               "the queries have %u dimensions, the index has %u", run->dim,
               td_index_dim(run->index));
    if (run->calibrating_count == 0) return TD_OK;
    td_vectors queries = {run->calibrating, run->calibrating_count, run->dim, run->heads};
    double start = td__seconds();
    TD_TRY(td_index_calibrate(run->index, &queries, run->hook, err));
    run->calibrate_seconds = td__seconds() - start;
done:
    return status;
}

/* --- measuring */

/* k that the items allow, without repetitions. */
static uint32_t useful_ks(const bench_run *run, uint32_t *ks)
{
    const td_u32_list *wanted = &own_of(run)->k;
    uint64_t items = td_index_count(run->index);
    uint32_t count = 0;
    for (uint32_t i = 0; i < wanted->count; i++) {
        if (wanted->values[i] <= items) ks[count++] = wanted->values[i];
    }
    return count;
}

static td_status measure(bench_run *run, td_error *err)
{
    td_status status = TD_OK;
    uint32_t ks[TD_U32_LIST_MAX], k_count = useful_ks(run, ks);
    td_index_info info;
    td_index_describe(run->index, &info);
    uint32_t targets = info.kind == TD_INDEX_EXACT ? 0 : run->target_count;
    cli_trial trial = {.context = run->call->context, .index = run->index, .twin = run->twin,
                       .queries = {run->measured, run->measured_count, run->dim, run->heads},
                       .rounds = own_of(run)->rounds, .hook = run->hook};
    TD_FAIL_IF(k_count == 0, err, ERR_ARGUMENT, "every k is beyond the %llu items",
               (unsigned long long)td_index_count(run->index));
    for (uint32_t i = 0; i < k_count; i++) trial.k_max = ks[i] > trial.k_max ? ks[i] : trial.k_max;
    TD_TRY(td__alloc(&run->rows, trial.context, (uint64_t)k_count * (targets + 1),
                     sizeof *run->rows, err));
    TD_TRY(cli_bench_start(&trial, k_count * (targets + 1), err));
    for (uint32_t i = 0; i < k_count; i++) {
        TD_TRY(cli_bench_exact(&trial, ks[i], &run->rows[run->row_count++], err));
        for (uint32_t t = 0; t < targets; t++) {
            TD_TRY(cli_bench_target(&trial, ks[i], run->targets[t], &run->rows[run->row_count++],
                                    err));
        }
    }
done:
    cli_bench_clear(&trial);
    return status;
}

/* --- what came of it */

static void print_index(const bench_run *run)
{
    td_index_info info, twin;
    td_index_describe(run->index, &info);
    td_index_describe(run->twin, &twin);
    double items = (double)td_index_count(run->index);
    printf("%s items of %u dimensions, %s", cli_count(td_index_count(run->index)),
           td_index_dim(run->index), td_index_kind_name(info.kind));
    if (info.kind == TD_INDEX_TREE) printf(" of %u leaves", info.leaves);
    if (info.store == TD_STORE_INT8) printf(" in 8 bits a number");
    printf(": %.1f MB, %.0f bytes an item", (double)info.bytes / 1e6,
           items > 0.0 ? (double)info.bytes / items : 0.0);
    if (run->build_seconds >= 0.0) printf(", built in %.2f s", run->build_seconds);
    if (run->calibrating_count > 0) {
        printf(", calibrated on %s queries in %.2f s", cli_count(run->calibrating_count),
               run->calibrate_seconds);
    }
    printf("\nexact twin: %.1f MB, built in %.2f s\n", (double)twin.bytes / 1e6,
           run->twin_seconds);
    printf("measured on %s %squeries, %u threads, %s\n\n", cli_count(run->measured_count),
           run->calibrating_count > 0 ? "other " : "", td_context_threads(run->call->context),
           td_context_kernel(run->call->context));
}

static void print_rows(const bench_run *run)
{
    printf("%7s  %6s  %6s  %4s  %11s  %9s  %9s  %11s\n", "k", "target", "recall", "kept",
           "one a call", "p50 us", "p99 us", "all at once");
    for (uint32_t i = 0; i < run->row_count; i++) {
        const cli_bench_row *row = &run->rows[i];
        char target[16] = "exact";
        if (row->target > 0.0) snprintf(target, sizeof target, "%.4g", row->target);
        const char *kept = row->target > 0.0 ? cli_bench_kept(row) ? "yes" : "no" : "";
        printf("%7u  %6s  %.4f  %4s  %9.0f/s  %9.1f  %9.1f  %9.0f/s\n", row->k, target, row->recall,
               kept, row->one_rate, row->p50, row->p99, row->all_rate);
    }
}

static json_t *rows_json(const bench_run *run)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < run->row_count; i++) {
        const cli_bench_row *row = &run->rows[i];
        bool exact = row->target <= 0.0;
        json_array_append_new(
            list, json_pack("{s:i, s:o, s:f, s:o, s:f, s:f, s:f, s:f}", "k", (int)row->k, "target",
                            exact ? json_null() : json_real(row->target), "recall", row->recall,
                            "kept", exact ? json_null() : json_boolean(cli_bench_kept(row)),
                            "one_per_second", row->one_rate, "p50_us", row->p50, "p99_us",
                            row->p99, "all_per_second", row->all_rate));
    }
    return list;
}

static td_status print_json(const bench_run *run, td_error *err)
{
    td_index_info info, twin;
    td_index_describe(run->index, &info);
    td_index_describe(run->twin, &twin);
    json_t *build = run->build_seconds >= 0.0 ? json_real(run->build_seconds) : json_null();
    return cli_json_print(
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:f, s:I, s:I, s:I, s:f, s:I, s:s, s:o}", "kind",
                  td_index_kind_name(info.kind), "items", (json_int_t)td_index_count(run->index),
                  "dim", (json_int_t)td_index_dim(run->index), "leaves", (json_int_t)info.leaves,
                  "bytes", (json_int_t)info.bytes, "build_seconds", build, "calibrate_seconds",
                  run->calibrate_seconds, "calibrating", (json_int_t)run->calibrating_count,
                  "measured", (json_int_t)run->measured_count, "exact_bytes",
                  (json_int_t)twin.bytes, "exact_build_seconds", run->twin_seconds, "threads",
                  (json_int_t)td_context_threads(run->call->context), "kernel",
                  td_context_kernel(run->call->context), "rows", rows_json(run)),
        err);
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    bench_run run = {.call = call, .hook = &hook};
    const char *model = own_of(&run)->model;
    TD_FAIL_IF(strcmp(call->operands[0], "recall") != 0, err, ERR_ARGUMENT,
               "there is no measurement \"%.40s\"; there is recall", call->operands[0]);
    TD_TRY(parse_targets(&run, err));
    TD_TRY(make_index(&run, err));
    if (model != NULL && run.model == NULL) {
        TD_TRY(td_model_load(&run.model, call->context, model, err));
    }
    TD_TRY(take_queries(&run, err));
    TD_TRY(make_twin(&run, err));
    TD_TRY(measure(&run, err));
    cli_progress_end(&progress);
    if (call->common->json) {
        TD_TRY(print_json(&run, err));
    } else {
        print_index(&run);
        print_rows(&run);
    }
done:
    cli_progress_end(&progress);
    clear(&run);
    return status;
}

const cli_verb cli_bench = {
    .name = "bench",
    .summary = "measure recall and speed of an index beside its exact twin",
    .operands = "recall INDEX|MODEL|VECTORS",
    .operands_min = 2,
    .operands_max = 2,
    .about = "Measures an index file, or builds an index from the candidates of a model or from "
             "vectors. Half of the queries calibrate a tree, the others are measured: which share "
             "of the true best each target recall finds, whether that is kept (at most .005 less "
             "than the target and .02 more), and how long it takes, one query a call and all in "
             "one call. Of an index of 8 bits a number, the true best are those of its "
             "rounded items. Nothing is written: an index file stays as it is.",
    .example = "tandem bench recall movies.tandem --kind tree --query-count 400 -k 10",
    .output = "One object: kind, items, dim, leaves, bytes, build_seconds (null for an index "
              "file), calibrate_seconds, calibrating and measured (queries), exact_bytes, "
              "exact_build_seconds, threads, kernel, and rows: a list of objects with k, target "
              "(null: the exact twin), recall, kept (or null), one_per_second, p50_us, p99_us, "
              "all_per_second.",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(bench_arguments),
    .run = run,
};
