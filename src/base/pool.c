/* pool.c -- threads that sleep until there are blocks to run.
 *
 * Serves: every stage that works in parallel. In: a number of blocks. Out: all of them run.
 *
 * How it works:
 *   1. `busy` is taken by one caller at a time; who does not get it works alone. So two callers never
 *      wait for each other and nested calls cannot deadlock.
 *   2. The caller posts a job (count, fn, state) and opens the gate under the mutex. Workers that find it
 *      open enter, and are counted; all threads take blocks from one atomic counter.
 *   3. The caller takes blocks too. When there are none left it closes the gate and waits until all who
 *      entered have left. Only then may the job's memory go away. A worker that the system has not run in
 *      the meantime finds the gate closed: on a busy machine nobody waits for it.
 * A training step is a dozen jobs of a few hundred microseconds, so a worker spins for a while before
 * it sleeps: waking from a futex takes about 50 us on a virtual machine. */
#define _GNU_SOURCE /* sched_yield's pause hint, CPU_COUNT */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/poison.h"

enum { SPIN_ROUNDS = 4000 };

/* The gate, in one number: how many are inside, whether it is open, how often it has been opened. */
#define GATE_INSIDE UINT64_C(0x7FFFFFFF)
#define GATE_OPEN UINT64_C(0x80000000)
enum { GATE_TURN = 32 };

typedef struct job {
    uint64_t count;
    td__block_fn *fn;
    void *state;
} job;

struct td__pool {
    uint32_t threads;
    uint32_t started; /* threads made so far, without the caller */
    pthread_t *thread;
    atomic_flag busy;
    pthread_mutex_t mutex;
    pthread_cond_t posted;
    atomic_bool stopping;
    job job; /* of those inside */
    _Alignas(TD__ALIGNMENT) atomic_uint_fast64_t next_block;
    _Alignas(TD__ALIGNMENT) atomic_uint_fast64_t gate; /* opened under the mutex */
};

typedef struct worker_start {
    td__pool *pool;
    uint32_t worker;
} worker_start;

static void spin_hint(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_blocks(td__pool *pool, uint32_t worker)
{
    job current = pool->job;
    for (;;) {
        uint64_t block = atomic_fetch_add_explicit(&pool->next_block, 1, memory_order_relaxed);
        if (block >= current.count) return;
        current.fn(current.state, block, worker);
    }
}

/* Has the gate been opened since turn `seen`, or the pool been stopped? */
static bool has_news(td__pool *pool, uint64_t seen)
{
    return atomic_load_explicit(&pool->gate, memory_order_relaxed) >> GATE_TURN != seen
           || atomic_load_explicit(&pool->stopping, memory_order_relaxed);
}

static void wait_for_news(td__pool *pool, uint64_t seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (has_news(pool, seen)) return;
        spin_hint();
    }
    pthread_mutex_lock(&pool->mutex);
    while (!has_news(pool, seen)) pthread_cond_wait(&pool->posted, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

/* Enter if the gate is open; into *seen the turn that was found. */
static bool enter(td__pool *pool, uint64_t *seen)
{
    uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    while ((gate & GATE_OPEN) != 0) {
        if (atomic_compare_exchange_weak_explicit(&pool->gate, &gate, gate + 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            break;
        }
    }
    *seen = gate >> GATE_TURN;
    return (gate & GATE_OPEN) != 0;
}

static void *worker_main(void *argument)
{
    worker_start start = *(worker_start *)argument;
    td__pool *pool = start.pool;
    uint64_t seen = 0;
    while (!atomic_load_explicit(&pool->stopping, memory_order_relaxed)) {
        wait_for_news(pool, seen);
        if (!enter(pool, &seen)) continue;
        run_blocks(pool, start.worker);
        atomic_fetch_sub_explicit(&pool->gate, 1, memory_order_release);
    }
    return NULL;
}

static void open_gate(td__pool *pool)
{
    uint64_t turn = atomic_load_explicit(&pool->gate, memory_order_relaxed) >> GATE_TURN;
    pthread_mutex_lock(&pool->mutex);
    atomic_store_explicit(&pool->gate, (turn + 1) << GATE_TURN | GATE_OPEN, memory_order_release);
    pthread_cond_broadcast(&pool->posted);
    pthread_mutex_unlock(&pool->mutex);
}

static void close_gate(td__pool *pool)
{
    uint64_t gate = atomic_fetch_and_explicit(&pool->gate, ~GATE_OPEN, memory_order_acquire);
    for (uint32_t i = 0; (gate & GATE_INSIDE) != 0; i++) {
        if (i < SPIN_ROUNDS) spin_hint();
        else sched_yield();
        gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
    }
}

static void run_alone(uint64_t count, td__block_fn *fn, void *state)
{
    for (uint64_t block = 0; block < count; block++) fn(state, block, 0);
}

void td__parallel_for(td_context *context, uint64_t count, td__block_fn *fn, void *state)
{
    td__pool *pool = context->pool;
    if (count <= 1 || pool->threads == 1
        || atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire)) {
        run_alone(count, fn, state);
        return;
    }
    pool->job = (job){.count = count, .fn = fn, .state = state};
    atomic_store_explicit(&pool->next_block, 0, memory_order_relaxed);
    open_gate(pool);
    run_blocks(pool, 0);
    close_gate(pool);
    atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}

uint32_t td__pool_threads(const td__pool *pool)
{
    return pool->threads;
}

static td_status start_threads(td__pool *pool, worker_start *starts, td_error *err)
{
    for (uint32_t i = 0; i + 1 < pool->threads; i++) {
        starts[i] = (worker_start){.pool = pool, .worker = i + 1};
        if (pthread_create(&pool->thread[i], NULL, worker_main, &starts[i]) != 0) {
            return td__fail(err, TD_ERR_LIMIT, "thread %u of %u could not be started; ask for fewer",
                            i + 2, pool->threads);
        }
        pool->started++;
    }
    return TD_OK;
}

td_status td__pool_create(td__pool **out, td_context *context, uint32_t threads, td_error *err)
{
    td_status status = TD_OK;
    td__pool *pool = NULL;
    TD_TRY(td__alloc_zero(&pool, context, 1, sizeof *pool, err));
    pool->threads = threads;
    atomic_flag_clear(&pool->busy);
    pthread_mutex_init(&pool->mutex, NULL); /* cannot fail on Linux with default attributes */
    pthread_cond_init(&pool->posted, NULL);
    /* The start records stay valid for the threads' life: they lie behind the handles. */
    TD_TRY(td__alloc_zero(&pool->thread, context, threads, sizeof(pthread_t) + sizeof(worker_start),
                          err));
    TD_TRY(start_threads(pool, (worker_start *)(void *)(pool->thread + threads), err));
    *out = pool;
    pool = NULL;
done:
    if (status != TD_OK) *out = NULL;
    td__pool_free(pool, context);
    return status;
}

void td__pool_free(td__pool *pool, td_context *context)
{
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stopping, true);
    pthread_cond_broadcast(&pool->posted);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->started; i++) pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->posted);
    pthread_mutex_destroy(&pool->mutex);
    td__free(context, pool->thread);
    td__free(context, pool);
}
