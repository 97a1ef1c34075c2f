/* Tests of runtime/proc/hspawn: programs get what they should and nothing else, every way to end is
 * told once, failures are told at once with their errno, and nothing is left behind: no zombie, no
 * descriptor, no memory. Everything is run with and without a pidfd. */
#include "loop_test.h"

#include <dirent.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "hspawn.h"
#include "hspawn_int.h"

static hloop_t *loop;
static size_t blocks_before;
static int fds_before;

static struct {
    int exit_count;
    int error;
    int status;
    int signo;
    char out[8192];
    size_t out_len;
    int closed_count;
} seen;

static int count_fds(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL) count++;
    closedir(dir);
    return count;
}

static int enter(void **state) {
    hv__spawn_without_pidfd = *state != NULL;
    memset(&seen, 0, sizeof seen);
    blocks_before = hv__mem_live_blocks();
    fds_before = count_fds();
    loop = hloop_new(0);
    return loop == NULL;
}

static int leave(void **state) {
    (void)state;
    hv__mem_fail_nth(0);
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before || count_fds() != fds_before;
}

static void on_exit_seen(hspawn_t *child) {
    seen.exit_count++;
    seen.error = hspawn_error(child);
    seen.status = hspawn_exit_status(child);
    seen.signo = hspawn_term_signal(child);
    assert_int_equal(hspawn_kill(child, 0), -ESRCH);
}

static void on_out(hio_t *io, void *buf, int len) {
    (void)io;
    assert_true(seen.out_len + (size_t)len < sizeof seen.out);
    memcpy(seen.out + seen.out_len, buf, (size_t)len);
    seen.out_len += (size_t)len;
}

static void on_pipe_closed(hio_t *io) {
    (void)io;
    seen.closed_count++;
}

/* Runs a shell command whose output is read. */
static hspawn_t *begin_shell(const char *command, hspawn_options_t *options) {
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    options->argv = argv;
    options->stdio[1] = HSPAWN_PIPE;
    hspawn_t *child = hspawn_start(loop, options, on_exit_seen);
    assert_non_null(child);
    hio_t *out = hspawn_stdio(child, 1);
    hio_setcb_read(out, on_out);
    hio_setcb_close(out, on_pipe_closed);
    assert_int_equal(hio_read(out), 0);
    return child;
}

static const char *await_output(void) {
    RUN_UNTIL(loop, seen.exit_count == 1 && seen.closed_count == 1);
    return seen.out;
}

static const char *output_of(const char *command) {
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    seen.exit_count = seen.closed_count = 0;
    seen.out_len = 0;
    memset(seen.out, 0, sizeof seen.out);
    begin_shell(command, &options);
    return await_output();
}

/* ---- Ends ---- */

static void test_exit_status_is_told_once_and_later(void **state) {
    (void)state;
    const char *argv[] = {"sh", "-c", "exit 7", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    hspawn_t *child = hspawn_start(loop, &options, on_exit_seen);
    assert_non_null(child);
    assert_true(hspawn_pid(child) > 1);
    assert_int_equal(hspawn_exit_status(child), -1);
    assert_null(hspawn_stdio(child, 0));
    assert_null(hspawn_stdio(child, 3));
    assert_int_equal(hloop_nactives(loop), 1);
    assert_int_equal(seen.exit_count, 0);
    pid_t pid = hspawn_pid(child);
    RUN_UNTIL(loop, seen.exit_count == 1);
    assert_int_equal(seen.status, 7);
    assert_int_equal(seen.signo, 0);
    assert_int_equal(seen.error, 0);
    assert_int_equal(hloop_nactives(loop), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
    RUN_PASSES(loop, 3);
    assert_int_equal(seen.exit_count, 1);
}

static void test_signal_that_ends_it_is_told(void **state) {
    (void)state;
    const char *argv[] = {"sleep", "1000", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    hspawn_t *child = hspawn_start(loop, &options, on_exit_seen);
    assert_int_equal(hspawn_kill(child, 0), 0);
    assert_int_equal(hspawn_kill(child, 9999), HV_EINVAL);
    assert_int_equal(hspawn_kill_group(child, SIGTERM), HV_EINVAL);
    assert_int_equal(hspawn_kill(child, SIGTERM), 0);
    RUN_UNTIL(loop, seen.exit_count == 1);
    assert_int_equal(seen.status, -1);
    assert_int_equal(seen.signo, SIGTERM);
}

static void test_group_is_killed_as_a_whole(void **state) {
    (void)state;
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    options.flags = HSPAWN_NEW_GROUP;
    /* The pipe ends only when the grandchild has ended as well. */
    hspawn_t *child = begin_shell("sleep 1000 & echo begun; wait", &options);
    RUN_UNTIL(loop, seen.out_len > 0);
    assert_int_equal(hspawn_kill_group(child, SIGKILL), 0);
    await_output();
    assert_int_equal(seen.signo, SIGKILL);
}

static void test_kill_after_the_end_says_so_and_the_end_is_told(void **state) {
    (void)state;
    const char *argv[] = {"true", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    hspawn_t *child = hspawn_start(loop, &options, on_exit_seen);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)hspawn_pid(child), &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(hspawn_kill(child, SIGTERM), -ESRCH);
    assert_int_equal(hspawn_kill(child, SIGTERM), -ESRCH);
    assert_int_equal(seen.exit_count, 0);
    RUN_UNTIL(loop, seen.exit_count == 1);
    assert_int_equal(seen.status, 0);
}

static void test_many_children_end_each_once(void **state) {
    (void)state;
    const char *argv[] = {"true", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    for (int i = 0; i < 40; i++) assert_non_null(hspawn_start(loop, &options, on_exit_seen));
    RUN_UNTIL(loop, seen.exit_count == 40);
    assert_int_equal(seen.status, 0);
}

static void test_child_without_callback_leaves_no_zombie(void **state) {
    (void)state;
    const char *argv[] = {"true", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    assert_non_null(hspawn_start(loop, &options, NULL));
    RUN_UNTIL(loop, hloop_nactives(loop) == 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Waits until nobody knows the process any more. */
static void await_reaping(pid_t pid) {
    while (kill(pid, 0) == 0) sched_yield();
}

static void test_free_while_it_runs_tells_canceled_and_kills_only_if_asked(void **state) {
    (void)state;
    const char *argv[] = {"sleep", "1000", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    hspawn_t *goes_on = hspawn_start(loop, &options, on_exit_seen);
    options.flags = HSPAWN_KILL;
    hspawn_t *is_killed = hspawn_start(loop, &options, on_exit_seen);
    pid_t pids[] = {hspawn_pid(goes_on), hspawn_pid(is_killed)};
    hloop_free(&loop);
    assert_int_equal(seen.exit_count, 2);
    assert_int_equal(seen.error, HV_ECANCELED);
    assert_int_equal(seen.status, -1);
    await_reaping(pids[1]);
    assert_int_equal(kill(pids[0], SIGKILL), 0);
    await_reaping(pids[0]);
}

/* ---- What cannot be started ---- */

static int error_of(const hspawn_options_t *options) {
    assert_null(hspawn_start(loop, options, on_exit_seen));
    return hloop_last_error(loop);
}

static void test_program_that_cannot_be_executed_is_refused_with_its_errno(void **state) {
    (void)state;
    const char *missing[] = {"no-such-program-here", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(missing);
    options.stdio[0] = options.stdio[1] = options.stdio[2] = HSPAWN_PIPE;
    assert_int_equal(error_of(&options), -ENOENT);
    const char *no_path[] = {"/no/such/program", NULL};
    options.argv = no_path;
    assert_int_equal(error_of(&options), -ENOENT);
    char path[] = "/tmp/hv_spawn_XXXXXX";
    close(mkstemp(path)); /* mode 0600 */
    const char *not_executable[] = {path, NULL};
    options.argv = not_executable;
    assert_int_equal(error_of(&options), -EACCES);
    unlink(path);
    const char *fine[] = {"true", NULL};
    options.argv = fine;
    options.cwd = "/no/such/directory";
    assert_int_equal(error_of(&options), -ENOENT);
    options.cwd = NULL;
    options.stdio[1] = 9999;
    assert_int_equal(error_of(&options), -EBADF);
    options.stdio[1] = HSPAWN_TO_STDOUT;
    assert_int_equal(error_of(&options), HV_EINVAL);
    options.stdio[1] = -77;
    assert_int_equal(error_of(&options), HV_EINVAL);
    const char *nothing[] = {NULL};
    options.argv = nothing;
    assert_int_equal(error_of(&options), HV_EINVAL);
    RUN_PASSES(loop, 3);
    assert_int_equal(seen.exit_count, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* ---- What the program gets ---- */

static void test_environment_and_directory_are_those_asked_for(void **state) {
    (void)state;
    setenv("HV_TEST_WORD", "inherited", 1);
    assert_string_equal(output_of("echo $HV_TEST_WORD"), "inherited\n");
    unsetenv("HV_TEST_WORD");
    const char *env[] = {"HV_TEST_WORD=given", "B=two words", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    options.env = env;
    options.cwd = "/proc";
    seen.exit_count = seen.closed_count = 0;
    seen.out_len = 0;
    memset(seen.out, 0, sizeof seen.out);
    begin_shell("echo $HV_TEST_WORD, $B, $HOME, $(pwd)", &options);
    assert_string_equal(await_output(), "given, two words, , /proc\n");
}

static void test_program_may_have_another_name(void **state) {
    (void)state;
    const char *argv[] = {"my name", "-c", "echo $0", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    options.program = "sh";
    options.stdio[1] = HSPAWN_PIPE;
    hspawn_t *child = hspawn_start(loop, &options, on_exit_seen);
    assert_non_null(child);
    hio_setcb_read(hspawn_stdio(child, 1), on_out);
    hio_setcb_close(hspawn_stdio(child, 1), on_pipe_closed);
    hio_read(hspawn_stdio(child, 1));
    assert_string_equal(await_output(), "my name\n");
}

static void test_descriptors_of_ours_are_not_inherited(void **state) {
    (void)state;
    int fds[2]; /* without close-on-exec */
    assert_int_equal(pipe(fds), 0);
    const char *names = output_of("cd /proc/self/fd; echo *");
    /* The shell's own directory handle may be a fourth. */
    assert_true(strcmp(names, "0 1 2\n") == 0 || strcmp(names, "0 1 2 3\n") == 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_signals_are_as_for_a_new_program(void **state) {
    (void)state;
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &some, &before);
    signal(SIGUSR2, SIG_IGN);
    unsigned long long blocked = 1, ignored = 1;
    const char *lines = output_of("exec grep -E 'Sig(Blk|Ign)' /proc/self/status");
    assert_int_equal(sscanf(lines, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked, 0);
    /* 32 and 33 are the C library's own, which it leaves ignored. */
    assert_int_equal(ignored & ~(3ull << 31), 0);
    signal(SIGUSR2, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void test_session_is_its_own_where_asked_for(void **state) {
    (void)state;
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    options.flags = HSPAWN_NEW_SESSION | HSPAWN_NEW_GROUP;
    hspawn_t *child = begin_shell("read line", &options);
    pid_t pid = hspawn_pid(child);
    assert_int_equal(getsid(pid), pid);
    assert_int_equal(getpgid(pid), pid);
    assert_int_equal(hspawn_kill_group(child, SIGKILL), 0);
    await_output();
}

static void test_pipes_carry_input_and_output(void **state) {
    (void)state;
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    options.stdio[0] = HSPAWN_PIPE;
    hspawn_t *child = begin_shell("cat; echo end", &options);
    hio_t *in = hspawn_stdio(child, 0);
    assert_int_equal(hio_write(in, "some text\n", 10), 10);
    hio_close(in);
    assert_string_equal(await_output(), "some text\nend\n");
}

static void test_shutdown_of_a_pipe_ends_the_input(void **state) {
    (void)state;
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    options.stdio[0] = HSPAWN_PIPE;
    hspawn_t *child = begin_shell("cat; echo end", &options);
    hio_t *in = hspawn_stdio(child, 0);
    assert_int_equal(hio_write(in, "some text\n", 10), 10);
    assert_int_equal(hio_shutdown(in), 0);
    assert_string_equal(await_output(), "some text\nend\n");
}

static void test_error_output_may_go_where_output_goes(void **state) {
    (void)state;
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    options.stdio[2] = HSPAWN_TO_STDOUT;
    begin_shell("echo one; echo two >&2", &options);
    assert_string_equal(await_output(), "one\ntwo\n");
}

static void test_null_is_empty_and_swallows(void **state) {
    (void)state;
    hspawn_options_t options = HSPAWN_OPTIONS(NULL);
    options.stdio[0] = options.stdio[2] = HSPAWN_NULL;
    begin_shell("cat; echo lost >&2; echo kept", &options);
    assert_string_equal(await_output(), "kept\n");
}

static void test_given_descriptors_are_copied_also_crosswise(void **state) {
    (void)state;
    int fds[2], saved[2];
    char text[64] = "";
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    saved[0] = fcntl(0, F_DUPFD_CLOEXEC, 10);
    saved[1] = fcntl(1, F_DUPFD_CLOEXEC, 10);
    dup2(fds[1], 0); /* our 0 is to be its 1 and 2, our 1 its 0 */
    dup2(null_fd, 1);
    const char *argv[] = {"sh", "-c", "cat; echo out; echo err >&2", NULL};
    hspawn_options_t options = {.argv = argv, .stdio = {1, 0, 0}};
    hspawn_t *child = hspawn_start(loop, &options, on_exit_seen);
    dup2(saved[0], 0);
    dup2(saved[1], 1);
    assert_non_null(child);
    RUN_UNTIL(loop, seen.exit_count == 1);
    assert_int_equal(read(fds[0], text, sizeof text - 1), 8);
    assert_string_equal(text, "out\nerr\n");
    close(null_fd);
    close(fds[0]);
    close(fds[1]);
    close(saved[0]);
    close(saved[1]);
}

/* ---- Memory ---- */

static void test_every_allocation_that_fails_is_told_and_leaves_nothing(void **state) {
    (void)state;
#ifndef HV_FAULT_INJECTION
    skip();
#endif
    const char *argv[] = {"true", NULL};
    for (uint64_t nth = 1;; nth++) {
        hloop_free(&loop);
        loop = hloop_new(0);
        memset(&seen, 0, sizeof seen);
        hspawn_options_t options = HSPAWN_OPTIONS(argv);
        options.stdio[0] = options.stdio[1] = HSPAWN_PIPE;
        hv__mem_fail_nth(nth);
        hspawn_t *child = hspawn_start(loop, &options, on_exit_seen);
        int has_failed = hv__mem_has_failed();
        hv__mem_fail_nth(0);
        if (child == NULL) {
            assert_int_equal(hloop_last_error(loop), HV_ENOMEM);
            RUN_PASSES(loop, 2);
            assert_int_equal(seen.exit_count, 0);
            assert_int_equal(hloop_nios(loop), 0);
        } else {
            hio_close(hspawn_stdio(child, 0));
            hio_close(hspawn_stdio(child, 1));
            RUN_UNTIL(loop, seen.exit_count == 1);
            assert_int_equal(seen.error, 0);
        }
        if (!has_failed) {
            assert_true(nth > 3);
            break;
        }
    }
}

/* No room for the pidfd among the watchers: the end is found by the other way. */
static void test_pidfd_that_cannot_be_watched_is_given_up(void **state) {
    (void)state;
#ifndef HV_FAULT_INJECTION
    skip();
#endif
    const char *argv[] = {"true", NULL};
    hspawn_options_t options = HSPAWN_OPTIONS(argv);
    assert_non_null(hspawn_start(loop, &options, on_exit_seen));
    RUN_UNTIL(loop, seen.exit_count == 1); /* what a loop makes once for its children is there */
    int held[256], count = 0;
    do { /* the next descriptor is beyond the table of the watchers */
        assert_true(count < 256);
        held[count] = dup(STDIN_FILENO);
    } while (held[count++] < loop->watcher_cap - 1);
    int fds = count_fds();
    hv__mem_fail_nth(2); /* the first is the child */
    hspawn_t *child = hspawn_start(loop, &options, on_exit_seen);
    assert_int_equal(hv__mem_has_failed(), !hv__spawn_without_pidfd);
    hv__mem_fail_nth(0);
    assert_non_null(child);
    /* Only that of SIGCHLD has come. */
    assert_int_equal(count_fds(), fds + !hv__spawn_without_pidfd);
    RUN_UNTIL(loop, seen.exit_count == 2);
    assert_int_equal(seen.error, 0);
    while (count > 0) close(held[--count]);
}

#define TEST(name)                                                             \
    {#name, name, enter, leave, NULL}, {#name "/without_pidfd", name, enter, leave, &without}

static char without;

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_exit_status_is_told_once_and_later),
        TEST(test_signal_that_ends_it_is_told),
        TEST(test_group_is_killed_as_a_whole),
        TEST(test_kill_after_the_end_says_so_and_the_end_is_told),
        TEST(test_many_children_end_each_once),
        TEST(test_child_without_callback_leaves_no_zombie),
        TEST(test_free_while_it_runs_tells_canceled_and_kills_only_if_asked),
        TEST(test_program_that_cannot_be_executed_is_refused_with_its_errno),
        TEST(test_environment_and_directory_are_those_asked_for),
        TEST(test_program_may_have_another_name),
        TEST(test_descriptors_of_ours_are_not_inherited),
        TEST(test_signals_are_as_for_a_new_program),
        TEST(test_session_is_its_own_where_asked_for),
        TEST(test_pipes_carry_input_and_output),
        TEST(test_shutdown_of_a_pipe_ends_the_input),
        TEST(test_error_output_may_go_where_output_goes),
        TEST(test_null_is_empty_and_swallows),
        TEST(test_given_descriptors_are_copied_also_crosswise),
        TEST(test_pidfd_that_cannot_be_watched_is_given_up),
        TEST(test_every_allocation_that_fails_is_told_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
