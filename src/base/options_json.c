/* options_json.c -- options as a JSON object and back.
 *
 * Serves: stages 3 and 5, where files keep the configuration they were made with.
 * Values pass through their text form, so JSON can hold nothing that td_options_set would refuse.
 */
#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/options.h"
#include "base/utf8.h"

#include "base/poison.h"

/* Longest text of a value but TEXT: a list. */
enum { VALUE_TEXT = TD_U32_LIST_MAX * 11 + 1 };

static td_status fail_memory(td_error *err)
{
    return td__fail(err, TD_ERR_MEMORY, "out of memory for JSON");
}

/* "0.1" is nicer than 0.10000000149011612, and the same float if it reads back. */
static json_t *json_of_f32(float value, const char *text)
{
    double nice = (double)value;
    (void)td__decimal_read_f64(text, &nice);
    return json_real((float)nice == value ? nice : (double)value);
}

static json_t *json_of_list(const td_u32_list *list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count && array != NULL; i++) {
        if (json_array_append_new(array, json_integer((json_int_t)list->values[i])) == 0) continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

/* One field. `text` is its text form, empty for TEXT. */
static json_t *json_of_field(const td_option *row, const void *field, const char *text)
{
    switch (row->type) {
    case TD_OPTION_BOOL:
        return json_boolean(*(const bool *)field);
    case TD_OPTION_U32:
        return json_integer((json_int_t) * (const uint32_t *)field);
    case TD_OPTION_U64:
        if (*(const uint64_t *)field > INT64_MAX) return json_string(text);
        return json_integer((json_int_t) * (const uint64_t *)field);
    case TD_OPTION_I64:
        return json_integer((json_int_t) * (const int64_t *)field);
    case TD_OPTION_F32:
        if (!isfinite(*(const float *)field)) return json_string(text);
        return json_of_f32(*(const float *)field, text);
    case TD_OPTION_F64:
        if (!isfinite(*(const double *)field)) return json_string(text);
        return json_real(*(const double *)field);
    case TD_OPTION_CHOICE:
        return json_string(text);
    case TD_OPTION_TEXT: {
        const char *const *value = field;
        return *value != NULL ? json_string(*value) : json_null();
    }
    case TD_OPTION_U32_LIST:
        return json_of_list(field);
    }
    return NULL;
}

static td_status add_field(json_t *object, const td_option_table *table, const td_option *row,
                           const void *options, td_error *err)
{
    char text[VALUE_TEXT] = "";
    const void *field = (const char *)options + row->offset;
    if (row->type == TD_OPTION_TEXT) {
        const char *const *value = field;
        if (*value != NULL && !td__is_utf8(*value)) {
            return td__fail(err, TD_ERR_ARGUMENT, "option %s: the text is not UTF-8", row->name);
        }
    } else {
        td_status status = td_options_get(table, options, row->name, text, sizeof text, err);
        if (status != TD_OK) return status;
    }
    json_t *value = json_of_field(row, field, text);
    return json_object_set_new(object, row->name, value) == 0 ? TD_OK : fail_memory(err);
}

td_status td__options_to_json(json_t **out, const td_option_table *table, const void *options,
                              td_error *err)
{
    td_status status = TD_OK;
    json_t *object = json_object();
    *out = NULL;
    TD_FAIL_IF(object == NULL, err, ERR_MEMORY, "out of memory for JSON");
    for (uint32_t i = 0; i < table->count; i++) {
        TD_TRY(add_field(object, table, &table->rows[i], options, err));
    }
    *out = object;
    return TD_OK;
done:
    json_decref(object);
    return status;
}

/* --- and back */

static bool text_of_list(const json_t *array, char *text, size_t capacity)
{
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_integer(value)) return false;
        used += (size_t)snprintf(text + used, capacity - used, "%s%lld", i > 0 ? "," : "",
                                 (long long)json_integer_value(value));
        if (used >= capacity) return false;
    }
    return true;
}

/* The text to set a field from; NULL if the value has a type that no option has. Strings are
 * borrowed, others are written to `buffer` [VALUE_TEXT]. */
static const char *text_of_json(const json_t *value, char *buffer)
{
    buffer[0] = '\0';
    switch (json_typeof(value)) {
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "";
    case JSON_STRING:
        return json_string_value(value);
    case JSON_INTEGER:
        snprintf(buffer, VALUE_TEXT, "%lld", (long long)json_integer_value(value));
        return buffer;
    case JSON_REAL:
        td__decimal_print_f64(json_real_value(value), buffer);
        return buffer;
    case JSON_ARRAY:
        return text_of_list(value, buffer, VALUE_TEXT) ? buffer : NULL;
    case JSON_OBJECT:
        return NULL;
    }
    return NULL;
}

static td_status set_field(const td_option_table *table, void *options, const char *key,
                           const json_t *value, td_error *err)
{
    char buffer[VALUE_TEXT];
    const char *text = text_of_json(value, buffer);
    const td_option *row = td_option_find(table, key);
    bool text_like = json_is_string(value) || json_is_null(value);
    if (text == NULL || (row != NULL && row->type == TD_OPTION_TEXT && !text_like)) {
        return td__fail(err, TD_ERR_ARGUMENT,
                        "option %.100s: the JSON value has a type it cannot have", key);
    }
    return td_options_set(table, options, key, text, err);
}

static td_status set_all(const td_option_table *table, void *options, const json_t *object,
                         td_error *err)
{
    /* jansson's iterators take a mutable object, yet do not change it. */
    json_t *walked = (json_t *)(uintptr_t)object;
    const char *key;
    json_t *value;
    json_object_foreach(walked, key, value)
    {
        td_status status = set_field(table, options, key, value, err);
        if (status != TD_OK) return status;
    }
    return TD_OK;
}

td_status td__options_from_json(const td_option_table *table, void *options, const json_t *object,
                                td_error *err)
{
    char copy[2048];
    assert(table->struct_size <= sizeof copy);
    if (!json_is_object(object)) {
        return td__fail(err, TD_ERR_ARGUMENT, "%s options: the JSON value is not an object",
                        table->name);
    }
    memcpy(copy, options, table->struct_size);
    td_status status = set_all(table, options, object, err);
    if (status != TD_OK) memcpy(options, copy, table->struct_size);
    return status;
}
