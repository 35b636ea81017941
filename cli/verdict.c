/* verdict.c -- what a user should be warned of when a model is measured.
 *
 * In: the metrics of a model and of baselines. Out: sentences.
 *
 * Three things go wrong unseen: a model that simple counting beats; one that gives everybody the
 * same list; and one that knows few of its candidates. All are judged at the k nearest to 10. The
 * bounds lie between the list of the most popular and everything sound (docs/table.md). */
#include <stdio.h>

#include "metrics.h"

/* More than this share of a list stands in another's, chance aside: everybody gets the same. */
static const double OVERLAP_MAX = 0.5;
/* Less than this share of the candidates that the lists have room for is in them. */
static const double COVERAGE_MIN = 0.02;

uint32_t cli_judged_at(const td_metrics *metrics)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < metrics->count; i++) {
        int64_t own = (int64_t)metrics->at[i].k - 10, now = (int64_t)metrics->at[best].k - 10;
        if ((own < 0 ? -own : own) < (now < 0 ? -now : now)) best = i;
    }
    return best;
}

static char *next(cli_warnings *warnings)
{
    return warnings->text[warnings->count++];
}

/* The baseline that is furthest above the model, if any is not below it. */
static void judge_quality(cli_warnings *warnings, const cli_comparison *comparison, uint32_t at)
{
    const cli_system *best = &comparison->systems[0];
    double own = best->metrics.at[at].ndcg;
    for (uint32_t i = 1; i < comparison->count; i++) {
        const cli_system *other = &comparison->systems[i];
        bool above = other->metrics.at[at].ndcg >= best->metrics.at[at].ndcg;
        if (other->metrics.at[at].ndcg >= own && above) best = other;
    }
    if (best == &comparison->systems[0]) return;
    snprintf(next(warnings), CLI_WARNING_BYTES,
             "the model does not beat %s: NDCG@%u %.4f against %.4f; "
             "try the other --trainer, or tandem tune",
             best->name, best->metrics.at[at].k, own, best->metrics.at[at].ndcg);
}

/* Lists of k out of few candidates cannot but overlap: k of N by chance. */
static void judge_overlap(cli_warnings *warnings, const td_metrics_at *model, uint32_t candidates)
{
    double chance = (double)model->k / (double)candidates;
    if (model->overlap - chance <= OVERLAP_MAX * (1 - chance)) return;
    snprintf(next(warnings), CLI_WARNING_BYTES,
             "everybody gets much the same: %.0f %% of a query's top %u stand in that of any "
             "other; train longer, or with --similarity cosine --temperature 0.1 and "
             "--sampling-correction counts",
             100 * model->overlap, model->k);
}

static void judge_coverage(cli_warnings *warnings, const cli_comparison *comparison, uint32_t at)
{
    const td_metrics *model = &comparison->systems[0].metrics;
    double room = (double)model->queries * (double)model->at[at].k;
    double share = room / (double)comparison->candidates;
    if (share > 1) share = 1;
    if (model->at[at].coverage >= COVERAGE_MIN * share) return;
    snprintf(next(warnings), CLI_WARNING_BYTES,
             "hardly any candidates are recommended: %.2f %% of them stand in some top %u, where "
             "there is room for %.0f %%; train longer, or with a lower --temperature",
             100 * model->at[at].coverage, model->at[at].k, 100 * share);
}

void cli_judge(cli_warnings *warnings, const cli_comparison *comparison)
{
    const td_metrics *model = &comparison->systems[0].metrics;
    warnings->count = 0;
    if (model->queries == 0 || model->count == 0 || comparison->candidates == 0) return;
    uint32_t at = cli_judged_at(model);
    judge_quality(warnings, comparison, at);
    if (model->at[at].k < comparison->candidates) {
        judge_overlap(warnings, &model->at[at], comparison->candidates);
    }
    judge_coverage(warnings, comparison, at);
}
