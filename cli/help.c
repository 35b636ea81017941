/* help.c -- what --help prints.
 *
 * In: descriptions of verbs. Out: text of at most 80 columns. */
#include "help.h"

#include <string.h>

enum { WIDTH = 80, OPTION_COLUMN = 30 };

void cli_flag_text(char *text, size_t capacity, const td_option *row)
{
    const char *value = row->value;
    if (value == NULL) value = row->type == TD_OPTION_CHOICE ? "NAME" : "VALUE";
    if (row->type == TD_OPTION_BOOL) {
        bool on = row->initial != NULL && strcmp(row->initial, "true") == 0;
        snprintf(text, capacity, "--%s%s", on ? "no-" : "", row->name);
    } else {
        snprintf(text, capacity, "--%s %s", row->name, value);
    }
}

void cli_flag_facts(char *text, size_t capacity, const td_option *row)
{
    text[0] = '\0';
    if (row->type == TD_OPTION_BOOL) {
        bool on = row->initial != NULL && strcmp(row->initial, "true") == 0;
        if (on) snprintf(text, capacity, "this switches it off");
    } else if (row->type == TD_OPTION_CHOICE) {
        snprintf(text, capacity, "%s; default: %s", row->choices, row->initial);
    } else if (row->initial != NULL && row->initial[0] != '\0') {
        snprintf(text, capacity, "default: %s", row->initial);
    }
}

/* Words of `text` from `column` on, lines begun at `indent`; no newline at the end. */
static void wrap(FILE *out, const char *text, int column, int indent)
{
    const char *word = text;
    bool first = true;
    while (*word != '\0') {
        int length = (int)strcspn(word, " ");
        if (!first && column + 1 + length > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", length, word);
        column += length + !first;
        first = false;
        word += length;
        word += strspn(word, " ");
    }
}

static void print_option(FILE *out, const td_option *row)
{
    char flag[160], facts[400], text[1000];
    cli_flag_text(flag, sizeof flag, row);
    cli_flag_facts(facts, sizeof facts, row);
    snprintf(text, sizeof text, facts[0] != '\0' ? "%s (%s)" : "%s", row->help, facts);
    if (strlen(flag) <= OPTION_COLUMN - 4) fprintf(out, "  %-*s", OPTION_COLUMN - 2, flag);
    else fprintf(out, "  %s\n%*s", flag, OPTION_COLUMN, "");
    wrap(out, text, OPTION_COLUMN, OPTION_COLUMN);
    fputc('\n', out);
}

static void print_example(FILE *out, const char *example)
{
    for (const char *line = example; *line != '\0';) {
        int length = (int)strcspn(line, "\n");
        fprintf(out, "  %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
}

void cli_help_verb(FILE *out, const cli_verb *verb)
{
    fprintf(out, "tandem %s - %s\n\n", verb->name, verb->summary);
    wrap(out, verb->about, 0, 0);
    fprintf(out, "\n\nUsage\n  tandem %s %s%s[OPTION...]\n", verb->name, verb->operands,
            verb->operands[0] != '\0' ? " " : "");
    if (verb->example != NULL) {
        fprintf(out, "\nExample\n");
        print_example(out, verb->example);
    }
    for (uint32_t g = 0; g < verb->group_count; g++) {
        const td_option_table *table = verb->groups[g].table();
        fprintf(out, "\n%s\n", verb->groups[g].title);
        for (uint32_t i = 0; i < table->count; i++) print_option(out, &table->rows[i]);
    }
    if (verb->output != NULL) {
        fprintf(out, "\nWith --json\n  ");
        wrap(out, verb->output, 2, 2);
        fputc('\n', out);
    }
}

void cli_help_overview(FILE *out)
{
    fprintf(out, "tandem - learn from interactions what to recommend, measure it, search it\n\n"
                 "Usage\n  tandem VERB ... [OPTION...]\n\nVerbs\n");
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        fprintf(out, "  %-12s%s\n", (*verb)->name, (*verb)->summary);
    }
    fprintf(out, "\nExample\n");
    print_example(out, "tandem train data/ml-latest-small/ratings.csv \\\n"
                       "    --items data/ml-latest-small/movies.csv -o movies.tandem\n"
                       "tandem recommend movies.tandem --user 7");
    fprintf(out,
            "\ntandem VERB --help explains a verb. Results go to standard output, progress and\n"
            "errors to standard error; every verb takes --json.\n");
}
