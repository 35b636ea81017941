/* option_table.c -- what must hold of every option table. */
#include "support/option_table.h"

#include <jansson.h>

#include "base/options.h"

enum { STRUCT_MAX = 2048, TEXT_MAX = 512 };

static void check_name(const td_option_table *table, uint32_t index)
{
    const char *name = table->rows[index].name;
    if (name[0] < 'a' || name[0] > 'z'
        || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name)) {
        fail_msg("%s: \"%s\" is not a flag name", table->name, name);
    }
    if (td_option_find(table, name) != &table->rows[index]) {
        fail_msg("%s: two rows are called \"%s\"", table->name, name);
    }
}

static void check_help(const td_option *row)
{
    if (row->help == NULL || row->help[0] == '\0' || row->help[strlen(row->help) - 1] == '.') {
        fail_msg("%s: the help is one sentence without a final stop", row->name);
    }
    bool named = row->type == TD_OPTION_BOOL || row->type == TD_OPTION_CHOICE;
    if (!named && row->value == NULL) fail_msg("%s: its value has no name", row->name);
    if (row->initial == NULL && row->type != TD_OPTION_TEXT) fail_msg("%s: no default", row->name);
}

/* Through text into a struct of other bytes. */
static void check_round_trip(const td_option_table *table, const td_option *row,
                             const void *options)
{
    _Alignas(16) char other[STRUCT_MAX];
    static char text[TEXT_MAX]; /* a TEXT field borrows it */
    td_error err = {0};
    size_t size = td__option_size(row->type);
    memset(other, 0, sizeof other);
    assert_ok(td_options_get(table, options, row->name, text, sizeof text, &err));
    assert_ok(td_options_set(table, other, row->name, text, &err));
    if (row->type == TD_OPTION_TEXT) return; /* the pointer differs */
    assert_memory_equal(other + row->offset, (const char *)options + row->offset, size);
}

static void check_json(const td_option_table *table, const void *options)
{
    _Alignas(16) char other[STRUCT_MAX];
    td_error err = {0};
    json_t *object;
    memset(other, 0, sizeof other);
    assert_ok(td__options_to_json(&object, table, options, &err));
    char *dumped = json_dumps(object, 0);
    json_t *read = json_loads(dumped, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_object_size(read), table->count);
    assert_ok(td__options_from_json(table, other, read, &err));
    for (uint32_t i = 0; i < table->count; i++) {
        const td_option *row = &table->rows[i];
        if (row->type == TD_OPTION_TEXT) continue;
        assert_memory_equal(other + row->offset, (const char *)options + row->offset,
                            td__option_size(row->type));
    }
    free(dumped);
    json_decref(object);
    json_decref(read);
}

static void mark_row(const td_option_table *table, const td_option *row, bool *covered)
{
    for (size_t i = 0; i < td__option_size(row->type); i++) {
        size_t at = row->offset + i;
        if (at >= table->struct_size) fail_msg("%s: beyond the struct", row->name);
        if (covered[at]) fail_msg("%s: shares byte %zu with another row", row->name, at);
        covered[at] = true;
    }
}

static void check_coverage(const td_option_table *table, const unsigned char *probe,
                           size_t except_first, size_t except_count)
{
    bool covered[STRUCT_MAX] = {false};
    size_t gap = 0;
    for (uint32_t i = 0; i < table->count; i++) mark_row(table, &table->rows[i], covered);
    for (size_t i = 0; i < table->struct_size; i++) {
        bool excepted = i >= except_first && i - except_first < except_count;
        gap = covered[i] || excepted ? 0 : gap + 1;
        if ((gap > 0 && probe[i] == 0xFF) || gap >= 8) {
            fail_msg("%s: byte %zu of the struct has no row", table->name, i);
        }
    }
}

void test_option_rows(const td_option_table *table, const void *probe, size_t except_first,
                      size_t except_count)
{
    _Alignas(16) char options[STRUCT_MAX];
    td_error err = {0};
    assert_true(table->struct_size <= STRUCT_MAX);
    for (uint32_t i = 0; i < table->count; i++) {
        check_name(table, i);
        check_help(&table->rows[i]);
    }
    check_coverage(table, probe, except_first, except_count);
    td_options_init(table, options);
    assert_ok(td_options_check(table, options, &err));
    for (uint32_t i = 0; i < table->count; i++) {
        const td_option *row = &table->rows[i];
        if (row->initial != NULL)
            assert_ok(td_options_set(table, options, row->name, row->initial, &err));
        check_round_trip(table, row, options);
    }
    check_json(table, options);
}
