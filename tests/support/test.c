/* test.c -- support of the test programs. */
#define _GNU_SOURCE
#include "support/test.h"

#include <ftw.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

void test_close_at(double a, double b, double relative, double absolute, const char *what,
                   const char *file, int line)
{
    double allowed = absolute + relative * fabs(b);
    if (fabs(a - b) <= allowed || (isinf(a) && a == b)) return;
    print_error("%s: %.9g is not within %.3g of %.9g\n", what, a, allowed, b);
    _fail(file, line);
}

static td_context *context_or_fail(const td_context_options *options)
{
    td_context *context = NULL;
    td_error err;
    if (td_context_create(&context, options, &err) != TD_OK) fail_msg("context: %s", err.message);
    return context;
}

td_context *test_context(uint32_t threads)
{
    return context_or_fail(&(td_context_options){.threads = threads});
}

/* Threads of one context may allocate, so the counts are atomic operations. */
static bool allocation_fails(test_memory *memory)
{
    int64_t number = __atomic_fetch_add(&memory->allocations, 1, __ATOMIC_RELAXED);
    if (memory->fail_at < 0) return false;
    return memory->persistent ? number >= memory->fail_at : number == memory->fail_at;
}

/* Another thread may have raised the peak meanwhile: then that holds. */
static void count_bytes(test_memory *memory, int64_t more)
{
    int64_t now = __atomic_add_fetch(&memory->bytes, more, __ATOMIC_RELAXED);
    int64_t peak = __atomic_load_n(&memory->peak, __ATOMIC_RELAXED);
    while (now > peak
           && !__atomic_compare_exchange_n(&memory->peak, &peak, now, false, __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED)) {
        continue;
    }
}

static void *counting_resize(void *user, void *block, size_t old_size, size_t new_size)
{
    test_memory *memory = user;
    if (new_size == 0) {
        if (block != NULL) {
            __atomic_fetch_sub(&memory->blocks, 1, __ATOMIC_RELAXED);
            count_bytes(memory, -(int64_t)old_size);
        }
        free(block);
        return NULL;
    }
    if (allocation_fails(memory)) return NULL;
    void *moved = NULL;
    if (posix_memalign(&moved, 64, new_size) != 0) return NULL;
    count_bytes(memory, (int64_t)new_size); /* both blocks are there for a moment */
    count_bytes(memory, -(int64_t)old_size);
    if (block == NULL) {
        __atomic_fetch_add(&memory->blocks, 1, __ATOMIC_RELAXED);
        return moved;
    }
    memcpy(moved, block, old_size < new_size ? old_size : new_size);
    free(block);
    return moved;
}

td_allocator test_allocator(test_memory *memory)
{
    return (td_allocator){.resize = counting_resize, .user = memory};
}

td_context *test_context_on(test_memory *memory, uint32_t threads)
{
    return context_or_fail(
        &(td_context_options){.threads = threads, .allocator = test_allocator(memory)});
}

/* One run with one failure; true if the body got through. */
static bool run_with_failure(td_status (*body)(void *, td_context *, td_error *), void *state,
                             int64_t fail_at, bool persistent)
{
    test_memory memory = {.fail_at = -1};
    td_context *context = test_context_on(&memory, 2);
    int64_t blocks_before = memory.blocks;
    memory.allocations = 0;
    memory.persistent = persistent;
    memory.fail_at = fail_at;
    td_error err = {0};
    td_status status = body(state, context, &err);
    bool failed = memory.allocations > fail_at;
    memory.fail_at = -1;
    if (failed && status != TD_ERR_MEMORY) {
        fail_msg("allocation %lld failed, status is %s: %s", (long long)fail_at,
                 td_status_name(status), err.message);
    }
    if (!failed && status != TD_OK) fail_msg("no allocation failed, yet: %s", err.message);
    if (memory.blocks != blocks_before) {
        fail_msg("allocation %lld failed, %lld blocks leak", (long long)fail_at,
                 (long long)(memory.blocks - blocks_before));
    }
    td_context_free(context);
    assert_int_equal(memory.blocks, 0);
    assert_int_equal(memory.bytes, 0);
    return !failed;
}

void test_every_allocation(td_status (*body)(void *state, td_context *context, td_error *err),
                           void *state)
{
    for (int persistent = 0; persistent < 2; persistent++) {
        int64_t n = 0;
        while (!run_with_failure(body, state, n, persistent != 0)) n++;
        assert_true(n > 0); /* a body without allocations shows nothing */
    }
}

static char directory[256];

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *test_directory(void)
{
    if (directory[0] == '\0') {
        snprintf(directory, sizeof directory, "%s/tandem-test-XXXXXX",
                 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
        if (mkdtemp(directory) == NULL) fail_msg("no temporary directory");
        atexit(remove_directory);
    }
    return directory;
}

static char *next_path(void)
{
    static char ring[8][1024];
    static unsigned next;
    return ring[next++ % 8];
}

const char *test_path(const char *name)
{
    char *path = next_path();
    snprintf(path, 1024, "%s/%s", test_directory(), name);
    return path;
}

const char *test_file(const char *name, const void *bytes, size_t count)
{
    const char *path = test_path(name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0) {
        fail_msg("cannot write %s", path);
    }
    return path;
}

const char *test_text_file(const char *name, const char *text)
{
    return test_file(name, text, strlen(text));
}

unsigned char *test_read(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail_msg("cannot read %s", path);
    fseek(file, 0, SEEK_END);
    *count = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*count + 1);
    if (bytes == NULL || fread(bytes, 1, *count, file) != *count) fail_msg("cannot read %s", path);
    bytes[*count] = '\0';
    fclose(file);
    return bytes;
}

const char *test_golden(const char *name)
{
    char *path = next_path();
    snprintf(path, 1024, "%s/tests/golden/%s", TANDEM_SOURCE_DIR, name);
    return path;
}

const char *test_data(const char *name)
{
    char *path = next_path();
    const char *root = getenv("TANDEM_DATA");
    if (root != NULL) snprintf(path, 1024, "%s/%s", root, name);
    else snprintf(path, 1024, "%s/../shared/data/%s", TANDEM_SOURCE_DIR, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

const char *test_bundled(const char *name)
{
    char *path = next_path();
    snprintf(path, 1024, "%s/data/ml-latest-small/%s", TANDEM_SOURCE_DIR, name);
    return path;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t x = *state;
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    return x ^ (x >> 33);
}

double test_uniform(uint64_t *state, double low, double high)
{
    return low + (high - low) * (double)(next_random(state) >> 11) * 0x1.0p-53;
}

float *test_normal_vectors(uint64_t seed, uint64_t rows, uint32_t dim)
{
    size_t count = (size_t)rows * dim;
    float *values = malloc((count + 1) * sizeof *values);
    if (values == NULL) fail_msg("out of memory");
    for (size_t i = 0; i < count; i++) {
        double u = test_uniform(&seed, 1e-12, 1.0), v = test_uniform(&seed, 0.0, 1.0);
        values[i] = (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
    }
    return values;
}
