/* contest.c -- the two trainers of recipe auto against each other.
 *
 * In: a model trained by softmax, and the parts. Out: that model, or a better
 * one trained by iALS. */
#include "contest.h"

#include <stdio.h>

#include "args.h"

/* Take the place of the best so far, whose model `*other` becomes. */
static void keep(const cli_contest *contest, const cli_training *training, td_model **other,
                 const td_train_report *report)
{
    td_model *worse = *contest->model;
    *contest->model = *other;
    *other = worse;
    *contest->training = *training;
    *contest->report = *report;
}

static void print_settings(const cli_training *training)
{
    fprintf(stderr, "iALS, unobserved weight %g, regularization %g, dim %u",
            (double)training->ials.unobserved_weight, (double)training->ials.regularization,
            training->model.dim);
}

static td_status try_ials(const cli_contest *contest, const cli_training *training, td_error *err)
{
    td_status status = TD_OK;
    td_model *other = NULL;
    td_train_report report;
    TD_TRY(td_model_create(&other, contest->call->context, contest->parts->train, contest->catalog,
                           &training->model, err));
    TD_TRY(cli_training_run(training, contest->call, other, contest->parts, &report, err));
    if (!contest->call->common->quiet) {
        print_settings(training);
        fprintf(stderr, ": %.4f in epoch %u\n", report.best_monitor, report.best_epoch);
    }
    if (report.best_monitor > contest->report->best_monitor) {
        keep(contest, training, &other, &report);
    }
done:
    td_model_free(other);
    return status;
}

static void print_winner(const cli_contest *contest)
{
    const cli_training *training = contest->training;
    if (contest->call->common->quiet) return;
    if (training->trainer == CLI_TRAINER_SOFTMAX) {
        fputs("the softmax is the best of them, and is kept\n", stderr);
        return;
    }
    fputs("the best of them, and kept: ", stderr);
    print_settings(training);
    fputc('\n', stderr);
}

/* Settings number `n` for `towers`, whose dimension stays if a flag set it. Returns how many there
 * are. */
static uint32_t take_settings(const cli_call *call, const td_model_options *towers,
                              const td_data_size *size, uint32_t n, cli_training *training)
{
    bool given = cli_given_texts(call, "dim", NULL, 0) > 0;
    training->model = *towers;
    uint32_t count = td_ials_recommend(size, n, &training->model, &training->ials);
    if (given) training->model.dim = towers->dim;
    return count;
}

td_model_options cli_contest_largest(const cli_call *call, const td_model_options *towers,
                                     const td_data_size *size)
{
    cli_training training = {0};
    td_model_options largest = *towers;
    for (uint32_t n = 0; n < take_settings(call, towers, size, n, &training); n++) {
        if (training.model.dim > largest.dim) largest = training.model;
    }
    return largest;
}

td_status cli_contest_run(const cli_contest *contest, const td_model_options *towers,
                          const td_data_size *size, td_error *err)
{
    td_status status = TD_OK;
    cli_training training = *contest->training;
    training.trainer = CLI_TRAINER_IALS;
    for (uint32_t n = 0; n < take_settings(contest->call, towers, size, n, &training); n++) {
        TD_TRY(try_ials(contest, &training, err));
    }
    print_winner(contest);
done:
    return status;
}
