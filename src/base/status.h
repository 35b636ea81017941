/* status.h -- how a function says that it failed.
 *
 * Serves: every stage.
 *
 * A function that can fail has one shape: `td_status status = TD_OK;` first, the work, then
 * `done:`, where what is still owned is released, and `return status;`. The two macros below are the
 * only ones that jump there. */
#ifndef TD_BASE_STATUS_H
#define TD_BASE_STATUS_H

#include "tandem/tandem.h"

#if defined(__GNUC__)
#define TD__PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define TD__PRINTF(format_index, first)
#endif

/* Fill `err` (may be NULL) and return `status`. */
td_status td__fail(td_error *err, td_status status, const char *format, ...) TD__PRINTF(3, 4);

/* The same, with the position in an input file: line from 1, byte from 0; 0 where not known. */
td_status td__fail_at(td_error *err, td_status status, uint64_t line, uint64_t byte,
                      const char *format, ...) TD__PRINTF(5, 6);

/* Put "prefix: " in front of the message of a failure that is being passed on. */
td_status td__fail_within(td_error *err, td_status status, const char *prefix);

#define TD_TRY(call)                                                                               \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != TD_OK) goto done;                                                            \
    } while (0)

#define TD_FAIL_IF(condition, err, code, ...)                                                      \
    do {                                                                                           \
        if (condition) {                                                                           \
            status = td__fail((err), TD_##code, __VA_ARGS__);                                      \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#endif
