/* options.h -- rows of option tables that can be read, and options as JSON.
 *
 * Serves: every stage. The functions that use a table are public; this is for those who write one:
 *
 *     static const td_option rows[] = {
 *         TD__OPTION_F32(td_train_options, loss.temperature, "temperature", "1", 1e-6, 1e6, "T",
 *                        "scores are divided by it"),
 *         TD__OPTION_CHOICE(td_train_options, shuffle, "shuffle", "epoch", "epoch|once|none",
 *                           "order of the rows"),
 *     };
 *     static const td_option_table table = TD__OPTION_TABLE("train", td_train_options, rows);
 *
 * A row whose type is not that of its field does not compile. tests/support/option_table.h proves
 * that a table has a row for each field, and that its defaults are allowed. */
#ifndef TD_BASE_OPTIONS_H
#define TD_BASE_OPTIONS_H

#include <stddef.h>

#include "base/status.h"

struct json_t;

/* Offset of a field that must have this type (struct_type.field may be nested). */
#define TD__OPTION_FIELD(struct_type, field, field_type)                                           \
    (offsetof(struct_type, field) * _Generic(((struct_type *)0)->field, field_type: 1u))

/* An enum's own type differs between compilers; its size is that of an int. */
#define TD__OPTION_ENUM_FIELD(struct_type, field)                                                  \
    (offsetof(struct_type, field)                                                                  \
     * sizeof(char[sizeof(((struct_type *)0)->field) == sizeof(int) ? 1 : -1]))

#define TD__OPTION_BOOL(struct_type, field, name, initial, help)                                   \
    {name, TD_OPTION_BOOL, TD__OPTION_FIELD(struct_type, field, bool), initial, 0, 1, NULL, NULL,  \
     help}
#define TD__OPTION_U32(struct_type, field, name, initial, min, max, value, help)                   \
    {name, TD_OPTION_U32, TD__OPTION_FIELD(struct_type, field, uint32_t), initial, min, max, NULL, \
     value, help}
#define TD__OPTION_U64(struct_type, field, name, initial, min, max, value, help)                   \
    {name, TD_OPTION_U64, TD__OPTION_FIELD(struct_type, field, uint64_t), initial, min, max, NULL, \
     value, help}
#define TD__OPTION_I64(struct_type, field, name, initial, min, max, value, help)                   \
    {name, TD_OPTION_I64, TD__OPTION_FIELD(struct_type, field, int64_t), initial, min, max, NULL,  \
     value, help}
#define TD__OPTION_F32(struct_type, field, name, initial, min, max, value, help)                   \
    {name, TD_OPTION_F32, TD__OPTION_FIELD(struct_type, field, float), initial, min, max, NULL,    \
     value, help}
#define TD__OPTION_F64(struct_type, field, name, initial, min, max, value, help)                   \
    {name, TD_OPTION_F64, TD__OPTION_FIELD(struct_type, field, double), initial, min, max, NULL,   \
     value, help}
#define TD__OPTION_CHOICE(struct_type, field, name, initial, choices, help)                        \
    {name, TD_OPTION_CHOICE, TD__OPTION_ENUM_FIELD(struct_type, field), initial, 0, 0, choices,    \
     NULL, help}
#define TD__OPTION_TEXT(struct_type, field, name, initial, value, help)                            \
    {name, TD_OPTION_TEXT, TD__OPTION_FIELD(struct_type, field, const char *), initial, 0, 0,      \
     NULL, value, help}
#define TD__OPTION_U32_LIST(struct_type, field, name, initial, min, max, value, help)              \
    {name, TD_OPTION_U32_LIST, TD__OPTION_FIELD(struct_type, field, td_u32_list), initial, min,    \
     max, NULL, value, help}

#define TD__OPTION_TABLE(name, struct_type, rows)                                                  \
    {name, sizeof(struct_type), sizeof(rows) / sizeof((rows)[0]), rows}

/* Bounds of fields that take all values of their type. */
#define TD__U32_MAX 4294967295.0
#define TD__U64_MAX 18446744073709551616.0 /* 2^64: a double cannot say 2^64 - 1 */
#define TD__I64_MAX 9223372036854775808.0  /* 2^63, likewise; the minimum is -TD__I64_MAX */

/* Size in bytes of a field of this type. */
size_t td__option_size(td_option_type type);

/* All options as a JSON object with the options' names as keys, in table order. Numbers are JSON
 * numbers; what JSON has no number for (infinity, integers beyond 2^63 - 1) is text. Owned:
 * json_decref. MEMORY. */
TD_MUST_CHECK td_status td__options_to_json(struct json_t **out, const td_option_table *table,
                                            const void *options, td_error *err);

/* Set the options that the object names; the others stay. Takes back what td__options_to_json made
 * to the same bits. ARGUMENT for an unknown key, a wrong type or a value out of bounds: the options
 * are then as before. TEXT fields borrow from `object`. */
TD_MUST_CHECK td_status td__options_from_json(const td_option_table *table, void *options,
                                              const struct json_t *object, td_error *err);

#endif
