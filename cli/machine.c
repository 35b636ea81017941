/* machine.c -- how much memory is left for us.
 *
 * In: /proc and /sys/fs/cgroup. Out: bytes. A control group may allow less than the machine has
 * (containers, batch systems); so may any group above it. Files of versions 1 and 2 are looked for.
 */
#include "machine.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 4352 };

/* A file by its folder and name. NULL: it is not there. */
static FILE *open_in(const char *folder, const char *name)
{
    char path[PATH_BYTES + 64];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path ? fopen(path, "r") : NULL;
}

/* The number behind `key` at the start of a line of a file. */
static uint64_t number_in(const char *folder, const char *name, const char *key, uint64_t otherwise)
{
    char line[256];
    uint64_t value = otherwise;
    FILE *file = open_in(folder, name);
    if (file == NULL) return otherwise;
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long long found;
        if (strncmp(line, key, strlen(key)) != 0) continue;
        if (sscanf(line + strlen(key), "%llu", &found) == 1) value = found;
        break; /* "max": no limit */
    }
    fclose(file);
    return value;
}

typedef struct group_files {
    const char *top, *limit, *usage, *cache;
} group_files;

static const group_files version_1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                      "memory.usage_in_bytes", "total_inactive_file "};
static const group_files version_2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                      "inactive_file "};

/* Limit less usage of one group. Pages of files that nobody used lately can go: no usage. */
static uint64_t left_in(const char *folder, const group_files *files)
{
    uint64_t limit = number_in(folder, files->limit, "", UINT64_MAX);
    uint64_t usage = number_in(folder, files->usage, "", 0);
    uint64_t cache = number_in(folder, "memory.stat", files->cache, 0);
    if (limit == UINT64_MAX) return limit;
    usage = usage > cache ? usage - cache : 0;
    return limit > usage ? limit - usage : 0;
}

/* The least that a group and those above it leave. In a container the path may be that of the host,
 * which is not there: its groups then say nothing, but the top does. */
static uint64_t left_in_all(const char *root, const char *group, const group_files *files)
{
    char folder[PATH_BYTES];
    size_t top = strlen(root) + strlen(files->top);
    uint64_t least = UINT64_MAX;
    int length = snprintf(folder, sizeof folder, "%s%s%s", root, files->top, group);
    if (length < 0 || (size_t)length >= sizeof folder) return least;
    for (;;) {
        uint64_t left = left_in(folder, files);
        char *slash = strrchr(folder, '/');
        if (left < least) least = left;
        if (strlen(folder) <= top || slash == NULL) return least;
        *slash = '\0';
    }
}

/* Lines "4:memory:/path" (version 1) and "0::/path" (version 2). */
static uint64_t left_in_groups(const char *root)
{
    char line[LINE_BYTES];
    uint64_t least = UINT64_MAX;
    FILE *file = open_in(root, "proc/self/cgroup");
    if (file == NULL) return least;
    while (fgets(line, sizeof line, file) != NULL) {
        char *names = strchr(line, ':'), *path = names == NULL ? NULL : strchr(names + 1, ':');
        if (path == NULL) continue;
        path[strcspn(path, "\n")] = '\0';
        bool unified = path == names + 1;
        *path++ = '\0';
        if (!unified && strstr(names, "memory") == NULL) continue;
        uint64_t left = left_in_all(root, path, unified ? &version_2 : &version_1);
        if (left < least) least = left;
    }
    fclose(file);
    return least;
}

uint64_t cli_memory_free(const char *root)
{
    uint64_t kilobytes = number_in(root, "proc/meminfo", "MemAvailable:", UINT64_MAX);
    uint64_t machine = kilobytes > UINT64_MAX / 1024 ? UINT64_MAX : kilobytes * 1024;
    uint64_t groups = left_in_groups(root);
    return groups < machine ? groups : machine;
}
