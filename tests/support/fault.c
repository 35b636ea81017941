/* fault.c -- system calls that fail when the test wants it. */
#include "support/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

typedef enum fault { FAULT_NONE, FAULT_ERROR, FAULT_FULL, FAULT_INTERRUPTED, FAULT_SHORT } fault;

static struct {
    fault fault;
    int64_t at;    /* this call fails */
    int64_t calls; /* seen in this run */
    bool hit;      /* something was done to a call */
    uint64_t total;
} injector;

/* Is this call the one? Kinds that make sense for writes only let the others pass. */
static bool strikes(bool is_write)
{
    __atomic_fetch_add(&injector.total, 1, __ATOMIC_RELAXED); /* tests may have threads */
    if (injector.fault == FAULT_NONE) return false;
    if (injector.fault != FAULT_ERROR && !is_write) return false;
    injector.hit |= injector.calls == injector.at;
    return injector.calls++ == injector.at;
}

uint64_t test_fault_calls(void)
{
    return injector.total;
}

/* The names that the linker gives to wrapped calls; open and ftruncate exist twice in glibc. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode);
ssize_t __real_write(int file, const void *bytes, size_t count);
ssize_t __wrap_write(int file, const void *bytes, size_t count);
int __real_fsync(int file);
int __wrap_fsync(int file);
int __real_close(int file);
int __wrap_close(int file);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_ftruncate(int file, off_t size);
int __wrap_ftruncate(int file, off_t size);
int __wrap_ftruncate64(int file, off_t size);

static int refused(void)
{
    errno = EIO;
    return -1;
}

int __wrap_open(const char *path, int flags, mode_t mode)
{
    return strikes(false) ? refused() : __real_open(path, flags, mode);
}

int __wrap_open64(const char *path, int flags, mode_t mode)
{
    return __wrap_open(path, flags, mode);
}

int __wrap_fsync(int file)
{
    return strikes(false) ? refused() : __real_fsync(file);
}

/* A close that fails has closed the file all the same (Linux). */
int __wrap_close(int file)
{
    bool struck = strikes(false);
    int result = __real_close(file);
    return struck ? refused() : result;
}

int __wrap_rename(const char *from, const char *to)
{
    return strikes(false) ? refused() : __real_rename(from, to);
}

int __wrap_ftruncate(int file, off_t size)
{
    return strikes(false) ? refused() : __real_ftruncate(file, size);
}

int __wrap_ftruncate64(int file, off_t size)
{
    return __wrap_ftruncate(file, size);
}

ssize_t __wrap_write(int file, const void *bytes, size_t count)
{
    if (!strikes(true)) return __real_write(file, bytes, count);
    if (injector.fault == FAULT_SHORT) return __real_write(file, bytes, (count + 1) / 2);
    if (injector.fault == FAULT_FULL) (void)!__real_write(file, bytes, count / 2);
    errno = injector.fault == FAULT_FULL          ? ENOSPC
            : injector.fault == FAULT_INTERRUPTED ? EINTR
                                                  : EIO;
    return -1;
}

static bool holds_old(const char *path)
{
    size_t count;
    unsigned char *bytes = test_read(path, &count);
    bool same = count == 3 && memcmp(bytes, "old", 3) == 0;
    free(bytes);
    return same;
}

static uint32_t files_in_directory(void)
{
    uint32_t count = 0;
    DIR *entries = opendir(test_directory());
    if (entries == NULL) fail_msg("cannot read %s", test_directory());
    while (readdir(entries) != NULL) count++;
    closedir(entries);
    return count;
}

/* True if the fault did not strike: the end. */
static bool run_with_fault(td_status (*body)(void *, td_context *, td_error *), void *state,
                           const char *path, fault kind, int64_t at)
{
    td_error err = {0};
    td_context *context = test_context(1);
    const char *name = strrchr(path, '/');
    test_text_file(name == NULL ? path : name + 1, "old");
    uint32_t files = files_in_directory();
    injector.calls = 0;
    injector.at = at;
    injector.hit = false;
    injector.fault = kind;
    td_status status = body(state, context, &err);
    injector.fault = FAULT_NONE;
    td_context_free(context);
    bool harmless = !injector.hit || kind == FAULT_INTERRUPTED || kind == FAULT_SHORT;
    if (harmless && status != TD_OK) fail_msg("no call failed, yet: %s", err.message);
    if (holds_old(path) != (status != TD_OK)) {
        fail_msg("call %lld failed, status is %s, and the file is the %s one", (long long)at,
                 td_status_name(status), status == TD_OK ? "old" : "new");
    }
    if (files_in_directory() != files)
        fail_msg("call %lld failed, and a file is left", (long long)at);
    return !injector.hit;
}

void test_every_write(td_status (*body)(void *state, td_context *context, td_error *err),
                      void *state, const char *path)
{
    for (fault kind = FAULT_ERROR; kind <= FAULT_SHORT; kind++) {
        int64_t at = 0;
        while (!run_with_fault(body, state, path, kind, at)) at++;
        assert_true(at > 0); /* a body without such calls shows nothing */
    }
}
