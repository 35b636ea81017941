/* container_options.c -- options kept in a container's metadata.
 *
 * Serves: stages 3 and 5. In: options. Out: JSON text in the file, and back. */
#include "base/container_options.h"

#include <jansson.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/poison.h"

td_status td__container_set_options(td__container_writer *writer, td_context *context,
                                    const char *key, const td_option_table *table,
                                    const void *options, td_error *err)
{
    td_status status = TD_OK;
    json_t *object = NULL;
    char *text = NULL;
    TD_TRY(td__options_to_json(&object, table, options, err));
    size_t bytes = json_dumpb(object, NULL, 0, JSON_COMPACT);
    TD_FAIL_IF(bytes == 0, err, ERR_MEMORY, "out of memory for JSON");
    TD_TRY(td__alloc_zero(&text, context, bytes + 1, 1, err));
    TD_FAIL_IF(json_dumpb(object, text, bytes, JSON_COMPACT) != bytes, err, ERR_MEMORY,
               "out of memory for JSON");
    TD_TRY(td__container_set(writer, key, text, err));
done:
    json_decref(object);
    td__free(context, text);
    return status;
}

static void clear_texts(const td_option_table *table, void *options)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->rows[i].type != TD_OPTION_TEXT) continue;
        *(const char **)((char *)options + table->rows[i].offset) = NULL;
    }
}

td_status td__container_get_options(const td__container *container, const char *key,
                                    const td_option_table *table, void *options, td_error *err)
{
    td_status status = TD_OK;
    json_t *object = NULL;
    json_error_t reason = {0};
    td_options_init(table, options);
    const char *text = td__container_get(container, key);
    TD_FAIL_IF(text == NULL, err, ERR_CORRUPT, "the options \"%s\" are missing", key);
    object = json_loads(text, JSON_REJECT_DUPLICATES, &reason);
    TD_FAIL_IF(object == NULL, err, ERR_CORRUPT, "the options \"%s\" are no JSON: %s", key, reason.text);
    TD_TRY(td__options_from_json(table, options, object, err));
done:
    clear_texts(table, options);
    json_decref(object);
    if (status == TD_ERR_ARGUMENT && err != NULL) err->status = TD_ERR_CORRUPT;
    return status == TD_ERR_ARGUMENT ? TD_ERR_CORRUPT : status;
}
