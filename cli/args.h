/* args.h -- the command line becomes the arguments of a verb. */
#ifndef TANDEM_CLI_ARGS_H
#define TANDEM_CLI_ARGS_H

#include "verb.h"

/* NULL if there is none of this name. */
const cli_verb *cli_verb_find(const char *name);

/* The nearest of `names` [count] by edit distance, or NULL if none is near. */
const char *cli_nearest(const char *name, const char *const *names, uint32_t count);

/* Fill `call` from the words after the verb. Sets `*help` and stops at --help. Flags take their
 * value from "--name value", "--name=value" or, for -o and -k, "-kvalue"; switches are "--name",
 * "--no-name" or "--name=yes". A flag that several groups have (--seed) sets all of them. The words
 * are borrowed. Undo with cli_call_clear, also after a failure. */
TD_MUST_CHECK td_status cli_parse(cli_call *call, const cli_verb *verb, int argc, char **argv,
                                  bool *help, td_error *err);
void cli_call_clear(cli_call *call);

/* How often a flag was given; the texts of all uses. `texts` [capacity] may be NULL. */
uint32_t cli_given_texts(const cli_call *call, const char *name, const char **texts,
                         uint32_t capacity);
/* Was any flag of the table given? */
bool cli_given_any(const cli_call *call, const td_option_table *table);

#endif
