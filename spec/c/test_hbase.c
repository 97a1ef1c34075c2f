/* Tests of the helpers for programs: hbase.c, hthread.c, hproc.c, hmutex.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "hbase.h"
#include "hmutex.h"
#include "hproc.h"
#include "hthread.h"

static void test_base_alloc_clears_and_free_sets_null(void **state) {
    (void)state;
    long before = hv_alloc_live();
    unsigned char *bytes = NULL;
    HV_ALLOC(bytes, 100);
    assert_non_null(bytes);
    for (int i = 0; i < 100; i++) assert_int_equal(bytes[i], 0);
    memset(bytes, 1, 100);
    bytes = hv_realloc(bytes, 200, 100);
    assert_int_equal(bytes[99], 1);
    for (int i = 100; i < 200; i++) assert_int_equal(bytes[i], 0);
    HV_FREE(bytes);
    assert_null(bytes);
    HV_FREE(bytes);
    char *copy = hv_strndup("abc", 10);
    assert_string_equal(copy, "abc");
    HV_FREE(copy);
    assert_int_equal(hv_alloc_live(), before);
}

static void test_base_parse_size(void **state) {
    (void)state;
    assert_int_equal(hv_parse_size("64"), 64);
    assert_int_equal(hv_parse_size("64K"), 65536);
    assert_int_equal(hv_parse_size("64kb"), 65536);
    assert_int_equal(hv_parse_size("1M512K"), 1572864);
    assert_int_equal(hv_parse_size("2GB5"), 2147483653u);
    assert_int_equal(hv_parse_size("10b"), 10);
    assert_true(hv_parse_size("16777215T") == SIZE_MAX - (((size_t)1 << 40) - 1));
    assert_int_equal(hv_parse_size("16777216T"), 0);
    assert_int_equal(hv_parse_size(""), 0);
    assert_int_equal(hv_parse_size("K"), 0);
    assert_int_equal(hv_parse_size("1X"), 0);
    assert_int_equal(hv_parse_size("-1"), 0);
    assert_int_equal(hv_parse_size("1 K"), 0);
}

static void test_base_parse_time(void **state) {
    (void)state;
    assert_int_equal(hv_parse_time("30"), 30);
    assert_int_equal(hv_parse_time("1m30s"), 90);
    assert_int_equal(hv_parse_time("1w2d3H"), 604800 + 172800 + 10800);
    assert_int_equal(hv_parse_time("1y"), 0);
    assert_int_equal(hv_parse_time("99999999999999999999"), 0);
}

static void test_base_getboolean(void **state) {
    (void)state;
    assert_true(hv_getboolean("1") && hv_getboolean("YES") && hv_getboolean("on"));
    assert_true(hv_getboolean("True") && hv_getboolean("enable"));
    assert_false(hv_getboolean("0") || hv_getboolean("") || hv_getboolean("onn"));
}

static void test_base_strings(void **state) {
    (void)state;
    char text[] = "aB1z";
    assert_string_equal(hv_strupper(text), "AB1Z");
    assert_string_equal(hv_strlower(text), "ab1z");
    assert_string_equal(hv_strreverse(text), "z1ba");
    char small[4];
    assert_string_equal(hv_strncpy(small, "abcdef", sizeof(small)), "abc");
    assert_string_equal(hv_strncpy(small, "a", sizeof(small)), "a");
    assert_string_equal(hv_strncat(small, "bcdef", sizeof(small)), "abc");
    assert_string_equal(hv_basename("/a/b.c"), "b.c");
    assert_string_equal(hv_basename("b"), "b");
    assert_string_equal(hv_suffixname("/a.d/b.tar.gz"), "gz");
    assert_string_equal(hv_suffixname("/a.d/b"), "");
    assert_true(hv_strstartswith("abc", "ab") && !hv_strstartswith("abc", "bc"));
    assert_true(hv_strendswith("abc", "bc") && !hv_strendswith("abc", "ab"));
    assert_true(hv_strendswith("abc", "") && !hv_strendswith("c", "bc"));
    const char *path = "/a.d/b.c";
    assert_ptr_equal(hv_strrchr_dot(path), path + 6);
    assert_ptr_equal(hv_strrchr_dir(path), path + 4);
    assert_null(hv_strrchr_dot("none"));
    assert_null(hv_strrchr_dir("none"));
}

static void test_base_directories(void **state) {
    (void)state;
    char dir[64] = "/tmp/test_hbase_XXXXXX";
    char keep[] = "/tmp/test_hbase_keep_XXXXXX"; /* hv_rmdir_p would take an empty /tmp along */
    char deep[128];
    assert_non_null(mkdtemp(keep));
    assert_non_null(mkdtemp(dir));
    snprintf(deep, sizeof(deep), "%s/a/b//c/", dir);
    assert_int_equal(hv_mkdir_p(deep), 0);
    assert_int_equal(hv_mkdir_p(deep), 0);
    assert_true(hv_isdir(deep));
    assert_false(hv_isfile(deep));
    assert_true(hv_mkdir_p("/proc/no/such") < 0);
    assert_int_equal(hv_mkdir_p(""), -ENOENT);
    assert_int_equal(hv_rmdir_p(deep), 0);
    assert_false(hv_exists(dir));
    assert_int_equal(hv_rmdir_p(deep), -ENOENT);
    assert_int_equal(rmdir(keep), 0);
}

static void test_base_facts_of_files(void **state) {
    (void)state;
    char file[] = "/tmp/test_hbase_XXXXXX";
    char link[sizeof file + 5];
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "12345", 5), 5);
    close(fd);
    snprintf(link, sizeof link, "%s.link", file);
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(hv_filesize(file), 5);
    assert_int_equal(hv_filesize(link), 5);
    assert_true(hv_islink(link) && hv_isfile(link));
    assert_false(hv_islink(file));
    assert_int_equal(unlink(file), 0);
    assert_true(hv_islink(link));
    assert_false(hv_isfile(link));
    assert_int_equal(hv_filesize(link), 0);
    assert_int_equal(unlink(link), 0);
}

static void test_base_paths_of_the_program(void **state) {
    (void)state;
    char path[MAX_PATH];
    char dir[MAX_PATH];
    char file[MAX_PATH];
    char joined[2 * MAX_PATH];
    assert_non_null(get_executable_path(path, sizeof(path)));
    assert_non_null(get_executable_dir(dir, sizeof(dir)));
    assert_non_null(get_executable_file(file, sizeof(file)));
    snprintf(joined, sizeof(joined), "%s/%s", dir, file);
    assert_string_equal(joined, path);
    assert_null(get_executable_path(path, 3));
    assert_string_equal(path, "");
    assert_non_null(get_run_dir(path, sizeof(path)));
    assert_true(hv_isdir(path));
}

static void test_base_random_stays_in_range(void **state) {
    (void)state;
    unsigned int seen = 0;
    for (int i = 0; i < 1000; i++) {
        int number = hv_rand(-2, 3);
        assert_in_range(number + 2, 0, 5);
        seen |= 1u << (number + 2);
    }
    assert_int_equal(seen, 0x3f);
    assert_int_equal(hv_rand(5, 5), 5);
    hv_rand(INT32_MIN, INT32_MAX);
    char one[33];
    char two[33];
    assert_int_equal(strlen(hv_random_string(one, 32)), 32);
    assert_string_not_equal(one, hv_random_string(two, 32));
}

static HTHREAD_ROUTINE(tell_tid) {
    *(long *)userdata = hv_gettid();
    return 0;
}

static void test_thread_ids_differ_and_survive_fork(void **state) {
    (void)state;
    long tid = 0;
    assert_int_equal(hv_gettid(), hv_getpid());
    hthread_t thread = hthread_create(tell_tid, &tid);
    assert_int_equal(hthread_join(thread), 0);
    assert_true(tid != 0 && tid != hv_gettid());
}

static HTHREAD_ROUTINE(post) {
    hsem_post((hsem_t *)userdata);
    return 0;
}

static void test_thread_detached_ends_by_itself(void **state) {
    (void)state;
    static hsem_t done; /* the thread may still be inside of hsem_post when we go on */
    hsem_init(&done, 0);
    assert_int_equal(hthread_detach(hthread_create(post, &done)), 0);
    assert_int_equal(hsem_wait(&done), 0);
}

static void check_child(void *userdata) {
    int failed = hv_gettid() != hv_getpid() || *(long *)userdata == hv_getpid();
    _exit(failed ? 1 : 42);
}

static void test_proc_spawn_runs_in_a_child(void **state) {
    (void)state;
    long parent = hv_getpid();
    int status = 0;
    proc_ctx_t ctx;
    memset(&ctx, 0, sizeof(ctx));
    ctx.proc = check_child;
    ctx.proc_userdata = &parent;
    int pid = hproc_spawn(&ctx);
    assert_true(pid > 0);
    assert_int_equal(ctx.pid, pid);
    assert_int_equal(ctx.spawn_cnt, 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static void test_mutex_timed_waits_end(void **state) {
    (void)state;
    hmutex_t mutex;
    hcondvar_t cond;
    hsem_t sem;
    hrecursive_mutex_t again;
    hmutex_init(&mutex);
    assert_int_equal(hcondvar_init(&cond), 0);
    hmutex_lock(&mutex);
    assert_int_equal(hcondvar_wait_for(&cond, &mutex, 1), 0);
    assert_int_equal(htimed_mutex_lock_for(&mutex, 1), 0);
    hmutex_unlock(&mutex);
    assert_int_equal(htimed_mutex_lock_for(&mutex, 1), 1);
    hmutex_unlock(&mutex);
    hsem_init(&sem, 1);
    assert_int_equal(hsem_wait(&sem), 0);
    assert_int_equal(hsem_wait_for(&sem, 1), 0);
    hsem_post(&sem);
    assert_int_equal(hsem_wait_for(&sem, 1), 1);
    assert_int_equal(hrecursive_mutex_init(&again), 0);
    assert_int_equal(hrecursive_mutex_lock(&again), 0);
    assert_int_equal(hrecursive_mutex_lock(&again), 0);
    hrecursive_mutex_unlock(&again);
    hrecursive_mutex_unlock(&again);
    hrecursive_mutex_destroy(&again);
    hsem_destroy(&sem);
    hcondvar_destroy(&cond);
    hmutex_destroy(&mutex);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_alloc_clears_and_free_sets_null),
        cmocka_unit_test(test_base_parse_size),
        cmocka_unit_test(test_base_parse_time),
        cmocka_unit_test(test_base_getboolean),
        cmocka_unit_test(test_base_strings),
        cmocka_unit_test(test_base_directories),
        cmocka_unit_test(test_base_facts_of_files),
        cmocka_unit_test(test_base_paths_of_the_program),
        cmocka_unit_test(test_base_random_stays_in_range),
        cmocka_unit_test(test_thread_ids_differ_and_survive_fork),
        cmocka_unit_test(test_thread_detached_ends_by_itself),
        cmocka_unit_test(test_proc_spawn_runs_in_a_child),
        cmocka_unit_test(test_mutex_timed_waits_end),
    };
    return cmocka_run_group_tests_name("hbase", tests, NULL, NULL);
}
