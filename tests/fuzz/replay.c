/* replay.c -- run a fuzz target on every file of its corpus, as tests.
 *
 *   container_fuzz FOLDER
 *
 * With clang and -DTANDEM_FUZZ=ON the target is linked with libFuzzer instead of this. */
#include "support/test.h"

#include <dirent.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 4096 };

static void replay(void **state)
{
    size_t size;
    unsigned char *bytes = test_read(*state, &size);
    assert_int_equal(LLVMFuzzerTestOneInput(bytes, size), 0);
    free(bytes);
}

static int by_name(const void *left, const void *right)
{
    const struct CMUnitTest *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static char *path_of(const char *folder, const char *name)
{
    size_t capacity = strlen(folder) + strlen(name) + 2;
    char *path = malloc(capacity);
    if (path != NULL) snprintf(path, capacity, "%s/%s", folder, name);
    return path;
}

int main(int count, char **arguments)
{
    static struct CMUnitTest tests[FILES_MAX];
    size_t files = 0;
    DIR *entries = count == 2 ? opendir(arguments[1]) : NULL;
    if (entries == NULL) return 2;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL && files < FILES_MAX;) {
        if (entry->d_name[0] == '.') continue;
        char *path = path_of(arguments[1], entry->d_name);
        tests[files++] = (struct CMUnitTest){
            .name = path, .test_func = replay, .initial_state = path};
    }
    closedir(entries);
    if (files == 0) return 2; /* a corpus without files shows nothing */
    qsort(tests, files, sizeof tests[0], by_name);
    int failed = _cmocka_run_group_tests("corpus", tests, files, NULL, NULL);
    for (size_t i = 0; i < files; i++) free(tests[i].initial_state);
    return failed;
}
