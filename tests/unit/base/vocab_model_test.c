/* vocab_model_test.c -- a vocabulary does what the simplest one would: a list that is searched. */
#include "support/test.h"

#include "base/random.h"
#include "base/vocab.h"

enum { ID_MAX = 24, IDS_MAX = 600, CALLS = 20000 };

/* The model: ids in order, found by looking at each. */
typedef struct list {
    uint32_t count;
    size_t bytes[IDS_MAX];
    char ids[IDS_MAX][ID_MAX];
} list;

static uint32_t list_find(const list *l, const char *id, size_t bytes)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->bytes[i] == bytes && memcmp(l->ids[i], id, bytes) == 0) return i;
    }
    return TD_NONE;
}

static uint32_t list_add(list *l, const char *id, size_t bytes)
{
    uint32_t at = list_find(l, id, bytes);
    if (at != TD_NONE) return at;
    memcpy(l->ids[l->count], id, bytes);
    l->bytes[l->count] = bytes;
    return l->count++;
}

/* Few letters and lengths around the limit of short keys, so that prefixes, ids that differ in one
 * byte, and ids that are there already are frequent. */
static size_t draw_id(td__random random, uint64_t call, char *id)
{
    static const char letters[] = {'a', 'b', '\x01', '\xff'};
    size_t bytes = 1 + td__random_below(random, call * 32, 12);
    if (td__random_below(random, call * 32 + 1, 4) == 0) bytes += 9;
    size_t same = td__random_below(random, call * 32 + 2, bytes + 1); /* a run of one letter */
    for (size_t i = 0; i < bytes; i++) {
        uint64_t draw = td__random_below(random, call * 32 + 3 + i, 4);
        id[i] = letters[i < same ? 0 : draw];
    }
    return bytes;
}

static void compare_all(const td_vocab *vocab, const list *l)
{
    assert_int_equal(td_vocab_count(vocab), l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        const char *id = td_vocab_id(vocab, i);
        assert_int_equal(strlen(id), l->bytes[i]);
        assert_memory_equal(id, l->ids[i], l->bytes[i]);
        assert_int_equal(td_vocab_find(vocab, id, l->bytes[i]), i);
    }
}

static void random_calls(uint64_t seed)
{
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab;
    list *l = calloc(1, sizeof *l);
    assert_non_null(l);
    assert_ok(td_vocab_create(&vocab, context, &err));
    td__random random = td__random_stream(seed, TD__STREAM_SPLIT, 0);
    for (uint64_t call = 0; call < CALLS; call++) {
        char id[ID_MAX];
        size_t bytes = draw_id(random, call, id);
        assert_int_equal(td_vocab_find(vocab, id, bytes), list_find(l, id, bytes));
        bool add = td__random_below(random, call * 32 + 31, 3) == 0 && l->count < IDS_MAX;
        if (!add) continue;
        uint32_t position;
        assert_ok(td_vocab_add(vocab, id, bytes, &position, &err));
        assert_int_equal(position, list_add(l, id, bytes));
    }
    assert_true(l->count > 300);
    compare_all(vocab, l);
    free(l);
    td_vocab_free(vocab);
    td_context_free(context);
}

static void random_calls_match_a_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) random_calls(seed);
}

/* Positions, and texts, stay where they are while the tables grow. */
static void growth_moves_no_id(void **state)
{
    (void)state;
    enum { MANY = 300000 };
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab;
    char id[24];
    assert_ok(td_vocab_create(&vocab, context, &err));
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t position;
        int bytes = snprintf(id, sizeof id, i % 2 == 0 ? "%u" : "user-of-%u", i);
        assert_ok(td_vocab_add(vocab, id, (size_t)bytes, &position, &err));
        if (position != i) fail_msg("id %u is at %u", i, position);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        int bytes = snprintf(id, sizeof id, i % 2 == 0 ? "%u" : "user-of-%u", i);
        if (td_vocab_find(vocab, id, (size_t)bytes) != i) fail_msg("id %u is not found", i);
        if (strcmp(td_vocab_id(vocab, i), id) != 0) fail_msg("id %u has changed", i);
    }
    td_vocab_free(vocab);
    td_context_free(context);
}

/* The raw parts make the same vocabulary again. */
static void parts_make_a_copy(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab, *copy;
    list *l = calloc(1, sizeof *l);
    assert_non_null(l);
    assert_ok(td_vocab_create(&vocab, context, &err));
    td__random random = td__random_stream(9, TD__STREAM_SPLIT, 0);
    for (uint64_t call = 0; call < 1500 && l->count < IDS_MAX; call++) {
        char id[ID_MAX];
        size_t bytes = draw_id(random, call, id);
        uint32_t position;
        assert_ok(td_vocab_add(vocab, id, bytes, &position, &err));
        assert_int_equal(position, list_add(l, id, bytes));
    }
    const uint64_t *offsets;
    const char *bytes = td__vocab_bytes(vocab, &offsets);
    uint32_t count = td_vocab_count(vocab);
    assert_ok(td__vocab_from_bytes(&copy, context, bytes, offsets[count], offsets,
                                   (uint64_t)count + 1, &err));
    td_vocab_free(vocab);
    compare_all(copy, l);
    td_vocab_free(copy);
    free(l);
    td_context_free(context);
}

/* Out-of-vocabulary rows depend on it, so it may never change: values of the xxHash specification. */
static void the_hash_is_xxh64(void **state)
{
    (void)state;
    assert_int_equal(td__vocab_hash("", 0), UINT64_C(0xEF46DB3751D8E999));
    assert_int_equal(td__vocab_hash("a", 1), UINT64_C(0xD24EC4F1A98C6E5B));
    assert_int_equal(td__vocab_hash("abc", 3), UINT64_C(0x44BC2CF5AD770999));
}

static void owners_share_one_vocabulary(void **state)
{
    (void)state;
    td_error err = {0};
    td_context *context = test_context(1);
    td_vocab *vocab;
    uint32_t position;
    assert_ok(td_vocab_create(&vocab, context, &err));
    assert_ok(td_vocab_add(vocab, "one", 3, &position, &err));
    assert_ptr_equal(td__vocab_retain(vocab), vocab);
    td_vocab_free(vocab);
    assert_string_equal(td_vocab_id(vocab, 0), "one");
    td_vocab_free(vocab);
    td_vocab_free(NULL);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_match_a_list), cmocka_unit_test(growth_moves_no_id),
        cmocka_unit_test(parts_make_a_copy),         cmocka_unit_test(the_hash_is_xxh64),
        cmocka_unit_test(owners_share_one_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
