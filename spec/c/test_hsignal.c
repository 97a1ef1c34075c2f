/* Tests of runtime/loop/hsignal.c: delivery, several watchers, deleting, masks. */
#include "loop_test.h"

#include <fcntl.h>

static hloop_t *loop;
static size_t blocks_before;
static char trace[32];
static hsignal_t *first, *second;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    memset(trace, 0, sizeof trace);
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static int is_blocked(int signo) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, signo);
}

static void note(hsignal_t *sig) { strcat(trace, hevent_userdata(sig)); }

static hsignal_t *add(hsignal_cb cb, int signo, const char *name) {
    hsignal_t *sig = hsignal_add(loop, cb, signo);
    assert_non_null(sig);
    hevent_set_userdata(sig, (uintptr_t)name);
    return sig;
}

static void test_signal_is_delivered_to_every_watcher_in_order(void **state) {
    (void)state;
    add(note, SIGUSR1, "a");
    add(note, SIGUSR2, "x");
    assert_int_equal(hsignal_signo(add(note, SIGUSR1, "b")), SIGUSR1);
    raise(SIGUSR1);
    assert_string_equal(trace, "");
    RUN_UNTIL(loop, trace[0] != '\0');
    assert_string_equal(trace, "ab");
    raise(SIGUSR2);
    RUN_UNTIL(loop, strlen(trace) == 3);
    assert_string_equal(trace, "abx");
}

static void test_signal_mask_is_put_back(void **state) {
    (void)state;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    first = add(note, SIGUSR1, "a");
    second = add(note, SIGUSR2, "b");
    assert_true(is_blocked(SIGUSR1));
    hsignal_del(first);
    hsignal_del(second);
    assert_false(is_blocked(SIGUSR1));
    assert_true(is_blocked(SIGUSR2)); /* it was blocked before */
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

static void delete_both(hsignal_t *sig) {
    note(sig);
    hsignal_del(first);
    hsignal_del(second);
    hsignal_del(first);
}

static void test_signal_watchers_deleted_in_callback_are_not_called(void **state) {
    (void)state;
    first = add(delete_both, SIGUSR1, "a");
    second = add(note, SIGUSR1, "b");
    raise(SIGUSR1);
    RUN_UNTIL(loop, trace[0] != '\0');
    assert_string_equal(trace, "a");
    assert_false(is_blocked(SIGUSR1));
    assert_int_equal(hloop_nactives(loop), 0);
}

static void add_one_more(hsignal_t *sig) {
    note(sig);
    if (strlen(trace) == 1) add(note, SIGUSR1, "n");
}

static void test_signal_watcher_added_in_callback_waits_for_the_next(void **state) {
    (void)state;
    add(add_one_more, SIGUSR1, "a");
    raise(SIGUSR1);
    RUN_UNTIL(loop, trace[0] != '\0');
    assert_string_equal(trace, "a");
    raise(SIGUSR1);
    RUN_UNTIL(loop, strlen(trace) >= 2);
    assert_string_equal(trace, "aan");
}

static void test_signal_watchers_that_come_and_go_hold_no_memory(void **state) {
    (void)state;
    hsignal_del(add(note, SIGUSR1, "a"));
    size_t blocks = hv__mem_live_blocks();
    for (int i = 0; i < 1000; i++) hsignal_del(add(note, SIGUSR1, "a"));
    assert_int_equal(hv__mem_live_blocks(), blocks);
}

static int count_fds(void) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_signal_descriptor_goes_with_the_loop(void **state) {
    (void)state;
    for (int watches = 0; watches < 2; watches++) {
        int fds = count_fds();
        hloop_t *other = hloop_new(0);
        if (watches) assert_non_null(hsignal_add(other, note, SIGUSR1));
        hloop_free(&other);
        assert_int_equal(count_fds(), fds);
    }
}

static void test_signal_that_cannot_be_watched_is_refused(void **state) {
    (void)state;
    assert_null(hsignal_add(loop, note, SIGKILL));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    assert_null(hsignal_add(loop, note, SIGSTOP));
    assert_null(hsignal_add(loop, note, 0));
    assert_null(hsignal_add(loop, note, 100000));
}

#define SIGNAL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SIGNAL_TEST(test_signal_is_delivered_to_every_watcher_in_order),
        SIGNAL_TEST(test_signal_mask_is_put_back),
        SIGNAL_TEST(test_signal_watchers_deleted_in_callback_are_not_called),
        SIGNAL_TEST(test_signal_watcher_added_in_callback_waits_for_the_next),
        SIGNAL_TEST(test_signal_watchers_that_come_and_go_hold_no_memory),
        SIGNAL_TEST(test_signal_descriptor_goes_with_the_loop),
        SIGNAL_TEST(test_signal_that_cannot_be_watched_is_refused),
    };
    return cmocka_run_group_tests_name("hsignal", tests, NULL, NULL);
}
