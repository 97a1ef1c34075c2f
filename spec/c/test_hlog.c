/* Tests of runtime/log: the form of a line, levels, rotation, and lines of many threads. Files are
 * written in a directory made for the test, under a clock turned by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hbase.h"
#include "hclock.h"
#include "hlog.h"
#include "hmem.h"
#include "hthread.h"

static char seen[8192];
static int seen_level;

static void remember(int level, const char *buf, int len) {
    seen_level = level;
    assert_true((size_t)len < sizeof(seen));
    memcpy(seen, buf, (size_t)len);
    seen[len] = '\0';
    /* Logging from inside a handler is dropped, not a deadlock. */
    LOGI("not to be seen");
}

/* Made by enter_directory; empty where that failed, for cmocka calls the teardown all the same. */
static char made_dir[sizeof("/tmp/test_hlog_XXXXXX")];

static int enter_directory(void **state) {
    char dir[] = "/tmp/test_hlog_XXXXXX";
    (void)state;
    setenv("TZ", "UTC", 1);
    hclock_set_fake(UINT64_C(1612570600989000)); /* 2021-02-06 00:16:40.989 UTC */
    if (mkdtemp(dir) == NULL) return -1;
    memcpy(made_dir, dir, sizeof(dir));
    return chdir(made_dir);
}

static int leave_directory(void **state) {
    char command[sizeof(made_dir) + 16];
    (void)state;
    hclock_use_real();
    if (made_dir[0] == '\0' || chdir("/") != 0) return -1;
    /* Never the working directory, whatever it is by now: only what this test has made. */
    snprintf(command, sizeof(command), "rm -r '%s'", made_dir);
    return system(command);
}

/* Reads a file whole. Returns "" where there is none. */
static const char *text_of(const char *path) {
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    size_t len = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file != NULL) fclose(file);
    text[len] = '\0';
    return text;
}

static void test_log_line_has_time_level_message_and_place(void **state) {
    (void)state;
    char expected[256];
    hlog_set_handler(remember);
    LOGI("libhv version: %s", "1.2.3"); snprintf(expected, sizeof(expected),
        "2021-02-06 00:16:40.989 INFO  libhv version: 1.2.3 [test_hlog.c:%d:%s]\n", __LINE__ - 1,
        __func__);
    assert_string_equal(seen, expected);
    assert_int_equal(seen_level, LOG_LEVEL_INFO);
    hlog_set_format("%l %Z %% %s");
    LOGE("x"); snprintf(expected, sizeof(expected), "E 989000 %% x [test_hlog.c:%d:%s]\n", __LINE__,
        __func__);
    assert_string_equal(seen, expected);
    hlog_set_format("%L|%s");
    logger_print(hlog, LOG_LEVEL_WARN, "own newline\n");
    assert_string_equal(seen, "WARN |own newline\n");
    hlog_enable_color(1);
    logger_print(hlog, LOG_LEVEL_ERROR, "red");
    assert_string_equal(seen, "\033[31mERROR|red\033[0m\n");
    hv_destroy_default_logger();
}

static void test_log_to_stdout_and_stderr(void **state) {
    (void)state;
    const struct {
        logger_handler handler;
        int fd;
        FILE *stream;
    } sinks[] = {{stdout_logger, STDOUT_FILENO, stdout}, {stderr_logger, STDERR_FILENO, stderr}};
    for (size_t i = 0; i < ARRAY_SIZE(sinks); i++) {
        char text[16] = "";
        FILE *file = tmpfile();
        assert_non_null(file);
        fflush(sinks[i].stream);
        int kept = dup(sinks[i].fd);
        dup2(fileno(file), sinks[i].fd);
        sinks[i].handler(LOG_LEVEL_INFO, "a line\n and more", 7);
        fflush(sinks[i].stream);
        dup2(kept, sinks[i].fd);
        close(kept);
        rewind(file);
        assert_int_equal(fread(text, 1, sizeof text - 1, file), 7);
        assert_string_equal(text, "a line\n");
        fclose(file);
    }
}

static void test_log_below_the_level_is_silent(void **state) {
    (void)state;
    hlog_set_handler(remember);
    seen[0] = '\0';
    LOGD("default level is info");
    assert_string_equal(seen, "");
    hlog_set_level_by_str("debug");
    LOGD("now");
    assert_int_equal(seen_level, LOG_LEVEL_DEBUG);
    hlog_set_level(LOG_LEVEL_ERROR);
    seen[0] = '\0';
    LOGW("no");
    assert_string_equal(seen, "");
    LOGF("yes");
    assert_int_equal(seen_level, LOG_LEVEL_FATAL);
    hlog_disable();
    seen[0] = '\0';
    LOGF("no");
    assert_string_equal(seen, "");
    hv_destroy_default_logger();
}

static void test_log_long_line_is_cut_with_its_newline(void **state) {
    (void)state;
    logger_t *logger = logger_create();
    logger_set_handler(logger, remember);
    logger_set_format(logger, "%s");
    for (unsigned int size = 1; size < 200; size++) {
        char text[300];
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(logger_set_max_bufsize(logger, size), 0);
        int len = logger_print_at(logger, LOG_LEVEL_INFO, "f.c", 1, "fn", "%s", text);
        assert_true(len <= (int)(size < 64 ? 64 : size));
        assert_int_equal(seen[len - 1], '\n');
        assert_int_equal(strlen(seen), len);
    }
    logger_destroy(logger);
}

static void test_log_default_file_is_named_after_the_day(void **state) {
    (void)state;
    char path[MAX_PATH];
    LOGI("first");
    assert_string_equal(hlog_get_cur_file(path, sizeof(path)), "libhv.20210206.log");
    assert_non_null(strstr(text_of("libhv.20210206.log"), "INFO  first [test_hlog.c:"));
    hclock_advance(UINT64_C(86400000000));
    LOGI("second");
    assert_non_null(strstr(text_of("libhv.20210207.log"), "INFO  second ["));
    hclock_set_fake(UINT64_C(1612570600989000));
    LOGI("clock went back");
    assert_non_null(strstr(text_of("libhv.20210207.log"), "clock went back"));
    hv_destroy_default_logger();
}

static void test_log_rotation_by_size_loses_nothing(void **state) {
    (void)state;
    logger_t *logger = logger_create();
    assert_int_equal(logger_set_file(logger, "size.log"), 0);
    logger_set_format(logger, "%s");
    logger_set_max_filesize_by_str(logger, "100");
    for (int i = 0; i < 25; i++) logger_print(logger, LOG_LEVEL_INFO, "line %04d", i);
    int next = 0;
    for (int part = 1; part <= 3; part++) {
        char path[64];
        if (part < 3) snprintf(path, sizeof(path), "size.20210206.%d.log", part);
        else snprintf(path, sizeof(path), "size.20210206.log");
        const char *at = text_of(path);
        assert_true(strlen(at) <= 100);
        for (; *at != '\0'; at += 10, next++) {
            char line[24];
            snprintf(line, sizeof(line), "line %04d\n", next);
            assert_memory_equal(at, line, 10);
        }
    }
    assert_int_equal(next, 25);
    assert_int_equal(logger_lost_lines(logger), 0);
    logger_destroy(logger);
}

static void test_log_removes_only_its_own_old_files(void **state) {
    (void)state;
    static const char *const names[] = {"old.20210203.log", "old.20210203.7.log",
                                        "old.20210204.log", "old.20210203.txt",
                                        "older.20210203.log", "old.2021020.log"};
    for (int i = 0; i < 6; i++) fclose(fopen(names[i], "w"));
    logger_t *logger = logger_create();
    logger_set_file(logger, "old");
    logger_set_remain_days(logger, 2);
    logger_print(logger, LOG_LEVEL_INFO, "x");
    assert_false(hv_exists(names[0]));
    assert_false(hv_exists(names[1]));
    for (int i = 2; i < 6; i++) assert_true(hv_exists(names[i]));
    logger_destroy(logger);
}

static void test_log_that_cannot_be_written_is_counted(void **state) {
    (void)state;
    logger_t *logger = logger_create();
    logger_set_file(logger, "no/such/directory/file");
    logger_print(logger, LOG_LEVEL_INFO, "x");
    logger_print(logger, LOG_LEVEL_INFO, "x");
    assert_int_equal(logger_lost_lines(logger), 2);
    assert_int_equal(hv_mkdir_p("no/such/directory"), 0);
    hclock_advance(2000000);
    logger_print(logger, LOG_LEVEL_INFO, "x");
    assert_int_equal(logger_lost_lines(logger), 2);
    logger_destroy(logger);
}

static int synced_fd, sync_count;

/* Stands in for the C library's: whether a disk has the bytes cannot be seen from outside. */
int fdatasync(int fd) {
    synced_fd = fd;
    sync_count++;
    return 0;
}

static void test_log_line_is_synced_only_where_asked_for(void **state) {
    (void)state;
    logger_t *logger = logger_create();
    logger_set_file(logger, "synced");
    logger_enable_fsync(logger, 0);
    logger_print(logger, LOG_LEVEL_INFO, "x");
    assert_int_equal(sync_count, 0);
    logger_enable_fsync(logger, 1);
    logger_print(logger, LOG_LEVEL_INFO, "x");
    assert_int_equal(sync_count, 1);
    assert_true(synced_fd > STDERR_FILENO);
    logger_print(logger, LOG_LEVEL_INFO, "x");
    assert_int_equal(sync_count, 2);
    logger_destroy(logger);
}

/* Of two loggers with one file, as of two processes, only one renames it when it is full. */
static void test_log_shared_file_is_rotated_once(void **state) {
    (void)state;
    logger_t *loggers[2];
    for (int i = 0; i < 2; i++) {
        loggers[i] = logger_create();
        logger_set_file(loggers[i], "shared");
        logger_set_format(loggers[i], "%s");
        logger_set_max_filesize(loggers[i], 100);
    }
    for (int i = 0; i < 10; i++) logger_print(loggers[i % 2], LOG_LEVEL_INFO, "123456789");
    logger_print(loggers[1], LOG_LEVEL_INFO, "first of part two");
    logger_print(loggers[0], LOG_LEVEL_INFO, "second of part two");
    assert_int_equal(strlen(text_of("shared.20210206.1.log")), 100);
    assert_string_equal(text_of("shared.20210206.log"), "first of part two\nsecond of part two\n");
    assert_false(hv_exists("shared.20210206.2.log"));
    for (int i = 0; i < 2; i++) logger_destroy(loggers[i]);
}

enum { THREADS = 4, LINES = 500 };

static HTHREAD_RETTYPE write_lines(void *userdata) {
    static const char letters[] = "abcd";
    static int next;
    char text[40];
    memset(text, letters[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % THREADS], 39);
    text[39] = '\0';
    for (int i = 0; i < LINES; i++) logger_print(userdata, LOG_LEVEL_INFO, "%s", text);
    return 0;
}

static void test_log_lines_of_threads_are_not_torn_or_lost(void **state) {
    (void)state;
    logger_t *loggers[2];
    hthread_t threads[THREADS];
    /* Two loggers share one file, as two processes would; both rotate it. */
    for (int i = 0; i < 2; i++) {
        loggers[i] = logger_create();
        logger_set_file(loggers[i], "threads");
        logger_set_format(loggers[i], "%s");
        logger_set_max_filesize(loggers[i], 4000);
    }
    for (int i = 0; i < THREADS; i++) threads[i] = hthread_create(write_lines, loggers[i % 2]);
    for (int i = 0; i < THREADS; i++) assert_int_equal(hthread_join(threads[i]), 0);
    for (int i = 0; i < 2; i++) logger_destroy(loggers[i]);
    assert_int_equal(system("cat threads.*.log > all"), 0);
    const char *at = text_of("all");
    assert_int_equal(strlen(at), THREADS * LINES * 40);
    for (; *at != '\0'; at += 40) {
        assert_int_equal(at[39], '\n');
        for (int i = 1; i < 39; i++) assert_int_equal(at[i], at[0]);
    }
}

/* ---- Asynchronous ---- */

static int slow_count;
static char slow_last[64];

static void slow_sink(int level, const char *buf, int len) {
    (void)level;
    slow_count++;
    memcpy(slow_last, buf, (size_t)len);
    slow_last[len] = '\0';
}

static void test_log_async_lines_of_many_sizes_all_arrive_in_order(void **state) {
    (void)state;
    logger_t *logger = logger_create();
    logger_set_file(logger, "async");
    logger_set_format(logger, "%s");
    assert_int_equal(logger_set_async(logger, 1024), 0);
    /* Far more than the queue holds, some lines longer than the whole queue. */
    for (int i = 0; i < 500; i++) {
        logger_print(logger, LOG_LEVEL_INFO, "%d %*s", i, i % 50 == 0 ? 1500 : i % 97, "");
    }
    logger_flush(logger);
    const char *at = text_of("async.20210206.log");
    for (int i = 0; i < 500; i++) {
        assert_int_equal(atoi(at), i);
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    assert_string_equal(at, "");
    assert_int_equal(logger_lost_lines(logger), 0);
    logger_destroy(logger);
}

static void test_log_async_settings_apply_behind_what_was_logged(void **state) {
    (void)state;
    logger_t *logger = logger_create();
    logger_set_format(logger, "%s");
    assert_int_equal(logger_set_async(logger, 4096), 0);
    logger_set_handler(logger, slow_sink);
    for (int i = 0; i < 20; i++) logger_print(logger, LOG_LEVEL_INFO, "line %d", i);
    logger_set_file(logger, "behind");
    logger_set_handler(logger, NULL);
    logger_print(logger, LOG_LEVEL_INFO, "to the file");
    logger_destroy(logger);
    assert_int_equal(slow_count, 20);
    assert_string_equal(slow_last, "line 19\n");
    assert_string_equal(text_of("behind.20210206.log"), "to the file\n");
}

static void test_log_async_off_writes_at_once_again(void **state) {
    (void)state;
    logger_t *logger = logger_create();
    logger_set_file(logger, "off");
    logger_set_format(logger, "%s");
    assert_int_equal(logger_set_async(logger, 4096), 0);
    logger_print(logger, LOG_LEVEL_INFO, "one");
    assert_int_equal(logger_set_async(logger, 0), 0);
    assert_string_equal(text_of("off.20210206.log"), "one\n");
    logger_print(logger, LOG_LEVEL_INFO, "two");
    assert_string_equal(text_of("off.20210206.log"), "one\ntwo\n");
    logger_destroy(logger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_line_has_time_level_message_and_place),
        cmocka_unit_test(test_log_to_stdout_and_stderr),
        cmocka_unit_test(test_log_below_the_level_is_silent),
        cmocka_unit_test(test_log_long_line_is_cut_with_its_newline),
        cmocka_unit_test(test_log_default_file_is_named_after_the_day),
        cmocka_unit_test(test_log_rotation_by_size_loses_nothing),
        cmocka_unit_test(test_log_removes_only_its_own_old_files),
        cmocka_unit_test(test_log_that_cannot_be_written_is_counted),
        cmocka_unit_test(test_log_line_is_synced_only_where_asked_for),
        cmocka_unit_test(test_log_shared_file_is_rotated_once),
        cmocka_unit_test(test_log_lines_of_threads_are_not_torn_or_lost),
        cmocka_unit_test(test_log_async_lines_of_many_sizes_all_arrive_in_order),
        cmocka_unit_test(test_log_async_settings_apply_behind_what_was_logged),
        cmocka_unit_test(test_log_async_off_writes_at_once_again),
    };
    return cmocka_run_group_tests_name("hlog", tests, enter_directory, leave_directory);
}
