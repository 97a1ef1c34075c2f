/* Tests of runtime/fs/hfs_below.c: nothing outside the directory is ever opened. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hfs.h"
#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static char root[64];
static int dir_fd;
static int calls, error;
static int64_t result;
static hfs_stat_t facts;
static char names[256];

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static void put_link(const char *to, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(symlink(to, path), 0);
}

static void put_dir(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int setup(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    snprintf(root, sizeof root, "/tmp/hv-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    put_dir("in");
    put_dir("in/sub");
    put("outside", "secret");
    put("in/file", "hello");
    put("in/sub/deep", "deep!");
    put_link("file", "in/link");
    put_link("sub", "in/sublink");
    put_link("../outside", "in/out");
    put_link("/etc", "in/absolute");
    put_link("loop", "in/loop");
    char path[80];
    snprintf(path, sizeof path, "%s/in", root);
    dir_fd = hfs_open_directory(path);
    assert_true(dir_fd >= 0);
    assert_int_equal(hfs_open_directory("/nowhere/at/all"), -ENOENT);
    calls = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    close(dir_fd);
    free_loop(loop, blocks_before);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void on_done(hfs_req_t *req) {
    calls++;
    error = hfs_error(req);
    result = hfs_result(req);
    if (hfs_stat_result(req) != NULL) facts = *hfs_stat_result(req);
    const hfs_entry_t *entries = hfs_entries(req);
    names[0] = '\0';
    for (int64_t i = 0; entries != NULL && i < result; i++) {
        strcat(names, entries[i].name);
        strcat(names, " ");
    }
}

/* Opens by a thread, and at once where that can be; both must say the same. */
static int open_both(const char *path, int flags) {
    hfs_stat_t now;
    int before = calls;
    assert_non_null(hfs_open_below(loop, dir_fd, path, flags, on_done));
    RUN_UNTIL(loop, calls > before);
    int fd = hfs_try_open_below(dir_fd, path, flags, &now);
    if (fd == HV_EAGAIN) return error != 0 ? error : (int)result;
    if (error != 0) {
        assert_int_equal(fd, error);
        return error;
    }
    assert_true(fd >= 0);
    assert_int_equal(now.inode, facts.inode);
    assert_int_equal(now.size, facts.size);
    close(fd);
    return (int)result;
}

static void assert_opens(const char *path, int flags, const char *content) {
    char text[16] = "";
    int fd = open_both(path, flags);
    if (fd < 0) fail_msg("%s: %d", path, fd);
    assert_int_equal(facts.type, HFS_TYPE_FILE);
    assert_int_equal(read(fd, text, sizeof text - 1), strlen(content));
    assert_string_equal(text, content);
    close(fd);
}

static void test_what_is_below_is_opened(void **state) {
    (void)state;
    assert_opens("file", 0, "hello");
    assert_opens("sub/deep", 0, "deep!");
    assert_opens("sub//deep", 0, "deep!");
    assert_opens("link", 0, "hello");
    assert_opens("sublink/deep", 0, "deep!");
    assert_opens("sub/../file", 0, "hello");
    assert_opens("file", HFS_NO_FOLLOW, "hello");
    int fd = open_both(".", 0);
    assert_true(fd >= 0);
    assert_int_equal(facts.type, HFS_TYPE_DIRECTORY);
    close(fd);
}

static void test_nothing_outside_is(void **state) {
    (void)state;
    assert_int_equal(open_both("../outside", 0), -EXDEV);
    assert_int_equal(open_both("sub/../../outside", 0), -EXDEV);
    assert_int_equal(open_both("out", 0), -EXDEV);
    assert_int_equal(open_both("absolute/passwd", 0), -EXDEV);
    assert_int_equal(open_both("/etc/passwd", 0), -EXDEV);
    assert_int_equal(open_both("..", 0), -EXDEV);
    assert_int_equal(open_both("loop", 0), -ELOOP);
    assert_int_equal(open_both("link", HFS_NO_FOLLOW), -ELOOP);
    assert_int_equal(open_both("sublink/deep", HFS_NO_FOLLOW), -ELOOP);
    assert_int_equal(open_both("missing", 0), -ENOENT);
    assert_int_equal(open_both("file/x", 0), -ENOTDIR);
}

static void test_any_path_may_be_opened_to_send(void **state) {
    (void)state;
    char path[80];
    snprintf(path, sizeof path, "%s/in/file", root);
    assert_non_null(hfs_open_to_send(loop, path, on_done));
    RUN_UNTIL(loop, calls == 1);
    assert_int_equal(error, 0);
    assert_int_equal(facts.size, 5);
    char text[8];
    assert_int_equal(hfs_try_read((int)result, text, 5, 0), 5);
    assert_int_equal(hfs_try_read((int)result, text, 5, 5), 0);
    assert_true(hfs_is_cached((int)result, 0, 5));
    assert_non_null(hfs_prefetch(loop, (int)result, 0, 5, on_done));
    int fd = (int)result;
    RUN_UNTIL(loop, calls == 2);
    assert_int_equal(error, 0);
    close(fd);
    assert_non_null(hfs_open_to_send(loop, "/nowhere", on_done));
    RUN_UNTIL(loop, calls == 3);
    assert_int_equal(error, -ENOENT);
}

static void test_open_directory_is_listed(void **state) {
    (void)state;
    assert_non_null(hfs_scan_fd(loop, dir_fd, on_done));
    RUN_UNTIL(loop, calls == 1);
    assert_string_equal(names, "absolute file link loop out sub sublink ");
    assert_non_null(hfs_scan_fd(loop, dir_fd, on_done)); /* again: its position is its own */
    RUN_UNTIL(loop, calls == 2);
    assert_int_equal(result, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_below_is_opened),
        TEST(test_nothing_outside_is),
        TEST(test_any_path_may_be_opened_to_send),
        TEST(test_open_directory_is_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
