/* progress.c -- a bar on standard error while long work is under way.
 *
 * In: reports of the library. Out: one line that is drawn over, and a line for each epoch done. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR = 24 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
}

static void print_rate(double rate, const char *unit)
{
    const char *scale = "";
    if (rate >= 1e6) rate /= 1e6, scale = "M";
    else if (rate >= 1e3) rate /= 1e3, scale = "k";
    fprintf(stderr, " %.3g%s %s/s", rate, scale, unit);
}

static void print_bar(const td_progress *report)
{
    double share = (double)report->done / (double)report->total;
    int full = (int)(share * BAR + 0.5);
    fputs(" [", stderr);
    for (int i = 0; i < BAR; i++) fputc(i < full ? '=' : ' ', stderr);
    fprintf(stderr, "] %3.0f%%", share * 100);
}

static void print_remaining(const td_progress *report)
{
    if (report->done == 0 || report->seconds < 0.5) return;
    double left = report->seconds * (double)(report->total - report->done) / (double)report->done;
    fprintf(stderr, ", %d:%02d left", (int)left / 60, (int)left % 60);
}

/* The line of an epoch that is over stays on the screen. */
static void keep_epoch(cli_progress *progress)
{
    if (progress->epoch == 0) return;
    fprintf(stderr, "\r\033[Kepoch %u  loss %.6g  %.2f s\n", progress->epoch, progress->loss,
            progress->seconds);
    progress->epoch = 0;
}

static bool report(void *user, const td_progress *report)
{
    cli_progress *progress = user;
    if (!progress->shown) return !interrupted;
    bool trains = strcmp(report->stage, "train") == 0;
    if (!trains || report->epoch != progress->epoch) keep_epoch(progress);
    if (trains) {
        progress->epoch = report->epoch;
        progress->loss = report->loss;
        progress->seconds = report->seconds;
    }
    fprintf(stderr, "\r\033[K%s", report->stage);
    if (report->epoch > 0) fprintf(stderr, " %u/%u", report->epoch, report->epochs);
    if (report->total > 0 && report->done <= report->total) print_bar(report);
    if (report->seconds > 0) print_rate((double)report->done / report->seconds, report->unit);
    if (report->epoch > 0) fprintf(stderr, ", loss %.4g", report->loss);
    if (report->total > 0 && report->done <= report->total) print_remaining(report);
    fflush(stderr);
    return !interrupted;
}

td_progress_hook cli_progress_start(cli_progress *progress, const cli_call *call)
{
    *progress = (cli_progress){.shown = isatty(STDERR_FILENO) && !call->common->quiet};
    signal(SIGINT, on_interrupt);
    return (td_progress_hook){.report = report, .user = progress};
}

void cli_progress_end(cli_progress *progress)
{
    if (!progress->shown) return;
    keep_epoch(progress);
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->shown = false;
}
