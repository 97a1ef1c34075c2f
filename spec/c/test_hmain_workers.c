/* Tests of runtime/proc/hmain_workers.c: master_workers_run in every shape, each in a process of
 * its own, since it changes signals and titles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hlog.h"
#include "hmain.h"
#include "hmaster.h"
#include "hthread.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { WAIT_MS = 30000 };

static struct shared_s {
    atomic_int entered; /* calls of the worker function */
    atomic_int drained;
    atomic_int reloads;
    atomic_bool is_running; /* the process under test has come back from master_workers_run */
    atomic_bool must_stop;
} *shared;

static bool wait_for_count(atomic_int *count, int wanted) {
    for (int tries = WAIT_MS / 2; atomic_load(count) < wanted; tries--) {
        if (tries == 0) return false;
        poll(NULL, 0, 2);
    }
    return atomic_load(count) == wanted;
}

static bool wait_for_flag(atomic_bool *flag) {
    for (int tries = WAIT_MS / 2; !atomic_load(flag); tries--) {
        if (tries == 0) return false;
        poll(NULL, 0, 2);
    }
    return true;
}

/* Knows nothing of workers. */
static void sleep_for_ever(void *userdata) {
    if (userdata == shared) atomic_fetch_add(&shared->entered, 1);
    for (;;) pause();
}

static void return_at_once(void *userdata) {
    if (userdata == shared) atomic_fetch_add(&shared->entered, 1);
}

static void on_drain(hworker_t *worker, hloop_t *loop, void *userdata) {
    (void)worker;
    (void)userdata;
    atomic_fetch_add(&shared->drained, 1);
    hloop_stop(loop);
}

/* Has a loop that is told when to finish. */
static void run_loop(void *userdata) {
    (void)userdata;
    hloop_t *loop = hloop_new(0);
    if (hworker_attach(hworker_self(), loop, on_drain, NULL) != 0) _exit(5);
    atomic_fetch_add(&shared->entered, 1);
    hloop_run(loop);
    hworker_detach(hworker_self(), loop);
    hloop_free(&loop);
}

static void on_reload(void *userdata) {
    if (userdata == &shared->reloads) atomic_fetch_add(&shared->reloads, 1);
}

/* A process that runs workers; exits with 0 where all went well. */
static pid_t start(procedure_t fn, int processes, int threads, bool wait) {
    memset(shared, 0, sizeof(*shared));
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid(); /* without a terminal */
    signal_init(on_reload, &shared->reloads);
    int code = master_workers_run(fn, shared, processes, threads, wait);
    atomic_store(&shared->is_running, true);
    if (code != 0) _exit(2);
    if (wait) _exit(0);
    if (master_workers_run(fn, shared, processes, threads, wait) != HV_EBUSY) _exit(3);
    if (!wait_for_flag(&shared->must_stop)) _exit(4);
    _exit(master_workers_stop() == 0 ? 0 : 6);
}

static void expect_end(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_workers_plain_function_runs_in_all_threads_of_all_processes(void **state) {
    (void)state;
    pid_t pid = start(sleep_for_ever, 2, 3, true);
    assert_true(wait_for_count(&shared->entered, 6));
    assert_false(atomic_load(&shared->is_running));
    kill(pid, SIGTERM);
    expect_end(pid);
    assert_int_equal(atomic_load(&shared->entered), 6);
}

static void test_workers_with_loops_are_drained_in_every_thread(void **state) {
    (void)state;
    pid_t pid = start(run_loop, 2, 2, true);
    assert_true(wait_for_count(&shared->entered, 4));
    kill(pid, SIGTERM);
    expect_end(pid);
    assert_int_equal(atomic_load(&shared->drained), 4);
}

static void test_workers_reload_calls_the_function_once_and_starts_anew(void **state) {
    (void)state;
    pid_t pid = start(run_loop, 2, 1, true);
    assert_true(wait_for_count(&shared->entered, 2));
    kill(pid, SIGUSR1);
    assert_true(wait_for_count(&shared->entered, 4));
    assert_true(wait_for_count(&shared->drained, 2));
    assert_int_equal(atomic_load(&shared->reloads), 1);
    kill(pid, SIGHUP); /* there is no terminal that could have gone */
    assert_true(wait_for_count(&shared->reloads, 2));
    assert_true(wait_for_count(&shared->drained, 4));
    kill(pid, SIGTERM);
    expect_end(pid);
    assert_int_equal(atomic_load(&shared->drained), 6);
}

static void test_workers_that_return_are_started_again(void **state) {
    (void)state;
    pid_t pid = start(return_at_once, 1, 1, true);
    for (int tries = WAIT_MS / 2; atomic_load(&shared->entered) < 3 && tries > 0; tries--) {
        poll(NULL, 0, 2);
    }
    assert_true(atomic_load(&shared->entered) >= 3);
    kill(pid, SIGTERM);
    expect_end(pid);
}

static void test_workers_beside_the_caller_stop_when_asked(void **state) {
    (void)state;
    pid_t pid = start(run_loop, 2, 2, false);
    assert_true(wait_for_flag(&shared->is_running));
    assert_true(wait_for_count(&shared->entered, 4));
    atomic_store(&shared->must_stop, true);
    expect_end(pid);
    assert_int_equal(atomic_load(&shared->drained), 4);
}

static void test_threads_are_drained_by_a_signal(void **state) {
    (void)state;
    pid_t pid = start(run_loop, 0, 3, true);
    assert_true(wait_for_count(&shared->entered, 3));
    kill(pid, SIGUSR1);
    assert_true(wait_for_count(&shared->reloads, 1));
    assert_int_equal(atomic_load(&shared->drained), 0);
    kill(pid, SIGTERM);
    expect_end(pid);
    assert_int_equal(atomic_load(&shared->drained), 3);
    assert_true(atomic_load(&shared->is_running)); /* it has come back */
}

static void test_threads_beside_the_caller_stop_when_asked(void **state) {
    (void)state;
    pid_t pid = start(run_loop, 0, 2, false);
    assert_true(wait_for_count(&shared->entered, 2));
    atomic_store(&shared->must_stop, true);
    expect_end(pid);
    assert_int_equal(atomic_load(&shared->drained), 2);
}

static void test_threads_that_cannot_be_asked_end_with_the_process(void **state) {
    (void)state;
    pid_t pid = start(sleep_for_ever, 0, 2, true);
    assert_true(wait_for_count(&shared->entered, 2));
    kill(pid, SIGTERM);
    expect_end(pid);
    assert_false(atomic_load(&shared->is_running));
}

static void test_threads_that_return_end_the_run(void **state) {
    (void)state;
    pid_t pid = start(return_at_once, 0, 4, true);
    expect_end(pid);
    assert_int_equal(atomic_load(&shared->entered), 4);
    assert_true(atomic_load(&shared->is_running));
}

static void test_workers_refuse_bad_arguments(void **state) {
    (void)state;
    assert_int_equal(master_workers_run(NULL, NULL, 1, 1, true), HV_EINVAL);
    assert_int_equal(master_workers_run(return_at_once, NULL, -1, 1, true), HV_EINVAL);
    assert_int_equal(master_workers_run(return_at_once, NULL, 1, -1, true), HV_EINVAL);
    assert_int_equal(master_workers_stop(), HV_ENOTFOUND);
}

static void test_run_may_be_repeated_and_gives_the_signals_back(void **state) {
    (void)state;
    sigset_t before, after;
    memset(shared, 0, sizeof(*shared));
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(master_workers_run(return_at_once, shared, 0, 1, true), 0);
        assert_int_equal(atomic_load(&shared->entered), i);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signo = 1; signo < NSIG; signo++) {
        assert_int_equal(sigismember(&after, signo), sigismember(&before, signo));
    }
}

int main(void) {
    hlog_set_handler(stderr_logger);
    hlog_set_level(getenv("HV_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_SILENT);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_refuse_bad_arguments),
        cmocka_unit_test(test_run_may_be_repeated_and_gives_the_signals_back),
        cmocka_unit_test(test_workers_plain_function_runs_in_all_threads_of_all_processes),
        cmocka_unit_test(test_workers_with_loops_are_drained_in_every_thread),
        cmocka_unit_test(test_workers_reload_calls_the_function_once_and_starts_anew),
        cmocka_unit_test(test_workers_that_return_are_started_again),
        cmocka_unit_test(test_workers_beside_the_caller_stop_when_asked),
        cmocka_unit_test(test_threads_are_drained_by_a_signal),
        cmocka_unit_test(test_threads_beside_the_caller_stop_when_asked),
        cmocka_unit_test(test_threads_that_cannot_be_asked_end_with_the_process),
        cmocka_unit_test(test_threads_that_return_end_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
