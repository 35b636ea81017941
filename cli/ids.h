/* ids.h -- lists of ids from flags and from files with one id a line. */
#ifndef TANDEM_CLI_IDS_H
#define TANDEM_CLI_IDS_H

#include "verb.h"

typedef struct cli_ids {
    td_context *context;
    uint32_t count;
    const char **ids; /* [count] NUL-terminated */
    char *bytes;      /* of the ids that came from a file */
    char *list_bytes; /* of the ids that came from lists with commas */
} cli_ids;

/* All texts of flag `flag`, then the lines of `path` (NULL: none; "-": standard input). Empty lines
 * are skipped. Undo with cli_ids_clear, also after a failure. */
TD_MUST_CHECK td_status cli_ids_read(cli_ids *ids, const cli_call *call, const char *flag,
                                     const char *path, td_error *err);
/* The same of flags whose text is a list, with commas between the ids. */
TD_MUST_CHECK td_status cli_ids_read_lists(cli_ids *ids, const cli_call *call, const char *flag,
                                           const char *path, td_error *err);
void cli_ids_clear(cli_ids *ids);

/* Position of an id; NOT_FOUND, naming `what` ("item"), if the vocabulary lacks it. */
TD_MUST_CHECK td_status cli_find(uint32_t *position, const td_vocab *vocab, const char *id,
                                 const char *what, td_error *err);

/* Candidate by title: a whole title wins; else exactly one title must contain the text. */
TD_MUST_CHECK td_status cli_find_title(uint32_t *position, const td_model *model, const char *text,
                                       td_error *err);

#endif
