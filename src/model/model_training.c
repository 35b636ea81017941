/* model_training.c -- how a model was trained, kept with it.
 *
 * Serves: stages 3 and 5. In: the trainer's name and options. Out: JSON text in the model and in its
 * file, and back. The model does not know its trainers: they hand in their own tables. */
#include <jansson.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "model/model.h"
#include "base/poison.h"

const char *td_model_training(const td_model *model)
{
    return model->training;
}

/* Replaces what was there only if there is memory for the new. */
static td_status keep(td_model *model, const json_t *record, td_error *err)
{
    td_status status = TD_OK;
    char *text = NULL;
    size_t bytes = json_dumpb(record, NULL, 0, JSON_COMPACT);
    TD_FAIL_IF(bytes == 0, err, ERR_MEMORY, "out of memory for JSON");
    TD_TRY(td__alloc_zero(&text, model->context, bytes + 1, 1, err));
    TD_FAIL_IF(json_dumpb(record, text, bytes, JSON_COMPACT) != bytes, err, ERR_MEMORY,
               "out of memory for JSON");
    td__free(model->context, model->training);
    model->training = text;
    return TD_OK;
done:
    td__free(model->context, text);
    return status;
}

td_status td__model_set_training(td_model *model, const char *trainer, const td_option_table *table,
                                 const void *options, td_error *err)
{
    td_status status = TD_OK;
    json_t *record = NULL, *object = NULL;
    TD_TRY(td__options_to_json(&object, table, options, err));
    record = json_pack("{s:s, s:O}", "trainer", trainer, "options", object);
    TD_FAIL_IF(record == NULL, err, ERR_MEMORY, "out of memory for JSON");
    TD_TRY(keep(model, record, err));
done:
    json_decref(object);
    json_decref(record);
    return status;
}

/* The record, or NULL with a reason; owned. */
static json_t *parse(const char *text, const char **reason)
{
    json_error_t error = {0};
    json_t *record = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    *reason = record == NULL ? "no JSON" : "no object with a trainer and its options";
    bool sound = json_is_string(json_object_get(record, "trainer"))
                 && json_is_object(json_object_get(record, "options"));
    if (sound) return record;
    json_decref(record);
    return NULL;
}

td_status td__model_load_training(td_model *model, const char *text, td_error *err)
{
    const char *reason;
    json_t *record = parse(text, &reason);
    if (record == NULL) {
        return td__fail(err, TD_ERR_CORRUPT, "how the model was trained is %s", reason);
    }
    td_status status = keep(model, record, err);
    json_decref(record);
    return status;
}

static void clear_texts(const td_option_table *table, void *options)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->rows[i].type != TD_OPTION_TEXT) continue;
        *(const char **)((char *)options + table->rows[i].offset) = NULL;
    }
}

td_status td__model_get_training(const td_model *model, const char *trainer,
                                 const td_option_table *table, void *options, td_error *err)
{
    const char *reason;
    td_options_init(table, options);
    json_t *record = model->training == NULL ? NULL : parse(model->training, &reason);
    const char *own = json_string_value(json_object_get(record, "trainer"));
    td_status status = TD_OK;
    if (own != NULL && strcmp(own, trainer) == 0) {
        status = td__options_from_json(table, options, json_object_get(record, "options"), err);
        clear_texts(table, options);
    }
    json_decref(record);
    return status;
}
