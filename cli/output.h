/* output.h -- results on standard output: text that is safe on a terminal, and JSON. */
#ifndef TANDEM_CLI_OUTPUT_H
#define TANDEM_CLI_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "base/status.h"

/* Text from files: control characters become '?', so that no title drives the terminal. */
void cli_put(FILE *out, const char *text);
/* The same, cut or filled to `width` columns (characters, not bytes). */
void cli_put_padded(FILE *out, const char *text, int width);
/* Columns that cli_put needs. */
int cli_width(const char *text);

/* A JSON string; bytes that are no UTF-8 become U+FFFD, NULL becomes null. */
json_t *cli_json_text(const char *text);
/* Print and free. `root` may be NULL (no memory). */
TD_MUST_CHECK td_status cli_json_print(json_t *root, td_error *err);

/* "1,234,567" in a static ring of buffers. */
const char *cli_count(uint64_t count);

/* Can this file (--output) be written? Better to learn before the training than after it. */
TD_MUST_CHECK td_status cli_output_check(const char *path, td_error *err);

/* Flush standard output; IO if any of it could not be written. A reader that closed the pipe is
 * told apart by cli_pipe_closed. */
TD_MUST_CHECK td_status cli_output_end(td_error *err);
bool cli_pipe_closed(void);

#endif
