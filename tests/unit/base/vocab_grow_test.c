/* vocab_grow_test.c -- a growing copy of a vocabulary is one, and stays readable while it grows. */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/vocab.h"

enum { FIRST = 100, LAST = 20000 };

static const char *id_of(uint32_t i, char *text)
{
    snprintf(text, 48, i % 2 == 0 ? "%u" : "a longer id than eight bytes: %u", i);
    return text;
}

static void add(td_vocab *vocab, uint32_t i)
{
    td_error err = {0};
    char text[48];
    uint32_t position;
    id_of(i, text);
    assert_ok(td_vocab_add(vocab, text, strlen(text), &position, &err));
    assert_int_equal(position, i);
}

static td_vocab *plain(td_context *context)
{
    td_error err = {0};
    td_vocab *vocab;
    assert_ok(td_vocab_create(&vocab, context, &err));
    for (uint32_t i = 0; i < FIRST; i++) add(vocab, i);
    return vocab;
}

static void a_copy_grows_and_its_original_does_not(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab = plain(context), *copy, *second;
    assert_ok(td__vocab_copy(&copy, vocab, &err));
    const char *kept = td_vocab_id(copy, 7);
    for (uint32_t i = 0; i < LAST; i++) add(copy, i); /* those that are there keep their positions */
    assert_int_equal(td_vocab_count(vocab), FIRST);
    assert_int_equal(td_vocab_count(copy), LAST);
    assert_string_equal(kept, "a longer id than eight bytes: 7");
    assert_ok(td__vocab_copy(&second, copy, &err));
    td_vocab_free(vocab);
    td_vocab_free(copy);
    for (uint32_t i = 0; i < LAST; i++) {
        char text[48];
        assert_string_equal(td_vocab_id(second, i), id_of(i, text));
        assert_int_equal(td_vocab_find(second, text, strlen(text)), i);
    }
    td_vocab_free(second);
    td_context_free(context);
}

/* With room made, no allocation is left that could fail. */
static void what_was_reserved_cannot_fail(void **state)
{
    (void)state;
    test_memory memory = {.fail_at = -1};
    td_error err = {0};
    td_context *context = test_context_on(&memory, 1);
    td_vocab *vocab = plain(context), *copy;
    assert_ok(td__vocab_copy(&copy, vocab, &err));
    uint64_t bytes = 0;
    for (uint32_t i = FIRST; i < 3000; i++) {
        char text[48];
        bytes += strlen(id_of(i, text));
    }
    assert_ok(td__vocab_reserve(copy, 3000 - FIRST, bytes, &err));
    int64_t before = memory.allocations;
    for (uint32_t i = FIRST; i < 3000; i++) add(copy, i);
    assert_int_equal(memory.allocations, before);
    td_vocab_free(copy);
    td_vocab_free(vocab);
    td_context_free(context);
    assert_int_equal(memory.blocks, 0);
}

static void *look(void *state)
{
    const td_vocab *vocab = state;
    for (uint32_t count = 0; count < LAST;) {
        char text[48];
        count = td_vocab_count(vocab);
        for (uint32_t i = count / 2; i < count; i += 1 + count / 20) {
            if (strcmp(td_vocab_id(vocab, i), id_of(i, text)) != 0) return state;
            if (td_vocab_find(vocab, text, strlen(text)) != i) return state;
        }
        id_of(count, text);
        uint32_t next = td_vocab_find(vocab, text, strlen(text));
        if (next != TD_NONE && next != count) return state;
    }
    return NULL;
}

static void readers_see_every_id_that_is_counted(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab = plain(context), *copy;
    pthread_t readers[3];
    void *wrong;
    assert_ok(td__vocab_copy(&copy, vocab, &err));
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&readers[i], NULL, look, copy), 0);
    for (uint32_t i = FIRST; i < LAST; i++) add(copy, i);
    for (int i = 0; i < 3; i++) {
        pthread_join(readers[i], &wrong);
        assert_null(wrong);
    }
    td_vocab_free(copy);
    td_vocab_free(vocab);
    td_context_free(context);
}

static td_status copy_and_reserve(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_vocab *vocab = NULL, *copy = NULL;
    uint32_t position;
    td_status status = td_vocab_create(&vocab, context, err);
    if (status == TD_OK) status = td_vocab_add(vocab, "one", 3, &position, err);
    if (status == TD_OK) status = td__vocab_copy(&copy, vocab, err);
    if (status == TD_OK) status = td__vocab_reserve(copy, 500, 5000, err);
    if (status == TD_OK) status = td_vocab_add(copy, "two", 3, &position, err);
    td_vocab_free(copy);
    td_vocab_free(vocab);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(copy_and_reserve, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_grows_and_its_original_does_not),
        cmocka_unit_test(what_was_reserved_cannot_fail),
        cmocka_unit_test(readers_see_every_id_that_is_counted),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
