/* man.c -- man pages from the descriptions of the verbs.
 *
 * In: descriptions. Out: troff source for man(7). */
#include <string.h>

#include "help.h"

/* Text as troff: hyphens that can be copied, no line that starts a request. */
static void put(FILE *out, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) fputs("\\&", out);
        if (*text == '-') fputs("\\-", out);
        else if (*text == '\\') fputs("\\e", out);
        else if (*text == '|') fputs("|\\:", out); /* a line may end here */
        else fputc(*text, out);
        line_start = *text == '\n';
    }
}

static void header(FILE *out, const char *page)
{
    fprintf(out, ".TH %s 1 \"\" \"Tandem %s\" \"Tandem Manual\"\n.ad l\n", page, td_version());
}

static void section(FILE *out, const char *title, const char *text)
{
    if (text == NULL) return;
    fprintf(out, ".SH %s\n", title);
    put(out, text);
    fputc('\n', out);
}

static void example(FILE *out, const char *text)
{
    if (text == NULL) return;
    fputs(".SH EXAMPLE\n.nf\n", out);
    put(out, text);
    fputs("\n.fi\n", out);
}

static void options(FILE *out, const cli_group *group)
{
    const td_option_table *table = group->table();
    fputs(".SS ", out);
    put(out, group->title);
    fputc('\n', out);
    for (uint32_t i = 0; i < table->count; i++) {
        char flag[160], facts[400];
        cli_flag_text(flag, sizeof flag, &table->rows[i]);
        cli_flag_facts(facts, sizeof facts, &table->rows[i]);
        char *value = strchr(flag, ' ');
        if (value != NULL) *value++ = '\0';
        fputs(".TP\n\\fB", out);
        put(out, flag);
        fputs("\\fR", out);
        if (value != NULL) fprintf(out, " \\fI%s\\fR", value);
        fputc('\n', out);
        put(out, table->rows[i].help);
        if (facts[0] != '\0') {
            fputs(" (", out);
            put(out, facts);
            fputs(")", out);
        }
        fputc('\n', out);
    }
}

static void exit_codes(FILE *out)
{
    fputs(".SH EXIT STATUS\n", out);
#define ROW(name, value, code, http, sentence)                                                     \
    fprintf(out, ".TP\n\\fB%d\\fR\n", code);                                                       \
    put(out, sentence);                                                                            \
    fputc('\n', out);
    TD_STATUS_MAP(ROW)
#undef ROW
}

void cli_man_verb(FILE *out, const cli_verb *verb)
{
    char page[64];
    snprintf(page, sizeof page, "tandem-%s", verb->name);
    header(out, page);
    fprintf(out, ".SH NAME\ntandem\\-%s \\- ", verb->name);
    put(out, verb->summary);
    fprintf(out, "\n.SH SYNOPSIS\n\\fBtandem %s\\fR ", verb->name);
    put(out, verb->operands);
    fputs(" [\\fIOPTION\\fR...]\n", out);
    section(out, "DESCRIPTION", verb->about);
    fputs(".SH OPTIONS\n", out);
    for (uint32_t g = 0; g < verb->group_count; g++) options(out, &verb->groups[g]);
    section(out, "JSON OUTPUT", verb->output);
    example(out, verb->example);
    exit_codes(out);
    fputs(".SH SEE ALSO\n.BR tandem (1)\n", out);
}

void cli_man_overview(FILE *out)
{
    header(out, "tandem");
    fputs(".SH NAME\ntandem \\- two\\-tower retrieval: train, evaluate, recommend, search\n"
          ".SH SYNOPSIS\n\\fBtandem\\fR \\fIVERB\\fR ... [\\fIOPTION\\fR...]\n", out);
    section(out, "DESCRIPTION",
            "Tandem learns vectors of queries (users) and candidates (items) from a file of "
            "interactions, measures how well they retrieve what was held out, and returns the best "
            "candidates of a query. Results go to standard output, progress and errors to standard "
            "error. Every verb takes --json, --threads and --help.");
    fputs(".SH VERBS\n", out);
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        fprintf(out, ".TP\n.BR tandem\\-%s (1)\n", (*verb)->name);
        put(out, (*verb)->summary);
        fputc('\n', out);
    }
    exit_codes(out);
}
