/* metrics.c -- a model measured beside the baselines that it must beat.
 *
 * In: a model and two parts of a dataset. Out: one table, or JSON. */
#include "metrics.h"

#include <stdio.h>
#include <string.h>

#include "args.h"
#include "base/clock.h"
#include "output.h"
#include "progress.h"

static const td_option rows[] = {
    TD__OPTION_TEXT(cli_beside, baselines, "baselines", "auto", "NAME,...",
                    "what to measure beside the model: of popularity, item-knn and ease some, all "
                    "or none; auto: all, but ease only up to 5000 candidates"),
};

const td_option_table *cli_beside_option_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("beside", cli_beside, rows);
    return &table;
}

/* --- which */

static const char *const names[] = {
    [TD_BASELINE_POPULARITY] = "popularity",
    [TD_BASELINE_ITEM_KNN] = "item-knn",
    [TD_BASELINE_EASE] = "ease",
};
enum { BASELINES = sizeof names / sizeof names[0] };

typedef struct choice {
    bool taken[BASELINES];
    bool automatic;
} choice;

static td_status choose_name(choice *chosen, const char *name, size_t length, td_error *err)
{
    for (uint32_t b = 0; b < BASELINES; b++) {
        if (strlen(names[b]) != length || memcmp(names[b], name, length) != 0) continue;
        chosen->taken[b] = true;
        return TD_OK;
    }
    return td__fail(err, TD_ERR_ARGUMENT,
                    "--baselines: there is no \"%.*s\"; known are popularity, item-knn and ease, "
                    "or all, none, auto",
                    (int)(length < 40 ? length : 40), name);
}

static td_status choose(choice *chosen, const char *list, td_error *err)
{
    td_status status = TD_OK;
    *chosen = (choice){0};
    if (list == NULL || strcmp(list, "none") == 0) return TD_OK;
    chosen->automatic = strcmp(list, "auto") == 0;
    if (chosen->automatic || strcmp(list, "all") == 0) {
        for (uint32_t b = 0; b < BASELINES; b++) chosen->taken[b] = true;
        return TD_OK;
    }
    for (const char *name = list;; name += strcspn(name, ",") + 1) {
        TD_TRY(choose_name(chosen, name, strcspn(name, ","), err));
        if (name[strcspn(name, ",")] == '\0') break;
    }
done:
    return status;
}

/* Its time is the cube of the candidates: "auto" does without where that is long. */
static bool leave_out_ease(choice *chosen, uint32_t candidates)
{
    if (!chosen->automatic || candidates <= CLI_EASE_CANDIDATES) return false;
    chosen->taken[TD_BASELINE_EASE] = false;
    return true;
}

td_status cli_beside_check(const cli_beside *beside, td_error *err)
{
    choice chosen;
    return choose(&chosen, beside->baselines, err);
}

td_status cli_beside_kinds(uint32_t *kinds, const cli_beside *beside, uint32_t candidates,
                           td_error *err)
{
    choice chosen;
    *kinds = 0;
    td_status status = choose(&chosen, beside->baselines, err);
    if (status != TD_OK) return status;
    leave_out_ease(&chosen, candidates);
    for (uint32_t b = 0; b < BASELINES; b++) {
        if (chosen.taken[b]) *kinds |= 1u << b;
    }
    return TD_OK;
}

/* --- measuring */

/* What all systems are measured on. */
typedef struct measuring {
    const cli_call *call;
    const td_dataset *train, *test;
    const td_evaluate_options *options;
    const td_progress_hook *hook;
} measuring;

static td_status measure_baseline(td_metrics *metrics, const measuring *m, td_baseline_kind kind,
                                  td_error *err)
{
    td_status status = TD_OK;
    td_baseline *baseline = NULL;
    td_baseline_options options;
    td_baseline_options_init(&options);
    options.kind = kind;
    TD_TRY(td_baseline_build(&baseline, m->call->context, m->train, &options, m->hook, err));
    td_scorer scorer = td_baseline_scorer(baseline);
    TD_TRY(td_evaluate(metrics, m->call->context, &scorer, m->train, m->test, m->options, m->hook,
                       err));
done:
    td_baseline_free(baseline);
    return status;
}

static td_status add_baseline(cli_comparison *comparison, const measuring *m,
                              td_baseline_kind kind, td_error *err)
{
    td_status status = TD_OK;
    double start = td__seconds();
    cli_system *system = &comparison->systems[comparison->count];
    system->name = names[kind];
    if (kind == TD_BASELINE_POPULARITY) {
        TD_TRY(td_evaluate_popularity(&system->metrics, m->call->context, m->train, m->test,
                                      m->options, m->hook, err));
    } else {
        TD_TRY(measure_baseline(&system->metrics, m, kind, err));
    }
    system->seconds = td__seconds() - start;
    comparison->count++;
done:
    return status;
}

td_status cli_compare(cli_comparison *comparison, const cli_call *call, const td_model *model,
                      const td_dataset *train, const td_dataset *test, const cli_beside *beside,
                      const td_evaluate_options *options, td_error *err)
{
    td_status status = TD_OK;
    cli_progress progress;
    choice chosen;
    td_progress_hook hook = cli_progress_start(&progress, call);
    measuring m = {call, train, test, options, &hook};
    uint32_t candidates = td_vocab_count(td_dataset_candidates(train));
    *comparison = (cli_comparison){.count = 1, .candidates = candidates,
                                   .exclude_seen = options->exclude_seen};
    TD_TRY(choose(&chosen, beside->baselines, err));
    comparison->ease_left_out = leave_out_ease(&chosen, candidates);
    cli_system *own = &comparison->systems[0];
    own->name = "model";
    TD_TRY(td_evaluate_model(&own->metrics, model, train, test, options, &hook, err));
    own->seconds = own->metrics.seconds;
    for (uint32_t b = 0; b < BASELINES; b++) {
        if (chosen.taken[b]) TD_TRY(add_baseline(comparison, &m, (td_baseline_kind)b, err));
    }
done:
    cli_progress_end(&progress);
    return status;
}

/* --- the table */

/* The metrics in the order of the table. */
typedef struct metric_column {
    const char *name;  /* key in JSON */
    const char *title; /* in the table; NULL: it is in JSON only */
    size_t offset;
} metric_column;

#define METRIC(name, title) {#name, title, offsetof(td_metrics_at, name)}
static const metric_column metrics[] = {
    METRIC(ndcg, "ndcg"),           METRIC(recall, "recall"),
    METRIC(hit_rate, "hit"),        METRIC(precision, "precision"),
    METRIC(map, "map"),             METRIC(mrr, "mrr"),
    METRIC(accuracy, "accuracy"),   METRIC(coverage, "coverage"),
    METRIC(overlap, "overlap"),     METRIC(popularity, NULL),
};
enum { METRICS = sizeof metrics / sizeof metrics[0], WIDTH_MIN = 7 };

static double value_of(const td_metrics *measured, uint32_t at, const metric_column *metric)
{
    return *(const double *)((const char *)&measured->at[at] + metric->offset);
}

static int width_of(const metric_column *metric)
{
    int width = (int)strlen(metric->title) + 1;
    return width < WIDTH_MIN ? WIDTH_MIN : width;
}

static void print_at(const cli_comparison *comparison, uint32_t at)
{
    char first[16];
    snprintf(first, sizeof first, "at %u", comparison->systems[0].metrics.at[at].k);
    printf("%-10s", first);
    for (uint32_t m = 0; m < METRICS && metrics[m].title != NULL; m++) {
        printf("%*s", width_of(&metrics[m]), metrics[m].title);
    }
    putchar('\n');
    for (uint32_t i = 0; i < comparison->count; i++) {
        const cli_system *system = &comparison->systems[i];
        printf("%-10s", system->name);
        for (uint32_t m = 0; m < METRICS && metrics[m].title != NULL; m++) {
            printf("%*.4f", width_of(&metrics[m]), value_of(&system->metrics, at, &metrics[m]));
        }
        putchar('\n');
    }
    putchar('\n');
}

static void print_foot(const cli_comparison *comparison)
{
    const td_metrics *model = &comparison->systems[0].metrics;
    printf("%s queries, %s rows held out", cli_count(model->queries), cli_count(model->rows));
    if (model->rows_unknown > 0) {
        printf(", %s of them of candidates that the training part lacks (misses)",
               cli_count(model->rows_unknown));
    }
    printf("; seen candidates %s\nseconds:", comparison->exclude_seen ? "left out" : "kept");
    for (uint32_t i = 0; i < comparison->count; i++) {
        const cli_system *system = &comparison->systems[i];
        printf("%s %s %.2f", i > 0 ? "," : "", system->name, system->seconds);
    }
    putchar('\n');
    if (comparison->ease_left_out) {
        printf("ease is left out: %s candidates are more than %s; --baselines all takes it in\n",
               cli_count(comparison->candidates), cli_count(CLI_EASE_CANDIDATES));
    }
}

static bool was_asked_for(const cli_call *call, const char *flag)
{
    return cli_given_texts(call, flag, NULL, 0) > 0;
}

void cli_comparison_print(const cli_comparison *comparison, const cli_call *call)
{
    const td_metrics *model = &comparison->systems[0].metrics;
    cli_warnings warnings;
    bool all = was_asked_for(call, "k");
    for (uint32_t at = 0; at < model->count; at++) {
        if (all || model->at[at].k == 10 || model->at[at].k == 100) print_at(comparison, at);
    }
    print_foot(comparison);
    fflush(stdout);
    if (call->common->quiet) return;
    cli_judge(&warnings, comparison);
    for (uint32_t i = 0; i < warnings.count; i++) {
        fprintf(stderr, "warning: %s\n", warnings.text[i]);
    }
}

/* --- JSON */

static json_t *metrics_json(const cli_system *system)
{
    const td_metrics *measured = &system->metrics;
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
                     (json_int_t)measured->rows_unknown, "seconds", system->seconds, "at", at);
}

json_t *cli_comparison_json(const cli_comparison *comparison)
{
    cli_warnings warnings;
    json_t *root = json_object(), *list = json_array();
    for (uint32_t i = 0; i < comparison->count; i++) {
        const cli_system *system = &comparison->systems[i];
        json_object_set_new(root, system->name, metrics_json(system));
    }
    cli_judge(&warnings, comparison);
    for (uint32_t i = 0; i < warnings.count; i++) {
        json_array_append_new(list, json_string(warnings.text[i]));
    }
    json_object_set_new(root, "warnings", list);
    return root;
}
