/* completion.c -- shell completion from the descriptions of the verbs.
 *
 * In: descriptions. Out: a script for bash, zsh or fish. */
#include <string.h>

#include "help.h"

/* Call `print` for each flag of the verb; a flag of several groups once. */
static void each_flag(FILE *out, const cli_verb *verb,
                      void (*print)(FILE *, const cli_verb *, const td_option *))
{
    for (uint32_t g = 0; g < verb->group_count; g++) {
        const td_option_table *table = verb->groups[g].table();
        for (uint32_t i = 0; i < table->count; i++) {
            bool before = false;
            for (uint32_t earlier = 0; earlier < g; earlier++) {
                before |= td_option_find(verb->groups[earlier].table(), table->rows[i].name)
                          != NULL;
            }
            if (!before) print(out, verb, &table->rows[i]);
        }
    }
}

static void print_verbs(FILE *out)
{
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        fprintf(out, "%s%s", verb == cli_verbs ? "" : " ", (*verb)->name);
    }
}

/* --- bash */

static void bash_flag(FILE *out, const cli_verb *verb, const td_option *row)
{
    (void)verb;
    fprintf(out, " --%s", row->name);
}

static void bash_choices(FILE *out, const cli_verb *verb, const td_option *row)
{
    if (row->type != TD_OPTION_CHOICE) return;
    fprintf(out, "    %s:--%s) COMPREPLY=($(compgen -W \"", verb->name, row->name);
    for (const char *c = row->choices; *c != '\0'; c++) fputc(*c == '|' ? ' ' : *c, out);
    fprintf(out, "\" -- \"$word\")); return ;;\n");
}

static void bash(FILE *out)
{
    fprintf(out, "# bash completion of tandem; made by: tandem completion bash\n"
                 "_tandem() {\n"
                 "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    local verb=${COMP_WORDS[1]}\n"
                 "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    print_verbs(out);
    fprintf(out, "\" -- \"$word\"))\n        return\n    fi\n    case $verb:$before in\n");
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        each_flag(out, *verb, bash_choices);
    }
    fprintf(out, "    esac\n    local flags=\n    case $verb in\n");
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        fprintf(out, "    %s) flags=\"--help", (*verb)->name);
        each_flag(out, *verb, bash_flag);
        fprintf(out, "\" ;;\n");
    }
    fprintf(out, "    esac\n    case $word in\n"
                 "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
                 "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
                 "    esac\n}\ncomplete -o filenames -F _tandem tandem\n");
}

/* --- zsh: help texts go between single quotes and brackets */

static void zsh_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') fputs("'\\''", out);
        else if (strchr("[]:\\", *text) != NULL) fprintf(out, "\\%c", *text);
        else fputc(*text, out);
    }
}

static void zsh_flag(FILE *out, const cli_verb *verb, const td_option *row)
{
    (void)verb;
    fprintf(out, " \\\n            '--%s[", row->name);
    zsh_text(out, row->help);
    fputc(']', out);
    if (row->type == TD_OPTION_CHOICE) {
        fputs(":value:(", out);
        for (const char *c = row->choices; *c != '\0'; c++) fputc(*c == '|' ? ' ' : *c, out);
        fputc(')', out);
    } else if (row->type != TD_OPTION_BOOL) {
        fputs(":value:_files", out);
    }
    fputc('\'', out);
}

static void zsh(FILE *out)
{
    fprintf(out, "#compdef tandem\n# made by: tandem completion zsh\n_tandem() {\n"
                 "    if (( CURRENT == 2 )); then\n        local -a verbs=(");
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        fprintf(out, "\n            '%s:", (*verb)->name);
        zsh_text(out, (*verb)->summary);
        fputc('\'', out);
    }
    fprintf(out, ")\n        _describe verb verbs\n        return\n    fi\n"
                 "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
                 "    case $verb in\n");
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        fprintf(out, "    %s)\n        _arguments '--help[explain this verb]'", (*verb)->name);
        each_flag(out, *verb, zsh_flag);
        fprintf(out, " '*:file:_files' ;;\n");
    }
    fprintf(out, "    esac\n}\n_tandem \"$@\"\n");
}

/* --- fish */

static void fish_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\') fputc('\\', out);
        fputc(*text, out);
    }
}

static void fish_flag(FILE *out, const cli_verb *verb, const td_option *row)
{
    fprintf(out, "complete -c tandem -n '__fish_seen_subcommand_from %s' -l %s -d '", verb->name,
            row->name);
    fish_text(out, row->help);
    fputc('\'', out);
    if (row->type == TD_OPTION_CHOICE) {
        fputs(" -x -a '", out);
        for (const char *c = row->choices; *c != '\0'; c++) fputc(*c == '|' ? ' ' : *c, out);
        fputc('\'', out);
    } else if (row->type != TD_OPTION_BOOL) {
        fputs(" -r", out);
    }
    fputc('\n', out);
}

static void fish(FILE *out)
{
    fprintf(out, "# fish completion of tandem; made by: tandem completion fish\n");
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        fprintf(out, "complete -c tandem -f -n __fish_use_subcommand -a %s -d '", (*verb)->name);
        fish_text(out, (*verb)->summary);
        fprintf(out, "'\n");
        each_flag(out, *verb, fish_flag);
    }
}

bool cli_completion_script(FILE *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0) bash(out);
    else if (strcmp(shell, "zsh") == 0) zsh(out);
    else if (strcmp(shell, "fish") == 0) fish(out);
    else return false;
    return true;
}
