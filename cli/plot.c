/* plot.c -- a search over settings as a picture.
 *
 * In: trials. Out: an SVG file that any browser shows. One panel has the scores in the order of the
 * trials, one for each setting the scores against it: where the best lie high, and where a range
 * should be wider. Darker points trained longer; a ring is the best. */
#include "plot.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { PANEL_WIDTH = 300, PANEL_HEIGHT = 220, COLUMNS = 3, MARGIN = 40, LINE_MAX_BYTES = 1024 };

typedef struct canvas {
    td__writer *writer;
    td_status status;
    td_error *err;
    double low, high; /* scores at the bottom and the top */
} canvas;

__attribute__((format(printf, 2, 3))) static void draw(canvas *c, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list arguments;
    if (c->status != TD_OK) return;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text) length = (int)sizeof text - 1;
    c->status = td__writer_write(c->writer, text, (uint64_t)length, c->err);
}

static bool is_shown(const td_tune_trial *trial)
{
    return isfinite(trial->score);
}

static const td_tune_trial *best_of(const cli_plot *plot)
{
    const td_tune_trial *best = NULL;
    for (uint32_t i = 0; i < plot->trials->count; i++) {
        const td_tune_trial *trial = &plot->trials->trials[i];
        if (is_shown(trial) && (best == NULL || trial->score > best->score)) best = trial;
    }
    return best;
}

static void find_scores(canvas *c, const cli_plot *plot)
{
    bool any = false;
    for (uint32_t i = 0; i < plot->trials->count; i++) {
        double score = plot->trials->trials[i].score;
        if (!is_shown(&plot->trials->trials[i])) continue;
        if (!any || score < c->low) c->low = score;
        if (!any || score > c->high) c->high = score;
        any = true;
    }
    if (c->high <= c->low) c->high = c->low + 1e-3;
}

/* Where a setting lies in its range, [0, 1]; negative: the trial has the default. */
static double place(const td_tune_trial *trial, const td_tune_range *range)
{
    for (uint32_t i = 0; i < trial->count; i++) {
        if (strcmp(trial->settings[i].option, range->option) != 0) continue;
        const char *text = trial->settings[i].text;
        if (range->choices != NULL) {
            double before = 0, count = 1;
            const char *found = strstr(range->choices, text);
            for (const char *p = range->choices; *p != '\0'; p++) {
                if (*p != '|') continue;
                count++;
                before += found != NULL && p < found;
            }
            return (before + 0.5) / count;
        }
        double value = strtod(text, NULL);
        if (range->logarithmic) return log(value / range->min) / log(range->max / range->min);
        return (value - range->min) / (range->max - range->min);
    }
    return -1;
}

static void draw_point(canvas *c, const cli_plot *plot, const td_tune_trial *trial, double x)
{
    static const char *const colors[] = {"#9ecae1", "#4292c6", "#08306b"};
    uint32_t shade = trial->rounds > 1 ? 2 * trial->round / (trial->rounds - 1) : 2;
    double y = (trial->score - c->low) / (c->high - c->low);
    if (!is_shown(trial) || x < 0) return;
    draw(c, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"%s><title>trial %u, round %u: %.4f",
         MARGIN + x * (PANEL_WIDTH - 2 * MARGIN),
         PANEL_HEIGHT - MARGIN - y * (PANEL_HEIGHT - 2 * MARGIN), colors[shade],
         trial == best_of(plot) ? " stroke=\"#d62728\" stroke-width=\"2\"" : "", trial->number,
         trial->round + 1, trial->score);
    for (uint32_t i = 0; i < trial->count; i++) {
        draw(c, "%s %s %s", i > 0 ? "," : ";", trial->settings[i].option, trial->settings[i].text);
    }
    draw(c, "</title></circle>\n");
}

static void draw_text(canvas *c, double x, double y, const char *anchor, const char *text)
{
    draw(c, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, text);
}

static void draw_frame(canvas *c, uint32_t panel, const char *title, const char *left,
                       const char *right)
{
    char number[32];
    draw(c, "<g transform=\"translate(%u,%u)\">\n", panel % COLUMNS * PANEL_WIDTH,
         panel / COLUMNS * PANEL_HEIGHT);
    draw(c, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#999\"/>\n",
         MARGIN - 8, MARGIN - 8, PANEL_WIDTH - 2 * MARGIN + 16, PANEL_HEIGHT - 2 * MARGIN + 16);
    draw_text(c, PANEL_WIDTH / 2.0, MARGIN - 16, "middle", title);
    draw_text(c, MARGIN, PANEL_HEIGHT - MARGIN + 22, "start", left);
    draw_text(c, PANEL_WIDTH - MARGIN, PANEL_HEIGHT - MARGIN + 22, "end", right);
    snprintf(number, sizeof number, "%.3f", c->high);
    draw_text(c, MARGIN - 10, MARGIN, "end", number);
    snprintf(number, sizeof number, "%.3f", c->low);
    draw_text(c, MARGIN - 10, PANEL_HEIGHT - MARGIN, "end", number);
}

static void draw_order(canvas *c, const cli_plot *plot)
{
    uint32_t count = plot->trials->count;
    draw_frame(c, 0, plot->score, "first trial", "last");
    for (uint32_t i = 0; i < count; i++) {
        double x = count < 2 ? 0.5 : (double)i / (count - 1);
        draw_point(c, plot, &plot->trials->trials[i], x);
    }
    draw(c, "</g>\n");
}

static void draw_range(canvas *c, const cli_plot *plot, uint32_t r)
{
    const td_tune_range *range = &plot->ranges[r];
    char left[64], right[64];
    if (range->choices != NULL) {
        snprintf(left, sizeof left, "%s", range->choices);
        right[0] = '\0';
    } else {
        snprintf(left, sizeof left, "%g", range->min);
        snprintf(right, sizeof right, "%g%s", range->max, range->logarithmic ? " (log)" : "");
    }
    draw_frame(c, r + 1, range->option, left, right);
    for (uint32_t i = 0; i < plot->trials->count; i++) {
        const td_tune_trial *trial = &plot->trials->trials[i];
        draw_point(c, plot, trial, place(trial, range));
    }
    draw(c, "</g>\n");
}

td_status cli_plot_write(const cli_plot *plot, td_context *context, const char *path, td_error *err)
{
    canvas c = {.err = err};
    uint32_t rows = (plot->range_count + COLUMNS) / COLUMNS;
    c.status = td__writer_create(&c.writer, context, path, err);
    if (c.status != TD_OK) return c.status;
    find_scores(&c, plot);
    draw(&c, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" "
             "font-family=\"sans-serif\" font-size=\"11\">\n"
             "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
         COLUMNS * PANEL_WIDTH, rows * PANEL_HEIGHT);
    draw_order(&c, plot);
    for (uint32_t r = 0; r < plot->range_count; r++) draw_range(&c, plot, r);
    draw(&c, "</svg>\n");
    if (c.status == TD_OK) return td__writer_commit(c.writer, err);
    td__writer_abandon(c.writer);
    return c.status;
}
