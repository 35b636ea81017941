/* verb.h -- what a verb of the command line is: its words, its options, its function.
 *
 * Parsing (args.h), help, man pages and shell completion are all made from these descriptions, and
 * those from the option tables of the library. */
#ifndef TANDEM_CLI_VERB_H
#define TANDEM_CLI_VERB_H

#include "base/options.h"
#include "tandem/tandem.h"

/* Options that every verb has. First member of each verb's arguments. */
typedef struct cli_common {
    uint32_t threads;
    const char *kernel;
    bool json;
    bool quiet;
} cli_common;

const td_option_table *cli_common_option_table(void);

/* An options struct inside a verb's arguments. */
typedef struct cli_group {
    const char *title;
    const td_option_table *(*table)(void);
    size_t offset; /* of the struct in the arguments */
} cli_group;

/* One use of a flag on the command line. */
typedef struct cli_given {
    const cli_group *group;
    const td_option *row;
    const char *text;
} cli_given;

struct cli_verb;

/* A verb being run. */
typedef struct cli_call {
    const struct cli_verb *verb;
    td_context *context;
    void *arguments;             /* the verb's own struct */
    const cli_common *common;    /* its first member */
    const char **operands;       /* [operand_count] the words that are no flags */
    uint32_t operand_count;
    cli_given *given;            /* [given_count] flags in the order of the command line */
    uint32_t given_count;
} cli_call;

typedef struct cli_verb {
    const char *name;
    const char *summary;  /* half a line, no final stop */
    const char *operands; /* "MODEL FILE..." */
    uint32_t operands_min, operands_max;
    const char *about;   /* what for, one paragraph */
    const char *example; /* lines that work on the bundled data */
    const char *output;  /* what --json prints, one paragraph */
    const cli_group *groups;
    uint32_t group_count;
    size_t arguments_size;
    td_status (*run)(cli_call *call, td_error *err);
} cli_verb;

/* All verbs in the order of the help, ended by NULL. */
extern const cli_verb *const cli_verbs[];

extern const cli_verb cli_train, cli_tune, cli_evaluate, cli_recommend, cli_similar, cli_index,
    cli_update, cli_search, cli_bench, cli_export, cli_info, cli_check, cli_help, cli_version,
    cli_completion;

#define CLI_GROUPS(array) .groups = (array), .group_count = sizeof(array) / sizeof((array)[0])

#endif
