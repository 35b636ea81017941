/* container_options.h -- options kept in a container's metadata.
 *
 * Serves: stages 3 and 5. */
#ifndef TD_BASE_CONTAINER_OPTIONS_H
#define TD_BASE_CONTAINER_OPTIONS_H

#include "base/container.h"

/* Keep all options as JSON text under `key`. */
TD_MUST_CHECK td_status td__container_set_options(td__container_writer *writer, td_context *context,
                                                  const char *key, const td_option_table *table,
                                                  const void *options, td_error *err);

/* Read them back over the defaults; TEXT fields become NULL. CORRUPT, with the reason, if they are
 * missing, unreadable or not allowed. */
TD_MUST_CHECK td_status td__container_get_options(const td__container *container, const char *key,
                                                  const td_option_table *table, void *options,
                                                  td_error *err);

#endif
