/* test.h -- what every test program includes: cmocka, a context, memory that can fail, data files.
 *
 * Test programs print nothing but cmocka's report and, where random, their seed. */
#ifndef TANDEM_TESTS_TEST_H
#define TANDEM_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tandem/tandem.h"

/* 1 under the thread sanitizer. It makes everything some 20 times slower, and finds in a small problem what
 * it finds in a large one: tests of numbers take less of them there. */
#if defined(__SANITIZE_THREAD__)
#define TEST_THREAD_SANITIZER 1
#elif defined(__has_feature)
#define TEST_THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define TEST_THREAD_SANITIZER 0
#endif

/* Fails the test with the message if `call` is not TD_OK. Uses a td_error called `err` in scope. */
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        td_status assert_status_ = (call);                                                         \
        if (assert_status_ != TD_OK)                                                               \
            fail_msg("%s: %s: %s", #call, td_status_name(assert_status_), err.message);            \
    } while (0)

/* Fails unless `call` gives `expected` and a message that contains `part`. */
#define assert_fails(call, expected, part)                                                         \
    do {                                                                                           \
        td_status assert_status_ = (call);                                                         \
        if (assert_status_ != (expected))                                                          \
            fail_msg("%s: got %s, expected %s", #call, td_status_name(assert_status_),             \
                     td_status_name(expected));                                                    \
        if (strstr(err.message, (part)) == NULL)                                                   \
            fail_msg("%s: message \"%s\" lacks \"%s\"", #call, err.message, (part));               \
    } while (0)

/* |a - b| <= absolute + relative |b| in double; NaN never is. Prints both. */
void test_close_at(double a, double b, double relative, double absolute, const char *what,
                   const char *file, int line);
#define assert_close(a, b, relative, absolute)                                                     \
    test_close_at((a), (b), (relative), (absolute), #a " ~ " #b, __FILE__, __LINE__)

/* A context with `threads` threads and the default allocator. */
td_context *test_context(uint32_t threads);

/* An allocator that counts, and fails one allocation. */
typedef struct test_memory {
    int64_t fail_at;     /* the n-th allocation from now (0-based) fails; -1: none */
    bool persistent;     /* so do all after it */
    int64_t allocations; /* so far */
    int64_t blocks;      /* live */
    int64_t bytes;       /* live */
    int64_t peak;        /* the most that was; set it to `bytes` to start anew */
} test_memory;

/* A context on such an allocator. `memory` must outlive it. */
td_context *test_context_on(test_memory *memory, uint32_t threads);
td_allocator test_allocator(test_memory *memory);

/* Run `body(state, context, &err)` with the 1st, 2nd, ... allocation failing (once, then from there
 * on) until it succeeds: each failure must be TD_ERR_MEMORY and leave no block behind. The body must
 * free what it makes. */
void test_every_allocation(td_status (*body)(void *state, td_context *context, td_error *err),
                           void *state);

/* A fresh directory for this test program's files, removed at exit. Borrowed, static. */
const char *test_directory(void);
/* "<test_directory>/<name>" in a static ring of buffers. */
const char *test_path(const char *name);
/* Write a file there; returns its path. */
const char *test_file(const char *name, const void *bytes, size_t count);
const char *test_text_file(const char *name, const char *text);
/* Whole file in memory (free with free); fails the test if unreadable. */
unsigned char *test_read(const char *path, size_t *count);

/* "<source>/tests/golden/<name>". */
const char *test_golden(const char *name);

/* Path of a development data set ("ml-100k/u.data") in $TANDEM_DATA or ../shared/data beside the
 * source, or NULL after skip() has been asked for: use `TEST_DATA(path, "ml-100k/u.data")`. */
const char *test_data(const char *name);
#define TEST_DATA(path, name)                                                                      \
    const char *path = test_data(name);                                                            \
    if (path == NULL) {                                                                            \
        print_message("SKIPPED: data set %s is not here\n", (name));                               \
        skip();                                                                                    \
    }

/* The bundled data set: "<source>/data/ml-latest-small/<name>". */
const char *test_bundled(const char *name);

/* Deterministic numbers for tests. */
double test_uniform(uint64_t *state, double low, double high);
float *test_normal_vectors(uint64_t seed, uint64_t rows, uint32_t dim); /* free with free */

#endif
