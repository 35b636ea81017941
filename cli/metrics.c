/* metrics.c -- a model measured beside the popularity list.
 *
 * In: a model and two parts of a dataset. Out: one table, or JSON. */
#include "metrics.h"

#include <stdio.h>

#include "output.h"
#include "progress.h"

/* The metrics in the order of the table. */
typedef struct metric_row {
    const char *name;
    size_t offset;
    int digits;
} metric_row;

#define METRIC(name, digits) {#name, offsetof(td_metrics_at, name), digits}
static const metric_row metrics[] = {
    METRIC(recall, 4), METRIC(ndcg, 4), METRIC(hit_rate, 4), METRIC(precision, 4),
    METRIC(map, 4), METRIC(mrr, 4), METRIC(accuracy, 4), METRIC(coverage, 4),
    METRIC(popularity, 1),
};
enum { METRICS = sizeof metrics / sizeof metrics[0] };

static double value_of(const td_metrics *measured, uint32_t at, const metric_row *metric)
{
    return *(const double *)((const char *)&measured->at[at] + metric->offset);
}

td_status cli_compare(cli_comparison *comparison, const cli_call *call, const td_model *model,
                      const td_dataset *train, const td_dataset *test,
                      const td_evaluate_options *options, td_error *err)
{
    td_status status = TD_OK;
    cli_progress progress;
    td_progress_hook hook = cli_progress_start(&progress, call);
    TD_TRY(td_evaluate_model(&comparison->model, model, train, test, options, &hook, err));
    TD_TRY(td_evaluate_popularity(&comparison->popularity, call->context, train, test, options,
                                  &hook, err));
done:
    cli_progress_end(&progress);
    return status;
}

static void print_row(const td_metrics *measured, const metric_row *metric, const char *name,
                      const char *who)
{
    printf("%-11s %-10s", name, who);
    for (uint32_t i = 0; i < measured->count; i++) {
        printf(" %9.*f", metric->digits, value_of(measured, i, metric));
    }
    putchar('\n');
}

/* By NDCG at the largest k; the k were given in any order. */
static bool popularity_is_better(const cli_comparison *comparison)
{
    uint32_t widest = 0;
    for (uint32_t i = 1; i < comparison->model.count; i++) {
        if (comparison->model.at[i].k > comparison->model.at[widest].k) widest = i;
    }
    return comparison->model.at[widest].ndcg <= comparison->popularity.at[widest].ndcg;
}

void cli_comparison_print(const cli_comparison *comparison, const td_evaluate_options *options)
{
    const td_metrics *model = &comparison->model, *popularity = &comparison->popularity;
    printf("%-11s %-10s", "metric", "of");
    for (uint32_t i = 0; i < model->count; i++) {
        char column[16];
        snprintf(column, sizeof column, "@%u", model->at[i].k);
        printf(" %9s", column);
    }
    putchar('\n');
    for (uint32_t m = 0; m < METRICS; m++) {
        print_row(model, &metrics[m], metrics[m].name, "model");
        print_row(popularity, &metrics[m], "", "popularity");
    }
    printf("%s queries, %s rows held out", cli_count(model->queries), cli_count(model->rows));
    if (model->rows_unknown > 0) {
        printf(", %s of them of candidates that the training part lacks (misses)",
               cli_count(model->rows_unknown));
    }
    printf("; seen candidates %s\n", options->exclude_seen ? "left out" : "kept");
    fflush(stdout);
    if (model->queries > 0 && popularity_is_better(comparison)) {
        fprintf(stderr, "warning: the model is not better than the list of the most popular; train "
                        "longer, or try --sampling-correction and --similarity cosine with a lower "
                        "--temperature\n");
    }
}

static json_t *metrics_json(const td_metrics *measured)
{
    json_t *at = json_array();
    for (uint32_t i = 0; i < measured->count; i++) {
        json_t *row = json_pack("{s:i}", "k", (int)measured->at[i].k);
        for (uint32_t m = 0; m < METRICS; m++) {
            json_object_set_new(row, metrics[m].name,
                                json_real(value_of(measured, i, &metrics[m])));
        }
        json_array_append_new(at, row);
    }
    return json_pack("{s:I, s:I, s:I, s:f, s:o}", "queries", (json_int_t)measured->queries, "rows",
                     (json_int_t)measured->rows, "rows_unknown",
                     (json_int_t)measured->rows_unknown, "seconds", measured->seconds, "at", at);
}

json_t *cli_comparison_json(const cli_comparison *comparison)
{
    return json_pack("{s:o, s:o}", "model", metrics_json(&comparison->model), "popularity",
                     metrics_json(&comparison->popularity));
}
