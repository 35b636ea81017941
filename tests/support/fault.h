/* fault.h -- system calls that fail when the test wants it.
 *
 * Every test program is linked with --wrap for open, write, fsync, rename, close and ftruncate, so the
 * library's calls (not those of the C library itself) pass through fault.c. */
#ifndef TANDEM_TESTS_FAULT_H
#define TANDEM_TESTS_FAULT_H

#include "support/test.h"

/* Run `body(state, context, &err)` with the 1st, 2nd, ... of these calls failing (EIO; a write also
 * with ENOSPC after half of its bytes), until one run sees no failure. The body writes `path`, which
 * this function fills with "old" before each run. After a run that returns an error, `path` must still
 * hold "old"; after one that returns TD_OK it must not. In no case may another file be left in
 * test_directory(). Interrupted and short writes must do no harm; they are tried as well. */
void test_every_write(td_status (*body)(void *state, td_context *context, td_error *err),
                      void *state, const char *path);

/* Calls of each kind since the start of the program: that a test saw what it thinks it saw. */
uint64_t test_fault_calls(void);

#endif
