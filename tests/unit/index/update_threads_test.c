/* update_threads_test.c -- searches beside updates: each sees a state that was, whole, and none waits.
 *
 * Run under the thread sanitizer it shows that there are no races; here it shows what readers may rely on.
 *
 * The items keep a rule that every state has and no mixture of two states: item i of round r has the
 * vector (r, i); a call upserts all items of a round at once. So all hits of one search are of one
 * round. An item of the second half is deleted before, and comes back with, each round. */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "index/update.h"

enum { ITEMS = 96, DIM = 4, ROUNDS = 60, READERS = 3 };

typedef struct shared {
    td_context *context;
    td_index *index;
    atomic_uint round;    /* begun */
    atomic_uint finished; /* seen by all who start a search now */
    atomic_bool done;
    atomic_uint searches;
} shared;

static char names[ITEMS][8];
static const char *ids[ITEMS];

/* (round, item, item is there, 1) */
static void fill(float *rows, uint32_t round)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        float row[DIM] = {(float)round, (float)i / 1024.0f, 1.0f, 1.0f};
        memcpy(rows + i * DIM, row, sizeof row);
    }
}

static void write_round(shared *s, uint32_t round)
{
    td_error err = {0};
    float rows[ITEMS * DIM];
    td_vectors items = {.data = rows, .rows = ITEMS, .dim = DIM};
    fill(rows, round);
    atomic_store(&s->round, round);
    assert_ok(td_index_upsert(s->index, &items, ids, NULL, &err));
    atomic_store(&s->finished, round);
    assert_ok(td_index_delete(s->index, ids + ITEMS / 2, ITEMS / 4, &err));
    if (round % 7 == 3) assert_ok(td_index_merge(s->index, &err));
}

static void *writer(void *state)
{
    shared *s = state;
    uint32_t round = 1;
    for (; round <= ROUNDS || atomic_load(&s->searches) < 50 * READERS; round++) write_round(s, round);
    atomic_store(&s->done, true);
    return NULL;
}

static void *rebuilder(void *state)
{
    shared *s = state;
    td_error err = {0};
    while (!atomic_load(&s->done)) assert_ok(td_index_rebuild(s->index, NULL, NULL, NULL, &err));
    return NULL;
}

/* Hits of one search are of one round, which was not over before the search began. */
static void search_once(shared *s, td_searcher *searcher)
{
    td_error err = {0};
    float query[DIM] = {1.0f, 0, 0, 0};
    td_vectors queries = {.data = query, .rows = 1, .dim = DIM};
    const uint64_t allow[] = {UINT64_MAX, UINT64_MAX}; /* not those that are added meanwhile */
    td_search search = {.k = ITEMS + 5, .allow = allow, .positions = ITEMS,
                        .effort = {.target_recall = 1.0f}};
    td_hit hits[ITEMS + 5];
    uint32_t count, before = atomic_load(&s->finished);
    assert_ok(td_searcher_search(searcher, &queries, &search, hits, &count, &err));
    uint32_t after = atomic_load(&s->round);
    assert_true(count == ITEMS || count == ITEMS - ITEMS / 4);
    uint32_t round = (uint32_t)hits[0].score;
    assert_true(round >= before && round <= after);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(hits[i].score == (float)round);
        assert_true(i == 0 || hits[i].position > hits[i - 1].position);
        if (count < ITEMS) {
            assert_true(hits[i].position < ITEMS / 2 || hits[i].position >= ITEMS / 2 + ITEMS / 4);
        }
    }
    atomic_fetch_add(&s->searches, 1);
}

static void *reader(void *state)
{
    shared *s = state;
    td_error err = {0};
    while (!atomic_load(&s->done)) {
        td_searcher *searcher;
        assert_ok(td_searcher_create(&searcher, s->index, &err));
        for (int i = 0; i < 40; i++) search_once(s, searcher);
        td_searcher_free(searcher);
    }
    return NULL;
}

/* Asks everything that may be asked beside updates. */
static void *asker(void *state)
{
    shared *s = state;
    td_error err = {0};
    while (!atomic_load(&s->done)) {
        td_index_info info;
        float vector[DIM];
        td_index_describe(s->index, &info);
        td_index_vector(s->index, 3, vector);
        assert_true(info.items <= td_index_count(s->index) && vector[3] == 1.0f);
        assert_ok(td_index_check(s->index, &err));
        const td_vocab *vocab = td_index_ids(s->index);
        uint32_t last = td_vocab_count(vocab) - 1;
        assert_int_equal(td_vocab_find(vocab, td_vocab_id(vocab, last), strlen(td_vocab_id(vocab, last))),
                         last);
    }
    return NULL;
}

/* Adds ids, which searches do not allow. */
static void *adder(void *state)
{
    shared *s = state;
    td_error err = {0};
    float row[DIM] = {-1, 0, 0, 1};
    td_vectors one = {.data = row, .rows = 1, .dim = DIM};
    for (uint32_t i = 0; !atomic_load(&s->done); i = (i + 1) % 3000) {
        char id[32];
        const char *ids_of_it = id;
        snprintf(id, sizeof id, "another item, number %u", i);
        assert_ok(td_index_upsert(s->index, &one, &ids_of_it, NULL, &err));
        assert_ok(td_index_delete(s->index, &ids_of_it, 1, &err));
    }
    return NULL;
}

static void run(td_index_kind kind, uint32_t threads)
{
    td_error err = {0};
    shared s = {.context = test_context(threads)};
    float rows[ITEMS * DIM];
    td_vectors items = {.data = rows, .rows = ITEMS, .dim = DIM};
    td_index_options options;
    td_vocab *vocab;
    uint32_t position;
    fill(rows, 0);
    assert_ok(td_vocab_create(&vocab, s.context, &err));
    for (uint32_t i = 0; i < ITEMS; i++) {
        snprintf(names[i], sizeof names[i], "%u", i);
        ids[i] = names[i];
        assert_ok(td_vocab_add(vocab, ids[i], strlen(ids[i]), &position, &err));
    }
    td_index_options_init(&options);
    options.kind = kind;
    options.num_leaves = 4;
    assert_ok(td_index_build_with(&s.index, s.context, &items, vocab, &options, NULL, &err));
    td_vocab_free(vocab);
    pthread_t all[READERS + 4];
    void *(*const others[])(void *) = {writer, rebuilder, asker, adder};
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&all[i], NULL, others[i], &s), 0);
    for (int i = 4; i < READERS + 4; i++) assert_int_equal(pthread_create(&all[i], NULL, reader, &s), 0);
    for (int i = 0; i < READERS + 4; i++) pthread_join(all[i], NULL);
    assert_ok(td_index_check(s.index, &err));
    td_index_free(s.index);
    td_context_free(s.context);
}

static void exact_searches_see_whole_states(void **state)
{
    (void)state;
    run(TD_INDEX_EXACT, 1);
    run(TD_INDEX_EXACT, 2);
}

static void tree_searches_see_whole_states(void **state)
{
    (void)state;
    run(TD_INDEX_TREE, 2);
}

/* A reader that stands still in an old state keeps nobody from updating, and the state stays. */
static void a_slow_reader_keeps_its_state(void **state)
{
    (void)state;
    td_error err = {0};
    shared s = {.context = test_context(1)};
    float rows[ITEMS * DIM];
    td_vectors items = {.data = rows, .rows = ITEMS, .dim = DIM};
    fill(rows, 0);
    assert_ok(td_index_build(&s.index, s.context, &items, NULL, &err));
    td__reader slow;
    td__reader_join(&slow, s.index);
    td__state *old = td__reader_pin(&slow, s.index);
    for (uint32_t i = 0; i < ITEMS; i++) ids[i] = names[i];
    for (uint32_t round = 1; round < 20; round++) write_round(&s, round);
    assert_ptr_not_equal(td__state_now(s.index), old);
    assert_ptr_equal(s.index->updates->retired, old);
    assert_true(old->base->panels[0] == 0.0f && old->base->panels[2 * TD__PANEL] == 1.0f);
    td__reader_unpin(&slow);
    td__reader_part(&slow, s.index);
    write_round(&s, 20);
    assert_null(s.index->updates->retired);
    td_index_free(s.index);
    td_context_free(s.context);
}

static void one_rebuild_at_a_time(void **state)
{
    (void)state;
    td_error err = {0};
    shared s = {.context = test_context(1)};
    float rows[ITEMS * DIM];
    td_vectors items = {.data = rows, .rows = ITEMS, .dim = DIM};
    fill(rows, 0);
    assert_ok(td_index_build(&s.index, s.context, &items, NULL, &err));
    s.index->updates->rebuilding = true;
    assert_fails(td_index_rebuild(s.index, NULL, NULL, NULL, &err), TD_ERR_STATE, "already");
    s.index->updates->rebuilding = false;
    assert_ok(td_index_rebuild(s.index, NULL, NULL, NULL, &err));
    td_index_free(s.index);
    td_context_free(s.context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_searches_see_whole_states),
        cmocka_unit_test(tree_searches_see_whole_states),
        cmocka_unit_test(a_slow_reader_keeps_its_state),
        cmocka_unit_test(one_rebuild_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
