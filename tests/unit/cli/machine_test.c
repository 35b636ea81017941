/* machine_test.c -- how much memory is left, on made-up trees of /proc and /sys. */
#include "support/test.h"

#include <sys/stat.h>

#include "cli/machine.h"

/* A machine that no other test has seen. Borrowed, static. */
static const char *new_machine(void)
{
    static char root[512];
    static int machines;
    snprintf(root, sizeof root, "%s/machine-%d", test_directory(), machines++);
    assert_int_equal(mkdir(root, 0700), 0);
    return root;
}

/* root/path holds `text`; its folders are made. */
static void put(const char *root, const char *path, const char *text)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(whole, 0700); /* or it is there */
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* 1000 kB, of processes in a group of version 2. */
static const char *new_machine_2(const char *group)
{
    const char *root = new_machine();
    put(root, "proc/meminfo", "MemTotal:  9000 kB\nMemFree: 10 kB\nMemAvailable:     1000 kB\n");
    put(root, "proc/self/cgroup", group);
    return root;
}

static void check_free(const char *root, uint64_t expected)
{
    uint64_t found = cli_memory_free(root);
    if (found != expected) {
        fail_msg("%llu bytes are free, and not %llu", (unsigned long long)found,
                 (unsigned long long)expected);
    }
}

/* --- no control groups */

static void the_machine_says_what_is_available(void **state)
{
    (void)state;
    const char *root = new_machine();
    put(root, "proc/meminfo", "MemTotal:  9000 kB\nMemFree: 10 kB\nMemAvailable:     1000 kB\n");
    check_free(root, 1024000);
}

static void a_machine_that_says_nothing_has_no_limit(void **state)
{
    (void)state;
    const char *root = new_machine();
    check_free(root, UINT64_MAX);
    put(root, "proc/meminfo", "MemTotal:  9000 kB\nMemFree: 10 kB\n"); /* Linux before 3.14 */
    check_free(root, UINT64_MAX);
    put(root, "proc/meminfo", "MemAvailable: plenty\n");
    check_free(root, UINT64_MAX);
    put(root, "proc/meminfo", "");
    check_free(root, UINT64_MAX);
}

static void more_than_64_bits_count_is_no_limit(void **state)
{
    (void)state;
    const char *root = new_machine();
    put(root, "proc/meminfo", "MemAvailable: 18014398509481984 kB\n"); /* 2^54: 2^64 bytes */
    check_free(root, UINT64_MAX);
    put(root, "proc/meminfo", "MemAvailable: 99999999999999999999999 kB\n");
    check_free(root, UINT64_MAX);
}

/* --- version 2 */

static void a_group_leaves_its_limit_less_its_usage(void **state)
{
    (void)state;
    const char *root = new_machine_2("0::/job\n");
    put(root, "sys/fs/cgroup/job/memory.max", "500000\n");
    check_free(root, 500000);
    put(root, "sys/fs/cgroup/job/memory.current", "120000\n");
    check_free(root, 380000);
    put(root, "sys/fs/cgroup/job/memory.current", "500001\n"); /* a limit that was lowered */
    check_free(root, 0);
}

static void pages_of_files_can_go(void **state)
{
    (void)state;
    const char *root = new_machine_2("0::/job\n");
    put(root, "sys/fs/cgroup/job/memory.max", "500000\n");
    put(root, "sys/fs/cgroup/job/memory.current", "120000\n");
    put(root, "sys/fs/cgroup/job/memory.stat", "anon 1\nactive_file 7\ninactive_file 20000\n");
    check_free(root, 400000);
    put(root, "sys/fs/cgroup/job/memory.stat", "inactive_file 120001\n"); /* counted later */
    check_free(root, 500000);
}

static void max_is_no_limit(void **state)
{
    (void)state;
    const char *root = new_machine_2("0::/job\n");
    put(root, "sys/fs/cgroup/job/memory.max", "max\n");
    put(root, "sys/fs/cgroup/job/memory.current", "120000\n");
    check_free(root, 1024000);
}

static void groups_above_count_too(void **state)
{
    (void)state;
    const char *root = new_machine_2("0::/user/job/step\n");
    put(root, "sys/fs/cgroup/user/job/step/memory.max", "900000\n");
    put(root, "sys/fs/cgroup/user/job/memory.max", "800000\n");
    put(root, "sys/fs/cgroup/user/job/memory.current", "100000\n");
    put(root, "sys/fs/cgroup/user/memory.max", "max\n");
    put(root, "sys/fs/cgroup/other/memory.max", "5\n");
    check_free(root, 700000);
    put(root, "sys/fs/cgroup/user/memory.max", "600000\n");
    check_free(root, 600000);
    put(root, "sys/fs/cgroup/memory.max", "400000\n"); /* in a container the top has one */
    check_free(root, 400000);
    put(root, "sys/fs/cgroup/user/job/step/memory.max", "300000\n");
    check_free(root, 300000);
    put(root, "sys/fs/memory.max", "5\n"); /* no group */
    check_free(root, 300000);
}

static void a_group_that_is_not_there_leaves_those_above(void **state)
{
    (void)state;
    const char *root = new_machine_2("0::/docker/4f2a\n"); /* the host's name for it */
    check_free(root, 1024000);
    put(root, "sys/fs/cgroup/memory.max", "400000\n");
    check_free(root, 400000);
    put(root, "proc/self/cgroup", "0::/\n");
    check_free(root, 400000);
    put(root, "proc/self/cgroup", "0::/../../job\n"); /* outside of our name space */
    check_free(root, 400000);
}

/* --- version 1 */

static void version_1_has_other_files(void **state)
{
    (void)state;
    const char *root = new_machine_2("12:cpuset:/x\n4:memory:/user/job\n1:name=systemd:/x\n");
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    check_free(root, 1024000);
    put(root, "sys/fs/cgroup/memory/user/memory.limit_in_bytes", "600000\n");
    check_free(root, 600000);
    put(root, "sys/fs/cgroup/memory/user/job/memory.limit_in_bytes", "500000\n");
    put(root, "sys/fs/cgroup/memory/user/job/memory.usage_in_bytes", "300000\n");
    check_free(root, 200000);
    put(root, "sys/fs/cgroup/memory/user/job/memory.stat",
        "inactive_file 7\ntotal_inactive_file 50000\n"); /* with those below it */
    check_free(root, 250000);
    put(root, "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5\n"); /* of another controller */
    put(root, "sys/fs/cgroup/user/job/memory.max", "5\n");            /* of another version */
    check_free(root, 250000);
}

static void of_both_versions_the_smaller_counts(void **state)
{
    (void)state;
    const char *root = new_machine_2("5:cpu,memory:/a\n0::/b\n");
    put(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "300000\n");
    put(root, "sys/fs/cgroup/b/memory.max", "200000\n");
    check_free(root, 200000);
    put(root, "sys/fs/cgroup/b/memory.max", "400000\n");
    check_free(root, 300000);
}

/* --- nonsense */

static void nonsense_is_no_limit(void **state)
{
    (void)state;
    static const char *const limits[] = {"", "\n", "a lot\n", "maximum", "max 5\n", "\n5\n"};
    const char *root = new_machine_2("0::/job\n");
    put(root, "sys/fs/cgroup/job/memory.current", "some\n");
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        put(root, "sys/fs/cgroup/job/memory.max", limits[i]);
        check_free(root, 1024000);
    }
    put(root, "sys/fs/cgroup/job/memory.max", "500000"); /* a limit stands without its usage */
    check_free(root, 500000);
}

static void lines_that_name_no_group_are_passed_over(void **state)
{
    (void)state;
    const char *root = new_machine_2("\n0\n0:\nmemory\n:memory\n0::/job\n");
    put(root, "sys/fs/cgroup/job/memory.max", "500000\n");
    check_free(root, 500000);
    put(root, "proc/self/cgroup", "");
    check_free(root, 1024000);
}

static void a_path_that_is_too_long_is_passed_over(void **state)
{
    (void)state;
    enum { LENGTH = 5000 };
    static char group[LENGTH + 1];
    memset(group, 'a', LENGTH);
    memcpy(group, "0::/", 4);
    const char *root = new_machine_2(group);
    put(root, "sys/fs/cgroup/memory.max", "400000\n");
    check_free(root, 1024000);
}

static void this_machine_has_memory(void **state)
{
    (void)state;
    assert_true(cli_memory_free("") > 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_says_what_is_available),
        cmocka_unit_test(a_machine_that_says_nothing_has_no_limit),
        cmocka_unit_test(more_than_64_bits_count_is_no_limit),
        cmocka_unit_test(a_group_leaves_its_limit_less_its_usage),
        cmocka_unit_test(pages_of_files_can_go),
        cmocka_unit_test(max_is_no_limit),
        cmocka_unit_test(groups_above_count_too),
        cmocka_unit_test(a_group_that_is_not_there_leaves_those_above),
        cmocka_unit_test(version_1_has_other_files),
        cmocka_unit_test(of_both_versions_the_smaller_counts),
        cmocka_unit_test(nonsense_is_no_limit),
        cmocka_unit_test(lines_that_name_no_group_are_passed_over),
        cmocka_unit_test(a_path_that_is_too_long_is_passed_over),
        cmocka_unit_test(this_machine_has_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
