/* options.c -- fields of a struct, set and read by name.
 *
 * Serves: every stage. In: a table, a struct, a name and a text. Out: the field set, or a sentence.
 *
 * Each type of field is a row of `classes`: how to parse, print and check one value. A value
 * travels in a `cell`, so that a field is only written when all is well. */
#include "base/options.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/poison.h"

typedef union cell {
    unsigned char byte; /* BOOL: any other value than 0 and 1 would be undefined as a bool */
    uint32_t u32;
    uint64_t u64;
    int64_t i64;
    float f32;
    double f64;
    int choice;
    const char *text;
    td_u32_list list;
} cell;

typedef struct option_class {
    size_t size;
    const char *noun; /* "is not ..." */
    bool (*parse)(const td_option *row, const char *text, cell *value);
    int (*print)(const td_option *row, const cell *value, char *text, size_t capacity);
    bool (*inside)(const td_option *row, const cell *value);
} option_class;

/* --- bool */

static bool parse_bool(const td_option *row, const char *text, cell *value)
{
    static const char *const words[] = {"false", "no", "0", "true", "yes", "1"};
    (void)row;
    for (unsigned char i = 0; i < 6; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        value->byte = i / 3;
        return true;
    }
    return false;
}

static int print_bool(const td_option *row, const cell *value, char *text, size_t capacity)
{
    (void)row;
    return snprintf(text, capacity, "%s", value->byte != 0 ? "true" : "false");
}

static bool inside_bool(const td_option *row, const cell *value)
{
    (void)row;
    return value->byte <= 1;
}

/* --- whole numbers: digits only; numbers beyond 64 bits saturate and are then out of bounds */

static bool parse_digits(const char *text, size_t length, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (__builtin_mul_overflow(*value, UINT64_C(10), value)
            || __builtin_add_overflow(*value, digit, value)) {
            return false;
        }
    }
    return length > 0;
}

static bool inside_u64_bounds(const td_option *row, uint64_t value)
{
    if (row->min > 0 && value < (uint64_t)row->min) return false;
    return row->max >= 0x1p64 || value <= (uint64_t)row->max;
}

static bool parse_u32(const td_option *row, const char *text, cell *value)
{
    uint64_t wide;
    (void)row;
    if (!parse_digits(text, strlen(text), &wide) || wide > UINT32_MAX) return false;
    value->u32 = (uint32_t)wide;
    return true;
}

static int print_u32(const td_option *row, const cell *value, char *text, size_t capacity)
{
    (void)row;
    return snprintf(text, capacity, "%u", value->u32);
}

static bool inside_u32(const td_option *row, const cell *value)
{
    return inside_u64_bounds(row, value->u32);
}

static bool parse_u64(const td_option *row, const char *text, cell *value)
{
    (void)row;
    return parse_digits(text, strlen(text), &value->u64);
}

static int print_u64(const td_option *row, const cell *value, char *text, size_t capacity)
{
    (void)row;
    return snprintf(text, capacity, "%llu", (unsigned long long)value->u64);
}

static bool inside_u64(const td_option *row, const cell *value)
{
    return inside_u64_bounds(row, value->u64);
}

static bool parse_i64(const td_option *row, const char *text, cell *value)
{
    bool negative = text[0] == '-';
    uint64_t magnitude, limit = (uint64_t)INT64_MAX + negative;
    (void)row;
    if (!parse_digits(text + negative, strlen(text + negative), &magnitude)) return false;
    if (magnitude > limit) return false;
    value->i64 = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static int print_i64(const td_option *row, const cell *value, char *text, size_t capacity)
{
    (void)row;
    return snprintf(text, capacity, "%lld", (long long)value->i64);
}

static bool inside_i64(const td_option *row, const cell *value)
{
    if (row->min > -0x1p63 && value->i64 < (int64_t)row->min) return false;
    return row->max >= 0x1p63 || value->i64 <= (int64_t)row->max;
}

/* --- decimal numbers */

static bool parse_f64(const td_option *row, const char *text, cell *value)
{
    (void)row;
    return td__decimal_read_f64(text, &value->f64);
}

static bool parse_f32(const td_option *row, const char *text, cell *value)
{
    (void)row;
    return td__decimal_read_f32(text, &value->f32);
}

static int print_f64(const td_option *row, const cell *value, char *text, size_t capacity)
{
    char shortest[TD__DECIMAL_BYTES];
    (void)row;
    td__decimal_print_f64(value->f64, shortest);
    return snprintf(text, capacity, "%s", shortest);
}

static int print_f32(const td_option *row, const cell *value, char *text, size_t capacity)
{
    char shortest[TD__DECIMAL_BYTES];
    (void)row;
    td__decimal_print_f32(value->f32, shortest);
    return snprintf(text, capacity, "%s", shortest);
}

static bool inside_f64(const td_option *row, const cell *value)
{
    return value->f64 >= row->min && value->f64 <= row->max; /* false for NaN */
}

/* The bounds as floats too: 1e-6f is less than 1e-6. */
static bool inside_f32(const td_option *row, const cell *value)
{
    return value->f32 >= (float)row->min && value->f32 <= (float)row->max;
}

/* --- choices "a|b|c" */

/* The choice at `position`, its length in *length; NULL past the last. */
static const char *choice_at(const char *choices, int position, size_t *length)
{
    for (; position > 0; position--) {
        choices = strchr(choices, '|');
        if (choices == NULL) return NULL;
        choices++;
    }
    *length = strcspn(choices, "|");
    return choices;
}

static bool parse_choice(const td_option *row, const char *text, cell *value)
{
    size_t length;
    const char *choice;
    for (int i = 0; (choice = choice_at(row->choices, i, &length)) != NULL; i++) {
        if (strlen(text) != length || memcmp(text, choice, length) != 0) continue;
        value->choice = i;
        return true;
    }
    return false;
}

static bool inside_choice(const td_option *row, const cell *value)
{
    size_t length;
    return value->choice >= 0 && choice_at(row->choices, value->choice, &length) != NULL;
}

static int print_choice(const td_option *row, const cell *value, char *text, size_t capacity)
{
    size_t length = 0;
    const char *choice = NULL;
    if (value->choice >= 0) choice = choice_at(row->choices, value->choice, &length);
    if (choice == NULL) return snprintf(text, capacity, "%d", value->choice);
    return snprintf(text, capacity, "%.*s", (int)length, choice);
}

/* --- text */

static bool parse_text(const td_option *row, const char *text, cell *value)
{
    (void)row;
    value->text = text[0] != '\0' ? text : NULL;
    return true;
}

static int print_text(const td_option *row, const cell *value, char *text, size_t capacity)
{
    (void)row;
    return snprintf(text, capacity, "%s", value->text != NULL ? value->text : "");
}

static bool inside_text(const td_option *row, const cell *value)
{
    (void)row;
    (void)value;
    return true;
}

/* --- lists "1,5,10" */

/* A list may be empty if its default is. */
static bool may_be_empty(const td_option *row)
{
    return row->initial[0] == '\0';
}

static bool parse_list(const td_option *row, const char *text, cell *value)
{
    td_u32_list list = {0};
    if (text[0] == '\0' && may_be_empty(row)) {
        value->list = list;
        return true;
    }
    for (;; text++) {
        size_t length = strcspn(text, ",");
        uint64_t wide;
        if (list.count == TD_U32_LIST_MAX || !parse_digits(text, length, &wide)) return false;
        if (wide > UINT32_MAX) return false;
        list.values[list.count++] = (uint32_t)wide;
        text += length;
        if (*text == '\0') break;
    }
    value->list = list;
    return true;
}

static int print_list(const td_option *row, const cell *value, char *text, size_t capacity)
{
    char all[TD_U32_LIST_MAX * 11 + 1] = "";
    size_t used = 0;
    (void)row;
    for (uint32_t i = 0; i < value->list.count && i < TD_U32_LIST_MAX; i++) {
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%u", i > 0 ? "," : "",
                                 value->list.values[i]);
    }
    return snprintf(text, capacity, "%s", all);
}

static bool inside_list(const td_option *row, const cell *value)
{
    if (value->list.count == 0) return may_be_empty(row);
    if (value->list.count > TD_U32_LIST_MAX) return false;
    for (uint32_t i = 0; i < value->list.count; i++) {
        if (!inside_u64_bounds(row, value->list.values[i])) return false;
    }
    return true;
}

static const option_class classes[] = {
    [TD_OPTION_BOOL] = {sizeof(bool), "true or false", parse_bool, print_bool, inside_bool},
    [TD_OPTION_U32] = {sizeof(uint32_t), "a whole number", parse_u32, print_u32, inside_u32},
    [TD_OPTION_U64] = {sizeof(uint64_t), "a whole number", parse_u64, print_u64, inside_u64},
    [TD_OPTION_I64] = {sizeof(int64_t), "a whole number", parse_i64, print_i64, inside_i64},
    [TD_OPTION_F32] = {sizeof(float), "a number", parse_f32, print_f32, inside_f32},
    [TD_OPTION_F64] = {sizeof(double), "a number", parse_f64, print_f64, inside_f64},
    [TD_OPTION_CHOICE] = {sizeof(int), "a choice", parse_choice, print_choice, inside_choice},
    [TD_OPTION_TEXT] = {sizeof(const char *), "text", parse_text, print_text, inside_text},
    [TD_OPTION_U32_LIST] = {sizeof(td_u32_list), "a list", parse_list, print_list, inside_list},
};

/* --- what is allowed, in words */

static void describe_allowed(const td_option *row, char *text, size_t capacity)
{
    const char *noun = classes[row->type].noun;
    if (row->type == TD_OPTION_BOOL || row->type == TD_OPTION_TEXT) {
        snprintf(text, capacity, "%s", noun);
    } else if (row->type == TD_OPTION_CHOICE) {
        snprintf(text, capacity, "one of %s", row->choices);
    } else if (row->type == TD_OPTION_U32_LIST) {
        snprintf(text, capacity, "%d to %d whole numbers from %.15g to %.15g, with commas between",
                 may_be_empty(row) ? 0 : 1, TD_U32_LIST_MAX, row->min, row->max);
    } else if (row->max >= 0x1p63 && row->type != TD_OPTION_F64 && row->type != TD_OPTION_F32) {
        snprintf(text, capacity, "%s of 64 bits from %.15g on", noun, row->min);
    } else {
        snprintf(text, capacity, "%s from %.15g to %.15g", noun, row->min, row->max);
    }
}

static td_status fail_value(const td_option *row, const char *found, td_error *err)
{
    char allowed[256];
    describe_allowed(row, allowed, sizeof allowed);
    return td__fail(err, TD_ERR_ARGUMENT, "option %s: \"%.100s\" is not allowed; it takes %s",
                    row->name, found, allowed);
}

/* Edit distance (Levenshtein 1966), one row of the matrix at a time. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t row[LONGEST + 1];
    size_t length = strnlen(b, LONGEST);
    for (size_t j = 0; j <= length; j++) row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t change = diagonal + (a[i] != b[j]);
            size_t gap = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < gap ? change : gap;
        }
    }
    return row[length];
}

static td_status fail_unknown(const td_option_table *table, const char *name, td_error *err)
{
    const char *nearest = "nothing";
    size_t best = SIZE_MAX;
    for (uint32_t i = 0; i < table->count; i++) {
        size_t distance = edit_distance(name, table->rows[i].name);
        if (distance >= best) continue;
        best = distance;
        nearest = table->rows[i].name;
    }
    return td__fail(err, TD_ERR_ARGUMENT, "there is no %s option \"%.100s\"; the nearest is \"%s\"",
                    table->name, name, nearest);
}

/* --- the public functions */

size_t td__option_size(td_option_type type)
{
    return classes[type].size;
}

const td_option *td_option_find(const td_option_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0) return &table->rows[i];
    }
    return NULL;
}

static cell load(const td_option *row, const void *options)
{
    cell value = {0};
    memcpy(&value, (const char *)options + row->offset, classes[row->type].size);
    return value;
}

static void store(const td_option *row, void *options, const cell *value)
{
    memcpy((char *)options + row->offset, value, classes[row->type].size);
}

void td_options_init(const td_option_table *table, void *options)
{
    memset(options, 0, table->struct_size);
    for (uint32_t i = 0; i < table->count; i++) {
        const td_option *row = &table->rows[i];
        cell value = {0};
        if (row->initial == NULL) continue;
        bool parsed = classes[row->type].parse(row, row->initial, &value);
        assert(parsed); /* a test shows it for every table */
        if (parsed) store(row, options, &value);
    }
}

td_status td_options_set(const td_option_table *table, void *options, const char *name,
                         const char *text, td_error *err)
{
    const td_option *row = td_option_find(table, name);
    if (row == NULL) return fail_unknown(table, name, err);
    const option_class *class = &classes[row->type];
    cell value = {0};
    if (!class->parse(row, text, &value) || !class->inside(row, &value)) {
        return fail_value(row, text, err);
    }
    store(row, options, &value);
    return TD_OK;
}

td_status td_options_get(const td_option_table *table, const void *options, const char *name,
                         char *text, size_t capacity, td_error *err)
{
    const td_option *row = td_option_find(table, name);
    if (row == NULL) return fail_unknown(table, name, err);
    cell value = load(row, options);
    int length = classes[row->type].print(row, &value, text, capacity);
    if (length < 0 || (size_t)length >= capacity) {
        return td__fail(err, TD_ERR_LIMIT,
                        "option %s takes %d bytes as text; there is room for %zu", name, length + 1,
                        capacity);
    }
    return TD_OK;
}

td_status td_options_check(const td_option_table *table, const void *options, td_error *err)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const td_option *row = &table->rows[i];
        cell value = load(row, options);
        char found[TD_U32_LIST_MAX * 11 + 1];
        if (classes[row->type].inside(row, &value)) continue;
        (void)classes[row->type].print(row, &value, found, sizeof found);
        return fail_value(row, found, err);
    }
    return TD_OK;
}
