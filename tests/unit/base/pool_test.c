/* pool_test.c -- every block runs once, callers share, and nothing deadlocks. */
#include "support/test.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/pool.h"

enum { BLOCKS = 1000 };

typedef struct counts {
    atomic_int runs[BLOCKS];
    atomic_int in_worker[16];
    uint32_t threads;
    td_context *context;
} counts;

static void count_block(void *state, uint64_t block, uint32_t worker)
{
    counts *c = state;
    assert_true(worker < c->threads);
    assert_int_equal(atomic_fetch_add(&c->in_worker[worker], 1), 0);
    atomic_fetch_add(&c->runs[block], 1);
    atomic_fetch_sub(&c->in_worker[worker], 1);
}

static void every_block_runs_once(void **state)
{
    (void)state;
    static const uint32_t thread_counts[] = {1, 2, 3, 7};
    for (size_t t = 0; t < 4; t++) {
        td_context *context = test_context(thread_counts[t]);
        assert_int_equal(td_context_threads(context), thread_counts[t]);
        for (uint64_t n = 0; n <= BLOCKS; n += n < 10 ? 1 : 99) {
            counts c = {.threads = thread_counts[t]};
            td__parallel_for(context, n, count_block, &c);
            for (uint64_t i = 0; i < BLOCKS; i++) assert_int_equal(c.runs[i], i < n);
        }
        td_context_free(context);
    }
}

static void run_nested(void *state, uint64_t block, uint32_t worker)
{
    (void)worker;
    counts *outer = state;
    counts inner = {.threads = 1};
    td__parallel_for(outer->context, 5, count_block, &inner);
    for (int i = 0; i < 5; i++) atomic_fetch_add(&outer->runs[block], inner.runs[i]);
}

static void nested_calls_work_alone(void **state)
{
    (void)state;
    td_context *context = test_context(3);
    counts c = {.threads = 3, .context = context};
    td__parallel_for(context, 100, run_nested, &c);
    for (int i = 0; i < 100; i++) assert_int_equal(c.runs[i], 5);
    td_context_free(context);
}

static void *call_many_times(void *argument)
{
    td_context *context = argument;
    for (int i = 0; i < 300; i++) {
        counts c = {.threads = td_context_threads(context)};
        td__parallel_for(context, 20, count_block, &c);
        for (int b = 0; b < 20; b++) {
            if (c.runs[b] != 1) return "a block did not run once";
        }
    }
    return NULL;
}

static void callers_share_one_context(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, call_many_times, context);
    for (int i = 0; i < 4; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
    td_context_free(context);
}

static void sleeping_workers_wake(void **state)
{
    (void)state;
    td_context *context = test_context(2);
    for (int i = 0; i < 20; i++) {
        struct timespec pause = {.tv_nsec = 2000000};
        nanosleep(&pause, NULL);
        assert_null(call_many_times(context));
    }
    td_context_free(context);
}

/* More threads than processors: who is not run in time does not take part. */
static void many_threads_share_few_processors(void **state)
{
    (void)state;
    td_context *context = test_context(16);
    for (int i = 0; i < 10; i++) assert_null(call_many_times(context));
    td_context_free(context);
}

/* A worker is held up by a signal, as a busy system would hold it. */
static struct {
    sem_t held;
    atomic_bool released, gave_up;
    atomic_int together;
    pthread_t worker;
} late;

static void hold_up(int signal)
{
    (void)signal;
    struct timespec moment = {.tv_nsec = 1000000};
    sem_post(&late.held);
    for (int i = 0; i < 10000 && !late.released; i++) nanosleep(&moment, NULL);
    if (!late.released) late.gave_up = true;
}

/* Two blocks that wait for each other, so that both threads have one. */
static void meet(void *state, uint64_t block, uint32_t worker)
{
    (void)state;
    (void)block;
    if (worker == 1) late.worker = pthread_self();
    atomic_fetch_add(&late.together, 1);
    while (late.together < 2) sched_yield();
}

static void meet_once(td_context *context)
{
    late.together = 0;
    td__parallel_for(context, 2, meet, NULL);
}

static void nobody_waits_for_a_worker_that_is_late(void **state)
{
    (void)state;
    if (TEST_THREAD_SANITIZER) skip(); /* it hands over signals at times of its own */
    td_context *context = test_context(2);
    struct sigaction before, action = {.sa_handler = hold_up};
    struct timespec until_asleep = {.tv_nsec = 50000000};
    sem_init(&late.held, 0, 0);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    meet_once(context);
    nanosleep(&until_asleep, NULL);
    assert_int_equal(pthread_kill(late.worker, SIGUSR1), 0);
    while (sem_wait(&late.held) != 0) {}
    counts c = {.threads = 1}; /* so worker 0 has all */
    td__parallel_for(context, 100, count_block, &c);
    for (int i = 0; i < 100; i++) assert_int_equal(c.runs[i], 1);
    assert_false(late.gave_up);
    late.released = true;
    meet_once(context); /* it comes back */
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    sem_destroy(&late.held);
    td_context_free(context);
}

static td_status create_pool(void *state, td_context *context, td_error *err)
{
    (void)state;
    td__pool *pool = NULL;
    td_status status = td__pool_create(&pool, context, 4, err);
    td__pool_free(pool, context);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(create_pool, NULL);
}

static void block_counts_cover(void **state)
{
    (void)state;
    assert_int_equal(td__block_count(0, 8), 0);
    assert_int_equal(td__block_count(8, 8), 1);
    assert_int_equal(td__block_count(9, 8), 2);
    assert_int_equal(td__block_count(UINT64_MAX, 2), UINT64_MAX / 2 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_runs_once),
        cmocka_unit_test(nested_calls_work_alone),
        cmocka_unit_test(callers_share_one_context),
        cmocka_unit_test(sleeping_workers_wake),
        cmocka_unit_test(many_threads_share_few_processors),
        cmocka_unit_test(nobody_waits_for_a_worker_that_is_late),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(block_counts_cover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
