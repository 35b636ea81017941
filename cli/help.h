/* help.h -- the descriptions of verbs as help text, man page and shell completion. */
#ifndef TANDEM_CLI_HELP_H
#define TANDEM_CLI_HELP_H

#include <stdio.h>

#include "verb.h"

void cli_help_overview(FILE *out);
void cli_help_verb(FILE *out, const cli_verb *verb);

/* troff source of tandem(1), or of tandem-VERB(1). */
void cli_man_overview(FILE *out);
void cli_man_verb(FILE *out, const cli_verb *verb);

/* A completion script; false if the shell is none of bash, zsh, fish. */
bool cli_completion_script(FILE *out, const char *shell);

/* "--name VALUE", as help and man page show it. */
void cli_flag_text(char *text, size_t capacity, const td_option *row);
/* "default: 0.1", "one of a|b|c; default: a", or "" if there is nothing to say. */
void cli_flag_facts(char *text, size_t capacity, const td_option *row);

#endif
