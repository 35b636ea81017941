/* machine.h -- how much memory is left for us. */
#ifndef TANDEM_CLI_MACHINE_H
#define TANDEM_CLI_MACHINE_H

#include <stdint.h>

/* Bytes that can be taken without swapping, or being ended by the system: what Linux calls
 * available, and no more than the control groups of this process leave. UINT64_MAX if the system
 * does not say. /proc and /sys are looked for in the folder `root`: "" is the machine's own. */
uint64_t cli_memory_free(const char *root);

#endif
