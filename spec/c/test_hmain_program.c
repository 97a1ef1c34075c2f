/* The program examples/hmain_test.c, run as a user runs it: what it prints, its pid file, its
 * processes. Also a test of runtime/proc/hmain_daemon.c, hmain_signal.c and hmain_workers.c.
 *
 * It is found beside this test in the build tree; where examples are not built there is nothing to
 * test. Output is read to its end, so a daemon that kept the caller's streams would hang the test.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hbase.h"
#include "hmain.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { WAIT_MS = 30000, OUTPUT_BYTES = 16384 };

static char program[MAX_PATH];
static char dir[] = "/tmp/hmain_program_XXXXXX";
static char output[OUTPUT_BYTES]; /* of the last run, stdout and stderr */

static void rest(void) { poll(NULL, 0, 2); }

#define WAIT_FOR(condition)                                                 \
    do {                                                                    \
        int tries = WAIT_MS / 2;                                            \
        while (!(condition)) {                                              \
            if (tries-- == 0) fail_msg("waited too long: " #condition);     \
            rest();                                                         \
        }                                                                   \
    } while (0)

static FILE *open_run(const char *arguments) {
    char command[MAX_PATH * 2];
    snprintf(command, sizeof(command), "cd %s && exec %s %s 2>&1", dir, program, arguments);
    fflush(NULL);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    return pipe;
}

static int close_run(FILE *pipe) {
    size_t len = fread(output, 1, sizeof(output) - 1, pipe);
    output[len] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs it and returns its exit status. */
static int run(const char *arguments) { return close_run(open_run(arguments)); }

static void write_file(const char *name, const char *text) {
    char path[MAX_PATH];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static long read_pidfile(void) {
    char path[MAX_PATH];
    long pid = -1;
    snprintf(path, sizeof(path), "%s/logs/hmain_test.pid", dir);
    FILE *file = fopen(path, "r");
    if (file == NULL) return -1;
    if (fscanf(file, "%ld", &pid) != 1) pid = -1;
    fclose(file);
    return pid;
}

static void read_title(long pid, char *title, size_t size) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
    title[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file == NULL) return;
    size_t len = fread(title, 1, size - 1, file);
    title[len] = '\0';
    fclose(file);
}

/* Fills in the children of a process and returns how many there are. */
static int read_children(long pid, long *children, int max) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", pid, pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    int count = 0;
    while (count < max && fscanf(file, "%ld", &children[count]) == 1) count++;
    fclose(file);
    return count;
}

static bool has_title(long pid, const char *expected) {
    char title[256];
    read_title(pid, title, sizeof(title));
    return strcmp(title, expected) == 0;
}

/* Ended; whether init has reaped it yet is not ours to wait for. */
static bool is_gone(long pid) {
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return true;
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    const char *state = strrchr(text, ')');
    return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static int stop_it(void **state) {
    (void)state;
    run("-s stop");
    return 0;
}

/* ---- What it prints ---- */

static void test_program_prints_its_help(void **state) {
    (void)state;
    assert_int_equal(run("-h"), 0);
    assert_string_equal(output,
                        "Usage: hmain_test [hvc:ts:dp:]\n"
                        "Options:\n"
                        "\n"
                        "  -h|--help                 Print this information\n"
                        "  -v|--version              Print version\n"
                        "  -c|--confile <confile>    Set configure file, default "
                        "etc/{program}.conf\n"
                        "  -t|--test                 Test configure file and exit\n"
                        "  -s|--signal <signal>      Send <signal> to process,\n"
                        "                            "
                        "<signal>=[start,stop,restart,status,reload]\n"
                        "  -d|--daemon               Daemonize\n"
                        "  -p|--port <port>          Set listen port\n");
}

static void test_program_prints_its_version(void **state) {
    (void)state;
    assert_int_equal(run("--version"), 0);
    assert_true(hv_strstartswith(output, "hmain_test version "));
}

static void test_program_tests_its_configuration(void **state) {
    (void)state;
    assert_int_equal(run("-c etc/hmain_test.conf -t"), 0);
    assert_string_equal(output, "Test confile [etc/hmain_test.conf] OK!\n");
    write_file("etc/bad.conf", "worker_processes = 2\nworker_threads = many\n");
    assert_int_equal(run("-c etc/bad.conf -t"), 1);
    assert_string_equal(
        output, "etc/bad.conf:2: worker_threads = many: must be a number from 0 to 64\n");
    write_file("etc/bad.conf", "worker_procesess = 2\n");
    assert_int_equal(run("-c etc/bad.conf -t"), 1);
    assert_string_equal(output, "etc/bad.conf:1: unknown name 'worker_procesess'\n");
    assert_int_equal(run("-c etc/none.conf -t"), 1);
    assert_string_equal(output, "etc/none.conf: no such file or directory\n");
}

static void test_program_refuses_what_it_does_not_know(void **state) {
    (void)state;
    assert_int_equal(run("-z"), 2);
    assert_true(hv_strstartswith(output, "hmain_test: unknown option '-z'\nUsage: "));
    assert_int_equal(run("-s dance"), 1);
    assert_true(hv_strcontains(output, "unknown signal 'dance'"));
}

/* ---- In the background ---- */

static void test_daemon_starts_tells_and_stops(void **state) {
    (void)state;
    assert_int_equal(run("-s status"), 3);
    assert_string_equal(output, "hmain_test stop/waiting\n");
    assert_int_equal(run("-d"), 0);
    assert_string_equal(output, "");
    long pid = read_pidfile(); /* ready means that it is there */
    assert_true(pid > 0);

    char expected[128];
    snprintf(expected, sizeof(expected), "hmain_test start/running, pid=%ld\n", pid);
    assert_int_equal(run("-s status"), 0);
    assert_string_equal(output, expected);
    assert_int_equal(run("-s start -d"), 0);
    assert_string_equal(output, expected);
    assert_int_equal(read_pidfile(), pid);

    assert_int_equal(run("-s stop"), 0);
    assert_string_equal(output, "hmain_test stop/waiting\n");
    assert_true(is_gone(pid));
    assert_int_equal(read_pidfile(), -1);
    assert_int_equal(run("-s stop"), 0); /* nothing to do is no failure */
    assert_string_equal(output, "hmain_test stop/waiting\n");
}

static void test_daemon_is_cut_off_from_its_caller(void **state) {
    (void)state;
    assert_int_equal(run("-d"), 0);
    long pids[8] = {read_pidfile()};
    int count = 1 + read_children(pids[0], pids + 1, 7);
    assert_int_equal(count, 3);
    for (int i = 0; i < count; i++) {
        assert_int_not_equal(getsid((pid_t)pids[i]), getsid(0));
        assert_int_not_equal(getsid((pid_t)pids[i]), pids[i]); /* no leader: no terminal ever */
        for (int fd = 0; fd <= 2; fd++) {
            char link[64], target[MAX_PATH];
            snprintf(link, sizeof(link), "/proc/%ld/fd/%d", pids[i], fd);
            ssize_t len;
            WAIT_FOR((len = readlink(link, target, sizeof(target) - 1)) > 0 &&
                     (target[len] = '\0', strcmp(target, "/dev/null") == 0));
        }
    }
    assert_int_not_equal(pids[0], getppid());
}

static void test_daemon_restart_is_a_new_process(void **state) {
    (void)state;
    assert_int_equal(run("-s restart -d"), 0);
    assert_string_equal(output, "hmain_test start/running\n");
    long first = read_pidfile();
    assert_int_equal(run("-s restart -d"), 0);
    assert_string_equal(output, "hmain_test stop/waiting\nhmain_test start/running\n");
    assert_true(is_gone(first));
    assert_true(read_pidfile() > 0);
    assert_int_not_equal(read_pidfile(), first);
}

static void test_daemon_started_twice_refuses_the_second(void **state) {
    (void)state;
    assert_int_equal(run("-d"), 0);
    long pid = read_pidfile();
    char expected[MAX_PATH * 2];
    snprintf(expected, sizeof(expected),
             "hmain_test: already running, pid=%ld (%s/logs/hmain_test.pid)\n", pid, dir);
    assert_int_equal(run("-d"), 1);
    assert_true(hv_strstartswith(output, expected));
    assert_int_equal(run(""), 1);
    assert_string_equal(output, expected);
    assert_int_equal(read_pidfile(), pid);
}

static void test_daemon_of_many_starts_at_once_one_runs(void **state) {
    (void)state;
    enum { STARTS = 5 };
    FILE *pipes[STARTS];
    for (int i = 0; i < STARTS; i++) pipes[i] = open_run("-d");
    int started = 0;
    for (int i = 0; i < STARTS; i++) {
        int status = close_run(pipes[i]);
        if (status == 0) started++;
        if (status != 0) assert_true(hv_strcontains(output, "already running, pid="));
    }
    assert_int_equal(started, 1);
    assert_int_equal(run("-s status"), 0);
}

static void test_daemon_takes_over_a_stale_and_a_foreign_pidfile(void **state) {
    (void)state;
    char text[32];
    write_file("logs/hmain_test.pid", "999999999\n");
    assert_int_equal(run("-s status"), 3);
    /* A number that has been given to another program since: ours. */
    snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    write_file("logs/hmain_test.pid", text);
    assert_int_equal(run("-s status"), 3);
    assert_int_equal(run("-s stop"), 0); /* and we are still there */
    assert_int_equal(run("-s reload"), 1);
    assert_int_equal(run("-d"), 0);
    assert_int_not_equal(read_pidfile(), getpid());
    assert_int_equal(run("-s status"), 0);

    long pid = read_pidfile();
    kill((pid_t)pid, SIGKILL);
    WAIT_FOR(is_gone(pid));
    assert_int_equal(read_pidfile(), pid);
    assert_int_equal(run("-s status"), 3);
    assert_int_equal(run("-d"), 0);
    assert_int_not_equal(read_pidfile(), pid);
}

/* ---- Its processes ---- */

static void test_processes_have_titles_and_are_restarted(void **state) {
    (void)state;
    assert_int_equal(run("-d"), 0);
    long master = read_pidfile(), workers[8], after[8];
    assert_true(has_title(master, "hmain_test: master process"));
    assert_int_equal(read_children(master, workers, 8), 2);
    for (int i = 0; i < 2; i++) WAIT_FOR(has_title(workers[i], "hmain_test: worker process"));

    kill((pid_t)workers[0], SIGKILL);
    WAIT_FOR(is_gone(workers[0]));
    WAIT_FOR(read_children(master, after, 8) == 2);
    assert_true(after[0] == workers[1] || after[1] == workers[1]);
    assert_true(has_title(master, "hmain_test: master process"));
}

static void test_reload_replaces_the_workers(void **state) {
    (void)state;
    assert_int_equal(run("-d"), 0);
    long master = read_pidfile(), before[8], after[8];
    assert_int_equal(read_children(master, before, 8), 2);
    write_file("etc/hmain_test.conf", "worker_processes = 2\n");
    assert_int_equal(run("-s reload"), 0);
    WAIT_FOR(is_gone(before[0]) && is_gone(before[1]));
    WAIT_FOR(read_children(master, after, 8) == 2);
    assert_int_equal(read_pidfile(), master);
}

static void test_workers_go_when_their_master_is_killed(void **state) {
    (void)state;
    assert_int_equal(run("-d"), 0);
    long master = read_pidfile(), workers[8];
    assert_int_equal(read_children(master, workers, 8), 2);
    kill((pid_t)master, SIGKILL);
    WAIT_FOR(is_gone(workers[0]) && is_gone(workers[1]));
}

static void test_threads_alone_stop_and_take_their_pidfile_along(void **state) {
    (void)state;
    write_file("etc/threads.conf", "worker_processes = 0\nworker_threads = 3\n");
    assert_int_equal(run("-c etc/threads.conf -d"), 0);
    long pid = read_pidfile(), children[8];
    assert_int_equal(read_children(pid, children, 8), 0);
    assert_int_equal(run("-s reload"), 0);
    assert_int_equal(run("-s status"), 0);
    assert_int_equal(run("-s stop"), 0);
    assert_true(is_gone(pid));
    assert_int_equal(read_pidfile(), -1);
}

static bool find_program(void) {
    char here[MAX_PATH];
    if (get_executable_dir(here, sizeof(here)) == NULL) return false;
    int len = snprintf(program, sizeof(program), "%s/../bin/examples/hmain_test", here);
    return len < (int)sizeof(program) && access(program, X_OK) == 0;
}

int main(void) {
    if (!find_program()) {
        puts("examples are not built: nothing to test");
        return 0;
    }
    if (mkdtemp(dir) == NULL) return 1;
    char etc[64];
    snprintf(etc, sizeof(etc), "%s/etc", dir);
    mkdir(etc, 0755);
    write_file("etc/hmain_test.conf",
               "loglevel = DEBUG\nworker_processes = 2\nworker_threads = 2\nport = 1234\n");
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program_prints_its_help),
        cmocka_unit_test(test_program_prints_its_version),
        cmocka_unit_test(test_program_tests_its_configuration),
        cmocka_unit_test(test_program_refuses_what_it_does_not_know),
        cmocka_unit_test_teardown(test_daemon_starts_tells_and_stops, stop_it),
        cmocka_unit_test_teardown(test_daemon_is_cut_off_from_its_caller, stop_it),
        cmocka_unit_test_teardown(test_daemon_restart_is_a_new_process, stop_it),
        cmocka_unit_test_teardown(test_daemon_started_twice_refuses_the_second, stop_it),
        cmocka_unit_test_teardown(test_daemon_of_many_starts_at_once_one_runs, stop_it),
        cmocka_unit_test_teardown(test_daemon_takes_over_a_stale_and_a_foreign_pidfile, stop_it),
        cmocka_unit_test_teardown(test_processes_have_titles_and_are_restarted, stop_it),
        cmocka_unit_test_teardown(test_reload_replaces_the_workers, stop_it),
        cmocka_unit_test_teardown(test_workers_go_when_their_master_is_killed, stop_it),
        cmocka_unit_test_teardown(test_threads_alone_stop_and_take_their_pidfile_along, stop_it),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command) == 0 ? failed : 1;
}
