/* baseline.c -- what a model must beat: options, life, scores, and the simplest kind, popularity.
 *
 * Serves: stage 6. In: the training part. Out: scores of all candidates for any query of it. */
#include "eval/baseline.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/poison.h"

static const double REPORT_SECONDS = 0.05;

static const td_option option_rows[] = {
    TD__OPTION_CHOICE(td_baseline_options, kind, "baseline", "popularity",
                      "popularity|item-knn|ease", "what to compare with"),
    TD__OPTION_U32(td_baseline_options, neighbors, "neighbors", "100", 1, TD__U32_MAX, "N",
                   "item-knn: most similar candidates that each candidate keeps"),
    TD__OPTION_F32(td_baseline_options, shrinkage, "shrinkage", "10", 0, 1e9, "S",
                   "item-knn: added below the similarity, against chance"),
    TD__OPTION_F32(td_baseline_options, regularization, "ease-regularization", "300", 1e-3, 1e9,
                   "LAMBDA", "ease: weight of the squared norm"),
    TD__OPTION_U64(td_baseline_options, memory_max, "ease-memory", "2147483648", 0, TD__U64_MAX,
                   "BYTES", "ease: most that its matrix may take"),
};
static const td_option_table option_table =
    TD__OPTION_TABLE("baseline", td_baseline_options, option_rows);

const td_option_table *td_baseline_option_table(void)
{
    return &option_table;
}

void td_baseline_options_init(td_baseline_options *options)
{
    td_options_init(&option_table, options);
}

td_status td__baseline_report(td__baseline_progress *progress, uint64_t done, uint64_t total,
                              td_error *err)
{
    const td_progress_hook *hook = progress->hook;
    double now = td__seconds();
    if (hook == NULL || (done < total && now - progress->reported < REPORT_SECONDS)) return TD_OK;
    progress->reported = now;
    td_progress seen = {.stage = "baseline",
                        .done = done,
                        .total = total,
                        .unit = "candidates",
                        .seconds = now - progress->started};
    if (hook->report(hook->user, &seen)) return TD_OK;
    return td__fail(err, TD_ERR_CANCELLED, "the baseline was stopped by the caller");
}

/* --- popularity */

static td_status popularity_build(td_baseline *baseline, td__baseline_progress *progress,
                                  td_error *err)
{
    td_status status = TD_OK;
    uint64_t *counts = NULL;
    TD_TRY(td__alloc(&counts, baseline->context, baseline->candidates, sizeof *counts, err));
    TD_TRY(td__alloc_zero(&baseline->popularity, baseline->context, baseline->candidates,
                          sizeof *baseline->popularity, err));
    td_dataset_candidate_counts(baseline->train, counts);
    for (uint32_t c = 0; c < baseline->candidates; c++) baseline->popularity[c] = (float)counts[c];
    TD_TRY(td__baseline_report(progress, baseline->candidates, baseline->candidates, err));
done:
    td__free(baseline->context, counts);
    return status;
}

static void popularity_score(const td_baseline *baseline, const uint32_t *taken, uint64_t count,
                             float *scores)
{
    (void)taken;
    (void)count;
    memcpy(scores, baseline->popularity, baseline->candidates * sizeof *scores);
}

static const td__baseline_rule popularity = {popularity_build, popularity_score};

/* --- life */

static const td__baseline_rule *rule_of(td_baseline_kind kind)
{
    switch (kind) {
    case TD_BASELINE_POPULARITY:
        return &popularity;
    case TD_BASELINE_ITEM_KNN:
        return &td__baseline_knn;
    case TD_BASELINE_EASE:
        return &td__baseline_ease;
    }
    return NULL;
}

td_status td_baseline_build(td_baseline **out, td_context *context, const td_dataset *train,
                            const td_baseline_options *options, const td_progress_hook *hook,
                            td_error *err)
{
    td_status status = TD_OK;
    td_baseline *baseline = NULL;
    td_baseline_options defaults;
    td_baseline_options_init(&defaults);
    if (options == NULL) options = &defaults;
    TD_TRY(td_options_check(&option_table, options, err));
    TD_TRY(td__alloc_zero(&baseline, context, 1, sizeof *baseline, err));
    *baseline = (td_baseline){.context = context,
                              .options = *options,
                              .rule = rule_of(options->kind),
                              .train = train,
                              .candidates = td_vocab_count(td_dataset_candidates(train))};
    TD_TRY(td__cooccurrence_init(&baseline->pairs, context, train, err));
    baseline->lists = baseline->pairs.lists;
    td__baseline_progress progress = {.hook = hook, .started = td__seconds()};
    progress.reported = progress.started;
    TD_TRY(baseline->rule->build(baseline, &progress, err));
    td__cooccurrence_clear(&baseline->pairs);
    *out = baseline;
    return TD_OK;
done:
    td_baseline_free(baseline);
    *out = NULL;
    return status;
}

void td_baseline_free(td_baseline *baseline)
{
    if (baseline == NULL) return;
    td_context *context = baseline->context;
    td__cooccurrence_clear(&baseline->pairs);
    td__free(context, baseline->popularity);
    td__free(context, baseline->target_offsets);
    td__free(context, baseline->targets);
    td__free(context, baseline->similarity);
    td__free(context, baseline->weights);
    td__free(context, baseline);
}

/* --- scores */

static td_status score(void *user, const uint32_t *queries, uint32_t count, float *scores,
                       td_error *err)
{
    const td_baseline *baseline = user;
    const td_query_lists *lists = &baseline->lists;
    for (uint32_t i = 0; i < count; i++) {
        float *row = scores + (size_t)i * baseline->candidates;
        if (queries[i] >= lists->queries) {
            return td__fail(err, TD_ERR_ARGUMENT, "query %u is not there; the training part has %u",
                            queries[i], lists->queries);
        }
        uint64_t start = lists->offsets[queries[i]], end = lists->offsets[queries[i] + 1];
        memset(row, 0, baseline->candidates * sizeof *row);
        baseline->rule->score(baseline, lists->candidates + start, end - start, row);
    }
    return TD_OK;
}

td_scorer td_baseline_scorer(const td_baseline *baseline)
{
    /* `score` only reads. */
    return (td_scorer){.score = score, .user = (void *)(uintptr_t)baseline};
}
