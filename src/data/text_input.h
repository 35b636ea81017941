/* text_input.h -- the bytes of a text file, plain or gzip, as a window that slides over them.
 *
 * Serves: stage 1. Whether a file is gzip is told by its first bytes, not by its name. Reads in
 * blocks rather than mapping, so that pipes work and a file that shrinks meanwhile is an error, not
 * a signal. One thread at a time. */
#ifndef TD_DATA_TEXT_INPUT_H
#define TD_DATA_TEXT_INPUT_H

#include "base/context.h"
#include "base/status.h"

typedef struct td__text_input td__text_input;

/* What can be seen of the text. Borrowed until the next slide. */
typedef struct td__text_window {
    const char *bytes;
    size_t count;
    uint64_t offset; /* of `bytes` in the text, after decompression */
    bool last;       /* the text ends with this window */
} td__text_window;

/* NOT_FOUND, IO; UNSUPPORTED for a file that starts like another kind of archive or like UTF-16. */
TD_MUST_CHECK td_status td__text_input_open(td__text_input **out, td_context *context,
                                            const char *path, td_error *err);
void td__text_input_close(td__text_input *input);

/* Let go of the first `used` bytes and read on: the new window holds what was left and more behind, and
 * is last if that is all. It is twice as long if nothing could be let go. IO; CORRUPT for gzip data
 * that is damaged or ends too early. */
TD_MUST_CHECK td_status td__text_input_slide(td__text_input *input, size_t used,
                                             td__text_window *window, td_error *err);

/* Progress: how many bytes were read of the file as it is stored. */
uint64_t td__text_input_position(const td__text_input *input);

#endif
