/* describe.c -- what a container file holds, as JSON.
 *
 * Serves: every stage, for those who look at files. In: a path. Out: text. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"

/* jansson's dump is a block of the C library's. */
static void free_dump(char *text)
{
    free(text);
}
#include "base/poison.h"

/* {"name":"m","dtype":"F32","shape":[2,3],"bytes":24} */
static json_t *describe_tensor(const td__tensor *tensor)
{
    json_t *shape = tensor->cols == 0
                        ? json_pack("[I]", (json_int_t)tensor->rows)
                        : json_pack("[I,I]", (json_int_t)tensor->rows, (json_int_t)tensor->cols);
    return json_pack("{s:s,s:s,s:o,s:I}", "name", tensor->name, "dtype",
                     td__dtype_name(tensor->dtype), "shape", shape, "bytes",
                     (json_int_t)td__tensor_bytes(tensor));
}

static bool describe_tensors(const td__container *container, json_t *array)
{
    for (uint32_t i = 0; i < td__container_count(container); i++) {
        json_t *row = describe_tensor(td__container_at(container, i));
        if (json_array_append_new(array, row) != 0) return false;
    }
    return true;
}

/* Metadata of the kind's own: not the keys that every file has. */
static json_t *describe_metadata(const td__container *container)
{
    json_t *own = json_object();
    json_t *all = (json_t *)(uintptr_t)td__container_metadata(container); /* only walked */
    const char *key;
    json_t *value;
    json_object_foreach(all, key, value)
    {
        if (strncmp(key, "tandem.", 7) == 0) continue;
        if (json_object_set(own, key, value) == 0) continue;
        json_decref(own);
        return NULL;
    }
    return own;
}

static td_status describe(const td__container *container, char **out, td_context *context,
                          td_error *err)
{
    td_status status = TD_OK;
    char *dump = NULL;
    json_t *tensors = json_array();
    json_t *all = json_pack("{s:s,s:I,s:s*,s:o,s:O}", "kind", td__container_kind(container),
                            "version", (json_int_t)td__container_version(container), "library",
                            td__container_get(container, "tandem.library"), "metadata",
                            describe_metadata(container), "tensors", tensors);
    TD_FAIL_IF(all == NULL || !describe_tensors(container, tensors), err, ERR_MEMORY,
               "out of memory for the description");
    dump = json_dumps(all, JSON_INDENT(2));
    TD_FAIL_IF(dump == NULL, err, ERR_MEMORY, "out of memory for the description");
    TD_TRY(td__copy_text(out, context, dump, strlen(dump), err));
done:
    free_dump(dump);
    json_decref(tensors);
    json_decref(all);
    return status;
}

td_status td_file_describe(char **description, td_context *context, const char *path, td_error *err)
{
    td__container *container;
    *description = NULL;
    td_status status = td__container_open(&container, context, path, NULL, UINT32_MAX, err);
    if (status != TD_OK) return status;
    status = describe(container, description, context, err);
    td__container_close(container);
    return status;
}

void td_text_free(td_context *context, char *text)
{
    td__free(context, text);
}
