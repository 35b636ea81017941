/* option_table.h -- what must hold of every option table. */
#ifndef TANDEM_TESTS_OPTION_TABLE_H
#define TANDEM_TESTS_OPTION_TABLE_H

#include "support/test.h"

/* Show that the table of options struct `type` is sound: the defaults parse and are allowed, each
 * row round-trips as text and as JSON, names are flags and occur once, fields do not overlap, and
 * every byte of the struct but padding belongs to a row:
 *
 *     test_option_table(td_model_option_table(), td_model_options);
 */
#define test_option_table(table, type) test_option_table_except((table), type, 0, 0)

/* The same, but bytes [first, first + count) need no row. */
#define test_option_table_except(table, type, first, count)                                        \
    do {                                                                                           \
        type option_probe_;                                                                        \
        memset(&option_probe_, 0xFF, sizeof option_probe_);                                        \
        TEST_CLEAR_PADDING(&option_probe_);                                                        \
        if ((table)->struct_size != sizeof(type))                                                  \
            fail_msg("%s: wrong struct_size", (table)->name);                                      \
        test_option_rows((table), &option_probe_, (first), (count));                               \
    } while (0)

/* gcc can say which bytes are padding. Elsewhere all of them might be; there the test of coverage
 * only finds gaps of 8 bytes or more. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define TEST_CLEAR_PADDING(object) __builtin_clear_padding(object)
#endif
#endif
#ifndef TEST_CLEAR_PADDING
#define TEST_CLEAR_PADDING(object) memset((object), 0xFE, sizeof *(object))
#endif

/* `probe` [struct_size]: 0xFF for a byte of a field, 0 for padding, 0xFE for "not known". */
void test_option_rows(const td_option_table *table, const void *probe, size_t except_first,
                      size_t except_count);

#endif
